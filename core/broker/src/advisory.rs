//! Advisories that clients need: which temporary destinations there are.
//!
//! A client refuses by itself to send to a temporary destination that no advisory has told it of. So the advisory is on its way
//! to all before the creator has its answer, and before anything that is sent because of it (R57): these topics are served before
//! all else, whoever stayed behind there goes on before others, and the answer is a job that waits until each port has taken it.
//! Likewise a new consumer of these topics has its answer when it has heard of all that there is.

use crate::broker::{Broker, Step};
use crate::consumer::{ConsumerKind, Standing};
use crate::destination::{ADVISORY_PREFIX, Reference};
use crate::dispatch::Budget;
use crate::jobs::Job;
use crate::log::{Log, Store};
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use crate::publish::Arrival;
use postrider_journal::body_crc;
use postrider_model::record::{BodyKind, Header, Tag};
use postrider_model::{ConsumerHandle, Destination, DestinationKind, MessageWriter, pattern};

/// The topic that tells of temporary destinations of this kind.
fn advisory_topic(kind: DestinationKind) -> Destination {
    let name: &[u8] = match kind {
        DestinationKind::TemporaryTopic => b"ActiveMQ.Advisory.TempTopic",
        _ => b"ActiveMQ.Advisory.TempQueue",
    };
    Destination::new(DestinationKind::Topic, name)
}

/// The topics of advisories that were needed yet, and where they are.
#[derive(Default)]
pub(crate) struct AdvisoryTopics([Option<Reference>; 2]);

/// A topic, and the number of its messages that are to be passed.
pub(crate) struct Passage {
    topic: Reference,
    end: u64,
}

impl Broker {
    /// Tells that a temporary destination came or went: everybody, or one consumer that has just come.
    pub(crate) fn advise<L: Log>(
        &mut self,
        about: DestinationIndex,
        added: bool,
        target: Option<ConsumerIndex>,
        step: &mut Step<'_, L>,
    ) {
        let state = self.destinations.get(about);
        let topic = advisory_topic(state.destination.kind);
        let topic = self.advisory_topic_for(&topic);
        if self.destination(topic).topic().subscribers.is_empty() {
            return;
        }
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        self.write_advisory(&mut record, about, added, target);
        let arrival = Arrival {
            record: &record,
            crc: body_crc(&record),
            expiration: 0,
            publisher: 0,
            elsewhere: false,
            run_from: None,
            instead: None,
        };
        self.advisory_target = target;
        self.store(Store::Spool, &[topic], arrival, step);
        self.advisory_target = None;
        self.record = record;
        if target.is_none() && !planted("advisory-overtaken") {
            let (topic, end) = (self.destinations.reference(topic), self.destination(topic).topic().end());
            self.jobs.push(Job::Advise(Passage { topic, end }));
        }
    }

    fn advisory_topic_for(&mut self, name: &Destination) -> DestinationIndex {
        let topic = match self.destinations.find(name) {
            Some(topic) => topic,
            None => self.add_destination(name.clone(), None),
        };
        let slot = usize::from(name.name.ends_with(b"Topic"));
        self.advisory_topics.0[slot] = Some(self.destinations.reference(topic));
        topic
    }

    /// The topics of advisories are served before all else.
    pub(crate) fn serve_advisories<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) {
        for topic in self.advisory_topics.0.into_iter().flatten() {
            if self.destinations.is_valid(topic)
                && self.destinations.get(topic.index).scheduled
                && !planted("advisory-overtaken")
            {
                self.serve(topic.index, budget, step);
            }
        }
    }

    /// Whether all ports have taken the topic's messages up to there, but for consumers that stay behind.
    pub(crate) fn has_passed(&mut self, passage: &Passage) -> bool {
        !self.destinations.is_valid(passage.topic)
            || self.destination(passage.topic.index).topic().is_passed(passage.end, None)
    }

    /// Whether a consumer has heard of all that there was when it came. `passages` are what it is to pass, once that is known.
    pub(crate) fn has_caught_up(
        &mut self,
        consumer: ConsumerIndex,
        handle: ConsumerHandle,
        passages: &mut Option<Vec<Passage>>,
    ) -> bool {
        let Some(known) = self.consumers.get(consumer.0).filter(|known| known.handle == handle) else { return true };
        if known.replaying {
            return false;
        }
        let port = known.port;
        let subscriptions = known.subscriptions.iter().filter(|known| known.standing != Standing::Gone);
        if subscriptions.clone().any(|known| known.standing == Standing::Starved) {
            return false;
        }
        let topics: Vec<DestinationIndex> = subscriptions.map(|known| known.destination).collect();
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

    fn write_advisory(
        &mut self,
        record: &mut Vec<u8>,
        about: DestinationIndex,
        added: bool,
        target: Option<ConsumerIndex>,
    ) {
        self.advisories += 1;
        let state = self.destinations.get(about);
        let temporary = state.temporary.as_ref().expect("advisories tell of temporary destinations");
        let topic = advisory_topic(state.destination.kind);
        let mut writer = MessageWriter::new(record);
        writer.field(Tag::ProducerConnection, &[&self.config.advisory_connection]);
        writer.destination_field(Tag::Destination, topic.kind, &topic.name);
        writer.field(Tag::Type, &[b"Advisory"]);
        writer.field(Tag::DataStructure, &[if added { &temporary.added } else { &temporary.removed }]);
        if let Some(target) = target {
            writer.field(Tag::TargetConsumer, &[&self.consumers[target.0].identity]);
        }
        if !self.config.advisory_properties.is_empty() {
            writer.properties(&self.config.advisory_properties);
        }
        writer.finish(&Header {
            body: BodyKind::Message,
            priority: 0,
            flags: 0,
            expiration: 0,
            timestamp: 0,
            broker_in_time: 0,
            producer_sequence: self.advisories,
            producer_session: 0,
            producer_value: 0,
            group_sequence: 0,
            redelivery_counter: 0,
        });
    }

    /// A new consumer of these topics hears of all temporary destinations that there are.
    pub(crate) fn replay_advisories(&mut self, index: ConsumerIndex) {
        let consumer = &mut self.consumers[index.0];
        if consumer.kind != ConsumerKind::Topic || self.temporaries.is_empty() {
            return;
        }
        let named = |kind: DestinationKind| {
            let topic = advisory_topic(kind);
            consumer.subscriptions.iter().any(|known| {
                let name = &self.destinations.get(known.destination).destination;
                name.name.starts_with(ADVISORY_PREFIX) && pattern::matches(name, &topic)
            })
        };
        let replay = Replay {
            consumer: index,
            queues: named(DestinationKind::TemporaryQueue),
            topics: named(DestinationKind::TemporaryTopic),
            next: 0,
            end: self.destinations.next_serial(),
        };
        if replay.queues || replay.topics {
            consumer.replaying = true;
            let handle = consumer.handle;
            self.replays.push_back(replay);
            if consumer.watches && !planted("advisory-overtaken") {
                self.jobs.push(Job::CatchUp { consumer: index, handle, passages: None });
            }
        }
    }

    /// Goes on with replays, in slices. True: there is more.
    pub(crate) fn run_replays<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        while let Some(replay) = self.replays.front_mut() {
            if !budget.step() {
                return true;
            }
            let Some((serial, about)) = self.temporaries.range(replay.next..replay.end).next() else {
                self.consumers[replay.consumer.0].replaying = false;
                self.replays.pop_front();
                continue;
            };
            let (about, consumer) = (*about, replay.consumer);
            replay.next = serial + 1;
            let wanted = match self.destinations.get(about).destination.kind {
                DestinationKind::TemporaryTopic => replay.topics,
                _ => replay.queues,
            };
            if wanted {
                self.advise(about, true, Some(consumer), step);
            }
        }
        false
    }
}

/// Whether a consumer of these hears of temporary destinations and of nothing else, as each client does for itself.
pub(crate) fn is_watcher(destinations: &[Destination]) -> bool {
    let topics = [DestinationKind::TemporaryQueue, DestinationKind::TemporaryTopic].map(advisory_topic);
    !destinations.is_empty() && destinations.iter().all(|destination| topics.contains(destination))
}

/// The temporary destinations that a new consumer hears of.
pub(crate) struct Replay {
    pub consumer: ConsumerIndex,
    queues: bool,
    topics: bool,
    /// Serial of the next destination.
    next: u64,
    /// Those from here on came later, and all hear of them.
    end: u64,
}
