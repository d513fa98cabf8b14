//! Recovery in steps: nothing is changed before a life begins, and it begins where the log was cut.

mod groups;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use groups::{SEGMENT, append, append_to_files, config, recover, stage, write_group};
use postrider_journal::epoch::{EpochTable, LifeEntry, MAX_LIVES};
use postrider_journal::segment::SegmentHeader;
use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::spill::FileSpill;
use postrider_journal::testing::{FakeStorage, Fate, SECTOR};
use postrider_journal::{
    Epoch, FileStorage, Home, Journal, Life, Medium, OpenError, Opened, Position, Record, Refusal, SegmentNumber,
};

/// Groups of a life.
const GROUPS: u64 = 28;

/// Records by sequence, each with the end of its group.
type Groups = Vec<(u64, Position)>;

fn copy_of(storage: &FakeStorage) -> FakeStorage {
    let mut copy = FakeStorage::new(1 << 30);
    storage.numbers().into_iter().for_each(|number| copy.put(number, storage.durable(number).to_vec()));
    copy.put_tables(storage.tables());
    copy
}

fn killed(journal: Journal<FakeStorage>) -> FakeStorage {
    let mut storage = journal.into_storage();
    storage.kill(&mut |_| true);
    storage
}

/// Two lives of some segments.
fn two_lives() -> (FakeStorage, Groups) {
    let mut records = Vec::new();
    let mut storage = FakeStorage::new(1 << 30);
    for life in 0..2 {
        let (mut journal, _) = recover(storage).unwrap();
        for group in life * GROUPS..life * GROUPS + GROUPS {
            append(&mut journal, group * 5..group * 5 + 5);
            records.extend((group * 5..group * 5 + 5).map(|sequence| (sequence, journal.appended())));
        }
        storage = killed(journal);
    }
    (storage, records)
}

fn ends(records: &Groups) -> Vec<Position> {
    let mut ends: Vec<Position> = records.iter().map(|(_, end)| *end).collect();
    ends.dedup();
    ends
}

fn below(records: &Groups, end: Position) -> Vec<u64> {
    records.iter().filter(|(_, group)| *group <= end).map(|(sequence, _)| *sequence).collect()
}

fn open(storage: &FakeStorage) -> Opened<FakeStorage> {
    Journal::open(copy_of(storage), config()).unwrap()
}

fn taking(seen: &mut Vec<u64>) -> impl FnMut(&Record<'_>, Home) -> Result<(), Infallible> {
    |record, _| {
        seen.push(record.sequence);
        Ok(())
    }
}

#[test]
fn a_log_is_visited_as_far_as_is_asked_and_then_from_there_on() {
    let (storage, records) = two_lives();
    for end in ends(&records) {
        for up_to in [end, end + 8] {
            let mut seen = Vec::new();
            let bounded = open(&storage).keep_all().unwrap().visit_to(up_to, &mut taking(&mut seen)).unwrap();
            assert_eq!(seen, below(&records, end), "up to {up_to}");
            let visited = bounded.visit(&mut taking(&mut seen)).unwrap();
            assert_eq!(seen, below(&records, Position(u64::MAX)), "up to {up_to}, then on");
            assert_eq!((visited.recovery().damages, visited.recovery().records), (0, records.len() as u64));
        }
    }
}

#[test]
fn a_log_that_is_cut_goes_on_from_there() {
    let (storage, records) = two_lives();
    for to in ends(&records) {
        let mut seen = Vec::new();
        let visited = open(&storage).cut(to).unwrap().visit(&mut taking(&mut seen)).unwrap();
        assert_eq!(seen, below(&records, to), "cut at {to}");
        let life = Life { epoch: Epoch(40), nonce: 4 };
        let mut journal = visited.begin(life).unwrap();
        assert_eq!((journal.epoch(), journal.recovery().damages), (Epoch(40), 0));
        let kept_aside = journal.recovery().cut.as_ref().map(|cut| cut.from);
        assert_eq!(kept_aside, (to < *ends(&records).last().unwrap()).then_some(to), "what is cut is kept aside");
        append(&mut journal, 1000..1005);
        let (journal, again) = recover(killed(journal)).unwrap();
        let again: Vec<u64> = again.into_iter().map(|(sequence, _)| sequence).collect();
        assert_eq!(again, [seen, (1000..1005).collect()].concat(), "behind a cut at {to}");
        assert_eq!((journal.epoch(), journal.recovery().damages), (Epoch(41), 0), "behind a cut at {to}");
    }
}

#[test]
fn a_log_is_not_cut_where_no_frame_ends() {
    let (storage, records) = two_lives();
    let last = *ends(&records).last().unwrap();
    assert_eq!(open(&storage).end(), last);
    for to in [Position(8), ends(&records)[3] + 8, last + 4096] {
        let error = open(&storage).cut(to).err().unwrap();
        assert!(matches!(error, OpenError::NoSuchEnd { .. }), "{to}: {error}");
    }
}

/// A log that has come to need no more than what is from segment 2 on, and where its groups end.
fn given_back() -> (Journal<FakeStorage>, Vec<Position>) {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    let ends = (0..60)
        .map(|group| {
            append(&mut journal, group * 5..group * 5 + 5);
            journal.appended()
        })
        .collect();
    journal.set_head(SegmentNumber(2));
    (0..3).for_each(|_| write_group(&mut journal));
    (journal, ends)
}

#[test]
fn a_log_is_not_cut_where_it_needs_what_it_has_given_back() {
    let (journal, ends) = given_back();
    let (journal, _) = recover(killed(journal)).unwrap();
    let storage = killed(journal);
    let stated = ends.iter().filter(|end| **end > Position(2 * SEGMENT));
    assert!(stated.clone().count() > 10);
    for to in stated.chain([&ends[0], &ends[20]]) {
        match open(&storage).cut(*to) {
            Err(OpenError::GivenBack { head: SegmentNumber(2), .. }) => {}
            other => panic!("{to}: {:?}", other.err()),
        }
    }
}

#[test]
fn a_log_is_not_cut_below_a_head_that_it_has_come_to_since_its_life_began() {
    let (mut journal, ends) = given_back();
    append(&mut journal, 400..405);
    let (behind, storage) = (journal.appended(), killed(journal));
    assert_eq!(storage.numbers().first(), Some(&SegmentNumber(2)), "they are given back, and the table does not know");
    for to in ends {
        match open(&storage).cut(to) {
            Err(OpenError::GivenBack { head: SegmentNumber(2), .. }) => {}
            other => panic!("{to}: {:?}", other.err()),
        }
    }
    open(&storage).cut(behind).unwrap();
}

#[test]
fn what_was_cut_off_does_not_come_again_when_the_table_is_made_anew() {
    let (storage, records) = two_lives();
    for to in ends(&records) {
        let visited = open(&storage).cut(to).unwrap().visit(&mut taking(&mut Vec::new())).unwrap();
        let mut journal = visited.begin(Life { epoch: Epoch(40), nonce: 4 }).unwrap();
        // It comes to rest.
        for _ in 0..2 {
            journal.storage_mut().settle();
            journal.poll().unwrap();
            journal.prove();
        }
        let mut storage = killed(journal);
        storage.put_tables([None, None]);
        let config = postrider_journal::Config { give_up: vec!["epochs-0".into()], ..config() };
        let mut seen = Vec::new();
        Journal::recover(storage, config, &mut taking(&mut seen)).unwrap();
        assert_eq!(seen, below(&records, to), "behind a cut at {to}");
    }
}

#[test]
fn a_table_that_a_cut_makes_shorter_is_not_full() {
    let (storage, records) = two_lives();
    let tables = storage.tables();
    let mut table = EpochTable::decode(tables[1].as_ref().unwrap()).unwrap();
    assert_eq!(table.lives.len(), 2);
    let [first, second] = table.lives[..] else { panic!("two lives") };
    let to = ends(&records).into_iter().filter(|end| *end <= second.end).max().unwrap();
    // What holds the table is behind the cut, or before it.
    for (held_by, from, is_full) in [(second, 2, false), (first, 1, true)] {
        let many = (from..MAX_LIVES).map(|_| LifeEntry { epoch: first.epoch, ..held_by });
        let lives = [first].into_iter().chain(many).chain([second]).collect();
        table.lives = lives;
        let full = table.encode();
        let mut storage = copy_of(&storage);
        storage.put_tables([Some(full.clone()), Some(full)]);
        let start = |to: Option<Position>| {
            let opened = Journal::open(copy_of(&storage), config())?;
            let end = opened.end();
            opened.cut(to.unwrap_or(end))
        };
        assert!(matches!(start(None).err(), Some(OpenError::TooManyLives(_))));
        let cut = start(Some(to));
        if is_full {
            assert!(matches!(cut.err(), Some(OpenError::TooManyLives(_))));
            continue;
        }
        let visited = cut.unwrap().visit(&mut taking(&mut Vec::new())).unwrap();
        let life = visited.next_life();
        let storage = killed(visited.begin(life).unwrap());
        let lives = EpochTable::decode(storage.tables()[0].as_ref().unwrap()).unwrap().lives;
        assert_eq!(lives.len(), 2);
    }
}

#[test]
fn an_old_life_does_not_begin_again() {
    let (storage, _) = two_lives();
    let visited =
        |storage: &FakeStorage| open(storage).keep_all().unwrap().visit(&mut taking(&mut Vec::new())).unwrap();
    assert_eq!(visited(&storage).next_life().epoch, Epoch(3));
    for epoch in [0, 1, 2] {
        let error = visited(&storage).begin(Life { epoch: Epoch(epoch), nonce: 1 }).err().unwrap();
        assert!(matches!(error, OpenError::OldLife { known: 2, .. }), "{error}");
    }
    let begun = Life { epoch: Epoch(70), nonce: 5 };
    let mut storage = killed(visited(&storage).begin(begun).unwrap());
    let mut table = EpochTable::decode(storage.tables()[1].as_ref().unwrap()).unwrap();
    assert_eq!((table.accepted, table.newest().map(|life| life.nonce)), (Some(begun), Some(5)));

    // Another node's life, promised and not begun here.
    let accepted = Life { epoch: Epoch(90), nonce: 8 };
    table.accepted = Some(accepted);
    storage.put_tables([storage.tables()[0].clone(), Some(table.encode())]);
    assert_eq!(visited(&storage).next_life().epoch, Epoch(91));
    for life in [Life { epoch: Epoch(80), nonce: 5 }, Life { epoch: Epoch(90), nonce: 7 }] {
        let error = visited(&storage).begin(life).err().unwrap();
        assert!(matches!(error, OpenError::OldLife { known: 90, .. }), "{error}");
    }
    assert_eq!(visited(&storage).begin(accepted).unwrap().epoch(), Epoch(90));
}

/// A life that ends with a torn frame of some blocks, of which the header is there, and one that begins within what it says to reach over.
fn over_a_torn_frame() -> (FakeStorage, Groups, Position) {
    let (mut journal, _) = recover(FakeStorage::new(1 << 30)).unwrap();
    append(&mut journal, 0..5);
    let mut records: Groups = (0..5).map(|sequence| (sequence, journal.appended())).collect();
    let group = journal.appended();
    stage(&mut journal, 5..10);
    let torn = Position(stage(&mut journal, 10..200)[0].position.0 - 84);
    records.extend((5..10).map(|sequence| (sequence, torn)));
    journal.submit();
    let mut storage = journal.into_storage();
    let last_kept = ((torn.0 + 63) % SEGMENT) as usize / SECTOR;
    assert!(torn.0 / SEGMENT == group.0 / SEGMENT && torn.0 / 4096 == (torn.0 + 63) / 4096);
    storage.crash(&mut |_, sector| if sector <= last_kept { Fate::Kept } else { Fate::Lost });
    let (mut journal, seen) = recover(storage).unwrap();
    assert_eq!(seen.len(), 10, "the frame behind them is torn");
    for group in 100..103 {
        append(&mut journal, group * 5..group * 5 + 5);
        records.extend((group * 5..group * 5 + 5).map(|sequence| (sequence, journal.appended())));
    }
    (killed(journal), records, torn)
}

#[test]
fn a_cut_sees_no_frame_that_an_earlier_life_lost() {
    let (storage, records, torn) = over_a_torn_frame();
    let reach = Position(torn.0 + 190 * 120);
    assert!(ends(&records).iter().all(|end| *end < reach), "they are within what the torn frame says to reach over");
    for to in ends(&records) {
        let mut seen = Vec::new();
        let bounded = open(&storage).cut(to).unwrap_or_else(|error| panic!("cut at {to}: {error}"));
        bounded.visit(&mut taking(&mut seen)).unwrap();
        assert_eq!(seen, below(&records, to), "cut at {to}");
    }
}

#[test]
fn a_directory_is_written_at_the_level_of_its_writer() {
    let (mut storage, _) = two_lives();
    let mut table = EpochTable::decode(storage.tables()[1].as_ref().unwrap()).unwrap();
    table.level = 0;
    storage.put_tables([Some(table.encode()), Some(table.encode())]);
    let (journal, _) = recover(storage).unwrap();
    let table = EpochTable::decode(killed(journal).tables()[0].as_ref().unwrap()).unwrap();
    assert_eq!(table.level, 1, "who knows only level 0 must not read what this one writes");
}

/// Puts another kind into a frame's header, or makes a pad of this kind where none is; its checks hold.
fn forge(storage: &mut FakeStorage, position: Position, epoch: u32, kind: u8) {
    let number = SegmentNumber(position.0 / SEGMENT);
    let offset = (position.0 % SEGMENT) as usize;
    let key = SegmentHeader::decode(storage.durable(number)).unwrap().key;
    let mut header = storage.durable(number)[offset..offset + 64].to_vec();
    if header[..4] == [0; 4] {
        header[..4].copy_from_slice(&(0x3146_5250 ^ (key >> 32) as u32).to_le_bytes());
        header[8..16].copy_from_slice(&position.0.to_le_bytes());
        header[16..20].copy_from_slice(&epoch.to_le_bytes());
        header[48..52].copy_from_slice(&4096u32.to_le_bytes());
    }
    header[20] = kind;
    let seed = key as u32 ^ position.0 as u32 ^ epoch.wrapping_mul(0x9E37_79B1);
    let mut check = crc32fast::Hasher::new_with_initial(seed);
    check.update(&header[8..]);
    header[4..8].copy_from_slice(&check.finalize().to_le_bytes());
    storage.forge(number, offset, &header);
}

#[test]
fn a_frame_that_only_a_newer_version_knows_is_refused_and_not_cut() {
    let (storage, records) = two_lives();
    let all = ends(&records);
    let last = all[all.len() - 1];
    // Behind the end, where a torn frame would be, and in an earlier life.
    for (position, epoch) in [(last, 2), (all[4], 1)] {
        for kind in [2, 127] {
            let mut storage = copy_of(&storage);
            forge(&mut storage, position, epoch, kind);
            match recover(storage) {
                Err(OpenError::UnknownFrame { kind: found, position: at, .. }) => {
                    assert_eq!((found, at), (kind, position));
                }
                other => panic!("{position}: {:?}", other.err()),
            }
        }
    }
    let mut storage = copy_of(&storage);
    forge(&mut storage, last, 2, 200);
    let (journal, seen) = recover(storage).unwrap();
    assert_eq!(
        (seen.len(), journal.recovery().cut.is_none()),
        (records.len(), true),
        "who does not know it passes over it"
    );
}

/// All files but the lock.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    named.filter(|(name, _)| name != "lock").collect()
}

#[test]
fn an_owner_that_refuses_a_record_leaves_a_torn_end_and_all_else_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let start = |refused: Option<u64>| {
        let waker = Arc::new(|| {});
        let options =
            OpenOptions { directory: directory.path().to_owned(), medium: Medium::Direct, waker, min_free: 0 };
        let (storage, workers) = FileStorage::open(options).unwrap();
        drop(FileSpill::beside(&storage, Arc::new(|| {})));
        let visit = &mut |record: &Record<'_>, _| match refused {
            Some(sequence) if sequence == record.sequence => Err(sequence),
            _ => Ok(()),
        };
        Journal::recover(storage, config(), visit).map(|journal| (journal, workers))
    };
    let (mut journal, mut workers) = start(None).unwrap();
    append_to_files(&mut journal, &mut workers, 0..5);
    let end = journal.durable();
    drop((journal, workers));
    let path = directory.path().join(SegmentNumber(end.0 / SEGMENT).file_name());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(end.0 % SEGMENT) as usize - 10_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let spilled = directory.path().join("spill-0000000000000007");
    std::fs::write(&spilled, "of an earlier life").unwrap();
    let before = files(directory.path());
    for refused in [0, 3] {
        match start(Some(refused)) {
            Err(Refusal::Record(sequence)) => assert_eq!(sequence, refused),
            other => panic!("{:?}", other.err()),
        }
        assert!(files(directory.path()) == before, "a start that is refused touches nothing");
    }
    let (journal, _workers) = start(None).unwrap();
    assert!(journal.recovery().cut.is_some(), "the end is torn");
    assert!(!spilled.exists(), "what an earlier life spilled is nobody's");
}

#[test]
fn starts_that_come_to_nothing_take_no_place_in_the_table() {
    let (mut storage, records) = two_lives();
    let entries =
        |storage: &FakeStorage| EpochTable::decode(storage.tables()[0].as_ref().unwrap()).unwrap().lives.len();
    let before = entries(&storage);
    for _ in 0..50 {
        let (journal, seen) = recover(storage).unwrap();
        assert_eq!((seen.len(), journal.recovery().damages), (records.len(), 0));
        storage = killed(journal);
    }
    assert_eq!(entries(&storage), before + 1);
    let (mut journal, _) = recover(storage).unwrap();
    append(&mut journal, 1000..1005);
    let (journal, seen) = recover(killed(journal)).unwrap();
    assert_eq!((seen.len(), journal.recovery().damages), (records.len() + 5, 0));
    assert_eq!(entries(&killed(journal)), before + 2, "who wrote something has one");
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A group that is in the log: its records and their segments, its end, and the head that it says.
struct Written {
    sequences: Vec<(u64, SegmentNumber)>,
    end: Position,
    head: SegmentNumber,
}

/// A few lives, some of which cut the log that they find anywhere. How many did, and how many found that it needs what is gone.
fn any_lives(seed: u64) -> (usize, usize) {
    let mut random = Random(seed);
    let mut storage = FakeStorage::new(1 << 30);
    let mut log: Vec<Written> = Vec::new();
    // What was written last, and is there or not.
    let mut torn: Option<Written> = None;
    let (mut next, mut epoch, mut cuts, mut given_back) = (0, 0, 0, 0);
    for _ in 0..3 + random.below(8) {
        let opened = open(&storage);
        let found = opened.end();
        // The pad that closes the segment before may be there without it, and says the head.
        let mut said_by_pad = None;
        match torn.take() {
            Some(group) if group.end <= found => log.push(group),
            group => said_by_pad = group.map(|group| group.head),
        }
        let end = log.last().map_or(Position(0), |group| group.end);
        assert!(found >= end, "seed {seed}: what was durable is not there any more");
        let is_kept = log.is_empty() || random.below(2) == 0;
        let mut to = if is_kept { found } else { log[random.below(log.len() as u64) as usize].end };
        let mut bounded = match opened.cut(to) {
            Ok(bounded) => {
                cuts += usize::from(to < end);
                log.retain(|group| group.end <= to);
                bounded
            }
            Err(OpenError::GivenBack { head, .. }) => {
                let needed = log.iter().filter(|group| group.end <= to).map(|group| group.head).max();
                assert!(to < end && needed.is_some_and(|needed| needed < head), "seed {seed}: a cut at {to} of {end}");
                given_back += 1;
                to = found;
                open(&storage).keep_all().unwrap()
            }
            Err(error) => panic!("seed {seed}: a cut at {to} of {end}: {error}"),
        };
        let mut seen = Vec::new();
        for _ in 0..random.below(4) {
            let up_to = Position(random.below(end.0 + 10_000));
            bounded = bounded.visit_to(up_to, &mut taking(&mut seen)).unwrap();
        }
        let visited = bounded.visit(&mut taking(&mut seen)).unwrap();
        assert_eq!(visited.recovery().damages, 0, "seed {seed}");
        let live = |head| {
            let all = log.iter().flat_map(|group| &group.sequences).filter(move |(_, segment)| *segment >= head);
            all.map(|(sequence, _)| *sequence).collect::<Vec<u64>>()
        };
        let mut head = log.iter().map(|group| group.head).max().unwrap_or(SegmentNumber(0));
        if let Some(said) = said_by_pad.filter(|said| to == found && live(head) != seen && live(*said) == seen) {
            head = said;
            log.push(Written { sequences: Vec::new(), end: found, head });
        } else {
            assert_eq!(seen, live(head), "seed {seed}");
        }
        epoch += 1 + random.below(3) as u32;
        let mut journal = visited.begin(Life { epoch: Epoch(epoch), nonce: u64::from(epoch) }).unwrap();
        for _ in 0..random.below(12) {
            let count = 1 + random.below(60);
            let homes = stage(&mut journal, next..next + count);
            let sequences = (next..next + count).zip(homes.iter().map(|home| home.segment)).collect();
            next += count;
            let end = journal.appended();
            let group = Written { sequences, end, head };
            if random.below(14) == 0 {
                journal.submit();
                torn = Some(group);
                break;
            }
            while journal.durable() < end {
                write_group(&mut journal);
            }
            log.push(group);
            if random.below(6) == 0 {
                head.0 += random.below((end.0 - 1) / SEGMENT - head.0 + 1);
                journal.set_head(head);
                if random.below(2) == 0 {
                    (0..3).for_each(|_| write_group(&mut journal));
                    let stated = Written { sequences: Vec::new(), end: journal.durable(), head };
                    log.extend(Some(stated).filter(|stated| stated.end > end));
                }
            }
        }
        if torn.is_none() && random.below(4) == 0 {
            journal.end().unwrap();
        }
        storage = journal.into_storage();
        match torn {
            Some(_) => storage.crash(&mut |_, _| if random.below(2) == 0 { Fate::Kept } else { Fate::Lost }),
            None => storage.kill(&mut |_| true),
        }
    }
    (cuts, given_back)
}

#[test]
fn lives_that_cut_the_log_anywhere_find_what_is_left() {
    let (cuts, given_back) =
        (0..300).map(any_lives).fold((0, 0), |(cuts, gone), (cut, back)| (cuts + cut, gone + back));
    assert!(cuts > 400 && given_back > 100, "{cuts} cuts, {given_back} where something is given back");
}
