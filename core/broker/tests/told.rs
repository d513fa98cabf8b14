//! What the broker tells of connections, producers, consumers and destinations, and to whom.

use crate::log::TestLog;
use crate::world::{Told as Heard, World, handle, producer, queue, topic};
use postrider_broker::Config;
use postrider_model::advisory::{Advisory, Told};
use postrider_model::command::{
    AcknowledgeKind, Described, LastDelivered, OpenConnection, OpenConsumer, OpenProducer, Request, Unsubscribe,
};
use postrider_model::properties::{Properties, Value};
use postrider_model::record::Tag;
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Event, MessageView};
use std::collections::BTreeSet;

const BRIDGE: [&str; 4] = [
    "ActiveMQ.Advisory.Consumer.Queue.>",
    "ActiveMQ.Advisory.Consumer.Topic.>",
    "ActiveMQ.Advisory.TempQueue",
    "ActiveMQ.Advisory.TempTopic",
];

fn listen(world: &mut World, port: usize, connection: u32, consumer: u32, names: &[&str], prefetch: u32) {
    let names: Vec<Destination> = names.iter().map(|name| topic(name)).collect();
    let open = world.open(connection, consumer, &names, prefetch);
    world.consume_as(port, open);
}

/// What a record tells, as `+consumer 7 of q [topic] (count)`.
fn text(record: &[u8]) -> String {
    let view = MessageView::parse(record).unwrap();
    let advisory = Advisory::of(&view).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (what, count) = match advisory.told {
        Told::Connection { client_id, .. } => (text(client_id), None),
        Told::Subscription { client_id, name } => (format!("subscription {} of {}", text(name), text(client_id)), None),
        Told::Destination((_, name)) => (text(name), None),
        Told::Producer { member, destination, .. } => {
            (format!("producer {} of {}", member.1, text(destination.1)), Some("producerCount"))
        }
        Told::Consumer { member, destination, .. } => {
            (format!("consumer {} of {}", member.1, text(destination.1)), Some("consumerCount"))
        }
    };
    let properties = view.properties().map(|bytes| Properties::new(bytes).unwrap());
    let count = count.map(|name| match properties.and_then(|map| map.get(name.as_bytes()).unwrap()) {
        Some(Value::Int(count)) => format!(" ({count})"),
        other => panic!("{name}: {other:?}"),
    });
    let (_, on) = view.destination_field(Tag::Destination).unwrap();
    let on = text(on.strip_prefix(b"ActiveMQ.Advisory.").unwrap());
    let signs = [if advisory.came { "+" } else { "-" }, if advisory.told_again { "~" } else { "" }].concat();
    format!("{signs}{what} [{on}]{}", count.unwrap_or_default())
}

fn told(world: &mut World, port: usize) -> Vec<String> {
    world.settle();
    world.got(port).iter().map(|got| text(&got.record)).collect()
}

fn consume(world: &mut World, consumer: u32, value: i64, names: &[Destination]) {
    let open = OpenConsumer { value, ..world.open(1, consumer, names, 10) };
    world.consume_as(0, open);
}

fn world() -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world
}

#[test]
pub fn a_bridge_hears_of_consumers_that_are_there_come_and_go() {
    let mut world = world();
    consume(&mut world, 5, 50, &[queue("q")]);
    consume(&mut world, 6, 60, &[topic("t")]);
    listen(&mut world, 1, 1, 9, &BRIDGE, 1_000);
    let first = ["+~consumer 50 of q [Consumer.Queue.q] (1)", "+~consumer 60 of t [Consumer.Topic.t] (1)"];
    assert_eq!(told(&mut world, 1), first);
    consume(&mut world, 7, 70, &[queue("q")]);
    consume(&mut world, 8, 80, &[queue("x"), queue("y")]);
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    let then = [
        "+consumer 70 of q [Consumer.Queue.q] (2)",
        "+consumer 80 of x,y [Consumer.Queue.x&sbquo;y] (2)",
        "-consumer 50 of q [Consumer.Queue.q] (1)",
    ];
    assert_eq!(told(&mut world, 1), then);
    world.disconnect(0, handle(1), true);
    let gone: BTreeSet<String> = told(&mut world, 1).into_iter().collect();
    let expected = [
        "-consumer 60 of t [Consumer.Topic.t] (0)",
        "-consumer 70 of q [Consumer.Queue.q] (0)",
        "-consumer 80 of x,y [Consumer.Queue.x&sbquo;y] (0)",
    ];
    assert_eq!(gone, expected.map(String::from).into());
}

#[test]
fn all_of_a_consumer_is_told() {
    let mut world = world();
    listen(&mut world, 1, 1, 9, &["ActiveMQ.Advisory.Consumer.Queue.q"], 10);
    let described = Described { marks: 0x25, rest: b"path"[..].into() };
    let open = OpenConsumer {
        session: 3,
        value: 4,
        priority: -5,
        pending_limit: 7,
        described,
        ..world.open(1, 5, &[queue("q")], 10)
    };
    world.consume_as(0, open);
    world.settle();
    let got = world.got(1);
    let view = MessageView::parse(&got[0].record).unwrap();
    let told = Told::Consumer {
        member: (3, 4),
        destination: (DestinationKind::Queue, b"q"),
        client_id: b"client of a",
        prefetch: 10,
        pending_limit: 7,
        priority: -5,
        marks: 0x25,
        selector: None,
        subscription: None,
        rest: b"path",
    };
    assert_eq!(Advisory::of(&view), Some(Advisory { came: true, told_again: false, connection: b"a", told }));
}

/// Connections, producers, queues and topics: by their own topics, and by a pattern over all.
#[test]
fn each_thing_has_its_topic() {
    let mut world = world();
    listen(&mut world, 1, 1, 9, &["ActiveMQ.Advisory.>"], 1_000);
    assert!(told(&mut world, 1).is_empty(), "as with ActiveMQ: nothing again for such a pattern but temporary ones");
    world.connect(0, 2, "c");
    let opened = |number, value, destinations: &[Destination]| {
        let destinations = destinations.into();
        let open = OpenProducer { producer: number, session: 1, destinations, ..producer(handle(2), value) };
        Command::OpenProducer(Box::new(open))
    };
    world.run(0, opened(0, 3, &[queue("p")]));
    world.run(0, opened(1, 4, &[]));
    assert_eq!(
        told(&mut world, 1),
        ["+client of c [Connection]", "+producer 3 of p [Producer.Queue.p] (1)", "+p [Queue]"]
    );
    listen(
        &mut world,
        1,
        1,
        10,
        &["ActiveMQ.Advisory.Producer.>", "ActiveMQ.Advisory.Connection", "ActiveMQ.Advisory.Queue"],
        1_000,
    );
    let again = told(&mut world, 1);
    let expected = [
        "+~p [Queue]",
        "+~client of a [Connection]",
        "+~client of b [Connection]",
        "+~client of c [Connection]",
        "+~producer 3 of p [Producer.Queue.p] (1)",
    ];
    let again: Vec<&str> = again.iter().map(String::as_str).filter(|text| !text.contains("DLQ")).collect();
    assert_eq!(again, expected);
    world.close_consumer(1, 1, 10, LastDelivered::Unknown);
    world.delete(0, 2, &queue("p"));
    world.disconnect(0, handle(2), true);
    let gone = ["-p [Queue]", "-producer 3 of p [Producer.Queue.p] (0)", "-client of c [Connection]"];
    assert_eq!(told(&mut world, 1), gone);
}

/// Nobody listens: nothing is made. And what was made for those who do goes with the last of them (R63).
#[test]
pub fn topics_of_advisories_go_with_the_last_that_listens() {
    let mut world = world();
    let before = world.broker.statistics().destinations;
    (0..100).for_each(|number| world.send(0, 1, &queue(&format!("q{number}")), "x", false));
    assert_eq!(world.broker.statistics().destinations, before + 100);
    for _ in 0..3 {
        listen(&mut world, 1, 1, 8, &["ActiveMQ.Advisory.Consumer.Queue.q1"], 10);
        listen(&mut world, 1, 1, 9, &["ActiveMQ.Advisory.>"], 10);
        assert_eq!(world.broker.statistics().destinations, before + 101);
        consume(&mut world, 5, 50, &[queue("q1")]);
        assert_eq!(told(&mut world, 1).len(), 2);
        world.close_consumer(1, 1, 8, LastDelivered::Unknown);
        world.close_consumer(1, 1, 9, LastDelivered::Unknown);
        world.close_consumer(0, 1, 5, LastDelivered::Unknown);
        world.settle();
        assert_eq!(world.broker.statistics().destinations, before + 100);
        let spool = world.log.spool_segments();
        consume(&mut world, 5, 50, &[queue("q1")]);
        world.close_consumer(0, 1, 5, LastDelivered::Unknown);
        world.settle();
        assert_eq!((told(&mut world, 1).len(), world.log.spool_segments()), (0, spool));
    }
}

/// The ring of the listener's port is full when a consumer comes: that one is answered when the port has the advisory (R57).
#[test]
pub fn a_consumer_is_answered_behind_what_tells_of_it() {
    let mut world = world();
    listen(&mut world, 1, 1, 9, &BRIDGE, 1_000);
    world.consume(1, 1, 5, &queue("q"), 10);
    world.settle();
    world.heard(0);
    world.heard(1);
    world.full = Some(1);
    world.send(0, 1, &queue("q"), "earlier", false);
    world.heard(0);
    let open = OpenConsumer { request: crate::world::wanted(77), ..world.open(1, 6, &[queue("other")], 10) };
    world.consume_as(0, open);
    world.settle();
    let answered = |world: &mut World| {
        let events = world.events(0);
        events.iter().any(|event| matches!(event, Event::Reply { token, .. } if token.0 == 77))
    };
    assert!(!answered(&mut world), "a port does not know");
    world.send(0, 1, &queue("q"), "because of it", false);
    world.full = None;
    world.settle();
    let consumers: Vec<u32> = world.got(1).iter().map(|got| got.consumer.slot).collect();
    assert_eq!(consumers, [9, 5, 5]);
    assert!(answered(&mut world));
}

/// 10,000 consumers come while one listens that takes them one by one, and 10,000 go; whoever comes then hears of none.
#[test]
fn ten_thousand_come_and_go_and_are_told_in_order() {
    const MANY: u32 = 10_000;
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 30, 1 << 20));
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    listen(&mut world, 1, 1, 9, &BRIDGE, 1_000);
    (0..MANY).for_each(|number| consume(&mut world, 10 + number, i64::from(number), &[queue("q")]));
    (0..MANY).for_each(|number| world.close_consumer(0, 1, 10 + number, LastDelivered::Unknown));
    let mut heard = Vec::new();
    while heard.len() < 2 * MANY as usize {
        let got = told(&mut world, 1);
        assert!(!got.is_empty(), "{} of {}", heard.len(), 2 * MANY);
        world.acknowledge(1, 1, 9, AcknowledgeKind::Standard, (0, 0), got.len() as u32);
        heard.extend(got);
    }
    let coming = (0..MANY).map(|number| format!("+consumer {number} of q [Consumer.Queue.q] ({})", number + 1));
    let going = (0..MANY).map(|number| format!("-consumer {number} of q [Consumer.Queue.q] ({})", MANY - number - 1));
    assert!(heard.into_iter().eq(coming.chain(going)));
    assert_eq!(world.broker.statistics().messages, 0);
}

/// Queues come by sends and by consumers, and consumers and producers go, while nobody listens: there are no destinations but theirs, not
/// even after one has listened.
#[test]
fn a_hundred_thousand_queues_make_no_topic_of_advisories() {
    const MANY: u32 = 100_000;
    let mut world = world();
    for number in 0..MANY {
        let name = queue(&format!("q.{number}"));
        match number % 3 {
            0 => world.send(0, 1, &name, "m", false),
            1 => consume(&mut world, 10 + number, i64::from(number), &[name]),
            _ => {
                let open = OpenProducer {
                    producer: number,
                    session: 1,
                    destinations: [name].into(),
                    ..producer(handle(1), 3)
                };
                world.run(0, Command::OpenProducer(Box::new(open)));
                let request = Request::default();
                world.run(0, Command::CloseProducer { connection: handle(1), producer: number, request });
            }
        }
    }
    world.settle();
    assert_eq!(world.broker.statistics().destinations, u64::from(MANY), "no other than those");
    listen(&mut world, 1, 1, 9, &BRIDGE, 1_000);
    // One for each of its names; those of its patterns have none.
    assert_eq!(world.broker.statistics().destinations, u64::from(MANY) + 2);
    world.close_consumer(1, 1, 9, LastDelivered::Unknown);
    (0..MANY).filter(|number| number % 3 == 1).for_each(|number| {
        world.close_consumer(0, 1, 10 + number, LastDelivered::Unknown);
    });
    world.settle();
    assert_eq!(world.broker.statistics().destinations, u64::from(MANY));
}

/// A new listener is told of 20,000 consumers in turns that each do no more than they may, while others come and go.
#[test]
fn what_is_there_is_told_in_slices() {
    const MANY: u32 = 20_000;
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 30, 1 << 20));
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    (0..MANY).for_each(|number| consume(&mut world, 10 + number, i64::from(number), &[queue("q")]));
    let names = [topic(BRIDGE[0])];
    let open = world.open(1, 9, &names, 30_000);
    world.connections_of.insert((1, handle(9)), handle(1));
    let mut batch = CommandBatch::default();
    batch.commands.push(Command::OpenConsumer(Box::new(open)));
    world.handle(1, &batch);
    assert!(world.go_on());
    let mut heard = world.got(1);
    assert!((100..2_000).contains(&heard.len()), "{} in one turn", heard.len());
    world.close_consumer(0, 1, 10, LastDelivered::Unknown);
    world.settle();
    heard.extend(world.got(1));
    let texts: BTreeSet<String> = heard.iter().map(|got| text(&got.record)).collect();
    assert!(texts.contains("-consumer 0 of q [Consumer.Queue.q] (19999)"));
    let again = texts.iter().filter(|text| text.starts_with("+~")).count();
    assert_eq!((heard.len(), again), (MANY as usize + 1, MANY as usize));
}

/// What clients may call things: it is told as it is, or not at all, and listens to nothing by mistake.
#[test]
fn odd_names_are_told_as_they_are() {
    let mut world = world();
    listen(&mut world, 1, 1, 9, &["ActiveMQ.Advisory.Consumer.>"], 1_000);
    consume(&mut world, 10, 1, &[queue("ActiveMQ.Advisory.Consumer.Queue.q")]);
    consume(&mut world, 11, 2, &[queue("a.>"), queue("*")]);
    consume(&mut world, 12, 3, &[topic("ActiveMQ.Advisory.Consumer.Queue.>"), topic("t")]);
    consume(&mut world, 13, 4, &[topic("ActiveMQ.Advisory.Foo")]);
    consume(&mut world, 14, 5, &[topic("ActiveMQ.Advisory")]);
    consume(&mut world, 15, 6, &[queue(".."), queue(">.x")]);
    let many: Vec<Destination> = (0..4_096).map(|number| queue(&format!("composite.{number}"))).collect();
    consume(&mut world, 16, 7, &many);
    let heard: Vec<String> = told(&mut world, 1).into_iter().filter(|told| !told.contains('~')).collect();
    let expected = [
        "+consumer 1 of ActiveMQ.Advisory.Consumer.Queue.q [Consumer.Queue.ActiveMQ.Advisory.Consumer.Queue.q] (1)",
        "+consumer 2 of a.>,* [Consumer.Queue.a.>&sbquo;*] (0)",
        "+consumer 5 of ActiveMQ.Advisory [Consumer.Topic.ActiveMQ.Advisory] (1)",
        "+consumer 6 of ..,>.x [Consumer.Queue...&sbquo;>.x] (1)",
    ];
    assert_eq!(heard, expected);
    (10..17).for_each(|consumer| world.close_consumer(0, 1, consumer, LastDelivered::Unknown));
    assert!(told(&mut world, 1).iter().all(|text| text.starts_with('-')));
}

#[test]
fn a_consumer_hears_once_of_what_several_of_its_names_say() {
    let mut world = world();
    let names = ["ActiveMQ.Advisory.>", "ActiveMQ.Advisory.Consumer.Queue.>", "ActiveMQ.Advisory.Consumer.Queue.q"];
    listen(&mut world, 1, 1, 9, &names, 1_000);
    told(&mut world, 1);
    consume(&mut world, 10, 1, &[queue("q")]);
    let heard = told(&mut world, 1);
    assert_eq!(heard.iter().filter(|text| text.starts_with("+consumer")).count(), 1, "{heard:?}");
}

/// Thousands of patterns that listen: a clear refusal beyond the bound, and all is as before when they have gone.
#[test]
fn patterns_that_listen_have_a_bound() {
    let mut world = world();
    let names = |from: u32, count: u32| -> Vec<Destination> {
        (from..from + count).map(|number| topic(&format!("ActiveMQ.Advisory.Consumer.Queue.{number}.>"))).collect()
    };
    let open = world.open(1, 5, &names(0, 4_096), 10);
    world.consume_as(1, open);
    let open = OpenConsumer { request: crate::world::wanted(77), ..world.open(1, 6, &names(4_096, 1), 10) };
    world.consume_as(1, open);
    world.settle();
    let refused = |event: &Event| matches!(event, Event::Failed { message, .. } if message.contains("4096 patterns"));
    assert!(world.events(1).iter().any(refused));
    consume(&mut world, 10, 1, &[queue("77.x")]);
    assert_eq!(told(&mut world, 1), ["+consumer 1 of 77.x [Consumer.Queue.77.x] (1)"]);
    world.close_consumer(1, 1, 5, LastDelivered::Unknown);
    world.settle();
    let open = world.open(1, 6, &names(4_096, 1), 10);
    world.consume_as(1, open);
    consume(&mut world, 11, 2, &[queue("4096")]);
    assert_eq!(told(&mut world, 1), ["+consumer 2 of 4096 [Consumer.Queue.4096] (1)"]);
    assert!(matches!(&world.heard(1)[..], [] | [Heard::Event(_), ..]));
}

/// Thousands of patterns that are looked at for each name and fit none: that is counted, so that a turn has not many such commands.
#[test]
fn a_search_that_ends_early_is_work_too() {
    let mut world = world();
    let names: Vec<Destination> =
        (0..4_096).map(|number| topic(&format!("ActiveMQ.Advisory.Consumer.Queue.a.b.c.d.{number}.>"))).collect();
    let open = world.open(1, 5, &names, 10);
    world.consume_as(1, open);
    world.settle();
    let opens = |consumers: std::ops::Range<u32>, world: &World| {
        let mut batch = CommandBatch::default();
        for consumer in consumers {
            let open = world.open(1, consumer, &[queue("a.b.c.d.x")], 10);
            batch.commands.push(Command::OpenConsumer(Box::new(open)));
        }
        batch
    };
    let batch = opens(10..11, &world);
    world.handle(0, &batch);
    assert!(!world.broker.has_worked_enough());
    let batch = opens(11..13, &world);
    world.handle(0, &batch);
    assert!(world.broker.has_worked_enough(), "three searches of two thousand steps");
    world.idle();
    assert_eq!(told(&mut world, 1), [""; 0]);
}

/// A durable subscriber is told of like any consumer of topics, and the end of its subscription besides.
#[test]
fn a_subscription_that_is_deleted_is_told_of() {
    let mut world = world();
    listen(&mut world, 1, 1, 9, &BRIDGE, 1_000);
    let open = OpenConsumer { value: 50, subscription: Some(b"s"[..].into()), ..world.open(1, 5, &[topic("t")], 10) };
    world.consume_as(0, open);
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    let unsubscribe =
        Unsubscribe { connection: handle(1), request: crate::world::wanted(8), client: None, name: b"s"[..].into() };
    world.run(0, Command::Unsubscribe(Box::new(unsubscribe)));
    let expected = [
        "+consumer 50 of t [Consumer.Topic.t] (1)",
        "-consumer 50 of t [Consumer.Topic.t] (0)",
        "-subscription s of client of a [Consumer.Topic.t]",
    ];
    assert_eq!(told(&mut world, 1), expected);
}

/// A failover client comes back with hundreds of consumers, by the names that they had, while its old connection goes in slices, whose end
/// the broker has seen before or not: of each those who listen hear last that it is there.
#[test]
pub fn of_a_client_that_comes_back_its_consumers_are_told_last() {
    comes_back(false);
    comes_back(true);
}

fn comes_back(has_ended: bool) {
    const MANY: u32 = 2_000;
    // Those that go last.
    const AGAIN: u32 = MANY - 50;
    let mut world = world();
    listen(&mut world, 1, 1, 9, &BRIDGE, 30_000);
    world.connect(0, 2, "returning");
    let open = |world: &World, connection: u32, number: u32| {
        let value = i64::from(number);
        OpenConsumer { value, ..world.open(connection, connection * 10_000 + number, &[queue("q")], 10) }
    };
    for number in 0..MANY {
        let open = open(&world, 2, number);
        world.consume_as(0, open);
    }
    told(&mut world, 1);
    let mut batch = CommandBatch::default();
    let again = OpenConnection {
        connection: handle(3),
        request: Request::default(),
        id: b"returning"[..].into(),
        client_id: b"client of returning"[..].into(),
        failover_reconnect: true,
        peer: "tcp://peer".into(),
        user: None,
        marks: 0,
    };
    if has_ended {
        let (connection, request) = (handle(2), Request::default());
        let last_delivered = LastDelivered::Unknown;
        batch.commands.push(Command::CloseConnection { connection, request, last_delivered, clean: false });
    }
    batch.commands.push(Command::OpenConnection(Box::new(again)));
    for number in AGAIN..MANY {
        let open = open(&world, 3, number);
        world.connections_of.insert((0, open.consumer), handle(3));
        batch.commands.push(Command::OpenConsumer(Box::new(open)));
    }
    world.turn(0, &batch);
    let heard = told(&mut world, 1);
    let last = |number: u32| heard.iter().rev().find(|text| text.contains(&format!("consumer {number} of"))).unwrap();
    assert!((AGAIN..MANY).all(|number| last(number).starts_with('+')), "told as gone though it is there");
    assert!((0..AGAIN).all(|number| last(number).starts_with('-')));
    assert_eq!(heard.len(), MANY as usize + 50);
}
