//! Durable subscriptions: what is sent while they are away, wherever the process ends, and what becomes of them.

use crate::transactions::{begin, claiming, commit, sending, transact};
use crate::world::{World, acknowledging, handle, queue, record, topic, wanted};
use postrider_broker::records::kind;
use postrider_broker::{Config, Log};
use postrider_model::command::{AcknowledgeKind, LastDelivered, OpenConsumer, TransactionAct, Unsubscribe};
use postrider_model::event::Failure;
use postrider_model::{Command, CommandBatch, Destination, Event, Handle};

/// A consumer of a subscription.
fn subscriber(world: &World, connection: u32, consumer: u32, to: &str, name: &str) -> OpenConsumer {
    OpenConsumer { subscription: Some(name.as_bytes().into()), ..world.open(connection, consumer, &[topic(to)], 100) }
}

pub fn subscribe(world: &mut World, port: usize, (connection, consumer): (u32, u32), to: &str, name: &str) {
    let open = subscriber(world, connection, consumer, to, name);
    world.consume_as(port, open);
    world.settle();
}

pub fn unsubscribe(world: &mut World, port: usize, connection: u32, name: &str) {
    let command =
        Unsubscribe { connection: handle(connection), request: wanted(30), client: None, name: name.as_bytes().into() };
    world.run(port, Command::Unsubscribe(Box::new(command)));
    world.settle();
}

pub fn leave(world: &mut World, port: usize, connection: u32, consumer: u32) {
    world.close_consumer(port, connection, consumer, LastDelivered::None);
    world.settle();
}

fn send(world: &mut World, to: &str, content: &str) {
    world.send(0, 1, &topic(to), content, true);
}

fn acknowledge_all(world: &mut World, port: usize, connection: u32, consumer: u32) {
    let got: Vec<_> = world.got(port).into_iter().filter(|got| got.consumer == handle(consumer)).collect();
    for got in got {
        let range = (got.sequence.0, got.sequence.0);
        world.acknowledge(port, connection, consumer, AcknowledgeKind::Standard, range, 1);
    }
    world.settle();
}

fn failure(world: &mut World, port: usize) -> (Failure, String) {
    let failed = world.events(port).into_iter().find_map(|event| match event {
        Event::Failed { failure, message, .. } => Some((failure, message.to_string())),
        _ => None,
    });
    failed.expect("a refusal")
}

pub fn world() -> World {
    let mut world = World::new();
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    world
}

/// The process ends; its clients come again.
fn again(world: World) -> World {
    let mut world = world.restarted();
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    world.heard(0);
    world.heard(1);
    world
}

fn check(world: &World) {
    world.broker.recount().unwrap();
}

#[test]
pub fn what_is_sent_while_it_is_away_is_there_when_it_comes_back_also_after_the_process_has_ended() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    send(&mut world, "t", "present");
    world.settle();
    assert_eq!(world.texts(1), ["present"]);
    leave(&mut world, 1, 1, 1);
    for number in 0..50 {
        send(&mut world, "t", &format!("{number}"));
    }
    world.settle();
    assert_eq!(world.texts(1), [""; 0]);
    check(&world);
    let mut world = again(world);
    check(&world);
    send(&mut world, "t", "later");
    world.settle();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    let got = world.got(1);
    let texts: Vec<String> = got.iter().map(|got| String::from_utf8(got.content.clone()).unwrap()).collect();
    let expected: Vec<String> = ["present".to_owned()]
        .into_iter()
        .chain((0..50).map(|number| number.to_string()))
        .chain(["later".to_owned()])
        .collect();
    assert_eq!(texts, expected);
    assert!(got[0].redeliveries > 0 && got[51].redeliveries == 0, "what went out before may have been delivered");
    assert!(got.iter().all(|got| got.destination.is_none()), "the record says where it is");
    for got in got {
        world.acknowledge(1, 1, 1, AcknowledgeKind::Standard, (got.sequence.0, got.sequence.0), 1);
    }
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    check(&world);
    let mut world = again(world);
    subscribe(&mut world, 1, (1, 1), "t", "s");
    assert_eq!(world.texts(1), [""; 0], "all of it is acknowledged");
}

#[test]
pub fn many_share_one_record_and_each_is_done_with_it_by_itself() {
    let mut world = world();
    for number in 0..10 {
        subscribe(&mut world, 1, (1, number), "t", &format!("s{number}"));
        leave(&mut world, 1, 1, number);
    }
    let before = world.log.records.len();
    for number in 0..3 {
        send(&mut world, "t", &format!("{number}"));
    }
    world.settle();
    let bodies = world.log.records[before..].iter().filter(|stored| stored.kind == kind::MESSAGE).count();
    assert_eq!(bodies, 3, "a body is in the log once");
    assert_eq!(world.broker.statistics().messages, 3, "and in the table");
    check(&world);
    for number in 0..9 {
        subscribe(&mut world, 1, (1, number), "t", &format!("s{number}"));
        assert_eq!(world.got(1).len(), 3);
        leave(&mut world, 1, 1, number);
        subscribe(&mut world, 1, (1, number), "t", &format!("s{number}"));
        acknowledge_all(&mut world, 1, 1, number);
        leave(&mut world, 1, 1, number);
        check(&world);
        if number == 4 {
            world = again(world);
            check(&world);
        }
    }
    assert_eq!(world.broker.statistics().messages, 3);
    let mut world = again(world);
    for number in 0..10 {
        subscribe(&mut world, 1, (1, number), "t", &format!("s{number}"));
        let count = world.got(1).len();
        assert_eq!(count, if number == 9 { 3 } else { 0 }, "s{number}");
    }
    check(&world);
}

#[test]
pub fn an_acknowledgement_buries_it_for_its_subscription_alone_and_a_move_names_those_that_want_it() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::with(config, 12 << 20);
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    for (number, name) in ["a", "b"].into_iter().enumerate() {
        subscribe(&mut world, 1, (1, number as u32), "t", name);
        leave(&mut world, 1, 1, number as u32);
    }
    let body = "x".repeat(1_000);
    for number in 0..200 {
        send(&mut world, "t", &format!("{number} {body}"));
    }
    world.settle();
    subscribe(&mut world, 1, (1, 0), "t", "a");
    while !world.told[1].is_empty() {
        acknowledge_all(&mut world, 1, 1, 0);
    }
    subscribe(&mut world, 1, (1, 2), "t", "late");
    leave(&mut world, 1, 1, 2);
    // What others send and take moves the front of the log on, until all that it held has moved.
    world.consume(0, 1, 50, &queue("q"), 1_000);
    for _ in 0..1_500 {
        world.send(0, 1, &queue("q"), &"y".repeat(8_000), true);
        world.settle();
        let got = world.got(0);
        for got in got {
            world.acknowledge(0, 1, 50, AcknowledgeKind::Standard, (got.sequence.0, got.sequence.0), 1);
        }
        world.settle();
    }
    assert!(world.broker.statistics().moved >= 200, "{}", world.broker.statistics().moved);
    check(&world);
    let mut world = again(world);
    check(&world);
    subscribe(&mut world, 1, (1, 0), "t", "a");
    assert_eq!(world.got(1).len(), 0, "a has had all");
    subscribe(&mut world, 1, (1, 2), "t", "late");
    assert_eq!(world.got(1).len(), 0, "this one came later");
    subscribe(&mut world, 1, (1, 1), "t", "b");
    let mut count = 0;
    while !world.told[1].is_empty() {
        count += world.told[1].len();
        acknowledge_all(&mut world, 1, 1, 1);
    }
    assert!(count >= 200, "{count}");
    assert_eq!(world.broker.statistics().messages, 0);
}

#[test]
fn a_name_is_one_consumers_at_a_time_and_goes_when_its_client_says_so() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    subscribe(&mut world, 1, (1, 2), "t", "s");
    let text = "Durable consumer is in use for client: client of a and subscriptionName: s";
    assert_eq!(failure(&mut world, 1), (Failure::General, text.to_owned()));
    unsubscribe(&mut world, 1, 1, "s");
    assert_eq!(failure(&mut world, 1), (Failure::General, text.to_owned()));
    unsubscribe(&mut world, 1, 1, "other");
    assert_eq!(failure(&mut world, 1).0, Failure::InvalidDestination);
    world.delete(1, 1, &topic("t"));
    world.settle();
    assert!(failure(&mut world, 1).1.contains("still has an active subscription"));
    leave(&mut world, 1, 1, 1);
    world.heard(1);
    world.delete(1, 1, &topic("t"));
    world.settle();
    assert!(failure(&mut world, 1).1.contains("delete its durable subscriptions"), "it has one though nobody is there");
    send(&mut world, "t", "one");
    world.settle();
    // Another client's subscription of the same name is another one.
    world.connect(0, 7, "other");
    subscribe(&mut world, 0, (7, 7), "t", "s");
    assert_eq!(world.texts(0), [""; 0]);
    unsubscribe(&mut world, 1, 1, "s");
    assert_eq!(world.broker.statistics().messages, 0);
    check(&world);
    let mut world = again(world);
    subscribe(&mut world, 1, (1, 1), "t", "s");
    assert_eq!(world.texts(1), [""; 0], "it is a new one");
    unsubscribe(&mut world, 1, 1, "s");
    leave(&mut world, 1, 1, 1);
    unsubscribe(&mut world, 1, 1, "s");
    let client = Some("client of other".as_bytes().into());
    let command = Unsubscribe { connection: handle(1), request: wanted(30), client, name: b"s".as_slice().into() };
    world.run(1, Command::Unsubscribe(Box::new(command)));
    world.settle();
    world.heard(1);
    world.delete(1, 1, &topic("t"));
    world.settle();
    let events = world.events(1);
    assert!(events.iter().all(|event| !matches!(event, Event::Failed { .. })), "{events:?}");
    let world = again(world);
    check(&world);
}

#[test]
fn one_that_changes_is_another_from_there_on() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    leave(&mut world, 1, 1, 1);
    send(&mut world, "t", "before");
    world.settle();
    let changed = |world: &World, consumer, selector: &str| OpenConsumer {
        selector: Some(selector.as_bytes().into()),
        ..subscriber(world, 1, consumer, "t", "s")
    };
    let open = changed(&world, 2, "JMSPriority > 7");
    world.consume_as(1, open);
    world.settle();
    assert_eq!(world.texts(1), [""; 0], "what waited is gone");
    assert_eq!(world.broker.statistics().messages, 0);
    send(&mut world, "t", "not for it");
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0, "what does not match is not kept");
    leave(&mut world, 1, 1, 2);
    let mut world = again(world);
    send(&mut world, "t", "nor this");
    let open = changed(&world, 2, "JMSPriority > 3");
    world.consume_as(1, open);
    send(&mut world, "t", "for it");
    world.settle();
    assert_eq!(world.texts(1), ["for it"]);
    leave(&mut world, 1, 1, 2);
    let open = changed(&world, 2, "JMSPriority > 3");
    world.consume_as(1, open);
    world.settle();
    assert_eq!(world.texts(1), ["for it"], "the same again goes on");
    leave(&mut world, 1, 1, 2);
    send(&mut world, "t", "for this, too");
    let open = changed(&world, 2, " JMSPriority>  3 /* written otherwise */ and TRUE ");
    world.consume_as(1, open);
    world.settle();
    assert_eq!(world.texts(1), [""; 0], "another one");
    leave(&mut world, 1, 1, 2);
    send(&mut world, "t", "still for it");
    let open = changed(&world, 2, "JMSPriority > 3 AND true");
    world.consume_as(1, open);
    world.settle();
    assert_eq!(world.texts(1), ["still for it"], "the same, in other writing");
    leave(&mut world, 1, 1, 2);
    subscribe(&mut world, 1, (1, 3), "u", "s");
    send(&mut world, "t", "elsewhere");
    send(&mut world, "u", "there");
    world.settle();
    assert_eq!(world.texts(1), ["there"]);
    let open = changed(&world, 4, "this is no selector");
    world.consume_as(1, open);
    assert_eq!(failure(&mut world, 1).0, Failure::InvalidSelector);
    check(&world);
}

/// The order in which a subscription names its topics is none of what it is.
#[test]
fn the_same_topics_in_another_order_are_the_same() {
    let mut world = world();
    let open = |world: &World, topics: &[&str]| {
        let topics: Vec<_> = topics.iter().map(|name| topic(name)).collect();
        OpenConsumer { destinations: topics.into(), ..subscriber(world, 1, 1, "t", "s") }
    };
    for (topics, expected) in [(&["t", "u"][..], &[][..]), (&["u", "t"], &["m"]), (&["u"], &[])] {
        let opened = open(&world, topics);
        world.consume_as(1, opened);
        world.settle();
        assert_eq!(world.texts(1), expected, "{topics:?}");
        leave(&mut world, 1, 1, 1);
        send(&mut world, "u", "m");
        world.settle();
        if topics == ["u", "t"] {
            world.heard(1);
        }
    }
    check(&world);
}

#[test]
fn patterns_include_what_comes_later_and_no_local_is_by_client() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "a.>", "s");
    let own = OpenConsumer { no_local: true, ..subscriber(&world, 1, 2, "a.*", "foreign") };
    world.consume_as(1, own);
    world.settle();
    leave(&mut world, 1, 1, 1);
    leave(&mut world, 1, 1, 2);
    send(&mut world, "a.b", "1");
    send(&mut world, "a.b.c", "2");
    send(&mut world, "b", "3");
    world.send(1, 1, &topic("a.b"), "own", true);
    world.settle();
    let mut world = again(world);
    send(&mut world, "a.d", "4");
    subscribe(&mut world, 1, (1, 1), "a.>", "s");
    assert_eq!(world.texts(1), ["1", "2", "own", "4"]);
    let own = OpenConsumer { no_local: true, ..subscriber(&world, 1, 2, "a.*", "foreign") };
    world.consume_as(1, own);
    world.settle();
    assert_eq!(world.texts(1), ["1", "4"]);
    check(&world);
}

#[test]
fn composites_plain_subscribers_and_messages_that_do_not_last() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    leave(&mut world, 1, 1, 1);
    world.consume(1, 1, 5, &topic("t"), 100);
    world.consume(1, 1, 6, &queue("q"), 100);
    let to = [queue("q"), topic("t"), topic("u")];
    let bytes = record(&to, b"all", true, 0, 0);
    world.send_as(0, handle(1), &to, true, (&bytes, 0), wanted(7));
    world.send(0, 1, &topic("t"), "passing", false);
    world.settle();
    let mut got: Vec<(u32, String, Option<Destination>)> = world
        .got(1)
        .into_iter()
        .map(|got| (got.consumer.slot, String::from_utf8(got.content).unwrap(), got.destination))
        .collect();
    got.sort_by_key(|(consumer, text, _)| (*consumer, text.clone()));
    let expected = [
        (5, "all".to_owned(), Some(topic("t"))),
        (5, "passing".to_owned(), None),
        (6, "all".to_owned(), Some(queue("q"))),
    ];
    assert_eq!(got, expected);
    check(&world);
    subscribe(&mut world, 1, (1, 1), "t", "s");
    let got = world.got(1);
    assert_eq!(got.iter().map(|got| &got.content[..]).collect::<Vec<_>>(), [b"all".as_slice(), b"passing"]);
    assert_eq!(got[0].destination, Some(topic("t")));
    leave(&mut world, 1, 1, 1);
    let mut world = again(world);
    subscribe(&mut world, 1, (1, 1), "t", "s");
    let got = world.got(1);
    assert_eq!(got.iter().map(|got| &got.content[..]).collect::<Vec<_>>(), [b"all".as_slice()]);
    assert_eq!(got[0].destination, Some(topic("t")), "also after a start");
    check(&world);
}

#[test]
fn what_is_given_up_is_one_dead_letter_and_what_expires_too() {
    let mut world = world();
    for number in [1, 2, 3] {
        subscribe(&mut world, 1, (1, number), "t", &format!("s{number}"));
    }
    send(&mut world, "t", "poison");
    world.settle();
    for got in world.got(1) {
        let (consumer, sequence) = (got.consumer.slot, got.sequence.0);
        let batch = acknowledging(1, consumer, AcknowledgeKind::Poison, (sequence, sequence), 1, b"why");
        world.turn(1, &batch);
        world.settle();
    }
    assert_eq!(world.broker.statistics().dead_lettered, 1);
    assert_eq!(world.broker.statistics().messages, 1);
    check(&world);
    for number in [1, 2, 3] {
        leave(&mut world, 1, 1, number);
    }
    let to = [topic("t")];
    let bytes = record(&to, b"mortal", true, 0, world.now.unix_millis + 1_000);
    world.send_as(0, handle(1), &to, true, (&bytes, 0), wanted(7));
    world.settle();
    assert_eq!(world.broker.statistics().messages, 2);
    world.now.unix_millis += 60_000;
    world.now.nanos += 60_000_000_000;
    world.idle();
    world.settle();
    world.now.nanos += 60_000_000_000;
    world.idle();
    world.settle();
    let statistics = world.broker.statistics();
    assert_eq!((statistics.dead_lettered, statistics.messages), (2, 2));
    check(&world);
    let mut world = again(world);
    check(&world);
    world.consume(1, 1, 9, &queue("ActiveMQ.DLQ"), 10);
    world.settle();
    assert_eq!(world.texts(1), ["poison", "mortal"]);
    subscribe(&mut world, 1, (1, 1), "t", "s1");
    assert_eq!(world.texts(1), [""; 0]);
}

#[test]
fn redeliveries_are_counted_by_subscription() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "one");
    subscribe(&mut world, 1, (1, 2), "t", "two");
    for number in 0..3 {
        send(&mut world, "t", &format!("{number}"));
    }
    world.settle();
    let got = world.got(1);
    let second = got.iter().filter(|got| got.consumer == handle(1)).nth(1).unwrap().sequence;
    world.close_consumer(1, 1, 1, LastDelivered::UpTo(second));
    world.close_consumer(1, 1, 2, LastDelivered::Unknown);
    world.settle();
    subscribe(&mut world, 1, (1, 1), "t", "one");
    subscribe(&mut world, 1, (1, 2), "t", "two");
    let counts = |world: &mut World, consumer: Handle| -> Vec<u32> {
        let got = world.told[1].iter().filter_map(|told| match told {
            crate::world::Told::Message(got) if got.consumer == consumer => Some(got.redeliveries),
            _ => None,
        });
        got.collect()
    };
    assert_eq!(counts(&mut world, handle(1)), [1, 1, 0]);
    assert_eq!(counts(&mut world, handle(2)), [1, 1, 1]);
    check(&world);
}

#[test]
fn a_name_that_is_too_long_is_refused_and_so_is_what_no_topic_is() {
    let mut world = world();
    let long = "n".repeat(1 << 20);
    let open = subscriber(&world, 1, 1, "t", &long);
    world.consume_as(1, open);
    let (kind, text) = failure(&mut world, 1);
    assert!(kind == Failure::General && text.contains("60000 bytes") && text.len() < 500, "{text}");
    unsubscribe(&mut world, 1, 1, &long);
    let (kind, text) = failure(&mut world, 1);
    assert!(kind == Failure::InvalidDestination && text.len() < 500, "{text}");
    subscribe(&mut world, 1, (1, 2), "ActiveMQ.Advisory.Connection", "s");
    assert_eq!(failure(&mut world, 1).0, Failure::InvalidDestination);
    let before = world.log.committed();
    subscribe(&mut world, 1, (1, 3), "t", "");
    assert!(world.log.committed() > before, "an empty name is one");
}

#[test]
fn a_client_that_comes_back_has_its_subscription_at_once() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    send(&mut world, "t", "1");
    world.settle();
    assert_eq!(world.texts(1), ["1"]);
    // Another socket of the same client, before the old one is known to be gone.
    let connection = Handle { slot: 2, generation: 1 };
    world.connect_as(1, connection, "a", true);
    subscribe(&mut world, 1, (2, 2), "t", "s");
    assert_eq!(world.texts(1), ["1"]);
    check(&world);
}

#[test]
fn what_never_went_out_is_not_redelivered() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    send(&mut world, "t", "first");
    world.settle();
    acknowledge_all(&mut world, 1, 1, 1);
    leave(&mut world, 1, 1, 1);
    for number in 0..500 {
        send(&mut world, "t", &format!("{number}"));
    }
    world.settle();
    let mut world = again(world);
    subscribe(&mut world, 1, (1, 1), "t", "s");
    for _ in 0..20 {
        let got = world.got(1);
        for got in got {
            assert_eq!(got.redeliveries, 0, "{}", String::from_utf8_lossy(&got.content));
            world.acknowledge(1, 1, 1, AcknowledgeKind::Standard, (got.sequence.0, got.sequence.0), 1);
        }
        world.settle();
    }
    assert_eq!(world.broker.statistics().messages, 0);
}

/// Within a transaction of the sender's connection.
fn send_within(world: &mut World, to: &[Destination], content: &str, persistent: bool) {
    let batch = sending(world, 1, to, content, persistent, 1);
    world.turn(0, &batch);
}

#[test]
pub fn what_is_committed_comes_to_those_that_are_there_then() {
    for (persistent, crashes) in [(true, false), (true, true), (false, false)] {
        let mut world = world();
        for (consumer, name) in [(1, "before"), (2, "goes"), (3, "away")] {
            subscribe(&mut world, 1, (1, consumer), "t", name);
            leave(&mut world, 1, 1, consumer);
        }
        begin(&mut world, 1, 1);
        send_within(&mut world, &[topic("t")], "1", persistent);
        unsubscribe(&mut world, 1, 1, "goes");
        send_within(&mut world, &[queue("q"), topic("t"), topic("u")], "2", persistent);
        check(&world);
        subscribe(&mut world, 1, (1, 4), "t", "between");
        let strict = OpenConsumer {
            selector: Some(b"JMSPriority > 7".as_slice().into()),
            ..subscriber(&world, 1, 5, "t", "strict")
        };
        world.consume_as(1, strict);
        let open = OpenConsumer {
            selector: Some(b"JMSPriority > 3".as_slice().into()),
            ..subscriber(&world, 1, 6, ">", "lax")
        };
        world.consume_as(1, open);
        world.settle();
        send_within(&mut world, &[topic("t")], "3", persistent);
        world.settle();
        assert_eq!(world.got(1).len(), 0, "nothing shows before it is decided");
        commit(&mut world, 1, 1);
        subscribe(&mut world, 1, (1, 7), "t", "later");
        world.settle();
        check(&world);
        let mut texts: Vec<(u32, String)> =
            world.got(1).into_iter().map(|got| (got.consumer.slot, String::from_utf8(got.content).unwrap())).collect();
        texts.sort();
        let expected: Vec<(u32, String)> = [(4, "1"), (4, "2"), (4, "3"), (6, "1"), (6, "2"), (6, "2"), (6, "3")]
            .map(|(consumer, text)| (consumer, text.to_owned()))
            .into();
        assert_eq!(texts, expected, "persistent {persistent}");
        if crashes {
            world = again(world);
            check(&world);
            for (consumer, name, count) in [(4, "between", 3), (7, "later", 0)] {
                subscribe(&mut world, 1, (1, consumer), "t", name);
                assert_eq!(world.got(1).len(), count, "{name}");
            }
        }
        for (consumer, name) in [(1, "before"), (3, "away")] {
            subscribe(&mut world, 1, (1, consumer), "t", name);
            assert_eq!(world.texts(1), ["1", "2", "3"], "{name}");
        }
        subscribe(&mut world, 1, (1, 2), "t", "goes");
        assert_eq!(world.texts(1), [""; 0], "another one of that name");
        check(&world);
    }
}

#[test]
fn what_is_rolled_back_comes_to_nobody_and_leaves_nothing() {
    for persistent in [true, false] {
        let mut world = world();
        let before = world.broker.statistics().live_bytes;
        begin(&mut world, 1, 1);
        send_within(&mut world, &[topic("t")], "0", persistent);
        subscribe(&mut world, 1, (1, 1), "t", "s");
        let subscribed = world.broker.statistics().live_bytes;
        send_within(&mut world, &[topic("t"), topic("u")], "1", persistent);
        world.run(0, transact(1, 1, TransactionAct::RollBack));
        world.settle();
        assert_eq!((world.broker.statistics().messages, world.texts(1).len()), (0, 0));
        assert!(subscribed > before && world.broker.statistics().live_bytes < subscribed + 300);
        check(&world);
        // And so where the process ends.
        begin(&mut world, 1, 1);
        send_within(&mut world, &[topic("t")], "2", persistent);
        leave(&mut world, 1, 1, 1);
        let mut world = again(world);
        subscribe(&mut world, 1, (1, 1), "t", "s");
        assert_eq!(world.broker.statistics().messages, 0);
        // Nobody has subscribed: nothing is kept.
        begin(&mut world, 1, 1);
        send_within(&mut world, &[topic("nobody")], "3", persistent);
        commit(&mut world, 1, 1);
        world.settle();
        assert_eq!(world.broker.statistics().messages, 0);
        check(&world);
    }
}

#[test]
fn what_is_received_of_a_subscription_within_a_transaction_is_its_own_until_that_is_decided() {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    for number in 0..4 {
        send(&mut world, "t", &format!("{number}"));
    }
    world.settle();
    let got = world.got(1);
    let range = (got[0].sequence.0, got[1].sequence.0);
    for (end, left) in [(TransactionAct::RollBack, 4), (TransactionAct::Commit, 2)] {
        world.run(1, transact(1, 3, TransactionAct::Begin));
        world.turn(1, &claiming(1, 1, range, 2, 3));
        check(&world);
        world.run(1, transact(1, 3, end));
        world.settle();
        assert_eq!(world.broker.statistics().messages, left);
    }
    let mut world = again(world);
    subscribe(&mut world, 1, (1, 1), "t", "s");
    assert_eq!(world.texts(1), ["2", "3"]);
}

/// A send within a transaction, subscriptions that came behind it, and the commit.
fn in_one_turn() -> (World, CommandBatch) {
    let mut world = world();
    subscribe(&mut world, 1, (1, 1), "t", "first");
    begin(&mut world, 1, 1);
    let mut batch = sending(&mut world, 1, &[topic("t")], "1", true, 1);
    for (consumer, selector) in [(2, b"JMSPriority > 7".as_slice()), (3, b"JMSPriority > 3")] {
        let open = OpenConsumer {
            selector: Some(selector.into()),
            subscription: Some(selector.into()),
            ..world.open(1, consumer, &[topic("t")], 10)
        };
        batch.commands.push(Command::OpenConsumer(Box::new(open)));
        world.connections_of.insert((0, handle(consumer)), handle(1));
    }
    batch.commands.push(transact(1, 1, TransactionAct::Commit));
    (world, batch)
}

#[test]
fn a_send_a_subscription_and_the_commit_in_one_turn() {
    let (mut world, batch) = in_one_turn();
    world.turn(0, &batch);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.iter().map(|got| got.consumer).collect::<Vec<_>>(), [handle(3)]);
    check(&world);
    acknowledge_all(&mut world, 1, 1, 1);
    world.acknowledge(0, 1, 3, AcknowledgeKind::Standard, (got[0].sequence.0, got[0].sequence.0), 1);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0, "who does not want it has acknowledged it");
}

#[test]
fn what_could_not_be_tried_is_after_a_crash_too() {
    let (mut world, batch) = in_one_turn();
    world.turn(0, &batch);
    let end = world.turn_end;
    let mut world = world.crash(end);
    world.connect(0, 1, "sender");
    check(&world);
    assert_eq!(world.broker.statistics().messages, 1);
    for (consumer, selector, count) in [(2, "JMSPriority > 7", 0), (3, "JMSPriority > 3", 1)] {
        let open = OpenConsumer {
            selector: Some(selector.as_bytes().into()),
            ..subscriber(&world, 1, consumer, "t", selector)
        };
        world.consume_as(0, open);
        world.settle();
        assert_eq!(world.got(0).len(), count, "{selector}");
    }
    check(&world);
}

#[test]
pub fn who_has_had_it_leaves_it_to_the_others_also_after_a_crash() {
    let mut world = world();
    for (consumer, name) in [(0, "a"), (1, "b")] {
        subscribe(&mut world, 1, (1, consumer), "t", name);
        leave(&mut world, 1, 1, consumer);
    }
    for content in ["1", "2", "3"] {
        send(&mut world, "t", content);
    }
    world.settle();
    subscribe(&mut world, 1, (1, 0), "t", "a");
    acknowledge_all(&mut world, 1, 1, 0);
    world.settle();
    let mut world = again(world);
    check(&world);
    subscribe(&mut world, 1, (1, 0), "t", "a");
    assert_eq!(world.texts(1), [""; 0]);
    subscribe(&mut world, 1, (1, 1), "t", "b");
    assert_eq!(world.texts(1), ["1", "2", "3"]);
}

/// What a client's subscriptions keep of memory is bounded, with what they leave to others: it stays when the client goes.
#[test]
fn what_subscriptions_keep_of_memory_is_bounded() {
    let mut world = world();
    let dear = |number: u32| {
        let patterns: Vec<String> = (0..8).map(|pattern| format!("REGEX('a{number}b{pattern}', s)")).collect();
        patterns.join(" OR ")
    };
    let attach = |world: &mut World, connection: u32, number: u32, selector: &str| {
        let name = format!("s{number}");
        let selector = Some(selector.as_bytes().into());
        let open = OpenConsumer { selector, ..subscriber(world, connection, 1_000, "t", &name) };
        world.heard(1);
        world.consume_as(1, open);
        world.settle();
        let told = world.heard(1);
        let refused = crate::transactions::failures(&told);
        if refused.is_empty() {
            world.close_consumer(1, connection, 1_000, LastDelivered::None);
            world.settle();
        }
        refused.into_iter().next()
    };
    let refused = (0..200).find_map(|number| Some((number, attach(&mut world, 1, number, &dear(number))?)));
    let (had, (failure, text)) = refused.unwrap();
    assert!((20..100).contains(&had), "{had}");
    assert_eq!(failure, Failure::ResourceAllocation);
    assert!(text.contains("the client's durable subscriptions take"), "{text}");
    assert_eq!(attach(&mut world, 1, 0, &dear(0)), None, "those that are there are");
    assert_eq!(attach(&mut world, 1, 0, &dear(999)), None, "instead of another one");
    assert_eq!(attach(&mut world, 1, 900, "a = 1"), None, "a plain one takes little");
    world.connect(1, 2, "other");
    assert_eq!(attach(&mut world, 2, 0, &dear(0)), None, "another client has room");
    let mut world = again(world);
    assert!(attach(&mut world, 1, had, &dear(had)).is_some(), "they are there after a start");
    for number in 0..3 {
        unsubscribe(&mut world, 1, 1, &format!("s{number}"));
    }
    assert_eq!(attach(&mut world, 1, had, &dear(had)), None);
}
