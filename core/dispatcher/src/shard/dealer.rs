//! One shard accepts connections and deals them evenly to all.

use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::wake::Alarm;

/// An accepted connection that no shard owns yet.
pub struct Arrival<Socket> {
    /// The driver's socket.
    pub socket: Socket,
    /// Where it comes from.
    pub peer: SocketAddr,
}

/// Sockets on their way to a shard. A full inbox refuses; the connection is closed then.
pub struct Inbox<Socket> {
    arrivals: ArrayQueue<Arrival<Socket>>,
    alarm: Arc<Alarm>,
}

/// Sockets that may wait for one shard.
const INBOX_SOCKETS: usize = 1024;

impl<Socket> Inbox<Socket> {
    /// The inbox of the shard with this alarm.
    #[must_use]
    pub fn new(alarm: Arc<Alarm>) -> Arc<Inbox<Socket>> {
        Arc::new(Inbox { arrivals: ArrayQueue::new(INBOX_SOCKETS), alarm })
    }

    /// The oldest socket.
    pub fn take(&self) -> Option<Arrival<Socket>> {
        self.arrivals.pop()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    fn put(&self, arrival: Arrival<Socket>) -> bool {
        let taken = self.arrivals.push(arrival).is_ok();
        self.alarm.notify();
        taken
    }
}

/// Deals accepted sockets to inboxes, each in turn.
pub struct Dealer<Socket> {
    inboxes: Vec<Arc<Inbox<Socket>>>,
    next: usize,
}

impl<Socket> Dealer<Socket> {
    /// A dealer to these shards; at least one.
    #[must_use]
    pub fn new(inboxes: Vec<Arc<Inbox<Socket>>>) -> Dealer<Socket> {
        assert!(!inboxes.is_empty(), "somebody must take the connections");
        Dealer { inboxes, next: 0 }
    }

    /// Gives the socket to the next shard. False: its inbox is full, and the socket is closed.
    pub fn deal(&mut self, arrival: Arrival<Socket>) -> bool {
        let taken = self.inboxes[self.next].put(arrival);
        self.next = (self.next + 1) % self.inboxes.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_go_round() {
        let inboxes: Vec<_> = (0..2).map(|_| Inbox::new(Alarm::with_waker(Arc::new(|| ())))).collect();
        let mut dealer = Dealer::new(inboxes.clone());
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!((0..4).all(|socket| dealer.deal(Arrival { socket, peer })));
        let sockets = |inbox: &Inbox<i32>| -> Vec<i32> {
            std::iter::from_fn(|| inbox.take()).map(|arrival| arrival.socket).collect()
        };
        assert_eq!(sockets(&inboxes[0]), [0, 2]);
        assert_eq!(sockets(&inboxes[1]), [1, 3]);
    }
}
