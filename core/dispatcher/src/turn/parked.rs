//! Parked sends: when they go on, and how many in one turn.

use postrider_journal::{Bound, NoRoom, Purpose, Spill, Storage};
use postrider_model::{Now, limits};

use super::BrokerTurn;

/// Connections whose parked sends the journal has no place for, that are passed over in one turn.
const PASSED_OVER: usize = 8;

impl<S: Storage, P: Spill> BrokerTurn<S, P> {
    /// Sends that had found a log full go on, as far as there is room: one slice a turn, before newer ones can take it. While nothing
    /// may be stored what the journal has to take waits for reclaim; where that makes no room, those are answered that may not wait.
    pub(super) fn resume_parked(&mut self, now: Now) -> bool {
        self.parked_wait = false;
        if !self.broker.parks() {
            return false;
        }
        let behind = self.logs.journal.has_fallen_behind();
        let settles = behind && self.is_hopeless(now);
        for _ in 0..PASSED_OVER {
            for most in [limits::BATCH_COMMANDS, 1] {
                let answered = if settles { self.broker.settling_slice(most) } else { None };
                let slice = answered.or_else(|| self.broker.parked_slice(most, &self.logs));
                let Some(slice) = slice else { return false };
                if self.begin_slice(slice.bound, behind) {
                    self.broker.unpark(slice, now, &mut self.logs, &mut self.outbox);
                    self.parked_wait = false;
                    return true;
                }
                if most == 1 {
                    self.broker.pass_over(slice, &self.logs);
                    self.parked_wait = true;
                }
            }
        }
        false
    }

    fn begin_slice(&mut self, bound: Bound, behind: bool) -> bool {
        let begun = self.logs.journal.reserve(if behind { Purpose::Settle } else { Purpose::Create }, bound);
        if begun == Err(NoRoom::Full) && !behind {
            self.broker.walk_for(bound, &self.logs);
        }
        begun.is_ok()
    }

    /// Whether what is parked waits for reclaim to make room.
    pub(super) fn holds_parked(&self, now: Now) -> bool {
        self.logs.journal.has_fallen_behind() && !self.is_hopeless(now)
    }

    /// Whether the next turn could go on with parked sends. Where the journal was not ready for them, its news wake the thread.
    pub(super) fn can_resume_parked(&mut self, now: Now) -> bool {
        if !self.broker.parks() || self.parked_wait || self.waits_for_log {
            return false;
        }
        let settles = self.logs.journal.has_fallen_behind() && self.is_hopeless(now);
        (settles && self.broker.settling_slice(1).is_some()) || self.broker.resumes_parked(&self.logs)
    }
}
