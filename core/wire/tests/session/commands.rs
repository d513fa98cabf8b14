//! What comes of the client's commands.

use postrider_model::command::*;
use postrider_model::record::Tag;
use postrider_model::{Destination, DestinationKind, MessageView, Sequence, limits};
use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::session::OpenWireError;
use postrider_wire::openwire::{Structure, Throwable, Value};
use postrider_wire::session::{Delivery, Missing, Next};

use crate::client::*;

/// Commands without the numbers that tests do not care for.
fn texts(commands: &[Command]) -> Vec<String> {
    commands.iter().map(|command| format!("{command:?}")).collect()
}

#[test]
fn every_format_says_the_same() {
    let conversation = |client: &mut Client| {
        client.connect();
        client.open_all();
        for sequence in 1..=3 {
            client.send(&message(1, sequence, "a.queue").with(message::CORRELATION_ID, "c\u{e9}"));
        }
        client.send(&acknowledgement(1, 2, Some(5), 7, 3));
        client.send(
            &acknowledgement(1, 1, None, 9, 1).with(message_ack::POISON_CAUSE, Throwable::new(b"Class", b"text")),
        );
        client.send(&message(1, 4, "other").with(message::RESPONSE_REQUIRED, true));
        client.send(&remove(&session(1), -2));
        client.commands()
    };
    for version in 1..=12 {
        let mut expected = None;
        for (tight, cache, stack_trace) in
            [(false, false, true), (false, true, false), (true, false, false), (true, true, true)]
        {
            let mut client = Client::with(|offer| {
                offer.version = version;
                (offer.tight_encoding_enabled, offer.cache_enabled) = (tight, cache);
                offer.stack_trace_enabled = stack_trace;
            });
            let commands = conversation(&mut client);
            assert!(commands.iter().any(|command| matches!(command, Command::Acknowledge(_))));
            let records = client.records();
            assert_eq!(
                &*expected.get_or_insert((texts(&commands), records.clone())),
                &(texts(&commands), records),
                "{version}"
            );
        }
    }
}

#[test]
fn a_message_becomes_a_record() {
    let mut client = Client::opened();
    client
        .send(&message(1, 17, " a.queue ").with(message::PRIORITY, 99i8).with(message::CONTENT, Value::bytes(b"body")));
    let [Command::DefineDestination { number: 0, destinations, .. }, Command::Publish(publish)] =
        &client.commands()[..]
    else {
        panic!("two commands");
    };
    assert_eq!(**destinations, [Destination::new(DestinationKind::Queue, b"a.queue")]);
    assert_eq!((publish.destination, publish.producer, publish.producer_sequence), (0, 0, 17));
    assert!(!publish.request.is_wanted() && !publish.windowed && publish.persistent);
    let record = &client.records()[0];
    assert_eq!(publish.record_crc, crc32fast::hash(record));
    let view = MessageView::parse(record).unwrap();
    assert_eq!(view.destination_field(Tag::Destination), Some((DestinationKind::Queue, &b"a.queue"[..])));
    assert_eq!(view.field(Tag::ProducerConnection), Some(&b"ID:c"[..]));
    assert_eq!((view.content(), view.properties(), view.header().priority), (Some(&b"body"[..]), None, 9));
    assert_eq!(view.header().broker_in_time, client.now.unix_millis);
}

#[test]
fn a_message_is_its_producers_only_if_its_id_says_so() {
    let mut client = Client::opened();
    let foreign = |connection: &str, session, value| {
        message(1, 1, "q").with(message::MESSAGE_ID, message_identity(&producer_of(connection, session, value), 1))
    };
    client.send(&message(1, 1, "q"));
    client.send(&message(2, 1, "q"));
    client.send(&foreign("ID:other", 1, 1));
    client.send(&foreign("ID:c", 1, 2));
    client.send(&message(3, 1, "q"));
    let publishes = client.publishes();
    let producers: Vec<u32> = publishes.iter().map(|publish| publish.producer).collect();
    assert_eq!(producers, [0, 1, Publish::NO_PRODUCER, Publish::NO_PRODUCER, Publish::NO_PRODUCER]);
    let windowed: Vec<bool> = publishes.iter().map(|publish| publish.windowed).collect();
    assert_eq!(windowed, [false, true, false, false, false]);
    let sender = MessageView::parse(&client.records()[2]).unwrap().field(Tag::Sender).unwrap().to_vec();
    assert_eq!(sender, [&1i64.to_le_bytes()[..], &1i64.to_le_bytes(), b"ID:c"].concat());
}

/// The numbers that commands use mean the same to the broker as to the client, whatever is opened, closed and cached.
#[test]
fn numbers_are_never_mistaken() {
    for cache_size in [100, 1024] {
        let mut client = Client::with(|offer| offer.cache_size = cache_size);
        client.connect();
        client.open_all();
        let mut random = 7u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let mut model = Model::default();
        model.take(&client.commands(), &client.records());
        for _ in 0..40_000 {
            let value = 1 + next(6) as i64;
            match next(20) {
                0 => client.send(&remove(&producer(1, value), -2)),
                1 => client.send(&producer_info(value, 0)),
                2 => client.send(&remove(&consumer(1, value), -2)),
                3 => client.send(&consumer_info(value, "q")),
                4..8 => client.send(&acknowledgement(value, 2, None, 1, 1)),
                _ => {
                    let name = if next(2) == 0 { next(10) } else { next(6_000) };
                    client.send(&message(value, 1, &format!("queue.{name}")));
                }
            };
            model.take(&client.commands(), &client.records());
        }
        let counts = (model.publishes, model.acknowledgements, model.definitions);
        assert!(counts.0 > 20_000 && counts.1 > 2_000 && counts.2 > 5_000, "{counts:?}");
    }
}

/// More destinations than have numbers, while the ids of some stay in the cache.
#[test]
fn numbers_that_are_given_out_anew_are_not_mistaken() {
    let mut client = Client::opened();
    let mut model = Model::default();
    client.send(&producer_info(3, 0));
    for step in 0..15_000 {
        client.send(&message(3, 1, &format!("hot.{}", step % 7)));
        client.send(&message(3, 1, &format!("queue.{step}")));
        model.take(&client.commands(), &client.records());
    }
    assert!(model.definitions > 3 * limits::CONNECTION_DESTINATIONS as usize);
}

#[test]
fn ids_that_exist_are_answered_and_not_opened_again() {
    let mut client = Client::opened();
    for structure in
        [session_info(1), producer_info(1, 0), consumer_info(1, "q"), connection_info("ID:c", Some("client"))]
    {
        client.send(&structure.with(base_command::RESPONSE_REQUIRED, true));
        assert!(matches!(client.commands()[..], [Command::Synchronize { request, .. }] if request.is_wanted()));
    }
    client.send(&session_info(-1));
    assert!(client.commands().is_empty() && client.read().is_empty());
}

#[test]
fn a_session_takes_its_members_with_it() {
    let mut client = Client::opened();
    client.send(&session_info(2));
    for structure in [consumer_info(9, "q"), producer_info(9, 0)] {
        let field = if structure.is(&producer_info::DEFINITION) {
            producer_info::PRODUCER_ID
        } else {
            consumer_info::CONSUMER_ID
        };
        let id = if structure.is(&producer_info::DEFINITION) { producer(2, 9) } else { consumer(2, 9) };
        client.send(&structure.with(field, id));
    }
    client.commands();
    client.send(&remove(&session(1), 42).with(base_command::RESPONSE_REQUIRED, true));
    let commands = client.commands();
    let is_consumer = |command: &&Command| {
        matches!(command, Command::CloseConsumer { last_delivered: LastDelivered::UpTo(Sequence(42)), .. })
    };
    assert_eq!(commands.iter().filter(is_consumer).count(), 2);
    assert_eq!(commands.iter().filter(|command| matches!(command, Command::CloseProducer { .. })).count(), 2);
    assert!(matches!(commands.last(), Some(Command::Synchronize { .. })) && commands.len() == 5);
    assert_eq!(client.handles.len(), 1, "the other session keeps its consumer");
    client.send(&producer_info(5, 0));
    client.expect_exception("java.lang.IllegalStateException", "there is no session 1");
}

#[test]
fn what_was_delivered_last_is_passed_on() {
    let table = [
        (-2, LastDelivered::Unknown),
        (-1, LastDelivered::None),
        (0, LastDelivered::None),
        (1, LastDelivered::UpTo(Sequence(1))),
        (i64::MAX, LastDelivered::UpTo(Sequence(i64::MAX as u64))),
        (i64::MIN, LastDelivered::Unknown),
    ];
    for (sequence, expected) in table {
        for version in [4, 5, 12] {
            let mut client = Client::with(|offer| offer.version = version);
            client.connect();
            client.open_all();
            client.commands();
            let expected = if version < 5 { LastDelivered::Unknown } else { expected };
            client.send(&remove(&consumer(1, 1), sequence));
            client.send(&remove(&connection("ID:c"), sequence));
            let commands = client.commands();
            let [
                Command::CloseConsumer { last_delivered: first, .. },
                Command::CloseConnection { last_delivered, clean, .. },
            ] = &commands[..]
            else {
                panic!("{commands:?}");
            };
            assert_eq!((*first, *last_delivered, *clean), (expected, expected, true));
            assert!(client.handles.is_empty());
        }
    }
}

#[test]
fn what_is_gone_is_closed_again_without_complaint() {
    let mut client = Client::opened();
    for id in [consumer(1, 99), producer(1, 99), session(99), connection("ID:other"), consumer(99, 1)] {
        client.send(&remove(&id, -2).with(base_command::RESPONSE_REQUIRED, true));
        assert!(matches!(client.commands()[..], [Command::Synchronize { .. }]), "{id:?}");
    }
}

#[test]
fn a_socket_that_breaks_is_not_a_goodbye() {
    for says_goodbye in [false, true] {
        let mut client = Client::opened();
        if says_goodbye {
            assert_eq!(client.try_send(&Structure::new(&shutdown_info::DEFINITION)), Ok(Next::Close));
        }
        client.close();
        let commands = client.commands();
        let [Command::CloseConnection { clean, last_delivered: LastDelivered::Unknown, request, .. }] = &commands[..]
        else {
            panic!("{commands:?}");
        };
        assert_eq!((*clean, request.is_wanted()), (says_goodbye, false));
        assert!(client.handles.is_empty());
        client.close();
        assert!(client.commands().is_empty(), "only once");
    }
}

#[test]
fn temporary_destinations_come_and_go() {
    let mut client = Client::opened();
    let temporary =
        Structure::new(&active_mq_temp_queue::DEFINITION).with(active_mq_temp_queue::PHYSICAL_NAME, "ID:c:1");
    let info = Structure::new(&destination_info::DEFINITION)
        .with(destination_info::CONNECTION_ID, connection("ID:c"))
        .with(destination_info::DESTINATION, temporary)
        .with(base_command::COMMAND_ID, 8)
        .with(base_command::RESPONSE_REQUIRED, true);
    client.send(&info);
    let [Command::CreateTemporary(create)] = &client.commands()[..] else { panic!("it is made") };
    assert_eq!(create.destination, Destination::new(DestinationKind::TemporaryQueue, b"ID:c:1"));
    client.send(&info.clone().with(destination_info::OPERATION_TYPE, 1i8));
    assert!(
        matches!(&client.commands()[..], [Command::DeleteDestination { destination, .. }] if **destination == create.destination)
    );
    client.send(&info.clone().with(destination_info::DESTINATION, queue("q")));
    assert!(matches!(client.commands()[..], [Command::Synchronize { .. }]));
    client.send(&info.with(destination_info::OPERATION_TYPE, 7i8));
    client.expect_exception("javax.jms.JMSException", "DestinationInfo of operation type 7");
}

#[test]
fn acknowledgements_of_all_types() {
    use AcknowledgeKind::*;
    let mut client = Client::opened();
    for (number, kind) in [(0, Delivered), (1, Poison), (2, Standard), (3, Redelivered), (4, Individual), (6, Expired)]
    {
        client.send(&acknowledgement(1, number, Some(3), 5, 2));
        let [Command::Acknowledge(acknowledge)] = &client.commands()[..] else { panic!("type {number}") };
        assert_eq!(
            (acknowledge.kind, acknowledge.first, acknowledge.last, acknowledge.count),
            (kind, Sequence(3), Sequence(5), 2)
        );
    }
    client.send(&acknowledgement(1, 2, None, -5, -2));
    let [Command::Acknowledge(acknowledge)] = &client.commands()[..] else { panic!("it is one") };
    assert_eq!((acknowledge.first, acknowledge.last, acknowledge.count), (Sequence(0), Sequence(0), 0));
    for ignored in [acknowledgement(1, 5, None, 1, 1), acknowledgement(77, 2, None, 1, 1)] {
        client.send(&ignored);
        assert!(client.commands().is_empty() && client.read().is_empty());
        client.send(&ignored.with(base_command::RESPONSE_REQUIRED, true));
        assert!(matches!(client.commands()[..], [Command::Synchronize { .. }]));
    }
    client.send(&acknowledgement(1, 9, None, 1, 1));
    client.expect_exception("javax.jms.JMSException", "9 is not a type of acknowledgement");
}

#[test]
fn signs_of_life() {
    let mut client = Client::with(|offer| offer.max_inactivity_duration = 900);
    client.connect();
    client.read();
    let keep_alive = Structure::new(&keep_alive_info::DEFINITION);
    client.send(&keep_alive);
    assert!(client.read().is_empty());
    client.send(&keep_alive.clone().with(base_command::RESPONSE_REQUIRED, true));
    assert_eq!(client.read(), std::slice::from_ref(&keep_alive));
    client.now.nanos = client.session.deadline();
    client.output = vec![0];
    client.tick().unwrap();
    assert_eq!(std::mem::take(&mut client.output), [0], "who has bytes to read needs none, nor more and more of them");
    let mut alive = 0;
    let error = loop {
        client.now.nanos = client.session.deadline();
        match client.tick() {
            Ok(()) => alive += client.read().iter().filter(|structure| **structure == keep_alive).count(),
            Err(error) => break error,
        }
    };
    assert_eq!(error, OpenWireError::Silent { millis: 900 });
    assert_eq!(alive, 2, "one for each third of the duration in which nothing else was sent");
}

#[test]
fn messages_for_the_consumers_of_others_are_not_written() {
    let mut client = Client::opened();
    client.send(&message(1, 1, "q"));
    let record = client.records()[0].clone();
    let delivery = Delivery {
        view: MessageView::parse(&record).unwrap(),
        sequence: Sequence(3),
        redeliveries: 0,
        destination: None,
        unix_millis: 0,
    }
    .outbound();
    client.send(&consumer_info(7, "q"));
    let Some(Command::OpenConsumer(open)) = client.commands().pop() else { panic!("it opens") };
    client.session.dispatch(open.consumer, &delivery, &mut client.handles, &mut client.output).unwrap();
    assert_eq!(client.read().len(), 1);
    client.send(&remove(&consumer(1, 7), -2));
    client.session.dispatch(open.consumer, &delivery, &mut client.handles, &mut client.output).unwrap();
    client.session.end_of_messages(open.consumer, &mut client.handles, &mut client.output).unwrap();
    assert!(client.read().is_empty());
}

#[test]
fn what_is_silently_missing_is_noted_when_a_client_counts_on_it() {
    let topic = |name: &str| {
        let topic = Structure::new(&active_mq_topic::DEFINITION);
        topic.with(active_mq_topic::PHYSICAL_NAME, name).shared()
    };
    let grouped = |destination| message(1, 1, "q").with(message::GROUP_ID, "g").with(message::DESTINATION, destination);
    let listens = |value, name| consumer_info(value, "q").with(consumer_info::DESTINATION, topic(name));
    let own = "ActiveMQ.Advisory.TempQueue,topic://ActiveMQ.Advisory.TempTopic";
    let cases = [
        (message(1, 1, "q"), None),
        (grouped(queue("q")), Some(Missing::Groups)),
        (grouped(topic("t")), None),
        (listens(7, own), None),
        (listens(8, "ActiveMQ.Advisory.Consumer.Queue.>"), None),
    ];
    for (structure, missing) in cases {
        let mut client = Client::opened();
        client.send(&structure);
        assert!(!client.commands().is_empty(), "{structure:?}");
        assert_eq!(client.handles.take_missing(), missing, "{structure:?}");
        assert_eq!(client.handles.take_missing(), None);
    }
}
