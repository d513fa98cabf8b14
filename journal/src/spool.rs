//! The spool: bodies of non-persistent messages, in memory, on disk beyond a limit, never synced (R21). A crash loses all of it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::cold::{Arrival, Cold, Lookup, Wanted};
use crate::frame::{BODY_HEADER, BodyHeader, Record, Seed};
use crate::image::{Extent, Image, ImageWriter};
use crate::journal::Progress;
use crate::position::{Epoch, Home, Position, SegmentNumber};
use crate::storage::Read;
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// What spill files are written and read in.
const UNIT: u64 = 4096;
/// Unshared images kept for the next segments.
const POOL: usize = 16;
/// Segments beyond `memory_bytes` that may fill while others are written out.
const SLACK_SEGMENTS: u64 = 8;

/// Settings of a spool.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Bytes of a segment, a multiple of 4096. A larger body gets a segment of its own.
    pub segment_bytes: u64,
    /// Bytes in memory beyond which the oldest segments are written out.
    pub memory_bytes: u64,
    /// Windows of written-out segments that stay in memory, in bytes.
    pub cold_bytes: u64,
    /// Bytes a cold read brings in at least.
    pub read_ahead: u32,
    /// Seeds the checks of what is written out.
    pub keys: u64,
}

/// Which records share a segment: survivors are staged again among themselves, so that they hold no young ones back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Generation {
    /// Fresh messages.
    Young,
    /// Messages that outlived their first segment.
    Old,
}

/// Where segments go when there are too many in memory. Nothing blocks; answers come from `completed`, in any order.
pub trait Spill {
    /// Writes `len` bytes of the image out, a multiple of 4096.
    fn spill(&mut self, segment: SegmentNumber, image: Arc<Image>, len: usize);
    /// Reads a window of a segment that was written out.
    fn read(&mut self, read: Read);
    /// A segment that was written out is not needed any more.
    fn discard(&mut self, segment: SegmentNumber);
    /// The next answer.
    fn completed(&mut self) -> Option<Spilled>;
    /// Whether there is one: looked at once more before a thread sleeps (R26).
    fn has_completed(&self) -> bool;
}

/// An answer of a [`Spill`].
pub enum Spilled {
    /// A segment is written out, or stays in memory.
    Out {
        /// Which.
        segment: SegmentNumber,
        /// How it went.
        result: io::Result<()>,
    },
    /// A window.
    Read {
        /// The request's.
        ticket: u64,
        /// The window.
        result: io::Result<Arc<Image>>,
    },
}

/// Keeps everything in memory.
#[derive(Default)]
pub struct NoSpill;

/// The log of what need not survive.
pub struct Spool<P: Spill> {
    spill: P,
    config: SpoolConfig,
    /// By number, from `base` on; none where a segment was freed, or belongs to an oversize one.
    segments: VecDeque<Option<SpoolSegment>>,
    base: u64,
    open: [Option<Open>; 2],
    memory_bytes: u64,
    spilled_bytes: u64,
    pool: Vec<Arc<Image>>,
    cold: Cold,
    /// Writing out failed: all stays in memory, within `room`.
    refused: bool,
    /// Reads of windows that failed.
    read_failures: u64,
    troubles: Troubles,
}

struct SpoolSegment {
    bytes: u64,
    /// Bytes in use, a multiple of the unit once it is sealed.
    used: u64,
    image: Option<Arc<Image>>,
    state: State,
    live: u32,
    staged: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Sealed,
    /// Being written out.
    Leaving,
    Out,
}

struct Open {
    number: SegmentNumber,
    writer: ImageWriter,
    at: usize,
}

impl Default for SpoolConfig {
    fn default() -> SpoolConfig {
        SpoolConfig {
            // A few of them stay in the cache.
            segment_bytes: 2 << 20,
            memory_bytes: 512 << 20,
            cold_bytes: 64 << 20,
            read_ahead: 1 << 20,
            keys: 0,
        }
    }
}

impl Spill for NoSpill {
    fn spill(&mut self, segment: SegmentNumber, _: Arc<Image>, _: usize) {
        unreachable!("segment {segment}: a spool without a spill keeps within its memory");
    }
    fn read(&mut self, _: Read) {}
    fn discard(&mut self, _: SegmentNumber) {}
    fn completed(&mut self) -> Option<Spilled> {
        None
    }

    fn has_completed(&self) -> bool {
        false
    }
}

impl Spool<NoSpill> {
    /// A spool that stays in memory: beyond `memory_bytes` there is no room.
    #[must_use]
    pub fn in_memory(config: SpoolConfig) -> Spool<NoSpill> {
        Spool { refused: true, ..Spool::new(NoSpill, config) }
    }
}

impl<P: Spill> Spool<P> {
    /// An empty spool.
    #[must_use]
    pub fn new(spill: P, config: SpoolConfig) -> Spool<P> {
        assert!(config.segment_bytes.is_multiple_of(UNIT) && config.segment_bytes > UNIT, "segment_bytes");
        Spool {
            spill,
            cold: Cold::new(config.cold_bytes),
            config,
            segments: VecDeque::new(),
            base: 0,
            open: [None, None],
            memory_bytes: 0,
            spilled_bytes: 0,
            pool: Vec::new(),
            refused: false,
            read_failures: 0,
            troubles: Troubles::default(),
        }
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Bytes written out.
    pub fn spilled_bytes(&self) -> u64 {
        self.spilled_bytes
    }

    /// Bytes that may be staged before memory is beyond its bound. Who stages more than that breaks the bound, nothing else.
    pub fn room(&self) -> u64 {
        let slack = if self.refused { 0 } else { SLACK_SEGMENTS * self.config.segment_bytes };
        (self.config.memory_bytes + slack).saturating_sub(self.memory_bytes)
    }

    /// Copies a record's body; it can be read at once. The record counts as live in its segment until it is released.
    pub fn stage(&mut self, record: &Record<'_>, generation: Generation) -> Home {
        let needed = BODY_HEADER + record.body.len();
        let slot = generation as usize;
        // An oversize segment takes one record, so that every body begins in the first of its numbers.
        let limit = self.config.segment_bytes as usize;
        let fits = |open: &Open| open.at < limit && open.at + needed <= open.writer.len();
        if !self.open[slot].as_ref().is_some_and(fits) {
            self.turn_over(slot, needed as u64);
        }
        let seed = self.seed();
        let open = self.open[slot].as_mut().expect("just opened");
        let start = Position(open.number.0 * self.config.segment_bytes) + open.at as u64;
        let len = record.body.len() as u32;
        let header = BodyHeader { len, sequence: record.sequence, crc: record.body_crc };
        let (head, body) = open.writer.bytes_mut(open.at, needed).split_at_mut(BODY_HEADER);
        head.copy_from_slice(&header.encode(start, seed));
        body.copy_from_slice(record.body);
        open.at += needed;
        open.writer.publish(open.at);
        let number = open.number;
        let segment = self.segment_mut(number).expect("an open segment is there");
        segment.live += 1;
        segment.staged += 1;
        let ordinal = segment.staged - 1;
        Home { position: start + BODY_HEADER as u64, segment: number, ordinal, len }
    }

    /// A record of a segment is not needed any more; with the last one the segment goes. Panics on one too many.
    pub fn release(&mut self, number: SegmentNumber) {
        let segment = self.segment_mut(number).expect("a record keeps its segment");
        segment.live = segment.live.checked_sub(1).expect("no more releases than records");
        if segment.live == 0 && segment.state != State::Open {
            self.free(number);
        }
    }

    /// Live records of a segment.
    pub fn live(&self, number: SegmentNumber) -> u32 {
        self.segment(number).map_or(0, |segment| segment.live)
    }

    /// The sealed segment with the smallest share of live records, with its live and all its records: its survivors should
    /// be staged again as old ones.
    pub fn sparsest(&self) -> Option<(SegmentNumber, u32, u32)> {
        let sealed = self.segments.iter().enumerate().filter_map(|(index, segment)| {
            let segment = segment.as_ref().filter(|segment| segment.state != State::Open)?;
            Some((SegmentNumber(self.base + index as u64), segment.live, segment.staged))
        });
        sealed.min_by(|a, b| (u64::from(a.1) * u64::from(b.2)).cmp(&(u64::from(b.1) * u64::from(a.2))))
    }

    /// The memory that holds the body at `position` (a [`Home`]'s).
    pub fn extent(&mut self, position: Position, len: u32) -> Lookup {
        let number = self.number_at(position);
        let base = Position(number.0 * self.config.segment_bytes);
        match self.segment(number) {
            None => Lookup::Damaged,
            Some(SpoolSegment { image: Some(image), .. }) => Lookup::Memory(Extent { base, image: Arc::clone(image) }),
            Some(_) => self.cold.lookup(number, (position, len), self.seed()),
        }
    }

    /// Asks for a window that holds the body at `position`; a poll tells when one arrived.
    pub fn fetch(&mut self, position: Position, len: u32) {
        let number = self.number_at(position);
        let used = self.segment(number).expect("a record keeps its segment").used;
        let bounds = (Position(number.0 * self.config.segment_bytes), used);
        let wanted = Wanted { position, len, read_ahead: self.config.read_ahead, unit: UNIT };
        self.cold.fetch(number, bounds, wanted);
        self.read();
    }

    /// Tries again what could not be read, when its pause is over: after a poll, with the time in nanoseconds. True: whoever
    /// waits for bytes looks again.
    pub fn try_again(&mut self, now: u64) -> bool {
        let look_again = self.cold.try_again(now);
        self.read();
        look_again
    }

    /// When there is something to be tried again, in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.cold.deadline()
    }

    /// Reads that failed, and windows that could not be read so far.
    pub fn read_failures(&self) -> (u64, u64) {
        (self.read_failures, self.cold.failed() as u64)
    }

    /// Something that failed, and is tried again.
    pub fn take_trouble(&mut self) -> Option<Trouble> {
        self.troubles.take()
    }

    fn read(&mut self) {
        while let Some(read) = self.cold.next_read() {
            self.spill.read(read);
        }
    }

    fn arrived(&mut self, ticket: u64, result: io::Result<Arc<Image>>) -> u32 {
        let Some(Arrival { read, error, look_again }) = self.cold.arrived(ticket, result) else { return 0 };
        if let Some(error) = error {
            self.read_failures += 1;
            let file = format!("spill-{:016x}", read.segment.0);
            self.troubles.add(TroubleKind::Read { file, offset: read.offset, len: u64::from(read.len) }, error);
        }
        self.read();
        u32::from(look_again)
    }

    /// Whether a poll would bring something.
    pub fn has_completed(&self) -> bool {
        self.spill.has_completed()
    }

    /// Takes the spill's answers.
    pub fn poll(&mut self) -> Progress {
        let mut progress = Progress::default();
        while let Some(answer) = self.spill.completed() {
            match answer {
                Spilled::Out { segment, result } => self.left(segment, result),
                Spilled::Read { ticket, result } => progress.fetched += self.arrived(ticket, result),
            }
        }
        self.write_out();
        progress
    }

    /// Tries to write out again after that failed.
    pub fn spill_again(&mut self) {
        self.refused = false;
        self.write_out();
    }

    /// The spill, for who drives it in tests.
    pub fn spill_mut(&mut self) -> &mut P {
        &mut self.spill
    }

    fn seed(&self) -> Seed {
        Seed { key: self.config.keys, epoch: Epoch(0) }
    }

    /// Bodies begin in the first of an oversize segment's numbers.
    fn number_at(&self, position: Position) -> SegmentNumber {
        SegmentNumber(position.0 / self.config.segment_bytes)
    }

    fn segment(&self, number: SegmentNumber) -> Option<&SpoolSegment> {
        self.segments.get(number.0.checked_sub(self.base)? as usize)?.as_ref()
    }

    fn segment_mut(&mut self, number: SegmentNumber) -> Option<&mut SpoolSegment> {
        self.segments.get_mut(number.0.checked_sub(self.base)? as usize)?.as_mut()
    }

    /// Seals the open segment of a generation and opens the next.
    fn turn_over(&mut self, slot: usize, needed: u64) {
        if let Some(open) = self.open[slot].take() {
            self.seal(open);
        }
        let bytes = needed.next_multiple_of(self.config.segment_bytes);
        let number = SegmentNumber(self.base + self.segments.len() as u64);
        let writer = self.image(bytes);
        let image = Some(Arc::clone(writer.image()));
        self.memory_bytes += bytes;
        self.segments.push_back(Some(SpoolSegment { bytes, used: 0, image, state: State::Open, live: 0, staged: 0 }));
        let further = bytes / self.config.segment_bytes - 1;
        self.segments.extend((0..further).map(|_| None));
        self.open[slot] = Some(Open { number, writer, at: 0 });
        self.write_out();
    }

    fn seal(&mut self, open: Open) {
        let Open { number, mut writer, at } = open;
        let used = at.next_multiple_of(UNIT as usize).min(writer.len());
        writer.bytes_mut(at, used - at).fill(0);
        writer.publish(used);
        drop(writer);
        let segment = self.segment_mut(number).expect("an open segment is there");
        segment.used = used as u64;
        segment.state = State::Sealed;
        if segment.live == 0 {
            self.free(number);
        }
    }

    /// Hands the oldest segments to the spill while there is too much in memory.
    fn write_out(&mut self) {
        let mut memory = self.memory_bytes;
        for (index, segment) in self.segments.iter_mut().enumerate() {
            if memory <= self.config.memory_bytes || self.refused {
                return;
            }
            let Some(segment) = segment else { continue };
            if segment.state == State::Sealed {
                segment.state = State::Leaving;
                let image = Arc::clone(segment.image.as_ref().expect("a sealed segment is in memory"));
                self.spill.spill(SegmentNumber(self.base + index as u64), image, segment.used as usize);
            }
            if segment.state == State::Leaving {
                memory -= segment.bytes;
            }
        }
    }

    fn left(&mut self, number: SegmentNumber, result: io::Result<()>) {
        self.refused = result.is_err();
        let gone = result.is_ok();
        let Some(segment) = self.segment_mut(number) else {
            self.spill.discard(number);
            return;
        };
        if !gone {
            segment.state = State::Sealed;
            return;
        }
        segment.state = State::Out;
        let (bytes, used) = (segment.bytes, segment.used);
        let image = segment.image.take().expect("in memory until it is out");
        self.memory_bytes -= bytes;
        self.spilled_bytes += used;
        self.keep(image);
    }

    fn free(&mut self, number: SegmentNumber) {
        let index = (number.0 - self.base) as usize;
        let segment = self.segments[index].take().expect("a segment");
        if let Some(image) = segment.image {
            self.memory_bytes -= segment.bytes;
            self.keep(image);
        }
        if segment.state == State::Out {
            self.spilled_bytes -= segment.used;
            // Nothing lives in it: nobody waits for its bytes.
            self.cold.forget(number);
            self.spill.discard(number);
        }
        while self.segments.front().is_some_and(Option::is_none) {
            self.segments.pop_front();
            self.base += 1;
        }
    }

    fn keep(&mut self, image: Arc<Image>) {
        if self.pool.len() < POOL {
            self.pool.push(image);
        }
    }

    /// Memory for a segment: one that nobody holds any more, or new.
    fn image(&mut self, bytes: u64) -> ImageWriter {
        let free = |image: &Arc<Image>| Arc::strong_count(image) == 1 && image.len() as u64 == bytes;
        let found = self.pool.iter().position(free).map(|index| self.pool.swap_remove(index));
        let reused = found.and_then(|image| ImageWriter::reuse(image).ok());
        reused.unwrap_or_else(|| ImageWriter::anonymous(bytes as usize).expect("memory for a spool segment"))
    }
}
