//! Every planted bug is seen by a test.
#![cfg(feature = "plant")]

mod groups;
mod history;

use postrider_journal::{Generation, Pressure, Record, Spool, SpoolConfig, plant};

/// What the histories find.
const BY_HISTORY: &[&str] = &[
    "skip-epoch-check",
    "keep-after-hole",
    "damage-is-the-end",
    "no-sync-before-epoch",
    "rewrite-last-block",
    "skip-body-crc",
    "bound-without-overhead",
    "retry-failed-sync",
    "ack-before-sync",
    "recycle-before-head-committed",
    "recycle-under-read",
];

fn caught(name: &str, seeds: u64) -> Option<(u64, String)> {
    plant::set(name);
    let failure = (0..seeds).find_map(|seed| {
        let answer = std::panic::catch_unwind(|| history::run(seed, false));
        answer.unwrap_or_else(|_| Err("panicked".into())).err().map(|error| (seed, error))
    });
    plant::set("");
    failure
}

#[test]
fn histories_find_planted_bugs() {
    for name in BY_HISTORY {
        let failure = caught(name, 3000);
        eprintln!("{name}: {failure:?}");
        assert!(failure.is_some(), "{name} was not caught");
    }
}

#[test]
fn a_forged_frame_counts_without_the_seed() {
    plant::set("unseeded-checksum");
    let (seen, _) = groups::visit_forged();
    plant::set("");
    assert_ne!(seen, [0, 1, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn records_are_lost_to_a_head_that_rests_on_their_moves() {
    plant::set("head-in-closing-pad");
    let seen = groups::visit_unmoved();
    plant::set("");
    assert_ne!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn without_the_gate_each_purpose_takes_what_others_have() {
    assert_eq!(groups::taken_of_sixteen(), [12, 2, 2]);
    for (name, taken) in [("create-takes-all", [16, 0, 0]), ("settle-takes-all", [12, 4, 0])] {
        plant::set(name);
        let seen = groups::taken_of_sixteen();
        plant::set("");
        assert_eq!(seen, taken, "{name}");
    }
}

#[test]
fn what_needs_more_than_a_segment_has_room_to_move() {
    assert!(groups::moves_from_oversize());
    plant::set("oversize-unkept");
    let moves = groups::moves_from_oversize();
    plant::set("");
    assert!(!moves);
}

#[test]
fn a_spool_without_bound_always_has_room() {
    let mut spool = Spool::in_memory(SpoolConfig { segment_bytes: 8192, memory_bytes: 8192, ..SpoolConfig::default() });
    let record = Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &[7; 4096], body_crc: 0 };
    (0..100).for_each(|_| _ = spool.stage(&record, Generation::Young));
    assert_eq!(spool.usage().pressure, Pressure::Full);
    plant::set("spool-without-bound");
    let seen = spool.usage().pressure;
    plant::set("");
    assert_eq!(seen, Pressure::None);
}

#[test]
fn the_last_group_is_lost_to_one_bit_unless_a_frame_proves_it() {
    plant::set("last-group-unproven");
    let (seen, damages) = groups::visit_rested();
    plant::set("");
    assert!(seen.len() == 10 && damages == 0, "{seen:?}");
}

/// Of a log with one damaged body: damages, and whether what is left of it is told. Nothing: the process would have ended.
fn told_of_one(plant: &str) -> Option<(u64, bool)> {
    plant::set(plant);
    let told = std::panic::catch_unwind(|| {
        let (mut storage, homes) = groups::written();
        storage.rot(groups::FIRST, groups::offset(homes[1].position) + 50);
        let (journal, _) = groups::recover(storage).unwrap();
        let recovery = journal.recovery();
        (recovery.damages, recovery.damage.first().is_some_and(|damage| !damage.head.is_empty()))
    });
    plant::set("");
    told.ok()
}

#[test]
fn a_damage_is_told_with_what_is_left_and_ends_nothing() {
    assert_eq!(told_of_one(""), Some((1, true)));
    assert_eq!(told_of_one("damage-untold"), Some((0, false)));
    assert_eq!(told_of_one("damage-unnamed"), Some((1, false)));
    assert_eq!(told_of_one("damage-ends-all"), None);
    assert!(told_of_one("sound-named").is_some_and(|(damages, _)| damages > 1));
}

#[test]
fn every_planted_bug_has_its_test() {
    let elsewhere = [
        // The simulator's.
        "spool-forgets-waiters",
        "unseeded-checksum",
        "head-in-closing-pad",
        "spool-without-bound",
        "last-group-unproven",
        "damage-untold",
        "damage-unnamed",
        "damage-ends-all",
        "sound-named",
        "create-takes-all",
        "settle-takes-all",
        "oversize-unkept",
        // In tests/contradictions.rs, losses.rs and cuts.rs, damage.rs and giving_back.rs.
        "losses-forgotten",
        "stand-in-unwritten",
        "any-log",
        "end-unstated",
        "head-of-the-start",
        "stays-forgotten",
        // In tests/spill_files.rs and storage/direct.rs.
        "short-write-believed",
        "unreadable-is-zeros",
        "spill-failure-unseen",
    ];
    for (name, rule) in plant::LIST {
        assert!(BY_HISTORY.contains(name) || elsewhere.contains(name), "{name} ({rule})");
    }
}
