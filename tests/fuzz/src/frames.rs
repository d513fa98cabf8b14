//! Valid frames of clients, of each kind some.

use std::sync::Arc;

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Offer, Settings, Structure, Value, WireFormat, WriterPolicy};

/// Names of connections; the second is of a client that says it may come back (failover).
const CONNECTIONS: [&str; 3] = ["ID:one", "ID:two", "ID:three"];

/// Destinations: by kind and name.
const DESTINATIONS: [(u8, &str); 8] = [
    (0, "q"),
    (0, "q,topic://t"),
    (1, "t"),
    (1, "ActiveMQ.Advisory.TempQueue,ActiveMQ.Advisory.TempTopic"),
    (0, ">"),
    (1, "ActiveMQ.Advisory.>"),
    (2, "ID:one:1:1"),
    (0, "ActiveMQ.DLQ"),
];

/// What a client says first.
pub fn greeting() -> Vec<u8> {
    let offer = Offer { tight_encoding_enabled: false, cache_enabled: false, ..Offer::of_broker(1 << 20) };
    frame(&offer.write())
}

/// All frames, in an order in which they make sense.
pub fn all() -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = vec![greeting()];
    for (number, id) in CONNECTIONS.into_iter().enumerate() {
        frames.push(frame(&connection(id, number == 1)));
        frames.push(frame(&session(id)));
        frames.push(frame(&temporary(id, 0)));
        frames.push(frame(&producer(id)));
        for (value, (kind, name)) in DESTINATIONS.into_iter().enumerate() {
            let value = value as i64;
            frames.push(frame(&consumer(id, value, (kind, name), [1_000, 1, 0, 10][value as usize % 4])));
            frames.push(frame(&pull(id, value, (kind, name))));
            for (length, persistent) in [(10, true), (900, false), (40_000, true), (120_000, false)] {
                frames.push(frame(&message(id, value, (kind, name), length, persistent)));
            }
            for kind_of in [0, 1, 2, 3, 4, 6] {
                frames.push(frame(&acknowledgement(id, value, (kind, name), kind_of, 1 + value)));
            }
            frames.push(frame(&browser(id, value + 100, (kind, name))));
        }
        for value in 0..DESTINATIONS.len() as i64 {
            frames.push(frame(&remove(consumer_of(id, value))));
        }
        frames.push(frame(&remove(producer_of(id))));
        frames.push(frame(&temporary(id, 1)));
        frames.push(frame(&remove(session_of(id))));
        frames.push(frame(&remove(connection_of(id))));
    }
    frames
}

/// The frames that take all queues' messages, on a connection of their own.
pub fn drain() -> Vec<Vec<u8>> {
    let queues = ["q", ">", "ActiveMQ.DLQ"].into_iter().enumerate();
    let consumers = queues.map(|(value, name)| frame(&consumer("ID:drain", value as i64, (0, name), 1_000)));
    [greeting(), frame(&connection("ID:drain", false)), frame(&session("ID:drain"))]
        .into_iter()
        .chain(consumers)
        .collect()
}

fn frame(structure: &Structure) -> Vec<u8> {
    let settings =
        Settings { version: 12, tight: false, cache_size: None, stack_trace: true, max_frame_size: usize::MAX };
    let mut bytes = Vec::new();
    WireFormat::new(settings, WriterPolicy::JavaOrder).encode(structure, &mut bytes).expect("a valid structure");
    bytes
}

fn connection_of(id: &str) -> Arc<Structure> {
    Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, id).shared()
}

fn session_of(id: &str) -> Arc<Structure> {
    let session = Structure::new(&session_id::DEFINITION).with(session_id::CONNECTION_ID, id);
    session.with(session_id::VALUE, 1i64).shared()
}

fn producer_of(id: &str) -> Arc<Structure> {
    let producer = Structure::new(&producer_id::DEFINITION).with(producer_id::CONNECTION_ID, id);
    producer.with(producer_id::SESSION_ID, 1i64).with(producer_id::VALUE, 1i64).shared()
}

fn consumer_of(id: &str, value: i64) -> Arc<Structure> {
    let consumer = Structure::new(&consumer_id::DEFINITION).with(consumer_id::CONNECTION_ID, id);
    consumer.with(consumer_id::SESSION_ID, 1i64).with(consumer_id::VALUE, value).shared()
}

fn destination((kind, name): (u8, &str)) -> Arc<Structure> {
    let structure = match kind {
        0 => Structure::new(&active_mq_queue::DEFINITION).with(active_mq_queue::PHYSICAL_NAME, name),
        1 => Structure::new(&active_mq_topic::DEFINITION).with(active_mq_topic::PHYSICAL_NAME, name),
        _ => Structure::new(&active_mq_temp_queue::DEFINITION).with(active_mq_temp_queue::PHYSICAL_NAME, name),
    };
    structure.shared()
}

fn connection(id: &str, failover: bool) -> Structure {
    Structure::new(&connection_info::DEFINITION)
        .with(connection_info::COMMAND_ID, 1)
        .with(connection_info::RESPONSE_REQUIRED, true)
        .with(connection_info::CONNECTION_ID, connection_of(id))
        .with(connection_info::CLIENT_ID, Value::String(Some(id.as_bytes().into())))
        .with(connection_info::FAILOVER_RECONNECT, failover)
}

fn session(id: &str) -> Structure {
    Structure::new(&session_info::DEFINITION)
        .with(session_info::COMMAND_ID, 2)
        .with(session_info::RESPONSE_REQUIRED, true)
        .with(session_info::SESSION_ID, session_of(id))
}

fn producer(id: &str) -> Structure {
    Structure::new(&producer_info::DEFINITION)
        .with(producer_info::COMMAND_ID, 3)
        .with(producer_info::RESPONSE_REQUIRED, true)
        .with(producer_info::PRODUCER_ID, producer_of(id))
        .with(producer_info::WINDOW_SIZE, 100_000)
}

fn consumer(id: &str, value: i64, to: (u8, &str), prefetch: i32) -> Structure {
    Structure::new(&consumer_info::DEFINITION)
        .with(consumer_info::COMMAND_ID, 10 + value as i32)
        .with(consumer_info::RESPONSE_REQUIRED, true)
        .with(consumer_info::CONSUMER_ID, consumer_of(id, value))
        .with(consumer_info::DESTINATION, destination(to))
        .with(consumer_info::PREFETCH_SIZE, prefetch)
        .with(consumer_info::EXCLUSIVE, value == 4)
        .with(consumer_info::NO_LOCAL, value == 2)
}

fn browser(id: &str, value: i64, to: (u8, &str)) -> Structure {
    consumer(id, value, to, 5).with(consumer_info::BROWSER, true)
}

fn pull(id: &str, value: i64, to: (u8, &str)) -> Structure {
    Structure::new(&message_pull::DEFINITION)
        .with(message_pull::CONSUMER_ID, consumer_of(id, value))
        .with(message_pull::DESTINATION, destination(to))
        .with(message_pull::TIMEOUT, [0i64, -1, 50][value as usize % 3])
}

fn identity(id: &str, sequence: i64, broker_sequence: i64) -> Arc<Structure> {
    Structure::new(&message_id::DEFINITION)
        .with(message_id::PRODUCER_ID, producer_of(id))
        .with(message_id::PRODUCER_SEQUENCE_ID, sequence)
        .with(message_id::BROKER_SEQUENCE_ID, broker_sequence)
        .shared()
}

fn message(id: &str, sequence: i64, to: (u8, &str), length: usize, persistent: bool) -> Structure {
    Structure::new(&active_mq_bytes_message::DEFINITION)
        .with(message::COMMAND_ID, 20 + sequence as i32)
        .with(message::RESPONSE_REQUIRED, sequence % 2 == 0)
        .with(message::PRODUCER_ID, producer_of(id))
        .with(message::DESTINATION, destination(to))
        .with(message::MESSAGE_ID, identity(id, sequence, 0))
        .with(message::PERSISTENT, persistent)
        .with(message::PRIORITY, 4i8)
        .with(message::EXPIRATION, if sequence == 5 { 1_800_000_001_100i64 } else { 0 })
        .with(message::CONTENT, Value::Bytes(Some(vec![length as u8; length].into())))
}

fn acknowledgement(id: &str, value: i64, to: (u8, &str), kind: i8, sequence: i64) -> Structure {
    Structure::new(&message_ack::DEFINITION)
        .with(message_ack::DESTINATION, destination(to))
        .with(message_ack::CONSUMER_ID, consumer_of(id, value))
        .with(message_ack::ACK_TYPE, kind)
        .with(message_ack::FIRST_MESSAGE_ID, identity(id, 1, sequence))
        .with(message_ack::LAST_MESSAGE_ID, identity(id, 1, sequence))
        .with(message_ack::MESSAGE_COUNT, 1)
}

fn remove(object: Arc<Structure>) -> Structure {
    Structure::new(&remove_info::DEFINITION)
        .with(remove_info::COMMAND_ID, 40)
        .with(remove_info::RESPONSE_REQUIRED, true)
        .with(remove_info::OBJECT_ID, object)
        .with(remove_info::LAST_DELIVERED_SEQUENCE_ID, 1i64)
}

fn temporary(id: &str, operation: i8) -> Structure {
    Structure::new(&destination_info::DEFINITION)
        .with(destination_info::COMMAND_ID, 4)
        .with(destination_info::RESPONSE_REQUIRED, true)
        .with(destination_info::CONNECTION_ID, connection_of(id))
        .with(destination_info::DESTINATION, destination((2, &format!("{id}:1:1"))))
        .with(destination_info::OPERATION_TYPE, operation)
}
