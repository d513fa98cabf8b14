//! What a consumer had in flight goes back, in order and ahead of newer messages.

use crate::broker::Broker;
use crate::clients::consumer::{Consumer, InFlight};
use crate::clients::transaction::runs;
use crate::destinations::destination::{Content, Reference};
use crate::kit::budget::Budget;
use crate::kit::deque::Deque;
use crate::messages::flag;
use crate::plant::planted;
use postrider_model::command::LastDelivered;
use postrider_model::{Sequence, limits};

/// Which of the messages that come back had been given to the application.
#[derive(Clone, Copy, Debug)]
struct Delivered {
    /// So many of the first ones.
    first: usize,
    /// And those up to this one, wherever they stand.
    up_to: Sequence,
}

impl Delivered {
    /// A session says what it delivered last over all its consumers, a connection over all its sessions: where that was another's
    /// message, older ones were delivered before it.
    fn of(consumer: &Consumer, last_delivered: LastDelivered) -> Delivered {
        let first = |first| Delivered { first, up_to: Sequence(0) };
        match last_delivered {
            LastDelivered::Unknown => first(usize::MAX),
            LastDelivered::None => first(0),
            // Of a subscription's all that are older were.
            LastDelivered::UpTo(sequence) if consumer.subscription.is_some() => Delivered { first: 0, up_to: sequence },
            LastDelivered::UpTo(sequence) => match consumer.count_through(sequence) {
                Some(count) => first(count),
                None if planted("redelivered-by-match") => first(0),
                None => Delivered { first: 0, up_to: sequence },
            },
        }
    }

    /// Whether the next one was.
    fn next(&mut self, sequence: Sequence) -> bool {
        let delivered = self.first > 0 || sequence <= self.up_to;
        self.first = self.first.saturating_sub(1);
        delivered
    }
}

/// Messages that go back, while queues hold still.
pub(crate) struct Returning {
    entries: Deque<InFlight>,
    delivered: Delivered,
    held: Vec<Reference>,
}

impl Broker {
    /// Gives back what a closed consumer had, with the counters of what had been delivered raised. Where it is much, the queues that
    /// it had left hold still meanwhile.
    pub(crate) fn return_in_flight(
        &mut self,
        mut consumer: Consumer,
        last_delivered: LastDelivered,
        held: Vec<Reference>,
    ) {
        self.return_aside(&mut consumer, &held);
        let mut delivered = Delivered::of(&consumer, last_delivered);
        let mut entries = consumer.into_in_flight();
        if entries.len() <= limits::HANDLE_STEPS {
            self.return_some(&mut entries, &mut delivered, usize::MAX);
        }
        if entries.is_empty() {
            return self.release_queues(&held);
        }
        self.jobs.push(Returning { entries, delivered, held });
    }

    /// What a transaction had acknowledged that is rolled back goes back, as its consumer is gone: all of it had been delivered. In an
    /// earlier life, a crash has counted that already (R50).
    pub(crate) fn return_claimed(&mut self, taken: Vec<InFlight>, in_this_life: bool) {
        let first = if in_this_life { usize::MAX } else { 0 };
        let mut delivered = Delivered { first, up_to: Sequence(0) };
        let mut entries = Deque::default();
        let is_much = taken.len() > limits::HANDLE_STEPS;
        let from = runs(&taken).filter(|_| is_much);
        let held: Vec<Reference> = from.map(|(index, _)| self.destinations.reference(index)).collect();
        taken.into_iter().for_each(|entry| entries.push_back(entry));
        if !is_much {
            return self.return_some(&mut entries, &mut delivered, usize::MAX);
        }
        self.hold_queues(&held);
        self.jobs.push(Returning { entries, delivered, held });
    }

    /// What could not be sent to the consumer is there for others.
    fn return_aside(&mut self, consumer: &mut Consumer, held: &[Reference]) {
        let entries = consumer.take_aside();
        if entries.is_empty() {
            return;
        }
        let delivered = Delivered { first: 0, up_to: Sequence(0) };
        self.hold_queues(held);
        self.jobs.push(Returning { entries, delivered, held: held.into() });
    }

    /// The queues hold still until all messages are back.
    pub(crate) fn hold_queues(&mut self, held: &[Reference]) {
        for reference in held {
            if self.destinations.is_valid(*reference)
                && let Content::Queue(queue) = &mut self.destinations.get_mut(reference.index).content
            {
                queue.hold();
            }
        }
    }

    /// The messages are all back: the queues go on.
    fn release_queues(&mut self, held: &[Reference]) {
        for reference in held {
            if self.destinations.is_valid(*reference)
                && let Content::Queue(queue) = &mut self.destinations.get_mut(reference.index).content
            {
                queue.release();
                self.destinations.line_up(reference.index);
            }
        }
    }

    /// Goes on with it. True: all are back.
    pub(crate) fn return_slice(
        &mut self,
        Returning { entries, delivered, held }: &mut Returning,
        budget: &mut Budget,
    ) -> bool {
        let steps = budget.0.min(entries.len());
        self.return_some(entries, delivered, steps);
        budget.0 -= steps;
        let done = entries.is_empty();
        if done {
            self.release_queues(held);
        }
        done
    }

    /// Gives up to `steps` messages back.
    fn return_some(&mut self, entries: &mut Deque<InFlight>, delivered: &mut Delivered, steps: usize) {
        for _ in 0..steps {
            let Some(entry) = entries.pop_front() else { break };
            self.return_one(entry, delivered.next(entry.sequence));
        }
    }

    /// It is its queue's again.
    pub(crate) fn return_one(&mut self, entry: InFlight, delivered: bool) {
        let InFlight { index, of, sequence, .. } = entry;
        let before = if delivered { self.redeliveries(of, self.messages.at(index)) } else { 0 };
        let message = self.messages.at_mut(index);
        let (is_shared, expiration) = (message.has(flag::SHARED), message.expiration);
        message.flags &= !flag::IN_FLIGHT;
        if delivered && !is_shared {
            message.redeliveries = before.saturating_add(1);
        }
        if delivered {
            self.note_counted(of, index);
        }
        let queue = self.destinations.get_mut(of).queue();
        if is_shared {
            queue.take_back(sequence, delivered.then(|| before.saturating_add(1)));
        }
        if planted("lost-return-order") {
            queue.push(index, expiration);
        } else {
            queue.give_back(sequence, index, expiration);
        }
        self.destinations.line_up(of);
    }
}
