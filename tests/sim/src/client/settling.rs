//! The application takes messages, and acknowledges them as its session's mode says.

use super::consumer::{InFlight, Mode};
use super::protocol::{self, Member, acknowledge};
use super::{Certainty, Client, Surroundings};
use crate::fairness::Mark;
use crate::ledger::Acknowledged;

impl Client {
    /// The application takes a message, or acknowledges some.
    pub(super) fn consume(&mut self, around: &mut Surroundings<'_>) {
        let members = self.members();
        if members.is_empty() {
            if !around.calm {
                self.open_something(around);
            }
            return;
        }
        let member = *self.random.pick(&members);
        let batched = self.random.one_in(4);
        let lazy = !around.calm && self.random.percent(self.plan.hoards);
        let gives_up = !around.calm && self.random.one_in(self.plan.gives_up);
        let consumer = self.consumers.get_mut(&member).expect("one of those listed");
        if consumer.address.is_topic() {
            return self.acknowledge_topic(member, around);
        }
        if let Some(next) = consumer.in_flight.iter_mut().find(|message| !message.given) {
            next.given = true;
            consumer.last_delivered = next.sequence as i64;
            consumer.given_since += 1;
            let (id, address) = (next.id, next.address.clone());
            if gives_up && around.ledger.may_give_up(id, &address) {
                return self.give_message_up(member, around);
            }
        }
        let consumer = &self.consumers[&member];
        let half = consumer.allowed > 0 && consumer.given_since * 2 >= consumer.allowed;
        match consumer.mode {
            Mode::Auto if batched && lazy => {}
            Mode::Auto => self.acknowledge_given(member, around),
            Mode::Client | Mode::Individual if half => self.acknowledge_delivered(member, around),
            Mode::Client if lazy => {}
            Mode::Client => self.acknowledge_given(member, around),
            Mode::Individual => self.acknowledge_one(member, around),
        }
    }

    fn settle(&mut self, member: Member, positions: std::ops::Range<usize>, kind: i8, around: &mut Surroundings<'_>) {
        let consumer = self.consumers.get_mut(&member).expect("an own consumer");
        let taken: Vec<_> = consumer.in_flight.drain(positions).collect();
        let (Some(first), Some(last)) = (taken.first(), taken.last()) else { return };
        let individual = kind == acknowledge::INDIVIDUAL;
        let first_id = (!individual).then(|| first.message_id.clone());
        let id = protocol::consumer(&self.connection_id, member);
        let ack =
            protocol::acknowledge(id, &last.wire, kind, first_id, Some(last.message_id.clone()), taken.len() as i32);
        // What was counted as delivered of what is given up counts for what follows.
        if kind != acknowledge::POISON {
            consumer.settled(taken.len() as u32);
        }
        let (number, messages) = (consumer.number, taken.len() as u64);
        consumer.given_since = consumer.given_since.saturating_sub(taken.len() as u32);
        let how = if kind == acknowledge::POISON { Acknowledged::Poisoned } else { Acknowledged::Consumed };
        for message in taken {
            around.ledger.acknowledged(message.id, &message.address, how);
            self.say(around, || format!("acknowledges message {} of {} kind {kind}", message.id, message.address.name));
            self.certainties.push_back(Certainty::Acknowledged(message.id, message.address, number));
        }
        self.tell(ack, around);
        self.mark(Mark::Acknowledged(messages), around);
    }

    /// All that the application has, which are the oldest unless some were acknowledged out of order.
    pub(super) fn acknowledge_given(&mut self, member: Member, around: &mut Surroundings<'_>) {
        let consumer = &self.consumers[&member];
        let given = consumer.in_flight.iter().take_while(|message| message.given).count();
        if given > 0 {
            let individual = consumer.mode == Mode::Individual;
            if individual {
                return (0..given).for_each(|_| self.settle(member, 0..1, acknowledge::INDIVIDUAL, around));
            }
            self.settle(member, 0..given, acknowledge::STANDARD, around);
        }
    }

    fn acknowledge_one(&mut self, member: Member, around: &mut Surroundings<'_>) {
        let given: Vec<_> = self.consumers[&member]
            .in_flight
            .iter()
            .enumerate()
            .filter(|(_, message)| message.given)
            .map(|(position, _)| position)
            .collect();
        if !given.is_empty() {
            let chosen = *self.random.pick(&given);
            self.settle(member, chosen..chosen + 1, acknowledge::INDIVIDUAL, around);
        }
    }

    /// The window grows by what the application has without having acknowledged it.
    fn acknowledge_delivered(&mut self, member: Member, around: &mut Surroundings<'_>) {
        let consumer = self.consumers.get_mut(&member).expect("an own consumer");
        let Some(last) = consumer.in_flight.iter().rev().find(|message| message.given) else { return };
        let boasts = !consumer.has_boasted && consumer.allowed > 0 && self.random.percent(self.plan.odd);
        // Whatever a client counts, it lifts its prefetch by what it has at most.
        let beyond = consumer.allowed + consumer.extension;
        let count = if boasts { i32::MAX } else { consumer.given_since as i32 };
        let id = protocol::consumer(&self.connection_id, member);
        let first = consumer.in_flight.front().map(|message| message.message_id.clone());
        let ack =
            protocol::acknowledge(id, &last.wire, acknowledge::DELIVERED, first, Some(last.message_id.clone()), count);
        consumer.extension += if boasts { beyond } else { consumer.given_since };
        consumer.has_boasted |= boasts;
        consumer.given_since = 0;
        self.tell(ack, around);
    }

    fn acknowledge_topic(&mut self, member: Member, around: &mut Surroundings<'_>) {
        let consumer = self.consumers.get_mut(&member).expect("an own consumer");
        let Some(last) = consumer.last_message.clone().filter(|_| consumer.unacknowledged > 0) else { return };
        let count = std::mem::take(&mut consumer.unacknowledged);
        let id = protocol::consumer(&self.connection_id, member);
        let ack =
            protocol::acknowledge(id, &consumer.address.clone(), acknowledge::STANDARD, None, Some(last), count as i32);
        self.tell(ack, around);
    }

    /// The message that the application was given last has failed too often, and often all that it has: then the dead letters
    /// of one turn go over the end of a segment.
    fn give_message_up(&mut self, member: Member, around: &mut Surroundings<'_>) {
        let most = if self.random.one_in(2) { usize::MAX } else { 1 };
        let failed = |message: &InFlight| message.given && around.ledger.may_give_up(message.id, &message.address);
        let in_flight = self.consumers[&member].in_flight.iter().enumerate().rev();
        let positions: Vec<usize> =
            in_flight.filter(|(_, message)| failed(message)).map(|(position, _)| position).take(most).collect();
        for position in positions {
            self.settle(member, position..position + 1, acknowledge::POISON, around);
        }
    }
}
