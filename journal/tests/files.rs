//! Journals in real directories.

use std::path::Path;
use std::sync::Arc;

use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::worker::{Step, Workers};
use postrider_journal::{Bound, Config, FileStorage, Home, Journal, Medium, OpenError, Record, body_crc};

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
    let journal = Journal::recover(storage, config(), &mut |record, home| {
        assert_eq!(record.body_crc, body_crc(record.body));
        seen.push((record.sequence, record.meta.to_vec(), record.body.to_vec(), home));
    })?;
    Ok(Opened { journal, workers, seen })
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
        while self.journal.begin(bound).is_err() {
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
