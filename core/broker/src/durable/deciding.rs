//! What is sent to topics within a transaction: the subscriptions that are there get it by its own record, those that come before the
//! decision by that (R52).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::sharing::{Shared, split_places};
use crate::durable::store::{Arrival, is_sharer};
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, MessageIndex, TransactionIndex, flag};
use crate::plant::planted;
use crate::records::commit::{CommitMeta, Decided};
use crate::records::{self, MetaError, Placement, write_acknowledged};
use crate::step::Step;
use postrider_journal::SegmentNumber;
use postrider_model::{DestinationId, Sequence};
use std::collections::BTreeMap;

/// A subscription that came since something was sent, and is to have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateSharer {
    pub of: DestinationIndex,
    /// What its selector says is to be found out.
    is_untried: bool,
}

/// Of their places, so many are made in a step.
const PLACES_OF_STEP: usize = 8;

/// All of them, by the number of what was sent within the transaction.
pub(crate) type Late = BTreeMap<u64, Vec<LateSharer>>;

/// The subscriptions that are to have something, some of them more than once.
pub(super) fn all_late(late: &Late) -> impl Iterator<Item = DestinationIndex> {
    let mut all: Vec<&[LateSharer]> = late.values().map(Vec::as_slice).collect();
    all.dedup();
    all.into_iter().flatten().map(|sharer| sharer.of)
}

impl Broker {
    /// As [`Broker::stage_send`], with what subscriptions share, or may when it is decided.
    pub(crate) fn stage_shared_send<L: Log>(
        &mut self,
        of: TransactionIndex,
        store: LogKind,
        (parts, shared): (&[DestinationIndex], &[Shared]),
        arrival: Arrival<'_>,
        step: &mut Step<'_, L>,
    ) {
        let mut number = self.undecided.places(of);
        let mut next = || {
            number += 1;
            Sequence(number - 1)
        };
        let id = |of: DestinationIndex| self.destinations.get(of).id.unwrap_or_default();
        let places = split_places((parts, shared), id, |_| false, &mut next);
        for (parts, placements) in places {
            self.stage_placed(of, store, arrival, (&parts, &placements), step);
        }
    }

    /// Which subscriptions are to have what a record sends to topics.
    pub(super) fn note_sharers(&mut self, of: TransactionIndex, parts: &[DestinationIndex], placements: &[Placement]) {
        if placements.iter().all(|placement| !placement.shared) {
            return;
        }
        // What is followed may have moved behind a subscription that came later: that a branch is prepared says which ones are meant.
        let is_followed = self.following.is_some();
        let since = if is_followed { DestinationId(0) } else { self.destinations.next_id() };
        let Some(staged) = self.undecided.table.get_mut(of.0) else { return };
        let has_come = |since| !is_followed && self.destinations.has_subscribed_since(since);
        if staged.topics_since.last().is_none_or(|(_, known)| has_come(*known)) {
            let from = placements.first().map_or(0, |first| first.sequence.0);
            staged.topics_since.push((from, since));
        }
        for (number, placement) in placements.iter().enumerate().filter(|(_, placement)| placement.shared) {
            if !is_sharer(placements, number) {
                let behind = placements.iter().skip(number + 1);
                let count = behind.take_while(|other| other.sequence == placement.sequence).count();
                let sharers = parts.iter().skip(number + 1).take(count).copied().collect();
                staged.sharers.insert(placement.sequence.0, sharers);
            }
        }
    }

    /// What was sent to a topic is gone before it was decided.
    pub(super) fn forget_sharers(&mut self, of: TransactionIndex, message: &Message) {
        if !message.has(flag::SHARED) {
            return;
        }
        let sharers = self.undecided.table.get_mut(of.0).and_then(|staged| staged.sharers.remove(&message.sequence.0));
        for sharer in sharers.iter().flatten() {
            self.destinations.decide(*sharer, 1);
        }
    }

    /// What was sent to a topic is there for its subscriptions. A segment of the spool that may be empty, as there is none.
    pub(super) fn decide_shared(
        &mut self,
        of: TransactionIndex,
        index: MessageIndex,
        number: u64,
        late: &Late,
    ) -> Option<SegmentNumber> {
        let sharers = self.undecided.table.get_mut(of.0).and_then(|staged| staged.sharers.remove(&number));
        let mut all: Vec<DestinationIndex> = sharers.iter().flatten().copied().collect();
        all.iter().for_each(|sharer| self.destinations.decide(*sharer, 1));
        let late = late.get(&number).map_or(&[][..], |late| late);
        late.iter().for_each(|sharer| self.destinations.decide(sharer.of, 1));
        all.extend(late.iter().map(|sharer| sharer.of));
        all.retain(|sharer| !self.destinations.get(*sharer).is_dying());
        let message = self.messages.at_mut(index);
        let (store, segment, topic) = (message.store, message.segment, message.destination);
        message.publisher = u32::try_from(all.len()).unwrap_or(u32::MAX);
        if all.is_empty() {
            message.publisher = 1;
            let message = self.messages.remove(index);
            return (self.leave_record(index, &message) && store == LogKind::Spool).then_some(segment);
        }
        if store == LogKind::Journal {
            self.journal.add_places(segment, all.len() as u64 - 1);
        }
        if let Content::Topic(topic) = &mut self.destinations.get_mut(topic).content {
            topic.shared += 1;
        }
        let sequence = self.messages.at(index).sequence;
        for untried in late.iter().filter(|sharer| sharer.is_untried) {
            let state = self.destinations.get_mut(untried.of);
            if !state.is_dying() {
                state.queue().try_later(sequence);
            }
        }
        all.into_iter().for_each(|sharer| self.enter_queue(sharer, index));
        None
    }

    /// The subscriptions that came since something was sent to their topics: they are to have it, too. What has a selector is placed, and
    /// tried when it is looked at. None: they have more places than that.
    pub(crate) fn late_sharers(&mut self, of: TransactionIndex, client: &[u8], most: u64) -> Option<Late> {
        let mut late = Late::new();
        let sent = self.sent_to_topics(of);
        let places = self.count_late(&sent);
        if places > most {
            return None;
        }
        self.work.spend(usize::try_from(places).unwrap_or(usize::MAX) / PLACES_OF_STEP);
        for (index, since) in sent {
            let sharers = self.late_sharers_of(index, since, client);
            if !sharers.is_empty() {
                late.insert(self.messages.at(index).sequence.0, sharers);
            }
        }
        Some(late)
    }

    /// How many places a transaction would have at subscriptions that came since, at most.
    pub(crate) fn most_late(&mut self, of: TransactionIndex) -> u64 {
        let sent = self.sent_to_topics(of);
        self.count_late(&sent)
    }

    fn count_late(&mut self, sent: &[(MessageIndex, DestinationId)]) -> u64 {
        let mut places = 0;
        for (index, since) in sent {
            let message = self.messages.at(*index);
            let (topic, sharers) = (message.destination, self.undecided.sharers(message));
            let known = sharers.iter().filter(|of| self.destinations.get(**of).id >= Some(*since)).count();
            let (subscribers, looked) = self.destinations.take_subscribers(topic);
            let all = subscribers.len() - self.destinations.subscribed_since(&subscribers, *since);
            places += all.saturating_sub(known) as u64;
            self.destinations.put_subscribers(topic, subscribers);
            self.work.spend(looked);
        }
        places
    }

    /// What a transaction has sent to topics since which subscriptions have come, with the number from which on they have.
    fn sent_to_topics(&mut self, of: TransactionIndex) -> Vec<(MessageIndex, DestinationId)> {
        let Some(staged) = self.undecided.table.get(of.0) else { return Vec::new() };
        let has_come = |(_, since): &(u64, DestinationId)| self.destinations.has_subscribed_since(*since);
        if !staged.topics_since.iter().any(has_come) || planted("subscribed-at-send") {
            return Vec::new();
        }
        let (mut sent, mut looked) = (Vec::new(), 0);
        for head in staged.heads() {
            let mut index = head;
            while index != MessageIndex::NONE {
                let message = self.messages.at(index);
                let since = staged.since(message.sequence.0).filter(|_| message.has(flag::SHARED));
                sent.extend(
                    since.filter(|since| self.destinations.has_subscribed_since(*since)).map(|since| (index, since)),
                );
                (index, looked) = (message.sibling, looked + 1);
            }
        }
        self.work.spend(looked);
        sent
    }

    fn late_sharers_of(&mut self, index: MessageIndex, since: DestinationId, client: &[u8]) -> Vec<LateSharer> {
        let topic = self.messages.at(index).destination;
        let (subscribers, _) = self.destinations.take_subscribers(topic);
        let first = self.destinations.subscribed_since(&subscribers, since);
        let mut late = Vec::new();
        if first < subscribers.len() {
            let mut known = self.undecided.sharers(self.messages.at(index)).to_vec();
            known.sort_unstable();
            for of in subscribers.iter().skip(first).filter(|of| known.binary_search(of).is_err()) {
                let Some(subscription) = &self.destinations.get(of).subscription else { continue };
                if subscription.is_foreign_to(client) {
                    late.push(LateSharer { of, is_untried: subscription.has_selector() });
                }
            }
        }
        self.destinations.put_subscribers(topic, subscribers);
        late
    }

    /// They are in use until the decision has taken effect (R44).
    pub(super) fn hold_late(&mut self, late: &Late) {
        for sharer in late.values().flatten() {
            self.destinations.get_mut(sharer.of).undecided += 1;
        }
    }

    /// What the decision says of them: the runs of each subscription, of what is in the journal.
    pub(super) fn late_places(&self, late: &Late, of: TransactionIndex, first: Sequence, is_untried: bool) -> Vec<u8> {
        let mut by_subscription: BTreeMap<DestinationId, Vec<u64>> = BTreeMap::new();
        let staged = self.undecided.table.get(of.0);
        let is_stored = |number: u64| {
            let head = staged.and_then(|staged| staged.head_of(number));
            head.is_some_and(|head| self.messages.at(head).store == LogKind::Journal)
        };
        let all: Vec<(u64, &[LateSharer])> = late
            .iter()
            .filter(|(number, _)| is_stored(**number))
            .map(|(number, all)| (*number, all.as_slice()))
            .collect();
        // What was sent between two subscriptions goes to the same ones.
        for same in all.chunk_by(|(_, one), (_, other)| one == other) {
            let sharers = same.first().map_or(&[][..], |(_, sharers)| sharers);
            let sharers = sharers.iter().filter(|sharer| sharer.is_untried == is_untried);
            for id in sharers.filter_map(|sharer| self.destinations.get(sharer.of).id) {
                let sequences = by_subscription.entry(id).or_default();
                sequences.extend(same.iter().map(|(number, _)| first.0 + number));
            }
        }
        let mut bytes = Vec::new();
        by_subscription.iter().for_each(|(id, sequences)| write_acknowledged(&mut bytes, *id, sequences));
        bytes
    }

    /// The same out of a decision that is followed.
    pub(super) fn follow_late(&mut self, decided: Decided<'_>, commit: &CommitMeta) -> Result<Late, MetaError> {
        let mut late = Late::new();
        self.follow_placed_late(decided.placed, (false, commit), &mut late)?;
        self.follow_placed_late(decided.untried, (true, commit), &mut late)?;
        Ok(late)
    }

    fn follow_placed_late(
        &mut self,
        placed: &[u8],
        (is_untried, commit): (bool, &CommitMeta),
        late: &mut Late,
    ) -> Result<(), MetaError> {
        let mut is_wrong = false;
        let read = records::read_acknowledged(placed, |id, sequence| {
            let number = sequence.0.checked_sub(commit.first.0).filter(|number| *number < commit.places);
            match number.zip(self.queue_by_id(id)) {
                Some((number, of)) => late.entry(number).or_default().push(LateSharer { of, is_untried }),
                None => is_wrong = true,
            }
        });
        if is_wrong { Err(MetaError::Malformed) } else { read.ok_or(MetaError::Malformed) }
    }
}
