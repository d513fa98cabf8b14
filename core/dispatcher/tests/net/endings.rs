//! All the ways in which a connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use postrider_dispatcher::net::{Closing, Net, Sent, Wait};

use crate::support::{Random, Server, connect, reset};

/// More than the buffers of both sockets take.
const MUCH: usize = 16 << 20;

pub fn half_close_still_gets_its_answers<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let address = server.address;
    let client = thread::spawn(move || {
        for length in [1, 1_000, 3_000_000] {
            let mut stream = connect(address);
            let bytes = Random(3).bytes(length);
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer == bytes);
        }
    });
    server.echo_while(vec![client]);
}

pub fn a_reset_is_reported_once<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (idle, on_idle) = server.pair();
    let (busy, on_busy) = server.pair();
    assert!(server.send(on_busy, vec![1; MUCH]));
    reset(idle);
    assert_eq!(server.until_closed(on_idle).unwrap_err().kind(), ErrorKind::ConnectionReset);
    reset(busy);
    server.until_closed(on_busy).unwrap_err();
    let (buffer, result) = server.link(on_busy).sent.pop().unwrap();
    assert!(buffer.len() == MUCH && result.is_err());
    // The ledger would object to a second report.
    server.net.poll(Wait::None, &mut server.ledger).unwrap();
    for connection in [on_idle, on_busy] {
        assert!(matches!(server.net.send(connection, vec![1]), Sent::Refused(_)));
        server.net.pause(connection);
        server.net.resume(connection);
        server.net.close(connection, Closing::AtOnce);
        server.net.close(connection, Closing::Drained);
    }
    server.net.poll(Wait::None, &mut server.ledger).unwrap();
}

pub fn a_reset_is_noticed_while_paused<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut client, connection) = server.pair();
    server.pause(connection);
    client.write_all(b"unread").unwrap();
    server.net.poll(Wait::None, &mut server.ledger).unwrap();
    reset(client);
    server.until_closed(connection).unwrap_err();
}

pub fn a_send_to_a_vanished_peer_fails<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (client, connection) = server.pair();
    drop(client);
    server.until(|server| server.link(connection).ended);
    // The first send meets the closed socket, which answers with a reset; a later one meets the reset.
    while server.link(connection).closed.is_none() {
        if !server.link(connection).pending {
            match server.net.send(connection, vec![0; 100]) {
                Sent::Done(_) | Sent::Refused(_) => {}
                Sent::Pending => server.link(connection).pending = true,
            }
        }
        server.net.poll(Wait::None, &mut server.ledger).unwrap();
    }
    server.until_closed(connection).unwrap_err();
}

pub fn close_lets_the_pending_send_finish<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut client, connection) = server.pair();
    // Bytes of the client that nobody reads must not turn the end into a reset.
    client.write_all(&[9; 50_000]).unwrap();
    assert!(server.send(connection, vec![1; MUCH]));
    server.close(connection, Closing::Drained);
    assert!(matches!(server.net.send(connection, vec![2]), Sent::Refused(_)));
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        assert!(bytes == vec![1; MUCH]);
    });
    server.until_closed(connection).unwrap();
    reader.join().unwrap();
    assert!(server.link(connection).sent[0].1.is_ok());
    // With nothing pending it ends at once.
    let (mut client, connection) = server.pair();
    client.write_all(&[9; 50_000]).unwrap();
    server.close(connection, Closing::Drained);
    server.until_closed(connection).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}

pub fn close_at_once_fails_the_pending_send<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut client, connection) = server.pair();
    assert!(server.send(connection, vec![1; MUCH]));
    // Until the buffers of both sockets are full, so that an orderly end could not reach the peer.
    for _ in 0..100 {
        server.net.poll(Wait::None, &mut server.ledger).unwrap();
    }
    server.close(connection, Closing::AtOnce);
    server.until_closed(connection).unwrap();
    let (buffer, result) = server.link(connection).sent.pop().unwrap();
    assert!(buffer.len() == MUCH && result.is_err());
    // The peer is told, even one that reads everything it can.
    let mut bytes = Vec::new();
    assert_eq!(client.read_to_end(&mut bytes).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(bytes.len() < MUCH);
}

pub fn at_once_overrides_drained<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (_client, connection) = server.pair();
    assert!(server.send(connection, vec![1; MUCH]));
    server.close(connection, Closing::Drained);
    server.net.poll(Wait::None, &mut server.ledger).unwrap();
    assert!(server.link(connection).closed.is_none());
    server.close(connection, Closing::AtOnce);
    server.until_closed(connection).unwrap();
    assert!(server.link(connection).sent[0].1.is_err());
}

pub fn nothing_arrives_after_a_close<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    for closing in [Closing::Drained, Closing::AtOnce].repeat(20) {
        let (mut client, connection) = server.pair();
        client.write_all(&[1; 10]).unwrap();
        server.until_received(connection, 10);
        // The ledger objects to bytes, or an end, of a connection that is being closed.
        client.write_all(&[2; 100_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        server.close(connection, closing);
        server.until_closed(connection).unwrap();
        assert_eq!(server.link(connection).received, [1; 10]);
    }
}

pub fn a_slot_used_again_is_another_connection<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let (mut old_client, mut old) = server.pair();
    let mut reused = 0;
    for round in 0..200_u8 {
        // The old one has a receive and a send in flight when its slot becomes free.
        old_client.write_all(&[round; 64]).unwrap();
        server.send(old, vec![round; if round % 8 == 0 { MUCH } else { 64 }]);
        server.close(old, Closing::AtOnce);
        server.until_closed(old).unwrap();
        if round % 4 > 0 {
            server.release();
        }
        let (mut client, connection) = server.pair();
        reused += usize::from(connection.slot == old.slot);
        assert!(matches!(server.net.send(old, vec![1]), Sent::Refused(_)));
        server.net.pause(old);
        server.net.close(old, Closing::AtOnce);
        client.write_all(b"new").unwrap();
        server.until_received(connection, 3);
        assert_eq!(server.link(connection).received, b"new");
        server.send(connection, b"answer".to_vec());
        server.until(|server| !server.link(connection).pending);
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        (old_client, old) = (client, connection);
    }
    assert!(reused > 100, "the slots were hardly used again");
}

pub fn dropping_a_driver_with_sends_pending_ends_its_connections<N: Net<Socket = TcpStream>>(make: fn() -> N) {
    let mut server = Server::new(make());
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (client, connection) = server.pair();
        server.send(connection, vec![1; MUCH]);
        clients.push(client);
    }
    server.net.poll(Wait::None, &mut server.ledger).unwrap();
    let address = server.address;
    drop(server);
    for mut client in clients {
        let mut bytes = Vec::new();
        let _ = client.read_to_end(&mut bytes);
        assert!(bytes.len() < MUCH);
    }
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
