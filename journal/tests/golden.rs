//! Directories that were written once and are kept: one of this format opens, and holds what it held; those of other formats are refused,
//! and nothing in them is touched.
//!
//! `cargo test -p postrider-journal --test golden -- --ignored` writes those of this format anew. The one of format 1 was written by a
//! version from before the first release, which wrote no other.

mod packed;

use std::path::Path;
use std::sync::Arc;

use packed::Files;
use postrider_journal::epoch::EpochTable;
use postrider_journal::segment::SegmentHeader;
use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::worker::{Step, Workers};
use postrider_journal::{
    Bound, Config, Epoch, FileStorage, Journal, Life, Medium, OpenError, Record, SegmentNumber, body_crc, testing,
};

const SEGMENT: u64 = 64 << 10;
const NODE: u32 = 0x6E6F_6465;

/// A record's kind, flags, sequence, meta and body.
type Seen = (u8, u8, u64, Vec<u8>, Vec<u8>);

fn open(
    directory: &Path,
    keys: u64,
    give_up: &[&str],
) -> Result<(Journal<FileStorage>, Workers, Vec<Seen>), OpenError> {
    let waker = Arc::new(|| {});
    let options = OpenOptions { directory: directory.to_owned(), medium: Medium::Direct, waker, min_free: 0 };
    let (storage, workers) = FileStorage::open(options)?;
    let config = Config {
        segment_bytes: SEGMENT,
        disk_budget: Some(64 << 20),
        keys,
        node: NODE,
        give_up: give_up.iter().map(|name| (*name).to_owned()).collect(),
        ..Config::default()
    };
    let mut seen = Vec::new();
    let journal = testing::recover(storage, config, &mut |record, _| {
        assert_eq!(record.body_crc, body_crc(record.body));
        seen.push((record.kind, record.flags, record.sequence, record.meta.to_vec(), record.body.to_vec()));
    })?;
    Ok((journal, workers, seen))
}

/// What was written: small and large bodies, none, one that is larger than a segment, metas up to the longest, ignorable kinds.
fn written() -> Vec<Seen> {
    let record = |sequence: u64| {
        let len = [0, 5, 300, 3_000, 70_000][sequence as usize % 5];
        let body = (0..len).map(|index| (index as u64 * sequence / 100) as u8).collect();
        let meta = vec![b'm'; [3, 0, 300, 40, 65_000][sequence as usize / 2 % 5]];
        (if sequence.is_multiple_of(7) { 200 } else { sequence as u8 % 20 }, sequence as u8, sequence, meta, body)
    };
    (1..40).map(record).collect()
}

/// The segments that the records went to.
fn append(journal: &mut Journal<FileStorage>, workers: &mut Workers, records: &[Seen]) -> Vec<SegmentNumber> {
    let mut segments = Vec::new();
    for (kind, flags, sequence, meta, body) in records {
        let bound = Bound { records: 1, bytes: (meta.len() + body.len()) as u64 };
        while journal.reserve(postrider_journal::Purpose::Create, bound).is_err() {
            work(journal, workers);
        }
        let body_crc = body_crc(body);
        let record = Record { kind: *kind, flags: *flags, sequence: *sequence, meta, body, body_crc };
        segments.push(journal.stage(&record).segment);
        journal.seal();
        journal.submit();
        work(journal, workers);
    }
    segments
}

fn work(journal: &mut Journal<FileStorage>, workers: &mut Workers) {
    while workers.step() == Step::Work {
        journal.poll().unwrap();
        journal.submit();
    }
}

/// Two lives: the first ends in order, the second gives segments back, comes to rest and is killed.
#[test]
#[ignore = "writes the directory anew"]
fn write_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let records = written();
    let (mut journal, mut workers, _) = open(directory.path(), 11, &[]).unwrap();
    append(&mut journal, &mut workers, &records[..20]);
    journal.end().unwrap();
    drop((journal, workers));
    let (mut journal, mut workers, seen) = open(directory.path(), 22, &[]).unwrap();
    assert_eq!(seen, records[..20]);
    let segments = append(&mut journal, &mut workers, &records[20..]);
    let last = journal.durable();
    journal.set_head(segments[0]);
    journal.submit();
    work(&mut journal, &mut workers);
    journal.prove();
    work(&mut journal, &mut workers);
    assert!(journal.durable() > last && journal.front().unwrap() > SegmentNumber(0));
    drop((journal, workers));
    packed::keep("format-2", &packed::read(directory.path()));
}

#[test]
fn a_directory_of_this_format_opens_and_holds_what_it_held() {
    let files = packed::kept("format-2");
    let table = EpochTable::decode(&files["epochs-0"]).unwrap();
    let lives: Vec<(Epoch, u32)> = table.lives.iter().map(|life| (life.epoch, life.node)).collect();
    assert_eq!(lives, [(Epoch(1), NODE), (Epoch(2), NODE)]);
    let nonce = table.newest().unwrap().nonce;
    assert_eq!((table.accepted, table.level), (Some(Life { epoch: Epoch(2), nonce }), 1));

    let directory = packed::directory(&files);
    let (mut journal, mut workers, seen) = open(directory.path(), 33, &[]).unwrap();
    let recovery = journal.recovery();
    assert_eq!((recovery.damages, recovery.cut.is_none(), recovery.table_repaired), (0, true, false));
    assert_eq!(journal.epoch(), Epoch(3));
    let all = written();
    let first = all.len() - seen.len();
    assert!(first > 0 && seen == all[first..], "{} of {}", seen.len(), all.len());
    assert_eq!(first, RECORDS_GIVEN_BACK);
    append(&mut journal, &mut workers, &all[..3]);
    drop((journal, workers));
    let (_, _, again) = open(directory.path(), 44, &[]).unwrap();
    assert_eq!(again, [&all[first..], &all[..3]].concat(), "it is written on");
}

/// Records of the kept directory that lie before its head.
const RECORDS_GIVEN_BACK: usize = 18;

/// Starts are refused, and leave all files as they were, also when the table is given up.
fn refused(files: &Files) -> OpenError {
    let directory = packed::directory(files);
    let start = |give_up: &[&str]| {
        let error = open(directory.path(), 55, give_up).err().expect("a start that is refused");
        assert!(packed::read(directory.path()) == *files, "something was touched: {error}");
        error
    };
    start(&["epochs-0"]);
    start(&[])
}

fn without(files: &Files, prefix: &str) -> Files {
    files
        .iter()
        .filter(|(name, _)| !name.starts_with(prefix))
        .map(|(name, bytes)| (name.clone(), bytes.clone()))
        .collect()
}

#[test]
fn a_directory_of_the_format_before_is_refused_as_older() {
    let files = packed::kept("format-1");
    assert!(files.contains_key("segment-0000000000000001") && files.contains_key("epochs-1"));
    for files in [files.clone(), without(&files, "epochs-"), without(&files, "segment-"), without(&files, "epochs-1")] {
        let error = refused(&files);
        assert!(matches!(error, OpenError::Older { found: 1, .. }), "{error}");
    }
}

/// What a later version may write: magic and version where they are in every version, the table's check too, all else in another way.
fn of_format_3(name: &str, bytes: &[u8]) -> Vec<u8> {
    if name.starts_with("segment-") {
        let mut bytes = bytes.to_vec();
        for copy in [0, 2048] {
            bytes[copy + 8] = 3;
            bytes[copy + 12..copy + 200].fill(9);
        }
        return bytes;
    }
    let mut bytes = [bytes, &[9; 300]].concat();
    bytes[8] = 3;
    checked(&mut bytes);
    bytes
}

fn checked(table: &mut [u8]) {
    let mut check = crc32fast::Hasher::new();
    check.update(&table[..36]);
    check.update(&table[40..]);
    table[36..40].copy_from_slice(&check.finalize().to_le_bytes());
}

#[test]
fn a_directory_of_a_format_to_come_is_refused_as_newer() {
    let files = packed::kept("format-2");
    let altered = |prefix: &str| -> Files {
        let alter = |(name, bytes): (&String, &Vec<u8>)| {
            let bytes = if name.starts_with(prefix) && !name.starts_with("spare-") {
                of_format_3(name, bytes)
            } else {
                bytes.clone()
            };
            (name.clone(), bytes)
        };
        files.iter().map(alter).collect()
    };
    for prefix in ["", "epochs-", "epochs-0", "segment-"] {
        let error = refused(&altered(prefix));
        assert!(matches!(error, OpenError::Newer { found: 3, known: 2, .. }), "{prefix}: {error}");
    }
}

#[test]
fn what_only_a_newer_version_says_in_this_format_is_refused() {
    let files = packed::kept("format-2");
    for (name, offset) in [("epochs-0", 72), ("epochs-1", 74), ("epochs-1", 10)] {
        let mut files = files.clone();
        let table = files.get_mut(name).unwrap();
        table[offset] += 1;
        checked(table);
        let error = refused(&files);
        assert!(matches!(error, OpenError::NewerContents { .. }), "{name}: {error}");
    }
    let mut files = files;
    let (name, segment) = files.iter_mut().rfind(|(name, _)| name.starts_with("segment-")).unwrap();
    assert!(SegmentHeader::decode(segment).is_ok(), "{name}");
    segment[50] = 1;
    let mut check = crc32fast::Hasher::new();
    check.update(&segment[..60]);
    check.update(&segment[64..96]);
    segment[60..64].copy_from_slice(&check.finalize().to_le_bytes());
    let error = refused(&files);
    assert!(matches!(error, OpenError::NewerContents { .. }), "{error}");
}
