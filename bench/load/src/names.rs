//! The identifiers of a run. They follow from the numbers in a message's stamp, so that a message names its sender.

use std::sync::Arc;

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::{
    active_mq_queue, active_mq_topic, connection_id, consumer_id, producer_id, session_id,
};

/// The only session of a connection.
const SESSION: i64 = 1;

/// The connection of a producer.
pub(crate) fn producer_connection(run: u32, producer: u16) -> String {
    format!("ID:postrider-load-{run:08x}-producer:{producer}")
}

/// The connection of a consumer.
pub(crate) fn consumer_connection(run: u32, consumer: u16) -> String {
    format!("ID:postrider-load-{run:08x}-consumer:{consumer}")
}

/// The ConnectionId of that name.
pub(crate) fn connection(name: &str) -> Arc<Structure> {
    Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, name).shared()
}

/// The SessionId on that connection.
pub(crate) fn session(connection: &str) -> Arc<Structure> {
    Structure::new(&session_id::DEFINITION)
        .with(session_id::CONNECTION_ID, connection)
        .with(session_id::VALUE, SESSION)
        .shared()
}

/// The ProducerId of a stream: there is one for each producer and destination.
pub(crate) fn producer_id(run: u32, producer: u16, destination: u16) -> Arc<Structure> {
    Structure::new(&producer_id::DEFINITION)
        .with(producer_id::CONNECTION_ID, producer_connection(run, producer).as_str())
        .with(producer_id::SESSION_ID, SESSION)
        .with(producer_id::VALUE, i64::from(destination) + 1)
        .shared()
}

/// The ConsumerId of a subscription.
pub(crate) fn consumer_id(connection: &str, destination: u16) -> Arc<Structure> {
    Structure::new(&consumer_id::DEFINITION)
        .with(consumer_id::CONNECTION_ID, connection)
        .with(consumer_id::SESSION_ID, SESSION)
        .with(consumer_id::VALUE, i64::from(destination) + 1)
        .shared()
}

/// The queue or topic of that name.
pub(crate) fn destination(name: &str, topic: bool) -> Arc<Structure> {
    if topic {
        Structure::new(&active_mq_topic::DEFINITION).with(active_mq_topic::PHYSICAL_NAME, name).shared()
    } else {
        Structure::new(&active_mq_queue::DEFINITION).with(active_mq_queue::PHYSICAL_NAME, name).shared()
    }
}
