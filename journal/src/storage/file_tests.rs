//! What a start holds in memory.

use super::*;
use crate::config::Config;
use crate::testing;

fn opened(directory: &Path) -> (FileStorage, Workers) {
    let options =
        OpenOptions { directory: directory.to_owned(), medium: Medium::Direct, waker: Arc::new(|| {}), min_free: 0 };
    FileStorage::open(options).unwrap()
}

#[test]
fn memory_that_is_taken_back_is_used_again_and_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (mut storage, _workers) = opened(directory.path());
    // Placeholders and segments of their own sizes, as many as there may be.
    for blocks in 1..100 {
        storage.unload(ImageWriter::anonymous(blocks * 4096).unwrap());
    }
    assert_eq!(storage.pool.len(), POOL);
    drop(storage.image(99 * 4096).unwrap());
    assert_eq!(storage.pool.len(), POOL - 1, "the last one is there for the next load");
}

#[test]
fn a_start_whose_life_begins_with_a_new_segment_keeps_no_memory_either() {
    let directory = tempfile::tempdir().unwrap();
    let (mut storage, _workers) = opened(directory.path());
    storage.unload(ImageWriter::anonymous(4096).unwrap());
    let config = Config { segment_bytes: 65_536, disk_budget: Some(64 << 20), ..Config::default() };
    let journal = testing::recover(storage, config, &mut |_, _| {}).unwrap();
    assert!(journal.active.is_none() && journal.storage.pool.is_empty());
}

/// Opening a pipe waits for whoever writes to it, and a start would for ever.
#[test]
fn what_has_a_segments_name_and_is_no_file_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let (mut storage, _workers) = opened(directory.path());
    let path = |number: u64| directory.path().join(SegmentNumber(number).file_name());
    rustix::fs::mkfifoat(rustix::fs::CWD, path(1), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("nowhere", path(2)).unwrap();
    std::fs::create_dir(path(3)).unwrap();
    let mut found = storage.segments().unwrap();
    found.sort_by_key(|segment| segment.number);
    let said: Vec<_> = found.into_iter().map(|segment| segment.unreadable.unwrap()).collect();
    assert_eq!(said.len(), 3);
    assert!(said[0].contains("no regular file") && said[2].contains("no regular file"), "{said:?}");
    rustix::fs::mkfifoat(rustix::fs::CWD, directory.path().join("epochs-1"), rustix::fs::Mode::RUSR).unwrap();
    assert!(storage.read_table(1).unwrap_err().to_string().contains("no regular file"));
}
