//! A topic: messages in order, and who has come how far.
//!
//! The consumers of one port that take what comes walk together, as one group with one cursor; a message goes to all of them as
//! one event (R23). One that cannot take stays behind with a cursor of its own, and joins again when it has caught up. A message
//! goes when no cursor is before it.
#![expect(clippy::expect_used, reason = "as many leave as have come")]

use crate::destinations::members::Member;
use crate::destinations::subscription::Subscribers;
use crate::kit::deque::Deque;
use crate::messages::MessageIndex;
use foldhash::fast::FixedState;
use postrider_model::PortIndex;
use std::collections::{BTreeSet, HashMap};

/// A message of a topic.
#[derive(Clone, Copy, Debug)]
struct Entry {
    message: MessageIndex,
    /// Cursors of those that stay behind and have this one before them.
    standing: u32,
}

/// A consumer that walks with its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walker {
    pub member: Member,
    /// Its membership knows it while it walks.
    ticket: u64,
    /// It came when the group had this before it: what is older is not for it.
    pub from: u64,
}

/// The consumers of one port.
#[derive(Default)]
struct Group {
    cursor: u64,
    walkers: Vec<Walker>,
    /// It is listed among those that found their port's ring full.
    blocked: bool,
    /// Tickets of those that have left: they go from the list all together.
    gone: Vec<u64>,
}

impl Group {
    fn drop_gone(&mut self) {
        if !self.gone.is_empty() {
            self.gone.sort_unstable();
            let gone = &self.gone;
            self.walkers.retain(|walker| gone.binary_search(&walker.ticket).is_err());
            self.gone.clear();
        }
    }
}

/// A topic.
#[derive(Default)]
pub(crate) struct Topic {
    list: Deque<Entry>,
    /// Number of the first message of the list.
    first: u64,
    groups: Vec<Group>,
    pub(super) members: BTreeSet<Member>,
    tickets: u64,
    /// Cursors of those that stay behind and have the next message that comes before them.
    at_end: u32,
    /// It is listed among those that hold messages which somebody has not had.
    pub(super) lagging: bool,
    /// Of those that stay behind: how many have lost what their cursors stand before, and go on with the first of the list.
    lost: u32,
    /// It is new, and not all who are to get it do: nothing goes out so far.
    pub(super) joining: bool,
    /// Durable subscriptions that may have what is sent to it.
    pub(super) subscribers: Subscribers,
    /// Messages of it that such share.
    pub shared: u64,
    /// Members with a selector.
    readers: u32,
    /// What selectors say of the message of this number: by the filters' numbers.
    sifted: (u64, HashMap<u32, bool, FixedState>),
}

impl Topic {
    /// Adds a message.
    pub(crate) fn push(&mut self, message: MessageIndex) {
        let standing = std::mem::take(&mut self.at_end);
        self.list.push_back(Entry { message, standing });
    }

    /// A consumer gets what comes from now on, or what is there from this message on. Its ticket.
    pub(crate) fn join(&mut self, port: PortIndex, member: Member, from: Option<u64>) -> u64 {
        self.members.insert(member);
        let from = from.unwrap_or_else(|| self.end()).max(self.first);
        self.walk(port, member, from)
    }

    /// Groups that there are, or were.
    #[inline]
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The message that a group has before it, if somebody walks there.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a group that is not there is our mistake")]
    pub(crate) fn next_of(&self, group: usize) -> Option<MessageIndex> {
        let group = &self.groups[group];
        self.message_at(group.cursor).filter(|_| !group.walkers.is_empty())
    }

    /// The group has had it.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a group that is not there is our mistake")]
    pub(crate) fn pass(&mut self, group: usize) {
        self.groups[group].cursor += 1;
    }

    /// The group's port has no room. Whether it had when it was looked at last.
    pub(crate) fn block(&mut self, port: PortIndex) -> bool {
        !std::mem::replace(&mut self.group(port).blocked, true)
    }

    /// Those who walk there, to be given back, and where they are.
    #[inline]
    pub(crate) fn take_walkers(&mut self, port: PortIndex) -> (Vec<Walker>, u64) {
        let group = self.group(port);
        (std::mem::take(&mut group.walkers), group.cursor)
    }

    /// Those of them who go on walking.
    #[inline]
    pub(crate) fn put_walkers(&mut self, port: PortIndex, walkers: Vec<Walker>) {
        self.group(port).walkers = walkers;
    }

    /// A member comes or goes that has a selector.
    pub(crate) fn count_reader(&mut self, reads: bool, comes: bool) {
        match (reads, comes) {
            (false, _) => {}
            (true, true) => self.readers += 1,
            (true, false) => self.readers = self.readers.saturating_sub(1),
        }
        if self.readers == 0 {
            self.sifted.1 = HashMap::default();
        }
    }

    /// Whether members have selectors.
    #[inline]
    pub(crate) fn has_readers(&self) -> bool {
        self.readers > 0
    }

    /// Selectors are asked about the message of this number, unless they were.
    pub(crate) fn begin_to_sift(&mut self, number: u64) {
        if self.sifted.0 != number {
            self.sifted.0 = number;
            self.sifted.1.clear();
        }
    }

    /// What one of them has said.
    pub(crate) fn note_wanted(&mut self, filter: u32, is_wanted: bool) {
        self.sifted.1.insert(filter, is_wanted);
    }

    /// The same; none: it was not asked.
    #[inline]
    pub(crate) fn is_wanted_by(&self, filter: u32) -> Option<bool> {
        self.sifted.1.get(&filter).copied()
    }

    /// One that has stayed behind goes on from here, where it has lost nothing. Where that is, and whether it has.
    pub(crate) fn resume(&mut self, cursor: u64) -> (u64, bool) {
        self.stand(cursor, -1);
        (cursor.max(self.first), cursor < self.first)
    }

    /// Whether one that goes on has come as far as its group. Of nobody it is told what is said then.
    pub(crate) fn has_caught_up(&self, port: PortIndex, cursor: u64, with_nobody: bool) -> bool {
        let group = self.groups.get(usize::from(port.0));
        group.is_none_or(|group| if group.walkers.is_empty() { with_nobody } else { group.cursor <= cursor })
    }

    /// A port's ring has room again.
    pub(crate) fn unblock(&mut self, port: usize) {
        if let Some(group) = self.groups.get_mut(port) {
            group.blocked = false;
        }
    }

    /// Whether not all who are to get it do: nothing goes out so far.
    #[inline]
    pub(crate) fn is_joining(&self) -> bool {
        self.joining
    }

    /// Somebody has not had all. True: that was not known.
    #[inline]
    pub(crate) fn begin_to_lag(&mut self) -> bool {
        !std::mem::replace(&mut self.lagging, true)
    }

    /// It is not listed any more among those that hold messages which somebody has not had.
    pub(crate) fn end_lag(&mut self) {
        self.lagging = false;
    }

    /// Whether somebody gets what comes.
    pub(crate) fn is_heard(&self) -> bool {
        self.joining || !self.members.is_empty()
    }

    /// A consumer goes that has stayed behind with this cursor, or walks with this ticket.
    pub(crate) fn leave(&mut self, port: PortIndex, member: Member, (cursor, is_behind): (u64, bool)) {
        self.members.remove(&member);
        if is_behind {
            self.stand(cursor, -1);
        } else {
            self.group(port).gone.push(cursor);
        }
    }

    /// Those that have left are not in the way of others.
    pub(crate) fn drop_gone(&mut self) {
        self.groups.iter_mut().for_each(Group::drop_gone);
    }

    /// Takes the first message out, whoever still wants it.
    pub(crate) fn take_any(&mut self) -> Option<MessageIndex> {
        self.first += u64::from(!self.list.is_empty());
        self.list.pop_front().map(|entry| entry.message)
    }

    /// Takes the first message out though some want it: they lose it. Gives it, and how many these are. Those who walk may be
    /// spared: they pass it by themselves, as soon as their port has room.
    pub(crate) fn shed(&mut self, spares_walkers: bool) -> Option<(MessageIndex, u64)> {
        self.drop_gone();
        if spares_walkers && !self.is_passed(self.first + 1, None) {
            return None;
        }
        let entry = self.list.pop_front()?;
        self.lost += entry.standing;
        let mut losers = u64::from(self.lost);
        for group in self.groups.iter_mut().filter(|group| group.cursor <= self.first) {
            group.cursor = self.first + 1;
            losers += group.walkers.len() as u64;
        }
        self.first += 1;
        Some((entry.message, losers))
    }

    /// Messages that somebody may not have had.
    pub(crate) fn held(&self) -> usize {
        self.list.len()
    }

    /// Whether somebody who has stayed behind waits for what comes.
    pub(crate) fn is_behind(&self) -> bool {
        self.lost > 0 || !self.list.is_empty()
    }

    /// Takes the first message out if nobody wants it any more.
    pub(crate) fn take_passed(&mut self) -> Option<MessageIndex> {
        let entry = self.list.front()?;
        let wanted = |group: &Group| !group.walkers.is_empty() && group.cursor <= self.first;
        if entry.standing > 0 || self.lost > 0 || self.groups.iter().any(wanted) {
            return None;
        }
        self.take_any()
    }

    /// Whether those who walk, of one port or of all, have come so far.
    pub(crate) fn is_passed(&self, end: u64, port: Option<PortIndex>) -> bool {
        let is_behind = |group: &Group| !group.walkers.is_empty() && group.cursor < end;
        match port {
            Some(port) => !self.groups.get(usize::from(port.0)).is_some_and(is_behind),
            None => !self.groups.iter().any(is_behind),
        }
    }

    /// Number of the message that comes next.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.list.len() as u64
    }

    /// The message with this number.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "it is compared with the length of a list")]
    pub(crate) fn message_at(&self, number: u64) -> Option<MessageIndex> {
        self.list.get(number.checked_sub(self.first)? as usize).map(|entry| entry.message)
    }

    /// More or fewer cursors stand before a message; before one that was shed, they stand before the first that is left.
    #[allow(clippy::cast_possible_truncation, reason = "it is compared with the length of a list")]
    pub(crate) fn stand(&mut self, number: u64, change: i32) {
        let Some(index) = number.checked_sub(self.first) else {
            self.lost = self.lost.checked_add_signed(change).expect("as many leave as have come");
            return;
        };
        let Some(entry) = self.list.get_mut(index as usize) else {
            self.at_end = self.at_end.checked_add_signed(change).expect("as many leave as have come");
            return;
        };
        entry.standing = entry.standing.checked_add_signed(change).expect("as many leave as have come");
    }

    /// Takes a member that has just begun to walk out of its group; it is to stay behind there.
    pub(crate) fn halt(&mut self, port: PortIndex, member: Member) -> u64 {
        let walkers = &mut self.group(port).walkers;
        if walkers.pop_if(|walker| walker.member == member).is_none() {
            walkers.retain(|walker| walker.member != member);
        }
        self.end()
    }

    /// A member walks with its group, from here on. Its ticket.
    pub(crate) fn walk(&mut self, port: PortIndex, member: Member, from: u64) -> u64 {
        let index = usize::from(port.0);
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, Group::default);
        }
        self.tickets += 1;
        let ticket = self.tickets;
        let group = self.group(port);
        group.cursor = if group.walkers.is_empty() { from } else { group.cursor.min(from) };
        group.walkers.push(Walker { member, ticket, from });
        ticket
    }

    /// The group of a port whose consumers have walked here.
    #[expect(clippy::indexing_slicing, reason = "a group that is not there is our mistake")]
    fn group(&mut self, port: PortIndex) -> &mut Group {
        &mut self.groups[usize::from(port.0)]
    }
}
