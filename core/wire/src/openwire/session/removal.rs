//! Members that go: a client chooses how many, so they go a few at a time (R25).

use postrider_model::command::{LastDelivered, Request};

use super::conversation::{Context, Conversation};
use super::tables::Tables;
use crate::session::Handles;

/// Whose members go.
pub(super) enum Removal {
    /// A session's, one by one to the broker; nothing else of the connection is heard until its client is answered.
    Session(EndedSession),
    /// A connection's, which the broker knows to have ended.
    Connection(Box<Tables>),
}

/// A session that its client has removed.
pub(super) struct EndedSession {
    pub session: i64,
    pub last_delivered: LastDelivered,
    pub request: Request,
}

impl Conversation {
    /// Lets so many members go at most. How many it were.
    pub(super) fn remove_some(&mut self, most: u64, context: &mut Context<'_>) -> u64 {
        match self.removal.take() {
            None => 0,
            Some(Removal::Session(ended)) => self.remove_some_of(ended, most, context),
            Some(Removal::Connection(tables)) => self.forget_some(tables, most, context.handles),
        }
    }

    /// The same for a connection that is gone.
    pub(crate) fn let_go(&mut self, most: u64, handles: &mut Handles) -> u64 {
        let forgotten = match self.removal.take() {
            Some(Removal::Connection(tables)) => self.forget_some(tables, most, handles),
            // The broker has closed them with the connection.
            Some(Removal::Session(_)) | None => 0,
        };
        if self.removal.is_none() {
            handles.memory.forget(&mut self.kept);
        }
        forgotten
    }

    fn remove_some_of(&mut self, ended: EndedSession, most: u64, context: &mut Context<'_>) -> u64 {
        for removed in 0..most {
            if !self.remove_next(&ended, context) {
                self.synchronize(ended.request, context);
                return removed;
            }
        }
        self.removal = Some(Removal::Session(ended));
        most
    }

    /// False: there is none.
    fn remove_next(&mut self, ended: &EndedSession, context: &mut Context<'_>) -> bool {
        let Some(tables) = &self.tables else { return false };
        let members = (ended.session, i64::MIN)..=(ended.session, i64::MAX);
        if let Some((member, _)) = tables.consumers.range(members.clone()).next() {
            self.remove_consumer(*member, ended.last_delivered, context);
        } else if let Some((member, _)) = tables.producers.range(members).next() {
            self.remove_producer(*member, context);
        } else {
            return false;
        }
        true
    }

    fn forget_some(&mut self, mut tables: Box<Tables>, most: u64, handles: &mut Handles) -> u64 {
        for forgotten in 0..most {
            if let Some((_, consumer)) = tables.consumers.pop_first() {
                let bytes = handles.remove(consumer).map_or(0, |consumer| consumer.bytes);
                handles.memory.give_back(&mut self.kept, bytes);
            } else if let Some((_, producer)) = tables.producers.pop_first() {
                handles.memory.give_back(&mut self.kept, producer.bytes);
            } else if !tables.transactions.forget_one() && tables.sessions.pop_first().is_none() {
                handles.memory.forget_members(&mut self.kept);
                return forgotten;
            }
        }
        self.removal = Some(Removal::Connection(tables));
        most
    }
}
