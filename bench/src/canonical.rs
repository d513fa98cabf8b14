//! The canonical message and what goes with it, as a Java client writes them.

use postrider_wire::openwire::schema::{
    active_mq_queue, active_mq_text_message, connection_id, consumer_id, local_transaction_id, message, message_ack,
    message_id, producer_id, session_id, transaction_info,
};
use postrider_wire::openwire::{Structure, Value};

/// Characters of the text.
pub const TEXT_CHARACTERS: usize = 256;

/// Connection id of the one client, as long as a real one.
pub const CONNECTION: &str = "ID:build-host-7-41234-1700000000000-1:1";

/// The one queue.
pub const QUEUE: &str = "orders.incoming";

/// Milliseconds since 1970 at which everything happens.
pub const UNIX_MILLIS: i64 = 1_700_000_000_000;

/// Number of the client's only application session.
pub const SESSION: i64 = 1;

/// Prefetch of the consumer, the widest: its window is never what is measured.
pub const PREFETCH: i32 = 32_767;

const STANDARD_ACKNOWLEDGEMENT: i8 = 2;

/// The queue's name as a structure.
#[must_use]
pub fn queue() -> Structure {
    Structure::new(&active_mq_queue::DEFINITION).with(active_mq_queue::PHYSICAL_NAME, QUEUE)
}

/// The id of a session of its connection.
#[must_use]
pub fn session(number: i64) -> Structure {
    Structure::new(&session_id::DEFINITION).with(session_id::CONNECTION_ID, CONNECTION).with(session_id::VALUE, number)
}

/// The producer's id.
#[must_use]
pub fn producer() -> Structure {
    Structure::new(&producer_id::DEFINITION)
        .with(producer_id::CONNECTION_ID, CONNECTION)
        .with(producer_id::SESSION_ID, SESSION)
        .with(producer_id::VALUE, 1_i64)
}

/// The consumer's id.
#[must_use]
pub fn consumer() -> Structure {
    Structure::new(&consumer_id::DEFINITION)
        .with(consumer_id::CONNECTION_ID, CONNECTION)
        .with(consumer_id::SESSION_ID, SESSION)
        .with(consumer_id::VALUE, 1_i64)
}

/// The text.
pub fn text() -> impl Iterator<Item = u8> {
    (0..TEXT_CHARACTERS).map(|index| b'a' + (index % 26) as u8)
}

/// The message with this number, a request.
#[must_use]
pub fn message(number: i64) -> Structure {
    let mut content = (TEXT_CHARACTERS as u32).to_be_bytes().to_vec();
    content.extend(text());
    Structure::new(&active_mq_text_message::DEFINITION)
        .with(message::COMMAND_ID, 10 + number as i32)
        .with(message::RESPONSE_REQUIRED, true)
        .with(message::PRODUCER_ID, producer())
        .with(message::DESTINATION, queue())
        .with(message::MESSAGE_ID, identity(number, 0))
        .with(message::PERSISTENT, true)
        .with(message::PRIORITY, 4_i8)
        .with(message::TIMESTAMP, UNIX_MILLIS)
        .with(message::CONTENT, Value::bytes(&content))
}

/// The same message within the transaction: nobody waits for a receipt.
#[must_use]
pub fn transacted_message(number: i64) -> Structure {
    message(number).with(message::RESPONSE_REQUIRED, false).with(message::TRANSACTION_ID, transaction())
}

/// The beginning of the transaction.
#[must_use]
pub fn begin() -> Structure {
    transaction_command(0)
}

/// The end of it, a request.
#[must_use]
pub fn commit() -> Structure {
    transaction_command(2).with(transaction_info::RESPONSE_REQUIRED, true)
}

fn transaction_command(kind: i8) -> Structure {
    let connection = Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, CONNECTION);
    Structure::new(&transaction_info::DEFINITION)
        .with(transaction_info::COMMAND_ID, 9)
        .with(transaction_info::CONNECTION_ID, connection)
        .with(transaction_info::TRANSACTION_ID, transaction())
        .with(transaction_info::TYPE, kind)
}

fn transaction() -> Structure {
    let connection = Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, CONNECTION);
    Structure::new(&local_transaction_id::DEFINITION)
        .with(local_transaction_id::VALUE, 1_i64)
        .with(local_transaction_id::CONNECTION_ID, connection)
}

/// The acknowledgement of that message alone, as of a session with AUTO_ACKNOWLEDGE.
#[must_use]
pub fn acknowledgement(number: i64, broker_sequence: i64) -> Structure {
    Structure::new(&message_ack::DEFINITION)
        .with(message_ack::COMMAND_ID, 10 + number as i32)
        .with(message_ack::DESTINATION, queue())
        .with(message_ack::CONSUMER_ID, consumer())
        .with(message_ack::ACK_TYPE, STANDARD_ACKNOWLEDGEMENT)
        .with(message_ack::LAST_MESSAGE_ID, identity(number, broker_sequence))
        .with(message_ack::MESSAGE_COUNT, 1)
}

fn identity(number: i64, broker_sequence: i64) -> Structure {
    Structure::new(&message_id::DEFINITION)
        .with(message_id::PRODUCER_ID, producer())
        .with(message_id::PRODUCER_SEQUENCE_ID, number)
        .with(message_id::BROKER_SEQUENCE_ID, broker_sequence)
}
