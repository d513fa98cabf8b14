//! Consumers that go: out of all that they are in, in slices where that is much (R25).
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::clients::consumer::{Consumer, Standing};
use crate::clients::members::Seated;
use crate::destinations::destination::{Content, Reference};
use crate::destinations::queue::Member;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::ConsumerIndex;
use crate::plant::planted;
use crate::step::Step;
use crate::wildcards::matching::{FILING_STEPS, name_steps};
use crate::wildcards::patterns::Filed;
use postrider_model::command::{LastDelivered, Request};
use postrider_model::{ConnectionHandle, ConsumerHandle, PortIndex, limits};

/// Steps that leaving a destination takes.
const PLACE_STEPS: usize = 2;

/// Patterns that are dropped at once, as they have not been filed.
const DROPPED_AT_ONCE: usize = 8;

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
            self.connections[owner.0].consumers.remove(&index);
            self.close_consumer(index, last_delivered);
        }
        self.reply_after_jobs(port, connection, request, before, step);
    }

    /// Takes a consumer out of everything. What it had in flight goes back then.
    pub(crate) fn close_consumer(&mut self, index: ConsumerIndex, last_delivered: LastDelivered) {
        self.leave_pairs(index);
        let consumer = &mut self.consumers[index.0];
        consumer.closing = true;
        (consumer.prefetch, consumer.grant) = (0, None);
        (consumer.browse, consumer.replay) = (None, None);
        self.ports[usize::from(consumer.port.0)].clear_consumer(consumer.handle);
        self.pulls.forget(index, consumer.pull_timer);
        let mut closing = Closing { consumer: index, last_delivered, held: Vec::new() };
        if !self.at_once(|broker, budget| broker.close_some(&mut closing, budget)) {
            self.jobs.push(closing);
        }
    }

    /// A consumer cannot have all that its patterns fit: it goes again.
    pub(crate) fn close_refused(&mut self, index: ConsumerIndex) {
        let connection = self.consumers[index.0].connection;
        self.connections[connection.0].consumers.remove(&index);
        self.close_consumer(index, LastDelivered::None);
    }

    /// Goes on with it. True: it is gone.
    pub(crate) fn close_some(&mut self, closing: &mut Closing, budget: &mut Budget) -> bool {
        let index = closing.consumer;
        while budget.0 > 0 {
            budget.spend(PLACE_STEPS);
            if !self.leave_pattern(index, budget) && !self.leave_place(closing) {
                let consumer = self.consumers.remove(index.0);
                if !planted("pairs-kept") {
                    self.pairs.left(consumer.pair_bytes);
                }
                let looked = self.leave_waiting(&consumer);
                budget.spend(looked / LOOKED_OF_STEP + consumer.in_flight.len().min(limits::HANDLE_STEPS));
                self.return_in_flight(consumer, closing.last_delivered, std::mem::take(&mut closing.held));
                return true;
            }
        }
        false
    }

    /// Leaves one of its patterns. False: it has none.
    fn leave_pattern(&mut self, index: ConsumerIndex, budget: &mut Budget) -> bool {
        let consumer = &mut self.consumers[index.0];
        if consumer.patterns.len() > consumer.filed {
            let left = consumer.patterns.len().saturating_sub(DROPPED_AT_ONCE).max(consumer.filed);
            consumer.patterns.truncate(left);
            return true;
        }
        let Some(pattern) = consumer.patterns.pop() else { return false };
        consumer.filed = consumer.patterns.len();
        budget.spend(FILING_STEPS + name_steps(&pattern));
        let filed = Filed { serial: consumer.serial, number: consumer.patterns.len(), consumer: index };
        self.patterns.remove(&pattern, filed);
        true
    }

    /// Leaves one of its destinations. False: it is in none.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer destinations")]
    fn leave_place(&mut self, closing: &mut Closing) -> bool {
        let index = closing.consumer;
        let consumer = &mut self.consumers[index.0];
        let Some(subscription) = consumer.subscriptions.pop() else { return false };
        if subscription.standing == Standing::Gone {
            return true;
        }
        let member = Member { consumer: index, subscription: consumer.subscriptions.len() as u32 };
        let is_long = consumer.in_flight.len() > limits::HANDLE_STEPS || !consumer.aside.is_empty();
        let Consumer { port, kind, exclusive, serial, .. } = *consumer;
        let seated = Seated { port, kind, exclusive, serial, seat: consumer.seat() };
        self.unsubscribe(seated, member, subscription);
        if let Content::Queue(queue) = &mut self.destinations.get_mut(subscription.destination).content
            && is_long
        {
            queue.holds += 1;
            closing.held.push(self.destinations.reference(subscription.destination));
        }
        true
    }

    /// Goes out of those that wait, who are looked through now and then. How many of them were looked at.
    fn leave_waiting(&mut self, consumer: &Consumer) -> usize {
        let consumers = &self.consumers;
        let staying = |index: ConsumerIndex| {
            consumers.get(index.0).filter(|consumer| !consumer.closing).map(|consumer| consumer.serial)
        };
        let (mut looked, rank) = (0, consumer.rank());
        if let Some(connection) = self.connections.get_mut(consumer.connection.0)
            && consumer.waits_for_window
        {
            looked += connection.blocked.of(rank).forget(connection.consumers.len(), staying);
        }
        if consumer.waits_for_room {
            looked += self.ports[usize::from(consumer.port.0)].blocked.of(rank).forget(consumers.len(), staying);
        }
        if consumer.waits_for_bytes {
            looked += self.cold_consumers.forget(consumers.len(), staying);
        }
        if consumer.hungry {
            looked += self.hungry.of(rank).forget(consumers.len(), staying);
        }
        looked
    }
}
