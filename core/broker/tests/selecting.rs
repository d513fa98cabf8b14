//! Consumers that want only some messages: of queues, topics and browses, by pulls, after crashes; and how often a message is tried.

use crate::world::{Got, Told, World, handle, queue, topic, wanted};
use postrider_broker::Config;
use postrider_model::command::{AcknowledgeKind, LastDelivered, OpenConsumer, Request};
use postrider_model::event::Failure;
use postrider_model::properties::{PropertiesWriter, Value};
use postrider_model::record::{BodyKind, Header, Tag, flag};
use postrider_model::{Command, CommandBatch, Destination, Event, MessageWriter};

/// A record of a text with a color, and a correlation id.
pub fn colored(to: &Destination, content: &str, color: &str, persistent: bool) -> Vec<u8> {
    let (mut bytes, mut properties) = (Vec::new(), Vec::new());
    PropertiesWriter::new(&mut properties).entry(b"color", Value::String(color.as_bytes()));
    let mut writer = MessageWriter::new(&mut bytes);
    writer.field(Tag::ProducerConnection, &[b"ID:client:1"]);
    writer.destination_field(Tag::Destination, to.kind, &to.name);
    writer.field(Tag::Correlation, &[color.as_bytes()]);
    writer.properties(&properties);
    writer.content(content.as_bytes());
    writer.finish(&Header {
        body: BodyKind::Text,
        priority: 4,
        flags: if persistent { flag::PERSISTENT } else { 0 },
        expiration: 0,
        timestamp: 0,
        broker_in_time: 0,
        producer_sequence: 0,
        producer_session: 1,
        producer_value: 1,
        group_sequence: 0,
        redelivery_counter: 0,
    });
    bytes
}

pub fn send(world: &mut World, connection: u32, to: &Destination, (content, color): (&str, &str)) {
    let bytes = colored(to, content, color, true);
    world.send_as(0, handle(connection), std::slice::from_ref(to), true, (&bytes, 0), wanted(7));
}

/// Many of one color, in batches.
pub fn send_many(world: &mut World, to: &Destination, count: usize, color: &str) {
    let bytes = colored(to, "many", color, true);
    let one = world.publish(0, handle(1), std::slice::from_ref(to), true, (&bytes, 0), Request::default());
    world.turn(0, &one);
    for first in (1..count).step_by(256) {
        let mut batch = CommandBatch::default();
        let span = batch.store(&bytes);
        let Some(Command::Publish(publish)) = one.commands.last() else { panic!() };
        for _ in first..count.min(first + 256) {
            let mut publish = *publish;
            publish.record = span;
            batch.commands.push(Command::Publish(publish));
        }
        world.turn(0, &batch);
    }
}

pub fn consume(world: &mut World, consumer: u32, to: &Destination, prefetch: u32, selector: &str) {
    let open = world.open(1, consumer, std::slice::from_ref(to), prefetch);
    world.consume_as(0, OpenConsumer { selector: Some(selector.as_bytes().into()), ..open });
}

fn acknowledge(world: &mut World, consumer: u32, up_to: u64, count: u32) {
    world.acknowledge(0, 1, consumer, AcknowledgeKind::Standard, (0, up_to), count);
}

pub fn world() -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world
}

/// Who got what, since it was asked last.
pub fn got(world: &mut World) -> Vec<(u32, String, u32)> {
    let of = |got: Got| (got.consumer.slot, String::from_utf8(got.content).unwrap(), got.redeliveries);
    world.got(0).into_iter().map(of).collect()
}

fn texts(consumer: u32, texts: &[&str]) -> Vec<(u32, String, u32)> {
    texts.iter().map(|text| (consumer, (*text).to_owned(), 0)).collect()
}

#[test]
pub fn each_gets_what_it_wants_whether_it_was_there_or_comes() {
    let (mut world, q) = (world(), queue("q"));
    for (number, color) in ["red", "blue", "red", "green"].into_iter().enumerate() {
        send(&mut world, 1, &q, (&number.to_string(), color));
    }
    world.settle();
    consume(&mut world, 5, &q, 10, "color = 'red'");
    world.settle();
    assert_eq!(got(&mut world), texts(5, &["0", "2"]));
    consume(&mut world, 6, &q, 10, "color = 'green' OR color LIKE 'b%'");
    world.settle();
    assert_eq!(got(&mut world), texts(6, &["1", "3"]));
    send(&mut world, 1, &q, ("4", "blue"));
    send(&mut world, 1, &q, ("5", "red"));
    send(&mut world, 1, &q, ("6", "white"));
    world.settle();
    assert_eq!(got(&mut world), [texts(6, &["4"]), texts(5, &["5"])].concat());
    assert_eq!(world.broker.statistics().evaluations, 2 + 2 + 3 + 1, "those that the hash finds, and all that wait");
    world.consume(0, 1, 7, &q, 10);
    world.settle();
    assert_eq!(got(&mut world), texts(7, &["6"]));
}

#[test]
pub fn a_message_is_tried_once_for_each_text() {
    let (mut world, q) = (world(), queue("q"));
    send_many(&mut world, &q, 20_000, "blue");
    world.settle();
    // Three that want the same, however they say it; each acknowledges, goes out of its turn and comes back.
    for consumer in 5..8 {
        consume(
            &mut world,
            consumer,
            &q,
            1,
            if consumer == 6 { "(color)='red' AND TRUE" } else { "color = 'red' AND TRUE" },
        );
    }
    consume(&mut world, 8, &q, 1, "color <> 'red' AND JMSPriority = 9");
    world.settle();
    for number in 0..50 {
        send(&mut world, 1, &q, (&number.to_string(), "red"));
        world.settle();
        let got = world.got(0);
        assert_eq!(got.len(), 1, "{number}");
        acknowledge(&mut world, got[0].consumer.slot, got[0].sequence.0, 1);
        world.settle();
    }
    let evaluations = world.broker.statistics().evaluations;
    assert_eq!(evaluations, (20_000 + 50) + 50, "one for each message and view, and none where the hash says so");
}

#[test]
pub fn consumers_that_want_the_same_take_turns_and_plain_ones_get_the_rest() {
    let (mut world, q) = (world(), queue("q"));
    consume(&mut world, 5, &q, 100, "color = 'red'");
    consume(&mut world, 6, &q, 100, "color = 'red'");
    world.consume(0, 1, 7, &q, 100);
    for number in 0..30 {
        send(&mut world, 1, &q, (&number.to_string(), if number % 3 == 0 { "blue" } else { "red" }));
    }
    world.settle();
    let mut counts = [0; 3];
    got(&mut world).into_iter().for_each(|(consumer, ..)| counts[consumer as usize - 5] += 1);
    assert!(counts[0] >= 5 && counts[1] >= 5 && counts[2] >= 15 && counts.iter().sum::<i32>() == 30, "{counts:?}");
}

#[test]
pub fn what_comes_back_is_known() {
    let (mut world, q) = (world(), queue("q"));
    consume(&mut world, 5, &q, 100, "color = 'red' OR color = 'blue'");
    consume(&mut world, 6, &q, 1, "color = 'red' OR JMSPriority = 9");
    world.consume(0, 1, 7, &q, 20);
    for (number, color) in ["red", "blue", "black", "black", "red"].into_iter().enumerate() {
        send(&mut world, 1, &q, (&number.to_string(), color));
    }
    world.settle();
    assert_eq!(world.got(0).len(), 5);
    let before = world.broker.statistics().evaluations;
    assert_eq!(before, 10);
    for consumer in [5, 7] {
        world.close_consumer(0, 1, consumer, LastDelivered::None);
    }
    world.settle();
    assert_eq!(world.broker.statistics().evaluations, before, "nothing is tried again");
    consume(&mut world, 8, &q, 100, "color <> 'white' AND TRUE");
    world.settle();
    world.close_consumer(0, 1, 6, LastDelivered::None);
    world.settle();
    let mut all: Vec<String> =
        got(&mut world).into_iter().filter(|(consumer, ..)| *consumer == 8).map(|(_, text, _)| text).collect();
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3", "4"]);
    assert_eq!(world.broker.statistics().evaluations, before + 5, "what was away is tried when it is back");
}

/// R60.
#[test]
pub fn what_reads_deliveries_is_asked_again() {
    let (mut world, q) = (world(), queue("q"));
    consume(&mut world, 5, &q, 10, "JMSRedelivered = TRUE");
    consume(&mut world, 6, &q, 10, "JMSXDeliveryCount = 1");
    send(&mut world, 1, &q, ("a", "red"));
    world.settle();
    assert_eq!(got(&mut world), texts(6, &["a"]));
    world.close_consumer(0, 1, 6, LastDelivered::Unknown);
    world.settle();
    assert_eq!(got(&mut world), [(5, "a".to_owned(), 1)]);
    consume(&mut world, 7, &q, 10, "JMSXDeliveryCount = 1");
    world.close_consumer(0, 1, 5, LastDelivered::None);
    world.settle();
    assert_eq!(got(&mut world), [], "it was delivered");
    consume(&mut world, 8, &q, 10, "JMSXDeliveryCount > 1");
    world.settle();
    assert_eq!(got(&mut world), [(8, "a".to_owned(), 1)]);
}

/// R41.
#[test]
pub fn what_goes_past_others_is_marked_after_a_crash_and_nothing_else() {
    let config = Config { reservation: 1_000_000, allowance_chunk: 10, ..Config::default() };
    let (mut world, q) = (World::with(config, 1 << 30), queue("q"));
    world.connect(0, 1, "a");
    for number in 0..300 {
        send(&mut world, 1, &q, (&number.to_string(), if number % 100 == 77 { "red" } else { "blue" }));
    }
    world.settle();
    consume(&mut world, 5, &q, 2, "color = 'red'");
    world.settle();
    assert_eq!(got(&mut world), texts(5, &["77", "177"]));
    assert!(world.log.records.iter().filter(|stored| stored.kind == 15).count() <= 2);
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    world.consume(0, 1, 6, &q, 1_000);
    world.settle();
    let marked: Vec<String> =
        got(&mut world).into_iter().filter(|(.., count)| *count > 0).map(|(_, text, _)| text).collect();
    assert_eq!(marked, ["77", "177"]);
}

/// R59.
#[test]
pub fn a_pull_hears_of_nothing_when_all_has_been_tried() {
    let (mut world, q) = (world(), queue("q"));
    send_many(&mut world, &q, 30_000, "blue");
    send(&mut world, 1, &q, ("red", "red"));
    world.settle();
    // It pulls at once, while its view has tried nothing.
    let pull = |world: &mut World, number: u32, selector: Option<&str>| {
        let consumer = handle(number);
        let mut batch = CommandBatch::default();
        if let Some(selector) = selector {
            let open = world.open(1, number, &[queue("q")], 0);
            world.connections_of.insert((0, consumer), handle(1));
            let open = OpenConsumer { selector: Some(selector.as_bytes().into()), ..open };
            batch.commands.push(Command::OpenConsumer(Box::new(open)));
        }
        batch.commands.push(Command::Pull {
            connection: handle(1),
            consumer,
            timeout_millis: -1,
            request: Request::default(),
        });
        world.turn(0, &batch);
        world.settle();
        let told = world.heard(0);
        let texts = told.iter().filter(|told| matches!(told, Told::Message(_))).count();
        (texts, told.contains(&Told::Event(Event::EndOfMessages { consumer })))
    };
    world.heard(0);
    assert_eq!(pull(&mut world, 5, Some("color = 'red' AND TRUE")), (1, false));
    assert_eq!(pull(&mut world, 5, None), (0, true));
    assert_eq!(pull(&mut world, 6, Some("color = 'green'")), (0, true));
}

#[test]
pub fn browsers_see_what_they_want_and_topics_bring_it() {
    let (mut world, q, t) = (world(), queue("q"), topic("t"));
    for number in 0..2_000 {
        send(&mut world, 1, &q, (&number.to_string(), if number % 500 == 3 { "red" } else { "blue" }));
    }
    world.settle();
    let open = world.open(1, 5, &[q], 2);
    world.consume_as(0, OpenConsumer { selector: Some((*b"color = 'red'").into()), browser: true, ..open });
    world.settle();
    assert_eq!(got(&mut world), texts(5, &["3", "503"]));
    acknowledge(&mut world, 5, u64::MAX >> 2, 2);
    world.settle();
    let told = world.heard(0);
    assert_eq!(told.iter().filter(|told| matches!(told, Told::Message(_))).count(), 2);
    acknowledge(&mut world, 5, u64::MAX >> 2, 2);
    world.settle();
    assert!(world.heard(0).contains(&Told::Event(Event::EndOfMessages { consumer: handle(5) })));

    consume(&mut world, 6, &t, 1, "color = 'red'");
    consume(&mut world, 7, &topic(">"), 100, "color <> 'red'");
    world.consume(0, 1, 8, &t, 100);
    for (number, color) in ["red", "blue", "red", "red"].into_iter().enumerate() {
        send(&mut world, 1, &t, (&number.to_string(), color));
    }
    world.settle();
    let got_of = |got: &[(u32, String, u32)], consumer: u32| -> Vec<String> {
        got.iter().filter(|(to, ..)| *to == consumer).map(|(_, text, _)| text.clone()).collect()
    };
    let first = got(&mut world);
    assert_eq!((got_of(&first, 6), got_of(&first, 7)), (vec!["0".to_owned()], vec!["1".to_owned()]));
    assert_eq!(got_of(&first, 8), ["0", "1", "2", "3"]);
    acknowledge(&mut world, 6, u64::MAX >> 2, 1);
    world.settle();
    assert_eq!(got(&mut world), texts(6, &["2"]), "behind the others");
    acknowledge(&mut world, 6, u64::MAX >> 2, 1);
    send(&mut world, 1, &t, ("4", "blue"));
    world.settle();
    let last = got(&mut world);
    assert_eq!(
        (got_of(&last, 6), got_of(&last, 7), got_of(&last, 8)),
        (vec!["3".into()], vec!["4".into()], vec!["4".into()])
    );
}

#[test]
pub fn what_is_no_selector_is_refused_by_name() {
    let mut world = world();
    for (text, named) in [
        ("color = ", "at byte 9"),
        ("1", "neither true nor false"),
        ("NOT ", "expected"),
        (&"(".repeat(100), "nested deeper than 64"),
        (&format!("a = '{}'", "x".repeat(9_000)), "at most 8192"),
        (&"a = 1 OR ".repeat(600), "expressions"),
    ] {
        consume(&mut world, 5, &queue("q"), 10, text);
        world.settle();
        let events = world.events(0);
        let refused = events.iter().find_map(|event| match event {
            Event::Failed { failure: Failure::InvalidSelector, message, .. } => Some(message.clone()),
            _ => None,
        });
        let message = refused.unwrap_or_else(|| panic!("{text}: {events:?}"));
        assert!(message.contains(named) && message.len() < 400, "{message}");
    }
    assert_eq!(world.broker.statistics().consumers, 0);
    consume(&mut world, 5, &queue("q"), 10, "   ");
    world.send(0, 1, &queue("q"), "x", true);
    world.settle();
    assert_eq!(got(&mut world), texts(5, &["x"]), "none is none");
}

#[test]
pub fn a_full_view_goes_on_where_it_was_and_tries_nothing_twice() {
    let (mut world, q) = (world(), queue("q"));
    consume(&mut world, 5, &q, 1_000, "color LIKE 'r%'");
    send_many(&mut world, &q, 12_000, "red");
    world.settle();
    let mut taken = 0;
    loop {
        let got = world.got(0);
        let Some(last) = got.last() else { break };
        taken += got.len();
        acknowledge(&mut world, 5, last.sequence.0, got.len() as u32);
        world.settle();
    }
    assert_eq!((taken, world.broker.statistics().evaluations), (12_000, 12_000));
}

#[test]
pub fn nobody_takes_what_an_exclusive_consumer_wants_and_it_takes_nothing_else() {
    let (mut world, q) = (world(), queue("q"));
    let open = world.open(1, 5, &[queue("q")], 10);
    world.consume_as(0, OpenConsumer { exclusive: true, selector: Some((*b"color = 'red'").into()), ..open });
    world.consume(0, 1, 6, &q, 10);
    send(&mut world, 1, &q, ("0", "blue"));
    send(&mut world, 1, &q, ("1", "red"));
    world.settle();
    assert_eq!(got(&mut world), texts(5, &["1"]));
    world.close_consumer(0, 1, 5, LastDelivered::None);
    world.settle();
    assert_eq!(got(&mut world), texts(6, &["0", "1"]));
}

/// R61.
#[test]
pub fn of_queues_that_are_tried_one_waits_for_bytes_at_a_time() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let (mut world, queues) = (World::with(config, 1 << 30), ["q", "r", "s"].map(queue));
    world.connect(0, 1, "a");
    for number in 0..20 {
        for queue in &queues {
            send(&mut world, 1, queue, (&number.to_string(), if number == 13 { "red" } else { "blue" }));
        }
    }
    world.settle();
    world.log.cold = (0..100).collect();
    for (consumer, queue) in (5..).zip(&queues) {
        consume(&mut world, consumer, queue, 10, "color = 'red' AND TRUE");
    }
    world.settle();
    world.heard(0);
    world.log.asked.sort_unstable();
    world.log.asked.dedup();
    assert_eq!(world.log.asked.len(), 1, "{:?}", world.log.asked);
    world.log.cold.clear();
    world.broker.fetched();
    world.settle();
    assert_eq!(got(&mut world), (5..8).flat_map(|consumer| texts(consumer, &["13"])).collect::<Vec<_>>());
}

/// Messages for consumers that each wait for their own correlation id: how often one is tried, and nanoseconds that each took.
fn correlated(consumers: u32) -> (u64, u64) {
    const MESSAGES: u32 = 20_000;
    let (mut world, q) = (world(), queue("q"));
    for number in 0..consumers {
        consume(&mut world, 10 + number, &q, 1_000_000 / consumers, &format!("JMSCorrelationID = 'c{number}'"));
    }
    world.settle();
    let mut batches = Vec::new();
    for first in (0..MESSAGES).step_by(256) {
        let mut batch = CommandBatch::default();
        for number in first..MESSAGES.min(first + 256) {
            let bytes = colored(&q, "x", &format!("c{}", number % consumers), false);
            let one = world.publish(0, handle(1), std::slice::from_ref(&q), false, (&bytes, 0), Request::default());
            for command in &one.commands {
                let mut command = command.clone();
                if let Command::Publish(publish) = &mut command {
                    publish.record = batch.store(&bytes);
                }
                batch.commands.push(command);
            }
        }
        batches.push(batch);
    }
    let start = std::time::Instant::now();
    batches.iter().for_each(|batch| world.turn(0, batch));
    let taken = start.elapsed();
    world.settle();
    assert_eq!(world.got(0).len(), MESSAGES as usize);
    (world.broker.statistics().evaluations, taken.as_nanos() as u64 / u64::from(MESSAGES))
}

#[test]
pub fn thousands_that_wait_for_a_text_each_are_asked_about_their_own_messages_only() {
    assert_eq!(correlated(5_000).0, 20_000);
}

/// `cargo test --release -p postrider-broker --test broker -- --ignored --nocapture correlation`
#[test]
#[ignore = "measures"]
pub fn what_a_message_costs_by_its_correlation() {
    for _ in 0..3 {
        println!("one consumer {} ns, 5,000 consumers {} ns a message", correlated(1).1, correlated(5_000).1);
    }
}

/// What a slice has ended with may be gone when the next one begins: the view has not tried what follows.
#[test]
pub fn a_message_that_goes_between_two_slices_takes_no_other_with_it() {
    let (mut world, q) = (world(), queue("q"));
    send_many(&mut world, &q, 3_000, "red");
    world.settle();
    consume(&mut world, 5, &q, 5_000, "color LIKE '%e%' AND JMSPriority = 4");
    world.settle();
    assert_eq!((world.got(0).len(), world.broker.statistics().evaluations), (3_000, 3_000));
}

/// A send before more selectors than a turn has steps for: it is tried in slices, and comes to those that want it.
#[test]
pub fn a_send_before_very_many_selectors_takes_no_turn_for_itself() {
    let (mut world, q) = (world(), queue("q"));
    for number in 0..3_000 {
        let text = format!("color LIKE '%e%' AND JMSPriority + {number} < 1000 AND color <> 'none' OR FALSE");
        consume(&mut world, 10 + number, &q, 10, &text);
    }
    world.settle();
    world.heard(0);
    let bytes = colored(&q, "x", "red", true);
    let batch = world.publish(0, handle(1), std::slice::from_ref(&q), true, (&bytes, 0), Request::default());
    let before = world.broker.statistics().evaluations;
    world.handle(0, &batch);
    assert_eq!(world.broker.statistics().evaluations, before, "left to the job");
    let mut most = 0;
    for _ in 0..10_000 {
        let before = world.broker.statistics().evaluations;
        let more = world.go_on();
        most = most.max(world.broker.statistics().evaluations - before);
        if !more {
            break;
        }
    }
    world.settle();
    assert!(most <= 2_000, "{most} in one turn");
    assert_eq!((world.broker.statistics().evaluations - before, world.got(0).len()), (3_000, 1));
}

/// Another commit comes before the one that it waits for: that one is still asked for.
#[test]
pub fn what_is_named_asks_for_its_own_commit() {
    let config = Config { reservation: 1_000_000, allowance_chunk: 10, ..Config::default() };
    let (mut world, q) = (World::with(config, 1 << 30), queue("q"));
    world.connect(0, 1, "a");
    (0..100).for_each(|number| send(&mut world, 1, &q, ("x", if number == 77 { "red" } else { "blue" })));
    world.settle();
    world.heard(0);
    send(&mut world, 1, &queue("other"), ("x", "blue"));
    let before = *world.log.open_turns().last().unwrap();
    consume(&mut world, 5, &q, 2, "color = 'red' AND TRUE");
    world.idle();
    world.log.commit_to(before);
    world.idle();
    assert!(world.broker.wants_sync() && got(&mut world).is_empty());
    world.settle();
    assert_eq!(got(&mut world).len(), 1);
}

/// What goes past others is named when it goes: that makes nothing redelivered that nobody has had.
#[test]
pub fn what_earlier_lives_have_left_is_new_to_who_selects_it() {
    let mut world = world();
    for number in 0..5 {
        send(&mut world, 1, &queue("q"), (&number.to_string(), if number == 3 { "blue" } else { "red" }));
    }
    world.settle();
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    consume(&mut world, 5, &queue("q"), 100, "color = 'red' AND JMSRedelivered = FALSE");
    world.settle();
    let got: Vec<u32> = world.got(0).iter().map(|got| got.redeliveries).collect();
    assert_eq!(got, [0; 4]);
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    consume(&mut world, 5, &queue("q"), 100, "color = 'red'");
    world.settle();
    let got: Vec<u32> = world.got(0).iter().map(|got| got.redeliveries).collect();
    assert_eq!(got, [1; 4], "now they may have been delivered");
}
