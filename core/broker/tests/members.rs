//! Many consumers, producers and destinations: what one of them does takes no longer for all of them.

use crate::world::{World, handle, producer, queue, record, topic, wanted};
use postrider_broker::Config;
use postrider_journal::body_crc;
use postrider_model::command::{AcknowledgeKind, LastDelivered, OpenConsumer, OpenProducer, Publish, Request};
use postrider_model::{Command, CommandBatch, Destination, Event, Token, limits};
use std::time::{Duration, Instant};

#[test]
pub fn what_consumers_do_not_want_does_not_stop_them() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    let mut open = world.open(1, 5, &[queue("q")], 100);
    open.no_local = true;
    world.consume_as(0, open);
    (0..2_500).for_each(|number| world.send(0, 1, &queue("q"), &number.to_string(), true));
    (0..3).for_each(|number| world.send(0, 2, &queue("q"), &format!("foreign {number}"), true));
    world.settle();
    assert_eq!(world.texts(0), ["foreign 0", "foreign 1", "foreign 2"]);
    // What another consumer gives back is met again, be it older than what was tried.
    world.consume(0, 2, 6, &queue("q"), 1_000);
    world.send(0, 2, &queue("q"), "taken", true);
    world.settle();
    assert_eq!(world.texts(0).len(), 1_001);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, 2_503), 3);
    world.close_consumer(0, 2, 6, LastDelivered::None);
    world.settle();
    assert!(world.texts(0).is_empty(), "they are its own");
    let mut all = world.open(2, 7, &[queue("q")], 5_000);
    all.no_local = true;
    world.consume_as(0, all);
    world.settle();
    let expected: Vec<String> = (0..2_500).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(0), expected);
}

#[test]
pub fn the_first_exclusive_consumer_of_the_highest_priority_is_served_alone() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let mut next = 0;
    let mut served = |world: &mut World| {
        next += 1;
        world.send(0, 1, &queue("q"), &next.to_string(), false);
        let got = world.got(0);
        assert!(got.len() <= 1, "{got:?}");
        got.first().map(|got| {
            world.acknowledge(0, 1, got.consumer.slot, AcknowledgeKind::Standard, (0, got.sequence.0), 1);
            got.consumer.slot
        })
    };
    world.consume(0, 1, 5, &queue("q"), 1);
    for (consumer, priority) in [(6, 0), (7, 0), (8, 1)] {
        let mut open = world.open(1, consumer, &[queue("q")], 1);
        (open.exclusive, open.priority) = (true, priority);
        world.consume_as(0, open);
        assert_eq!(served(&mut world), Some(if consumer == 8 { 8 } else { 6 }));
    }
    for (closed, then) in [(8, 6), (6, 7), (7, 5)] {
        world.close_consumer(0, 1, closed, LastDelivered::None);
        assert_eq!(served(&mut world), Some(then));
    }
}

/// A batch of consumers that are opened like this one.
fn open_many(world: &mut World, count: u32, destination: &Destination, change: impl Fn(&mut OpenConsumer)) -> Duration {
    let start = Instant::now();
    for first in (0..count).step_by(256) {
        let mut batch = CommandBatch::default();
        for number in first..count.min(first + 256) {
            let mut open = world.open(1, 10 + number, std::slice::from_ref(destination), 10);
            open.request = Request::default();
            change(&mut open);
            batch.commands.push(Command::OpenConsumer(Box::new(open)));
        }
        world.turn(0, &batch);
    }
    start.elapsed()
}

/// Longest command or turn, and all of them, until the connection is gone.
fn leave(world: &mut World) -> (Duration, Duration) {
    let (connection, last_delivered, clean) = (handle(1), LastDelivered::Unknown, true);
    let close = Command::CloseConnection { connection, request: wanted(99), last_delivered, clean };
    let (now, port) = (world.now, postrider_model::PortIndex(0));
    let batch = CommandBatch { commands: vec![close.clone()], ..CommandBatch::default() };
    world.log.begin(world.broker.bound(port, &batch));
    let start = Instant::now();
    world.broker.handle(port, &close, &[], now, &mut world.log, &mut world.out);
    let mut longest = start.elapsed();
    loop {
        let turn = Instant::now();
        let more = world.broker.advance(now, &mut world.log, &mut world.out);
        world.broker.end_turn(now, &mut world.log, &mut world.out);
        longest = longest.max(turn.elapsed());
        world.log.seal();
        if !more {
            break;
        }
    }
    let all = start.elapsed();
    world.settle();
    assert_eq!(world.broker.statistics().consumers, 0);
    (longest, all)
}

type Change = fn(&mut OpenConsumer);

/// They are closed in slices; meanwhile they get nothing, and the answer waits.
#[test]
pub fn a_connection_with_many_consumers_leaves_in_slices() {
    let mut world = World::new();
    world.sockets_take = false;
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    open_many(&mut world, 2_000, &queue("q"), |open| open.prefetch = 1);
    (0..3_000).for_each(|number| world.send(1, 1, &queue("q"), &number.to_string(), false));
    assert_eq!(world.got(0).len(), 2_000);
    let (connection, last_delivered, clean) = (handle(1), LastDelivered::None, true);
    let close = Command::CloseConnection { connection, request: wanted(99), last_delivered, clean };
    let batch = CommandBatch { commands: vec![close.clone()], ..CommandBatch::default() };
    let (now, port) = (world.now, postrider_model::PortIndex(0));
    world.log.begin(world.broker.bound(port, &batch));
    world.broker.handle(port, &close, &[], now, &mut world.log, &mut world.out);
    assert!((1_800..2_000).contains(&world.broker.statistics().consumers), "a slice");
    let mut turns = 0;
    while world.broker.statistics().consumers > 0 {
        assert!(world.out.take_replies(port).is_none(), "it is not done");
        world.broker.advance(now, &mut world.log, &mut world.out);
        world.broker.end_turn(now, &mut world.log, &mut world.out);
        world.log.seal();
        assert!(world.out.take_deliveries(port).is_none(), "nobody is there");
        turns += 1;
    }
    assert!(turns > 5, "{turns}");
    world.settle();
    assert_eq!(world.events(0), [Event::Reply { connection, token: Token(99) }]);
    assert_eq!(world.broker.statistics().connections, 1);
    world.sockets_take = true;
    world.consume(1, 1, 5, &queue("q"), 5_000);
    world.settle();
    let expected: Vec<String> = (0..3_000).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(1), expected);
}

/// Its socket is closed when it has that answer (R13).
#[test]
pub fn the_answer_to_a_goodbye_is_the_last_one() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    (0..2).for_each(|number| world.send(0, 1, &queue(&number.to_string()), "x", false));
    (0..5_000).for_each(|_| world.send(0, 1, &queue("q"), "x", false));
    world.settle();
    world.heard(0);
    let (connection, last_delivered, clean) = (handle(1), LastDelivered::None, true);
    let delete = |(number, name)| {
        let destination = Box::new(queue(name));
        Command::DeleteDestination { connection, destination, request: wanted(number) }
    };
    let mut commands: Vec<Command> = [(1, "0"), (2, "q"), (3, "1")].map(delete).into();
    commands.push(Command::Synchronize { connection, request: wanted(4) });
    commands.push(Command::CloseConnection { connection, request: wanted(5), last_delivered, clean });
    world.handle(0, &CommandBatch { commands, ..CommandBatch::default() });
    world.settle();
    let answers: Vec<Event> = world.events(0);
    assert_eq!(answers.len(), 5, "{answers:?}");
    assert_eq!(answers.last(), Some(&Event::Reply { connection, token: Token(5) }), "{answers:?}");
}

/// A client that reads nothing lets its consumers wait for its socket. Those that are gone are looked through by those that go: they may
/// not become many, though others get their places at once.
#[test]
pub fn consumers_that_waited_and_are_gone_are_few() {
    const COUNT: u32 = 300;
    let mut world = World::new();
    world.sockets_take = false;
    world.connect(0, 1, "a");
    let text = "x".repeat(10_000);
    (0..50).for_each(|_| world.send(0, 1, &queue("q"), &text, false));
    open_many(&mut world, COUNT, &queue("q"), |_| ());
    world.settle();
    assert!(world.broker.waiters() >= COUNT as usize - 30, "the window is closed: {}", world.broker.waiters());
    for _ in 0..10 {
        for number in 10..10 + COUNT {
            world.close_consumer(0, 1, number, LastDelivered::None);
            world.consume(0, 1, number, &queue("q"), 10);
            let waiters = world.broker.waiters();
            assert!(waiters <= 2 * COUNT as usize + 64, "{waiters}");
        }
    }
    (10..10 + COUNT).for_each(|number| world.close_consumer(0, 1, number, LastDelivered::None));
    world.settle();
    assert!(world.broker.waiters() <= 64, "{}", world.broker.waiters());
    world.sockets_take = true;
    world.consume(0, 1, 5, &queue("q"), 100);
    world.idle();
}

/// The same where bytes are waited for that the disk does not give.
#[test]
pub fn browsers_that_waited_for_bytes_and_are_gone_are_few() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.send(0, 1, &queue("q"), "x", true);
    world.settle();
    world.log.cold.insert(0);
    for number in 0..1_000 {
        let open = world.open(1, 10 + number % 2, &[queue("q")], 10);
        world.consume_as(0, OpenConsumer { browser: true, ..open });
        world.close_consumer(0, 1, 10 + number % 2, LastDelivered::None);
        assert!(world.broker.waiters() <= 64, "{}", world.broker.waiters());
    }
    let open = world.open(1, 10, &[queue("q")], 10);
    world.consume_as(0, OpenConsumer { browser: true, ..open });
    world.settle();
    assert_eq!((world.texts(0), world.broker.waiters()), (vec![], 1));
    world.log.cold.clear();
    world.broker.fetched();
    world.settle();
    assert_eq!((world.texts(0), world.broker.waiters()), (vec!["x".to_owned()], 0));
}

fn crowd(count: u32) {
    let kinds: [(&str, Destination, Change); 6] = [
        ("plain", queue("q"), |_| ()),
        ("exclusive", queue("q"), |open| open.exclusive = true),
        ("noLocal", queue("q"), |open| open.no_local = true),
        ("browsers", queue("q"), |open| open.browser = true),
        ("of a topic", topic("t"), |_| ()),
        ("of a pattern", queue("q.>"), |_| ()),
    ];
    for (name, destination, change) in kinds {
        let config = Config { reservation: 1_000_000, ..Config::default() };
        let mut world = World::with(config, 1 << 30);
        world.connect(0, 1, "a");
        let opened = open_many(&mut world, count, &destination, change);
        assert_eq!(world.broker.statistics().consumers, u64::from(count));
        let sent = Instant::now();
        let to = if destination.is_wildcard() { queue("q.1") } else { destination.clone() };
        world.sockets_take = false;
        (0..10).for_each(|_| world.send(0, 1, &to, "x", false));
        let sent = sent.elapsed();
        world.heard(0);
        let (longest, all) = leave(&mut world);
        println!(
            "{count} consumers {name}: opened in {opened:?}, 10 sends {sent:?}, gone in {all:?}, longest {longest:?}"
        );
    }
}

#[test]
pub fn crowds_of_consumers_come_and_go() {
    crowd(3_000);
}

#[test]
#[ignore = "measures, run it by itself with --release"]
fn time_of_crowds() {
    crowd(65_536);
}

/// Producers that send once each and are closed, of one connection; then it says goodbye.
fn producers(count: u32) {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let to = [queue("q")];
    let bytes = record(&to, b"x", true, 1, 0);
    let (connection, request) = (handle(1), Request::default());
    world.run(0, Command::DefineDestination { connection, number: 77, destinations: to.as_slice().into() });
    let start = Instant::now();
    for value in 0..i64::from(count) {
        let mut batch = CommandBatch::default();
        let open = OpenProducer { producer: 9, ..producer(connection, value) };
        batch.commands.push(Command::OpenProducer(Box::new(open)));
        let (record, record_crc) = (batch.store(&bytes), body_crc(&bytes));
        batch.commands.push(Command::Publish(Publish {
            connection,
            request,
            producer: 9,
            destination: 77,
            record,
            record_crc,
            persistent: true,
            windowed: false,
            transaction: None,
            producer_sequence: 1,
        }));
        batch.commands.push(Command::CloseProducer { connection, producer: 9, request });
        world.turn(0, &batch);
        if value % 1_000 == 0 {
            world.settle();
            world.heard(0);
        }
    }
    let sent = start.elapsed();
    let (longest, all) = leave(&mut world);
    println!("{count} producers: sent in {sent:?}, goodbye {all:?}, longest {longest:?}");
    assert_eq!(world.broker.statistics().messages, u64::from(count));
}

#[test]
pub fn a_crowd_of_producers_is_forgotten() {
    producers(2_000);
}

#[test]
#[ignore = "measures, run it by itself with --release"]
fn time_of_producers() {
    [5_000, 10_000, 20_000, 40_000].into_iter().for_each(producers);
}

/// Patterns that fit a tenth of many queues.
fn patterns(consumers: u32, queues: u32) {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let connection = handle(1);
    for number in 0..queues {
        let destinations = [queue(&format!("some.{}.{number}", number % 10))];
        let open = OpenProducer { producer: 9, destinations: destinations.into(), ..producer(connection, 1) };
        world.run(0, Command::OpenProducer(Box::new(open)));
    }
    let (mut longest, start) = (Duration::ZERO, Instant::now());
    for number in 0..consumers {
        let one = Instant::now();
        let mut open = world.open(1, 10 + number, &[queue(&format!("some.{}.>", number % 10))], 10);
        open.request = Request::default();
        world.consume_as(0, open);
        longest = longest.max(one.elapsed());
    }
    let opened = start.elapsed();
    world.settle();
    assert!(world.broker.pair_bytes() <= limits::CLIENT_MEMORY_BYTES, "{}", world.broker.pair_bytes());
    let (pause, all) = leave(&mut world);
    println!(
        "{consumers} patterns over {queues} queues: {opened:?}, longest {longest:?}, gone {all:?}, longest {pause:?}"
    );
}

#[test]
pub fn a_crowd_of_patterns_comes_and_goes() {
    patterns(50, 500);
}

#[test]
#[ignore = "measures, run it by itself with --release"]
fn time_of_patterns() {
    patterns(2_000, 10_000);
}
