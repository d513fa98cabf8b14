//! What a connection makes the broker keep has a bound.

use postrider_model::Command;
use postrider_model::event::{Failure, Refused};
use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::session::OpenWireError;
use postrider_wire::openwire::{Structure, Value};

use crate::client::*;
use std::sync::Arc;

const BUDGET: u64 = 100_000;

/// A client of a shard with this budget, which is connected and has a session.
fn client(budget: u64, caches: bool) -> Client {
    let mut client = Client::with(|offer| offer.cache_enabled = caches);
    client.handles.memory.set_budget(budget);
    client.connect();
    client.send(&session_info(1));
    client.commands();
    client.read();
    client
}

/// How many of them are taken until one is refused.
fn taken(client: &mut Client, make: impl Fn(i64) -> Structure) -> i64 {
    for number in 2..100_000 {
        client.send(&make(number));
        client.commands();
        if !client.output.is_empty() {
            client.expect_exception("javax.jms.ResourceAllocationException", "the connection keeps");
            return number - 2;
        }
    }
    panic!("all are taken")
}

#[test]
fn members_beyond_the_memory_for_clients_are_refused_until_others_go() {
    type Make = fn(i64) -> Structure;
    let kinds: [(Make, Make, std::ops::Range<i64>); 3] = [
        (session_info, |number| remove(&session(number), -2), 1_500..2_000),
        (|number| producer_info(number, 0), |number| remove(&producer(1, number), -2), 250..350),
        (|number| consumer_info(number, "q"), |number| remove(&consumer(1, number), -2), 80..110),
    ];
    for (make, gone, expected) in kinds {
        let mut client = client(BUDGET, false);
        let count = taken(&mut client, make);
        assert!(expected.contains(&count), "{count}: 64 KiB and half of the budget");
        assert!(client.handles.memory.taken() <= BUDGET / 2);
        client.send(&gone(2));
        client.commands();
        client.send(&make(90_000));
        assert!(client.output.is_empty(), "there is room for one");
        client.close();
        assert_eq!(client.handles.memory.taken(), 0, "all comes back");
    }
}

/// What others are told of a member is kept for as long as it lives: what a network's bridge says of its way, names, a selector.
#[test]
fn what_is_kept_of_a_member_to_tell_others_counts_and_comes_back() {
    fn path() -> Value {
        let id = Structure::new(&broker_id::DEFINITION).with(broker_id::VALUE, &*"b".repeat(200));
        Value::Array(Some((0..100).map(|_| Some(id.clone().shared())).collect()))
    }
    fn composite() -> String {
        (0..60).map(|number| format!("{number:0>200}")).collect::<Vec<_>>().join(",")
    }
    type Make = fn(i64) -> Structure;
    type Id = fn(i64) -> Arc<Structure>;
    let (of_producer, of_consumer): (Id, Id) = (|number| producer(1, number), |number| consumer(1, number));
    let kinds: [(Make, Id, std::ops::Range<i64>); 4] = [
        (|number| producer_info(number, 0).with(producer_info::BROKER_PATH, path()), of_producer, 4..6),
        (|number| producer_info(number, 0).with(producer_info::DESTINATION, queue(&composite())), of_producer, 4..7),
        (
            |number| consumer_info(number, "q").with(consumer_info::SELECTOR, &*"a = 1 OR ".repeat(3_000)),
            of_consumer,
            3..5,
        ),
        (
            |number| consumer_info(number, "q").with(consumer_info::SUBSCRIPTION_NAME, &*"n".repeat(30_000)),
            of_consumer,
            2..4,
        ),
    ];
    for (make, id, expected) in kinds {
        let mut client = client(BUDGET, false);
        let count = taken(&mut client, make);
        assert!(expected.contains(&count), "{count}: 64 KiB and half of the budget");
        client.send(&remove(&id(2), -2));
        client.send(&make(90_000));
        let opened = client.commands();
        assert!(client.output.is_empty(), "there is room for one");
        if let Some(Command::OpenProducer(open)) = opened.last() {
            let refused = Refused::Producer { session: 1, value: 90_000, token: open.request.token() };
            client.fail(None, Failure::General, "x", Some(refused));
            client.output.clear();
            client.send(&make(90_001));
            assert!(client.output.is_empty(), "the room of one that the broker has refused is there again");
        }
        client.close();
        assert_eq!(client.handles.memory.taken(), 0, "all comes back");
    }
}

#[test]
fn names_are_defined_anew_where_there_is_no_room_for_all_of_them() {
    let mut client = client(BUDGET, false);
    client.send(&producer_info(1, 0));
    client.commands();
    let mut begun = 0;
    for number in 0..200 {
        client.send(&message(1, number + 1, &format!("{number:0>5000}")));
        let defines = |command: &Command| matches!(command, Command::DefineDestination { number: 0, .. });
        begun += client.commands().iter().filter(|command| defines(command)).count();
        assert_eq!(client.read(), [], "nothing is refused");
    }
    assert!(begun > 5 && client.handles.memory.taken() <= BUDGET / 2, "{begun} times");
}

#[test]
fn cached_values_beyond_the_memory_for_clients_end_the_connection() {
    let mut client = client(0, true);
    client.send(&producer_info(1, 0));
    let mut names = (0..1_000).map(|number| format!("{number:0>900}"));
    let refused = names.position(|name| {
        let outcome = client.try_send(&message(1, 1, &name));
        assert!(outcome.is_ok() || matches!(outcome, Err(OpenWireError::NoMemory { kept: 65_537.. })), "{outcome:?}");
        outcome.is_err()
    });
    assert!((40..75).contains(&refused.unwrap()), "{refused:?}: 64 KiB");
    client.close();
    assert_eq!(client.handles.memory.taken(), 0);
}
