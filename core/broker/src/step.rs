//! What a call works with besides the state, and how much one command may do.

use crate::broker::Broker;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::outbox::Outbox;
use crate::plant::planted;
use postrider_model::{Now, limits};

/// Bytes of a record that are copied and checked in the time of a step.
pub(crate) const STEP_BYTES: usize = 256;

/// Deliveries and messages looked at in one turn.
pub(crate) const TURN_STEPS: usize = 8_192;

/// Steps of jobs in one turn: below [`limits::JOB_SLICE_NANOS`] at 100 ns each.
pub(crate) const JOB_STEPS: usize = 2_000;
const _: () = assert!(JOB_STEPS as u64 * 100 <= limits::JOB_SLICE_NANOS);

/// Steps that the commands of one turn take, besides what each of them takes: a command that may take [`limits::HANDLE_STEPS`] is the
/// last one beyond it.
const COMMAND_STEPS: usize = 4_000;

/// What a call works with besides the state: the time, the logs, and where events go.
pub(crate) struct Step<'a, L: Log> {
    pub now: Now,
    pub log: &'a mut L,
    pub out: &'a mut Outbox,
}

/// Steps that commands have taken in this turn besides what each of them takes (R53).
#[derive(Default)]
pub(crate) struct Work {
    taken: usize,
    /// What they had taken when the newest of them came.
    before: usize,
}

impl Work {
    /// A command comes.
    #[inline]
    pub fn begin_command(&mut self) {
        self.before = self.taken;
    }

    /// It takes so many.
    #[inline]
    pub fn spend(&mut self, steps: usize) {
        self.taken += steps;
    }

    /// Whether the commands of this turn have taken as many as they may.
    pub fn is_enough(&self) -> bool {
        self.taken >= COMMAND_STEPS
    }

    /// The turn ends.
    pub fn end_turn(&mut self) {
        *self = Work::default();
    }

    /// What is left to the newest command, which may have done some of it.
    fn left(&self) -> usize {
        if planted("unbounded-handle") {
            return usize::MAX;
        }
        limits::HANDLE_STEPS.saturating_sub(self.taken - self.before)
    }
}

impl Broker {
    /// Does as much as one command may, which may have done some of it before. What is left when it is not done is a job.
    pub(crate) fn at_once(&mut self, work: impl FnOnce(&mut Broker, &mut Budget) -> bool) -> bool {
        let steps = self.work.left();
        let mut budget = Budget(steps);
        let done = work(self, &mut budget);
        self.work.spend(steps - budget.0);
        done
    }

    /// Whether the commands of this turn have taken as many steps as they may: those that follow are for the next one (R53).
    #[must_use]
    pub fn has_worked_enough(&self) -> bool {
        self.work.is_enough()
    }
}
