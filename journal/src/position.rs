//! Places in the log.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A byte of the log, counted from the beginning of time. Segment headers and padding count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

/// A node's life, from one start to the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u32);

/// A segment: it begins at position `number * segment_bytes`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SegmentNumber(pub u64);

/// Where a record lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Home {
    /// The first byte of its body; without a body, of its frame.
    pub position: Position,
    /// The segment that holds it.
    pub segment: SegmentNumber,
    /// Its index among the segment's records.
    pub ordinal: u32,
    /// Bytes of its body.
    pub len: u32,
}

impl SegmentNumber {
    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("segment-{:016x}", self.0)
    }
}

impl Position {
    /// The next multiple of `unit`, or this one.
    #[must_use]
    pub fn align_up(self, unit: u64) -> Position {
        Position(self.0.next_multiple_of(unit))
    }

    /// The last multiple of `unit`, or this one.
    #[must_use]
    pub fn align_down(self, unit: u64) -> Position {
        Position(self.0 - self.0 % unit)
    }
}

impl Add<u64> for Position {
    type Output = Position;
    fn add(self, bytes: u64) -> Position {
        Position(self.0 + bytes)
    }
}

impl AddAssign<u64> for Position {
    fn add_assign(&mut self, bytes: u64) {
        self.0 += bytes;
    }
}

impl Sub for Position {
    type Output = u64;
    fn sub(self, earlier: Position) -> u64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}
