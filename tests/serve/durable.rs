//! Durable subscribers that are away for long: what they take of memory and of the log, and what they get. By default of a size that every
//! run affords; `POSTRIDER_AWAY=SUBSCRIPTIONS,MESSAGES` says another.

use std::fs;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use crate::client::Client;
use crate::process::Broker;

const BODY_BYTES: usize = 1_024;
const SEGMENT_BYTES: u64 = 4 << 20;

/// What places and headers of a message take in the log beside its body, at most, and each subscription.
const HEAD_BYTES: u64 = 300;
const PLACE_BYTES: u64 = 8;

/// Messages from which on memory is measured: what the log keeps in memory is full by then.
const MEASURED: u64 = 200_000;

fn size() -> (u64, u64) {
    let said = std::env::var("POSTRIDER_AWAY").unwrap_or_else(|_| "5,3000".into());
    let (subscriptions, messages) = said.split_once(',').expect("SUBSCRIPTIONS,MESSAGES");
    (subscriptions.parse().expect("a number"), messages.parse().expect("a number"))
}

fn start(directory: &Path) -> (Broker, Client) {
    let mut broker = Broker::start(
        directory,
        &["serve", "--config", "c.toml", "--cores", "1", "--listen", "openwire://127.0.0.1:0"],
    );
    let mut client = Client::connect(broker.address(), "ID:durable");
    let session = Structure::new(&session_id::DEFINITION)
        .with(session_id::CONNECTION_ID, "ID:durable")
        .with(session_id::VALUE, 1_i64);
    client.ask(&Structure::new(&session_info::DEFINITION).with(session_info::SESSION_ID, session)).expect("a session");
    (broker, client)
}

/// A number that the broker's line of counters says.
fn counters(broker: &mut Broker) -> impl Fn(&str) -> u64 + use<> {
    broker.signal("USR1");
    let mut line = String::new();
    while !line.contains("counters:") {
        line.clear();
        assert!(broker.log.read_line(&mut line).expect("readable log") > 0, "it ended");
    }
    move |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=")).expect("the counter is there");
        rest.split(' ').next().and_then(|number| number.trim().parse().ok()).expect("a number")
    }
}

fn resident_bytes(broker: &Broker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

fn consumer_of(value: i64) -> Structure {
    Structure::new(&consumer_id::DEFINITION)
        .with(consumer_id::CONNECTION_ID, "ID:durable")
        .with(consumer_id::SESSION_ID, 1_i64)
        .with(consumer_id::VALUE, value)
}

fn topic() -> Structure {
    Structure::new(&active_mq_topic::DEFINITION).with(active_mq_topic::PHYSICAL_NAME, "T")
}

/// A consumer attaches to a subscription.
fn attach(client: &mut Client, value: i64, name: u64) {
    let info = Structure::new(&consumer_info::DEFINITION)
        .with(consumer_info::CONSUMER_ID, consumer_of(value))
        .with(consumer_info::DESTINATION, topic())
        .with(consumer_info::PREFETCH_SIZE, 1_000)
        .with(consumer_info::SUBSCRIPTION_NAME, &*format!("s{name}"));
    // What comes before the answer is read as it comes.
    client.send(&info.with(base_command::COMMAND_ID, 1_000_000));
}

fn detach(client: &mut Client, value: i64) {
    client.send(
        &Structure::new(&remove_info::DEFINITION)
            .with(remove_info::OBJECT_ID, consumer_of(value))
            .with(remove_info::LAST_DELIVERED_SEQUENCE_ID, -1_i64),
    );
}

fn send_all(client: &mut Client, range: std::ops::Range<u64>) {
    let mut body = vec![b'x'; BODY_BYTES];
    for number in range {
        body[..8].copy_from_slice(&number.to_le_bytes());
        let message = client
            .message("", number as i64, &body)
            .with(message::DESTINATION, topic())
            .with(message::CONTENT, Value::bytes(&body));
        if number % 500 == 499 {
            let answer = client.ask(&message).expect("the connection goes on");
            assert!(answer.is(&response::DEFINITION), "{answer:?}");
        } else {
            client.send(&message);
        }
    }
}

/// Takes so many, in order, and acknowledges them.
fn take_all(client: &mut Client, value: i64, messages: u64) {
    let mut range: Vec<Arc<Structure>> = Vec::new();
    for number in 0..messages {
        let dispatch = loop {
            let frame = client.read().expect("a message");
            assert!(!frame.is(&exception_response::DEFINITION), "{frame:?}");
            if frame.is(&message_dispatch::DEFINITION) {
                break frame;
            }
        };
        let message = dispatch.object(message_dispatch::MESSAGE).expect("a message");
        let content = message.bytes(message::CONTENT).expect("a body");
        assert_eq!(content[..8], number.to_le_bytes(), "message {number} is the next");
        range.push(message.object(message::MESSAGE_ID).expect("an id").clone());
        if range.len() == 300 || number + 1 == messages {
            client.send(
                &Structure::new(&message_ack::DEFINITION)
                    .with(message_ack::CONSUMER_ID, consumer_of(value))
                    .with(message_ack::DESTINATION, topic())
                    .with(message_ack::ACK_TYPE, 2_i8)
                    .with(message_ack::FIRST_MESSAGE_ID, range.first().cloned())
                    .with(message_ack::LAST_MESSAGE_ID, range.last().cloned())
                    .with(message_ack::MESSAGE_COUNT, range.len() as i32),
            );
            range.clear();
        }
    }
}

#[test]
fn many_that_are_away_share_what_is_stored_and_get_all_of_it() {
    let (subscriptions, messages) = size();
    let directory = tempfile::tempdir().unwrap();
    let needed = messages * (BODY_BYTES as u64 + HEAD_BYTES + PLACE_BYTES * subscriptions);
    let budget = 6 * needed + (256 << 20);
    let config = format!(
        "data_dir = 'data'\n[journal]\nsegment_bytes = {SEGMENT_BYTES}\nhot_bytes = {}\ndisk_budget_bytes = {budget}\n",
        4 * SEGMENT_BYTES
    );
    fs::write(directory.path().join("c.toml"), config).unwrap();
    let (mut broker, mut client) = start(directory.path());
    for name in 0..subscriptions {
        attach(&mut client, name as i64, name);
        detach(&mut client, name as i64);
    }
    let first = messages / 4;
    send_all(&mut client, 0..first);
    let before = resident_bytes(&broker);
    send_all(&mut client, first..messages);
    let known = counters(&mut broker);
    let grown = resident_bytes(&broker).saturating_sub(before);
    let each = grown as f64 / (messages - first) as f64;
    println!(
        "{subscriptions} subscriptions, {messages} messages: {each:.1} bytes of memory a message, {} of the log",
        known("log_bytes") / messages
    );
    assert!(known("log_bytes") <= needed + 8 * SEGMENT_BYTES, "a body is in the log once: {}", known("log_bytes"));
    if messages >= MEASURED {
        let most = (100 + 5 * (subscriptions - 1)) as f64;
        assert!(each <= most, "{each} bytes of memory a message are more than {most}");
    }
    for name in 0..subscriptions - 1 {
        attach(&mut client, (1_000 + name) as i64, name);
        take_all(&mut client, (1_000 + name) as i64, messages);
        detach(&mut client, (1_000 + name) as i64);
    }
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let known = counters(&mut broker);
        let (log, live) = (known("log_bytes"), known("live_bytes"));
        if log <= 3 * live + 8 * SEGMENT_BYTES {
            println!("one is left: the log has {log} bytes, of which {live} live");
            break;
        }
        assert!(Instant::now() < end, "the log has {log} bytes, of which {live} live");
        std::thread::sleep(Duration::from_millis(200));
    }
    broker.signal("KILL");
    broker.end();
    let (mut broker, mut client) = start(directory.path());
    for name in [0, subscriptions - 2] {
        attach(&mut client, (2_000 + name) as i64, name);
        detach(&mut client, (2_000 + name) as i64);
    }
    attach(&mut client, 3_000, subscriptions - 1);
    take_all(&mut client, 3_000, messages);
    let end = Instant::now() + Duration::from_secs(20);
    while counters(&mut broker)("live_bytes") > 10_000 {
        assert!(Instant::now() < end, "all of it is acknowledged");
        std::thread::sleep(Duration::from_millis(200));
    }
}
