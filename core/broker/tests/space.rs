//! Space: limits, cold bytes, a log without room.

use crate::log::TestLog;
use crate::marks::acknowledge;
use crate::parking::{drained, full};
use crate::world::{Told, World, handle, queue, record, record_of, topic, wanted};
use postrider_broker::{Config, Log as _, WhenFull};
use postrider_journal::body_crc;
use postrider_model::command::{AcknowledgeKind, Publish, Request};
use postrider_model::event::Failure;
use postrider_model::{Command, CommandBatch, Event, PortIndex};

const SEGMENT: u64 = 4 << 10;

pub fn small() -> World {
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
    for number in 1..=20 {
        let bytes = record(&to, format!("{number}{text}").as_bytes(), true, number, 0);
        world.send_as(0, handle(2), &to, true, (&bytes, number), Request::default());
    }
    world.settle();
    let told = world.events(0);
    assert!(matches!(told[..], [Event::Parked { connection, .. }] if connection == handle(2)), "{told:?}");
    assert_eq!(world.broker.statistics().messages, stored);
    // Acknowledgements go on, and make space.
    world.consume(0, 1, 5, &queue("q"), 1);
    let mut got = Vec::new();
    for _ in 0..stored + 20 {
        world.settle();
        let told = world.heard(0);
        let next = told.iter().find_map(|told| if let Told::Message(got) = told { Some(got.clone()) } else { None });
        let next = next.expect("nothing is lost, and all goes on");
        world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, next.sequence.0), 1);
        got.push(next.content);
        assert!(world.broker.statistics().live_bytes <= 20_000, "the limit holds");
        let resumed = told.contains(&Told::Event(Event::Unparked { connection: handle(2) }));
        assert_eq!(resumed, world.broker.statistics().parked_bytes == 0 && resumed);
    }
    for (number, content) in (1..=20).zip(&got[stored as usize..]) {
        assert!(content.starts_with(format!("{number}x").as_bytes()), "in their order");
    }
    assert_eq!(world.broker.statistics().parked_bytes, 0);
}

/// Each client listens for the advisories of temporary destinations before it does anything else.
#[test]
pub fn a_client_comes_though_the_journal_is_full() {
    let mut world = full(WhenFull::Refuse);
    let is_refused = |event: &Event| matches!(event, Event::Failed { .. });
    world.connect(0, 3, "c");
    for _ in 0..200 {
        world.send(0, 3, &queue("q"), "x", true);
    }
    world.settle();
    assert!(world.events(0).iter().any(is_refused));
    world.connect(1, 7, "new");
    let advisories = topic("ActiveMQ.Advisory.TempQueue");
    let open = world.open(7, 70, std::slice::from_ref(&advisories), 1_000);
    let batch = CommandBatch { commands: vec![Command::OpenConsumer(Box::new(open))], ..CommandBatch::default() };
    let nothing = world.broker.bound(PortIndex(1), &CommandBatch::default());
    assert_eq!(world.broker.bound_within(PortIndex(1), &batch, 0, 0), (nothing, Vec::new()), "it stores nothing");
    world.consume(1, 7, 70, &advisories, 1_000);
    world.settle();
    assert!(!world.events(1).iter().any(is_refused));
    world.consume(1, 7, 71, &topic(&"another".repeat(300)), 1_000);
    world.settle();
    assert!(world.events(1).iter().any(is_refused), "the limit is met");
}

/// Who comes to consume is who makes room, and ActiveMQ lets him in, too.
#[test]
pub fn a_consumer_of_a_new_queue_comes_though_the_journal_is_full() {
    let mut world = full(WhenFull::Refuse);
    let is_refused = |event: &Event| matches!(event, Event::Failed { .. });
    world.connect(1, 7, "new");
    // Messages of all sizes are at the limit, not only those that are parked.
    for length in [300, 100, 30, 10] {
        for _ in 0..20 {
            world.send(1, 7, &queue("q"), &"x".repeat(length), true);
        }
    }
    world.settle();
    world.heard(1);
    let mut came = 0;
    for number in 0..50 {
        world.consume(1, 7, 70 + number, &queue(&format!("new.{number:03}")), 10);
        world.settle();
        if world.events(1).iter().any(is_refused) {
            break;
        }
        came += 1;
    }
    // An eighth of a segment of 4 KiB.
    assert_eq!(came, 7, "within what is kept for them");
    world.send(1, 7, &queue("another"), "x", false);
    world.settle();
    assert!(world.events(1).iter().any(is_refused), "who sends has no part of it");
    // When the journal is no longer full, there is as much for the next time.
    drained(&mut world);
    let open = |name: &str| {
        let open = world.open(7, 200, &[queue(name)], 10);
        CommandBatch { commands: vec![Command::OpenConsumer(Box::new(open))], ..CommandBatch::default() }
    };
    let small = open("a new one");
    let (bound, refused) = world.broker.bound_within(PortIndex(1), &small, 0, 4_000);
    assert!(refused.is_empty() && bound == world.broker.bound(PortIndex(1), &small), "it goes with what settles");
    assert_eq!(world.broker.bound_within(PortIndex(1), &small, 0, 50).1, [0]);
    assert!(world.broker.bound_within(PortIndex(1), &open("new.*"), 0, 0).1.is_empty(), "a pattern creates nothing");
    world.consume(1, 7, 199, &queue("a new one"), 10);
    world.settle();
    assert!(!world.events(1).iter().any(is_refused));
    assert_eq!(world.broker.spare_for_creations(&world.log), SEGMENT / 8);
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
            transaction: None,
            producer_sequence: 0,
        }));
    }
    let (bound, refused) = world.broker.bound_within(PortIndex(0), &batch, 4_000, 0);
    assert_eq!(refused, [0, 2]);
    assert!((1_000..4_000).contains(&bound.frame_bytes()), "{bound:?}");
    assert_eq!(
        world.broker.bound_within(PortIndex(0), &batch, 100_000, 0),
        (world.broker.bound(PortIndex(0), &batch), vec![])
    );
    let Command::Publish(publish) = &batch.commands[0] else { panic!("a send") };
    world.broker.refuse_command(
        PortIndex(0),
        &Command::Publish(*publish),
        &batch.arena,
        world.now,
        &mut world.log,
        &mut world.out,
    );
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, first), 1);
    world.settle();
    let failures: Vec<_> = world.events(0).into_iter().filter(|event| matches!(event, Event::Failed { .. })).collect();
    let [Event::Failed { failure: Failure::ResourceAllocation, message, token, .. }] = &failures[..] else {
        panic!("{failures:?}")
    };
    assert!(message.contains("does not fit") && message.contains("disk_budget_bytes"), "{message}");
    assert_eq!(*token, Some(publish.request.token()));
    assert_eq!(world.broker.statistics().messages, 0);
}

/// The disk is not named where it is not what the log waits for.
#[test]
fn a_log_that_has_no_room_to_become_shorter_names_its_budget() {
    let mut world = small();
    world.connect(0, 1, "a");
    world.send(0, 1, &queue("kept"), &"x".repeat(1_000), true);
    world.log.cold = (0..30).collect();
    for _ in 0..4 {
        (0..15).for_each(|_| world.send(0, 1, &queue("q"), &"x".repeat(1_000), true));
        world.delete(0, 1, &queue("q"));
        world.settle();
    }
    let to = [queue("q")];
    let batch = world.publish(0, handle(1), &to, true, (&record(&to, b"x", true, 1, 0), 1), wanted(7));
    for reason in ["waits for the disk to read", "does not fit into the journal"] {
        for _ in 0..3 {
            world.now.nanos += 2_000_000_000;
            world.go_on();
        }
        world.heard(0);
        let Some(command @ Command::Publish(_)) = batch.commands.last() else { panic!("a send") };
        let (now, log, out) = (world.now, &mut world.log, &mut world.out);
        world.broker.refuse_command(PortIndex(0), command, &batch.arena, now, log, out);
        world.go_on();
        let told = world.events(0);
        let refused = |event: &Event| matches!(event, Event::Failed { message, .. } if message.contains(reason));
        assert!(told.iter().any(refused), "{reason}: {told:?}");
        world.log.cold.clear();
        world.log.full = true;
    }
}

/// Whoever sends within a window and waits for no answer gets the window back, whatever becomes of the send (R58).
#[test]
pub fn a_refused_send_gives_its_part_of_the_window_back() {
    let mut world = small();
    world.connect(0, 1, "a");
    let to = [queue("q")];
    // What is larger than the limit is refused; the rest would wait.
    let bytes = record(&to, "x".repeat(30_000).as_bytes(), true, 1, 0);
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
            transaction: None,
            producer_sequence,
        }));
        world.turn(0, &batch);
        if producer_sequence == 0 {
            let Command::Publish(publish) = &batch.commands[0] else { panic!("a send") };
            let (now, log, out) = (world.now, &mut world.log, &mut world.out);
            world.broker.refuse_command(PortIndex(0), &Command::Publish(*publish), &batch.arena, now, log, out);
        }
        world.settle();
        heard.extend(world.events(0));
    }
    let credits = heard.iter().filter(|event| matches!(event, Event::ProducerCredit { .. })).count();
    let refused = heard.iter().filter(|event| matches!(event, Event::Failed { token: None, .. })).count();
    assert!(refused > 10, "{refused}");
    assert_eq!(credits, 61, "60 sends, one of them twice");
}

#[test]
fn what_dies_at_once_leaves_no_long_log() {
    let mut world = World::over(Config::default(), TestLog::new(2_000 * SEGMENT, SEGMENT));
    world.connect(0, 1, "a");
    // Each segment holds what names some queues, so none goes by itself when its messages are dead.
    for number in 0..800 {
        world.send(0, 1, &queue(&format!("q.{}", number / 2)), &"x".repeat(1_000), true);
    }
    world.consume(0, 1, 5, &queue("q.>"), 1_000);
    world.settle();
    let got: Vec<_> = world.got(0).iter().map(|got| got.sequence.0).collect();
    for sequence in got.iter().step_by(2) {
        world.acknowledge(0, 1, 5, AcknowledgeKind::Individual, (0, *sequence), 1);
    }
    world.settle();
    assert!(got.len() == 800 && world.log.live_log_bytes() > 200 * SEGMENT);
    let left: Vec<_> = got.into_iter().skip(1).step_by(2).collect();
    for run in left.chunks(50) {
        world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, run[49]), 50);
    }
    world.settle();
    let log = world.log.live_log_bytes();
    assert!(log <= 20 * SEGMENT, "R19: {log} bytes of log for four hundred names");
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
    world.delete(0, 1, &queue("q"));
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

/// What a record says of its many places is alive with it: at the limit there is room to move all that lives.
#[test]
fn messages_of_many_places_leave_room_in_the_log() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let budget = 64 * (16 << 10);
    let mut world = World::over(config, TestLog::new(budget, 16 << 10));
    world.connect(0, 1, "plain");
    let names = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    let to: Vec<_> = names.chars().map(|name| queue(&name.to_string())).collect();
    let is_full = |world: &mut World| world.events(0).iter().any(|event| matches!(event, Event::Failed { .. }));
    for number in 0.. {
        let bytes = record_of(("plain", 1, 1), &to, &[b'x'; 130], true, number, 0);
        world.send_as(0, handle(1), &to, true, (&bytes, number), wanted(7));
        world.settle();
        if is_full(&mut world) {
            break;
        }
        let (live, log) = (world.broker.statistics().live_bytes, world.log.live_log_bytes());
        let moved = world.broker.statistics().moved;
        assert!(!world.log.has_fallen_behind(), "{log} of {budget} bytes for {live} that live, {moved} moved");
    }
    let (live, length) = (world.broker.statistics().live_bytes, world.log.live_log_bytes());
    assert!(live > length / 3, "{live} bytes live in {length} bytes of log");
    let limit = (budget - 8 * (16 << 10)) / 2;
    assert!(live <= limit, "{live} bytes live, {limit} may");
    world.connect(1, 2, "consumer");
    world.consume(1, 2, 5, &queue("b"), 100);
    acknowledge(&mut world);
    let before = world.broker.statistics().live_bytes;
    assert!(before < live, "places that are done with count no more");
    let mut world = world.restarted();
    let live = world.broker.statistics().live_bytes;
    assert!(live.abs_diff(before) < 1_000, "{live} and {before}");
    world.connect(0, 1, "plain");
    let to = [queue("kept")];
    world.send_as(0, handle(1), &to, true, (&record_of(("plain", 1, 1), &to, b"x", true, 1, 0), 1), wanted(7));
    for name in names.chars() {
        let (connection, destination, request) = (handle(1), Box::new(queue(&name.to_string())), Request::default());
        world.run(0, Command::DeleteDestination { connection, destination, request });
    }
    world.settle();
    let live = world.broker.statistics().live_bytes;
    assert!(live < 1_000, "{live} bytes live where nothing is");
}
