//! Consumers that only look.

use crate::messages::MessageIndex;
use postrider_model::Sequence;
use std::collections::VecDeque;

/// How far a browser is.
#[derive(Default)]
pub(crate) struct Browse {
    /// Which of its memberships.
    pub membership: usize,
    /// The queue's newest sequence when the browser came to it: what is newer is not shown.
    pub end: Option<Sequence>,
    /// The newest that it has seen there.
    pub last: Sequence,
    /// What comes next; some of it may be gone by then.
    pub page: VecDeque<(Sequence, MessageIndex)>,
    pub done: bool,
    /// It is among those that its queue is to show more.
    pub listed: bool,
}

impl Browse {
    /// A new membership of its consumer: whether that is the one that it looks at now.
    pub(crate) fn begins_with(&mut self, membership: u32) -> bool {
        let now = self.membership == membership as usize;
        if now {
            // The number may have been that of a queue which is gone.
            (self.end, self.listed) = (None, true);
            self.page.clear();
        }
        now
    }

    /// It has seen all of its queue, and comes to the next of its consumer's.
    pub(crate) fn leave_queue(&mut self) {
        self.membership += 1;
        (self.end, self.listed) = (None, false);
        self.page.clear();
    }

    /// It comes to a queue, whose newest sequence is this one, unless it has before.
    pub(crate) fn come_to(&mut self, newest: Sequence) {
        if self.end.is_none() {
            (self.end, self.last) = (Some(newest), Sequence(0));
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}
