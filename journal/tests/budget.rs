//! What the files may take of a disk whose room others take and give back.

use postrider_journal::testing::FakeStorage;
use postrider_journal::{Bound, Config, Journal, Record, body_crc};

const SEGMENT: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;

fn config(disk_budget: Option<u64>) -> Config {
    Config { segment_bytes: SEGMENT, disk_budget, spool_budget: Some(0), keys: 5, ..Config::default() }
}

/// A journal of three segments that starts on a disk which somebody else has filled since.
fn started_short(disk_budget: Option<u64>) -> Journal<FakeStorage> {
    let mut journal = Journal::recover(FakeStorage::new(1 << 30), config(None), &mut |_, _| {}).unwrap();
    let body = [7; 60_000];
    for sequence in 0..40 {
        while journal.begin(Bound { records: 1, bytes: 60_000 }).is_err() {
            settle(&mut journal);
        }
        journal.stage(&Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc: body_crc(&body) });
        journal.seal();
        settle(&mut journal);
    }
    let mut storage = journal.into_storage();
    storage.kill(&mut |_| true);
    storage.free = 0;
    Journal::recover(storage, config(disk_budget), &mut |_, _| {}).unwrap()
}

fn settle(journal: &mut Journal<FakeStorage>) {
    journal.submit();
    journal.storage_mut().settle();
    journal.poll().unwrap();
}

#[test]
fn a_disk_that_was_full_at_the_start_is_measured_until_there_is_room() {
    let mut journal = started_short(None);
    let little = journal.disk_budget();
    assert!(little < 4 * SEGMENT, "{little}");
    for second in 1..10 {
        assert!(journal.deadline().is_some_and(|at| at <= second * SECOND), "{:?}", journal.deadline());
        journal.try_again(second * SECOND);
        assert_eq!(journal.disk_budget(), little);
    }
    journal.storage_mut().free = 6 * SEGMENT;
    journal.try_again(10 * SECOND);
    let more = journal.disk_budget();
    assert!(more > little && journal.deadline().is_some(), "{more}: still less than what leaves room to work");
    journal.storage_mut().free = 100 * SEGMENT;
    journal.try_again(10 * SECOND + 1);
    assert_eq!(journal.disk_budget(), more, "once a second");
    journal.try_again(11 * SECOND);
    let enough = journal.disk_budget();
    assert!(enough >= 80 * SEGMENT, "{enough}");
    journal.storage_mut().free = 1000 * SEGMENT;
    journal.try_again(20 * SECOND);
    assert_eq!((journal.disk_budget(), journal.deadline()), (enough, None), "from then on it is fixed");
}

#[test]
fn a_budget_that_was_set_stays() {
    let mut journal = started_short(Some(4 * SEGMENT));
    journal.storage_mut().free = 100 * SEGMENT;
    journal.try_again(10 * SECOND);
    assert_eq!(journal.disk_budget(), 4 * SEGMENT);
}
