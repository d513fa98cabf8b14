//! Who listens to what the broker tells: consumers of the very topic, and those of patterns that fit it.
//!
//! A pattern of theirs has a topic of its own, in which each advisory that it fits lies besides: so nothing is made for a destination
//! of which something is told but a record, however many there are of those and of these (R63). It is there while one listens.

use crate::broker::Broker;
use crate::clients::consumer::ConsumerKind;
use crate::destinations::advisories::{ClassSet, PATTERNS_TOLD};
use crate::destinations::destination::{Reference, Refusal};
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use crate::settle::emptying::Emptying;
use crate::wildcards::patterns::{Filed, Met, Patterns};
use postrider_model::command::OpenConsumer;
use postrider_model::event::Failure;
use postrider_model::{Destination, pattern};
use std::collections::BTreeMap;

/// Patterns that listen, each with a topic.
#[derive(Default)]
pub(super) struct Listening {
    topics: BTreeMap<Box<[u8]>, Reference>,
    /// The same, found by a name that they fit.
    patterns: Patterns,
}

/// Patterns that listen, of all consumers. *Without: each takes the memory of a destination, and no limit counts it.*
const PATTERNS: usize = 4_096;

/// Looks for a name of a consumer within another: beyond, it may be told twice where two of its own fit.
const COVERED_LOOKS: usize = 4_096;

/// Steps of a search for patterns that fit.
const SEARCH_STEPS: usize = 2_000;

fn filed(topic: Reference) -> Filed {
    Filed { serial: topic.serial, number: topic.index.0 as usize, consumer: ConsumerIndex(0) }
}

impl Broker {
    /// What a consumer is told of by the broker, if there is room for its patterns.
    pub(crate) fn what_it_hears(&self, open: &OpenConsumer, kind: ConsumerKind) -> Result<ClassSet, Refusal> {
        let mut hears = ClassSet::default();
        if kind != ConsumerKind::Topic {
            return Ok(hears);
        }
        let mut patterns = self.delivery.listening.topics.len();
        for destination in &open.destinations {
            let classes = ClassSet::of(destination);
            hears.join(classes);
            let is_new = || !self.delivery.listening.topics.contains_key(&destination.name);
            patterns += usize::from(!classes.is_empty() && destination.is_wildcard() && is_new());
        }
        if patterns > PATTERNS && !hears.is_empty() {
            let text = format!(
                "{PATTERNS} patterns of consumers listen to topics of advisories already, which is the limit: listen with one that \
                 others have, such as ActiveMQ.Advisory.>, or to single topics"
            );
            return Err((Failure::ResourceAllocation, text.into()));
        }
        Ok(hears)
    }

    /// Whether a topic that a consumer names is told within a pattern of its own.
    pub(crate) fn is_covered(&self, open: &OpenConsumer, name: &Destination) -> bool {
        let patterns = || open.destinations.iter().filter(|other| other.is_wildcard());
        let looks = open.destinations.len() * open.destinations.len();
        looks <= COVERED_LOOKS && patterns().any(|other| *other != *name && pattern::matches(other, name))
    }

    /// A consumer comes that is told of these: what its patterns are told it gets by topics of theirs.
    pub(crate) fn listen(&mut self, index: ConsumerIndex, open: &OpenConsumer, hears: ClassSet) {
        if hears.is_empty() {
            return;
        }
        self.clients.consumer_mut(index).hears = hears;
        self.destinations.heard.listen(hears, true);
        for pattern in open.destinations.iter().filter(|name| name.is_wildcard()) {
            if ClassSet::of(pattern).is_empty() || self.is_covered(open, pattern) {
                continue;
            }
            let topic = self.topic_of_pattern(pattern);
            self.join(index, topic, None);
        }
    }

    fn topic_of_pattern(&mut self, pattern: &Destination) -> DestinationIndex {
        if let Some(topic) = self.delivery.listening.topics.get(&pattern.name) {
            return topic.index;
        }
        let index = self.destinations.add_told(pattern);
        let topic = self.destinations.reference(index);
        self.delivery.listening.topics.insert(pattern.name.clone(), topic);
        self.delivery.listening.patterns.add(pattern, filed(topic));
        self.destinations.heard.patterns = self.delivery.listening.topics.len();
        index
    }

    /// A consumer goes that was told of these.
    pub(crate) fn stop_listening(&mut self, index: ConsumerIndex) {
        let hears = std::mem::take(&mut self.clients.consumer_mut(index).hears);
        if !hears.is_empty() {
            self.destinations.heard.listen(hears, false);
        }
    }

    /// A consumer has left a topic: if the broker tells something on it, and nobody listens any more, it goes (R63).
    pub(crate) fn drop_unheard(&mut self, index: DestinationIndex) {
        let state = self.destinations.get(index);
        if !state.is_told() || state.is_dying() || state.members() > 0 || planted("advisory-topics-stay") {
            return;
        }
        let topic = self.destinations.reference(index);
        let pattern = state.destination.clone();
        if self.delivery.listening.topics.get(&pattern.name) == Some(&topic) {
            self.delivery.listening.topics.remove(&pattern.name);
            self.delivery.listening.patterns.remove(&pattern, filed(topic));
            self.destinations.heard.patterns = self.delivery.listening.topics.len();
        }
        self.apply_delete(index);
        self.jobs.push(Emptying { destination: index });
    }

    /// The topics in which what is told on this one lies.
    #[allow(clippy::cast_possible_truncation, reason = "it is the number of a destination")]
    pub(super) fn find_listening(&mut self, topic: &Destination, places: &mut Vec<DestinationIndex>) {
        let is_heard = |index: &DestinationIndex| self.destinations.get(*index).members() > 0;
        places.extend(self.destinations.find(topic).filter(is_heard));
        let listening = &self.delivery.listening;
        if listening.topics.is_empty() {
            return;
        }
        let mut search = listening.patterns.search(topic);
        for _ in 0..SEARCH_STEPS {
            self.work.spend(1);
            let met = match search.step(&listening.patterns, topic) {
                Met::Pattern(filed) => DestinationIndex(filed.number as u32),
                Met::Nothing => continue,
                Met::End => break,
            };
            if pattern::matches(&self.destinations.get(met).destination, topic) {
                places.push(met);
            }
            if places.len() > PATTERNS_TOLD {
                break;
            }
        }
    }
}
