//! What a start gave up is known to the next ones until the log says what follows from it (R9, R15).

mod groups;

use groups::{append, config, recover};
use postrider_journal::epoch::EpochTable;
use postrider_journal::testing::FakeStorage;
use postrider_journal::{Config, Journal, Purpose, SegmentNumber, testing};

const SECOND: u64 = 1_000_000_000;

/// A log of some segments.
fn log() -> FakeStorage {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    (0..40).for_each(|group| drop(append(&mut journal, group * 5..group * 5 + 5)));
    journal.into_storage()
}

/// A start that gives the second segment up, which is not there.
fn given_up() -> Journal<FakeStorage> {
    let mut storage = log();
    storage.take_away(SegmentNumber(1));
    let give_up = vec!["segment-0000000000000001".to_owned()];
    testing::recover(storage, Config { give_up, ..config() }, &mut |_, _| {}).unwrap()
}

fn killed(journal: Journal<FakeStorage>) -> Journal<FakeStorage> {
    let mut storage = journal.into_storage();
    storage.kill(&mut |_| true);
    recover(storage).unwrap().0
}

/// Writes down what the table has to say ten seconds from `now` on.
fn state(journal: &mut Journal<FakeStorage>, now: u64) {
    for now in [now, now + 10 * SECOND] {
        journal.try_again(now);
        journal.storage_mut().settle();
        journal.poll().unwrap();
    }
}

fn told(journal: &Journal<FakeStorage>) -> (u64, u32) {
    (journal.recovery().damages, journal.recovery().earlier_losses)
}

#[test]
fn killed_again_and_again_the_next_start_knows() {
    let mut journal = given_up();
    assert_eq!(told(&journal), (1, 0));
    for kill in 0..5 {
        journal = killed(journal);
        assert_eq!(told(&journal), (0, 1), "kill {kill}");
        assert_eq!(journal.recovery().losses(), 1);
    }
    // So it is after an end in order, and a start that came far without saying all.
    append(&mut journal, 200..205);
    state(&mut journal, 0);
    journal.end().unwrap();
    assert_eq!(told(&killed(journal)), (0, 1));
}

#[test]
fn what_the_log_says_needs_to_be_durable() {
    let mut journal = given_up();
    append(&mut journal, 200..205);
    while journal.reserve(Purpose::Create, postrider_journal::Bound { records: 1, bytes: 200 }).is_err() {
        journal.storage_mut().settle();
        journal.poll().unwrap();
    }
    groups::stage_one(&mut journal, 205);
    journal.seal();
    journal.losses_stated();
    state(&mut journal, 0);
    assert_eq!(told(&killed(journal)), (0, 1));
}

#[test]
fn once_the_log_says_it_the_next_start_need_not_know() {
    for end in [false, true] {
        let mut journal = given_up();
        append(&mut journal, 200..205);
        journal.losses_stated();
        if end {
            journal.end().unwrap();
        } else {
            state(&mut journal, 0);
        }
        assert_eq!(told(&killed(journal)), (0, 0), "in order: {end}");
    }
}

#[test]
fn of_two_copies_the_one_that_knows_of_losses_counts_unless_the_other_says_more() {
    let storage = || {
        let mut journal = given_up();
        append(&mut journal, 200..205);
        journal.into_storage()
    };
    let with = storage().tables()[0].clone().unwrap();
    let mut table = EpochTable::decode(&with).unwrap();
    table.losses = 0;
    let without = table.encode();
    table.stated = Some(table.newest().unwrap().first + 4096);
    let newer = table.encode();
    for (copies, losses) in [
        ([&with, &without], 1),
        ([&without, &with], 1),
        ([&with, &newer], 0),
        ([&newer, &with], 0),
        ([&without, &without], 0),
    ] {
        let mut storage = storage();
        storage.put_tables(copies.map(|bytes| Some(bytes.clone())));
        let read = Journal::open(storage, config()).map(|read| read.recovery().earlier_losses);
        assert_eq!(read.unwrap(), losses);
    }
}
