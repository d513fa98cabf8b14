//! Consumers that go: out of all that they are in, in slices where that is much (R25).

use crate::broker::Broker;
use crate::clients::consumer::Standing;
use crate::destinations::destination::{Content, Reference};
use crate::destinations::members::Member;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use crate::step::Step;
use crate::wildcards::matching::{FILING_STEPS, name_steps};
use crate::wildcards::patterns::Filed;
use postrider_model::command::{LastDelivered, Request};
use postrider_model::{ConnectionHandle, ConsumerHandle, PortIndex, limits};
use std::collections::BTreeSet;

/// Steps that leaving a destination takes.
const PLACE_STEPS: usize = 2;

/// Of those that wait, so many are looked at in a step.
const LOOKED_OF_STEP: usize = 16;

/// A consumer on its way out.
pub(crate) struct Closing {
    consumer: ConsumerIndex,
    last_delivered: LastDelivered,
    /// Queues that hold still, so that what it had comes back before what is newer goes out.
    held: Vec<Reference>,
}

impl Broker {
    pub(crate) fn close_consumer_command<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        consumer: ConsumerHandle,
        last_delivered: LastDelivered,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        let Some(owner) = self.connection(port, connection) else { return };
        let before = self.jobs.pushed();
        if let Some(index) = self.consumer_of(port, owner, consumer) {
            self.clients.connection_mut(owner).consumers.remove(&index);
            self.close_consumer(index, last_delivered, step);
        }
        self.reply_after_jobs(port, connection, request, before, step);
    }

    /// Takes a consumer out of everything. What it had in flight goes back then.
    pub(crate) fn close_consumer<L: Log>(
        &mut self,
        index: ConsumerIndex,
        last_delivered: LastDelivered,
        step: &mut Step<'_, L>,
    ) {
        self.consumer_goes(index, step);
        self.stop_listening(index);
        self.leave_pairs(index);
        let subscription = self.clients.consumer(index).subscription;
        self.leave_subscription(index);
        let consumer = self.clients.consumer_mut(index);
        let (port, handle, timer) = (consumer.port, consumer.handle, consumer.begin_to_close());
        self.clients.port_mut(port).clear_consumer(handle);
        self.delivery.forget_pull(index, timer);
        let mut closing = Closing { consumer: index, last_delivered, held: Vec::new() };
        if !self.at_once(|broker, budget| broker.close_some(&mut closing, budget)) {
            self.hold_left(&mut closing, subscription);
            self.jobs.push(closing);
        }
    }

    /// Its subscription is another's to have at once, and so is a queue that it has left; what it had is older than all that waits there.
    /// Where that is very much, each queue is held as it is left.
    fn hold_left(&mut self, closing: &mut Closing, subscription: Option<DestinationIndex>) {
        let consumer = self.clients.consumer(closing.consumer);
        let is_long = consumer.in_flight() > limits::HANDLE_STEPS;
        let mut left = if is_long { BTreeSet::new() } else { consumer.queues() };
        left.extend(subscription);
        let left = left.into_iter().filter(|index| self.destinations.try_get(*index).is_some());
        let left: Vec<Reference> = left.map(|index| self.destinations.reference(index)).collect();
        self.work.spend(left.len());
        self.hold_queues(&left);
        closing.held.extend(left);
    }

    /// A consumer cannot have all that its patterns fit: it goes again.
    pub(crate) fn close_refused<L: Log>(&mut self, index: ConsumerIndex, step: &mut Step<'_, L>) {
        let connection = self.clients.consumer(index).connection;
        self.clients.connection_mut(connection).consumers.remove(&index);
        self.close_consumer(index, LastDelivered::None, step);
    }

    /// Goes on with it. True: it is gone.
    pub(crate) fn close_some(&mut self, closing: &mut Closing, budget: &mut Budget) -> bool {
        let index = closing.consumer;
        while budget.0 > 0 {
            budget.spend(PLACE_STEPS);
            if !self.leave_pattern(index, budget) && !self.leave_place(closing) {
                let consumer = self.clients.remove_consumer(index);
                if !planted("pairs-kept") {
                    self.wildcards.left(consumer.pair_bytes);
                }
                let looked = self.clients.leave_waiting(&consumer);
                budget.spend(looked / LOOKED_OF_STEP + consumer.in_flight().min(limits::HANDLE_STEPS));
                self.return_in_flight(consumer, closing.last_delivered, std::mem::take(&mut closing.held));
                return true;
            }
        }
        false
    }

    /// Leaves one of its patterns. False: it has none.
    fn leave_pattern(&mut self, index: ConsumerIndex, budget: &mut Budget) -> bool {
        let consumer = self.clients.consumer_mut(index);
        if consumer.drop_unfiled() {
            return true;
        }
        let Some((number, pattern)) = consumer.pop_pattern() else { return false };
        budget.spend(FILING_STEPS + name_steps(&pattern));
        let filed = Filed { serial: consumer.serial, number, consumer: index };
        self.wildcards.unfile(&pattern, filed);
        true
    }

    /// Leaves one of its destinations. False: it is in none.
    fn leave_place(&mut self, closing: &mut Closing) -> bool {
        let index = closing.consumer;
        let consumer = self.clients.consumer_mut(index);
        let Some((number, membership)) = consumer.pop_membership() else { return false };
        if membership.standing == Standing::Gone {
            return true;
        }
        let member = Member { consumer: index, membership: number };
        let is_long = consumer.in_flight() > limits::HANDLE_STEPS || consumer.has_aside();
        let seated = consumer.seated();
        self.end_membership(seated, member, membership);
        self.drop_unheard(membership.destination);
        if let Content::Queue(queue) = &mut self.destinations.get_mut(membership.destination).content
            && is_long
        {
            queue.hold();
            closing.held.push(self.destinations.reference(membership.destination));
        }
        true
    }
}
