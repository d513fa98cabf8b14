//! What a session does not put up with.

use postrider_model::command::*;
use postrider_model::event::{Failure, Refused};
use postrider_model::{Destination, DestinationKind, Token, limits};
use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::session::OpenWireError;
use postrider_wire::openwire::{Structure, Value};
use postrider_wire::session::Next;

use crate::client::*;

#[test]
fn without_a_connection_there_is_nothing() {
    let mut client = Client::with(|_| {});
    client.greet();
    let structures = [
        session_info(1),
        producer_info(1, 0),
        consumer_info(1, "q"),
        message(1, 1, "q"),
        acknowledgement(1, 2, None, 1, 1),
        remove(&consumer(1, 1), -2),
        Structure::new(&message_pull::DEFINITION).with(message_pull::CONSUMER_ID, consumer(1, 1)),
        Structure::new(&destination_info::DEFINITION),
    ];
    for structure in structures {
        for wanted in [true, false] {
            client.send(&structure.clone().with(base_command::RESPONSE_REQUIRED, wanted));
            let answer = client.expect_exception("java.lang.IllegalStateException", "there is no connection");
            assert_eq!(answer.is(&exception_response::DEFINITION), wanted);
        }
    }
    let control = Structure::new(&connection_control::DEFINITION).with(base_command::COMMAND_ID, 0);
    client.send(&control.with(connection_control::FAULT_TOLERANT, true).with(base_command::RESPONSE_REQUIRED, true));
    assert_eq!(client.read(), [Structure::new(&response::DEFINITION)]);
    assert!(client.commands().is_empty());
}

#[test]
fn a_connection_that_is_refused_ends_after_a_moment() {
    let mut client = Client::with(|_| {});
    client.greet();
    client.send(&connection_info("ID:c", None));
    client.expect_exception("javax.jms.InvalidClientIDException", "No clientID specified");
    client.send(&connection_info("ID:c", Some("client")));
    client.send(&session_info(1));
    client.send(&consumer_info(1, "q"));
    client.commands();
    client.fail(Some(1), Failure::InvalidClientId, "Broker: b - Client: client already connected from tcp://x", None);
    let answer =
        client.expect_exception("javax.jms.InvalidClientIDException", "Broker: b - Client: client already connected");
    assert_eq!(answer.int(exception_response::CORRELATION_ID), 1);
    client.send(&connection_info("ID:c", Some("other")));
    client.expect_exception("java.lang.IllegalStateException", "this connection was refused");
    assert_eq!(client.session.deadline(), client.now.deadline_after_millis(2_000));
    client.now.nanos += 2_000_000_000;
    assert_eq!(client.tick(), Err(OpenWireError::Refused));
    client.close();
    assert!(
        matches!(client.commands()[..], [Command::CloseConnection { .. }]),
        "the broker passes over one that it has not"
    );
}

#[test]
fn a_failure_of_an_earlier_command_does_not_refuse_a_connection() {
    let mut client = Client::with(|_| {});
    client.greet();
    client.send(&connection_info("ID:c", Some("client")));
    client.session.opened(Token(1), &mut client.output).unwrap();
    client.send(&remove(&connection("ID:c"), -2));
    client.send(&connection_info("ID:c", Some("client")).with(base_command::COMMAND_ID, 9));
    client.commands();
    client.read();
    for earlier in [None, Some(8)] {
        client.fail(earlier, Failure::General, "the first connection's send", None);
        client.expect_exception("javax.jms.JMSException", "the first connection's send");
    }
    client.session.opened(Token(9), &mut client.output).unwrap();
    client.open_all();
    client.send(&message(1, 1, "q"));
    assert_eq!(client.publishes().len(), 1, "the second connection goes on");
    client.close();
    assert!(matches!(client.commands()[..], [Command::CloseConnection { .. }]));
}

#[test]
fn a_failure_fits_the_smallest_frame() {
    for tight in [false, true] {
        let mut client = Client::with(|offer| (offer.max_frame_size, offer.tight_encoding_enabled) = (1_024, tight));
        client.connect();
        client.read();
        for text in ["x".repeat(2_000), "\u{1f600}".repeat(2_000), "\0".repeat(2_000)] {
            client.fail(Some(4), Failure::DestinationDoesNotExist, &text, None);
            client.expect_exception(
                "org.apache.activemq.DestinationDoesNotExistException",
                &text[..4 * (text.len() > 2_000) as usize],
            );
        }
    }
}

/// A few cached ids, each named thousands of times by a small frame, that would take gigabytes when they are written out.
#[test]
fn cached_ids_are_not_written_out_without_end() {
    for tight in [false, true] {
        let mut client = Client::with(|offer| offer.tight_encoding_enabled = tight);
        client.connect();
        client.open_all();
        client.commands();
        client.read();
        let name = "x".repeat(30_000);
        let info = Structure::new(&consumer_info::DEFINITION)
            .with(consumer_info::CONSUMER_ID, consumer_of(&name, 1, 1))
            .with(consumer_info::DESTINATION, queue(&name));
        let infos = Structure::new(&broker_subscription_info::DEFINITION)
            .with(broker_subscription_info::SUBSCRIPTION_INFOS, vec![Some(info.shared()); 2_000]);
        let frame = client.encode(&message(1, 1, "q").with(message::DATA_STRUCTURE, infos));
        assert!(frame.len() < 1_200_000, "{}", frame.len());
        assert_eq!(client.try_receive(&frame), Ok(Next::Continue));
        client.expect_exception(
            "javax.jms.JMSException",
            "the message cannot be sent on: a structure in it takes more than",
        );
        assert!(client.publishes().is_empty());
        client.send(&message(1, 2, "q"));
        assert_eq!(client.publishes().len(), 1, "the connection goes on");
    }
}

#[test]
fn a_consumer_that_is_refused_can_be_tried_again() {
    let mut client = Client::opened();
    client.send(&consumer_info(7, "q"));
    let [Command::OpenConsumer(open)] = &client.commands()[..] else { panic!("it opens") };
    client.fail(Some(3), Failure::InvalidSelector, "x", Some(Refused::Consumer(open.consumer)));
    client.expect_exception("javax.jms.InvalidSelectorException", "x");
    assert_eq!(client.handles.connection_of(open.consumer), None);
    client.send(&acknowledgement(7, 2, None, 1, 1));
    assert!(client.commands().is_empty());
    client.send(&consumer_info(7, "q"));
    assert!(matches!(&client.commands()[..], [Command::OpenConsumer(again)] if again.consumer != open.consumer));
}

#[test]
fn a_producer_that_is_refused_is_none_of_the_connections() {
    let mut client = Client::opened();
    let opened = |client: &mut Client| match &client.commands()[..] {
        [Command::OpenProducer(open)] => open.producer,
        other => panic!("it opens: {other:?}"),
    };
    client.send(&producer_info(7, 0).with(base_command::COMMAND_ID, 3));
    let number = opened(&mut client);
    let refused = |number| Refused::Producer { session: 1, value: 7, token: Token(number) };
    client.fail(Some(3), Failure::ResourceAllocation, "x", Some(refused(3)));
    client.expect_exception("javax.jms.ResourceAllocationException", "x");
    client.send(&producer_info(7, 0).with(base_command::COMMAND_ID, 4));
    assert_eq!(opened(&mut client), number, "its number is free");
    client.fail(Some(3), Failure::ResourceAllocation, "x", Some(refused(3)));
    client.expect_exception("javax.jms.ResourceAllocationException", "x");
    client.send(&remove(&producer(1, 7), -2));
    assert!(matches!(client.commands()[..], [Command::CloseProducer { .. }]), "the second one is not the first");
}

/// As many as a connection may have, again and again.
#[test]
fn refused_producers_do_not_add_up() {
    let mut client = Client::opened();
    for value in 100..70_000 {
        client.send(&producer_info(value, 0).with(base_command::COMMAND_ID, 3));
        assert!(matches!(client.commands()[..], [Command::OpenProducer(_)]), "{value}");
        client.fail(
            None,
            Failure::ResourceAllocation,
            "x",
            Some(Refused::Producer { session: 1, value, token: Token(3) }),
        );
        client.expect_exception("javax.jms.ResourceAllocationException", "x");
    }
}

#[test]
fn every_failure_has_its_class() {
    let table = [
        (Failure::General, "javax.jms.JMSException"),
        (Failure::InvalidDestination, "javax.jms.InvalidDestinationException"),
        (Failure::ResourceAllocation, "javax.jms.ResourceAllocationException"),
        (Failure::TransactionRolledBack, "javax.jms.TransactionRolledBackException"),
        (Failure::Security, "java.lang.SecurityException"),
        (Failure::DestinationDoesNotExist, "org.apache.activemq.DestinationDoesNotExistException"),
        (Failure::IllegalState, "java.lang.IllegalStateException"),
    ];
    for stack_trace in [false, true] {
        let mut client = Client::with(|offer| offer.stack_trace_enabled = stack_trace);
        client.connect();
        client.read();
        for (failure, class) in table {
            client.fail(None, failure, "temp-queue://x", None);
            assert!(client.expect_exception(class, "temp-queue://x").is(&connection_error::DEFINITION));
        }
        client.fail(Some(4), Failure::General, &"\u{1f600}".repeat(40_000), None);
        client.expect_exception("javax.jms.JMSException", "\u{1f600}");
    }
}

#[test]
fn clients_of_old_versions_are_told_of_a_missing_destination_by_a_class_that_they_have() {
    let own = "org.apache.activemq.DestinationDoesNotExistException";
    for (version, class) in
        [(1, "javax.jms.InvalidDestinationException"), (8, "javax.jms.InvalidDestinationException"), (9, own)]
    {
        let mut client = Client::with(|offer| offer.version = version);
        client.connect();
        client.read();
        client.fail(Some(4), Failure::DestinationDoesNotExist, "temp-queue://x", None);
        client.expect_exception(class, "temp-queue://x");
    }
}

#[test]
fn destinations_that_cannot_be_are_refused() {
    let mut client = Client::opened();
    let long = "x".repeat(limits::DESTINATION_NAME_BYTES + 1);
    for name in ["", " , ", &long] {
        client.send(&message(1, 1, name));
        client.expect_exception("javax.jms.InvalidDestinationException", "the destination's name is");
        client.send(&consumer_info(50, name).with(base_command::RESPONSE_REQUIRED, true));
        client.expect_exception("javax.jms.InvalidDestinationException", "the destination's name is");
    }
    client.send(&message(1, 1, "q").with(message::DESTINATION, None));
    client.expect_exception("javax.jms.InvalidDestinationException", "the message has no destination");
    client.send(&consumer_info(50, "topic://a,topic://b"));
    client.expect_exception("javax.jms.InvalidDestinationException", "no part of the composite");
    assert!(client.commands().is_empty());
    client.send(&consumer_info(50, "a,topic://b"));
    let [Command::OpenConsumer(open)] = &client.commands()[..] else { panic!("it opens") };
    assert_eq!(*open.destinations, [Destination::new(DestinationKind::Queue, b"a")]);
}

/// A bridge of one direction is a client; one of two is told what to set, and hears no more.
#[test]
fn a_broker_may_forward_to_this_one_but_not_have_it_forward() {
    let bridge = Structure::new(&broker_info::DEFINITION).with(broker_info::NETWORK_CONNECTION, true);
    let mut client = Client::opened();
    client.send(&bridge);
    client.send(&consumer_info(50, "a"));
    assert!(matches!(&client.commands()[..], [Command::OpenConsumer(_)]) && client.read().is_empty());
    let mut client = Client::with(|_| {});
    client.greet();
    client.send(&bridge.with(broker_info::DUPLEX_CONNECTION, true));
    client.expect_exception("javax.jms.JMSException", "a duplex network connection, in which");
    client.send(&connection_info("ID:c", Some("client")));
    client.expect_exception("java.lang.IllegalStateException", "this connection was refused");
    assert!(client.commands().is_empty());
}

#[test]
fn what_no_client_sends_ends_the_connection() {
    let greeting = Client::opened().offer.write();
    assert_eq!(Client::opened().try_send(&greeting), Err(OpenWireError::SecondGreeting));
    let trace = Structure::new(&journal_trace::DEFINITION);
    assert_eq!(Client::opened().try_send(&trace), Err(OpenWireError::Unexpected("JournalTrace")));
    for bytes in [&b"\0\0\0\x01\x63"[..], b"\0\0\0\x02\x05\x00", b"\xFF\xFF\xFF\xFF"] {
        let error = Client::opened().try_receive(bytes).unwrap_err();
        assert!(matches!(error, OpenWireError::Decode(_) | OpenWireError::Frame(_)), "{error}");
    }
}

#[test]
fn strangers_are_turned_away() {
    let error = |bytes: &[u8]| Client::with(|_| {}).try_receive(bytes).unwrap_err();
    assert!(error(b"GET / HTTP/1.1\r\n").to_string().starts_with("a frame of 1195725856 bytes"));
    assert!(matches!(error(b"\0\0\0\x01\x00"), OpenWireError::Negotiation(_)));
    assert!(matches!(
        error(b"\0\0\0\x0b\x1e\0\0\0\0\0\0\0\0\0\0"),
        OpenWireError::Negotiation(_) | OpenWireError::Decode(_)
    ));
    let mut small = Client::with(|offer| offer.max_frame_size = 1_023);
    assert_eq!(small.try_receive(&small.greeting()), Err(OpenWireError::FramesTooSmall(1_023)));
    let mut silent = Client::with(|_| {});
    silent.now.nanos += 30_000_000_000;
    assert_eq!(silent.tick(), Err(OpenWireError::NoGreeting));
}

#[test]
fn a_stranger_may_not_send_much() {
    let large = message(1, 1, "q").with(message::CONTENT, Value::bytes(&vec![0; 70_000]));
    let mut client = Client::with(|_| {});
    client.greet();
    assert!(matches!(client.try_send(&large), Err(OpenWireError::Frame(_))));
    let mut client = Client::opened();
    client.send(&large);
    assert_eq!(client.publishes().len(), 1);
    let mut announced = (50i32 << 20).to_be_bytes().to_vec();
    announced.extend_from_slice(&[28; 6]);
    assert_eq!(client.try_receive(&announced), Ok(Next::Continue));
    assert_eq!(client.session.half_frame_bytes(), 10, "what has come, not what is announced");
}

/// A tight string that is marked as ASCII and is none grows when it is read: here to 80,000 bytes.
#[test]
fn strings_that_grow_too_long_are_refused() {
    let refused = [
        message(1, 1, "q").with(message::CORRELATION_ID, "xxxx"),
        message(1, 1, "q").with(message::REPLY_TO, queue("xxxx")),
        message(1, 1, "q").with(message::ORIGINAL_DESTINATION, queue("xxxx")),
        message(1, 1, "q").with(message::PRODUCER_ID, producer_of("xxxx", 1, 1)),
        message(1, 1, "q").with(message::DATA_STRUCTURE, queue("xxxx")),
        message(1, 1, "q").with(message::ORIGINAL_TRANSACTION_ID, transaction("xxxx")),
        consumer_info(60, "q").with(consumer_info::CONSUMER_ID, consumer_of("xxxx", 1, 1)),
        connection_info("xxxx", Some("c")),
    ];
    for structure in refused {
        let mut client = Client::with(|offer| offer.tight_encoding_enabled = true);
        client.connect();
        client.open_all();
        client.commands();
        client.read();
        let frame = client.encode(&structure);
        assert_eq!(client.try_receive(&grown(&frame)), Ok(Next::Continue));
        let is_definition = |command: &Command| matches!(command, Command::DefineDestination { .. });
        assert!(client.commands().iter().all(is_definition), "{structure:?}");
        let answer = client.read();
        assert!(answer[0].is(&connection_error::DEFINITION) || answer[0].is(&exception_response::DEFINITION));
        client.send(&message(1, 2, "q"));
        assert_eq!(client.publishes().len(), 1, "the connection goes on");
    }
}

/// The frame with 40,000 bytes, each one of Latin-1, in place of `xxxx`.
fn grown(frame: &[u8]) -> Vec<u8> {
    let place = frame.windows(4).position(|window| window == b"xxxx").unwrap();
    let mut grown = [&frame[..place - 2], &40_000u16.to_be_bytes(), &[0xFF; 40_000], &frame[place + 4..]].concat();
    let size = (grown.len() - 4) as u32;
    grown[..4].copy_from_slice(&size.to_be_bytes());
    grown
}

#[test]
fn damaged_frames_end_a_connection_at_worst() {
    let frames = [
        session_info(4),
        producer_info(4, 9),
        consumer_info(4, "some.queue"),
        remove(&consumer(1, 1), 4),
        remove(&session(1), -2),
        message(1, 7, "some.queue"),
        message(1, 7, "some.queue").with(message::DATA_STRUCTURE, queue("x")),
        acknowledgement(1, 2, Some(1), 2, 2),
        Structure::new(&message_pull::DEFINITION).with(message_pull::CONSUMER_ID, consumer(1, 1)),
        Structure::new(&consumer_control::DEFINITION).with(consumer_control::CONSUMER_ID, consumer(1, 1)),
        Structure::new(&destination_info::DEFINITION).with(destination_info::DESTINATION, queue("q")),
        Structure::new(&transaction_info::DEFINITION),
    ];
    let mut random = 11u64;
    let mut next = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    for (tight, cache) in [(false, false), (false, true), (true, false), (true, true)] {
        for _ in 0..60 {
            let mut client = Client::with(|offer| (offer.tight_encoding_enabled, offer.cache_enabled) = (tight, cache));
            client.connect();
            client.open_all();
            for _ in 0..100 {
                let mut frame = client.encode(&frames[next(frames.len())]);
                let place = 4 + next(frame.len() - 4);
                frame[place] ^= 1 << next(8);
                if client.try_receive(&frame).is_err() {
                    break;
                }
            }
            client.close();
            assert!(client.handles.is_empty());
        }
    }
}

#[test]
fn a_client_that_sends_no_more_is_owed_answers_until_the_broker_has_answered_its_leave() {
    let mut client = Client::with(|_| {});
    client.greet();
    client.leave();
    assert!(!client.session.is_owed_answers() && client.commands().is_empty(), "the broker does not know it");
    client.send(&connection_info("ID:c", Some("client")));
    client.leave();
    let commands = client.commands();
    let [Command::OpenConnection(_), Command::CloseConnection { request, clean: false, .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    assert!(client.session.is_owed_answers() && request.is_wanted());
    client.session.opened(Token(1), &mut client.output).unwrap();
    assert!(client.read().iter().any(|structure| structure.is(&response::DEFINITION)));
    client.session.reply(request.token(), &mut client.output);
    assert!(!client.session.is_owed_answers() && client.output.is_empty());
}

#[test]
fn a_client_that_sends_no_more_and_is_refused_is_owed_nothing_but_that() {
    let mut client = Client::with(|_| {});
    client.greet();
    client.send(&connection_info("ID:c", Some("client")));
    client.leave();
    client.fail(Some(1), Failure::InvalidClientId, "taken", None);
    assert!(!client.session.is_owed_answers());
    assert!(client.read()[0].is(&exception_response::DEFINITION));
}
