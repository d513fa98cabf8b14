//! The same commands through the tables: for what reading and writing by hand leave out.
//!
//! Structures that are rarely in a message are kept in its record loose, without cache, in version 12: a nested one as its type
//! and fields, an array as its count and elements.

use std::sync::Arc;

use postrider_model::advisory::Advisory;
use postrider_model::record::{BodyKind, Tag, flag};

use super::acknowledge::Acknowledged;
use super::advisory;
use super::dispatch::ConsumerName;
use super::input::{Cached, TransactionName, destination_kind};
use super::message::{Blob, Sent, bit, body};
use super::outbound::destination_code;
use crate::openwire::schema::{
    active_mq_blob_message, active_mq_message, active_mq_queue, broker_id, connection_id, consumer_id, definition,
    local_transaction_id, message, message_ack, message_dispatch, message_id, producer_id, xa_transaction_id,
};
use crate::openwire::{
    Decoder, EncodeError, Encoder, NEWEST_VERSION, Reader, Settings, Structure, Value, WriterPolicy, writer,
};
use crate::session::Outbound;
use crate::session::{DestinationName, ProducerName};

const STORED: Settings = Settings {
    version: NEWEST_VERSION,
    tight: false,
    cache_size: None,
    stack_trace: true,
    max_frame_size: i32::MAX as usize,
};

/// Nested structures of a message, and where a record has them.
const NESTED: [(Tag, usize); 4] = [
    (Tag::Transaction, message::TRANSACTION_ID),
    (Tag::OriginalTransaction, message::ORIGINAL_TRANSACTION_ID),
    (Tag::DataStructure, message::DATA_STRUCTURE),
    (Tag::TargetConsumer, message::TARGET_CONSUMER_ID),
];

/// Arrays of BrokerIds of a message, and where a record has them.
const PATHS: [(Tag, usize); 2] = [(Tag::BrokerPath, message::BROKER_PATH), (Tag::Cluster, message::CLUSTER)];

/// Bytes by which what is stored of a frame may be longer than the frame: values that the peer has cached are written out.
const UNCACHED_BYTES: usize = 256 << 10;

/// The bytes of a structure as records have it, if they are no more than `most`: a few cached values can stand in it many times. A
/// tight string that its peer had marked wrongly as ASCII may have grown beyond what any other encoding holds.
pub(crate) fn stored(structure: &Structure, most: usize) -> Result<Vec<u8>, EncodeError> {
    let mut frame = Vec::new();
    let settings = Settings { max_frame_size: most, ..STORED };
    Encoder::new(settings, WriterPolicy::Cheap).encode(structure, &mut frame)?;
    Ok(frame.split_off(4))
}

/// A structure from the bytes of a record; None if they are damaged.
pub(crate) fn restored(bytes: &[u8]) -> Option<Arc<Structure>> {
    Decoder::of_our_own(STORED).decode(bytes).ok().flatten().map(Structure::shared)
}

/// A message as it was sent in a frame of so many bytes; an error if something in it could never be sent on.
pub(crate) fn sent(structure: &Structure, frame_bytes: usize) -> Result<Sent<'_>, EncodeError> {
    let id = structure.object(message::MESSAGE_ID).map(|id| &**id);
    let is_blob = structure.is(&active_mq_blob_message::DEFINITION);
    let sent = Sent {
        command: structure.int(message::COMMAND_ID),
        response_required: structure.bool(message::RESPONSE_REQUIRED),
        body: body(structure.code()).unwrap_or(BodyKind::Message),
        sender: inline(structure.object(message::PRODUCER_ID).and_then(|id| producer_name(id))),
        destination: inline(structure.object(message::DESTINATION).and_then(|name| destination_name(name))),
        original_destination: inline(
            structure.object(message::ORIGINAL_DESTINATION).and_then(|name| destination_name(name)),
        ),
        producer: inline(id.and_then(|id| id.object(message_id::PRODUCER_ID)).and_then(|id| producer_name(id))),
        text_view: id.and_then(|id| id.string(message_id::TEXT_VIEW)),
        producer_sequence: id.map_or(0, |id| id.long(message_id::PRODUCER_SEQUENCE_ID)),
        group: structure.string(message::GROUP_ID),
        group_sequence: structure.int(message::GROUP_SEQUENCE),
        correlation: structure.string(message::CORRELATION_ID),
        expiration: structure.long(message::EXPIRATION),
        priority: structure.byte(message::PRIORITY),
        reply_to: structure.object(message::REPLY_TO).and_then(|name| destination_name(name)),
        timestamp: structure.long(message::TIMESTAMP),
        message_type: structure.string(message::TYPE),
        content: structure.bytes(message::CONTENT),
        properties: structure.bytes(message::MARSHALLED_PROPERTIES),
        redelivery_counter: structure.int(message::REDELIVERY_COUNTER),
        arrival: structure.long(message::ARRIVAL),
        user: structure.string(message::USER_ID),
        blob: is_blob.then(|| Blob {
            url: structure.string(active_mq_blob_message::REMOTE_BLOB_URL),
            mime_type: structure.string(active_mq_blob_message::MIME_TYPE),
        }),
        flags: flags(structure, is_blob),
        rare: rare_fields(structure, frame_bytes.saturating_add(UNCACHED_BYTES))?,
        transaction: transaction(structure, message::TRANSACTION_ID),
    };
    check_strings(&sent)?;
    Ok(sent)
}

/// Cached fields are checked where it is known what they hold.
fn check_strings(sent: &Sent<'_>) -> Result<(), EncodeError> {
    let blob = sent.blob.map(|blob| [blob.url, blob.mime_type]).unwrap_or_default();
    let reply_to = sent.reply_to.map(|name| name.1);
    let own = [sent.text_view, sent.group, sent.correlation, sent.message_type, sent.user, reply_to];
    match blob.into_iter().chain(own).flatten().map(<[u8]>::len).find(|length| *length > writer::LOOSE_STRING_LIMIT) {
        Some(length) => Err(EncodeError::StringTooLong { length, limit: writer::LOOSE_STRING_LIMIT }),
        None => Ok(()),
    }
}

fn flags(structure: &Structure, is_blob: bool) -> u32 {
    let bits = [
        (message::PERSISTENT, flag::PERSISTENT),
        (message::COMPRESSED, flag::COMPRESSED),
        (message::RECIEVED_BY_DF_BRIDGE, flag::RECEIVED_BY_BRIDGE),
        (message::DROPPABLE, flag::DROPPABLE),
    ];
    let common: u32 = bits.into_iter().map(|(field, value)| bit(structure.bool(field), value)).sum();
    common | bit(is_blob && structure.bool(active_mq_blob_message::DELETED_BY_BROKER), flag::DELETED_BY_BROKER)
}

fn rare_fields(structure: &Structure, most: usize) -> Result<Vec<(Tag, Vec<u8>)>, EncodeError> {
    let mut fields = Vec::new();
    for (tag, field) in NESTED {
        // Of the transaction nothing is left when it is decided.
        if let Some(nested) = structure.object(field).filter(|_| tag != Tag::Transaction) {
            fields.push((tag, stored(nested, most)?));
        }
    }
    for (tag, field) in PATHS {
        // An empty path says no more than none.
        if let Some(path) = structure.array(field).filter(|path| !path.is_empty()) {
            fields.push((tag, stored_path(path)?));
        }
    }
    Ok(fields)
}

/// A path's ids are never cached: written out it is about as long as it came.
fn stored_path(path: &[Option<Arc<Structure>>]) -> Result<Vec<u8>, EncodeError> {
    let count = i16::try_from(path.len()).map_err(|_| EncodeError::ArrayTooLong(path.len()))?;
    let mut bytes = Vec::new();
    writer::short(&mut bytes, count);
    for broker in path {
        writer::loose_bool(&mut bytes, broker.is_some());
        if let Some(broker) = broker {
            bytes.extend_from_slice(&stored(broker, STORED.max_frame_size)?);
        }
    }
    Ok(bytes)
}

fn restored_path(bytes: &[u8]) -> Option<Vec<Option<Arc<Structure>>>> {
    let mut reader = Reader::new(bytes);
    let count = usize::try_from(reader.short().ok()?).ok()?;
    (0..count)
        .map(|_| {
            if !reader.loose_bool().ok()? {
                return Some(None);
            }
            (reader.code().ok()? == broker_id::DEFINITION.code).then_some(())?;
            let value = Value::String(reader.loose_string().ok()?.map(Into::into));
            Some(Some(Structure::new(&broker_id::DEFINITION).with(broker_id::VALUE, value).shared()))
        })
        .collect()
}

/// An acknowledgement as it was sent.
pub(crate) fn acknowledged(structure: &Structure) -> Acknowledged<'_> {
    let broker_sequence = |field| structure.object(field).map(|id| id.long(message_id::BROKER_SEQUENCE_ID));
    Acknowledged {
        command: structure.int(message_ack::COMMAND_ID),
        response_required: structure.bool(message_ack::RESPONSE_REQUIRED),
        consumer: inline(structure.object(message_ack::CONSUMER_ID).and_then(|id| consumer_name(id))),
        kind: structure.byte(message_ack::ACK_TYPE),
        first: broker_sequence(message_ack::FIRST_MESSAGE_ID),
        last: broker_sequence(message_ack::LAST_MESSAGE_ID),
        count: structure.int(message_ack::MESSAGE_COUNT),
        cause: structure.throwable(message_ack::POISON_CAUSE),
        transaction: transaction(structure, message_ack::TRANSACTION_ID),
    }
}

/// The MessageDispatch of a message that has rare structures.
pub(super) fn dispatch(message: &Outbound<'_>, consumer: ConsumerName<'_>) -> Structure {
    let redeliveries = i32::try_from(message.delivery.redeliveries).unwrap_or(i32::MAX);
    Structure::new(&message_dispatch::DEFINITION)
        .with(message_dispatch::CONSUMER_ID, consumer_structure(consumer))
        .with(message_dispatch::DESTINATION, destination_structure(message.destination))
        .with(message_dispatch::MESSAGE, message_structure(message, consumer, redeliveries))
        .with(message_dispatch::REDELIVERY_COUNTER, redeliveries)
}

fn message_structure(outbound: &Outbound<'_>, consumer: ConsumerName<'_>, redeliveries: i32) -> Structure {
    let (header, fields) = (&outbound.header, &outbound.fields);
    let definition =
        definition(outbound.code(NEWEST_VERSION), NEWEST_VERSION).unwrap_or(&active_mq_message::DEFINITION);
    let id = Structure::new(&message_id::DEFINITION)
        .with(message_id::TEXT_VIEW, string(fields.text_view))
        .with(message_id::PRODUCER_ID, producer_structure(outbound.producer))
        .with(message_id::PRODUCER_SEQUENCE_ID, header.producer_sequence)
        .with(message_id::BROKER_SEQUENCE_ID, outbound.delivery.sequence.0.cast_signed());
    let mut structure = Structure::new(definition)
        .with(message::PRODUCER_ID, producer_structure(outbound.sender()))
        .with(message::DESTINATION, destination_structure(outbound.destination))
        .with(
            message::ORIGINAL_DESTINATION,
            outbound.original_destination.map(|name| destination_structure(name).shared()),
        )
        .with(message::MESSAGE_ID, id)
        .with(message::GROUP_ID, string(fields.group))
        .with(message::GROUP_SEQUENCE, header.group_sequence)
        .with(message::CORRELATION_ID, string(fields.correlation))
        .with(message::PERSISTENT, outbound.has(flag::PERSISTENT))
        .with(message::EXPIRATION, header.expiration)
        .with(message::PRIORITY, header.priority.cast_signed())
        .with(message::REPLY_TO, fields.reply_to.map(|name| destination_structure(name).shared()))
        .with(message::TIMESTAMP, header.timestamp)
        .with(message::TYPE, string(fields.message_type))
        .with(message::CONTENT, Value::Bytes(outbound.view().content().map(Into::into)))
        .with(message::MARSHALLED_PROPERTIES, Value::Bytes(outbound.view().properties().map(Into::into)))
        .with(message::COMPRESSED, outbound.has(flag::COMPRESSED))
        .with(message::REDELIVERY_COUNTER, redeliveries)
        .with(message::ARRIVAL, fields.arrival)
        .with(message::USER_ID, string(fields.user))
        .with(message::RECIEVED_BY_DF_BRIDGE, outbound.has(flag::RECEIVED_BY_BRIDGE))
        .with(message::DROPPABLE, outbound.has(flag::DROPPABLE))
        .with(message::BROKER_IN_TIME, header.broker_in_time)
        .with(message::BROKER_OUT_TIME, outbound.delivery.unix_millis);
    set_rare(&mut structure, outbound);
    set_advisory(&mut structure, outbound, consumer);
    set_blob(&mut structure, outbound);
    structure
}

fn set_rare(structure: &mut Structure, outbound: &Outbound<'_>) {
    for (tag, field) in NESTED {
        if let Some(nested) = outbound.view().field(tag).and_then(restored) {
            structure.set(field, nested);
        }
    }
    for (tag, field) in PATHS {
        if let Some(path) = outbound.view().field(tag).and_then(restored_path) {
            structure.set(field, path);
        }
    }
}

/// What the broker tells. The target of what it tells again is the consumer that gets it.
fn set_advisory(structure: &mut Structure, outbound: &Outbound<'_>, consumer: ConsumerName<'_>) {
    let Some(advisory) = Advisory::of(&outbound.view()) else { return };
    structure.set(message::DATA_STRUCTURE, advisory::structure(&advisory));
    if advisory.told_again {
        structure.set(message::TARGET_CONSUMER_ID, consumer_structure(consumer));
    }
}

fn set_blob(structure: &mut Structure, outbound: &Outbound<'_>) {
    if structure.is(&active_mq_blob_message::DEFINITION) {
        structure.set(active_mq_blob_message::REMOTE_BLOB_URL, string(outbound.fields.blob_url));
        structure.set(active_mq_blob_message::MIME_TYPE, string(outbound.fields.blob_mime));
        structure.set(active_mq_blob_message::DELETED_BY_BROKER, outbound.has(flag::DELETED_BY_BROKER));
    }
}

fn string(value: Option<&[u8]>) -> Value {
    Value::String(value.map(Into::into))
}

fn inline<T>(value: Option<T>) -> Cached<T> {
    value.map_or(Cached::Null, Cached::Inline)
}

/// The parts of a ProducerId; a connection that is null counts as one without characters.
pub(crate) fn producer_name(id: &Structure) -> Option<ProducerName<'_>> {
    id.is(&producer_id::DEFINITION).then(|| ProducerName {
        connection: id.string(producer_id::CONNECTION_ID).unwrap_or_default(),
        session: id.long(producer_id::SESSION_ID),
        value: id.long(producer_id::VALUE),
    })
}

/// The parts of a ConsumerId.
pub(crate) fn consumer_name(id: &Structure) -> Option<ConsumerName<'_>> {
    id.is(&consumer_id::DEFINITION).then(|| ConsumerName {
        connection: id.string(consumer_id::CONNECTION_ID).unwrap_or_default(),
        session: id.long(consumer_id::SESSION_ID),
        value: id.long(consumer_id::VALUE),
    })
}

/// A LocalTransactionId by its parts, or an XATransactionId.
pub(crate) fn transaction_name(id: &Structure) -> Option<TransactionName<'_>> {
    if id.is(&xa_transaction_id::DEFINITION) {
        return Some(TransactionName::Branch(id));
    }
    id.is(&local_transaction_id::DEFINITION).then(|| TransactionName::Local {
        connection: id
            .object(local_transaction_id::CONNECTION_ID)
            .and_then(|connection| connection.string(connection_id::VALUE))
            .unwrap_or_default(),
        value: id.long(local_transaction_id::VALUE),
    })
}

fn transaction(structure: &Structure, field: usize) -> Cached<TransactionName<'_>> {
    inline(structure.object(field).and_then(|id| transaction_name(id)))
}

/// The kind and name of a destination.
pub(crate) fn destination_name(destination: &Structure) -> Option<DestinationName<'_>> {
    let kind = destination_kind(destination.code())?;
    Some((kind, destination.string(active_mq_queue::PHYSICAL_NAME).unwrap_or_default()))
}

/// A ProducerId.
pub(crate) fn producer_structure(name: ProducerName<'_>) -> Structure {
    Structure::new(&producer_id::DEFINITION)
        .with(producer_id::CONNECTION_ID, Value::string(name.connection))
        .with(producer_id::SESSION_ID, name.session)
        .with(producer_id::VALUE, name.value)
}

/// A ConsumerId.
pub(crate) fn consumer_structure(name: ConsumerName<'_>) -> Structure {
    Structure::new(&consumer_id::DEFINITION)
        .with(consumer_id::CONNECTION_ID, Value::string(name.connection))
        .with(consumer_id::SESSION_ID, name.session)
        .with(consumer_id::VALUE, name.value)
}

/// A destination.
pub(super) fn destination_structure(name: DestinationName<'_>) -> Structure {
    let definition = definition(destination_code(name.0), NEWEST_VERSION).unwrap_or(&active_mq_queue::DEFINITION);
    Structure::new(definition).with(active_mq_queue::PHYSICAL_NAME, Value::string(name.1))
}
