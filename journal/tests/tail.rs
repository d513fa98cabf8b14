//! A tail reads all that is durable, group by group, from memory and from the medium.

use postrider_journal::testing::{Chance, FakeStorage, Fate};
use postrider_journal::{Bound, Config, Journal, Position, Purpose, Record, Tail, TailStep, body_crc, testing};

const SEGMENT: u64 = 64 << 10;

fn recover(storage: FakeStorage) -> Journal<FakeStorage> {
    let config = Config {
        segment_bytes: SEGMENT,
        hot_bytes: SEGMENT,
        cold_bytes: 4 * SEGMENT,
        disk_budget: Some(200 * SEGMENT),
        spool_budget: Some(0),
        keys: 11,
        ..Config::default()
    };
    testing::recover(storage, config, &mut |_, _| {}).unwrap()
}

fn append(journal: &mut Journal<FakeStorage>, chance: &mut Chance) {
    let body = vec![chance.draw() as u8; chance.below(6000) as usize];
    let record = Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &body, body_crc: body_crc(&body) };
    while journal.reserve(Purpose::Create, Bound { records: 1, bytes: 6000 }).is_err() {
        settle(journal);
    }
    journal.stage(&record);
    journal.seal();
    if chance.one_in(3) {
        journal.submit();
        settle(journal);
    }
}

fn settle(journal: &mut Journal<FakeStorage>) {
    journal.storage_mut().settle();
    journal.poll().unwrap();
}

/// Follows to the end, and puts every group into a copy.
fn follow(tail: &mut Tail, journal: &mut Journal<FakeStorage>, copy: &mut Vec<u8>) -> (u32, u32) {
    let (mut groups, mut cold) = (0, 0);
    loop {
        match tail.next(journal) {
            TailStep::Group(group) => {
                groups += 1;
                assert!(group.start < group.written_end && group.written_end <= group.end);
                assert!(group.end <= journal.durable());
                let (from, to) = (group.start.0 as usize, group.written_end.0 as usize);
                copy.resize(copy.len().max(to), 0);
                copy[from..to].copy_from_slice(group.extent.bytes(group.start, to - from));
                let mut last = None;
                group.visit(journal, &mut |record, home| {
                    assert_eq!(body_crc(record.body), record.body_crc);
                    assert_eq!(record.body, group.extent.bytes(home.position, home.len as usize));
                    assert!(last.replace(home.ordinal).is_none_or(|last| last + 1 == home.ordinal));
                });
                assert!(last.is_some() || to - from <= 4096, "only a pad has no records");
            }
            TailStep::Cold => {
                cold += 1;
                settle(journal);
            }
            TailStep::CaughtUp => return (groups, cold),
            TailStep::Damaged(position) => panic!("damaged at {position}"),
        }
    }
}

#[test]
fn a_copy_made_by_a_tail_is_the_log() {
    let mut chance = Chance(1);
    let mut copy = Vec::new();
    let mut storage = FakeStorage::new(1 << 30);
    let mut tail = Tail::at(Position(0));
    for life in 0..4 {
        let mut journal = recover(storage);
        for _ in 0..100 {
            append(&mut journal, &mut chance);
            if life % 2 == 0 {
                follow(&mut tail, &mut journal, &mut copy);
            }
        }
        while journal.durable() < journal.appended() {
            journal.submit();
            settle(&mut journal);
        }
        if life == 3 {
            let (groups, cold) = follow(&mut tail, &mut journal, &mut copy);
            assert!(groups > 30 && cold > 2, "{groups} groups, {cold} cold");
            assert_eq!(tail.position().max(journal.durable()), journal.durable());
        }
        if life == 3 {
            storage = journal.into_storage();
            break;
        }
        // The life ends in the middle of a group: its first frame, a sector long, lands; its pad does not.
        while journal.reserve(Purpose::Create, Bound { records: 1, bytes: 6000 }).is_err() {
            settle(&mut journal);
        }
        for body in [&[1; 388], &[2; 6000][..]] {
            journal.reserve(Purpose::Create, Bound { records: 1, bytes: 6000 }).unwrap();
            journal.stage(&Record { kind: 1, flags: 0, sequence: 2, meta: &[], body, body_crc: body_crc(body) });
            journal.seal();
        }
        journal.submit();
        storage = journal.into_storage();
        let mut first = None;
        storage.crash(&mut |_, sector| {
            if sector == *first.get_or_insert(sector) { Fate::Kept } else { Fate::Lost }
        });
    }
    for number in storage.numbers() {
        let from = (number.0 * SEGMENT) as usize;
        let durable = storage.durable(number);
        for (index, block) in durable.chunks(4096).enumerate().skip(1) {
            let at = from + index * 4096;
            let copied = copy.get(at..at + 4096).unwrap_or(&[]);
            assert!(copied == block || block.iter().all(|byte| *byte == 0), "{number} at {}", index * 4096);
        }
    }
}
