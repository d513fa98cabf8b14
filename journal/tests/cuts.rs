//! Starts that end between any two operations on their files: what they leave starts, or is refused with a remedy that can be done.

mod groups;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use groups::{SEGMENT, append_to_files};
use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::worker::Workers;
use postrider_journal::testing::{cut_after, with_links};
use postrider_journal::{Config, FileStorage, Journal, Medium, OpenError, testing};

type Opened = (Journal<FileStorage>, Workers, Vec<u64>);

/// What a start found, and whether it says that something is lost.
type Outcome = (Vec<u64>, bool);

fn open(directory: &Path, give_up: &[String]) -> Result<Opened, OpenError> {
    let waker = Arc::new(|| {});
    let options = OpenOptions { directory: directory.to_owned(), medium: Medium::Direct, waker, min_free: 0 };
    let (storage, workers) = FileStorage::open(options)?;
    let (disk_budget, spool_budget) = (Some(64 << 20), Some(0));
    let config =
        Config { segment_bytes: SEGMENT, disk_budget, spool_budget, give_up: give_up.to_vec(), ..Config::default() };
    let mut seen = Vec::new();
    let journal = testing::recover(storage, config, &mut |record, _| seen.push(record.sequence))?;
    Ok((journal, workers, seen))
}

/// Two lives of some segments, killed.
fn log(directory: &Path) {
    for life in 0..2 {
        let (mut journal, mut workers, _) = open(directory, &[]).unwrap();
        append_to_files(&mut journal, &mut workers, life * 10..life * 10 + 10);
    }
}

fn segment(number: u64) -> String {
    format!("segment-{number:016x}")
}

/// A damage that is done to a directory.
type Harm = fn(&Path);

fn swapped(directory: &Path) {
    let path = |name: &str| directory.join(name);
    std::fs::rename(path(&segment(1)), path("between")).unwrap();
    std::fs::rename(path(&segment(2)), path(&segment(1))).unwrap();
    std::fs::rename(path("between"), path(&segment(2))).unwrap();
}

fn missing(directory: &Path) {
    (1..4).for_each(|number| std::fs::remove_file(directory.join(segment(number))).unwrap());
}

fn stranger(directory: &Path) {
    std::fs::copy(directory.join(segment(1)), directory.join(segment(0x100))).unwrap();
}

fn partly_older(directory: &Path) {
    let file = std::fs::File::options().write(true).open(directory.join(segment(1))).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 24_576], 4096).unwrap();
}

fn no_table(directory: &Path) {
    std::fs::remove_file(directory.join("epochs-0")).unwrap();
    std::fs::write(directory.join("epochs-1"), b"no table").unwrap();
}

fn torn(directory: &Path) {
    let last = (0..20).rev().map(segment).find(|name| {
        std::fs::read(directory.join(name)).is_ok_and(|bytes| bytes[4096..].iter().any(|byte| *byte != 0))
    });
    let path = directory.join(last.unwrap());
    let bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"torn", end as u64 / 4096 * 4096 - 8192).unwrap();
}

/// The last file, which nothing was written to.
fn shorter_ready(directory: &Path) {
    let last = (0..20).rev().map(|number| directory.join(segment(number))).find(|path| path.exists()).unwrap();
    assert!(std::fs::read(&last).unwrap()[4096..].iter().all(|byte| *byte == 0));
    std::fs::File::options().write(true).open(last).unwrap().set_len(SEGMENT - 4096).unwrap();
}

fn everything(directory: &Path) {
    missing(directory);
    stranger(&{
        std::fs::copy(directory.join(segment(0)), directory.join(segment(0x101))).unwrap();
        std::fs::copy(directory.join(segment(0)), directory.join(segment(1))).unwrap();
        directory.to_owned()
    });
    no_table(directory);
}

/// The names that a refusal says may be given up.
fn named(error: &OpenError) -> Option<String> {
    let text = error.to_string();
    let (_, name) = text.split_once("--give-up ")?;
    Some(name.split('`').next().unwrap_or_default().to_owned())
}

/// Starts until nothing more has to be given up: what that was, and what was there.
fn started(directory: &Path, mut given_up: Vec<String>) -> (BTreeSet<String>, Outcome) {
    for _ in 0..10 {
        match open(directory, &given_up) {
            Ok((journal, _, seen)) => {
                let losses = journal.recovery().losses() > 0;
                return (given_up.into_iter().collect(), (seen, losses));
            }
            Err(error) => {
                let name = named(&error).unwrap_or_else(|| panic!("a refusal without a remedy: {error}"));
                assert!(!given_up.contains(&name), "{name} is given up in vain: {error}");
                given_up.push(name);
            }
        }
    }
    panic!("refused again and again: {given_up:?}");
}

fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Cuts the start on a harmed directory at each of its operations. How many these are.
fn cut_everywhere(harm: Harm) -> u32 {
    let harmed = tempfile::tempdir().unwrap();
    log(harmed.path());
    harm(harmed.path());
    let uncut = copy_of(harmed.path());
    let (names, expected) = started(uncut.path(), Vec::new());
    let names: Vec<String> = names.into_iter().collect();
    for operations in 0.. {
        let directory = copy_of(harmed.path());
        cut_after(Some(operations));
        let answer = open(directory.path(), &names).map(drop);
        cut_after(None);
        // Whoever starts next knows of the losses, however far the start before it has come.
        let again = copy_of(directory.path());
        assert_eq!(started(again.path(), names.clone()).1, expected, "the same again, {operations}");
        assert_eq!(started(directory.path(), Vec::new()).1, expected, "without giving up, {operations}");
        if answer.is_ok() {
            return operations;
        }
    }
    unreachable!("a start has an end")
}

#[test]
fn swapped_files() {
    assert!(cut_everywhere(swapped) > 15);
}

#[test]
fn missing_files() {
    assert!(cut_everywhere(missing) > 15);
}

#[test]
fn a_file_that_is_not_of_the_log() {
    assert!(cut_everywhere(stranger) > 10);
}

#[test]
fn a_file_that_is_older_in_part() {
    assert!(cut_everywhere(partly_older) > 10);
}

#[test]
fn a_bad_file_that_was_ready() {
    assert!(cut_everywhere(shorter_ready) > 10);
}

#[test]
fn no_epoch_table() {
    assert!(cut_everywhere(no_table) > 10);
}

#[test]
fn a_torn_end() {
    assert!(cut_everywhere(torn) > 10);
}

#[test]
fn all_of_it() {
    assert!(cut_everywhere(everything) > 30);
}

#[test]
fn files_that_cannot_have_two_names() {
    with_links(false);
    assert!(cut_everywhere(swapped) > 20);
    let directory = tempfile::tempdir().unwrap();
    log(directory.path());
    let held = [1, 2].map(|number| std::fs::read(directory.path().join(segment(number))).unwrap());
    swapped(directory.path());
    std::fs::write(directory.path().join(format!("given-up-{}", segment(1))), b"of somebody").unwrap();
    started(directory.path(), Vec::new());
    let kept = |name: String| std::fs::read(directory.path().join(format!("given-up-{name}"))).unwrap();
    assert!(kept(segment(2)) == held[0] && kept(format!("{}-1", segment(1))) == held[1]);
    assert_eq!(kept(segment(1)), b"of somebody");
    with_links(true);
}
