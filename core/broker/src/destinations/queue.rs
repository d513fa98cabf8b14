//! A queue: its messages in order, and its consumers in turn.

use crate::destinations::allowance::{Allowance, NO_END};
use crate::destinations::members::Member;
use crate::destinations::moved::{self, Moved};
use crate::destinations::pace::Pace;
use crate::destinations::returned::Returned;
use crate::destinations::rotation::Rotation;
use crate::destinations::shares::Shares;
use crate::destinations::views::Views;
use crate::kit::deque::Deque;
use crate::kit::soonest::NEVER;
use crate::messages::{Message, MessageIndex, Messages};
use postrider_model::Sequence;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Until when a message is good that says so, in milliseconds since 1970.
pub(crate) fn until(expiration: i64) -> i64 {
    if expiration > 0 { expiration } else { NEVER }
}

/// A queue.
#[derive(Default)]
pub(crate) struct Queue {
    /// Messages that nobody has had, by sequence.
    pub(super) ready: Deque<MessageIndex>,
    /// Messages that reclaim had moved, while the log is followed: they are to be among the others.
    pub(super) moved: Moved,
    /// Messages that came back; they go out by sequence with the others.
    pub(super) returned: Returned,
    /// All consumers that take.
    pub(super) takers: BTreeSet<Member>,
    /// Those of them that can take now, and want all.
    pub rotation: Rotation,
    /// What those have tried that want some.
    pub(super) views: Option<Box<Views>>,
    /// Consumers that only look.
    pub(super) browsers: BTreeSet<Member>,
    /// Those of them that have not seen all.
    pub(super) looking: VecDeque<Member>,
    /// Those that have seen what it can show now: they look on when it is looked at itself.
    pub(super) stalled: VecDeque<Member>,
    /// It is among those whose browsers are to be shown more.
    pub(super) shows: bool,
    /// Exclusive ones among the takers, by priority, then as they came. The first of them alone is served.
    pub(super) exclusive: BTreeMap<(Reverse<i8>, u64), Member>,
    /// While messages are on their way back, nothing goes out: the order is kept.
    pub(super) holds: u32,
    pub allowance: Allowance,
    pub pace: Pace,
    /// What it has of messages that others have, too.
    pub(super) shares: Option<Box<Shares>>,
    /// Newest sequence that was placed here.
    pub(super) last: Sequence,
    /// Messages here, those in flight included.
    pub(super) size: u64,
    /// It stands in the list of those that wait for a commit.
    pub(super) awaits_commit: bool,
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
        self.pace.leaves();
        let Message { sequence, expiration, .. } = *messages.at(number);
        if was_returned {
            self.leave_returned(sequence, number, expiration);
        } else if self.ready.front() == Some(number) {
            self.ready.pop_front();
        } else {
            self.leave_ready(sequence, number, messages);
        }
    }

    /// Takes a message out that nobody has had; false: it is not among those.
    pub(crate) fn leave_ready(&mut self, sequence: Sequence, number: MessageIndex, messages: &Messages) -> bool {
        let place = self.ready.search(|other| messages.at(other).sequence < sequence);
        let is_there = self.ready.at(place) == Some(number);
        if is_there {
            self.ready.remove(place);
        }
        is_there
    }

    /// A message comes back, which expires at this time.
    pub(crate) fn give_back(&mut self, sequence: Sequence, number: MessageIndex, expiration: i64) {
        self.returned.insert((sequence, number), until(expiration));
        if let Some(views) = &mut self.views {
            views.came_back((sequence, number));
        }
    }

    /// Takes a message out that came back; false: it did not.
    pub(crate) fn leave_returned(&mut self, sequence: Sequence, number: MessageIndex, expiration: i64) -> bool {
        self.returned.remove((sequence, number), until(expiration))
    }

    /// A message comes: newer than all others, or, out of the log, one that reclaim had moved behind them.
    #[inline(always)]
    pub(crate) fn add(&mut self, number: MessageIndex, messages: &Messages) {
        let Message { sequence, expiration, .. } = *messages.at(number);
        self.come();
        if sequence > self.last {
            self.last = sequence;
            self.push(number, expiration);
            if let Some(views) = &mut self.views {
                views.arrived(sequence, number);
            }
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

    /// The first of what nobody has had.
    pub(crate) fn first_of_all(&self) -> Option<MessageIndex> {
        self.ready.front()
    }

    /// What is followed is all there: the queue is in order from here on.
    pub(crate) fn merge_moved(&mut self, messages: &Messages) {
        self.moved.merge_into(&mut self.ready, messages);
    }

    /// A message comes, newer than all others.
    pub(crate) fn push(&mut self, number: MessageIndex, expiration: i64) {
        self.pace.comes();
        self.ready.push_back_until(number, until(expiration));
    }

    /// Messages that wait here.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.len() + self.returned.len()
    }

    /// A message of the table is this queue's from here on.
    #[inline]
    pub(crate) fn come(&mut self) {
        self.size += 1;
    }

    /// A message of this queue leaves the table.
    #[inline]
    pub(crate) fn gone(&mut self, number: MessageIndex) {
        self.size -= 1;
        if let Some(views) = &mut self.views {
            views.gone(number);
        }
    }

    /// Messages here, those in flight included.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Newest sequence that was placed here.
    pub(crate) fn last(&self) -> Sequence {
        self.last
    }

    /// Messages are on their way to it: nothing goes out before all of them are there.
    pub(crate) fn hold(&mut self) {
        self.holds += 1;
    }

    /// Some that it has waited for are there.
    pub(crate) fn release(&mut self) {
        self.holds = self.holds.saturating_sub(1);
    }

    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.holds > 0
    }

    /// All that waits here, to be another queue's, and the newest sequence of it.
    pub(crate) fn hand_over(&mut self) -> (Deque<MessageIndex>, Sequence) {
        self.size = 0;
        (std::mem::take(&mut self.ready), self.last)
    }

    /// Messages of another queue are this one's, by sequence among its own.
    pub(crate) fn take_in(&mut self, list: Deque<MessageIndex>, last: Sequence, messages: &Messages) {
        self.last = self.last.max(last);
        self.ready.merge(list, |number| messages.get(number).map_or(0, |message| message.sequence.0));
    }

    /// What waits here behind a sequence, of either list as long as more of it is wanted.
    pub(crate) fn visit_behind(
        &self,
        last: Sequence,
        messages: &Messages,
        mut is_wanted: impl FnMut(Sequence, MessageIndex) -> bool,
    ) {
        let sequence = |number: MessageIndex| messages.at(number).sequence;
        let mut place = self.ready.search(|number| sequence(number) <= last);
        while let Some(number) = self.ready.at(place)
            && is_wanted(sequence(number), number)
        {
            place = self.ready.after(place);
        }
        for (sequence, number) in self.returned.from(last.next()) {
            if !is_wanted(*sequence, *number) {
                break;
            }
        }
    }

    /// Up to where an allowance goes for a chunk of messages, from the one with this sequence on.
    pub(crate) fn end_of_allowance(&self, from: Sequence, chunk: usize, messages: &Messages) -> Sequence {
        let before = self.ready.count_before(self.ready.search(|number| messages.at(number).sequence < from));
        match self.ready.get(before + self.allowance.size(chunk) - 1) {
            Some(last) => messages.at(last).sequence.max(self.allowance.highest_dispatched),
            None => NO_END,
        }
    }

    /// Whether the next allowance is due for those that wait.
    #[inline]
    pub(crate) fn is_allowance_due(&self, chunk: usize) -> bool {
        self.allowance.is_due(chunk) && !self.ready.is_empty()
    }

    /// Whether its allowance is to be put among those that are drawn in or stated anew.
    #[inline]
    pub(crate) fn is_allowance_to_be_listed(&mut self, chunk: usize) -> bool {
        self.allowance.is_to_be_listed(self.ready.len(), chunk)
    }

    /// A life begins: see [`Allowance::begin_life`].
    pub(crate) fn begin_life(&mut self, damaged: bool) {
        self.allowance.begin_life(self.last, damaged);
    }
}
