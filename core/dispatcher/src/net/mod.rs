//! The seam to the network: connections that complete, no futures.
//!
//! A shard calls [`Net::poll`] in its turn and gets everything that happened as calls of its [`Handler`]; what it wants done
//! it tells by the other methods, between polls. The drivers behind the seam are [`epoll`], [`uring`] and [`tokio_uring`];
//! the simulator has one of its own. Time enters only as the bound of a wait.

#[cfg(not(loom))]
pub mod epoll;
#[cfg(not(loom))]
mod listener;
#[cfg(not(loom))]
mod slots;
#[cfg(not(loom))]
mod socket;
#[cfg(not(loom))]
pub mod tokio_uring;
#[cfg(not(loom))]
#[expect(unsafe_code, reason = "the ring's memory is shared with the kernel")]
pub mod uring;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use crate::wake::Waker;
#[cfg(not(loom))]
pub use listener::try_address;

/// Who has no more than this to say is received from while it waits to be heard: most say one thing at a time, and a pause costs more than
/// hearing it. Who has more is paused.
#[cfg(not(loom))]
pub(crate) const LITTLE_BYTES: usize = 4 << 10;

/// What one connection brings at once that has much to say, and all together before the others are looked at (decision 0019).
#[cfg(not(loom))]
const AT_ONCE_BYTES: usize = 512 << 10;
#[cfg(not(loom))]
const BYTES_PER_POLL: usize = 1 << 20;

/// While more connections than this are paused, each read takes little: bytes that come before their connection is paused, and those
/// that are on their way then, are kept until it goes on.
#[cfg(not(loom))]
const PAUSED_FEW: usize = 16;

/// What is received at a time then.
#[cfg(not(loom))]
const CAREFUL_BYTES: usize = 2 << 10;

/// A connection of one driver. Slots are used again once they are [released](Net::release), pairs of slot and generation are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connection {
    /// Index into the driver's table; small, so that the shard can keep a table of its own by it.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

/// A listener of one driver: they are numbered from 0 on, as [`Net::listen`] is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerIndex(pub usize);

/// How long [`Net::poll`] may block when nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    None,
    /// At most so long.
    For(Duration),
    /// Until something happens or the waker is used.
    Forever,
    /// As [`For`](Self::For) or, without a limit, as [`Forever`](Self::Forever). A driver that can count need not return for less
    /// than `count` things (a use of the waker is one) before `within` has passed.
    Several {
        /// Things that happen.
        count: usize,
        /// For so long it is not worth returning for fewer.
        within: Duration,
        /// At most so long, whether something happened or not.
        limit: Option<Duration>,
    },
}

impl Wait {
    /// The shorter of the two.
    #[must_use]
    pub fn at_most(self, limit: Duration) -> Self {
        match self {
            Self::None => Self::None,
            Self::For(wait) => Self::For(wait.min(limit)),
            Self::Forever => Self::For(limit),
            Self::Several { count, within, limit: before } => {
                Self::Several { count, within, limit: Some(before.map_or(limit, |before| before.min(limit))) }
            }
        }
    }

    /// How long a driver that does not count may block; none: for ever.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::None => Some(Duration::ZERO),
            Self::For(limit) => Some(limit),
            Self::Forever => None,
            Self::Several { limit, .. } => limit,
        }
    }
}

/// What became of a buffer given to [`Net::send`].
#[derive(Debug)]
pub enum Sent {
    /// All of it is with the kernel; there will be no [`Handler::sent`] for it.
    Done(Vec<u8>),
    /// The driver keeps it until [`Handler::sent`] brings it back.
    Pending,
    /// The connection is closed or closing: nothing was sent.
    Refused(Vec<u8>),
}

/// How [`Net::close`] ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// After the send that is pending. Nothing more is received. It has no time limit: a peer that does not read keeps it
    /// open until it is closed [`AtOnce`](Self::AtOnce).
    Drained,
    /// A pending send fails, and what the peer has not received yet is lost: it gets a reset.
    AtOnce,
}

/// Counts since the driver was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStatistics {
    /// Calls into the kernel, all kinds.
    pub system_calls: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that the kernel took.
    pub bytes_out: u64,
    /// Accepts that failed, for want of descriptors say.
    pub accept_errors: u64,
}

/// A network driver: one thread's.
pub trait Net {
    /// An accepted connection that no driver owns yet, so that one acceptor can deal to all shards.
    type Socket: Send;

    /// Accepts connections on the address from the next poll on; answers with the address in fact bound (port 0 is chosen by
    /// the system).
    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr>;

    /// Takes a socket over. It receives from the next poll on, and small sends are not delayed (TCP_NODELAY).
    fn adopt(&mut self, socket: Self::Socket) -> io::Result<Connection>;

    /// Sends a buffer.
    ///
    /// # Panics
    /// When a send of this connection is pending: at most one is.
    fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> Sent;

    /// What comes from a connection need not end a wait before it is so many bytes, or has lain for a moment of about two milliseconds,
    /// after which this is over. A driver that cannot do that tells of it at once.
    fn gather(&mut self, connection: Connection, bytes: usize) {
        let _ = (connection, bytes);
    }

    /// Receives nothing more until [`resume`](Self::resume). A reset connection is reported all the same.
    fn pause(&mut self, connection: Connection);

    /// Ends a pause.
    fn resume(&mut self, connection: Connection);

    /// Ends a connection; [`Handler::closed`] confirms it from a later poll. Nothing is received after this call.
    fn close(&mut self, connection: Connection, closing: Closing);

    /// Nothing is known any more of a connection that was reported as closed: its slot may be used again.
    fn release(&mut self, connection: Connection);

    /// Tells the handler what happened, waiting for it if nothing has; a bounded amount of it. Says how many times the handler
    /// was called.
    fn poll<H: Handler<Self::Socket>>(&mut self, wait: Wait, handler: &mut H) -> io::Result<usize>;

    /// Ends the wait of a poll, or of the next one, from another thread.
    fn waker(&self) -> Waker;

    /// Counts since the driver was made.
    fn statistics(&self) -> NetStatistics;
}

/// What a driver reports. For one connection: any number of `received`, `sent` and at most one `ended`, then one `closed`.
/// A connection that the shard has closed (or that is gone) may be named to the driver's methods; it is ignored.
pub trait Handler<Socket> {
    /// A connection came in on this listener.
    fn accepted(&mut self, listener: ListenerIndex, socket: Socket, peer: SocketAddr);

    /// Bytes came; the memory is the driver's.
    fn received(&mut self, connection: Connection, bytes: &[u8]);

    /// The same of many, in a buffer that may be kept, if another is left in its place.
    fn received_much(&mut self, connection: Connection, buffer: &mut Vec<u8>) {
        self.received(connection, buffer);
    }

    /// A pending send is over: all of the buffer is with the kernel, or the error.
    fn sent(&mut self, connection: Connection, buffer: Vec<u8>, result: io::Result<()>);

    /// The peer sends no more; it may still read. The connection stays until it is closed from here (or breaks), so that
    /// answers still reach a peer that half-closed.
    fn ended(&mut self, connection: Connection);

    /// The connection is gone; exactly once for each. Ok: it was closed from here.
    fn closed(&mut self, connection: Connection, reason: io::Result<()>);
}

/// Hears a dropped driver's last words.
#[cfg(not(loom))]
struct Nobody;

#[cfg(not(loom))]
impl<Socket> Handler<Socket> for Nobody {
    fn accepted(&mut self, _: ListenerIndex, _: Socket, _: SocketAddr) {}
    fn received(&mut self, _: Connection, _: &[u8]) {}
    fn sent(&mut self, _: Connection, _: Vec<u8>, _: io::Result<()>) {}
    fn ended(&mut self, _: Connection) {}
    fn closed(&mut self, _: Connection, _: io::Result<()>) {}
}
