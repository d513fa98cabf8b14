//! Half frames: room for what has come of them, and a deadline for the rest (R22).

use std::collections::VecDeque;

use postrider_model::{Now, limits};

use crate::net::Connection;

use super::link::Link;

/// A half frame of which no more than this has come takes nothing of the budget and never waits for it.
pub const SMALL_BYTES: usize = 64 * 1024;

/// What is asked of a half frame: so many bytes more in so many nanoseconds, or its end.
#[derive(Clone, Copy)]
struct Pace {
    bytes: usize,
    nanos: u64,
}

/// What any half frame must do.
const PACE: Pace = Pace { bytes: 64 * 1024, nanos: 30_000_000_000 };

/// What the one must do for which others wait.
const FAVOURED_PACE: Pace = Pace { bytes: 1024 * 1024, nanos: 5_000_000_000 };

/// The half frame of one link.
#[derive(Clone, Copy)]
pub struct HalfFrame {
    /// Bytes of it that are counted in the shard's budget.
    counted: usize,
    /// When it must have gone on by `pace` from `mark`, in nanoseconds.
    pub deadline: u64,
    mark: usize,
    /// Frames before it.
    frames: u64,
    pace: Pace,
    waits: bool,
}

impl Default for HalfFrame {
    fn default() -> HalfFrame {
        HalfFrame { counted: 0, deadline: u64::MAX, mark: 0, frames: 0, pace: PACE, waits: false }
    }
}

impl HalfFrame {
    /// Bytes came: so much is kept of the frame behind so many others.
    pub fn received(&mut self, kept: usize, frames: u64, now: Now) {
        if kept == 0 {
            self.deadline = u64::MAX;
        } else if self.deadline == u64::MAX || frames != self.frames || kept >= self.mark + self.pace.bytes {
            self.begin(kept, frames, now);
        }
    }

    /// Another stretch begins.
    pub fn begin(&mut self, kept: usize, frames: u64, now: Now) {
        (self.mark, self.frames, self.deadline) = (kept, frames, now.nanos + self.pace.nanos);
    }

    /// Seconds that it had, and bytes that it should have brought, for the log.
    pub fn pace(&self) -> (u64, usize) {
        (self.pace.nanos / 1_000_000_000, self.pace.bytes)
    }
}

/// Bytes of all half frames of a shard. When they are too many, one of them goes on alone until it is whole or too slow, and the
/// others wait in line: so there is always one that comes to an end.
pub struct Halves {
    budget: usize,
    taken: usize,
    favoured: Option<Connection>,
    waiting: VecDeque<Connection>,
}

impl Default for Halves {
    fn default() -> Halves {
        Halves::new(limits::HALF_FRAME_BUDGET_BYTES)
    }
}

impl Halves {
    /// Room for so many bytes.
    pub fn new(budget: usize) -> Halves {
        Halves { budget, taken: 0, favoured: None, waiting: VecDeque::new() }
    }

    /// Counts what has come of a link's half frame. True: it has to wait.
    pub fn is_full_for(&mut self, link: &mut Link, now: Now) -> bool {
        let kept = link.session.half_frame_bytes();
        let counted = if kept > SMALL_BYTES { kept } else { 0 };
        self.taken = self.taken - link.half.counted + counted;
        link.half.counted = counted;
        let is_favoured = self.favoured == Some(link.connection);
        if is_favoured && counted == 0 {
            self.favoured = None;
            link.half.pace = PACE;
        }
        if counted == 0 || self.taken <= self.budget || is_favoured {
            return false;
        }
        if self.favoured.is_some() {
            return true;
        }
        self.favoured = Some(link.connection);
        link.half.pace = FAVOURED_PACE;
        link.half.begin(kept, link.session.frames(), now);
        false
    }

    /// A link gets in line.
    pub fn wait(&mut self, link: &mut Link) {
        if !std::mem::replace(&mut link.half.waits, true) {
            self.waiting.push_back(link.connection);
        }
    }

    /// How many may be looked at: somebody waits, and somebody could go on.
    pub fn candidates(&self) -> usize {
        if self.taken <= self.budget || self.favoured.is_none() { self.waiting.len() } else { 0 }
    }

    /// The first in line.
    pub fn next(&mut self) -> Option<Connection> {
        self.waiting.pop_front()
    }

    /// A link has left the line.
    pub fn left(link: &mut Link) {
        link.half.waits = false;
    }

    /// A link is gone.
    pub fn remove(&mut self, link: &Link) {
        self.taken -= link.half.counted;
        if self.favoured == Some(link.connection) {
            self.favoured = None;
        }
    }

    /// Bytes that are counted.
    #[cfg(test)]
    pub fn taken(&self) -> usize {
        self.taken
    }
}
