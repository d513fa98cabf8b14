//! Messages that a consumer's connection cannot carry.

use crate::world::{Told, World, handle, queue, topic};
use postrider_broker::Config;
use postrider_model::command::{AcknowledgeKind, LastDelivered, Request};
use postrider_model::{Command, CommandBatch, Destination, Event, MessageView, Sequence};

fn unsendable(world: &mut World, consumer: u32, sequence: Sequence) {
    let mut batch = CommandBatch::default();
    let cause = batch.store(b"java.lang.Throwable: too large");
    let (connection, consumer) = (handle(1), handle(consumer));
    batch.commands.push(Command::Unsendable { connection, consumer, sequence, cause });
    world.turn(0, &batch);
}

fn pull(world: &mut World, consumer: u32, timeout_millis: i64) {
    let (connection, consumer) = (handle(1), handle(consumer));
    world.run(0, Command::Pull { connection, consumer, timeout_millis, request: Request::default() });
}

/// A consumer with this prefetch and so many messages that are there.
fn world(destination: &Destination, prefetch: u32, messages: usize) -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, destination, prefetch);
    for number in 0..messages {
        world.send(0, 1, destination, &number.to_string(), true);
    }
    world.settle();
    world
}

fn dead_letters() -> Destination {
    queue("ActiveMQ.DLQ")
}

#[test]
pub fn it_goes_to_the_dead_letters_and_the_next_one_comes_also_after_a_crash() {
    let mut world = world(&queue("q"), 1, 3);
    let first = world.got(0).remove(0).sequence;
    unsendable(&mut world, 5, first);
    world.settle();
    assert_eq!(world.texts(0), ["1"]);
    assert_eq!((world.broker.statistics().unsendable, world.broker.statistics().dead_lettered), (1, 1));
    let keep = world.turn_end;
    let mut world = world.crash(keep);
    world.connect(0, 1, "a");
    world.consume(0, 1, 6, &dead_letters(), 5);
    world.consume(0, 1, 5, &queue("q"), 5);
    world.settle();
    let mut got = world.got(0);
    got.sort_by(|one, other| one.content.cmp(&other.content));
    assert_eq!(got.iter().map(|got| &got.content[..]).collect::<Vec<_>>(), [b"0", b"1", b"2"]);
    let properties = MessageView::parse(&got[0].record).unwrap().properties().unwrap();
    assert!(properties.windows(9).any(|window| window == b"too large"));
}

#[test]
pub fn what_is_not_in_flight_is_nobodys() {
    let mut world = world(&queue("q"), 5, 2);
    let sequence = world.got(0)[0].sequence;
    world.acknowledge(0, 1, 5, AcknowledgeKind::Individual, (0, sequence.0), 1);
    unsendable(&mut world, 5, sequence);
    unsendable(&mut world, 5, Sequence(999_999));
    unsendable(&mut world, 77, sequence);
    world.settle();
    assert_eq!((world.broker.statistics().messages, world.broker.statistics().dead_lettered), (1, 0));
}

#[test]
pub fn a_topic_s_is_lost_for_its_consumer_whose_credit_comes_back() {
    let mut world = world(&topic("t"), 1, 2);
    let first = world.got(0);
    assert_eq!(first.len(), 1);
    unsendable(&mut world, 5, first[0].sequence);
    world.settle();
    assert_eq!(world.texts(0), ["1"]);
    assert_eq!((world.broker.statistics().messages, world.broker.statistics().dead_lettered), (0, 0));
}

#[test]
pub fn a_browser_goes_on_behind_it() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    (0..3).for_each(|number| world.send(0, 1, &queue("q"), &number.to_string(), true));
    world.settle();
    world.heard(0);
    let browser = postrider_model::command::OpenConsumer { browser: true, ..world.open(1, 5, &[queue("q")], 1) };
    world.consume_as(0, browser);
    world.settle();
    let first = world.got(0);
    unsendable(&mut world, 5, first[0].sequence);
    world.settle();
    assert_eq!(world.texts(0), ["1"]);
    assert_eq!(world.broker.statistics().messages, 3, "a browser takes nothing");
}

#[test]
pub fn a_pull_that_got_it_still_waits() {
    let mut world = world(&queue("q"), 0, 2);
    for timeout in [0, 5_000, -1] {
        world.heard(0);
        pull(&mut world, 5, timeout);
        world.settle();
        let got = world.got(0);
        assert_eq!(got.len(), 1, "{timeout}");
        unsendable(&mut world, 5, got[0].sequence);
        world.settle();
        let told = world.heard(0);
        let message =
            told.iter().find_map(|told| if let Told::Message(got) = told { Some(got.sequence) } else { None });
        let Some(next) = message else {
            assert!(matches!(told[..], [Told::Event(Event::EndOfMessages { .. })]), "{told:?}");
            assert_eq!(timeout, -1);
            return;
        };
        assert!(next > got[0].sequence);
        world.acknowledge(0, 1, 5, AcknowledgeKind::Individual, (0, next.0), 1);
        for number in 0..2 - usize::from(timeout == 5_000) {
            world.send(0, 1, &queue("q"), &format!("more {number}"), true);
        }
        world.settle();
    }
    panic!("the last pull ends without a message");
}

#[test]
pub fn a_dead_letter_stays_for_others() {
    let mut world = world(&dead_letters(), 1, 3);
    let first = world.got(0).remove(0);
    unsendable(&mut world, 5, first.sequence);
    world.settle();
    let second = world.got(0).remove(0);
    assert_eq!(second.content, b"1");
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, second.sequence.0), 1);
    world.settle();
    assert_eq!(world.texts(0), ["2"], "what stays aside takes no credit, and no part in a range");
    let browser = postrider_model::command::OpenConsumer { browser: true, ..world.open(1, 6, &[dead_letters()], 9) };
    world.consume_as(0, browser);
    world.settle();
    assert_eq!(world.texts(0), ["0", "2"]);
    world.consume(0, 1, 7, &dead_letters(), 5);
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    world.settle();
    let back = world.got(0);
    let seen: Vec<_> = back.iter().map(|got| (&got.content[..], got.redeliveries)).collect();
    assert_eq!(seen, [(&b"0"[..], 0), (&b"2"[..], 1)], "only the second may have been seen");
    assert_eq!(world.broker.statistics().dead_lettered, 0);
}

/// Like all that is given up: it goes to the dead letters where the setting says so, else nowhere, and nobody waits behind it.
#[test]
pub fn one_that_is_not_persistent_is_gone_unless_configured() {
    for kept in [false, true] {
        let config = Config { reservation: 1_000_000, dead_letter_non_persistent: kept, ..Config::default() };
        let mut world = World::with(config, 1 << 30);
        world.connect(0, 1, "a");
        world.consume(0, 1, 5, &queue("q"), 1);
        ["0", "1"].iter().for_each(|text| world.send(0, 1, &queue("q"), text, false));
        world.settle();
        let first = world.got(0).remove(0).sequence;
        unsendable(&mut world, 5, first);
        world.settle();
        assert_eq!(world.texts(0), ["1"]);
        let statistics = world.broker.statistics();
        assert_eq!((statistics.unsendable, statistics.dead_lettered), (1, u64::from(kept)));
        assert_eq!(statistics.messages, 1 + u64::from(kept));
    }
}

/// Its queue is deleted while its bytes are read for the dead letter.
#[test]
pub fn one_of_a_deleted_queue_goes_to_the_dead_letters_all_the_same() {
    let mut world = world(&queue("q"), 1, 1);
    let first = world.got(0).remove(0).sequence;
    world.log.cold.insert(0);
    unsendable(&mut world, 5, first);
    world.close_consumer(0, 1, 5, LastDelivered::None);
    let (connection, destination, request) = (handle(1), Box::new(queue("q")), Request::default());
    world.run(0, Command::DeleteDestination { connection, destination, request });
    world.log.cold.clear();
    world.broker.fetched();
    world.settle();
    world.heard(0);
    world.consume(0, 1, 6, &dead_letters(), 5);
    world.settle();
    assert_eq!(world.texts(0), ["0"]);
    assert_eq!(world.broker.statistics().messages, 1);
}
