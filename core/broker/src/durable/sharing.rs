//! Messages that subscriptions share: one record and one entry of the table for all of them, a reference in each (R40).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::store::{Arrival, is_sharer};
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, MessageIndex, flag};
use crate::plant::planted;
use crate::records::Placement;
use crate::step::Step;
use postrider_journal::Home;
use postrider_model::{DestinationId, Sequence, limits};

/// What is sent to a topic, and the subscriptions that are to have it.
pub(crate) struct Shared {
    pub topic: DestinationIndex,
    pub subscriptions: Vec<DestinationIndex>,
}

/// Subscriptions that are asked in the time of a step whether they want a message.
const ASKED_A_STEP: usize = 2;

/// How many places a message takes that goes to these.
pub(crate) fn places_of(parts: usize, shared: &[Shared]) -> usize {
    parts + shared.iter().map(|shared| shared.subscriptions.len()).sum::<usize>()
}

/// The places of a message, by the records that say them: as many as they need.
pub(super) fn split_places(
    (parts, shared): (&[DestinationIndex], &[Shared]),
    id: impl Fn(DestinationIndex) -> DestinationId,
    offered: impl Fn(usize) -> bool,
    next: &mut impl FnMut() -> Sequence,
) -> Vec<(Vec<DestinationIndex>, Vec<Placement>)> {
    let mut records = Vec::new();
    let mut all: (Vec<DestinationIndex>, Vec<Placement>) = Default::default();
    let add = |all: &mut (Vec<DestinationIndex>, Vec<Placement>), part, placement| {
        all.0.push(part);
        all.1.push(Placement { destination: id(part), ..placement });
    };
    for (number, part) in parts.iter().enumerate() {
        add(&mut all, *part, Placement { sequence: next(), offered: offered(number), ..Placement::default() });
    }
    for Shared { topic, subscriptions } in shared {
        let mut rest = subscriptions.as_slice();
        loop {
            if all.0.len() + 2 > limits::PLACES {
                records.push(std::mem::take(&mut all));
            }
            let (now, later) = rest.split_at(rest.len().min(limits::PLACES - 1 - all.0.len()));
            let place = Placement { sequence: next(), shared: true, ..Placement::default() };
            add(&mut all, *topic, place);
            now.iter().for_each(|part| add(&mut all, *part, place));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
    }
    if !all.0.is_empty() {
        records.push(all);
    }
    records
}

impl Broker {
    /// As [`Broker::store`], with what subscriptions share. More of them than a record has places for get another one; the last says what
    /// its producer has sent.
    pub(crate) fn store_shared<L: Log>(
        &mut self,
        store: LogKind,
        (parts, shared): (&[DestinationIndex], &[Shared]),
        arrival: Arrival<'_>,
        offered: impl Fn(&Broker, DestinationIndex) -> bool,
        step: &mut Step<'_, L>,
    ) -> Option<Home> {
        parts.iter().for_each(|part| self.try_arrival(*part, &arrival));
        let id = |of: DestinationIndex| self.destinations.get(of).id.unwrap_or_default();
        let offered: Vec<bool> = parts.iter().map(|part| store == LogKind::Journal && offered(self, *part)).collect();
        let is_offered = |number: usize| offered.get(number).copied().unwrap_or(false);
        let sequences = &mut self.sequences;
        let records = split_places((parts, shared), id, is_offered, &mut || sequences.take(1));
        let (last, mut home) = (records.len().saturating_sub(1), None);
        for (number, (parts, placements)) in records.iter().enumerate() {
            let run_from = arrival.run_from.filter(|_| number == last);
            let arrival = Arrival { run_from, ..arrival };
            home = Some(self.store_placed(store, parts, placements, arrival, step));
        }
        home
    }

    /// A shared message comes to the subscriptions that its record names.
    #[cold]
    pub(super) fn enqueue_shared(&mut self, index: MessageIndex, parts: &[DestinationIndex], placements: &[Placement]) {
        let Message { sequence, .. } = *self.messages.at(index);
        let first = placements.partition_point(|placement| placement.sequence < sequence);
        for (number, (part, placement)) in parts.iter().zip(placements).enumerate().skip(first) {
            if placement.sequence != sequence {
                break;
            }
            if is_sharer(placements, number) {
                self.enqueue(*part, index);
                if let Content::Queue(queue) = &mut self.destinations.get_mut(*part).content {
                    queue.set_deliveries(sequence, placement.redeliveries);
                    if placement.untried {
                        queue.try_later(sequence);
                    }
                }
            }
        }
    }

    /// A subscription is done with a message, which goes with the last that wants it. True: its segment holds no message any more.
    pub(super) fn end_share(&mut self, of: DestinationIndex, index: MessageIndex) -> bool {
        let message = self.messages.at_mut(index);
        let Message { sequence, store, segment, destination, .. } = *message;
        message.publisher = message.publisher.saturating_sub(1);
        let is_last = message.publisher == 0;
        if let Content::Queue(queue) = &mut self.destinations.get_mut(of).content {
            queue.gone(index);
            queue.end_share(sequence);
        }
        if !is_last {
            if store == LogKind::Journal {
                self.journal.remove_places(segment, 1);
            }
            return false;
        }
        if let Content::Topic(topic) = &mut self.destinations.get_mut(destination).content {
            topic.shared = topic.shared.saturating_sub(1);
        }
        let message = self.messages.remove(index);
        self.leave_record(index, &message)
    }

    /// How many subscriptions want a shared message, at most.
    pub(super) fn most_sharers(&self, message: &Message) -> u64 {
        if message.has(flag::STAGED) { self.undecided.sharers(message).len() as u64 } else { message.places() }
    }

    /// The subscriptions that still want a shared message: a record that moves names them, and no others. Those of its topic are asked, and
    /// counted.
    pub(crate) fn sharers(&mut self, index: MessageIndex) -> Vec<DestinationIndex> {
        let message = self.messages.at(index);
        if message.has(flag::STAGED) {
            return self.undecided.sharers(message).to_vec();
        }
        let (sequence, topic, most) = (message.sequence, message.destination, message.publisher as usize);
        let of_any_name = self.is_name_lost(topic).then(|| self.destinations.subscriptions.all_and_nameless());
        let (subscribers, mut asked) = self.destinations.take_subscribers(topic);
        let wants = |of: &DestinationIndex| {
            asked += 1;
            planted("moved-for-all")
                || matches!(&self.destinations.get(*of).content,
                    Content::Queue(queue) if queue.wants(sequence, index, &self.messages))
        };
        let sharers = match of_any_name {
            Some(all) => all.into_iter().filter(wants).take(most.max(1)).collect(),
            None => subscribers.iter().filter(wants).take(most.max(1)).collect::<Vec<_>>(),
        };
        // What it wants is written, and read again.
        self.work.spend((asked + sharers.len()) / ASKED_A_STEP);
        self.destinations.put_subscribers(topic, subscribers);
        sharers
    }

    fn is_untried(&self, of: DestinationIndex, sequence: Sequence) -> bool {
        matches!(&self.destinations.get(of).content, Content::Queue(queue) if queue.is_untried(sequence))
    }

    /// The places of a shared message that are still to be served.
    pub(super) fn shared_placements(&mut self, index: MessageIndex, placements: &mut Vec<Placement>) {
        let sharers = self.sharers(index);
        let message = self.messages.at(index);
        let (sequence, copied) = (message.sequence, message.has(flag::COPIED));
        let place = |of: DestinationIndex| {
            let destination = self.destinations.get(of).id?;
            Some(Placement { destination, sequence, copied, shared: true, ..Placement::default() })
        };
        let before = placements.len();
        let Some(topic) = place(message.destination) else { return };
        placements.push(topic);
        for of in sharers {
            if self.destinations.get(of).is_dying() {
                continue;
            }
            placements.extend(place(of).map(|place| Placement {
                redeliveries: self.redeliveries(of, message),
                untried: self.is_untried(of, sequence),
                ..place
            }));
        }
        if placements.len() == before + 1 && !message.has(flag::STAGED) {
            placements.truncate(before);
        }
    }
}
