//! What goes back to one port, in order: deliveries that may go, replies that wait for a commit.

use std::collections::VecDeque;

use postrider_broker::EventBatch;
use postrider_journal::Position;

use crate::plant::planted;
use crate::ring::Producer;

/// Batches for one port. Replies are bounded by the commands in flight, deliveries by credit and by the room that the outbox
/// was told of.
#[derive(Default)]
pub struct Returns {
    /// Deliveries that the ring had no room for.
    deliveries: VecDeque<EventBatch>,
    /// Replies, each batch with what must be committed first (R13).
    replies: VecDeque<(Position, EventBatch)>,
}

impl Returns {
    /// Adds deliveries; they wait for nothing.
    pub fn deliver(&mut self, batch: EventBatch) {
        self.deliveries.push_back(batch);
    }

    /// Adds replies that wait until this position is committed.
    pub fn reply(&mut self, batch: EventBatch, wait: Position) {
        let wait = if planted("reply-before-commit") { Position(0) } else { wait };
        self.replies.push_back((wait, batch));
    }

    /// Hands over the deliveries that the ring takes.
    pub fn push_deliveries(&mut self, ring: &mut Producer<EventBatch>) -> bool {
        let mut pushed = false;
        while let Some(batch) = self.deliveries.pop_front() {
            if let Err(batch) = ring.push(batch) {
                self.deliveries.push_front(batch);
                break;
            }
            pushed = true;
        }
        pushed
    }

    /// Hands over the replies whose wait is over, as far as the ring takes them; behind all deliveries.
    pub fn push_replies(&mut self, committed: Position, ring: &mut Producer<EventBatch>) -> bool {
        let mut pushed = false;
        while !self.is_blocked() && self.replies.front().is_some_and(|(wait, _)| *wait <= committed) {
            let Some((wait, batch)) = self.replies.pop_front() else { break };
            if let Err(batch) = ring.push(batch) {
                self.replies.push_front((wait, batch));
                break;
            }
            pushed = true;
        }
        pushed
    }

    /// Whether deliveries wait for room in the ring: no more are made until they are gone.
    pub fn is_blocked(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// Whether replies wait for a commit.
    pub fn waits(&self, committed: Position) -> bool {
        self.replies.back().is_some_and(|(wait, _)| *wait > committed)
    }

    /// Whether something could go, had the ring room.
    pub fn is_ready(&self, committed: Position) -> bool {
        self.is_blocked() || self.replies.front().is_some_and(|(wait, _)| *wait <= committed)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.replies.is_empty()
    }
}
