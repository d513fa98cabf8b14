//! What a consumer had in flight goes back, in order and ahead of newer messages.

use crate::broker::Broker;
use crate::consumer::{Consumer, InFlight, Standing};
use crate::deque::Deque;
use crate::destination::Content;
use crate::jobs::Job;
use crate::messages::{DestinationIndex, flag};
use crate::plant::planted;
use postrider_model::command::LastDelivered;
use postrider_model::limits;
use std::cmp::Reverse;

impl Broker {
    /// Gives back what a closed consumer had: the first ones, up to what it says was delivered, with their counters raised.
    pub(crate) fn return_in_flight(&mut self, mut consumer: Consumer, last_delivered: LastDelivered) {
        let delivered = match last_delivered {
            LastDelivered::Unknown => consumer.in_flight.len(),
            LastDelivered::None => 0,
            LastDelivered::UpTo(sequence) => {
                let found = consumer.in_flight.iter().position(|entry| entry.sequence == sequence);
                found.map_or(0, |index| index + 1)
            }
        };
        if consumer.in_flight.len() <= limits::HANDLE_STEPS {
            self.return_some(&mut consumer.in_flight, delivered, usize::MAX);
            return;
        }
        let held = self.hold_queues(&consumer);
        self.jobs.push(Job::Return { entries: consumer.in_flight, delivered, held });
    }

    /// Nothing goes out of these queues while what is older is on its way back.
    fn hold_queues(&mut self, consumer: &Consumer) -> Vec<DestinationIndex> {
        let known = consumer.subscriptions.iter().filter(|subscription| subscription.standing != Standing::Gone);
        let held: Vec<DestinationIndex> = known.map(|subscription| subscription.destination).collect();
        for index in &held {
            if let Content::Queue(queue) = &mut self.destinations.get_mut(*index).content {
                queue.holds += 1;
            }
        }
        held
    }

    /// The messages are all back: the queues go on.
    pub(crate) fn release_queues(&mut self, held: &[DestinationIndex]) {
        for index in held {
            if let Some(Content::Queue(_)) = self.destinations.try_get(*index).map(|state| &state.content) {
                let queue = self.destinations.get_mut(*index).queue();
                queue.holds = queue.holds.saturating_sub(1);
                self.schedule(*index);
            }
        }
    }

    /// Gives up to `steps` messages back; how many of the rest were delivered.
    pub(crate) fn return_some(&mut self, entries: &mut Deque<InFlight>, mut delivered: usize, steps: usize) -> usize {
        for _ in 0..steps {
            let Some(entry) = entries.pop_front() else { break };
            self.return_one(entry, delivered > 0);
            delivered = delivered.saturating_sub(1);
        }
        delivered
    }

    fn return_one(&mut self, entry: InFlight, delivered: bool) {
        let message = &mut self.messages[entry.index.0];
        message.flags &= !flag::IN_FLIGHT;
        message.redeliveries = message.redeliveries.saturating_add(u16::from(delivered));
        let destination = message.destination;
        let queue = self.destinations.get_mut(destination).queue();
        if planted("lost-return-order") {
            queue.ready.push_back(entry.index);
        } else {
            queue.returned.push(Reverse((entry.sequence, entry.index)));
        }
        self.schedule(destination);
    }
}
