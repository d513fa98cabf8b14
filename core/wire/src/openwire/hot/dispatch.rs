//! MessageDispatch, from a record.

use postrider_model::record::flag;

use super::outbound::destination_code;
use super::outgoing::{Frame, Outgoing};
use super::output::Output;
use super::placing::Slot;
use super::rare;
use super::slots::{Memory, Slots};
use crate::openwire::EncodeError;
use crate::openwire::schema::{consumer_id, message_dispatch, message_id, producer_id};
use crate::session::Outbound;
use crate::session::{DestinationName, ProducerName};

/// A ConsumerId, by its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ConsumerName<'a> {
    pub connection: &'a [u8],
    pub session: i64,
    pub value: i64,
}

/// Appends the message as a MessageDispatch for the consumer. After an error `output` is as it was.
pub(crate) fn write_dispatch(
    message: &Outbound<'_>,
    consumer: ConsumerName<'_>,
    memory: &mut Memory,
    outgoing: &mut Outgoing,
    output: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if message.fields.has_rare {
        return outgoing.structure(&rare::dispatch(message, consumer), output);
    }
    let slots = Slots::choose(message, consumer, memory, outgoing.cache_mut());
    let version = outgoing.settings().version;
    let frame = MessageDispatch::<'_, '_, false> { message, consumer, slots, version };
    match frame.as_plain() {
        Some(plain) => outgoing.frame(&plain, output),
        None => outgoing.frame(&frame, output),
    }
}

/// Appends the MessageDispatch without a message that ends a pull or a browse.
pub(crate) fn write_end(
    consumer: ConsumerName<'_>,
    memory: &mut Memory,
    outgoing: &mut Outgoing,
    output: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let (consumer_slot, null) = Slots::choose_for_end(consumer, memory, outgoing.cache_mut());
    outgoing.frame(&EndOfMessages { consumer, consumer_slot, null }, output)
}

impl ConsumerName<'_> {
    #[inline(always)]
    fn write<O: Output>(&self, output: &mut O) {
        output.object(consumer_id::DEFINITION.code);
        output.string(Some(self.connection));
        output.long(self.session);
        output.long(self.value);
    }
}

impl ProducerName<'_> {
    #[inline(always)]
    fn write<O: Output>(&self, output: &mut O) {
        output.object(producer_id::DEFINITION.code);
        output.string(Some(self.connection));
        output.long(self.value);
        output.long(self.session);
    }
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

/// The frame of one message. A plain one, which most are, has a length known at compile time but for content and properties:
/// its short fields are written without a branch.
struct MessageDispatch<'f, 'a, const PLAIN: bool> {
    message: &'f Outbound<'a>,
    consumer: ConsumerName<'f>,
    slots: Slots,
    version: u8,
}

impl<const PLAIN: bool> Frame for MessageDispatch<'_, '_, PLAIN> {
    const CODE: u8 = message_dispatch::DEFINITION.code;

    fn capacity(&self) -> usize {
        self.message.delivery.view.bytes().len() + 512
    }

    #[inline(always)]
    fn write<O: Output>(&self, output: &mut O) {
        output.int(0);
        output.bool(false);
        self.write_cached(self.slots.consumer, output, |output| self.consumer.write(output));
        self.write_cached(self.slots.destination, output, |output| write_destination(self.message.destination, output));
        output.bool(true);
        output.marshal_aware();
        output.byte(self.message.code(self.version()));
        self.write_identity(output);
        self.write_properties(output);
        self.write_history(output);
        self.write_blob(output);
        output.int(self.redeliveries());
    }
}

impl<'f, 'a> MessageDispatch<'f, 'a, false> {
    /// The same as a plain frame, if it is one: the peer has all its cached fields, and none of the optional ones is there.
    #[inline(always)]
    fn as_plain(&self) -> Option<MessageDispatch<'f, 'a, true>> {
        let MessageDispatch { message, consumer, slots, version } = *self;
        let ordinary = version >= PLAIN_SINCE && !message.is_blob(version);
        let plain = ordinary && slots.are_known() && message.fields.are_plain();
        plain.then_some(MessageDispatch { message, consumer, slots, version })
    }
}

/// The version whose frames have all fields that are written here.
const PLAIN_SINCE: u8 = 10;

impl<const PLAIN: bool> MessageDispatch<'_, '_, PLAIN> {
    fn redeliveries(&self) -> i32 {
        i32::try_from(self.message.delivery.redeliveries).unwrap_or(i32::MAX)
    }

    #[inline(always)]
    fn version(&self) -> u8 {
        if PLAIN { PLAIN_SINCE } else { self.version }
    }

    #[inline(always)]
    fn optional<T>(&self, value: Option<T>) -> Option<T> {
        if PLAIN { None } else { value }
    }

    #[inline(always)]
    fn write_cached<O: Output>(&self, slot: Slot, output: &mut O, value: impl FnOnce(&mut O)) {
        let slot = if PLAIN { Slot::Known(slot.index()) } else { slot };
        write_cached(slot, output, value);
    }

    /// `commandId` to `originalTransactionId`.
    #[inline(always)]
    fn write_identity<O: Output>(&self, output: &mut O) {
        let message = self.message;
        output.int(0);
        output.bool(false);
        self.write_cached(self.slots.sender, output, |output| message.sender().write(output));
        self.write_cached(self.slots.sent_to, output, |output| write_destination(message.destination, output));
        self.write_cached(self.slots.transaction, output, Output::absent);
        self.write_cached(self.slots.original_destination, output, |output| match message.original_destination {
            Some(destination) => write_destination(destination, output),
            None => output.absent(),
        });
        output.object(message_id::DEFINITION.code);
        if self.version() >= 10 {
            output.string(self.optional(message.fields.text_view));
        }
        self.write_cached(self.slots.producer, output, |output| message.producer.write(output));
        output.long(message.header.producer_sequence);
        output.long(self.message.delivery.sequence.0.cast_signed());
        self.write_cached(self.slots.original_transaction, output, Output::absent);
    }

    /// `groupID` to `marshalledProperties`.
    #[inline(always)]
    fn write_properties<O: Output>(&self, output: &mut O) {
        let (header, fields) = (&self.message.header, &self.message.fields);
        output.string(self.optional(fields.group));
        output.int(header.group_sequence);
        output.string(self.optional(fields.correlation));
        output.bool(self.message.has(flag::PERSISTENT));
        output.long(header.expiration);
        output.byte(header.priority);
        match self.optional(fields.reply_to) {
            Some(destination) => write_destination(destination, output),
            None => output.absent(),
        }
        output.long(header.timestamp);
        output.string(self.optional(fields.message_type));
        output.bytes(self.message.delivery.view.content());
        output.bytes(self.message.delivery.view.properties());
    }

    /// `dataStructure` to `jmsXGroupFirstForConsumer`.
    #[inline(always)]
    fn write_history<O: Output>(&self, output: &mut O) {
        output.absent();
        self.write_cached(self.slots.target, output, Output::absent);
        output.bool(self.message.has(flag::COMPRESSED));
        output.int(self.redeliveries());
        output.absent();
        output.long(self.message.fields.arrival);
        output.string(self.optional(self.message.fields.user));
        output.bool(self.message.has(flag::RECEIVED_BY_BRIDGE));
        if self.version() >= 2 {
            output.bool(self.message.has(flag::DROPPABLE));
        }
        if self.version() >= 3 {
            output.absent();
            output.long(self.message.header.broker_in_time);
            output.long(self.message.delivery.unix_millis);
        }
        if self.version() >= 10 {
            output.bool(false);
        }
    }

    #[inline(always)]
    fn write_blob<O: Output>(&self, output: &mut O) {
        if !PLAIN && self.message.is_blob(self.version) {
            output.string(self.message.fields.blob_url);
            output.string(self.message.fields.blob_mime);
            output.bool(self.message.has(flag::DELETED_BY_BROKER));
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

    #[inline(always)]
    fn write<O: Output>(&self, output: &mut O) {
        output.int(0);
        output.bool(false);
        write_cached(self.consumer_slot, output, |output| self.consumer.write(output));
        write_cached(self.null, output, Output::absent);
        output.absent();
        output.int(0);
    }
}
