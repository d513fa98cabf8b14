//! Advisories: what comes and goes, told to those who listen, and to nobody else (R63).
//!
//! A client refuses by itself to send to a temporary destination that no advisory has told it of, and a bridge forwards to where it
//! has heard of a consumer. So an advisory is on its way to all before the answer to what it tells, and before anything that is sent
//! because of it (R57): its topics are served before all else, whoever stayed behind there goes on before others, and the answer is a
//! job that waits until each port has taken it. Likewise a client's own consumer of temporary destinations has its answer when it has
//! heard of all that there is.

use crate::broker::Broker;
use crate::clients::consumer::{ConsumerKind, Standing};
use crate::clients::portrait::composite;
use crate::destinations::advisories::{Class, TOLD_NAME_BYTES};
use crate::destinations::destination::{DestinationState, Reference};
use crate::durable::store::Arrival;
use crate::kit::budget::Budget;
use crate::log::{Log, LogKind};
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use crate::step::Step;
use postrider_journal::body_crc;
use postrider_model::advisory::{Advisory, Told};
use postrider_model::properties::{Properties, PropertiesWriter, Value};
use postrider_model::record::Tag;
use postrider_model::{ConsumerHandle, Destination, MessageWriter, limits};

/// Steps that the making of a record costs besides its bytes, and each place of it.
pub(super) const TELLING_STEPS: usize = 7;
const PLACE_STEPS: usize = 2;

/// Bytes of a record that are made in the time of a step.
pub(super) const STEP_BYTES: usize = 256;

/// What comes and goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Connection(ConnectionIndex),
    Destination(DestinationIndex),
    Producer(ConnectionIndex, u32),
    Consumer(ConsumerIndex),
    /// A durable subscription, of which nothing is told before it goes: its consumers are.
    Subscription(DestinationIndex),
}

/// A topic, and the number of its messages that are to be passed.
pub(crate) struct Passage {
    topic: Reference,
    end: u64,
}

/// A consumer of which others are told when its connection's predecessors are gone.
pub(crate) struct Coming {
    consumer: ConsumerIndex,
    serial: u64,
}

/// A consumer that is to hear of all temporary destinations that were there when it came.
pub(crate) struct CatchUp {
    pub(super) consumer: ConsumerIndex,
    pub(super) handle: ConsumerHandle,
    /// What it is to pass, once that is known.
    pub(super) passages: Option<Vec<Passage>>,
}

impl Broker {
    /// Tells all that listen of what came or goes: with one record, or none if nobody does (R63).
    pub(crate) fn advise<L: Log>(&mut self, subject: Subject, came: bool, step: &mut Step<'_, L>) {
        if self.destinations.heard.is_silent() {
            return;
        }
        let Some(class) = self.class_of(subject).filter(|class| self.destinations.heard.is_heard(*class)) else {
            return;
        };
        let Some(topic) = self.topic_of(subject, class) else { return };
        let mut places = std::mem::take(&mut self.delivery.places);
        places.clear();
        self.find_listening(&topic, &mut places);
        if !places.is_empty() && self.sequences.has(places.len() as u64) {
            self.store_advisory(subject, (class, &topic), came, &places, step);
        }
        self.delivery.places = places;
    }

    fn store_advisory<L: Log>(
        &mut self,
        subject: Subject,
        (class, topic): (Class, &Destination),
        came: bool,
        places: &[DestinationIndex],
        step: &mut Step<'_, L>,
    ) {
        let mut record = std::mem::take(&mut self.delivery.record);
        record.clear();
        self.write_advisory(&mut record, subject, (class, topic), (came, false));
        self.work.spend(TELLING_STEPS + places.len() * PLACE_STEPS + record.len() / STEP_BYTES);
        let arrival = Arrival {
            record: &record,
            crc: body_crc(&record),
            expiration: 0,
            publisher: 0,
            elsewhere: false,
            run_from: None,
            instead: None,
        };
        self.store(LogKind::Spool, places, arrival, |_, _| false, step);
        self.delivery.record = record;
        if !planted("advisory-overtaken") {
            for topic in places {
                let (topic, end) =
                    (self.destinations.reference(*topic), self.destinations.get_mut(*topic).topic().end());
                self.jobs.push(Passage { topic, end });
            }
        }
    }

    /// Which of all happenings this is, whether anybody hears of it or not.
    pub(crate) fn next_happening(&mut self) -> u64 {
        self.delivery.happenings += 1;
        self.delivery.happenings
    }

    /// A consumer is there for good: nothing refuses it any more. While a connection that its client had before is on its way out, so
    /// is the consumer that had its name there, and that is told first.
    pub(crate) fn consumer_came<L: Log>(&mut self, index: ConsumerIndex, step: &mut Step<'_, L>) {
        let consumer = self.clients.consumer(index);
        if self.is_behind_predecessors(index) {
            let serial = consumer.serial;
            self.jobs.push(Coming { consumer: index, serial });
            return;
        }
        self.tell_consumer(index, step);
    }

    fn is_behind_predecessors(&self, index: ConsumerIndex) -> bool {
        self.clients.has_predecessors(self.clients.owner_of(self.clients.consumer(index)))
    }

    /// Tells of a consumer when what comes first has been told. True: it is done.
    pub(crate) fn come<L: Log>(&mut self, coming: &Coming, step: &mut Step<'_, L>) -> bool {
        let known = self.clients.try_consumer(coming.consumer);
        if known.is_none_or(|known| known.serial != coming.serial || known.is_closing()) {
            return true;
        }
        if self.is_behind_predecessors(coming.consumer) || !self.sequences.has(self.destinations.heard.most_of_all()) {
            return false;
        }
        self.tell_consumer(coming.consumer, step);
        true
    }

    fn tell_consumer<L: Log>(&mut self, index: ConsumerIndex, step: &mut Step<'_, L>) {
        let happened = self.next_happening();
        self.clients.consumer_mut(index).happened = happened;
        self.advise(Subject::Consumer(index), true, step);
    }

    /// A consumer goes, of which others may have been told.
    pub(crate) fn consumer_goes<L: Log>(&mut self, index: ConsumerIndex, step: &mut Step<'_, L>) {
        if self.clients.consumer(index).happened > 0 {
            self.advise(Subject::Consumer(index), false, step);
        }
    }

    /// What is told of: None, if nothing is told of such a thing.
    pub(super) fn class_of(&self, subject: Subject) -> Option<Class> {
        match subject {
            Subject::Connection(_) => Some(Class::Connection),
            Subject::Destination(index) => {
                let is_it = |state: &&DestinationState| !state.is_told() && state.subscription.is_none();
                let state = self.destinations.try_get(index).filter(is_it)?;
                Some(Class::of_destination(state.destination.kind))
            }
            Subject::Producer(connection, number) => {
                self.clients.connection(connection).producer(number)?.portrait.as_ref()?.class
            }
            Subject::Consumer(index) => self.clients.consumer(index).portrait.class,
            Subject::Subscription(_) => Some(Class::ConsumerOfTopic),
        }
    }

    /// The topic on which it is told: None, if its name is too long for that.
    pub(super) fn topic_of(&self, subject: Subject, class: Class) -> Option<Destination> {
        let about: &[u8] = match subject {
            Subject::Connection(_) | Subject::Destination(_) => b"",
            Subject::Producer(connection, number) => {
                &self.clients.connection(connection).producer(number)?.portrait.as_ref()?.destination.name
            }
            Subject::Consumer(index) => &self.clients.consumer(index).portrait.destination.name,
            Subject::Subscription(index) => {
                &composite(&self.destinations.get(index).subscription.as_ref()?.meta.topics).name
            }
        };
        if about.len() > TOLD_NAME_BYTES {
            return None;
        }
        Some(class.topic(about)).filter(|topic| topic.name.len() <= TOLD_NAME_BYTES)
    }

    /// The record that tells it, again to one consumer alone if so said.
    pub(super) fn write_advisory(
        &mut self,
        record: &mut Vec<u8>,
        subject: Subject,
        (class, topic): (Class, &Destination),
        (came, told_again): (bool, bool),
    ) {
        self.delivery.advisories += 1;
        let count = self.count_of(subject, came).map(|count| (count_name(class), count));
        let (connection, told) = self.told_of(subject);
        let advisory = Advisory { came, told_again, connection, told };
        let mut writer = MessageWriter::new(record);
        writer.field(Tag::ProducerConnection, &[&self.config.advisory_connection]);
        writer.destination_field(Tag::Destination, topic.kind, &topic.name);
        writer.field(Tag::Type, &[b"Advisory"]);
        advisory.write(&mut writer);
        match count {
            None if self.config.advisory_properties.is_empty() => {}
            None => writer.properties(&self.config.advisory_properties),
            Some(count) => writer.properties(&with_count(&self.config.advisory_properties, count)),
        }
        writer.finish(&Advisory::header(self.delivery.advisories));
    }

    /// The connection's id, and what is told.
    fn told_of(&self, subject: Subject) -> (&[u8], Told<'_>) {
        // A connection goes after what it had.
        match subject {
            Subject::Connection(index) => {
                let connection = self.clients.connection(index);
                let (client_id, user, peer) = (&*connection.client_id, connection.user.as_deref(), &connection.peer);
                let told = Told::Connection { client_id, user, peer: peer.as_bytes(), marks: connection.marks };
                (&connection.id, told)
            }
            Subject::Destination(index) => {
                let state = self.destinations.get(index);
                let owner = state.owner.and_then(|owner| self.clients.try_connection(owner));
                let told = Told::Destination((state.destination.kind, &state.destination.name));
                (owner.map_or(&[], |owner| &owner.id), told)
            }
            Subject::Producer(index, number) => {
                let connection = self.clients.connection(index);
                let known = connection.producer(number).and_then(|known| Some((known, known.portrait.as_ref()?)));
                let told = known.map(|(producer, portrait)| Told::Producer {
                    member: (producer.session, producer.value),
                    destination: (portrait.destination.kind, &portrait.destination.name),
                    window: portrait.window,
                    marks: portrait.marks,
                    rest: &portrait.rest,
                });
                (&connection.id, told.unwrap_or(Told::Destination((postrider_model::DestinationKind::Queue, b""))))
            }
            Subject::Consumer(index) => {
                let consumer = self.clients.consumer(index);
                let owner = self.clients.owner_of(consumer);
                let portrait = &consumer.portrait;
                let told = Told::Consumer {
                    member: portrait.member,
                    destination: (portrait.destination.kind, &portrait.destination.name),
                    client_id: &owner.client_id,
                    prefetch: consumer.prefetch(),
                    pending_limit: portrait.pending_limit,
                    priority: consumer.priority,
                    marks: portrait.marks,
                    selector: portrait.selector.as_deref(),
                    subscription: portrait.subscription.as_deref(),
                    rest: &portrait.rest,
                };
                (&owner.id, told)
            }
            Subject::Subscription(index) => {
                let meta = self.destinations.get(index).subscription.as_ref().map(|subscription| &subscription.meta);
                let (client_id, name) = meta.map_or((&[][..], &[][..]), |meta| (&meta.client, &meta.name));
                (&[], Told::Subscription { client_id, name })
            }
        }
    }

    /// How many there are now of what it is, at the destinations where it is, but for the one that goes. Of a consumer with very many
    /// destinations the first count.
    fn count_of(&self, subject: Subject, came: bool) -> Option<usize> {
        match subject {
            Subject::Connection(_) | Subject::Destination(_) => None,
            Subject::Subscription(_) => Some(0),
            Subject::Producer(connection, number) => {
                let portrait = self.clients.connection(connection).producer(number)?.portrait.as_ref()?;
                let there = portrait.parts.iter().filter(|part| self.destinations.is_valid(**part));
                let counts = there.map(|part| self.destinations.get(part.index).producers as usize);
                Some(counts.map(|count| count.saturating_sub(usize::from(!came))).sum())
            }
            Subject::Consumer(index) => {
                let consumer = self.clients.consumer(index);
                let places = consumer.memberships().iter().take(limits::HANDLE_STEPS);
                let there = places.filter(|place| place.standing != Standing::Gone);
                let counts = there.map(|place| self.destinations.get(place.destination).members());
                Some(counts.map(|count| count.saturating_sub(usize::from(!came))).sum())
            }
        }
    }

    /// The topics on which the broker tells what happens are served before all else.
    pub(crate) fn serve_advisories<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) {
        self.tell_news(step);
        for _ in 0..self.destinations.told_in_line() {
            let Some((index, is_there)) = self.destinations.next_in_line() else { return };
            if is_there && self.serve(index, budget, step) {
                self.destinations.line_up(index);
            }
        }
    }

    /// Tells of queues and topics that have come.
    fn tell_news<L: Log>(&mut self, step: &mut Step<'_, L>) {
        if self.destinations.heard.news.is_empty() {
            return;
        }
        let mut news = std::mem::take(&mut self.destinations.heard.news);
        let most = self.destinations.heard.most_of_all();
        let told = news.iter().take_while(|(index, serial)| {
            let has_sequences = self.sequences.has(self.headroom() + most);
            if has_sequences && self.destinations.is_valid(Reference { index: *index, serial: *serial }) {
                self.advise(Subject::Destination(*index), true, step);
            }
            has_sequences
        });
        let told = told.count();
        news.drain(..told);
        news.append(&mut self.destinations.heard.news);
        self.destinations.heard.news = news;
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

    /// Whether a consumer is one that may be told something.
    pub(super) fn listens(&self, index: ConsumerIndex) -> bool {
        let consumer = self.clients.consumer(index);
        consumer.kind == ConsumerKind::Topic && !consumer.hears.is_empty()
    }
}

fn count_name(class: Class) -> &'static [u8] {
    match class {
        Class::ProducerOfQueue | Class::ProducerOfTopic => b"producerCount",
        _ => b"consumerCount",
    }
}

/// The broker's own properties, and a count.
fn with_count(own: &[u8], (name, count): (&[u8], usize)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(own.len() + 4 + 2 + name.len() + 5);
    let mut map = PropertiesWriter::new(&mut bytes);
    if let Ok(own) = Properties::new(own).and_then(|own| own.whole(u32::MAX)) {
        map.copy_all(&own);
    }
    map.entry(name, Value::Int(i32::try_from(count).unwrap_or(i32::MAX)));
    bytes
}
