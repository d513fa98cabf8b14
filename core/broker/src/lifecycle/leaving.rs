//! Connections that go: nobody finds them any more, and what they had follows in slices where that is much (R25).

use crate::broker::Broker;
use crate::delivery::advisory::Subject;
use crate::durable::duplicates::ByProducer;
use crate::intake::parking::Parked;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::{ConnectionIndex, ConsumerIndex};
use crate::step::Step;
use postrider_model::command::{LastDelivered, Request};
use postrider_model::{ConnectionHandle, PortIndex, limits};
use std::collections::VecDeque;

/// A connection that has ended, on its way out.
pub(crate) struct Leaving {
    connection: ConnectionIndex,
    last_delivered: LastDelivered,
    /// Marks of its producers, which are not known any more.
    forgotten: ByProducer,
    /// What it had parked, which is not answered any more.
    parked: VecDeque<Parked>,
}

/// Consumers of a connection that are closed in the command that ends it.
const CONSUMERS_AT_ONCE: usize = 250;

/// The same for its transactions.
const TRANSACTIONS_AT_ONCE: usize = 250;

/// The same for its temporary destinations.
const TEMPORARIES_AT_ONCE: usize = 250;

/// What closing a consumer takes besides its places and messages, or a destination.
const MEMBER_STEPS: usize = 8;

impl Broker {
    pub(crate) fn close_connection<L: Log>(
        &mut self,
        port: PortIndex,
        handle: ConnectionHandle,
        request: Request,
        how: (LastDelivered, bool),
        step: &mut Step<'_, L>,
    ) {
        if let Some(index) = self.connection(port, handle) {
            self.end_connection(index, how, request.is_wanted().then_some(request), step);
        }
    }

    /// Everything of the connection's goes: nobody finds it any more, and what it had follows in slices.
    pub(crate) fn end_connection<L: Log>(
        &mut self,
        index: ConnectionIndex,
        (last_delivered, clean): (LastDelivered, bool),
        request: Option<Request>,
        step: &mut Step<'_, L>,
    ) {
        let before = self.jobs.pushed();
        let parked = self.take_parked(index, step);
        self.end_pairs(index);
        let (port, handle, id) = self.clients.hide_connection(index);
        let forgotten = if clean { self.forget_marks(&id, step) } else { ByProducer::default() };
        let mut leaving = Leaving { connection: index, last_delivered, forgotten, parked };
        if !self.at_once(|broker, budget| broker.leave_some(&mut leaving, budget, step)) {
            self.jobs.push(leaving);
        }
        if let Some(request) = request {
            self.reply_behind(port, (handle, true), request, before, step);
        }
    }

    /// The connection has said goodbye, which waits behind its parked sends: its transactions and branches are over. Where they are very many they go with
    /// the connection.
    pub(crate) fn end_transactions_of<L: Log>(&mut self, index: ConnectionIndex, step: &mut Step<'_, L>) {
        for _ in 0..TRANSACTIONS_AT_ONCE {
            let Some(transaction) = self.clients.pop_transaction(index) else { return };
            self.work.spend(MEMBER_STEPS);
            self.roll_back(transaction, step);
        }
    }

    /// The connection has said goodbye, which waits behind its parked sends: what its consumers hold does not wait for that, or
    /// those who leave together would keep the room from each other. Where they are very many they go with the connection.
    pub(crate) fn close_consumers_of<L: Log>(
        &mut self,
        index: ConnectionIndex,
        last_delivered: LastDelivered,
        step: &mut Step<'_, L>,
    ) {
        if self.leaves_at_once(index) {
            for consumer in std::mem::take(&mut self.clients.connection_mut(index).consumers) {
                self.close_consumer(consumer, last_delivered, step);
            }
        }
    }

    /// The same for its temporary destinations: nobody else may take what waits there. Where they are very many they go with the
    /// connection.
    pub(crate) fn delete_temporaries_of<L: Log>(&mut self, index: ConnectionIndex, step: &mut Step<'_, L>) {
        let connection = self.clients.connection(index);
        if !connection.consumers.is_empty() || connection.temporaries.len() > TEMPORARIES_AT_ONCE {
            return;
        }
        while self.sequences.has(self.destinations.heard.most_of_all()) {
            let Some(temporary) = self.clients.connection(index).temporaries.first().copied() else { return };
            self.work.spend(MEMBER_STEPS);
            self.delete_destination(temporary, step);
        }
    }

    /// Whether what its consumers are in can be walked within one command (R25).
    fn leaves_at_once(&self, index: ConnectionIndex) -> bool {
        let consumers = &self.clients.connection(index).consumers;
        let places = |consumer: &ConsumerIndex| self.clients.consumer(*consumer).memberships().len();
        consumers.len() <= CONSUMERS_AT_ONCE && consumers.iter().map(places).sum::<usize>() <= limits::HANDLE_STEPS
    }

    /// Goes on with what a connection had. True: it is gone. False with steps left: it waits.
    pub(crate) fn leave_some<L: Log>(
        &mut self,
        leaving: &mut Leaving,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        while budget.step() {
            // Others may have to be told.
            if !self.sequences.has(self.destinations.heard.most_of_all()) {
                return false;
            }
            if let Some(transaction) = self.clients.pop_transaction(leaving.connection) {
                budget.spend(MEMBER_STEPS);
                self.roll_back(transaction, step);
                continue;
            }
            let connection = self.clients.connection_mut(leaving.connection);
            if let Some(parked) = leaving.parked.pop_front() {
                self.drop_parked(&parked);
            } else if let Some(definition) = connection.pop_definition() {
                budget.spend(definition.map_or(0, |definition| definition.names.len()));
            } else if let Some((_, mark)) = leaving.forgotten.pop_first() {
                self.drop_mark(mark);
            } else if let Some(last) = connection.last_producer() {
                self.producer_goes(leaving.connection, last, step);
                if let Some(Some(producer)) = self.clients.connection_mut(leaving.connection).pop_producer() {
                    self.marks.release(producer.mark, step.now);
                }
            } else if let Some(consumer) = connection.consumers.pop_first() {
                let known = self.clients.consumer(consumer);
                budget
                    .spend(MEMBER_STEPS + known.memberships().len() * 2 + known.in_flight().min(limits::HANDLE_STEPS));
                self.close_consumer(consumer, leaving.last_delivered, step);
            } else if let Some(temporary) = connection.temporaries.first().copied() {
                budget.spend(MEMBER_STEPS);
                self.delete_destination(temporary, step);
            } else {
                self.advise(Subject::Connection(leaving.connection), false, step);
                self.clients.remove_connection(leaving.connection);
                return true;
            }
        }
        false
    }
}
