//! Whose a directory is, who may look into it, and what in it is ours.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::spill::FileSpill;
use postrider_journal::storage::worker::{Step, Workers};
use postrider_journal::testing::FakeStorage;
use postrider_journal::{Bound, Config, FileStorage, Medium, OpenError, Purpose, Record, body_crc, testing};

const SEGMENT: u64 = 256 << 10;

fn storage(directory: &Path) -> Result<FileStorage, OpenError> {
    let options =
        OpenOptions { directory: directory.to_owned(), medium: Medium::Direct, waker: Arc::new(|| {}), min_free: 0 };
    FileStorage::open(options).map(|(storage, _)| storage)
}

/// A life that fills some segments and gives the first ones back.
fn live(directory: &Path) {
    live_until(directory, u64::MAX);
}

/// The same, until the process is killed after so many operations of its workers. Whether it came to its end.
fn live_until(directory: &Path, operations: u64) -> bool {
    let mut left = operations;
    let options =
        OpenOptions { directory: directory.to_owned(), medium: Medium::Direct, waker: Arc::new(|| {}), min_free: 0 };
    let (storage, mut workers) = FileStorage::open(options).unwrap();
    drop(FileSpill::beside(&storage, Arc::new(|| {})));
    let config =
        Config { segment_bytes: SEGMENT, disk_budget: Some(64 << 20), spool_budget: Some(0), ..Config::default() };
    let mut journal = testing::recover(storage, config, &mut |_, _| {}).unwrap();
    let body = [7; 60_000];
    for sequence in 0..20 {
        while journal.reserve(Purpose::Create, Bound { records: 1, bytes: 60_000 }).is_err() {
            if !work(&mut workers, &mut left) {
                return false;
            }
            journal.poll().unwrap();
        }
        let body_crc = body_crc(&body);
        journal.stage(&Record { kind: 1, flags: 0, sequence, meta: &[], body: &body, body_crc });
        journal.seal();
        journal.submit();
        if !work(&mut workers, &mut left) {
            return false;
        }
        journal.poll().unwrap();
    }
    let head = journal.front().unwrap().0 + 3;
    journal.set_head(postrider_journal::SegmentNumber(head));
    for _ in 0..4 {
        journal.submit();
        if !work(&mut workers, &mut left) {
            return false;
        }
        journal.poll().unwrap();
    }
    journal.end().unwrap();
    true
}

/// Lets the workers do what there is, one operation at a time. Whether they may go on.
fn work(workers: &mut Workers, left: &mut u64) -> bool {
    while *left > 0 {
        *left -= 1;
        let each = [&mut workers.helper, &mut workers.flusher, &mut workers.reader];
        if each.into_iter().all(|worker| worker.step() == Step::Idle) {
            return true;
        }
    }
    false
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn files_of_others_are_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    live(directory.path());
    let others = [
        "new-contract.pdf",
        "spare-parts.txt",
        "spare-",
        "spill-over.log",
        "segment-1",
        "segment-000000000000000A",
        "segment-+00000000000000a",
        "new-+1",
    ];
    for name in others {
        std::fs::write(directory.path().join(name), name).unwrap();
    }
    live(directory.path());
    live(directory.path());
    for name in others {
        assert_eq!(std::fs::read(directory.path().join(name)).ok(), Some(name.as_bytes().to_vec()), "{name}");
    }
    assert!(names(directory.path()).iter().any(|name| name.starts_with("spare-") && name != "spare-parts.txt"));
}

#[test]
fn nobody_else_may_read_messages() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new").join("data");
    live(&directory);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for name in names(&directory) {
        assert_eq!(mode(&directory.join(&name)), 0o600, "{name}");
    }
    // A directory that was there keeps its mode.
    let other = parent.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
    live(&other);
    assert_eq!(mode(&other), 0o755);
}

#[test]
fn a_directory_has_one_owner_with_its_lock_removed_too() {
    let directory = tempfile::tempdir().unwrap();
    let owner = storage(directory.path()).unwrap();
    std::fs::remove_file(directory.path().join("lock")).unwrap();
    assert!(matches!(storage(directory.path()).err(), Some(OpenError::Locked(_))));
    drop(owner);
    assert!(storage(directory.path()).is_ok());
}

#[test]
fn a_kill_between_any_two_operations_leaves_a_directory_that_starts() {
    let mut operations = 0;
    loop {
        let directory = tempfile::tempdir().unwrap();
        live(directory.path());
        let whole = live_until(directory.path(), operations);
        live_until(directory.path(), 3 + operations % 5);
        live(directory.path());
        if whole {
            break;
        }
        operations += 1;
    }
    assert!(operations > 20, "{operations}");
}

#[test]
fn a_new_directory_on_a_small_budget_has_smaller_segments_and_on_a_tiny_one_none() {
    let made = |budget: u64| {
        let config = Config { disk_budget: Some(budget), ..Config::default() };
        testing::recover(FakeStorage::new(1 << 40), config, &mut |_, _| {})
    };
    for (budget, segment) in [(4 << 30, 64), (2 << 30, 64), (512 << 20, 16), (40 << 20, 1), (16 << 20, 1)] {
        let journal = made(budget).unwrap();
        assert_eq!(journal.segment_bytes(), segment << 20, "budget {budget}");
        // Later the directory's own size counts.
        let mut storage = journal.into_storage();
        storage.kill(&mut |_| true);
        let config = Config { segment_bytes: 256 << 20, disk_budget: Some(budget), ..Config::default() };
        let journal = testing::recover(storage, config, &mut |_, _| {}).unwrap();
        assert_eq!((journal.segment_bytes(), journal.recovery().segment_bytes), (segment << 20, segment << 20));
    }
    let error = made((16 << 20) - 1).err().unwrap();
    assert!(matches!(error, OpenError::SmallBudget { needed: 0x0100_0000, .. }), "{error}");
}

#[test]
fn an_epoch_table_that_is_given_up_again_is_kept_beside_the_first() {
    let directory = tempfile::tempdir().unwrap();
    live(directory.path());
    let file = |name: &str| directory.path().join(name);
    for damage in ["first", "second", "second"] {
        for slot in 0..2 {
            std::fs::write(file(&format!("epochs-{slot}")), damage).unwrap();
        }
        let config = Config { segment_bytes: SEGMENT, give_up: vec!["epochs-0".into()], ..Config::default() };
        let journal = testing::recover(storage(directory.path()).unwrap(), config, &mut |_, _| {}).unwrap();
        assert!(journal.recovery().table_rebuilt);
    }
    let kept = |name: &str| std::fs::read_to_string(file(name)).ok();
    assert_eq!(kept("given-up-epochs-0").as_deref(), Some("first"));
    assert_eq!(kept("given-up-epochs-0-1").as_deref(), Some("second"));
    assert_eq!(kept("given-up-epochs-0-2"), None, "the same is kept once");
}
