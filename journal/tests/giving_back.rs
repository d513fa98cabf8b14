//! Files that cannot be given back when they should: what is there stays a log that starts.

use std::path::Path;
use std::sync::Arc;

use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::worker::{Step, Workers};
use postrider_journal::{
    Bound, Config, FileStorage, Journal, Medium, OpenError, Purpose, Record, SegmentNumber, body_crc, testing,
};

const SEGMENT: u64 = 256 << 10;

struct Opened {
    journal: Journal<FileStorage>,
    workers: Workers,
    seen: Vec<u64>,
}

fn open(directory: &Path) -> Result<Opened, OpenError> {
    let (storage, workers) = FileStorage::open(OpenOptions {
        directory: directory.to_owned(),
        medium: Medium::Direct,
        waker: Arc::new(|| {}),
        min_free: 0,
    })?;
    let config = Config {
        segment_bytes: SEGMENT,
        disk_budget: Some(64 << 20),
        spool_budget: Some(0),
        prepared: 2,
        ..Config::default()
    };
    let mut seen = Vec::new();
    let journal = testing::recover(storage, config, &mut |record, _| seen.push(record.sequence))?;
    let mut opened = Opened { journal, workers, seen };
    opened.settle();
    Ok(opened)
}

impl Opened {
    fn settle(&mut self) {
        while self.workers.step() == Step::Work {
            self.journal.poll().expect("no sync fails");
        }
        self.journal.poll().expect("no sync fails");
    }

    /// Takes room for a body of so many bytes, if there is some after `seconds` of trying.
    fn take_room(&mut self, bytes: usize, seconds: u64) -> bool {
        for tenths in 0..10 * seconds {
            if self.journal.reserve(Purpose::Create, Bound { records: 1, bytes: bytes as u64 }).is_ok() {
                return true;
            }
            self.settle();
            self.journal.try_again(tenths * 100_000_000);
            self.settle();
        }
        false
    }

    fn append(&mut self, sequence: u64, bytes: usize) {
        assert!(self.take_room(bytes, 60));
        let body = vec![sequence as u8; bytes];
        self.journal.stage(&Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc: body_crc(&body) });
        self.journal.seal();
        self.journal.submit();
        self.settle();
    }

    fn troubles(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.journal.take_trouble()).map(|trouble| trouble.to_string()).collect()
    }
}

/// The names that files given back would get are taken, by directories; and are free again.
fn take_names(directory: &Path, taken: bool) {
    for number in 0..400 {
        let name = directory.join(format!("spare-{number}"));
        if taken && !name.exists() {
            std::fs::create_dir_all(name.join("full")).unwrap();
        } else if !taken && name.is_dir() {
            std::fs::remove_dir_all(name).unwrap();
        }
    }
}

/// What a process that is killed leaves.
fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn segments_that_stay_where_an_oversize_one_is_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path()).unwrap();
    opened.append(0, 1000);
    take_names(directory.path(), true);
    // Both segments that are ready have to make way for it.
    assert!(!opened.take_room(SEGMENT as usize, 1));
    let troubles = opened.troubles().join("\n");
    assert!(troubles.contains("segment-0000000000000002 is not needed and cannot be given back"), "{troubles}");
    assert!(troubles.contains("segment-0000000000000001 of 524288 bytes cannot be made ready"), "{troubles}");
    assert_eq!(open(copy_of(directory.path()).path()).unwrap().seen, [0], "killed then");
    take_names(directory.path(), false);
    opened.append(1, SEGMENT as usize);
    for sequence in 2..8 {
        opened.append(sequence, 100_000);
    }
    drop(opened);
    assert_eq!(open(directory.path()).unwrap().seen, (0..8).collect::<Vec<_>>());
}

#[test]
fn segments_before_the_head_go_when_they_can() {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = open(directory.path()).unwrap();
    (0..20).for_each(|sequence| opened.append(sequence, 60_000));
    take_names(directory.path(), true);
    opened.journal.set_head(SegmentNumber(1));
    opened.append(20, 1000);
    assert_eq!(opened.journal.front(), Some(SegmentNumber(1)));
    let file = |number: u64| directory.path().join(format!("segment-{number:016x}"));
    assert!(file(0).exists());
    assert!(opened.troubles()[0].starts_with("segment-0000000000000000 is not needed and cannot be given back"));
    assert_eq!(open(copy_of(directory.path()).path()).unwrap().journal.front(), Some(SegmentNumber(1)));
    opened.journal.set_head(SegmentNumber(2));
    opened.append(21, 1000);
    take_names(directory.path(), false);
    assert!(file(0).exists() && file(1).exists());
    assert!(opened.troubles().is_empty(), "told once");
    opened.journal.set_head(SegmentNumber(3));
    opened.append(22, 1000);
    assert!(!file(0).exists() && !file(1).exists() && !file(2).exists());
}

/// The control: with the bug planted the test is red.
#[cfg(feature = "plant")]
#[test]
fn planted_bugs_are_seen() {
    let tests: &[(&str, fn())] = &[
        ("stays-forgotten", segments_that_stay_where_an_oversize_one_is_to_be),
        ("stays-forgotten", segments_before_the_head_go_when_they_can),
    ];
    for (name, test) in tests {
        postrider_journal::plant::set(name);
        let seen = std::panic::catch_unwind(test).is_err();
        postrider_journal::plant::set("");
        assert!(seen, "{name}");
    }
}
