//! Consumers that want few of a queue's messages: how soon they get them, how often a message is tried, and what that takes from others.
//! By default of a size that every run affords; `POSTRIDER_BEHIND=MESSAGES` and `POSTRIDER_CORRELATED=CONSUMERS,MESSAGES` say others, for
//! figures with `--release` (`-- selecting --nocapture --test-threads 1`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use crate::client::{Client, agreed, queue};
use crate::process::Broker;

/// A queue of `postrider bench`.
const QUEUE: &str = "bench-0";

/// Messages from which on times are held against what they are to be.
const MEASURED: u64 = 1_000_000;

fn size(name: &str, default: &str) -> Vec<u64> {
    let said = std::env::var(name).unwrap_or_else(|_| default.into());
    said.split(',').map(|number| number.parse().expect("numbers")).collect()
}

fn start(directory: &Path, budget: u64) -> (Broker, Client) {
    fs::write(directory.join("c.toml"), format!("data_dir = 'data'\n[journal]\ndisk_budget_bytes = {budget}\n"))
        .unwrap();
    let arguments = ["serve", "--config", "c.toml", "--cores", "1", "--listen", "openwire://127.0.0.1:0"];
    let mut broker = Broker::start(directory, &arguments);
    let mut client = Client::connect(broker.address(), "ID:selecting");
    client.socket.set_nodelay(true).expect("it is TCP");
    agreed(client.ask(&client.session()));
    (broker, client)
}

fn selecting(client: &Client, value: i64, prefetch: i32, selector: &str) -> Structure {
    client.consume(value, queue(QUEUE), prefetch).with(consumer_info::SELECTOR, selector)
}

/// A message with a property `n`.
fn numbered(client: &Client, sequence: u64, n: i32) -> Structure {
    let mut properties = b"\0\0\0\x01\0\x01n\x05".to_vec();
    properties.extend_from_slice(&n.to_be_bytes());
    let message = client.message(QUEUE, sequence as i64, &[b'x'; 64]);
    message.with(message::MARSHALLED_PROPERTIES, Value::bytes(&properties))
}

fn send_all(client: &mut Client, messages: impl Iterator<Item = Structure>) {
    for (number, message) in messages.enumerate() {
        if number % 5_000 == 4_999 {
            agreed(client.ask(&message));
        } else {
            client.put(&message);
        }
    }
    let last = numbered(client, 1 << 40, 0).with(message::DESTINATION, queue("end"));
    agreed(client.ask(&last));
}

fn id_of(message: &Structure) -> Arc<Structure> {
    message.object(message::MESSAGE_ID).expect("an id").clone()
}

/// Deliveries a second of a load that nobody disturbs but who tries what is there. All that it sends is for who wants it.
fn rate(address: std::net::SocketAddr) -> f64 {
    let output = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .args(["bench", &address.to_string(), "--non-persistent", "--window", "100", "--selector", "color = 'red'"])
        .args(["--property", "color=red", "--seconds", "4", "--warm-up", "0.5", "--json"])
        .output()
        .expect("it runs");
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report} {}", String::from_utf8_lossy(&output.stderr));
    let (_, rest) = report.split_once("\"delivery_rate\":").expect("a rate");
    rest.split([',', '}']).next().and_then(|rate| rate.parse().ok()).expect("a number")
}

/// Tries all that is there for one new selector after the other, until it is to end; for how many.
fn try_all(address: std::net::SocketAddr, ends: &AtomicBool) -> u64 {
    let mut client = Client::connect(address, "ID:newcomers");
    client.socket.set_read_timeout(Some(Duration::from_secs(600))).expect("a timeout");
    agreed(client.ask(&client.session()));
    let mut tried = 0;
    while !ends.load(Ordering::Relaxed) {
        tried += 1;
        let info = selecting(&client, tried, 0, &format!("n = {}", 1_000_000 + tried));
        agreed(client.ask(&info));
        client.send(
            &Structure::new(&message_pull::DEFINITION)
                .with(message_pull::CONSUMER_ID, client.consumer(tried))
                .with(message_pull::DESTINATION, queue(QUEUE))
                .with(message_pull::TIMEOUT, -1_i64),
        );
        while !client.read().expect("an answer to the pull").is(&message_dispatch::DEFINITION) {}
        agreed(client.ask(&client.close(tried)));
    }
    tried as u64
}

#[test]
fn what_few_want_is_found_once_and_what_comes_then_at_once() {
    let messages = size("POSTRIDER_BEHIND", "5000")[0];
    let directory = tempfile::tempdir().unwrap();
    let (mut broker, mut client) = start(directory.path(), messages * 1_000 + (1 << 30));
    client.socket.set_read_timeout(Some(Duration::from_secs(600))).expect("a timeout");
    let template = Client::connect(address_of(&client), "ID:template");
    send_all(&mut client, (0..messages).map(|number| numbered(&template, number, -1)));
    send_all(&mut client, std::iter::once(numbered(&template, messages, 1)));

    let begin = Instant::now();
    agreed(client.ask(&selecting(&client, 1, 10, "n = 1")));
    let first = client.next();
    let found = begin.elapsed();
    client.send(&client.acknowledge(1, queue(QUEUE), &[id_of(&first)]));
    let tried = broker.counters()("evaluations");
    println!("one match behind {messages} others is there after {found:?}, {tried} evaluations");
    assert_eq!(tried, messages + 1, "one for each message");

    for (persistent, kind, first) in [(true, "persistent", messages + 1), (false, "non-persistent", messages + 1_001)] {
        let mut times: Vec<Duration> = Vec::new();
        for number in first..first + 1_000 {
            let message = numbered(&template, number, 1).with(message::PERSISTENT, persistent);
            let begin = Instant::now();
            client.send(&message);
            let got = client.next();
            times.push(begin.elapsed());
            client.send(&client.acknowledge(1, queue(QUEUE), &[id_of(&got)]));
        }
        times.sort_unstable();
        let [half, most, all] = [500, 990, 999].map(|at| times[at]);
        println!("1,000 further {kind} ones: half within {half:?}, 99 % within {most:?}, all within {all:?}");
        assert_eq!(broker.counters()("evaluations"), first + 1_000, "one for each message");
        // The disk has its part in the others, and the machine in the rest.
        assert!(messages < MEASURED || persistent || half <= Duration::from_millis(5), "within 5 ms");
    }
    if messages >= MEASURED {
        others_keep_their_rate(&mut broker, &mut client);
    }
}

fn address_of(client: &Client) -> std::net::SocketAddr {
    client.socket.peer_addr().expect("connected")
}

/// In turns without and beside newcomers that have all tried.
fn others_keep_their_rate(broker: &mut Broker, client: &mut Client) {
    // Their view is there already, and has tried all.
    agreed(client.ask(&selecting(client, 2, 0, "color = 'red'")));
    let address = address_of(client);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    rate(address);
    for _ in 0..5 {
        alone.push(rate(address));
        let ends = AtomicBool::new(false);
        let before = broker.counters()("evaluations");
        std::thread::scope(|scope| {
            let newcomers = scope.spawn(|| try_all(address, &ends));
            std::thread::sleep(Duration::from_millis(200));
            beside.push(rate(address));
            let tried = broker.counters()("evaluations") - before;
            ends.store(true, Ordering::Relaxed);
            println!(
                "alone {:?}/s, beside newcomers {:?}/s, {tried} evaluations meanwhile",
                alone.last(),
                beside.last()
            );
            newcomers.join().expect("all are tried");
        });
    }
    alone.sort_by(f64::total_cmp);
    beside.sort_by(f64::total_cmp);
    let part = beside[2] / alone[2];
    println!("others keep {:.1} % of their rate", part * 100.0);
    assert!(part >= 0.9, "{part}");
}

/// Processor time of the broker that each message takes: consumers that each wait for a correlation id of their own.
fn correlated(consumers: u64, messages: u64) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let (mut broker, mut client) = start(directory.path(), messages * 1_000 + (1 << 30));
    for number in 0..consumers {
        agreed(client.ask(&selecting(&client, number as i64, 1_000, &format!("JMSCorrelationID = 'c{number}'"))));
    }
    let template = Client::connect(address_of(&client), "ID:template");
    let before = broker.processor_time();
    for first in (0..messages).step_by(500) {
        let numbers = first..messages.min(first + 500);
        for number in numbers.clone() {
            let to = format!("c{}", number % consumers);
            client.put(
                &numbered(&template, number, 1).with(message::CORRELATION_ID, &*to).with(message::PERSISTENT, false),
            );
        }
        for number in numbers {
            let (got, value) = (client.next(), (number % consumers) as i64);
            assert_eq!(got.string(message::CORRELATION_ID), Some(format!("c{value}").as_bytes()));
            client.put(&client.acknowledge(value, queue(QUEUE), &[id_of(&got)]));
        }
    }
    agreed(client.ask(&client.close(0)));
    let taken = broker.processor_time() - before;
    assert_eq!(broker.counters()("evaluations"), messages, "one for each message");
    taken / u32::try_from(messages).expect("not so many")
}

#[test]
fn very_many_that_wait_for_a_text_each_cost_a_message_what_one_does() {
    let sizes = size("POSTRIDER_CORRELATED", "300,600");
    let (consumers, messages) = (sizes[0], sizes[1]);
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..if messages >= 100_000 { 3 } else { 1 } {
        one.push(correlated(1, messages));
        many.push(correlated(consumers, messages));
    }
    println!("processor time a message: one consumer {one:?}, {consumers} consumers {many:?}");
    one.sort_unstable();
    many.sort_unstable();
    assert!(messages < 100_000 || many[1] <= 2 * one[1]);
}
