//! What connections bring whose pause is over (decision 0019).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream as Socket};
use std::time::Duration;

use rustix::net::sockopt;

use super::endpoint::{Receive, Sending};
use super::{Uring, probe};
use crate::net::socket::reset_at_close;
use crate::net::{AT_ONCE_BYTES, CAREFUL_BYTES, Closing, Connection, Handler, ListenerIndex, Net as _, Nobody, Wait};

/// Bytes that the sockets take without a reader.
const MUCH: usize = 16 << 20;

fn poll(driver: &mut Uring) {
    driver.poll(Wait::For(Duration::from_millis(20)), &mut Nobody).unwrap();
}

/// A driver and so many connections with their peers, of which the sockets take much.
fn many(count: usize) -> Option<(Uring, Vec<(Connection, Socket)>)> {
    probe().ok()?;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Whoever may not ask for that has a smaller kernel, and nothing to see here.
    sockopt::set_socket_recv_buffer_size_force(&listener, MUCH).ok()?;
    let mut driver = Uring::new(count).unwrap();
    let pairs = (0..count)
        .map(|_| {
            let peer = Socket::connect(listener.local_addr().unwrap()).unwrap();
            sockopt::set_socket_send_buffer_size_force(&peer, MUCH).unwrap();
            (driver.adopt(listener.accept().unwrap().0).unwrap(), peer)
        })
        .collect();
    poll(&mut driver);
    Some((driver, pairs))
}

fn idle(driver: &mut Uring, connection: Connection) {
    driver.pause(connection);
    poll(driver);
    assert_eq!(driver.endpoints.get_mut(connection).unwrap().receive, Receive::Idle);
}

/// Its pause is over, when so much has come.
fn goes_on(driver: &mut Uring, (connection, peer): &mut (Connection, Socket), bytes: usize) -> Connection {
    idle(driver, *connection);
    peer.write_all(&vec![7; bytes]).unwrap();
    driver.resume(*connection);
    *connection
}

fn brought(driver: &mut Uring) -> usize {
    let before = driver.statistics().bytes_in;
    driver.go_on(&mut Nobody);
    (driver.statistics().bytes_in - before) as usize
}

#[test]
fn who_is_paused_and_resumed_between_two_polls_is_read_once() {
    let Some((mut driver, mut pairs)) = many(1) else { return };
    let connection = goes_on(&mut driver, &mut pairs[0], 4 << 20);
    assert_eq!(brought(&mut driver), AT_ONCE_BYTES, "it has more: read again in the next poll");
    // It stands in the line, and is heard to the end of what it said before the next poll.
    driver.pause(connection);
    driver.resume(connection);
    assert_eq!(brought(&mut driver), AT_ONCE_BYTES, "512 KiB of one connection a poll");
}

#[test]
fn nobody_takes_the_turn_of_another_by_being_paused_often() {
    let Some((mut driver, mut pairs)) = many(2) else { return };
    for (connection, peer) in &mut pairs {
        idle(&mut driver, *connection);
        peer.write_all(&vec![7; 4 << 20]).unwrap();
    }
    let (first, second) = (pairs[0].0, pairs[1].0);
    driver.resume(first);
    brought(&mut driver);
    for _ in 0..3 {
        driver.pause(first);
        driver.resume(first);
    }
    driver.resume(second);
    brought(&mut driver);
    let second = driver.endpoints.get_mut(second).unwrap().receive;
    let first = driver.endpoints.get_mut(first).unwrap().receive;
    assert_eq!((first, second), (Receive::Idle, Receive::Idle), "nobody needs a receive to be cancelled");
}

#[test]
fn all_together_bring_no_more_than_a_mebibyte_a_poll_and_each_its_part() {
    for first in [500 << 10, 4 << 20] {
        let Some((mut driver, mut pairs)) = many(3) else { return };
        let mut wait = Vec::new();
        for ((connection, peer), bytes) in pairs.iter_mut().zip([first, 4 << 20, 4 << 20]) {
            idle(&mut driver, *connection);
            peer.write_all(&numbered(0, bytes)).unwrap();
            wait.push(*connection);
        }
        wait.iter().for_each(|connection| driver.resume(*connection));
        let (mut sums, mut before) = (Sums::default(), 0);
        for _ in 0..3 {
            driver.poll(Wait::None, &mut sums).unwrap();
            wait.retain(|connection| !sums.0.contains_key(connection));
            let brought: usize = sums.0.values().sum();
            assert!(brought - before <= 1 << 20, "{} bytes in a poll", brought - before);
            before = brought;
        }
        assert!(wait.is_empty(), "three polls of two");
    }
}

#[test]
fn beside_many_paused_ones_nobody_is_read_in_large_pieces() {
    let Some((mut driver, mut pairs)) = many(18) else { return };
    goes_on(&mut driver, &mut pairs[0], 4 << 20);
    assert_eq!(brought(&mut driver), AT_ONCE_BYTES);
    for (other, _) in pairs.iter().skip(1) {
        driver.pause(*other);
    }
    assert_eq!(driver.paused, 17);
    let brought = brought(&mut driver);
    assert!(brought <= CAREFUL_BYTES, "{brought} bytes");
}

/// Writes on whenever something is received, as the window opens then.
struct Flood<'a>(&'a mut Socket, usize);

impl Handler<Socket> for Flood<'_> {
    fn accepted(&mut self, _: ListenerIndex, _: Socket, _: SocketAddr) {}
    fn received(&mut self, _: Connection, bytes: &[u8]) {
        self.1 += bytes.len();
        if self.1 == bytes.len() {
            self.0.write_all(&vec![7; 2 << 20]).unwrap();
        }
    }
    fn sent(&mut self, _: Connection, _: Vec<u8>, _: io::Result<()>) {}
    fn ended(&mut self, _: Connection) {}
    fn closed(&mut self, _: Connection, _: io::Result<()>) {}
}

#[test]
fn who_was_read_at_once_has_no_more_than_that_with_the_shard_after_the_poll() {
    let Some((mut driver, mut pairs)) = many(1) else { return };
    goes_on(&mut driver, &mut pairs[0], AT_ONCE_BYTES - 1);
    let mut flood = Flood(&mut pairs[0].1, 0);
    driver.poll(Wait::None, &mut flood).unwrap();
    let brought = flood.1;
    assert!(brought <= AT_ONCE_BYTES, "{brought} bytes of one connection in one poll");
}

#[test]
fn what_was_held_back_counts_as_well() {
    for held in [100 << 10, 600 << 10] {
        let Some((mut driver, mut pairs)) = many(1) else { return };
        let connection = pairs[0].0;
        idle(&mut driver, connection);
        pairs[0].1.write_all(&vec![7; 4 << 20]).unwrap();
        driver.endpoints.get_mut(connection).unwrap().held = vec![7; held];
        driver.resume(connection);
        let mut told = Told::default();
        driver.poll(Wait::None, &mut told).unwrap();
        assert_eq!(told.bytes, held, "more comes with the next poll");
        driver.poll(Wait::None, &mut told).unwrap();
        assert_eq!(told.bytes, held + AT_ONCE_BYTES);
    }
}

/// So many bytes of a stream, from one on.
fn numbered(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at % 251) as u8).collect()
}

/// How many bytes each connection brought, in their order.
#[derive(Default)]
struct Sums(BTreeMap<Connection, usize>);

impl Handler<Socket> for Sums {
    fn accepted(&mut self, _: ListenerIndex, _: Socket, _: SocketAddr) {}
    fn received(&mut self, connection: Connection, bytes: &[u8]) {
        let came = self.0.entry(connection).or_default();
        assert!(bytes == numbered(*came, bytes.len()), "{connection:?}: others than those from {came} on");
        *came += bytes.len();
    }
    fn sent(&mut self, _: Connection, _: Vec<u8>, _: io::Result<()>) {}
    fn ended(&mut self, _: Connection) {}
    fn closed(&mut self, _: Connection, reason: io::Result<()>) {
        panic!("{reason:?}")
    }
}

/// Its cancel came too late, say, so that the receive goes on.
#[test]
fn what_was_held_back_comes_before_what_a_receive_brings() {
    let Some((mut driver, mut pairs)) = many(3) else { return };
    for (connection, peer) in &mut pairs[..2] {
        idle(&mut driver, *connection);
        peer.write_all(&vec![7; 4 << 20]).unwrap();
    }
    pairs[..2].iter().for_each(|(connection, _)| driver.resume(*connection));
    let (last, peer) = &mut pairs[2];
    driver.endpoints.get_mut(*last).unwrap().held = numbered(0, 100);
    driver.go_on_next(*last);
    peer.write_all(&numbered(100, 100)).unwrap();
    let mut sums = Sums::default();
    for _ in 0..3 {
        driver.poll(Wait::None, &mut Of(*last, &mut sums)).unwrap();
    }
    assert_eq!(sums.0.get(last), Some(&200));
}

/// Only what one connection brings.
struct Of<'a>(Connection, &'a mut Sums);

impl Handler<Socket> for Of<'_> {
    fn accepted(&mut self, _: ListenerIndex, _: Socket, _: SocketAddr) {}
    fn received(&mut self, connection: Connection, bytes: &[u8]) {
        if connection == self.0 {
            self.1.received(connection, bytes);
        }
    }
    fn sent(&mut self, _: Connection, _: Vec<u8>, _: io::Result<()>) {}
    fn ended(&mut self, _: Connection) {}
    fn closed(&mut self, connection: Connection, reason: io::Result<()>) {
        self.1.closed(connection, reason);
    }
}

/// Numbers for schedules, by the linear congruential generator of Knuth's MMIX.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn nobody_is_forgotten_however_pauses_and_bytes_come() {
    for seed in 1..40_u64 {
        let count = if seed.is_multiple_of(2) { 4 } else { 24 };
        let Some((mut driver, mut pairs)) = many(count) else { return };
        let (mut chance, mut wrote, mut sums) = (Chance(seed), vec![0; count], Sums::default());
        let came = |sums: &Sums, connection: Connection| sums.0.get(&connection).copied().unwrap_or(0);
        for _ in 0..400 {
            let at = chance.below(count);
            let (connection, peer) = &mut pairs[at];
            match chance.below(6) {
                0 => driver.pause(*connection),
                1 | 2 => driver.resume(*connection),
                3 if wrote[at] - came(&sums, *connection) < 4 << 20 => {
                    let length = [1, 100, 5_000, 300_000, 700_000][chance.below(5)];
                    peer.write_all(&numbered(wrote[at], length)).unwrap();
                    wrote[at] += length;
                }
                _ => _ = driver.poll(Wait::None, &mut sums).unwrap(),
            }
            for (connection, _) in &pairs {
                let endpoint = driver.endpoints.get_mut(*connection).unwrap();
                let (goes_on, is_idle) = (endpoint.goes_on, endpoint.receive == Receive::Idle);
                assert!(goes_on || !is_idle || !endpoint.receives(), "seed {seed}: who is received from no more");
                let times = driver.resumed.iter().filter(|resumed| *resumed == connection).count();
                assert_eq!(times, usize::from(goes_on), "seed {seed}");
            }
        }
        pairs.iter().for_each(|(connection, _)| driver.resume(*connection));
        let all: BTreeMap<_, _> = pairs
            .iter()
            .zip(&wrote)
            .filter(|(_, bytes)| **bytes > 0)
            .map(|((connection, _), bytes)| (*connection, *bytes))
            .collect();
        for _ in 0..2000 {
            if sums.0 == all {
                break;
            }
            driver.poll(Wait::For(Duration::from_millis(5)), &mut sums).unwrap();
        }
        assert_eq!(sums.0, all, "seed {seed}");
        let calls: usize = (0..4).map(|_| driver.poll(Wait::For(Duration::from_millis(5)), &mut sums).unwrap()).sum();
        assert_eq!(calls, 0, "seed {seed}: nothing happens any more");
    }
}

/// What the driver told: bytes, ends, and of each close whether it was in order.
#[derive(Default)]
struct Told {
    bytes: usize,
    ends: usize,
    closes: Vec<bool>,
}

impl Handler<Socket> for Told {
    fn accepted(&mut self, _: ListenerIndex, _: Socket, _: SocketAddr) {}
    fn received(&mut self, _: Connection, bytes: &[u8]) {
        assert!(self.ends == 0 && self.closes.is_empty());
        self.bytes += bytes.len();
    }
    fn sent(&mut self, _: Connection, _: Vec<u8>, _: io::Result<()>) {}
    fn ended(&mut self, _: Connection) {
        self.ends += 1;
    }
    fn closed(&mut self, _: Connection, reason: io::Result<()>) {
        self.closes.push(reason.is_ok());
    }
}

fn until(driver: &mut Uring, told: &mut Told, done: impl Fn(&Told) -> bool) {
    for _ in 0..50 {
        if done(told) {
            return;
        }
        driver.poll(Wait::For(Duration::from_millis(20)), told).unwrap();
    }
    panic!("nothing happens any more");
}

#[test]
fn who_has_more_than_is_read_at_once_is_read_again_without_a_wait() {
    let Some((mut driver, mut pairs)) = many(1) else { return };
    goes_on(&mut driver, &mut pairs[0], 3 * AT_ONCE_BYTES);
    let mut told = Told::default();
    for round in 1..=3 {
        assert!(driver.poll(Wait::Forever, &mut told).unwrap() > 0);
        assert_eq!(told.bytes, round * AT_ONCE_BYTES);
    }
    // Nothing is left: a receive is with the kernel, and a poll sleeps.
    let begin = driver.statistics().system_calls;
    assert_eq!(driver.poll(Wait::For(Duration::from_millis(30)), &mut told).unwrap(), 0);
    assert_eq!(driver.statistics().system_calls - begin, 2);
    pairs[0].1.write_all(b"x").unwrap();
    until(&mut driver, &mut told, |told| told.bytes == 3 * AT_ONCE_BYTES + 1);
}

#[test]
fn an_end_and_a_reset_are_noticed_once_without_a_receive() {
    for reset in [false, true] {
        for length in [0, 1000, AT_ONCE_BYTES, AT_ONCE_BYTES + 1] {
            let Some((mut driver, mut pairs)) = many(1) else { return };
            let connection = goes_on(&mut driver, &mut pairs[0], length);
            let peer = pairs.remove(0).1;
            let mut told = Told::default();
            if reset {
                reset_at_close(&peer);
                drop(peer);
                until(&mut driver, &mut told, |told| !told.closes.is_empty());
                assert_eq!((told.ends, &told.closes[..]), (0, &[false][..]));
            } else {
                peer.shutdown(Shutdown::Write).unwrap();
                until(&mut driver, &mut told, |told| told.ends > 0);
                assert_eq!(told.bytes, length);
                driver.close(connection, Closing::Drained);
                until(&mut driver, &mut told, |told| !told.closes.is_empty());
                assert_eq!((told.ends, &told.closes[..]), (1, &[true][..]));
            }
            poll(&mut driver);
            assert_eq!(told.closes.len(), 1);
        }
    }
}

#[test]
fn a_failed_send_of_who_has_no_receive_is_reported() {
    for pauses in [false, true] {
        let Some((mut driver, mut pairs)) = many(1) else { return };
        let connection = goes_on(&mut driver, &mut pairs[0], 3 * AT_ONCE_BYTES);
        let mut told = Told::default();
        driver.poll(Wait::None, &mut told).unwrap();
        assert_eq!(told.bytes, AT_ONCE_BYTES);
        driver.endpoints.get_mut(connection).unwrap().sending = Some(Sending { bytes: vec![1; 10], sent: 0 });
        driver.fail_send(connection, ErrorKind::BrokenPipe.into(), &mut told);
        if pauses {
            driver.pause(connection);
        }
        until(&mut driver, &mut told, |told| !told.closes.is_empty());
        assert_eq!((told.ends, &told.closes[..]), (0, &[false][..]));
        if !pauses {
            assert_eq!(told.bytes, 3 * AT_ONCE_BYTES, "what had come is read");
        }
    }
}
