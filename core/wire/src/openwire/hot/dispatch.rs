//! MessageDispatch, from a record.

use postrider_model::record::{Header, flag};
use postrider_model::{DestinationKind, MessageView, Sequence};

use super::fields::{DestinationName, Fields, ProducerName};
use super::outgoing::{Frame, Outgoing};
use super::output::Output;
use super::placing::{Content, PeerCache, Remembered, Slot};
use super::rare;
use crate::openwire::EncodeError;
use crate::openwire::schema::{
    active_mq_blob_message, active_mq_message, active_mq_queue, consumer_id, message_dispatch, message_id, producer_id,
};

/// A message on its way to a consumer.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The record.
    pub view: MessageView<'a>,
    /// Its sequence.
    pub sequence: Sequence,
    /// Earlier deliveries.
    pub redeliveries: u32,
    /// Where the message is, if not where the record says.
    pub destination: Option<(DestinationKind, &'a [u8])>,
    /// Milliseconds since 1970.
    pub unix_millis: i64,
}

/// A ConsumerId, by its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ConsumerName<'a> {
    pub connection: &'a [u8],
    pub session: i64,
    pub value: i64,
}

/// What a consumer's last messages have put into the peer's cache.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    consumer: Remembered,
    destination: Remembered,
    original_destination: Remembered,
    producer: Remembered,
    sender: Remembered,
}

/// Appends the message as a MessageDispatch for the consumer. After an error `output` is as it was.
pub(crate) fn write_dispatch(
    delivery: &Delivery<'_>,
    consumer: ConsumerName<'_>,
    memory: &mut Memory,
    outgoing: &mut Outgoing,
    output: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let parts = Parts::of(delivery);
    if parts.fields.has_rare {
        return outgoing.structure(&rare::dispatch(delivery, &parts, consumer), output);
    }
    let slots = Slots::choose(&parts, consumer, memory, outgoing.cache_mut());
    let version = outgoing.settings().version;
    outgoing.frame(&MessageDispatch { delivery, consumer, parts: &parts, slots, version }, output)
}

/// Appends the MessageDispatch without a message that ends a pull or a browse.
pub(crate) fn write_end(
    consumer: ConsumerName<'_>,
    memory: &mut Memory,
    outgoing: &mut Outgoing,
    output: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let (consumer_slot, null) = match outgoing.cache_mut() {
        Some(cache) => (cache.place_only(&mut memory.consumer, consumer.content()), cache.null()),
        None => (Slot::None, Slot::None),
    };
    outgoing.frame(&EndOfMessages { consumer, consumer_slot, null }, output)
}

/// What the fields of the frame are taken from.
pub(super) struct Parts<'a> {
    pub header: Header,
    pub fields: Fields<'a>,
    /// Where the message is.
    pub destination: DestinationName<'a>,
    /// Where it was sent first.
    pub original_destination: Option<DestinationName<'a>>,
    /// The message id's producer.
    pub producer: ProducerName<'a>,
}

impl<'a> Parts<'a> {
    fn of(delivery: &Delivery<'a>) -> Parts<'a> {
        let header = delivery.view.header();
        let fields = Fields::of(&delivery.view);
        let sent_to = fields.destination.unwrap_or((DestinationKind::Queue, b""));
        let destination = delivery.destination.unwrap_or(sent_to);
        let moved_from = (destination != sent_to).then_some(sent_to);
        let (session, value) = (header.producer_session, header.producer_value);
        let producer = ProducerName { connection: fields.connection, session, value };
        Parts {
            header,
            fields,
            destination,
            original_destination: fields.original_destination.or(moved_from),
            producer,
        }
    }

    /// Who sent it here.
    pub fn sender(&self) -> ProducerName<'a> {
        self.fields.sender.unwrap_or(self.producer)
    }

    /// The message's class; version 1 and 2 have none for blobs.
    pub fn code(&self, version: u8) -> u8 {
        let code = active_mq_message::DEFINITION.code + self.header.body as u8;
        let blob = &active_mq_blob_message::DEFINITION;
        if code == blob.code && version < blob.since { active_mq_message::DEFINITION.code } else { code }
    }

    pub fn has(&self, bit: u32) -> bool {
        self.header.flags & bit != 0
    }
}

/// How each cached field is written, in the order of the wire.
struct Slots {
    consumer: Slot,
    destination: Slot,
    sender: Slot,
    sent_to: Slot,
    transaction: Slot,
    original_destination: Slot,
    producer: Slot,
    original_transaction: Slot,
    target: Slot,
}

impl Slots {
    const NONE: Slots = Slots {
        consumer: Slot::None,
        destination: Slot::None,
        sender: Slot::None,
        sent_to: Slot::None,
        transaction: Slot::None,
        original_destination: Slot::None,
        producer: Slot::None,
        original_transaction: Slot::None,
        target: Slot::None,
    };

    #[inline]
    fn choose(
        parts: &Parts<'_>,
        consumer: ConsumerName<'_>,
        memory: &mut Memory,
        cache: Option<&mut PeerCache>,
    ) -> Slots {
        let Some(cache) = cache else { return Slots::NONE };
        let destination = destination_content(parts.destination);
        let original = parts.original_destination.map(destination_content);
        // The fields of a literal are evaluated in the order written.
        Slots {
            consumer: cache.place_only(&mut memory.consumer, consumer.content()),
            destination: cache.place(&mut memory.destination, destination),
            sender: match parts.fields.sender {
                Some(sender) => cache.place(&mut memory.sender, sender.content()),
                None => cache.place(&mut memory.producer, parts.producer.content()),
            },
            sent_to: cache.place(&mut memory.destination, destination),
            transaction: cache.null(),
            original_destination: match original {
                Some(content) => cache.place(&mut memory.original_destination, content),
                None => cache.null(),
            },
            producer: cache.place(&mut memory.producer, parts.producer.content()),
            original_transaction: cache.null(),
            target: cache.null(),
        }
    }
}

impl ConsumerName<'_> {
    fn content(&self) -> Content<'_> {
        Content { head: head(consumer_id::DEFINITION.code, self.session, self.value), text: self.connection }
    }

    fn write<O: Output>(&self, output: &mut O) {
        output.object(consumer_id::DEFINITION.code);
        output.string(Some(self.connection));
        output.long(self.session);
        output.long(self.value);
    }
}

impl ProducerName<'_> {
    fn content(&self) -> Content<'_> {
        Content { head: head(producer_id::DEFINITION.code, self.session, self.value), text: self.connection }
    }

    fn write<O: Output>(&self, output: &mut O) {
        output.object(producer_id::DEFINITION.code);
        output.string(Some(self.connection));
        output.long(self.value);
        output.long(self.session);
    }
}

fn destination_content(destination: DestinationName<'_>) -> Content<'_> {
    Content { head: head(destination_code(destination.0), 0, 0), text: destination.1 }
}

fn head(code: u8, session: i64, value: i64) -> [u8; 17] {
    let mut head = [code; 17];
    head[1..9].copy_from_slice(&session.to_le_bytes());
    head[9..].copy_from_slice(&value.to_le_bytes());
    head
}

/// The code of a destination's class.
pub(crate) fn destination_code(kind: DestinationKind) -> u8 {
    active_mq_queue::DEFINITION.code + kind as u8
}

#[inline(always)]
fn write_destination<O: Output>(destination: DestinationName<'_>, output: &mut O) {
    output.object(destination_code(destination.0));
    output.string(Some(destination.1));
}

#[inline(always)]
fn write_cached<O: Output>(slot: Slot, output: &mut O, value: impl FnOnce(&mut O)) {
    match slot {
        Slot::Known(index) => {
            output.bool(false);
            output.short(index);
        }
        Slot::New(index) => {
            output.bool(true);
            output.short(index);
            value(output);
        }
        Slot::None => value(output),
    }
}

struct MessageDispatch<'f, 'a> {
    delivery: &'f Delivery<'a>,
    consumer: ConsumerName<'f>,
    parts: &'f Parts<'a>,
    slots: Slots,
    version: u8,
}

impl Frame for MessageDispatch<'_, '_> {
    const CODE: u8 = message_dispatch::DEFINITION.code;

    fn capacity(&self) -> usize {
        self.delivery.view.bytes().len() + 512
    }

    #[inline(always)]
    fn write<O: Output>(&self, output: &mut O) {
        output.int(0);
        output.bool(false);
        write_cached(self.slots.consumer, output, |output| self.consumer.write(output));
        write_cached(self.slots.destination, output, |output| write_destination(self.parts.destination, output));
        output.bool(true);
        output.marshal_aware();
        output.byte(self.parts.code(self.version));
        self.write_identity(output);
        self.write_properties(output);
        self.write_history(output);
        self.write_blob(output);
        output.int(self.redeliveries());
    }
}

impl MessageDispatch<'_, '_> {
    fn redeliveries(&self) -> i32 {
        i32::try_from(self.delivery.redeliveries).unwrap_or(i32::MAX)
    }

    /// `commandId` to `originalTransactionId`.
    #[inline(always)]
    fn write_identity<O: Output>(&self, output: &mut O) {
        let parts = self.parts;
        output.int(0);
        output.bool(false);
        write_cached(self.slots.sender, output, |output| parts.sender().write(output));
        write_cached(self.slots.sent_to, output, |output| write_destination(parts.destination, output));
        write_cached(self.slots.transaction, output, Output::absent);
        write_cached(self.slots.original_destination, output, |output| match parts.original_destination {
            Some(destination) => write_destination(destination, output),
            None => output.absent(),
        });
        output.object(message_id::DEFINITION.code);
        if self.version >= 10 {
            output.string(parts.fields.text_view);
        }
        write_cached(self.slots.producer, output, |output| parts.producer.write(output));
        output.long(parts.header.producer_sequence);
        output.long(self.delivery.sequence.0.cast_signed());
        write_cached(self.slots.original_transaction, output, Output::absent);
    }

    /// `groupID` to `marshalledProperties`.
    #[inline(always)]
    fn write_properties<O: Output>(&self, output: &mut O) {
        let (header, fields) = (&self.parts.header, &self.parts.fields);
        output.string(fields.group);
        output.int(header.group_sequence);
        output.string(fields.correlation);
        output.bool(self.parts.has(flag::PERSISTENT));
        output.long(header.expiration);
        output.byte(header.priority);
        match fields.reply_to {
            Some(destination) => write_destination(destination, output),
            None => output.absent(),
        }
        output.long(header.timestamp);
        output.string(fields.message_type);
        output.bytes(self.delivery.view.content());
        output.bytes(self.delivery.view.properties());
    }

    /// `dataStructure` to `jmsXGroupFirstForConsumer`.
    #[inline(always)]
    fn write_history<O: Output>(&self, output: &mut O) {
        output.absent();
        write_cached(self.slots.target, output, Output::absent);
        output.bool(self.parts.has(flag::COMPRESSED));
        output.int(self.redeliveries());
        output.absent();
        output.long(self.parts.fields.arrival);
        output.string(self.parts.fields.user);
        output.bool(self.parts.has(flag::RECEIVED_BY_BRIDGE));
        if self.version >= 2 {
            output.bool(self.parts.has(flag::DROPPABLE));
        }
        if self.version >= 3 {
            output.absent();
            output.long(self.parts.header.broker_in_time);
            output.long(self.delivery.unix_millis);
        }
        if self.version >= 10 {
            output.bool(false);
        }
    }

    #[inline(always)]
    fn write_blob<O: Output>(&self, output: &mut O) {
        if self.parts.code(self.version) == active_mq_blob_message::DEFINITION.code {
            output.string(self.parts.fields.blob_url);
            output.string(self.parts.fields.blob_mime);
            output.bool(self.parts.has(flag::DELETED_BY_BROKER));
        }
    }
}

struct EndOfMessages<'f> {
    consumer: ConsumerName<'f>,
    consumer_slot: Slot,
    null: Slot,
}

impl Frame for EndOfMessages<'_> {
    const CODE: u8 = message_dispatch::DEFINITION.code;

    fn capacity(&self) -> usize {
        128 + self.consumer.connection.len()
    }

    fn write<O: Output>(&self, output: &mut O) {
        output.int(0);
        output.bool(false);
        write_cached(self.consumer_slot, output, |output| self.consumer.write(output));
        write_cached(self.null, output, Output::absent);
        output.absent();
        output.int(0);
    }
}
