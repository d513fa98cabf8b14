//! Temporary destinations, and the deletion of any.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::clients::consumer::Standing;
use crate::destinations::destination::{Content, Refusal, Temporary};
use crate::destinations::queue::Member;
use crate::durable::sequences::small;
use crate::jobs::Slice;
use crate::kit::budget::Budget;
use crate::log::{Log, Store};
use crate::messages::{ConnectionIndex, DestinationIndex};
use crate::records::kind;
use crate::step::Step;
use postrider_model::command::{CreateTemporary, Request};
use postrider_model::event::Failure;
use postrider_model::{ConnectionHandle, Destination, PortIndex};

/// Steps that the coming or going of a temporary destination takes, and telling of it.
const TEMPORARY_STEPS: usize = 16;

/// Steps that a consumer of a destination takes that goes, besides what it has in flight.
const MEMBER_STEPS: usize = 2;

/// A destination that is gone, with its consumers and messages.
pub(crate) struct Emptying {
    destination: DestinationIndex,
}

impl Broker {
    pub(crate) fn create_temporary<L: Log>(
        &mut self,
        port: PortIndex,
        create: &CreateTemporary,
        step: &mut Step<'_, L>,
    ) {
        let Some(connection) = self.connection(port, create.connection) else { return };
        if !create.destination.kind.is_temporary() {
            let text = format!("{} is not temporary: it comes into being when it is first used", create.destination);
            let refusal = (Failure::InvalidDestination, text.into());
            return self.refuse(port, create.connection, create.request, refusal, step);
        }
        let before = self.jobs.pushed();
        self.work.spend(TEMPORARY_STEPS);
        if let Some(left) = self.destinations.find(&create.destination).filter(|found| self.is_left(*found)) {
            self.delete_destination(left, step);
        }
        if self.destinations.find(&create.destination).is_none() {
            if let Err(refusal) = self.admit_name(&create.destination, Some(connection)) {
                return self.refuse(port, create.connection, create.request, refusal, step);
            }
            let index = self.destinations.add(create.destination.clone(), None);
            let (added, removed) = (create.added.clone(), create.removed.clone());
            self.destinations.get_mut(index).temporary = Some(Temporary { owner: connection, added, removed });
            self.join_patterns(index);
            self.connections[connection.0].temporaries.insert(index);
            self.temporaries.insert(self.destinations.get(index).serial, index);
            self.advise(index, true, step);
        }
        self.reply_after_jobs(port, create.connection, create.request, before, step);
    }

    pub(crate) fn delete_destination_command<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        destination: &Destination,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        let Some(owner) = self.connection(port, connection) else { return };
        let before = self.jobs.pushed();
        self.work.spend(TEMPORARY_STEPS);
        if let Some(index) = self.destinations.find(destination) {
            if let Err(refusal) = self.check_owner(index, owner).and_then(|()| self.check_unused(index)) {
                return self.refuse(port, connection, request, refusal, step);
            }
            self.delete_destination(index, step);
        }
        self.reply_after_jobs(port, connection, request, before, step);
    }

    /// Whether it is a temporary destination of a connection that has ended, and goes with it: a client that comes back names its own
    /// as before.
    fn is_left(&self, index: DestinationIndex) -> bool {
        let owner = self.destinations.get(index).temporary.as_ref().map(|temporary| temporary.owner);
        owner.is_some_and(|owner| self.connections.get(owner.0).is_none_or(|owner| owner.leaving))
    }

    /// Whether a connection may consume from a destination, or delete it: any, but of a temporary one only the connection that it
    /// lives with.
    pub(crate) fn is_open_to(&self, index: DestinationIndex, connection: ConnectionIndex) -> bool {
        let temporary = &self.destinations.get(index).temporary;
        temporary.as_ref().is_none_or(|temporary| temporary.owner == connection)
    }

    /// As [`Broker::is_open_to`], with what to say if not.
    pub(crate) fn check_owner(&self, index: DestinationIndex, connection: ConnectionIndex) -> Result<(), Refusal> {
        if self.is_open_to(index, connection) {
            return Ok(());
        }
        let destination = &self.destinations.get(index).destination;
        let text = format!(
            "{destination} belongs to another connection, which alone may consume from it or delete it: create a temporary \
             destination of your own"
        );
        Err((Failure::InvalidDestination, text.into()))
    }

    fn check_unused(&self, index: DestinationIndex) -> Result<(), Refusal> {
        let state = self.destinations.get(index);
        let used = match &state.content {
            Content::Queue(queue) => !queue.subscribers.is_empty() || !queue.browsers.is_empty(),
            Content::Topic(topic) => !topic.subscribers.is_empty(),
        };
        if !used || state.destination.kind.is_temporary() {
            return Ok(());
        }
        let text =
            format!("Destination: {} still has an active subscription: close its consumers first", state.destination);
        Err((Failure::General, text.into()))
    }

    /// Nobody finds the destination from here on, and nothing goes out of it; its consumers and messages go in slices.
    pub(crate) fn delete_destination<L: Log>(&mut self, index: DestinationIndex, step: &mut Step<'_, L>) {
        if let Some(id) = self.destinations.get(index).id {
            self.flush_acknowledged(step);
            self.stage(Store::Journal, &small(kind::DELETE, &id.0.to_le_bytes()), step);
        }
        if let Some(temporary) = &self.destinations.get(index).temporary {
            if let Some(owner) = self.connections.get_mut(temporary.owner.0) {
                owner.temporaries.remove(&index);
            }
            self.temporaries.remove(&self.destinations.get(index).serial);
            self.advise(index, false, step);
        }
        self.apply_delete(index);
        self.jobs.push(Emptying { destination: index });
    }

    /// The next consumer of a destination that goes stays without it; what it has of it is gone. False: there is none.
    pub(crate) fn drop_next_member(&mut self, index: DestinationIndex, budget: &mut Budget) -> bool {
        let first = match &self.destinations.get(index).content {
            Content::Queue(queue) => queue.subscribers.first().or(queue.browsers.first()),
            Content::Topic(topic) => topic.subscribers.first(),
        };
        let Some(member) = first.copied() else { return false };
        budget.spend(MEMBER_STEPS + self.drop_member(index, member));
        true
    }

    /// As [`Broker::drop_next_member`], for a consumer that meets the destination before its turn. How many of its messages were looked
    /// at: no more once all that were in flight from there are found.
    pub(crate) fn drop_member(&mut self, index: DestinationIndex, member: Member) -> usize {
        match &mut self.destinations.get_mut(index).content {
            Content::Queue(queue) => drop((queue.subscribers.remove(&member), queue.browsers.remove(&member))),
            Content::Topic(topic) => drop(topic.subscribers.remove(&member)),
        }
        self.unmatch(member);
        let consumer = &mut self.consumers[member.consumer.0];
        let subscription = &mut consumer.subscriptions[member.subscription as usize];
        if subscription.standing != Standing::Starved {
            consumer.free_subscriptions.push(member.subscription);
        }
        subscription.standing = Standing::Gone;
        consumer.orphaned = true;
        let (mut place, mut looked_at) = (consumer.in_flight.first_place(), 0);
        while self.destinations.get(index).has_in_flight()
            && let Some(entry) = consumer.in_flight.at(place)
        {
            looked_at += 1;
            if self.messages.at(entry.index).destination != index {
                place = consumer.in_flight.after(place);
                continue;
            }
            place = consumer.in_flight.remove(place);
            let expiration = self.messages.at(entry.index).expiration;
            self.destinations.get_mut(index).queue().push(entry.index, expiration);
        }
        self.wake(member.consumer);
        looked_at
    }

    /// The record of the deletion has said it all: who consumes from the destination and what is in it goes without a word.
    pub(crate) fn empty_some<L: Log>(
        &mut self,
        emptying: &Emptying,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Slice {
        let index = emptying.destination;
        loop {
            if !budget.step() {
                return Slice::More;
            }
            if self.drop_next_member(index, budget) {
                continue;
            }
            let Some(message) = self.destinations.get_mut(index).take_any() else { break };
            self.settle(message, step);
        }
        if self.destinations.get(index).holds_messages() {
            return Slice::Waits;
        }
        self.spooling.lagging.remove(&index);
        self.destinations.free(index);
        Slice::Done
    }
}
