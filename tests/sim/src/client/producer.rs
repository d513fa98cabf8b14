//! A producer of a client.

use crate::ledger::Address;

/// What ActiveMQ's clients add to a message's bytes when they count.
const MESSAGE_OVERHEAD: i64 = 1024;

/// A producer.
pub struct Producer {
    /// Never used twice, and the same after a reconnect.
    pub number: u64,
    /// Where it sends; none: each message says so.
    pub address: Option<Address>,
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
    pub fn new(number: u64, address: Option<Address>, window: i32) -> Producer {
        Producer { number, address, window, credit_used: 0, last: 0, is_open: false }
    }

    /// Whether its window is used up: it lets out nothing more that asks for no answer.
    pub fn is_shut(&self) -> bool {
        self.window > 0 && self.credit_used >= i64::from(self.window)
    }

    /// It sends a body of so many bytes that asks for no answer.
    pub fn lets_out(&mut self, length: usize) {
        if self.window > 0 {
            self.credit_used += length as i64 + MESSAGE_OVERHEAD;
        }
    }
}
