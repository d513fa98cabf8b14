//! What a start holds in memory.

use super::*;

#[test]
fn memory_that_is_taken_back_is_used_again_and_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        directory: directory.path().to_owned(),
        medium: Medium::Direct,
        waker: Arc::new(|| {}),
        min_free: 0,
    };
    let (mut storage, _workers) = FileStorage::open(options).unwrap();
    // Placeholders and segments of their own sizes, as many as there may be.
    for blocks in 1..100 {
        storage.unload(ImageWriter::anonymous(blocks * 4096).unwrap());
    }
    assert_eq!(storage.pool.len(), POOL);
    drop(storage.image(99 * 4096).unwrap());
    assert_eq!(storage.pool.len(), POOL - 1, "the last one is there for the next load");
}
