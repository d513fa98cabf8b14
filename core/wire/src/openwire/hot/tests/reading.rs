//! What is read by hand is what the tables read.

use super::*;
use crate::openwire::hot::acknowledge::{self, Acknowledged};
use crate::openwire::hot::dispatch::ConsumerName;
use crate::openwire::hot::input::{Cached, TransactionName};
use crate::openwire::hot::message::{self, Sent};
use crate::openwire::hot::rare;
use crate::openwire::schema;
use crate::session::{DestinationName, ProducerName};

/// A message whose cached fields are replaced by what they stand for; None if one is of the wrong class.
fn resolved<'a>(mut sent: Sent<'a>, cache: Option<&'a ReaderCache>) -> Option<Sent<'a>> {
    sent.sender = producer(sent.sender, cache)?;
    sent.producer = producer(sent.producer, cache)?;
    sent.destination = destination(sent.destination, cache)?;
    sent.original_destination = destination(sent.original_destination, cache)?;
    sent.transaction = transaction(sent.transaction, cache)?;
    Some(sent)
}

fn producer<'a>(field: Cached<ProducerName<'a>>, cache: Option<&'a ReaderCache>) -> Option<Cached<ProducerName<'a>>> {
    let Cached::Slot(index) = field else { return Some(field) };
    rare::producer_name(cache?.get(index).ok()??).map(Cached::Inline)
}

fn destination<'a>(
    field: Cached<DestinationName<'a>>,
    cache: Option<&'a ReaderCache>,
) -> Option<Cached<DestinationName<'a>>> {
    let Cached::Slot(index) = field else { return Some(field) };
    rare::destination_name(cache?.get(index).ok()??).map(Cached::Inline)
}

fn transaction<'a>(
    field: Cached<TransactionName<'a>>,
    cache: Option<&'a ReaderCache>,
) -> Option<Cached<TransactionName<'a>>> {
    let Cached::Slot(index) = field else { return Some(field) };
    rare::transaction_name(cache?.get(index).ok()??).map(Cached::Inline)
}

/// A branch of XA that is not in the cache is left to the tables.
fn is_branch(structure: &Structure, field: usize, cached: bool) -> bool {
    !cached && structure.object(field).is_some_and(|id| !id.is(&schema::local_transaction_id::DEFINITION))
}

fn acknowledged<'a>(mut sent: Acknowledged<'a>, cache: Option<&'a ReaderCache>) -> Option<Acknowledged<'a>> {
    if let Cached::Slot(index) = sent.consumer {
        let name: ConsumerName<'a> = rare::consumer_name(cache?.get(index).ok()??)?;
        sent.consumer = Cached::Inline(name);
    }
    sent.transaction = transaction(sent.transaction, cache)?;
    Some(sent)
}

/// Whether a message has what is left to the tables.
fn is_rare(structure: &Structure, cached: bool) -> bool {
    use schema::message::*;
    let nested = [ORIGINAL_TRANSACTION_ID, DATA_STRUCTURE, TARGET_CONSUMER_ID];
    let missing_id = structure.object(MESSAGE_ID).is_none();
    let path = |field| structure.array(field).is_some();
    missing_id
        || is_branch(structure, TRANSACTION_ID, cached)
        || nested.iter().any(|field| structure.object(*field).is_some())
        || path(BROKER_PATH)
        || path(CLUSTER)
}

fn has_null_text(structure: &Structure) -> bool {
    structure.fields().iter().any(|value| match value {
        crate::openwire::Value::Object(Some(nested)) => {
            let is_name = nested.code() >= 100 && nested.code() != schema::message_id::DEFINITION.code;
            let text = nested.fields().iter().find_map(|value| match value {
                crate::openwire::Value::String(text) => Some(text.is_none()),
                _ => None,
            });
            is_name && text == Some(true) || has_null_text(nested)
        }
        _ => false,
    })
}

#[test]
fn messages_are_read_as_the_tables_read_them() {
    let mut by_hand = 0;
    for (version, structure) in vectors(is_message) {
        for (tight, cache_size) in FORMATS {
            let settings = settings(version, tight, cache_size);
            let (frame, mut decoder) = known(&structure, settings);
            let cache = cache_of(&mut decoder);
            match message::read(&frame, &settings, cache) {
                Some(sent) => {
                    let sent = resolved(sent, cache).unwrap();
                    by_hand += 1;
                    assert!(!is_rare(&structure, cache.is_some()), "{settings:?} {structure:?}");
                    assert_eq!(Some(sent), rare::sent(&structure, 0).ok(), "{settings:?} {structure:?}");
                }
                None => assert!(
                    is_rare(&structure, cache.is_some()) || has_null_text(&structure),
                    "{settings:?} {structure:?}"
                ),
            }
        }
    }
    assert!(by_hand > 300, "{by_hand} messages were read by hand");
}

#[test]
fn acknowledgements_are_read_as_the_tables_read_them() {
    let mut by_hand = 0;
    for (version, structure) in vectors(|name| name == "MessageAck") {
        for (tight, cache_size) in FORMATS {
            let settings = settings(version, tight, cache_size);
            let (frame, mut decoder) = known(&structure, settings);
            let cache = cache_of(&mut decoder);
            let is_rare = is_branch(&structure, schema::message_ack::TRANSACTION_ID, cache.is_some())
                || structure.throwable(schema::message_ack::POISON_CAUSE).is_some();
            match acknowledge::read(&frame, &settings, cache) {
                Some(sent) => {
                    let sent = acknowledged(sent, cache).unwrap();
                    by_hand += 1;
                    assert!(!is_rare);
                    assert_eq!(sent, rare::acknowledged(&structure), "{settings:?} {structure:?}");
                }
                None => assert!(is_rare || has_null_text(&structure), "{settings:?} {structure:?}"),
            }
        }
    }
    assert!(by_hand > 20, "{by_hand} acknowledgements were read by hand");
}

#[test]
fn a_new_value_for_the_cache_is_left_to_the_tables() {
    for (version, structure) in vectors(|name| is_message(name) || name == "MessageAck") {
        for tight in [false, true] {
            let settings = settings(version, tight, Some(1024));
            let mut frame = Vec::new();
            WireFormat::new(settings, WriterPolicy::Cheap).encode(&structure, &mut frame).unwrap();
            let mut decoder = Decoder::new(settings);
            assert_eq!(message::read(&frame[4..], &settings, cache_of(&mut decoder)), None);
            assert_eq!(acknowledge::read(&frame[4..], &settings, cache_of(&mut decoder)), None);
        }
    }
}

/// Whatever the bytes are: what is read by hand, the tables read, too, and alike.
fn check_any(frame: &[u8], settings: &Settings, decoder: &mut Decoder) {
    let expected = |decoder: &mut Decoder| decoder.decode(frame).unwrap().unwrap();
    if let Some(sent) = message::read(frame, settings, cache_of(decoder)) {
        // The tables may refuse a cached value of another class, which only shows when it is looked at.
        if let Some(sent) = resolved(sent, decoder.cache().map(|cache| &*cache)).map(owned) {
            assert_eq!(sent, owned(rare::sent(&expected(decoder), 0).unwrap()));
        }
    } else if let Some(sent) = acknowledge::read(frame, settings, cache_of(decoder)) {
        if let Some(sent) = acknowledged(sent, decoder.cache().map(|cache| &*cache)).map(|sent| format!("{sent:?}")) {
            // The destination is not looked at by hand.
            if let Ok(Some(structure)) = decoder.decode(frame) {
                assert_eq!(sent, format!("{:?}", rare::acknowledged(&structure)));
            }
        }
    } else {
        _ = decoder.decode(frame);
    }
}

fn owned(sent: Sent<'_>) -> String {
    format!("{sent:?}")
}

#[test]
fn damaged_frames_are_read_alike_or_not_at_all() {
    let mut random = 1u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    for (version, structure) in vectors(|name| is_message(name) || name == "MessageAck") {
        for (tight, cache_size) in FORMATS {
            let settings = settings(version, tight, cache_size);
            let (frame, mut decoder) = known(&structure, settings);
            let limit = frame.len().min(4_096);
            for length in (0..limit).step_by(1 + limit / 64) {
                check_any(&frame[..length], &settings, &mut decoder);
            }
            for _ in 0..16 {
                let mut damaged = frame.clone();
                let position = next() % limit;
                damaged[position] ^= 1 << (next() % 8);
                check_any(&damaged, &settings, &mut decoder);
            }
        }
    }
}
