//! A queue: its messages in order, and its consumers in turn.

use crate::allowance::Allowance;
use crate::deque::Deque;
use crate::messages::{ConsumerIndex, Message, MessageIndex};
use crate::slab::Slab;
use postrider_model::Sequence;
use std::collections::{BTreeSet, VecDeque};

/// A consumer of a queue, and which of its subscriptions this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub consumer: ConsumerIndex,
    pub subscription: u32,
}

/// Consumers with the same priority, the next one first. Those that cannot take are not in it.
pub(crate) struct Level {
    pub priority: i8,
    pub members: VecDeque<Member>,
}

/// A queue.
#[derive(Default)]
pub(crate) struct Queue {
    /// Messages that nobody has had, by sequence.
    pub ready: Deque<MessageIndex>,
    /// Messages that came back; they go out by sequence with the others.
    pub returned: BTreeSet<(Sequence, MessageIndex)>,
    /// All consumers that take.
    pub subscribers: Vec<Member>,
    /// Higher priorities first.
    pub levels: Vec<Level>,
    /// Consumers that only look.
    pub browsers: Vec<Member>,
    /// Exclusive ones among the subscribers.
    pub exclusive: u32,
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
    pub fn front(&self, messages: &Slab<Message>) -> Option<(MessageIndex, bool)> {
        match (self.ready.front(), self.returned.first()) {
            (Some(ready), Some((sequence, returned))) => match messages[ready.0].sequence < *sequence {
                true => Some((ready, false)),
                false => Some((*returned, true)),
            },
            (Some(ready), None) => Some((ready, false)),
            (None, Some((_, returned))) => Some((*returned, true)),
            (None, None) => None,
        }
    }

    /// Takes out what [`Queue::front`] has shown.
    pub fn take_front(&mut self, was_returned: bool) {
        if was_returned {
            self.returned.pop_first();
        } else {
            self.ready.pop_front();
        }
    }

    /// Messages that wait here.
    pub fn waiting(&self) -> usize {
        self.ready.len() + self.returned.len()
    }

    /// Puts a consumer at the end of its priority's turn.
    pub fn enter(&mut self, member: Member, priority: i8) {
        let at = self.levels.partition_point(|level| level.priority > priority);
        if self.levels.get(at).is_none_or(|level| level.priority != priority) {
            self.levels.insert(at, Level { priority, members: VecDeque::new() });
        }
        self.levels[at].members.push_back(member);
    }

    /// Takes a consumer out of its turn.
    pub fn leave(&mut self, member: Member) {
        for level in &mut self.levels {
            level.members.retain(|other| *other != member);
        }
        if self.levels.len() > 1 {
            self.levels.retain(|level| !level.members.is_empty());
        }
    }

    /// Takes the consumer whose turn it is out of its turn.
    pub fn leave_front(&mut self) {
        if let Some(at) = self.levels.iter().position(|level| !level.members.is_empty()) {
            self.levels[at].members.pop_front();
            if self.levels[at].members.is_empty() && self.levels.len() > 1 {
                self.levels.remove(at);
            }
        }
    }

    /// The consumer whose turn it was goes behind its equals.
    pub fn rotate(&mut self) {
        if let Some(level) = self.levels.iter_mut().find(|level| !level.members.is_empty()) {
            level.members.rotate_left(1);
        }
    }

    /// The consumer whose turn it is.
    pub fn next_member(&self) -> Option<Member> {
        self.levels.iter().find_map(|level| level.members.front()).copied()
    }
}
