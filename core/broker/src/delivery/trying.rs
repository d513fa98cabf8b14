//! What waits in a queue is tried by views that have not: a job for each such queue, in slices (R25, R53). It holds one window of cold bytes,
//! that of the message it has come to, and one such job waits for bytes at a time (R61).

use crate::broker::Broker;
use crate::destinations::destination::{Content, Reference};
use crate::jobs::Slice;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::DestinationIndex;
use crate::plant::planted;
use crate::step::Step;
use postrider_journal::Lookup;
use postrider_model::MessageView;

/// That job.
pub(crate) struct Trying {
    queue: Reference,
}

impl Broker {
    /// What is to be tried of a queue is, from now on.
    pub(crate) fn begin_to_try(&mut self, index: DestinationIndex) {
        let queue = self.destinations.reference(index);
        let Some(views) = self.destinations.get_mut(index).queue().views_mut() else { return };
        if views.wants_job() {
            views.has_job = true;
            self.jobs.push(Trying { queue });
        }
    }

    /// Goes on with it.
    pub(crate) fn try_some<L: Log>(&mut self, trying: &Trying, budget: &mut Budget, step: &mut Step<'_, L>) -> Slice {
        let index = trying.queue.index;
        let given = budget.0.min(self.delivery.trial_steps);
        if given == 0 && self.delivery.trial_at > step.now.nanos {
            self.jobs.rest(self.delivery.trial_at);
            return Slice::Waits;
        }
        let mut slice = Budget(given);
        let outcome = match self.try_slice(trying.queue, &mut slice, step) {
            Slice::More if given < budget.0 => Slice::NextTurn,
            outcome => outcome,
        };
        let taken = given - slice.0;
        budget.spend(taken);
        self.delivery.trial_steps -= taken;
        if outcome == Slice::Done && self.delivery.cold_scan == Some(trying.queue) {
            self.delivery.cold_scan = None;
        }
        if outcome == Slice::Done
            && self.destinations.is_valid(trying.queue)
            && let Content::Queue(queue) = &mut self.destinations.get_mut(index).content
            && let Some(views) = queue.views_mut()
        {
            views.has_job = false;
        }
        outcome
    }

    fn try_slice<L: Log>(&mut self, reference: Reference, budget: &mut Budget, step: &mut Step<'_, L>) -> Slice {
        let (index, mut has_had_bytes) = (reference.index, false);
        loop {
            if !self.destinations.is_valid(reference) {
                return Slice::Done;
            }
            if budget.0 == 0 {
                return Slice::More;
            }
            let Content::Queue(queue) = &mut self.destinations.get_mut(index).content else { return Slice::Done };
            let Some(trial) = queue.next_trial(&self.messages) else { return Slice::Done };
            budget.spend(1);
            let number = trial.2;
            if self.durable.is_of_this_turn(self.messages.at(number).sequence) {
                return Slice::NextTurn;
            }
            let message = self.messages.at(number);
            let (store, position, length, crc) = (message.store, message.position, message.length, message.crc);
            let extent = match step.log.extent(store, position, length, crc) {
                Lookup::Memory(extent) | Lookup::Checked(extent) => Some(extent),
                // Nobody gets it.
                Lookup::Damaged => None,
                // The others have their turn before it asks for the next window.
                Lookup::Cold if has_had_bytes => return Slice::More,
                Lookup::Cold => {
                    let asks = self.delivery.cold_scan.filter(|other| self.destinations.is_valid(*other));
                    if asks.is_none_or(|other| other == reference) || planted("scan-evicts") {
                        self.delivery.cold_scan = Some(reference);
                        step.log.fetch(store, position, length);
                    }
                    return Slice::Waits;
                }
            };
            if self.delivery.cold_scan == Some(reference) {
                (self.delivery.cold_scan, has_had_bytes) = (None, true);
            }
            let length = length as usize;
            let view = extent.as_ref().map(|extent| MessageView::parse(extent.bytes(position, length)));
            let facts = self.facts((index, number));
            let read = view.as_ref().and_then(|view| view.as_ref().ok()).map(|view| (view, facts));
            let Some(views) = self.destinations.get_mut(index).queue().views_mut() else { return Slice::Done };
            self.statistics.evaluations += views.try_one(trial, read, budget);
            self.destinations.line_up(index);
        }
    }
}
