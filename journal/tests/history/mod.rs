//! One history of a journal: lives with appends, submits, heads, ends by kill, power cut and rot, against a model.

use postrider_journal::testing::{Chance, FakeStorage, Fate};
use postrider_journal::{Bound, Config, Home, Journal, Lookup, Purpose, Record, SegmentNumber, body_crc, testing};

const SEGMENT: u64 = 64 << 10;

/// A record as the model knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    sequence: u64,
    meta: Vec<u8>,
    body: Vec<u8>,
}

/// The log as the model knows it: all that was staged and may still be there.
#[derive(Default)]
struct Model {
    staged: Vec<(Known, Home)>,
    /// Of these so many were durable.
    durable: usize,
    /// Nothing homed before it must be there.
    head: SegmentNumber,
    next_sequence: u64,
    /// Frames fill blocks exactly, so that they begin where groups of another life end.
    exact: bool,
    /// A frame on the disk says that all below was durable.
    proved: u64,
    last_durable: u64,
    /// Bytes altered since the last recovery, and ever.
    rotten: usize,
    ever_rotten: usize,
    /// Each start makes the epoch table anew. It may take the bytes that a life's end left for damaged ones.
    without_tables: bool,
}

fn config() -> Config {
    Config {
        segment_bytes: SEGMENT,
        hot_bytes: SEGMENT,
        cold_bytes: 32 << 10,
        read_ahead: 8192,
        disk_budget: Some(100 * SEGMENT),
        spool_budget: Some(0),
        ..Config::default()
    }
}

/// A journal, and what its recovery visited.
type Recovered = (Journal<FakeStorage>, Vec<(Known, Home)>);

fn recover(mut storage: FakeStorage, seed: u64, without_tables: bool) -> Result<Recovered, String> {
    let mut seen = Vec::new();
    let mut config = Config { keys: seed, ..config() };
    if without_tables && storage.tables()[0].is_some() {
        storage.put_tables([None, Some(b"no table".to_vec())]);
        config.give_up.push("epochs-1".into());
    }
    let journal = testing::recover(storage, config, &mut |record, home| {
        let known = Known { sequence: record.sequence, meta: record.meta.to_vec(), body: record.body.to_vec() };
        seen.push((known, home));
    });
    journal.map(|journal| (journal, seen)).map_err(|error| error.to_string())
}

impl Model {
    /// A turn with some records in one frame or several batches.
    fn append(&mut self, journal: &mut Journal<FakeStorage>, chance: &mut Chance) {
        let (batches, records) = if self.exact { (1, 1) } else { (2, 4) };
        for _ in 0..=chance.below(batches) {
            let batch: Vec<Known> = (0..=chance.below(records)).map(|_| self.make(chance)).collect();
            let bytes = batch.iter().map(|known| (known.meta.len() + known.body.len()) as u64).sum();
            if journal.reserve(Purpose::Create, Bound { records: batch.len() as u32, bytes }).is_err() {
                break;
            }
            for known in batch {
                let home = journal.stage(&Record {
                    kind: 7,
                    flags: 0,
                    sequence: known.sequence,
                    meta: &known.meta,
                    body: &known.body,
                    body_crc: body_crc(&known.body),
                });
                self.staged.push((known, home));
            }
        }
        journal.seal();
    }

    fn make(&mut self, chance: &mut Chance) -> Known {
        self.next_sequence += 1;
        if self.exact {
            let len = 4096 * (1 + chance.below(2)) - (64 + 20 + 8 + 32);
            let len = if chance.one_in(2) { len } else { chance.below(2000) };
            let body = (0..len).map(|_| chance.draw() as u8).collect();
            return Known { sequence: self.next_sequence, meta: Vec::new(), body };
        }
        let fill = |len: u64, chance: &mut Chance| (0..len).map(|_| chance.draw() as u8).collect::<Vec<u8>>();
        let len = match chance.below(20) {
            0 => 0,
            1 => chance.below(20_000),
            2 if chance.one_in(20) => SEGMENT + chance.below(SEGMENT),
            _ => chance.below(1500),
        };
        Known { sequence: self.next_sequence, meta: fill(chance.below(60), chance), body: fill(len, chance) }
    }

    /// All that lies below `durable` is.
    fn note_durable(&mut self, journal: &Journal<FakeStorage>, frames: &[(usize, u64)]) {
        let durable = journal.durable().0;
        if durable > self.last_durable {
            self.proved = self.last_durable;
            self.last_durable = durable;
        }
        let whole = frames.iter().filter(|(_, end)| *end <= durable).map(|(count, _)| *count).max();
        self.durable = self.durable.max(whole.unwrap_or(0));
    }

    /// What a recovery visited must be what was staged, up to some point behind all that was durable, without one record for each
    /// byte that rotted.
    fn check(&mut self, seen: &[(Known, Home)], damages: u64) -> Result<(), String> {
        let needed = self.staged.iter().position(|(_, home)| home.segment >= self.head).unwrap_or(self.staged.len());
        let found = |wanted: &Known| self.staged.iter().position(|(known, _)| known.sequence == wanted.sequence);
        let mut next = seen.first().and_then(|(first, _)| found(first)).unwrap_or(needed).min(needed);
        let mut kept = Vec::new();
        let mut missing = 0;
        for (known, home) in seen {
            while self.staged.get(next).is_some_and(|(expected, _)| expected.sequence < known.sequence) {
                next += 1;
                missing += 1;
            }
            match self.staged.get(next) {
                Some((expected, at)) if expected == known && at == home => kept.push((expected.clone(), *at)),
                expected => return Err(format!("record {} is not {expected:?}", known.sequence)),
            }
            next += 1;
        }
        missing += self.durable.saturating_sub(next);
        if missing > self.rotten {
            return Err(format!("{missing} records missing, {} bytes rotten", self.rotten));
        }
        if (missing > 0 && damages == 0) || (damages > 0 && self.ever_rotten == 0 && !self.without_tables) {
            return Err(format!("{missing} records missing, {damages} damages reported"));
        }
        self.staged = kept;
        self.durable = self.staged.len();
        self.rotten = 0;
        Ok(())
    }

    /// Alters a byte that a finished sync covered, where later frames prove it.
    fn rot(&mut self, storage: &mut FakeStorage, chance: &mut Chance) {
        let from = self.head.0 * SEGMENT;
        if self.proved <= from {
            return;
        }
        let position = from + chance.below(self.proved - from);
        let number = storage.numbers().into_iter().rfind(|number| number.0 * SEGMENT <= position);
        let Some(number) = number else { return };
        let offset = (position - number.0 * SEGMENT) as usize;
        // Headers of segments are left alone: two hits in the two copies would be refused, rightly.
        if (4096..storage.durable(number).len()).contains(&offset) {
            storage.rot(number, offset);
            self.rotten += 1;
            self.ever_rotten += 1;
        }
    }
}

fn any_fate(chance: &mut Chance) -> Fate {
    match chance.below(8) {
        0..3 => Fate::Kept,
        3..6 => Fate::Lost,
        6 => Fate::Torn,
        _ => Fate::Rotten,
    }
}

/// Whole blocks are kept or not, so that some frames of a group land whole.
fn crash_by_blocks(storage: &mut FakeStorage, chance: &mut Chance) {
    let mut fate = Fate::Kept;
    storage.crash(&mut |_, sector| {
        if sector.is_multiple_of(8) {
            fate = if chance.one_in(2) { Fate::Kept } else { Fate::Lost };
        }
        fate
    });
}

/// Runs a history; what was durable must be visited, in order, unaltered, and nothing invented.
pub fn run(seed: u64, without_tables: bool) -> Result<(), String> {
    let mut chance = Chance(seed);
    let mut model = Model { exact: chance.one_in(3), without_tables, ..Model::default() };
    let mut storage = FakeStorage::new(1 << 30);
    for _ in 0..6 {
        let (mut journal, seen) = recover(storage, chance.draw(), without_tables)?;
        model.check(&seen, journal.recovery().damages)?;
        model.last_durable = journal.durable().0;
        model.proved = model.last_durable;
        live(&mut journal, &mut model, &mut chance)?;
        storage = journal.into_storage();
        match chance.below(4) {
            0 => storage.kill(&mut |_| chance.one_in(2)),
            1 => {
                let fate = [Fate::Kept, Fate::Lost, Fate::Torn, Fate::Rotten][chance.below(4) as usize];
                storage.crash(&mut |_, _| fate);
            }
            2 => storage.crash(&mut |_, _| any_fate(&mut chance)),
            _ => crash_by_blocks(&mut storage, &mut chance),
        }
        if chance.one_in(4) && !without_tables {
            model.rot(&mut storage, &mut chance);
        }
    }
    Ok(())
}

fn live(journal: &mut Journal<FakeStorage>, model: &mut Model, chance: &mut Chance) -> Result<(), String> {
    let mut frames = Vec::new();
    let steps = if chance.one_in(3) { 12 } else { 120 };
    for _ in 0..chance.below(steps) {
        match chance.below(10) {
            0..4 => {
                model.append(journal, chance);
                frames.push((model.staged.len(), journal.appended().0));
            }
            4..6 => {
                journal.submit();
            }
            6 => {
                let storage = journal.storage_mut();
                if chance.one_in(2) {
                    storage.step()
                } else {
                    storage.step_read()
                };
            }
            7..9 => {
                journal.storage_mut().finish_write();
            }
            _ => move_head(journal, model, chance),
        }
        if chance.one_in(400) {
            journal.storage_mut().fail_next_write();
        }
        // A failed sync ends the process.
        if journal.poll().is_err() {
            return Ok(());
        }
        model.note_durable(journal, &frames);
        read_back(journal, model, chance)?;
    }
    Ok(())
}

fn move_head(journal: &mut Journal<FakeStorage>, model: &mut Model, chance: &mut Chance) {
    let durable = journal.durable();
    let candidates: Vec<SegmentNumber> = model
        .staged
        .iter()
        .map(|(_, home)| home)
        .filter(|home| home.position <= durable)
        .map(|home| home.segment)
        .collect();
    if candidates.is_empty() || !chance.one_in(3) {
        return;
    }
    let segment = candidates[chance.below(candidates.len() as u64) as usize];
    if segment > model.head {
        journal.set_head(segment);
        model.head = segment;
    }
}

/// Any live record can be read, from memory or from a window.
fn read_back(journal: &mut Journal<FakeStorage>, model: &Model, chance: &mut Chance) -> Result<(), String> {
    if model.staged.is_empty() {
        return Ok(());
    }
    let (known, home) = &model.staged[chance.below(model.staged.len() as u64) as usize];
    if known.body.is_empty() || home.segment < model.head {
        return Ok(());
    }
    match journal.extent(home.position, home.len, body_crc(&known.body)) {
        Lookup::Memory(extent) | Lookup::Checked(extent)
            if extent.bytes(home.position, known.body.len()) == known.body =>
        {
            Ok(())
        }
        Lookup::Cold => {
            journal.fetch(home.position, home.len);
            Ok(())
        }
        Lookup::Memory(_) | Lookup::Checked(_) => Err("other bytes".into()),
        Lookup::Damaged if model.ever_rotten > 0 => Ok(()),
        Lookup::Damaged => Err(format!("{home:?} damaged")),
    }
}

/// The first seed that fails, and how.
#[allow(dead_code)]
pub fn first_failure(seeds: std::ops::Range<u64>) -> Option<(u64, String)> {
    seeds.into_iter().find_map(|seed| run(seed, false).err().map(|error| (seed, error)))
}

/// The first seed that fails when each start has to make the epoch table anew, and how.
#[allow(dead_code)]
pub fn first_failure_without_tables(seeds: std::ops::Range<u64>) -> Option<(u64, String)> {
    seeds.into_iter().find_map(|seed| run(seed, true).err().map(|error| (seed, error)))
}
