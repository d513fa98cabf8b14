//! Commands on their way up: the batch being filled, and full ones that wait for room in the ring.

use std::collections::VecDeque;

use postrider_model::CommandBatch;
use postrider_wire::openwire::session::CommandSink;

use crate::ring::Producer;

/// Batches for the broker, in order.
pub struct Outgoing {
    ring: Producer<CommandBatch>,
    open: CommandBatch,
    full: VecDeque<CommandBatch>,
}

impl Outgoing {
    /// Nothing to say yet.
    pub fn new(ring: Producer<CommandBatch>) -> Outgoing {
        Outgoing { ring, open: CommandBatch::default(), full: VecDeque::new() }
    }

    /// Hands over what the ring takes. True: everything is with the broker.
    pub fn push(&mut self) -> bool {
        if !self.open.is_empty() {
            self.close();
        }
        while let Some(batch) = self.full.pop_front() {
            if let Err(batch) = self.ring.push(batch) {
                self.full.push_front(batch);
                return false;
            }
        }
        true
    }

    /// Whether batches wait for room: the sockets must wait, too (R24).
    pub fn is_blocked(&self) -> bool {
        !self.full.is_empty()
    }

    /// Whether waiting batches could go on.
    pub fn can_go_on(&self) -> bool {
        self.is_blocked() && self.ring.has_room()
    }

    fn close(&mut self) {
        let blank = self.ring.blank();
        self.full.push_back(std::mem::replace(&mut self.open, blank));
    }
}

impl CommandSink for Outgoing {
    fn batch(&mut self) -> &mut CommandBatch {
        if self.open.is_full() {
            self.close();
        }
        &mut self.open
    }
}
