//! What the broker tells, in the structures that clients of OpenWire expect.

use postrider_model::advisory::{Advisory, Told};

use super::dispatch::ConsumerName;
use super::rare::{consumer_structure, destination_structure, producer_structure, restored};
use crate::openwire::schema::{
    connection_id, connection_info, consumer_info, destination_info, producer_info, remove_info,
    remove_subscription_info,
};
use crate::openwire::{Structure, Value};
use crate::session::ProducerName;

/// Booleans of a ConnectionInfo, from the lowest bit on.
pub(crate) const CONNECTION_MARKS: [usize; 5] = [
    connection_info::BROKER_MASTER_CONNECTOR,
    connection_info::MANAGEABLE,
    connection_info::CLIENT_MASTER,
    connection_info::FAULT_TOLERANT,
    connection_info::FAILOVER_RECONNECT,
];

/// Of a ConsumerInfo.
pub(crate) const CONSUMER_MARKS: [usize; 8] = [
    consumer_info::BROWSER,
    consumer_info::DISPATCH_ASYNC,
    consumer_info::NO_LOCAL,
    consumer_info::EXCLUSIVE,
    consumer_info::RETROACTIVE,
    consumer_info::NETWORK_SUBSCRIPTION,
    consumer_info::OPTIMIZED_ACKNOWLEDGE,
    consumer_info::NO_RANGE_ACKS,
];

/// Of a ProducerInfo.
pub(crate) const PRODUCER_MARKS: [usize; 1] = [producer_info::DISPATCH_ASYNC];

/// Structures of a ConsumerInfo that bridges set.
pub(crate) const CONSUMER_REST: [usize; 3] =
    [consumer_info::BROKER_PATH, consumer_info::ADDITIONAL_PREDICATE, consumer_info::NETWORK_CONSUMER_PATH];

/// Of a ProducerInfo.
pub(crate) const PRODUCER_REST: [usize; 1] = [producer_info::BROKER_PATH];

/// An advisory's `dataStructure`: an info, or a RemoveInfo.
pub(super) fn structure(advisory: &Advisory<'_>) -> Structure {
    let connection =
        Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, Value::string(advisory.connection));
    match advisory.told {
        Told::Destination(destination) => Structure::new(&destination_info::DEFINITION)
            .with(destination_info::CONNECTION_ID, (!advisory.connection.is_empty()).then(|| connection.shared()))
            .with(destination_info::DESTINATION, destination_structure(destination))
            .with(destination_info::OPERATION_TYPE, i8::from(!advisory.came)),
        Told::Connection { .. } if !advisory.came => removed(connection),
        Told::Connection { client_id, user, peer, marks } => marked(
            Structure::new(&connection_info::DEFINITION)
                .with(connection_info::CONNECTION_ID, connection)
                .with(connection_info::CLIENT_ID, Value::string(client_id))
                // As ActiveMQ does: nobody hears the password.
                .with(connection_info::PASSWORD, Value::string(b""))
                .with(connection_info::USER_NAME, Value::String(user.map(Into::into)))
                .with(connection_info::CLIENT_IP, Value::string(peer)),
            &CONNECTION_MARKS,
            marks,
        ),
        Told::Producer { member, .. } if !advisory.came => removed(producer_of(advisory.connection, member)),
        Told::Producer { member, destination, window, marks, rest } => marked(
            begun(rest, Structure::new(&producer_info::DEFINITION))
                .with(producer_info::PRODUCER_ID, producer_of(advisory.connection, member))
                .with(producer_info::DESTINATION, destination_structure(destination))
                .with(producer_info::WINDOW_SIZE, i32::try_from(window).unwrap_or(i32::MAX)),
            &PRODUCER_MARKS,
            marks,
        ),
        Told::Consumer { member, .. } if !advisory.came => removed(consumer_of(advisory.connection, member)),
        Told::Consumer { .. } => consumer(advisory),
        Told::Subscription { client_id, name } => Structure::new(&remove_subscription_info::DEFINITION)
            .with(remove_subscription_info::CLIENT_ID, Value::string(client_id))
            .with(remove_subscription_info::SUBSCRIPTION_NAME, Value::string(name)),
    }
}

fn consumer(advisory: &Advisory<'_>) -> Structure {
    let Told::Consumer {
        member,
        destination,
        client_id,
        prefetch,
        pending_limit,
        priority,
        marks,
        selector,
        subscription,
        rest,
    } = advisory.told
    else {
        return Structure::new(&consumer_info::DEFINITION);
    };
    marked(
        begun(rest, Structure::new(&consumer_info::DEFINITION))
            .with(consumer_info::CONSUMER_ID, consumer_of(advisory.connection, member))
            .with(consumer_info::DESTINATION, destination_structure(destination))
            .with(consumer_info::PREFETCH_SIZE, i32::try_from(prefetch).unwrap_or(i32::MAX))
            .with(consumer_info::MAXIMUM_PENDING_MESSAGE_LIMIT, pending_limit)
            .with(consumer_info::SELECTOR, Value::String(selector.map(Into::into)))
            .with(consumer_info::CLIENT_ID, Value::string(client_id))
            .with(consumer_info::SUBSCRIPTION_NAME, Value::String(subscription.map(Into::into)))
            .with(consumer_info::PRIORITY, priority),
        &CONSUMER_MARKS,
        marks,
    )
}

fn removed(id: Structure) -> Structure {
    Structure::new(&remove_info::DEFINITION).with(remove_info::OBJECT_ID, id)
}

fn producer_of(connection: &[u8], (session, value): (i64, i64)) -> Structure {
    producer_structure(ProducerName { connection, session, value })
}

fn consumer_of(connection: &[u8], (session, value): (i64, i64)) -> Structure {
    consumer_structure(ConsumerName { connection, session, value })
}

/// What the command had that bridges set, or nothing.
fn begun(rest: &[u8], empty: Structure) -> Structure {
    let kept = (!rest.is_empty()).then(|| restored(rest)).flatten().filter(|kept| kept.is(empty.definition));
    kept.map_or(empty, |kept| Structure::clone(&kept))
}

fn marked(mut structure: Structure, fields: &[usize], marks: u16) -> Structure {
    for (bit, field) in fields.iter().enumerate() {
        structure.set(*field, marks >> bit & 1 == 1);
    }
    structure
}
