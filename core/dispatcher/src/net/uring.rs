//! The driver over io_uring: requests that complete many times, buffers lent from one pool, one system call a poll, and one more for each
//! connection that has come back from a pause.
//!
//! A connection is over only when the kernel has none of its requests: shutting the socket down completes them all, so that
//! no late completion meets another connection in the same slot.

mod buffers;
mod endpoint;
mod gathering;
#[cfg(test)]
mod going_on_tests;
mod kernel;
mod operation;
mod probe;
mod receiving;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream as Socket};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::cqueue;
use rustix::event::EventfdFlags;
use rustix::net::SendFlags;

use self::buffers::Buffers;
use self::endpoint::{End, Endpoint, Receive, Sending, State};
use self::gathering::Gathered;
use self::kernel::{Kernel, SEND_BYTES};
use self::operation::Operation;
pub use self::probe::probe;
use self::receiving::UNPOOLED_BYTES;
use super::listener::{self, Stall};
use super::slots::Slots;
use super::socket::{copy_error, discard_unread, reset_at_close};
use super::{Closing, Connection, Handler, ListenerIndex, Net, NetStatistics, Sent, Wait, Waker};

/// How long a driver that is dropped waits for the kernel to let go of its buffers: so many times so long.
const FAREWELLS: usize = 100;
const FAREWELL: Duration = Duration::from_millis(50);

/// So many sends between two polls are made at once: handed over by the ring, they would end the wait that they are handed over with. More
/// go together.
const SENDS_AT_ONCE: usize = 2;

/// The driver; see [`Net`]. The thread that makes it must be the one that polls it.
pub struct Uring {
    // First, so that it is dropped first: the kernel must be through with the memory of the fields below.
    kernel: Kernel,
    buffers: Buffers,
    endpoints: Slots<Endpoint>,
    listeners: Vec<Listener>,
    stall: Stall,
    eventfd: Arc<OwnedFd>,
    /// Connections that began to close; looked at again with each of their completions.
    closing: Vec<Connection>,
    /// Connections that are not paused any more, or had more to say, and have bytes held back or no receive with the kernel; each once.
    resumed: Vec<Connection>,
    paused: usize,
    gathered: Gathered,
    batch: Vec<cqueue::Entry>,
    /// For who finds the pool empty.
    own: Box<[u8]>,
    /// For who comes back from a pause (decision 0019).
    much: Vec<u8>,
    /// The number of the poll.
    polls: u64,
    /// Sends that were made without the ring since then.
    sent_at_once: usize,
    statistics: NetStatistics,
}

struct Listener {
    socket: TcpListener,
    armed: bool,
}

impl Uring {
    /// A driver for at most `connections` connections.
    pub fn new(connections: usize) -> io::Result<Self> {
        let mut kernel = Kernel::new()?;
        let buffers = Buffers::register(&kernel)?;
        let eventfd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        kernel.watch_wakes(eventfd.as_fd(), Operation::Wake);
        Ok(Self {
            kernel,
            buffers,
            endpoints: Slots::new(connections),
            listeners: Vec::new(),
            stall: Stall::default(),
            eventfd: Arc::new(eventfd),
            closing: Vec::new(),
            resumed: Vec::new(),
            paused: 0,
            gathered: Gathered::default(),
            batch: Vec::new(),
            own: vec![0; UNPOOLED_BYTES].into(),
            much: Vec::new(),
            polls: 0,
            sent_at_once: 0,
            statistics: NetStatistics::default(),
        })
    }

    fn complete<H: Handler<Socket>>(&mut self, completion: &cqueue::Entry, handler: &mut H) -> usize {
        let (result, flags) = (completion.result(), completion.flags());
        match Operation::from_word(completion.user_data()) {
            Operation::Receive(connection) => self.complete_receive(connection, result, flags, handler),
            Operation::Send(connection) => self.complete_send(connection, result, handler),
            Operation::Watch(connection) => self.complete_watch(connection, result, handler),
            Operation::Cancel(connection) => self.complete_cancel(connection, result),
            Operation::Accept(index) => self.complete_accept(ListenerIndex(index as usize), result, flags, handler),
            Operation::Moment => self.end_gathering(),
            Operation::Wake => {
                if !cqueue::more(flags) {
                    self.kernel.watch_wakes(self.eventfd.as_fd(), Operation::Wake);
                }
                0
            }
        }
    }

    fn complete_send<H: Handler<Socket>>(&mut self, connection: Connection, result: i32, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else {
            unreachable!("{connection:?} has a send in flight")
        };
        let Some(sending) = &mut endpoint.sending else { unreachable!("{connection:?} has a send in flight") };
        let count = result.max(0) as usize;
        sending.sent += count;
        self.statistics.bytes_out += count as u64;
        let complete = sending.sent == sending.bytes.len();
        if !complete && !matches!(endpoint.state, State::Closing(_)) {
            if result > 0 || result == -libc::EINTR {
                self.send_rest(connection);
                return 0;
            }
            let error = if result == 0 { ErrorKind::WriteZero.into() } else { io::Error::from_raw_os_error(-result) };
            return self.fail_send(connection, error, handler);
        }
        let bytes = endpoint.sending.take().map(|sending| sending.bytes).unwrap_or_default();
        let outcome = if complete { Ok(()) } else { Err(ErrorKind::ConnectionAborted.into()) };
        let draining = matches!(endpoint.state, State::Draining);
        handler.sent(connection, bytes, outcome);
        if draining {
            self.end_drained(connection);
        }
        1 + self.finish(connection, handler)
    }

    fn send_rest(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        let Some(sending) = &endpoint.sending else { return };
        let Some(rest) = sending.bytes.get(sending.sent..) else { return };
        // SAFETY: the buffer belongs to `sending`, which nobody takes or changes before the request's completion (see
        // `complete_send`, and `drop`); moving the endpoint moves the vector's handle, not its bytes.
        unsafe { self.kernel.send(endpoint.socket.as_fd(), rest, Operation::Send(connection)) };
    }

    /// A failed send. Bytes that had arrived before are still worth reading (acknowledgements, say): the shutdown makes sure
    /// that the receive comes to an end.
    fn fail_send<H: Handler<Socket>>(&mut self, connection: Connection, error: io::Error, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        let bytes = endpoint.sending.take().map(|sending| sending.bytes).unwrap_or_default();
        let same = copy_error(&error);
        if endpoint.receives() {
            // Its result says nothing that the receive does not.
            let _ = endpoint.socket.shutdown(Shutdown::Both);
            self.statistics.system_calls += 1;
            endpoint.broken = Some(error);
        } else {
            self.begin_closing(connection, Err(error));
        }
        handler.sent(connection, bytes, Err(same));
        1 + self.finish(connection, handler)
    }

    fn complete_watch<H: Handler<Socket>>(&mut self, connection: Connection, result: i32, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else {
            unreachable!("{connection:?} has a watch in flight")
        };
        endpoint.watched = false;
        let reset = result & i32::from(libc::POLLERR | libc::POLLHUP) != 0;
        if result > 0 && reset && endpoint.paused && !matches!(endpoint.state, State::Closing(_)) {
            let error = endpoint.error();
            self.begin_closing(connection, Err(error));
        }
        self.finish(connection, handler)
    }

    fn complete_accept<H: Handler<Socket>>(
        &mut self,
        index: ListenerIndex,
        result: i32,
        flags: u32,
        handler: &mut H,
    ) -> usize {
        if let Some(listener) = self.listeners.get_mut(index.0) {
            listener.armed = cqueue::more(flags);
        }
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            self.statistics.accept_errors += 1;
            if !listener::concerns_one_connection(&error) {
                self.stall.begin();
                return 0;
            }
        }
        self.arm_listener(index.0);
        if result < 0 {
            return 0;
        }
        // SAFETY: a successful accept gives us a descriptor that nobody else owns.
        let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(result) });
        self.statistics.system_calls += 1;
        // A peer that is gone again has no address.
        let Ok(peer) = socket.peer_addr() else { return 0 };
        handler.accepted(index, socket, peer);
        1
    }

    #[allow(clippy::cast_possible_truncation, reason = "there are a few listeners")]
    fn arm_listener(&mut self, index: usize) {
        let Some(listener) = self.listeners.get_mut(index) else { return };
        if !std::mem::replace(&mut listener.armed, true) {
            self.kernel.accept(listener.socket.as_fd(), Operation::Accept(index as u32));
        }
    }

    /// Shuts a connection down, which completes all its requests.
    fn begin_closing(&mut self, connection: Connection, outcome: io::Result<()>) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if matches!(endpoint.state, State::Closing(_)) {
            return;
        }
        endpoint.state = State::Closing(outcome);
        // A socket that is reset cannot be shut down, and need not be.
        let _ = endpoint.socket.shutdown(Shutdown::Both);
        self.statistics.system_calls += 1;
        self.closing.push(connection);
    }

    /// Ends a connection that has nothing more to send.
    fn end_drained(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        self.statistics.system_calls += discard_unread(&endpoint.socket);
        self.begin_closing(connection, Ok(()));
    }

    /// Ends a connection without regard to what is unsent.
    fn abort(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        reset_at_close(&endpoint.socket);
        self.statistics.system_calls += 1;
        self.begin_closing(connection, Ok(()));
    }

    /// Reports a connection that is over.
    fn finish<H: Handler<Socket>>(&mut self, connection: Connection, handler: &mut H) -> usize {
        if !self.endpoints.get_mut(connection).is_some_and(|endpoint| endpoint.is_over()) {
            return 0;
        }
        let Some(endpoint) = self.endpoints.remove(connection) else { return 0 };
        self.statistics.system_calls += 1 + discard_unread(&endpoint.socket);
        let State::Closing(outcome) = endpoint.state else { unreachable!("only a closing connection is over") };
        self.paused -= usize::from(endpoint.paused);
        drop(endpoint.socket);
        handler.closed(connection, outcome);
        1
    }

    fn retry_accept(&mut self, relief: bool) {
        if self.stall.is_over(relief) {
            (0..self.listeners.len()).for_each(|index| self.arm_listener(index));
        }
    }
}

/// Sends what the socket takes without waiting; what is left, or was refused, is the ring's. Says how much that was.
fn send_at_once(socket: &Socket, bytes: &[u8]) -> usize {
    let most = bytes.get(..SEND_BYTES).unwrap_or(bytes);
    rustix::net::send(socket, most, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).unwrap_or(0)
}

impl Net for Uring {
    type Socket = Socket;

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = listener::bind(address, false)?;
        let bound = socket.local_addr()?;
        self.listeners.push(Listener { socket, armed: false });
        self.arm_listener(self.listeners.len() - 1);
        Ok(bound)
    }

    fn adopt(&mut self, socket: Socket) -> io::Result<Connection> {
        // On a socket that does not block, requests would fail instead of waiting.
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        self.statistics.system_calls += 2;
        let connection = self.endpoints.insert(Endpoint::new(socket))?;
        self.after_receive(connection);
        Ok(connection)
    }

    fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> Sent {
        let Some(endpoint) =
            self.endpoints.get_mut(connection).filter(|endpoint| endpoint.is_open() && endpoint.broken.is_none())
        else {
            return Sent::Refused(bytes);
        };
        assert!(endpoint.sending.is_none(), "at most one send of a connection is pending");
        if bytes.is_empty() {
            return Sent::Done(bytes);
        }
        let mut sending = Sending { bytes, sent: 0 };
        if self.sent_at_once < SENDS_AT_ONCE {
            self.sent_at_once += 1;
            self.statistics.system_calls += 1;
            sending.sent = send_at_once(&endpoint.socket, &sending.bytes);
            self.statistics.bytes_out += sending.sent as u64;
            if sending.sent == sending.bytes.len() {
                return Sent::Done(sending.bytes);
            }
        }
        endpoint.sending = Some(sending);
        self.send_rest(connection);
        Sent::Pending
    }

    fn gather(&mut self, connection: Connection, bytes: usize) {
        self.begin_gathering(connection, bytes);
    }

    fn pause(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        self.paused += usize::from(!std::mem::replace(&mut endpoint.paused, true));
        if endpoint.receive == Receive::Armed {
            endpoint.receive = Receive::Cancelling;
            self.kernel.cancel(Operation::Receive(connection), Operation::Cancel(connection));
        }
        if endpoint.is_open() && !std::mem::replace(&mut endpoint.watched, true) {
            self.kernel.watch(endpoint.socket.as_fd(), Operation::Watch(connection));
        }
    }

    fn resume(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        self.paused -= usize::from(std::mem::replace(&mut endpoint.paused, false));
        let reads_at_once = endpoint.receive == Receive::Idle && endpoint.receives();
        let goes_on = reads_at_once || !endpoint.held.is_empty() || endpoint.end == End::Held;
        if goes_on {
            self.go_on_next(connection);
        }
    }

    fn close(&mut self, connection: Connection, closing: Closing) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        match closing {
            Closing::Drained if endpoint.is_open() && endpoint.sending.is_some() => endpoint.state = State::Draining,
            Closing::Drained if endpoint.is_open() => self.end_drained(connection),
            Closing::Drained => {}
            Closing::AtOnce => self.abort(connection),
        }
    }

    fn release(&mut self, connection: Connection) {
        self.endpoints.release(connection);
    }

    fn poll<H: Handler<Socket>>(&mut self, wait: Wait, handler: &mut H) -> io::Result<usize> {
        self.polls += 1;
        self.sent_at_once = 0;
        let mut calls = self.go_on(handler);
        let relief = !self.closing.is_empty();
        for connection in std::mem::take(&mut self.closing) {
            calls += self.finish(connection, handler);
        }
        let wait = if calls > 0 { Wait::None } else { self.stall.bound(wait) };
        self.kernel.enter(wait)?;
        let mut batch = std::mem::take(&mut self.batch);
        self.kernel.completions(&mut batch);
        let relief = relief || batch.is_empty();
        for completion in batch.drain(..) {
            calls += self.complete(&completion, handler);
        }
        self.batch = batch;
        self.retry_accept(relief);
        Ok(calls)
    }

    fn waker(&self) -> Waker {
        let eventfd = self.eventfd.clone();
        Arc::new(move || {
            // A counter that is full refuses the write, and cannot be: nobody writes 2^64 times.
            let _ = rustix::io::write(&*eventfd, &1_u64.to_ne_bytes());
        })
    }

    fn statistics(&self) -> NetStatistics {
        NetStatistics { system_calls: self.statistics.system_calls + self.kernel.system_calls, ..self.statistics }
    }
}

impl Drop for Uring {
    /// The kernel may still read buffers of pending sends and write into the pool: everything is shut down and waited for.
    fn drop(&mut self) {
        for listener in &self.listeners {
            // The request in flight would keep it listening for a while.
            let _ = rustix::net::shutdown(&listener.socket, rustix::net::Shutdown::Both);
        }
        let connections: Vec<_> = self.endpoints.connections().collect();
        for connection in connections {
            self.abort(connection);
        }
        for _ in 0..FAREWELLS {
            if self.endpoints.connections().next().is_none()
                || self.poll(Wait::For(FAREWELL), &mut super::Nobody).is_err()
            {
                break;
            }
        }
        // What the kernel did not let go of is its for good.
        if self.endpoints.connections().next().is_some() {
            self.buffers.leak();
        }
        let connections: Vec<_> = self.endpoints.connections().collect();
        for sending in connections.into_iter().filter_map(|connection| self.endpoints.remove(connection)?.sending) {
            std::mem::forget(sending.bytes);
        }
    }
}
