//! What the files may take of a disk whose room others take and give back.

use postrider_journal::testing::FakeStorage;
use postrider_journal::{Bound, Config, Journal, NoRoom, Purpose, Record, SegmentNumber, body_crc, testing};

const SEGMENT: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;

fn config(disk_budget: Option<u64>) -> Config {
    Config { segment_bytes: SEGMENT, disk_budget, spool_budget: Some(0), keys: 5, ..Config::default() }
}

/// A journal of three segments that starts on a disk which somebody else has filled since.
fn started_short(disk_budget: Option<u64>) -> Journal<FakeStorage> {
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config(None), &mut |_, _| {}).unwrap();
    let body = [7; 60_000];
    for sequence in 0..40 {
        while journal.reserve(Purpose::Create, Bound { records: 1, bytes: 60_000 }).is_err() {
            settle(&mut journal);
        }
        journal.stage(&Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc: body_crc(&body) });
        journal.seal();
        settle(&mut journal);
    }
    let mut storage = journal.into_storage();
    storage.kill(&mut |_| true);
    storage.free = 0;
    testing::recover(storage, config(disk_budget), &mut |_, _| {}).unwrap()
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
    assert!(journal.is_measured_again());
    journal.storage_mut().free = 100 * SEGMENT;
    journal.try_again(10 * SECOND + 1);
    assert_eq!(journal.disk_budget(), more, "once a second");
    journal.try_again(11 * SECOND);
    let enough = journal.disk_budget();
    assert!(enough >= 80 * SEGMENT, "{enough}");
    journal.storage_mut().free = 1000 * SEGMENT;
    journal.try_again(20 * SECOND);
    assert_eq!((journal.disk_budget(), journal.deadline()), (enough, None), "from then on it is fixed");
    assert!(!journal.is_measured_again());
}

#[test]
fn a_budget_that_was_set_stays() {
    let mut journal = started_short(Some(4 * SEGMENT));
    journal.storage_mut().free = 100 * SEGMENT;
    journal.try_again(10 * SECOND);
    assert_eq!(journal.disk_budget(), 4 * SEGMENT);
    assert!(!journal.is_measured_again());
}

/// Small groups are padded to a block: acknowledgements take segment after segment while the front cannot be read.
#[test]
fn each_purpose_has_what_those_before_it_may_not_take() {
    const SEGMENTS: u64 = 16;
    let config = config(Some(SEGMENTS * SEGMENT));
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config, &mut |_, _| {}).unwrap();
    settle(&mut journal);
    let bound = Bound { records: 1, bytes: 60_000 };
    let body = [7; 60_000];
    let mut groups = [0; 3];
    for (purpose, groups) in [Purpose::Create, Purpose::Settle, Purpose::Move].into_iter().zip(&mut groups) {
        for _ in 0..2 {
            while journal.reserve(purpose, bound).is_ok() {
                let record =
                    Record { kind: 1, flags: 0, sequence: 0, meta: &[], body: &body, body_crc: body_crc(&body) };
                journal.stage(&record);
                journal.seal();
                settle(&mut journal);
                *groups += 1;
            }
            settle(&mut journal);
        }
    }
    let a_segment = groups[2] / 2;
    assert!((15..=17).contains(&a_segment), "{groups:?}");
    let created = (SEGMENTS - 5) * a_segment;
    assert!((created..=created + 1).contains(&groups[0]), "{groups:?}");
    assert_eq!(groups[0] + groups[1], (SEGMENTS - 2) * a_segment, "{groups:?}");
    assert_eq!(journal.disk_bytes(), SEGMENTS * SEGMENT);
    let full = Purpose::ALL.map(|purpose| journal.reserve(purpose, bound));
    assert_eq!(full, [Err(NoRoom::Behind), Err(NoRoom::Full), Err(NoRoom::NotReady)]);
    // Where only acknowledgements can make the log shorter, they have all of it.
    journal.set_head(SegmentNumber(2));
    (0..3).for_each(|_| settle(&mut journal));
    assert_eq!(journal.reserve(Purpose::Settle, bound), Err(NoRoom::Full));
    journal.keep_for_moves(None);
    assert_eq!(journal.reserve(Purpose::Settle, bound), Ok(()));
}
