//! The spool: bodies of non-persistent messages, in memory, on disk beyond a limit, never synced (R21). A crash loses all of it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::ahead::{Begun, Stretch};
use crate::aside::Remains;
use crate::cold::{Arrival, Cold, Lookup, Wanted};
use crate::frame::{BODY_HEADER, BodyHeader, Record, Seed};
use crate::image::{Extent, Image, ImageWriter};
use crate::journal::Progress;
use crate::pause::{Pause, soonest};
use crate::plant::planted;
use crate::position::{Epoch, Home, Position, SegmentNumber};
use crate::size::size;
use crate::spill::{NoSpill, Spill, Spilled};
use crate::trouble::{Trouble, Troubles};

/// What spill files are written and read in.
const UNIT: u64 = 4096;
/// Unshared images kept for the next segments.
const POOL: usize = 16;
/// Segments beyond `memory_bytes` that may fill while others are written out, before senders wait.
const BUSY_SEGMENTS: u64 = 4;
/// And so many before they go on: the open ones are always there.
const EASED_SEGMENTS: u64 = 2;
/// The same, before something has to go: what senders had under way when they were told to wait is less.
const CROWDED_SEGMENTS: u64 = 16;
/// Numbers without a segment that are passed to find the next one.
const MOST_PASSED: usize = 64;
/// Segments on their way out at a time: more would only hold memory.
const LEAVING: usize = 16;

/// Settings of a spool.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Bytes of a segment, a multiple of 4096. A larger body gets a segment of its own.
    pub segment_bytes: u64,
    /// Bytes in memory beyond which the oldest segments are written out.
    pub memory_bytes: u64,
    /// Bytes that may be written out.
    pub disk_bytes: u64,
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

/// How much the spool holds, against what it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpoolUse {
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in memory beyond which segments are written out.
    pub memory_limit: u64,
    /// Bytes written out, or on their way.
    pub disk_bytes: u64,
    /// Bytes that may be written out.
    pub disk_limit: u64,
    /// Whether there is room for more.
    pub pressure: Pressure,
    /// Whether it takes so much memory beyond its limit that nothing more is to come, whatever the pressure.
    pub is_crowded: bool,
    /// Whether memory is written out, or could be: there will be room by itself.
    pub leaves: bool,
    /// Whether there is so much that those who wait may go on.
    pub eased: bool,
}

/// Whether a spool has room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Pressure {
    /// It has.
    #[default]
    None,
    /// More comes in than is written out at present: there will be room by itself.
    Busy,
    /// The same, and so much more that memory is used up.
    Crowded,
    /// Memory and disk are full, or nothing can be written out: there will be room when something is released.
    Full,
}

/// The log of what need not survive.
pub struct Spool<P: Spill> {
    spill: P,
    config: SpoolConfig,
    /// By number, from `base` on; none where a segment was freed, or belongs to an oversize one.
    segments: VecDeque<Option<SpoolSegment>>,
    base: u64,
    open: [Option<Open>; 2],
    memory_bytes: u64,
    /// Bytes written out or on their way.
    spilled_bytes: u64,
    leaving: usize,
    /// Of those on their way, what they take in memory.
    leaving_bytes: u64,
    /// No segment before this one is sealed and in memory.
    first_sealed: u64,
    /// No sealed segment fits into what is left of the disk: a large one may wait though a small one would have room.
    fits_none: bool,
    pool: Vec<Arc<Image>>,
    cold: Cold,
    /// A segment went whose bytes somebody may wait for: what it wants is elsewhere, or gone.
    look_again: bool,
    /// Between tries to write out, as long as they fail.
    pause: Pause,
    /// Nothing was written out since a try failed.
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
    staged: u32,
    /// Of what was staged so far nothing is needed any more.
    released: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Sealed,
    /// Being written out.
    Leaving,
    /// Being written out, though nothing lives in it any more.
    Abandoned,
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
            disk_bytes: 4 << 30,
            cold_bytes: 64 << 20,
            // A whole segment.
            read_ahead: 2 << 20,
            keys: 0,
        }
    }
}

impl Spool<NoSpill> {
    /// A spool that stays in memory: beyond `memory_bytes` there is no room.
    #[must_use]
    pub fn in_memory(config: SpoolConfig) -> Spool<NoSpill> {
        Spool::new(NoSpill, SpoolConfig { disk_bytes: 0, ..config })
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
            look_again: false,
            config,
            segments: VecDeque::new(),
            base: 0,
            open: [None, None],
            memory_bytes: 0,
            spilled_bytes: 0,
            leaving: 0,
            leaving_bytes: 0,
            first_sealed: 0,
            fits_none: false,
            pool: Vec::new(),
            pause: Pause::default(),
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

    /// What it holds, and whether there is room for more. Who stages without room goes beyond the bound, nothing else happens.
    pub fn usage(&self) -> SpoolUse {
        let SpoolConfig { segment_bytes, memory_bytes, disk_bytes, .. } = self.config;
        let beyond = |segments: u64| self.memory_bytes > memory_bytes + segments * segment_bytes;
        let leaves =
            !self.pause.has_failed() && (self.leaving > 0 || (self.has_disk_for(segment_bytes) && !self.fits_none));
        let is_crowded = beyond(CROWDED_SEGMENTS) && !planted("spool-without-bound");
        let pressure = match beyond(BUSY_SEGMENTS) && !planted("spool-without-bound") {
            false => Pressure::None,
            true if !leaves => Pressure::Full,
            true if is_crowded => Pressure::Crowded,
            true => Pressure::Busy,
        };
        SpoolUse {
            memory_bytes: self.memory_bytes,
            memory_limit: memory_bytes,
            disk_bytes: self.spilled_bytes,
            disk_limit: disk_bytes,
            pressure,
            is_crowded,
            leaves,
            eased: pressure == Pressure::None && !beyond(EASED_SEGMENTS),
        }
    }

    /// Copies a record's body; it can be read at once, and until its segment is released.
    #[expect(
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "one of two slots, and its segment was just opened"
    )]
    #[expect(clippy::cast_possible_truncation, reason = "a body comes in one frame, whose length has 31 bits")]
    pub fn stage(&mut self, record: &Record<'_>, generation: Generation) -> Home {
        let needed = BODY_HEADER + record.body.len();
        let slot = generation as usize;
        // An oversize segment takes one record, so that every body begins in the first of its numbers.
        let limit = size(self.config.segment_bytes);
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
        segment.released = false;
        segment.staged += 1;
        let ordinal = segment.staged - 1;
        if needed >= limit {
            // Nothing follows in it, and it may leave memory.
            self.close(slot);
        }
        Home { position: start + BODY_HEADER as u64, segment: number, ordinal, len }
    }

    /// Nothing that was staged in a segment so far is needed any more: it goes, or as soon as nothing more can be staged in it.
    pub fn release(&mut self, number: SegmentNumber) {
        let Some(segment) = self.segment_mut(number) else { return };
        match segment.state {
            State::Open => segment.released = true,
            State::Abandoned => {}
            State::Sealed | State::Leaving | State::Out => self.free(number),
        }
    }

    /// Bytes that a segment takes, in memory or on disk.
    pub fn bytes_of(&self, number: SegmentNumber) -> u64 {
        self.segment(number).map_or(0, |segment| segment.bytes)
    }

    /// The memory that holds the body at `position` (a [`Home`]'s), with this checksum.
    pub fn extent(&mut self, position: Position, len: u32, crc: u32) -> Lookup {
        let number = self.number_at(position);
        let base = Position(number.0 * self.config.segment_bytes);
        match self.segment(number) {
            None => Lookup::Damaged,
            Some(SpoolSegment { image: Some(image), .. }) => Lookup::Memory(Extent { base, image: Arc::clone(image) }),
            Some(_) => {
                let (answer, begun) = self.cold.lookup(number, (position, len), crc);
                begun.into_iter().for_each(|begun| self.read_ahead(begun));
                answer
            }
        }
    }

    /// The next segments that were written out, for who reads on.
    fn read_ahead(&mut self, begun: Begun) {
        let (segments, base, segment_bytes) = (&self.segments, self.base, self.config.segment_bytes);
        let at = |from: Position| {
            let first = (from.0 / segment_bytes).max(base);
            let there = segments.iter().zip(base..).skip(size(first - base)).take(MOST_PASSED);
            let mut there = there.filter_map(|(segment, number)| Some((segment.as_ref()?, number)));
            let (segment, number) =
                there.find(|(segment, number)| Position(number * segment_bytes) + segment.used > from)?;
            let (start, bytes, is_whole) =
                (Position(number * segment_bytes), segment.used, segment.bytes > segment_bytes);
            (segment.state == State::Out).then_some(Stretch { segment: SegmentNumber(number), start, bytes, is_whole })
        };
        self.cold.read_ahead(begun, (u64::from(self.config.read_ahead), UNIT), at);
        self.read();
    }

    /// Asks for a window that holds the body at `position`; a poll tells when one arrived.
    pub fn fetch(&mut self, position: Position, len: u32) {
        let number = self.number_at(position);
        let Some(used) = self.segment(number).map(|segment| segment.used) else { return };
        let bounds = (Position(number.0 * self.config.segment_bytes), used);
        let wanted = Wanted { position, len, read_ahead: self.config.read_ahead, unit: UNIT };
        self.cold.fetch(number, bounds, wanted);
        self.read();
    }

    /// Tries again what could not be read or written out, when its pause is over: after a poll, with the time in nanoseconds. True:
    /// whoever waits for bytes looks again.
    pub fn try_again(&mut self, now: u64) -> bool {
        if self.refused && self.pause.is_over(now) {
            self.refused = false;
            self.write_out();
        }
        let look_again = self.cold.try_again(now);
        self.read();
        look_again
    }

    /// When there is something to be tried again, in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        let write = self.pause.until().filter(|_| self.refused);
        soonest([write, self.cold.deadline()])
    }

    /// Reads that failed, and windows that could not be read so far.
    pub fn read_failures(&self) -> (u64, u64) {
        (self.read_failures, self.cold.failed() as u64)
    }

    /// What is left of the damaged record of `len` bytes at `position`.
    pub fn remains(&self, position: Position, len: u32) -> Remains {
        let number = self.number_at(position);
        let (start, bytes) = self.cold.remains(number, position, len);
        let offset = start.0.saturating_sub(number.0.saturating_mul(self.config.segment_bytes));
        let is_its_own = BodyHeader::decode(&bytes, start, self.seed()).is_some();
        Remains { file: format!("spill-{:016x}", number.0), offset, bytes, is_its_own }
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
        let Some(Arrival { read, error, is_told, look_again }) = self.cold.arrived(ticket, result) else { return 0 };
        self.read_failures += u64::from(error.is_some());
        if let Some(error) = error.filter(|_| is_told) {
            let file = file_name(read.segment);
            self.troubles.add(Trouble::Read { file, offset: read.offset, len: u64::from(read.len), error });
        }
        self.read();
        u32::from(look_again)
    }

    /// Whether a poll would bring something.
    pub fn has_completed(&self) -> bool {
        self.spill.has_completed() || self.look_again
    }

    /// Takes the spill's answers.
    pub fn poll(&mut self) -> Progress {
        let mut progress = Progress::default();
        progress.fetched += u32::from(std::mem::take(&mut self.look_again));
        while let Some(answer) = self.spill.completed() {
            match answer {
                Spilled::Out { segment, result } => self.left(segment, result),
                Spilled::Read { ticket, result } => progress.fetched += self.arrived(ticket, result),
            }
        }
        self.write_out();
        progress
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
        self.segments.get(size(number.0.checked_sub(self.base)?))?.as_ref()
    }

    fn segment_mut(&mut self, number: SegmentNumber) -> Option<&mut SpoolSegment> {
        self.segments.get_mut(size(number.0.checked_sub(self.base)?))?.as_mut()
    }

    /// Seals the open segment of a generation and opens the next.
    fn turn_over(&mut self, slot: usize, needed: u64) {
        self.close(slot);
        let bytes = needed.next_multiple_of(self.config.segment_bytes);
        let number = SegmentNumber(self.base + self.segments.len() as u64);
        let writer = self.image(bytes);
        let image = Some(Arc::clone(writer.image()));
        self.memory_bytes += bytes;
        self.let_go();
        self.segments.push_back(Some(SpoolSegment {
            bytes,
            used: 0,
            image,
            state: State::Open,
            staged: 0,
            released: true,
        }));
        let further = bytes / self.config.segment_bytes - 1;
        self.segments.extend((0..further).map(|_| None));
        if let Some(open) = self.open.get_mut(slot) {
            *open = Some(Open { number, writer, at: 0 });
        }
        self.write_out();
    }

    fn close(&mut self, slot: usize) {
        let Some(open) = self.open.get_mut(slot).and_then(Option::take) else { return };
        let Open { number, mut writer, at } = open;
        let used = at.next_multiple_of(size(UNIT)).min(writer.len());
        writer.bytes_mut(at, used - at).fill(0);
        writer.publish(used);
        drop(writer);
        let Some(segment) = self.segment_mut(number) else { return };
        segment.used = used as u64;
        segment.state = State::Sealed;
        let released = segment.released;
        self.first_sealed = self.first_sealed.min(number.0);
        self.fits_none = false;
        if released {
            self.free(number);
        }
    }

    fn has_disk_for(&self, bytes: u64) -> bool {
        self.spilled_bytes + bytes <= self.config.disk_bytes || planted("spool-without-bound")
    }

    /// Hands the oldest segments to the spill while there is too much in memory and room on the disk.
    fn write_out(&mut self) {
        // After a failure one segment tells whether the others can go.
        let most = if self.pause.has_failed() { 1 } else { LEAVING };
        let limit = self.config.memory_bytes + self.leaving_bytes;
        if self.memory_bytes <= limit || self.refused || !self.has_disk_for(UNIT) {
            return;
        }
        let end = self.base + self.segments.len() as u64;
        let mut first_left = None;
        for number in self.first_sealed.max(self.base)..end {
            if self.memory_bytes <= self.config.memory_bytes + self.leaving_bytes || self.leaving >= most {
                first_left.get_or_insert(number);
                break;
            }
            let Some(segment) = self.segment(SegmentNumber(number)).filter(|known| known.state == State::Sealed) else {
                continue;
            };
            match self.has_disk_for(segment.used) {
                true => self.hand_out(SegmentNumber(number)),
                false => _ = first_left.get_or_insert(number),
            }
        }
        self.first_sealed = first_left.unwrap_or(end);
        self.fits_none = self.leaving == 0;
    }

    fn hand_out(&mut self, number: SegmentNumber) {
        let Some(segment) = self.segment_mut(number) else { return };
        let Some(image) = segment.image.clone() else { return };
        segment.state = State::Leaving;
        let (bytes, used) = (segment.bytes, segment.used);
        self.leaving += 1;
        self.leaving_bytes += bytes;
        self.spilled_bytes += used;
        self.spill.spill(number, image, size(used));
    }

    /// The spill's answer for a segment that was handed out.
    fn left(&mut self, number: SegmentNumber, result: io::Result<()>) {
        self.leaving -= 1;
        let Some(segment) = self.segment_mut(number) else { return };
        let (bytes, used, abandoned) = (segment.bytes, segment.used, segment.state == State::Abandoned);
        if !abandoned {
            segment.state = if result.is_ok() { State::Out } else { State::Sealed };
            let image = if result.is_ok() { segment.image.take() } else { None };
            self.leaving_bytes -= bytes;
            self.memory_bytes -= if result.is_ok() { bytes } else { 0 };
            self.keep(image);
        }
        if abandoned || result.is_err() {
            self.spilled_bytes -= used;
        }
        match result {
            Ok(()) => (self.pause, self.refused) = (Pause::default(), false),
            // Several that fail at a time are one try.
            Err(_) if self.refused => {}
            Err(error) => {
                self.refused = true;
                if self.pause.failed(&error) {
                    self.troubles.add(Trouble::Spill { file: file_name(number), len: used, error });
                }
            }
        }
        if abandoned {
            self.spill.discard(number);
            self.forget(number);
        } else {
            self.first_sealed = self.first_sealed.min(number.0);
        }
    }

    /// Nothing lives in a segment any more.
    fn free(&mut self, number: SegmentNumber) {
        let Some(segment) = self.segment_mut(number) else { return };
        let (bytes, used, state, image) = (segment.bytes, segment.used, segment.state, segment.image.take());
        segment.state = State::Abandoned;
        if image.is_some() {
            self.memory_bytes -= bytes;
        }
        self.keep(image);
        match state {
            State::Leaving => {
                self.leaving_bytes -= bytes;
                return;
            }
            State::Out => {
                self.spilled_bytes -= used;
                self.fits_none = false;
                self.look_again |= self.cold.forget(number) && !planted("spool-forgets-waiters");
                self.spill.discard(number);
            }
            State::Open | State::Sealed | State::Abandoned => {}
        }
        self.forget(number);
    }

    fn forget(&mut self, number: SegmentNumber) {
        if let Some(segment) = number.0.checked_sub(self.base).and_then(|index| self.segments.get_mut(size(index))) {
            *segment = None;
        }
        while self.segments.front().is_some_and(Option::is_none) {
            self.segments.pop_front();
            self.base += 1;
        }
    }

    /// An image may take a next segment.
    fn keep(&mut self, image: Option<Arc<Image>>) {
        self.pool.extend(image);
        self.let_go();
    }

    /// What is kept counts as what is held, or both together would be far beyond the limit: the oldest go.
    fn let_go(&mut self) {
        let most = self.config.memory_bytes + BUSY_SEGMENTS * self.config.segment_bytes;
        let mut kept: u64 = self.pool.iter().map(|image| image.len() as u64).sum();
        while self.pool.len() > POOL || (self.memory_bytes + kept > most && !self.pool.is_empty()) {
            kept -= self.pool.remove(0).len() as u64;
        }
    }

    /// Memory for a segment: one that nobody holds any more, or new.
    #[expect(clippy::expect_used, reason = "without memory the process cannot go on")]
    fn image(&mut self, bytes: u64) -> ImageWriter {
        let free = |image: &Arc<Image>| Arc::strong_count(image) == 1 && image.len() as u64 == bytes;
        let found = self.pool.iter().position(free).map(|index| self.pool.remove(index));
        let reused = found.and_then(|image| ImageWriter::reuse(image).ok());
        reused.unwrap_or_else(|| ImageWriter::anonymous(size(bytes)).expect("memory for a spool segment"))
    }
}

fn file_name(segment: SegmentNumber) -> String {
    format!("spill-{:016x}", segment.0)
}
