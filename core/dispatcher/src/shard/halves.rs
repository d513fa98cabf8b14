//! Half frames: room for what has come of them, and a deadline for the rest (R22).

use std::collections::VecDeque;
use std::fmt;

use postrider_model::{Now, limits};

use crate::net::Connection;
use crate::plant::planted;

use super::link::Link;

/// A half frame of which no more than this has come takes nothing of the budget and never waits for it.
pub(super) const SMALL_BYTES: usize = 64 * 1024;

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
pub(super) struct HalfFrame {
    /// Bytes of it that are counted in the shard's budget.
    counted: usize,
    /// As many of them as are counted as standing still.
    standing: usize,
    /// When it must have gone on by `pace` from `mark`, in nanoseconds.
    pub deadline: u64,
    mark: usize,
    /// Frames before it.
    frames: u64,
    pace: Pace,
    waits: bool,
    /// Some of its time was not the client's.
    excused: bool,
}

impl Default for HalfFrame {
    fn default() -> HalfFrame {
        HalfFrame {
            counted: 0,
            standing: 0,
            deadline: u64::MAX,
            mark: 0,
            frames: 0,
            pace: PACE,
            waits: false,
            excused: false,
        }
    }
}

impl HalfFrame {
    /// Bytes came: so much is kept of the frame behind so many others.
    pub(super) fn received(&mut self, kept: usize, frames: u64, now: Now) {
        if kept == 0 {
            self.deadline = u64::MAX;
        } else if self.deadline == u64::MAX || frames != self.frames || kept >= self.mark + self.pace.bytes {
            self.begin(kept, frames, now);
        }
    }

    /// Another stretch begins.
    pub(super) fn begin(&mut self, kept: usize, frames: u64, now: Now) {
        (self.mark, self.frames, self.deadline) = (kept, frames, now.nanos + self.pace.nanos);
    }

    /// It was not read until now, and not by its client's fault.
    pub(super) fn excuse(&mut self) {
        self.excused = true;
    }

    /// Whether it gets another stretch at its deadline. `held`: it is not read even now.
    pub(super) fn take_excuse(&mut self, held: bool) -> bool {
        std::mem::take(&mut self.excused) || held
    }

    /// Why its connection ends, of which so many bytes have come.
    pub(super) fn too_slow(&self, came: usize) -> TooSlow {
        TooSlow { came, pace: self.pace }
    }
}

/// A frame has begun and does not go on.
pub(super) struct TooSlow {
    came: usize,
    pace: Pace,
}

impl fmt::Display for TooSlow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (came, wanted, seconds) = (self.came, self.pace.bytes, self.pace.nanos / 1_000_000_000);
        write!(
            formatter,
            "a frame of which {came} bytes have come does not go on: less than {wanted} bytes in {seconds} s"
        )
    }
}

/// Bytes of all half frames of a shard. When they are too many, one of them goes on alone until it is whole, too slow, or held for
/// another reason, and the others wait in line: so there is always one that comes to an end.
pub(super) struct Halves {
    budget: usize,
    taken: usize,
    /// What of it links have that are held for another reason.
    standing: usize,
    favoured: Option<Connection>,
    /// Those that could go on if there were room.
    waiting: VecDeque<Connection>,
}

impl Default for Halves {
    fn default() -> Halves {
        Halves::new(limits::HALF_FRAME_BUDGET_BYTES)
    }
}

impl Halves {
    /// Room for so many bytes.
    pub(super) fn new(budget: usize) -> Halves {
        Halves { budget, taken: 0, standing: 0, favoured: None, waiting: VecDeque::new() }
    }

    /// Changes it.
    pub(super) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
    }

    /// Counts what has come of a link's half frame. True: it has to wait.
    pub(super) fn is_full_for(&mut self, link: &mut Link, now: Now) -> bool {
        let kept = link.session.half_frame_bytes();
        let counted = if kept > SMALL_BYTES { kept } else { 0 };
        self.count(link, counted);
        if counted == 0 {
            self.pass_on(link);
        }
        if counted == 0 || self.taken <= self.budget || self.is_favoured(link) {
            return false;
        }
        if !self.may_favour() || link.half.standing > 0 {
            return true;
        }
        self.favoured = Some(link.connection);
        link.half.pace = FAVOURED_PACE;
        link.half.begin(kept, link.session.frames(), now);
        false
    }

    /// A link that has no room gets in line. One that is held for another reason does when that is over.
    pub(super) fn wait(&mut self, link: &mut Link) {
        if !link.holds.stands_still() && !std::mem::replace(&mut link.half.waits, true) {
            self.waiting.push_back(link.connection);
        }
    }

    /// A link is held for another reason, or is so no more. True: it was the one that goes on, and waits like the others.
    pub(super) fn gives_way(&mut self, link: &mut Link) -> bool {
        self.count(link, link.half.counted);
        link.holds.stands_still() && self.pass_on(link)
    }

    /// How many may be looked at: somebody waits, and somebody could go on.
    pub(super) fn candidates(&self) -> usize {
        let goes_on = self.taken <= self.budget || self.may_favour();
        if goes_on && !planted("halves-forgotten") { self.waiting.len() } else { 0 }
    }

    /// Whether a link has to go that is held for another reason: such links have taken so much that nobody can be favoured.
    pub(super) fn cannot_keep(&self, link: &Link) -> bool {
        self.standing > self.budget && link.half.standing > 0
    }

    /// The first in line.
    pub(super) fn next(&mut self) -> Option<Connection> {
        self.waiting.pop_front()
    }

    /// A link has left the line.
    pub(super) fn left(link: &mut Link) {
        link.half.waits = false;
    }

    /// A link is gone.
    pub(super) fn remove(&mut self, link: &mut Link) {
        self.count(link, 0);
        self.pass_on(link);
    }

    fn count(&mut self, link: &mut Link, counted: usize) {
        let standing = if link.holds.stands_still() { counted } else { 0 };
        self.taken = self.taken - link.half.counted + counted;
        self.standing = self.standing - link.half.standing + standing;
        (link.half.counted, link.half.standing) = (counted, standing);
    }

    fn may_favour(&self) -> bool {
        self.favoured.is_none() && self.standing <= self.budget
    }

    fn is_favoured(&self, link: &Link) -> bool {
        self.favoured == Some(link.connection)
    }

    /// Favours nobody, if it was this one.
    fn pass_on(&mut self, link: &mut Link) -> bool {
        let was_favoured = self.is_favoured(link);
        if was_favoured {
            self.favoured = None;
            link.half.pace = PACE;
        }
        was_favoured
    }

    /// Bytes that are counted.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken
    }
}
