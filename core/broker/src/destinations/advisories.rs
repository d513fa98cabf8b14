//! Topics on which the broker itself tells what happens: what is told on which of them, and whether anybody listens (R63).

use crate::plant::planted;
use postrider_model::{Destination, DestinationKind, pattern};

/// Topics under it are the broker's own: they are never stored.
const ADVISORY_PREFIX: &[u8] = b"ActiveMQ.Advisory.";

/// Longest name of a topic on which something is told: what a composite of hundreds is called no frame of every version can carry.
pub(crate) const TOLD_NAME_BYTES: usize = 32_000;

/// Patterns that are told of one happening, at most: those beyond are not. *Without: one consumer more is as many records' places as
/// there are patterns that fit.*
pub(crate) const PATTERNS_TOLD: usize = 256;

/// What is told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Class {
    Connection,
    Queue,
    Topic,
    TemporaryQueue,
    TemporaryTopic,
    ConsumerOfQueue,
    ConsumerOfTopic,
    ProducerOfQueue,
    ProducerOfTopic,
}

const CLASSES: [Class; 9] = [
    Class::Connection,
    Class::Queue,
    Class::Topic,
    Class::TemporaryQueue,
    Class::TemporaryTopic,
    Class::ConsumerOfQueue,
    Class::ConsumerOfTopic,
    Class::ProducerOfQueue,
    Class::ProducerOfTopic,
];

impl Class {
    /// The name of its topic, or with what the names of its topics begin, behind the prefix.
    fn name(self) -> &'static [u8] {
        match self {
            Class::Connection => b"Connection",
            Class::Queue => b"Queue",
            Class::Topic => b"Topic",
            Class::TemporaryQueue => b"TempQueue",
            Class::TemporaryTopic => b"TempTopic",
            Class::ConsumerOfQueue => b"Consumer.Queue.",
            Class::ConsumerOfTopic => b"Consumer.Topic.",
            Class::ProducerOfQueue => b"Producer.Queue.",
            Class::ProducerOfTopic => b"Producer.Topic.",
        }
    }

    /// Whether each destination has a topic of its own.
    fn is_by_name(self) -> bool {
        self.name().ends_with(b".")
    }

    /// That of a destination.
    pub(crate) fn of_destination(kind: DestinationKind) -> Class {
        match kind {
            DestinationKind::Queue => Class::Queue,
            DestinationKind::Topic => Class::Topic,
            DestinationKind::TemporaryQueue => Class::TemporaryQueue,
            DestinationKind::TemporaryTopic => Class::TemporaryTopic,
        }
    }

    /// That of a consumer of such a destination.
    pub(crate) fn of_consumer(kind: DestinationKind) -> Class {
        if kind.is_topic() { Class::ConsumerOfTopic } else { Class::ConsumerOfQueue }
    }

    /// That of a producer.
    pub(crate) fn of_producer(kind: DestinationKind) -> Class {
        if kind.is_topic() { Class::ProducerOfTopic } else { Class::ProducerOfQueue }
    }

    /// The topic on which it is told, of this destination where each has its own.
    pub(crate) fn topic(self, about: &[u8]) -> Destination {
        let mut name = [ADVISORY_PREFIX, self.name()].concat();
        if self.is_by_name() {
            for (number, part) in about.split(|byte| *byte == b',').enumerate() {
                // A topic is one, also where it is about a composite.
                name.extend_from_slice(if number > 0 { b"&sbquo;" } else { b"" });
                name.extend_from_slice(part);
            }
        }
        Destination { kind: DestinationKind::Topic, name: name.into() }
    }

    /// Whether a name of a topic, or a pattern, may be told of it.
    fn may_be_heard_by(self, name: &[u8], is_pattern: bool) -> bool {
        let own = [ADVISORY_PREFIX, self.name()].concat();
        match (self.is_by_name(), is_pattern) {
            (false, false) => name == own,
            (false, true) => pattern::name_matches(name, &own),
            (true, false) => name.starts_with(&own),
            (true, true) => begins_as(name, &own),
        }
    }
}

/// Whether names that begin so, and have further elements, may fit the pattern.
fn begins_as(pattern: &[u8], beginning: &[u8]) -> bool {
    let dot = |byte: &u8| *byte == b'.';
    let mut elements = pattern.split(dot);
    let own = beginning.strip_suffix(b".").unwrap_or(beginning);
    for expected in own.split(dot) {
        match elements.next() {
            Some(b">") => return true,
            Some(element) if element == b"*" || element == expected => {}
            _ => return false,
        }
    }
    elements.next().is_some()
}

/// Classes, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct ClassSet(u16);

impl ClassSet {
    pub(crate) fn has(self, class: Class) -> bool {
        self.0 & (1 << class as u16) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn add(&mut self, class: Class) {
        self.0 |= 1 << class as u16;
    }

    pub(crate) fn join(&mut self, other: ClassSet) {
        self.0 |= other.0;
    }

    /// Those that a consumer of this destination is told of.
    pub(crate) fn of(destination: &Destination) -> ClassSet {
        let mut set = ClassSet::default();
        let is_pattern = destination.is_wildcard();
        if destination.kind == DestinationKind::Topic && (is_pattern || destination.name.starts_with(ADVISORY_PREFIX)) {
            let heard = CLASSES.into_iter().filter(|class| class.may_be_heard_by(&destination.name, is_pattern));
            heard.for_each(|class| set.add(class));
        }
        set
    }

    /// Those of which such a consumer is told what was there before it. As with ActiveMQ a pattern that is not about consumers or
    /// producers alone is told of temporary destinations only.
    pub(crate) fn told_again(self, destination: &Destination) -> ClassSet {
        let mut set = self;
        if destination.is_wildcard() {
            let says = |class: &Class| match class {
                Class::TemporaryQueue | Class::TemporaryTopic => true,
                class if !class.is_by_name() => false,
                class => {
                    let (who, _) = class.name().split_at(b"Consumer.".len());
                    destination.name.starts_with(&[ADVISORY_PREFIX, who].concat())
                }
            };
            set = ClassSet::default();
            CLASSES.into_iter().filter(|class| self.has(*class)).filter(says).for_each(|class| set.add(class));
        }
        set
    }

    /// Whether nothing but temporary destinations is among them.
    pub(crate) fn is_of_temporaries(self) -> bool {
        let mut temporaries = ClassSet::default();
        temporaries.add(Class::TemporaryQueue);
        temporaries.add(Class::TemporaryTopic);
        self.0 & !temporaries.0 == 0
    }
}

/// Who listens.
#[derive(Default)]
pub(crate) struct Heard {
    /// Consumers that may hear of a class.
    counts: [u32; CLASSES.len()],
    set: ClassSet,
    /// Patterns that listen.
    pub patterns: usize,
    /// Queues and topics that have come and of which nobody was told yet.
    pub news: Vec<(crate::messages::DestinationIndex, u64)>,
}

impl Heard {
    /// Whether somebody may hear of it.
    #[inline]
    pub(crate) fn is_heard(&self, class: Class) -> bool {
        self.set.has(class)
    }

    /// Whether nobody hears of anything.
    #[inline]
    pub(crate) fn is_silent(&self) -> bool {
        self.set.is_empty()
    }

    /// A consumer comes, or goes, that hears of these.
    pub(crate) fn listen(&mut self, classes: ClassSet, comes: bool) {
        for (class, count) in CLASSES.into_iter().zip(&mut self.counts).filter(|(class, _)| classes.has(*class)) {
            *count = if comes { *count + 1 } else { count.saturating_sub(1) };
            self.set.0 &= !(1 << class as u16);
            self.set.0 |= u16::from(*count > 0) << class as u16;
        }
    }

    /// Places that telling of something takes at most.
    pub(crate) fn most_of_all(&self) -> u64 {
        if self.is_silent() { 0 } else { 1 + self.patterns.min(PATTERNS_TOLD) as u64 }
    }
}

/// Whether it is a topic on which the broker itself tells what happens. None of it is stored, nor is its name: every client opens one,
/// also when the journal is full.
pub(crate) fn is_advisory(destination: &Destination) -> bool {
    destination.kind == DestinationKind::Topic && destination.name.starts_with(ADVISORY_PREFIX)
}

/// Whether the broker tells something on the topic of this name. A pattern that fits it has a topic of its own.
pub(crate) fn is_told_on(destination: &Destination) -> bool {
    is_advisory(destination) && CLASSES.into_iter().any(|class| class.may_be_heard_by(&destination.name, false))
}

/// Kinds of temporary destinations.
const TEMPORARY: [DestinationKind; 2] = [DestinationKind::TemporaryQueue, DestinationKind::TemporaryTopic];

/// Whether a consumer of these hears of temporary destinations and of nothing else, as each client does for itself.
pub(crate) fn is_watcher(destinations: &[Destination]) -> bool {
    !destinations.is_empty() && destinations.iter().all(is_of_temporaries)
}

fn is_of_temporaries(topic: &Destination) -> bool {
    is_advisory(topic) && TEMPORARY.into_iter().any(|kind| *topic == Class::of_destination(kind).topic(b""))
}

/// Whether a topic tells of temporary destinations: then what is lost or not in memory need not be had, for what there is can be told
/// again.
pub(crate) fn is_told_again(topic: &Destination) -> bool {
    is_of_temporaries(topic) && !planted("advisory-lost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(name: &str) -> Vec<Class> {
        let set = ClassSet::of(&Destination::new(DestinationKind::Topic, name.as_bytes()));
        CLASSES.into_iter().filter(|class| set.has(*class)).collect()
    }

    #[test]
    fn names_and_patterns_are_told_of_what_they_say() {
        use Class::*;
        assert_eq!(heard("ActiveMQ.Advisory.TempQueue"), [TemporaryQueue]);
        assert_eq!(heard("ActiveMQ.Advisory.Queue"), [Queue]);
        assert_eq!(heard("ActiveMQ.Advisory.Consumer.Queue.a.b"), [ConsumerOfQueue]);
        assert_eq!(heard("ActiveMQ.Advisory.Consumer.Queue.>"), [ConsumerOfQueue]);
        assert_eq!(heard("ActiveMQ.Advisory.Consumer.>"), [ConsumerOfQueue, ConsumerOfTopic]);
        assert_eq!(heard("ActiveMQ.Advisory.*.Topic.a"), [ConsumerOfTopic, ProducerOfTopic]);
        assert_eq!(heard("ActiveMQ.Advisory.*"), CLASSES[..5]);
        assert_eq!(heard(">"), CLASSES);
        assert_eq!(heard("ActiveMQ.>"), CLASSES);
        for name in ["ActiveMQ.Advisory.Consumer.Queue", "ActiveMQ.Advisory.Foo", "a.>", "ActiveMQ.Advisory", "*"] {
            assert_eq!(heard(name), [], "{name}");
        }
        let queue = Destination::new(DestinationKind::Queue, b"ActiveMQ.Advisory.Queue");
        assert!(ClassSet::of(&queue).is_empty() && !is_told_on(&queue));
    }

    #[test]
    fn a_composite_is_one_topic() {
        assert_eq!(*Class::ConsumerOfQueue.topic(b"a,b").name, *b"ActiveMQ.Advisory.Consumer.Queue.a&sbquo;b");
        assert_eq!(*Class::Queue.topic(b"a").name, *b"ActiveMQ.Advisory.Queue");
    }

    #[test]
    fn silence_comes_with_the_last_listener() {
        let mut heard = Heard::default();
        let all = ClassSet::of(&Destination::new(DestinationKind::Topic, b">"));
        heard.listen(all, true);
        heard.listen(all, true);
        heard.listen(all, false);
        assert!(heard.is_heard(Class::Queue) && heard.most_of_all() == 1);
        heard.listen(all, false);
        assert!(heard.is_silent() && heard.most_of_all() == 0);
    }
}
