//! What producers are remembered by, in a log that is small for it (R6, R17, R19).

use crate::log::TestLog;
use crate::world::{World, handle, producer, queue, record_of, wanted};
use postrider_broker::{Config, Log as _};
use postrider_model::command::{AcknowledgeKind, LastDelivered, OpenProducer, Request};
use postrider_model::{Command, Event};

const SEGMENT: u64 = 64 << 10;
const BUDGET: u64 = 24 * SEGMENT;
/// What may live, and the part of it that is for marks.
const LIMIT: u64 = (BUDGET - 8 * SEGMENT) / 2;
const ROOM: u64 = LIMIT / 8;
/// Bytes of a mark besides its connection's name, with a run.
const MARK: u64 = 18 + 16 + 48;

/// A connection of a client that comes back, and a consumer of all that it sends.
fn world(client: Client) -> World {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(BUDGET, SEGMENT));
    client.connect(&mut world);
    consume(&mut world);
    world.settle();
    world
}

/// A consumer of all that is sent.
fn consume(world: &mut World) {
    world.connect(1, 2, "consumer");
    world.consume(1, 2, 5, &queue("q"), 10_000);
}

/// The disk is so small for some seconds, and is measured again and again.
fn pressed(world: &mut World, budget: u64, seconds: u64) {
    let whole = std::mem::replace(&mut world.log.budget, budget);
    world.log.measured_again = true;
    (0..seconds).for_each(|_| {
        world.idle();
        world.now.nanos += 1_000_000_000;
    });
    world.idle();
    (world.log.budget, world.log.measured_again) = (whole, false);
}

/// A client that comes back, by the number of its connection and its id.
#[derive(Clone, Copy)]
struct Client<'a>(u32, &'a str);

impl Client<'_> {
    fn connect(self, world: &mut World) {
        world.connect_as(0, handle(self.0), self.1, true);
    }

    fn open(self, world: &mut World, value: i64) {
        world.run(0, Command::OpenProducer(Box::new(producer(handle(self.0), value))));
    }

    fn send(self, world: &mut World, value: i64, number: i64) {
        let to = [queue("q")];
        let bytes = record_of((self.1, 3, value), &to, b"x", true, number, 0);
        world.send_as(0, handle(self.0), &to, true, (&bytes, number), wanted(7));
    }

    /// Whether what a producer sends again is known.
    fn is_known(self, world: &mut World, value: i64) -> bool {
        self.is_known_to(world, value, 1)
    }

    fn is_known_to(self, world: &mut World, value: i64, number: i64) -> bool {
        let before = world.broker.statistics().duplicates;
        self.open(world, value);
        self.send(world, value, number);
        acknowledge(world);
        world.broker.statistics().duplicates > before
    }
}

/// All that came is acknowledged; how many there were.
pub fn acknowledge(world: &mut World) -> usize {
    world.settle();
    let got = world.got(1);
    if let Some(last) = got.last() {
        world.acknowledge(1, 2, 5, AcknowledgeKind::Standard, (0, last.sequence.0), got.len() as u32);
        world.settle();
    }
    got.len()
}

/// Producers with values from this on, each of which sends these numbers; everything is acknowledged.
fn crowd(world: &mut World, client: Client, values: std::ops::Range<i64>, numbers: &[i64]) {
    let all = (values.end - values.start) as usize * numbers.len();
    let mut came = 0;
    for value in values {
        client.open(world, value);
        numbers.iter().for_each(|number| client.send(world, value, *number));
        if value % 50 == 0 {
            came += acknowledge(world);
            let length = world.log.live_log_bytes();
            assert!(length <= world.log.budget, "{length} bytes of log, after producer {value}");
        }
    }
    assert_eq!(came + acknowledge(world), all, "each is stored");
    let refused = world.events(0).iter().any(|event| matches!(event, Event::Failed { .. }));
    assert!(!refused, "nobody is refused");
}

/// Nothing is alive but marks: with these there is room, the log is short, and what comes does not move all of them.
fn goes_on(world: &mut World, marks: u64) {
    let live = world.broker.statistics().live_bytes;
    assert!(live <= marks + 1_000, "{live} bytes live, {marks} of them may be marks");
    let (length, before) = (world.log.live_log_bytes(), world.log.records.len());
    assert!(length <= 3 * live + 7 * SEGMENT, "{length} bytes of log for {live}");
    world.now.nanos += 1_000_000_000;
    (0..100).for_each(|_| world.settle());
    assert_eq!(world.log.records.len(), before, "at rest nothing is written");
    let appended = world.log.committed().0;
    let another = Client(9, "another");
    another.connect(world);
    (0..100).for_each(|number| {
        another.send(world, 1, number);
        assert_eq!(acknowledge(world), 1);
    });
    let appended = world.log.committed().0 - appended;
    assert!(appended < 40_000 + 5 * SEGMENT, "{appended} bytes for 100 messages");
}

#[test]
pub fn producers_of_a_long_name_leave_room_in_the_log() {
    let id = "a long name ".repeat(300);
    let mut world = world(Client(1, &id));
    crowd(&mut world, Client(1, &id), 0..1_500, &[1]);
    goes_on(&mut world, ROOM + id.len() as u64 + MARK);
}

#[test]
pub fn producers_with_gaps_leave_room_in_the_log() {
    let client = Client(1, "ID:host-41234-1796000000000-1:1");
    let mut world = world(client);
    let gaps: Vec<i64> = (0..40).map(|number| number * 2).collect();
    crowd(&mut world, client, 0..1_500, &gaps);
    goes_on(&mut world, ROOM + 1_000);
}

/// Who stays is remembered, and who went lately: a restart ends all connections, and their clients come back within a minute.
#[test]
fn who_may_come_back_is_not_forgotten_for_others() {
    let (first, back, second) = (Client(1, "first"), Client(4, "first"), Client(3, "other"));
    let mut world = world(first);
    let all = (ROOM / (MARK + 5)) as i64;
    crowd(&mut world, first, 0..all, &[1]);
    let mut world = world.restarted();
    consume(&mut world);
    second.connect(&mut world);
    crowd(&mut world, second, 0..200, &[1]);
    assert!(second.is_known(&mut world, 0), "there was room for a few more");
    assert!(!second.is_known(&mut world, 199) && !second.is_known(&mut world, 199), "not for all");
    world.now.nanos += 40_000_000_000;
    back.connect(&mut world);
    let forgotten = (0..all / 2).filter(|value| !back.is_known(&mut world, *value));
    assert_eq!(forgotten.count(), 0);
    // The other half does not come back.
    world.now.nanos += 30_000_000_000;
    world.settle();
    assert!(!second.is_known(&mut world, 199) && second.is_known(&mut world, 199), "there is room again");
    let forgotten = (0..all / 2).filter(|value| !back.is_known(&mut world, *value));
    assert_eq!(forgotten.count(), 0, "of those that came back");
}

/// A mark that stands behind many others in the table is found, though nothing comes.
#[test]
fn the_log_becomes_shorter_at_rest_though_a_mark_is_the_last_of_many() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(40 << 20, SEGMENT));
    let (many, last) = (Client(1, "many"), Client(3, "last"));
    many.connect(&mut world);
    last.connect(&mut world);
    consume(&mut world);
    crowd(&mut world, many, 0..12_500, &[1]);
    last.open(&mut world, 1);
    last.send(&mut world, 1, 1);
    world.connect(0, 4, "plain");
    (0..400).for_each(|_| world.send(0, 4, &queue("kept"), &"x".repeat(10_000), true));
    acknowledge(&mut world);
    crowd(&mut world, many, 0..12_500, &[2]);
    let (connection, destination, request) = (handle(4), Box::new(queue("kept")), Request::default());
    world.run(0, Command::DeleteDestination { connection, destination, request });
    world.settle();
    let (live, length) = (world.broker.statistics().live_bytes, world.log.live_log_bytes());
    assert!(length <= 3 * live + 7 * SEGMENT, "{length} bytes of log for {live}");
}

/// Who came back within a minute and waits for room is not forgotten for others: what it repeats is not stored twice.
#[test]
fn who_came_back_and_is_parked_is_not_forgotten() {
    let (first, back) = (Client(1, "first"), Client(4, "first"));
    let mut world = world(first);
    let all = (ROOM / (MARK + 5)) as i64;
    crowd(&mut world, first, 0..all, &[1]);
    world.connect(0, 6, "plain");
    while world.broker.statistics().live_bytes + 1_500 < LIMIT {
        world.send(0, 6, &queue("kept"), &"x".repeat(1_000), true);
    }
    world.settle();
    let mut world = world.restarted();
    back.connect(&mut world);
    for (number, value) in [(0, 0), (1, 1)] {
        let open = OpenProducer { producer: number, ..producer(handle(back.0), value) };
        world.run(0, Command::OpenProducer(Box::new(open)));
    }
    for (producer, value, number) in [(0, 0, 2), (1, 1, 1)] {
        let to = [queue("q")];
        let content = vec![b'x'; if producer == 0 { 2_000 } else { 10 }];
        let bytes = record_of((back.1, 3, value), &to, &content, true, number, 0);
        let mut batch = world.publish(0, handle(back.0), &to, true, (&bytes, number), Request::default());
        if let Some(Command::Publish(publish)) = batch.commands.last_mut() {
            publish.producer = producer;
        }
        world.turn(0, &batch);
        world.settle();
    }
    assert!(world.broker.statistics().parked_bytes > 2_000, "both wait");
    world.now.nanos += 70_000_000_000;
    (0..10).for_each(|_| world.settle());
    world.connect(0, 6, "plain");
    let (connection, destination, request) = (handle(6), Box::new(queue("kept")), Request::default());
    world.run(0, Command::DeleteDestination { connection, destination, request });
    world.settle();
    let statistics = world.broker.statistics();
    assert_eq!((statistics.parked_bytes, statistics.duplicates, statistics.messages), (0, 1, 1));
}

/// Who has stored nothing takes none of the places: nothing would ever say that it is too many.
#[test]
fn who_has_stored_nothing_is_not_remembered() {
    let config = Config { reservation: 1_000_000, marks: 100, ..Config::default() };
    let mut world = World::over(config, TestLog::new(BUDGET, SEGMENT));
    let (teller, client) = (Client(1, "teller"), Client(3, "client"));
    teller.connect(&mut world);
    client.connect(&mut world);
    for value in 0..150 {
        teller.open(&mut world, value);
        let to = [crate::world::topic("news")];
        let bytes = record_of((teller.1, 3, value), &to, b"x", true, 1, 0);
        world.send_as(0, handle(teller.0), &to, true, (&bytes, 1), wanted(7));
    }
    assert!(!client.is_known(&mut world, 1) && client.is_known(&mut world, 1));
}

/// Those that grow old are a bounded part of a turn, however long their names are and whatever they had sent.
#[test]
fn marks_of_long_names_that_grow_old_are_no_long_turn() {
    let id = "a long name ".repeat(300);
    let client = Client(1, &id);
    let mut world =
        World::over(Config { reservation: 1_000_000, ..Config::default() }, TestLog::new(160 << 20, 4 << 20));
    client.connect(&mut world);
    consume(&mut world);
    crowd(&mut world, client, 0..400, &[1, 3, 5]);
    world.disconnect(0, handle(1), false);
    world.settle();
    world.now.nanos += world.config.mark_millis * 1_000_000 + 1;
    let (mut turns, mut at) = (0, world.log.committed());
    while world.broker.statistics().live_bytes > 1_000 {
        world.go_on();
        assert!(world.turn_end.0 - at.0 <= 300 << 10, "{} bytes in a turn", world.turn_end.0 - at.0);
        (turns, at) = (turns + 1, world.turn_end);
        world.log.commit();
    }
    assert!((4..10).contains(&turns), "{turns} turns");
}

/// Whatever happens to marks, nothing new is taken for what was stored, and all that is known is counted alike after a start.
#[test]
fn nothing_new_is_taken_for_a_duplicate() {
    for seed in 1..=8_u64 {
        let mut state = seed;
        let mut below = move |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        let budget = if seed % 2 == 0 { 24 * (16 << 10) } else { 24 << 20 };
        let config = Config { reservation: 1_000_000, marks: 40, ..Config::default() };
        let mut world = World::over(config, TestLog::new(budget, if seed % 2 == 0 { 16 << 10 } else { 1 << 20 }));
        let ids = ["a".repeat(4), "b".repeat(60), "c".repeat(700), "d".repeat(1_500)];
        let clients: Vec<Client> = ids.iter().enumerate().map(|(slot, id)| Client(slot as u32 + 1, id)).collect();
        let start = |world: &mut World| {
            world.connect(1, 2, "consumer");
            world.consume(1, 2, 5, &queue("q"), 10_000);
        };
        start(&mut world);
        clients.iter().for_each(|client| client.connect(&mut world));
        let mut stored = std::collections::BTreeSet::new();
        let (mut known, mut sent) = (0, 0);
        for _ in 0..1_500 {
            let client = clients[below(4) as usize];
            let value = below(20) as i64;
            match below(40) {
                0 => {
                    world.disconnect(0, handle(client.0), true);
                    world.settle();
                    stored.retain(|(id, _, _)| *id != client.1);
                    client.connect(&mut world);
                }
                1 => {
                    world.disconnect(0, handle(client.0), false);
                    world.settle();
                    client.connect(&mut world);
                }
                2 => client.connect(&mut world),
                3 => world.now.nanos += below(100) * 1_000_000_000,
                4 if below(4) == 0 => {
                    acknowledge(&mut world);
                    let live = world.broker.statistics().live_bytes;
                    world = world.restarted();
                    let after = world.broker.statistics().live_bytes;
                    if seed % 2 == 1 {
                        assert_eq!(after, live, "seed {seed}");
                    }
                    start(&mut world);
                    clients.iter().for_each(|client| client.connect(&mut world));
                }
                _ => {
                    client.open(&mut world, value);
                    let mut number = below(150) as i64;
                    for _ in 0..=below(12) {
                        number += 1 + below(2) as i64;
                        let (passes, persistent) = (number % 7 == 0, number % 5 > 0);
                        let to = [if passes { crate::world::topic("t") } else { queue("q") }];
                        let bytes = record_of((client.1, 3, value), &to, &[b'x'; 300], persistent, number, 0);
                        let before = world.broker.statistics().duplicates;
                        world.send_as(0, handle(client.0), &to, persistent, (&bytes, number), wanted(7));
                        let is_known = world.broker.statistics().duplicates > before;
                        let is_stored = stored.contains(&(client.1, value, number));
                        assert!(!is_known || is_stored, "seed {seed}: {value} {number} of {}", client.1);
                        known += u32::from(is_known);
                        sent += u32::from(is_stored);
                        if persistent && !passes {
                            stored.insert((client.1, value, number));
                        }
                    }
                    acknowledge(&mut world);
                    let refused = world.events(0).iter().any(|event| matches!(event, Event::Failed { .. }));
                    assert!(!refused, "seed {seed}");
                    assert!(world.log.live_log_bytes() <= budget);
                }
            }
        }
        assert!(known > 20 && sent > known, "seed {seed}: {known} of {sent}");
    }
}

/// Whoever opens a producer for each message does not keep others from being remembered, nor those from coming back who were lost.
#[test]
fn producers_that_were_closed_are_forgotten_first() {
    let config = Config { reservation: 1_000_000, marks: 100, ..Config::default() };
    let mut world = World::over(config, TestLog::new(BUDGET, SEGMENT));
    world.now.nanos = 100_000_000_000;
    let (lost, many, client) = (Client(1, "lost"), Client(3, "many"), Client(4, "client"));
    [lost, many, client].iter().for_each(|client| client.connect(&mut world));
    (0..50).for_each(|value| assert!(!lost.is_known(&mut world, value)));
    world.disconnect(0, handle(lost.0), false);
    for value in 0..1_000 {
        many.open(&mut world, value);
        many.send(&mut world, value, 1);
        let (connection, request) = (handle(many.0), Request::default());
        world.run(0, Command::CloseProducer { connection, producer: 0, request });
        world.now.nanos += 10_000_000;
    }
    assert!(!client.is_known(&mut world, 1) && client.is_known(&mut world, 1));
    lost.connect(&mut world);
    assert!((0..50).all(|value| lost.is_known(&mut world, value)));
}

/// One that opens a producer for each message, as Spring's template does, takes no room from others.
#[test]
fn producers_that_are_closed_make_room_at_once() {
    let (first, second) = (Client(1, "first"), Client(3, "other"));
    let mut world = world(first);
    second.connect(&mut world);
    for value in 0..3_000 {
        crowd(&mut world, first, value..value + 1, &[1]);
        let (connection, request) = (handle(1), Request::default());
        world.run(0, Command::CloseProducer { connection, producer: 0, request });
        if value % 100 == 0 {
            assert!(!second.is_known(&mut world, value) && second.is_known(&mut world, value), "after {value}");
        }
    }
    goes_on(&mut world, ROOM + 1_000);
}

/// A start finds more runs than there was room for: messages that live say them.
#[test]
fn a_start_keeps_within_the_room() {
    let client = Client(1, "first");
    let mut world = world(client);
    let all = (ROOM / (MARK + 5)) as i64;
    crowd(&mut world, client, 0..all + 100, &[1]);
    world.close_consumer(1, 2, 5, LastDelivered::Unknown);
    for value in 0..10 {
        client.open(&mut world, value);
        (1..100).for_each(|number| client.send(&mut world, value, number * 2 + 1));
    }
    world.settle();
    let live = world.broker.statistics().live_bytes;
    let mut world = world.restarted();
    world.settle();
    let after = world.broker.statistics().live_bytes;
    assert!(after <= live, "{live} bytes live before the start, {after} after it");
    consume(&mut world);
    assert_eq!(acknowledge(&mut world), 990);
    client.connect(&mut world);
    assert!((0..10).all(|value| client.is_known_to(&mut world, value, 199)), "the newest are known");
    goes_on(&mut world, ROOM + 1_000);
}

/// A disk that another program fills, or a setting: what producers that are here took of more room is given back.
#[test]
fn a_start_with_less_room_gives_up_producers_that_are_here() {
    let client = Client(1, "first");
    let mut world = world(client);
    let all = (ROOM / (MARK + 5)) as i64;
    crowd(&mut world, client, 0..all, &[1]);
    let mut world = world.restarted();
    // An eighth of what marks have may live.
    world.log.budget = 8 * SEGMENT + ROOM / 4;
    client.connect(&mut world);
    (0..all).for_each(|value| client.open(&mut world, value));
    // The disk does not get larger within a minute.
    world.now.nanos += 61_000_000_000;
    world.settle();
    let (live, room) = (world.broker.statistics().live_bytes, ROOM / 8 / 8);
    assert!(live <= room * 3 / 2 + 1_000, "{live} bytes live, {room} of marks may");
    consume(&mut world);
    world.settle();
    let other = Client(9, "other");
    other.connect(&mut world);
    other.open(&mut world, 1);
    other.send(&mut world, 1, 1);
    assert_eq!(acknowledge(&mut world), 1);
    client.send(&mut world, 1, 2);
    assert_eq!(acknowledge(&mut world), 1, "who is forgotten goes on");
}

/// A disk that a start finds full for a moment, as it is measured again and again: who comes back at once is known.
#[test]
fn who_comes_back_after_a_start_that_found_no_room_is_known() {
    let (first, back) = (Client(1, "first"), Client(4, "first"));
    let mut world = world(first);
    crowd(&mut world, first, 0..5, &[1]);
    let mut world = world.restarted();
    pressed(&mut world, 8 * SEGMENT, 1);
    consume(&mut world);
    back.connect(&mut world);
    assert!((0..5).all(|value| back.is_known(&mut world, value)));
}

/// Files that are ready or kept to be used again count as well: the disk is short before the log is. What each sent before a gap is known
/// for as long as the disk is measured, but for a minute at most.
#[test]
fn a_start_keeps_runs_while_the_disk_is_measured_again() {
    for (seconds, known) in [(1, 1), (59, 1), (61, 0)] {
        let (first, back) = (Client(1, "first"), Client(4, "first"));
        let mut world = world(first);
        let sent: Vec<i64> = (0..20).map(|number| number * 2 + 1).collect();
        crowd(&mut world, first, 0..40, &sent);
        let mut world = world.restarted();
        let (budget, length) = (11 * SEGMENT, world.log.live_log_bytes());
        assert!(length + 8 * SEGMENT <= budget, "{length} bytes");
        pressed(&mut world, budget, seconds);
        consume(&mut world);
        back.connect(&mut world);
        let again = (0..40).filter(|value| back.is_known(&mut world, *value)).count();
        assert_eq!(again, known * 40, "after {seconds} seconds");
    }
}
