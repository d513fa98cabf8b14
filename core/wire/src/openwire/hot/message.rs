//! The commands of type 23 to 29: received bytes to a record.

use postrider_model::record::{BodyKind, Header, MessageWriter, Tag, flag};

use super::fields::{DestinationName, ProducerName};
use super::input::{self, Cached, Encoding, Loose, Tight, cached, cached_null};
use crate::openwire::schema::{active_mq_blob_message, active_mq_message, message_id};
use crate::openwire::{Reader, ReaderCache, Settings};

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent<'a> {
    pub command: i32,
    pub response_required: bool,
    pub body: BodyKind,
    pub sender: Cached<ProducerName<'a>>,
    pub destination: Cached<DestinationName<'a>>,
    pub original_destination: Cached<DestinationName<'a>>,
    /// The message id's producer.
    pub producer: Cached<ProducerName<'a>>,
    pub text_view: Option<&'a [u8]>,
    pub producer_sequence: i64,
    pub group: Option<&'a [u8]>,
    pub group_sequence: i32,
    pub correlation: Option<&'a [u8]>,
    pub expiration: i64,
    pub priority: i8,
    pub reply_to: Option<DestinationName<'a>>,
    pub timestamp: i64,
    pub message_type: Option<&'a [u8]>,
    pub content: Option<&'a [u8]>,
    pub properties: Option<&'a [u8]>,
    pub redelivery_counter: i32,
    pub arrival: i64,
    pub user: Option<&'a [u8]>,
    pub blob: Option<Blob<'a>>,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Structures that are rarely there, as they are stored.
    pub rare: Vec<(Tag, Vec<u8>)>,
    pub in_transaction: bool,
}

/// Where the content of a blob message lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Blob<'a> {
    pub url: Option<&'a [u8]>,
    pub mime_type: Option<&'a [u8]>,
}

/// What cached fields stand for.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub sender: ProducerName<'a>,
    pub producer: ProducerName<'a>,
    pub destination: DestinationName<'a>,
    pub original_destination: Option<DestinationName<'a>>,
}

/// Reads a message from a frame without its prefix, if it is an ordinary one.
#[inline]
pub(crate) fn read<'a>(frame: &'a [u8], settings: &Settings, cache: Option<&ReaderCache>) -> Option<Sent<'a>> {
    let mut reader = Reader::new(frame);
    let body = body(reader.code().ok()?)?;
    if settings.tight {
        reader.open_bits().ok()?;
        read_fields::<Tight>(reader, body, settings.version, cache)
    } else {
        read_fields::<Loose>(reader, body, settings.version, cache)
    }
}

/// The kind of a message's class.
pub(crate) fn body(code: u8) -> Option<BodyKind> {
    BodyKind::from_number(code.checked_sub(active_mq_message::DEFINITION.code)?)
}

#[inline(always)]
fn read_fields<'a, E: Encoding>(
    mut reader: Reader<'a>,
    body: BodyKind,
    version: u8,
    cache: Option<&ReaderCache>,
) -> Option<Sent<'a>> {
    let reader = &mut reader;
    let command = reader.int().ok()?;
    let response_required = E::bool(reader)?;
    let sender = cached::<E, _>(reader, cache, input::producer::<E>)?;
    let destination = cached::<E, _>(reader, cache, input::destination::<E>)?;
    cached_null::<E>(reader, cache)?;
    let original_destination = cached::<E, _>(reader, cache, input::destination::<E>)?;
    (E::object(reader)? == Some(message_id::DEFINITION.code)).then_some(())?;
    let text_view = if version >= 10 { E::string(reader)? } else { None };
    let producer = cached::<E, _>(reader, cache, input::producer::<E>)?;
    let producer_sequence = E::long(reader)?;
    let _broker_sequence = E::long(reader)?;
    cached_null::<E>(reader, cache)?;
    let group = E::string(reader)?;
    let group_sequence = reader.int().ok()?;
    let correlation = E::string(reader)?;
    let mut flags = bit(E::bool(reader)?, flag::PERSISTENT);
    let expiration = E::long(reader)?;
    let priority = reader.byte().ok()?;
    let reply_to = match E::object(reader)? {
        Some(code) => Some(input::destination::<E>(reader, code)?),
        None => None,
    };
    let timestamp = E::long(reader)?;
    let message_type = E::string(reader)?;
    let content = E::bytes(reader)?;
    let properties = E::bytes(reader)?;
    E::absent(reader)?;
    cached_null::<E>(reader, cache)?;
    flags |= bit(E::bool(reader)?, flag::COMPRESSED);
    let redelivery_counter = reader.int().ok()?;
    E::absent(reader)?;
    let arrival = E::long(reader)?;
    let user = E::string(reader)?;
    flags |= bit(E::bool(reader)?, flag::RECEIVED_BY_BRIDGE);
    if version >= 2 {
        flags |= bit(E::bool(reader)?, flag::DROPPABLE);
    }
    if version >= 3 {
        E::absent(reader)?;
        let _broker_in_time = E::long(reader)?;
        let _broker_out_time = E::long(reader)?;
    }
    if version >= 10 {
        let _first_of_group = E::bool(reader)?;
    }
    let blob = if body == BodyKind::Blob {
        if version < active_mq_blob_message::DEFINITION.since {
            return None;
        }
        let blob = Blob { url: E::string(reader)?, mime_type: E::string(reader)? };
        flags |= bit(E::bool(reader)?, flag::DELETED_BY_BROKER);
        Some(blob)
    } else {
        None
    };
    reader.finish().ok()?;
    Some(Sent {
        command,
        response_required,
        body,
        sender,
        destination,
        original_destination,
        producer,
        text_view,
        producer_sequence,
        group,
        group_sequence,
        correlation,
        expiration,
        priority,
        reply_to,
        timestamp,
        message_type,
        content,
        properties,
        redelivery_counter,
        arrival,
        user,
        blob,
        flags,
        rare: Vec::new(),
        in_transaction: false,
    })
}

#[inline(always)]
pub(super) fn bit(is_set: bool, bit: u32) -> u32 {
    if is_set { bit } else { 0 }
}

/// Appends the message's record and returns its length.
#[inline]
pub(crate) fn write_record(sent: &Sent<'_>, names: &Names<'_>, unix_millis: i64, arena: &mut Vec<u8>) -> usize {
    let body_bytes = sent.content.map_or(0, <[u8]>::len) + sent.properties.map_or(0, <[u8]>::len);
    arena.reserve(body_bytes + 512);
    let mut writer = MessageWriter::new(arena);
    writer.field(Tag::ProducerConnection, &[names.producer.connection]);
    writer.destination_field(Tag::Destination, names.destination.0, names.destination.1);
    write_names(sent, names, &mut writer);
    write_strings(sent, &mut writer);
    for (tag, bytes) in &sent.rare {
        writer.field(*tag, &[bytes]);
    }
    if let Some(properties) = sent.properties {
        writer.properties(properties);
    }
    if let Some(content) = sent.content {
        writer.content(content);
    }
    writer.finish(&Header {
        body: sent.body,
        priority: sent.priority.clamp(0, 9).unsigned_abs(),
        flags: sent.flags,
        expiration: sent.expiration,
        timestamp: sent.timestamp,
        broker_in_time: unix_millis,
        producer_sequence: sent.producer_sequence,
        producer_session: names.producer.session,
        producer_value: names.producer.value,
        group_sequence: sent.group_sequence,
        redelivery_counter: u32::try_from(sent.redelivery_counter).unwrap_or(0),
    })
}

#[inline(always)]
fn write_names(sent: &Sent<'_>, names: &Names<'_>, writer: &mut MessageWriter<'_>) {
    if let Some((kind, name)) = names.original_destination {
        writer.destination_field(Tag::OriginalDestination, kind, name);
    }
    if let Some((kind, name)) = sent.reply_to {
        writer.destination_field(Tag::ReplyTo, kind, name);
    }
    if names.sender != names.producer {
        let ProducerName { connection, session, value } = names.sender;
        writer.field(Tag::Sender, &[&session.to_le_bytes(), &value.to_le_bytes(), connection]);
    }
}

#[inline(always)]
fn write_strings(sent: &Sent<'_>, writer: &mut MessageWriter<'_>) {
    let strings = [
        (Tag::Correlation, sent.correlation),
        (Tag::Type, sent.message_type),
        (Tag::Group, sent.group),
        (Tag::User, sent.user),
        (Tag::TextView, sent.text_view),
        (Tag::BlobUrl, sent.blob.and_then(|blob| blob.url)),
        (Tag::BlobMime, sent.blob.and_then(|blob| blob.mime_type)),
    ];
    for (tag, value) in strings {
        if let Some(bytes) = value {
            writer.field(tag, &[bytes]);
        }
    }
    if sent.arrival != 0 {
        writer.field(Tag::Arrival, &[&sent.arrival.to_le_bytes()]);
    }
}
