//! The two encodings, for code that reads one structure by hand.
//!
//! Everything here answers None where the tables have to look again: at what is rare as well as at what is wrong.

use postrider_model::{DestinationKind, modified_utf8};

use super::dispatch::ConsumerName;
use crate::openwire::schema::{
    active_mq_queue, active_mq_temp_topic, connection_id, consumer_id, local_transaction_id, producer_id,
};
use crate::openwire::{Reader, ReaderCache, Structure};
use crate::session::{DestinationName, ProducerName};

/// A cached field as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cached<T> {
    /// Nothing.
    Null,
    /// What the connection's cache has at this index, which is not null.
    Slot(i16),
    /// The value itself.
    Inline(T),
}

/// A TransactionId.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TransactionName<'a> {
    /// A LocalTransactionId, by its parts.
    Local { connection: &'a [u8], value: i64 },
    /// An XATransactionId.
    Branch(&'a Structure),
}

/// What differs between loose and tight.
pub(super) trait Encoding {
    fn bool(reader: &mut Reader<'_>) -> Option<bool>;
    fn long(reader: &mut Reader<'_>) -> Option<i64>;
    fn string<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>>;
    fn bytes<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>>;

    /// The code of a nested structure; None inside if there is none.
    #[inline(always)]
    fn object(reader: &mut Reader<'_>) -> Option<Option<u8>> {
        if Self::bool(reader)? { reader.code().ok().map(Some) } else { Some(None) }
    }

    /// A nested structure, or array, that must not be there.
    #[inline(always)]
    fn absent(reader: &mut Reader<'_>) -> Option<()> {
        (!Self::bool(reader)?).then_some(())
    }
}

pub(super) struct Loose;

impl Encoding for Loose {
    #[inline(always)]
    fn bool(reader: &mut Reader<'_>) -> Option<bool> {
        reader.loose_bool().ok()
    }

    #[inline(always)]
    fn long(reader: &mut Reader<'_>) -> Option<i64> {
        reader.loose_long().ok()
    }

    #[inline(always)]
    fn string<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
        reader.loose_string().ok()
    }

    #[inline(always)]
    fn bytes<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
        reader.loose_bytes().ok()
    }
}

pub(super) struct Tight;

impl Encoding for Tight {
    #[inline(always)]
    fn bool(reader: &mut Reader<'_>) -> Option<bool> {
        reader.tight_bool().ok()
    }

    #[inline(always)]
    fn long(reader: &mut Reader<'_>) -> Option<i64> {
        reader.tight_long().ok()
    }

    #[inline(always)]
    fn string<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
        if !reader.tight_bool().ok()? {
            return Some(None);
        }
        let is_ascii = reader.tight_bool().ok()?;
        let bytes = reader.modified_utf8().ok()?;
        // A string that is marked as ASCII and is not has to be converted.
        (!is_ascii || modified_utf8::is_plain_ascii(bytes)).then_some(Some(bytes))
    }

    #[inline(always)]
    fn bytes<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
        reader.tight_bytes().ok()
    }
}

/// A cached field: what the cache has already, or, without a cache, what `inline` reads. A new value is left to the tables.
#[inline(always)]
pub(super) fn cached<'a, E: Encoding, T>(
    reader: &mut Reader<'a>,
    cache: Option<&ReaderCache>,
    inline: impl FnOnce(&mut Reader<'a>, u8) -> Option<T>,
) -> Option<Cached<T>> {
    let Some(cache) = cache else {
        return match E::object(reader)? {
            Some(code) => inline(reader, code).map(Cached::Inline),
            None => Some(Cached::Null),
        };
    };
    E::absent(reader)?;
    let index = reader.short().ok()?;
    Some(if cache.get(index).ok()?.is_some() { Cached::Slot(index) } else { Cached::Null })
}

/// A cached field that must be null.
#[inline(always)]
pub(super) fn cached_null<E: Encoding>(reader: &mut Reader<'_>, cache: Option<&ReaderCache>) -> Option<()> {
    match cached::<E, ()>(reader, cache, |_, _| None)? {
        Cached::Null => Some(()),
        _ => None,
    }
}

#[inline(always)]
pub(super) fn producer<'a, E: Encoding>(reader: &mut Reader<'a>, code: u8) -> Option<ProducerName<'a>> {
    let connection = id_text::<E>(reader, code, producer_id::DEFINITION.code)?;
    let value = E::long(reader)?;
    Some(ProducerName { connection, session: E::long(reader)?, value })
}

#[inline(always)]
pub(super) fn consumer<'a, E: Encoding>(reader: &mut Reader<'a>, code: u8) -> Option<ConsumerName<'a>> {
    let connection = id_text::<E>(reader, code, consumer_id::DEFINITION.code)?;
    let session = E::long(reader)?;
    Some(ConsumerName { connection, session, value: E::long(reader)? })
}

#[inline(always)]
pub(super) fn destination<'a, E: Encoding>(reader: &mut Reader<'a>, code: u8) -> Option<DestinationName<'a>> {
    let kind = destination_kind(code)?;
    Some((kind, E::string(reader)??))
}

/// A branch of XA is left to the tables.
#[inline(never)]
pub(super) fn transaction<'a, E: Encoding>(reader: &mut Reader<'a>, code: u8) -> Option<TransactionName<'a>> {
    (code == local_transaction_id::DEFINITION.code).then_some(())?;
    let value = E::long(reader)?;
    (E::object(reader)? == Some(connection_id::DEFINITION.code)).then_some(())?;
    Some(TransactionName::Local { connection: E::string(reader)??, value })
}

/// The kind of destination that a class stands for.
pub(crate) fn destination_kind(code: u8) -> Option<DestinationKind> {
    let codes = active_mq_queue::DEFINITION.code..=active_mq_temp_topic::DEFINITION.code;
    if codes.contains(&code) { DestinationKind::from_number(code - codes.start()) } else { None }
}

#[inline(always)]
fn id_text<'a, E: Encoding>(reader: &mut Reader<'a>, code: u8, expected: u8) -> Option<&'a [u8]> {
    if code == expected { E::string(reader)? } else { None }
}
