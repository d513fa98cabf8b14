//! A connection's state: which requests the kernel still has of it, and what is to become of it.

use std::io::{self, ErrorKind};
use std::net::TcpStream;

use crate::net::{Connection, Handler};

/// Its slot is free again only when the kernel has none of its requests.
pub(super) struct Endpoint {
    pub(super) socket: TcpStream,
    pub(super) receive: Receive,
    pub(super) sending: Option<Sending>,
    /// A request for the news of a reset is with the kernel.
    pub(super) watched: bool,
    pub(super) paused: bool,
    /// It is among those that go on in the next poll.
    pub(super) goes_on: bool,
    /// Few bytes do not count as news.
    pub(super) gathers: bool,
    /// The poll in which a buffer of the pool brought something last.
    pub(super) fed: u64,
    /// What had been taken from the socket when it was paused.
    pub(super) held: Vec<u8>,
    /// The peer sends no more; reported, unless it came during a pause.
    pub(super) end: End,
    /// The connection broke; what has arrived is still handed on.
    pub(super) broken: Option<io::Error>,
    pub(super) state: State,
}

/// The receive request. It is one that completes many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    Idle,
    Armed,
    Cancelling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Ahead,
    Held,
    Reported,
}

#[derive(Debug)]
pub(super) enum State {
    Open,
    /// To be closed when the pending send is over.
    Draining,
    /// Shut down; gone when its requests are over.
    Closing(io::Result<()>),
}

/// A buffer that the kernel reads.
pub(super) struct Sending {
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
}

impl Endpoint {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            receive: Receive::Idle,
            sending: None,
            watched: false,
            paused: false,
            goes_on: false,
            gathers: false,
            fed: 0,
            held: Vec::new(),
            end: End::Ahead,
            broken: None,
            state: State::Open,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether a receive should be with the kernel.
    pub(super) fn receives(&self) -> bool {
        self.is_open() && !self.paused && self.end == End::Ahead
    }

    /// Whether nothing of it is left to wait for.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Closing(_))
            && self.receive == Receive::Idle
            && self.sending.is_none()
            && !self.watched
    }

    /// Why a watched socket came to its end.
    pub(super) fn error(&self) -> io::Error {
        self.socket.take_error().ok().flatten().unwrap_or_else(|| ErrorKind::ConnectionReset.into())
    }
}

/// Hands bytes to the handler, or keeps them during a pause.
pub(super) fn hand_on<H: Handler<TcpStream>>(
    connection: Connection,
    endpoint: &mut Endpoint,
    bytes: &[u8],
    handler: &mut H,
) -> usize {
    if !endpoint.is_open() {
        return 0;
    }
    if endpoint.paused {
        endpoint.held.extend_from_slice(bytes);
        return 0;
    }
    handler.received(connection, bytes);
    1
}

/// Tells the handler that the peer sends no more, or keeps that during a pause.
pub(super) fn end_of_stream<H: Handler<TcpStream>>(
    connection: Connection,
    endpoint: &mut Endpoint,
    handler: &mut H,
) -> usize {
    if !endpoint.is_open() {
        return 0;
    }
    endpoint.end = if endpoint.paused { End::Held } else { End::Reported };
    // The end of a broken connection is our own shutdown's.
    if endpoint.paused || endpoint.broken.is_some() {
        return 0;
    }
    handler.ended(connection);
    1
}
