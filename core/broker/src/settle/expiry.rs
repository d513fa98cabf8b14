//! Expiry: before dispatch, and by a look at what waits, now and then.

use crate::broker::Broker;
use crate::clients::consumer::InFlight;
use crate::destinations::destination::Content;
use crate::jobs::Slice;
use crate::kit::budget::Budget;
use crate::kit::deque::Deque;
use crate::log::Log;
use crate::messages::{DestinationIndex, MessageIndex, flag};
use crate::plant::planted;
use crate::settle::settling::{Fate, Settling};
use crate::step::Step;
use postrider_model::{Now, Sequence, limits};

/// Where a sweep over all queues is.
#[derive(Clone, Copy)]
pub(crate) struct Sweep {
    destination: DestinationIndex,
    list: List,
    after: Sequence,
}

/// The lists of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum List {
    Ready,
    Returned,
}

impl Sweep {
    fn of(destination: DestinationIndex) -> Sweep {
        Sweep { destination, list: List::Ready, after: Sequence(0) }
    }

    /// Whether it has looked at nothing of its destination.
    fn is_at_its_beginning(self) -> bool {
        (self.list, self.after) == (List::Ready, Sequence(0))
    }
}

/// That job. There is one at most.
pub(crate) struct Expiring(Settling);

impl Broker {
    /// A message that waits has expired: it leaves its queue, and what becomes of it is a job's, in slices, with the others (R25). A turn
    /// that gave up as many as it looks at would take milliseconds.
    pub(crate) fn expire(&mut self, index: DestinationIndex, message: MessageIndex, was_returned: bool) {
        self.destinations.get_mut(index).queue().take(message, was_returned, &self.messages);
        let sequence = self.messages.at(message).sequence;
        self.settle_expired(InFlight::new(sequence, message, index));
    }

    /// Begins a sweep when it is time.
    pub(crate) fn start_sweep(&mut self, now: Now) {
        if self.settlements.next_sweep == 0 {
            self.settlements.next_sweep = now.deadline_after_millis(self.config.expiry_sweep_millis);
        }
        if self.settlements.next_sweep <= now.nanos {
            self.settlements.next_sweep = now.deadline_after_millis(self.config.expiry_sweep_millis);
            self.settlements.sweep.get_or_insert(Sweep::of(DestinationIndex(0)));
        }
    }

    /// Whether it is a subscription that no consumer has had for as long as it may be without.
    pub(crate) fn is_abandoned(&mut self, index: DestinationIndex, now: Now) -> bool {
        let most = i64::try_from(self.config.offline_millis).unwrap_or(i64::MAX);
        let subscription = &mut self.destinations.get_mut(index).subscription;
        most > 0 && subscription.as_mut().is_some_and(|known| known.is_abandoned(now.unix_millis, most))
    }

    /// Goes on with the sweep, which finds abandoned subscriptions as well. True: there is more.
    pub(crate) fn run_sweep<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        while let Some(sweep) = self.settlements.sweep {
            if budget.0 == 0 {
                return true;
            }
            let Some(index) = self.destinations.next_from(sweep.destination) else {
                self.settlements.sweep = None;
                return false;
            };
            let sweep = if index == sweep.destination { sweep } else { Sweep::of(index) };
            budget.step();
            if sweep.is_at_its_beginning() && self.is_abandoned(index, step.now) {
                self.settlements.abandoned.push_back(self.destinations.reference(index));
            }
            self.settlements.sweep = Some(match (self.sweep_list(sweep, budget, step.now), sweep.list) {
                (Some(after), _) => Sweep { after, ..sweep },
                (None, List::Ready) => Sweep { list: List::Returned, ..Sweep::of(index) },
                (None, List::Returned) => Sweep::of(DestinationIndex(index.0 + 1)),
            });
        }
        false
    }

    /// Up to where it looked, if there is more.
    fn sweep_list(&mut self, sweep: Sweep, budget: &mut Budget, now: Now) -> Option<Sequence> {
        let state = self.destinations.get_mut(sweep.destination);
        if state.is_dying() {
            return None;
        }
        let Content::Queue(queue) = &mut state.content else { return None };
        let now = now.unix_millis;
        if !queue.may_expire(now) {
            return None;
        }
        let mut expired = Deque::default();
        let take = |sequence, index| expired.push_back(InFlight::new(sequence, index, sweep.destination));
        let steps = budget.0.clamp(1, limits::HANDLE_STEPS);
        let last = match sweep.list {
            List::Ready => {
                let (last, looked) = queue.take_expired(sweep.after, (steps, now), &self.messages, take);
                budget.spend(looked);
                last
            }
            List::Returned if planted("returned-never-expires") => None,
            List::Returned => {
                let more = queue.take_expired_returned(steps, now, take);
                budget.spend(expired.len());
                more.then_some(sweep.after)
            }
        };
        while let Some(entry) = expired.pop_front() {
            self.settle_expired(entry);
        }
        last
    }

    /// A message has expired and left its queue; whatever comes behind it there does not wait for it. No command's answer does.
    fn settle_expired(&mut self, entry: InFlight) {
        if self.messages.at(entry.index).has(flag::SHARED) {
            self.destinations.get_mut(entry.of).queue().lend(entry.sequence, entry.index);
        }
        self.settlements.expired.push_back(entry);
        self.jobs.stir();
        if !std::mem::replace(&mut self.settlements.has_expiring, true) {
            self.jobs.push(Expiring(Settling::new(Deque::default(), Fate::Expired)));
        }
    }

    /// Expired messages that have left their queues, all of them together.
    pub(crate) fn expire_waiting<L: Log>(
        &mut self,
        expiring: &mut Expiring,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Slice {
        while let Some(entry) = self.settlements.expired.pop_front() {
            expiring.0.add(entry);
        }
        let outcome = self.settle_some(&mut expiring.0, budget, step);
        if outcome == Slice::Done {
            self.settlements.has_expiring = false;
        }
        outcome
    }
}
