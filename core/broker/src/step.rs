//! What a call works with besides the state, and how much one command may do.

use crate::bounds::COMMAND_STEPS;
use crate::broker::Broker;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::outbox::Outbox;
use crate::plant::planted;
use postrider_model::{Now, limits};

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
    pub(crate) fn begin_command(&mut self) {
        self.before = self.taken;
    }

    /// It takes so many.
    #[inline]
    pub(crate) fn spend(&mut self, steps: usize) {
        self.taken += steps;
    }

    /// How many it were so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Whether the commands of this turn have taken as many as they may.
    pub(crate) fn is_enough(&self) -> bool {
        self.taken >= COMMAND_STEPS
    }

    /// The turn ends.
    pub(crate) fn end_turn(&mut self) {
        *self = Work::default();
    }

    /// What is left to the newest command, which may have done some of it.
    pub(crate) fn left(&self) -> usize {
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
