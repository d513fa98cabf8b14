//! Sends that come again: what their connection's producer is remembered by says whether they are stored (R17).

use crate::broker::Broker;
use crate::durable::duplicates::MarkReference;
use crate::messages::ConnectionIndex;
use postrider_model::command::Publish;

impl Broker {
    /// Whether the send is stored already and comes again.
    pub(crate) fn is_duplicate(&mut self, connection: ConnectionIndex, publish: &Publish) -> bool {
        if !publish.persistent || !self.clients.connection(connection).failover_reconnect {
            return false;
        }
        let mark = self.known_mark(connection, publish.producer);
        mark.is_some_and(|mark| self.marks.contains(mark, publish.producer_sequence))
    }

    /// What is known of a connection's producer, if anything is.
    pub(crate) fn known_mark(&mut self, connection: ConnectionIndex, producer: u32) -> Option<MarkReference> {
        let owner = self.clients.connection_mut(connection);
        let (id, producer, mark) = owner.mark(producer)?;
        self.marks.known(id, producer, mark)
    }

    /// The mark of a connection's producer that stores something; none if there are too many, or the message is another's.
    pub(crate) fn mark_of(&mut self, connection: ConnectionIndex, producer: u32) -> Option<MarkReference> {
        if let Some(known) = self.known_mark(connection, producer) {
            return Some(known);
        }
        let owner = self.clients.connection_mut(connection);
        let (id, producer, mark) = owner.mark(producer)?;
        self.marks.begin(id, producer, mark, self.config.marks)
    }

    /// A non-persistent send, taken or refused: its number is no gap, as it is never looked for.
    pub(crate) fn pass_mark(&mut self, connection: ConnectionIndex, publish: &Publish) {
        if let Some(mark) = self.clients.connection(connection).producer(publish.producer).and_then(|known| known.mark)
        {
            self.marks.pass(mark, publish.producer_sequence);
        }
    }
}
