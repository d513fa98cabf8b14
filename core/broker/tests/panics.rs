//! What a client can say, and no process may end of.

use crate::log::TestLog;
use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_broker::Config;
use postrider_model::command::{AcknowledgeKind, Request};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Event, PortIndex, limits};

/// Topics of that name are the broker's own and are not stored; queues are like all others.
#[test]
fn a_queue_may_have_an_advisorys_name() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let named = queue("ActiveMQ.Advisory.x");
    world.send(0, 1, &named, "first", true);
    world.send(0, 1, &named, "second", true);
    world.settle();
    world.consume(0, 1, 5, &named, 100);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 2);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, got[0].sequence.0), 1);
    world.settle();
    let end = world.turn_end;
    let mut world = world.crash(end);
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &named, 100);
    world.settle();
    assert_eq!(world.texts(0), ["second"]);
    world.send(0, 1, &topic("ActiveMQ.Advisory.x"), "nobody hears it", true);
    world.settle();
}

/// Its bytes cannot be read before the turn ends.
#[test]
fn a_message_may_arrive_expired_in_the_turn_of_a_sweep() {
    for persistent in [true, false] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.now.nanos = 40_000_000_000;
        let to = [queue("q")];
        let bytes = record(&to, b"late", persistent, 1, 1);
        world.send_as(0, handle(1), &to, persistent, (&bytes, 1), wanted(7));
        world.settle();
        world.consume(0, 1, 5, &queue("ActiveMQ.DLQ"), 10);
        world.settle();
        let expected: &[&str] = if persistent { &["late"] } else { &[] };
        assert_eq!(world.texts(0), expected, "persistent: {persistent}");
    }
}

#[test]
fn an_acknowledgement_of_none_is_within_its_bound() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 100);
    for number in 0..50 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    for got in world.got(0) {
        world.acknowledge(0, 1, 5, AcknowledgeKind::Individual, (0, got.sequence.0), 0);
    }
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
}

/// Sends to thousands of queues at a time, in more batches than a reservation has sequences for: the broker says when it has them.
#[test]
fn sequences_are_reserved_before_they_are_used() {
    let config = Config { reservation: 100_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 40, 4 << 20));
    world.connect(0, 1, "a");
    let parts: Box<[Destination]> = (0..limits::PLACES).map(|number| queue(&format!("q{number}"))).collect();
    let mut batch = CommandBatch::default();
    batch.commands.push(Command::DefineDestination { connection: handle(1), number: 0, destinations: parts.clone() });
    let bytes = record(&parts, b"x", false, 1, 0);
    let record = batch.store(&bytes);
    for number in 0..64 {
        batch.commands.push(Command::Publish(postrider_model::command::Publish {
            connection: handle(1),
            request: Request::default(),
            producer: 0,
            destination: 0,
            record,
            record_crc: postrider_journal::body_crc(&bytes),
            persistent: false,
            windowed: false,
            transaction: None,
            producer_sequence: number,
        }));
    }
    let mut waits = 0;
    for _ in 0..3 {
        while !world.broker.has_sequences(PortIndex(0), &batch) {
            waits += 1;
            assert!(waits < 20, "more are reserved for it");
            world.settle();
            world.run(0, Command::Synchronize { connection: handle(1), request: Request::default() });
            world.settle();
        }
        world.turn(0, &batch);
        world.settle();
    }
    assert!(waits > 0, "three of these batches are more than a reservation");
    assert_eq!(world.broker.statistics().messages as usize, 3 * 64 * limits::PLACES);
}

/// All that tell of temporary destinations take a sequence, and a connection that ends tells of all of its own.
#[test]
fn a_connection_with_many_temporary_queues_waits_for_its_sequences() {
    let config = Config { reservation: 4_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 30, 1 << 20));
    world.connect(0, 1, "a");
    world.connect(0, 2, "listener");
    world.consume(0, 2, 5, &topic("ActiveMQ.Advisory.TempQueue"), 32_767);
    for number in 0..6_000 {
        let name = format!("t{number}");
        world.create_temporary(0, 1, &Destination::new(DestinationKind::TemporaryQueue, name.as_bytes()));
        world.settle();
    }
    let last_delivered = postrider_model::command::LastDelivered::Unknown;
    let close =
        Command::CloseConnection { connection: handle(1), request: Request::default(), last_delivered, clean: true };
    let batch = CommandBatch { commands: vec![close], ..CommandBatch::default() };
    for _ in 0..10 {
        if world.broker.has_sequences(PortIndex(0), &batch) {
            break;
        }
        world.run(0, Command::Synchronize { connection: handle(2), request: Request::default() });
        world.settle();
    }
    world.turn(0, &batch);
    world.settle();
    assert_eq!(world.broker.statistics().connections, 1);
}

/// A shard's mistake is its sender's trouble, not everybody's.
#[test]
fn a_record_that_is_none_is_refused() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.send_as(0, handle(1), &[queue("q")], true, (b"no record", 1), wanted(7));
    world.settle();
    assert!(world.events(0).iter().any(|event| matches!(event, Event::Failed { .. })));
}
