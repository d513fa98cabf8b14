//! Journals in real directories.

use std::path::Path;
use std::sync::Arc;

use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::worker::{Step, Workers};
use postrider_journal::{
    Bound, Config, FileStorage, Home, Journal, Lookup, Medium, OpenError, Purpose, Record, SegmentNumber, body_crc,
    testing,
};

const SEGMENT: u64 = 256 << 10;

struct Opened {
    journal: Journal<FileStorage>,
    workers: Workers,
    seen: Vec<(u64, Vec<u8>, Vec<u8>, Home)>,
}

fn config() -> Config {
    Config {
        segment_bytes: SEGMENT,
        hot_bytes: 2 * SEGMENT,
        cold_bytes: SEGMENT,
        read_ahead: 16 << 10,
        disk_budget: Some(64 << 20),
        spool_budget: Some(0),
        ..Config::default()
    }
}

fn storage(directory: &Path, medium: Medium) -> Result<(FileStorage, Workers), OpenError> {
    let waker = Arc::new(|| {});
    FileStorage::open(OpenOptions { directory: directory.to_owned(), medium, waker, min_free: 0 })
}

fn open(directory: &Path, medium: Medium) -> Result<Opened, OpenError> {
    let (storage, workers) = storage(directory, medium)?;
    let mut seen = Vec::new();
    let journal = testing::recover(storage, config(), &mut |record, home| {
        assert_eq!(record.body_crc, body_crc(record.body));
        seen.push((record.sequence, record.meta.to_vec(), record.body.to_vec(), home));
    })?;
    Ok(Opened { journal, workers, seen })
}

fn crc(sequence: u64) -> u32 {
    body_crc(&body(sequence))
}

fn body(sequence: u64) -> Vec<u8> {
    (0..1000 + sequence % 7).map(|index| (sequence * 31 + index) as u8).collect()
}

impl Opened {
    fn settle(&mut self) {
        loop {
            let step = self.workers.step();
            let progress = self.journal.poll().expect("no sync fails");
            if step == Step::Idle && progress == Default::default() {
                return;
            }
        }
    }

    fn append(&mut self, sequence: u64, body: &[u8]) -> Home {
        let bound = Bound { records: 1, bytes: body.len() as u64 + 8 };
        while self.journal.reserve(Purpose::Create, bound).is_err() {
            self.workers.step();
            self.journal.poll().expect("no sync fails");
        }
        let meta = sequence.to_le_bytes();
        let record = Record { kind: 1, flags: 2, sequence, meta: &meta, body, body_crc: body_crc(body) };
        let home = self.journal.stage(&record);
        self.journal.seal();
        home
    }

    fn sync(&mut self) {
        while self.journal.durable() < self.journal.appended() {
            self.journal.submit();
            self.settle();
        }
    }
}

fn append_and_recover(medium: Medium) {
    let directory = tempfile::tempdir().unwrap();
    let mut homes = Vec::new();
    for life in 0..4u64 {
        let mut opened = open(directory.path(), medium).unwrap();
        assert!(opened.journal.recovery().damage.is_empty(), "{:?}", opened.journal.recovery());
        assert_eq!(opened.seen.len(), homes.len());
        for (sequence, seen) in opened.seen.iter().enumerate() {
            let expected = (sequence as u64, (sequence as u64).to_le_bytes().to_vec(), body(sequence as u64));
            assert_eq!((seen.0, seen.1.clone(), seen.2.clone()), expected);
            assert_eq!(seen.3, homes[sequence]);
        }
        for sequence in life * 500..(life + 1) * 500 {
            homes.push(opened.append(sequence, &body(sequence)));
            if sequence % 10 == 0 {
                opened.sync();
            }
        }
        opened.sync();
    }
}

#[test]
fn what_is_appended_directly_is_recovered() {
    append_and_recover(Medium::Direct);
}

#[test]
fn what_is_appended_through_a_mapping_is_recovered() {
    append_and_recover(Medium::Mapped);
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path(), Medium::Direct).unwrap();
    let error = open(directory.path(), Medium::Direct).err().unwrap();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    drop(opened);
    assert!(open(directory.path(), Medium::Direct).is_ok());
}

#[test]
fn cold_records_come_back_from_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path(), Medium::Direct).unwrap();
    let homes: Vec<Home> = (0..2000).map(|sequence| opened.append(sequence, &body(sequence))).collect();
    opened.sync();
    let mut cold = 0;
    for (sequence, home) in homes.iter().enumerate().step_by(37) {
        let extent = loop {
            match opened.journal.extent(home.position, home.len, crc(sequence as u64)) {
                Lookup::Memory(extent) | Lookup::Checked(extent) => break extent,
                Lookup::Damaged => panic!("{sequence} is damaged"),
                Lookup::Cold => {
                    cold += 1;
                    opened.journal.fetch(home.position, home.len);
                    opened.settle();
                }
            }
        };
        assert_eq!(extent.bytes(home.position, home.len as usize), body(sequence as u64));
    }
    assert!(cold > 10, "{cold} cold reads");
}

#[test]
fn a_cold_record_that_rotted_is_not_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path(), Medium::Direct).unwrap();
    let homes: Vec<Home> = (0..2000).map(|sequence| opened.append(sequence, &body(sequence))).collect();
    opened.sync();
    let file = std::fs::File::options().write(true).open(directory.path().join("segment-0000000000000000")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"rot", homes[5].position.0 + 100).unwrap();
    file.sync_all().unwrap();
    assert!(matches!(opened.journal.extent(homes[5].position, homes[5].len, crc(5)), Lookup::Cold));
    opened.journal.fetch(homes[5].position, homes[5].len);
    opened.settle();
    assert!(matches!(opened.journal.extent(homes[5].position, homes[5].len, crc(5)), Lookup::Damaged));
    assert!(matches!(opened.journal.extent(homes[6].position, homes[6].len, crc(6)), Lookup::Checked(_)));
}

fn files_stay_open(medium: Medium) {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path(), medium).unwrap();
    let homes: Vec<Home> = (0..2000).map(|sequence| opened.append(sequence, &body(sequence))).collect();
    opened.sync();
    drop(opened);
    let mut opened = open(directory.path(), medium).unwrap();
    let named = |name: &str| directory.path().join(name);
    std::fs::rename(named("segment-0000000000000000"), named("between")).unwrap();
    std::fs::rename(named("segment-0000000000000001"), named("segment-0000000000000000")).unwrap();
    std::fs::rename(named("between"), named("segment-0000000000000001")).unwrap();
    for (sequence, home) in homes.iter().enumerate().step_by(50).take(8) {
        opened.journal.fetch(home.position, home.len);
        opened.settle();
        let Lookup::Checked(extent) = opened.journal.extent(home.position, home.len, crc(sequence as u64)) else {
            panic!("{sequence} is not there");
        };
        assert_eq!(extent.bytes(home.position, home.len as usize), body(sequence as u64));
    }
}

#[test]
fn files_that_a_start_has_read_stay_open_whatever_becomes_of_their_names() {
    files_stay_open(Medium::Direct);
    files_stay_open(Medium::Mapped);
}

fn oversize(medium: Medium) {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path(), medium).unwrap();
    opened.append(0, &body(0));
    let large: Vec<u8> = (0..SEGMENT as usize * 2).map(|index| index as u8).collect();
    opened.append(1, &large);
    opened.append(2, &body(2));
    opened.sync();
    drop(opened);
    let opened = open(directory.path(), medium).unwrap();
    assert_eq!(opened.seen.iter().map(|(sequence, ..)| *sequence).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(opened.seen[1].2 == large);
    assert!(opened.journal.recovery().damage.is_empty());
}

#[test]
fn a_body_larger_than_a_segment_gets_one_of_its_own() {
    oversize(Medium::Direct);
    oversize(Medium::Mapped);
}

fn recycle(medium: Medium) {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path(), medium).unwrap();
    for sequence in 0..4000 {
        let home = opened.append(sequence, &body(sequence));
        if sequence % 100 == 0 {
            opened.sync();
            if home.segment.0 > 1 {
                opened.journal.set_head(SegmentNumber(home.segment.0 - 1));
            }
        }
    }
    opened.sync();
    assert!(opened.journal.statistics().recycled > 10);
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert!(files < 12, "{files} files");
    let front = opened.journal.front().unwrap();
    drop(opened);
    let opened = open(directory.path(), medium).unwrap();
    assert_eq!(opened.journal.front(), Some(front));
    let first = opened.seen[0].0;
    assert!(opened.seen.iter().map(|(sequence, ..)| *sequence).eq(first..4000));
}

#[test]
fn recycled_files_are_used_again() {
    recycle(Medium::Direct);
    recycle(Medium::Mapped);
}

#[test]
fn a_process_that_ends_loses_nothing_that_was_durable() {
    let directory = tempfile::tempdir().unwrap();
    for medium in [Medium::Mapped, Medium::Direct, Medium::Mapped] {
        let mut opened = open(directory.path(), medium).unwrap();
        let next = opened.seen.len() as u64;
        assert!(opened.seen.iter().map(|(sequence, ..)| *sequence).eq(0..next));
        for sequence in next..next + 50 {
            opened.append(sequence, &body(sequence));
        }
        opened.sync();
        // A write that was handed over, and answered or not, may be there or not.
        opened.append(next + 50, &body(next + 50));
        opened.journal.submit();
        opened.workers.step();
        drop(opened);
    }
}

#[test]
fn the_workers_end_with_the_storage() {
    let directory = tempfile::tempdir().unwrap();
    let Opened { mut journal, workers, .. } = open(directory.path(), Medium::Direct).unwrap();
    let threads = workers.spawn().unwrap();
    let bytes = body(1);
    while journal.reserve(Purpose::Create, Bound { records: 1, bytes: 2000 }).is_err() {
        journal.poll().unwrap();
        std::thread::yield_now();
    }
    journal.stage(&Record { kind: 1, flags: 0, sequence: 1, meta: &[], body: &bytes, body_crc: body_crc(&bytes) });
    let end = journal.seal();
    while journal.durable() < end {
        journal.submit();
        journal.poll().unwrap();
        std::thread::yield_now();
    }
    drop(journal);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Every file and its bytes.
fn contents(directory: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    std::fs::read_dir(directory).unwrap().map(read).collect()
}

/// Where the check of an epoch table stands, in every version.
const CRC: usize = 36;

#[test]
fn a_newer_format_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path(), Medium::Direct).unwrap();
    opened.append(0, &body(0));
    opened.sync();
    drop(opened);
    for slot in 0..2 {
        let path = directory.path().join(format!("epochs-{slot}"));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8] = 3;
        let crc = crc32fast::hash(&[&bytes[..CRC], &bytes[CRC + 4..]].concat());
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
    }
    let before = contents(directory.path());
    let error = open(directory.path(), Medium::Direct).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 3, known: 2, .. }), "{error}");
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn a_full_medium_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        directory: directory.path().to_owned(),
        medium: Medium::Direct,
        waker: Arc::new(|| {}),
        min_free: u64::MAX,
    };
    let error = FileStorage::open(options).err().unwrap();
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    // A place where not even root may make a file.
    let error = storage(Path::new("/sys/postrider-journal"), Medium::Direct).err().unwrap();
    assert!(matches!(error, OpenError::ReadOnly(_)), "{error}");
}
