//! Windows that are read before somebody wants them: whoever reads on finds the next one there.
//!
//! A reader is known by what it reads: who begins a window that stands where another one has begun to end goes on, be it a queue, a topic's
//! subscriber or a browser. Who jumps about gets what it asks for, and nothing more.

use crate::cold::{Cold, Pending};
use crate::position::{Position, SegmentNumber};
use crate::size::len32;
use crate::storage::Read;
use crate::windows::Key;

/// Windows that one reader is ahead when it is known to go on, and at most: they come while it is at one.
const FIRST_DEPTH: u32 = 2;
const DEEPEST: u32 = 4;
/// Of the windows' memory so much, as one of so many parts, holds what nobody has wanted yet, of all readers together.
const SHARE: u64 = 4;
/// A window for large records is larger, up to one of so many parts of that memory.
const LARGEST: u64 = 8;
/// Of these so many are handed over at a time: what somebody waits for stands behind no more.
pub(crate) const HANDED_OVER: usize = 2;
/// A window begins so many bytes before the end of the one before it, at least: the record that stands across is in the later one.
const OVERLAP: u64 = 16 << 10;

/// A window that somebody has begun to read.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub key: Key,
    pub end: Position,
    /// Bytes of the record that was read there.
    pub len: u32,
    /// How far the reader was ahead when it was asked for; 0: somebody waited for it.
    pub depth: u32,
}

/// A part of the log that is on the medium.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub segment: SegmentNumber,
    pub start: Position,
    pub bytes: u64,
    /// It holds one record, and is read as a whole.
    pub is_whole: bool,
}

impl Cold {
    /// Asks for the windows behind one that was begun, if its reader goes on. `at` says which segment holds a position, or else is the next
    /// one that does; none where it is in memory, or where there is no more.
    pub(crate) fn read_ahead(
        &mut self,
        begun: Begun,
        (window, unit): (u64, u64),
        at: impl Fn(Position) -> Option<Stretch>,
    ) {
        let was_expected = self.windows.was_expected(begun.key.1, begun.end);
        let depth = match begun.depth {
            0 if was_expected => FIRST_DEPTH,
            0 => 0,
            depth => DEEPEST.min(depth * 2),
        };
        let (mut from, len) = (begun.end, u64::from(begun.len));
        for ahead in 0..depth.max(1) {
            let Some(Stretch { segment, start, bytes, is_whole }) = at(from) else { return };
            if ahead == 0 {
                self.windows.expect(begun.key, from.max(start));
            }
            if depth == 0 || self.has_failed_in(segment) {
                return;
            }
            if let Some(end) = self.known_end(segment, from.max(start)) {
                from = end;
                continue;
            }
            let window = match is_whole {
                true => bytes,
                false => self.windows.fitting(window).max((4 * len).min(self.windows.limit() / LARGEST)),
            };
            let window = window.next_multiple_of(unit);
            let overlap = OVERLAP.max(2 * len).min(window / 2);
            let base = Position(from.0.saturating_sub(overlap - overlap % unit)).max(start);
            let end = (base + window).align_up(unit).min(start + bytes);
            if end <= from || self.unread_bytes() + (end - base) > self.windows.limit() / SHARE {
                return;
            }
            let read = self.numbered(segment, base - start, len32(end - base));
            self.ahead.push_back(Pending::ahead(read, base, unit, depth));
            from = end;
        }
    }

    /// Up to where what is there or asked for goes on from here.
    pub(crate) fn known_end(&self, segment: SegmentNumber, from: Position) -> Option<Position> {
        let asked = self.pending.iter().chain(&self.waiting).chain(&self.ahead);
        let asked = asked.filter(|asked| asked.read.segment == segment && asked.base <= from && from < asked.end());
        let there = self.windows.furthest(segment, from).map(|(_, _, end)| end);
        asked.map(Pending::end).chain(there).max()
    }

    /// Bytes that were read, or are to be read, though nobody has wanted them so far.
    fn unread_bytes(&self) -> u64 {
        let asked = self.pending.iter().chain(&self.waiting).chain(&self.ahead).filter(|asked| asked.depth > 0);
        asked.map(|asked| u64::from(asked.read.len)).sum::<u64>() + self.windows.unread()
    }

    pub(crate) fn numbered(&mut self, segment: SegmentNumber, offset: u64, len: u32) -> Read {
        self.next_ticket += 1;
        Read { ticket: self.next_ticket, segment, offset, len }
    }
}
