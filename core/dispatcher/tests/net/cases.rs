//! Bytes in and out: nothing lost, nothing doubled, nobody starved.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postrider_dispatcher::net::{Closing, ListenerIndex, Net, Wait};

use crate::support::{Random, Server, connect, round_trip};

pub fn echo_of_random_sizes_over_many_connections<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let address = server.address;
    let clients = (1..=4).map(|seed| {
        thread::spawn(move || {
            let mut random = Random(seed);
            let mut streams: Vec<_> = (0..24).map(|_| connect(address)).collect();
            for round in 0..150 {
                let limit = if round % 10 == 0 { 200_000 } else { 3_000 };
                let bytes = random.below(limit) + 1;
                let bytes = random.bytes(bytes);
                let chosen = random.below(streams.len());
                round_trip(&mut streams[chosen], &bytes);
            }
        })
    });
    server.echo_while(clients.collect());
}

pub fn who_comes_in_is_named_with_its_listener<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let other = server.net.listen(([127, 0, 0, 1], 0).into()).unwrap();
    for (index, address) in [(1, other), (0, server.address), (1, other)] {
        let _client = connect(address);
        server.until(|server| !server.ledger.sockets.is_empty());
        let socket = server.ledger.sockets.pop().unwrap();
        assert_eq!(socket.local_addr().unwrap(), address);
        assert_eq!(server.ledger.listeners.pop(), Some(ListenerIndex(index)));
    }
}

pub fn thousands_of_short_connections<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let address = server.address;
    let clients = (0..4).map(|number| {
        thread::spawn(move || {
            for round in 0..700_u32 {
                round_trip(&mut connect(address), &[&[number][..], &round.to_be_bytes()[..]].concat());
            }
        })
    });
    server.echo_while(clients.collect());
    server.until(|server| {
        server.echo_turn();
        server.ledger.links.is_empty()
    });
}

pub fn large_sends_to_a_slow_reader<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut client, connection) = server.pair();
    let bytes = Random(7).bytes(8 << 20);
    let place = bytes.as_ptr();
    assert!(server.send(connection, bytes.clone()), "no socket's buffer takes 8 MiB");
    let expected = bytes.clone();
    let reader = thread::spawn(move || {
        let mut read = vec![0; expected.len()];
        read.chunks_mut(10_007).for_each(|chunk| client.read_exact(chunk).unwrap());
        assert!(read == expected);
        client
    });
    server.until(|server| !server.link(connection).pending);
    let _client = reader.join().unwrap();
    let (buffer, result) = server.link(connection).sent.pop().unwrap();
    assert!(result.is_ok() && buffer == bytes);
    drop(bytes);
    // The same memory is back, for the next use.
    let (mut client, connection) = server.pair();
    let place_of_next = buffer.as_ptr();
    let reader = thread::spawn(move || client.read_exact(&mut vec![0; 8 << 20]).unwrap());
    server.send(connection, buffer);
    server.until(|server| !server.link(connection).pending);
    reader.join().unwrap();
    assert_eq!(server.link(connection).sent[0].0.as_ptr(), place_of_next);
    assert_ne!(place, place_of_next, "the first send was of a copy");
}

pub fn pause_holds_bytes_back_and_resume_brings_them<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut paused, on_paused) = server.pair();
    let (mut other, on_other) = server.pair();
    paused.write_all(b"one").unwrap();
    server.until_received(on_paused, 3);
    for round in 1..20 {
        server.pause(on_paused);
        paused.write_all(b"two").unwrap();
        other.write_all(b"barrier").unwrap();
        server.until_received(on_other, 7 * round);
        assert_eq!(server.link(on_paused).received.len(), 3 * round);
        // Pausing and resuming between two polls changes nothing.
        server.resume(on_paused);
        server.pause(on_paused);
        server.resume(on_paused);
        server.until_received(on_paused, 3 * round + 3);
    }
    assert!(server.link(on_paused).received.ends_with(b"twotwo"));
}

/// What comes before a connection can be paused has to be kept: of a crowd of such it is to be little each.
pub fn beside_many_paused_ones_a_poll_receives_little<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let crowd: Vec<_> = (0..20).map(|_| server.pair()).collect();
    for (_, connection) in &crowd {
        server.pause(*connection);
    }
    let (mut client, connection) = server.pair();
    let writer = thread::spawn(move || {
        client.write_all(&[7; 16 << 20]).unwrap();
        client
    });
    let mut most = 0;
    let mut known = 0;
    while known < 16 << 20 {
        server.net.poll(Wait::For(Duration::from_secs(1)), &mut server.ledger).unwrap();
        let received = server.link(connection).received.len();
        // Buffers that were offered before bring what they bring.
        if known > 2 << 20 {
            most = most.max(received - known);
        }
        known = received;
    }
    assert!((1..=64 << 10).contains(&most), "{most} bytes in one poll");
    for (_, connection) in &crowd {
        server.resume(*connection);
    }
    drop(writer.join().unwrap());
}

pub fn pausing_in_a_flood_loses_nothing<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut client, connection) = server.pair();
    let bytes = Random(11).bytes(16 << 20);
    let flood = bytes.clone();
    let writer = thread::spawn(move || {
        client.write_all(&flood).unwrap();
        client
    });
    let mut random = Random(5);
    while server.link(connection).received.len() < bytes.len() {
        server.net.poll(Wait::For(Duration::from_secs(1)), &mut server.ledger).unwrap();
        if random.below(3) == 0 {
            server.pause(connection);
            for _ in 0..random.below(4) {
                server.net.poll(Wait::None, &mut server.ledger).unwrap();
            }
            server.resume(connection);
        }
    }
    assert!(server.link(connection).received == bytes);
    drop(writer.join().unwrap());
    server.until(|server| server.link(connection).ended);
}

pub fn wake_from_another_thread<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let waker = server.net.waker();
    // A wake before the wait counts.
    waker();
    assert_eq!(server.net.poll(Wait::Forever, &mut server.ledger).unwrap(), 0);
    let (turns, next) = mpsc::channel();
    let other = thread::spawn(move || next.iter().for_each(|()| waker()));
    for _ in 0..2_000 {
        turns.send(()).unwrap();
        assert_eq!(server.net.poll(Wait::Forever, &mut server.ledger).unwrap(), 0);
    }
    drop(turns);
    other.join().unwrap();
}

pub fn a_wait_ends_by_its_bound<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    for wait in [
        Wait::None,
        Wait::For(Duration::from_millis(2)),
        Wait::For(Duration::from_micros(100)),
        Wait::For(Duration::ZERO),
    ] {
        assert_eq!(server.net.poll(wait, &mut server.ledger).unwrap(), 0);
    }
    let (_client, connection) = server.pair();
    assert_eq!(server.net.poll(Wait::For(Duration::from_millis(2)), &mut server.ledger).unwrap(), 0);
    assert!(server.link(connection).closed.is_none());
}

pub fn a_wait_for_several_ends_by_its_bounds<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let several = |within, limit| Wait::Several { count: 100, within: Duration::from_micros(within), limit };
    for within in [0, 100] {
        let limit = Some(Duration::from_micros(200));
        assert_eq!(server.net.poll(several(within, limit), &mut server.ledger).unwrap(), 0);
    }
    // One thing is enough when the time is over in which several were hoped for, and without a limit it is waited for.
    let waker = server.net.waker();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(2));
        waker();
    });
    assert_eq!(server.net.poll(several(100, None), &mut server.ledger).unwrap(), 0);
    other.join().unwrap();
    let (mut client, connection) = server.pair();
    client.write_all(b"x").unwrap();
    while server.link(connection).received.is_empty() {
        server.net.poll(several(100, None), &mut server.ledger).unwrap();
    }
}

pub fn what_is_gathered_comes_after_a_moment<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    for round in 0..3 {
        // More than there are timers for at a time.
        let mut pairs: Vec<_> = (0..20).map(|_| server.pair()).collect();
        for (client, connection) in &mut pairs {
            server.net.gather(*connection, 1000);
            client.write_all(b"a little").unwrap();
        }
        for (_, connection) in &pairs {
            server.until_received(*connection, 8);
        }
        for (client, connection) in &mut pairs {
            server.net.gather(*connection, 1000);
            client.write_all(&[round; 1000]).unwrap();
            server.until_received(*connection, 1008);
            server.net.gather(*connection, 1000);
        }
        // Who goes in the middle of it goes.
        for (index, (client, connection)) in pairs.into_iter().enumerate() {
            drop(client);
            if index % 2 == 0 {
                server.until(|server| server.link(connection).ended);
            }
            server.close(connection, Closing::Drained);
            server.until_closed(connection).unwrap();
        }
        server.release();
    }
}

pub fn sockets_are_dealt_to_another_driver<N: Net<Socket = TcpStream> + 'static>(make: fn() -> N) {
    let mut acceptor = Server::new(make());
    let address = acceptor.address;
    let (deal, dealt) = mpsc::channel::<TcpStream>();
    let (tell_waker, told_waker) = mpsc::channel();
    let shard = thread::spawn(move || {
        let mut server = Server::new(make());
        tell_waker.send(server.net.waker()).unwrap();
        loop {
            match dealt.try_recv() {
                Ok(socket) => drop(server.adopt(socket)),
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) if server.ledger.links.is_empty() => return,
                Err(mpsc::TryRecvError::Disconnected) => {}
            }
            server.echo_turn();
            server.net.poll(Wait::For(Duration::from_millis(20)), &mut server.ledger).unwrap();
        }
    });
    let wake_shard = told_waker.recv().unwrap();
    let client = thread::spawn(move || {
        for round in 0..50_u8 {
            round_trip(&mut connect(address), &vec![round; 5_000]);
        }
    });
    acceptor.until(|acceptor| {
        for socket in acceptor.ledger.sockets.drain(..) {
            deal.send(socket).unwrap();
            wake_shard();
        }
        client.is_finished()
    });
    client.join().unwrap();
    drop(deal);
    shard.join().unwrap();
}

pub fn a_full_driver_refuses_and_takes_again<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let mut clients = Vec::new();
    for _ in 0..2_048 {
        clients.push(server.pair());
    }
    let late = server.connect();
    server.until(|server| !server.ledger.sockets.is_empty());
    let socket = server.ledger.sockets.pop().unwrap();
    let refusal = server.net.adopt(socket).unwrap_err();
    assert!(refusal.to_string().contains("2048 connections"), "{refusal}");
    assert_eq!((&late).read(&mut [0; 1]).unwrap(), 0, "the refused socket is closed");
    let (_client, connection) = clients.pop().unwrap();
    server.close(connection, Closing::AtOnce);
    server.until_closed(connection).unwrap();
    let late = server.connect();
    server.until(|server| !server.ledger.sockets.is_empty());
    let socket = server.ledger.sockets.pop().unwrap();
    assert!(server.net.adopt(socket).is_err(), "its slot is kept");
    drop(late);
    server.release();
    server.pair();
}

pub fn statistics_count_bytes<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut client, connection) = server.pair();
    let before = server.net.statistics();
    client.write_all(&[1; 5_000]).unwrap();
    server.until_received(connection, 5_000);
    server.send(connection, vec![2; 70_000]);
    server.until(|server| !server.link(connection).pending);
    client.read_exact(&mut vec![0; 70_000]).unwrap();
    let after = server.net.statistics();
    assert_eq!(after.bytes_in - before.bytes_in, 5_000);
    assert_eq!(after.bytes_out - before.bytes_out, 70_000);
    assert!(after.system_calls > before.system_calls);
    assert_eq!(after.accept_errors, 0);
}

pub fn a_flood_does_not_starve_others<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut flooding, on_flooding) = server.pair();
    let (mut modest, on_modest) = server.pair();
    let flood = thread::spawn(move || while flooding.write_all(&[0; 1 << 16]).is_ok() {});
    server.until_received(on_flooding, 1 << 20);
    for round in 1..=50 {
        modest.write_all(b"me too").unwrap();
        let mut polls = 0;
        while server.link(on_modest).received.len() < 6 * round {
            polls += 1;
            let before = server.link(on_flooding).received.len();
            server.net.poll(Wait::For(Duration::from_secs(1)), &mut server.ledger).unwrap();
            let taken = server.link(on_flooding).received.len() - before;
            assert!(taken <= 4 << 20, "one poll took {taken} bytes");
            server.link(on_flooding).received.clear();
        }
        // The kernel, too, takes its time when the machine is busy: what counts is that there is an end.
        assert!(polls <= 1_000, "it took {polls} polls");
    }
    server.close(on_flooding, Closing::AtOnce);
    server.until_closed(on_flooding).unwrap();
    flood.join().unwrap();
}

/// Writes as much as the sockets between take.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    written
}

/// There are more of them than buffers for what they have sent.
pub fn beside_many_that_send_much_who_sends_little_is_heard_soon<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let mut crowd: Vec<_> = (0..60).map(|_| server.pair()).collect();
    let (mut modest, on_modest) = server.pair();
    let sent: Vec<Vec<u8>> = (1..)
        .zip(&mut crowd)
        .map(|(seed, (client, _))| {
            let mut bytes = Random(seed).bytes(256 << 10);
            bytes.truncate(write_some(client, &bytes));
            bytes
        })
        .collect();
    let all: usize = sent.iter().map(Vec::len).sum();
    assert!(all > 8 << 20, "{all} bytes wait");
    let mut said = Vec::new();
    for round in 1..=2 {
        said.extend(Random(100 + round).bytes(10));
        modest.write_all(&said[said.len() - 10..]).unwrap();
        let mut polls = 0;
        while server.link(on_modest).received.len() < said.len() {
            polls += 1;
            server.net.poll(Wait::For(Duration::from_secs(1)), &mut server.ledger).unwrap();
        }
        assert!(polls <= 12, "what was said in round {round} was heard in poll {polls}");
    }
    for ((_, connection), sent) in crowd.iter().zip(&sent) {
        server.until_received(*connection, sent.len());
        assert!(server.link(*connection).received == *sent, "others' bytes, or in another order");
    }
    assert!(server.link(on_modest).received == said);
    assert_eq!(server.net.statistics().bytes_in, (all + said.len()) as u64);
}
