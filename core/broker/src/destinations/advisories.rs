//! Topics on which the broker itself tells what happens.

use crate::plant::planted;
use postrider_model::{Destination, DestinationKind};

/// Topics under it are the broker's own: they are never stored.
const ADVISORY_PREFIX: &[u8] = b"ActiveMQ.Advisory.";

/// Whether it is a topic on which the broker itself tells what happens. None of it is stored, nor is its name: every client opens one,
/// also when the journal is full.
pub(crate) fn is_advisory(destination: &Destination) -> bool {
    destination.kind == DestinationKind::Topic && destination.name.starts_with(ADVISORY_PREFIX)
}

/// Kinds of temporary destinations.
pub(crate) const TEMPORARY: [DestinationKind; 2] = [DestinationKind::TemporaryQueue, DestinationKind::TemporaryTopic];

/// The topic that tells of temporary destinations of this kind.
pub(crate) fn advisory_topic(kind: DestinationKind) -> Destination {
    let name: &[u8] = match kind {
        DestinationKind::TemporaryTopic => b"ActiveMQ.Advisory.TempTopic",
        _ => b"ActiveMQ.Advisory.TempQueue",
    };
    Destination::new(DestinationKind::Topic, name)
}

/// The kind of temporary destinations that this topic tells of.
pub(crate) fn told_by(topic: &Destination) -> Option<DestinationKind> {
    TEMPORARY.into_iter().find(|kind| is_advisory(topic) && *topic == advisory_topic(*kind))
}

/// Whether a consumer of these hears of temporary destinations and of nothing else, as each client does for itself.
pub(crate) fn is_watcher(destinations: &[Destination]) -> bool {
    let topics = TEMPORARY.map(advisory_topic);
    !destinations.is_empty() && destinations.iter().all(|destination| topics.contains(destination))
}

/// Whether a topic tells of temporary destinations: then what is lost or not in memory need not be had, for what there is can be told
/// again.
pub(crate) fn is_told_again(topic: &Destination) -> bool {
    told_by(topic).is_some() && !planted("advisory-lost")
}
