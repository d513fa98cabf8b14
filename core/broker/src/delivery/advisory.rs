//! Advisories that clients need: which temporary destinations there are.
//!
//! A client refuses by itself to send to a temporary destination that no advisory has told it of. So the advisory is on its way
//! to all before the creator has its answer, and before anything that is sent because of it (R57): these topics are served before
//! all else, whoever stayed behind there goes on before others, and the answer is a job that waits until each port has taken it.
//! Likewise a new consumer of these topics has its answer when it has heard of all that there is.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::bounds::TURN_STEPS;
use crate::broker::Broker;
use crate::clients::consumer::{ConsumerKind, Replay, Standing};
use crate::clients::credit::Take;
use crate::destinations::advisories::{TEMPORARY, advisory_topic, told_by};
use crate::destinations::destination::Reference;
use crate::destinations::members::Member;
use crate::durable::store::Arrival;
use crate::kit::budget::Budget;
use crate::log::{Log, LogKind};
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::outbox::Body;
use crate::plant::planted;
use crate::records::kind;
use crate::step::Step;
use postrider_journal::{Record, body_crc};
use postrider_model::advisory::{Advisory, Happening};
use postrider_model::event::Dispatch;
use postrider_model::record::Tag;
use postrider_model::{ConsumerHandle, DestinationKind, MessageWriter, Span, pattern};

/// Steps of a turn that the making of a record costs besides.
const TELLING_STEPS: usize = 7;

/// A topic, and the number of its messages that are to be passed.
pub(crate) struct Passage {
    topic: Reference,
    end: u64,
}

/// A consumer that is to hear of all temporary destinations that were there when it came.
pub(crate) struct CatchUp {
    consumer: ConsumerIndex,
    handle: ConsumerHandle,
    /// What it is to pass, once that is known.
    passages: Option<Vec<Passage>>,
}

impl Broker {
    /// Tells all that listen that a temporary destination came or went: with one record, or none if nobody does (R63).
    pub(crate) fn advise<L: Log>(&mut self, about: DestinationIndex, added: bool, step: &mut Step<'_, L>) {
        let kind = self.destinations.get(about).destination.kind;
        let Some(topic) = self.listened_topic(kind) else { return };
        let mut record = std::mem::take(&mut self.delivery.record);
        record.clear();
        self.write_advisory(&mut record, about, added, false);
        let arrival = Arrival {
            record: &record,
            crc: body_crc(&record),
            expiration: 0,
            publisher: 0,
            elsewhere: false,
            run_from: None,
            instead: None,
        };
        self.store(LogKind::Spool, &[topic], arrival, |_, _| false, step);
        self.delivery.record = record;
        if !planted("advisory-overtaken") {
            let (topic, end) = (self.destinations.reference(topic), self.destinations.get_mut(topic).topic().end());
            self.jobs.push(Passage { topic, end });
        }
    }

    /// The topic that tells of temporary destinations of this kind, if somebody listens.
    fn listened_topic(&mut self, kind: DestinationKind) -> Option<DestinationIndex> {
        let topic = self.destinations.find(&advisory_topic(kind))?;
        let slot = usize::from(kind == DestinationKind::TemporaryTopic);
        self.delivery.advisory_topics[slot] = Some(self.destinations.reference(topic));
        self.destinations.get_mut(topic).topic().has_members().then_some(topic)
    }

    /// The topics of advisories come into being with the first consumer whose pattern they fit. It gets them before others (R57).
    pub(crate) fn add_advisory_topics(&mut self, index: ConsumerIndex) {
        if self.clients.consumer(index).patterns().is_empty() {
            return;
        }
        for topic in TEMPORARY.map(advisory_topic) {
            if !self.clients.consumer(index).patterns().iter().any(|pattern| pattern::matches(pattern, &topic)) {
                continue;
            }
            let found = self.destinations.find(&topic).unwrap_or_else(|| self.destinations.add(topic, None));
            let named = self.clients.consumer(index).memberships().iter().any(|known| known.destination == found);
            if !named {
                self.join(index, found, None);
            }
        }
    }

    /// The topics of advisories are served before all else.
    pub(crate) fn serve_advisories<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) {
        for topic in self.delivery.advisory_topics {
            let Some(topic) = topic else { continue };
            if self.destinations.is_valid(topic)
                && self.destinations.get(topic.index).is_in_line()
                && !planted("advisory-overtaken")
            {
                self.serve(topic.index, budget, step);
            }
        }
    }

    /// Whether all ports have taken the topic's messages up to there, but for consumers that stay behind.
    pub(crate) fn has_passed(&mut self, passage: &Passage) -> bool {
        !self.destinations.is_valid(passage.topic)
            || self.destinations.get_mut(passage.topic.index).topic().is_passed(passage.end, None)
    }

    /// Whether it has.
    pub(crate) fn has_caught_up(&mut self, CatchUp { consumer, handle, passages }: &mut CatchUp) -> bool {
        let Some(known) = self.clients.try_consumer(*consumer).filter(|known| known.handle == *handle) else {
            return true;
        };
        if known.replay.is_some() {
            return false;
        }
        let port = known.port;
        let memberships = known.memberships().iter().filter(|known| known.standing != Standing::Gone);
        if memberships.clone().any(|known| known.standing == Standing::Starved) {
            return false;
        }
        let topics: Vec<DestinationIndex> = memberships.map(|known| known.destination).collect();
        let destinations = &mut self.destinations;
        let passages = passages.get_or_insert_with(|| {
            let passage = |topic: DestinationIndex| Passage {
                topic: destinations.reference(topic),
                end: destinations.get_mut(topic).topic().end(),
            };
            topics.into_iter().map(passage).collect()
        });
        passages.iter().all(|passage| {
            !self.destinations.is_valid(passage.topic)
                || self.destinations.get_mut(passage.topic.index).topic().is_passed(passage.end, Some(port))
        })
    }

    fn write_advisory(&mut self, record: &mut Vec<u8>, about: DestinationIndex, added: bool, told_again: bool) {
        self.delivery.advisories += 1;
        let state = self.destinations.get(about);
        // A connection goes after its temporary destinations.
        let owner = state.owner.and_then(|owner| self.clients.try_connection(owner));
        let advisory = Advisory {
            happening: if added { Happening::TemporaryCame } else { Happening::TemporaryWent },
            told_again,
            connection: owner.map_or(&[], |owner| &owner.id),
            destination: (state.destination.kind, &state.destination.name),
        };
        let topic = advisory_topic(state.destination.kind);
        let mut writer = MessageWriter::new(record);
        writer.field(Tag::ProducerConnection, &[&self.config.advisory_connection]);
        writer.destination_field(Tag::Destination, topic.kind, &topic.name);
        writer.field(Tag::Type, &[b"Advisory"]);
        advisory.write(&mut writer);
        if !self.config.advisory_properties.is_empty() {
            writer.properties(&self.config.advisory_properties);
        }
        writer.finish(&Advisory::header(self.delivery.advisories));
    }

    /// A new consumer of these topics hears of all temporary destinations that there are, before it hears of those that come and go.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer destinations")]
    pub(crate) fn replay_advisories(&mut self, index: ConsumerIndex) {
        let consumer = self.clients.consumer(index);
        if consumer.kind != ConsumerKind::Topic || self.destinations.temporaries() == 0 {
            return;
        }
        let (handle, watches) = (consumer.handle, consumer.watches);
        let mut replay = Replay { queues: false, topics: false, next: 0, end: self.destinations.next_serial() };
        for number in 0..consumer.memberships().len() as u32 {
            let member = Member { consumer: index, membership: number };
            let consumer = self.clients.consumer(index);
            let (port, destination) = (consumer.port, consumer.membership(number).destination);
            let Some(kind) = told_by(&self.destinations.get(destination).destination) else { continue };
            replay.queues |= kind == DestinationKind::TemporaryQueue;
            replay.topics |= kind == DestinationKind::TemporaryTopic;
            let end = self.destinations.get_mut(destination).topic().halt(port, member);
            self.stay_behind(destination, member, end, Take::NoCredit);
        }
        if !replay.queues && !replay.topics {
            return;
        }
        self.clients.consumer_mut(index).replay = Some(Box::new(replay));
        if watches && !planted("advisory-overtaken") {
            self.jobs.push(CatchUp { consumer: index, handle, passages: None });
        }
    }

    /// A consumer of such a topic that stayed behind hears of all that there is, and goes on with what comes. It must not wait for
    /// bytes: others of its connection do not, and would have what it allows before it has heard (R57).
    pub(crate) fn tell_again<L: Log>(
        &mut self,
        topic: DestinationIndex,
        member: Member,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) {
        let kind = told_by(&self.destinations.get(topic).destination);
        let (queues, topics) =
            (kind == Some(DestinationKind::TemporaryQueue), kind == Some(DestinationKind::TemporaryTopic));
        let replay = Replay { queues, topics, next: 0, end: self.destinations.next_serial() };
        self.clients.consumer_mut(member.consumer).replay = Some(Box::new(replay));
        self.replay(member.consumer, budget, step);
        let end = self.destinations.get_mut(topic).topic().end();
        self.stay_behind(topic, member, end, Take::Yes);
    }

    /// Goes on telling a consumer of the temporary destinations that were there when it came, as far as it takes that: each is a
    /// record of its own only while it is on its way. True: it has heard of all.
    pub(crate) fn replay<L: Log>(&mut self, index: ConsumerIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        loop {
            let Some(replay) = &mut self.clients.consumer_mut(index).replay else { return true };
            let Some((serial, about)) = self.destinations.next_temporary(replay.next, replay.end) else {
                self.clients.consumer_mut(index).replay = None;
                return true;
            };
            let next = serial + 1;
            let wanted = match self.destinations.get(about).destination.kind {
                DestinationKind::TemporaryTopic => replay.topics,
                _ => replay.queues,
            };
            let takes = if wanted { self.takes(index, step.out) } else { Take::Yes };
            if takes != Take::Yes {
                self.wait_for(index, takes);
                return false;
            }
            if !self.sequences.has(1) {
                budget.spend(TURN_STEPS);
            }
            if !budget.step() {
                return false;
            }
            if wanted {
                budget.spend(TELLING_STEPS);
                self.tell(index, about, step);
            }
            if let Some(replay) = &mut self.clients.consumer_mut(index).replay {
                replay.next = next;
            }
        }
    }

    /// Tells one consumer of a temporary destination. The record is nobody's: it goes with those around it.
    fn tell<L: Log>(&mut self, index: ConsumerIndex, about: DestinationIndex, step: &mut Step<'_, L>) {
        let mut body = std::mem::take(&mut self.delivery.record);
        body.clear();
        self.write_advisory(&mut body, about, true, true);
        let sequence = self.sequences.take(1);
        let crc = body_crc(&body);
        let record =
            Record { kind: kind::MESSAGE, flags: 0, sequence: sequence.0, meta: &[], body: &body, body_crc: crc };
        let home = self.stage(LogKind::Spool, &record, step);
        self.delivery.record = body;
        let port = self.clients.consumer(index).port;
        let body = Body { store: LogKind::Spool, position: home.position, length: home.len, crc };
        let Ok(place) = step.out.locate(port, body, step.log) else { return };
        let to = self.clients.count_sent(index, home.len, step.now.nanos);
        let dispatch = Dispatch { to, place, sequence, redeliveries: 0, destination: Span::default() };
        step.out.dispatch(port, dispatch, &[]);
        self.clients.consumer_mut(index).count_outstanding();
        self.statistics.dispatched += 1;
    }
}
