//! The commands a client sends, built on the table-driven codec.

use std::sync::Arc;

use postrider_model::modified_utf8;
use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use crate::ledger::Address;

/// Kinds of acknowledgement, as numbered on the wire.
pub mod acknowledge {
    /// Delivered to the application, window grows.
    pub const DELIVERED: i8 = 0;
    /// Given up.
    pub const POISON: i8 = 1;
    /// Consumed, all of the range.
    pub const STANDARD: i8 = 2;
    /// Consumed, only the last.
    pub const INDIVIDUAL: i8 = 4;
}

/// A session or a member of one, within its connection.
pub type Member = (i64, i64);

/// A ConnectionId.
pub fn connection(id: &str) -> Structure {
    Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, id)
}

/// A SessionId.
pub fn session(id: &str, session: i64) -> Structure {
    Structure::new(&session_id::DEFINITION).with(session_id::CONNECTION_ID, id).with(session_id::VALUE, session)
}

/// A ConsumerId.
pub fn consumer(id: &str, (session, value): Member) -> Structure {
    Structure::new(&consumer_id::DEFINITION)
        .with(consumer_id::CONNECTION_ID, id)
        .with(consumer_id::SESSION_ID, session)
        .with(consumer_id::VALUE, value)
}

/// A ProducerId.
pub fn producer(id: &str, (session, value): Member) -> Structure {
    Structure::new(&producer_id::DEFINITION)
        .with(producer_id::CONNECTION_ID, id)
        .with(producer_id::SESSION_ID, session)
        .with(producer_id::VALUE, value)
}

/// A destination.
pub fn destination(address: &Address) -> Structure {
    let (definition, field) = match address.kind {
        100 => (&active_mq_queue::DEFINITION, active_mq_queue::PHYSICAL_NAME),
        101 => (&active_mq_topic::DEFINITION, active_mq_topic::PHYSICAL_NAME),
        102 => (&active_mq_temp_queue::DEFINITION, active_mq_temp_queue::PHYSICAL_NAME),
        _ => (&active_mq_temp_topic::DEFINITION, active_mq_temp_topic::PHYSICAL_NAME),
    };
    Structure::new(definition).with(field, address.name.as_str())
}

/// The address that a destination names.
pub fn address(destination: &Structure) -> Address {
    let name = destination.string(active_mq_queue::PHYSICAL_NAME).unwrap_or_default();
    Address { kind: destination.code(), name: modified_utf8::decode_lossy(name).into_owned() }
}

/// A ConnectionInfo.
pub fn open_connection(id: &str, client_id: &str, failover: bool, again: bool) -> Structure {
    Structure::new(&connection_info::DEFINITION)
        .with(connection_info::CONNECTION_ID, connection(id))
        .with(connection_info::CLIENT_ID, client_id)
        .with(connection_info::MANAGEABLE, true)
        .with(connection_info::CLIENT_MASTER, true)
        .with(connection_info::FAULT_TOLERANT, failover)
        .with(connection_info::FAILOVER_RECONNECT, again)
}

/// A SessionInfo.
pub fn open_session(id: &str, number: i64) -> Structure {
    Structure::new(&session_info::DEFINITION).with(session_info::SESSION_ID, session(id, number))
}

/// A ProducerInfo.
pub fn open_producer(id: &str, member: Member, address: Option<&Address>, window: i32) -> Structure {
    let info = Structure::new(&producer_info::DEFINITION)
        .with(producer_info::PRODUCER_ID, producer(id, member))
        .with(producer_info::WINDOW_SIZE, window);
    match address {
        Some(address) => info.with(producer_info::DESTINATION, destination(address)),
        None => info,
    }
}

/// A ConsumerInfo.
pub fn open_consumer(id: &str, member: Member, address: &Address, prefetch: i32) -> Structure {
    Structure::new(&consumer_info::DEFINITION)
        .with(consumer_info::CONSUMER_ID, consumer(id, member))
        .with(consumer_info::DESTINATION, destination(address))
        .with(consumer_info::PREFETCH_SIZE, prefetch)
        .with(consumer_info::DISPATCH_ASYNC, true)
}

/// A RemoveInfo.
pub fn remove(what: Structure, last_delivered: i64) -> Structure {
    Structure::new(&remove_info::DEFINITION)
        .with(remove_info::OBJECT_ID, what)
        .with(remove_info::LAST_DELIVERED_SEQUENCE_ID, last_delivered)
}

/// A ConsumerControl that changes the prefetch.
pub fn set_prefetch(id: &str, member: Member, address: &Address, prefetch: i32) -> Structure {
    Structure::new(&consumer_control::DEFINITION)
        .with(consumer_control::CONSUMER_ID, consumer(id, member))
        .with(consumer_control::DESTINATION, destination(address))
        .with(consumer_control::PREFETCH, prefetch)
}

/// A MessagePull.
pub fn pull(id: &str, member: Member, address: &Address, timeout: i64) -> Structure {
    Structure::new(&message_pull::DEFINITION)
        .with(message_pull::CONSUMER_ID, consumer(id, member))
        .with(message_pull::DESTINATION, destination(address))
        .with(message_pull::TIMEOUT, timeout)
}

/// A DestinationInfo: 0 adds, 1 removes.
pub fn temporary(id: &str, address: &Address, operation: i8) -> Structure {
    Structure::new(&destination_info::DEFINITION)
        .with(destination_info::CONNECTION_ID, connection(id))
        .with(destination_info::DESTINATION, destination(address))
        .with(destination_info::OPERATION_TYPE, operation)
}

/// What a message is made of.
pub struct Sending<'a> {
    /// The connection's id.
    pub connection: &'a str,
    /// Its producer.
    pub producer: Member,
    /// Number within the producer.
    pub sequence: i64,
    /// Where to, composites included.
    pub address: &'a Address,
    /// Survives a restart.
    pub persistent: bool,
    /// Where answers are to go.
    pub reply_to: Option<&'a Address>,
    /// Milliseconds since 1970 after which nobody wants it; 0: never.
    pub expiration: i64,
    /// What it carries.
    pub content: &'a [u8],
    /// Its correlation id.
    pub correlation: &'a str,
    /// Its type.
    pub message_type: Option<&'a str>,
}

/// A BytesMessage.
pub fn message(sending: &Sending<'_>) -> Structure {
    let producer: Arc<Structure> = producer(sending.connection, sending.producer).shared();
    let id = Structure::new(&message_id::DEFINITION)
        .with(message_id::PRODUCER_ID, producer.clone())
        .with(message_id::PRODUCER_SEQUENCE_ID, sending.sequence);
    let reply_to = sending.reply_to.map(|address| destination(address).shared());
    let plain = Structure::new(&active_mq_bytes_message::DEFINITION)
        .with(message::REPLY_TO, reply_to)
        .with(message::EXPIRATION, sending.expiration)
        .with(message::PRODUCER_ID, producer)
        .with(message::DESTINATION, destination(sending.address))
        .with(message::MESSAGE_ID, id)
        .with(message::PERSISTENT, sending.persistent)
        .with(message::PRIORITY, 4i8)
        .with(message::TIMESTAMP, 1_800_000_000_000i64 + sending.sequence)
        .with(message::CORRELATION_ID, sending.correlation)
        .with(message::CONTENT, Value::bytes(sending.content));
    match sending.message_type {
        Some(message_type) => plain.with(message::TYPE, message_type),
        None => plain,
    }
}

/// A MessageAck of a range; its ends are MessageIds as dispatched.
pub fn acknowledge(
    consumer: Structure,
    address: &Address,
    kind: i8,
    first: Option<Arc<Structure>>,
    last: Option<Arc<Structure>>,
    count: i32,
) -> Structure {
    Structure::new(&message_ack::DEFINITION)
        .with(message_ack::CONSUMER_ID, consumer)
        .with(message_ack::DESTINATION, destination(address))
        .with(message_ack::ACK_TYPE, kind)
        .with(message_ack::FIRST_MESSAGE_ID, first)
        .with(message_ack::LAST_MESSAGE_ID, last)
        .with(message_ack::MESSAGE_COUNT, count)
}
