//! Groups of records, on a simulated disk or in files.
#![allow(dead_code)]

use postrider_journal::storage::worker::{Step, Workers};
use postrider_journal::testing::{FakeStorage, Fate};
use postrider_journal::{
    Bound, Config, FileStorage, Home, Journal, OpenError, Position, Purpose, Record, SegmentNumber, body_crc, testing,
};

pub const SEGMENT: u64 = 64 << 10;
pub const FIRST: SegmentNumber = SegmentNumber(0);

pub fn config() -> Config {
    Config { segment_bytes: SEGMENT, disk_budget: Some(100 * SEGMENT), keys: 5, ..Config::default() }
}

/// A journal, and what its recovery visited.
pub type Recovered = (Journal<FakeStorage>, Vec<(u64, Home)>);

pub fn recover(storage: FakeStorage) -> Result<Recovered, OpenError> {
    let mut seen = Vec::new();
    let journal = testing::recover(storage, config(), &mut |record, home| {
        assert!(record.body == body(record.sequence) || cfg!(feature = "plant"));
        seen.push((record.sequence, home));
    })?;
    Ok((journal, seen))
}

pub fn body(sequence: u64) -> Vec<u8> {
    vec![sequence as u8; 100]
}

/// Appends a frame with the given sequences, and syncs it as a group.
pub fn append(journal: &mut Journal<FakeStorage>, sequences: std::ops::Range<u64>) -> Vec<Home> {
    let homes = stage(journal, sequences);
    write_group(journal);
    assert_eq!(journal.durable(), journal.appended());
    homes
}

/// Writes what one submit takes.
pub fn write_group(journal: &mut Journal<FakeStorage>) {
    journal.submit();
    journal.storage_mut().settle();
    journal.poll().unwrap();
}

/// Appends a frame with the given sequences, and leaves it to a later submit.
pub fn stage(journal: &mut Journal<FakeStorage>, sequences: std::ops::Range<u64>) -> Vec<Home> {
    let count = (sequences.end - sequences.start) as u32;
    let bound = Bound { records: count, bytes: u64::from(count) * 200 };
    while journal.reserve(Purpose::Create, bound).is_err() {
        journal.storage_mut().settle();
        journal.poll().unwrap();
    }
    let homes = sequences.map(|sequence| stage_one(journal, sequence)).collect();
    journal.seal();
    homes
}

/// Stages a record for which there is room.
pub fn stage_one(journal: &mut Journal<FakeStorage>, sequence: u64) -> Home {
    let body = body(sequence);
    journal.stage(&Record { kind: 1, flags: 0, sequence, meta: b"some meta", body: &body, body_crc: body_crc(&body) })
}

/// Appends records of 20,000 bytes to files, each a group of its own.
pub fn append_to_files(journal: &mut Journal<FileStorage>, workers: &mut Workers, sequences: std::ops::Range<u64>) {
    let body = [7; 20_000];
    for sequence in sequences {
        while journal.reserve(Purpose::Create, Bound { records: 1, bytes: body.len() as u64 }).is_err() {
            workers.step();
            journal.poll().unwrap();
        }
        let body_crc = body_crc(&body);
        journal.stage(&Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc });
        journal.seal();
        journal.submit();
        while workers.step() == Step::Work {
            journal.poll().unwrap();
        }
    }
}

/// Three groups of five records each.
pub fn written() -> (FakeStorage, Vec<Home>) {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let homes = (0..3).flat_map(|group| append(&mut journal, group * 5..group * 5 + 5)).collect();
    (journal.into_storage(), homes)
}

/// Whether what needs six segments of a budget of sixteen can still move, when nothing else finds room.
pub fn moves_from_oversize() -> bool {
    let config = Config { disk_budget: Some(16 * SEGMENT), ..config() };
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config, &mut |_, _| {}).unwrap();
    let large = vec![7; 5 * SEGMENT as usize];
    let small = [7; 30_000];
    let append = |journal: &mut Journal<FakeStorage>, purpose, body: &[u8]| {
        for _ in 0..4 {
            if journal.reserve(purpose, Bound { records: 1, bytes: body.len() as u64 }).is_ok() {
                let body_crc = body_crc(body);
                journal.stage(&Record { kind: 1, flags: 0, sequence: 0, meta: &[], body, body_crc });
                journal.seal();
                write_group(journal);
                return true;
            }
            write_group(journal);
        }
        false
    };
    assert!(append(&mut journal, Purpose::Create, &large));
    assert_eq!(journal.oversize().len(), 1);
    journal.keep_for_moves(Some(journal.oversize()[0].1));
    while append(&mut journal, Purpose::Create, &small) || append(&mut journal, Purpose::Settle, &small) {}
    append(&mut journal, Purpose::Move, &large)
}

/// Segments of a budget of sixteen that each purpose takes, one after the other, until there is no room for it.
pub fn taken_of_sixteen() -> [u64; 3] {
    let config = Config { disk_budget: Some(16 * SEGMENT), ..config() };
    let mut journal = testing::recover(FakeStorage::new(1 << 30), config, &mut |_, _| {}).unwrap();
    let body = [7; 30_000];
    let record = Record { kind: 1, flags: 0, sequence: 0, meta: &[], body: &body, body_crc: body_crc(&body) };
    let mut before = 0;
    Purpose::ALL.map(|purpose| {
        for _ in 0..100 {
            // A group is padded to a block: two of them are a segment.
            if journal.reserve(purpose, Bound { records: 1, bytes: body.len() as u64 }).is_ok() {
                journal.stage(&record);
                journal.seal();
            }
            write_group(&mut journal);
        }
        let taken = journal.appended().0.div_ceil(SEGMENT) - before;
        before += taken;
        taken
    })
}

pub fn offset(position: Position) -> usize {
    position.0 as usize
}

/// The frame's start: five bodies of 100 bytes behind headers of 20 follow it.
pub fn frame_of(home: Home) -> usize {
    offset(home.position) - 20 - 64
}

/// What is visited, and the damages, when a client's body holds a frame of its own, and the frame around it loses its header.
pub fn visit_forged() -> (Vec<u64>, u64) {
    // A client that knew the format, but not the segment's key, would write a frame with the checks of key 0.
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let homes = append(&mut journal, 0..5);
    append(&mut journal, 5..10);
    let mut storage = journal.into_storage();
    let place = offset(homes[2].position).next_multiple_of(8);
    storage.forge(FIRST, place, &forged_pad(place as u64));
    // The frame around it loses its header, so that recovery looks for the next one.
    storage.rot(FIRST, frame_of(homes[0]) + 10);
    let (journal, seen) = recover(storage).unwrap();
    (seen.iter().map(|(sequence, _)| *sequence).collect(), journal.recovery().damages)
}

/// What is visited when records move to the next segment, and only the group that closed theirs is written before a crash.
pub fn visit_unmoved() -> Vec<u64> {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    append(&mut journal, 0..5);
    let mut sequence = 5;
    // What follows them ends behind their segment, and with it a frame that may state the head.
    let moved = loop {
        let homes = stage(&mut journal, sequence..sequence + 5);
        sequence += 5;
        if homes[0].segment != FIRST {
            break homes[0].segment;
        }
    };
    journal.set_head(moved);
    write_group(&mut journal);
    assert!(journal.durable() < journal.appended(), "what moved is not durable");
    let mut storage = journal.into_storage();
    storage.crash(&mut |_, _| Fate::Lost);
    let (_, seen) = recover(storage).unwrap();
    seen.iter().take(5).map(|(sequence, _)| *sequence).collect()
}

/// What is visited, and the damages, when the last group of a log at rest is hit.
pub fn visit_rested() -> (Vec<u64>, u64) {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let homes: Vec<Home> = (0..3).flat_map(|group| append(&mut journal, group * 5..group * 5 + 5)).collect();
    rest(&mut journal);
    let mut storage = journal.into_storage();
    storage.rot(FIRST, offset(homes[11].position));
    let (journal, seen) = recover(storage).unwrap();
    (seen.iter().map(|(sequence, _)| *sequence).collect(), journal.recovery().damages)
}

/// Nothing is appended for a while.
pub fn rest(journal: &mut Journal<FakeStorage>) {
    journal.prove();
    journal.storage_mut().settle();
    journal.poll().unwrap();
}

/// A pad frame as the format has it, unseeded.
fn forged_pad(position: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(b"PRF1");
    bytes[8..16].copy_from_slice(&position.to_le_bytes());
    bytes[16] = 1;
    bytes[20] = 1;
    bytes[48] = 64;
    let mut check = crc32fast::Hasher::new_with_initial(0);
    check.update(&bytes[8..]);
    bytes[4..8].copy_from_slice(&check.finalize().to_le_bytes());
    bytes
}
