//! Clients that make the log say the same again and again: so many lines and no more, and none goes uncounted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::*;

use crate::client::Client;
use crate::process::{ANY_PORT, Broker};

const TIMES: usize = 300;

/// Lines that may come at once, as in `core/dispatcher/src/shard/complaints.rs`; then one a second.
const BURST: usize = 20;

/// The lines about connections that were closed, and how many were left out by their own account.
fn closed(log: &str) -> (usize, usize) {
    lines_about(log, "connection closed")
}

fn lines_about(log: &str, what: &str) -> (usize, usize) {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(what)).collect();
    let left_out = |line: &&str| -> usize {
        let number = line.split_once("left_out=").and_then(|(_, rest)| rest.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("how many were left out? {line}"))
    };
    (lines.len(), lines.iter().map(left_out).sum())
}

/// Does it again and again, then looks at the log.
fn flood(again: impl Fn(SocketAddr, usize)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &[&ANY_PORT[..], &["--cores", "1"]].concat());
    let address = broker.address();
    let begin = Instant::now();
    (0..TIMES).for_each(|time| again(address, time));
    // What comes after a while tells of those that were left out.
    std::thread::sleep(Duration::from_millis(1_100));
    again(address, TIMES);
    std::thread::sleep(Duration::from_millis(100));
    let seconds = begin.elapsed().as_secs() as usize + 1;
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0));
    let (lines, left_out) = closed(&log);
    assert!((2..=BURST + seconds).contains(&lines), "{lines} lines in {seconds} s");
    assert!((TIMES - 1..=TIMES + 1).contains(&(lines + left_out)), "{lines} lines, {left_out} left out");
    log
}

/// The broker closes the connection.
fn read_to_the_end(socket: &mut TcpStream) {
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut rest = Vec::new();
    // A reset is an end, too.
    let outcome = socket.read_to_end(&mut rest);
    assert!(outcome.is_ok() || !rest.is_empty(), "{outcome:?}");
}

#[test]
fn a_client_that_takes_its_own_connection_over_again_and_again() {
    let last = std::cell::RefCell::new(None::<Client>);
    let log = flood(|address, _| {
        let next = Client::connect(address, "ID:the-same");
        if let Some(mut before) = last.replace(Some(next)) {
            while before.read().is_ok() {}
        }
    });
    assert!(log.contains("its client has connected again"), "{log}");
}

#[test]
fn clients_that_speak_nonsense() {
    flood(|address, _| {
        let mut socket = TcpStream::connect(address).expect("it listens");
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        read_to_the_end(&mut socket);
    });
}

#[test]
fn frames_that_are_too_large() {
    let log = flood(|address, time| {
        let mut client = Client::connect(address, &format!("ID:{time}"));
        // Not a message: those are skipped, and their senders told.
        client.socket.write_all(&[0x7F, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0]).expect("it reads");
        while client.read().is_ok() {}
    });
    assert!(log.contains("2147483647"), "the size is named: {log}");
}

#[test]
fn messages_that_are_too_large_are_answered_and_not_logged() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.toml"), "cores = 1\n[openwire]\nmax_frame_bytes = 65536\n").unwrap();
    let mut broker = Broker::start(directory.path(), &[&ANY_PORT[..], &["--config", "c.toml"]].concat());
    let mut client = Client::connect(broker.address(), "ID:large");
    for sequence in 0..50 {
        let message = client.message("Q", sequence, &[0; 70_000]);
        let answer = client.ask(&message).expect("the connection goes on");
        assert!(answer.is(&exception_response::DEFINITION), "it is refused");
    }
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0));
    assert_eq!(closed(&log), (0, 0), "{log}");
}

/// A failover client that restores its consumers does not look at the answers.
#[test]
fn consumers_that_are_refused_are_lines_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &[&ANY_PORT[..], &["--cores", "1"]].concat());
    let mut client = Client::connect(broker.address(), "ID:refused");
    let session = Structure::new(&session_id::DEFINITION)
        .with(session_id::CONNECTION_ID, "ID:refused")
        .with(session_id::VALUE, 1_i64);
    client.ask(&Structure::new(&session_info::DEFINITION).with(session_info::SESSION_ID, session)).expect("a session");
    let begin = Instant::now();
    for value in 0..TIMES as i64 {
        let id = Structure::new(&consumer_id::DEFINITION)
            .with(consumer_id::CONNECTION_ID, "ID:refused")
            .with(consumer_id::SESSION_ID, 1_i64)
            .with(consumer_id::VALUE, value);
        let topic = Structure::new(&active_mq_topic::DEFINITION)
            .with(active_mq_topic::PHYSICAL_NAME, "ActiveMQ.Advisory.Connection");
        let consumer = Structure::new(&consumer_info::DEFINITION)
            .with(consumer_info::CONSUMER_ID, id)
            .with(consumer_info::DESTINATION, topic)
            .with(consumer_info::SUBSCRIPTION_NAME, "durable");
        let answer = client.ask(&consumer).expect("the connection goes on");
        assert!(answer.is(&exception_response::DEFINITION), "it is refused");
    }
    let seconds = begin.elapsed().as_secs() as usize + 1;
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0));
    let (lines, left_out) = lines_about(&log, "a consumer is refused");
    assert!(
        (BURST..=BURST + seconds).contains(&lines) && lines + left_out <= TIMES,
        "{lines} lines, {left_out} left out"
    );
    assert!(log.contains("reason=\"topic://ActiveMQ.Advisory.Connection cannot be subscribed to durably"), "{log}");
    assert!(log.contains(" client_bytes=") && log.contains(" pattern_bytes=0"), "{log}");
}
