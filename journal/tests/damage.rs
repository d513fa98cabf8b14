//! Damage is told apart from a torn end, and confined to what it hit.

mod groups;

use groups::{
    FIRST, SEGMENT, append, body, config, frame_of, offset, recover, rest, stage_one, visit_forged, visit_rested,
    write_group, written,
};
use postrider_journal::testing::FakeStorage;
use postrider_journal::{
    Bound, Config, DamageKind, Home, Journal, Lookup, OpenError, Purpose, Record, SegmentNumber, body_crc, testing,
};

fn sequences(seen: &[(u64, Home)]) -> Vec<u64> {
    seen.iter().map(|(sequence, _)| *sequence).collect()
}

fn all_but(missing: &[u64]) -> Vec<u64> {
    (0..15).filter(|sequence| !missing.contains(sequence)).collect()
}

#[test]
fn a_damaged_body_costs_its_record() {
    let (mut storage, homes) = written();
    storage.rot(FIRST, offset(homes[1].position) + 50);
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[1]));
    let damage = &journal.recovery().damage;
    assert_eq!(damage.len(), 1);
    assert_eq!(
        (damage[0].sequence, damage[0].offset, damage[0].kind),
        (Some(1), homes[1].position.0, DamageKind::Body)
    );
    assert_eq!(damage[0].file, "segment-0000000000000000");
    let mut found = body(1);
    found[50] ^= 0x20;
    assert_eq!((&damage[0].meta[..], &damage[0].head), (b"some meta".as_slice(), &found), "what is left of it");
}

#[test]
fn bytes_that_may_be_another_records_do_not_say_which_one_is_damaged() {
    let (mut storage, homes) = written();
    storage.rot(FIRST, offset(homes[1].position) + 50);
    storage.rot(FIRST, offset(homes[1].position) - 10);
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[1]));
    let damage = &journal.recovery().damage[0];
    assert_eq!((damage.sequence, damage.kind, damage.head.len()), (Some(1), DamageKind::Body, 0));
}

#[test]
fn a_damaged_directory_entry_costs_its_record() {
    let (mut storage, homes) = written();
    let directory = frame_of(homes[0]) + 64 + 5 * 120;
    let second_entry = directory.next_multiple_of(8) + 8 + (32 + 9);
    // The directory ends with the frame; its marker is within the eight bytes after the last body.
    storage.rot(FIRST, second_entry + 10);
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[1]));
    let damage = &journal.recovery().damage;
    assert_eq!((damage.len(), damage[0].sequence, damage[0].kind), (1, Some(1), DamageKind::Entry));
    for (sequence, home) in seen {
        assert_eq!(home, homes[sequence as usize], "homes do not change");
    }
}

#[test]
fn a_damaged_frame_header_costs_nothing() {
    let (mut storage, homes) = written();
    storage.rot(FIRST, frame_of(homes[5]) + 50);
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[]));
    assert_eq!(journal.recovery().damage[0].kind, DamageKind::Frame);
    for (sequence, home) in seen {
        assert_eq!(home, homes[sequence as usize], "homes do not change");
    }
}

#[test]
fn a_frame_without_header_and_directory_is_lost_and_its_records_are_named() {
    let (mut storage, homes) = written();
    storage.rot(FIRST, frame_of(homes[5]) + 50);
    let marker = (frame_of(homes[5]) + 64 + 5 * 120).next_multiple_of(8);
    (0..8).for_each(|offset| storage.rot(FIRST, marker + offset));
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[5, 6, 7, 8, 9]));
    let damage = &journal.recovery().damage;
    assert_eq!(damage[0].kind, DamageKind::Frame);
    let named: Vec<_> = damage[1..].iter().map(|damage| (damage.kind, damage.sequence, damage.head.clone())).collect();
    assert_eq!(named, (5..10).map(|sequence| (DamageKind::Entry, Some(sequence), body(sequence))).collect::<Vec<_>>());
}

#[test]
fn behind_a_body_that_cannot_be_named_the_others_are_and_it_has_its_place() {
    let (mut storage, homes) = written();
    let directory = (frame_of(homes[5]) + 64 + 5 * 120).next_multiple_of(8);
    (0..5).for_each(|entry| storage.rot(FIRST, directory + 8 + entry * (32 + 9) + 10));
    storage.rot(FIRST, offset(homes[7].position) - 10);
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[5, 6, 7, 8, 9]));
    let told: Vec<_> =
        journal.recovery().damage.iter().map(|damage| (damage.sequence, damage.offset, damage.len)).collect();
    let named = |sequence: u64| (Some(sequence), homes[sequence as usize].position.0, 100);
    let unnamed = (None, homes[7].position.0 - 20, 120);
    assert_eq!(told, [named(5), named(6), unnamed, named(8), named(9)]);
}

#[test]
fn below_a_later_durable_mark_it_is_damage_and_else_the_end() {
    // The last group has nothing behind it that would prove it: it looks torn, and is saved aside.
    let (mut storage, homes) = written();
    storage.rot(FIRST, offset(homes[11].position));
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), (0..10).collect::<Vec<_>>());
    assert!(journal.recovery().damage.is_empty());
    let cut = journal.recovery().cut.clone().expect("a cut");
    let mut storage = journal.into_storage();
    assert!(storage.aside[&cut.names[0]].windows(100).any(|bytes| bytes == body(12)));
    // What the next life keeps is known to be durable.
    storage.rot(FIRST, offset(homes[9].position));
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), (0..9).collect::<Vec<_>>());
    assert_eq!(journal.recovery().damages, 1);
}

#[test]
fn a_log_at_rest_proves_its_last_group_once() {
    assert_eq!(visit_rested(), (all_but(&[11]), 1));
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    assert!(journal.is_proven() && !journal.prove(), "nothing to prove");
    append(&mut journal, 0..5);
    assert!(!journal.is_proven());
    rest(&mut journal);
    let end = journal.appended();
    assert!(journal.is_proven() && !journal.prove());
    assert_eq!((journal.appended(), journal.durable()), (end, end), "once");
}

#[test]
fn a_frame_that_proves_goes_into_the_next_segment_where_the_last_is_full() {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let mut next = 0;
    while !journal.appended().0.is_multiple_of(SEGMENT) {
        append(&mut journal, next..next + 5);
        next += 5;
    }
    rest(&mut journal);
    assert!(journal.is_proven() && journal.appended().0 == SEGMENT + 2 * 4096, "{}", journal.appended());
}

#[test]
fn an_end_in_order_says_where_it_was() {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let homes: Vec<Home> = (0..3).flat_map(|group| append(&mut journal, group * 5..group * 5 + 5)).collect();
    journal.end().unwrap();
    let mut storage = journal.into_storage();
    // The last group, which no frame proves, and the header of its frame.
    storage.rot(FIRST, frame_of(homes[10]) + 10);
    storage.rot(FIRST, offset(homes[14].position));
    let (mut journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[14]));
    assert_eq!((journal.recovery().damages, journal.recovery().cut.clone()), (2, None));
    journal.end().unwrap();
    let mut storage = journal.into_storage();
    for number in storage.numbers() {
        storage.take_away(number);
    }
    assert!(matches!(recover(storage).err(), Some(OpenError::Missing(FIRST, _))));
}

#[test]
fn an_end_in_order_says_from_where_on_the_log_is_needed() {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let mut homes = append(&mut journal, 0..5);
    while homes[homes.len() - 1].segment < SegmentNumber(3) {
        let next = homes.len() as u64;
        homes.extend(append(&mut journal, next..next + 5));
        if homes[homes.len() - 1].segment == SegmentNumber(2) {
            journal.set_head(SegmentNumber(2));
        }
    }
    assert_eq!(journal.front(), Some(SegmentNumber(2)), "the first ones are given back");
    journal.end().unwrap();
    let mut storage = journal.into_storage();
    // The one block of the newest segment, which alone says so besides the table.
    storage.forge(SegmentNumber(3), 4096, &[0x77; 4096]);
    let lost = homes.len() as u64 - 5;
    let kept = homes.iter().enumerate().filter(|(_, home)| home.segment == SegmentNumber(2));
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), kept.map(|(sequence, _)| sequence as u64).collect::<Vec<_>>());
    assert!(!sequences(&seen).contains(&lost) && journal.recovery().damages > 0);
}

/// Three segments, the first of which loses both copies of its header.
fn without_header() -> (FakeStorage, u64) {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let mut count = 0;
    while journal.appended().0 < 2 * SEGMENT + 3 * 4096 {
        append(&mut journal, count..count + 1);
        count += 1;
    }
    let mut storage = journal.into_storage();
    storage.rot(FIRST, 3);
    storage.rot(FIRST, 2048 + 3);
    (storage, count)
}

#[test]
fn a_segment_without_header_is_told_by_its_frames() {
    let (storage, count) = without_header();
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), (0..count).collect::<Vec<_>>());
    let recovery = journal.recovery();
    assert_eq!((recovery.damage[0].kind, recovery.damages, recovery.losses()), (DamageKind::SegmentHeader, 1, 0));
    // The first frame has lost its directory's marker, too.
    let (mut storage, count) = without_header();
    let place = storage.durable(FIRST)[4096..].windows(9).position(|bytes| bytes == b"some meta").unwrap();
    storage.rot(FIRST, 4096 + place - 32 - 8);
    assert_eq!(recover(storage).unwrap().1.len() as u64, count);
    // The last one as well, in which the next life goes on.
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    append(&mut journal, 0..5);
    rest(&mut journal);
    let mut storage = journal.into_storage();
    storage.forge(FIRST, 0, &[0x55; 4096]);
    let (mut journal, seen) = recover(storage).unwrap();
    assert_eq!(seen.len(), 5);
    append(&mut journal, 5..10);
    assert_eq!(recover(journal.into_storage()).unwrap().1.len(), 10);
}

#[test]
fn a_segment_without_header_and_first_frames_is_reported_and_skipped() {
    let (mut storage, _) = without_header();
    storage.forge(FIRST, 4096, &[0x77; 4096]);
    let (journal, seen) = recover(storage).unwrap();
    assert!(seen.iter().all(|(_, home)| home.segment > FIRST) && !seen.is_empty());
    assert_eq!(journal.recovery().damage[0].kind, DamageKind::Segment);
}

#[test]
fn one_damaged_copy_of_a_segment_header_costs_nothing_and_is_reported() {
    let (mut storage, _) = written();
    storage.rot(FIRST, 2048 + 20);
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(sequences(&seen), all_but(&[]));
    assert_eq!(journal.recovery().damage[0].kind, DamageKind::SegmentHeader);
}

#[test]
fn one_damaged_table_is_repaired_and_two_are_refused() {
    let (mut storage, _) = written();
    storage.rot_table(1);
    let (journal, seen) = recover(storage).unwrap();
    assert!(journal.recovery().table_repaired);
    assert_eq!(seen.len(), 15);
    let mut storage = journal.into_storage();
    storage.rot_table(0);
    let (journal, _) = recover(storage).unwrap();
    let mut storage = journal.into_storage();
    storage.rot_table(0);
    storage.rot_table(1);
    assert!(matches!(recover(storage).err(), Some(OpenError::NoTable)));
}

#[test]
fn a_segment_taken_away_is_refused() {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    for group in 0..40u64 {
        append(&mut journal, group..group + 1);
    }
    let mut storage = journal.into_storage();
    storage.take_away(SegmentNumber(1));
    assert!(matches!(recover(storage).err(), Some(OpenError::Missing(SegmentNumber(1), _))));
}

#[test]
fn a_frame_forged_in_a_body_is_not_a_frame() {
    assert_eq!(visit_forged(), (vec![0, 1, 3, 4, 5, 6, 7, 8, 9], 2));
}

#[test]
fn a_failed_sync_is_the_end() {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    append(&mut journal, 0..1);
    journal.reserve(Purpose::Move, Bound { records: 1, bytes: 200 }).unwrap();
    journal.stage(&Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &body(1), body_crc: body_crc(&body(1)) });
    journal.seal();
    journal.storage_mut().fail_next_write();
    let durable = journal.durable();
    journal.submit();
    journal.storage_mut().settle();
    let error = journal.poll().unwrap_err();
    assert!(error.to_string().contains("segment 0, bytes 8192 to 12288"), "{error}");
    assert_eq!(journal.durable(), durable);
}

#[test]
fn the_disk_budget_is_kept_and_a_new_head_makes_room() {
    let config = Config { disk_budget: Some(12 * SEGMENT), ..config() };
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config, &mut |_, _| {}).unwrap();
    let record = Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &[7; 1000], body_crc: body_crc(&[7; 1000]) };
    let fill = |journal: &mut Journal<FakeStorage>| {
        let mut appended = 0;
        for _ in 0..10_000 {
            if journal.reserve(Purpose::Move, Bound { records: 1, bytes: 1000 }).is_ok() {
                journal.stage(&record);
                journal.seal();
                appended += 1;
            }
            journal.submit();
            journal.storage_mut().settle();
            journal.poll().unwrap();
            assert!(journal.disk_bytes() <= 12 * SEGMENT);
        }
        appended
    };
    assert!(fill(&mut journal) > 40);
    assert_eq!(fill(&mut journal), 0);
    journal.set_head(SegmentNumber(11));
    for _ in 0..3 {
        journal.submit();
        journal.storage_mut().settle();
        journal.poll().unwrap();
    }
    assert_eq!(journal.front(), Some(SegmentNumber(11)));
    assert!(fill(&mut journal) > 30);
}

#[test]
fn room_that_was_taken_is_there_in_the_next_segment_too() {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let mut next = 0;
    while journal.appended().0 < SEGMENT - 2 * 4096 {
        append(&mut journal, next..next + 5);
        next += 5;
    }
    let batch = Bound { records: 10, bytes: 10 * 200 };
    journal.reserve(Purpose::Move, batch).unwrap();
    stage_one(&mut journal, next);
    // Further batches of the same turn do not fit behind it.
    for _ in 0..4 {
        journal.reserve(Purpose::Move, batch).unwrap();
    }
    let homes: Vec<Home> = (next + 1..next + 50).map(|sequence| stage_one(&mut journal, sequence)).collect();
    assert!(homes.iter().all(|home| home.segment == homes[0].segment && home.segment != FIRST));
    journal.seal();
    for _ in 0..2 {
        write_group(&mut journal);
    }
    let (_, seen) = recover(journal.into_storage()).unwrap();
    assert_eq!(sequences(&seen), (0..next + 50).collect::<Vec<_>>());
}

#[test]
fn a_full_medium_is_tried_again() {
    let mut journal = testing::recover(FakeStorage::new(SEGMENT / 2), config(), &mut |_, _| {}).unwrap();
    journal.storage_mut().settle();
    journal.poll().unwrap();
    assert!(journal.reserve(Purpose::Move, Bound { records: 1, bytes: 10 }).is_err());
    let shortage = journal.shortage().unwrap();
    assert!(shortage.starts_with("the journal's directory: No space left"), "{shortage}");
    let trouble = journal.take_trouble().unwrap().to_string();
    assert!(trouble.starts_with("segment-0000000000000000 of 65536 bytes cannot be made ready in"), "{trouble}");
    let mut now = 0;
    let mut wait = |journal: &mut Journal<FakeStorage>| {
        now += 10_000_000;
        journal.try_again(now);
        journal.storage_mut().settle();
        journal.poll().unwrap().prepared
    };
    for _ in 0..1_000 {
        assert_eq!(wait(&mut journal), 0);
    }
    let told = std::iter::from_fn(|| journal.take_trouble()).count();
    assert_eq!(told, 2, "a second later, and then at more than twice the time");
    let failures = journal.statistics().preparation_failures;
    assert!((8..20).contains(&failures), "{failures} in ten seconds");
    journal.storage_mut().free = 1 << 20;
    let prepared: u32 = (0..600).map(|_| wait(&mut journal)).sum();
    assert_eq!(prepared, 1);
    assert_eq!((journal.shortage(), journal.room_when_short()), (None, None));
    assert!(journal.reserve(Purpose::Move, Bound { records: 1, bytes: 10 }).is_ok());
}

#[test]
fn a_body_beyond_the_budget_holds_up_no_other() {
    let config = Config { disk_budget: Some(4 * SEGMENT), ..config() };
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config, &mut |_, _| {}).unwrap();
    let mut appended = 0;
    for _ in 0..100 {
        assert!(journal.reserve(Purpose::Move, Bound { records: 1, bytes: 5 * SEGMENT }).is_err());
        if journal.reserve(Purpose::Move, Bound { records: 1, bytes: 1000 }).is_ok() {
            let body = [7; 1000];
            let body_crc = body_crc(&body);
            journal.stage(&Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &body, body_crc });
            journal.seal();
            appended += 1;
        }
        journal.submit();
        journal.storage_mut().settle();
        journal.poll().unwrap();
    }
    assert!(appended > 40, "{appended}");
}

#[test]
fn memory_that_somebody_reads_is_not_used_again() {
    let config = Config { hot_bytes: 0, ..config() };
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config, &mut |_, _| {}).unwrap();
    let home = append(&mut journal, 0..1)[0];
    let Lookup::Memory(extent) = journal.extent(home.position, home.len, body_crc(&body(0))) else {
        panic!("in memory")
    };
    for sequence in 1..100 {
        append(&mut journal, sequence..sequence + 1);
        if sequence == 60 {
            let last = journal.front().unwrap().0 + 2;
            journal.set_head(SegmentNumber(last));
        }
    }
    assert!(journal.front().unwrap() > home.segment, "its segment is gone");
    assert!(journal.statistics().prepared > 3);
    assert_eq!(extent.bytes(home.position, 100), body(0));
}

/// The control: with the bug planted the test is red.
#[cfg(feature = "plant")]
#[test]
fn planted_bugs_are_seen() {
    let tests: &[(&str, fn())] = &[("head-of-the-start", an_end_in_order_says_from_where_on_the_log_is_needed)];
    for (name, test) in tests {
        postrider_journal::plant::set(name);
        let seen = std::panic::catch_unwind(test).is_err();
        postrider_journal::plant::set("");
        assert!(seen, "{name}");
    }
}
