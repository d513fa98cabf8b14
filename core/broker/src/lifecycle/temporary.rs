//! Temporary destinations, and the deletion of any.

use crate::broker::Broker;
use crate::delivery::advisory::Subject;
use crate::destinations::destination::Refusal;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::messages::DestinationIndex;
use crate::plant::planted;
use crate::records::kind;
use crate::settle::emptying::Emptying;
use crate::step::Step;
use postrider_model::command::{CreateTemporary, Request};
use postrider_model::event::Failure;
use postrider_model::{ConnectionHandle, Destination, DestinationId, PortIndex};

/// Steps that the coming or going of a temporary destination takes, and telling of it.
const TEMPORARY_STEPS: usize = 16;

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
            let index = self.destinations.add_temporary(create.destination.clone(), connection);
            self.join_patterns(index);
            self.clients.connection_mut(connection).temporaries.insert(index);
            self.advise(Subject::Destination(index), true, step);
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
            if let Err(refusal) =
                self.destinations.get(index).check_owner(owner).and_then(|()| self.check_unused(index))
            {
                return self.refuse(port, connection, request, refusal, step);
            }
            self.delete_destination(index, step);
        }
        self.reply_after_jobs(port, connection, request, before, step);
    }

    /// Whether it is a temporary destination of a connection that has ended, and goes with it: a client that comes back names its own
    /// as before.
    fn is_left(&self, index: DestinationIndex) -> bool {
        let owner = self.destinations.get(index).owner;
        owner.is_some_and(|owner| self.clients.try_connection(owner).is_none_or(|owner| owner.is_leaving()))
    }

    fn check_unused(&self, index: DestinationIndex) -> Result<(), Refusal> {
        let state = self.destinations.get(index);
        let is_in_use = state.undecided > 0 && !planted("collected-under-transaction");
        if is_in_use && !state.destination.kind.is_temporary() {
            let text = format!(
                "{} has messages of transactions that are not decided: commit them or roll them back first",
                state.destination
            );
            return Err((Failure::General, text.into()));
        }
        if self.destinations.has_subscribers(&state.destination) {
            let text = format!(
                "Destination: {} still has an active subscription: delete its durable subscriptions first",
                state.destination
            );
            return Err((Failure::General, text.into()));
        }
        if self.is_held_unnamed(index) {
            let text = format!(
                "{} has messages of durable subscriptions whose records are lost, or its own: delete the queues postrider.recovered.* \
                 first, or acknowledge what the subscriptions hold",
                state.destination
            );
            return Err((Failure::General, text.into()));
        }
        if state.first_member().is_none() || state.destination.kind.is_temporary() {
            return Ok(());
        }
        let text =
            format!("Destination: {} still has an active subscription: close its consumers first", state.destination);
        Err((Failure::General, text.into()))
    }

    /// Nobody finds the destination from here on, and nothing goes out of it; its consumers and messages go in slices.
    pub(crate) fn delete_destination<L: Log>(&mut self, index: DestinationIndex, step: &mut Step<'_, L>) {
        let ids: Vec<DestinationId> = self.destinations.ids(index).filter(|_| !planted("deletion-unsaid")).collect();
        for id in ids {
            self.flush_acknowledged(step);
            self.stage(LogKind::Journal, &small(kind::DELETE, &id.0.to_le_bytes()), step);
        }
        if let Some(owner) = self.destinations.get(index).owner {
            if let Some(owner) = self.clients.try_connection_mut(owner) {
                owner.temporaries.remove(&index);
            }
            self.destinations.unlist_temporary(index);
        }
        self.advise(Subject::Destination(index), false, step);
        self.apply_delete(index);
        self.jobs.push(Emptying { destination: index });
    }
}
