//! Records that are not what they were: nobody gets them, and they are kept aside before they go.

use crate::log::TestLog;
use crate::world::{World, handle, queue};
use postrider_broker::{Config, Log as _};
use postrider_model::command::{AcknowledgeKind, LastDelivered};

/// Messages of one segment, which is read back from the disk.
fn stored(count: usize) -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for number in 0..count {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    world.log.windows = true;
    world
}

/// Whatever was to be kept aside is.
fn kept(world: &mut World) {
    for _ in 0..10 {
        world.broker.fetched();
        world.settle();
    }
}

#[test]
pub fn each_record_of_a_window_is_checked_before_it_goes_out() {
    let mut world = stored(6);
    let bodies = world.log.bodies();
    world.log.rotten.extend([bodies[1], bodies[2], bodies[4]]);
    world.consume(0, 1, 5, &queue("q"), 100);
    kept(&mut world);
    assert_eq!(world.texts(0), ["0", "3", "5"]);
    assert_eq!(world.broker.statistics().damaged, 3);
}

#[test]
pub fn a_damaged_message_is_kept_aside_before_it_is_acknowledged() {
    let mut world = stored(3);
    let bodies = world.log.bodies();
    world.log.rotten.insert(bodies[1]);
    world.log.aside_waits = true;
    world.consume(0, 1, 5, &queue("q"), 100);
    kept(&mut world);
    assert_eq!(world.texts(0), ["0"], "what is behind it waits");
    assert_eq!((world.broker.statistics().damaged, world.broker.statistics().messages), (0, 3));
    let (about, bytes) = world.log.aside.values().next().unwrap().clone();
    assert!(about.starts_with("message ID:client:1:1:1:"), "{about}");
    assert!(about.contains("of queue://q, sequence ") && about.contains("of the journal, in segment at "), "{about}");
    let text = String::from_utf8_lossy(&bytes);
    let (head, raw) = text.split_once("\n\n").unwrap();
    assert!(head.contains("\nsequence: ") && head.contains("\nposition: ") && raw.ends_with('1'), "{text}");
    // Its file was not written before the crash: the message is still there.
    let end = world.log.committed();
    let mut world = world.crash(end);
    assert_eq!(world.broker.statistics().messages, 3);
    world.connect(0, 1, "a");
    world.log.windows = true;
    let bodies = world.log.bodies();
    world.log.rotten.insert(bodies[1]);
    world.consume(0, 1, 5, &queue("q"), 100);
    kept(&mut world);
    assert_eq!(world.texts(0), ["0", "2"]);
    assert_eq!(world.log.aside.len(), 1);
    let end = world.log.committed();
    let world = world.crash(end);
    assert_eq!(world.broker.statistics().messages, 2, "it is acknowledged, and does not come again");
}

#[test]
fn a_damaged_message_that_is_given_up_is_kept_aside() {
    let mut world = stored(2);
    world.consume(0, 1, 5, &queue("q"), 100);
    world.settle();
    let got = world.got(0);
    let bodies = world.log.bodies();
    world.log.rotten.insert(bodies[0]);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Poison, (0, got[0].sequence.0), 1);
    kept(&mut world);
    let statistics = world.broker.statistics();
    assert_eq!((statistics.damaged, statistics.dead_lettered, statistics.messages), (1, 0, 1));
    assert_eq!(world.log.aside.len(), 1);
}

/// A log that is reclaimed while its first messages are damaged: one waits, one came back, one a consumer has.
#[test]
pub fn damaged_messages_do_not_hold_the_front() {
    const SEGMENT: u64 = 4 << 10;
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(60 * SEGMENT, SEGMENT));
    world.connect(0, 1, "a");
    world.connect(1, 2, "b");
    let text = "x".repeat(1_000);
    for _ in 0..3 {
        world.send(0, 1, &queue("kept"), &text, true);
    }
    world.settle();
    // The first one stays with a consumer, the second one comes back.
    for consumer in [5, 6] {
        world.consume(1, 2, consumer, &queue("kept"), 1);
        world.settle();
    }
    world.close_consumer(1, 2, 6, LastDelivered::None);
    world.settle();
    let held = world.got(1)[0].sequence.0;
    let front = world.log.bodies();
    world.log.rotten.extend(&front[..3]);
    world.consume(0, 1, 7, &queue("churn"), 100);
    for _ in 0..200 {
        world.send(0, 1, &queue("churn"), &text, true);
        world.settle();
        let got = world.got(0);
        let Some(last) = got.last() else { continue };
        world.acknowledge(0, 1, 7, AcknowledgeKind::Standard, (0, last.sequence.0), got.len() as u32);
        world.settle();
    }
    assert_eq!((world.broker.statistics().damaged, world.log.aside.len()), (3, 3));
    assert!(world.log.live_log_bytes() < 20 * SEGMENT, "{} bytes of log", world.log.live_log_bytes());
    // Its consumer still has the first one, and is done with it.
    assert_eq!(world.broker.statistics().messages, 1);
    world.acknowledge(1, 2, 5, AcknowledgeKind::Standard, (0, held), 1);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    let end = world.log.committed();
    let world = world.crash(end);
    assert_eq!(world.broker.statistics().messages, 0);
}

/// What a consumer has of a damaged record and gives back goes, without being kept aside once more.
#[test]
pub fn a_damaged_message_that_comes_back_goes() {
    const SEGMENT: u64 = 4 << 10;
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(60 * SEGMENT, SEGMENT));
    world.connect(0, 1, "a");
    world.connect(1, 2, "b");
    let text = "x".repeat(1_000);
    world.send(0, 1, &queue("kept"), &text, true);
    world.settle();
    world.consume(1, 2, 5, &queue("kept"), 1);
    world.settle();
    world.log.rotten.extend(world.log.bodies());
    world.consume(0, 1, 7, &queue("churn"), 100);
    for _ in 0..200 {
        world.send(0, 1, &queue("churn"), &text, true);
        world.settle();
        let got = world.got(0);
        let Some(last) = got.last() else { continue };
        world.acknowledge(0, 1, 7, AcknowledgeKind::Standard, (0, last.sequence.0), got.len() as u32);
        world.settle();
    }
    assert_eq!((world.broker.statistics().damaged, world.broker.statistics().messages), (1, 1));
    world.disconnect(1, handle(2), false);
    world.settle();
    world.consume(0, 1, 8, &queue("kept"), 1);
    kept(&mut world);
    assert!(world.got(0).is_empty());
    assert_eq!((world.broker.statistics().damaged, world.broker.statistics().messages), (1, 0));
}
