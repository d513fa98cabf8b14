//! Messages that are larger than what is taken.

use postrider_model::command::Command;
use postrider_model::{MessageView, Sequence};
use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::session::OpenWireError;
use postrider_wire::openwire::{Structure, Value};
use postrider_wire::session::{Delivery, Next};

use crate::client::*;

const LIMIT: u64 = 70_000;

const REFUSED: &str = "javax.jms.ResourceAllocationException";

/// A message of the windowed producer with this much content and properties.
fn large(sequence: i64, content: usize, properties: usize) -> Structure {
    message(2, sequence, "some.queue")
        .with(message::CONTENT, Value::bytes(&vec![7; content]))
        .with(message::MARSHALLED_PROPERTIES, Value::bytes(&vec![8; properties]))
        .with(message::REPLY_TO, queue("answers"))
}

fn request(message: Structure) -> Structure {
    message.with(message::COMMAND_ID, 77).with(message::RESPONSE_REQUIRED, true)
}

fn client(tight: bool, cache: bool) -> Client {
    let mut client =
        Client::of_broker(LIMIT, |offer| (offer.tight_encoding_enabled, offer.cache_enabled) = (tight, cache));
    client.connect();
    client.open_all();
    client.commands();
    client.read();
    client
}

fn receive_in_steps(client: &mut Client, frame: &[u8], step: usize) {
    for part in frame.chunks(step) {
        assert_eq!(client.try_receive(part), Ok(Next::Continue));
        let kept = client.session.half_frame_bytes();
        assert!(kept <= 64 << 10, "{kept} bytes kept of {} in steps of {step}", frame.len());
    }
}

#[test]
fn the_sender_is_told_and_the_connection_lives() {
    for (tight, cache) in [(false, false), (false, true), (true, false), (true, true)] {
        for (content, properties) in
            [(100_000, 0), (0, 100_000), (90_000, 90_000), (69_990, 10), (40_000, 40_000), (100, 70_000)]
        {
            for step in [1, 7, 511, 60_000, usize::MAX] {
                let mut client = client(tight, cache);
                let frame = client.encode(&request(large(1, content, properties)));
                receive_in_steps(&mut client, &frame, step);
                let size = frame.len() - 4;
                let text = format!(
                    "the message takes {size} bytes on the wire, at most {LIMIT} are taken (setting `openwire.max_frame_bytes`)"
                );
                let answer = client.expect_exception(REFUSED, &text);
                assert_eq!(answer.int(exception_response::CORRELATION_ID), 77);
                assert!(client.commands().is_empty(), "nothing of it comes to the broker");
                // What the peer has put in its cache with the refused frame counts.
                client.send(&large(2, 5, 5));
                assert_eq!(client.publishes().len(), 1);
                let ending = client.encode(&message(1, 3, "answers"));
                receive_in_steps(&mut client, &ending, step);
                assert_eq!(client.publishes().len(), 1);
            }
        }
    }
}

#[test]
fn what_wants_no_answer_is_told_by_a_connection_error_and_gets_its_window_back() {
    for (content, properties) in [(100_000, 300), (200, 100_000), (90_000, 90_000)] {
        let mut client = client(false, true);
        client.send(&large(1, content, properties));
        let answers = client.read();
        assert!(answers[0].is(&connection_error::DEFINITION), "{answers:?}");
        assert!(answers[1].is(&producer_ack::DEFINITION), "{answers:?}");
        assert_eq!(answers[1].int(producer_ack::SIZE) as usize, 1024 + content + properties);
        assert_eq!(answers[1].object(producer_ack::PRODUCER_ID), Some(&producer(1, 2)));
        assert_eq!(answers.len(), 2);
    }
}

#[test]
fn other_refused_sends_give_the_window_back_too() {
    let mut client = client(false, true);
    client.send(&large(1, 300, 20).with(message::DESTINATION, queue("")));
    let answers = client.read();
    assert!(answers[0].is(&connection_error::DEFINITION), "{answers:?}");
    assert_eq!(answers[1].int(producer_ack::SIZE), 1024 + 320);
}

#[test]
fn the_client_s_own_limit_is_named_as_such() {
    let mut client = Client::with(|offer| offer.max_frame_size = LIMIT as i64);
    client.connect();
    client.open_all();
    client.commands();
    client.read();
    let frame = client.encode(&request(large(1, 100_000, 0)));
    let size = frame.len() - 4;
    assert_eq!(client.try_receive(&frame), Ok(Next::Continue));
    let whose = "the client's `wireFormat.maxFrameSize`";
    client.expect_exception(
        REFUSED,
        &format!("the message takes {size} bytes on the wire, at most {LIMIT} are taken ({whose})"),
    );
}

#[test]
fn what_comes_in_can_go_out() {
    let mut client = client(false, false);
    let overhead = client.encode(&large(0, 0, 0)).len() - 4;
    let most = LIMIT as usize - overhead;
    client.send(&request(large(1, most, 0)));
    client.expect_exception(REFUSED, &format!("the message takes {LIMIT} bytes on the wire, and up to "));
    client.send(&large(2, most - 4_700, 0));
    assert_eq!(client.publishes().len(), 1);
    assert!(client.read().is_empty());
}

#[test]
fn other_large_frames_end_the_connection() {
    let text = "x".repeat(60_000);
    let others = [
        connection_info("ID:c", Some(&text)).with(connection_info::PASSWORD, text.as_str()),
        consumer_info(9, "q")
            .with(consumer_info::SELECTOR, text.as_str())
            .with(consumer_info::SUBSCRIPTION_NAME, text.as_str()),
        // Nothing in it is worth skipping.
        message(1, 1, "q").with(message::CORRELATION_ID, text.as_str()).with(message::TYPE, text.as_str()),
    ];
    for structure in others {
        assert!(matches!(client(false, true).try_send(&structure), Err(OpenWireError::Frame(_))), "{structure:?}");
    }
    for start in [&b"GET / HTTP/1.1\r\n"[..], &[0xFF; 8], &[0; 4], &[0x7F, 0xFF, 0xFF, 0xFF, 0]] {
        assert!(matches!(client(false, true).try_receive(start), Err(OpenWireError::Frame(_))), "{start:?}");
    }
    let mut stranger = Client::of_broker(LIMIT, |_| {});
    stranger.greet();
    assert!(matches!(stranger.try_send(&large(1, 100_000, 0)), Err(OpenWireError::Frame(_))));
}

#[test]
fn a_content_that_is_longer_than_its_frame_ends_the_connection() {
    let mut client = client(false, true);
    let mut frame = client.encode(&large(1, 100_000, 0));
    let length = frame.windows(4).position(|window| window == 100_000u32.to_be_bytes()).unwrap();
    frame[length..length + 4].copy_from_slice(&200_000u32.to_be_bytes());
    assert!(matches!(client.try_receive(&frame), Err(OpenWireError::Frame(_))));
}

#[test]
fn what_has_come_of_a_skipped_frame_is_told() {
    let mut client = client(false, true);
    let frame = client.encode(&large(1, 2 << 20, 0));
    let frames = client.session.frames();
    let mut came = 0;
    for part in frame.chunks(300_000) {
        assert_eq!(client.try_receive(part), Ok(Next::Continue));
        came += part.len();
        assert_eq!(client.session.pending_bytes(), if came < frame.len() { came } else { 0 });
    }
    assert_eq!(client.session.frames(), frames + 1);
}

/// Nothing is written, and what the peer has in its cache is what the session believes.
#[test]
fn a_message_that_the_client_does_not_take_leaves_the_connection_as_it_was() {
    for (tight, cache) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut client = Client::with(|offer| {
            (offer.tight_encoding_enabled, offer.cache_enabled, offer.max_frame_size) = (tight, cache, LIMIT as i64)
        });
        let mut sender = Client::opened();
        client.connect();
        client.open_all();
        let opened = client.commands().into_iter().find_map(|command| match command {
            Command::OpenConsumer(open) => Some(open.consumer),
            _ => None,
        });
        client.read();
        let mut came = Vec::new();
        for (sequence, content) in [(1, 100), (2, 80_000), (3, 100), (4, 69_990), (5, 10), (6, 69_000)] {
            sender.send(&large(sequence, content, 10));
            sender.commands();
            let record = sender.records()[0].clone();
            let delivery = Delivery {
                view: MessageView::parse(&record).unwrap(),
                sequence: Sequence(sequence.unsigned_abs()),
                redeliveries: 0,
                destination: None,
                unix_millis: 0,
            };
            let outcome =
                client.session.dispatch(opened.unwrap(), &delivery.outbound(), &mut client.handles, &mut client.output);
            assert_eq!(outcome.is_err(), content > 69_500, "{content}: {outcome:?}");
            assert!(outcome.is_err() || !client.output.is_empty());
            let said = client.read();
            came.extend(said.iter().map(|said| {
                let message = said.object(message_dispatch::MESSAGE).unwrap();
                assert_eq!(message.object(message::DESTINATION), Some(&queue("some.queue")));
                message.bytes(message::CONTENT).unwrap().len()
            }));
        }
        assert_eq!(came, [100, 100, 10, 69_000]);
    }
}
