//! What the broker tells a shard becomes bytes for sockets.

use postrider_broker::EventBatch;
use postrider_model::event::{Dispatch, Fanout, Place, Recipient, Refused};
use postrider_model::{Command, ConnectionHandle, DestinationKind, Event, MessageView, Now, Sequence, Span};
use postrider_wire::session::{CommandSink, Delivery, Failed, Handles, Outbound, SessionError, Unsendable};

use crate::net::Net;

use super::link::Link;
use super::{EVENT_BATCHES_A_TURN, ShardState, connection_of};

impl<Socket> ShardState<Socket> {
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
            Event::EndOfMessages { consumer } => {
                let consumer = *consumer;
                let Some(connection) = self.handles.connection_of(consumer) else { return };
                self.tell(connection, now, |link, handles| {
                    link.session.end_of_messages(consumer, handles, &mut link.output)
                });
            }
            Event::Reply { connection, token } => self.tell(*connection, now, |link, _| {
                link.session.reply(*token, &mut link.output);
                Ok(())
            }),
            Event::Opened { connection, token } => {
                self.tell(*connection, now, |link, _| link.session.opened(*token, &mut link.output));
            }
            Event::Voted { connection, token, vote } => {
                self.tell(*connection, now, |link, _| link.session.voted(*token, *vote, &mut link.output));
            }
            Event::Branches { connection, token, names } => {
                self.tell(*connection, now, |link, _| link.session.branches(*token, names, &mut link.output));
            }
            Event::Failed { connection, token, failure, message, refused } => {
                let refused = refused.as_deref();
                let failed = Failed { token: *token, failure: *failure, message, refused };
                self.tell(*connection, now, |link, handles| {
                    link.session.failed(&failed, now, handles, &mut link.output)
                });
                self.watch(connection_of(*connection));
                if let Some(Refused::Consumer(_)) = refused {
                    self.consumer_refused(*connection, message, now);
                }
            }
            Event::ProducerCredit { connection, session: of, value, bytes } => {
                self.tell(*connection, now, |link, _| {
                    link.session.producer_credit((*of, *value), *bytes, &mut link.output)
                });
            }
            Event::Parked { connection, settled } => self.links.parked(connection_of(*connection), Some(*settled), net),
            Event::HeldBack { connection } if !self.ending => {
                self.links.hold(connection_of(*connection), net, |holds| holds.queue = true);
            }
            Event::HeldBack { .. } => {}
            Event::GoesOn { connection } => self.links.goes_on(connection_of(*connection), net),
            Event::Unparked { connection } => self.links.parked(connection_of(*connection), None, net),
            Event::Close { connection, reason } => self.end(*connection, reason, now),
        }
    }

    fn dispatch(&mut self, dispatch: &Dispatch, batch: &EventBatch, now: Now) {
        let Some(view) = message(dispatch.place, batch) else {
            return self.give_back_unread(dispatch.to, (dispatch.sequence, dispatch.place.length), now);
        };
        let delivery = Delivery {
            view,
            sequence: dispatch.sequence,
            redeliveries: dispatch.redeliveries,
            destination: destination(dispatch.destination, batch),
            unix_millis: now.unix_millis,
        };
        self.deliver(dispatch.to, (&delivery.outbound(), dispatch.place.length), now);
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a span comes with the list that it was made for: another one is our mistake"
    )]
    fn fan_out(&mut self, fanout: &Fanout, batch: &EventBatch, now: Now) {
        let first = fanout.recipients.offset as usize;
        let recipients = &batch.recipients[first..first + fanout.recipients.length as usize];
        let Some(view) = message(fanout.place, batch) else {
            let record = (fanout.sequence, fanout.place.length);
            return recipients.iter().for_each(|to| self.give_back_unread(*to, record, now));
        };
        let delivery = Delivery {
            view,
            sequence: fanout.sequence,
            redeliveries: 0,
            destination: destination(fanout.destination, batch),
            unix_millis: now.unix_millis,
        };
        let message = delivery.outbound();
        for to in recipients {
            self.deliver(*to, (&message, fanout.place.length), now);
        }
    }

    /// A delivery to a consumer that is gone is dropped; its credit went with the consumer, but it still counts as written, or
    /// the connection's send window would shrink for ever (R23).
    fn deliver(&mut self, to: Recipient, (message, length): (&Outbound<'_>, u32), now: Now) {
        let mut unsendable = None;
        self.tell(to.connection, now, |link, handles| {
            link.encoded_record(length);
            unsendable = link.session.dispatch(to.consumer, message, handles, &mut link.output).err();
            Ok(())
        });
        if let Some(error) = unsendable {
            self.give_back(to, message, &error, now);
        }
    }

    /// The connection cannot carry the message, and would not a second time: the broker decides what becomes of it.
    #[cold]
    fn give_back(&mut self, to: Recipient, message: &Outbound<'_>, error: &Unsendable, now: Now) {
        let Some(link) = self.links.get(connection_of(to.connection)) else { return };
        if let Some(left_out) = self.complaints.allowed(now) {
            let message = message.identity();
            tracing::warn!(peer = &*link.peer, message, %error, left_out, "a message cannot be sent to a consumer");
        }
        let cause = link.session.cause(&format!("the message cannot be sent to its consumer: {error}"));
        let batch = self.outgoing.batch();
        let cause = batch.store(cause.as_bytes());
        batch.commands.push(Command::Unsendable {
            connection: to.connection,
            consumer: to.consumer,
            sequence: message.sequence(),
            cause,
        });
    }

    /// Bytes that are no message end no process: the broker keeps them aside.
    #[cold]
    fn give_back_unread(&mut self, to: Recipient, (sequence, length): (Sequence, u32), now: Now) {
        let mut cause = None;
        self.tell(to.connection, now, |link, _| {
            link.encoded_record(length);
            cause = Some(link.session.cause("the stored record is not a message"));
            Ok(())
        });
        if let Some(left_out) = self.complaints.allowed(now) {
            tracing::error!(%sequence, left_out, "a stored record is not a message, and is not delivered");
        }
        let Some(cause) = cause else { return };
        let batch = self.outgoing.batch();
        let cause = batch.store(cause.as_bytes());
        let Recipient { connection, consumer } = to;
        batch.commands.push(Command::Unsendable { connection, consumer, sequence, cause });
    }

    /// A client that restores its consumers after a failover does not look at the answers: whoever runs the broker hears of it.
    #[cold]
    fn consumer_refused(&mut self, connection: ConnectionHandle, reason: &str, now: Now) {
        let Some(link) = self.links.get(connection_of(connection)) else { return };
        if let Some(left_out) = self.complaints.allowed(now) {
            tracing::warn!(peer = &*link.peer, reason, left_out, "a consumer is refused");
        }
    }

    fn end(&mut self, connection: ConnectionHandle, reason: &str, now: Now) {
        let connection = connection_of(connection);
        let Some(link) = self.links.get(connection) else { return };
        if let Some(left_out) = self.complaints.allowed(now) {
            tracing::info!(peer = &*link.peer, reason, left_out, "connection closed by the broker");
        }
        link.leaves = false;
        self.close(connection, now);
        self.links.mark_dirty(connection);
    }

    /// Lets a session write; what it cannot write ends its connection.
    fn tell(
        &mut self,
        handle: ConnectionHandle,
        now: Now,
        say: impl FnOnce(&mut Link, &mut Handles) -> Result<(), SessionError>,
    ) {
        let connection = connection_of(handle);
        let Some(link) = self.links.get_dirty(connection) else { return };
        let outcome = say(link, &mut self.handles);
        if let Err(error) = outcome {
            self.refuse(connection, &error, now);
        }
    }
}

/// The broker dispatches only records that a shard of this process has written, or whose checksums held. None: who wrote it wrote no
/// message.
fn message(place: Place, batch: &EventBatch) -> Option<MessageView<'_>> {
    let extent = batch.extents.get(usize::from(place.extent))?;
    let record = extent.image.bytes(place.offset as usize, place.length as usize);
    MessageView::parse(record).ok()
}

/// Kind and name, where they are not the record's.
fn destination(span: Span, batch: &EventBatch) -> Option<(DestinationKind, &[u8])> {
    let (kind, name) = span.of(&batch.arena).split_first()?;
    Some((DestinationKind::from_number(*kind)?, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_journal::{Extent, ImageWriter, Position};

    #[test]
    fn a_record_that_is_no_message_is_none() {
        let mut writer = ImageWriter::anonymous(4096).unwrap();
        writer.publish(4096);
        let mut batch = EventBatch::default();
        batch.extents.push(Extent { base: Position(0), image: writer.image().clone() });
        for length in [0, 1, 76, 200] {
            assert!(message(Place { extent: 0, offset: 8, length }, &batch).is_none(), "{length} zeros");
        }
    }
}
