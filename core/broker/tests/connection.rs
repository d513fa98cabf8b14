//! Connections: names, takeover, and sends that come twice.

use crate::world::{World, handle, queue, record, wanted};
use postrider_model::command::{AcknowledgeKind, LastDelivered, OpenConnection, Request};
use postrider_model::event::Failure;
use postrider_model::{Command, Destination, DestinationKind, Event, Handle, Token};

fn generation(generation: u32) -> Handle {
    Handle { slot: 1, generation }
}

fn send(world: &mut World, connection: Handle, number: i64, persistent: bool) {
    let to = [queue("q")];
    let bytes = record(&to, number.to_string().as_bytes(), persistent, number, 0);
    world.send_as(0, connection, &to, persistent, (&bytes, number), wanted(number as u64));
}

#[test]
pub fn a_client_id_is_unique() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let mut open = OpenConnection {
        connection: handle(2),
        request: wanted(1),
        id: b"b".as_slice().into(),
        client_id: b"client of a".as_slice().into(),
        failover_reconnect: false,
        peer: "tcp://other".into(),
        user: None,
        marks: 0,
    };
    world.run(1, Command::OpenConnection(Box::new(open.clone())));
    world.settle();
    let events = world.events(1);
    let [Event::Failed { failure, message, .. }] = &events[..] else { panic!("{events:?}") };
    let expected = "Broker: localhost - Client: client of a already connected from tcp://peer";
    assert_eq!((*failure, &**message), (Failure::InvalidClientId, expected));
    world.disconnect(0, handle(1), true);
    open.connection = handle(3);
    world.run(1, Command::OpenConnection(Box::new(open)));
    world.settle();
    assert_eq!(world.events(1), [Event::Opened { connection: handle(3), token: Token(1) }]);
}

#[test]
pub fn a_client_that_comes_back_takes_its_connection_over() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10);
    send(&mut world, handle(1), 1, true);
    world.settle();
    assert_eq!(world.got(0).len(), 1);
    world.connect_as(1, handle(4), "a", true);
    world.consume(1, 4, 5, &queue("q"), 10);
    world.settle();
    assert!(matches!(world.events(0)[..], [Event::Close { .. }]));
    let again = world.got(1);
    assert_eq!((again.len(), again[0].redeliveries), (1, 1));
    // What the old socket still says is not heard.
    let stale = world.broker.statistics().stale_commands;
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, again[0].sequence.0), 1);
    let (connection, request, last_delivered) = (handle(1), Request::default(), LastDelivered::Unknown);
    world.run(0, Command::CloseConnection { connection, request, last_delivered, clean: false });
    world.settle();
    assert_eq!(world.broker.statistics().stale_commands, stale + 2);
    send_from(&mut world, 1, handle(4), 2);
    world.settle();
    assert_eq!(world.texts(1), ["2"]);
}

fn send_from(world: &mut World, port: usize, connection: Handle, number: i64) {
    let to = [queue("q")];
    let bytes = record(&to, number.to_string().as_bytes(), true, number, 0);
    world.send_as(port, connection, &to, true, (&bytes, number), wanted(number as u64));
}

#[test]
pub fn sends_that_are_stored_are_dropped_when_they_come_again() {
    let mut world = World::new();
    world.connect_as(0, generation(1), "ID:client:1", false);
    for number in 1..=3 {
        send(&mut world, generation(1), number, true);
    }
    send(&mut world, generation(1), 4, false);
    send(&mut world, generation(1), 5, true);
    world.settle();
    let end = postrider_broker::Log::committed(&world.log);
    send(&mut world, generation(1), 6, true);
    // The process dies; the last send was not committed.
    let mut world = world.crash(end);
    world.connect_as(0, generation(1), "ID:client:1", true);
    for number in [3, 5, 6, 7] {
        send(&mut world, generation(1), number, true);
    }
    world.settle();
    let replies = world.events(0).into_iter().filter(|event| matches!(event, Event::Reply { .. })).count();
    assert_eq!(replies, 4, "a duplicate is answered like any other");
    assert_eq!(world.broker.statistics().duplicates, 2);
    world.consume(0, 1, 5, &queue("q"), 100);
    world.settle();
    assert_eq!(world.texts(0), ["1", "2", "3", "5", "6", "7"]);
}

#[test]
pub fn a_producer_is_remembered_when_its_records_are_gone() {
    let config = postrider_broker::Config { reservation: 200_000, ..Default::default() };
    let mut world = World::over(config, crate::log::TestLog::new(8 << 20, 4 << 10));
    world.connect_as(0, generation(1), "ID:client:1", false);
    send(&mut world, generation(1), 1, true);
    world.settle();
    world.disconnect(0, generation(1), false);
    world.connect(1, 2, "ID:other");
    world.consume(1, 2, 5, &queue("q"), 10);
    others_send(&mut world, 2..400);
    assert!(world.log.front().unwrap().0 > 0, "the front was reclaimed");
    let mut world = world.restarted();
    world.connect_as(0, generation(2), "ID:client:1", true);
    send(&mut world, generation(2), 1, true);
    assert_eq!(world.broker.statistics().duplicates, 1);
}

#[test]
pub fn a_gap_in_what_a_producer_sent_hides_nothing_before_it() {
    const SEGMENT: u64 = 4 << 10;
    let config = postrider_broker::Config { reservation: 200_000, ..Default::default() };
    let mut world = World::over(config, crate::log::TestLog::new(8 << 20, SEGMENT));
    let segment = |world: &World| postrider_broker::Log::committed(&world.log).0 / SEGMENT;
    world.connect_as(0, generation(1), "ID:client:1", false);
    world.connect(1, 2, "ID:other");
    world.consume(1, 2, 5, &queue("q"), 10);
    send(&mut world, generation(1), 1, true);
    world.settle();
    let first = segment(&world);
    others_send(&mut world, 1..20);
    // The second was refused, say: the record of the third says nothing of the first.
    send(&mut world, generation(1), 3, true);
    world.settle();
    assert!(segment(&world) > first);
    world.disconnect(0, generation(1), false);
    let mut number = 20;
    while world.log.front().unwrap().0 <= first {
        others_send(&mut world, number..number + 1);
        number += 1;
    }
    let mut world = world.restarted();
    world.connect_as(0, generation(2), "ID:client:1", true);
    for (number, duplicates) in [(1, 1), (2, 1), (3, 2)] {
        send(&mut world, generation(2), number, true);
        assert_eq!(world.broker.statistics().duplicates, duplicates, "number {number}");
    }
}

#[test]
pub fn refused_sends_that_nobody_repeats_are_no_gap_in_what_a_producer_sent() {
    let mut world = World::new();
    world.connect_as(0, generation(1), "ID:client:1", false);
    let gone = [Destination::new(DestinationKind::TemporaryQueue, b"ID:gone:1")];
    for number in (1..2_400).step_by(2) {
        send(&mut world, generation(1), number, true);
        let bytes = record(&gone, b"answer", false, number + 1, 0);
        world.send_as(0, generation(1), &gone, false, (&bytes, number + 1), Request::default());
    }
    world.settle();
    let failed = world.events(0).into_iter().filter(|event| matches!(event, Event::Failed { .. })).count();
    assert_eq!(failed, 1_200, "the sends to a temporary queue that is gone are refused");
    world.disconnect(0, generation(1), false);
    world.connect_as(0, generation(2), "ID:client:1", true);
    send(&mut world, generation(2), 1, true);
    assert_eq!(world.broker.statistics().duplicates, 1, "the first one is known");
    world.settle();
    let mut world = world.restarted();
    world.connect_as(0, generation(3), "ID:client:1", true);
    send(&mut world, generation(3), 1, true);
    assert_eq!(world.broker.statistics().duplicates, 1, "after a restart, too");
}

fn others_send(world: &mut World, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let to = [queue("q")];
        let bytes = crate::world::record_of(("ID:other", 1, 1), &to, &[b'x'; 500], true, number, 0);
        world.send_as(1, handle(2), &to, true, (&bytes, number), wanted(7));
        world.settle();
        for got in world.got(1) {
            world.acknowledge(1, 2, 5, AcknowledgeKind::Standard, (0, got.sequence.0), 1);
        }
    }
    world.settle();
}

#[test]
pub fn marks_end_with_a_clean_goodbye_and_never_hold_for_others() {
    for (clean, failover, expected) in [(true, true, 0), (false, true, 1), (false, false, 0)] {
        let mut world = World::new();
        world.connect_as(0, generation(1), "ID:client:1", false);
        send(&mut world, generation(1), 1, true);
        world.settle();
        world.disconnect(0, generation(1), clean);
        world.settle();
        let mut world = world.restarted();
        world.connect_as(0, generation(2), "ID:client:1", failover);
        send(&mut world, generation(2), 1, true);
        assert_eq!(world.broker.statistics().duplicates, expected, "clean {clean}, failover {failover}");
    }
}
