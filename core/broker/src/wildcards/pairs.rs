//! What patterns of consumers make the broker keep: each destination that one fits takes memory, in the consumer and in the
//! destination. What consumers name takes as much, which is counted where they say it.

use crate::broker::Broker;
use crate::clients::connection::Connection;
use crate::clients::consumer::Consumer;
use crate::destinations::destination::{Refusal, brief};
use crate::destinations::members::Member;
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex};
use crate::wildcards::matching::name_steps;
use crate::wildcards::patterns::Met;
use postrider_model::event::Failure;
use postrider_model::{Destination, limits};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that a destination takes in its consumer, which are used again as long as that is there; measured, and rounded up.
const SLOT_BYTES: u64 = 64;

/// Bytes that a consumer takes in its destination; likewise.
const PLACE_BYTES: u64 = 64;

/// What an exclusive consumer takes there besides, and one that wants only some messages.
const EXCLUSIVE_BYTES: u64 = 64;
const VIEW_BYTES: u64 = 1_024;

/// What all pairs take.
#[derive(Default)]
pub(crate) struct Pairs {
    /// Those of consumers that are there, beyond what is free for each connection.
    taken: u64,
    /// Those among them of connections that have ended.
    ending: u64,
    /// Those of consumers that are on their way out.
    leaving: u64,
    /// As much as those may take that destinations still find which have come.
    promised: u64,
    /// What a destination takes that all patterns fit.
    most: u64,
}

impl Pairs {
    fn all(&self) -> u64 {
        self.taken + self.leaving + self.promised
    }

    /// A destination will find its consumers later.
    pub(crate) fn promise(&mut self, bytes: u64) {
        self.promised += bytes;
    }

    /// It has found them.
    pub(crate) fn fulfil(&mut self, bytes: u64) {
        self.promised -= bytes;
    }

    /// A consumer is gone of which so much counted when it was closed.
    pub(crate) fn left(&mut self, bytes: u64) {
        self.leaving -= bytes;
    }
}

/// Bytes that a consumer takes with a destination.
fn pair_of(consumer: &Consumer) -> u64 {
    SLOT_BYTES + place_bytes(consumer)
}

/// Those of them in the destination.
fn place_bytes(consumer: &Consumer) -> u64 {
    let own = |has: bool, bytes: u64| if has { bytes } else { 0 };
    PLACE_BYTES + own(consumer.exclusive, EXCLUSIVE_BYTES) + own(consumer.predicate().is_some(), VIEW_BYTES)
}

/// Bytes that a connection's consumers take with so many more, beyond what is free.
fn pairs_of(connection: &Connection, more: u64, free: u64) -> u64 {
    (connection.pair_bytes + more).saturating_sub(free)
}

impl Broker {
    /// Bytes that pairs of patterns and destinations take of what they may, beside what is free for each connection.
    #[must_use]
    pub fn pair_bytes(&self) -> u64 {
        self.wildcards.pairs.all()
    }

    /// How many more destinations, up to so many, a consumer goes on with. 0: it waits for what is on its way out, or promised, without
    /// which there is room for another one. A client that has lost its connection comes again before all that it had is gone.
    pub(crate) fn pairs_at_once(&self, index: ConsumerIndex, most: usize) -> usize {
        let going = self.wildcards.pairs.leaving + self.wildcards.pairs.ending + self.wildcards.pairs.promised;
        if going == 0 || self.has_room_for(index, most as u64, 0) {
            return most;
        }
        usize::from(self.has_room_for(index, 1, 0) || !self.has_room_for(index, 1, going))
    }

    /// Whether there is room for so many more destinations of a consumer, given that so much is not there any more.
    fn has_room_for(&self, index: ConsumerIndex, more: u64, gone: u64) -> bool {
        let consumer = self.clients.consumer(index);
        let connection = self.clients.connection(consumer.connection);
        let free = self.config.free_pair_bytes;
        let counted = pairs_of(connection, more * pair_of(consumer), free);
        let others = (self.wildcards.pairs.all() - pairs_of(connection, 0, free)).saturating_sub(gone);
        limits::is_fair_share(counted, counted + others, self.config.pair_bytes)
    }

    /// Whether a consumer may get one more destination by its patterns.
    pub(crate) fn admit_pair(&self, index: ConsumerIndex) -> Result<(), Refusal> {
        if self.has_room_for(index, 1, 0) {
            return Ok(());
        }
        let kept = self.clients.owner_of(self.clients.consumer(index)).pair_bytes;
        let text = format!(
            "the connection keeps {kept} bytes of memory with the destinations that patterns of its consumers fit, and there is no \
             room for more: close some, use patterns that fit fewer destinations, or raise the setting `clients.memory_bytes`"
        );
        Err((Failure::ResourceAllocation, text.into()))
    }

    /// Whether a destination may come into being, as far as it is for consumers with patterns that it fits. A temporary one is for those
    /// of its owner only.
    pub(crate) fn admit_joining(
        &mut self,
        destination: &Destination,
        owner: Option<ConnectionIndex>,
    ) -> Result<(), Refusal> {
        let (budget, all, most) = (self.config.pair_bytes, self.wildcards.pairs.all(), self.most_joining(owner));
        if most == 0 || all + most <= budget {
            return Ok(());
        }
        let joining = self.joining(destination, owner).unwrap_or(most);
        if joining == 0 || all + joining <= budget {
            return Ok(());
        }
        let text = format!(
            "{} cannot be created: patterns of consumers take {all} of {budget} bytes of memory with the destinations that they \
             fit, and there is no room for one more that they fit: close some of them, or raise the setting `clients.memory_bytes`",
            brief(destination)
        );
        Err((Failure::ResourceAllocation, text.into()))
    }

    /// Bytes that a destination takes at most: with all patterns, or with those of the connection that it lives with.
    pub(crate) fn most_joining(&self, owner: Option<ConnectionIndex>) -> u64 {
        owner.map_or(self.wildcards.pairs.most, |owner| self.clients.connection(owner).most_pairs)
    }

    /// The same with those that fit, beyond what is free for each connection. None: the command has no steps left to find them.
    fn joining(&mut self, destination: &Destination, owner: Option<ConnectionIndex>) -> Option<u64> {
        let mut search = self.wildcards.patterns.search(destination);
        let mut taken: BTreeMap<ConnectionIndex, u64> = BTreeMap::new();
        let mut counted: BTreeSet<ConsumerIndex> = BTreeSet::new();
        let all = self.at_once(|broker, budget| {
            while budget.step() {
                budget.spend(name_steps(destination));
                match search.step(&broker.wildcards.patterns, destination) {
                    Met::Pattern(filed) => {
                        let is_open = |consumer: &&Consumer| owner.is_none_or(|owner| owner == consumer.connection);
                        if let Some(consumer) = broker.fitting(filed, destination).filter(is_open)
                            && counted.insert(filed.consumer)
                        {
                            *taken.entry(consumer.connection).or_default() += pair_of(consumer);
                        }
                    }
                    Met::Nothing => {}
                    Met::End => return true,
                }
            }
            false
        });
        let free = self.config.free_pair_bytes;
        let counted = |(connection, bytes): (&ConnectionIndex, &u64)| {
            let connection = self.clients.connection(*connection);
            pairs_of(connection, *bytes, free) - pairs_of(connection, 0, free)
        };
        all.then(|| taken.iter().map(counted).sum())
    }

    /// A consumer has come: so much more a destination takes that all patterns fit.
    pub(crate) fn enter_pairs(&mut self, index: ConsumerIndex) {
        let consumer = self.clients.consumer(index);
        if !consumer.patterns().is_empty() {
            let bytes = pair_of(consumer);
            self.wildcards.pairs.most += bytes;
            self.clients.connection_mut(consumer.connection).most_pairs += bytes;
        }
    }

    /// A consumer gets a destination that a pattern of its fits, as in [`Broker::join`]. The bytes that it takes so.
    pub(crate) fn join_matched(
        &mut self,
        index: ConsumerIndex,
        destination: DestinationIndex,
        from: Option<u64>,
    ) -> u64 {
        let slots = self.clients.consumer(index).memberships().len();
        let number = self.join(index, destination, from);
        let consumer = self.clients.consumer_mut(index);
        consumer.note_matched(number);
        let bytes = (consumer.memberships().len() - slots) as u64 * SLOT_BYTES + place_bytes(consumer);
        consumer.pair_bytes += bytes;
        let connection = consumer.connection;
        self.set_pairs(connection, self.clients.connection(connection).pair_bytes + bytes);
        bytes
    }

    /// A destination goes, and its consumer stays without it.
    pub(crate) fn unmatch(&mut self, member: Member) {
        let consumer = self.clients.consumer_mut(member.consumer);
        let matched = consumer.take_matched(member.membership);
        if matched && !consumer.is_closing() {
            let bytes = place_bytes(consumer);
            consumer.pair_bytes -= bytes;
            self.give_back_pairs(member.consumer, bytes);
        }
    }

    /// A consumer goes, once: what counted of what it has, beyond what is free, counts for all until it is gone.
    pub(crate) fn leave_pairs(&mut self, index: ConsumerIndex) {
        let consumer = self.clients.consumer(index);
        let (bytes, most) = (consumer.pair_bytes, pair_of(consumer));
        if !consumer.patterns().is_empty() {
            self.wildcards.pairs.most -= most;
            self.clients.connection_mut(consumer.connection).most_pairs -= most;
        }
        let counted = self.give_back_pairs(index, bytes);
        self.wildcards.pairs.leaving += counted;
        self.clients.consumer_mut(index).pair_bytes = counted;
    }

    /// How many of them counted.
    fn give_back_pairs(&mut self, index: ConsumerIndex, bytes: u64) -> u64 {
        let connection = self.clients.consumer(index).connection;
        let (before, now) = self.set_pairs(connection, self.clients.connection(connection).pair_bytes - bytes);
        before - now
    }

    /// The consumers of a connection take so much by now. How much of it counted before, and counts now.
    fn set_pairs(&mut self, index: ConnectionIndex, bytes: u64) -> (u64, u64) {
        let (connection, free) = (self.clients.connection_mut(index), self.config.free_pair_bytes);
        let before = pairs_of(connection, 0, free);
        connection.pair_bytes = bytes;
        let now = pairs_of(connection, 0, free);
        let counts = |counter: &mut u64| *counter = *counter - before + now;
        counts(&mut self.wildcards.pairs.taken);
        if connection.is_leaving() {
            counts(&mut self.wildcards.pairs.ending);
        }
        (before, now)
    }

    /// A connection has ended: what its consumers take is on its way out.
    pub(crate) fn end_pairs(&mut self, index: ConnectionIndex) {
        self.wildcards.pairs.ending += pairs_of(self.clients.connection(index), 0, self.config.free_pair_bytes);
    }
}
