//! Topics, and temporary destinations with their advisories.

use crate::log::TestLog;
use crate::world::{Got, Told, World, handle, queue, record, topic, wanted};
use postrider_broker::Config;
use postrider_journal::Pressure;
use postrider_model::advisory::{Advisory, Told as Subject};
use postrider_model::command::AcknowledgeKind::Standard;
use postrider_model::command::{LastDelivered, Request};
use postrider_model::event::Failure;
use postrider_model::record::Tag;
use postrider_model::{Command, Destination, DestinationKind, Event, MessageView, Token};
use std::collections::BTreeSet;

fn temporary(name: &str) -> Destination {
    Destination::new(DestinationKind::TemporaryQueue, name.as_bytes())
}

#[test]
pub fn every_subscriber_gets_what_comes_after_it() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world.send(0, 1, &topic("t"), "early", true);
    world.consume(0, 1, 5, &topic("t"), 100);
    world.consume(1, 1, 6, &topic("t"), 100);
    world.consume(1, 1, 7, &topic("t"), 100);
    world.send(0, 1, &topic("t"), "1", true);
    world.consume(1, 1, 8, &topic("t"), 100);
    world.send(0, 1, &topic("t"), "2", false);
    let got = |world: &mut World, port: usize| {
        world.got(port).iter().map(|got| (got.consumer.slot, got.content[0] - b'0')).collect::<Vec<_>>()
    };
    assert_eq!(got(&mut world, 0), [(5, 1), (5, 2)]);
    assert_eq!(got(&mut world, 1), [(6, 1), (7, 1), (6, 2), (7, 2), (8, 2)]);
    assert_eq!(world.broker.statistics().messages, 0, "all have passed");
}

#[test]
pub fn a_slow_subscriber_stays_behind_and_catches_up() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &topic("t"), 1_000);
    world.consume(0, 1, 6, &topic("t"), 2);
    for number in 0..9 {
        world.send(0, 1, &topic("t"), &number.to_string(), false);
    }
    let got = world.got(0);
    let of = |slot: u32| got.iter().filter(|got| got.consumer.slot == slot).count();
    assert_eq!((of(5), of(6)), (9, 2));
    assert_eq!(world.broker.statistics().messages, 7);
    world.acknowledge(0, 1, 6, Standard, (0, 0), 2);
    assert_eq!(world.texts(0), ["2", "3"]);
    world.acknowledge(0, 1, 6, Standard, (0, 0), 2);
    world.send(0, 1, &topic("t"), "9", false);
    assert_eq!(world.texts(0), ["4", "5", "9"]);
    for _ in 0..3 {
        world.acknowledge(0, 1, 6, Standard, (0, 0), 2);
    }
    assert_eq!(world.texts(0), ["6", "7", "8", "9"]);
    world.send(0, 1, &topic("t"), "A", false);
    assert_eq!(world.texts(0), ["A", "A"]);
    assert_eq!(world.broker.statistics().messages, 0);
}

#[test]
pub fn what_a_subscriber_that_goes_has_not_had_is_released() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &topic("t"), 1);
    let text = "x".repeat(1_000);
    for _ in 0..200 {
        world.send(0, 1, &topic("t"), &text, false);
    }
    assert!(world.log.spool_segments() > 5);
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    assert_eq!(world.broker.statistics().messages, 0);
    assert_eq!(world.log.spool_segments(), 1, "only the one that is written");
}

#[test]
pub fn a_slow_subscriber_holds_its_segments() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &topic("t"), 1);
    world.consume(0, 1, 6, &queue("q"), 0);
    let text = "x".repeat(1_000);
    for number in 0..200 {
        let to = if number % 25 == 3 { queue("q") } else { topic("t") };
        world.send(0, 1, &to, &text, false);
    }
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    assert_eq!(world.broker.statistics().messages, 8);
    assert!(world.log.spool_segments() >= 6, "messages of the queue hold theirs");
    world.consume(0, 1, 7, &queue("q"), 10);
    world.heard(0);
    world.idle();
    assert_eq!(world.broker.statistics().messages, 8);
}

#[test]
pub fn a_few_old_messages_do_not_hold_the_spool() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10);
    let text = "x".repeat(500);
    for number in 0..4_000 {
        if number % 40 == 0 {
            world.send(0, 1, &queue("old"), &number.to_string(), false);
        }
        world.send(0, 1, &queue("q"), &text, false);
        let last = world.got(0).last().unwrap().sequence.0;
        world.acknowledge(0, 1, 5, Standard, (0, last), 1);
    }
    // 85 were written; one that is fuller than an eighth stays.
    assert!(world.log.spool_segments() <= 20, "{} segments for 100 messages", world.log.spool_segments());
    world.consume(0, 1, 6, &queue("old"), 1_000);
    let expected: Vec<String> = (0..100).map(|number| (number * 40).to_string()).collect();
    assert_eq!(world.texts(0), expected);
}

#[test]
pub fn no_local_holds_back_what_the_own_connection_sends() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    for (consumer, destination) in [(5, topic("t")), (6, queue("q"))] {
        let mut open = world.open(1, consumer, &[destination], 10);
        open.no_local = true;
        world.consume_as(0, open);
    }
    for to in [topic("t"), queue("q")] {
        world.send(0, 1, &to, "own", false);
        world.send(0, 2, &to, "other", false);
    }
    assert_eq!(world.texts(0), ["other", "other"]);
    world.consume(0, 2, 7, &queue("q"), 10);
    assert_eq!(world.texts(0), ["own"]);
}

#[test]
pub fn a_composite_of_queue_and_topic_reaches_both() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &topic("t"), 10);
    world.consume(0, 1, 6, &queue("q"), 10);
    let to = [topic("t"), queue("q"), topic("nobody")];
    let bytes = record(&to, b"x", true, 1, 0);
    world.send_as(0, handle(1), &to, true, (&bytes, 1), wanted(7));
    world.settle();
    let mut places: Vec<Destination> = world.got(0).into_iter().map(|got| got.destination.unwrap()).collect();
    places.sort();
    assert_eq!(places, [queue("q"), topic("t")]);
}

#[test]
pub fn temporary_destinations_are_told_of_before_their_creator_is_answered() {
    let mut world = World::new();
    let topics = [topic("ActiveMQ.Advisory.TempQueue"), topic("ActiveMQ.Advisory.TempTopic")];
    for port in 0..2 {
        world.connect(port, 1, &format!("connection {port}"));
        let open = world.open(1, 5, &topics, 1_000);
        world.consume_as(port, open);
    }
    world.settle();
    world.heard(0);
    world.heard(1);
    world.create_temporary(0, 1, &temporary("ID:x:1"));
    world.settle();
    let told = world.heard(0);
    assert!(matches!(&told[..], [Told::Message(_), Told::Event(Event::Reply { .. })]), "{told:?}");
    let advisory = &world.got(1)[0];
    let view = MessageView::parse(&advisory.record).unwrap();
    let told = Advisory::of(&view).unwrap();
    assert_eq!((told.came, told.told_again, told.connection), (true, false, &b"connection 0"[..]));
    assert_eq!(told.told, Subject::Destination((DestinationKind::TemporaryQueue, b"ID:x:1")));
    assert_eq!(view.field(Tag::Type), Some(&b"Advisory"[..]));
    // Whoever comes later hears of it, alone.
    world.connect(1, 2, "late");
    let open = world.open(2, 6, &topics, 1_000);
    world.consume_as(1, open);
    let got = world.got(1);
    assert_eq!(got.iter().map(|got| got.consumer.slot).collect::<Vec<_>>(), [6]);
    let again = Advisory { told_again: true, ..told };
    assert_eq!(Advisory::of(&MessageView::parse(&got[0].record).unwrap()), Some(again));
    assert!(world.got(0).is_empty());
    // It goes with its connection.
    world.send(0, 1, &temporary("ID:x:1"), "request", true);
    world.disconnect(0, handle(1), true);
    let gone = world.got(1);
    assert_eq!(gone.len(), 2);
    let view = MessageView::parse(&gone[0].record).unwrap();
    assert_eq!(Advisory::of(&view), Some(Advisory { came: false, ..told }));
    assert_eq!(world.broker.statistics().messages, 0);
    world.settle();
    world.heard(1);
    world.send(1, 1, &temporary("ID:x:1"), "reply", true);
    world.settle();
    let events = world.events(1);
    let [Event::Failed { failure, message, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*failure, &**message), (Failure::DestinationDoesNotExist, "temp-queue://ID:x:1"));
}

/// The ring of another port is full when a temporary queue is made: its creator has no answer before that port has the advisory, and
/// what comes for that port meanwhile goes behind it (R57).
#[test]
pub fn an_advisory_stands_before_the_answer_and_before_what_it_allows() {
    let mut world = World::new();
    let advisories = [topic("ActiveMQ.Advisory.TempQueue"), topic("ActiveMQ.Advisory.TempTopic")];
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world.consume(1, 1, 5, &queue("q"), 10);
    let open = world.open(1, 4, &advisories, 1_000);
    world.consume_as(1, open);
    world.settle();
    world.heard(1);
    world.heard(0);
    world.full = Some(1);
    world.send(0, 1, &queue("q"), "earlier", false);
    world.heard(0);
    world.create_temporary(0, 1, &temporary("ID:a:1"));
    world.settle();
    assert!(world.events(0).is_empty(), "a port does not know");
    world.send(0, 1, &queue("q"), "request", false);
    world.full = None;
    world.settle();
    let consumers: Vec<u32> = world.got(1).iter().map(|got| got.consumer.slot).collect();
    assert_eq!(consumers, [4, 5, 5]);
    let replies = world.events(0).into_iter().filter(|event| matches!(event, Event::Reply { token: Token(4), .. }));
    assert_eq!(replies.count(), 1);
}

/// One that creates temporary queues, and one that hears of them (4) and consumes (5), and whose socket takes nothing.
fn watches_and_consumes(world: &mut World) {
    world.sockets_take = false;
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world.consume(1, 1, 5, &queue("q"), 100);
    let open = world.open(1, 4, &[topic("ActiveMQ.Advisory.TempQueue")], 1_000);
    world.consume_as(1, open);
}

#[test]
pub fn a_watcher_whose_window_was_shut_hears_before_its_connections_others() {
    let mut world = World::new();
    watches_and_consumes(&mut world);
    let text = "x".repeat(10_000);
    (0..27).for_each(|_| world.send(0, 1, &queue("q"), &text, false));
    let bytes = world.got(1).iter().map(|got| got.record.len() as u32).sum();
    world.create_temporary(0, 1, &temporary("ID:a:1"));
    world.settle();
    world.heard(0);
    world.run(1, Command::Written { connection: handle(1), bytes });
    let consumers: Vec<u32> = world.got(1).iter().map(|got| got.consumer.slot).collect();
    assert_eq!(consumers, [4, 5]);
}

/// What tells of a temporary queue has left memory, or has gone for want of room, before the window opens: others of the connection
/// do not wait for its bytes, so it is told again.
fn what_a_watcher_missed_is_told_again(lost: bool) {
    let mut world = World::over(Config::default(), TestLog::new(1 << 30, 64 << 10));
    watches_and_consumes(&mut world);
    world.create_temporary(0, 1, &temporary("ID:a:0"));
    let text = "x".repeat(10_000);
    (0..27).for_each(|_| world.send(0, 1, &queue("q"), &text, true));
    world.settle();
    let bytes = world.got(1).iter().map(|got| got.record.len() as u32).sum();
    (1..4).for_each(|number| world.create_temporary(0, 1, &temporary(&format!("ID:a:{number}"))));
    match lost {
        true => world.log.spool_limit = Some((0, Pressure::Full)),
        false => {
            world.log.spool_cold = [0].into();
            (0..2).for_each(|_| world.send(0, 1, &queue("elsewhere"), &"x".repeat(60_000), false));
        }
    }
    world.idle();
    world.settle();
    assert_eq!(world.broker.statistics().shed > 0, lost);
    world.log.spool_limit = None;
    world.run(1, Command::Written { connection: handle(1), bytes });
    let got = world.got(1);
    let (last, before) = got.split_last().unwrap();
    assert_eq!(last.consumer.slot, 5);
    let told: Vec<String> = before.iter().map(told_by).collect();
    assert_eq!(told, ["+ID:a:0", "+ID:a:1", "+ID:a:2", "+ID:a:3"]);
    world.log.spool_cold = BTreeSet::new();
    world.create_temporary(0, 1, &temporary("ID:a:4"));
    world.run(1, Command::Written { connection: handle(1), bytes: u32::MAX });
    assert!(told_of(&mut world, 1).contains(&"+ID:a:4".to_owned()), "what comes is told as before");
}

#[test]
pub fn a_watcher_does_not_wait_for_bytes_nor_lose_what_was_shed() {
    [false, true].into_iter().for_each(what_a_watcher_missed_is_told_again);
}

/// A client's own consumer of advisories, with its prefetch of 1,000, is answered when it has heard of all 2,500 temporary queues.
#[test]
pub fn a_new_client_has_heard_of_all_before_it_is_answered() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 30, 1 << 20));
    world.connect(0, 1, "a");
    (0..2_500).for_each(|number| world.create_temporary(0, 1, &temporary(&format!("ID:a:{number}"))));
    world.connect(1, 1, "b");
    world.settle();
    world.heard(1);
    let advisories = [topic("ActiveMQ.Advisory.TempQueue"), topic("ActiveMQ.Advisory.TempTopic")];
    let open = world.open(1, 4, &advisories, 1_000);
    world.consume_as(1, open);
    world.settle();
    let told = world.heard(1);
    let (last, before) = told.split_last().unwrap();
    assert!(matches!(last, Told::Event(Event::Reply { .. })), "{last:?}");
    assert_eq!(before.len(), 2_500);
    assert!(before.iter().all(|told| matches!(told, Told::Message(_))));
    // Whoever listens to more keeps to its prefetch, and is answered at once.
    let open = world.open(1, 5, &[topic("ActiveMQ.Advisory.>")], 10);
    world.consume_as(1, open);
    world.settle();
    let told = world.heard(1);
    assert_eq!(told.iter().filter(|told| matches!(told, Told::Event(Event::Reply { .. }))).count(), 1);
    assert_eq!(told.len(), 11);
}

/// What a message says came or went.
fn told_of(world: &mut World, port: usize) -> Vec<String> {
    world.got(port).iter().map(told_by).collect()
}

fn told_by(got: &Got) -> String {
    let told = Advisory::of(&MessageView::parse(&got.record).unwrap()).unwrap();
    let sign = if told.came { '+' } else { '-' };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let what = match told.told {
        Subject::Destination((_, name)) => text(name),
        Subject::Connection { client_id, .. } => format!("connection {}", text(client_id)),
        Subject::Subscription { name, .. } => format!("subscription {}", text(name)),
        Subject::Producer { member, destination, .. } => format!("producer {} of {}", member.1, text(destination.1)),
        Subject::Consumer { member, destination, .. } => format!("consumer {} of {}", member.1, text(destination.1)),
    };
    format!("{sign}{what}")
}

/// 40 consumers that take one message each of 500 that they are owed: that is no record until they take it.
#[test]
pub fn what_new_consumers_are_to_hear_is_made_when_they_take_it() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    (0..500).for_each(|number| world.create_temporary(0, 1, &temporary(&format!("ID:a:{number:03}"))));
    assert_eq!(world.log.spool_segments(), 0, "nobody listens: nothing is made");
    for consumer in 10..50 {
        world.consume(1, 1, consumer, &topic("ActiveMQ.Advisory.>"), 1);
    }
    assert_eq!(told_of(&mut world, 1), vec!["+ID:a:000"; 40]);
    assert_eq!((world.broker.statistics().messages, world.log.spool_segments()), (0, 1));
    // What comes and goes meanwhile is one record for all, behind what each was to hear before.
    world.create_temporary(0, 1, &temporary("ID:a:new"));
    world.delete(0, 1, &temporary("ID:a:002"));
    assert_eq!(world.broker.statistics().messages, 2);
    let mut heard = Vec::new();
    for _ in 0..510 {
        world.acknowledge(1, 1, 10, Standard, (0, 0), 1);
        heard.extend(told_of(&mut world, 1));
    }
    let before = (1..500).filter(|number| *number != 2).map(|number| format!("+ID:a:{number:03}"));
    assert_eq!(heard, before.chain(["+ID:a:new".into(), "-ID:a:002".into()]).collect::<Vec<_>>());
    // Those that have heard of all walk together.
    world.create_temporary(0, 1, &temporary("ID:a:newer"));
    assert_eq!(told_of(&mut world, 1), ["+ID:a:newer"]);
    (10..50).for_each(|consumer| world.close_consumer(1, 1, consumer, LastDelivered::Unknown));
    assert_eq!(world.broker.statistics().messages, 0);
}

#[test]
pub fn where_nobody_listens_nothing_is_made() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let before = world.broker.statistics().destinations;
    world.create_temporary(0, 1, &temporary("ID:a:1"));
    assert_eq!(world.broker.statistics().destinations, before + 1, "no topic of advisories");
    world.consume(0, 1, 5, &topic("ActiveMQ.Advisory.>"), 10);
    world.consume(0, 1, 6, &topic("ActiveMQ.Advisory.*"), 10);
    assert_eq!(told_of(&mut world, 0).len(), 2);
    world.create_temporary(0, 1, &Destination::new(DestinationKind::TemporaryTopic, b"ID:a:2"));
    assert_eq!(told_of(&mut world, 0), ["+ID:a:2"; 2], "once for each");
}

#[test]
pub fn a_temporary_destination_is_its_connections_own() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    let mut any = world.open(2, 5, &[temporary("ID:>")], 10);
    any.browser = true;
    world.consume_as(0, any);
    world.create_temporary(0, 1, &temporary("ID:a:1"));
    world.settle();
    world.heard(0);
    let refused = |world: &mut World| {
        world.settle();
        let events = world.events(0);
        let [Event::Failed { failure: Failure::InvalidDestination, message, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(message.starts_with("temp-queue://ID:a:1 belongs to another connection"), "{message}");
    };
    for browser in [false, true] {
        let mut open = world.open(2, 6, &[queue("q"), temporary("ID:a:1")], 10);
        open.browser = browser;
        world.consume_as(0, open);
        refused(&mut world);
    }
    let destination = Box::new(temporary("ID:a:1"));
    let delete = |slot| Command::DeleteDestination {
        connection: handle(slot),
        destination: destination.clone(),
        request: wanted(8),
    };
    world.run(0, delete(2));
    refused(&mut world);
    // Anybody may send there; patterns of others do not meet it, earlier or later ones.
    world.consume(0, 2, 7, &temporary("ID:>"), 10);
    world.send(0, 2, &temporary("ID:a:1"), "answer", false);
    assert!(world.got(0).is_empty());
    world.consume(0, 1, 8, &temporary("ID:a:1"), 10);
    assert_eq!(world.texts(0), ["answer"]);
    world.run(0, delete(1));
    world.settle();
    assert_eq!(world.events(0).last(), Some(&Event::Reply { connection: handle(1), token: Token(8) }));
}

#[test]
pub fn a_deleted_destination_is_gone_with_its_messages_also_after_a_crash() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for number in 0..5_000 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 1);
    let delete = |world: &mut World| {
        world.delete(0, 1, &queue("q"));
        world.settle();
    };
    delete(&mut world);
    assert!(matches!(world.events(0).last(), Some(Event::Failed { failure: Failure::General, .. })));
    world.close_consumer(0, 1, 5, LastDelivered::None);
    delete(&mut world);
    assert_eq!(world.events(0).last(), Some(&Event::Reply { connection: handle(1), token: Token(8) }));
    assert_eq!(world.broker.statistics().messages, 0);
    world.send(0, 1, &queue("q"), "new", true);
    world.settle();
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10);
    world.settle();
    assert_eq!(world.texts(0), ["new"]);
    assert_eq!(world.broker.statistics().messages, 1);
}

#[test]
pub fn an_asynchronous_failure_is_told_without_being_asked() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.settle();
    world.heard(0);
    let to = [temporary("none")];
    let bytes = record(&to, b"x", false, 1, 0);
    world.send_as(0, handle(1), &to, false, (&bytes, 1), Request::default());
    world.settle();
    let events = world.events(0);
    assert!(matches!(&events[..], [Event::Failed { token: None, .. }]), "{events:?}");
}

/// What it is to get next lies on the disk: it is asked for once, and not again and again until the turn's steps are gone.
#[test]
pub fn a_subscriber_that_waits_for_bytes_is_not_looked_at_until_they_come() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &topic("t"), 2);
    world.consume(0, 1, 6, &topic("t"), 1_000);
    let text = "x".repeat(1_000);
    (0..100).for_each(|_| world.send(0, 1, &topic("t"), &text, false));
    assert_eq!(world.got(0).len(), 102);
    world.log.spool_cold = (0..100).collect();
    world.acknowledge(0, 1, 5, Standard, (0, 0), 2);
    assert_eq!(world.log.asked.len(), 1);
    // Others go on, with what is in memory.
    world.consume(0, 1, 7, &queue("other"), 1);
    world.send(0, 1, &queue("other"), "at once", true);
    world.settle();
    assert_eq!(world.texts(0), ["at once"]);
    assert_eq!(world.log.asked.len(), 1);
    world.log.spool_cold.clear();
    world.broker.fetched();
    world.idle();
    assert_eq!(world.got(0).len(), 2);
    // The same for one that leaves meanwhile.
    world.log.spool_cold = (0..100).collect();
    world.acknowledge(0, 1, 5, Standard, (0, 0), 2);
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    world.broker.fetched();
    world.idle();
    assert_eq!((world.log.asked.len(), world.broker.statistics().messages), (2, 1), "the queue's is left");
}
