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
use crate::items::RECORD_OVERHEAD;
use crate::log::{Log, Store};
use crate::messages::{ConnectionIndex, MarkIndex};
use crate::plant::planted;
use crate::records::{self, kind};
use crate::runs::{RUNS, RUNS_OF_ONE, Runs};
use crate::sequences::small;
use crate::slab::Slab;
use crate::table::Map;
use foldhash::fast::FixedState;
use postrider_journal::{Bound, SegmentNumber};
use postrider_model::Now;
use postrider_model::command::Publish;
use std::collections::BTreeMap;

/// Runs that all producers together may have before one is held to [`RUNS`], for each mark that may be: 8 MiB by default.
const RUNS_PER_MARK: usize = 8;

/// Of what may live, this part is for marks at most.
const PART_OF_WHAT_LIVES: u64 = 8;

/// Bytes of the log that marks may take, however long it may be: twice what as many as may be by default take that have names of
/// 60 characters and their part of the runs.
const MOST_BYTES: u64 = 32 << 20;

/// So long whoever went without a goodbye has to come back, though there are too many: a failover client tries every half minute.
const RETURN_NANOS: u64 = 60_000_000_000;

/// Marks that are looked at for their age in one turn: each of them may be a record.
const AGED_AT_ONCE: usize = 1_024;

/// Bytes of these records: each repeats the connection's id, which may be long.
const AGED_BYTES: u64 = 256 << 10;

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
    /// Marks that belong to nobody, by the time from which on they may be forgotten for others, and their serial.
    detached: BTreeMap<(u64, u64), MarkIndex>,
    next_serial: u64,
    /// Runs of all marks.
    runs: usize,
    /// Of how many on a mark has no more than [`RUNS`].
    many_runs: usize,
    /// Bytes that all of them count for in the log.
    bytes: u64,
    /// Bytes that they may: a part of what may live.
    room: u64,
}

impl Marks {
    /// For so many marks at most.
    pub fn new(hasher: &FixedState, most: usize) -> Marks {
        Marks {
            table: Slab::default(),
            by_connection: Map::with_hasher(hasher.clone()),
            detached: BTreeMap::new(),
            next_serial: 1,
            runs: 0,
            many_runs: most.saturating_mul(RUNS_PER_MARK),
            bytes: 0,
            room: u64::MAX,
        }
    }

    /// A producer's run of stored sends is known from now on. Whether it is one more or less.
    fn insert_run(&mut self, index: MarkIndex, run: (i64, i64)) -> bool {
        let most = match self.bytes {
            bytes if bytes >= self.room => 1,
            bytes if bytes >= self.room / 2 || self.runs >= self.many_runs => RUNS,
            _ => RUNS_OF_ONE,
        };
        let runs = &mut self.table[index.0].runs;
        let before = runs.len();
        runs.insert(run.0, run.1, most.max(before));
        let after = runs.len();
        self.runs = (self.runs + after).saturating_sub(before);
        after != before
    }

    /// Whether nearly as many are known as may be.
    fn is_crowded(&self, most: usize) -> bool {
        self.table.len() > most - most / 8 || self.bytes > self.room - self.room / 8
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

    /// It belongs to nobody from now on, and may be forgotten for others from then on.
    fn detach(&mut self, index: MarkIndex, from: u64) {
        self.unlist(index);
        let mark = &mut self.table[index.0];
        mark.detached = Some(from);
        self.detached.insert((from, mark.serial), index);
    }

    /// It belongs to one more producer.
    fn attach(&mut self, index: MarkIndex) {
        self.table[index.0].attached += 1;
        self.unlist(index);
    }

    /// It is not among those that belong to nobody any more.
    fn unlist(&mut self, index: MarkIndex) {
        let mark = &mut self.table[index.0];
        if let Some(from) = mark.detached.take() {
            self.detached.remove(&(from, mark.serial));
        }
    }

    fn find_or_add(&mut self, connection: &[u8], producer: (i64, i64)) -> MarkReference {
        self.find(connection, producer).unwrap_or_else(|| self.add(connection, producer))
    }

    fn add(&mut self, connection: &[u8], producer: (i64, i64)) -> MarkReference {
        let serial = self.next_serial;
        self.next_serial += 1;
        let (runs, segment, counted) = (Runs::default(), None, 0);
        let (connection_id, attached, detached) = (connection.into(), 0, None);
        let mark = Mark { connection: connection_id, producer, runs, segment, counted, attached, detached, serial };
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
        let mark = self.known_mark(connection, publish.producer);
        mark.is_some_and(|mark| self.marks.table[mark.index.0].runs.contains(publish.producer_sequence))
    }

    /// What is known of a connection's producer, if anything is: nobody else's need forgets it as long as the producer is there.
    pub(crate) fn known_mark(&mut self, connection: ConnectionIndex, producer: u32) -> Option<MarkReference> {
        let owner = &mut self.connections[connection.0];
        let known = owner.producers.get_mut(producer as usize)?.as_mut()?;
        if known.mark.is_some_and(|mark| self.marks.is_valid(mark)) {
            return known.mark;
        }
        let found = self.marks.find(&owner.id, (known.session, known.value))?;
        self.marks.attach(found.index);
        known.mark = Some(found);
        Some(found)
    }

    /// The mark of a connection's producer that stores something; none if there are too many, or the message is another's.
    pub(crate) fn mark_of(&mut self, connection: ConnectionIndex, producer: u32) -> Option<MarkReference> {
        if let Some(known) = self.known_mark(connection, producer) {
            return Some(known);
        }
        let owner = &mut self.connections[connection.0];
        let known = owner.producers.get_mut(producer as usize)?.as_mut()?;
        let marks = &mut self.marks;
        if owner.id.len() > CONNECTION_ID_BYTES || marks.table.len() >= self.config.marks || marks.bytes >= marks.room {
            return None;
        }
        let added = marks.add(&owner.id, (known.session, known.value));
        marks.attach(added.index);
        known.mark = Some(added);
        Some(added)
    }

    /// A non-persistent send, taken or refused: its number is no gap, as it is never looked for.
    pub(crate) fn pass_mark(&mut self, connection: ConnectionIndex, publish: &Publish) {
        let producers = &self.connections[connection.0].producers;
        let mark = producers.get(publish.producer as usize).and_then(|known| known.as_ref()?.mark);
        if let Some(mark) = mark.filter(|mark| self.marks.is_valid(*mark)) {
            self.marks.table[mark.index.0].runs.pass(publish.producer_sequence);
        }
    }

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
        let all: Vec<u32> = self.marks.table.iter().map(|(index, _)| index).collect();
        for index in all {
            self.marks.detach(MarkIndex(index), now.nanos.saturating_add(RETURN_NANOS));
        }
    }

    /// A producer is closed by its client, which does not open it again: it goes before those that may come back.
    pub(crate) fn retire_mark(&mut self, producer: &Producer, now: Now) {
        self.let_go(producer, now.nanos);
    }

    /// A producer ends; what it sent is remembered for a while.
    pub(crate) fn release_mark(&mut self, producer: &Producer, now: Now) {
        self.let_go(producer, now.nanos.saturating_add(RETURN_NANOS));
    }

    /// A producer has its mark no more, which may be forgotten for others from then on.
    fn let_go(&mut self, producer: &Producer, from: u64) {
        let Some(mark) = producer.mark.filter(|mark| self.marks.is_valid(*mark)) else { return };
        let known = &mut self.marks.table[mark.index.0];
        known.attached -= 1;
        if known.attached == 0 {
            self.marks.detach(mark.index, from);
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

    /// Forgets producers that have been away for long.
    pub(crate) fn age_marks<L: Log>(&mut self, step: &mut Step<'_, L>) {
        self.marks.room = (self.live_limit(step) / PART_OF_WHAT_LIVES).min(MOST_BYTES);
        let old = self.config.mark_millis.saturating_mul(1_000_000);
        let mut left = AGED_BYTES;
        for _ in 0..AGED_AT_ONCE {
            let Some((&(from, _), &index)) = self.marks.detached.first_key_value() else { return };
            let due = step.now.nanos.saturating_add(RETURN_NANOS) >= from.saturating_add(old);
            if !due && (step.now.nanos < from || !self.marks.is_crowded(self.config.marks)) {
                return;
            }
            // What a goodbye has forgotten goes with its connection.
            if !self.marks.is_known(index) {
                self.marks.unlist(index);
                continue;
            }
            let bytes = self.last_bytes(index) + RECORD_OVERHEAD;
            if bytes > left || !self.write_mark(index, true, step) {
                return;
            }
            left -= bytes;
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
        records::mark_length(&mark.connection, mark.runs.len()) as u64
    }

    /// Bytes of the record that says that it goes.
    fn last_bytes(&self, index: MarkIndex) -> u64 {
        records::mark_length(&self.marks.table[index.0].connection, 0) as u64
    }

    /// Writes a mark by itself, for the last time if it goes. False: there is no room in the log now.
    pub(crate) fn write_mark<L: Log>(&mut self, index: MarkIndex, last: bool, step: &mut Step<'_, L>) -> bool {
        let bytes = if last { self.last_bytes(index) } else { self.mark_bytes(index) };
        let bound = Bound { records: 2, bytes };
        let fits = if last { step.log.reserve(bound) } else { step.log.reserve_move(bound) };
        if !fits {
            return false;
        }
        self.flush_acknowledged(step);
        let mut meta = std::mem::take(&mut self.meta);
        let mark = &mut self.marks.table[index.0];
        let runs: &[(i64, i64)] = if last { &[] } else { mark.runs.as_slice() };
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
    fn producers_with_many_gaps_share_what_there_is() {
        let mut marks = Marks::new(&FixedState::with_seed(1), 100);
        let add = |marks: &mut Marks, name: &[u8]| marks.add(name, (1, 1)).index;
        let gaps = |marks: &mut Marks, index: MarkIndex| {
            (0..3_000).for_each(|number| _ = marks.insert_run(index, (number * 2, number * 2)));
            marks.table[index.0].runs.len()
        };
        let (first, second) = (add(&mut marks, b"a"), add(&mut marks, b"b"));
        assert_eq!(gaps(&mut marks, first), 100 * RUNS_PER_MARK);
        assert_eq!(gaps(&mut marks, second), RUNS);
        assert_eq!(marks.runs, 100 * RUNS_PER_MARK + RUNS);
    }

    #[test]
    fn who_belongs_to_nobody_is_listed_once() {
        let mut marks = Marks::new(&FixedState::with_seed(1), 100);
        let indexes: Vec<MarkIndex> = (0..3).map(|value| marks.add(b"a", (1, value)).index).collect();
        for nanos in 0..10_000 {
            indexes.iter().for_each(|index| marks.detach(*index, nanos));
            marks.detach(indexes[0], nanos);
            marks.attach(indexes[1]);
            marks.detach(indexes[1], nanos);
        }
        marks.attach(indexes[2]);
        assert!(marks.detached.keys().eq(&[(9_999, 1), (9_999, 2)]));
        assert!(marks.detached.values().eq(&indexes[..2]));
    }

    /// What the journal counts for marks is what its tables and the marks say, whatever has happened.
    fn check_sums(broker: &Broker, others: u64) {
        let marks: Vec<(u32, &Mark)> = broker.marks.table.iter().collect();
        let counted: u64 = marks.iter().map(|(_, mark)| mark.counted).sum();
        assert_eq!(broker.marks.bytes, counted);
        assert_eq!(broker.journal.live_bytes(), counted + others);
        assert_eq!(broker.marks.runs, marks.iter().map(|(_, mark)| mark.runs.len()).sum::<usize>());
        let listed = |(index, mark): &(u32, &Mark)| Some(((mark.detached?, mark.serial), MarkIndex(*index)));
        let listed: BTreeMap<_, _> = marks.iter().filter_map(listed).collect();
        assert_eq!(broker.marks.detached, listed);
        let mut homes: BTreeMap<SegmentNumber, (u64, u32)> = BTreeMap::new();
        for (index, mark) in &marks {
            assert_eq!(mark.segment.is_none(), mark.runs.len() == 0, "who has stored something has a home");
            let expected = mark.segment.map_or(0, |_| broker.mark_bytes(MarkIndex(*index)) + RECORD_OVERHEAD);
            assert_eq!(mark.counted, expected);
            if let Some(segment) = mark.segment {
                let (bytes, count) = homes.entry(segment).or_default();
                (*bytes, *count) = (*bytes + mark.counted, *count + 1);
            }
        }
        let mut in_tables = 0;
        for number in 0..200 {
            let segment = SegmentNumber(number);
            let (bytes, count) = homes.get(&segment).copied().unwrap_or_default();
            let Some(table) = broker.journal.table(segment) else {
                assert_eq!(count, 0, "marks in a segment that has gone");
                continue;
            };
            assert_eq!(table.marks(), count);
            in_tables += table.live_bytes();
            assert!(table.live_bytes() >= bytes);
        }
        assert_eq!(in_tables, broker.journal.live_bytes());
    }

    #[test]
    fn what_marks_count_for_is_what_they_are() {
        use crate::items::{Item, ItemHome};
        use postrider_journal::{Generation, Home, Position};
        for seed in 1..400_u64 {
            let mut broker = Broker::new(crate::Config { marks: 50, ..Default::default() });
            let mut state = seed;
            let mut below = move |most: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % most
            };
            let (mut newest, mut items, mut others) = (0_u64, Vec::<ItemHome>::new(), 0_u64);
            let mut ordinal = 0_u32;
            for turn in 0..600_u64 {
                let segment = SegmentNumber(newest);
                broker.journal.note(segment, ordinal, Generation::Young);
                ordinal += 1;
                let name = vec![b'x'; 1 + below(5) as usize * 40];
                let producer = (1, below(4) as i64);
                let first = below(300) as i64;
                let last = first + below(3) as i64;
                let any = |broker: &Broker, pick: u64| {
                    let count = broker.marks.table.len() as u64;
                    let index = broker.marks.table.iter().nth((pick % count.max(1)) as usize).map(|(index, _)| index);
                    index.map(MarkIndex)
                };
                match below(16) {
                    0..=5 => broker.recover_run(&name, producer, (first, last), segment),
                    6 => {
                        let runs: Vec<_> = (0..below(5) as i64).map(|at| (first + at * 5, last + at * 5)).collect();
                        broker.recover_mark(&name, producer, &runs, segment);
                    }
                    7 => broker.apply_forget(&name),
                    8 => {
                        if let Some(index) = any(&broker, below(1_000)) {
                            broker.drop_mark(index);
                        }
                    }
                    9 => {
                        let mark = broker.marks.find_or_add(&name, producer);
                        if broker.marks.table[mark.index.0].segment.is_none() {
                            // Nothing is stored of it: it has no home, and goes again.
                            check_sums(&broker, others);
                            broker.drop_mark(mark.index);
                        } else {
                            let from = broker.marks.run_to(mark, last);
                            broker.apply_mark(mark, (from, last), segment);
                        }
                    }
                    10 => {
                        let place = Home { position: Position(0), segment, ordinal: ordinal - 1, len: 10 };
                        let home = ItemHome::new(place, 5);
                        broker.journal.place(home, Item::Reservation);
                        others += 15 + RECORD_OVERHEAD;
                        items.push(home);
                    }
                    11 => {
                        if !items.is_empty() {
                            let at = below(items.len() as u64) as usize;
                            broker.journal.clear(items.remove(at));
                            others -= 15 + RECORD_OVERHEAD;
                        }
                    }
                    12 => {
                        (newest, ordinal) = (newest + 1 + below(2), 1);
                        broker.journal.note(SegmentNumber(newest), 0, Generation::Young);
                        broker.marks.room = below(20_000);
                    }
                    13 | 14 => {
                        if let Some(index) = any(&broker, below(1_000)) {
                            match below(2) {
                                0 => broker.marks.attach(index),
                                _ => broker.marks.detach(index, turn / 4),
                            }
                        }
                    }
                    _ => {
                        // Reclaim: what lives in the front moves, and it goes.
                        if let Some(front) = broker.journal.front() {
                            let mut from = 0;
                            loop {
                                let (at, found) = broker.next_mark_in(front, from, 7);
                                if let Some(index) = found {
                                    broker.rehome_mark(index, SegmentNumber(newest));
                                } else if at == u32::MAX {
                                    break;
                                }
                                from = at;
                            }
                            for home in items.iter_mut().filter(|home| home.segment == front) {
                                broker.journal.clear(*home);
                                *home = ItemHome { segment: SegmentNumber(newest), ordinal, ..*home };
                                broker.journal.note(home.segment, ordinal, Generation::Young);
                                ordinal += 1;
                                broker.journal.place(*home, Item::Reservation);
                            }
                            assert!(broker.journal.is_dead(front), "{turn}");
                            broker.journal.drop_segment(front);
                        }
                    }
                }
                check_sums(&broker, others);
            }
            broker.detach_all_marks(Now { nanos: 1, unix_millis: 0 });
            let all: Vec<u32> = broker.marks.table.iter().map(|(index, _)| index).collect();
            all.into_iter().for_each(|index| broker.drop_mark(MarkIndex(index)));
            assert_eq!((broker.marks.bytes, broker.marks.runs), (0, 0));
            assert!((0..5).all(|length| broker.marks.by_connection.get(&vec![b'x'; 1 + length * 40][..]).is_none()));
            check_sums(&broker, others);
        }
    }
}
