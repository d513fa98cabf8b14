//! What one command makes is done in slices where it is much (R25): turns are counted, and nothing of it is lost, doubled or out of order.

use crate::world::{Told, World, acknowledging, handle, producer, queue, record, topic, wanted};
use postrider_broker::Config;
use postrider_model::command::{
    AcknowledgeKind, CreateTemporary, LastDelivered, OpenConnection, OpenConsumer, OpenProducer, Request,
};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Event};

fn temporary(name: &str) -> Destination {
    Destination::new(DestinationKind::TemporaryQueue, name.as_bytes())
}

/// Two connections, one on each port.
fn world() -> World {
    let mut world = World::with(Config { reservation: 1_000_000, ..Config::default() }, 1 << 30);
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world.settle();
    (0..2).for_each(|port| drop(world.heard(port)));
    world
}

fn in_batches(world: &mut World, port: usize, commands: impl Iterator<Item = Command>) {
    let mut batch = CommandBatch::default();
    for command in commands {
        batch.commands.push(command);
        if batch.commands.len() == 250 {
            world.turn(port, &std::mem::take(&mut batch));
        }
    }
    world.turn(port, &batch);
    world.settle();
}

/// Destinations come into being.
fn name(world: &mut World, names: impl Iterator<Item = Destination>) {
    let connection = handle(1);
    let open = |destination: Destination| {
        let open = OpenProducer { producer: 9, destinations: [destination].into(), ..producer(connection, 1) };
        Command::OpenProducer(Box::new(open))
    };
    in_batches(world, 0, names.map(open));
}

fn open(world: &mut World, consumers: std::ops::Range<u32>, names: &[Destination], prefetch: u32) {
    let opens: Vec<OpenConsumer> = consumers
        .map(|consumer| {
            world.connections_of.insert((0, handle(consumer)), handle(1));
            OpenConsumer { request: Request::default(), ..world.open(1, consumer, names, prefetch) }
        })
        .collect();
    in_batches(world, 0, opens.into_iter().map(|open| Command::OpenConsumer(Box::new(open))));
}

/// Opens a consumer: what follows from that is left to [`World::go_on`].
fn begin_to_open(world: &mut World, open: OpenConsumer) {
    world.connections_of.insert((0, open.consumer), open.connection);
    world.handle(0, &alone(Command::OpenConsumer(Box::new(open))));
}

/// Turns until the command is answered, with what was heard of messages until then.
fn turns(world: &mut World, command: &Command) -> usize {
    world.handle(0, &alone(command.clone()));
    for turn in 1..100_000 {
        world.go_on();
        world.log.commit();
        world.release_replies();
        if world.told[0].iter().any(|told| matches!(told, Told::Event(Event::Reply { .. }))) {
            return turn;
        }
    }
    panic!("{command:?} is not answered");
}

fn alone(command: Command) -> CommandBatch {
    CommandBatch { commands: vec![command], ..CommandBatch::default() }
}

fn close(consumer: u32, last_delivered: LastDelivered) -> Command {
    let (connection, consumer) = (handle(1), handle(consumer));
    Command::CloseConsumer { connection, consumer, last_delivered, request: wanted(3) }
}

fn close_connection() -> Command {
    let (connection, last_delivered) = (handle(1), LastDelivered::None);
    Command::CloseConnection { connection, request: wanted(99), last_delivered, clean: true }
}

#[test]
pub fn a_pattern_gets_very_many_queues_in_slices() {
    let mut world = world();
    name(&mut world, (0..10_000).map(|number| queue(&format!("q.{number}"))));
    for number in [0, 7, 5_000, 9_999] {
        world.send(1, 1, &queue(&format!("q.{number}")), &number.to_string(), true);
    }
    world.settle();
    let open = world.open(1, 5, &[queue("q.>"), queue("q.*"), queue("q.7")], 100);
    world.connections_of.insert((0, handle(5)), handle(1));
    let turns = turns(&mut world, &Command::OpenConsumer(Box::new(open)));
    assert!((5..100).contains(&turns), "{turns}");
    world.settle();
    let mut texts = world.texts(0);
    texts.sort();
    assert_eq!(texts, ["0", "5000", "7", "9999"]);
    // Each queue is its consumer's once: what it leaves comes back once.
    world.run(0, close(5, LastDelivered::None));
    world.settle();
    world.consume(1, 1, 6, &queue("q.7"), 10);
    world.settle();
    assert_eq!(world.texts(1), ["7"]);
}

/// A name is as much work as it is long: it is for whoever chooses it how many elements it has.
#[test]
pub fn long_names_and_patterns_are_held_against_each_other_in_slices() {
    const LONG: usize = 64;
    let long = |last: &str| queue(&format!("{}{last}", "a.".repeat(4_080)));
    let mut world = world();
    world.handle(0, &alone(Command::OpenConsumer(Box::new(world.open(1, 5, &[queue("a.*")], 10)))));
    assert!(!world.broker.has_worked_enough());
    let patterns: Vec<Destination> = (0..LONG).map(|number| long(&format!("{number}.*"))).collect();
    let open = world.open(1, 6, &patterns, 10);
    begin_to_open(&mut world, open);
    assert!(world.broker.has_worked_enough(), "half a megabyte of names");
    let turns_of = |world: &mut World| (0..).take_while(|_| world.go_on()).count();
    let opening = turns_of(&mut world);
    assert!((10..100).contains(&opening), "{opening}");
    let to = [long("7.x")];
    let bytes = record(&[queue("x")], b"sent", false, 0, 0);
    let sent = world.publish(0, handle(1), &to, false, (&bytes, 0), wanted(7));
    world.handle(0, &sent);
    let joining = turns_of(&mut world);
    assert!((3..100).contains(&joining), "{joining}");
    world.settle();
    assert_eq!(world.texts(0), ["sent"]);
    world.handle(0, &alone(close(6, LastDelivered::None)));
    let closing = turns_of(&mut world);
    assert!((3..100).contains(&closing), "{closing}");
}

/// A pattern that can be found takes memory, nodes of a tree and their order: very many of them come and go in slices. Destinations that come
/// meanwhile find the consumer, or it finds them.
#[test]
pub fn a_consumer_of_very_many_patterns_comes_and_goes_in_slices() {
    const PATTERNS: usize = 4_000;
    let mut world = world();
    let patterns: Vec<Destination> = (0..PATTERNS).map(|number| queue(&format!("w.{number}.>"))).collect();
    let opened = world.open(1, 5, &patterns, 1_000);
    begin_to_open(&mut world, opened);
    assert!(world.broker.has_worked_enough(), "so many names");
    let (mut sent, mut turns) = (Vec::new(), 0);
    while world.go_on() {
        turns += 1;
        assert!(turns < 500, "it comes to an end");
        for number in [turns * 17 % PATTERNS, PATTERNS - turns * 13 % PATTERNS] {
            let (to, text) = ([queue(&format!("w.{number}.{}", sent.len()))], sent.len().to_string());
            let bytes = record(&to, text.as_bytes(), false, 0, 0);
            let batch = world.publish(1, handle(1), &to, false, (&bytes, 0), Request::default());
            world.handle(1, &batch);
            if number < PATTERNS {
                sent.push(text);
            }
        }
    }
    assert!(turns >= PATTERNS * 8 / 2_000, "{turns} turns: more than 8 steps a pattern");
    world.settle();
    let mut texts = world.texts(0);
    texts.sort_unstable();
    sent.sort_unstable();
    assert_eq!(texts, sent);
    let turns = self::turns(&mut world, &close(5, LastDelivered::Unknown));
    assert!(turns >= PATTERNS * 8 / 2_000, "{turns}");
    world.settle();
    assert_eq!(world.broker.statistics().consumers, 0);
    // Nothing of it is found any more, nor of one that goes while it comes.
    for rest in [0, 3] {
        let opened = OpenConsumer { request: Request::default(), ..world.open(1, 6, &patterns, 10) };
        world.handle(0, &alone(Command::OpenConsumer(Box::new(opened))));
        (0..rest).for_each(|_| _ = world.go_on());
        let turns = self::turns(&mut world, &close(6, LastDelivered::None));
        assert_eq!(turns > 1, rest > 0, "what is not filed yet goes at once: {turns}");
        world.settle();
        assert_eq!(world.broker.statistics().consumers, 0);
        world.heard(0);
        world.send(1, 1, &queue(&format!("w.1.late{rest}")), "late", false);
        world.settle();
        assert!(world.texts(0).is_empty());
    }
}

#[test]
pub fn a_browser_of_a_pattern_sees_all_before_it_ends() {
    let mut world = world();
    name(&mut world, (0..3_000).map(|number| queue(&format!("q.{number}"))));
    world.send(1, 1, &queue("q.2999"), "last", true);
    world.settle();
    let open = OpenConsumer { browser: true, ..world.open(1, 5, &[queue(">")], 100) };
    world.consume_as(0, open);
    world.settle();
    assert_eq!(world.texts(0), ["last"]);
}

#[test]
pub fn a_topic_that_very_many_patterns_fit_is_theirs_in_slices() {
    let mut world = world();
    const CROWD: u32 = 3_000;
    open(&mut world, 10..10 + CROWD, &[topic("t.>"), topic("t.*")], 100);
    open(&mut world, 1..2, &[topic("u.>")], 100);
    // The first message makes the topic; one more consumer of it comes behind that.
    let to = [topic("t.new")];
    let bytes = record(&to, b"first", false, 0, 0);
    let batch = world.publish(1, handle(1), &to, false, (&bytes, 0), wanted(7));
    world.handle(1, &batch);
    let between = world.open(1, 5, &to, 100);
    begin_to_open(&mut world, between);
    let mut turns = 1;
    while world.go_on() {
        turns += 1;
        assert!(world.told[0].iter().all(|told| !matches!(told, Told::Message(_))), "not before all are to get it");
    }
    assert!(turns > 5, "{turns}");
    world.send(1, 1, &topic("t.new"), "second", false);
    world.settle();
    let got = world.got(0);
    for consumer in 10..10 + CROWD {
        let texts: Vec<&[u8]> =
            got.iter().filter(|got| got.consumer == handle(consumer)).map(|got| &*got.content).collect();
        assert_eq!(texts, [b"first".as_slice(), b"second"], "consumer {consumer}");
    }
    let between = got.iter().filter(|got| got.consumer == handle(5)).map(|got| &*got.content);
    assert!(between.eq([b"second".as_slice()]));
}

#[test]
pub fn a_consumer_of_very_many_queues_leaves_in_slices_and_in_order() {
    let mut world = world();
    name(&mut world, (0..3_000).map(|number| queue(&format!("q.{number}"))));
    open(&mut world, 5..6, &[queue("q.>")], 5_000);
    let to = [queue("q.1"), queue("q.2000")];
    for number in 0..2_000 {
        world.send(1, 1, &to[number % 2], &number.to_string(), true);
    }
    world.settle();
    assert_eq!(world.texts(0).len(), 2_000);
    world.consume(1, 1, 6, &to[0], 5_000);
    world.consume(1, 1, 7, &to[1], 5_000);
    world.settle();
    let turns = turns(&mut world, &close(5, LastDelivered::None));
    assert!(turns > 2, "{turns}");
    (2_000..2_100).for_each(|number: usize| world.send(1, 1, &to[number % 2], &number.to_string(), true));
    world.settle();
    let got = world.got(1);
    for (consumer, rest) in [(6, 0), (7, 1)] {
        let of = got.iter().filter(|got| got.consumer == handle(consumer));
        let texts: Vec<String> = of.map(|got| String::from_utf8(got.content.clone()).unwrap()).collect();
        let expected: Vec<String> =
            (0..2_100).filter(|number| number % 2 == rest).map(|number| number.to_string()).collect();
        assert_eq!(texts, expected);
    }
    assert_eq!(world.broker.statistics().consumers, 2);
}

#[test]
pub fn a_deleted_destination_loses_its_very_many_consumers_in_slices() {
    let mut world = world();
    let gone = temporary("gone");
    world.create_temporary(0, 1, &gone);
    open(&mut world, 10..3_010, std::slice::from_ref(&gone), 10);
    open(&mut world, 5..6, &[gone.clone(), queue("stays")], 1);
    (0..5_000).for_each(|number| world.send(1, 1, &gone, &number.to_string(), false));
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 5_000);
    let held = got.iter().find(|got| got.consumer == handle(5)).unwrap().sequence.0;
    let (connection, destination, request) = (handle(1), Box::new(gone.clone()), wanted(8));
    let turns = turns(&mut world, &Command::DeleteDestination { connection, destination, request });
    assert!(turns > 2, "{turns}");
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    // Who had something of it has room again, and may acknowledge it late.
    world.heard(0);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, held), 1);
    world.send(1, 1, &queue("stays"), "more", true);
    world.settle();
    assert_eq!(world.texts(0), ["more"]);
    world.run(0, close_connection());
    world.settle();
    assert_eq!(world.broker.statistics().consumers, 0);
}

#[test]
pub fn very_many_temporary_destinations_go_in_slices_and_all_are_told_of() {
    let mut world = world();
    const CROWD: usize = 3_000;
    world.consume(1, 1, 7, &topic("ActiveMQ.Advisory.TempQueue"), 1_000);
    let create = |number: usize| {
        let destination = temporary(&format!("t{number}"));
        let (connection, request) = (handle(1), Request::default());
        Command::CreateTemporary(Box::new(CreateTemporary { connection, request, destination }))
    };
    in_batches(&mut world, 0, (0..CROWD).map(create));
    assert_eq!(world.got(1).len(), CROWD);
    world.heard(0);
    let turns = turns(&mut world, &close_connection());
    assert!(turns > 10, "{turns}");
    assert_eq!(world.got(1).len(), CROWD, "the answer comes behind all advisories");
    world.settle();
    assert!(world.heard(1).is_empty());
    assert_eq!((world.broker.statistics().connections, world.broker.statistics().destinations), (1, 1));
}

/// One consumer has messages of all of them: each deletion looks for its own, and not at those of all others.
#[test]
pub fn deletions_do_not_look_at_all_that_a_consumer_has() {
    const CROWD: usize = 2_000;
    let mut world = world();
    let names: Vec<Destination> = (0..CROWD).map(|number| temporary(&format!("t{number}"))).collect();
    names.iter().for_each(|name| world.create_temporary(0, 1, name));
    let open = world.open(1, 5, &names, 30_000);
    world.consume_as(0, open);
    for name in &names {
        (0..5).for_each(|_| world.send(1, 1, name, "x", false));
    }
    world.settle();
    assert_eq!(world.got(0).len(), 5 * CROWD);
    for name in names {
        let (connection, request) = (handle(1), Request::default());
        let delete = Command::DeleteDestination { connection, destination: Box::new(name), request };
        world.handle(0, &alone(delete));
    }
    let mut turns = 0;
    while world.broker.statistics().messages > 0 {
        world.go_on();
        world.log.commit();
        turns += 1;
        assert!(turns < 50, "a few steps for each");
    }
    assert!(turns > 5, "{turns}");
}

/// A client that comes back names its temporary destinations as before, while the old ones are still going.
#[test]
pub fn who_takes_over_gets_the_names_of_temporary_destinations_that_are_going() {
    let mut world = world();
    let names: Vec<Destination> = (0..1_000).map(|number| temporary(&format!("t{number}"))).collect();
    names.iter().for_each(|name| world.create_temporary(0, 1, name));
    world.settle();
    let open = OpenConnection {
        connection: handle(4),
        request: wanted(1),
        id: b"a".as_slice().into(),
        client_id: b"client of a".as_slice().into(),
        failover_reconnect: true,
        peer: "tcp://peer".into(),
        user: None,
        marks: 0,
    };
    world.handle(0, &alone(Command::OpenConnection(Box::new(open))));
    assert_eq!(world.broker.statistics().connections, 3, "the old one is still going");
    let last = &names[999];
    let create = CreateTemporary { connection: handle(4), request: wanted(2), destination: last.clone() };
    world.handle(0, &alone(Command::CreateTemporary(Box::new(create))));
    world.settle();
    assert_eq!(world.broker.statistics().connections, 2);
    let opened = world.open(4, 5, std::slice::from_ref(last), 10);
    world.consume_as(0, opened);
    world.send(1, 1, last, "reply", false);
    world.settle();
    assert_eq!(world.texts(0), ["reply"]);
    assert_eq!(world.broker.statistics().destinations, 1);
}

/// Sends, parked or stored, and what is known of their producers go without keeping others.
#[test]
pub fn very_many_marks_are_forgotten_in_slices_and_stay_so() {
    let mut world = world();
    let to = [queue("q")];
    let bytes = record(&to, b"x", true, 1, 0);
    let connection = handle(1);
    let request = Request::default();
    for value in 0..6_000 {
        world.run(0, Command::OpenProducer(Box::new(producer(connection, value))));
        world.send_as(0, connection, &to, true, (&bytes, 1), request);
    }
    world.settle();
    world.heard(0);
    let turns = turns(&mut world, &close_connection());
    assert!(turns > 1, "{turns}");
    world.settle();
    // The same client is somebody new, also after a crash: what it sends is no repetition.
    let mut world = world.restarted();
    world.connect_as(0, handle(6), "a", true);
    world.run(0, Command::OpenProducer(Box::new(producer(handle(6), 7))));
    world.send_as(0, handle(6), &to, true, (&bytes, 1), request);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 6_001);
}

/// Each turn looks at so many of them.
#[test]
pub fn very_many_pulls_are_answered_in_slices() {
    let mut world = world();
    open(&mut world, 10..3_010, &[queue("q"), queue("r")], 0);
    world.heard(0);
    let (connection, request) = (handle(1), Request::default());
    for consumer in 10..3_010 {
        let consumer = handle(consumer);
        world.handle(0, &alone(Command::Pull { connection, consumer, timeout_millis: -1, request }));
    }
    let mut turns = 0;
    while world.told[0].len() < 3_000 {
        let before = world.told[0].len();
        world.go_on();
        world.log.commit();
        world.release_replies();
        assert!(world.told[0].len() - before <= 1_000, "a turn's part");
        turns += 1;
        assert!(turns < 50, "all of them hear");
        if let Some(deadline) = world.broker.deadline().filter(|deadline| *deadline < world.now.nanos + 10_000_000) {
            world.now.nanos = deadline;
        }
    }
    assert!(world.events(0).iter().all(|event| matches!(event, Event::EndOfMessages { .. })));
}

#[test]
pub fn very_many_consumers_that_wait_for_a_window_all_go_on() {
    let mut world = world();
    open(&mut world, 10..1_010, &[queue("q")], 1);
    let large = "x".repeat(10_000);
    (0..1_000).for_each(|_| world.send(1, 1, &queue("q"), &large, false));
    world.settle();
    let mut consumers: Vec<u32> = world.got(0).iter().map(|got| got.consumer.slot).collect();
    consumers.sort_unstable();
    assert_eq!(consumers, (10..1_010).collect::<Vec<u32>>());
}

#[test]
pub fn very_many_marks_age_in_slices() {
    let mut world = world();
    let to = [queue("q")];
    let bytes = record(&to, b"x", true, 1, 0);
    let (connection, request) = (handle(1), Request::default());
    for value in 0..2_500 {
        world.run(0, Command::OpenProducer(Box::new(producer(connection, value))));
        world.send_as(0, connection, &to, true, (&bytes, 1), request);
    }
    world.disconnect(0, connection, false);
    world.settle();
    world.now.nanos += 3_600_001 * 1_000_000;
    let mut written = Vec::new();
    for _ in 0..4 {
        let before = world.log.records.len();
        world.go_on();
        written.push(world.log.records[before..].iter().filter(|record| record.kind == 7).count());
    }
    assert!(written.iter().all(|records| *records <= 1_024), "{written:?}");
    assert_eq!(written.iter().sum::<usize>(), 2_500);
}

#[test]
pub fn a_mark_that_ages_leaves_the_last_of_the_log_to_moves() {
    let mut world = world();
    let (to, connection, request) = ([queue("q")], handle(1), Request::default());
    world.run(0, Command::OpenProducer(Box::new(producer(connection, 1))));
    world.send_as(0, connection, &to, true, (&record(&to, b"x", true, 1, 0), 1), request);
    world.disconnect(0, connection, false);
    world.settle();
    world.now.nanos += 3_600_001 * 1_000_000;
    let before = world.log.records.len();
    for (kept, written) in [(true, 0), (false, 1)] {
        world.log.kept_for_moves = kept;
        world.go_on();
        let forgotten = world.log.records[before..].iter().filter(|record| record.kind == 7).count();
        assert_eq!(forgotten, written, "the last of the log is kept for moves: {kept}");
    }
}

/// Each of them is known by many runs.
#[test]
pub fn marks_of_many_bytes_move_in_slices() {
    let log = crate::log::TestLog::new(1 << 30, 24 << 20);
    let mut world = World::over(Config { reservation: 1_000_000, ..Config::default() }, log);
    world.connect(0, 1, "a");
    let (connection, request, to) = (handle(1), Request::default(), [queue("q")]);
    let bytes = record(&to, b"x", true, 1, 0);
    for value in 0..180 {
        world.run(0, Command::OpenProducer(Box::new(producer(connection, value))));
        (0..1_000).for_each(|gap| world.send_as(0, connection, &to, true, (&bytes, gap * 2), request));
    }
    let delete = |world: &mut World, queue: &Destination| {
        let destination = Box::new(queue.clone());
        let commands = vec![Command::DeleteDestination { connection, destination, request }];
        world.handle(0, &CommandBatch { commands, ..Default::default() });
    };
    delete(&mut world, &to[0]);
    let other = [queue("other")];
    let large = record(&other, "x".repeat(300_000).as_bytes(), true, 1, 0);
    let mut moved = Vec::new();
    for number in 10_000..10_400 {
        let before = postrider_broker::Log::committed(&world.log);
        if number % 50 == 0 {
            delete(&mut world, &other[0]);
        }
        let batch = world.publish(0, connection, &other, true, (&large, number), request);
        world.handle(0, &batch);
        world.go_on();
        world.log.commit();
        let marks = world.log.records.iter().filter(|record| record.kind == 7 && record.home.position >= before);
        moved.push(marks.map(|record| record.meta.len()).sum::<usize>());
    }
    assert!(moved.iter().sum::<usize>() > 2_000_000, "{moved:?}");
    let most = moved.iter().max();
    assert!(most.is_some_and(|most| *most <= (1 << 20) + 20_000), "{most:?} bytes in one turn");
}

/// The most dead letters that one of the next turns writes, until there is nothing to do.
fn most_letters_of_a_turn(world: &mut World) -> u64 {
    let (mut most, mut known) = (0, world.broker.statistics().dead_lettered);
    for _ in 0..100_000 {
        let more = world.go_on();
        world.log.commit();
        world.release_replies();
        let now = world.broker.statistics().dead_lettered;
        (most, known) = (most.max(now - known), now);
        if !more && !world.broker.wants_sync() {
            return most;
        }
    }
    panic!("the broker does not come to rest");
}

/// Each takes about a microsecond, and more where it or its cause is long: of as many as a slice has steps a turn takes milliseconds.
#[test]
pub fn very_many_dead_letters_are_written_in_slices() {
    for (cause, most) in [(&b"no"[..], 200), (&[b'x'; 4_096], 70)] {
        let mut world = world();
        world.consume(0, 1, 5, &queue("q"), 4_000);
        for _ in 0..3_000 {
            world.send(0, 1, &queue("q"), "x", true);
        }
        world.settle();
        let got = world.got(0);
        let range = (got[0].sequence.0, got[2_999].sequence.0);
        world.handle(0, &acknowledging(1, 5, AcknowledgeKind::Poison, range, 3_000, cause));
        let letters = most_letters_of_a_turn(&mut world);
        assert!(letters <= most, "{letters} dead letters in one turn");
        assert_eq!(world.broker.statistics().dead_lettered, 3_000);
    }
}

/// A consumer comes upon 3,000 messages, of which so many have expired.
fn come_upon_expired(world: &mut World, content: &[u8], persistent: bool, expired: i64) {
    let (to, soon) = ([queue("q")], world.now.unix_millis + 100);
    for number in 0..3_000 {
        let expiration = if number < expired { soon } else { 0 };
        let bytes = record(&to, content, persistent, number, expiration);
        world.send_as(0, handle(1), &to, persistent, (&bytes, number), wanted(1));
    }
    world.settle();
    world.heard(0);
    world.now.unix_millis += 100;
    let open = OpenConsumer { request: Request::default(), ..world.open(1, 5, &to, 10) };
    begin_to_open(world, open);
}

/// As many as a turn looks at, were each given up where a consumer comes upon it.
#[test]
pub fn very_many_expired_messages_of_a_consumer_go_in_slices() {
    let mut world = world();
    come_upon_expired(&mut world, b"x", true, 2_999);
    let letters = most_letters_of_a_turn(&mut world);
    assert!(letters <= 200, "{letters} dead letters in one turn");
    assert_eq!(world.broker.statistics().dead_lettered, 2_999);
    assert_eq!(world.got(0).len(), 1, "what is behind them does not wait for them");
}

/// Of what is not persistent no letter is written: it goes as fast as it may come, or what has expired would fill the spool.
#[test]
pub fn expired_messages_that_become_no_letters_go_as_fast_as_they_come() {
    let mut world = world();
    come_upon_expired(&mut world, &[b'x'; 1_000], false, 3_000);
    for _ in 0..4 {
        world.go_on();
    }
    assert_eq!((world.broker.statistics().expired, world.broker.statistics().dead_lettered), (3_000, 0));
}
