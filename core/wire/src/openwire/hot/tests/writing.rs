//! What is written by hand, the tables read; and a message that went through a record has lost nothing.

use super::*;
use crate::openwire::hot::dispatch::{ConsumerName, write_dispatch, write_end};
use crate::openwire::hot::input::Cached;
use crate::openwire::hot::message::{Names, Sent, write_record};
use crate::openwire::hot::outgoing::Outgoing;
use crate::openwire::hot::rare;
use crate::openwire::hot::response::write_response;
use crate::openwire::hot::slots::Memory;
use crate::openwire::schema::{
    self, active_mq_temp_queue, connection_id, destination_info, message, message_dispatch, message_id,
};
use crate::openwire::{EncodeError, Value};
use crate::session::Delivery;
use postrider_model::advisory::{Advisory, Told};
use postrider_model::properties::{self, PropertiesWriter};
use postrider_model::record::Tag;
use postrider_model::{DestinationKind, MessageView, MessageWriter, Sequence};

const CONSUMER: ConsumerName<'static> = ConsumerName { connection: b"ID:consumer-1", session: 1, value: -7 };
const ARRIVED: i64 = 1_700_000_000_000;
const LEAVES: i64 = 1_700_000_000_999;

/// The record of a message; None if it lacks what the session insists on.
fn record(structure: &Structure) -> Option<Vec<u8>> {
    let sent = rare::sent(structure, 0).ok()?;
    let mut arena = b"before".to_vec();
    let length = write_record(&sent, &names(&sent)?, ARRIVED, &mut arena);
    assert_eq!(arena.len(), 6 + length);
    Some(arena.split_off(6))
}

fn names<'a>(sent: &Sent<'a>) -> Option<Names<'a>> {
    let (Cached::Inline(sender), Cached::Inline(destination)) = (sent.sender, sent.destination) else { return None };
    let Cached::Inline(producer) = sent.producer else { return None };
    let original_destination = match sent.original_destination {
        Cached::Inline(name) => Some(name),
        _ => None,
    };
    Some(Names { sender, producer, destination, original_destination })
}

/// What the client is to get of a message, in its own version.
fn expected(structure: &Structure, version: u8, redeliveries: i32) -> Structure {
    let id = structure.object(message::MESSAGE_ID).unwrap();
    let id = Structure::clone(id).with(message_id::BROKER_SEQUENCE_ID, 77i64);
    let mut expected = structure
        .clone()
        .with(message::COMMAND_ID, 0)
        .with(message::RESPONSE_REQUIRED, false)
        .with(message::MESSAGE_ID, id)
        // Of the transaction nothing is left when it is decided.
        .with(message::TRANSACTION_ID, None)
        .with(message::PRIORITY, structure.byte(message::PRIORITY).clamp(0, 9))
        .with(message::REDELIVERY_COUNTER, redeliveries)
        .with(message::BROKER_IN_TIME, ARRIVED)
        .with(message::BROKER_OUT_TIME, LEAVES)
        .with(message::JMSX_GROUP_FIRST_FOR_CONSUMER, false);
    for path in [message::BROKER_PATH, message::CLUSTER] {
        if structure.array(path).is_some_and(<[_]>::is_empty) {
            expected.set(path, Value::Array(None));
        }
    }
    // Records keep nested structures in the newest version, which has lost a field of the older ones.
    through(&through(&expected, settings(12, false, None)), settings(version, false, None))
}

/// A structure as a peer gets it.
fn through(structure: &Structure, settings: Settings) -> Structure {
    let mut format = WireFormat::new(settings, WriterPolicy::Cheap);
    let mut frame = Vec::new();
    format.encode(structure, &mut frame).unwrap();
    format.decode(&frame[4..]).unwrap().unwrap()
}

/// A message that has all that the session insists on.
fn ordinary() -> Structure {
    let texts = vectors(|name| name == "ActiveMQTextMessage");
    let has_all =
        |structure: &Structure| record(structure).is_some() && rare::sent(structure, 0).unwrap().rare.is_empty();
    texts.into_iter().map(|(_, structure)| structure).find(has_all).unwrap()
}

fn delivery(record: &[u8], redeliveries: u32) -> Delivery<'_> {
    let view = MessageView::parse(record).unwrap();
    Delivery { view, sequence: Sequence(77), redeliveries, destination: None, unix_millis: LEAVES }
}

#[test]
fn a_message_comes_out_of_its_record_as_it_went_in() {
    let records: Vec<(Structure, Vec<u8>)> = vectors(is_message)
        .into_iter()
        .filter_map(|(_, structure)| Some((structure.clone(), record(&structure)?)))
        .collect();
    assert!(records.len() > 100);
    for version in [1, 2, 3, 9, 10, 12] {
        for (tight, cache_size) in FORMATS.into_iter().chain([(false, Some(20)), (true, Some(1))]) {
            let settings = settings(version, tight, cache_size);
            let mut outgoing = Outgoing::new(settings, 3);
            let mut decoder = Decoder::new(settings);
            let mut memory = Memory::default();
            for (structure, record) in &records {
                let is_blob = structure.is(&schema::active_mq_blob_message::DEFINITION);
                if is_blob && version < schema::active_mq_blob_message::DEFINITION.since {
                    continue;
                }
                for redeliveries in [0, 3] {
                    let mut output = Vec::new();
                    let delivery = delivery(record, redeliveries);
                    match write_dispatch(&delivery.outbound(), CONSUMER, &mut memory, &mut outgoing, &mut output) {
                        // The tables know no way to write a long tight string.
                        Err(EncodeError::StringTooLong { .. }) if tight => continue,
                        result => result.unwrap(),
                    }
                    let dispatch = decoder
                        .decode(&output[4..])
                        .unwrap_or_else(|error| panic!("{settings:?} {error} {structure:?}"));
                    let dispatch = dispatch.unwrap();
                    assert_eq!(dispatch.int(message_dispatch::REDELIVERY_COUNTER), redeliveries as i32);
                    let id = dispatch.object(message_dispatch::CONSUMER_ID).unwrap();
                    assert_eq!(rare::consumer_name(id), Some(CONSUMER));
                    let message = dispatch.object(message_dispatch::MESSAGE).unwrap();
                    assert_eq!(dispatch.object(message_dispatch::DESTINATION), message.object(message::DESTINATION));
                    assert_eq!(**message, expected(structure, version, redeliveries as i32), "{settings:?}");
                }
            }
        }
    }
}

/// An advisory as the broker writes it, but for what `tell` adds.
fn advisory(tell: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut record = Vec::new();
    let mut writer = MessageWriter::new(&mut record);
    writer.field(Tag::ProducerConnection, &[b"ID:broker-0000000000000001-1:1"]);
    writer.destination_field(Tag::Destination, DestinationKind::Topic, b"ActiveMQ.Advisory.TempQueue");
    writer.field(Tag::Type, &[b"Advisory"]);
    tell(&mut writer);
    let mut properties = Vec::new();
    PropertiesWriter::new(&mut properties).entry(b"originBrokerName", properties::Value::String(b"broker"));
    writer.properties(&properties);
    writer.finish(&Advisory::header(9));
    record
}

/// Brokers before had the DestinationInfo itself in the record, as the client had sent it, and the ConsumerId of who hears again.
#[test]
fn advisories_are_the_bytes_that_clients_have_always_got() {
    let mut all = Vec::new();
    for (came, operation) in [(true, 0i8), (false, 1)] {
        for told_again in [false, true] {
            let destination = Structure::new(&active_mq_temp_queue::DEFINITION)
                .with(active_mq_temp_queue::PHYSICAL_NAME, "ID:client-1:1:1");
            let info = Structure::new(&destination_info::DEFINITION)
                .with(
                    destination_info::CONNECTION_ID,
                    Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, "ID:client-1:1"),
                )
                .with(destination_info::DESTINATION, destination)
                .with(destination_info::OPERATION_TYPE, operation);
            let before = advisory(|writer| {
                writer.field(Tag::DataStructure, &[&rare::stored(&info, usize::MAX >> 1).unwrap()]);
                if told_again {
                    let target = rare::stored(&rare::consumer_structure(CONSUMER), usize::MAX >> 1).unwrap();
                    writer.field(Tag::TargetConsumer, &[&target]);
                }
            });
            let told = Told::Destination((DestinationKind::TemporaryQueue, b"ID:client-1:1:1"));
            let connection = b"ID:client-1:1";
            let now = advisory(|writer| Advisory { came, told_again, connection, told }.write(writer));
            assert!(now.len() < before.len());
            for version in 1..=12 {
                for (tight, cache_size) in FORMATS {
                    let [mut before_all, mut now_all] = [Vec::new(), Vec::new()];
                    for (record, output) in [(&before, &mut before_all), (&now, &mut now_all)] {
                        let mut outgoing = Outgoing::new(settings(version, tight, cache_size), 3);
                        let mut memory = Memory::default();
                        // The second time the peer has the ids in its cache.
                        for _ in 0..2 {
                            write_dispatch(
                                &delivery(record, 0).outbound(),
                                CONSUMER,
                                &mut memory,
                                &mut outgoing,
                                output,
                            )
                            .unwrap();
                        }
                    }
                    assert_eq!(now_all, before_all, "{came} {told_again} version {version} {tight} {cache_size:?}");
                    all.extend(now_all);
                }
            }
        }
    }
    assert_eq!((all.len(), crc32fast::hash(&all)), (117_444, 2_155_589_131), "the bytes of the version before");
}

/// Java reads the length of a string of ASCII with a sign.
#[test]
fn strings_of_every_length_can_be_sent() {
    for length in [0, 1, 32_766, 32_767, 32_768, 65_535] {
        let text = Value::string(&vec![b'x'; length]);
        let structure = ordinary().with(message::CORRELATION_ID, text.clone());
        let record = record(&structure).unwrap();
        for (tight, cache_size) in FORMATS {
            let settings = settings(12, tight, cache_size);
            let (mut output, mut outgoing) = (Vec::new(), Outgoing::new(settings, 0));
            write_dispatch(
                &delivery(&record, 0).outbound(),
                CONSUMER,
                &mut Memory::default(),
                &mut outgoing,
                &mut output,
            )
            .unwrap();
            let dispatch = Decoder::new(settings).decode(&output[4..]).unwrap().unwrap();
            let message = dispatch.object(message_dispatch::MESSAGE).unwrap();
            assert_eq!(
                Value::String(message.string(message::CORRELATION_ID).map(Into::into)),
                text,
                "{length} {tight}"
            );
        }
    }
}

#[test]
fn a_moved_message_says_where_it_was_sent_first() {
    let structure = ordinary().with(message::ORIGINAL_DESTINATION, None);
    let record = record(&structure).unwrap();
    for (tight, cache_size) in FORMATS {
        let settings = settings(12, tight, cache_size);
        let moved = Delivery { destination: Some((DestinationKind::Topic, b"moved")), ..delivery(&record, 0) };
        let mut output = Vec::new();
        write_dispatch(
            &moved.outbound(),
            CONSUMER,
            &mut Memory::default(),
            &mut Outgoing::new(settings, 0),
            &mut output,
        )
        .unwrap();
        let dispatch = Decoder::new(settings).decode(&output[4..]).unwrap().unwrap();
        let message = dispatch.object(message_dispatch::MESSAGE).unwrap();
        let name = |structure: &Structure, field| {
            let (kind, name) = rare::destination_name(structure.object(field).unwrap()).unwrap();
            (kind, name.to_vec())
        };
        let there = (DestinationKind::Topic, b"moved".to_vec());
        assert_eq!(
            (name(&dispatch, message_dispatch::DESTINATION), name(message, message::DESTINATION)),
            (there.clone(), there)
        );
        assert_eq!(name(message, message::ORIGINAL_DESTINATION), name(&structure, message::DESTINATION));
    }
}

#[test]
fn responses_and_ends_are_read_by_the_tables() {
    for version in 1..=12 {
        for (tight, cache_size) in FORMATS {
            let settings = settings(version, tight, cache_size);
            let (mut outgoing, mut decoder) = (Outgoing::new(settings, 0), Decoder::new(settings));
            let mut memory = Memory::default();
            for correlation in [0, 1, -1, i32::MAX, i32::MIN] {
                let mut output = Vec::new();
                write_response(correlation, &mut outgoing, &mut output);
                let expected =
                    Structure::new(&schema::response::DEFINITION).with(schema::response::CORRELATION_ID, correlation);
                assert_eq!(decoder.decode(&output[4..]).unwrap().unwrap(), expected);
                output.clear();
                write_end(CONSUMER, &mut memory, &mut outgoing, &mut output).unwrap();
                let expected = Structure::new(&message_dispatch::DEFINITION)
                    .with(message_dispatch::CONSUMER_ID, rare::consumer_structure(CONSUMER));
                assert_eq!(decoder.decode(&output[4..]).unwrap().unwrap(), expected);
            }
        }
    }
}

#[test]
fn a_frame_that_is_too_large_leaves_no_trace() {
    let structure = ordinary();
    let small = record(&structure).unwrap();
    let large = record(&structure.clone().with(message::CONTENT, Value::bytes(&[0; 5_000]))).unwrap();
    for (tight, cache_size) in FORMATS {
        let settings = Settings { max_frame_size: 4_500, ..settings(12, tight, cache_size) };
        let (mut outgoing, mut decoder) = (Outgoing::new(settings, 0), Decoder::new(settings));
        let mut memory = Memory::default();
        for _ in 0..3 {
            let mut output = b"before".to_vec();
            let result =
                write_dispatch(&delivery(&large, 0).outbound(), CONSUMER, &mut memory, &mut outgoing, &mut output);
            assert!(matches!(result, Err(EncodeError::FrameTooLarge { limit: 4_500, .. })), "{result:?}");
            assert_eq!(output, b"before");
            output.clear();
            write_dispatch(&delivery(&small, 0).outbound(), CONSUMER, &mut memory, &mut outgoing, &mut output).unwrap();
            decoder.decode(&output[4..]).unwrap();
        }
    }
}
