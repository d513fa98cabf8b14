//! Browsers that wait: what they lack wakes them, and nobody else pays for them.

use crate::world::{Told, World, handle, producer, queue, record, wanted};
use postrider_broker::Config;
use postrider_model::command::{AcknowledgeKind, LastDelivered, OpenConsumer, OpenProducer, Request};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Event};

fn browse(world: &mut World, connection: u32, consumer: u32, queues: &[Destination], prefetch: u32) {
    let open = OpenConsumer { browser: true, ..world.open(connection, consumer, queues, prefetch) };
    world.consume_as(0, open);
}

fn numbers(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// What a browser was shown since it was asked last, and whether it was told that this is all.
fn seen(told: &[Told], consumer: u32) -> (Vec<String>, bool) {
    let consumer = handle(consumer);
    let texts = told.iter().filter_map(|told| match told {
        Told::Message(got) if got.consumer == consumer => Some(String::from_utf8_lossy(&got.content).into_owned()),
        _ => None,
    });
    (texts.collect(), told.contains(&Told::Event(Event::EndOfMessages { consumer })))
}

/// More than a turn has steps.
const CROWD: u32 = 9_000;

#[test]
pub fn a_crowd_of_browsers_that_wait_keeps_nobody_waiting() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world.consume(1, 1, 5, &queue("q"), 10);
    for text in ["1", "2"] {
        world.send(1, 1, &queue("q"), text, true);
    }
    world.settle();
    assert_eq!(world.texts(1), ["1", "2"]);
    let consumers: Vec<u32> = (10..10 + CROWD).collect();
    for some in consumers.chunks(250) {
        let mut batch = CommandBatch::default();
        for consumer in some {
            world.connections_of.insert((0, handle(*consumer)), handle(1));
            let open = world.open(1, *consumer, &[queue("q")], 1);
            let open = OpenConsumer { browser: true, request: Request::default(), ..open };
            batch.commands.push(Command::OpenConsumer(Box::new(open)));
        }
        world.handle(0, &batch);
    }
    let shown = (0..100).find(|_| !world.go_on());
    assert!(shown.is_some(), "those that wait are looked at for ever");
    assert_eq!(world.texts(0), vec!["1"; CROWD as usize]);

    world.send(1, 1, &queue("q"), "3", true);
    world.log.commit();
    world.go_on();
    assert_eq!(world.texts(1), ["3"], "in one turn");
    assert!(!world.go_on(), "and there is nothing more to do");
    // They are where they were, and see what was there when they came.
    world.acknowledge(0, 1, 10, AcknowledgeKind::Standard, (0, 0), 1);
    world.settle();
    assert_eq!(seen(&world.heard(0), 10), (vec!["2".into()], true));
}

/// They take all that there is: the ring's room, their windows, and all steps of a turn. Sockets take what they get, so all go on at once.
/// Now and then the ring takes nothing.
#[test]
pub fn a_crowd_of_browsers_that_are_shown_much_keeps_nobody_waiting() {
    const BROWSERS: u32 = 400;
    const MESSAGES: u32 = 600;
    let mut world = World::new();
    (1..=4).for_each(|connection| world.connect(0, connection, &connection.to_string()));
    (0..MESSAGES).for_each(|number| world.send(0, 1, &queue("q"), &number.to_string(), false));
    world.consume(0, 4, 5, &queue("own"), 1_000);
    world.settle();
    world.heard(0);
    world.room = 2;
    for consumer in 0..BROWSERS {
        let connection = 1 + consumer % 3;
        world.connections_of.insert((0, handle(10 + consumer)), handle(connection));
        let open = world.open(connection, 10 + consumer, &[queue("q")], 1_000);
        let open = OpenConsumer { browser: true, request: Request::default(), ..open };
        let mut batch = CommandBatch::default();
        batch.commands.push(Command::OpenConsumer(Box::new(open)));
        world.handle(0, &batch);
    }
    let (mut shown, mut sent, mut turns) = (vec![0; BROWSERS as usize], 0, 0);
    let mut waiting = Vec::new();
    let mut takes = |world: &mut World, waiting: &mut Vec<(String, u32)>, turn: u32| {
        for got in world.got(0) {
            match got.consumer.slot {
                5 => waiting.retain(|(text, _)| text.as_bytes() != got.content),
                slot => shown[(slot - 10) as usize] += 1,
            }
        }
        assert!(waiting.iter().all(|(_, since)| since + 2 > turn), "turn {turn}: {waiting:?}");
    };
    loop {
        turns += 1;
        let is_full = turns % 5 == 0;
        world.full = is_full.then_some(0);
        if turns < 300 {
            let bytes = record(&[queue("own")], sent.to_string().as_bytes(), false, 0, 0);
            let batch = world.publish(0, handle(4), &[queue("own")], false, (&bytes, 0), Request::default());
            world.handle(0, &batch);
            waiting.push((sent.to_string(), turns));
            sent += 1;
        }
        let more = world.go_on();
        takes(&mut world, &mut waiting, turns);
        if !more && turns > 300 && !is_full {
            break;
        }
        assert!(turns < 2_000, "they are shown all in the end");
    }
    assert_eq!(shown, vec![MESSAGES; BROWSERS as usize]);
}

/// Where a queue's messages are changes while it waits. Its window ends some of the larger pieces.
#[test]
fn a_browser_goes_on_after_each_wait_in_pieces_of_any_size() {
    for prefetch in [7, 63, 64, 65, 200, 1_500] {
        a_browser_goes_on_in_pieces(prefetch, 2_600);
    }
}

pub fn a_browser_goes_on_in_pieces(prefetch: u32, messages: u32) {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    for number in 0..messages {
        world.send(1, 1, &queue("q"), &format!("{number:0500}"), number % 2 == 0);
    }
    world.settle();
    world.consume(1, 1, 6, &queue("q"), 300);
    world.consume(1, 1, 7, &queue("q"), 800);
    browse(&mut world, 1, 5, &[queue("q")], prefetch);
    let (mut all, mut rounds, mut others) = (Vec::new(), 0, 7);
    loop {
        world.settle();
        let (texts, ended) = seen(&world.heard(0), 5);
        let count = texts.len() as u32;
        assert!(count <= prefetch, "{count} of {prefetch}");
        all.extend(texts);
        assert!(all.len() <= messages as usize, "it is shown something again");
        if ended {
            break;
        }
        assert!(count > 0, "of {prefetch} it waits for ever after {}", all.len());
        if rounds % 3 == 0 {
            world.close_consumer(1, 1, others, LastDelivered::None);
            others += 1;
            world.consume(1, 1, others, &queue("q"), 100 * (1 + others % 9));
        }
        rounds += 1;
        world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, 0), count);
    }
    let expected: Vec<String> = (0..messages).map(|number| format!("{number:0500}")).collect();
    assert!(all == expected, "in pieces of {prefetch}");
    assert_eq!(world.broker.statistics().messages, u64::from(messages), "nothing was taken");
}

#[test]
pub fn a_browser_whose_queue_goes_while_it_waits_goes_on_with_its_next() {
    let gone = Destination::new(DestinationKind::TemporaryQueue, b"ID:a:1");
    for (prefetch, next) in [(1, queue("q")), (2, queue("q")), (2, queue("q.>"))] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.create_temporary(0, 1, &gone);
        ["1", "2", "3"].iter().for_each(|text| world.send(0, 1, &gone, text, true));
        ["4", "5", "6"].iter().for_each(|text| world.send(0, 1, &queue("q"), text, true));
        world.settle();
        world.heard(0);
        browse(&mut world, 1, 5, &[gone.clone(), next], prefetch);
        world.settle();
        assert_eq!(seen(&world.heard(0), 5), (numbers(1..prefetch + 1), false), "it waits");
        world.delete(0, 1, &gone);
        world.settle();
        let mut after = Vec::new();
        let ended = (0..10).any(|_| {
            world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, 0), 1);
            world.settle();
            let (texts, ended) = seen(&world.heard(0), 5);
            after.extend(texts);
            ended
        });
        assert_eq!((after, ended), (numbers(4..7), true));
    }
}

fn pull(world: &mut World, timeout_millis: i64) {
    let (connection, consumer) = (handle(1), handle(5));
    world.run(0, Command::Pull { connection, consumer, timeout_millis, request: Request::default() });
}

#[test]
pub fn a_browser_that_pulls_is_shown_one_at_a_time() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.send(0, 1, &queue("q"), "1", true);
    world.settle();
    world.send(0, 1, &queue("q"), "2", true);
    world.heard(0);
    browse(&mut world, 1, 5, &[queue("q")], 0);
    assert_eq!(seen(&world.heard(0), 5), (vec![], false), "it has not asked");
    pull(&mut world, 0);
    assert_eq!(seen(&world.heard(0), 5), (vec!["1".into()], false));
    pull(&mut world, -1);
    assert_eq!(seen(&world.heard(0), 5), (vec![], false), "the next is not committed");
    world.settle();
    assert_eq!(seen(&world.heard(0), 5), (vec!["2".into()], false));
    world.settle();
    assert_eq!(seen(&world.heard(0), 5), (vec![], false), "it has not asked");
    for _ in 0..2 {
        pull(&mut world, 0);
        world.settle();
    }
    let ends = world.events(0).into_iter().filter(|event| *event == Event::EndOfMessages { consumer: handle(5) });
    assert_eq!(ends.count(), 1, "an end is told once");
}

/// Together they take more than a turn's steps: those that it ends amid the second queue came from the first one's service.
#[test]
pub fn a_turn_that_ends_amid_a_later_queue_leaves_no_browser_behind() {
    const BROWSERS: u32 = 30;
    const SECOND: u32 = 500;
    let mut world = World::new();
    (1..=BROWSERS).for_each(|slot| world.connect(0, slot, &slot.to_string()));
    for number in 1..=SECOND {
        world.send(0, 1, &queue("second"), &number.to_string(), false);
    }
    world.send(0, 1, &queue("first"), "0", true);
    world.heard(0);
    for slot in 1..=BROWSERS {
        browse(&mut world, slot, slot, &[queue("first"), queue("second")], 1_000);
    }
    assert!(world.got(0).is_empty(), "the first message is not committed");
    world.settle();
    let told = world.heard(0);
    for slot in 1..=BROWSERS {
        let (texts, ended) = seen(&told, slot);
        assert_eq!((texts.len() as u32, ended), (SECOND + 1, true), "browser {slot}");
        assert!(texts == numbers(0..SECOND + 1));
    }
}

/// A step for each that holds nothing for it, too.
#[test]
pub fn a_browser_passes_very_many_empty_queues_in_slices() {
    const QUEUES: u32 = 10_000;
    let mut world = World::with(Config { reservation: 1_000_000, ..Config::default() }, 1 << 30);
    world.connect(0, 1, "a");
    for from in (0..QUEUES).step_by(50) {
        let destinations = (from..from + 50).map(|number| queue(&format!("q.{number}"))).collect();
        let open = OpenProducer { producer: 9, destinations, ..producer(handle(1), 1) };
        world.run(0, Command::OpenProducer(Box::new(open)));
    }
    world.settle();
    // It waits there for its other queues to be found.
    world.send(0, 1, &queue("q.0"), "first", false);
    world.heard(0);
    let open = OpenConsumer { browser: true, ..world.open(1, 5, &[queue("q.>")], 10) };
    world.connections_of.insert((0, handle(5)), handle(1));
    world.handle(0, &CommandBatch { commands: vec![Command::OpenConsumer(Box::new(open))], ..CommandBatch::default() });
    let mut told = Vec::new();
    let mut goes_on = |world: &mut World, ends: fn(&Told) -> bool| {
        let turns = (1..1_000).find(|_| {
            world.go_on();
            world.log.commit();
            world.release_replies();
            told.extend(world.heard(0));
            told.iter().any(ends)
        });
        turns.expect("it comes to an end")
    };
    goes_on(&mut world, |told| matches!(told, Told::Event(Event::Reply { .. })));
    let turns = goes_on(&mut world, |told| matches!(told, Told::Event(Event::EndOfMessages { .. })));
    assert!((4..50).contains(&turns), "{turns}");
    assert_eq!(seen(&told, 5), (vec!["first".into()], true));
}

/// A look for a page goes through all that consumers of the queue have, also of other queues.
#[test]
pub fn looks_for_pages_that_take_long_come_in_turns() {
    const HELD: u32 = 24_000;
    const BROWSERS: u32 = 8;
    let mut world = World::new();
    world.connect(0, 1, "a");
    (0..HELD).for_each(|_| world.send(0, 1, &queue("other"), "", false));
    let open = world.open(1, 5, &[queue("other"), queue("q")], 30_000);
    world.consume_as(0, OpenConsumer { exclusive: true, ..open });
    world.settle();
    assert_eq!(world.got(0).len() as u32, HELD);
    world.run(0, Command::SetPrefetch { connection: handle(1), consumer: handle(5), prefetch: 1, request: wanted(8) });
    world.send(0, 1, &queue("q"), "seen", false);
    world.heard(0);
    for consumer in 10..10 + BROWSERS {
        world.connections_of.insert((0, handle(consumer)), handle(1));
        let open = OpenConsumer { browser: true, ..world.open(1, consumer, &[queue("q")], 10) };
        world.handle(
            0,
            &CommandBatch { commands: vec![Command::OpenConsumer(Box::new(open))], ..CommandBatch::default() },
        );
    }
    let turns = 1 + (0..1_000).take_while(|_| world.go_on()).count() as u32;
    let told = world.heard(0);
    assert!((10..10 + BROWSERS).all(|consumer| seen(&told, consumer).0 == ["seen"]));
    assert!(turns >= BROWSERS, "{turns}: more than one of them in a turn");
}

/// What they wait for wakes them, also where it is the queue that has to wait for it.
#[test]
pub fn browsers_that_wait_for_a_commit_are_not_looked_at_before_it() {
    const BROWSERS: u32 = 1_200;
    let mut world = World::new();
    world.connect(0, 1, "a");
    let bytes = record(&[queue("q")], b"1", true, 0, 0);
    let batch = world.publish(0, handle(1), &[queue("q")], true, (&bytes, 0), Request::default());
    world.handle(0, &batch);
    for consumer in 10..10 + BROWSERS {
        world.connections_of.insert((0, handle(consumer)), handle(1));
        let open = world.open(1, consumer, &[queue("q")], 10);
        let open = OpenConsumer { browser: true, request: Request::default(), ..open };
        world.handle(
            0,
            &CommandBatch { commands: vec![Command::OpenConsumer(Box::new(open))], ..CommandBatch::default() },
        );
    }
    assert!((0..20).any(|_| !world.go_on()), "those that wait are looked at for ever");
    assert!(world.texts(0).is_empty());
    world.settle();
    let told = world.heard(0);
    assert!((10..10 + BROWSERS).all(|consumer| seen(&told, consumer) == (vec!["1".into()], true)));
}
