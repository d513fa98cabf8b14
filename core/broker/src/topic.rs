//! A topic: messages in order, and who has come how far.
//!
//! The consumers of one port that take what comes walk together, as one group with one cursor; a message goes to all of them as
//! one event (R23). One that cannot take stays behind with a cursor of its own, and joins again when it has caught up. A message
//! goes when no cursor is before it.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]
#![expect(clippy::expect_used, reason = "as many leave as have come")]

use crate::broker::{Broker, Step};
use crate::consumer::{Standing, Subscription};
use crate::credit::Take;
use crate::deque::Deque;
use crate::dispatch::Budget;
use crate::log::Log;
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex, flag};
use crate::outbox::Absent;
use crate::queue::Member;
use postrider_model::PortIndex;
use postrider_model::event::Recipient;
use std::collections::BTreeSet;

/// A message of a topic.
#[derive(Clone, Copy, Debug)]
struct Entry {
    message: MessageIndex,
    /// Cursors of those that stay behind and have this one before them.
    standing: u32,
}

/// A consumer that walks with its group.
#[derive(Clone, Copy, Debug)]
struct Walker {
    member: Member,
    /// Its subscription knows it while it walks.
    ticket: u64,
    /// It came when the group had this before it: what is older is not for it.
    from: u64,
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
    pub subscribers: BTreeSet<Member>,
    tickets: u64,
    /// Cursors of those that stay behind and have the next message that comes before them.
    at_end: u32,
    /// It is listed among those that hold messages which somebody has not had.
    pub lagging: bool,
    /// Of those that stay behind: how many have lost what their cursors stand before, and go on with the first of the list.
    lost: u32,
    /// It is new, and not all who are to get it do: nothing goes out so far.
    pub joining: bool,
}

impl Topic {
    /// Adds a message.
    pub fn push(&mut self, message: MessageIndex) {
        let standing = std::mem::take(&mut self.at_end);
        self.list.push_back(Entry { message, standing });
    }

    /// A consumer gets what comes from now on, or what is there from this message on. Its ticket.
    pub fn join(&mut self, port: PortIndex, member: Member, from: Option<u64>) -> u64 {
        self.subscribers.insert(member);
        let from = from.unwrap_or_else(|| self.end()).max(self.first);
        self.walk(port, member, from)
    }

    /// A port's ring has room again.
    pub fn unblock(&mut self, port: usize) {
        if let Some(group) = self.groups.get_mut(port) {
            group.blocked = false;
        }
    }

    /// Whether somebody gets what comes.
    pub fn is_heard(&self) -> bool {
        self.joining || !self.subscribers.is_empty()
    }

    /// A consumer goes.
    pub fn leave(&mut self, port: PortIndex, member: Member, subscription: Subscription) {
        self.subscribers.remove(&member);
        if subscription.standing == Standing::Starved {
            self.stand(subscription.cursor, -1);
        } else {
            self.groups[usize::from(port.0)].gone.push(subscription.cursor);
        }
    }

    /// Those that have left are not in the way of others.
    fn drop_gone(&mut self) {
        self.groups.iter_mut().for_each(Group::drop_gone);
    }

    /// Takes the first message out, whoever still wants it.
    pub fn take_any(&mut self) -> Option<MessageIndex> {
        self.first += u64::from(!self.list.is_empty());
        self.list.pop_front().map(|entry| entry.message)
    }

    /// Takes the first message out though some want it: they lose it. Gives it, and how many these are. Those who walk may be
    /// spared: they pass it by themselves, as soon as their port has room.
    pub fn shed(&mut self, spares_walkers: bool) -> Option<(MessageIndex, u64)> {
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
    pub fn held(&self) -> usize {
        self.list.len()
    }

    /// Whether somebody who has stayed behind waits for what comes.
    pub fn is_behind(&self) -> bool {
        self.lost > 0 || !self.list.is_empty()
    }

    /// Takes the first message out if nobody wants it any more.
    fn take_passed(&mut self) -> Option<MessageIndex> {
        let entry = self.list.front()?;
        let wanted = |group: &Group| !group.walkers.is_empty() && group.cursor <= self.first;
        if entry.standing > 0 || self.lost > 0 || self.groups.iter().any(wanted) {
            return None;
        }
        self.take_any()
    }

    /// Whether those who walk, of one port or of all, have come so far.
    pub fn is_passed(&self, end: u64, port: Option<PortIndex>) -> bool {
        let is_behind = |group: &Group| !group.walkers.is_empty() && group.cursor < end;
        match port {
            Some(port) => !self.groups.get(usize::from(port.0)).is_some_and(is_behind),
            None => !self.groups.iter().any(is_behind),
        }
    }

    /// Number of the message that comes next.
    pub fn end(&self) -> u64 {
        self.first + self.list.len() as u64
    }

    #[allow(clippy::cast_possible_truncation, reason = "it is compared with the length of a list")]
    fn entry(&self, number: u64) -> Option<Entry> {
        self.list.get(number.checked_sub(self.first)? as usize)
    }

    /// More or fewer cursors stand before a message; before one that was shed, they stand before the first that is left.
    #[allow(clippy::cast_possible_truncation, reason = "it is compared with the length of a list")]
    fn stand(&mut self, number: u64, change: i32) {
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
    pub fn halt(&mut self, port: PortIndex, member: Member) -> u64 {
        let walkers = &mut self.groups[usize::from(port.0)].walkers;
        if walkers.pop_if(|walker| walker.member == member).is_none() {
            walkers.retain(|walker| walker.member != member);
        }
        self.end()
    }

    fn walk(&mut self, port: PortIndex, member: Member, from: u64) -> u64 {
        let index = usize::from(port.0);
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, Group::default);
        }
        let group = &mut self.groups[index];
        group.cursor = if group.walkers.is_empty() { from } else { group.cursor.min(from) };
        self.tickets += 1;
        group.walkers.push(Walker { member, ticket: self.tickets, from });
        self.tickets
    }
}

/// How a group's look at its next message went.
enum Walk {
    On,
    Stop,
    Cold,
}

impl Broker {
    pub(crate) fn serve_topic<L: Log>(
        &mut self,
        index: DestinationIndex,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        let topic = self.destinations.get_mut(index).topic();
        topic.drop_gone();
        if topic.joining {
            return false;
        }
        for port in 0..self.destinations.get_mut(index).topic().groups.len() {
            loop {
                let topic = self.destinations.get_mut(index).topic();
                let group = &topic.groups[port];
                let Some(entry) = topic.entry(group.cursor).filter(|_| !group.walkers.is_empty()) else { break };
                if !budget.step() {
                    return true;
                }
                match self.walk_on(index, PortIndex::at(port), entry, budget, step) {
                    Walk::On => self.destinations.get_mut(index).topic().groups[port].cursor += 1,
                    Walk::Stop => break,
                    Walk::Cold => {
                        self.await_bytes(index);
                        break;
                    }
                }
            }
        }
        self.trim_topic(index, budget, step)
    }

    /// Messages that all have passed go.
    fn trim_topic<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        while let Some(message) = self.destinations.get_mut(index).topic().take_passed() {
            self.settle(message, step);
            if !budget.step() {
                return true;
            }
        }
        false
    }

    /// One message for one group.
    fn walk_on<L: Log>(
        &mut self,
        index: DestinationIndex,
        port: PortIndex,
        entry: Entry,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Walk {
        if self.is_passed_over(entry, step) {
            return Walk::On;
        }
        if !step.out.has_room(port) {
            let group = &mut self.destinations.get_mut(index).topic().groups[usize::from(port.0)];
            if !std::mem::replace(&mut group.blocked, true) {
                self.ports[usize::from(port.0)].blocked_topics.push(index);
            }
            self.note_lag(index);
            return Walk::Stop;
        }
        let message = self.message(entry.message);
        let (body, sequence) = (message.body(), message.sequence);
        let place = match step.out.locate(port, body, step.log) {
            Ok(place) => place,
            Err(Absent::Damaged) if self.set_aside(entry.message, step).is_ok() => return Walk::On,
            Err(Absent::Cold | Absent::Damaged) => {
                self.note_lag(index);
                return Walk::Cold;
            }
        };
        let mut recipients = std::mem::take(&mut self.recipients);
        recipients.clear();
        self.gather(index, port, entry, &mut recipients, step);
        budget.0 = budget.0.saturating_sub(recipients.len());
        if !recipients.is_empty() {
            let message = &self.messages[entry.message.0];
            let text = &self.destinations.get(index).text;
            let elsewhere: &[u8] = if message.has(flag::ELSEWHERE) { text } else { &[] };
            step.out.fan_out(port, &recipients, (place, sequence), elsewhere);
            self.statistics.dispatched += recipients.len() as u64;
        }
        self.recipients = recipients;
        Walk::On
    }

    /// The consumers of the group that take the message; those that cannot stay behind.
    fn gather<L: Log>(
        &mut self,
        index: DestinationIndex,
        port: PortIndex,
        entry: Entry,
        recipients: &mut Vec<Recipient>,
        step: &mut Step<'_, L>,
    ) {
        let group = &mut self.destinations.get_mut(index).topic().groups[usize::from(port.0)];
        let (mut walkers, cursor) = (std::mem::take(&mut group.walkers), group.cursor);
        let (publisher, length) = (self.message(entry.message).publisher, self.message(entry.message).length);
        walkers.retain(|walker| {
            if walker.from > cursor || !self.is_for(walker.member.consumer, publisher) {
                return true;
            }
            let takes = self.takes(walker.member.consumer, step.out);
            if takes == Take::Yes {
                recipients.push(self.count_sent(walker.member.consumer, length, step.now.nanos));
            } else {
                self.stay_behind(index, walker.member, cursor, takes);
            }
            takes == Take::Yes
        });
        self.destinations.get_mut(index).topic().groups[usize::from(port.0)].walkers = walkers;
    }

    fn is_for(&self, index: ConsumerIndex, publisher: u32) -> bool {
        let consumer = &self.consumers[index.0];
        !consumer.no_local || consumer.connection_serial != publisher
    }

    fn count_sent(&mut self, index: ConsumerIndex, length: u32, nanos: u64) -> Recipient {
        let consumer = &mut self.consumers[index.0];
        consumer.outstanding += 1;
        consumer.grant = None;
        consumer.served = true;
        let connection = &mut self.connections[consumer.connection.0];
        connection.window.take(length, nanos);
        Recipient { consumer: consumer.handle, connection: connection.handle }
    }

    pub(crate) fn stay_behind(&mut self, index: DestinationIndex, member: Member, cursor: u64, lacking: Take) {
        self.consumers[member.consumer.0].subscriptions[member.subscription as usize].cursor = cursor;
        self.destinations.get_mut(index).topic().stand(cursor, 1);
        self.note_lag(index);
        self.starve(member, lacking);
    }

    fn note_lag(&mut self, index: DestinationIndex) {
        let topic = self.destinations.get_mut(index).topic();
        if !topic.lagging {
            topic.lagging = true;
            self.spooling.lagging.insert(index);
        }
    }

    fn is_passed_over<L: Log>(&self, entry: Entry, step: &Step<'_, L>) -> bool {
        let expiration = self.message(entry.message).expiration;
        expiration > 0 && expiration <= step.now.unix_millis
    }

    /// One that stayed behind goes on, until it has caught up or cannot take. True: only the budget stopped it.
    pub(crate) fn serve_laggard<L: Log>(
        &mut self,
        index: DestinationIndex,
        member: Member,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        let consumer = &self.consumers[member.consumer.0];
        let port = consumer.port;
        let mut cursor = consumer.subscriptions[member.subscription as usize].cursor;
        let topic = self.destinations.get_mut(index).topic();
        topic.stand(cursor, -1);
        let has_lost = cursor < topic.first;
        cursor = cursor.max(topic.first);
        let is_told_again = self.is_told_again(index);
        if has_lost && is_told_again {
            self.tell_again(index, member, budget, step);
            return false;
        }
        let lacking = loop {
            let topic = self.destinations.get_mut(index).topic();
            let group = topic.groups.get(usize::from(port.0));
            // Alone it leads its group, which waits for bytes.
            let caught_up = group.is_none_or(|group| match group.walkers.is_empty() {
                true => !is_told_again,
                false => group.cursor <= cursor,
            });
            let entry = topic.entry(cursor).filter(|_| !caught_up);
            let Some(entry) = entry else {
                let ticket = topic.walk(port, member, cursor);
                self.consumers[member.consumer.0].subscriptions[member.subscription as usize].cursor = ticket;
                self.schedule(index);
                return false;
            };
            let takes = self.takes(member.consumer, step.out);
            if takes != Take::Yes || !budget.step() {
                break takes;
            }
            let publisher = self.message(entry.message).publisher;
            if !self.is_passed_over(entry, step) && self.is_for(member.consumer, publisher) {
                match self.send(member.consumer, entry.message, step) {
                    Ok(()) => self.consumers[member.consumer.0].outstanding += 1,
                    Err(_) if is_told_again => {
                        self.tell_again(index, member, budget, step);
                        return false;
                    }
                    Err(Absent::Damaged) if self.set_aside(entry.message, step).is_ok() => {}
                    Err(Absent::Cold | Absent::Damaged) => break Take::NoBytes,
                }
            }
            cursor += 1;
        };
        self.stay_behind(index, member, cursor, lacking);
        self.schedule(index);
        lacking == Take::Yes
    }
}
