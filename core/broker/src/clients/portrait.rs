//! What others are told of a consumer or a producer, if somebody asks.

use crate::destinations::advisories::{Class, is_advisory};
use crate::destinations::destination::Reference;
use postrider_model::command::{OpenConsumer, OpenProducer};
use postrider_model::{Destination, DestinationKind};

/// What others are told of a consumer.
pub(crate) struct ConsumerPortrait {
    /// Session and number of its id.
    pub member: (i64, i64),
    /// What it listens to, of several as a composite.
    pub destination: Destination,
    /// Of consumers of what the broker itself tells nothing is told.
    pub class: Option<Class>,
    pub pending_limit: i32,
    pub marks: u16,
    pub selector: Option<Box<[u8]>>,
    pub subscription: Option<Box<[u8]>>,
    pub rest: Box<[u8]>,
}

impl ConsumerPortrait {
    pub(crate) fn new(open: &OpenConsumer) -> ConsumerPortrait {
        let destination = composite(&open.destinations);
        let of_advisories = open.destinations.iter().any(is_advisory);
        ConsumerPortrait {
            member: (open.session, open.value),
            class: (!of_advisories).then(|| Class::of_consumer(destination.kind)),
            destination,
            pending_limit: open.pending_limit,
            marks: open.described.marks,
            selector: open.selector.clone(),
            subscription: open.subscription.clone(),
            rest: open.described.rest.clone(),
        }
    }
}

/// What others are told of a producer that names where it sends.
pub(crate) struct ProducerPortrait {
    /// Where it sends, to several as to a composite.
    pub destination: Destination,
    /// Those that were there when it came.
    pub parts: Vec<Reference>,
    /// Of producers of what the broker itself tells nothing is told.
    pub class: Option<Class>,
    pub window: u32,
    pub marks: u16,
    pub rest: Box<[u8]>,
    /// Which of all happenings its coming was.
    pub happened: u64,
}

impl ProducerPortrait {
    /// None: it says with each message where that goes, and nothing is told of it.
    pub(crate) fn new(open: &OpenProducer, parts: Vec<Reference>, happened: u64) -> Option<Box<ProducerPortrait>> {
        let first = open.destinations.first()?;
        let of_advisories = open.destinations.iter().any(is_advisory);
        Some(Box::new(ProducerPortrait {
            destination: composite(&open.destinations),
            parts,
            class: (!of_advisories).then(|| Class::of_producer(first.kind)),
            window: open.window,
            marks: open.described.marks,
            rest: open.described.rest.clone(),
            happened,
        }))
    }
}

/// One name for several destinations: parts of another kind than the first say so.
pub(crate) fn composite(destinations: &[Destination]) -> Destination {
    let Some((first, others)) = destinations.split_first() else {
        return Destination::new(DestinationKind::Queue, b"");
    };
    if others.is_empty() {
        return first.clone();
    }
    let mut name = first.name.to_vec();
    for other in others {
        name.push(b',');
        if other.kind != first.kind {
            name.extend_from_slice(other.kind.prefix().as_bytes());
        }
        name.extend_from_slice(&other.name);
    }
    Destination { kind: first.kind, name: name.into() }
}
