//! Pulls, browsers, expiry: what waits and ends.

use crate::world::{Told, World, handle, queue, record, wanted};
use postrider_broker::Config;
use postrider_model::command::{AcknowledgeKind, LastDelivered, Request};
use postrider_model::{Command, Event, PortIndex, Token};

fn pull(world: &mut World, consumer: u32, timeout_millis: i64) {
    let (connection, request) = (handle(1), Request::default());
    world.run(0, Command::Pull { connection, consumer: handle(consumer), timeout_millis, request });
}

fn puller() -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 0);
    world.settle();
    world.heard(0);
    world
}

const END: Event = Event::EndOfMessages { consumer: postrider_model::Handle { slot: 5, generation: 1 } };

#[test]
pub fn a_pull_gets_one_message_or_hears_that_there_is_none() {
    let mut world = puller();
    pull(&mut world, 5, -1);
    world.settle();
    assert_eq!(world.events(0), [END]);
    for text in ["1", "2"] {
        world.send(0, 1, &queue("q"), text, false);
    }
    world.heard(0);
    pull(&mut world, 5, -1);
    assert_eq!(world.texts(0), ["1"]);
    pull(&mut world, 5, 0);
    assert_eq!(world.texts(0), ["2"]);
    pull(&mut world, 5, 0);
    pull(&mut world, 5, 0);
    world.settle();
    world.heard(0);
    for text in ["3", "4"] {
        world.send(0, 1, &queue("q"), text, false);
    }
    assert_eq!(world.texts(0), ["3"], "grants do not add up");
}

#[test]
pub fn a_pull_with_a_time_ends_at_its_time() {
    let mut world = puller();
    pull(&mut world, 5, 500);
    world.settle();
    assert!(world.heard(0).is_empty());
    assert_eq!(world.broker.deadline(), Some(world.now.nanos + 500_000_000));
    world.now.nanos += 500_000_000;
    world.idle();
    world.settle();
    assert_eq!(world.events(0), [END]);
    world.send(0, 1, &queue("q"), "late", false);
    assert!(world.got(0).is_empty(), "the grant is withdrawn");
}

#[test]
pub fn a_pull_does_not_miss_what_is_only_not_committed() {
    let mut world = puller();
    world.send(0, 1, &queue("q"), "x", true);
    pull(&mut world, 5, -1);
    assert!(world.heard(0).is_empty());
    world.settle();
    let told = world.heard(0);
    assert!(told.iter().any(|told| matches!(told, Told::Message(_))), "{told:?}");
    assert!(!told.contains(&Told::Event(END)));
}

#[test]
pub fn a_prefetch_that_is_given_later_lets_messages_flow() {
    let mut world = puller();
    for text in ["1", "2", "3"] {
        world.send(0, 1, &queue("q"), text, false);
    }
    assert!(world.got(0).is_empty());
    let (connection, consumer) = (handle(1), handle(5));
    world.run(0, Command::SetPrefetch { connection, consumer, prefetch: 2, request: Request::default() });
    assert_eq!(world.texts(0), ["1", "2"]);
}

#[test]
pub fn a_browser_sees_all_in_order_and_takes_nothing() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 6, &queue("q"), 2);
    for number in 0..2_600 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    world.consume(0, 1, 7, &queue("q"), 1);
    world.settle();
    world.close_consumer(0, 1, 7, LastDelivered::None);
    world.heard(0);
    let mut open = world.open(1, 5, &[queue("q")], 500);
    open.browser = true;
    world.consume_as(0, open);
    // What comes after it is not shown.
    world.send(0, 1, &queue("q"), "new", true);
    let mut seen: Vec<String> = Vec::new();
    let mut ended = false;
    for _ in 0..20 {
        world.settle();
        let told = world.heard(0);
        let texts: Vec<String> = told
            .iter()
            .filter_map(|told| {
                if let Told::Message(got) = told {
                    Some(String::from_utf8_lossy(&got.content).into_owned())
                } else {
                    None
                }
            })
            .collect();
        ended |= told.last() == Some(&Told::Event(END));
        let count = texts.len() as u32;
        seen.extend(texts);
        if count > 0 {
            world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, 0), count);
        }
    }
    assert!(ended);
    let expected: Vec<String> = (0..2_600).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
    assert_eq!(world.broker.statistics().messages, 2_601);
}

#[test]
pub fn a_browse_of_an_empty_queue_ends() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let mut open = world.open(1, 5, &[queue("q")], 500);
    open.browser = true;
    world.consume_as(0, open);
    world.settle();
    assert_eq!(world.events(0).last(), Some(&END));
}

#[test]
pub fn expired_messages_become_dead_letters_or_nothing() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let to = [queue("q")];
    let soon = world.now.unix_millis + 100;
    for (number, persistent, expiration) in [(1, true, soon), (2, false, soon), (3, true, 0), (4, true, 1)] {
        let bytes = record(&to, number.to_string().as_bytes(), persistent, number, expiration);
        world.send_as(0, handle(1), &to, persistent, (&bytes, number), wanted(1));
    }
    world.settle();
    world.now.unix_millis += 100;
    world.consume(0, 1, 5, &to[0], 10);
    world.settle();
    assert_eq!(world.texts(0), ["3"]);
    world.consume(0, 1, 6, &queue("ActiveMQ.DLQ"), 10);
    world.settle();
    let mut dead = world.got(0);
    dead.sort_by(|one, other| one.content.cmp(&other.content));
    assert_eq!(dead.iter().map(|got| got.content[0]).collect::<Vec<_>>(), b"14");
    let text = String::from_utf8_lossy(&dead[1].record).into_owned();
    assert!(text.contains("java.lang.Throwable: Message Expired. Expiration:1"), "{text}");
    assert_eq!(world.broker.statistics().expired, 3);
}

#[test]
pub fn a_sweep_finds_expired_messages_that_nobody_asks_for() {
    let config = Config { reservation: 1_000_000, expiry_sweep_millis: 1_000, ..Config::default() };
    let mut world = World::with(config, 1 << 30);
    world.connect(0, 1, "a");
    let to = [queue("q")];
    for number in 0..3_000 {
        let expiration = if number % 3 == 0 { world.now.unix_millis + 10 } else { 0 };
        let bytes = record(&to, number.to_string().as_bytes(), true, number, expiration);
        world.send_as(0, handle(1), &to, true, (&bytes, number), wanted(1));
    }
    world.settle();
    world.now.unix_millis += 1_000;
    world.now.nanos += 1_100_000_000;
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 1_000);
    world.consume(0, 1, 5, &to[0], 10_000);
    world.settle();
    assert_eq!(world.got(0).len(), 2_000);
}

/// A turn's sweep takes 2,000 steps: thirty such turns would look at all.
#[test]
fn a_sweep_of_a_deep_queue_costs_what_expires() {
    let config = Config { reservation: 1_000_000, expiry_sweep_millis: 1_000, ..Config::default() };
    let mut world = World::with(config, 1 << 30);
    world.connect(0, 1, "a");
    let to = [queue("q")];
    for number in 0..60_000 {
        let expiration = if number == 59_000 { world.now.unix_millis + 10 } else { 0 };
        let bytes = record(&to, b"x", false, number, expiration);
        world.send_as(0, handle(1), &to, false, (&bytes, number), wanted(1));
    }
    world.settle();
    world.now.unix_millis += 1_000;
    world.now.nanos += 1_100_000_000;
    let turns = (1..100).find(|_| {
        world.go_on();
        world.broker.statistics().expired == 1
    });
    assert!(turns.is_some_and(|turns| turns <= 3), "{turns:?} turns");
    assert!(!world.go_on(), "and there is nothing more to look at");
}

#[test]
pub fn a_sweep_finds_expired_messages_that_came_back() {
    let config = Config { reservation: 1_000_000, expiry_sweep_millis: 1_000, ..Config::default() };
    let mut world = World::with(config, 1 << 30);
    world.connect(0, 1, "a");
    let to = [queue("q")];
    for number in 0..5_000 {
        let expiration = if number % 2 == 0 { world.now.unix_millis + 10 } else { 0 };
        let bytes = record(&to, number.to_string().as_bytes(), true, number, expiration);
        world.send_as(0, handle(1), &to, true, (&bytes, number), wanted(1));
    }
    world.consume(0, 1, 5, &to[0], 10_000);
    world.settle();
    assert_eq!(world.got(0).len(), 5_000);
    world.close_consumer(0, 1, 5, LastDelivered::None);
    world.settle();
    world.now.unix_millis += 1_000;
    world.now.nanos += 1_100_000_000;
    world.settle();
    assert_eq!(world.broker.statistics().dead_lettered, 2_500);
    world.consume(0, 1, 6, &to[0], 10_000);
    world.settle();
    let expected: Vec<String> = (0..5_000).filter(|number| number % 2 == 1).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(0), expected);
}

#[test]
pub fn a_browser_sees_what_others_have_and_what_came_back_once_and_in_order() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for number in 0..6_000 {
        world.send(0, 1, &queue("q"), &number.to_string(), false);
    }
    for consumer in [6, 7, 8] {
        world.consume(0, 1, consumer, &queue("q"), 1_500);
    }
    world.close_consumer(0, 1, 7, LastDelivered::None);
    world.heard(0);
    let mut open = world.open(1, 5, &[queue("q")], 10_000);
    open.browser = true;
    world.consume_as(0, open);
    let expected: Vec<String> = (0..6_000).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(0), expected);
}

/// What one client does waits for bytes; what others do, and hear, does not (R51).
#[test]
pub fn an_answer_waits_for_its_own_jobs_only() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world.consume(0, 1, 5, &queue("cold"), 200);
    for number in 0..100 {
        world.send(0, 1, &queue("cold"), &number.to_string(), true);
    }
    world.settle();
    let poisoned: Vec<u64> = world.got(0).iter().map(|got| got.sequence.0).collect();
    for number in 0..1_500 {
        world.send(1, 1, &queue("other"), &number.to_string(), false);
    }
    world.consume(1, 1, 6, &queue("other"), 2_000);
    world.settle();
    world.heard(0);
    world.heard(1);
    world.log.cold.extend(0..3);
    for sequence in &poisoned {
        world.acknowledge(0, 1, 5, AcknowledgeKind::Poison, (*sequence, *sequence), 1);
    }
    world.settle();
    assert!(world.events(0).is_empty(), "their bytes are not there");
    world.close_consumer(1, 1, 6, LastDelivered::None);
    world.settle();
    assert_eq!(world.events(1), [Event::Reply { connection: handle(1), token: Token(3) }]);
    world.log.cold.clear();
    world.broker.fetched();
    world.settle();
    assert_eq!(world.events(0).len(), poisoned.len());
}

#[test]
pub fn a_long_return_holds_no_other_job_back() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for (consumer, name, count) in [(5, "much", 30_000), (6, "some", 1_500)] {
        world.consume(0, 1, consumer, &queue(name), 32_000);
        for _ in 0..count {
            world.send(0, 1, &queue(name), "x", false);
        }
    }
    world.heard(0);
    let (connection, last_delivered, now) = (handle(1), LastDelivered::Unknown, world.now);
    for (consumer, command) in [(5, 11), (6, 12)] {
        let request = wanted(command);
        let close = Command::CloseConsumer { connection, consumer: handle(consumer), last_delivered, request };
        world.broker.handle(PortIndex(0), &close, &[], now, &mut world.log, &mut world.out);
    }
    let mut answered = Vec::new();
    for turn in 0..100 {
        world.broker.advance(now, &mut world.log, &mut world.out);
        while let Some(batch) = world.out.take_replies(PortIndex(0)) {
            answered.extend(batch.events.iter().map(|event| match event {
                Event::Reply { token, .. } => (token.0, turn),
                other => panic!("{other:?}"),
            }));
        }
    }
    let [(12, first), (11, second)] = answered[..] else { panic!("{answered:?}") };
    assert!(first <= 2 && second > 10, "{answered:?}");
}

#[test]
pub fn a_turn_does_a_bounded_amount() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 30_000);
    for _ in 0..20_000 {
        world.send(0, 1, &queue("q"), "x", false);
    }
    world.heard(0);
    let (connection, consumer, last_delivered) = (handle(1), handle(5), LastDelivered::Unknown);
    let request = wanted(3);
    let (now, port) = (world.now, postrider_model::PortIndex(0));
    let command = Command::CloseConsumer { connection, consumer, last_delivered, request };
    world.broker.handle(port, &command, &[], now, &mut world.log, &mut world.out);
    let mut turns = 1;
    while world.broker.advance(now, &mut world.log, &mut world.out) {
        turns += 1;
    }
    assert!(turns >= 10, "20,000 messages went back in {turns} turns");
}
