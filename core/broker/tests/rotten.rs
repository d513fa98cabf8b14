//! Records that are not what they were: nobody gets them, and they are kept aside before they go.

use crate::log::TestLog;
use crate::world::{World, handle, queue};
use postrider_broker::{Config, Log as _};
use postrider_journal::Pressure;
use postrider_model::command::{AcknowledgeKind, LastDelivered};
use std::collections::BTreeSet;

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
pub fn kept(world: &mut World) {
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
pub fn bytes_that_are_not_the_records_own_do_not_say_which_message_it_was() {
    let mut world = stored(3);
    world.log.rotten.insert(world.log.bodies()[1]);
    world.log.moved_here = true;
    world.consume(0, 1, 5, &queue("q"), 100);
    kept(&mut world);
    let (about, _) = world.log.aside.values().next().unwrap();
    assert!(about.starts_with("message whose id cannot be read of queue://q, sequence "), "{about}");
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
    let mut world = world.restarted();
    assert_eq!(world.broker.statistics().messages, 3);
    world.connect(0, 1, "a");
    world.log.windows = true;
    let bodies = world.log.bodies();
    world.log.rotten.insert(bodies[1]);
    world.consume(0, 1, 5, &queue("q"), 100);
    kept(&mut world);
    assert_eq!(world.texts(0), ["0", "2"]);
    assert_eq!(world.log.aside.len(), 1);
    let world = world.restarted();
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
    (0..200).for_each(|_| pass(&mut world, 1_000, true));
    assert_eq!((world.broker.statistics().damaged, world.log.aside.len()), (3, 3));
    assert!(world.log.live_log_bytes() < 20 * SEGMENT, "{} bytes of log", world.log.live_log_bytes());
    // Its consumer still has the first one, and is done with it.
    assert_eq!(world.broker.statistics().messages, 1);
    world.acknowledge(1, 2, 5, AcknowledgeKind::Standard, (0, held), 1);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    let world = world.restarted();
    assert_eq!(world.broker.statistics().messages, 0);
}

/// It is kept aside when only moves have room left: the walk goes on behind it.
#[test]
pub fn a_damaged_message_at_the_front_goes_with_the_room_of_moves() {
    const SEGMENT: u64 = 4 << 10;
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(60 * SEGMENT, SEGMENT));
    world.connect(0, 1, "a");
    world.send(0, 1, &queue("kept"), &"x".repeat(1_000), true);
    world.settle();
    world.log.rotten.extend(world.log.bodies());
    world.log.aside_waits = true;
    world.consume(0, 1, 7, &queue("churn"), 100);
    (0..100).for_each(|_| pass(&mut world, 1_000, true));
    assert_eq!((world.broker.statistics().damaged, world.log.aside.len()), (0, 1));
    (world.log.kept_for_moves, world.log.aside_waits) = (true, false);
    kept(&mut world);
    assert_eq!(world.broker.statistics().damaged, 1);
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
    (0..200).for_each(|_| pass(&mut world, 1_000, true));
    assert_eq!((world.broker.statistics().damaged, world.broker.statistics().messages), (1, 1));
    world.disconnect(1, handle(2), false);
    world.settle();
    world.consume(0, 1, 8, &queue("kept"), 1);
    kept(&mut world);
    assert!(world.got(0).is_empty());
    assert_eq!((world.broker.statistics().damaged, world.broker.statistics().messages), (1, 0));
}

/// A message to a queue whose consumer (7) acknowledges what comes.
fn pass(world: &mut World, bytes: usize, persistent: bool) {
    world.send(0, 1, &queue("churn"), &"x".repeat(bytes), persistent);
    world.settle();
    let got = world.got(0);
    let Some(last) = got.last() else { return };
    world.acknowledge(0, 1, 7, AcknowledgeKind::Standard, (0, last.sequence.0), got.len() as u32);
    world.settle();
}

/// Damaged records whose messages somebody has stand for themselves in the spool. A segment that they fill up goes when nothing else lives in it.
#[test]
pub fn damaged_messages_that_stand_alone_leave_no_segment_behind() {
    const SEGMENT: u64 = 4 << 10;
    const HELD: u32 = 20;
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(60 * SEGMENT, SEGMENT));
    world.connect(0, 1, "a");
    world.connect(1, 2, "b");
    (0..HELD).for_each(|number| world.send(0, 1, &queue("kept"), &number.to_string(), true));
    world.settle();
    world.consume(1, 2, 5, &queue("kept"), HELD);
    world.settle();
    let held = world.got(1).last().unwrap().sequence.0;
    world.log.rotten.extend(world.log.bodies());
    // Messages that need no journal fill the spool's first segment to its last byte, and go.
    world.consume(0, 1, 7, &queue("churn"), 100);
    (0..2).for_each(|_| pass(&mut world, 1_000, false));
    let [first, second] = world.log.spooled[..] else { panic!("two messages") };
    let envelope = second - first - 1_000;
    pass(&mut world, (SEGMENT - second - 1_000 - 2 * envelope) as usize + 64, false);
    (0..200).for_each(|_| pass(&mut world, 1_000, true));
    assert_eq!(world.broker.statistics().damaged, u64::from(HELD));
    assert_eq!(world.log.spool_segments(), 1, "the one that is written");
    // They hold none back either, when there is no room.
    (0..40).for_each(|_| pass(&mut world, 1_000, false));
    assert_eq!(world.log.spool_segments(), 2, "theirs, and the one that is written");
    world.log.spool_limit = Some((1, Pressure::Full));
    world.idle();
    assert_eq!(world.log.restaged, HELD as usize);
    world.acknowledge(1, 2, 5, AcknowledgeKind::Standard, (0, held), HELD);
    world.settle();
    assert_eq!((world.broker.statistics().messages, world.log.spool_segments()), (0, 1), "the one that is written");
}

/// A full spool is made denser around damaged records.
#[test]
pub fn a_damaged_message_does_not_shield_its_segment() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10);
    let text = "x".repeat(1_000);
    for number in 0..300 {
        world.send(0, 1, &queue(if number % 3 == 0 { "old" } else { "q" }), &text, false);
        if number % 3 > 0 {
            let last = world.got(0).last().unwrap().sequence.0;
            world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, last), 1);
        }
    }
    // The first that is left of every segment is damaged.
    let segment = |position: u64| position / world.log.segment();
    let survivors: Vec<u64> = world.log.spooled.iter().step_by(3).copied().collect();
    let (mut rotten, mut seen) = (BTreeSet::new(), BTreeSet::new());
    rotten.extend(survivors.iter().filter(|position| seen.insert(segment(**position))));
    let young = segment(*survivors.last().unwrap()) - 4;
    let old = |position: &&u64| segment(**position) < young && !rotten.contains(*position);
    let movable = survivors.iter().filter(old).count();
    world.log.spool_rotten = rotten.clone();
    world.log.spool_limit = Some((7, Pressure::Full));
    world.idle();
    assert!(world.log.restaged >= movable, "{} of {movable} moved", world.log.restaged);
    // Whoever takes what is there finds the damaged ones.
    world.consume(0, 1, 6, &queue("old"), 1_000);
    (0..2).for_each(|_| kept(&mut world));
    assert_eq!((world.got(0).len(), world.log.aside.len()), (100 - rotten.len(), rotten.len()));
}
