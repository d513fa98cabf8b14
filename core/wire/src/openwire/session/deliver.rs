//! Messages and credit on their way to the client.

use postrider_model::ConsumerHandle;

use super::consumer::NamedConsumer;
use super::conversation::Conversation;
use super::error::OpenWireError;
use crate::openwire::hot::dispatch::{write_dispatch, write_end};
use crate::openwire::hot::rare;
use crate::openwire::schema::producer_ack;
use crate::openwire::{EncodeError, Structure};
use crate::session::{ConsumerState, Handles, Outbound, ProducerName};

impl Conversation {
    pub(crate) fn dispatch(
        &mut self,
        consumer: ConsumerHandle,
        message: &Outbound<'_>,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some(consumer) = self.own(consumer, handles) else { return Ok(()) };
        let (name, memory) = consumer.split();
        write_dispatch(message, name, memory, &mut self.outgoing, output)?;
        self.liveness.sent();
        Ok(())
    }

    pub(crate) fn end_of_messages(
        &mut self,
        consumer: ConsumerHandle,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), OpenWireError> {
        let Some(consumer) = self.own(consumer, handles) else { return Ok(()) };
        let (name, memory) = consumer.split();
        write_end(name, memory, &mut self.outgoing, output)?;
        self.liveness.sent();
        Ok(())
    }

    /// A consumer of this connection; one of another would mix up what the peers have in their caches.
    fn own<'h>(&self, consumer: ConsumerHandle, handles: &'h mut Handles) -> Option<&'h mut NamedConsumer> {
        let consumer = handles.get_mut(consumer).filter(|consumer| consumer.connection == self.connection)?;
        let ConsumerState::OpenWire(named) = &mut consumer.state;
        Some(named)
    }

    pub(crate) fn producer_credit(
        &mut self,
        (session, value): (i64, i64),
        bytes: u32,
        output: &mut Vec<u8>,
    ) -> Result<(), OpenWireError> {
        if self.outgoing.settings().version < producer_ack::DEFINITION.since {
            return Ok(());
        }
        let Some(tables) = &self.tables else { return Ok(()) };
        let id = rare::producer_structure(ProducerName { connection: &tables.id, session, value });
        let acknowledgement = Structure::new(&producer_ack::DEFINITION)
            .with(producer_ack::PRODUCER_ID, id)
            .with(producer_ack::SIZE, i32::try_from(bytes).unwrap_or(i32::MAX));
        self.outgoing.structure(&acknowledgement, output)?;
        self.liveness.sent();
        Ok(())
    }
}
