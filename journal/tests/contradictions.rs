//! Files that are not what they should be: a start is refused, and touches nothing; what is given up on purpose is, and no more.

mod groups;

use std::collections::BTreeSet;

use groups::{SEGMENT, append, config, offset, recover, rest, stage_one, write_group};
use postrider_journal::epoch::{EpochTable, LifeEntry, MAX_LIVES};
use postrider_journal::testing::FakeStorage;
use postrider_journal::{
    Bound, Config, DamageKind, Epoch, Home, Journal, Lookup, OpenError, Purpose, SegmentNumber, body_crc, testing,
};

const SECOND: SegmentNumber = SegmentNumber(1);

/// A log of some segments, and what is in it.
struct Log {
    journal: Journal<FakeStorage>,
    homes: Vec<Home>,
}

fn log() -> Log {
    let mut log = Log { journal: recover(FakeStorage::new(1 << 30)).unwrap().0, homes: Vec::new() };
    log.write(200);
    log
}

impl Log {
    fn write(&mut self, groups: u64) {
        for _ in 0..groups / 5 {
            let next = self.homes.len() as u64;
            self.homes.extend(append(&mut self.journal, next..next + 5));
        }
    }

    fn in_segment(&self, number: SegmentNumber) -> Vec<u64> {
        let inside = self.homes.iter().enumerate().filter(|(_, home)| home.segment == number);
        inside.map(|(sequence, _)| sequence as u64).collect()
    }

    fn last(&self) -> SegmentNumber {
        self.homes.last().unwrap().segment
    }

    /// Ends in order.
    fn end(mut self) -> FakeStorage {
        self.journal.end().unwrap();
        self.journal.into_storage()
    }
}

/// A log that begins with an oversize segment.
fn log_with_an_oversize_segment() -> Log {
    let mut log = Log { journal: recover(FakeStorage::new(1 << 30)).unwrap().0, homes: Vec::new() };
    while log.journal.reserve(Purpose::Create, Bound { records: 1, bytes: 2 * SEGMENT }).is_err() {
        log.journal.storage_mut().settle();
        log.journal.poll().unwrap();
    }
    log.homes.push(stage_one(&mut log.journal, 0));
    log.journal.seal();
    write_group(&mut log.journal);
    log
}

fn contents(storage: &FakeStorage) -> Vec<(SegmentNumber, Vec<u8>)> {
    storage.numbers().into_iter().map(|number| (number, storage.durable(number).to_vec())).collect()
}

/// A start that is refused; it names `file` and how to go on.
fn refused(storage: FakeStorage, file: SegmentNumber) -> FakeStorage {
    let before = (contents(&storage), storage.tables());
    let copy = copy_of(&storage);
    let error = recover(storage).err().expect("a start that is refused");
    let text = error.to_string();
    assert!(text.contains(&format!("--give-up segment-{:016x}", file.0)), "{text}");
    assert_eq!((contents(&copy), copy.tables()), before);
    copy
}

fn copy_of(storage: &FakeStorage) -> FakeStorage {
    let mut copy = FakeStorage::new(1 << 30);
    contents(storage).into_iter().for_each(|(number, bytes)| copy.put(number, bytes));
    copy.put_tables(storage.tables());
    copy
}

/// What is left when this file is given up, and at the start after it.
fn given_up(storage: FakeStorage, file: SegmentNumber) -> (Vec<u64>, Journal<FakeStorage>) {
    let give_up = vec![format!("segment-{:016x}", file.0)];
    let mut seen = Vec::new();
    let config = Config { give_up, ..config() };
    let journal = testing::recover(storage, config, &mut |record, _| {
        assert_eq!(record.body_crc, body_crc(record.body));
        seen.push(record.sequence);
    })
    .unwrap();
    assert!(journal.recovery().damages > 0 || !journal.recovery().given_up.is_empty(), "the loss is said");
    let (mut journal, again) = recover(killed(journal)).unwrap();
    assert_eq!(again.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), seen);
    let new = append(&mut journal, 1000..1005);
    let (journal, all) = recover(killed(journal)).unwrap();
    assert_eq!(all.len(), again.len() + new.len());
    for homes in [again.iter().map(|(_, home)| *home).chain(new).collect(), all.iter().map(|(_, home)| *home).collect()]
    {
        let homes: Vec<Home> = homes;
        let own: BTreeSet<_> = homes.iter().map(|home| (home.segment, home.ordinal)).collect();
        assert_eq!(own.len(), homes.len(), "each record has a home of its own");
    }
    (seen, journal)
}

fn killed(journal: Journal<FakeStorage>) -> FakeStorage {
    let mut storage = journal.into_storage();
    storage.kill(&mut |_| true);
    storage
}

fn all_but(count: usize, lost: &[u64]) -> Vec<u64> {
    (0..count as u64).filter(|sequence| !lost.contains(sequence)).collect()
}

#[test]
fn swapped_files() {
    let log = log();
    let (count, lost) = (log.homes.len(), log.in_segment(SECOND));
    let mut storage = log.end();
    let (one, two) = (storage.durable(SECOND).to_vec(), storage.durable(SegmentNumber(2)).to_vec());
    storage.put(SECOND, two.clone());
    storage.put(SegmentNumber(2), one.clone());
    let mut storage = refused(storage, SECOND);
    storage.put(SECOND, one);
    storage.put(SegmentNumber(2), two.clone());
    assert_eq!(recover(copy_of(&storage)).unwrap().1.len(), count, "they are put back");
    storage.put(SECOND, two);
    let storage = refused(storage, SECOND);
    assert_eq!(given_up(storage, SECOND).0, all_but(count, &lost));
}

#[test]
fn another_length() {
    for change in [-1i64, 1] {
        let log = log();
        let (count, lost) = (log.homes.len(), log.in_segment(SECOND));
        let mut storage = log.end();
        let mut bytes = storage.durable(SECOND).to_vec();
        bytes.resize((bytes.len() as i64 + change) as usize, 0);
        storage.put(SECOND, bytes.clone());
        let storage = refused(storage, SECOND);
        let (seen, journal) = given_up(storage, SECOND);
        assert_eq!(seen, all_but(count, &lost));
        let kept = &journal.into_storage().aside["given-up-segment-0000000000000001"];
        assert_eq!(kept, &bytes);
    }
}

#[test]
fn an_older_copy_costs_what_it_does_not_hold() {
    let mut log = log();
    while log.last() == SECOND || log.homes.len() < 205 {
        log.write(5);
    }
    let last = log.last();
    let copied = log.homes.len();
    rest(&mut log.journal);
    let copy = copy_of(&killed(log.journal));
    let old = copy.durable(last).to_vec();
    let mut log = Log { journal: recover(copy).unwrap().0, homes: log.homes };
    log.write(1_000);
    let (count, lost) = (log.homes.len(), log.in_segment(last));
    let lost: Vec<u64> = lost.into_iter().filter(|sequence| *sequence >= copied as u64).collect();
    assert!(!lost.is_empty());
    let mut storage = log.end();
    storage.put(last, old);
    let storage = refused(storage, last);
    assert_eq!(given_up(storage, last).0, all_but(count, &lost));
}

/// Time goes by; whether that was enough to state how far the log has come.
fn wait(journal: &mut Journal<FakeStorage>, seconds: std::ops::Range<u64>) -> bool {
    let before = journal.storage_mut().tables();
    for second in seconds {
        journal.try_again(second * 1_000_000_000);
        journal.storage_mut().settle();
        journal.poll().unwrap();
    }
    journal.storage_mut().tables() != before
}

#[test]
fn an_older_copy_of_the_active_file_after_a_kill() {
    // Copied while the broker ran, which went on then; and from before the life that was killed.
    for in_this_life in [true, false] {
        let mut log = log();
        if !in_this_life {
            let homes = std::mem::take(&mut log.homes);
            log = Log { journal: recover(log.end()).unwrap().0, homes };
        }
        let (last, copied) = (log.last(), log.homes.len());
        let old = log.journal.storage_mut().durable(last).to_vec();
        log.write(10);
        assert!(!wait(&mut log.journal, 0..9) && wait(&mut log.journal, 9..12));
        assert!(!wait(&mut log.journal, 12..40), "once, at rest");
        let known = log.homes.len();
        log.write(10);
        assert_eq!(log.last(), last);
        let count = log.homes.len();
        let mut storage = killed(log.journal);
        assert_eq!(recover(copy_of(&storage)).unwrap().1.len(), count);
        storage.put(last, old);
        let storage = refused(storage, last);
        assert_eq!(given_up(storage, last).0, all_but(copied, &[]));
        assert!(known > copied);
    }
}

#[test]
fn the_active_file_missing_after_a_kill_with_nothing_behind_it() {
    let mut log = log();
    let (last, count) = (log.last(), log.homes.len());
    let lost = log.in_segment(last);
    wait(&mut log.journal, 0..12);
    let mut storage = killed(log.journal);
    for number in storage.numbers().into_iter().filter(|number| *number >= last) {
        storage.take_away(number);
    }
    let storage = refused(storage, last);
    assert_eq!(given_up(storage, last).0, all_but(count, &lost));
}

#[test]
fn a_missing_file() {
    for (number, in_order) in [(SECOND, true), (SECOND, false)] {
        let log = log();
        let (count, lost) = (log.homes.len(), log.in_segment(number));
        let mut storage = if in_order { log.end() } else { log.journal.into_storage() };
        storage.take_away(number);
        let storage = refused(storage, number);
        let (seen, _) = given_up(storage, number);
        assert_eq!(seen, all_but(count, &lost));
    }
}

#[test]
fn the_front_missing_after_a_kill() {
    // The table's head is the start's, and what lay before the front was given back meanwhile.
    let mut log = log();
    log.write(400);
    log.journal.set_head(SegmentNumber(2));
    (0..3).for_each(|_| write_group(&mut log.journal));
    assert_eq!(log.journal.front(), Some(SegmentNumber(2)));
    let lost: Vec<u64> = (0..3).flat_map(|number| log.in_segment(SegmentNumber(number))).collect();
    let count = log.homes.len();
    let mut storage = killed(log.journal);
    storage.take_away(SegmentNumber(2));
    let storage = refused(storage, SegmentNumber(2));
    assert_eq!(given_up(storage, SegmentNumber(2)).0, all_but(count, &lost));
}

#[test]
fn what_is_not_of_the_front_is_kept_where_the_front_was() {
    for harm in 0..3 {
        let mut log = log();
        log.write(400);
        log.journal.set_head(SegmentNumber(2));
        (0..3).for_each(|_| write_group(&mut log.journal));
        let mut storage = log.end();
        // Somebody has given a file a wrong name, or it has lost its header.
        let mut bytes = storage.durable(SegmentNumber(3)).to_vec();
        match harm {
            0 => {}
            1 => bytes.truncate(bytes.len() - 512),
            _ => bytes[..8192].fill(0),
        }
        storage.put(SegmentNumber(1), bytes.clone());
        storage.take_away(SegmentNumber(3));
        let storage = refused(storage, SegmentNumber(3));
        let give_up = vec!["segment-0000000000000003".to_owned()];
        let mut journal = testing::recover(storage, Config { give_up, ..config() }, &mut |_, _| {}).unwrap();
        journal.storage_mut().settle();
        let storage = journal.into_storage();
        assert!(!storage.numbers().contains(&SegmentNumber(1)), "harm {harm}");
        assert!(storage.aside.get("damaged-segment-0000000000000001") == Some(&bytes), "harm {harm}");
    }
}

#[test]
fn a_copy_of_the_table_that_is_missing_is_said() {
    for slot in 0..2 {
        let mut storage = log().end();
        let mut tables = storage.tables();
        tables[slot] = None;
        storage.put_tables(tables);
        let (journal, seen) = recover(storage).unwrap();
        assert_eq!((journal.recovery().table_repaired, seen.len()), (true, 200));
        assert!(!recover(journal.into_storage()).unwrap().0.recovery().table_repaired);
    }
}

#[test]
fn several_missing_files_are_each_replaced_by_one_of_the_usual_size() {
    let mut log = log();
    log.write(800);
    let missing: Vec<SegmentNumber> = (1..5).map(SegmentNumber).collect();
    let (count, lost) =
        (log.homes.len(), missing.iter().flat_map(|number| log.in_segment(*number)).collect::<Vec<_>>());
    let mut storage = log.end();
    missing.iter().for_each(|number| storage.take_away(*number));
    let storage = refused(storage, SECOND);
    let (seen, journal) = given_up(storage, SECOND);
    assert_eq!(seen, all_but(count, &lost));
    let storage = journal.into_storage();
    for number in missing {
        assert_eq!(storage.durable(number).len() as u64, SEGMENT, "{number}");
    }
}

#[test]
fn a_file_where_the_log_has_no_segment() {
    // A copy of the second segment far beyond its end, beyond any end, and within an oversize segment.
    for (number, oversize) in [(0x1000, false), (u64::MAX, false), (u64::MAX >> 20, false), (1, true)] {
        let mut log = log();
        let stranger = log.journal.storage_mut().durable(SECOND).to_vec();
        if oversize {
            log = log_with_an_oversize_segment();
        }
        let count = log.homes.len();
        let mut storage = log.end();
        storage.put(SegmentNumber(number), stranger.clone());
        let storage = refused(storage, SegmentNumber(number));
        let (seen, journal) = given_up(storage, SegmentNumber(number));
        assert_eq!(seen, all_but(count, &[]), "{number:x}");
        assert_eq!(journal.into_storage().aside[&format!("given-up-segment-{number:016x}")], stranger);
    }
}

#[test]
fn what_a_larger_segment_holds_is_not_missing_whoever_gives_it_up() {
    let mut log = log_with_an_oversize_segment();
    log.write(50);
    let (count, large) = (log.homes.len(), log.homes[0]);
    let storage = log.end();
    assert!(storage.durable(SegmentNumber(0)).len() as u64 > SEGMENT, "the second number is inside the first segment");
    let config = Config { give_up: vec!["segment-0000000000000001".into()], ..config() };
    let mut left = Vec::new();
    let mut journal = testing::recover(storage, config, &mut |record, _| left.push(record.sequence)).unwrap();
    assert_eq!((left, journal.recovery().damages), (all_but(count, &[]), 0));
    let there = journal.extent(large.position, large.len, body_crc(&groups::body(0)));
    assert!(matches!(there, Lookup::Memory(_) | Lookup::Cold));
}

#[test]
fn the_last_file_missing() {
    let log = log();
    let (last, count) = (log.last(), log.homes.len());
    let lost = log.in_segment(last);
    // Killed: the file that was ready behind it tells that it was there.
    let mut storage = copy_of(&log.end());
    storage.take_away(last);
    let mut storage = refused(storage, last);
    // Ended in order: the table tells, with nothing behind it.
    for number in storage.numbers().into_iter().filter(|number| *number > last) {
        storage.take_away(number);
    }
    let storage = refused(storage, last);
    assert_eq!(given_up(storage, last).0, all_but(count, &lost));
}

#[test]
fn a_file_that_was_ready_costs_nothing_and_ends_no_log() {
    // Killed, and ended in order; with others that are ready behind it, and as the last; cut short, and another file's copy.
    for case in 0..8 {
        let (in_order, alone, cut) = (case & 1 != 0, case & 2 != 0, case & 4 != 0);
        let config = Config { prepared: 3, ..config() };
        let journal = testing::recover(FakeStorage::new(1 << 30), config.clone(), &mut |_, _| {}).unwrap();
        let mut log = Log { journal, homes: Vec::new() };
        log.write(200);
        let (count, ready) = (log.homes.len(), SegmentNumber(log.last().0 + 1));
        let mut storage = if in_order { log.end() } else { killed(log.journal) };
        let behind = storage.numbers().into_iter().filter(|number| *number > ready).collect::<Vec<_>>();
        assert!(!behind.is_empty());
        behind.into_iter().filter(|_| alone).for_each(|number| storage.take_away(number));
        let mut bad = storage.durable(if cut { ready } else { SECOND }).to_vec();
        bad.truncate(SEGMENT as usize - usize::from(cut));
        storage.put(ready, bad.clone());
        let storage = refused(storage, ready);
        let config = Config { give_up: vec![format!("segment-{:016x}", ready.0)], ..config };
        let journal = testing::recover(copy_of(&storage), config, &mut |_, _| {}).unwrap();
        assert_eq!((journal.recovery().damages, &journal.recovery().cut), (0, &None), "{case}");
        let (seen, journal) = given_up(storage, ready);
        assert_eq!(seen, all_but(count, &[]), "{case}");
        assert_eq!(journal.into_storage().aside[&format!("given-up-segment-{:016x}", ready.0)], bad, "{case}");
    }
}

#[test]
fn the_active_file_missing_after_a_kill() {
    let log = log();
    let (last, count) = (log.last(), log.homes.len());
    let lost = log.in_segment(last);
    let mut storage = log.journal.into_storage();
    storage.take_away(last);
    let storage = refused(storage, last);
    assert_eq!(given_up(storage, last).0, all_but(count, &lost));
}

/// A start that is refused for its epoch table; it says how to go on.
fn refused_for_table(storage: FakeStorage) -> FakeStorage {
    let copy = copy_of(&storage);
    let text = recover(storage).err().expect("a start that is refused").to_string();
    assert!(text.contains("`postrider serve --give-up epochs-0`"), "{text}");
    copy
}

/// What is there when the table is made anew, and at the start after it.
fn rebuilt(storage: FakeStorage) -> Vec<u64> {
    let tables = storage.tables();
    let config = Config { give_up: vec!["epochs-0".into()], keys: 99, ..config() };
    let mut seen = Vec::new();
    let journal = testing::recover(storage, config, &mut |record, _| seen.push(record.sequence)).unwrap();
    assert!(journal.recovery().table_rebuilt && journal.recovery().damage.is_empty());
    let mut journal = Log { journal, homes: Vec::new() };
    journal.write(100);
    let storage = killed(journal.journal);
    assert_eq!(storage.aside.get("given-up-epochs-1"), tables[1].as_ref(), "what it was is kept");
    let (_, again) = recover(storage).unwrap();
    assert_eq!(again.len(), seen.len() + 100);
    seen
}

/// A log of several lives, the last of which went on in the segment of the one before.
fn lives() -> (Log, Vec<[Option<Vec<u8>>; 2]>) {
    let mut log = log();
    let mut tables = Vec::new();
    for _ in 0..4 {
        let storage = killed(log.journal);
        tables.push(storage.tables());
        log = Log { journal: recover(storage).unwrap().0, homes: log.homes };
        log.write(40);
    }
    (log, tables)
}

#[test]
fn a_table_from_a_backup() {
    for age in 0..4 {
        let (log, tables) = lives();
        let count = log.homes.len();
        let mut storage = log.end();
        storage.put_tables(tables[age].clone());
        let storage = refused_for_table(storage);
        assert_eq!(rebuilt(storage), all_but(count, &[]), "{age}");
    }
}

#[test]
fn a_later_life_in_a_segment_of_an_older_one_tells_that_the_table_is_older() {
    let storage = log().end();
    let tables = storage.tables();
    let (journal, _) = recover(storage).unwrap();
    let mut log = Log { journal, homes: Vec::new() };
    log.write(5);
    let mut storage = killed(log.journal);
    // What was made ready in the later life is not there: only its frames tell.
    for number in storage.numbers().into_iter().skip(1) {
        if storage.durable(number)[4096..].iter().all(|byte| *byte == 0) {
            storage.take_away(number);
        }
    }
    storage.put_tables(tables);
    assert_eq!(rebuilt(refused_for_table(storage)).len(), 205);
}

#[test]
fn tables_whose_version_is_damaged_are_not_of_another_version() {
    let (log, _) = lives();
    let count = log.homes.len();
    let mut storage = killed(log.journal);
    let tables = storage.tables().map(|table| {
        let mut table = table.unwrap();
        table[8] ^= 0x10;
        Some(table)
    });
    storage.put_tables(tables);
    assert_eq!(rebuilt(refused_for_table(storage)), all_but(count, &[]));
}

#[test]
fn no_table_at_all() {
    for tables in [[None, None], [Some(vec![1; 100]), Some(Vec::new())]] {
        let (log, _) = lives();
        let count = log.homes.len();
        let mut storage = killed(log.journal);
        storage.put_tables(tables);
        assert_eq!(rebuilt(refused_for_table(storage)), all_but(count, &[]));
    }
    let mut storage = log().end();
    storage.put_tables([None, None]);
    for number in storage.numbers() {
        storage.put(number, vec![0; SEGMENT as usize]);
    }
    let config = Config { give_up: vec!["epochs-0".into()], ..config() };
    let error = testing::recover(storage, config, &mut |_, _| {}).err().unwrap();
    assert!(error.to_string().contains("put it aside"), "{error}");
}

#[test]
fn a_segment_of_another_log() {
    // The same number, length, and life: only the log's id tells them apart.
    let other_config = Config { keys: 77, ..config() };
    let other = testing::recover(FakeStorage::new(1 << 30), other_config, &mut |_, _| {}).unwrap();
    let mut other = Log { journal: other, homes: Vec::new() };
    other.write(200);
    let stranger = other.end().durable(SECOND).to_vec();
    let log = log();
    let (count, lost) = (log.homes.len(), log.in_segment(SECOND));
    let mut storage = log.end();
    storage.put(SECOND, stranger);
    let storage = refused(storage, SECOND);
    assert_eq!(given_up(storage, SECOND).0, all_but(count, &lost));
}

#[test]
fn a_segment_of_a_copy_that_went_on_by_itself() {
    // Both copies have a second life, and wrote other messages in it.
    let storage = log().end();
    let copy = testing::recover(copy_of(&storage), Config { keys: 77, ..config() }, &mut |_, _| {}).unwrap();
    let mut copy = Log { journal: copy, homes: Vec::new() };
    copy.write(400);
    let mut log = Log { journal: recover(storage).unwrap().0, homes: Vec::new() };
    log.write(400);
    let number = SegmentNumber(log.last().0 - 1);
    assert!(copy.last() > number);
    let lost = log.in_segment(number).into_iter().map(|sequence| sequence + 200).collect::<Vec<_>>();
    let stranger = copy.end().durable(number).to_vec();
    let mut storage = killed(log.journal);
    storage.put(number, stranger);
    let storage = refused(storage, number);
    let seen = given_up(storage, number).0;
    assert_eq!(seen.len(), 600 - lost.len());
}

#[test]
fn what_cannot_be_read_is_not_given_up_unless_it_is_said() {
    let log = log();
    let count = log.homes.len();
    let place = offset(log.homes[2].position) as u64;
    let mut storage = log.end();
    storage.make_unreadable(SegmentNumber(0), place..place + 10);
    let error = recover(storage).err().unwrap();
    assert!(matches!(&error, OpenError::Unreadable { offset, len: 10, .. } if *offset == place), "{error}");
    let log = self::log();
    let mut storage = log.end();
    storage.make_unreadable(SegmentNumber(0), place..place + 10);
    assert_eq!(given_up(storage, SegmentNumber(0)).0, all_but(count, &[2]));
}

#[test]
fn a_header_that_cannot_be_read_costs_nothing_when_it_is_given_up() {
    let log = log();
    let (count, last) = (log.homes.len(), log.last());
    for number in [SECOND, last] {
        let mut storage = self::log().end();
        storage.make_unreadable(number, 0..4096);
        let text = recover(storage).err().unwrap().to_string();
        assert!(
            text.contains(&format!("--give-up segment-{:016x}", number.0)) && text.contains("4096 bytes at 0"),
            "{text}"
        );
        let mut storage = self::log().end();
        storage.make_unreadable(number, 0..4096);
        assert_eq!(given_up(storage, number).0, all_but(count, &[]));
    }
}

#[test]
fn a_full_table_is_drained_by_a_start_that_is_asked_for() {
    let mut storage = log().end();
    let mut table = EpochTable::decode(storage.tables()[0].as_ref().unwrap()).unwrap();
    let life = table.lives[0];
    table.lives.splice(0..0, (1..MAX_LIVES).map(|_| LifeEntry { epoch: Epoch(0), ..life }));
    storage.put_tables([Some(table.encode()), None]);
    let storage = refused_for_table(storage);
    let config = Config { give_up: vec!["epochs-0".into()], ..config() };
    let mut count = 0;
    let mut journal = testing::recover(storage, config, &mut |_, _| count += 1).unwrap();
    assert_eq!((count, journal.recovery().lives, journal.recovery().table_rebuilt), (200, MAX_LIVES, false));
    // What holds the table is taken away.
    append(&mut journal, 200..205);
    let last = journal.front().unwrap().0 + 2;
    journal.set_head(SegmentNumber(last));
    write_group(&mut journal);
    let storage =
        killed(recover(killed(journal)).map(|(journal, _)| journal).unwrap_or_else(|error| panic!("{error}")));
    assert!(recover(storage).unwrap().0.recovery().lives < 5);
}

#[test]
fn tables_that_cannot_be_read() {
    let mut storage = log().end();
    storage.make_table_unreadable(0);
    let (journal, seen) = recover(storage).unwrap();
    assert!(journal.recovery().table_repaired && seen.len() == 200, "the other one counts");
    let unreadable = || {
        let mut storage = log().end();
        storage.make_table_unreadable(1);
        storage.rot_table(0);
        storage
    };
    let text = recover(unreadable()).err().unwrap().to_string();
    assert!(text.contains("epochs-1") && text.contains("--give-up epochs-1"), "{text}");
    let config = Config { give_up: vec!["epochs-1".into()], ..config() };
    let mut seen = 0;
    let journal = testing::recover(unreadable(), config, &mut |_, _| seen += 1).unwrap();
    assert_eq!((seen, journal.recovery().table_rebuilt), (200, true));
    assert_eq!(recover(killed(journal)).unwrap().1.len(), 200);
}

#[test]
fn damaged_segments_are_set_aside_when_they_go() {
    let log = log();
    let place = offset(log.homes[2].position);
    let mut storage = log.end();
    storage.rot(SegmentNumber(0), place);
    let rotten = storage.durable(SegmentNumber(0)).to_vec();
    let (mut journal, _) = recover(storage).unwrap();
    assert_eq!(journal.recovery().damage[0].kind, DamageKind::Body);
    journal.set_head(SegmentNumber(2));
    for _ in 0..3 {
        write_group(&mut journal);
    }
    assert_eq!(journal.front(), Some(SegmentNumber(2)));
    let counted = journal.statistics();
    assert_eq!((counted.set_aside, counted.recycled), (1, 1));
    let storage = journal.into_storage();
    assert_eq!(storage.aside["damaged-segment-0000000000000000"], rotten);
    assert!(recover(storage).is_ok());
}

/// The control: with the bug planted the test is red.
#[cfg(feature = "plant")]
#[test]
fn planted_bugs_are_seen() {
    let tests: &[(&str, fn())] = &[
        ("any-log", a_segment_of_another_log),
        ("any-log", a_segment_of_a_copy_that_went_on_by_itself),
        ("end-unstated", an_older_copy_of_the_active_file_after_a_kill),
        ("end-unstated", the_active_file_missing_after_a_kill_with_nothing_behind_it),
    ];
    for (name, test) in tests {
        postrider_journal::plant::set(name);
        let seen = std::panic::catch_unwind(test).is_err();
        postrider_journal::plant::set("");
        assert!(seen, "{name}");
    }
}
