//! Queues: order, turns, credit, commit.

use crate::log::TestLog;
use crate::world::{World, handle, queue, record, wanted};
use postrider_broker::Config;
use postrider_model::command::{AcknowledgeKind, LastDelivered};
use postrider_model::{Event, Sequence, Token};

#[test]
pub fn a_persistent_message_goes_its_whole_way() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world.consume(1, 1, 5, &queue("q"), 10);
    world.settle();
    assert_eq!(world.events(0).len(), 1);
    assert_eq!(world.events(1).len(), 2);
    world.send(0, 1, &queue("q"), "hello", true);
    assert!(world.heard(0).is_empty() && world.heard(1).is_empty(), "nothing before the commit");
    world.settle();
    assert_eq!(world.events(0), [Event::Reply { connection: handle(1), token: Token(7) }]);
    let got = world.got(1);
    assert_eq!((got.len(), got[0].consumer, &*got[0].content, got[0].redeliveries), (1, handle(5), &b"hello"[..], 0));
    assert_eq!(world.broker.statistics().messages, 1);
    world.acknowledge(1, 1, 5, AcknowledgeKind::Standard, (got[0].sequence.0, got[0].sequence.0), 1);
    assert!(world.heard(1).is_empty());
    world.settle();
    assert_eq!(world.events(1), [Event::Reply { connection: handle(1), token: Token(9) }]);
    assert_eq!(world.broker.statistics().messages, 0);
}

#[test]
pub fn a_message_without_persistence_goes_at_once() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10);
    world.settle();
    world.heard(0);
    world.send(0, 1, &queue("q"), "x", false);
    assert_eq!(world.texts(0), ["x"]);
    // Behind a persistent one it keeps its place.
    world.send(0, 1, &queue("q"), "1", true);
    world.send(0, 1, &queue("q"), "2", false);
    assert!(world.texts(0).is_empty());
    world.settle();
    assert_eq!(world.texts(0), ["1", "2"]);
}

#[test]
pub fn messages_survive_a_restart_and_keep_their_order() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for number in 0..2_500 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.send(0, 1, &queue("q"), "lost", false);
    world.settle();
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10_000);
    world.settle();
    let got = world.got(0);
    let expected: Vec<String> = (0..2_500).map(|number| number.to_string()).collect();
    assert_eq!(got.iter().map(|got| String::from_utf8_lossy(&got.content).into_owned()).collect::<Vec<_>>(), expected);
    assert!(got.iter().all(|got| got.redeliveries == 0), "nobody had them");
}

#[test]
pub fn credit_is_kept_and_turns_are_taken() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    for consumer in [5, 6] {
        world.consume(1, 1, consumer, &queue("q"), 2);
    }
    for number in 0..10 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    let got = world.got(1);
    let by = |slot: u32| {
        got.iter().filter(|got| got.consumer == handle(slot)).map(|got| got.content[0] - b'0').collect::<Vec<_>>()
    };
    assert_eq!((by(5), by(6)), (vec![0, 2], vec![1, 3]));
    // A message seen but not consumed widens the window.
    let last = got.iter().rfind(|got| got.consumer == handle(5)).unwrap().sequence.0;
    world.acknowledge(1, 1, 5, AcknowledgeKind::Delivered, (0, last), 2);
    world.settle();
    assert_eq!(world.texts(1), ["4", "5"]);
    // Consuming both lowers the extension by two: what the window was widened by, it gives back.
    let first = got.iter().find(|got| got.consumer == handle(5)).unwrap().sequence.0;
    world.acknowledge(1, 1, 5, AcknowledgeKind::Standard, (first, last), 2);
    world.settle();
    assert!(world.texts(1).is_empty());
}

#[test]
pub fn a_higher_priority_and_an_exclusive_consumer_come_first() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 2);
    let mut open = world.open(1, 6, &[queue("q")], 2);
    open.priority = 1;
    world.consume_as(0, open);
    for number in 0..3 {
        world.send(0, 1, &queue("q"), &number.to_string(), false);
    }
    let got = world.got(0);
    assert_eq!(got.iter().map(|got| got.consumer.slot).collect::<Vec<_>>(), [6, 6, 5]);
    let mut open = world.open(1, 7, &[queue("q")], 5);
    open.exclusive = true;
    world.consume_as(0, open);
    world.acknowledge(0, 1, 6, AcknowledgeKind::Standard, (got[0].sequence.0, got[1].sequence.0), 2);
    for number in 0..3 {
        world.send(0, 1, &queue("q"), &number.to_string(), false);
    }
    assert!(world.got(0).iter().all(|got| got.consumer == handle(7)));
    world.close_consumer(0, 1, 7, LastDelivered::Unknown);
    assert_eq!(world.got(0).iter().map(|got| got.consumer.slot).collect::<Vec<_>>(), [6, 6, 5]);
}

#[test]
pub fn what_a_closed_consumer_had_comes_back_first_and_in_order() {
    for (last_delivered, expected) in [
        (LastDelivered::Unknown, [1, 1, 1, 1, 0]),
        (LastDelivered::None, [0, 0, 0, 0, 0]),
        (LastDelivered::UpTo(Sequence(2)), [1, 1, 0, 0, 0]),
        (LastDelivered::UpTo(Sequence(77)), [1, 1, 1, 1, 0]),
    ] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.consume(0, 1, 5, &queue("q"), 4);
        for number in 0..5 {
            world.send(0, 1, &queue("q"), &number.to_string(), true);
        }
        world.settle();
        assert_eq!(world.texts(0), ["0", "1", "2", "3"]);
        world.close_consumer(0, 1, 5, last_delivered);
        world.consume(0, 1, 6, &queue("q"), 100);
        world.settle();
        let got = world.got(0);
        assert_eq!(got.iter().map(|got| got.content[0]).collect::<Vec<_>>(), b"01234");
        assert_eq!(got.iter().map(|got| got.redeliveries).collect::<Vec<_>>(), expected, "{last_delivered:?}");
    }
}

/// A session says one sequence for all its consumers: the highest, which one of them had.
#[test]
pub fn a_session_that_closes_marks_what_each_of_its_consumers_had_delivered() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let names = ["a", "b"].map(queue);
    for name in [0, 1, 0] {
        world.send(0, 1, &names[name], "x", true);
    }
    for (consumer, name) in [(5, 0), (6, 1)] {
        world.consume(0, 1, consumer, &names[name], 10);
    }
    world.settle();
    let last = world.got(0).iter().filter(|got| got.consumer == handle(6)).map(|got| got.sequence).max();
    for consumer in [5, 6] {
        world.close_consumer(0, 1, consumer, LastDelivered::UpTo(last.unwrap()));
    }
    for (consumer, name) in [(7, 0), (8, 1)] {
        world.consume(0, 1, consumer, &names[name], 10);
    }
    world.settle();
    let got = world.got(0);
    let counters = |slot| got.iter().filter(|got| got.consumer == handle(slot)).map(|got| got.redeliveries).collect();
    let (one, other): (Vec<u32>, Vec<u32>) = (counters(7), counters(8));
    assert_eq!((one, other), (vec![1, 0], vec![1]), "the third message was only on its way");
}

#[test]
pub fn many_returned_messages_come_back_in_slices_and_in_order() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 20_000);
    for number in 0..5_000 {
        world.send(0, 1, &queue("q"), &number.to_string(), false);
    }
    assert_eq!(world.got(0).len(), 5_000);
    world.consume(0, 1, 6, &queue("q"), 20_000);
    world.close_consumer(0, 1, 5, LastDelivered::None);
    let expected: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(0), expected);
}

#[test]
pub fn a_composite_send_is_one_record_with_a_place_for_each() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("a"), 10);
    world.consume(0, 1, 6, &queue("b"), 10);
    world.settle();
    let to = [queue("a"), queue("b"), queue("c")];
    let bytes = record(&to, b"x", true, 1, 0);
    let before = world.log.records.len();
    world.send_as(0, handle(1), &to, true, (&bytes, 1), wanted(7));
    let messages =
        world.log.records[before..].iter().filter(|record| record.kind == postrider_broker::records::kind::MESSAGE);
    assert_eq!(messages.count(), 1);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.iter().map(|got| got.destination.clone().unwrap()).collect::<Vec<_>>(), [queue("a"), queue("b")]);
    assert_eq!(got[0].sequence.next(), got[1].sequence);
    for (consumer, got) in [(5, &got[0]), (6, &got[1])] {
        world.acknowledge(0, 1, consumer, AcknowledgeKind::Standard, (0, got.sequence.0), 1);
    }
    world.settle();
    assert_eq!(world.broker.statistics().messages, 1);
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    for (consumer, name) in [(5, "a"), (6, "b"), (7, "c")] {
        world.consume(0, 1, consumer, &queue(name), 10);
    }
    world.settle();
    assert_eq!(world.got(0).iter().map(|got| got.destination.clone().unwrap()).collect::<Vec<_>>(), [queue("c")]);
}

#[test]
pub fn a_wildcard_consumer_gets_what_exists_and_what_comes_later() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.send(0, 1, &queue("a.1"), "1", true);
    world.send(0, 1, &queue("b.1"), "no", true);
    world.consume(0, 1, 5, &queue("a.>"), 2);
    world.send(0, 1, &queue("a.2.x"), "2", true);
    world.send(0, 1, &queue("a.1"), "3", true);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 2, "one window over all");
    for got in &got {
        world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (got.sequence.0, got.sequence.0), 1);
    }
    world.settle();
    let mut all: Vec<Vec<u8>> = got.into_iter().chain(world.got(0)).map(|got| got.content).collect();
    all.sort();
    assert_eq!(all, [b"1", b"2", b"3"]);
}

#[test]
pub fn the_send_window_and_the_ring_hold_dispatch_until_they_open() {
    let mut world = World::new();
    world.sockets_take = false;
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10_000);
    let text = "x".repeat(10_000);
    for _ in 0..40 {
        world.send(0, 1, &queue("q"), &text, false);
    }
    let first = world.got(0);
    assert_eq!(first.len(), 26, "256 KiB and the message that goes beyond");
    let bytes = first.iter().map(|got| got.record.len() as u32).sum();
    world.run(0, postrider_model::Command::Written { connection: handle(1), bytes });
    assert_eq!(world.got(0).len(), 14);
    world.room = 0;
    world.send(0, 1, &queue("q"), "ring", false);
    assert!(world.got(0).is_empty());
    world.room = 1;
    world.idle();
    assert_eq!(world.texts(0), ["ring"]);
}

/// R15 the other way round: who had no consumer was not delivered, whatever ended the broker.
#[test]
pub fn what_nobody_had_is_not_marked_after_a_crash() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for text in ["1", "2", "3"] {
        world.send(0, 1, &queue("q"), text, true);
    }
    world.settle();
    let end = world.turn_end;
    let mut world = world.crash(end);
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|got| got.redeliveries == 0));
}

/// Commits after which all of a backlog is with its consumer, and how many of another such backlog are marked when they come back after
/// a crash though nobody had them.
fn drained(allowance_doublings: u32) -> (usize, usize) {
    const BACKLOG: usize = 5_000;
    let config = Config { allowance_chunk: 10, allowance_doublings, reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(64 << 20, 1 << 20));
    world.connect(0, 1, "a");
    for name in ["drained", "begun"] {
        for number in 0..BACKLOG {
            world.send(0, 1, &queue(name), &number.to_string(), true);
        }
    }
    world.settle();
    world.consume(0, 1, 5, &queue("drained"), 2 * BACKLOG as u32);
    let (mut commits, mut got) = (0, world.got(0).len());
    while got < BACKLOG {
        world.log.commit();
        world.idle();
        commits += 1;
        got += world.got(0).len();
    }
    world.consume(0, 1, 6, &queue("begun"), BACKLOG as u32 / 2);
    let mut had = world.got(0).len();
    while had < BACKLOG / 2 {
        world.log.commit();
        world.idle();
        had += world.got(0).len();
    }
    world.settle();
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("begun"), 2 * BACKLOG as u32);
    world.settle();
    let marked = world.got(0).iter().filter(|got| got.redeliveries > 0).count();
    (commits, marked - had)
}

#[test]
pub fn dispatch_that_waits_for_allowances_gets_longer_ones() {
    let (commits, overmarked) = drained(5);
    assert!(commits < 50 && overmarked <= 2 * (10 << 5), "{commits} commits, {overmarked} marked");
    let (commits, overmarked) = drained(0);
    assert!(commits > 400 && overmarked <= 2 * 10, "the control: {commits} commits, {overmarked} marked");
}
