//! Bytes that are no longer what was written, and which records they took.

use std::convert::Infallible;
use std::fmt;

use postrider_broker::records::kind;
use postrider_journal::{Config, Journal, Opened};

use super::{Disk, SECTOR, SimStorage, State};
use crate::random::Random;
use crate::schedule::Schedule;

/// A record as a start would find it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundRecord {
    /// Its segment.
    pub segment: u64,
    /// Where its body is there, or else its frame.
    offset: usize,
    /// Its kind.
    pub kind: u8,
    /// Its sequence.
    pub sequence: u64,
    /// What the broker decided.
    pub meta: Vec<u8>,
    /// What never changes, and nothing where it is not that any more.
    pub body: Vec<u8>,
}

impl fmt::Debug for FoundRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FoundRecord { segment, offset, kind, sequence, meta, body } = self;
        write!(
            f,
            "kind {kind} sequence {sequence} meta {meta:?} body of {} bytes in segment {segment} at {offset}",
            body.len()
        )
    }
}

/// What rots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Any byte that was written.
    Anything,
    /// What a message consists of.
    Body,
    /// What a record of this kind says.
    Meta(u8),
}

impl Target {
    /// All that can be drawn.
    pub const ALL: [Target; 9] = [
        Target::Anything,
        Target::Body,
        Target::Body,
        Target::Body,
        Target::Body,
        Target::Meta(kind::DESTINATION),
        Target::Meta(kind::RESERVE),
        Target::Meta(kind::ALLOW),
        Target::Meta(kind::ACKNOWLEDGE),
    ];
}

/// Where the frames of a segment begin.
const HEADER_BYTES: usize = 4_096;

/// Segments at the end of the log that do not rot: the damage of a last group cannot be told from a torn end.
const NEW_SEGMENTS: u64 = 2;

impl Disk {
    /// Lets bytes of old segments rot, as far as there are any. How many, and the records that a start does not find any more, or not as
    /// they were.
    pub fn rot(&self, targets: &[Target], config: &Config) -> (usize, Vec<FoundRecord>) {
        let before = self.records(config);
        let mut state = self.state.borrow_mut();
        let mut bytes = 0;
        for target in targets {
            let Some((segment, offset)) = state.choose_rotten(*target, &before) else { continue };
            let number = state.random.next();
            state.files.get_mut(&segment).expect("just chosen").rot(offset, number);
            bytes += 1;
        }
        drop(state);
        let after = if bytes > 0 { self.records(config) } else { before.clone() };
        (bytes, missing(before, after))
    }

    /// Lets a byte of the last record rot. Whether there is one, and the records that it took.
    pub fn rot_last_group(&self, config: &Config) -> (bool, Vec<FoundRecord>) {
        let before = self.records(config);
        let rotten = self.state.borrow_mut().rot_last(&before);
        (rotten, missing(before, self.records(config)))
    }

    /// The records that a start would find now, in their order. It changes nothing.
    pub fn records(&self, config: &Config) -> Vec<FoundRecord> {
        let mut found = Vec::new();
        let opened = Journal::open(SimStorage::new(self.copy()), config.clone()).and_then(Opened::keep_all);
        let visited = opened.expect("a log that can be read").visit(&mut |record, home| {
            let intact = postrider_journal::body_crc(record.body) == record.body_crc;
            found.push(FoundRecord {
                segment: home.segment.0,
                offset: (home.position.0 - home.segment.0 * config.segment_bytes) as usize,
                kind: record.kind,
                sequence: record.sequence,
                meta: record.meta.to_vec(),
                body: if intact { record.body.to_vec() } else { Vec::new() },
            });
            Ok::<_, Infallible>(())
        });
        visited.err().inspect(|error| panic!("the directory cannot be examined: {error}"));
        found
    }

    /// Another disk with the same bytes.
    pub(super) fn copy(&self) -> Disk {
        let state = self.state.borrow();
        let copy = State {
            files: state.files.clone(),
            tables: state.tables.clone(),
            ..State::new(state.plan.clone(), Random::new(0))
        };
        Disk::with(copy, Schedule::new(Random::new(0)))
    }
}

impl State {
    fn rot_last(&mut self, records: &[FoundRecord]) -> bool {
        let Some(record) = records.last() else { return false };
        let needle = if record.body.is_empty() { &record.meta } else { &record.body };
        let Some(start) = self.find(record, needle) else { return false };
        let number = self.random.next();
        self.files.get_mut(&record.segment).expect("it holds the record").rot(start, number);
        true
    }

    /// Where a part of a record stands in its segment.
    fn find(&self, record: &FoundRecord, part: &[u8]) -> Option<usize> {
        let bytes = &self.files[&record.segment].bytes()[record.offset..];
        let found = bytes.windows(part.len().max(1)).position(|window| window == part)?;
        Some(record.offset + found)
    }

    /// A byte of an old segment that holds what is to rot.
    fn choose_rotten(&mut self, target: Target, records: &[FoundRecord]) -> Option<(u64, usize)> {
        let newest = records.iter().map(|record| record.segment).max()?;
        let old: Vec<u64> = self.files.keys().copied().filter(|segment| segment + NEW_SEGMENTS <= newest).collect();
        if old.is_empty() {
            return None;
        }
        if target == Target::Anything {
            let segment = *self.random.pick(&old);
            let file = &self.files[&segment];
            let offset = HEADER_BYTES + self.random.index(file.len() as usize - HEADER_BYTES);
            return file.is_written(offset / SECTOR).then_some((segment, offset));
        }
        let fits = |record: &&FoundRecord| {
            old.contains(&record.segment)
                && match target {
                    Target::Meta(kind) => record.kind == kind,
                    _ => record.kind == kind::MESSAGE && !record.body.is_empty(),
                }
        };
        let fitting: Vec<&FoundRecord> = records.iter().filter(fits).collect();
        if fitting.is_empty() {
            return None;
        }
        let record = *self.random.pick(&fitting);
        let needle = if matches!(target, Target::Meta(_)) { &record.meta } else { &record.body };
        let start = self.find(record, needle)?;
        Some((record.segment, start + self.random.index(needle.len())))
    }
}

/// What is among the first and not among the others.
fn missing(mut before: Vec<FoundRecord>, mut after: Vec<FoundRecord>) -> Vec<FoundRecord> {
    before.sort_unstable();
    after.sort_unstable();
    let mut after = after.into_iter().peekable();
    before.retain(|record| {
        while after.peek().is_some_and(|other| other < record) {
            after.next();
        }
        let there = after.peek() == Some(record);
        if there {
            after.next();
        }
        !there
    });
    before
}
