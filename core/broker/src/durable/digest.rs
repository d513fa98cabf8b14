//! The durable state in a few numbers: equal where two brokers have taken the same records (P12). For the simulator.

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::destinations::queue::Queue;
use crate::durable::duplicates::Producers;
use crate::log::LogKind;
use crate::messages::flag;
use foldhash::fast::FixedState;
use postrider_model::DestinationId;
use std::hash::{BuildHasher, Hash};

/// Sums over what the log knows, in whatever order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Digest {
    /// Places of messages in queues that are there.
    pub places: u64,
    messages: u64,
    /// Destinations and allowances, and where their records are.
    destinations: u64,
    /// Producers that are remembered.
    marks: u64,
    /// The reservation of sequences, and where its record is.
    sequences: u64,
    /// Bytes of the places.
    bytes: u64,
    /// Branches that are prepared, and where their records are.
    branches: u64,
}

fn hash(what: impl Hash) -> u64 {
    FixedState::with_seed(7).hash_one(what)
}

impl Broker {
    /// Looks at all that is durable.
    #[doc(hidden)]
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut digest =
            Digest { marks: self.marks.digest(), sequences: hash(self.sequences.digest()), ..Digest::default() };
        for message in self.messages.iter().filter(|message| message.store == LogKind::Journal) {
            // The log says that it is over when there is room.
            if message.has(flag::STAGED) || message.has(flag::SHARED) {
                continue;
            }
            let state = self.destinations.get(message.destination);
            if state.is_dying() {
                continue;
            }
            let known = message.flags & (flag::OFFERED | flag::ELSEWHERE | flag::COPIED);
            let what = (message.sequence, message.expiration, message.length, message.crc, message.stated, known);
            let home = (message.segment, message.ordinal);
            digest.places += 1;
            digest.bytes += u64::from(message.length);
            digest.messages = digest.messages.wrapping_add(hash((what, home, state.id)));
        }
        digest.branches = self.prepared_branches().fold(0, |sum, (tag, branch, home)| {
            sum.wrapping_add(hash((tag, &branch.xid, branch.owner, home.segment, home.ordinal)))
        });
        for (_, state) in self.destinations.iter().filter(|(_, state)| state.id.is_some()) {
            let allowance = match &state.content {
                Content::Queue(queue) => {
                    self.digest_shared(queue, state.id, &mut digest);
                    queue.allowance.digest()
                }
                Content::Topic(_) => None,
            };
            let subscription = state.subscription.as_ref().map(|subscription| &subscription.meta);
            digest.destinations = digest.destinations.wrapping_add(hash(subscription.map(|meta| {
                let names: Vec<&[u8]> = meta.topics.iter().map(|topic| &*topic.name).collect();
                (&meta.client, &meta.name, names, &meta.selector, meta.no_local)
            })));
            let home = state.home.map(|home| (home.segment, home.ordinal));
            let what = (&*state.destination.name, state.destination.kind as u8, state.id, home, allowance);
            digest.destinations = digest.destinations.wrapping_add(hash(what));
        }
        digest
    }

    /// What a queue has of messages that others have, too.
    fn digest_shared(&self, queue: &Queue, id: Option<DestinationId>, digest: &mut Digest) {
        for number in queue.all() {
            let message = self.messages.at(number);
            if !message.has(flag::SHARED) || message.store != LogKind::Journal {
                continue;
            }
            let known = message.flags & (flag::ELSEWHERE | flag::COPIED);
            let what = (message.sequence, message.expiration, message.length, message.crc, known);
            digest.places += 1;
            digest.bytes += u64::from(message.length);
            digest.messages = digest.messages.wrapping_add(hash((what, (message.segment, message.ordinal), id)));
        }
    }

    /// What producers are remembered by. Whoever has less room knows less.
    #[doc(hidden)]
    #[must_use]
    pub fn producers(&self) -> Producers {
        self.marks.producers()
    }

    /// How much there is to look at.
    #[doc(hidden)]
    #[must_use]
    pub fn digest_steps(&self) -> usize {
        let held = self.destinations.iter().map(|(_, state)| match &state.content {
            Content::Queue(queue) if state.subscription.is_some() => 10 + queue.waiting(),
            _ => 0,
        });
        self.messages.len() + self.destinations.len() + self.marks.len() + held.sum::<usize>()
    }
}
