//! Durable subscribers that are away for long: what they take of memory and of the log, and what they get. By default of a size that every
//! run affords; `POSTRIDER_AWAY=SUBSCRIPTIONS,MESSAGES` says another.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::*;

use crate::client::{Client, agreed, topic};
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
    agreed(client.ask(&client.session()));
    (broker, client)
}

/// A consumer attaches to a subscription.
fn attach(client: &mut Client, value: i64, name: u64) {
    let info = client.consume(value, topic("T"), 1_000).with(consumer_info::SUBSCRIPTION_NAME, &*format!("s{name}"));
    // What comes before the answer is read as it comes.
    client.send(&info.with(base_command::COMMAND_ID, 1_000_000));
}

fn detach(client: &mut Client, value: i64) {
    client.send(&client.close(value));
}

fn send_all(client: &mut Client, range: std::ops::Range<u64>) {
    let mut body = vec![b'x'; BODY_BYTES];
    for number in range {
        body[..8].copy_from_slice(&number.to_le_bytes());
        let message = client.message("", number as i64, &body).with(message::DESTINATION, topic("T"));
        if number % 5_000 == 4_999 {
            agreed(client.ask(&message));
        } else {
            client.put(&message);
        }
    }
}

/// Takes so many, in order, and acknowledges them.
fn take_all(client: &mut Client, value: i64, messages: u64) {
    let mut range: Vec<Arc<Structure>> = Vec::new();
    for number in 0..messages {
        let message = client.next();
        let content = message.bytes(message::CONTENT).expect("a body");
        assert_eq!(content[..8], number.to_le_bytes(), "message {number} is the next");
        range.push(message.object(message::MESSAGE_ID).expect("an id").clone());
        if range.len() == 300 || number + 1 == messages {
            client.send(&client.acknowledge(value, topic("T"), &range));
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
    let before = broker.resident_bytes();
    let begin = Instant::now();
    send_all(&mut client, first..messages);
    let sent = begin.elapsed();
    let known = broker.counters();
    let grown = broker.resident_bytes().saturating_sub(before);
    let each = grown as f64 / (messages - first) as f64;
    println!(
        "{subscriptions} subscriptions, {messages} messages: {each:.1} bytes of memory a message, {} of the log; {} sent in {sent:?}",
        known("log_bytes") / messages,
        messages - first
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
    let (log, live) = broker.log_settles(8 * SEGMENT_BYTES);
    println!("one is left: the log has {log} bytes, of which {live} live");
    broker.signal("KILL");
    broker.end();
    let (mut broker, mut client) = start(directory.path());
    for name in 0..(subscriptions - 1).min(2) {
        attach(&mut client, (2_000 + name) as i64, name);
        detach(&mut client, (2_000 + name) as i64);
    }
    attach(&mut client, 3_000, subscriptions - 1);
    let begin = Instant::now();
    take_all(&mut client, 3_000, messages);
    println!("the last one has got all of it in {:?}", begin.elapsed());
    let end = Instant::now() + Duration::from_secs(20);
    // What is left are the subscriptions' own records and what producers are remembered by.
    loop {
        let live = broker.counters()("live_bytes");
        if live <= 10_000 + 200 * subscriptions {
            break;
        }
        assert!(Instant::now() < end, "all of it is acknowledged: {live} bytes live");
        std::thread::sleep(Duration::from_millis(200));
    }
}
