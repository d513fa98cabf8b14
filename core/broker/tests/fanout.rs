//! Sends that go to as many places as may be, or before as many selectors: no turn does more than its budget, however many come at once (R53).

use crate::selecting::{colored, consume};
use crate::subscriptions::leave;
use crate::transactions::{begin, commit, number};
use crate::world::{World, handle, queue, topic};
use postrider_broker::Config;
use postrider_model::command::{OpenConsumer, Request};
use postrider_model::{Command, CommandBatch, Destination, TransactionNumber};
use std::time::{Duration, Instant};

const SENDS: usize = 256;

fn world() -> World {
    let mut world = World::with(Config { reservation: 1 << 26, ..Config::default() }, 16 << 30);
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    world
}

/// A subscription to each of these topics, so many of them, which nobody has attached to.
fn subscribe(world: &mut World, topics: &[Destination], count: u32, selector: impl Fn(u32) -> Option<String>) {
    for number in 0..count {
        let subscription = Some(format!("s{number}").into_bytes().into());
        let text = selector(number).map(|text| text.into_bytes().into());
        let open = world.open(1, 1, topics, 0);
        world.consume_as(1, OpenConsumer { subscription, selector: text, ..open });
        leave(world, 1, 1, 1);
    }
    world.heard(1);
}

/// What a turn has done.
#[derive(Default)]
struct Turn {
    sends: usize,
    evaluations: u64,
    dispatched: u64,
    lasted: Duration,
}

/// The turns that a batch of 256 sends takes, and those that follow until all of it is delivered.
fn send(world: &mut World, to: &[Destination], persistent: bool) -> Vec<Turn> {
    send_within(world, to, persistent, None)
}

fn send_within(
    world: &mut World,
    to: &[Destination],
    persistent: bool,
    transaction: Option<TransactionNumber>,
) -> Vec<Turn> {
    let bytes = colored(&to[0], "x", "red", persistent);
    let one = world.publish(0, handle(1), to, persistent, (&bytes, 0), Request::default());
    let mut turns = Vec::new();
    world.turn(0, &one);
    world.settle();
    let Some(Command::Publish(publish)) = one.commands.last() else { panic!() };
    let mut left = SENDS;
    let mut more = true;
    while left > 0 || more {
        let mut turn = Turn::default();
        let before = world.broker.statistics();
        let begin = Instant::now();
        while left > 0 && !world.broker.has_worked_enough() {
            let mut batch = CommandBatch::default();
            let mut publish = *publish;
            publish.record = batch.store(&bytes);
            publish.transaction = transaction;
            batch.commands.push(Command::Publish(publish));
            world.handle(0, &batch);
            turn.sends += 1;
            left -= 1;
        }
        more = world.go_on();
        turn.lasted = begin.elapsed();
        let after = world.broker.statistics();
        turn.evaluations = after.evaluations - before.evaluations;
        turn.dispatched = after.dispatched - before.dispatched;
        turns.push(turn);
        world.log.commit();
        world.release_replies();
    }
    world.settle();
    turns
}

/// No turn has more of it than that. Run with `--nocapture` it says how long they last, too.
fn check(what: &str, turns: &[Turn], of: fn(&Turn) -> u64, most: u64) {
    let mut lasted: Vec<Duration> = turns.iter().map(|turn| turn.lasted).collect();
    lasted.sort();
    let (half, longest) = (lasted[lasted.len() / 2], lasted[lasted.len() - 1]);
    let done = turns.iter().map(of).max().unwrap();
    println!("{what}: {} turns, {done} in one at most, half of them in {half:?}, all in {longest:?}", turns.len());
    assert_eq!(turns.iter().map(|turn| turn.sends).sum::<usize>(), SENDS);
    assert!(done <= most, "{what}: {done} in one turn, {most} may be");
}

/// Steps of a turn, with those of the command that is its last.
const STEPS: u64 = 4_000 + 1_000;

#[test]
pub fn sends_to_as_many_places_as_may_be() {
    let queues: Vec<Destination> = (0..64).map(|number| queue(&format!("q{number}"))).collect();
    let mut composite = world();
    for persistent in [true, false] {
        check("64 queues", &send(&mut composite, &queues, persistent), |turn| 64 * turn.sends as u64, STEPS);
        begin(&mut composite, 1, 1);
        let turns = send_within(&mut composite, &queues, persistent, Some(number(1)));
        check("64 queues in a transaction", &turns, |turn| 64 * turn.sends as u64, STEPS);
        commit(&mut composite, 1, 1);
        composite.settle();
    }
    let topics: Vec<Destination> = (0..64).map(|number| topic(&format!("t{number}"))).collect();
    let mut spread = world();
    subscribe(&mut spread, &topics, 64, |_| None);
    // Four of them are a step.
    let most = 4 * STEPS;
    check("64 topics of 64 subscriptions", &send(&mut spread, &topics, true), |turn| 4_096 * turn.sends as u64, most);
    let mut one = world();
    subscribe(&mut one, &topics[..1], 4_000, |_| None);
    for persistent in [true, false] {
        let turns = send(&mut one, &topics[..1], persistent);
        check("a topic of 4,000 subscriptions", &turns, |turn| 4_000 * turn.sends as u64, most);
    }
    let mut heard = world();
    (0..4_096).for_each(|number| heard.consume(1, 1, 10 + number, &topics[0], 10_000));
    heard.settle();
    check("a topic of 4,096 subscribers", &send(&mut heard, &topics[..1], true), |turn| turn.dispatched, 8_192);
}

#[test]
pub fn sends_before_a_thousand_selectors() {
    let hard = |number| format!("color LIKE '%e%' AND JMSPriority + {number} < 100000 AND color <> 'none' OR FALSE");
    let mut subscribed = world();
    subscribe(&mut subscribed, &[topic("t")], 1_000, |number| Some(hard(number)));
    let turns = send(&mut subscribed, &[topic("t")], true);
    check("a topic of 1,000 subscriptions", &turns, |turn| 1_000 * turn.sends as u64, 4 * STEPS / 8);
    for to in [queue("q"), topic("t")] {
        let mut world = world();
        (0..1_000).for_each(|number| consume(&mut world, 10 + number, &to, 10_000, &hard(number)));
        world.settle();
        let turns = send(&mut world, std::slice::from_ref(&to), true);
        check(&format!("1,000 consumers of {to}"), &turns, |turn| turn.evaluations, STEPS);
    }
}
