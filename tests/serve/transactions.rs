//! Large transactions, and many of them: what they leave in the log and take of memory, and that a crash leaves all of one or nothing.
//! By default of a size that every run affords. `POSTRIDER_TRANSACTION=MIB` says how long one is that is decided in each way,
//! `POSTRIDER_OPEN=TRANSACTIONS` how many are open at a time, `POSTRIDER_COMMIT=MESSAGES` how many are in one that a crash meets,
//! `POSTRIDER_LATE=MESSAGES` in one that has subscriptions behind it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::*;

use crate::client::{BEGIN, COMMIT, Client, ROLLBACK, agreed, queue, topic};
use crate::process::Broker;

/// A transaction is as long as so many segments.
const SEGMENTS: u64 = 16;

const BODY_BYTES: usize = 4_096;

/// What a message of these takes in the log beside its body, at most.
const HEAD_BYTES: u64 = 300;

const PREFETCH: i32 = 1_000;

/// The largest that a Java client asks for.
const MOST: i32 = 32_766;

/// Memory that an open transaction of one message may take.
const OPEN_BYTES: u64 = 1_024;

/// Open ones from which on their memory is measured.
const MEASURED: u64 = 10_000;

fn size(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |said| said.parse().unwrap_or_else(|_| panic!("{name} is a number, not {said}")))
}

/// What may be uncommitted is an eighth of the budget.
fn configure(directory: &Path, segment_bytes: u64, hot_segments: u64, transaction_bytes: u64) {
    let budget = 10 * transaction_bytes + 100 * segment_bytes;
    let hot = hot_segments * segment_bytes;
    let config = format!(
        "data_dir = 'data'\n[journal]\nsegment_bytes = {segment_bytes}\nhot_bytes = {hot}\ndisk_budget_bytes = {budget}\n"
    );
    fs::write(directory.join("c.toml"), config).unwrap();
}

fn start(directory: &Path, id: &str) -> (Broker, Client) {
    let mut broker = Broker::start(
        directory,
        &["serve", "--config", "c.toml", "--cores", "1", "--listen", "openwire://127.0.0.1:0"],
    );
    let client = connect(&mut broker, id);
    (broker, client)
}

fn connect(broker: &mut Broker, id: &str) -> Client {
    let mut client = Client::connect(broker.address(), id);
    agreed(client.ask(&client.session()));
    client
}

/// Sends so many, the first of them with the number 0, and waits for one in 5,000.
fn send_all(client: &mut Client, name: &str, transaction: i64, messages: u64, body: &mut [u8]) {
    let within = client.transaction(transaction);
    for number in 0..messages {
        body[..8].copy_from_slice(&number.to_le_bytes());
        let message = client.message(name, number as i64, body).with(message::TRANSACTION_ID, within.clone());
        if number % 5_000 == 4_999 || number + 1 == messages {
            agreed(client.ask(&message));
        } else {
            client.put(&message);
        }
    }
}

/// Takes so many within a transaction, in order, as the Java client does: it says what it has got, and acknowledges all of it at the end.
fn take_all(client: &mut Client, value: i64, name: &str, transaction: i64, messages: u64) {
    let mut ids: Vec<Arc<Structure>> = Vec::new();
    let mut said = 0;
    for number in 0..messages {
        let message = client.next();
        assert_eq!(message.bytes(message::CONTENT).expect("a body")[..8], number.to_le_bytes(), "the next is {number}");
        ids.push(message.object(message::MESSAGE_ID).expect("an id").clone());
        if ids.len() - said == PREFETCH as usize / 2 {
            let delivered = client.acknowledge(value, queue(name), &ids[said..]).with(message_ack::ACK_TYPE, 0_i8);
            client.send(&delivered.with(message_ack::TRANSACTION_ID, client.transaction(transaction)));
            said = ids.len();
        }
    }
    let acknowledge = client.acknowledge(value, queue(name), &ids);
    client.send(&acknowledge.with(message_ack::TRANSACTION_ID, client.transaction(transaction)));
}

/// Somebody else, who sends and receives a message of a queue again and again: how long that takes at most, and nearly always.
fn beside(client: &mut Client, until: &AtomicBool) -> (Duration, Duration) {
    agreed(client.ask(&client.consume(1, queue("beside"), 10)));
    let mut taken = Vec::new();
    for number in 0.. {
        if until.load(Ordering::Relaxed) {
            break;
        }
        let begin = Instant::now();
        client.send(&client.message("beside", number, b"x").with(message::PERSISTENT, false));
        let id = client.next().object(message::MESSAGE_ID).expect("an id").clone();
        taken.push(begin.elapsed());
        client.send(&client.acknowledge(1, queue("beside"), &[id]));
        std::thread::sleep(Duration::from_millis(1));
    }
    taken.sort();
    (taken[taken.len() - 1], taken[taken.len() * 99 / 100])
}

#[test]
fn one_of_many_segments_is_decided_in_each_way() {
    let bytes = size("POSTRIDER_TRANSACTION", 16) << 20;
    let segment_bytes = bytes / SEGMENTS;
    let messages = bytes / BODY_BYTES as u64;
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), segment_bytes, 4, bytes + messages * HEAD_BYTES);
    let (mut broker, mut client) = start(directory.path(), "ID:large");
    let mut body = vec![b'x'; BODY_BYTES];
    let stop = Arc::new(AtomicBool::new(false));
    let mut other = Client::connect(client.socket.peer_addr().expect("connected"), "ID:beside");
    agreed(other.ask(&other.session()));
    let watch = std::thread::spawn({
        let stop = stop.clone();
        move || beside(&mut other, &stop)
    });

    let say = |what: &str, begin: Instant, (log, live): (u64, u64)| {
        println!("{messages} messages, {what} in {:?}: the log has {log} bytes, of which {live} live", begin.elapsed());
    };
    agreed(client.ask(&client.transact(1, BEGIN)));
    send_all(&mut client, "Q", 1, messages, &mut body);
    let begin = Instant::now();
    agreed(client.ask(&client.transact(1, ROLLBACK)));
    say("rolled back", begin, broker.log_settles(8 * segment_bytes));

    agreed(client.ask(&client.transact(2, BEGIN)));
    send_all(&mut client, "Q", 2, messages, &mut body);
    assert!(broker.counters()("live_bytes") > bytes, "what is not decided lives");
    let address = client.socket.peer_addr().expect("connected");
    drop(client);
    let begin = Instant::now();
    while broker.counters()("live_bytes") > bytes / 2 {
        assert!(begin.elapsed() < Duration::from_secs(60), "it goes with its connection");
        std::thread::sleep(Duration::from_millis(50));
    }
    say("gone with its connection", begin, broker.log_settles(8 * segment_bytes));

    let mut client = Client::connect(address, "ID:large");
    agreed(client.ask(&client.session()));
    agreed(client.ask(&client.transact(3, BEGIN)));
    send_all(&mut client, "Q", 3, messages, &mut body);
    let begin = Instant::now();
    agreed(client.ask(&client.transact(3, COMMIT)));
    say("committed", begin, broker.log_settles(8 * segment_bytes));
    stop.store(true, Ordering::Relaxed);
    let (most, nearly) = watch.join().expect("it is served");
    println!("beside it a message of another queue came back in {nearly:?} (99 %), {most:?} at most");
    broker.signal("KILL");
    broker.end();

    let (mut broker, mut client) = start(directory.path(), "ID:large");
    agreed(client.ask(&client.transact(4, BEGIN)));
    client.send(&client.consume(1, queue("Q"), PREFETCH));
    take_all(&mut client, 1, "Q", 4, messages);
    let begin = Instant::now();
    agreed(client.ask(&client.transact(4, COMMIT)));
    say("consumed", begin, broker.log_settles(8 * segment_bytes));
    assert!(broker.counters()("live_bytes") < bytes / 100, "nothing is left");
}

/// Five come between the sends and the COMMIT.
#[test]
fn who_subscribes_before_a_large_commit_holds_nobody() {
    let messages = size("POSTRIDER_LATE", 10_000);
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), 16 << 20, 4, messages * (64 + HEAD_BYTES));
    let (mut broker, mut client) = start(directory.path(), "ID:late");
    let stop = Arc::new(AtomicBool::new(false));
    let mut other = Client::connect(client.socket.peer_addr().expect("connected"), "ID:beside");
    agreed(other.ask(&other.session()));
    agreed(client.ask(&client.transact(1, BEGIN)));
    let within = client.transaction(1);
    for number in 0..messages {
        let message = client.message("", number as i64, &[b'x'; 64]).with(message::DESTINATION, topic("T"));
        client.put(&message.with(message::TRANSACTION_ID, within.clone()));
    }
    for number in 0..5 {
        let name = &*format!("s{number}");
        let info = client.consume(number, topic("T"), 1).with(consumer_info::SUBSCRIPTION_NAME, name);
        agreed(client.ask(&info));
    }
    let watch = std::thread::spawn({
        let stop = stop.clone();
        move || beside(&mut other, &stop)
    });
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    agreed(client.ask(&client.transact(1, COMMIT)));
    let took = begin.elapsed();
    stop.store(true, Ordering::Relaxed);
    let (most, nearly) = watch.join().expect("it is served");
    println!(
        "{messages} messages for five that came late, committed in {took:?}: beside it {nearly:?} (99 %), {most:?} at most"
    );
    let known = broker.counters();
    assert!(known("live_bytes") > 64 * messages, "all of them have it");
}

#[test]
fn open_ones_take_little_memory() {
    let transactions = size("POSTRIDER_OPEN", 1_000);
    assert!(transactions <= MOST as u64, "what is received in them has to be in flight at a time");
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), 1 << 20, 4, transactions * 1_024);
    let (mut broker, mut client) = start(directory.path(), "ID:open");
    let mut body = [b'x'; 16];
    for number in 0..transactions {
        client.put(&client.message("in", number as i64, &[b'y'; 16]));
    }
    client.send(&client.consume(1, queue("in"), MOST));
    let taken: Vec<Arc<Structure>> =
        (0..transactions).map(|_| client.next().object(message::MESSAGE_ID).expect("an id").clone()).collect();
    let mut take = |client: &mut Client, range: std::ops::Range<u64>, receives: bool| {
        for number in range {
            let value = (2 * number + u64::from(receives)) as i64;
            client.put(&client.transact(value, BEGIN));
            let within = client.transaction(value);
            if receives {
                let id = std::slice::from_ref(&taken[number as usize]);
                client.put(&client.acknowledge(1, queue("in"), id).with(message_ack::TRANSACTION_ID, within));
            } else {
                body[..8].copy_from_slice(&number.to_le_bytes());
                client.put(&client.message("out", number as i64, &body).with(message::TRANSACTION_ID, within));
            }
        }
        agreed(client.ask(&client.session()));
    };
    for receives in [false, true] {
        take(&mut client, 0..transactions / 10, receives);
        let (resident, counted) = (broker.resident_bytes(), broker.counters()("client_bytes"));
        take(&mut client, transactions / 10..transactions, receives);
        let measured = transactions - transactions / 10;
        let resident = broker.resident_bytes().saturating_sub(resident) / measured;
        let counted = (broker.counters()("client_bytes") - counted) / measured;
        let what = if receives { "received" } else { "sent" };
        println!(
            "{transactions} open transactions of one message {what}: {resident} bytes of memory each, {counted} counted"
        );
        if transactions >= MEASURED {
            assert!(resident <= OPEN_BYTES, "{resident} bytes are more than {OPEN_BYTES}");
        }
    }
}

#[test]
fn a_crash_in_a_commit_leaves_all_or_nothing() {
    let messages = size("POSTRIDER_COMMIT", 4_000) / 2;
    let directory = tempfile::tempdir().unwrap();
    let mut body = vec![b'x'; 64];
    let bytes = messages * (body.len() as u64 + HEAD_BYTES);
    configure(directory.path(), 4 << 20, 4, 2 * bytes);
    // Half of a transaction is what it takes from one queue, half what it sends to the other one.
    let mut full = "A";
    let (mut broker, mut client) = start(directory.path(), "ID:crash");
    agreed(client.ask(&client.transact(1, BEGIN)));
    send_all(&mut client, full, 1, messages, &mut body);
    agreed(client.ask(&client.transact(1, COMMIT)));
    let mut whole = Duration::ZERO;
    let mut committed = 0;
    for part in [None, Some(0.0), Some(0.1), Some(0.25), Some(0.5), Some(0.75), Some(0.9), Some(1.0), Some(1.1)] {
        let empty = if full == "A" { "B" } else { "A" };
        agreed(client.ask(&client.transact(2, BEGIN)));
        client.send(&client.consume(1, queue(full), PREFETCH));
        take_all(&mut client, 1, full, 2, messages);
        send_all(&mut client, empty, 2, messages, &mut body);
        let commit = client.transact(2, COMMIT);
        match part {
            // The first is timed.
            None => {
                let begin = Instant::now();
                agreed(client.ask(&commit));
                whole = begin.elapsed();
            }
            Some(part) => {
                client.send(&commit.with(base_command::RESPONSE_REQUIRED, true));
                std::thread::sleep(whole.mul_f64(part));
            }
        }
        broker.signal("KILL");
        broker.end();
        let answered = part.is_none();
        (broker, client) = start(directory.path(), "ID:crash");
        let known = [full, empty].map(|name| depth(&mut client, name));
        match known {
            [0, there] if there == messages => {
                committed += 1;
                full = empty;
            }
            [there, 0] if there == messages && !answered => {}
            other => panic!("{other:?} of {messages} are in the two queues, answered: {answered}"),
        }
    }
    println!(
        "{messages} taken and {messages} sent in {whole:?}: {committed} of 9 commits were durable when the broker was killed"
    );
}

/// How many a browser sees, in order.
fn depth(client: &mut Client, name: &str) -> u64 {
    let info = client.consume(9, queue(name), PREFETCH).with(consumer_info::BROWSER, true);
    client.send(&info.with(base_command::COMMAND_ID, 1_000_000));
    let mut seen = 0;
    let mut ids: Vec<Arc<Structure>> = Vec::new();
    loop {
        let frame = client.read().unwrap_or_else(|error| panic!("{seen} of {name}, then {error}"));
        assert!(!frame.is(&exception_response::DEFINITION), "{frame:?}");
        if frame.is(&message_dispatch::DEFINITION) {
            let Some(message) = frame.object(message_dispatch::MESSAGE) else { break };
            let content = message.bytes(message::CONTENT).expect("a body");
            assert_eq!(content[..8], u64::to_le_bytes(seen), "the next is {seen}");
            seen += 1;
            ids.push(message.object(message::MESSAGE_ID).expect("an id").clone());
            if ids.len() == PREFETCH as usize / 2 {
                client.send(&client.acknowledge(9, queue(name), &ids).with(message_ack::ACK_TYPE, 0_i8));
                ids.clear();
            }
        }
    }
    client.send(&client.close(9));
    seen
}
