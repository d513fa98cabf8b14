//! MessageAck.

use super::dispatch::ConsumerName;
use super::input::{self, Cached, Encoding, Loose, Tight, TransactionName, cached};
use crate::openwire::schema::{message_ack, message_id};
use crate::openwire::{Reader, ReaderCache, Settings, Throwable};

/// An acknowledgement as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Acknowledged<'a> {
    pub command: i32,
    pub response_required: bool,
    pub consumer: Cached<ConsumerName<'a>>,
    pub kind: i8,
    /// The `brokerSequenceId` of the first message; None: from the oldest in flight.
    pub first: Option<i64>,
    /// Likewise of the last.
    pub last: Option<i64>,
    pub count: i32,
    pub cause: Option<&'a Throwable>,
    pub transaction: Cached<TransactionName<'a>>,
}

/// Reads an acknowledgement from a frame without its prefix, if it is an ordinary one.
pub(crate) fn read<'a>(frame: &'a [u8], settings: &Settings, cache: Option<&ReaderCache>) -> Option<Acknowledged<'a>> {
    let mut reader = Reader::new(frame);
    (reader.code().ok()? == message_ack::DEFINITION.code).then_some(())?;
    if settings.tight {
        reader.open_bits().ok()?;
        read_fields::<Tight>(reader, settings.version, cache)
    } else {
        read_fields::<Loose>(reader, settings.version, cache)
    }
}

#[inline(always)]
fn read_fields<'a, E: Encoding>(
    mut reader: Reader<'a>,
    version: u8,
    cache: Option<&ReaderCache>,
) -> Option<Acknowledged<'a>> {
    let reader = &mut reader;
    let command = reader.int().ok()?;
    let response_required = E::bool(reader)?;
    cached::<E, _>(reader, cache, input::destination::<E>)?;
    let transaction = cached::<E, _>(reader, cache, input::transaction::<E>)?;
    let consumer = cached::<E, _>(reader, cache, input::consumer::<E>)?;
    let kind = reader.byte().ok()?;
    let first = broker_sequence::<E>(reader, version, cache)?;
    let last = broker_sequence::<E>(reader, version, cache)?;
    let count = reader.int().ok()?;
    if version >= 7 {
        E::absent(reader)?;
    }
    reader.finish().ok()?;
    Some(Acknowledged { command, response_required, consumer, kind, first, last, count, cause: None, transaction })
}

/// A nested MessageId, of which only the broker's own number counts.
#[inline(always)]
fn broker_sequence<E: Encoding>(
    reader: &mut Reader<'_>,
    version: u8,
    cache: Option<&ReaderCache>,
) -> Option<Option<i64>> {
    match E::object(reader)? {
        None => return Some(None),
        Some(code) if code == message_id::DEFINITION.code => {}
        Some(_) => return None,
    }
    if version >= 10 {
        E::string(reader)?;
    }
    cached::<E, _>(reader, cache, input::producer::<E>)?;
    let _producer_sequence = E::long(reader)?;
    E::long(reader).map(Some)
}
