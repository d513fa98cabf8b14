//! What takes long, slice by slice (R25).

use crate::broker::Broker;
use crate::delivery::advisory::{CatchUp, Coming, Passage};
use crate::delivery::trying::Trying;
use crate::durable::applying::Wait;
use crate::durable::undecided::Vanishing;
use crate::intake::parking::Dropping;
use crate::jobs::Slice;
use crate::kit::budget::Budget;
use crate::lifecycle::closing::Closing;
use crate::lifecycle::leaving::Leaving;
use crate::log::Log;
use crate::plant::planted;
use crate::settle::emptying::Emptying;
use crate::settle::expiry::Expiring;
use crate::settle::redelivery::Returning;
use crate::settle::settling::Settling;
use crate::step::Step;
use crate::transaction::branch::Deciding;
use crate::wildcards::matching::{Join, Match};

/// Whatever takes long. Each room has its own: it puts them among the jobs and need not know the others.
pub(crate) enum Job {
    /// Messages that an acknowledgement names.
    Settle(Settling),
    /// Messages that have expired; there is one such job at most.
    Expire(Expiring),
    /// Messages that go back.
    Return(Returning),
    /// A destination that is gone, with its consumers and messages.
    Empty(Emptying),
    /// What a connection that has ended had.
    Leave(Leaving),
    /// What stood behind the goodbye of a connection that has gone.
    Drop(Dropping),
    /// A consumer that goes out of many places.
    Close(Closing),
    /// A consumer whose patterns fit many destinations.
    Match(Match),
    /// A destination that many patterns fit.
    Join(Join),
    /// A prepared branch that is committed as soon as there is room.
    Decide(Deciding),
    /// An advisory that each port is to take.
    Advise(Passage),
    /// A consumer that is to hear of all temporary destinations that were there when it came.
    CatchUp(CatchUp),
    /// A consumer of which others are told when a connection is gone.
    Come(Coming),
    /// A queue of which views try what waits.
    Try(Trying),
    /// A decision that takes effect.
    Await(Wait),
    /// What a transaction has sent that will not be committed.
    Vanish(Vanishing),
}

macro_rules! jobs {
    ($($variant:ident($kind:ty)),* $(,)?) => {
        $(impl From<$kind> for Job {
            fn from(work: $kind) -> Job {
                Job::$variant(work)
            }
        })*
    };
}

jobs! {
    Settle(Settling), Expire(Expiring), Return(Returning), Empty(Emptying), Leave(Leaving), Drop(Dropping), Close(Closing),
    Match(Match), Join(Join), Decide(Deciding), Advise(Passage), CatchUp(CatchUp), Come(Coming), Try(Trying), Await(Wait), Vanish(Vanishing),
}

fn some(done: bool) -> Slice {
    if done { Slice::Done } else { Slice::More }
}

/// A look at something costs a step.
fn look(budget: &mut Budget, done: bool) -> Slice {
    budget.spend(1);
    if done { Slice::Done } else { Slice::Waits }
}

/// Steps of a slice, while there are more jobs than get larger ones in a turn.
const SLICE_STEPS: usize = 250;

impl Broker {
    /// Works on jobs within the budget. True: there is more to do.
    pub(crate) fn run_jobs<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        if planted("unbounded-handle") {
            budget.0 = usize::MAX;
        }
        let jobs = self.jobs.begin_pass(step.now.nanos);
        let slice_steps = (budget.0 / jobs.max(1)).max(SLICE_STEPS);
        let mut goes_on = false;
        for _ in 0..jobs {
            if budget.0 == 0 {
                break;
            }
            let Some(mut entry) = self.jobs.next() else { break };
            let before = self.jobs.pushed();
            let mut slice = Budget(slice_steps.min(budget.0));
            let given = slice.0;
            let outcome = self.run_slice(&mut entry.job, &mut slice, step);
            budget.0 -= given - slice.0;
            if let Some(answer) = entry.answer {
                self.jobs.adopt(answer, before);
            }
            match outcome {
                _ if planted("answers-in-line") && outcome != Slice::Done => {
                    self.jobs.put_first(entry);
                    return outcome != Slice::Waits;
                }
                Slice::Done => {
                    let instead = if let Job::Match(walk) = entry.job { walk.failure() } else { None };
                    self.jobs.finish(entry.answer, instead, step.out);
                }
                outcome => {
                    goes_on |= outcome != Slice::Waits;
                    self.jobs.put_back(entry, outcome);
                }
            }
        }
        goes_on || self.has_jobs_to_do()
    }

    /// Whether there are jobs, and not all of them wait for something.
    #[must_use]
    pub fn has_jobs_to_do(&self) -> bool {
        self.jobs.has_some_to_do()
    }

    fn run_slice<L: Log>(&mut self, job: &mut Job, budget: &mut Budget, step: &mut Step<'_, L>) -> Slice {
        match job {
            Job::Settle(settling) => self.settle_some(settling, budget, step),
            Job::Expire(expiring) => self.expire_waiting(expiring, budget, step),
            Job::Return(returning) => some(self.return_slice(returning, budget)),
            Job::Empty(emptying) => self.empty_some(emptying, budget, step),
            Job::Leave(leaving) => match self.leave_some(leaving, budget, step) {
                false if budget.0 > 0 => Slice::Waits,
                done => some(done),
            },
            Job::Drop(parked) => some(self.drop_some(parked, budget)),
            Job::Close(closing) => some(self.close_some(closing, budget)),
            // Others are told of it at its end.
            Job::Match(_) if !self.sequences.has(self.destinations.heard.most_of_all()) => Slice::Waits,
            Job::Match(walk) => {
                let done = self.match_some(walk, budget);
                if let Some(consumer) = walk.refused() {
                    self.close_refused(consumer, step);
                } else if done && let Some(consumer) = self.matched(walk) {
                    self.consumer_came(consumer, step);
                }
                some(done)
            }
            Job::Join(join) => {
                let done = self.join_some(join, budget);
                if done {
                    self.joined(join);
                }
                some(done)
            }
            Job::Decide(deciding) => {
                budget.spend(1);
                self.decide_waiting(deciding, step)
            }
            Job::Advise(passage) => look(budget, self.has_passed(passage)),
            Job::Try(trying) => self.try_some(trying, budget, step),
            Job::CatchUp(catch_up) => look(budget, self.has_caught_up(catch_up)),
            Job::Await(wait) => look(budget, self.has_applied(wait)),
            Job::Vanish(vanishing) => some(self.vanish_some(vanishing, budget, step)),
            Job::Come(coming) => {
                let done = self.come(coming, step);
                look(budget, done)
            }
        }
    }
}
