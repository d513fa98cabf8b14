//! What patterns of consumers take with the destinations that they fit is counted and bounded, and comes back.

use crate::world::{Told, World, handle, queue, topic};
use postrider_broker::Config;
use postrider_model::command::{LastDelivered, OpenConnection, OpenConsumer, Request};
use postrider_model::event::{Failure, Refused};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Event, Token};

/// Bytes of each connection that are free.
const FREE: u64 = 64 * 1024;

/// A world with so much for pairs, two connections, and queues `q.0` to `q.(queues - 1)`.
pub fn world(pair_bytes: u64, queues: u32) -> World {
    let mut world = World::with(Config { pair_bytes, reservation: 1_000_000, ..Config::default() }, 1 << 30);
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    for number in 0..queues {
        world.consume(0, 2, 100_000 + number, &queue(&format!("q.{number}")), 0);
        world.settle();
        world.close_consumer(0, 2, 100_000 + number, LastDelivered::None);
    }
    world.settle();
    world.heard(0);
    world
}

/// What is said when a consumer comes: the refusal of it, if it is one.
fn open(world: &mut World, connection: u32, consumer: u32, pattern: &Destination, request: Request) -> Option<String> {
    let asked = OpenConsumer { request, ..world.open(connection, consumer, std::slice::from_ref(pattern), 10) };
    world.consume_as(0, asked);
    world.settle();
    let events = world.events(0);
    match &events[..] {
        [] => None,
        [Event::Reply { token, .. }] if *token == request.token() => None,
        [Event::Failed { token, failure: Failure::ResourceAllocation, message, refused: Some(refused), .. }] => {
            assert_eq!(*token, request.answer());
            assert_eq!(**refused, Refused::Consumer(handle(consumer)));
            Some(message.to_string())
        }
        other => panic!("{other:?}"),
    }
}

const ASKED: Request = Request::new(Token(2), true);
pub const UNASKED: Request = Request::new(Token(2), false);

#[test]
pub fn patterns_over_very_many_queues_stay_within_their_bound_and_give_it_back() {
    const BUDGET: u64 = 4 << 20;
    let mut world = world(BUDGET, 2_000);
    let mut there = Vec::new();
    for consumer in 10..200 {
        let request = if consumer % 2 == 0 { ASKED } else { UNASKED };
        match open(&mut world, 1, consumer, &queue("q.>"), request) {
            None => there.push(consumer),
            Some(text) => {
                assert!(
                    text.contains("patterns of its consumers") && text.contains("`clients.memory_bytes`"),
                    "{text}"
                );
            }
        }
        assert!(world.broker.pair_bytes() <= BUDGET / 2 + FREE, "{}", world.broker.pair_bytes());
    }
    assert!((5..30).contains(&there.len()), "{}", there.len());
    assert_eq!(world.broker.statistics().consumers, there.len() as u64, "no half one is left");
    // A refused one is in none of the queues, one that is there in all.
    for number in 0..there.len() {
        world.send(0, 2, &queue("q.1999"), &number.to_string(), true);
    }
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), there.len());
    assert!(got.iter().all(|got| there.iter().any(|consumer| handle(*consumer) == got.consumer)));
    // Whoever fits little always has room.
    assert_eq!(open(&mut world, 2, 500, &queue("q.7*"), ASKED), None);
    there.iter().for_each(|consumer| world.close_consumer(0, 1, *consumer, LastDelivered::None));
    world.settle();
    world.heard(0);
    assert_eq!(world.broker.pair_bytes(), 0, "it comes back");
    assert_eq!(open(&mut world, 1, 10, &queue("q.>"), ASKED), None);
    world.disconnect(0, handle(1), true);
    world.settle();
    assert_eq!(world.broker.pair_bytes(), 0, "with the connection, too");
}

#[test]
pub fn one_connection_leaves_as_much_for_others_as_it_has() {
    let mut world = world(2 << 20, 1_000);
    let fill = |world: &mut World, connection: u32| {
        (0..200).find(|number| open(world, connection, 1_000 * connection + number, &queue("q.>"), ASKED).is_some())
    };
    let (first, second) = (fill(&mut world, 1).unwrap(), fill(&mut world, 2).unwrap());
    assert!(first > second && second > first / 3, "{first} and {second}");
}

/// What is said when a destination comes by a send, or a temporary one.
fn refusals(world: &mut World) -> Vec<String> {
    world.settle();
    let events = world.events(0);
    let texts = events.into_iter().filter_map(|event| match event {
        Event::Failed { failure: Failure::ResourceAllocation, message, .. } => Some(message.to_string()),
        _ => None,
    });
    texts.collect()
}

#[test]
pub fn a_destination_that_too_many_patterns_fit_does_not_come_and_all_others_do() {
    const PATTERNS: u32 = 3_000;
    const BUDGET: u64 = 2 << 20;
    let mut world = world(BUDGET, 0);
    for consumer in 10..10 + PATTERNS {
        assert_eq!(open(&mut world, 1, consumer, &queue("n.>"), ASKED), None);
    }
    let mut made = 0;
    let text = loop {
        world.send(0, 2, &queue(&format!("n.{made}")), "sent", true);
        if let Some(text) = refusals(&mut world).pop() {
            break text;
        }
        made += 1;
        assert!(made < 50, "{}", world.broker.pair_bytes());
    };
    assert!(made > 2 && world.broker.pair_bytes() <= BUDGET, "{made}: {}", world.broker.pair_bytes());
    assert!(text.starts_with(&format!("queue://n.{made} cannot be created")), "{text}");
    assert!(text.contains("`clients.memory_bytes`"), "{text}");
    let before = world.broker.statistics();
    // Neither by a consumer that names it.
    world.consume(0, 2, 9_000, &queue("n.named"), 10);
    assert_eq!(refusals(&mut world).len(), 1);
    assert_eq!(world.broker.statistics().destinations, before.destinations);
    assert_eq!(world.broker.statistics().consumers, before.consumers);
    // What is there goes on, and what these patterns do not fit comes into being.
    world.send(0, 2, &queue("n.0"), "again", true);
    world.send(0, 2, &queue("other"), "sent", true);
    world.send(0, 2, &topic("n.topic"), "sent", true);
    assert_eq!(refusals(&mut world), [""; 0]);
    assert_eq!(world.broker.statistics().destinations, before.destinations + 2);
    // With their consumers gone there is room.
    (10..10 + PATTERNS).for_each(|consumer| world.close_consumer(0, 1, consumer, LastDelivered::None));
    world.settle();
    world.events(0);
    assert_eq!(world.broker.pair_bytes(), 0);
    world.send(0, 2, &queue("n.new"), "sent", true);
    assert_eq!(refusals(&mut world), [""; 0]);
}

/// All in one turn: what is on its way to its consumers counts before it is there.
#[test]
pub fn destinations_that_come_at_once_do_not_go_beyond_the_bound_together() {
    const BUDGET: u64 = 4 << 20;
    let mut world = world(BUDGET, 0);
    for consumer in 10..3_010 {
        assert_eq!(open(&mut world, 1, consumer, &queue("n.>"), ASKED), None);
    }
    for number in 0..100 {
        let to = [queue(&format!("n.{number}"))];
        let bytes = crate::world::record(&to, b"sent", true, 0, 0);
        let batch = world.publish(0, handle(2), &to, true, (&bytes, 0), ASKED);
        world.handle(0, &batch);
    }
    world.settle();
    assert!(world.broker.pair_bytes() <= BUDGET, "{}", world.broker.pair_bytes());
    // What they have found by then is not promised besides: as many come as one by one.
    assert_eq!(world.broker.statistics().destinations, (BUDGET + FREE) / (3_000 * 128));
    world.events(0);
}

#[test]
pub fn a_dead_letter_queue_comes_though_nothing_more_may() {
    let mut world = world(0, 1);
    crowd(&mut world, 1, &queue("ActiveMQ.>"), 600);
    world.send(0, 2, &queue("ActiveMQ.sent"), "sent", true);
    assert_eq!(refusals(&mut world).len(), 1, "nothing more may");
    world.consume(0, 2, 6, &queue("q.0"), 10);
    world.send(0, 2, &queue("q.0"), "poison", true);
    world.settle();
    poison(&mut world);
    assert_eq!(world.texts(0), ["poison"]);
}

/// The one message that consumer 6 of the second connection has goes to the dead letters.
fn poison(world: &mut World) {
    let sequence = world.got(0)[0].sequence;
    let kind = postrider_model::command::AcknowledgeKind::Poison;
    world.acknowledge(0, 2, 6, kind, (sequence.0, sequence.0), 1);
    world.settle();
}

/// So many consumers of a connection's, each of this pattern.
fn crowd(world: &mut World, connection: u32, pattern: &Destination, count: u32) {
    for number in 0..count {
        assert_eq!(open(world, connection, 10_000 * connection + number, pattern, ASKED), None);
    }
}

/// Takes all there is, with destinations `a.0` and so on that 600 consumers of the first connection's are for.
fn filled(budget: u64) -> World {
    let mut world = world(budget, 0);
    crowd(&mut world, 1, &queue("a.>"), 600);
    let refused = (0..100).find(|number| {
        world.send(0, 2, &queue(&format!("a.{number}")), "sent", true);
        !refusals(&mut world).is_empty()
    });
    assert!(refused.is_some_and(|number| number > 1), "{refused:?}");
    world
}

#[test]
pub fn what_no_pattern_fits_comes_though_those_take_more_than_they_may() {
    let mut world = filled(1 << 20);
    // These have the same beginning, and do not fit.
    crowd(&mut world, 1, &queue("other.*"), 300);
    for name in ["other.one.more", "elsewhere"] {
        world.send(0, 2, &queue(name), "sent", true);
        assert_eq!(refusals(&mut world), [""; 0], "{name}");
    }
    assert!(world.broker.statistics().destinations > 2);
    // The dead letter queue takes more than all may.
    crowd(&mut world, 1, &queue("ActiveMQ.>"), 2_000);
    world.consume(0, 2, 6, &queue("elsewhere"), 10);
    world.settle();
    poison(&mut world);
    assert_eq!(world.texts(0), ["sent"]);
    assert!(world.broker.pair_bytes() > 1 << 20, "{}", world.broker.pair_bytes());
    world.send(0, 2, &queue("other.one.again"), "sent", true);
    assert_eq!(refusals(&mut world), [""; 0]);
}

#[test]
pub fn a_destination_comes_for_consumers_whose_connections_have_something_free() {
    let mut world = filled(1 << 20);
    crowd(&mut world, 2, &queue("b.>"), 10);
    for number in 0..10 {
        world.send(0, 2, &queue(&format!("b.{number}")), "sent", true);
        assert_eq!(refusals(&mut world), [""; 0]);
    }
    let mut made = 10;
    while made < 100 && refusals(&mut world).is_empty() {
        world.send(0, 2, &queue(&format!("b.{made}")), "sent", true);
        made += 1;
    }
    assert!((50..120).contains(&made), "no more than that: {made}");
}

#[test]
pub fn a_consumer_with_many_patterns_takes_a_destination_once() {
    let mut world = world(100 * 1024, 0);
    let patterns: Vec<Destination> = (0..1_000).map(|number| queue(&format!("n.>.{number}"))).collect();
    let asked = OpenConsumer { request: ASKED, ..world.open(1, 5, &patterns, 10) };
    world.consume_as(0, asked);
    world.settle();
    world.events(0);
    for number in 0..5 {
        world.send(0, 2, &queue(&format!("n.{number}")), "sent", true);
        assert_eq!(refusals(&mut world), [""; 0], "{number}");
    }
}

#[test]
pub fn a_temporary_destination_is_for_its_owners_consumers_only() {
    let temporary = |name: &str| Destination::new(DestinationKind::TemporaryQueue, name.as_bytes());
    let mut world = filled(1 << 20);
    crowd(&mut world, 1, &temporary(">"), 2_000);
    world.create_temporary(0, 2, &temporary("of the second"));
    assert_eq!(refusals(&mut world), [""; 0]);
    world.create_temporary(0, 1, &temporary("of the first"));
    assert_eq!(refusals(&mut world).len(), 1);
}

/// It is refused in the middle of its way: what it was in by then has nothing for it.
#[test]
pub fn a_refused_consumer_has_got_nothing() {
    let mut world = world(1 << 20, 8_000);
    for number in [0, 1, 1_000, 7_999] {
        world.send(0, 2, &queue(&format!("q.{number}")), "sent", true);
    }
    world.settle();
    world.events(0);
    for (consumer, exclusive) in [(5, false), (6, true)] {
        let asked = OpenConsumer { exclusive, ..world.open(1, consumer, &[queue("q.>")], 10) };
        world.consume_as(0, asked);
        world.settle();
        let heard = world.heard(0);
        assert!(
            matches!(&heard[..], [Told::Event(Event::Failed { failure: Failure::ResourceAllocation, .. })]),
            "{heard:?}"
        );
        world.close_consumer(0, 1, consumer, LastDelivered::None);
        world.settle();
        assert!(matches!(&world.heard(0)[..], [Told::Event(Event::Reply { .. })]), "its end does no harm");
    }
    assert_eq!(world.broker.pair_bytes(), 0);
    // One that has its own takes all there is, and nothing counts as had.
    world.consume_as(0, world.open(2, 7, &[0, 1, 1_000, 7_999].map(|number| queue(&format!("q.{number}"))), 10));
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|got| got.redeliveries == 0));
}

/// One that has them all gets what was there, and what came meanwhile.
#[test]
pub fn a_consumer_that_finds_very_many_gets_their_messages_when_it_has_all() {
    for (browser, pulls, to) in [
        (false, false, queue("q.0")),
        (false, false, topic("q.0")),
        (false, true, queue("q.0")),
        (true, false, queue("q.0")),
    ] {
        let mut world = world(16 << 20, if to.kind.is_topic() { 0 } else { 8_000 });
        if to.kind.is_topic() {
            (0..8_000).for_each(|number| world.consume(0, 2, 9, &topic(&format!("q.{number}")), 0));
        }
        world.send(0, 2, &to, "before", true);
        world.settle();
        world.events(0);
        let prefetch = if pulls { 0 } else { 10 };
        let all = Destination::new(to.kind, b"q.>");
        let open = OpenConsumer { browser, ..world.open(1, 5, &[all], prefetch) };
        world.connections_of.insert((0, handle(5)), handle(1));
        world.handle(0, &one(Command::OpenConsumer(Box::new(open))));
        assert!(world.go_on(), "it is on its way");
        let (connection, consumer) = (handle(1), handle(5));
        let pull = || Command::Pull { connection, consumer, timeout_millis: -1, request: UNASKED };
        if pulls {
            world.handle(0, &one(pull()));
        }
        let to = [to];
        let bytes = crate::world::record(&to, b"meanwhile", true, 0, 0);
        let batch = world.publish(0, handle(2), &to, true, (&bytes, 0), UNASKED);
        world.handle(0, &batch);
        assert!(world.go_on(), "it still is");
        world.settle();
        let mut got = world.texts(0);
        if pulls {
            world.run(0, pull());
            world.settle();
            got.extend(world.texts(0));
        }
        let expected: &[&str] = match browser {
            true => &["before"],
            false if to[0].kind.is_topic() => &["meanwhile"],
            false => &["before", "meanwhile"],
        };
        assert_eq!(got, expected, "{to:?}, browser {browser}, pulls {pulls}");
    }
}

pub fn one(command: Command) -> CommandBatch {
    CommandBatch { commands: vec![command], ..CommandBatch::default() }
}

/// What the one before has goes: its consumers wait for that instead of being refused.
#[test]
pub fn a_client_that_comes_back_gets_what_it_had() {
    let mut world = world(2 << 20, 1_000);
    let had = (10..100).take_while(|number| open(&mut world, 1, *number, &queue("q.>"), ASKED).is_none()).count();
    assert!(had > 6, "{had}");
    let client = OpenConnection {
        connection: handle(3),
        request: ASKED,
        id: b"a".as_slice().into(),
        client_id: b"client of a".as_slice().into(),
        failover_reconnect: true,
        peer: "tcp://peer".into(),
        user: None,
        marks: 0,
    };
    world.handle(0, &one(Command::OpenConnection(Box::new(client))));
    for number in 0..had as u32 {
        let open = world.open(3, 200 + number, &[queue("q.>")], 10);
        world.handle(0, &one(Command::OpenConsumer(Box::new(open))));
    }
    world.settle();
    assert_eq!(refusals(&mut world), [""; 0]);
    assert_eq!(world.broker.statistics().consumers, had as u64);
    assert!(open(&mut world, 3, 300, &queue("q.>"), ASKED).is_some(), "and no more than that");
    world.disconnect(0, handle(3), true);
    world.settle();
    assert_eq!(world.broker.pair_bytes(), 0);
}

/// What was free for each connection is nobody else's room, also while it goes.
#[test]
pub fn what_was_free_does_not_count_on_its_way_out() {
    const CLIENTS: std::ops::Range<u32> = 3..33;
    let mut world = world(256 * 1024, 8);
    for client in CLIENTS {
        world.connect(0, client, &format!("client {client}"));
        world.settle();
        world.events(0);
        for number in 0..60 {
            assert_eq!(open(&mut world, client, 1_000 * client + number, &queue("q.>"), ASKED), None);
        }
    }
    crowd(&mut world, 1, &queue("n.>"), 1_000);
    for client in CLIENTS {
        let (connection, last_delivered) = (handle(client), LastDelivered::None);
        world.handle(0, &one(Command::CloseConnection { connection, request: UNASKED, last_delivered, clean: true }));
    }
    let mut turns = 0;
    while world.go_on() {
        assert_eq!(world.broker.pair_bytes(), 0, "in turn {turns}");
        turns += 1;
    }
    assert!(turns > 5, "{turns}");
    world.settle();
    assert_eq!(world.broker.pair_bytes(), 0);
}

/// It waits for what goes also when there is not room for a whole page more, with which it is found.
#[test]
pub fn who_needs_all_that_there_is_waits_for_what_goes() {
    const QUEUES: u32 = 40;
    const CONSUMERS: u32 = 100;
    let mut world = world(2 * (u64::from(QUEUES * CONSUMERS) * 128 - FREE), 2_500);
    let mine = (0..600).map(|number| format!("p.{number}"));
    for name in (0..QUEUES).map(|number| format!("n.{number}")).chain(mine) {
        world.send(0, 2, &queue(&name), "sent", true);
    }
    assert_eq!(refusals(&mut world), [""; 0]);
    crowd(&mut world, 1, &queue("n.>"), CONSUMERS - 1);
    let many: Vec<Destination> = (0..2_500).map(|number| queue(&format!("q.{number}"))).chain([queue("p.>")]).collect();
    world.consume_as(0, OpenConsumer { request: ASKED, ..world.open(2, 5, &many, 0) });
    world.settle();
    assert_eq!(refusals(&mut world), [""; 0]);
    let (connection, consumer, last_delivered) = (handle(2), handle(5), LastDelivered::None);
    world.handle(0, &one(Command::CloseConsumer { connection, consumer, last_delivered, request: UNASKED }));
    let open = OpenConsumer { request: ASKED, ..world.open(1, 6, &[queue("n.>")], 10) };
    world.handle(0, &one(Command::OpenConsumer(Box::new(open))));
    assert!(world.go_on() && world.broker.statistics().consumers > u64::from(CONSUMERS), "both are on their way");
    world.settle();
    assert_eq!(refusals(&mut world), [""; 0]);
    assert_eq!(world.broker.statistics().consumers, u64::from(CONSUMERS));
}

/// A destination on its way is promised room with all patterns, of which few may fit it.
#[test]
pub fn what_is_promised_keeps_nobody_out_for_whom_there_is_room() {
    const CROWD: u32 = 1_500;
    const QUEUES: u32 = 320;
    let mut world = world(u64::from(CROWD) * 128 + 633_440, QUEUES);
    crowd(&mut world, 1, &queue("n.>.x"), CROWD);
    let to = [queue("n.a.y")];
    let bytes = crate::world::record(&to, b"sent", true, 0, 0);
    let batch = world.publish(0, handle(2), &to, true, (&bytes, 0), UNASKED);
    world.handle(0, &batch);
    assert_eq!(world.broker.pair_bytes(), u64::from(CROWD) * 128, "it is on its way");
    let open =
        OpenConsumer { request: ASKED, exclusive: true, no_local: true, ..world.open(2, 6, &[queue("q.>")], 10) };
    world.handle(0, &one(Command::OpenConsumer(Box::new(open))));
    assert_eq!(refusals(&mut world), [""; 0]);
    assert_eq!(world.broker.pair_bytes(), u64::from(QUEUES) * 1_216 - FREE);
}

/// Each pattern is held against the name once, not against those before it again and again.
#[test]
pub fn a_destination_that_few_of_very_many_patterns_fit_takes_few_turns() {
    const PATTERNS: usize = 4_000;
    let mut world = world(1 << 30, 0);
    // They all begin alike, and the last fits.
    let mut patterns: Vec<Destination> =
        (0..PATTERNS).map(|number| queue(&format!("n.*.*.*.*.*.*.*.{number}"))).collect();
    patterns.push(queue("n.>"));
    world.consume_as(0, OpenConsumer { request: ASKED, ..world.open(1, 5, &patterns, 10) });
    world.settle();
    world.events(0);
    let to = [queue("n.a.b.c.d.e.f.g.h")];
    let bytes = crate::world::record(&to, b"sent", true, 0, 0);
    let batch = world.publish(0, handle(2), &to, true, (&bytes, 0), ASKED);
    world.handle(0, &batch);
    let turns = (0..).take_while(|_| world.go_on()).count();
    assert!(turns < 30, "{turns}");
    world.settle();
    assert_eq!(world.texts(0), ["sent"]);
}

/// It leaves its queues turn by turn, and what it had goes back at the end: until then what is newer waits, as it did before.
#[test]
fn what_a_consumer_of_very_many_queues_had_comes_back_before_what_is_newer() {
    const QUEUES: u32 = 3_000;
    for number in [0, QUEUES / 2, QUEUES - 1] {
        let mut world = world(1 << 30, QUEUES);
        let one = queue(&format!("q.{number}"));
        let all = OpenConsumer { exclusive: true, ..world.open(1, 5, &[queue("q.>")], 10) };
        world.consume_as(0, all);
        world.settle();
        world.consume(0, 2, 6, &one, 100);
        let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        for text in &expected {
            world.send(0, 2, &one, text, true);
        }
        world.settle();
        assert_eq!(world.texts(0), expected[..10]);
        world.close_consumer(0, 1, 5, LastDelivered::None);
        world.settle();
        assert_eq!(world.texts(0), expected, "q.{number}");
    }
}
