//! The commands of type 23 to 29: received bytes to a record.

use postrider_model::record::{BodyKind, Header, MessageWriter, Tag, flag};

use super::input::{self, Cached, Encoding, Loose, Tight, TransactionName, cached, cached_null};
use crate::openwire::schema::{active_mq_blob_message, active_mq_message, message_id};
use crate::openwire::{Reader, ReaderCache, Settings};
use crate::session::{DestinationName, ProducerName};

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
    pub transaction: Cached<TransactionName<'a>>,
}

impl Sent<'_> {
    const EMPTY: Sent<'static> = Sent {
        command: 0,
        response_required: false,
        body: BodyKind::Message,
        sender: Cached::Null,
        destination: Cached::Null,
        original_destination: Cached::Null,
        producer: Cached::Null,
        text_view: None,
        producer_sequence: 0,
        group: None,
        group_sequence: 0,
        correlation: None,
        expiration: 0,
        priority: 0,
        reply_to: None,
        timestamp: 0,
        message_type: None,
        content: None,
        properties: None,
        redelivery_counter: 0,
        arrival: 0,
        user: None,
        blob: None,
        flags: 0,
        rare: Vec::new(),
        transaction: Cached::Null,
    };
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
    let mut sent = Sent { body, ..Sent::EMPTY };
    read_identity::<E>(&mut sent, &mut reader, version, cache)?;
    read_properties::<E>(&mut sent, &mut reader)?;
    read_history::<E>(&mut sent, &mut reader, version, cache)?;
    if body == BodyKind::Blob {
        (version >= active_mq_blob_message::DEFINITION.since).then_some(())?;
        sent.blob = Some(Blob { url: E::string(&mut reader)?, mime_type: E::string(&mut reader)? });
        sent.flags |= bit(E::bool(&mut reader)?, flag::DELETED_BY_BROKER);
    }
    reader.finish().ok()?;
    Some(sent)
}

/// `commandId` to `originalTransactionId`.
#[inline(always)]
fn read_identity<'a, E: Encoding>(
    sent: &mut Sent<'a>,
    reader: &mut Reader<'a>,
    version: u8,
    cache: Option<&ReaderCache>,
) -> Option<()> {
    sent.command = reader.int().ok()?;
    sent.response_required = E::bool(reader)?;
    sent.sender = cached::<E, _>(reader, cache, input::producer::<E>)?;
    sent.destination = cached::<E, _>(reader, cache, input::destination::<E>)?;
    sent.transaction = cached::<E, _>(reader, cache, input::transaction::<E>)?;
    sent.original_destination = cached::<E, _>(reader, cache, input::destination::<E>)?;
    (E::object(reader)? == Some(message_id::DEFINITION.code)).then_some(())?;
    if version >= 10 {
        sent.text_view = E::string(reader)?;
    }
    sent.producer = cached::<E, _>(reader, cache, input::producer::<E>)?;
    sent.producer_sequence = E::long(reader)?;
    let _broker_sequence = E::long(reader)?;
    cached_null::<E>(reader, cache)
}

/// `groupID` to `marshalledProperties`.
#[inline(always)]
fn read_properties<'a, E: Encoding>(sent: &mut Sent<'a>, reader: &mut Reader<'a>) -> Option<()> {
    sent.group = E::string(reader)?;
    sent.group_sequence = reader.int().ok()?;
    sent.correlation = E::string(reader)?;
    sent.flags |= bit(E::bool(reader)?, flag::PERSISTENT);
    sent.expiration = E::long(reader)?;
    sent.priority = reader.byte().ok()?;
    if let Some(code) = E::object(reader)? {
        sent.reply_to = Some(input::destination::<E>(reader, code)?);
    }
    sent.timestamp = E::long(reader)?;
    sent.message_type = E::string(reader)?;
    sent.content = E::bytes(reader)?;
    sent.properties = E::bytes(reader)?;
    Some(())
}

/// `dataStructure` to `jmsXGroupFirstForConsumer`.
#[inline(always)]
fn read_history<'a, E: Encoding>(
    sent: &mut Sent<'a>,
    reader: &mut Reader<'a>,
    version: u8,
    cache: Option<&ReaderCache>,
) -> Option<()> {
    E::absent(reader)?;
    cached_null::<E>(reader, cache)?;
    sent.flags |= bit(E::bool(reader)?, flag::COMPRESSED);
    sent.redelivery_counter = reader.int().ok()?;
    E::absent(reader)?;
    sent.arrival = E::long(reader)?;
    sent.user = E::string(reader)?;
    sent.flags |= bit(E::bool(reader)?, flag::RECEIVED_BY_BRIDGE);
    if version >= 2 {
        sent.flags |= bit(E::bool(reader)?, flag::DROPPABLE);
    }
    if version >= 3 {
        E::absent(reader)?;
        let _broker_in_time = E::long(reader)?;
        let _broker_out_time = E::long(reader)?;
    }
    if version >= 10 {
        let _first_of_group = E::bool(reader)?;
    }
    Some(())
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
