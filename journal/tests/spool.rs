//! The spool, in memory and beyond.

use std::collections::VecDeque;
use std::sync::Arc;

use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::spill::Spillers;
use postrider_journal::storage::worker::Step;
use postrider_journal::testing::Chance;
use postrider_journal::{
    FileSpill, FileStorage, Generation, Home, Image, Lookup, Medium, Pressure, Read, Record, SegmentNumber, Spill,
    Spilled, Spool, SpoolConfig, body_crc,
};

const SEGMENT: u64 = 64 << 10;
const MILLI: u64 = 1_000_000;

/// A spill whose answers the test gives.
#[derive(Default)]
struct Scripted {
    asked: VecDeque<SegmentNumber>,
    answers: VecDeque<Spilled>,
    discarded: Vec<SegmentNumber>,
}

impl Spill for Scripted {
    fn spill(&mut self, segment: SegmentNumber, _: Arc<Image>, len: usize) {
        assert!(len.is_multiple_of(4096));
        self.asked.push_back(segment);
    }
    fn read(&mut self, _: Read) {}
    fn discard(&mut self, segment: SegmentNumber) {
        self.discarded.push(segment);
    }
    fn completed(&mut self) -> Option<Spilled> {
        self.answers.pop_front()
    }
    fn has_completed(&self) -> bool {
        !self.answers.is_empty()
    }
}

/// Answers all that was asked, well or with this error. Gives how many there were.
fn answer(spool: &mut Spool<Scripted>, error: Option<i32>, nanos: u64) -> usize {
    let spill = spool.spill_mut();
    let asked: Vec<SegmentNumber> = spill.asked.drain(..).collect();
    let result = || error.map_or(Ok(()), |number| Err(std::io::Error::from_raw_os_error(number)));
    spill.answers.extend(asked.iter().map(|segment| Spilled::Out { segment: *segment, result: result() }));
    spool.poll();
    spool.try_again(nanos);
    asked.len()
}

fn fill(spool: &mut Spool<Scripted>, segments: u64, first: u64) -> Vec<Home> {
    let body = vec![1; SEGMENT as usize - 64];
    let record = |sequence| Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc: body_crc(&body) };
    (first..first + segments).map(|sequence| spool.stage(&record(sequence), Generation::Young)).collect()
}

fn config() -> SpoolConfig {
    SpoolConfig {
        segment_bytes: SEGMENT,
        memory_bytes: 4 * SEGMENT,
        disk_bytes: 1 << 30,
        cold_bytes: 2 * SEGMENT,
        read_ahead: 8192,
        keys: 77,
    }
}

fn crc(sequence: u64) -> u32 {
    body_crc(&body(sequence))
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
    let Lookup::Memory(extent) = spool.extent(home.position, home.len, crc(5)) else { panic!("in memory") };
    assert_eq!(extent.bytes(home.position, home.len as usize), body(5));
}

#[test]
fn segments_are_freed_out_of_order_and_reused() {
    let mut spool = Spool::in_memory(config());
    let mut live = VecDeque::new();
    let kept = stage(&mut spool, 1, Generation::Young);
    for sequence in 2..3000 {
        live.push_back(stage(&mut spool, sequence, Generation::Young));
        if live.len() > 20 {
            let Home { segment, .. } = live.pop_front().unwrap();
            if segment != kept.segment && live.iter().all(|home: &Home| home.segment != segment) {
                spool.release(segment);
            }
        }
        assert!(spool.memory_bytes() <= 12 * SEGMENT, "{}", spool.memory_bytes());
    }
    assert_eq!(spool.bytes_of(kept.segment), SEGMENT);
    let Lookup::Memory(extent) = spool.extent(kept.position, kept.len, crc(1)) else { panic!("in memory") };
    assert_eq!(extent.bytes(kept.position, kept.len as usize), body(1));
    spool.release(kept.segment);
    assert!(matches!(spool.extent(kept.position, kept.len, crc(1)), Lookup::Damaged), "its segment is gone");
}

/// Images of segments that have gone are kept for the next ones, and are memory as well.
#[test]
fn what_is_kept_for_the_next_segments_stays_within_the_limit_too() {
    let mut spool = Spool::new(Scripted::default(), config());
    let homes = fill(&mut spool, 20, 0);
    let images: Vec<_> = homes
        .iter()
        .map(|home| {
            let Lookup::Memory(extent) = spool.extent(home.position, home.len, 0) else { panic!("in memory") };
            Arc::downgrade(&extent.image)
        })
        .collect();
    while answer(&mut spool, None, 0) > 0 {}
    let in_memory = spool.memory_bytes() / SEGMENT;
    let there = images.iter().filter(|image| image.strong_count() > 0).count() as u64;
    assert!(in_memory <= 4 && there > in_memory && there <= 4 + 4, "{in_memory} in memory, {there} images");
}

/// Images of large messages are of no use to a usual segment.
#[test]
fn what_is_kept_of_large_messages_stays_within_the_limit_when_small_ones_fill_the_memory() {
    let mut spool = Spool::new(Scripted::default(), config());
    let large = vec![1; 2 * SEGMENT as usize - 64];
    let mut images = Vec::new();
    let mut homes = Vec::new();
    for sequence in 0..4 {
        let record = Record { kind: 1, flags: 0, sequence, meta: &[], body: &large, body_crc: body_crc(&large) };
        let home = spool.stage(&record, Generation::Young);
        let Lookup::Memory(extent) = spool.extent(home.position, home.len, 0) else { panic!("in memory") };
        images.push((2, Arc::downgrade(&extent.image)));
        homes.push(home);
    }
    homes.iter().for_each(|home| spool.release(home.segment));
    let small = fill(&mut spool, 20, 10);
    for home in &small {
        let Lookup::Memory(extent) = spool.extent(home.position, home.len, 0) else { panic!("in memory") };
        images.push((1, Arc::downgrade(&extent.image)));
    }
    while answer(&mut spool, None, 0) > 0 {}
    let in_memory = spool.memory_bytes() / SEGMENT;
    let there: u64 = images.iter().filter(|(_, image)| image.strong_count() > 0).map(|(segments, _)| segments).sum();
    assert!(there <= 4 + 4, "{in_memory} segments in memory, images of {there}");
}

#[test]
fn whoever_waits_for_bytes_of_a_segment_that_goes_looks_again() {
    let mut spool = Spool::new(Scripted::default(), config());
    let homes = fill(&mut spool, 10, 0);
    assert!(answer(&mut spool, None, 0) > 0);
    let cold =
        |spool: &mut Spool<Scripted>, home: &Home| matches!(spool.extent(home.position, home.len, 0), Lookup::Cold);
    let [first, second] = homes[..2] else { panic!("ten were staged") };
    assert!(cold(&mut spool, &first) && cold(&mut spool, &second));
    spool.fetch(first.position, first.len);
    spool.release(second.segment);
    assert!(!spool.has_completed(), "nobody waits for that one");
    spool.release(first.segment);
    assert!(spool.has_completed(), "it is looked at once more");
    assert_eq!(spool.poll().fetched, 1);
    assert!(!spool.has_completed() && spool.poll().fetched == 0);
}

#[test]
fn an_open_segment_stays_when_its_last_record_goes() {
    let mut spool = Spool::in_memory(config());
    let first = stage(&mut spool, 1, Generation::Young);
    spool.release(first.segment);
    let second = stage(&mut spool, 2, Generation::Young);
    assert_eq!(first.segment, second.segment);
    let Lookup::Memory(extent) = spool.extent(second.position, second.len, crc(2)) else { panic!("in memory") };
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
    while spool.usage().pressure == Pressure::None {
        stage(&mut spool, sequence, Generation::Young);
        sequence += 1;
    }
    assert_eq!(spool.usage().pressure, Pressure::Full);
    assert_eq!(spool.memory_bytes(), 9 * SEGMENT);
}

#[test]
fn beyond_the_limit_segments_are_written_out_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        directory: directory.path().to_owned(),
        medium: Medium::Direct,
        waker: Arc::new(|| {}),
        min_free: 0,
    };
    let (storage, _workers) = FileStorage::open(options).unwrap();
    let (spill, mut workers) = FileSpill::beside(&storage, Arc::new(|| {}));
    let mut spool = Spool::new(spill, config());
    let mut homes: Vec<(u64, Home)> = (1..1500)
        .map(|sequence| {
            let home = stage(&mut spool, sequence, Generation::Young);
            while workers.step() == Step::Work {}
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
            match spool.extent(home.position, home.len, crc(sequence)) {
                Lookup::Memory(extent) | Lookup::Checked(extent) => break extent,
                Lookup::Cold => {
                    cold += 1;
                    spool.fetch(home.position, home.len);
                    while workers.step() == Step::Work {}
                    assert_eq!(spool.poll().fetched, 1);
                }
                Lookup::Damaged => panic!("{sequence} is damaged"),
            }
        };
        assert_eq!(extent.bytes(home.position, home.len as usize), body(sequence));
        if homes.iter().all(|(_, other)| other.segment != home.segment) {
            spool.release(home.segment);
        }
    }
    while workers.step() == Step::Work {}
    assert!(cold > 100, "{cold} cold reads");
    assert_eq!(spool.spilled_bytes(), 0);
    let left = std::fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("spill-"));
    assert_eq!(left.count(), 0);
}

#[test]
fn no_more_is_written_out_than_the_disk_budget_has_room_for() {
    let mut spool = Spool::new(Scripted::default(), SpoolConfig { disk_bytes: 5 * SEGMENT, ..config() });
    let homes = fill(&mut spool, 9, 0);
    assert_eq!(spool.usage().pressure, Pressure::Busy, "four are on their way");
    assert_eq!(answer(&mut spool, None, 0), 5);
    assert_eq!((spool.memory_bytes(), spool.spilled_bytes()), (4 * SEGMENT, 5 * SEGMENT));
    assert_eq!(spool.usage().pressure, Pressure::None);
    fill(&mut spool, 5, 9);
    assert_eq!((answer(&mut spool, None, 0), spool.usage().pressure), (0, Pressure::Full));
    let mut slow = Spool::new(Scripted::default(), config());
    fill(&mut slow, 20, 0);
    assert_eq!(slow.usage().pressure, Pressure::Busy);
    fill(&mut slow, 1, 20);
    assert_eq!((slow.usage().pressure, slow.memory_bytes()), (Pressure::Crowded, 21 * SEGMENT));
    // What is released from the disk makes room there, and then in memory.
    spool.release(homes[0].segment);
    assert_eq!(spool.spill_mut().discarded, [homes[0].segment]);
    spool.poll();
    assert_eq!(answer(&mut spool, None, 0), 1);
    assert_eq!((spool.spilled_bytes(), spool.usage().pressure), (5 * SEGMENT, Pressure::None));
}

#[test]
fn what_cannot_be_written_out_stays_and_is_tried_again_later_and_later() {
    let mut spool = Spool::new(Scripted::default(), config());
    fill(&mut spool, 8, 0);
    assert_eq!(answer(&mut spool, Some(28), 0), 4);
    let told = |spool: &mut Spool<Scripted>| spool.take_trouble().map(|trouble| trouble.to_string());
    let trouble = told(&mut spool).unwrap();
    assert!(trouble.contains("spill-0000000000000000") && trouble.contains("os error 28"), "{trouble}");
    assert!(told(&mut spool).is_none(), "once for all four");
    assert_eq!((spool.memory_bytes(), spool.spilled_bytes()), (8 * SEGMENT, 0));
    fill(&mut spool, 2, 8);
    assert_eq!(spool.usage().pressure, Pressure::Full, "nothing will make room by itself");
    for due in [10, 30, 70] {
        assert_eq!(spool.deadline(), Some(due * MILLI));
        spool.try_again(due * MILLI - 1);
        assert!(spool.spill_mut().asked.is_empty());
        spool.try_again(due * MILLI);
        assert_eq!(answer(&mut spool, Some(5), due * MILLI), 1, "one tells whether the others can go");
        let trouble = told(&mut spool);
        assert_eq!(trouble.is_some_and(|text| text.contains("os error 5")), due == 10, "another reason, once");
    }
    spool.try_again(150 * MILLI);
    assert_eq!(answer(&mut spool, None, 150 * MILLI), 1);
    assert_eq!(answer(&mut spool, None, 150 * MILLI), 5);
    assert_eq!((spool.memory_bytes(), spool.usage().pressure), (4 * SEGMENT, Pressure::None));
    assert!(spool.deadline().is_none() && told(&mut spool).is_none());
}

#[test]
fn a_segment_that_dies_on_its_way_out_leaves_no_file_and_no_bytes() {
    for error in [None, Some(28)] {
        let mut spool = Spool::new(Scripted::default(), config());
        let homes = fill(&mut spool, 6, 0);
        spool.release(homes[0].segment);
        assert_eq!(
            (spool.memory_bytes(), spool.spilled_bytes()),
            (5 * SEGMENT, 2 * SEGMENT),
            "its file is still written"
        );
        let on_its_way = answer(&mut spool, error, 0);
        assert_eq!(spool.spill_mut().discarded, [homes[0].segment]);
        let out = if error.is_none() { on_its_way as u64 - 1 } else { 0 };
        assert_eq!((spool.memory_bytes(), spool.spilled_bytes()), ((5 - out) * SEGMENT, out * SEGMENT));
        assert!(matches!(spool.extent(homes[0].position, homes[0].len, crc(0)), Lookup::Damaged), "it is gone");
        let Lookup::Memory(_) = spool.extent(homes[5].position, homes[5].len, crc(5)) else {
            panic!("the newest is in memory")
        };
    }
}

#[test]
fn a_large_body_leaves_memory_though_nothing_follows_it() {
    let mut spool = Spool::new(Scripted::default(), config());
    let body = vec![7; 9 * SEGMENT as usize];
    let record = Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &body, body_crc: body_crc(&body) };
    let home = spool.stage(&record, Generation::Young);
    assert_eq!(spool.usage().pressure, Pressure::Busy);
    spool.poll();
    assert_eq!(answer(&mut spool, None, 0), 1);
    assert_eq!((spool.memory_bytes(), spool.usage().eased), (0, true));
    spool.release(home.segment);
    assert_eq!(spool.spilled_bytes(), 0);
}

/// What is left of the disk is more than a segment, and less than any that waits: nothing will make room by itself.
#[test]
fn large_segments_that_do_not_fit_what_is_left_of_the_disk_are_no_sign_of_room() {
    let disk_bytes = SEGMENT + SEGMENT / 2;
    let mut spool = Spool::new(Scripted::default(), SpoolConfig { memory_bytes: 0, disk_bytes, ..config() });
    let body = vec![1; 2 * SEGMENT as usize - 64];
    let record = |sequence| Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc: body_crc(&body) };
    for sequence in 0..3 {
        spool.stage(&record(sequence), Generation::Young);
    }
    assert_eq!((answer(&mut spool, None, 0), spool.usage().pressure), (0, Pressure::Full));
    // One that fits goes out, as soon as it is written no more.
    let small = fill(&mut spool, 2, 3)[0];
    assert_eq!((answer(&mut spool, None, 0), spool.usage().pressure), (1, Pressure::Full));
    spool.release(small.segment);
    assert_eq!((spool.spilled_bytes(), spool.usage().pressure), (0, Pressure::Busy));
}

/// A spool of which only the newest segment is in memory, and its files.
fn written_out(records: u64, config: SpoolConfig) -> (tempfile::TempDir, Spool<FileSpill>, Spillers, Vec<(u64, Home)>) {
    let directory = tempfile::tempdir().unwrap();
    let (path, waker) = (directory.path().to_owned(), Arc::new(|| {}));
    let options = OpenOptions { directory: path, medium: Medium::Direct, waker: waker.clone(), min_free: 0 };
    let (storage, _workers) = FileStorage::open(options).unwrap();
    let (spill, mut workers) = FileSpill::beside(&storage, waker);
    let mut spool = Spool::new(spill, SpoolConfig { memory_bytes: 0, ..config });
    let homes = (1..records).map(|sequence| (sequence, stage(&mut spool, sequence, Generation::Young))).collect();
    while workers.step() == Step::Work || spool.has_completed() {
        spool.poll();
    }
    (directory, spool, workers, homes)
}

/// Reads records one after the other, and lets the disk work between two of them. How many were waited for.
fn waits(spool: &mut Spool<FileSpill>, workers: &mut Spillers, homes: &[(u64, Home)]) -> usize {
    let mut waits = 0;
    for (sequence, home) in homes {
        let extent = loop {
            match spool.extent(home.position, home.len, crc(*sequence)) {
                Lookup::Memory(extent) | Lookup::Checked(extent) => break extent,
                Lookup::Cold => {
                    waits += 1;
                    spool.fetch(home.position, home.len);
                    while workers.reader.step() == Step::Idle {}
                }
                Lookup::Damaged => panic!("{sequence} is damaged"),
            }
            spool.poll();
        };
        assert_eq!(extent.bytes(home.position, home.len as usize), body(*sequence));
        workers.reader.step();
        spool.poll();
    }
    waits
}

#[test]
fn who_reads_on_waits_for_no_more_than_the_first_windows() {
    let config = SpoolConfig { cold_bytes: 16 * SEGMENT, read_ahead: SEGMENT as u32, ..config() };
    let (_directory, mut spool, mut workers, homes) = written_out(1500, config);
    let segments = spool.spilled_bytes() / SEGMENT;
    let waits = waits(&mut spool, &mut workers, &homes);
    assert!(segments > 30 && waits <= 3, "{waits} waits for {segments} segments");
}

#[test]
fn windows_within_a_segment_are_read_ahead_with_what_stands_across_their_ends() {
    let config = SpoolConfig { cold_bytes: 16 * SEGMENT, read_ahead: 16384, ..config() };
    let (_directory, mut spool, mut workers, homes) = written_out(1500, config);
    let windows = spool.spilled_bytes() / 16384;
    let waits = waits(&mut spool, &mut workers, &homes);
    assert!(windows > 120 && waits <= windows as usize / 10, "{waits} waits for {windows} windows");
}

#[test]
fn who_jumps_about_gets_what_it_asks_for_alone() {
    let config = SpoolConfig { cold_bytes: 16 * SEGMENT, read_ahead: SEGMENT as u32, ..config() };
    let (_directory, mut spool, mut workers, homes) = written_out(1500, config);
    let mut last = u64::MAX;
    let scattered = homes.iter().rev().filter(|(_, home)| {
        let is_far = home.segment.0 + 1 < last;
        last = if is_far { home.segment.0 } else { last };
        is_far
    });
    let scattered: Vec<(u64, Home)> = scattered.copied().collect();
    let waits = waits(&mut spool, &mut workers, &scattered);
    assert!(scattered.len() > 15 && waits + 2 >= scattered.len(), "{waits} waits for {}", scattered.len());
    assert_eq!(workers.reader.step(), Step::Idle);
}

/// Each of many readers has its window, however many there are: windows become smaller instead of making room for one another before
/// they are read.
#[test]
fn readers_that_are_many_keep_their_windows() {
    let config = SpoolConfig { cold_bytes: 8 * SEGMENT, read_ahead: SEGMENT as u32, ..config() };
    let (_directory, mut spool, mut workers, homes) = written_out(4000, config);
    const READERS: usize = 24;
    let (each, mut count) = (homes.len() / READERS, 0);
    for place in 0..each {
        for reader in 0..READERS {
            count += waits(&mut spool, &mut workers, &homes[reader * each + place..][..1]);
        }
    }
    assert!(count <= homes.len() / 3, "{count} waits for {} records", homes.len());
}

/// Of many readers together no more is read ahead than half of the memory of windows: none loses what it has begun to another's.
#[test]
fn what_is_read_ahead_has_its_share_of_memory() {
    let config = SpoolConfig { cold_bytes: 8 * SEGMENT, read_ahead: SEGMENT as u32, ..config() };
    let (_directory, mut spool, mut workers, homes) = written_out(3000, config);
    let quarter = homes.len() / 4;
    let mut count = 0;
    for place in 0..quarter {
        for reader in 0..4 {
            count += waits(&mut spool, &mut workers, &homes[reader * quarter + place..][..1]);
        }
    }
    let segments = spool.spilled_bytes() / SEGMENT;
    assert!(segments > 60 && count <= 2 * segments as usize, "{count} waits for {segments} segments");
}

#[test]
fn images_of_large_messages_do_not_keep_usual_ones_from_being_kept() {
    let mut spool = Spool::new(Scripted::default(), SpoolConfig { memory_bytes: 64 * SEGMENT, ..config() });
    let large = vec![1; 2 * SEGMENT as usize - 64];
    let record = Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &large, body_crc: body_crc(&large) };
    let homes: Vec<_> = (0..18).map(|_| spool.stage(&record, Generation::Young)).collect();
    homes.iter().for_each(|home| spool.release(home.segment));
    let small = fill(&mut spool, 10, 20);
    let images = small.iter().map(|home| {
        let Lookup::Memory(extent) = spool.extent(home.position, home.len, 0) else { panic!("in memory") };
        Arc::downgrade(&extent.image)
    });
    let images: Vec<_> = images.collect();
    small.iter().take(9).for_each(|home| spool.release(home.segment));
    let kept = images.iter().take(9).filter(|image| image.strong_count() > 0).count();
    assert_eq!(kept, 9, "the next segments take what fits");
}
