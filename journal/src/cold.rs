//! Windows of segments that are no longer in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::ahead::{Begun, HANDED_OVER};
use crate::frame::{BODY_HEADER, body_crc};
use crate::image::{Extent, Image};
use crate::pause::Pause;
use crate::plant::planted;
use crate::position::{Position, SegmentNumber};
use crate::size::{len32, size};
use crate::storage::Read;
use crate::windows::{Key, Window, Windows};

/// Windows being read at one time.
const MAX_PENDING: usize = 64;

/// While something cannot be read whoever waits is told to look again so often, in nanoseconds: what it waits for may have gone.
const LOOK_AGAIN_NANOS: u64 = 1_000_000_000;

/// Where the bytes of a record are.
#[derive(Clone)]
pub enum Lookup {
    /// Here, with all others of the memory: this process wrote them, or checked them when it started.
    Memory(Extent),
    /// Here; of the memory, which came from the medium, this record alone was checked.
    Checked(Extent),
    /// On the medium: fetch them.
    Cold,
    /// On the medium, and not as they were written. They are never delivered.
    Damaged,
}

impl Lookup {
    /// The memory, if the record is there.
    #[must_use]
    pub fn extent(self) -> Option<Extent> {
        match self {
            Lookup::Memory(extent) | Lookup::Checked(extent) => Some(extent),
            Lookup::Cold | Lookup::Damaged => None,
        }
    }
}

/// A part of a segment that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    pub read: Read,
    pub base: Position,
    /// Where the record that was wanted ends.
    needed_end: Position,
    unit: u64,
    pause: Pause,
    /// Somebody has asked for it since all were told to look again.
    wanted: bool,
    /// How far the reader was ahead for whom it was asked for before anybody waited for it; 0: somebody did.
    pub depth: u32,
}

/// A body that is wanted in memory.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub position: Position,
    pub len: u32,
    pub read_ahead: u32,
    pub unit: u64,
}

/// What an answer brought.
pub(crate) struct Arrival {
    /// The read that was answered.
    pub read: Read,
    /// Why it brought nothing.
    pub error: Option<io::Error>,
    /// That is to be told.
    pub is_told: bool,
    /// Whoever waits for bytes looks again: a window came, or one that was to serve several became smaller.
    pub look_again: bool,
}

/// The windows there are, the ones under way, those that wait, and those that could not be read so far.
pub(crate) struct Cold {
    pub(crate) windows: Windows,
    pub(crate) pending: Vec<Pending>,
    pub(crate) waiting: VecDeque<Pending>,
    /// What is read ahead when nobody waits for something else.
    pub(crate) ahead: VecDeque<Pending>,
    /// They are tried again, each after its own pause; the others do not wait for them.
    failed: Vec<Pending>,
    look_again_at: u64,
    pub(crate) next_ticket: u64,
}

impl Pending {
    /// Asked for before anybody waits for it.
    pub(crate) fn ahead(read: Read, base: Position, unit: u64, depth: u32) -> Pending {
        let (needed_end, pause) = (base + u64::from(read.len), Pause::default());
        Pending { read, base, needed_end, unit, pause, wanted: false, depth }
    }

    pub(crate) fn end(&self) -> Position {
        self.base + u64::from(self.read.len)
    }

    /// Whether it will bring what is asked for. What has failed may bring a part of its bytes to who asks for that alone.
    fn serves(&self, segment: SegmentNumber, base: Position, needed_end: Position) -> bool {
        let covers = self.base <= base && self.end() >= needed_end;
        let same = self.base == base && self.end() == needed_end.align_up(self.unit).min(self.end());
        self.read.segment == segment && covers && (same || !self.pause.has_failed())
    }

    /// Leaves the bytes behind the wanted record to others: they may be what cannot be read. Whether there were any.
    fn narrow(&mut self) -> bool {
        let end = self.needed_end.align_up(self.unit).min(self.end());
        let narrower = end < self.end();
        self.read.len = len32(end - self.base);
        narrower
    }
}

impl Cold {
    pub(crate) fn new(limit: u64) -> Cold {
        Cold {
            windows: Windows::new(limit),
            pending: Vec::new(),
            waiting: VecDeque::new(),
            ahead: VecDeque::new(),
            failed: Vec::new(),
            look_again_at: 0,
            next_ticket: 0,
        }
    }

    /// The body at `position`, of `len` bytes, checked: bytes from a disk are never passed on unchecked. Its owner knows its checksum;
    /// the header before it may be damaged. And the window that holds it, if nobody has read of it before.
    pub(crate) fn lookup(
        &mut self,
        segment: SegmentNumber,
        (position, len): (Position, u32),
        crc: u32,
    ) -> (Lookup, Option<Begun>) {
        let Some((key, window)) = self.holding(segment, position, len) else { return (Lookup::Cold, None) };
        let answer = check(&window.image, key.1, (position, len), crc);
        let begun = Begun { key, end: key.1 + window.image.len() as u64, len, depth: window.depth };
        (answer, self.windows.begin(key).then_some(begun))
    }

    /// Where the record of `len` bytes at `position` begins, its header included, and its bytes as they came.
    pub(crate) fn remains(&self, segment: SegmentNumber, position: Position, len: u32) -> (Position, Vec<u8>) {
        let start = Position(position.0.saturating_sub(BODY_HEADER as u64));
        let bytes = self
            .holding(segment, position, len)
            .map(|((_, base), window)| window.image.bytes(size(start - base), BODY_HEADER + len as usize).to_vec());
        (start, bytes.unwrap_or_default())
    }

    /// The window that holds a record.
    fn holding(&self, segment: SegmentNumber, position: Position, len: u32) -> Option<(Key, &Window)> {
        let start = Position(position.0.saturating_sub(BODY_HEADER as u64));
        self.windows.holding(segment, start, position + u64::from(len))
    }

    /// Asks for a window of the segment at `bounds` (its start and bytes) that holds the body at `position`, and `read_ahead`
    /// bytes at least, unless one that holds it was asked for. Whether it was not.
    pub(crate) fn fetch(&mut self, segment: SegmentNumber, bounds: (Position, u64), wanted: Wanted) -> bool {
        let (segment_start, segment_bytes) = bounds;
        let segment_end = segment_start + segment_bytes;
        let base = Position(wanted.position.0 - BODY_HEADER as u64).align_down(wanted.unit);
        let needed_end = (wanted.position + u64::from(wanted.len)).min(segment_end);
        let mut asked = self.pending.iter_mut().chain(&mut self.waiting).chain(&mut self.failed);
        if let Some(pending) = asked.find(|pending| pending.serves(segment, base, needed_end)) {
            pending.wanted = true;
            return false;
        }
        if let Some(index) = self.ahead.iter().position(|pending| pending.serves(segment, base, needed_end)) {
            let pending = self.ahead.remove(index).map(|pending| Pending { wanted: true, ..pending });
            self.waiting.extend(pending);
            return false;
        }
        let least = needed_end.align_up(wanted.unit);
        let end = match self.known_end(segment, least) {
            // What stands across the end of a window, while the next one is there.
            Some(_) => least,
            None => self.before_failed(segment, least, base + self.windows.fitting(u64::from(wanted.read_ahead))),
        };
        let end = end.max(least).align_up(wanted.unit).min(segment_end);
        let read = self.numbered(segment, base - segment_start, len32(end - base));
        let (unit, pause) = (wanted.unit, Pause::default());
        self.waiting.push_back(Pending { read, base, needed_end, unit, pause, wanted: true, depth: 0 });
        true
    }

    /// Whether something of the segment could not be read so far.
    pub(crate) fn has_failed_in(&self, segment: SegmentNumber) -> bool {
        self.failed.iter().any(|failed| failed.read.segment == segment)
    }

    /// `end`, or where something begins before it, behind `least`, that could not be read.
    fn before_failed(&self, segment: SegmentNumber, least: Position, end: Position) -> Position {
        let here = self.failed.iter().filter(|failed| failed.read.segment == segment && failed.end() > least);
        here.map(|failed| failed.base.max(least)).min().map_or(end, |failed| failed.min(end))
    }

    /// The longest known stretch of a segment from `position` on, unchecked: for who checks whole frames.
    pub(crate) fn stretch(&self, segment: SegmentNumber, position: Position) -> Option<Extent> {
        let (base, window, _) = self.windows.furthest(segment, position)?;
        Some(Extent { base, image: Arc::clone(&window.image) })
    }

    /// The next read to hand over.
    pub(crate) fn next_read(&mut self) -> Option<Read> {
        if self.pending.len() >= MAX_PENDING {
            return None;
        }
        let reads_ahead = || self.pending.len() < HANDED_OVER;
        let next = self.waiting.pop_front().or_else(|| reads_ahead().then(|| self.ahead.pop_front()).flatten())?;
        self.pending.push(next);
        Some(next.read)
    }

    /// Takes an answer.
    pub(crate) fn arrived(&mut self, ticket: u64, result: io::Result<Arc<Image>>) -> Option<Arrival> {
        let index = self.pending.iter().position(|pending| pending.read.ticket == ticket)?;
        let mut pending = self.pending.swap_remove(index);
        let Pending { read, wanted, depth, .. } = pending;
        let image = match result {
            Ok(image) => image,
            // Who wants it by now asks for what it needs.
            Err(error) if depth > 0 => {
                return Some(Arrival { read, error: Some(error), is_told: false, look_again: wanted });
            }
            Err(error) => {
                let is_told = pending.pause.failed(&error);
                let look_again = pending.narrow();
                self.failed.push(pending);
                return Some(Arrival { read, error: Some(error), is_told, look_again });
            }
        };
        self.windows.add((read.segment, pending.base), image, depth);
        Some(Arrival { read, error: None, is_told: false, look_again: wanted || depth == 0 })
    }

    /// What could not be read is asked for again when its pause is over, unless nobody wants it any more. True: whoever waits for
    /// bytes looks again, and says so what it wants.
    pub(crate) fn try_again(&mut self, now: u64) -> bool {
        if self.failed.is_empty() {
            return false;
        }
        let look_again = now >= self.look_again_at;
        if look_again {
            self.look_again_at = now.saturating_add(LOOK_AGAIN_NANOS);
            self.failed.retain(|failed| failed.wanted);
            self.failed.iter_mut().for_each(|failed| failed.wanted = false);
        }
        let mut index = 0;
        while let Some(failed) = self.failed.get_mut(index) {
            if failed.pause.is_over(now) {
                let again = self.failed.swap_remove(index);
                self.waiting.push_back(again);
            } else {
                index += 1;
            }
        }
        look_again
    }

    /// When something is to be tried again, in nanoseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.failed.iter().filter_map(|failed| failed.pause.until()).min()
    }

    /// Windows that could not be read so far.
    pub(crate) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Whether the segment's file is being read.
    pub(crate) fn reads(&self, segment: SegmentNumber) -> bool {
        self.pending.iter().any(|pending| pending.read.segment == segment)
    }

    /// Drops the windows of a segment that goes, and what was asked for: whoever waited for that has to look again.
    pub(crate) fn forget(&mut self, segment: SegmentNumber) -> bool {
        self.windows.forget(segment);
        let is_wanted = |pending: &&Pending| pending.depth == 0 || pending.wanted;
        let asked = |cold: &Cold| {
            let wanted = cold.pending.iter().chain(&cold.waiting).filter(is_wanted).count();
            wanted + cold.failed.len()
        };
        let before = asked(self);
        self.pending.retain(|pending| pending.read.segment != segment);
        self.waiting.retain(|pending| pending.read.segment != segment);
        self.ahead.retain(|pending| pending.read.segment != segment);
        self.failed.retain(|pending| pending.read.segment != segment);
        before > asked(self)
    }
}

/// The body of `len` bytes at `position`.
fn check(image: &Arc<Image>, base: Position, (position, len): (Position, u32), crc: u32) -> Lookup {
    let good = body_crc(image.bytes(size(position - base), len as usize)) == crc;
    if good || planted("skip-body-crc") {
        return Lookup::Checked(Extent { base, image: Arc::clone(image) });
    }
    Lookup::Damaged
}
