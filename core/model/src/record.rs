//! The message record: the one form in which a message is stored and handed between parts, whatever protocol it came by.
//!
//! ```text
//!  0 u8  format version (1)        1 u8  body kind            2 u8 priority           3 u8 zero
//!  4 u32 flags                     8 i64 expiration           16 i64 timestamp        24 i64 broker in time
//! 32 i64 producer sequence        40 i64 producer session     48 i64 producer value
//! 56 i32 group sequence           60 u32 redelivery counter as sent
//! 64 u32 length of the fields     68 u32 length of the properties                     72 u32 length of the content
//! 76 fields: tag u8, length u32, bytes; then the properties; then the content
//! ```
//!
//! Integers are little endian. Strings are Modified UTF-8 as received. What the broker decides (sequence, placements, redelivery)
//! is not in the record, so that its checksum stays for life (R5). Properties are a map of [`crate::properties`], as its sender has
//! written it; the content of each kind of message is as OpenWire has it, and opaque.

use crate::destination::DestinationKind;
use std::fmt;

/// Length of the fixed part.
pub const HEADER_BYTES: usize = 76;

/// The format that this code writes.
pub const FORMAT_VERSION: u8 = 1;

/// What kind of message it is; the numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum BodyKind {
    /// No body.
    Message = 0,
    /// Uninterpreted bytes.
    Bytes = 1,
    /// A map of names to values.
    Map = 2,
    /// A serialized Java object.
    Object = 3,
    /// A stream of values.
    Stream = 4,
    /// A text.
    Text = 5,
    /// A reference to a body that lies elsewhere.
    Blob = 6,
}

impl BodyKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<BodyKind> {
        use BodyKind::{Blob, Bytes, Map, Message, Object, Stream, Text};
        [Message, Bytes, Map, Object, Stream, Text, Blob].get(usize::from(number)).copied()
    }
}

/// Bits of the record's flags.
pub mod flag {
    /// Survives a restart of the broker.
    pub const PERSISTENT: u32 = 1;
    /// The content is deflated.
    pub const COMPRESSED: u32 = 1 << 1;
    /// There is a content, possibly empty.
    pub const HAS_CONTENT: u32 = 1 << 2;
    /// There are properties, possibly none.
    pub const HAS_PROPERTIES: u32 = 1 << 3;
    /// OpenWire's `droppable`.
    pub const DROPPABLE: u32 = 1 << 4;
    /// OpenWire's `recievedByDFBridge`.
    pub const RECEIVED_BY_BRIDGE: u32 = 1 << 5;
    /// OpenWire's `deletedByBroker` of a blob message.
    pub const DELETED_BY_BROKER: u32 = 1 << 6;
}

/// What a tagged field holds; the numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Tag {
    /// Connection id of the message id's producer. Always the first field.
    ProducerConnection = 1,
    /// Destination as sent: kind, then name. Always the second field.
    Destination = 2,
    /// Destination of the first send: kind, then name.
    OriginalDestination = 3,
    /// JMSCorrelationID.
    Correlation = 4,
    /// JMSType.
    Type = 5,
    /// JMSXGroupID.
    Group = 6,
    /// JMSReplyTo: kind, then name.
    ReplyTo = 7,
    /// JMSXUserID.
    User = 8,
    /// The sender's producer id where it is not the message id's: session i64, value i64, connection id.
    Sender = 9,
    /// A foreign message id.
    TextView = 10,
    /// OpenWire's `transactionId`, loose without cache, version 12.
    Transaction = 11,
    /// OpenWire's `originalTransactionId`, likewise.
    OriginalTransaction = 12,
    /// OpenWire's `brokerPath`, likewise.
    BrokerPath = 13,
    /// OpenWire's `cluster`, likewise.
    Cluster = 14,
    /// OpenWire's `dataStructure`, likewise.
    DataStructure = 15,
    /// OpenWire's `targetConsumerId`, likewise.
    TargetConsumer = 16,
    /// Where the content of a blob message lies.
    BlobUrl = 17,
    /// Type of the content of a blob message.
    BlobMime = 18,
    /// OpenWire's `arrival` where it is not 0: i64.
    Arrival = 19,
    /// What an advisory of the broker's tells: [`crate::advisory`].
    Advisory = 20,
}

/// The fixed part of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Kind of message.
    pub body: BodyKind,
    /// JMSPriority, 0 to 9.
    pub priority: u8,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Milliseconds since 1970 after which it must not be delivered; 0: never.
    pub expiration: i64,
    /// JMSTimestamp: milliseconds since 1970.
    pub timestamp: i64,
    /// When it arrived here: milliseconds since 1970.
    pub broker_in_time: i64,
    /// Number of the message within its producer, from 1.
    pub producer_sequence: i64,
    /// Session of the message id's producer.
    pub producer_session: i64,
    /// Number of the message id's producer within its session.
    pub producer_value: i64,
    /// JMSXGroupSeq.
    pub group_sequence: i32,
    /// Deliveries before it came here.
    pub redelivery_counter: u32,
}

/// Why bytes are not a record that this version understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// Written by a newer version; the number is the record's.
    NewerFormat(u8),
    /// Lengths or numbers do not fit together.
    Malformed,
}

impl fmt::Display for RecordError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::NewerFormat(version) => {
                write!(formatter, "message record of format {version}, this version reads up to {FORMAT_VERSION}")
            }
            RecordError::Malformed => write!(formatter, "malformed message record"),
        }
    }
}

/// Read access to a record.
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    bytes: &'a [u8],
    fixed: &'a [u8; HEADER_BYTES],
    fields_end: usize,
    properties_end: usize,
}

impl<'a> MessageView<'a> {
    /// Takes bytes as a record; its lengths are checked.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<MessageView<'a>, RecordError> {
        let Some(fixed) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(RecordError::Malformed) };
        let [version, body, ..] = fixed;
        if *version != FORMAT_VERSION {
            return Err(RecordError::NewerFormat(*version));
        }
        let length_at = |offset| read_u32(fixed, offset) as usize;
        let fields_end = HEADER_BYTES.saturating_add(length_at(64));
        let properties_end = fields_end.saturating_add(length_at(68));
        if properties_end.saturating_add(length_at(72)) != bytes.len() || BodyKind::from_number(*body).is_none() {
            return Err(RecordError::Malformed);
        }
        Ok(MessageView { bytes, fixed, fields_end, properties_end })
    }

    /// Takes what is left of a record, or the beginning of one: header and fields can be asked for, as far as they are there. What they say
    /// may be wrong.
    #[must_use]
    pub fn of_remains(bytes: &'a [u8]) -> Option<MessageView<'a>> {
        let fixed = bytes.first_chunk::<HEADER_BYTES>()?;
        let fields_end = HEADER_BYTES.saturating_add(read_u32(fixed, 64) as usize).min(bytes.len());
        Some(MessageView { bytes, fixed, fields_end, properties_end: fields_end })
    }

    /// The whole record.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The fixed part.
    #[must_use]
    #[inline]
    pub fn header(&self) -> Header {
        let signed = |offset| read_u64(self.fixed, offset).cast_signed();
        Header {
            body: BodyKind::from_number(read_u8(self.fixed, 1)).unwrap_or(BodyKind::Message),
            priority: read_u8(self.fixed, 2),
            flags: self.flags(),
            expiration: signed(8),
            timestamp: signed(16),
            broker_in_time: signed(24),
            producer_sequence: signed(32),
            producer_session: signed(40),
            producer_value: signed(48),
            group_sequence: read_u32(self.fixed, 56).cast_signed(),
            redelivery_counter: read_u32(self.fixed, 60),
        }
    }

    /// Bits of [`flag`].
    #[must_use]
    #[inline]
    pub fn flags(&self) -> u32 {
        read_u32(self.fixed, 4)
    }

    /// Milliseconds since 1970 after which it must not be delivered; 0: never.
    #[must_use]
    #[inline]
    pub fn expiration(&self) -> i64 {
        read_u64(self.fixed, 8).cast_signed()
    }

    /// All tagged fields in the order written.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields { rest: self.bytes.get(HEADER_BYTES..self.fields_end).unwrap_or_default() }
    }

    /// The bytes of the field with this tag.
    #[must_use]
    pub fn field(&self, tag: Tag) -> Option<&'a [u8]> {
        self.fields().find(|(number, _)| *number == tag as u8).map(|(_, bytes)| bytes)
    }

    /// A field that holds a destination, as kind and name.
    #[must_use]
    pub fn destination_field(&self, tag: Tag) -> Option<(DestinationKind, &'a [u8])> {
        let (kind, name) = self.field(tag)?.split_first()?;
        Some((DestinationKind::from_number(*kind)?, name))
    }

    /// The properties, if there are any: [`crate::properties::Properties`] reads them.
    #[must_use]
    pub fn properties(&self) -> Option<&'a [u8]> {
        let properties = || self.bytes.get(self.fields_end..self.properties_end).unwrap_or_default();
        (self.flags() & flag::HAS_PROPERTIES != 0).then(properties)
    }

    /// The content, if there is one.
    #[must_use]
    pub fn content(&self) -> Option<&'a [u8]> {
        let content = || self.bytes.get(self.properties_end..).unwrap_or_default();
        (self.flags() & flag::HAS_CONTENT != 0).then(content)
    }
}

/// Iterator over tag numbers and bytes; ends at the first field that does not fit.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let ([tag, length @ ..], rest) = self.rest.split_first_chunk::<5>()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some((*tag, bytes))
    }
}

/// Writes one record at the end of a buffer: first the fields, then the properties, then the content, then [`finish`].
///
/// [`finish`]: MessageWriter::finish
pub struct MessageWriter<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    fields_length: usize,
    properties_length: usize,
    flags: u32,
}

impl<'a> MessageWriter<'a> {
    /// Begins a record behind what the buffer holds.
    pub fn new(buffer: &'a mut Vec<u8>) -> MessageWriter<'a> {
        let start = buffer.len();
        buffer.resize(start + HEADER_BYTES, 0);
        MessageWriter { buffer, start, fields_length: 0, properties_length: 0, flags: 0 }
    }

    /// Adds a field made of these pieces. All fields come before the properties.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a record is made from one frame, whose length has 31 bits")]
    pub fn field(&mut self, tag: Tag, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.buffer.push(tag as u8);
        self.buffer.extend_from_slice(&(length as u32).to_le_bytes());
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
        }
        self.fields_length += 5 + length;
    }

    /// Adds a field as [`MessageView::fields`] gives it, known or not.
    #[expect(clippy::cast_possible_truncation, reason = "a record is made from one frame, whose length has 31 bits")]
    pub fn raw_field(&mut self, tag: u8, bytes: &[u8]) {
        self.buffer.push(tag);
        self.buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        self.fields_length += 5 + bytes.len();
    }

    /// Adds a field that holds a destination.
    pub fn destination_field(&mut self, tag: Tag, kind: DestinationKind, name: &[u8]) {
        self.field(tag, &[&[kind as u8], name]);
    }

    /// Adds the properties, before the content: as [`crate::properties::PropertiesWriter`] writes them.
    pub fn properties(&mut self, bytes: &[u8]) {
        self.flags |= flag::HAS_PROPERTIES;
        self.properties_length = bytes.len();
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds the content.
    pub fn content(&mut self, bytes: &[u8]) {
        self.flags |= flag::HAS_CONTENT;
        self.buffer.extend_from_slice(bytes);
    }

    /// Fills the fixed part in and returns the record's length. The two `HAS` flags of the header are decided here.
    #[expect(clippy::cast_possible_truncation, reason = "a record is made from one frame, whose length has 31 bits")]
    pub fn finish(self, header: &Header) -> usize {
        let total = self.buffer.len() - self.start;
        let content_length = total - HEADER_BYTES - self.fields_length - self.properties_length;
        let flags = (header.flags & !(flag::HAS_CONTENT | flag::HAS_PROPERTIES)) | self.flags;
        let fixed = self.buffer.get_mut(self.start..).and_then(<[u8]>::first_chunk_mut::<HEADER_BYTES>);
        let Some(fixed) = fixed else { return total };
        fixed[..4].copy_from_slice(&[FORMAT_VERSION, header.body as u8, header.priority, 0]);
        fixed[4..8].copy_from_slice(&flags.to_le_bytes());
        let longs = [
            header.expiration,
            header.timestamp,
            header.broker_in_time,
            header.producer_sequence,
            header.producer_session,
            header.producer_value,
        ];
        for (place, value) in fixed[8..56].chunks_exact_mut(8).zip(longs) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        fixed[56..60].copy_from_slice(&header.group_sequence.to_le_bytes());
        fixed[60..64].copy_from_slice(&header.redelivery_counter.to_le_bytes());
        for (place, length) in
            fixed[64..76].chunks_exact_mut(4).zip([self.fields_length, self.properties_length, content_length])
        {
            place.copy_from_slice(&(length as u32).to_le_bytes());
        }
        total
    }
}

/// What is behind the end reads as 0: callers have looked at the length.
#[inline]
fn read<const LENGTH: usize>(bytes: &[u8], offset: usize) -> [u8; LENGTH] {
    bytes.get(offset..offset + LENGTH).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; LENGTH])
}

#[inline]
fn read_u8(bytes: &[u8], offset: usize) -> u8 {
    u8::from_le_bytes(read(bytes, offset))
}

#[inline]
fn read_u32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(read(bytes, offset))
}

#[inline]
fn read_u64(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(read(bytes, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            body: BodyKind::Text,
            priority: 4,
            flags: flag::PERSISTENT,
            expiration: -1,
            timestamp: 1_700_000_000_000,
            broker_in_time: 1_700_000_000_001,
            producer_sequence: i64::MAX,
            producer_session: 1,
            producer_value: i64::MIN,
            group_sequence: -3,
            redelivery_counter: 7,
        }
    }

    fn sample(buffer: &mut Vec<u8>) -> usize {
        let mut writer = MessageWriter::new(buffer);
        writer.field(Tag::ProducerConnection, &[b"ID:h-1", b":1"]);
        writer.destination_field(Tag::Destination, DestinationKind::Topic, b"a.b");
        writer.properties(b"props");
        writer.content(b"");
        writer.finish(&header())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut buffer = b"before".to_vec();
        let length = sample(&mut buffer);
        assert_eq!(length, buffer.len() - 6);
        let view = MessageView::parse(&buffer[6..]).unwrap();
        let expected = Header { flags: flag::PERSISTENT | flag::HAS_CONTENT | flag::HAS_PROPERTIES, ..header() };
        assert_eq!(view.header(), expected);
        assert_eq!(view.field(Tag::ProducerConnection), Some(&b"ID:h-1:1"[..]));
        assert_eq!(view.destination_field(Tag::Destination), Some((DestinationKind::Topic, &b"a.b"[..])));
        assert_eq!(view.field(Tag::Group), None);
        assert_eq!((view.properties(), view.content()), (Some(&b"props"[..]), Some(&b""[..])));
    }

    #[test]
    fn an_absent_content_is_not_an_empty_one() {
        let mut buffer = Vec::new();
        MessageWriter::new(&mut buffer).finish(&header());
        let view = MessageView::parse(&buffer).unwrap();
        assert_eq!((view.properties(), view.content()), (None, None));
    }

    #[test]
    fn every_cut_and_every_newer_version_is_refused() {
        let mut buffer = Vec::new();
        sample(&mut buffer);
        for length in 0..buffer.len() {
            assert_eq!(MessageView::parse(&buffer[..length]).err(), Some(RecordError::Malformed), "{length} bytes");
        }
        buffer[0] = 2;
        assert_eq!(MessageView::parse(&buffer).err(), Some(RecordError::NewerFormat(2)));
    }
}
