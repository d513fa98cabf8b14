//! Space: limits, cold bytes, a log without room.

use crate::log::TestLog;
use crate::world::{World, handle, queue, record, wanted};
use postrider_broker::{Config, Log as _};
use postrider_journal::body_crc;
use postrider_model::command::{AcknowledgeKind, Publish, Request};
use postrider_model::event::Failure;
use postrider_model::{Command, CommandBatch, Event, PortIndex};

const SEGMENT: u64 = 4 << 10;

fn small() -> World {
    let config = Config { reservation: 200_000, ..Config::default() };
    World::over(config, TestLog::new(8 * SEGMENT + 40_000, SEGMENT))
}

#[test]
pub fn at_the_limit_those_who_wait_are_refused_and_the_others_paused() {
    let mut world = small();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    let text = "x".repeat(1_000);
    for _ in 0..30 {
        world.send(0, 1, &queue("q"), &text, true);
    }
    world.settle();
    let refused = world.events(0).into_iter().filter_map(|event| match event {
        Event::Failed { failure: Failure::ResourceAllocation, message, .. } => Some(message),
        _ => None,
    });
    let refused: Vec<_> = refused.collect();
    let stored = world.broker.statistics().messages;
    assert_eq!(stored as usize + refused.len(), 30);
    assert!((12..20).contains(&stored), "{stored}");
    assert!(refused[0].contains("disk_budget"), "{}", refused[0]);
    let to = [queue("q")];
    let bytes = record(&to, text.as_bytes(), true, 1, 0);
    world.send_as(0, handle(2), &to, true, (&bytes, 1), Request::default());
    world.settle();
    assert_eq!(world.events(0), [Event::Pause { connection: handle(2) }]);
    assert_eq!(world.broker.statistics().messages, stored + 1);
    // Acknowledgements go on, and make space.
    world.consume(0, 1, 5, &queue("q"), 100);
    world.settle();
    let last = world.got(0).last().unwrap().sequence.0;
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, last), stored as u32 + 1);
    world.settle();
    assert!(world.events(0).contains(&Event::Resume { connection: handle(2) }));
}

#[test]
fn sends_beyond_a_frame_are_refused_and_what_comes_with_them_is_not() {
    let mut world = small();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 100);
    world.send(0, 1, &queue("q"), "first", true);
    world.settle();
    let first = world.got(0)[0].sequence.0;
    let mut batch = CommandBatch::default();
    for length in [5_000, 500, 5_000, 500] {
        let bytes = record(&[queue("q")], &vec![b'x'; length], true, 0, 0);
        let (record, record_crc) = (batch.store(&bytes), body_crc(&bytes));
        batch.commands.push(Command::Publish(Publish {
            connection: handle(1),
            request: wanted(7),
            producer: 0,
            destination: 0,
            record,
            record_crc,
            persistent: true,
            windowed: false,
            producer_sequence: 0,
        }));
    }
    let (bound, refused) = world.broker.bound_within(PortIndex(0), &batch, 4_000);
    assert_eq!(refused, [0, 2]);
    assert!((1_000..4_000).contains(&bound.frame_bytes()), "{bound:?}");
    assert_eq!(
        world.broker.bound_within(PortIndex(0), &batch, 100_000),
        (world.broker.bound(PortIndex(0), &batch), vec![])
    );
    let Command::Publish(publish) = &batch.commands[0] else { panic!("a send") };
    world.broker.refuse_send(PortIndex(0), publish, &batch.arena, world.now, &mut world.log, &mut world.out);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, first), 1);
    world.settle();
    let failures: Vec<_> = world.events(0).into_iter().filter(|event| matches!(event, Event::Failed { .. })).collect();
    let [Event::Failed { failure: Failure::ResourceAllocation, message, correlation, .. }] = &failures[..] else {
        panic!("{failures:?}")
    };
    assert!(message.contains("does not fit") && message.contains("disk_budget_bytes"), "{message}");
    assert_eq!(*correlation, Some(publish.request.command));
    assert_eq!(world.broker.statistics().messages, 0);
}

/// Whoever sends within a window and waits for no answer gets the window back, whatever becomes of the send (R58).
#[test]
pub fn a_refused_send_gives_its_part_of_the_window_back() {
    let mut world = small();
    world.connect(0, 1, "a");
    let to = [queue("q")];
    let bytes = record(&to, "x".repeat(1_000).as_bytes(), true, 1, 0);
    let (connection, number) = (handle(1), 77);
    world.run(0, Command::DefineDestination { connection, number, destinations: to.as_slice().into() });
    world.settle();
    world.heard(0);
    let mut heard = Vec::new();
    for producer_sequence in 0..60 {
        let mut batch = CommandBatch::default();
        let (record, record_crc) = (batch.store(&bytes), body_crc(&bytes));
        batch.commands.push(Command::Publish(Publish {
            connection,
            request: Request::default(),
            producer: 0,
            destination: number,
            record,
            record_crc,
            persistent: true,
            windowed: true,
            producer_sequence,
        }));
        world.turn(0, &batch);
        if producer_sequence == 0 {
            let Command::Publish(publish) = &batch.commands[0] else { panic!("a send") };
            let (now, log, out) = (world.now, &mut world.log, &mut world.out);
            world.broker.refuse_send(PortIndex(0), publish, &batch.arena, now, log, out);
        }
        world.settle();
        heard.extend(world.events(0));
    }
    let credits = heard.iter().filter(|event| matches!(event, Event::ProducerCredit { .. })).count();
    let refused = heard.iter().filter(|event| matches!(event, Event::Failed { correlation: None, .. })).count();
    assert!(refused > 10, "{refused}");
    assert_eq!(credits, 61, "60 sends, one of them twice");
}

#[test]
pub fn cold_messages_are_asked_for_and_sent_when_they_come() {
    let mut world = small();
    world.connect(0, 1, "a");
    for number in 0..10 {
        world.send(0, 1, &queue("q"), &format!("{number}{}", "x".repeat(1_000)), true);
    }
    world.settle();
    world.heard(0);
    world.log.cold = (0..2).collect();
    world.consume(0, 1, 5, &queue("q"), 100);
    world.settle();
    assert!(world.got(0).is_empty() && !world.log.asked.is_empty());
    world.log.cold.clear();
    world.broker.fetched();
    world.settle();
    let order: Vec<u8> = world.got(0).iter().map(|got| got.content[0] - b'0').collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_log_without_room_holds_jobs_and_loses_nothing() {
    let mut world = small();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 100);
    world.consume(0, 1, 6, &queue("ActiveMQ.DLQ"), 100);
    for number in 0..5 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    let got = world.got(0);
    world.log.full = true;
    world.acknowledge(0, 1, 5, AcknowledgeKind::Poison, (0, got[4].sequence.0), 5);
    world.settle();
    assert!(world.heard(0).is_empty(), "neither answered nor moved");
    world.log.full = false;
    world.settle();
    assert_eq!(world.texts(0), ["0", "1", "2", "3", "4"]);
    assert_eq!(world.broker.statistics().dead_lettered, 5);
}

#[test]
fn what_was_poisoned_in_a_deleted_queue_is_moved_all_the_same() {
    let mut world = small();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 100);
    world.send(0, 1, &queue("q"), "x", true);
    world.settle();
    let got = world.got(0);
    world.log.full = true;
    world.acknowledge(0, 1, 5, AcknowledgeKind::Poison, (0, got[0].sequence.0), 1);
    world.close_consumer(0, 1, 5, postrider_model::command::LastDelivered::Unknown);
    let destination = Box::new(queue("q"));
    let connection = handle(1);
    world.run(0, postrider_model::Command::DeleteDestination { connection, destination, request: wanted(8) });
    world.log.full = false;
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 1);
    world.consume(0, 1, 6, &queue("ActiveMQ.DLQ"), 100);
    world.settle();
    assert_eq!(world.texts(0), ["x"]);
}

#[test]
fn a_log_in_which_next_to_nothing_lives_stays_short() {
    const SEGMENT: u64 = 128 << 10;
    let mut world = World::over(Config::default(), TestLog::new(20 * SEGMENT, SEGMENT));
    world.connect(0, 1, "a");
    world.send(0, 1, &queue("kept"), "kept", true);
    world.consume(0, 1, 5, &queue("q"), 100);
    let text = "x".repeat(1_000);
    for number in 1..=6 * SEGMENT / 1_000 {
        world.send(0, 1, &queue("q"), &text, true);
        world.settle();
        let sequence = world.got(0).last().unwrap().sequence.0;
        world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, sequence), 1);
        world.settle();
        world.heard(0);
        let length = world.log.live_log_bytes();
        assert!(length < 3 * SEGMENT, "{length} bytes of log for one message after {number} others");
    }
    assert!(world.broker.statistics().moved >= 5);
    world.consume(0, 1, 6, &queue("kept"), 100);
    world.settle();
    assert_eq!(world.texts(0), ["kept"]);
}
