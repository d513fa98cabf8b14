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

/// The topics that something is sent to, and the subscriptions that are to have it.
#[derive(Default)]
pub(crate) struct Shared {
    /// Each with the number of its subscriptions, which follow one another.
    topics: Vec<(DestinationIndex, usize)>,
    subscriptions: Vec<DestinationIndex>,
}

/// Subscriptions that are asked in the time of a step whether they want a message.
const ASKED_A_STEP: usize = 2;

/// Subscriptions that a message comes to in the time of a step.
const REACHED_A_STEP: usize = 2;

/// What is shared with nobody.
pub(crate) static NOBODY: Shared = Shared { topics: Vec::new(), subscriptions: Vec::new() };

impl Shared {
    pub(crate) fn clear(&mut self) {
        self.topics.clear();
        self.subscriptions.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many topics.
    pub(crate) fn topics(&self) -> usize {
        self.topics.len()
    }

    /// How many subscriptions; one of two topics is two.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// A topic is among them, whoever is to have what is sent there.
    pub(crate) fn add_topic(&mut self, topic: DestinationIndex) {
        self.topics.push((topic, 0));
    }

    /// These are to have what is sent to a topic; if there are none, it is not among them.
    pub(crate) fn add(&mut self, topic: DestinationIndex, subscriptions: impl Iterator<Item = DestinationIndex>) {
        let before = self.subscriptions.len();
        self.subscriptions.extend(subscriptions);
        let count = self.subscriptions.len() - before;
        if count > 0 {
            self.topics.push((topic, count));
        }
    }

    /// One of those.
    pub(crate) fn first(&self) -> Option<DestinationIndex> {
        self.subscriptions.first().copied()
    }

    /// Whether a topic is among them.
    pub(crate) fn has(&self, topic: DestinationIndex) -> bool {
        self.topics.iter().any(|(known, _)| *known == topic)
    }
}

/// Places of a record, and what it says of them.
#[derive(Default)]
pub(super) struct Places {
    pub parts: Vec<DestinationIndex>,
    pub placements: Vec<Placement>,
}

/// The records that say the places of a message, one after the other: as many as they need.
pub(super) struct Split<'a> {
    parts: &'a [DestinationIndex],
    topics: std::slice::Iter<'a, (DestinationIndex, usize)>,
    subscriptions: &'a [DestinationIndex],
    /// A topic with those of its subscriptions that are in no record yet.
    current: Option<(DestinationIndex, &'a [DestinationIndex])>,
}

impl<'a> Split<'a> {
    pub(super) fn new(parts: &'a [DestinationIndex], shared: &'a Shared) -> Split<'a> {
        let Shared { topics, subscriptions } = shared;
        let mut split = Split { parts, topics: topics.iter(), subscriptions, current: None };
        split.go_on();
        split
    }

    fn go_on(&mut self) {
        self.current = self.topics.next().map(|(topic, count)| {
            let (now, later) = self.subscriptions.split_at((*count).min(self.subscriptions.len()));
            self.subscriptions = later;
            (*topic, now)
        });
    }

    /// The topic that the next record begins or goes on with.
    pub(super) fn current(&self) -> Option<DestinationIndex> {
        self.current.map(|(topic, _)| topic)
    }

    /// Whether no record is to follow.
    pub(super) fn is_done(&self) -> bool {
        self.parts.is_empty() && self.current.is_none()
    }

    /// The next record. Its places are numbered from there on; the number behind the last.
    pub(super) fn fill(
        &mut self,
        places: &mut Places,
        from: u64,
        id: impl Fn(DestinationIndex) -> DestinationId,
        offered: impl Fn(DestinationIndex) -> bool,
    ) -> u64 {
        let mut next = from;
        let Places { parts, placements } = places;
        parts.clear();
        placements.clear();
        for part in std::mem::take(&mut self.parts) {
            let (destination, sequence) = (id(*part), Sequence(next));
            parts.push(*part);
            placements.push(Placement { destination, sequence, offered: offered(*part), ..Placement::default() });
            next += 1;
        }
        while parts.len() + 2 <= limits::PLACES
            && let Some((topic, rest)) = self.current
        {
            let (now, later) = rest.split_at(rest.len().min(limits::PLACES - 1 - parts.len()));
            let place = Placement { sequence: Sequence(next), shared: true, ..Placement::default() };
            next += 1;
            parts.push(topic);
            parts.extend_from_slice(now);
            placements.push(Placement { destination: id(topic), ..place });
            placements.extend(now.iter().map(|part| Placement { destination: id(*part), ..place }));
            self.current = Some((topic, later));
            if later.is_empty() {
                self.go_on();
            }
        }
        next
    }
}

impl Broker {
    /// As [`Broker::store`], with what subscriptions share. More of them than a record has places for get another one; the last says what
    /// its producer has sent.
    pub(crate) fn store_shared<L: Log>(
        &mut self,
        store: LogKind,
        (parts, shared): (&[DestinationIndex], &Shared),
        arrival: Arrival<'_>,
        offered: impl Fn(&Broker, DestinationIndex) -> bool,
        step: &mut Step<'_, L>,
    ) -> Option<Home> {
        if let ([], [(topic, _)], [subscription]) = (parts, &*shared.topics, &*shared.subscriptions) {
            return Some(self.store_for_one(store, (*topic, *subscription), arrival, step));
        }
        parts.iter().for_each(|part| self.try_arrival(*part, &arrival));
        self.work.spend(shared.subscriptions() / REACHED_A_STEP);
        let mut places = std::mem::take(&mut self.durable.places);
        let (mut split, mut home) = (Split::new(parts, shared), None);
        while !split.is_done() {
            let id = |of: DestinationIndex| self.destinations.get(of).id.unwrap_or_default();
            let is_offered = |part: DestinationIndex| store == LogKind::Journal && offered(self, part);
            let Sequence(first) = self.sequences.next();
            let behind = split.fill(&mut places, first, id, is_offered);
            self.sequences.take(behind - first);
            let arrival = Arrival { run_from: arrival.run_from.filter(|_| split.is_done()), ..arrival };
            home = Some(self.store_placed(store, &places.parts, &places.placements, arrival, step));
        }
        self.durable.places = places;
        home
    }

    /// The same of a topic alone for one of its subscriptions.
    #[inline(always)]
    fn store_for_one<L: Log>(
        &mut self,
        store: LogKind,
        (topic, subscription): (DestinationIndex, DestinationIndex),
        arrival: Arrival<'_>,
        step: &mut Step<'_, L>,
    ) -> Home {
        let place = Placement { sequence: self.sequences.take(1), shared: true, ..Placement::default() };
        let parts = [topic, subscription];
        let placements = parts.map(|part| {
            let destination = self.destinations.get(part).id.unwrap_or_default();
            Placement { destination, ..place }
        });
        self.store_placed(store, &parts, &placements, arrival, step)
    }

    /// A message comes to a topic for one of its subscriptions, as most do that are shared.
    #[inline(always)]
    pub(super) fn apply_to_one_sharer(
        &mut self,
        (store, home): (LogKind, Home),
        arrival: Arrival<'_>,
        (topic, of_topic): (DestinationIndex, &Placement),
        (subscription, placement): (DestinationIndex, &Placement),
    ) {
        self.destinations.get_mut(topic).topic().shared += 1;
        let index = self.place_alone((store, home), Arrival { publisher: 1, ..arrival }, (topic, of_topic));
        self.enqueue_share((subscription, placement), index);
    }

    /// A subscription gets a reference to a shared message.
    #[inline(always)]
    fn enqueue_share(&mut self, (of, placement): (DestinationIndex, &Placement), index: MessageIndex) {
        self.enqueue(of, index);
        if placement.redeliveries == 0 && !placement.untried {
            return;
        }
        if let Content::Queue(queue) = &mut self.destinations.get_mut(of).content {
            queue.set_deliveries(placement.sequence, placement.redeliveries);
            if placement.untried {
                queue.try_later(placement.sequence);
            }
        }
    }

    /// A shared message comes to the subscriptions that its record names.
    pub(super) fn enqueue_shared(&mut self, index: MessageIndex, parts: &[DestinationIndex], placements: &[Placement]) {
        let Message { sequence, .. } = *self.messages.at(index);
        let first = placements.partition_point(|placement| placement.sequence < sequence);
        for (number, (part, placement)) in parts.iter().zip(placements).enumerate().skip(first) {
            if placement.sequence != sequence {
                break;
            }
            if is_sharer(placements, number) {
                self.enqueue_share((*part, placement), index);
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
