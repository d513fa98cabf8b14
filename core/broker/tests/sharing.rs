//! What subscriptions share where a record of theirs, or of their topic, is lost or damaged, or somebody has not decided.

use crate::log::TestLog;
use crate::rotten::kept;
use crate::subscriptions::{leave, subscribe, unsubscribe, world};
use crate::transactions::{begin, claiming, commit, send, transact};
use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_broker::records::kind;
use postrider_broker::{Config, Log};
use postrider_model::Event;
use postrider_model::command::{AcknowledgeKind, LastDelivered, TransactionAct};

fn churn(world: &mut World, passes: usize) {
    for _ in 0..passes {
        world.send(0, 1, &queue("churn"), &"x".repeat(1_000), true);
        world.settle();
        for got in world.got(0) {
            world.acknowledge(0, 1, 50, AcknowledgeKind::Standard, (got.sequence.0, got.sequence.0), 1);
        }
        world.settle();
    }
}

const SEGMENT: u64 = 4 << 10;

fn small() -> World {
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(60 * SEGMENT, SEGMENT));
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    world
}

fn is_short(world: &World) {
    assert!(world.log.live_log_bytes() < 20 * SEGMENT, "{} bytes of log", world.log.live_log_bytes());
}

/// What a port was refused since it was asked last.
fn refusals(world: &mut World, port: usize) -> Vec<String> {
    let failed = world.events(port).into_iter().filter_map(|event| match event {
        Event::Failed { message, .. } => Some(message.to_string()),
        _ => None,
    });
    failed.collect()
}

/// The process ends, and a kind of records is lost; its clients come again.
fn without(world: World, lost: impl Fn(&crate::log::Stored) -> bool) -> World {
    let (mut world, _) = world.crash_without(lost);
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    world.heard(0);
    world.heard(1);
    assert_eq!(world.broker.recount(), Ok(()));
    world
}

fn acknowledge_all(world: &mut World) {
    for got in world.got(1) {
        world.acknowledge(1, 1, 1, AcknowledgeKind::Standard, (got.sequence.0, got.sequence.0), 1);
    }
    world.settle();
    assert_eq!((world.broker.recount(), world.broker.statistics().messages), (Ok(()), 0));
}

#[test]
fn a_damaged_message_that_is_shared_stops_no_subscription() {
    let mut world = world();
    for (consumer, name) in [(1, "one"), (2, "two"), (3, "three")] {
        subscribe(&mut world, 1, (1, consumer), "t", name);
        leave(&mut world, 1, 1, consumer);
    }
    for number in 0..3 {
        world.send(0, 1, &topic("t"), &number.to_string(), true);
    }
    world.settle();
    world.log.windows = true;
    let bodies = world.log.bodies();
    world.log.rotten.insert(bodies[1]);
    for (consumer, name) in [(1, "one"), (2, "two"), (3, "three")] {
        subscribe(&mut world, 1, (1, consumer), "t", name);
        kept(&mut world);
        assert_eq!(world.texts(1), ["0", "2"], "{name}");
        assert_eq!(world.broker.recount(), Ok(()));
    }
    assert_eq!((world.broker.statistics().damaged, world.log.aside.len()), (1, 1));
}

/// Reclaim comes to it while the second one is away.
#[test]
fn a_damaged_message_that_is_shared_does_not_hold_the_front() {
    let mut world = small();
    for (consumer, name) in [(1, "one"), (2, "two")] {
        subscribe(&mut world, 1, (1, consumer), "t", name);
        leave(&mut world, 1, 1, consumer);
    }
    for number in 0..3 {
        world.send(0, 1, &topic("t"), &number.to_string(), true);
    }
    world.settle();
    world.log.windows = true;
    let bodies = world.log.bodies();
    world.log.rotten.insert(bodies[1]);
    subscribe(&mut world, 1, (1, 1), "t", "one");
    kept(&mut world);
    assert_eq!(world.texts(1), ["0", "2"]);
    world.consume(0, 1, 50, &queue("churn"), 100);
    churn(&mut world, 300);
    kept(&mut world);
    assert!(world.log.live_log_bytes() < 20 * SEGMENT, "{} bytes of log", world.log.live_log_bytes());
    assert_eq!(world.broker.recount(), Ok(()));
    subscribe(&mut world, 1, (1, 2), "t", "two");
    kept(&mut world);
    assert_eq!(world.texts(1), ["0", "2"]);
    assert_eq!(world.broker.recount(), Ok(()));
}

/// A topic was deleted and came again; the record of the deletion is lost: the topic of that name has what both have.
#[test]
fn a_lost_deletion_of_a_topic_does_not_end_the_start() {
    let mut world = world();
    world.send(0, 1, &topic("t"), "creates it", true);
    world.settle();
    world.delete(0, 1, &topic("t"));
    world.settle();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    leave(&mut world, 1, 1, 1);
    world.send(0, 1, &topic("t"), "kept", true);
    world.settle();
    let mut world = without(world, |stored| stored.kind == kind::DELETE);
    world.send(0, 1, &topic("t"), "later", true);
    world.settle();
    let mut world = without(world, |_| false);
    world.send(0, 1, &topic("t"), "last", true);
    world.settle();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    let got = world.got(1);
    let texts: Vec<String> = got.iter().map(|got| String::from_utf8(got.content.clone()).unwrap()).collect();
    assert_eq!(texts, ["kept", "later", "last"]);
    for got in got {
        world.acknowledge(1, 1, 1, AcknowledgeKind::Standard, (got.sequence.0, got.sequence.0), 1);
    }
    leave(&mut world, 1, 1, 1);
    unsubscribe(&mut world, 1, 1, "s");
    world.heard(0);
    world.delete(0, 1, &topic("t"));
    world.settle();
    assert_eq!((world.events(0).len(), refusals(&mut world, 0)), (1, vec![]));
    let world = without(world, |_| false);
    assert_eq!(world.broker.statistics().messages, 0);
}

/// What moves where a topic's own record is lost: one subscription has it, and no others.
fn names_lost(send_some: impl Fn(&mut World), topics: &[&str]) {
    let mut world = small();
    for (consumer, to) in (1..).zip(topics) {
        subscribe(&mut world, 1, (1, consumer), to, to);
        leave(&mut world, 1, 1, consumer);
    }
    send_some(&mut world);
    world.settle();
    let mut world = without(world, |stored| {
        stored.kind == kind::DESTINATION && topics.iter().any(|name| stored.meta.ends_with(name.as_bytes()))
    });
    world.consume(0, 1, 50, &queue("churn"), 100);
    churn(&mut world, 300);
    is_short(&world);
    let mut world = without(world, |_| false);
    for (consumer, to) in (1..).zip(topics) {
        subscribe(&mut world, 1, (1, consumer), to, to);
        assert_eq!(world.texts(1), ["0", "1", "2"], "{to}");
    }
}

/// The record of a topic is lost, and all that was sent to it came by transactions.
#[test]
fn a_topic_that_transactions_alone_name_moves_what_its_subscriptions_hold() {
    names_lost(
        |world| {
            begin(world, 1, 1);
            for number in 0..3 {
                send(world, 1, &topic("t"), &number.to_string(), true, 1);
            }
            commit(world, 1, 1);
        },
        &["t"],
    );
}

/// What was sent to several topics at once names none of them.
#[test]
fn topics_without_a_name_move_what_their_subscriptions_hold() {
    names_lost(
        |world| {
            let to = [topic("t"), topic("u")];
            for number in 0..3 {
                let bytes = record(&to, number.to_string().as_bytes(), true, 0, 0);
                world.send_as(0, handle(1), &to, true, (&bytes, 0), wanted(7));
            }
        },
        &["t", "u"],
    );
}

/// The record of a subscription is lost, and its topic is to be deleted: that is refused until what it holds is gone.
#[test]
fn a_topic_of_a_subscription_without_a_name_is_in_use() {
    let mut world = small();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    leave(&mut world, 1, 1, 1);
    for number in 0..3 {
        world.send(0, 1, &topic("t"), &number.to_string(), true);
    }
    world.settle();
    let (mut world, mended) = world.crash_without(|stored| stored.kind == kind::SUBSCRIPTION);
    world.connect(0, 1, "sender");
    world.heard(0);
    world.delete(0, 1, &topic("t"));
    world.settle();
    let refused = refusals(&mut world, 0);
    assert!(refused.len() == 1 && refused[0].contains("delete the queues postrider.recovered.*"), "{refused:?}");
    world.consume(0, 1, 50, &queue("churn"), 100);
    churn(&mut world, 300);
    is_short(&world);
    world.heard(0);
    world.delete(0, 1, &mended[0].destination);
    world.settle();
    world.delete(0, 1, &topic("t"));
    world.settle();
    assert_eq!((world.events(0).len(), refusals(&mut world, 0)), (2, vec![]));
    assert_eq!((world.broker.recount(), world.broker.statistics().messages), (Ok(()), 0));
}

/// A subscription is deleted, then its topic; the first of these is lost: the subscription has what it had, wherever that moves.
#[test]
fn a_subscription_that_stays_behind_its_topic_does_not_hold_the_front() {
    let mut world = small();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    leave(&mut world, 1, 1, 1);
    for number in 0..3 {
        world.send(0, 1, &topic("t"), &number.to_string(), true);
    }
    world.settle();
    unsubscribe(&mut world, 1, 1, "s");
    world.delete(0, 1, &topic("t"));
    world.settle();
    let first = std::cell::Cell::new(true);
    let mut world = without(world, |stored| stored.kind == kind::DELETE && first.replace(false));
    world.consume(0, 1, 50, &queue("churn"), 100);
    churn(&mut world, 300);
    is_short(&world);
    let mut world = without(world, |_| false);
    subscribe(&mut world, 1, (1, 1), "t", "s");
    acknowledge_all(&mut world);
    let world = without(world, |_| false);
    assert_eq!(world.broker.statistics().messages, 0);
}

const CLAIMED: &str = "transactions that are not decided have acknowledged messages of it";

/// A transaction has acknowledged what a subscription had, which nobody consumes from any more.
fn claimed(world: &mut World) {
    subscribe(world, 1, (1, 1), "t", "s");
    for number in 0..3 {
        world.send(0, 1, &topic("t"), &number.to_string(), true);
    }
    world.settle();
    let got = world.got(1);
    assert_eq!(got.len(), 3);
    world.run(1, transact(1, 1, TransactionAct::Begin));
    world.turn(1, &claiming(1, 1, (got[0].sequence.0, got[2].sequence.0), 3, 1));
    world.close_consumer(1, 1, 1, LastDelivered::Unknown);
    world.settle();
    world.heard(1);
}

fn commit_of_a(world: &mut World) {
    world.run(1, transact(1, 1, TransactionAct::Commit));
    world.settle();
    world.heard(1);
}

/// A subscription is in use while a transaction has acknowledged what it held: it stays as it is, and the front moves on.
#[test]
fn a_subscription_with_claims_is_in_use() {
    let mut world = small();
    world.consume(0, 1, 50, &queue("churn"), 100);
    claimed(&mut world);
    unsubscribe(&mut world, 1, 1, "s");
    let refused = refusals(&mut world, 1);
    assert!(refused.len() == 1 && refused[0].contains(CLAIMED), "{refused:?}");
    subscribe(&mut world, 1, (1, 2), "other", "s");
    let refused = refusals(&mut world, 1);
    assert!(refused.len() == 1 && refused[0].contains(CLAIMED), "another topic: {refused:?}");
    world.heard(0);
    churn(&mut world, 300);
    is_short(&world);
    world.heard(0);
    world.delete(0, 1, &topic("t"));
    world.settle();
    assert_eq!(refusals(&mut world, 0).len(), 1);
    commit_of_a(&mut world);
    unsubscribe(&mut world, 1, 1, "s");
    world.delete(0, 1, &topic("t"));
    world.settle();
    assert_eq!((refusals(&mut world, 0), refusals(&mut world, 1)), (vec![], vec![]));
    let world = without(world, |_| false);
    assert_eq!(world.broker.statistics().messages, 0);
}

/// What a transaction has sent to its topic alone keeps nobody from deleting a subscription.
#[test]
fn a_subscription_that_transactions_have_sent_to_is_deleted() {
    let mut world = small();
    subscribe(&mut world, 1, (1, 1), "t", "s");
    leave(&mut world, 1, 1, 1);
    begin(&mut world, 1, 1);
    send(&mut world, 1, &topic("t"), "sent", true, 1);
    world.settle();
    world.heard(1);
    unsubscribe(&mut world, 1, 1, "s");
    assert_eq!(refusals(&mut world, 1), [""; 0]);
    commit(&mut world, 1, 1);
    world.settle();
    assert_eq!((world.broker.recount(), world.broker.statistics().messages), (Ok(()), 0));
}

/// Nobody has had it for as long as it may be without a consumer: it stays until what a transaction has acknowledged of it is decided.
#[test]
fn a_subscription_with_claims_is_not_left() {
    let config = Config { offline_millis: 1_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(60 * SEGMENT, SEGMENT));
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    claimed(&mut world);
    let wait = |world: &mut World| {
        for _ in 0..3 {
            world.now.unix_millis += 120_000;
            world.now.nanos += 120_000_000_000;
            world.settle();
        }
    };
    wait(&mut world);
    assert_eq!(world.broker.statistics().messages, 3);
    world.send(0, 1, &topic("t"), "later", true);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 4, "it gets what is sent");
    commit_of_a(&mut world);
    wait(&mut world);
    assert_eq!((world.broker.recount(), world.broker.statistics().messages), (Ok(()), 0));
}

/// Nobody has had them for as long as they may be without a consumer: all of them go when that is looked at, some in each turn (R25).
#[test]
fn subscriptions_that_are_left_go_some_in_each_turn_and_all_of_them() {
    const ALL: usize = 1_000;
    let config = Config { offline_millis: 1_000, reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(40 << 18, 1 << 18));
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    for number in 0..ALL as u32 {
        subscribe(&mut world, 1, (1, number + 1), "t", &number.to_string());
        leave(&mut world, 1, 1, number + 1);
    }
    subscribe(&mut world, 1, (1, 1), "t", "kept");
    let gone = |world: &World| world.log.records.iter().filter(|record| record.kind == kind::DELETE).count();
    let later = |world: &mut World| {
        world.now.unix_millis += 60_000;
        world.now.nanos += 60_000_000_000;
    };
    later(&mut world);
    world.settle();
    assert_eq!(gone(&world), 0, "their time begins");
    later(&mut world);
    let (mut before, mut more) = (0, true);
    while more {
        more = world.go_on();
        let now = gone(&world);
        assert!(now - before <= 200, "{} in one turn", now - before);
        before = now;
    }
    world.settle();
    assert_eq!((world.broker.recount(), gone(&world)), (Ok(()), ALL));
    world.send(0, 1, &topic("t"), "m", true);
    world.settle();
    assert_eq!(world.texts(1), ["m"], "one is there");
}
