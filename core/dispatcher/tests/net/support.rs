//! A server over any driver that keeps a ledger of what the handler was told, and clients to talk to it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use postrider_dispatcher::net::{Closing, Connection, Handler, ListenerIndex, Net, Sent, Wait};

/// A test that waits longer for something to happen has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The driver under test, and what a test needs to know of its connections.
pub struct Server<N> {
    pub net: N,
    pub address: SocketAddr,
    pub ledger: Ledger,
}

/// What the handler was told, with its order checked.
#[derive(Default)]
pub struct Ledger {
    pub sockets: Vec<TcpStream>,
    /// Where each came in.
    pub listeners: Vec<ListenerIndex>,
    pub links: HashMap<Connection, Link>,
    /// Closed ones whose slots are not released.
    pub kept: Vec<Connection>,
}

#[derive(Default, Debug)]
pub struct Link {
    pub received: Vec<u8>,
    pub sent: Vec<(Vec<u8>, io::Result<()>)>,
    pub pending: bool,
    pub paused: bool,
    pub closing: bool,
    pub ended: bool,
    pub closed: Option<io::Result<()>>,
}

impl Ledger {
    fn open(&mut self, connection: Connection) -> &mut Link {
        let link = self.links.get_mut(&connection).expect("only adopted connections are named");
        assert!(link.closed.is_none(), "{connection:?} was named after it was closed");
        link
    }
}

impl Handler<TcpStream> for Ledger {
    fn accepted(&mut self, listener: ListenerIndex, socket: TcpStream, peer: SocketAddr) {
        assert!(peer.ip().is_loopback());
        self.sockets.push(socket);
        self.listeners.push(listener);
    }

    fn received(&mut self, connection: Connection, bytes: &[u8]) {
        let link = self.open(connection);
        assert!(!bytes.is_empty() && !link.paused && !link.closing && !link.ended, "no bytes now: {link:?}");
        link.received.extend_from_slice(bytes);
    }

    fn sent(&mut self, connection: Connection, buffer: Vec<u8>, result: io::Result<()>) {
        let link = self.open(connection);
        assert!(std::mem::take(&mut link.pending), "no send was pending");
        link.sent.push((buffer, result));
    }

    fn ended(&mut self, connection: Connection) {
        let link = self.open(connection);
        assert!(!std::mem::replace(&mut link.ended, true), "ended twice");
        assert!(!link.paused && !link.closing);
    }

    fn closed(&mut self, connection: Connection, reason: io::Result<()>) {
        let link = self.open(connection);
        assert!(!link.pending, "a buffer was kept");
        assert!(link.closing || reason.is_err(), "closed for no reason");
        link.closed = Some(reason);
        self.kept.push(connection);
    }
}

impl<N: Net<Socket = TcpStream>> Server<N> {
    pub fn new(mut net: N) -> Self {
        let address = net.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self { net, address, ledger: Ledger::default() }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// A client and the server's side of its connection.
    pub fn pair(&mut self) -> (TcpStream, Connection) {
        let client = self.connect();
        self.until(|server| !server.ledger.sockets.is_empty());
        let socket = self.ledger.sockets.pop().unwrap();
        assert_eq!(socket.peer_addr().unwrap(), client.local_addr().unwrap());
        (client, self.adopt(socket))
    }

    pub fn adopt(&mut self, socket: TcpStream) -> Connection {
        let connection = self.net.adopt(socket).unwrap();
        assert!(self.ledger.kept.iter().all(|kept| kept.slot != connection.slot), "its slot is not released");
        assert!(self.ledger.links.insert(connection, Link::default()).is_none(), "{connection:?} existed before");
        connection
    }

    /// The slots of those that are closed may be used again.
    pub fn release(&mut self) {
        self.ledger.kept.drain(..).for_each(|connection| self.net.release(connection));
    }

    pub fn link(&mut self, connection: Connection) -> &mut Link {
        self.ledger.links.get_mut(&connection).unwrap()
    }

    /// Polls until the condition holds.
    pub fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let mut last = Instant::now();
        while !done(self) {
            if self.net.poll(Wait::For(Duration::from_secs(1)), &mut self.ledger).unwrap() > 0 {
                last = Instant::now();
            }
            assert!(last.elapsed() < PATIENCE, "nothing happens any more");
        }
    }

    pub fn until_received(&mut self, connection: Connection, bytes: usize) {
        self.until(|server| server.link(connection).received.len() >= bytes);
    }

    pub fn until_closed(&mut self, connection: Connection) -> io::Result<()> {
        self.until(|server| server.link(connection).closed.is_some());
        match self.link(connection).closed.as_ref().unwrap() {
            Ok(()) => Ok(()),
            Err(error) => Err(error.kind().into()),
        }
    }

    /// Sends; says whether it is pending.
    pub fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> bool {
        match self.net.send(connection, bytes) {
            Sent::Done(buffer) => self.link(connection).sent.push((buffer, Ok(()))),
            Sent::Pending => self.link(connection).pending = true,
            Sent::Refused(_) => panic!("refused"),
        }
        self.link(connection).pending
    }

    pub fn pause(&mut self, connection: Connection) {
        self.net.pause(connection);
        self.link(connection).paused = true;
    }

    pub fn resume(&mut self, connection: Connection) {
        self.net.resume(connection);
        self.link(connection).paused = false;
    }

    pub fn close(&mut self, connection: Connection, closing: Closing) {
        self.net.close(connection, closing);
        self.link(connection).closing = true;
    }

    /// One turn of an echo server: adopts, answers, closes what has ended.
    pub fn echo_turn(&mut self) {
        while let Some(socket) = self.ledger.sockets.pop() {
            self.adopt(socket);
        }
        let connections: Vec<_> = self.ledger.links.keys().copied().collect();
        for connection in connections {
            let link = self.link(connection);
            if link.closed.is_some() || link.pending || link.closing {
                continue;
            }
            link.sent.clear();
            if !link.received.is_empty() {
                let bytes = std::mem::take(&mut link.received);
                self.send(connection, bytes);
            } else if link.ended {
                self.close(connection, Closing::Drained);
            }
        }
        self.ledger.links.retain(|_, link| link.closed.is_none());
        self.release();
    }

    /// Echoes until all the clients' threads are through.
    pub fn echo_while(&mut self, clients: Vec<std::thread::JoinHandle<()>>) {
        self.until(|server| {
            server.echo_turn();
            clients.iter().all(|client| client.is_finished())
        });
        for client in clients {
            client.join().unwrap();
        }
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Writes the bytes and reads them back.
pub fn round_trip(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == bytes, "the echo is another");
}

/// Closes with a reset instead of the orderly end.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Numbers that look random and are the same in each run.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}
