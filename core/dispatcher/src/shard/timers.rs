//! When each connection's session wants to be asked about the time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::net::Connection;

/// Entries by time. A session's deadline may move without its entry moving: who takes an entry asks whether it still holds.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Connection)>>,
}

impl Timers {
    /// Asks for the connection to come up at this time, in nanoseconds.
    pub(super) fn insert(&mut self, deadline: u64, connection: Connection) {
        self.heap.push(Reverse((deadline, connection)));
    }

    /// The next connection whose time has come, and that time.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<(u64, Connection)> {
        let Reverse(entry) = *self.heap.peek()?;
        (entry.0 <= now).then(|| {
            self.heap.pop();
            entry
        })
    }

    /// When the first comes up.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_up_in_the_order_of_their_deadlines_and_not_before() {
        let connection = |slot| Connection { slot, generation: 0 };
        let mut timers = Timers::default();
        timers.insert(30, connection(3));
        timers.insert(10, connection(1));
        timers.insert(20, connection(2));
        assert_eq!(timers.deadline(), Some(10));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(20), Some((10, connection(1))));
        assert_eq!(timers.pop_due(20), Some((20, connection(2))));
        assert_eq!(timers.pop_due(20), None);
        assert_eq!(timers.deadline(), Some(30));
    }
}
