//! The spool, in memory and beyond.

use std::collections::VecDeque;
use std::sync::Arc;

use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::worker::Step;
use postrider_journal::testing::Chance;
use postrider_journal::{
    FileSpill, FileStorage, Generation, Home, Lookup, Medium, Record, Spill, Spool, SpoolConfig, body_crc,
};

const SEGMENT: u64 = 64 << 10;

fn config() -> SpoolConfig {
    SpoolConfig {
        segment_bytes: SEGMENT,
        memory_bytes: 4 * SEGMENT,
        cold_bytes: 2 * SEGMENT,
        read_ahead: 8192,
        keys: 77,
    }
}

fn body(sequence: u64) -> Vec<u8> {
    let len = if sequence.is_multiple_of(97) { SEGMENT as usize + 5 } else { (sequence * 37 % 3000) as usize };
    (0..len).map(|index| (sequence as usize * 13 + index) as u8).collect()
}

fn stage<P: Spill>(spool: &mut Spool<P>, sequence: u64, generation: Generation) -> Home {
    let body = body(sequence);
    let record = Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc: body_crc(&body) };
    spool.stage(&record, generation)
}

#[test]
fn a_record_is_readable_until_its_release() {
    let mut spool = Spool::in_memory(config());
    let home = stage(&mut spool, 5, Generation::Young);
    let Lookup::Memory(extent) = spool.extent(home.position, home.len) else { panic!("in memory") };
    assert_eq!(extent.bytes(home.position, home.len as usize), body(5));
    assert_eq!(spool.live(home.segment), 1);
}

#[test]
fn segments_are_freed_out_of_order_and_reused() {
    let mut spool = Spool::in_memory(config());
    let mut live = VecDeque::new();
    let kept = stage(&mut spool, 1, Generation::Young);
    for sequence in 2..3000 {
        live.push_back(stage(&mut spool, sequence, Generation::Young));
        if live.len() > 20 {
            let home = live.pop_front().unwrap();
            spool.release(home.segment);
        }
        assert!(spool.memory_bytes() <= 12 * SEGMENT, "{}", spool.memory_bytes());
    }
    assert_eq!(spool.sparsest().map(|(segment, live, _)| (segment, live)), Some((kept.segment, 1)));
    let Lookup::Memory(extent) = spool.extent(kept.position, kept.len) else { panic!("in memory") };
    assert_eq!(extent.bytes(kept.position, kept.len as usize), body(1));
    spool.release(kept.segment);
    assert!(matches!(spool.extent(kept.position, kept.len), Lookup::Damaged), "its segment is gone");
}

#[test]
fn an_open_segment_stays_when_its_last_record_goes() {
    let mut spool = Spool::in_memory(config());
    let first = stage(&mut spool, 1, Generation::Young);
    spool.release(first.segment);
    let second = stage(&mut spool, 2, Generation::Young);
    assert_eq!(first.segment, second.segment);
    let Lookup::Memory(extent) = spool.extent(second.position, second.len) else { panic!("in memory") };
    assert_eq!(extent.bytes(second.position, second.len as usize), body(2));
}

#[test]
fn survivors_do_not_share_a_segment_with_fresh_messages() {
    let mut spool = Spool::in_memory(config());
    let young = stage(&mut spool, 1, Generation::Young);
    let old = stage(&mut spool, 2, Generation::Old);
    assert_ne!(young.segment, old.segment);
    assert_eq!(stage(&mut spool, 3, Generation::Young).segment, young.segment);
}

#[test]
fn without_a_spill_there_is_no_room_beyond_the_limit() {
    let mut spool = Spool::in_memory(config());
    let mut sequence = 1;
    while spool.room() > 0 {
        stage(&mut spool, sequence, Generation::Young);
        sequence += 1;
    }
    assert!(spool.memory_bytes() >= 4 * SEGMENT);
}

#[test]
fn beyond_the_limit_segments_are_written_out_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("spill-0000000000000007"), "of an earlier life").unwrap();
    let options = OpenOptions {
        directory: directory.path().to_owned(),
        medium: Medium::Direct,
        waker: Arc::new(|| {}),
        min_free: 0,
    };
    let (storage, _workers) = FileStorage::open(options).unwrap();
    let (spill, mut worker) = FileSpill::beside(&storage, Arc::new(|| {})).unwrap();
    let mut spool = Spool::new(spill, config());
    let mut homes: Vec<(u64, Home)> = (1..1500)
        .map(|sequence| {
            let home = stage(&mut spool, sequence, Generation::Young);
            while worker.step() == Step::Work {}
            spool.poll();
            assert!(spool.memory_bytes() <= 7 * SEGMENT, "{}", spool.memory_bytes());
            (sequence, home)
        })
        .collect();
    assert!(spool.spilled_bytes() > 10 * SEGMENT);
    let mut chance = Chance(3);
    let mut cold = 0;
    while !homes.is_empty() {
        let (sequence, home) = homes.swap_remove(chance.below(homes.len() as u64) as usize);
        let extent = loop {
            match spool.extent(home.position, home.len) {
                Lookup::Memory(extent) | Lookup::Checked(extent) => break extent,
                Lookup::Cold => {
                    cold += 1;
                    spool.fetch(home.position, home.len);
                    while worker.step() == Step::Work {}
                    assert_eq!(spool.poll().fetched, 1);
                }
                Lookup::Damaged => panic!("{sequence} is damaged"),
            }
        };
        assert_eq!(extent.bytes(home.position, home.len as usize), body(sequence));
        spool.release(home.segment);
    }
    while worker.step() == Step::Work {}
    assert!(cold > 100, "{cold} cold reads");
    assert_eq!(spool.spilled_bytes(), 0);
    let left = std::fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("spill-"));
    assert_eq!(left.count(), 0);
}
