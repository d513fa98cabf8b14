//! Consumers among the members of a destination: they join, have their turns, and leave.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::clients::consumer::{Consumer, ConsumerKind, Membership, Standing};
use crate::clients::credit::Take;
use crate::destinations::destination::Content;
use crate::destinations::members::Member;
use crate::destinations::rotation::{self, Seat};
use crate::messages::{ConsumerIndex, DestinationIndex};
use postrider_model::PortIndex;

/// What a consumer's places are known by.
#[derive(Clone, Copy)]
pub(crate) struct Seated {
    pub port: PortIndex,
    pub kind: ConsumerKind,
    pub seat: Seat,
    pub exclusive: bool,
    pub serial: u64,
    /// It has a selector.
    pub reads: bool,
}

impl Consumer {
    pub(crate) fn seated(&self) -> Seated {
        let Consumer { port, kind, exclusive, serial, .. } = *self;
        Seated { port, kind, exclusive, serial, seat: self.seat(), reads: self.reads() }
    }
}

impl Broker {
    /// A consumer gets a destination; of a topic what comes from now on, or what is there from this message on. The number of the
    /// membership.
    pub(crate) fn join(&mut self, index: ConsumerIndex, destination: DestinationIndex, from: Option<u64>) -> u32 {
        let consumer = &mut self.clients.consumers[index.0];
        let membership =
            Membership { destination, standing: Standing::Served, matched: false, cursor: 0, turn: rotation::NONE };
        let number = consumer.add_membership(membership);
        let member = Member { consumer: index, membership: number };
        let (kind, priority, exclusive, port) = (consumer.kind, consumer.priority, consumer.exclusive, consumer.port);
        let serial = consumer.serial;
        let looks = consumer.browse.as_mut().is_some_and(|browse| browse.begins_with(number));
        let state = self.destinations.get_mut(destination);
        match (&mut state.content, kind) {
            (Content::Topic(topic), _) => {
                topic.count_reader(consumer.reads(), true);
                let ticket = topic.join(port, member, from);
                consumer.set_cursor(number, ticket);
            }
            (Content::Queue(queue), ConsumerKind::Browser) => {
                queue.add_browser(member, looks);
            }
            (Content::Queue(queue), _) => {
                queue.add_taker(member, exclusive.then_some((priority, serial)));
                consumer.filter.as_ref().inspect(|filter| queue.add_filter(filter, self.config.trial_turn));
                self.enter_turn(destination, member);
            }
        }
        self.destinations.line_up(destination);
        number
    }

    pub(crate) fn end_membership(&mut self, consumer: Seated, member: Member, membership: Membership) {
        let state = self.destinations.get_mut(membership.destination);
        match &mut state.content {
            Content::Topic(topic) => {
                let is_behind = membership.standing == Standing::Starved;
                topic.count_reader(consumer.reads, false);
                topic.leave(consumer.port, member, (membership.cursor, is_behind));
            }
            Content::Queue(queue) if consumer.kind == ConsumerKind::Browser => queue.remove_browser(member),
            Content::Queue(queue) => {
                queue.remove_taker(member, consumer.exclusive.then_some((consumer.seat.priority, consumer.serial)));
                if membership.standing == Standing::Served {
                    queue.leave_turn(membership.turn, consumer.seat);
                }
                queue.remove_filter(consumer.seat.filter);
            }
        }
        self.destinations.line_up(membership.destination);
    }

    /// The consumer whose turn it is, of those with this filter or without one, whether it can take a message or not.
    pub(crate) fn next_taker(&self, index: DestinationIndex, filter: u32) -> Option<Member> {
        let Content::Queue(queue) = &self.destinations.get(index).content else { return None };
        let Some(sole) = queue.sole() else { return queue.next_in_turn(filter) };
        let consumer = &self.clients.consumers[sole.consumer.0];
        let served = consumer.memberships[sole.membership as usize].standing == Standing::Served;
        (served && consumer.seat().filter == filter).then_some(sole)
    }

    /// Whether a message that comes now will be taken at once: then its own record says that it may have been delivered (R15).
    pub(crate) fn credit_waits(&self, destination: DestinationIndex) -> bool {
        let Content::Queue(queue) = &self.destinations.get(destination).content else { return false };
        let has_credit = |filter: u32, waiting: usize| {
            let first = self.next_taker(destination, filter);
            first.is_some_and(|member| self.clients.consumers[member.consumer.0].credit() as usize > waiting)
        };
        has_credit(0, queue.waiting())
            || queue.views().is_some_and(|views| views.arrival().any(|(filter, waiting)| has_credit(filter, waiting)))
    }

    /// A consumer of a queue gets its turn.
    pub(crate) fn enter_turn(&mut self, index: DestinationIndex, member: Member) {
        let consumer = &mut self.clients.consumers[member.consumer.0];
        let seat = consumer.seat();
        let turn = self.destinations.get_mut(index).queue().enter_turn(member, seat);
        let membership = &mut consumer.memberships[member.membership as usize];
        (membership.standing, membership.turn) = (Standing::Served, turn);
    }

    pub(crate) fn leave_turn(&mut self, index: DestinationIndex, member: Member) {
        let consumer = &self.clients.consumers[member.consumer.0];
        let turn = consumer.memberships[member.membership as usize].turn;
        let seat = consumer.seat();
        self.destinations.get_mut(index).queue().leave_turn(turn, seat);
    }

    /// A membership waits for its consumer.
    pub(crate) fn starve(&mut self, member: Member, lacking: Take) {
        let consumer = &mut self.clients.consumers[member.consumer.0];
        consumer.memberships[member.membership as usize].standing = Standing::Starved;
        match lacking {
            Take::NoBytes => consumer.cold.push(member.membership),
            _ => consumer.starved.push_back(member.membership),
        }
        self.wait_for(member.consumer, lacking);
    }
}
