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
