//! The spool's files in a real directory: what cannot be written stays, what cannot be read is waited for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::spill::Spillers;
use postrider_journal::storage::worker::Step;
use postrider_journal::{
    FileSpill, FileStorage, Generation, Home, Lookup, Medium, Record, Spool, SpoolConfig, body_crc,
};

const SEGMENT: u64 = 64 << 10;
const MILLI: u64 = 1_000_000;
const BODY: usize = 1000;

struct Files {
    directory: tempfile::TempDir,
    _storage: FileStorage,
    workers: Spillers,
    spool: Spool<FileSpill>,
    homes: Vec<Home>,
}

fn body(sequence: usize) -> Vec<u8> {
    (0..BODY).map(|index| (sequence * 31 + index) as u8).collect()
}

/// A spool that wants to write all but its newest segment out.
fn spool() -> Files {
    let directory = tempfile::tempdir().unwrap();
    let waker = Arc::new(|| {});
    let path = directory.path().to_owned();
    let options = OpenOptions { directory: path, medium: Medium::Direct, waker: waker.clone(), min_free: 0 };
    let (storage, _) = FileStorage::open(options).unwrap();
    let (spill, workers) = FileSpill::beside(&storage, waker);
    let config = SpoolConfig {
        segment_bytes: SEGMENT,
        memory_bytes: 0,
        disk_bytes: 1 << 30,
        cold_bytes: SEGMENT,
        read_ahead: 8192,
        keys: 77,
    };
    Files { directory, _storage: storage, workers, spool: Spool::new(spill, config), homes: Vec::new() }
}

impl Files {
    fn path(&self, segment: u64) -> PathBuf {
        self.directory.path().join(format!("spill-{segment:016x}"))
    }

    fn stage(&mut self, count: usize) {
        for sequence in self.homes.len()..self.homes.len() + count {
            let body = body(sequence);
            let record = Record { kind: 1, flags: 0, sequence: 7, meta: &[], body: &body, body_crc: body_crc(&body) };
            self.homes.push(self.spool.stage(&record, Generation::Young));
        }
    }

    fn settle(&mut self) {
        while self.workers.step() == Step::Work || self.spool.has_completed() {
            self.spool.poll();
        }
    }

    /// A second goes by.
    fn wait(&mut self, from: u64) {
        for now in from..from + 1000 {
            self.spool.try_again(now * MILLI);
            self.settle();
        }
    }

    fn lookup(&mut self, sequence: usize) -> Lookup {
        let home = self.homes[sequence];
        self.spool.extent(home.position, home.len, body_crc(&body(sequence)))
    }

    /// How many records are not there as they were, all that is to be fetched fetched.
    fn missing(&mut self) -> usize {
        let mut missing = 0;
        for sequence in 0..self.homes.len() {
            let home = self.homes[sequence];
            if matches!(self.lookup(sequence), Lookup::Cold) {
                self.spool.fetch(home.position, home.len);
                self.settle();
            }
            let there = self.lookup(sequence).extent();
            missing += usize::from(there.is_none_or(|extent| extent.bytes(home.position, BODY) != body(sequence)));
        }
        missing
    }
}

/// A file that cannot be made, as something else is in its place.
fn obstruct(path: &Path) {
    std::fs::create_dir(path).unwrap();
    std::fs::write(path.join("somebody else's"), "file").unwrap();
}

/// Records that are not there while the first segment cannot be written, and after it could.
fn unwritable() -> (usize, usize) {
    let mut files = spool();
    let first = files.path(0);
    obstruct(&first);
    files.stage(300);
    files.settle();
    files.wait(0);
    let meanwhile = files.missing();
    std::fs::remove_dir_all(&first).unwrap();
    for second in 1..8 {
        files.wait(second * 1000);
    }
    (meanwhile, files.missing())
}

/// Records that are damaged while the file of the first segment has lost its end, and those that are not there once it has it again.
fn unreadable() -> (usize, usize) {
    let mut files = spool();
    files.stage(300);
    files.settle();
    let first = files.path(0);
    let bytes = std::fs::read(&first).unwrap();
    std::fs::File::options().write(true).open(&first).unwrap().set_len(4096).unwrap();
    let mut damaged = 0;
    for sequence in 0..60 {
        let home = files.homes[sequence];
        files.spool.fetch(home.position, home.len);
        files.settle();
        damaged += usize::from(matches!(files.lookup(sequence), Lookup::Damaged));
    }
    std::fs::write(&first, bytes).unwrap();
    for second in 1..8 {
        files.wait(second * 1000);
    }
    (damaged, files.missing())
}

#[test]
fn what_cannot_be_written_out_stays_in_memory_and_goes_out_later() {
    assert_eq!(unwritable(), (0, 0));
}

#[test]
fn what_cannot_be_read_back_is_no_damage() {
    assert_eq!(unreadable(), (0, 0));
}

/// The controls: who believes that it was written, and who takes what cannot be read for zeros, loses records.
#[cfg(feature = "plant")]
#[test]
fn who_does_not_look_at_errors_loses_records() {
    use postrider_journal::plant;
    plant::set("spill-failure-unseen");
    let (meanwhile, later) = unwritable();
    plant::set("unreadable-is-zeros");
    let (damaged, _) = unreadable();
    plant::set("");
    assert!(meanwhile > 0 && later > 0 && damaged > 0, "{meanwhile}, {later}, {damaged}");
}
