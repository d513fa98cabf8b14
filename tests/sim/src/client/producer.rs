//! A producer of a client.

use crate::ledger::Place;

/// A producer.
pub struct Producer {
    /// Never used twice, and the same after a reconnect.
    pub number: u64,
    /// Where it sends; none: each message says so.
    pub place: Option<Place>,
    /// Bytes of asynchronous sends that it lets out; 0: it does not wait.
    pub window: i32,
    /// Of them, in use.
    pub credit_used: i64,
    /// Number of its last message.
    pub last: i64,
    pub is_open: bool,
}

impl Producer {
    /// A producer that was not answered yet.
    pub fn new(number: u64, place: Option<Place>, window: i32) -> Producer {
        Producer { number, place, window, credit_used: 0, last: 0, is_open: false }
    }
}
