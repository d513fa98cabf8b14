//! Somebody who sends to as many places as may be, or before as many selectors, as fast as the broker takes it: how long a message of a quiet
//! queue takes beside that. By default for a moment; `POSTRIDER_FANOUT=SECONDS` says how long each of many times. What else the machine does
//! makes some of them slower, and none quicker: the best quarter counts.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use crate::client::{Client, agreed, queue, topic};
use crate::process::Broker;

/// Sends that are answered together.
const BATCH: i64 = 256;

/// Times that each is measured, alone and beside.
const TIMES: usize = 20;

/// Between two messages of the quiet queue.
const PAUSE: Duration = Duration::from_millis(2);

/// What half of them may take. Of 99 of 100 this holds where the machine does nothing else.
const MOST: Duration = Duration::from_millis(5);

/// Messages of a quiet queue, at a rate of their own: how long half of them take from when they are due, and 99 of 100.
fn quiet(client: &mut Client, lasting: Duration) -> (Duration, Duration) {
    let mut taken = Vec::new();
    let begin = Instant::now();
    let mut due = begin;
    while begin.elapsed() < lasting {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        client.send(&client.message("quiet", 0, b"x").with(message::PERSISTENT, false));
        let id = client.next().object(message::MESSAGE_ID).expect("an id").clone();
        taken.push(due.elapsed());
        client.send(&client.acknowledge(1, queue("quiet"), &[id]));
        due += PAUSE;
    }
    taken.sort();
    (taken[taken.len() / 2], taken[taken.len() * 99 / 100])
}

/// A destination of so many parts.
fn composite(of: impl Fn(&str) -> Structure, name: &str, parts: usize) -> Structure {
    let names: Vec<String> = (0..parts).map(|part| format!("{name}{part}")).collect();
    of(&names.join(","))
}

fn selector(number: i64) -> String {
    format!("color LIKE '%e%' AND JMSPriority + {number} < 0 AND color <> 'none' OR FALSE")
}

/// A thousand consumers, each with a selector of its own.
fn select(client: &mut Client, of: &Structure) {
    for number in 0..1_000 {
        let info = client.consume(number, of.clone(), 10);
        agreed(client.ask(&info.with(consumer_info::SELECTOR, &*selector(number))));
    }
}

/// Its name, who makes the places, and what is sent to.
type Case = (&'static str, fn(&mut Client), fn() -> Structure);

const CASES: [Case; 4] = [
    (
        "64 topics of 64 subscriptions each",
        |client| {
            for number in 0..64 {
                let info = client.consume(number, composite(topic, "T", 64), 1);
                agreed(client.ask(&info.with(consumer_info::SUBSCRIPTION_NAME, &*format!("s{number}"))));
                agreed(client.ask(&client.close(number)));
            }
        },
        || composite(topic, "T", 64),
    ),
    ("64 queues", |_| {}, || composite(queue, "Q", 64)),
    ("1,000 selectors of a queue", |client| select(client, &queue("selected")), || queue("selected")),
    ("1,000 selectors of a topic", |client| select(client, &topic("selected")), || topic("selected")),
];

#[test]
fn a_quiet_queue_stays_quick_beside_it() {
    let said = std::env::var("POSTRIDER_FANOUT").ok();
    let lasting = said.as_ref().map_or(0.02, |seconds| seconds.parse().expect("a number"));
    let lasting = Duration::from_secs_f64(lasting);
    let mut missed = false;
    for (what, prepare, to) in CASES {
        let directory = tempfile::tempdir().unwrap();
        let config = "data_dir = 'data'\n[journal]\nsegment_bytes = 16777216\nhot_bytes = 67108864\ndisk_budget_bytes = 6000000000\n";
        fs::write(directory.path().join("c.toml"), config).unwrap();
        let mut broker = Broker::start(
            directory.path(),
            &["serve", "--config", "c.toml", "--cores", "1", "--listen", "openwire://127.0.0.1:0"],
        );
        let address = broker.address();
        let [mut other, mut client] = ["ID:quiet", "ID:many"].map(|id| Client::connect(address, id));
        agreed(other.ask(&other.session()));
        agreed(client.ask(&client.session()));
        agreed(other.ask(&other.consume(1, queue("quiet"), 10)));
        prepare(&mut client);
        let properties = Value::bytes(&[0, 0, 0, 1, 0, 5, b'c', b'o', b'l', b'o', b'r', 9, 0, 3, b'r', b'e', b'd']);
        let (stop, pause) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let sender = std::thread::spawn({
            let (stop, pause) = (stop.clone(), pause.clone());
            move || {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    if pause.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    for number in 1..=BATCH {
                        let message = client
                            .message("", sent + number, b"x")
                            .with(message::DESTINATION, to())
                            .with(message::MARSHALLED_PROPERTIES, properties.clone());
                        if number == BATCH {
                            agreed(client.ask(&message));
                        } else {
                            client.put(&message);
                        }
                    }
                    sent += BATCH;
                }
                sent
            }
        });
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            for (is_alone, into) in [(true, &mut alone), (false, &mut beside)] {
                pause.store(is_alone, Ordering::Relaxed);
                into.push(quiet(&mut other, lasting));
            }
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().expect("all of it is taken");
        let best = |mut taken: Vec<(Duration, Duration)>| {
            taken.sort();
            let half = taken[TIMES / 4].0;
            taken.sort_by_key(|(_, nearly_all)| *nearly_all);
            (half, taken[TIMES / 4].1)
        };
        let (alone, beside) = (best(alone), best(beside));
        println!(
            "{what}: {sent} sends; half of the messages beside them, and 99 of 100, took {beside:?}, alone {alone:?}"
        );
        assert!(sent > 0);
        missed |= said.is_some() && beside.0 > alone.0 + MOST;
    }
    assert!(!missed, "half of the messages of a quiet queue are to wait no longer than {MOST:?}");
}
