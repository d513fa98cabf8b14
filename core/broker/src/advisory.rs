//! Advisories that clients need: which temporary destinations there are.
//!
//! A client refuses by itself to send to a temporary destination that no advisory has told it of. So the advisory is on its way
//! to all before the creator has its answer: it is a delivery, which goes at once, and the answer waits for the turn's end.

use crate::broker::{Broker, Step};
use crate::consumer::ConsumerKind;
use crate::destination::ADVISORY_PREFIX;
use crate::log::{Log, Store};
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::publish::Arrival;
use postrider_journal::body_crc;
use postrider_model::record::{BodyKind, Header, Tag};
use postrider_model::{Destination, DestinationKind, MessageWriter, pattern};

/// The topic that tells of temporary destinations of this kind.
fn advisory_topic(kind: DestinationKind) -> Destination {
    let name: &[u8] = match kind {
        DestinationKind::TemporaryTopic => b"ActiveMQ.Advisory.TempTopic",
        _ => b"ActiveMQ.Advisory.TempQueue",
    };
    Destination::new(DestinationKind::Topic, name)
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
        let topic = match self.destinations.find(&topic) {
            Some(topic) => topic,
            None => self.add_destination(topic, None),
        };
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
        let consumer = &self.consumers[index.0];
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
            self.replays.push_back(replay);
        }
    }

    /// Goes on with replays, in slices. True: there is more.
    pub(crate) fn run_replays<L: Log>(&mut self, budget: &mut crate::dispatch::Budget, step: &mut Step<'_, L>) -> bool {
        while let Some(replay) = self.replays.front_mut() {
            if !budget.step() {
                return true;
            }
            let Some((serial, about)) = self.temporaries.range(replay.next..replay.end).next() else {
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
