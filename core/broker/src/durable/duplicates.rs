//! What producers have sent and is stored, so that a client that comes back may send again what it got no answer for (R17).
//!
//! For each producer the numbers of its stored sends are kept as runs without gap. Numbers between them were refused, or went
//! where nothing is stored: they are accepted when they come again. Only the newest runs are kept, so that too many gaps lead to
//! accepting what is known, never to dropping what is not. How far back a client repeats is its own affair: one that sends to queues
//! and to topics nobody hears in turns, and waits for many answers at a time, makes a gap with every second send.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

mod room;

use crate::broker::Broker;
use crate::durable::staging::small;
use crate::kit::runs::Runs;
use crate::kit::slab::Slab;
use crate::kit::table::Map;
use crate::log::{Log, LogKind};
use crate::messages::MarkIndex;
use crate::plant::planted;
use crate::records::items::RECORD_OVERHEAD;
use crate::records::{self, kind};
use crate::step::Step;
use foldhash::fast::FixedState;
use postrider_journal::{Bound, Purpose, SegmentNumber};
use postrider_model::Now;
use room::{RETURN_NANOS, RUNS_PER_MARK};
use std::collections::BTreeMap;
#[cfg(feature = "plant")]
use std::hash::BuildHasher;

/// Longest connection id that is remembered.
const CONNECTION_ID_BYTES: usize = 4_096;

/// What is known of a producer.
struct Mark {
    connection: Box<[u8]>,
    producer: (i64, i64),
    runs: Runs,
    /// From where on the records are that say it.
    segment: Option<SegmentNumber>,
    /// Bytes that it counts for there.
    counted: u64,
    /// Producers now that it belongs to.
    attached: u32,
    /// From when on it may be forgotten for others, while it belongs to nobody.
    detached: Option<u64>,
    serial: u64,
    /// Numbers that were passed: no record says so.
    #[cfg(feature = "plant")]
    passed: Vec<i64>,
}

/// A mark that was found, and can be told from another that has its number later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MarkReference {
    index: MarkIndex,
    serial: u64,
}

/// Who is remembered, by connection and producer, and what of each.
#[cfg(feature = "plant")]
#[doc(hidden)]
pub type Producers = BTreeMap<(Box<[u8]>, (i64, i64)), Sent>;

/// What is known of a producer's sends.
#[cfg(feature = "plant")]
#[doc(hidden)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    runs: Vec<(i64, i64)>,
    passed: Vec<i64>,
}

#[cfg(feature = "plant")]
impl Sent {
    /// The first stored send of which another does not know.
    #[must_use]
    pub fn unknown_to(&self, other: &Sent) -> Option<i64> {
        self.runs.iter().find_map(|(first, last)| {
            let mut number = *first;
            while number <= *last {
                match other.runs.iter().find(|(first, last)| (first..=last).contains(&&number)) {
                    Some((_, end)) => number = end.checked_add(1)?,
                    None if self.passed.contains(&number) => number = number.checked_add(1)?,
                    None => return Some(number),
                }
            }
            None
        })
    }
}

/// The marks of a connection.
pub(crate) type ByProducer = BTreeMap<(i64, i64), MarkIndex>;

/// All marks.
pub(crate) struct Marks {
    table: Slab<Mark>,
    by_connection: Map<Box<[u8]>, ByProducer>,
    /// Marks that belong to nobody, by the time from which on they may be forgotten for others, and their serial.
    detached: BTreeMap<(u64, u64), MarkIndex>,
    next_serial: u64,
    /// Up to where marks were looked at that belong to somebody, and for which there is no room.
    looked_at: u32,
    /// Runs of all marks.
    runs: usize,
    /// Of how many on a mark has no more than [`RUNS`].
    many_runs: usize,
    /// Bytes that all of them count for in the log.
    bytes: u64,
    /// Bytes that they may: a part of what may live.
    room: u64,
    /// When that became less, and whether runs were cut for it.
    less_since: u64,
    is_cut: bool,
}

impl Marks {
    /// For so many marks at most.
    pub(crate) fn new(hasher: &FixedState, most: usize) -> Marks {
        Marks {
            table: Slab::default(),
            by_connection: Map::with_hasher(hasher.clone()),
            detached: BTreeMap::new(),
            next_serial: 1,
            looked_at: 0,
            runs: 0,
            many_runs: most.saturating_mul(RUNS_PER_MARK),
            bytes: 0,
            room: u64::MAX,
            less_since: 0,
            is_cut: true,
        }
    }

    /// Bytes that all of them count for in the log.
    pub(crate) fn counted(&self) -> u64 {
        self.bytes
    }

    /// Who is remembered: runs and home differ where somebody has forgotten some for want of room.
    #[cfg(feature = "plant")]
    pub(crate) fn digest(&self) -> u64 {
        let stored = |mark: &&Mark| mark.segment.is_some();
        let known = self.table.iter().filter(|(index, _)| self.is_known(MarkIndex(*index))).map(|(_, mark)| mark);
        let hash = |mark: &Mark| FixedState::with_seed(7).hash_one((&mark.connection, mark.producer));
        known.filter(stored).fold(0, |sum, mark| sum.wrapping_add(hash(mark)))
    }

    /// What is known of all who are remembered.
    #[cfg(feature = "plant")]
    pub(crate) fn producers(&self) -> Producers {
        let known =
            self.table.iter().filter(|(index, mark)| mark.segment.is_some() && self.is_known(MarkIndex(*index)));
        let sent = |mark: &Mark| Sent { runs: mark.runs.iter().collect(), passed: mark.passed.clone() };
        known.map(|(_, mark)| ((mark.connection.clone(), mark.producer), sent(mark))).collect()
    }

    /// How many there are.
    #[cfg(feature = "plant")]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// First of the run that ends with this send.
    pub(crate) fn run_to(&self, mark: MarkReference, number: i64) -> i64 {
        self.table[mark.index.0].runs.first_of_run_to(number)
    }

    /// Whether a send is known: it is stored already.
    pub(crate) fn contains(&self, mark: MarkReference, number: i64) -> bool {
        self.table[mark.index.0].runs.contains(number)
    }

    /// A send that nobody looks for again: its number is no gap.
    pub(crate) fn pass(&mut self, mark: MarkReference, number: i64) {
        if self.is_valid(mark) {
            self.table[mark.index.0].runs.pass(number);
            #[cfg(feature = "plant")]
            self.table[mark.index.0].passed.push(number);
        }
    }

    /// What is known of a producer, if anything is; nobody else's need forgets it as long as the producer has it. `kept` is what it has.
    #[inline]
    pub(crate) fn known(
        &mut self,
        connection: &[u8],
        producer: (i64, i64),
        kept: &mut Option<MarkReference>,
    ) -> Option<MarkReference> {
        if kept.is_some_and(|mark| self.is_valid(mark)) {
            return *kept;
        }
        let found = self.find(connection, producer)?;
        self.attach(found.index);
        *kept = Some(found);
        Some(found)
    }

    /// The mark of a producer of which nothing is known; none if there are as many as may be.
    pub(crate) fn begin(
        &mut self,
        connection: &[u8],
        producer: (i64, i64),
        kept: &mut Option<MarkReference>,
        most: usize,
    ) -> Option<MarkReference> {
        if connection.len() > CONNECTION_ID_BYTES || self.table.len() >= most || self.bytes >= self.room {
            return None;
        }
        let added = self.add(connection, producer);
        self.attach(added.index);
        *kept = Some(added);
        Some(added)
    }

    fn is_valid(&self, mark: MarkReference) -> bool {
        self.table.get(mark.index.0).is_some_and(|known| known.serial == mark.serial)
    }

    fn find(&self, connection: &[u8], producer: (i64, i64)) -> Option<MarkReference> {
        let index = self.by_connection.get(connection)?.get(&producer)?;
        Some(MarkReference { index: *index, serial: self.table[index.0].serial })
    }

    /// Whether it is this producer's.
    fn is_of(&self, mark: MarkReference, connection: &[u8], producer: (i64, i64)) -> bool {
        let known = self.table.get(mark.index.0).filter(|known| known.serial == mark.serial);
        known.is_some_and(|known| known.producer == producer && *known.connection == *connection)
    }

    /// Whether it is the one that its producer has: what a goodbye has forgotten is not, and is dropped soon.
    fn is_known(&self, index: MarkIndex) -> bool {
        let known = self.table.get(index.0).and_then(|mark| self.find(&mark.connection, mark.producer));
        known.is_some_and(|known| known.index == index)
    }

    fn find_or_add(&mut self, connection: &[u8], producer: (i64, i64)) -> MarkReference {
        self.find(connection, producer).unwrap_or_else(|| self.add(connection, producer))
    }

    fn add(&mut self, connection: &[u8], producer: (i64, i64)) -> MarkReference {
        let serial = self.next_serial;
        self.next_serial += 1;
        let (runs, segment, counted) = (Runs::default(), None, 0);
        let (connection_id, attached, detached) = (connection.into(), 0, None);
        let mark = Mark {
            connection: connection_id,
            producer,
            runs,
            segment,
            counted,
            attached,
            detached,
            serial,
            #[cfg(feature = "plant")]
            passed: Vec::new(),
        };
        let index = MarkIndex(self.table.insert(mark));
        match self.by_connection.get_mut(connection) {
            Some(others) => drop(others.insert(producer, index)),
            None => self.by_connection.insert(connection.into(), ByProducer::from([(producer, index)])),
        }
        MarkReference { index, serial }
    }
}

impl Broker {
    /// A message record says what its producer has sent: one run. If there are others, older records say so, and the mark stays at
    /// home with them until reclaim writes all of it.
    pub(crate) fn apply_mark(&mut self, mark: MarkReference, run: (i64, i64), segment: SegmentNumber) {
        let grown = self.marks.insert_run(mark.index, run);
        let known = &self.marks.table[mark.index.0];
        match known.segment {
            Some(home) if home == segment && !grown => {}
            Some(home) if !known.runs.is_only(run) => {
                if grown {
                    self.rehome_mark(mark.index, home);
                }
            }
            _ => self.rehome_mark(mark.index, segment),
        }
    }

    /// All that is known of the producer stands in this segment, from which it has to move with so many bytes.
    fn rehome_mark(&mut self, index: MarkIndex, segment: SegmentNumber) {
        let bytes = if planted("marks-uncounted") { 0 } else { self.mark_bytes(index) + RECORD_OVERHEAD };
        let known = &mut self.marks.table[index.0];
        let old = known.segment.replace(segment);
        if old == Some(segment) && known.counted == bytes {
            return;
        }
        let counted = std::mem::replace(&mut known.counted, bytes);
        self.marks.bytes = (self.marks.bytes + bytes).saturating_sub(counted);
        self.journal.add_mark(segment, bytes);
        if let Some(old) = old {
            self.journal.remove_mark(old, counted);
        }
    }

    /// A message record that is followed says this of a producer.
    pub(crate) fn follow_run(
        &mut self,
        connection: &[u8],
        producer: (i64, i64),
        run: (i64, i64),
        segment: SegmentNumber,
    ) {
        let last = self.following.as_ref().and_then(|following| following.mark);
        let is_same = |mark: &MarkReference| self.marks.is_of(*mark, connection, producer);
        let mark = last.filter(is_same).unwrap_or_else(|| self.marks.find_or_add(connection, producer));
        if let Some(following) = &mut self.following {
            following.mark = Some(mark);
        }
        self.apply_mark(mark, run, segment);
    }

    /// A record that is followed says all that is known of a producer, or, without a run, that it is forgotten.
    pub(crate) fn follow_mark(
        &mut self,
        connection: &[u8],
        producer: (i64, i64),
        runs: &[(i64, i64)],
        segment: SegmentNumber,
    ) {
        let mark = self.marks.find_or_add(connection, producer);
        if runs.is_empty() {
            self.drop_mark(mark.index);
            return;
        }
        for run in runs {
            self.marks.insert_run(mark.index, *run);
        }
        self.rehome_mark(mark.index, segment);
    }

    /// After recovery: nobody has the marks, until clients come back.
    pub(crate) fn detach_all_marks(&mut self, now: Now) {
        let all: Vec<u32> = self.marks.table.iter().map(|(index, _)| index).collect();
        for index in all {
            self.marks.detach(MarkIndex(index), now.nanos.saturating_add(RETURN_NANOS));
        }
    }

    /// The client said goodbye: it will not send again. Its marks are not known any more, and are to be dropped.
    pub(crate) fn forget_marks<L: Log>(&mut self, connection: &[u8], step: &mut Step<'_, L>) -> ByProducer {
        let forgotten = self.marks.by_connection.remove(connection);
        if forgotten.is_some() {
            self.flush_acknowledged(step);
            self.stage(LogKind::Journal, &small(kind::FORGET, connection), step);
        }
        forgotten.unwrap_or_default()
    }

    pub(crate) fn apply_forget(&mut self, connection: &[u8]) {
        for index in self.marks.by_connection.remove(connection).unwrap_or_default().into_values() {
            self.drop_mark(index);
        }
    }

    pub(crate) fn drop_mark(&mut self, index: MarkIndex) {
        self.marks.unlist(index);
        let mark = self.marks.table.remove(index.0);
        self.marks.runs = self.marks.runs.saturating_sub(mark.runs.len());
        if let Some(segment) = mark.segment {
            self.marks.bytes = self.marks.bytes.saturating_sub(mark.counted);
            self.journal.remove_mark(segment, mark.counted);
        }
        if let Some(others) = self.marks.by_connection.get_mut(&mark.connection)
            && others.get(&mark.producer) == Some(&index)
        {
            others.remove(&mark.producer);
            if others.is_empty() {
                self.marks.by_connection.remove(&mark.connection);
            }
        }
    }

    /// Reclaim: the next mark from `from` on that is homed in this segment moves to the end; its number, or none if there is
    /// none left, or none within so many steps.
    pub(crate) fn next_mark_in(
        &self,
        segment: SegmentNumber,
        from: u32,
        steps: &mut usize,
    ) -> (u32, Option<MarkIndex>) {
        let mut at = from;
        while *steps > 0 {
            *steps -= 1;
            let Some(index) = self.marks.table.next_taken(at) else { return (u32::MAX, None) };
            if self.marks.table[index].segment == Some(segment) && self.marks.is_known(MarkIndex(index)) {
                return (index, Some(MarkIndex(index)));
            }
            at = index + 1;
        }
        (at, None)
    }

    /// Bytes of a mark's record.
    pub(crate) fn mark_bytes(&self, index: MarkIndex) -> u64 {
        let mark = &self.marks.table[index.0];
        records::mark_length(&mark.connection, mark.runs.len()) as u64
    }

    /// Writes a mark by itself, for the last time if it goes. False: there is no room in the log now.
    pub(crate) fn write_mark<L: Log>(&mut self, index: MarkIndex, last: bool, step: &mut Step<'_, L>) -> bool {
        let bytes = if last { self.last_bytes(index) } else { self.mark_bytes(index) };
        let bound = Bound { records: 2, bytes };
        if !step.log.reserve(if last { Purpose::Settle } else { Purpose::Move }, bound) {
            return false;
        }
        self.flush_acknowledged(step);
        let mut meta = std::mem::take(&mut self.durable.meta);
        let mark = &mut self.marks.table[index.0];
        let runs: &[(i64, i64)] = if last { &[] } else { mark.runs.as_slice() };
        records::write_mark(&mut meta, &mark.connection, mark.producer, runs);
        let segment = match planted("duplicate-mark-lost") && !last {
            true => self.journal.newest().unwrap_or_default(),
            false => self.stage(LogKind::Journal, &small(kind::MARK, &meta), step).segment,
        };
        self.durable.meta = meta;
        if last {
            self.drop_mark(index);
            return true;
        }
        self.rehome_mark(index, segment);
        true
    }
}

#[cfg(test)]
mod tests;
