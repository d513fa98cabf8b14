//! Who is with a destination: consumers that take, and those that only look.

use crate::destinations::destination::{Content, DestinationState};
use crate::destinations::queue::Queue;
use crate::messages::ConsumerIndex;
use std::cmp::Reverse;

/// A consumer of a destination, and which of its memberships this is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Member {
    pub consumer: ConsumerIndex,
    pub membership: u32,
}

impl DestinationState {
    /// Whether a consumer has it: a destination is found once, however many patterns of a consumer fit it, or name it.
    pub(crate) fn is_with(&self, index: ConsumerIndex, only_looks: bool) -> bool {
        let members = match &self.content {
            Content::Topic(topic) => &topic.members,
            Content::Queue(queue) if only_looks => &queue.browsers,
            Content::Queue(queue) => &queue.takers,
        };
        let first = Member { consumer: index, membership: 0 };
        members.range(first..).next().is_some_and(|member| member.consumer == index)
    }

    /// How many consumers have it, those that only look included.
    pub(crate) fn members(&self) -> usize {
        match &self.content {
            Content::Topic(topic) => topic.members.len(),
            Content::Queue(queue) => queue.takers.len() + queue.browsers.len(),
        }
    }

    /// One of all that it is with, the takers first.
    pub(crate) fn first_member(&self) -> Option<Member> {
        match &self.content {
            Content::Queue(queue) => queue.takers.first().or(queue.browsers.first()).copied(),
            Content::Topic(topic) => topic.members.first().copied(),
        }
    }

    /// It goes: one that it is with is not to be met again. Whose turn it is does not matter any more.
    pub(crate) fn forget_member(&mut self, member: Member) {
        match &mut self.content {
            Content::Queue(queue) => drop((queue.takers.remove(&member), queue.browsers.remove(&member))),
            Content::Topic(topic) => drop(topic.members.remove(&member)),
        }
    }
}

/// What a taker says that wants to be the only one: its priority, and its place among those that came.
pub(crate) type Claim = (i8, u64);

impl Queue {
    /// A consumer comes that takes. Its turn it gets by itself.
    pub(crate) fn add_taker(&mut self, member: Member, exclusive: Option<Claim>) {
        self.takers.insert(member);
        if let Some((priority, serial)) = exclusive {
            self.exclusive.insert((Reverse(priority), serial), member);
        }
    }

    pub(crate) fn remove_taker(&mut self, member: Member, exclusive: Option<Claim>) {
        self.takers.remove(&member);
        if let Some((priority, serial)) = exclusive {
            self.exclusive.remove(&(Reverse(priority), serial));
        }
    }

    /// All consumers that take.
    pub(crate) fn takers(&self) -> impl ExactSizeIterator<Item = Member> {
        self.takers.iter().copied()
    }

    /// The only one that is served, if one of the takers is to be.
    #[inline]
    pub(crate) fn sole(&self) -> Option<Member> {
        self.exclusive.first_key_value().map(|(_, member)| *member)
    }

    /// A consumer comes that only looks, and has not seen all, unless it looks at another queue.
    pub(crate) fn add_browser(&mut self, member: Member, looks: bool) {
        self.browsers.insert(member);
        if looks {
            self.looking.push_back(member);
        }
    }

    pub(crate) fn remove_browser(&mut self, member: Member) {
        self.browsers.remove(&member);
    }

    /// Whether browsers have not seen all, or wait for what it cannot show now.
    #[inline]
    pub(crate) fn has_browsers_to_show(&self) -> bool {
        !self.looking.is_empty() || !self.stalled.is_empty()
    }

    /// It is looked at: what browsers have waited for may be there.
    pub(crate) fn look_on(&mut self) {
        self.looking.append(&mut self.stalled);
    }

    /// A browser is to be shown more, at once or when the queue is looked at.
    pub(crate) fn list_browser(&mut self, member: Member, waits: bool) {
        if waits {
            self.stalled.push_back(member);
        } else {
            self.looking.push_back(member);
        }
    }

    /// It is its browsers' turn. How many of them there are that have not seen all.
    pub(crate) fn begin_to_show(&mut self) -> usize {
        self.shows = false;
        self.looking.len()
    }

    /// The next of them, unless it has gone.
    pub(crate) fn next_looking(&mut self) -> Option<Member> {
        self.looking.pop_front().filter(|member| self.browsers.contains(member))
    }
}
