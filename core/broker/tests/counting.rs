//! How often messages were delivered, as the log says it (R50).

use crate::log::TestLog;
use crate::subscriptions::{subscribe, unsubscribe};
use crate::world::{World, handle, queue, topic};
use postrider_broker::Config;
use postrider_broker::records::kind;
use postrider_model::command::{AcknowledgeKind, LastDelivered};

/// A small log, whose front moves on.
fn small() -> World {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
    connect(&mut world);
    world
}

fn connect(world: &mut World) {
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
}

/// A consumer of the queue, and one of the subscription, come and go: which messages they had, and with which counts.
fn had(world: &mut World, last_delivered: LastDelivered) -> [Vec<(String, u32)>; 2] {
    world.settle();
    world.heard(1);
    world.consume(1, 1, 1, &queue("q"), 100);
    subscribe(world, 1, (1, 2), "t", "s");
    let all = world.got(1);
    let of = |consumer: u32| {
        let got = all.iter().filter(|got| got.consumer == handle(consumer));
        got.map(|got| (String::from_utf8(got.content.clone()).unwrap(), got.redeliveries)).collect()
    };
    let counts = [of(1), of(2)];
    for consumer in [1, 2] {
        world.close_consumer(1, 1, consumer, last_delivered);
    }
    world.settle();
    counts
}

fn each(count: u32) -> [Vec<(String, u32)>; 2] {
    let all = ["1", "2", "3"].map(|text| (text.to_owned(), count)).to_vec();
    [all.clone(), all]
}

#[test]
pub fn how_often_a_message_was_delivered_is_known_after_a_start() {
    for moves in [false, true] {
        let mut world = small();
        subscribe(&mut world, 1, (1, 2), "t", "s");
        world.close_consumer(1, 1, 2, LastDelivered::None);
        for text in ["1", "2", "3"] {
            world.send(0, 1, &queue("q"), text, true);
            world.send(0, 1, &topic("t"), text, true);
        }
        let mut expected = 0;
        for _ in 0..3 {
            for _ in 0..2 {
                assert_eq!(had(&mut world, LastDelivered::Unknown), each(expected), "{moves}");
                expected += 1;
            }
            if moves {
                world.consume(0, 1, 5, &queue("churn"), 100);
                let front = world.log.front();
                world.churn(5, 1_500, 300);
                assert!(world.log.front() > front, "it has moved");
                world.heard(0);
            }
            world.settle();
            world = world.restarted();
            assert_eq!(world.broker.recount(), Ok(()));
            connect(&mut world);
            // Nobody was given it.
            assert_eq!(had(&mut world, LastDelivered::None), each(expected), "{moves}");
        }
    }
}

/// Each turn has one record of it at most, and what is over by then is in none.
#[test]
fn a_turn_counts_in_one_record_what_is_there_still() {
    let mut world = small();
    for text in 0..100 {
        world.send(0, 1, &queue("q"), &text.to_string(), true);
    }
    world.consume(1, 1, 1, &queue("q"), 100);
    world.settle();
    let records = |world: &World| world.log.records.iter().filter(|stored| stored.kind == kind::COUNT).count();
    assert_eq!(records(&world), 0);
    world.close_consumer(1, 1, 1, LastDelivered::Unknown);
    world.settle();
    assert_eq!(records(&world), 1);
    world.heard(1);
    world.consume(1, 1, 1, &queue("q"), 100);
    world.settle();
    let last = world.got(1).last().unwrap().sequence.0;
    world.acknowledge(1, 1, 1, AcknowledgeKind::Standard, (0, last), 100);
    world.close_consumer(1, 1, 1, LastDelivered::Unknown);
    world.settle();
    assert_eq!(records(&world), 1, "nothing came back");
}

/// Without room it is said later.
#[test]
fn what_has_no_room_is_counted_when_there_is() {
    let mut world = small();
    world.send(0, 1, &queue("q"), "1", true);
    world.consume(1, 1, 1, &queue("q"), 100);
    world.settle();
    world.log.full = true;
    world.close_consumer(1, 1, 1, LastDelivered::Unknown);
    world.idle();
    world.log.full = false;
    world.send(0, 1, &queue("other"), "1", true);
    world.settle();
    let records = world.log.records.iter().filter(|stored| stored.kind == kind::COUNT).count();
    assert_eq!(records, 1);
}

/// What is no more by then is counted nowhere, though others have the message still.
#[test]
fn what_goes_before_there_is_room_is_not_counted() {
    let mut world = small();
    for (consumer, name) in [(1, "gone"), (2, "stays")] {
        subscribe(&mut world, 1, (1, consumer), "t", name);
    }
    world.send(0, 1, &topic("t"), "1", true);
    world.settle();
    world.log.full = true;
    world.close_consumer(1, 1, 1, LastDelivered::Unknown);
    world.idle();
    unsubscribe(&mut world, 1, 1, "gone");
    world.log.full = false;
    world.close_consumer(1, 1, 2, LastDelivered::Unknown);
    world.settle();
    assert_eq!(world.broker.recount(), Ok(()));
    world.heard(1);
    subscribe(&mut world, 1, (1, 2), "t", "stays");
    assert_eq!(world.got(1).iter().map(|got| got.redeliveries).collect::<Vec<_>>(), [1]);
}
