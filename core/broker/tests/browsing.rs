//! Browsers that wait: what they lack wakes them, and nobody else pays for them.

use crate::world::{Told, World, handle, queue};
use postrider_model::command::OpenConsumer;
use postrider_model::{Destination, Event};

fn browse(world: &mut World, connection: u32, consumer: u32, queues: &[Destination], prefetch: u32) {
    let open = OpenConsumer { browser: true, ..world.open(connection, consumer, queues, prefetch) };
    world.consume_as(0, open);
}

fn numbers(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// What a browser was shown since it was asked last, and whether it was told that this is all.
fn seen(told: &[Told], consumer: u32) -> (Vec<String>, bool) {
    let consumer = handle(consumer);
    let texts = told.iter().filter_map(|told| match told {
        Told::Message(got) if got.consumer == consumer => Some(String::from_utf8_lossy(&got.content).into_owned()),
        _ => None,
    });
    (texts.collect(), told.contains(&Told::Event(Event::EndOfMessages { consumer })))
}

/// Together they take more than a turn's steps: those that it ends amid the second queue came from the first one's service.
#[test]
pub fn a_turn_that_ends_amid_a_later_queue_leaves_no_browser_behind() {
    const BROWSERS: u32 = 30;
    const SECOND: u32 = 500;
    let mut world = World::new();
    (1..=BROWSERS).for_each(|slot| world.connect(0, slot, &slot.to_string()));
    for number in 1..=SECOND {
        world.send(0, 1, &queue("second"), &number.to_string(), false);
    }
    world.send(0, 1, &queue("first"), "0", true);
    world.heard(0);
    for slot in 1..=BROWSERS {
        browse(&mut world, slot, slot, &[queue("first"), queue("second")], 1_000);
    }
    assert!(world.got(0).is_empty(), "the first message is not committed");
    world.settle();
    let told = world.heard(0);
    for slot in 1..=BROWSERS {
        let (texts, ended) = seen(&told, slot);
        assert_eq!((texts.len() as u32, ended), (SECOND + 1, true), "browser {slot}");
        assert!(texts == numbers(0..SECOND + 1));
    }
}
