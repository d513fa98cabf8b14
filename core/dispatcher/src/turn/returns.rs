//! What goes back to one port, in order: deliveries that may go, replies that wait for a commit.

use std::collections::VecDeque;

use postrider_broker::EventBatch;
use postrider_journal::Position;

use crate::plant::planted;
use crate::ring::Sender;
use crate::turn::gathering::Gathering;

/// Batches for one port. Replies are bounded by the commands in flight, deliveries by credit and by the room that the outbox
/// was told of.
#[derive(Default)]
pub(super) struct Returns {
    /// Deliveries that the ring had no room for.
    deliveries: VecDeque<EventBatch>,
    replies: VecDeque<Replies>,
}

/// A batch of replies.
struct Replies {
    /// What must be committed first (R13).
    wait: Position,
    /// It was not when they were made.
    waited: bool,
    batch: EventBatch,
}

impl Returns {
    /// Adds deliveries; they wait for nothing.
    pub(super) fn deliver(&mut self, batch: EventBatch) {
        self.deliveries.push_back(batch);
    }

    /// Adds replies that wait until this position is committed. If it is not yet, `gathering` is told.
    pub(super) fn reply(&mut self, batch: EventBatch, wait: Position, committed: Position, gathering: &mut Gathering) {
        let wait = if planted("reply-before-commit") { Position(0) } else { wait };
        let waited = wait > committed;
        if waited {
            gathering.ask(&batch);
        }
        self.replies.push_back(Replies { wait, waited, batch });
    }

    /// Hands over the deliveries that the ring takes.
    pub(super) fn push_deliveries(&mut self, ring: &mut Sender<EventBatch>) -> bool {
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

    /// Hands over the replies whose wait is over, as far as the ring takes them; behind all deliveries. `gathering` is told.
    pub(super) fn push_replies(
        &mut self,
        committed: Position,
        ring: &mut Sender<EventBatch>,
        gathering: &mut Gathering,
    ) -> bool {
        let mut pushed = false;
        while !self.is_blocked()
            && ring.has_room()
            && self.replies.front().is_some_and(|replies| replies.wait <= committed)
        {
            let Some(Replies { wait, waited, batch }) = self.replies.pop_front() else { break };
            if waited {
                gathering.answer(&batch);
            }
            if let Err(batch) = ring.push(batch) {
                self.replies.push_front(Replies { wait, waited: false, batch });
                break;
            }
            pushed = true;
        }
        pushed
    }

    /// Whether deliveries wait for room in the ring: no more are made until they are gone.
    pub(super) fn is_blocked(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// Whether replies wait for a commit.
    pub(super) fn waits(&self, committed: Position) -> bool {
        self.replies.back().is_some_and(|replies| replies.wait > committed)
    }

    /// Whether something could go, had the ring room.
    pub(super) fn is_ready(&self, committed: Position) -> bool {
        self.is_blocked() || self.replies.front().is_some_and(|replies| replies.wait <= committed)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.replies.is_empty()
    }
}
