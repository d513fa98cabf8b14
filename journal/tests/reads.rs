//! What cannot be read is not damage: it is read again, and holds up nothing else.

use postrider_journal::testing::FakeStorage;
use postrider_journal::{
    Bound, Config, Home, Journal, Kept, Lookup, Purpose, Record, SegmentNumber, body_crc, testing,
};

const SEGMENT: u64 = 64 << 10;
const SECOND: u64 = 1_000_000_000;
const BODY: usize = 1000;

fn body(sequence: u64) -> Vec<u8> {
    (0..BODY as u64).map(|index| (sequence * 31 + index) as u8).collect()
}

/// Several segments of records; all but the last are cold.
fn cold_journal() -> (Journal<FakeStorage>, Vec<Home>) {
    let config = Config {
        segment_bytes: SEGMENT,
        hot_bytes: 0,
        read_ahead: 32 << 10,
        disk_budget: Some(100 * SEGMENT),
        keys: 5,
        ..Config::default()
    };
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config, &mut |_, _| {}).unwrap();
    let homes = (0..200).map(|sequence| append(&mut journal, sequence)).collect();
    (journal, homes)
}

fn append(journal: &mut Journal<FakeStorage>, sequence: u64) -> Home {
    let body = body(sequence);
    while journal.reserve(Purpose::Create, Bound { records: 1, bytes: BODY as u64 }).is_err() {
        settle(journal);
    }
    let home =
        journal.stage(&Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc: body_crc(&body) });
    journal.seal();
    if sequence % 10 == 9 {
        journal.submit();
        settle(journal);
    }
    home
}

/// Everything that can happen does; what it tells to look again.
fn settle(journal: &mut Journal<FakeStorage>) -> u32 {
    journal.storage_mut().settle();
    journal.poll().unwrap().fetched
}

/// Lets time go by in steps of 10 ms, as a turn does. Who wants a record asks for it when told to look again.
fn wait(journal: &mut Journal<FakeStorage>, from: u64, nanos: u64, wanted: Option<Home>) -> u64 {
    let mut now = from;
    while now < from + nanos {
        now += 10_000_000;
        let look_again = journal.try_again(now);
        if let Some(home) = wanted.filter(|_| look_again) {
            journal.fetch(home.position, home.len);
        }
        settle(journal);
    }
    now
}

fn is_there(journal: &mut Journal<FakeStorage>, home: Home, sequence: u64) -> bool {
    match journal.extent(home.position, home.len, body_crc(&body(sequence))) {
        Lookup::Memory(extent) | Lookup::Checked(extent) => {
            assert_eq!(extent.bytes(home.position, BODY), body(sequence));
            true
        }
        Lookup::Cold => false,
        Lookup::Damaged => panic!("{sequence} is taken for damaged"),
    }
}

#[test]
fn a_read_that_fails_is_tried_again_for_as_long_as_it_takes() {
    let (mut journal, homes) = cold_journal();
    journal.storage_mut().make_unreadable(SegmentNumber(0), 0..SEGMENT);
    journal.fetch(homes[5].position, homes[5].len);
    let mut now = 0;
    for _ in 0..60 {
        settle(&mut journal);
        assert!(!is_there(&mut journal, homes[5], 5));
        now = wait(&mut journal, now, SECOND, Some(homes[5]));
    }
    let tries = journal.storage_mut().reads_tried.len();
    assert!((15..30).contains(&tries), "{tries} tries in a minute");
    let statistics = journal.statistics();
    assert_eq!((statistics.read_failures, statistics.reads_waiting), (tries as u64, 1));
    assert_eq!(statistics.damaged, 0);
    let trouble = journal.take_trouble().unwrap().to_string();
    assert!(trouble.contains("32768 bytes at 8192 of segment-0000000000000000 cannot be read"), "{trouble}");
    journal.storage_mut().make_readable();
    wait(&mut journal, now, 5 * SECOND + SECOND / 10, Some(homes[5]));
    assert!(is_there(&mut journal, homes[5], 5));
    assert_eq!(journal.statistics().reads_waiting, 0);
}

#[test]
fn a_bad_block_costs_only_the_records_in_it() {
    let (mut journal, homes) = cold_journal();
    let bad = homes[12].position.0 / 4096 * 4096;
    journal.storage_mut().make_unreadable(SegmentNumber(0), bad..bad + 512);
    let block = bad..bad + 4096;
    let touches = |home: &Home| home.position.0 - 20 < block.end && block.start < home.position.0 + BODY as u64;
    let here: Vec<usize> = (0..40).filter(|index| homes[*index].segment.0 == 0).collect();
    assert!(here.len() > 30 && here.iter().filter(|index| touches(&homes[**index])).count() >= 4);
    let mut now = 0;
    for index in here {
        let home = homes[index];
        for _ in 0..3 {
            if !is_there(&mut journal, home, index as u64) {
                journal.fetch(home.position, home.len);
                now = wait(&mut journal, now, SECOND / 10, None);
            }
        }
        assert_eq!(is_there(&mut journal, home, index as u64), !touches(&home), "record {index}");
    }
}

#[test]
fn who_shared_a_window_that_failed_is_told_and_asks_alone() {
    let (mut journal, homes) = cold_journal();
    let bad = homes[3].position.0;
    journal.storage_mut().make_unreadable(SegmentNumber(0), bad..bad + 1);
    // The window of the first record was to serve the second one, too.
    for index in [3, 20] {
        journal.fetch(homes[index].position, homes[index].len);
    }
    settle(&mut journal);
    for index in [3, 20] {
        journal.fetch(homes[index].position, homes[index].len);
    }
    settle(&mut journal);
    assert!(is_there(&mut journal, homes[20], 20) && !is_there(&mut journal, homes[3], 3));
}

#[test]
fn what_nobody_wants_any_more_is_not_read_for_ever() {
    let (mut journal, homes) = cold_journal();
    journal.storage_mut().make_unreadable(SegmentNumber(0), 0..SEGMENT);
    journal.fetch(homes[5].position, homes[5].len);
    settle(&mut journal);
    let now = wait(&mut journal, 0, 5 * SECOND, None);
    assert_eq!(journal.statistics().reads_waiting, 0);
    let tries = journal.storage_mut().reads_tried.len();
    wait(&mut journal, now, 60 * SECOND, None);
    assert_eq!(journal.storage_mut().reads_tried.len(), tries);
}

#[test]
fn a_segment_that_cannot_be_read_goes_when_nothing_in_it_is_needed() {
    let (mut journal, homes) = cold_journal();
    journal.storage_mut().make_unreadable(SegmentNumber(0), 0..SEGMENT);
    journal.fetch(homes[5].position, homes[5].len);
    settle(&mut journal);
    journal.set_head(SegmentNumber(1));
    journal.submit();
    assert_eq!(settle(&mut journal), 1, "who waits looks again");
    assert_eq!(journal.front(), Some(SegmentNumber(1)));
    assert_eq!(journal.statistics().reads_waiting, 0);
}

#[test]
fn a_body_is_good_though_the_header_before_it_has_rotted() {
    let (mut journal, homes) = cold_journal();
    for byte in 1..=20 {
        journal.storage_mut().rot(SegmentNumber(0), homes[5].position.0 as usize - byte);
    }
    journal.fetch(homes[5].position, homes[5].len);
    settle(&mut journal);
    assert!(is_there(&mut journal, homes[5], 5));
    assert_eq!(journal.statistics().damaged, 0);
}

#[test]
fn what_is_left_of_a_damaged_record_is_kept_aside_and_that_is_tried_again() {
    let (mut journal, homes) = cold_journal();
    let home = homes[5];
    journal.storage_mut().rot(SegmentNumber(0), home.position.0 as usize + 7);
    journal.fetch(home.position, home.len);
    settle(&mut journal);
    assert!(matches!(journal.extent(home.position, home.len, body_crc(&body(5))), Lookup::Damaged));
    let remains = journal.remains(home.position, home.len);
    assert_eq!((remains.file.as_str(), remains.offset), ("segment-0000000000000000", home.position.0 - 20));
    let mut expected = body(5);
    expected[7] ^= 0x20;
    assert_eq!(remains.bytes[20..], expected);
    assert_eq!(journal.kept(5), Kept::No);
    journal.storage_mut().keeps_fail = 3;
    journal.keep_aside(5, "the fifth".into(), remains.bytes.clone());
    assert_eq!(settle(&mut journal), 0);
    assert_eq!(journal.kept(5), Kept::UnderWay);
    let trouble = journal.take_trouble().unwrap().to_string();
    assert!(trouble.starts_with("a damaged message waits until damaged-5 can be written: "), "{trouble}");
    wait(&mut journal, 0, SECOND, None);
    assert_eq!(journal.storage_mut().aside["damaged-5"], remains.bytes);
    assert_eq!((journal.kept(5), journal.kept(5)), (Kept::Yes, Kept::No), "told once");
    let told = std::iter::from_fn(|| journal.take_trouble()).last().unwrap().to_string();
    assert!(told.contains("the fifth; what is left of it is kept in damaged-5"), "{told}");
}

/// What is tried again is under way until its answer comes: a deadline that is over would keep its owner awake all the time.
#[test]
fn what_is_tried_again_has_no_deadline_while_it_is_under_way() {
    let (mut journal, homes) = cold_journal();
    journal.storage_mut().keeps_fail = 1;
    journal.keep_aside(5, "the fifth".into(), vec![5; 100]);
    journal.storage_mut().make_unreadable(SegmentNumber(0), 0..SEGMENT);
    journal.fetch(homes[5].position, homes[5].len);
    settle(&mut journal);
    journal.try_again(0);
    let mut now = 0;
    while let Some(until) = journal.deadline() {
        assert!(until > now, "over since {} ns", now - until);
        now = until;
        journal.try_again(now);
    }
    assert!(now > 0, "both are tried again");
}
