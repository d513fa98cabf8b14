//! One shard accepts connections and deals them evenly to all.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;
use postrider_wire::session::Protocol;

use crate::net::ListenerIndex;
use crate::wake::Alarm;

/// An accepted connection that no shard owns yet.
pub struct Arrival<Socket> {
    /// The driver's socket.
    pub socket: Socket,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// What is spoken on it.
    pub protocol: Protocol,
}

/// Sockets on their way to a shard. A full inbox refuses; the connection is closed then.
pub struct Inbox<Socket> {
    arrivals: ArrayQueue<Arrival<Socket>>,
    /// Sockets that were put here and are not closed yet.
    open: AtomicUsize,
    alarm: Arc<Alarm>,
}

/// Sockets that may wait for one shard.
const INBOX_SOCKETS: usize = 1024;

impl<Socket> Inbox<Socket> {
    /// The inbox of the shard with this alarm.
    #[must_use]
    pub fn new(alarm: Arc<Alarm>) -> Arc<Inbox<Socket>> {
        Arc::new(Inbox { arrivals: ArrayQueue::new(INBOX_SOCKETS), open: AtomicUsize::new(0), alarm })
    }

    /// The oldest socket.
    pub fn take(&self) -> Option<Arrival<Socket>> {
        self.arrivals.pop()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// A socket that came by this inbox is closed.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn put(&self, arrival: Arrival<Socket>) -> bool {
        // Counted before the other side can see it, and close it.
        self.open.fetch_add(1, Ordering::Relaxed);
        let taken = self.arrivals.push(arrival).is_ok();
        if !taken {
            self.closed();
        }
        self.alarm.notify();
        taken
    }
}

/// Deals accepted sockets to inboxes, each in turn.
pub struct Dealer<Socket> {
    inboxes: Vec<Arc<Inbox<Socket>>>,
    /// What is spoken at each listener.
    protocols: Vec<Protocol>,
    next: usize,
    most: usize,
}

/// Why a connection is not dealt: it is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnedAway {
    /// Its shard does not keep up.
    Waiting,
    /// The process has no descriptor to spare for more than so many.
    Open(usize),
}

impl fmt::Display for TurnedAway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TurnedAway::Waiting => formatter.write_str("too many others wait to be served"),
            TurnedAway::Open(open) => write!(
                formatter,
                "{open} connections are open, which is all that the limit of open descriptors leaves: raise it (ulimit -Hn, \
                 LimitNOFILE)"
            ),
        }
    }
}

impl<Socket> Dealer<Socket> {
    /// A dealer to these shards, at least one, of what comes in where these protocols are spoken: the driver's listeners, in order.
    #[must_use]
    pub fn new(inboxes: Vec<Arc<Inbox<Socket>>>, protocols: Vec<Protocol>) -> Dealer<Socket> {
        assert!(!inboxes.is_empty(), "somebody must take the connections");
        Dealer { inboxes, protocols, next: 0, most: usize::MAX }
    }

    /// The same, that turns away whoever comes while so many connections are open.
    #[must_use]
    pub fn limited_to(self, most: usize) -> Dealer<Socket> {
        Dealer { most, ..self }
    }

    /// What is spoken at a listener.
    pub fn spoken_at(&self, listener: ListenerIndex) -> Option<Protocol> {
        self.protocols.get(listener.0).copied()
    }

    /// Gives the socket to the next shard, or closes it.
    ///
    /// # Errors
    /// It is closed, as there are too many.
    pub fn deal(&mut self, arrival: Arrival<Socket>) -> Result<(), TurnedAway> {
        let open: usize = self.inboxes.iter().map(|inbox| inbox.open.load(Ordering::Relaxed)).sum();
        if open >= self.most {
            return Err(TurnedAway::Open(open));
        }
        let taken = self.inboxes.get(self.next).is_some_and(|inbox| inbox.put(arrival));
        self.next = (self.next + 1) % self.inboxes.len();
        if taken { Ok(()) } else { Err(TurnedAway::Waiting) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_wire::testing::PROTOCOL;

    #[test]
    fn sockets_go_round() {
        let (peer, protocol) = (SocketAddr::from(([127, 0, 0, 1], 1)), PROTOCOL);
        let inboxes: Vec<_> = (0..2).map(|_| Inbox::new(Alarm::with_waker(Arc::new(|| ())))).collect();
        let mut dealer = Dealer::new(inboxes.clone(), vec![protocol]);
        assert!((0..4).all(|socket| dealer.deal(Arrival { socket, peer, protocol }).is_ok()));
        let sockets = |inbox: &Inbox<i32>| -> Vec<i32> {
            std::iter::from_fn(|| inbox.take()).map(|arrival| arrival.socket).collect()
        };
        assert_eq!(sockets(&inboxes[0]), [0, 2]);
        assert_eq!(sockets(&inboxes[1]), [1, 3]);
    }

    #[test]
    fn beyond_the_limit_the_newest_is_turned_away_until_another_is_closed() {
        let (peer, protocol) = (SocketAddr::from(([127, 0, 0, 1], 1)), PROTOCOL);
        let inboxes: Vec<_> = (0..2).map(|_| Inbox::new(Alarm::with_waker(Arc::new(|| ())))).collect();
        let mut dealer = Dealer::new(inboxes.clone(), vec![protocol]).limited_to(3);
        assert!((0..3).all(|socket| dealer.deal(Arrival { socket, peer, protocol }).is_ok()));
        assert_eq!(dealer.deal(Arrival { socket: 3, peer, protocol }), Err(TurnedAway::Open(3)));
        inboxes[1].closed();
        assert_eq!(dealer.deal(Arrival { socket: 4, peer, protocol }), Ok(()));
        assert_eq!(dealer.deal(Arrival { socket: 5, peer, protocol }), Err(TurnedAway::Open(3)));
    }
}
