//! The driver over epoll (mio, edge-triggered): for where io_uring is refused, and its equal on TCP.

mod endpoint;
mod timer;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpStream as Socket};
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Token};

use self::endpoint::{Endpoint, Sending, write};
use self::timer::Timer;
use super::listener::{self, Stall};
use super::slots::Slots;
use super::socket::{copy_error, discard_unread, reset_at_close};
use super::{AT_ONCE_BYTES, BYTES_PER_POLL, CAREFUL_BYTES, PAUSED_FEW};
use super::{Closing, Connection, Handler, ListenerIndex, Net, NetStatistics, Sent, Wait, Waker};

/// What one poll receives before it returns, in reads; who still has bytes comes first in the next: many connections with a few bytes each.
const READS_PER_POLL: usize = 512;
const ACCEPTS_PER_POLL: usize = 64;
const EVENTS_PER_POLL: usize = 1024;

const WAKE: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);
/// Shorter waits are the timer's: epoll counts in milliseconds.
const FINE: Duration = Duration::from_millis(5);
/// Marks a listener's token; the rest of it is the listener's index. A connection's token stays below: generations have 28 bits.
const LISTENER: usize = 1 << 63;

/// The driver; see [`Net`].
pub struct Epoll {
    poll: mio::Poll,
    events: Events,
    waker: Arc<mio::Waker>,
    timer: Timer,
    listeners: Vec<Listener>,
    stall: Stall,
    endpoints: Slots<Endpoint>,
    /// Connections with bytes to read, in the order of their turns.
    readable: VecDeque<Connection>,
    /// Connections with an outcome to report.
    finished: Vec<Connection>,
    paused: usize,
    buffer: Box<[u8]>,
    statistics: NetStatistics,
}

struct Listener {
    socket: TcpListener,
    /// An edge said so and no accept has found the end since.
    ready: bool,
}

impl Epoll {
    /// A driver for at most `connections` connections.
    pub fn new(connections: usize) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
        let timer = Timer::register(&poll, TIMER)?;
        Ok(Self {
            poll,
            timer,
            events: Events::with_capacity(EVENTS_PER_POLL),
            waker,
            listeners: Vec::new(),
            stall: Stall::default(),
            endpoints: Slots::new(connections),
            readable: VecDeque::new(),
            finished: Vec::new(),
            paused: 0,
            buffer: vec![0; AT_ONCE_BYTES].into_boxed_slice(),
            statistics: NetStatistics::default(),
        })
    }

    /// Blocks unless something is left to do from the last poll. Says whether the wait ended without an event.
    fn wait(&mut self, wait: Wait) -> io::Result<bool> {
        let accepting = self.listeners.iter().any(|listener| listener.ready);
        let timeout = match self.stall.bound(wait) {
            _ if accepting || !self.readable.is_empty() || !self.finished.is_empty() => Some(Duration::ZERO),
            wait => wait.limit(),
        };
        let timeout = match timeout {
            Some(limit) if !limit.is_zero() && limit < FINE => {
                self.statistics.system_calls += 1;
                self.timer.set(limit)?;
                None
            }
            timeout => timeout,
        };
        self.statistics.system_calls += 1;
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(self.events.is_empty()),
        }
    }

    fn take_events<H: Handler<Socket>>(&mut self, handler: &mut H) -> usize {
        let mut calls = 0;
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match event.token() {
                WAKE | TIMER => {}
                Token(token) if token & LISTENER != 0 => {
                    self.listeners.get_mut(token & !LISTENER).into_iter().for_each(|listener| listener.ready = true);
                }
                Token(token) => calls += self.take_event(event, connection_of(token), handler),
            }
        }
        self.events = events;
        calls
    }

    fn take_event<H: Handler<Socket>>(&mut self, event: &Event, connection: Connection, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        endpoint.readable |= event.is_readable() || event.is_read_closed();
        endpoint.end_announced |= event.is_read_closed();
        if event.is_error() || event.is_write_closed() {
            let error = endpoint.stream.take_error().ok().flatten();
            let error = error.unwrap_or_else(|| ErrorKind::ConnectionReset.into());
            self.break_off(connection, error);
            return 0;
        }
        if endpoint.readable {
            self.queue(connection);
        }
        if event.is_writable() { self.send_more(connection, handler) } else { 0 }
    }

    /// Puts a connection in line for its next read.
    fn queue(&mut self, connection: Connection) {
        if let Some(endpoint) = self.endpoints.get_mut(connection)
            && endpoint.receives()
            && !std::mem::replace(&mut endpoint.queued, true)
        {
            self.readable.push_back(connection);
        }
    }

    /// A connection broke. Bytes that had arrived before are still worth reading (acknowledgements, say): the shutdown makes
    /// sure that reading comes to an end.
    fn break_off(&mut self, connection: Connection, error: io::Error) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if !endpoint.receives() {
            return self.finish(connection, Err(error));
        }
        // The statistics count it; its result says nothing that the reads do not.
        let _ = endpoint.stream.shutdown(Shutdown::Both);
        endpoint.broken.get_or_insert(error);
        endpoint.readable = true;
        endpoint.end_announced = true;
        self.statistics.system_calls += 1;
        self.queue(connection);
    }

    /// Ends a connection; the coming poll reports it.
    fn finish(&mut self, connection: Connection, outcome: io::Result<()>) {
        if let Some(endpoint) = self.endpoints.get_mut(connection)
            && endpoint.outcome.is_none()
        {
            endpoint.outcome = Some(outcome);
            self.finished.push(connection);
        }
    }

    fn send_more<H: Handler<Socket>>(&mut self, connection: Connection, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        if endpoint.outcome.is_some() || endpoint.broken.is_some() {
            return 0;
        }
        let Some(sending) = &mut endpoint.sending else { return 0 };
        if let Err(error) = write(&mut endpoint.stream, sending, &mut self.statistics) {
            self.break_off(connection, error);
            return 0;
        }
        let Some(Sending { bytes, .. }) = endpoint.sending.take_if(|sending| sending.sent == sending.bytes.len())
        else {
            return 0;
        };
        if endpoint.draining {
            self.statistics.system_calls += discard_unread(&endpoint.stream);
            self.finish(connection, Ok(()));
        }
        handler.sent(connection, bytes, Ok(()));
        1
    }

    fn receive<H: Handler<Socket>>(&mut self, handler: &mut H) -> usize {
        let mut calls = 0;
        let before = self.statistics.bytes_in;
        for _ in 0..self.readable.len().min(READS_PER_POLL) {
            let brought = usize::try_from(self.statistics.bytes_in - before).unwrap_or(usize::MAX);
            let left = BYTES_PER_POLL.saturating_sub(brought);
            if left == 0 {
                break;
            }
            let Some(connection) = self.readable.pop_front() else { break };
            calls += self.receive_from(connection, left, handler);
        }
        calls
    }

    /// One read of one connection; it goes to the end of the line if it may have more.
    fn receive_from<H: Handler<Socket>>(&mut self, connection: Connection, left: usize, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        endpoint.queued = false;
        if !endpoint.receives() || !endpoint.readable {
            return 0;
        }
        self.statistics.system_calls += 1;
        let most = if self.paused > PAUSED_FEW { CAREFUL_BYTES } else { AT_ONCE_BYTES }.min(left);
        let buffer = self.buffer.get_mut(..most).unwrap_or_default();
        match endpoint.stream.read(buffer) {
            Ok(0) => return self.end_of_stream(connection, handler),
            Ok(count) => {
                self.statistics.bytes_in += count as u64;
                endpoint.readable = count == most || endpoint.end_announced;
                handler.received(connection, buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                endpoint.readable = false;
                return 0;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                let error = endpoint.broken.take().unwrap_or(error);
                self.finish(connection, Err(error));
                return 0;
            }
        }
        if endpoint.readable {
            self.queue(connection);
        }
        1
    }

    fn end_of_stream<H: Handler<Socket>>(&mut self, connection: Connection, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        endpoint.readable = false;
        endpoint.ended = true;
        if let Some(error) = endpoint.broken.take() {
            self.finish(connection, Err(error));
            return 0;
        }
        handler.ended(connection);
        1
    }

    fn accept<H: Handler<Socket>>(&mut self, relief: bool, handler: &mut H) -> usize {
        if self.stall.is_over(relief) {
            self.listeners.iter_mut().for_each(|listener| listener.ready = true);
        }
        let mut calls = 0;
        for (index, listener) in self.listeners.iter_mut().enumerate().filter(|(_, listener)| listener.ready) {
            calls += listener.accept(ListenerIndex(index), &mut self.stall, &mut self.statistics, handler);
        }
        calls
    }

    fn report<H: Handler<Socket>>(&mut self, handler: &mut H) -> usize {
        let mut calls = 0;
        for connection in std::mem::take(&mut self.finished) {
            let Some(endpoint) = self.endpoints.remove(connection) else { continue };
            let outcome = endpoint.outcome.unwrap_or(Ok(()));
            self.paused -= usize::from(endpoint.paused);
            if let Some(sending) = endpoint.sending {
                let error = match &outcome {
                    Ok(()) => ErrorKind::ConnectionAborted.into(),
                    Err(error) => copy_error(error),
                };
                handler.sent(connection, sending.bytes, Err(error));
                calls += 1;
            }
            self.statistics.system_calls += 1;
            drop(endpoint.stream);
            handler.closed(connection, outcome);
            calls += 1;
        }
        calls
    }
}

impl Listener {
    /// Accepts some; `ready` stays up if there may be more.
    fn accept<H: Handler<Socket>>(
        &mut self,
        index: ListenerIndex,
        stall: &mut Stall,
        statistics: &mut NetStatistics,
        handler: &mut H,
    ) -> usize {
        for calls in 0..ACCEPTS_PER_POLL {
            statistics.system_calls += 1;
            match self.socket.accept() {
                Ok((stream, peer)) => handler.accepted(index, stream.into(), peer),
                Err(error) if listener::concerns_one_connection(&error) => statistics.accept_errors += 1,
                Err(error) => {
                    self.ready = false;
                    if error.kind() != ErrorKind::WouldBlock {
                        statistics.accept_errors += 1;
                        stall.begin();
                    }
                    return calls;
                }
            }
        }
        ACCEPTS_PER_POLL
    }
}

impl Net for Epoll {
    type Socket = Socket;

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let mut socket = TcpListener::from_std(listener::bind(address, true)?);
        let token = Token(LISTENER | self.listeners.len());
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        let bound = socket.local_addr()?;
        self.listeners.push(Listener { socket, ready: false });
        Ok(bound)
    }

    fn adopt(&mut self, socket: Socket) -> io::Result<Connection> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        self.statistics.system_calls += 3;
        let connection = self.endpoints.insert(Endpoint::new(TcpStream::from_std(socket)))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Some(endpoint) = self.endpoints.get_mut(connection)
            && let Err(error) = self.poll.registry().register(&mut endpoint.stream, token(connection), interest)
        {
            self.endpoints.remove(connection);
            self.endpoints.release(connection);
            return Err(error);
        }
        Ok(connection)
    }

    fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> Sent {
        let Some(endpoint) =
            self.endpoints.get_mut(connection).filter(|endpoint| endpoint.is_open() && endpoint.broken.is_none())
        else {
            return Sent::Refused(bytes);
        };
        assert!(endpoint.sending.is_none(), "at most one send of a connection is pending");
        let mut sending = Sending { bytes, sent: 0 };
        let result = write(&mut endpoint.stream, &mut sending, &mut self.statistics);
        if sending.sent == sending.bytes.len() {
            return Sent::Done(sending.bytes);
        }
        endpoint.sending = Some(sending);
        if let Err(error) = result {
            self.break_off(connection, error);
        }
        Sent::Pending
    }

    fn pause(&mut self, connection: Connection) {
        if let Some(endpoint) = self.endpoints.get_mut(connection) {
            self.paused += usize::from(!std::mem::replace(&mut endpoint.paused, true));
            if let Some(error) = endpoint.broken.take() {
                self.finish(connection, Err(error));
            }
        }
    }

    fn resume(&mut self, connection: Connection) {
        if let Some(endpoint) = self.endpoints.get_mut(connection) {
            self.paused -= usize::from(std::mem::replace(&mut endpoint.paused, false));
            if endpoint.readable {
                self.queue(connection);
            }
        }
    }

    fn close(&mut self, connection: Connection, closing: Closing) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        match closing {
            Closing::Drained if endpoint.sending.is_some() && endpoint.broken.is_none() => endpoint.draining = true,
            Closing::Drained => {
                self.statistics.system_calls += discard_unread(&endpoint.stream);
                self.finish(connection, Ok(()));
            }
            Closing::AtOnce => {
                reset_at_close(&endpoint.stream);
                self.finish(connection, Ok(()));
            }
        }
    }

    fn release(&mut self, connection: Connection) {
        self.endpoints.release(connection);
    }

    fn poll<H: Handler<Socket>>(&mut self, wait: Wait, handler: &mut H) -> io::Result<usize> {
        let idle = self.wait(wait)?;
        let mut calls = self.take_events(handler);
        calls += self.receive(handler);
        let relief = idle || !self.finished.is_empty();
        calls += self.report(handler);
        Ok(calls + self.accept(relief, handler))
    }

    #[expect(clippy::expect_used, reason = "a thread that cannot be woken would stand still without a word")]
    fn waker(&self) -> Waker {
        let waker = self.waker.clone();
        Arc::new(move || waker.wake().expect("an eventfd takes a write"))
    }

    fn statistics(&self) -> NetStatistics {
        self.statistics
    }
}

fn token(connection: Connection) -> Token {
    Token((connection.generation as usize) << 32 | connection.slot as usize)
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of the word")]
fn connection_of(token: usize) -> Connection {
    Connection { slot: token as u32, generation: (token >> 32) as u32 }
}
