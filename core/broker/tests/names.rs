//! Destinations are not free: what is created passes admission.

use crate::log::TestLog;
use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_broker::Config;
use postrider_model::event::Failure;
use postrider_model::{Destination, DestinationKind, Event};

fn world(destinations: usize, budget: u64) -> World {
    let config = Config { destinations, reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(budget, 64 << 10));
    world.connect(0, 1, "a");
    world.settle();
    world.heard(0);
    world
}

fn refusals(world: &mut World) -> Vec<(Failure, String)> {
    world.settle();
    let events = world.events(0).into_iter();
    events
        .filter_map(|event| match event {
            Event::Failed { failure, message, .. } => Some((failure, message.into())),
            _ => None,
        })
        .collect()
}

fn temporary(number: usize) -> Destination {
    Destination::new(DestinationKind::TemporaryQueue, format!("t{number}").as_bytes())
}

#[test]
fn no_more_destinations_than_configured_and_temporary_ones_count() {
    for way in ["send", "consumer", "temporary"] {
        let mut world = world(10, 1 << 30);
        for number in 0..15 {
            let name = queue(&format!("q{number}"));
            match way {
                "send" => world.send(0, 1, &name, "x", true),
                "consumer" => world.consume(0, 1, 100 + number, &name, 1),
                _ => world.create_temporary(0, 1, &temporary(number as usize)),
            }
        }
        let refused = refusals(&mut world);
        assert_eq!((world.broker.statistics().destinations, refused.len()), (10, 5), "{way}");
        for (failure, text) in refused {
            assert_eq!(failure, Failure::ResourceAllocation);
            assert!(text.contains("10 destinations") && text.contains("`destinations.max_count`"), "{text}");
        }
        world.send(0, 1, &queue("q1"), "what is there takes messages", true);
        if way != "temporary" {
            assert_eq!(refusals(&mut world), [], "{way}");
        }
    }
}

#[test]
pub fn a_name_that_is_too_long_is_refused_and_not_repeated() {
    let most = Config::default().name_bytes;
    let mut world = world(100, 1 << 30);
    for (length, taken) in [(most, true), (most + 1, false)] {
        let long = "n".repeat(length);
        let temporary = Destination::new(DestinationKind::TemporaryQueue, long.as_bytes());
        world.send(0, 1, &queue(&long), "x", true);
        world.send(0, 1, &topic(&long), "x", true);
        world.create_temporary(0, 1, &temporary);
        let refused = refusals(&mut world);
        assert_eq!(refused.len(), if taken { 0 } else { 3 }, "{length}");
        for (failure, text) in refused {
            assert_eq!(failure, Failure::InvalidDestination);
            assert!(text.contains("`destinations.max_name_bytes`") && text.len() < 400, "{text}");
        }
    }
}

/// Names are never consumed: they leave room for messages, in this life and in the next.
#[test]
fn whoever_makes_names_leaves_room_for_messages() {
    let budget = 40 * (64 << 10);
    let limit = (budget - 8 * (64 << 10)) / 2;
    let mut world = world(1_000_000, budget);
    world.send(0, 1, &queue("good"), "before", true);
    for number in 0..500 {
        let to = [queue(&format!("{number}{}", "y".repeat(8_000)))];
        let bytes = record(&to, b"", false, number, 0);
        world.send_as(0, handle(1), &to, false, (&bytes, number), wanted(7));
        if number % 50 == 0 {
            world.settle();
        }
    }
    let refused = refusals(&mut world);
    assert!(refused.len() > 400, "{}", refused.len());
    assert!(refused[0].1.contains("names may use an eighth") && refused[0].1.contains("disk_budget_bytes"));
    assert!(world.broker.statistics().live_bytes <= limit / 4, "{}", world.broker.statistics().live_bytes);
    world.send(0, 1, &queue("good"), "after", true);
    assert_eq!(refusals(&mut world), []);
    let end = world.turn_end;
    let mut world = world.crash(end);
    world.connect(0, 1, "a");
    world.send(0, 1, &queue("good"), "next life", true);
    world.consume(0, 1, 5, &queue("good"), 10);
    world.settle();
    assert_eq!(world.texts(0), ["before", "after", "next life"]);
}

/// The dead letter queue comes into being though no other destination may.
#[test]
fn dead_letters_have_their_queue_at_the_limit() {
    let mut world = world(1, 1 << 30);
    world.send(0, 1, &queue("q"), "given up", true);
    world.consume(0, 1, 5, &queue("q"), 10);
    world.settle();
    let sequence = world.got(0)[0].sequence.0;
    world.acknowledge(0, 1, 5, postrider_model::command::AcknowledgeKind::Poison, (0, sequence), 1);
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 1);
    world.consume(0, 1, 6, &queue("ActiveMQ.DLQ"), 10);
    world.settle();
    assert_eq!(world.texts(0), ["given up"]);
}
