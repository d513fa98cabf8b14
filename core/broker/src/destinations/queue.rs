//! A queue: its messages in order, and its consumers in turn.

use crate::destinations::allowance::Allowance;
use crate::destinations::moved::{self, Moved};
use crate::destinations::returned::Returned;
use crate::destinations::rotation::Rotation;
use crate::kit::deque::Deque;
use crate::kit::soonest::NEVER;
use crate::messages::{ConsumerIndex, Message, MessageIndex, Messages};
use postrider_model::Sequence;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A consumer of a queue, and which of its memberships this is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Member {
    pub consumer: ConsumerIndex,
    pub membership: u32,
}

/// Until when a message is good that says so, in milliseconds since 1970.
pub(crate) fn until(expiration: i64) -> i64 {
    if expiration > 0 { expiration } else { NEVER }
}

/// A queue.
#[derive(Default)]
pub(crate) struct Queue {
    /// Messages that nobody has had, by sequence.
    pub ready: Deque<MessageIndex>,
    /// Messages that reclaim had moved, while the log is followed: they are to be among the others.
    pub moved: Moved,
    /// Messages that came back; they go out by sequence with the others.
    pub returned: Returned,
    /// Messages that have come back, ever.
    pub returns: u64,
    /// All consumers that take.
    pub takers: BTreeSet<Member>,
    /// Those of them that can take now.
    pub rotation: Rotation,
    /// Consumers that only look.
    pub browsers: BTreeSet<Member>,
    /// Those of them that have not seen all.
    pub looking: VecDeque<Member>,
    /// Those that have seen what it can show now: they look on when it is looked at itself.
    pub stalled: VecDeque<Member>,
    /// It is among those whose browsers are to be shown more.
    pub shows: bool,
    /// Exclusive ones among the takers, by priority, then as they came. The first of them alone is served.
    pub exclusive: BTreeMap<(Reverse<i8>, u64), Member>,
    /// While messages are on their way back, nothing goes out: the order is kept.
    pub holds: u32,
    pub allowance: Allowance,
    /// Newest sequence that was placed here.
    pub last: Sequence,
    /// Messages here, those in flight included.
    pub size: u64,
    /// It stands in the list of those that wait for a commit.
    pub awaits_commit: bool,
}

impl Queue {
    /// The message that goes out next, and whether it is one that came back.
    pub(crate) fn front(&self, messages: &Messages) -> Option<(MessageIndex, bool)> {
        match (self.ready.front(), self.returned.first()) {
            (Some(ready), Some((sequence, returned))) => match messages.at(ready).sequence < *sequence {
                true => Some((ready, false)),
                false => Some((*returned, true)),
            },
            (Some(ready), None) => Some((ready, false)),
            (None, Some((_, returned))) => Some((*returned, true)),
            (None, None) => None,
        }
    }

    /// Takes a message out that waits here.
    pub(crate) fn take(&mut self, number: MessageIndex, was_returned: bool, messages: &Messages) {
        let Message { sequence, expiration, .. } = *messages.at(number);
        if was_returned {
            self.leave_returned(sequence, number, expiration);
        } else if self.ready.front() == Some(number) {
            self.ready.pop_front();
        } else {
            let place = self.ready.search(|other| messages.at(other).sequence < sequence);
            if self.ready.at(place) == Some(number) {
                self.ready.remove(place);
            }
        }
    }

    /// A message comes back, which expires at this time.
    pub(crate) fn give_back(&mut self, sequence: Sequence, number: MessageIndex, expiration: i64) {
        self.returns += 1;
        self.returned.insert((sequence, number), until(expiration));
    }

    /// Takes a message out that came back; false: it did not.
    pub(crate) fn leave_returned(&mut self, sequence: Sequence, number: MessageIndex, expiration: i64) -> bool {
        self.returned.remove((sequence, number), until(expiration))
    }

    /// A message comes: newer than all others, or, out of the log, one that reclaim had moved behind them.
    pub(crate) fn add(&mut self, number: MessageIndex, messages: &Messages) {
        let Message { sequence, expiration, .. } = *messages.at(number);
        self.size += 1;
        if sequence > self.last {
            self.last = sequence;
            self.push(number, expiration);
        } else {
            self.moved.add(number, messages);
        }
    }

    /// The message of this sequence, while the log is followed: nobody has any of them.
    pub(crate) fn find(&self, sequence: Sequence, messages: &Messages) -> Option<MessageIndex> {
        if sequence > self.last {
            return None;
        }
        moved::find_in(&self.ready, sequence, messages).or_else(|| self.moved.find(sequence, messages))
    }

    /// Takes it out, likewise.
    pub(crate) fn take_out(&mut self, sequence: Sequence, messages: &Messages) -> Option<MessageIndex> {
        if sequence > self.last {
            return None;
        }
        moved::take_of(&mut self.ready, sequence, messages).or_else(|| self.moved.take(sequence, messages))
    }

    /// What is followed is all there: the queue is in order from here on.
    pub(crate) fn merge_moved(&mut self, messages: &Messages) {
        self.moved.merge_into(&mut self.ready, messages);
    }

    /// A message comes, newer than all others.
    pub(crate) fn push(&mut self, number: MessageIndex, expiration: i64) {
        self.ready.push_back_until(number, until(expiration));
    }

    /// Whether a message that waits here may have expired by now.
    pub(crate) fn may_expire(&self, now: i64) -> bool {
        self.ready.may_expire(now) || self.returned.may_expire(now)
    }

    /// Messages that wait here.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.len() + self.returned.len()
    }
}
