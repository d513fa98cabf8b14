//! Sends that are parked where the logs have no room for them, and what waits behind them (R24).

use crate::log::TestLog;
use crate::space::small;
use crate::world::{Got, Told, World, handle, producer, queue, record, topic, wanted};
use postrider_broker::{Config, WhenFull};
use postrider_journal::{Pressure, body_crc};
use postrider_model::command::{Acknowledge, AcknowledgeKind, LastDelivered, OpenProducer, Publish, Request};
use postrider_model::event::Refused;
use postrider_model::{
    Command, CommandBatch, Destination, DestinationKind, Event, Handle, PortIndex, Sequence, Span, Token,
};

const SEGMENT: u64 = 4 << 10;

/// A world whose journal is full, with connection 2 that has parked a send.
pub fn full(when_full: WhenFull) -> World {
    let config = Config { reservation: 200_000, when_full, ..Config::default() };
    full_with(config, TestLog::new(8 * SEGMENT + 40_000, SEGMENT), 1_000)
}

fn full_with(config: Config, log: TestLog, length: usize) -> World {
    let mut world = World::over(config, log);
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    for sent in 0.. {
        if world.broker.statistics().parked_bytes > 0 {
            break;
        }
        assert!(sent < 10_000, "the journal is full, and nothing is parked");
        send_parked(&mut world, 1, &"x".repeat(length), Request::default());
    }
    send_parked(&mut world, 2, &"y".repeat(length), Request::default());
    world.settle();
    world.heard(0);
    world
}

pub fn send_parked(world: &mut World, connection: u32, text: &str, request: Request) {
    let to = [queue("q")];
    let bytes = record(&to, text.as_bytes(), true, 0, 0);
    world.send_as(0, handle(connection), &to, true, (&bytes, 0), request);
}

pub fn goodbye(connection: u32) -> Command {
    let (connection, last_delivered) = (handle(connection), LastDelivered::None);
    Command::CloseConnection { connection, request: wanted(22), last_delivered, clean: true }
}

/// How much of a connection's is settled, as it is told when it parks.
pub fn settled(world: &mut World, connection: u32) -> u64 {
    let settled = |event| match event {
        Event::Parked { connection: parked, settled } if parked == handle(connection) => Some(settled),
        _ => None,
    };
    world.events(0).into_iter().find_map(settled).expect("it is parked")
}

/// All that is in the queue, taken by a third connection.
pub fn drained(world: &mut World) -> Vec<String> {
    world.connect(1, 9, "drainer");
    world.consume(1, 9, 5, &queue("q"), 1);
    let mut texts = Vec::new();
    loop {
        world.settle();
        let got = world.got(1);
        let Some(next) = got.first() else { return texts };
        texts.push(String::from_utf8_lossy(&next.content[..1]).into_owned());
        world.acknowledge(1, 9, 5, AcknowledgeKind::Standard, (0, next.sequence.0), 1);
    }
}

/// The journal has no room for the name of a new queue: who wants no answer waits for it, however the message is to be kept.
#[test]
pub fn a_send_to_a_new_queue_waits_for_room_as_others_do() {
    for persistent in [true, false] {
        let mut world = full(WhenFull::Refuse);
        world.connect(0, 3, "c");
        let new = queue(&"n".repeat(1_500));
        let bytes = record(std::slice::from_ref(&new), b"z", persistent, 0, 0);
        world.send_as(0, handle(3), std::slice::from_ref(&new), persistent, (&bytes, 0), Request::default());
        world.settle();
        let told = world.events(0);
        let parked = |event: &Event| matches!(event, Event::Parked { connection, .. } if *connection == handle(3));
        assert!(told.iter().any(parked) && told.iter().all(|event| !matches!(event, Event::Failed { .. })), "{told:?}");
        drained(&mut world);
        world.consume(1, 9, 6, &new, 1);
        world.settle();
        assert_eq!(world.texts(1), ["z"], "persistent {persistent}");
        assert!(world.events(0).contains(&Event::Unparked { connection: handle(3) }));
    }
}

#[test]
pub fn what_makes_room_passes_parked_sends_and_what_depends_on_them_waits() {
    let mut world = full(WhenFull::Refuse);
    let connection = handle(2);
    world.consume(0, 2, 5, &queue("q"), 3);
    world.settle();
    let sequence = world.got(0).last().unwrap().sequence.0;
    // A producer's removal, then the connection's own end: behind its send. A consumer's removal passes it.
    world.run(0, Command::CloseProducer { connection, producer: 0, request: wanted(21) });
    world.run(0, goodbye(2));
    world.close_consumer(0, 2, 5, LastDelivered::UpTo(Sequence(sequence)));
    world.settle();
    let answered = |world: &mut World| -> Vec<u64> {
        let events = world.events(0).into_iter();
        events.filter_map(|event| if let Event::Reply { token, .. } = event { Some(token.0) } else { None }).collect()
    };
    assert_eq!(answered(&mut world), [3]);
    let texts = drained(&mut world);
    assert_eq!(texts.iter().filter(|text| *text == "y").count(), 1);
    assert_eq!(answered(&mut world), [21, 22]);
    assert_eq!(world.broker.statistics().connections, 2);
}

#[test]
pub fn who_leaves_behind_parked_sends_holds_no_messages_meanwhile() {
    let mut world = full(WhenFull::Refuse);
    world.consume(0, 2, 5, &queue("q"), 1_000);
    world.settle();
    let held = world.got(0).len();
    assert!(held > 0);
    world.run(0, goodbye(2));
    let texts = drained(&mut world);
    assert!(texts.len() > held && texts.contains(&"y".to_owned()), "{held} held, {} came", texts.len());
    let replied = |event: Event| matches!(event, Event::Reply { token: Token(22), .. });
    assert!(world.events(0).into_iter().any(replied));
}

/// They are dropped, and that takes as many turns as dropping what a broken connection had does (R25).
#[test]
fn very_many_commands_behind_a_parked_goodbye_go_in_slices() {
    let mut world = full(WhenFull::Refuse);
    let connection = handle(2);
    world.run(0, goodbye(2));
    for _ in 0..10_000 {
        world.run(0, Command::CloseProducer { connection, producer: 0, request: Request::default() });
    }
    let before = world.broker.statistics().parked_bytes;
    world.connect(1, 9, "drainer");
    world.consume(1, 9, 5, &queue("q"), 100);
    world.settle();
    let got = world.got(1);
    world.handle(1, &acknowledging(9, 5, &got));
    let mut turns = 0;
    while world.broker.statistics().parked_bytes > 0 {
        let left = world.broker.statistics().parked_bytes;
        world.go_on();
        world.log.commit();
        if let Some(slice) = world.broker.parked_slice(256, &world.log) {
            world.log.begin(slice.bound);
            world.broker.unpark(slice, world.now, &mut world.log, &mut world.out);
        }
        assert!(left - world.broker.statistics().parked_bytes <= before / 4, "a turn's part");
        turns += 1;
        assert!(turns < 100, "they go");
    }
    assert!(turns >= 4, "{turns}");
}

#[test]
pub fn the_end_of_a_socket_and_a_takeover_drop_what_is_parked() {
    for takeover in [false, true] {
        let mut world = full(WhenFull::Refuse);
        world.run(0, goodbye(2));
        if takeover {
            world.connect(1, 3, "b");
        } else {
            world.disconnect(0, handle(2), true);
        }
        world.settle();
        assert!(!world.events(0).iter().any(|event| matches!(event, Event::Reply { .. })), "it is not answered");
        let texts = drained(&mut world);
        assert!(!texts.contains(&"y".to_owned()), "it is not stored");
        assert_eq!(world.broker.statistics().parked_bytes, 0);
    }
}

#[test]
fn sends_that_wait_for_an_answer_wait_for_room_if_so_configured() {
    let mut world = full(WhenFull::Wait);
    send_parked(&mut world, 2, "w", wanted(31));
    world.settle();
    assert!(world.events(0).is_empty(), "neither refused nor answered");
    assert_eq!(drained(&mut world).into_iter().rfind(|text| text != "x"), Some("w".into()));
    assert!(world.events(0).contains(&Event::Reply { connection: handle(2), token: Token(31) }));
    // What never fits is refused all the same.
    send_parked(&mut world, 2, &"z".repeat(30_000), wanted(32));
    world.settle();
    assert!(matches!(world.events(0)[..], [Event::Failed { token: Some(Token(32)), .. }]));
}

/// A persistent send that stores nothing in the journal needs no room there: it waits for its turn, and is not refused.
#[test]
fn persistent_sends_that_store_nothing_wait_behind_parked_ones_and_need_no_room() {
    let temporary = Destination::new(DestinationKind::TemporaryQueue, b"ID:b:1");
    for to in [topic("t"), temporary] {
        let mut world = full(WhenFull::Refuse);
        if to.kind == DestinationKind::TemporaryQueue {
            world.create_temporary(0, 2, &to);
        }
        world.connect(1, 8, "taker");
        world.consume(1, 8, 5, &queue("q"), 1);
        world.settle();
        world.heard(0);
        let places = std::slice::from_ref(&to);
        let bytes = record(places, "z".repeat(2_000).as_bytes(), true, 0, 0);
        world.send_as(0, handle(2), places, true, (&bytes, 0), wanted(31));
        world.settle();
        assert!(world.events(0).is_empty(), "{to}: neither refused nor overtaking");
        // Room for the parked one before it, and for no more.
        for _ in 0..2 {
            let taken = world.got(1)[0].sequence.0;
            world.acknowledge(1, 8, 5, AcknowledgeKind::Standard, (0, taken), 1);
            world.settle();
        }
        let events = world.events(0);
        assert!(events.contains(&Event::Reply { connection: handle(2), token: Token(31) }), "{to}: {events:?}");
        assert!(is_unparked_by(&events, 2));
    }
}

fn is_unparked_by(events: &[Event], connection: u32) -> bool {
    events.contains(&Event::Unparked { connection: handle(connection) })
}

/// A world whose journal is full, and in which few sequences are reserved at a time.
fn full_with_few_sequences() -> World {
    let config = Config { reservation: 400, ..Config::default() };
    full_with(config, TestLog::new(8 * (32 << 10) + 400_000, 32 << 10), 30_000)
}

#[test]
pub fn parked_sends_count_the_places_that_are_defined_behind_others() {
    let mut world = full_with_few_sequences();
    let (connection, number) = (handle(2), 900);
    let places: Vec<Destination> = (0..64).map(|number| queue(&format!("place.{number}"))).collect();
    world.run(0, Command::DefineDestination { connection, number, destinations: places.as_slice().into() });
    for _ in 0..8 {
        let mut batch = CommandBatch::default();
        let bytes = record(&places, b"z", true, 0, 0);
        let (record, record_crc) = (batch.store(&bytes), body_crc(&bytes));
        let send = Publish {
            connection,
            request: Request::default(),
            producer: 0,
            destination: number,
            record,
            record_crc,
            persistent: true,
            windowed: false,
            transaction: None,
            producer_sequence: 0,
        };
        batch.commands.push(Command::Publish(send));
        world.turn(0, &batch);
    }
    assert!(drained(&mut world).contains(&"y".to_owned()));
    assert_eq!(world.broker.statistics().messages, 8 * 64);
}

#[test]
fn a_parked_goodbye_counts_what_tells_of_its_temporary_destinations() {
    let mut world = full_with_few_sequences();
    world.connect(0, 3, "watcher");
    world.consume(0, 3, 5, &topic("ActiveMQ.Advisory.TempQueue"), 10_000);
    for number in 0..600 {
        let temporary = Destination::new(DestinationKind::TemporaryQueue, format!("ID:b:{number}").as_bytes());
        world.create_temporary(0, 2, &temporary);
        world.settle();
    }
    world.run(0, goodbye(2));
    world.heard(0);
    drained(&mut world);
    world.settle();
    assert!(world.events(0).contains(&Event::Reply { connection: handle(2), token: Token(22) }));
    assert_eq!(world.broker.statistics().connections, 3);
}

/// Twenty connections with something large that waits for the journal, in which there is room for little.
fn behind_twenty(park: impl Fn(&mut World)) -> World {
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = full_with(config, TestLog::new(8 * (32 << 10) + 400_000, 32 << 10), 1_000);
    for connection in 10..30 {
        world.connect(0, connection, &connection.to_string());
        send_parked(&mut world, connection, &"z".repeat(20_000), Request::default());
    }
    world.connect(0, 30, "the last");
    park(&mut world);
    world.connect(1, 8, "taker");
    world.consume(1, 8, 5, &queue("q"), 10);
    world.settle();
    let last = world.got(1).last().unwrap().sequence.0;
    world.acknowledge(1, 8, 5, AcknowledgeKind::Standard, (0, last), 10);
    world.settle();
    world.disconnect(1, handle(8), true);
    world.settle();
    world
}

fn is_unparked(world: &mut World, connection: u32) -> bool {
    world.events(0).contains(&Event::Unparked { connection: handle(connection) })
}

#[test]
pub fn whoever_needs_little_passes_those_who_need_more_than_there_is() {
    let mut world = behind_twenty(|world| send_parked(world, 30, &"w".repeat(1_000), Request::default()));
    assert!(is_unparked(&mut world, 30), "there is room for it, however many stand before it");
    assert_eq!(drained(&mut world).iter().filter(|text| *text == "z").count(), 20, "the others when there is room");
}

/// Others keep the journal full with smaller messages, as fast as it is drained.
#[test]
fn whoever_needs_more_is_not_passed_for_ever() {
    for (large, is_stored) in [(20_000, true), (40_000, false)] {
        let mut world = World::over(Config::default(), TestLog::new(8 * (32 << 10) + 400_000, 32 << 10));
        (1..=3).for_each(|connection| world.connect(0, connection, &connection.to_string()));
        world.connect(1, 8, "taker");
        world.consume(1, 8, 5, &queue("q"), 1);
        let limit = 200_000;
        while world.broker.statistics().parked_bytes == 0 {
            send_parked(&mut world, 1, &"x".repeat(1_000), Request::default());
        }
        send_parked(&mut world, 2, &"y".repeat(large), Request::default());
        let (mut stored, mut most) = (0, 0);
        for round in 0..1_500 {
            let statistics = world.broker.statistics();
            most = most.max(statistics.live_bytes);
            assert!(!world.broker.is_overfull(&world.log), "{} bytes may live", statistics.live_bytes);
            send_parked(&mut world, if round % 2 == 0 { 1 } else { 3 }, &"x".repeat(1_000), Request::default());
            world.settle();
            let taken = world.got(1);
            let Some(next) = taken.last() else { break };
            stored += usize::from(next.content.len() > 2_000);
            world.acknowledge(1, 8, 5, AcknowledgeKind::Standard, (0, next.sequence.0), 1);
            world.settle();
        }
        assert_eq!(stored > 0, is_stored, "of {large} bytes");
        assert!(most <= limit + limit / 8, "{most} bytes are alive");
    }
}

#[test]
fn whoever_waits_for_the_spool_does_not_wait_for_the_journal() {
    let mut world = behind_twenty(|world| {
        let to = [queue("passing")];
        world.send(0, 30, &to[0], "fills a segment", false);
        world.log.spool_limit = Some((0, Pressure::Full));
        world.idle();
        let bytes = record(&to, b"w", false, 0, 0);
        world.send_as(0, handle(30), &to, false, (&bytes, 0), Request::default());
        world.settle();
        assert!(!is_unparked(world, 30));
        world.log.spool_limit = None;
    });
    assert!(is_unparked(&mut world, 30), "the spool has room again");
}

/// For what comes to a crowded spool the oldest messages of topics go; what has waited may wait for the disk to catch up.
#[test]
fn what_waited_for_the_journal_does_not_come_into_a_crowded_spool() {
    let several = [queue("q"), topic("t")];
    let sends: [(&[Destination], bool, bool); 4] = [
        (&[topic("t")], true, true),
        (&[queue("q")], false, true),
        (&several, true, true),
        (&[queue("q")], true, false),
    ];
    for (to, persistent, spills) in sends {
        for (pressure, holds) in [(Pressure::Busy, false), (Pressure::Crowded, true), (Pressure::Full, false)] {
            let is_queue = !persistent;
            let mut world = behind_twenty(|world| {
                world.send(0, 30, &queue("passing"), "fills a segment", false);
                send_parked(world, 30, &"w".repeat(1_000), Request::default());
                let bytes = record(to, b"behind", persistent, 0, 0);
                world.send_as(0, handle(30), to, persistent, (&bytes, 0), Request::default());
                world.settle();
                world.log.spool_limit = Some((0, pressure));
            });
            let waits = spills && (holds || is_queue);
            assert_eq!(is_unparked(&mut world, 30), !waits, "{to:?} while the spool is {pressure:?}");
            world.log.spool_limit = None;
            world.settle();
            assert!(!waits || is_unparked(&mut world, 30), "{to:?}: the spool has room again");
        }
    }
}

/// Hands a command to the broker that it is to refuse, as the log has no place for what its batch asks.
fn refuse(world: &mut World, command: &Command, arena: &[u8]) {
    world.broker.refuse_command(PortIndex(0), command, arena, world.now, &mut world.log, &mut world.out);
    world.settle();
}

fn failures(world: &mut World) -> usize {
    world.events(0).iter().filter(|event| matches!(event, Event::Failed { .. })).count()
}

/// Who is told that there is no room for a message which is stored sends it once more, and there are two of it (R17).
#[test]
fn a_send_that_comes_again_and_is_stored_is_not_refused() {
    for behind_parked in [false, true] {
        let mut world = small();
        world.connect(0, 1, "a");
        world.connect(0, 2, "b");
        let to = [queue("q")];
        let bytes = record(&to, b"once", true, 1, 0);
        world.send_as(0, handle(2), &to, true, (&bytes, 1), wanted(31));
        world.settle();
        // Its answer was lost with the connection.
        let again = Handle { slot: 3, generation: 1 };
        world.connect_as(0, again, "b", true);
        while world.broker.statistics().parked_bytes == 0 {
            send_parked(&mut world, 1, &"x".repeat(1_000), Request::default());
        }
        if behind_parked {
            let new = record(&to, "n".repeat(1_000).as_bytes(), true, 2, 0);
            world.send_as(0, again, &to, true, (&new, 2), Request::default());
        }
        world.settle();
        world.heard(0);
        let mut batch = CommandBatch::default();
        let large = record(&to, "once".repeat(400).as_bytes(), true, 1, 0);
        let (record, record_crc) = (batch.store(&large), body_crc(&large));
        let send = |sequence, command| {
            Command::Publish(Publish {
                connection: again,
                request: wanted(command),
                producer: 0,
                destination: 0,
                record,
                record_crc,
                persistent: true,
                windowed: false,
                transaction: None,
                producer_sequence: sequence,
            })
        };
        world.run(0, Command::DefineDestination { connection: again, number: 0, destinations: to.as_slice().into() });
        batch.commands.push(send(1, 32));
        world.turn(0, &batch);
        refuse(&mut world, &send(1, 33), &batch.arena);
        for token in [32, 33].map(Token) {
            let answer = Event::Reply { connection: again, token };
            assert!(world.told[0].contains(&Told::Event(answer)), "{behind_parked}: {token:?}");
        }
        assert_eq!(failures(&mut world), 0);
        // One that is not stored is refused.
        refuse(&mut world, &send(9, 34), &batch.arena);
        assert_eq!(failures(&mut world), 1);
    }
}

/// What it takes in its queues counts as well: who waits for an answer does not wait behind others to hear that there is no room.
#[test]
fn a_send_to_many_that_finds_no_room_for_its_places_is_refused_at_once() {
    let mut world = full(WhenFull::Refuse);
    let to: Vec<Destination> = (0..4).map(|number| queue(&format!("m{number}"))).collect();
    let room = 20_000 - world.broker.statistics().live_bytes as usize;
    let bare = record(&to, b"", true, 0, 0).len();
    let bytes = record(&to, "m".repeat(room.checked_sub(bare).unwrap()).as_bytes(), true, 0, 0);
    assert_eq!(bytes.len(), room, "there is room for it in one queue");
    world.send_as(0, handle(2), &to, true, (&bytes, 0), wanted(31));
    world.settle();
    assert_eq!(failures(&mut world), 1);
}

/// Acknowledges all of these.
fn acknowledging(connection: u32, consumer: u32, got: &[Got]) -> CommandBatch {
    let mut batch = CommandBatch::default();
    batch.commands.push(Command::Acknowledge(Acknowledge {
        connection: handle(connection),
        request: Request::default(),
        consumer: handle(consumer),
        kind: AcknowledgeKind::Standard,
        first: Sequence(0),
        last: got[got.len() - 1].sequence,
        count: got.len() as u32,
        transaction: None,
        cause: Span::default(),
    }));
    batch
}

fn opening(connection: u32) -> Command {
    Command::OpenProducer(Box::new(OpenProducer {
        request: wanted(41),
        producer: 1,
        session: 1,
        destinations: [queue("new")].into(),
        ..producer(handle(connection), 2)
    }))
}

#[test]
fn a_producer_that_cannot_be_opened_keeps_its_place_behind_parked_sends() {
    let mut world = full(WhenFull::Refuse);
    refuse(&mut world, &opening(2), &[]);
    assert_eq!(failures(&mut world), 0, "it waits behind its connection's sends");
    drained(&mut world);
    assert!(world.events(0).contains(&Event::Reply { connection: handle(2), token: Token(41) }));
}

/// The shard counts what it hands up, the broker what is settled: they have to agree (decision 0010).
#[test]
fn a_refused_producer_is_settled() {
    let settled_when = |refused: bool| {
        let mut world = full(WhenFull::Refuse);
        world.connect(0, 4, "d");
        if refused {
            refuse(&mut world, &opening(4), &[]);
        } else {
            world.run(0, opening(4));
        }
        send_parked(&mut world, 4, &"x".repeat(1_000), Request::default());
        settled(&mut world, 4)
    };
    assert_eq!(settled_when(true), settled_when(false));
}

/// A session keeps a consumer until it is told that there is none.
#[test]
fn a_consumer_that_cannot_be_opened_is_named_in_the_refusal() {
    let mut world = full(WhenFull::Refuse);
    world.connect(0, 4, "d");
    world.heard(0);
    let open = world.open(4, 77, &[queue("new")], 10);
    refuse(&mut world, &Command::OpenConsumer(Box::new(open)), &[]);
    let named = |event: &Event| matches!(event, Event::Failed { refused: Some(member), .. } if **member == Refused::Consumer(handle(77)));
    assert!(world.events(0).iter().any(named));
}

/// So does it keep a producer.
#[test]
fn a_producer_that_cannot_be_opened_is_named_in_the_refusal() {
    let named = |world: &mut World| {
        let refused = Refused::Producer { session: 1, value: 2, token: Token(41) };
        world
            .events(0)
            .iter()
            .any(|event| matches!(event, Event::Failed { refused: Some(member), .. } if **member == refused))
    };
    let mut world = full(WhenFull::Refuse);
    world.connect(0, 4, "d");
    refuse(&mut world, &opening(4), &[]);
    assert!(named(&mut world), "the log has no place for what it creates");
    let mut world = World::with(Config { destinations: 16, ..Config::default() }, 1 << 30);
    world.connect(0, 4, "d");
    (0..16).for_each(|number| world.send(0, 4, &queue(&number.to_string()), "x", true));
    world.run(0, opening(4));
    world.settle();
    assert!(named(&mut world), "there are as many destinations as there may be");
}

/// Creating destinations that many patterns fit is much work for a command: what was parked goes on no further than others do in a turn.
#[test]
fn parked_commands_stop_where_a_turn_has_worked_enough() {
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = full_with(config, TestLog::new(8 * (32 << 10) + 400_000, 32 << 10), 10_000);
    world.connect(0, 5, "e");
    (0..40).for_each(|consumer| world.consume(0, 5, 1_000 + consumer, &queue("many.>"), 10));
    for number in 0..50 {
        let Command::OpenProducer(mut open) = opening(2) else { unreachable!() };
        (open.producer, open.value) = (10 + number, i64::from(number));
        open.destinations = (0..4).map(|part| queue(&format!("many.{number}.{part}"))).collect();
        world.run(0, Command::OpenProducer(open));
    }
    world.connect(1, 9, "drainer");
    world.consume(1, 9, 5, &queue("q"), 100);
    world.settle();
    let got = world.got(1);
    world.handle(1, &acknowledging(9, 5, &got));
    world.go_on();
    let (before, mut most) = (world.broker.statistics().destinations, 0);
    while let Some(slice) = world.broker.parked_slice(256, &world.log) {
        let known = world.broker.statistics().destinations;
        world.log.begin(slice.bound);
        world.broker.unpark(slice, world.now, &mut world.log, &mut world.out);
        most = most.max(world.broker.statistics().destinations - known);
        world.go_on();
        world.log.commit();
    }
    assert_eq!(world.broker.statistics().destinations - before, 200);
    assert!(most < 100, "{most} in one turn");
}
