//! Windows of segments that are no longer in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::frame::{BODY_HEADER, BodyHeader, Seed, body_crc};
use crate::image::{Extent, Image};
use crate::plant::planted;
use crate::position::{Position, SegmentNumber};
use crate::storage::Read;

/// Windows being read at one time.
const MAX_PENDING: usize = 64;

/// Where the bytes of a record are.
#[derive(Clone)]
pub enum Lookup {
    /// Here.
    Memory(Extent),
    /// On the medium: fetch them.
    Cold,
    /// On the medium, and not as they were written. They are never delivered.
    Damaged,
}

/// A part of a segment that was asked for.
struct Pending {
    read: Read,
    base: Position,
}

struct Window {
    segment: SegmentNumber,
    base: Position,
    /// None where the file could not be read at all.
    image: Option<Arc<Image>>,
    len: u64,
}

/// A body that is wanted in memory.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub position: Position,
    pub len: u32,
    pub read_ahead: u32,
    pub unit: u64,
}

/// The windows there are, the ones under way, and the ones that wait.
pub(crate) struct Cold {
    windows: VecDeque<Window>,
    bytes: u64,
    limit: u64,
    pending: Vec<Pending>,
    waiting: VecDeque<Pending>,
    next_ticket: u64,
}

impl Cold {
    pub fn new(limit: u64) -> Cold {
        Cold {
            windows: VecDeque::new(),
            bytes: 0,
            limit,
            pending: Vec::new(),
            waiting: VecDeque::new(),
            next_ticket: 0,
        }
    }

    /// The body at `position`, checked: bytes from a disk are never passed on unchecked.
    pub fn lookup(&self, segment: SegmentNumber, position: Position, seed: Seed) -> Lookup {
        let start = Position(position.0 - BODY_HEADER as u64);
        let holds = |window: &&Window| {
            window.segment == segment && window.base <= start && position.0 <= window.base.0 + window.len
        };
        // The newest first: a longer window is read when an older one cuts the record.
        let mut answer = Lookup::Cold;
        for window in self.windows.iter().rev().filter(holds) {
            let Some(image) = &window.image else { return Lookup::Damaged };
            answer = check(image, window.base, start, seed);
            if !matches!(answer, Lookup::Cold) {
                break;
            }
        }
        answer
    }

    /// Asks for a window of the segment at `bounds` (its start and bytes) that holds the body at `position`, and `read_ahead`
    /// bytes at least, unless one that holds it is under way.
    pub fn fetch(&mut self, segment: SegmentNumber, bounds: (Position, u64), wanted: Wanted) -> Option<Read> {
        let (segment_start, segment_bytes) = bounds;
        let segment_end = segment_start + segment_bytes;
        let base = Position(wanted.position.0 - BODY_HEADER as u64).align_down(wanted.unit);
        let needed_end = (wanted.position + u64::from(wanted.len)).min(segment_end);
        let end = needed_end.max(base + u64::from(wanted.read_ahead)).align_up(wanted.unit).min(segment_end);
        let covers = |pending: &Pending| {
            let pending_end = pending.base + u64::from(pending.read.len);
            pending.read.segment == segment && pending.base <= base && pending_end >= needed_end
        };
        if self.pending.iter().chain(&self.waiting).any(covers) {
            return None;
        }
        self.next_ticket += 1;
        let offset = base - segment_start;
        let read = Read { ticket: self.next_ticket, segment, offset, len: (end - base) as u32 };
        let pending = Pending { read, base };
        if self.pending.len() >= MAX_PENDING {
            self.waiting.push_back(pending);
            return None;
        }
        self.pending.push(pending);
        Some(read)
    }

    /// The longest known stretch of a segment from `position` on, unchecked: for who checks whole frames.
    pub fn stretch(&self, segment: SegmentNumber, position: Position) -> Option<Extent> {
        let holds = |window: &&Window| {
            window.segment == segment && window.base <= position && position.0 < window.base.0 + window.len
        };
        let window = self.windows.iter().filter(holds).max_by_key(|window| window.base.0 + window.len)?;
        Some(Extent { base: window.base, image: Arc::clone(window.image.as_ref()?) })
    }

    /// Takes an answer; the next read to issue comes back.
    pub fn arrived(&mut self, ticket: u64, image: Option<Arc<Image>>) -> Option<Read> {
        let index = self.pending.iter().position(|pending| pending.read.ticket == ticket)?;
        let Pending { read, base } = self.pending.swap_remove(index);
        self.bytes += u64::from(read.len);
        self.windows.push_back(Window { segment: read.segment, base, image, len: u64::from(read.len) });
        while self.bytes > self.limit && self.windows.len() > 1 {
            self.bytes -= self.windows.pop_front().expect("more than one").len;
        }
        let next = self.waiting.pop_front()?;
        let read = next.read;
        self.pending.push(next);
        Some(read)
    }

    /// Whether the segment's file is being read, or will be.
    pub fn reads(&self, segment: SegmentNumber) -> bool {
        self.pending.iter().chain(&self.waiting).any(|pending| pending.read.segment == segment)
    }

    /// Drops the windows of a segment that goes.
    pub fn forget(&mut self, segment: SegmentNumber) {
        self.windows.retain(|window| window.segment != segment);
        self.bytes = self.windows.iter().map(|window| window.len).sum();
    }
}

/// The body whose header is at `start`.
fn check(image: &Arc<Image>, base: Position, start: Position, seed: Seed) -> Lookup {
    let offset = (start - base) as usize;
    let rest = image.bytes(offset, image.frontier() - offset);
    if rest.len() < BODY_HEADER {
        return Lookup::Cold;
    }
    let Some(header) = BodyHeader::decode(rest, start, seed) else { return Lookup::Damaged };
    let Some(body) = rest[BODY_HEADER..].get(..header.len as usize) else { return Lookup::Cold };
    if body_crc(body) != header.crc && !planted("skip-body-crc") {
        return Lookup::Damaged;
    }
    Lookup::Memory(Extent { base, image: Arc::clone(image) })
}
