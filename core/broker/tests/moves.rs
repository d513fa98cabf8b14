//! What moves from the front of the log: no turn takes more than its steps for it, however many subscriptions may want it.

use crate::log::{Stored, TestLog};
use crate::subscriptions::leave;
use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_broker::Config;
use postrider_broker::records::kind;
use postrider_model::command::{AcknowledgeKind, OpenConsumer};

const SEGMENT: u64 = 256 << 10;

/// Subscriptions that are asked for each message, and want none.
const OTHERS: u64 = 400;

/// Bytes of what is sent to make the log longer.
const LARGE: usize = 20_000;

/// Steps that a turn's walk has, of each of which two are asked.
const ASKED: u64 = 2 * 4_096;

fn subscribe(world: &mut World, consumer: u32, name: &str, selector: Option<&str>) {
    let open = OpenConsumer {
        subscription: Some(name.as_bytes().into()),
        selector: selector.map(|selector| selector.as_bytes().into()),
        ..world.open(1, consumer, &[topic("t")], 100)
    };
    world.consume_as(1, open);
    world.settle();
}

/// One turn after the other, until all is done: how many of the topic's messages moved in one of them at most.
fn most_moved(world: &mut World) -> u64 {
    let mut most = 0;
    loop {
        let before = world.log.records.last().unwrap().home.position;
        let more = world.go_on() || world.broker.walks_at_rest();
        let is_one = |stored: &&Stored| {
            stored.kind == kind::MESSAGE && stored.body.len() < LARGE && stored.home.position > before
        };
        most = most.max(world.log.records.iter().rev().take(5_000).filter(is_one).count() as u64);
        world.log.commit();
        world.release_replies();
        if !more && !world.broker.wants_sync() {
            return most;
        }
    }
}

#[test]
fn a_walk_past_many_subscriptions_is_bounded() {
    const KEPT: u64 = 3_000;
    let mut world = World::over(Config::default(), TestLog::new(100 * SEGMENT, SEGMENT));
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    for number in 0..OTHERS as u32 {
        subscribe(&mut world, number, &format!("s{number}"), Some("a = 1"));
        leave(&mut world, 1, 1, number);
    }
    subscribe(&mut world, 5_000, "away", None);
    leave(&mut world, 1, 1, 5_000);
    for number in 0..KEPT {
        world.send(0, 1, &topic("t"), &number.to_string(), true);
    }
    world.consume(0, 1, 50, &queue("churn"), 100);
    let (text, mut most) = ("x".repeat(LARGE), 0);
    for _ in 0..200 {
        let to = [queue("churn")];
        let bytes = record(&to, text.as_bytes(), true, 0, 0);
        let batch = world.publish(0, handle(1), &to, true, (&bytes, 0), wanted(7));
        world.handle(0, &batch);
        most = most.max(most_moved(&mut world));
        let last = world.got(0).last().unwrap().sequence.0;
        world.acknowledge(0, 1, 50, AcknowledgeKind::Standard, (0, last), 1);
        most = most.max(most_moved(&mut world));
    }
    let moved = world.broker.statistics().moved;
    assert!(moved > KEPT, "{moved} moved in all");
    assert!(most <= ASKED / OTHERS + 2, "{most} moved in one turn");
    subscribe(&mut world, 5_000, "away", None);
    assert_eq!(world.texts(1).len(), 100);
    assert_eq!(world.broker.recount(), Ok(()));
}
