//! Expiry: before dispatch, and by a look at what waits, now and then.

use crate::broker::{Broker, Step};
use crate::consumer::InFlight;
use crate::dead_letter::Cause;
use crate::deque::Deque;
use crate::destination::Content;
use crate::dispatch::Budget;
use crate::jobs::{Fate, Job};
use crate::log::Log;
use crate::messages::{DestinationIndex, MessageIndex};
use postrider_model::{Now, Sequence, limits};

/// Where a sweep over all queues is.
#[derive(Clone, Copy)]
pub(crate) struct Sweep {
    destination: DestinationIndex,
    after: Sequence,
}

impl Broker {
    /// The message at the front has expired. False: it has to wait.
    pub(crate) fn expire_front<L: Log>(
        &mut self,
        index: DestinationIndex,
        message: MessageIndex,
        was_returned: bool,
        step: &mut Step<'_, L>,
    ) -> bool {
        // A dead letter's own queue may be this one: the message leaves before its copy comes.
        self.destinations.get_mut(index).queue().take_front(was_returned);
        if self.give_up(message, Cause::Expired, step).is_ok() {
            return true;
        }
        let entry = std::cmp::Reverse((self.message(message).sequence, message));
        self.destinations.get_mut(index).queue().returned.push(entry);
        self.await_commit(index);
        self.await_bytes(index);
        false
    }

    /// Begins a sweep when it is time.
    pub(crate) fn start_sweep(&mut self, now: Now) {
        if self.next_sweep == 0 {
            self.next_sweep = now.deadline_after_millis(self.config.expiry_sweep_millis);
        }
        if self.next_sweep <= now.nanos {
            self.next_sweep = now.deadline_after_millis(self.config.expiry_sweep_millis);
            self.sweep.get_or_insert(Sweep { destination: DestinationIndex(0), after: Sequence(0) });
        }
    }

    /// Goes on with the sweep. True: there is more.
    pub(crate) fn run_sweep<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        while let Some(sweep) = self.sweep {
            if budget.0 == 0 {
                return true;
            }
            let Some(index) = self.destinations.next_from(sweep.destination) else {
                self.sweep = None;
                return false;
            };
            let after = if index == sweep.destination { sweep.after } else { Sequence(0) };
            budget.step();
            self.sweep = Some(match self.sweep_queue(index, after, budget, step.now) {
                Some(last) => Sweep { destination: index, after: last },
                None => Sweep { destination: DestinationIndex(index.0 + 1), after: Sequence(0) },
            });
        }
        false
    }

    /// Up to where it looked, if there is more.
    fn sweep_queue(
        &mut self,
        index: DestinationIndex,
        after: Sequence,
        budget: &mut Budget,
        now: Now,
    ) -> Option<Sequence> {
        let state = self.destinations.get_mut(index);
        let Content::Queue(queue) = &mut state.content else { return None };
        if state.dying {
            return None;
        }
        let messages = &self.messages;
        let mut expired = Deque::default();
        let steps = budget.0.min(limits::HANDLE_STEPS);
        let last = queue.ready.sweep(
            |number: MessageIndex| messages[number.0].sequence <= after,
            steps,
            |number| {
                budget.step();
                let message = &messages[number.0];
                let gone = message.expiration > 0 && message.expiration <= now.unix_millis;
                if gone {
                    expired.push_back(InFlight { sequence: message.sequence, index: number });
                }
                gone
            },
        );
        let last = last.map(|number| messages.get(number.0).map_or(after, |message| message.sequence));
        if !expired.is_empty() {
            self.jobs.push(Job::Settle { entries: expired, fate: Fate::Expired });
        }
        last
    }
}
