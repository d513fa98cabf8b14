//! A spool without room: who waits, who is refused, what goes.

use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_journal::Pressure;
use postrider_model::command::AcknowledgeKind::Standard;
use postrider_model::command::{LastDelivered, Request};
use postrider_model::event::Failure;
use postrider_model::{Command, Destination, DestinationKind, Event, Token};

/// Sends so many messages of a kilobyte that wait for no answer.
fn fill(world: &mut World, connection: u32, to: &postrider_model::Destination, messages: usize) {
    let to = std::slice::from_ref(to);
    for number in 0..messages {
        let text = format!("{number:04}{}", "x".repeat(1_000));
        let bytes = record(to, text.as_bytes(), false, 0, 0);
        world.send_as(0, handle(connection), to, false, (&bytes, 0), Request::default());
    }
}

const PARKED: fn(&Event) -> Option<u32> = |event| match event {
    Event::Parked { connection, .. } => Some(connection.slot),
    _ => None,
};

const UNPARKED: fn(&Event) -> Option<u32> = |event| match event {
    Event::Unparked { connection } => Some(connection.slot),
    _ => None,
};

const FAILED: fn(&Event) -> Option<u32> = |event| match event {
    Event::Failed { connection, .. } => Some(connection.slot),
    _ => None,
};

/// Whether a port was told so of a connection.
fn is_told(world: &mut World, connection: u32, what: fn(&Event) -> Option<u32>) -> bool {
    world.events(0).iter().any(|event| what(event) == Some(connection))
}

fn failures(world: &mut World) -> Vec<(Failure, String)> {
    let events = world.events(0).into_iter();
    let failed =
        |event| if let Event::Failed { failure, message, .. } = event { Some((failure, message.into())) } else { None };
    events.filter_map(failed).collect()
}

#[test]
pub fn with_a_full_spool_senders_to_queues_wait_or_are_refused() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    fill(&mut world, 1, &queue("q"), 400);
    assert!(world.events(0).iter().all(|event| !matches!(event, Event::Parked { .. })));
    world.log.spool_limit = Some((8, Pressure::Full));
    world.idle();
    fill(&mut world, 2, &queue("q"), 1);
    world.settle();
    assert!(is_told(&mut world, 2, PARKED), "it waits");
    assert_eq!(world.broker.statistics().messages, 400);
    world.send(0, 1, &queue("q"), "refused", false);
    world.settle();
    let refused = failures(&mut world);
    let [(Failure::ResourceAllocation, text)] = &refused[..] else { panic!("{refused:?}") };
    assert!(text.contains("spool") && text.contains("journal.spool_disk_bytes"), "{text}");
    // What needs no room in the spool goes on.
    world.send(0, 1, &queue("durable"), "taken", true);
    world.send(0, 1, &topic("nobody listens"), "passes", false);
    world.settle();
    assert!(failures(&mut world).is_empty());
    // With room again, all goes on.
    world.consume(0, 1, 5, &queue("q"), 1_000);
    world.heard(0);
    world.acknowledge(0, 1, 5, Standard, (0, 0), 0);
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    world.consume(0, 1, 6, &queue("q"), 1_000);
    let last = world.got(0).last().unwrap().sequence.0;
    world.acknowledge(0, 1, 6, Standard, (0, last), 400);
    world.settle();
    assert!(is_told(&mut world, 2, UNPARKED));
    world.send(0, 1, &queue("q"), "taken", false);
    world.settle();
    assert!(failures(&mut world).is_empty());
}

#[test]
pub fn while_the_disk_catches_up_senders_wait_and_nobody_is_refused() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    fill(&mut world, 1, &queue("q"), 400);
    world.log.spool_limit = Some((8, Pressure::Busy));
    world.idle();
    world.heard(0);
    world.send(0, 1, &queue("q"), "waits", false);
    world.settle();
    let told = world.events(0);
    assert!(matches!(told[..], [Event::Parked { .. }]), "{told:?}");
    world.log.spool_limit = None;
    world.settle();
    let told = world.events(0);
    assert!(told.contains(&Event::Reply { connection: handle(1), token: Token(7) }), "{told:?}");
    assert!(told.contains(&Event::Unparked { connection: handle(1) }), "{told:?}");
    assert_eq!(world.broker.statistics().messages, 401);
}

#[test]
pub fn with_a_full_spool_a_slow_subscriber_loses_the_oldest() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for (consumer, prefetch) in [(5, 30_000), (6, 3), (7, 3)] {
        world.consume(0, 1, consumer, &topic("t"), prefetch);
    }
    world.log.spool_limit = Some((8, Pressure::Full));
    fill(&mut world, 1, &topic("t"), 900);
    assert!(world.log.spool_segments() <= 10, "{} segments", world.log.spool_segments());
    let got = world.got(0);
    let of = |slot: u32| got.iter().filter(|got| got.consumer.slot == slot).count();
    assert_eq!((of(5), of(6), of(7)), (900, 3, 3), "who keeps up has all");
    let held = world.broker.statistics().messages;
    assert_eq!(world.broker.statistics().shed, 2 * (897 - held), "what two have lost");
    // One goes on with the oldest that is left; one leaves instead.
    world.close_consumer(0, 1, 7, LastDelivered::Unknown);
    let mut numbers = Vec::new();
    loop {
        world.acknowledge(0, 1, 6, Standard, (0, 0), 3);
        let texts = world.texts(0);
        if texts.is_empty() {
            break;
        }
        numbers.extend(texts.iter().map(|text| text[..4].parse::<u64>().unwrap()));
    }
    assert_eq!(numbers, (900 - held..900).collect::<Vec<_>>());
    assert_eq!(world.broker.statistics().messages, 0);
    assert!(world.log.spool_segments() <= 2, "only those that are written");
    fill(&mut world, 1, &topic("t"), 1);
    assert_eq!(world.got(0).len(), 2, "both hear what comes");
}

#[test]
pub fn whoever_has_lost_all_there_was_hears_what_comes() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    world.consume(0, 1, 5, &topic("t"), 1);
    fill(&mut world, 1, &queue("q"), 400);
    world.log.spool_limit = Some((8, Pressure::Full));
    fill(&mut world, 1, &topic("t"), 10);
    assert_eq!(world.broker.statistics().shed, 9, "the queue's messages fill the spool");
    assert_eq!(world.texts(0).len(), 1);
    world.log.spool_limit = None;
    world.idle();
    fill(&mut world, 2, &topic("t"), 2);
    assert!(world.texts(0).is_empty());
    world.acknowledge(0, 1, 5, Standard, (0, 0), 1);
    world.acknowledge(0, 1, 5, Standard, (0, 0), 1);
    assert_eq!(world.texts(0).iter().map(|text| &text[..4]).collect::<Vec<_>>(), ["0000", "0001"]);
    assert_eq!(world.broker.statistics().messages, 400);
}

#[test]
pub fn survivors_move_together_and_hold_no_young_segments() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 10);
    let text = "x".repeat(500);
    for number in 0..20_000 {
        if number % 200 == 0 {
            world.send(0, 1, &queue("old"), &number.to_string(), false);
        }
        world.send(0, 1, &queue("q"), &text, false);
        let last = world.got(0).last().unwrap().sequence.0;
        world.acknowledge(0, 1, 5, Standard, (0, last), 1);
    }
    assert!(world.log.spool_segments() <= 9, "{} segments for 100 messages", world.log.spool_segments());
    world.consume(0, 1, 6, &queue("old"), 1_000);
    let expected: Vec<String> = (0..100).map(|number| (number * 200).to_string()).collect();
    assert_eq!(world.texts(0), expected);
}

#[test]
pub fn a_full_spool_is_made_denser_for_those_who_wait() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    world.consume(0, 1, 5, &queue("q"), 10);
    for number in 0..300 {
        fill(&mut world, 1, &queue(if number % 3 == 0 { "old" } else { "q" }), 1);
        if number % 3 > 0 {
            let last = world.got(0).last().unwrap().sequence.0;
            world.acknowledge(0, 1, 5, Standard, (0, last), 1);
        }
    }
    let before = world.log.spool_segments();
    assert!(before >= 10, "a third of each segment lives: {before}");
    world.log.spool_cold = (0..2).collect();
    world.log.spool_limit = Some((7, Pressure::Full));
    world.idle();
    assert!(!world.log.asked.is_empty(), "it asks for what is on the disk, and comes to rest until it comes");
    world.log.spool_cold.clear();
    world.broker.fetched();
    world.idle();
    let after = world.log.spool_segments();
    assert!(after <= 7, "{after} of {before} segments");
    fill(&mut world, 2, &queue("old"), 1);
    world.settle();
    assert!(!is_told(&mut world, 2, PARKED));
    world.consume(0, 1, 6, &queue("old"), 1_000);
    assert_eq!(world.got(0).len(), 101);
}

/// A spool of a few segments is no exception: nothing but its young ones is there.
#[test]
pub fn a_small_spool_is_made_denser_as_well() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    world.consume(0, 1, 5, &queue("q"), 10);
    for number in 0..100 {
        fill(&mut world, 1, &queue(if number % 6 == 0 { "old" } else { "q" }), 1);
        if number % 6 > 0 {
            let last = world.got(0).last().unwrap().sequence.0;
            world.acknowledge(0, 1, 5, Standard, (0, last), 1);
        }
    }
    assert_eq!(world.log.spool_segments(), 4);
    // While the disk catches up, young ones are left alone: they empty themselves.
    world.log.spool_limit = Some((3, Pressure::Busy));
    world.idle();
    assert_eq!(world.log.restaged, 0);
    world.log.spool_limit = Some((3, Pressure::Full));
    fill(&mut world, 2, &queue("old"), 1);
    world.settle();
    assert!(world.log.restaged > 0 && world.log.spool_segments() <= 3, "{} segments", world.log.spool_segments());
    assert!(is_told(&mut world, 2, UNPARKED));
    world.consume(0, 1, 6, &queue("old"), 1_000);
    assert_eq!(world.got(0).len(), 18);
}

/// Nobody else can take what waits in its temporary queues, and its consumers are gone: it would wait for itself.
#[test]
pub fn who_says_goodbye_does_not_hold_the_room_that_its_sends_wait_for() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    let own = Destination::new(DestinationKind::TemporaryQueue, b"ID:a:1");
    world.create_temporary(0, 1, &own);
    fill(&mut world, 1, &own, 100);
    world.log.spool_limit = Some((2, Pressure::Full));
    world.idle();
    fill(&mut world, 1, &queue("q"), 2);
    fill(&mut world, 2, &queue("q"), 2);
    world.settle();
    world.heard(0);
    let (connection, last_delivered) = (handle(1), LastDelivered::Unknown);
    world.run(0, Command::CloseConnection { connection, request: wanted(8), last_delivered, clean: true });
    world.settle();
    let told = world.events(0);
    assert!(told.contains(&Event::Unparked { connection: handle(2) }), "{told:?}");
    let statistics = world.broker.statistics();
    assert_eq!((statistics.connections, statistics.messages, statistics.parked_bytes), (1, 4, 0));
}

#[test]
pub fn the_last_message_that_goes_makes_room_for_those_who_wait() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    world.log.spool_limit = Some((0, Pressure::Full));
    fill(&mut world, 1, &queue("q"), 2);
    world.settle();
    assert!(is_told(&mut world, 1, PARKED));
    world.consume(0, 2, 5, &queue("q"), 10);
    let last = world.got(0).last().unwrap().sequence.0;
    world.acknowledge(0, 2, 5, Standard, (0, last), 1);
    assert_eq!(world.log.spool_segments(), 0, "nothing lives in what is written on");
    world.settle();
    assert!(is_told(&mut world, 1, UNPARKED));
}

/// Between what parks a sender and what lets it go on nothing happens by itself, once the disk is full.
#[test]
fn who_waits_goes_on_where_a_new_sender_would() {
    for pinned in [queue("full"), topic("t")] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.connect(0, 2, "b");
        world.consume(0, 1, 5, &topic("t"), 1);
        fill(&mut world, 1, &pinned, 400);
        world.log.spool_limit = Some((7, Pressure::Busy));
        world.idle();
        fill(&mut world, 2, &queue("q"), 1);
        world.settle();
        assert!(is_told(&mut world, 2, PARKED));
        world.log.spool_limit = Some((7, Pressure::None));
        world.settle();
        assert!(is_told(&mut world, 2, UNPARKED), "{pinned:?}");
        assert_eq!(world.broker.statistics().shed, 0, "{pinned:?}");
    }
}

/// As long as topics have something to lose, and no longer: then it is told.
#[test]
fn who_waits_for_an_answer_waits_while_topics_make_room() {
    for (topics_hold, answered) in [(true, "taken"), (false, "refused")] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.connect(0, 2, "b");
        world.consume(0, 1, 5, &topic("t"), 1);
        fill(&mut world, 1, &queue("full"), 100);
        if topics_hold {
            fill(&mut world, 1, &topic("t"), 300);
        }
        world.log.spool_limit = Some((8, Pressure::Busy));
        world.idle();
        world.heard(0);
        fill(&mut world, 1, &queue("full"), if topics_hold { 0 } else { 300 });
        world.send(0, 2, &queue("q"), "text", false);
        world.settle();
        assert!(is_told(&mut world, 2, PARKED), "the disk catches up");
        world.log.spool_limit = Some((if topics_hold { 8 } else { 0 }, Pressure::Full));
        world.settle();
        let told = world.events(0);
        let taken = told.contains(&Event::Reply { connection: handle(2), token: Token(7) });
        let refused =
            told.iter().any(|event| matches!(event, Event::Failed { connection, .. } if *connection == handle(2)));
        assert_eq!((taken, refused), (answered == "taken", answered == "refused"), "{told:?}");
    }
}

#[test]
fn while_the_disk_catches_up_nobody_passes_those_who_wait() {
    let (topics, queues) = ([topic("t")], [queue("q")]);
    let mixed = [queue("q"), topic("t")];
    // Where to, who waits already, what the sender does in a busy spool, a crowded one and a full one.
    let cases: [(&[Destination], bool, [bool; 3]); 5] = [
        (&topics, false, [false, true, false]),
        (&topics, true, [true, true, false]),
        (&queues, false, [true, true, true]),
        (&mixed, false, [true, true, true]),
        (&mixed, true, [true, true, true]),
    ];
    for (to, other_waits, expected) in cases {
        for (pressure, waits) in [Pressure::Busy, Pressure::Crowded, Pressure::Full].into_iter().zip(expected) {
            let mut world = World::new();
            (1..=3).for_each(|number| world.connect(0, number, &number.to_string()));
            world.consume(0, 1, 5, &topic("t"), 1_000);
            world.consume(0, 1, 6, &queue("q"), 1_000);
            fill(&mut world, 1, &queue("full"), 400);
            world.log.spool_limit = Some((8, pressure));
            world.idle();
            if other_waits {
                fill(&mut world, 3, &queue("other"), 1);
                world.settle();
            }
            let bytes = record(to, b"x", false, 0, 0);
            world.send_as(0, handle(2), to, false, (&bytes, 0), Request::default());
            world.settle();
            let case = format!("{to:?}, {pressure:?}, others wait: {other_waits}");
            assert_eq!(is_told(&mut world, 2, PARKED), waits, "{case}");
            world.log.spool_limit = None;
            world.settle();
            assert_eq!(world.broker.statistics().shed, 0, "{case}");
            assert!(!waits || is_told(&mut world, 2, UNPARKED), "{case}");
        }
    }
}

/// The disk has caught up as far as it can: topics take what comes, whoever waits for a queue.
#[test]
fn senders_to_topics_do_not_wait_for_what_may_never_come() {
    let mut world = World::new();
    (1..=40).for_each(|number| world.connect(0, number, &number.to_string()));
    fill(&mut world, 1, &queue("full"), 400);
    world.log.spool_limit = Some((8, Pressure::Crowded));
    world.idle();
    (2..=30).for_each(|number| fill(&mut world, number, &queue("q"), 1));
    (31..=40).for_each(|number| fill(&mut world, number, &topic("t"), 1));
    world.settle();
    assert_eq!(world.events(0).iter().filter_map(PARKED).count(), 39);
    world.log.spool_limit = Some((8, Pressure::Full));
    world.settle();
    let mut gone: Vec<u32> = world.events(0).iter().filter_map(UNPARKED).collect();
    gone.sort_unstable();
    assert_eq!(gone, (31..=40).collect::<Vec<_>>());
}

/// Who takes what comes holds little, and loses nothing because another topic holds much.
#[test]
fn topics_that_hold_few_lose_nothing_while_others_hold_many() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &topic("slow"), 1);
    (0..20).for_each(|number| world.consume(0, 1, 10 + number, &topic(&format!("few.{number}")), 1));
    fill(&mut world, 1, &topic("slow"), 300);
    (0..20).for_each(|number| fill(&mut world, 1, &topic(&format!("few.{number}")), 4));
    world.log.spool_limit = Some((7, Pressure::Full));
    world.settle();
    assert!(world.broker.statistics().shed > 0);
    world.log.spool_limit = None;
    let mut left = world.got(0);
    for _ in 0..4 {
        (0..20).for_each(|number| world.acknowledge(0, 1, 10 + number, Standard, (0, 0), 1));
        world.settle();
        left.extend(world.got(0));
    }
    assert_eq!(left.iter().filter(|got| got.consumer.slot >= 10).count(), 80, "all of those that hold few");
}

/// A topic whose subscriber has lost all that there was has nothing to lose any more.
#[test]
fn who_waits_for_an_answer_does_not_wait_for_topics_that_have_lost_all() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(0, 2, "b");
    world.consume(0, 1, 5, &topic("t"), 1);
    fill(&mut world, 1, &topic("t"), 50);
    fill(&mut world, 1, &queue("full"), 400);
    world.log.spool_limit = Some((5, Pressure::Full));
    world.settle();
    assert_eq!(world.broker.statistics().shed, 49);
    failures(&mut world);
    world.send(0, 2, &queue("q"), "text", false);
    world.settle();
    assert!(is_told(&mut world, 2, FAILED));
}

/// Whoever is refused when he comes is refused when he waits, however many stand before him.
#[test]
fn who_waits_for_an_answer_is_refused_behind_many_who_wait_for_room() {
    let mut world = World::new();
    (1..=40).for_each(|number| world.connect(0, number, &number.to_string()));
    fill(&mut world, 1, &queue("full"), 400);
    world.log.spool_limit = Some((8, Pressure::Busy));
    world.idle();
    (2..=30).for_each(|number| fill(&mut world, number, &queue("q"), 1));
    world.send(0, 31, &queue("q"), "text", false);
    world.settle();
    assert_eq!(world.events(0).iter().filter_map(PARKED).count(), 30);
    world.log.spool_limit = Some((8, Pressure::Full));
    world.settle();
    assert!(is_told(&mut world, 31, FAILED));
}

/// What comes to one topic all the time is not all that goes: others hold little, and take all the room with it.
#[test]
fn topics_that_hold_few_give_room_though_another_is_flooded() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &topic("flooded"), 1);
    (0..60).for_each(|number| world.consume(0, 1, 10 + number, &topic(&format!("few.{number}")), 1));
    (0..60).for_each(|number| fill(&mut world, 1, &topic(&format!("few.{number}")), 7));
    let pinned = world.log.spool_segments();
    fill(&mut world, 1, &topic("flooded"), 200);
    world.log.spool_limit = Some((pinned - 1, Pressure::Full));
    let to = [topic("flooded")];
    let bytes = record(&to, b"x", false, 0, 0);
    let has_room = (0..5_000).any(|_| {
        let batch = world.publish(0, handle(1), &to, false, (&bytes, 0), Request::default());
        world.handle(0, &batch);
        world.go_on();
        world.log.spool_segments() < pinned
    });
    assert!(has_room, "of {pinned} segments {} are there", world.log.spool_segments());
}

/// What comes in every turn is not kept for many turns: memory is as good as full, and nothing makes room by itself.
#[test]
fn a_flood_to_a_slow_subscriber_takes_little_beyond_what_the_spool_may() {
    const TURNS: u64 = 40;
    for (each, length) in [(300, 2_000), (6_000, 1)] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.consume(0, 1, 5, &topic("flooded"), 1);
        world.log.spool_limit = Some((2, Pressure::Full));
        let to = [topic("flooded")];
        let bytes = record(&to, &vec![b'x'; length], false, 0, 0);
        let mut most = 0;
        for _ in 0..TURNS {
            for _ in 0..each {
                let batch = world.publish(0, handle(1), &to, false, (&bytes, 0), Request::default());
                world.handle(0, &batch);
            }
            most = most.max(world.log.spool_segments() as u64);
            world.go_on();
        }
        let turn = (each * bytes.len()) as u64 / world.log.segment() + 1;
        assert!(most <= 2 + 16 + 2 * turn, "{most} segments where a turn's messages take {turn}");
        world.settle();
        let came = world.got(0).len() as u64 + world.broker.statistics().shed + world.broker.statistics().messages;
        assert_eq!(came, TURNS * each as u64, "who waited meanwhile goes on");
    }
}
