//! Dead letters: one record with what they take the place of, and a message id that nobody else there has.

use crate::world::{Got, World, handle, queue, record, topic, wanted};
use postrider_journal::Position;
use postrider_model::command::{AcknowledgeKind, LastDelivered};
use postrider_model::record::Tag;
use postrider_model::{Destination, DestinationKind, MessageView};
use std::collections::BTreeMap;

fn dead_letters() -> Destination {
    queue("ActiveMQ.DLQ")
}

/// Ten messages are given up in one turn; where the log may be cut in it.
fn ten_given_up() -> (World, Vec<Position>) {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 100);
    for number in 0..10 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    let got = world.got(0);
    let before = world.log.records.len();
    for message in &got {
        world.acknowledge(0, 1, 5, AcknowledgeKind::Poison, (0, message.sequence.0), 1);
    }
    let mut cuts: Vec<Position> = world.log.records[before..].iter().map(|record| record.home.position).collect();
    cuts.push(world.turn_end);
    (world, cuts)
}

/// Without the rule those whose copies are before the cut are in both queues.
#[test]
pub fn wherever_the_power_goes_a_message_is_in_one_queue() {
    let (_, cuts) = ten_given_up();
    assert!(cuts.len() > 10, "{}", cuts.len());
    for cut in cuts {
        let (world, _) = ten_given_up();
        let mut world = world.crash(cut);
        world.connect(0, 1, "a");
        world.consume(0, 1, 6, &queue("q"), 100);
        world.consume(0, 1, 7, &dead_letters(), 100);
        world.settle();
        let mut texts = world.texts(0);
        texts.sort();
        let all: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(texts, all, "cut at {cut}");
    }
}

#[test]
fn expired_messages_take_the_same_way() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let to = [queue("q")];
    for number in 1..=5 {
        let bytes = record(&to, number.to_string().as_bytes(), true, number, world.now.unix_millis + 10);
        world.send_as(0, handle(1), &to, true, (&bytes, number), wanted(7));
    }
    world.settle();
    world.now.unix_millis += 11;
    let before = world.log.records.len();
    world.consume(0, 1, 5, &queue("q"), 100);
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 5);
    let kinds: Vec<u8> = world.log.records[before..].iter().map(|record| record.kind).collect();
    assert!(!kinds.contains(&2), "no acknowledgement by itself: {kinds:?}");
    let end = world.turn_end;
    assert_eq!(world.crash(end).broker.statistics().messages, 5);
}

/// What a client tells two messages apart by: the message id, as it stands in the record.
fn id(got: &Got) -> (Vec<u8>, i64, i64, i64) {
    let view = MessageView::parse(&got.record).unwrap();
    let header = view.header();
    let connection = view.field(Tag::ProducerConnection).unwrap().to_vec();
    (connection, header.producer_session, header.producer_value, header.producer_sequence)
}

fn has_property(got: &Got, name: &str, value: &str) -> bool {
    let view = MessageView::parse(&got.record).unwrap();
    let entry = [
        &(name.len() as u16).to_be_bytes()[..],
        name.as_bytes(),
        &[9],
        &(value.len() as u16).to_be_bytes(),
        value.as_bytes(),
    ];
    let entry = entry.concat();
    view.properties().unwrap().windows(entry.len()).any(|bytes| bytes == entry)
}

fn give_up_at(world: &mut World, consumer: u32, destination: &Destination) {
    world.consume(0, 1, consumer, destination, 100);
    world.settle();
    let got = world.got(0);
    world.acknowledge(0, 1, consumer, AcknowledgeKind::Poison, (0, got[0].sequence.0), 1);
    world.settle();
}

fn dead(world: &mut World) -> Vec<Got> {
    world.heard(0);
    world.consume(0, 1, 99, &dead_letters(), 100);
    world.settle();
    world.got(0)
}

/// A client drops a second message with an id that it has seen, and its own acknowledgement of that deletes it.
#[test]
fn only_a_second_copy_gets_an_id_of_its_own() {
    let parts = [queue("q1"), queue("q2"), queue("q3"), topic("t")];
    for restarts in 0..4 {
        let mut world = World::new();
        world.connect(0, 1, "a");
        let bytes = record(&parts, b"to all", true, 7, 0);
        world.send_as(0, handle(1), &parts, true, (&bytes, 7), wanted(7));
        world.settle();
        for (number, part) in parts[..3].iter().enumerate() {
            give_up_at(&mut world, 10 + number as u32, part);
            if restarts > number {
                let end = world.turn_end;
                world = world.crash(end);
                world.connect(0, 1, "a");
            }
        }
        let got = dead(&mut world);
        let mut ids: BTreeMap<_, Vec<&Got>> = BTreeMap::new();
        got.iter().for_each(|got| ids.entry(id(got)).or_default().push(got));
        assert_eq!((got.len(), ids.len()), (3, 3), "{restarts} restarts: {:?}", ids.keys());
        let original = (b"ID:client:1".to_vec(), 1, 1, 7);
        assert!(ids.contains_key(&original), "{restarts} restarts: the first keeps its own");
        for (id, copies) in ids.iter().filter(|(id, _)| **id != original) {
            let view = MessageView::parse(&copies[0].record).unwrap();
            assert!(has_property(copies[0], "originalMessageId", "ID:client:1:1:1:7"), "{id:?}");
            let sender = [&1i64.to_le_bytes()[..], &1i64.to_le_bytes(), b"ID:client:1"].concat();
            assert_eq!(view.field(Tag::Sender), Some(&sender[..]), "who has sent it stays known");
        }
    }
}

#[test]
fn the_only_copy_keeps_its_id_whatever_became_of_the_others() {
    let parts = [queue("q1"), queue("q2")];
    let mut world = World::new();
    world.connect(0, 1, "a");
    let bytes = record(&parts, b"to both", true, 7, 0);
    world.send_as(0, handle(1), &parts, true, (&bytes, 7), wanted(7));
    world.consume(0, 1, 5, &parts[0], 10);
    world.settle();
    let sequence = world.got(0)[0].sequence.0;
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, sequence), 1);
    world.settle();
    give_up_at(&mut world, 6, &parts[1]);
    let got = dead(&mut world);
    assert_eq!(id(&got[0]), (b"ID:client:1".to_vec(), 1, 1, 7));
}

/// The part that is kept in memory has a record of its own.
#[test]
fn a_part_of_a_temporary_queue_is_told_from_the_others() {
    let temporary = Destination::new(DestinationKind::TemporaryQueue, b"mine");
    let parts = [queue("q1"), temporary.clone()];
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.create_temporary(0, 1, &temporary);
    let bytes = record(&parts, b"to both", true, 7, 0);
    world.send_as(0, handle(1), &parts, true, (&bytes, 7), wanted(7));
    world.settle();
    world.heard(0);
    give_up_at(&mut world, 5, &parts[0]);
    give_up_at(&mut world, 6, &temporary);
    let got = dead(&mut world);
    assert_eq!(got.len(), 2);
    assert_ne!(id(&got[0]), id(&got[1]));
}

/// Twenty large messages and a small one behind them, given up by one acknowledgement.
fn all_given_up(log: impl Fn(&mut World)) -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 100);
    for number in 10..30 {
        world.send(0, 1, &queue("q"), &format!("{number}{}", "x".repeat(3_000)), true);
    }
    world.send(0, 1, &queue("q"), "30", true);
    world.settle();
    let last = world.got(0).last().unwrap().sequence.0;
    log(&mut world);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Poison, (0, last), 21);
    world.settle();
    world
}

fn numbers(world: &mut World) -> Vec<String> {
    dead(world).iter().map(|got| String::from_utf8_lossy(&got.content[..2]).into_owned()).collect()
}

#[test]
pub fn a_dead_letter_without_room_holds_nobody_back() {
    let mut world = all_given_up(|world| world.log.most = Some(2_900));
    assert_eq!(world.broker.statistics().dead_lettered, 1, "the small one passes the twenty before it");
    assert!(world.events(0).is_empty(), "its acknowledgement is not answered yet");
    // Nobody looks at all of them in each turn: that would be all that the broker does.
    let turns = |world: &mut World| {
        let (now, mut turns) = (world.now, 1);
        while world.broker.advance(now, &mut world.log, &mut world.out) {
            turns += 1;
        }
        turns
    };
    assert_eq!(turns(&mut world), 1);
    assert_eq!(world.broker.deadline(), Some(world.now.nanos + 1_000_000_000));
    world.now.nanos += 1_000_000_001;
    assert_eq!(turns(&mut world), 3, "eight at a time");
    assert_eq!(turns(&mut world), 1);
    world.log.most = None;
    world.settle();
    assert_eq!(world.events(0).len(), 1);
    let expected: Vec<String> = [30].into_iter().chain(10..30).map(|number: u32| number.to_string()).collect();
    assert_eq!(numbers(&mut world), expected, "the others keep their order");
}

#[test]
fn a_dead_letter_that_cannot_be_read_holds_the_others_for_a_second() {
    let mut world = all_given_up(|world| world.log.cold.extend([0]));
    assert_eq!(world.broker.statistics().dead_lettered, 0, "bytes that come soon keep the order");
    for _ in 0..20 {
        world.now.nanos += 1_000_000_001;
        world.settle();
    }
    let cold = 21 - world.broker.statistics().dead_lettered;
    assert!((1..20).contains(&cold), "{cold} of 21 wait");
    world.log.cold.clear();
    world.broker.fetched();
    world.settle();
    let mut all = numbers(&mut world);
    all.sort();
    assert_eq!(all, (10..31).map(|number: u32| number.to_string()).collect::<Vec<_>>());
}

/// Whoever waits behind them could make room.
#[test]
pub fn expired_messages_without_room_hold_no_others() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let to = [queue("q")];
    let soon = world.now.unix_millis + 100;
    for number in 0..60 {
        let bytes = record(&to, b"expired", true, number, soon);
        world.send_as(0, handle(1), &to, true, (&bytes, number), wanted(1));
    }
    for number in 0..3 {
        world.send(0, 1, &to[0], &number.to_string(), true);
    }
    world.settle();
    world.heard(0);
    world.now.unix_millis += 100;
    world.log.most = Some(500);
    world.consume(0, 1, 5, &to[0], 10);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.iter().map(|got| got.content[0]).collect::<Vec<_>>(), b"012");
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, got[2].sequence.0), 3);
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 0);
    world.log.most = None;
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 60);
    assert_eq!(world.broker.statistics().messages, 60, "what was acknowledged is gone");
}

/// One place of a message is given up, its bytes have to be read first, and meanwhile its queue is deleted: the log knows nothing of
/// that place any more when the dead letter is written.
fn given_up_out_of_a_deleted_queue(parts: &[Destination]) -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let bytes = record(parts, b"to all", true, 7, 0);
    world.send_as(0, handle(1), parts, true, (&bytes, 7), wanted(7));
    world.consume(0, 1, 5, &parts[0], 100);
    world.settle();
    let sequence = world.got(0)[0].sequence.0;
    let segment = world.log.bodies()[0] / world.log.segment();
    world.log.cold.insert(segment);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Poison, (0, sequence), 1);
    world.close_consumer(0, 1, 5, LastDelivered::None);
    world.delete(0, 1, &parts[0]);
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 0, "its bytes are not there");
    world.log.cold.clear();
    world.broker.fetched();
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 1);
    world
}

#[test]
pub fn a_dead_letter_out_of_a_deleted_queue_is_known_to_the_others_also_after_a_crash() {
    let parts = [queue("q1"), queue("q2"), queue("q3")];
    for restarts in 0..3 {
        let mut world = given_up_out_of_a_deleted_queue(&parts);
        for _ in 0..restarts {
            world = world.restarted();
            world.connect(0, 1, "a");
        }
        world.settle();
        world.heard(0);
        give_up_at(&mut world, 6, &parts[1]);
        give_up_at(&mut world, 7, &parts[2]);
        let got = dead(&mut world);
        let mut ids: Vec<_> = got.iter().map(id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((got.len(), ids.len()), (3, 3), "{restarts} restarts");
        assert_eq!(got.iter().filter(|got| has_property(got, "originalMessageId", "ID:client:1:1:1:7")).count(), 2);
    }
}

/// The only place of a message that is left has nobody to tell.
#[test]
fn a_dead_letter_out_of_a_deleted_queue_is_the_only_one() {
    let world = given_up_out_of_a_deleted_queue(&[queue("q1")]);
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    assert_eq!(id(&dead(&mut world)[0]), (b"ID:client:1".to_vec(), 1, 1, 7));
    assert_eq!(world.broker.statistics().messages, 1);
}
