//! What the broker tells a shard becomes bytes for sockets.

use postrider_broker::EventBatch;
use postrider_model::event::{Dispatch, Fanout};
use postrider_model::{ConnectionHandle, ConsumerHandle, Event, MessageView, Now};

use crate::net::Net;

use super::{Desk, EVENT_BATCHES_A_TURN, connection_of};

impl<Socket> Desk<Socket> {
    /// Encodes the events of a few batches. Each batch is done with when this returns, its images let go.
    pub(super) fn take_events<N: Net>(&mut self, now: Now, net: &mut N) -> bool {
        for taken in 0..EVENT_BATCHES_A_TURN {
            let Some(batch) = self.events.pop() else { return taken > 0 };
            for event in &batch.events {
                self.take_event(event, &batch, now, net);
            }
            self.events.recycle(batch);
        }
        true
    }

    fn take_event<N: Net>(&mut self, event: &Event, batch: &EventBatch, now: Now, net: &mut N) {
        match event {
            Event::Dispatch(dispatch) => self.dispatch(dispatch, batch, now),
            Event::Fanout(fanout) => self.fan_out(fanout, batch, now),
            Event::EndOfMessages { consumer } => self.end_of_messages(*consumer),
            Event::Reply { connection, correlation } => {
                self.with_session(*connection, |session, output| session.reply(*correlation, output));
            }
            Event::Opened { connection, correlation } => {
                self.with_session(*connection, |session, output| session.opened(*correlation, output));
            }
            Event::Failed { connection, correlation, failure, message, refused } => {
                let Desk { links, handles, .. } = &mut *self;
                if let Some(link) = links.get(connection_of(*connection)) {
                    link.session.failed(*correlation, *failure, message, *refused, handles, &mut link.output);
                    links.mark_dirty(connection_of(*connection));
                }
            }
            Event::ProducerCredit { connection, producer, bytes } => {
                self.with_session(*connection, |session, output| session.producer_credit(*producer, *bytes, output));
            }
            Event::Pause { connection } => self.links.hold_for_broker(connection_of(*connection), true, net),
            Event::Resume { connection } => self.links.hold_for_broker(connection_of(*connection), false, net),
            Event::Close { connection, reason } => self.end(*connection, reason),
        }
    }

    fn dispatch(&mut self, dispatch: &Dispatch, batch: &EventBatch, now: Now) {
        let record = batch.record(dispatch.place);
        let destination = dispatch.destination.of(&batch.arena);
        self.deliver(dispatch.consumer, &message(record), dispatch.sequence, dispatch.redeliveries, destination, now);
    }

    fn fan_out(&mut self, fanout: &Fanout, batch: &EventBatch, now: Now) {
        let message = message(batch.record(fanout.place));
        let destination = fanout.destination.of(&batch.arena);
        let first = fanout.consumers.offset as usize;
        for consumer in &batch.consumers[first..first + fanout.consumers.length as usize] {
            self.deliver(*consumer, &message, fanout.sequence, 0, destination, now);
        }
    }

    fn deliver(
        &mut self,
        consumer: ConsumerHandle,
        message: &MessageView<'_>,
        sequence: postrider_model::Sequence,
        redeliveries: u32,
        destination: &[u8],
        now: Now,
    ) {
        let Desk { links, handles, .. } = self;
        let Some(entry) = handles.get(consumer) else { return };
        let connection = connection_of(entry.connection());
        let Some(link) = links.get(connection) else { return };
        link.session.dispatch(consumer, entry, message, sequence, redeliveries, destination, now, &mut link.output);
        link.encoded_record(message.bytes().len() as u32);
        links.mark_dirty(connection);
    }

    fn end_of_messages(&mut self, consumer: ConsumerHandle) {
        let Desk { links, handles, .. } = self;
        let Some(entry) = handles.get(consumer) else { return };
        let connection = connection_of(entry.connection());
        let Some(link) = links.get(connection) else { return };
        link.session.end_of_messages(consumer, entry, &mut link.output);
        links.mark_dirty(connection);
    }

    fn end(&mut self, connection: ConnectionHandle, reason: &str) {
        let Some(link) = self.links.get(connection_of(connection)) else { return };
        link.closing = true;
        tracing::info!(peer = link.session.peer(), reason, "connection closed by the broker");
        self.links.mark_dirty(connection_of(connection));
    }

    fn with_session(
        &mut self,
        connection: ConnectionHandle,
        say: impl FnOnce(&mut postrider_wire::openwire::session::Session, &mut Vec<u8>),
    ) {
        let Some(link) = self.links.get(connection_of(connection)) else { return };
        say(&mut link.session, &mut link.output);
        self.links.mark_dirty(connection_of(connection));
    }
}

/// The broker dispatches only records that a shard of this process has written and whose checksums held.
fn message(record: &[u8]) -> MessageView<'_> {
    MessageView::parse(record).expect("a stored record is well formed")
}
