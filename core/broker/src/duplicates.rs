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

use crate::broker::{Broker, Step};
use crate::connection::Producer;
use crate::log::{Log, Store};
use crate::messages::{ConnectionIndex, MarkIndex};
use crate::plant::planted;
use crate::records::{self, kind};
use crate::sequences::small;
use crate::slab::Slab;
use crate::table::Map;
use foldhash::fast::FixedState;
use postrider_journal::{Bound, SegmentNumber};
use postrider_model::Now;
use postrider_model::command::Publish;
use std::collections::{BTreeMap, VecDeque};

/// Runs that are kept of every producer.
const RUNS: usize = 32;

/// Runs that are kept of a producer while all producers together do not have too many.
const RUNS_OF_ONE: usize = 1_024;

/// Runs that all producers together may have before one is held to [`RUNS`], for each mark that may be: 8 MiB by default.
const RUNS_PER_MARK: usize = 8;

/// Marks that are looked at for their age in one turn: each of them may be a record.
const AGED_AT_ONCE: usize = 1_024;

/// Longest connection id that is remembered.
const CONNECTION_ID_BYTES: usize = 4_096;

/// Numbers of stored sends, as runs from first to last, in order, none of which touches another.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Runs(VecDeque<(i64, i64)>);

impl Runs {
    /// Where the first run is that ends with this number or later.
    fn at(&self, number: i64) -> usize {
        match self.0.back() {
            Some((_, last)) if *last < number => self.0.len(),
            _ => self.0.partition_point(|(_, last)| *last < number),
        }
    }

    fn contains(&self, number: i64) -> bool {
        self.0.get(self.at(number)).is_some_and(|(first, _)| *first <= number)
    }

    /// First of the run that would end with this number.
    fn first_of_run_to(&self, number: i64) -> i64 {
        let joins = self.0.get(self.at(number.saturating_sub(1))).filter(|(first, _)| *first < number);
        joins.map_or(number, |(first, _)| *first)
    }

    /// Takes in a run, and keeps the newest `most`.
    fn insert(&mut self, first: i64, last: i64, most: usize) {
        if let Some(newest) = self.0.back_mut()
            && newest.0 <= first
            && first <= newest.1.saturating_add(1)
        {
            newest.1 = newest.1.max(last);
            return;
        }
        let mut at = self.at(first.saturating_sub(1));
        let mut joined = (first, last);
        while let Some(run) = self.0.get(at).copied().filter(|run| run.0 <= last.saturating_add(1)) {
            joined = (joined.0.min(run.0), joined.1.max(run.1));
            self.0.remove(at);
        }
        if self.0.len() >= most {
            // It is the oldest itself.
            if at == 0 {
                return;
            }
            self.0.pop_front();
            at -= 1;
        }
        self.0.insert(at, joined);
        self.give_back();
    }

    /// Gaps that are filled give their memory back: what all producers may have is counted in runs.
    fn give_back(&mut self) {
        let kept = self.0.len().max(RUNS);
        if self.0.capacity() > 2 * kept {
            self.0.shrink_to(kept + kept / 2);
        }
    }
}

/// What is known of a producer.
struct Mark {
    connection: Box<[u8]>,
    producer: (i64, i64),
    runs: Runs,
    /// From where on the records are that say it.
    segment: Option<SegmentNumber>,
    /// Producers now that it belongs to.
    attached: u32,
    /// When the last one left.
    detached: u64,
    serial: u64,
}

/// A mark that was found, and can be told from another that has its number later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MarkReference {
    index: MarkIndex,
    serial: u64,
}

/// The marks of a connection.
pub(crate) type ByProducer = BTreeMap<(i64, i64), MarkIndex>;

/// All marks.
pub(crate) struct Marks {
    table: Slab<Mark>,
    by_connection: Map<Box<[u8]>, ByProducer>,
    /// Marks that belong to nobody, by the time since when.
    detached: VecDeque<(u64, MarkReference)>,
    next_serial: u64,
    /// Runs of all marks.
    runs: usize,
    /// Of how many on a mark has no more than [`RUNS`].
    many_runs: usize,
}

impl Marks {
    /// For so many marks at most.
    pub fn new(hasher: &FixedState, most: usize) -> Marks {
        Marks {
            table: Slab::default(),
            by_connection: Map::with_hasher(hasher.clone()),
            detached: VecDeque::new(),
            next_serial: 1,
            runs: 0,
            many_runs: most.saturating_mul(RUNS_PER_MARK),
        }
    }

    /// A producer's run of stored sends is known from now on.
    fn insert_run(&mut self, index: MarkIndex, run: (i64, i64)) {
        let most = if self.runs < self.many_runs { RUNS_OF_ONE } else { RUNS };
        let runs = &mut self.table[index.0].runs;
        let before = runs.0.len();
        runs.insert(run.0, run.1, most.max(before));
        self.runs = (self.runs + runs.0.len()).saturating_sub(before);
    }

    /// First of the run that ends with this send.
    pub fn run_to(&self, mark: MarkReference, number: i64) -> i64 {
        self.table[mark.index.0].runs.first_of_run_to(number)
    }

    fn is_valid(&self, mark: MarkReference) -> bool {
        self.table.get(mark.index.0).is_some_and(|known| known.serial == mark.serial)
    }

    fn find(&self, connection: &[u8], producer: (i64, i64)) -> Option<MarkReference> {
        let index = self.by_connection.get(connection)?.get(&producer)?;
        Some(MarkReference { index: *index, serial: self.table[index.0].serial })
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
        let (runs, segment) = (Runs::default(), None);
        let mark = Mark { connection: connection.into(), producer, runs, segment, attached: 0, detached: 0, serial };
        let index = MarkIndex(self.table.insert(mark));
        match self.by_connection.get_mut(connection) {
            Some(others) => drop(others.insert(producer, index)),
            None => self.by_connection.insert(connection.into(), ByProducer::from([(producer, index)])),
        }
        MarkReference { index, serial }
    }
}

impl Broker {
    /// Whether the send is stored already and comes again.
    pub(crate) fn is_duplicate(&mut self, connection: ConnectionIndex, publish: &Publish) -> bool {
        if !publish.persistent || !self.connections[connection.0].failover_reconnect {
            return false;
        }
        let mark = self.mark_of(connection, publish.producer);
        mark.is_some_and(|mark| self.marks.table[mark.index.0].runs.contains(publish.producer_sequence))
    }

    /// The mark of a connection's producer; none if there are too many, or the message is another's.
    pub(crate) fn mark_of(&mut self, connection: ConnectionIndex, producer: u32) -> Option<MarkReference> {
        let owner = &mut self.connections[connection.0];
        let known = owner.producers.get_mut(producer as usize)?.as_mut()?;
        if known.mark.is_some_and(|mark| self.marks.is_valid(mark)) {
            return known.mark;
        }
        let key = (known.session, known.value);
        let found = match self.marks.find(&owner.id, key) {
            Some(found) => found,
            None if owner.id.len() > CONNECTION_ID_BYTES || self.marks.table.len() >= self.config.marks => return None,
            None => self.marks.add(&owner.id, key),
        };
        self.marks.table[found.index.0].attached += 1;
        known.mark = Some(found);
        Some(found)
    }

    /// A non-persistent send, taken or refused: its number is no gap, as it is never looked for.
    pub(crate) fn pass_mark(&mut self, connection: ConnectionIndex, publish: &Publish) {
        let producers = &self.connections[connection.0].producers;
        let mark = producers.get(publish.producer as usize).and_then(|known| known.as_ref()?.mark);
        if let Some(mark) = mark.filter(|mark| self.marks.is_valid(*mark)) {
            let runs = &mut self.marks.table[mark.index.0].runs;
            if let Some(newest) =
                runs.0.back_mut().filter(|newest| newest.1.checked_add(1) == Some(publish.producer_sequence))
            {
                newest.1 = publish.producer_sequence;
            }
        }
    }

    /// A message record says what its producer has sent: one run. If there are others, older records say so, and the mark stays at
    /// home with them until reclaim writes all of it.
    pub(crate) fn apply_mark(&mut self, mark: MarkReference, run: (i64, i64), segment: SegmentNumber) {
        self.marks.insert_run(mark.index, run);
        let known = &self.marks.table[mark.index.0];
        if known.segment.is_none() || known.runs.0 == [run] {
            self.rehome_mark(mark.index, segment);
        }
    }

    /// All that is known of the producer stands in this segment.
    fn rehome_mark(&mut self, index: MarkIndex, segment: SegmentNumber) {
        let old = self.marks.table[index.0].segment.replace(segment);
        if old != Some(segment) {
            self.journal.add_mark(segment);
            if let Some(old) = old {
                self.journal.remove_mark(old);
            }
        }
    }

    /// Recovery: a message record says this of a producer.
    pub(crate) fn recover_run(
        &mut self,
        connection: &[u8],
        producer: (i64, i64),
        run: (i64, i64),
        segment: SegmentNumber,
    ) {
        let mark = self.marks.find_or_add(connection, producer);
        self.apply_mark(mark, run, segment);
    }

    /// Recovery: a record says all that is known of a producer, or, without a run, that it is forgotten.
    pub(crate) fn recover_mark(
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
        let all: Vec<MarkReference> = self
            .marks
            .table
            .iter()
            .map(|(index, mark)| MarkReference { index: MarkIndex(index), serial: mark.serial })
            .collect();
        for mark in all {
            self.marks.table[mark.index.0].detached = now.nanos;
            self.marks.detached.push_back((now.nanos, mark));
        }
    }

    /// A producer ends; what it sent is remembered for a while.
    pub(crate) fn release_mark(&mut self, producer: &Producer, now: Now) {
        let Some(mark) = producer.mark.filter(|mark| self.marks.is_valid(*mark)) else { return };
        let known = &mut self.marks.table[mark.index.0];
        known.attached -= 1;
        if known.attached == 0 {
            known.detached = now.nanos;
            self.marks.detached.push_back((now.nanos, mark));
        }
    }

    /// The client said goodbye: it will not send again. Its marks are not known any more, and are to be dropped.
    pub(crate) fn forget_marks<L: Log>(&mut self, connection: &[u8], step: &mut Step<'_, L>) -> ByProducer {
        let forgotten = self.marks.by_connection.remove(connection);
        if forgotten.is_some() {
            self.flush_acknowledged(step);
            self.stage(Store::Journal, &small(kind::FORGET, connection), step);
        }
        forgotten.unwrap_or_default()
    }

    pub(crate) fn apply_forget(&mut self, connection: &[u8]) {
        for index in self.marks.by_connection.remove(connection).unwrap_or_default().into_values() {
            self.drop_mark(index);
        }
    }

    pub(crate) fn drop_mark(&mut self, index: MarkIndex) {
        let mark = self.marks.table.remove(index.0);
        self.marks.runs = self.marks.runs.saturating_sub(mark.runs.0.len());
        if let Some(segment) = mark.segment {
            self.journal.remove_mark(segment);
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

    /// Forgets producers that have been away for long.
    pub(crate) fn age_marks<L: Log>(&mut self, step: &mut Step<'_, L>) {
        for _ in 0..AGED_AT_ONCE {
            let Some((since, mark)) = self.marks.detached.front().copied() else { return };
            let due = step.now.nanos >= since.saturating_add(self.config.mark_millis.saturating_mul(1_000_000));
            let crowded = self.marks.table.len() * 8 > self.config.marks * 7;
            if !due && !crowded {
                return;
            }
            let away = |known: &Mark| known.serial == mark.serial && known.attached == 0 && known.detached == since;
            let is_away = self.marks.table.get(mark.index.0).is_some_and(away) && self.marks.is_known(mark.index);
            if is_away && !self.write_mark(mark.index, true, step) {
                return;
            }
            self.marks.detached.pop_front();
        }
    }

    /// Reclaim: the next mark from `from` on that is homed in this segment moves to the end; its number, or none if there is
    /// none left.
    pub(crate) fn next_mark_in(&self, segment: SegmentNumber, from: u32, steps: usize) -> (u32, Option<MarkIndex>) {
        let mut at = from;
        for _ in 0..steps {
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
        (18 + mark.runs.0.len() * 16 + mark.connection.len()) as u64
    }

    /// Writes a mark by itself, for the last time if it goes. False: there is no room in the log now.
    pub(crate) fn write_mark<L: Log>(&mut self, index: MarkIndex, last: bool, step: &mut Step<'_, L>) -> bool {
        let bound = Bound { records: 2, bytes: self.mark_bytes(index) };
        let fits = if last { step.log.reserve(bound) } else { step.log.reserve_move(bound) };
        if !fits {
            return false;
        }
        self.flush_acknowledged(step);
        let mut meta = std::mem::take(&mut self.meta);
        let mark = &mut self.marks.table[index.0];
        let runs: &[(i64, i64)] = if last { &[] } else { mark.runs.0.make_contiguous() };
        records::write_mark(&mut meta, &mark.connection, mark.producer, runs);
        let segment = match planted("duplicate-mark-lost") && !last {
            true => self.journal.newest().unwrap_or_default(),
            false => self.stage(Store::Journal, &small(kind::MARK, &meta), step).segment,
        };
        self.meta = meta;
        if last {
            self.drop_mark(index);
            return true;
        }
        self.rehome_mark(index, segment);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_join_and_keep_gaps() {
        let mut runs = Runs::default();
        for number in [1, 2, 3, 7, 8, 5] {
            let first = runs.first_of_run_to(number);
            runs.insert(first, number, RUNS);
        }
        assert_eq!(runs.0, [(1, 3), (5, 5), (7, 8)]);
        assert_eq!((runs.contains(3), runs.contains(4), runs.contains(9)), (true, false, false));
        assert_eq!((runs.first_of_run_to(9), runs.first_of_run_to(4), runs.first_of_run_to(11)), (7, 1, 11));
        runs.insert(4, 4, RUNS);
        runs.insert(6, 6, RUNS);
        assert_eq!(runs.0, [(1, 8)]);
    }

    #[test]
    fn too_many_gaps_forget_the_oldest() {
        let mut runs = Runs::default();
        (0..100).for_each(|number| runs.insert(number * 2, number * 2, RUNS));
        assert_eq!(runs.0.len(), RUNS);
        assert!(!runs.contains(0) && runs.contains(198));
    }

    #[test]
    fn runs_are_the_numbers_of_a_set() {
        for seed in 0..200_u64 {
            let (mut runs, mut set) = (Runs::default(), std::collections::BTreeSet::new());
            let mut state = seed;
            let mut below = |most: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                i64::try_from((state >> 33) % most).unwrap_or(0)
            };
            for _ in 0..100 {
                let first = below(80) - 10;
                let last = first + below(4);
                runs.insert(first, last, usize::MAX);
                set.extend(first..=last);
                let number = below(90) - 15;
                let from = (i64::MIN..number).rev().find(|below| !set.contains(below)).map_or(number, |gap| gap + 1);
                assert_eq!(runs.contains(number), set.contains(&number), "{number} in {runs:?}");
                assert_eq!(runs.first_of_run_to(number), from, "{number} in {runs:?}");
            }
            let pairs: Vec<_> = runs.0.iter().copied().collect();
            assert!(pairs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{pairs:?}");
            assert_eq!(pairs.iter().map(|(first, last)| last - first + 1).sum::<i64>(), set.len() as i64);
        }
        let mut edges = Runs::default();
        [i64::MAX, i64::MIN, i64::MAX - 1].into_iter().for_each(|number| edges.insert(number, number, RUNS));
        assert_eq!(edges.0, [(i64::MIN, i64::MIN), (i64::MAX - 1, i64::MAX)]);
    }

    #[test]
    fn gaps_that_are_filled_take_no_memory_any_more() {
        let mut runs = Runs::default();
        (0..3_000).for_each(|number| runs.insert(number * 2, number * 2, RUNS_OF_ONE));
        assert_eq!((runs.0.len(), runs.0.capacity()), (RUNS_OF_ONE, RUNS_OF_ONE));
        (0..3_000).for_each(|number| runs.insert(number * 2 + 1, number * 2 + 1, RUNS_OF_ONE));
        assert_eq!(runs.0.len(), 1);
        assert!(runs.0.capacity() <= 2 * RUNS, "{}", runs.0.capacity());
    }

    #[test]
    fn producers_with_many_gaps_share_what_there_is() {
        let mut marks = Marks::new(&FixedState::with_seed(1), 100);
        let add = |marks: &mut Marks, name: &[u8]| marks.add(name, (1, 1)).index;
        let gaps = |marks: &mut Marks, index: MarkIndex| {
            (0..3_000).for_each(|number| marks.insert_run(index, (number * 2, number * 2)));
            marks.table[index.0].runs.0.len()
        };
        let (first, second) = (add(&mut marks, b"a"), add(&mut marks, b"b"));
        assert_eq!(gaps(&mut marks, first), 100 * RUNS_PER_MARK);
        assert_eq!(gaps(&mut marks, second), RUNS);
        assert_eq!(marks.runs, 100 * RUNS_PER_MARK + RUNS);
    }
}
