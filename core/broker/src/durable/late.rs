//! Subscriptions that come between what a transaction sends to their topics and its decision: they are to have it, by the decision's record
//! (R52).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::log::LogKind;
use crate::messages::{DestinationIndex, Message, MessageIndex, TransactionIndex, flag};
use crate::plant::planted;
use crate::records::commit::{CommitMeta, Decided};
use crate::records::{self, MetaError, write_acknowledged};
use postrider_model::{DestinationId, Sequence, limits};
use std::collections::BTreeMap;

/// Of their places, so many are made in a step.
const PLACES_OF_STEP: usize = 8;

/// A subscription that came since something was sent, and is to have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateSharer {
    pub of: DestinationIndex,
    /// What its selector says is to be found out.
    pub is_untried: bool,
}

/// All of them, by the number of what was sent within the transaction.
#[derive(Default)]
pub(crate) struct Late {
    /// What was sent between two subscriptions goes to the same ones: they are here once.
    lists: Vec<Vec<LateSharer>>,
    /// Which of these it is.
    by_number: BTreeMap<u64, usize>,
}

impl Late {
    /// Those that are to have what has this number.
    pub(super) fn of(&self, number: u64) -> &[LateSharer] {
        self.by_number.get(&number).and_then(|list| self.lists.get(*list)).map_or(&[], Vec::as_slice)
    }

    /// Their places.
    pub(crate) fn places(&self) -> usize {
        self.by_number.keys().map(|number| self.of(*number).len()).sum()
    }

    /// All of them, some more than once.
    pub(super) fn all(&self) -> impl Iterator<Item = DestinationIndex> {
        self.lists.iter().flatten().map(|sharer| sharer.of)
    }

    fn add(&mut self, number: u64, sharers: &[LateSharer]) {
        if sharers.is_empty() {
            return;
        }
        if self.lists.last().is_none_or(|last| last != sharers) {
            self.lists.push(sharers.to_vec());
        }
        self.by_number.insert(number, self.lists.len() - 1);
    }
}

/// Why they cannot have it.
pub(crate) enum TooMany {
    /// So many places, of all that was sent together.
    OfAll(u64),
    /// One message would have so many, and a record says [`limits::PLACES`] at most.
    OfOne(u64),
}

/// Something that was sent to a topic, to which subscriptions have come since.
struct Sent {
    index: MessageIndex,
    /// The first place of its record.
    head: MessageIndex,
    /// Those have come that have this number or a higher one.
    since: DestinationId,
}

impl Broker {
    /// The subscriptions that came since something was sent to their topics: they are to have it, too. What has a selector is placed, and
    /// tried when it is looked at.
    pub(crate) fn late_sharers(&mut self, of: TransactionIndex, client: &[u8], most: u64) -> Result<Late, TooMany> {
        let sent = self.sent_to_topics(of);
        let places = self.count_late(of, &sent, most)?;
        self.work.spend(usize::try_from(places).unwrap_or(usize::MAX) / PLACES_OF_STEP);
        let (mut late, mut known) = (Late::default(), (None, Vec::new()));
        for Sent { index, since, .. } in sent {
            let message = self.messages.at(index);
            let (number, topic) = (message.sequence.0, message.destination);
            let mut placed = self.placed_since(of, message, since);
            if known.0 != Some((topic, since)) || !placed.is_empty() {
                placed.sort_unstable();
                let key = placed.is_empty().then_some((topic, since));
                known = (key, self.late_sharers_of(topic, since, (client, &placed)));
            }
            late.add(number, &known.1);
        }
        Ok(late)
    }

    /// Whether subscriptions that came since can have what a transaction has sent.
    pub(crate) fn check_late(&mut self, of: TransactionIndex, most: u64) -> Result<(), TooMany> {
        let sent = self.sent_to_topics(of);
        self.count_late(of, &sent, most).map(|_| ())
    }

    /// How many places they would have, at most.
    fn count_late(&mut self, of: TransactionIndex, sent: &[Sent], most: u64) -> Result<u64, TooMany> {
        let (mut all, mut largest) = (0, 0);
        for of_record in sent.chunk_by(|one, other| one.head == other.head) {
            let mut places = 0;
            for Sent { index, since, .. } in of_record {
                let message = self.messages.at(*index);
                let (topic, placed) = (message.destination, self.placed_since(of, message, *since).len());
                let (subscribers, looked) = self.destinations.take_subscribers(topic);
                let all = subscribers.len() - self.destinations.subscribed_since(&subscribers, *since);
                places += all.saturating_sub(placed) as u64;
                self.destinations.put_subscribers(topic, subscribers);
                self.work.spend(looked);
            }
            all += places;
            if let Some(Sent { head, .. }) = of_record.first().filter(|_| places > 0) {
                largest = largest.max(self.live_places(*head) + places);
            }
        }
        match () {
            () if all > most => Err(TooMany::OfAll(all)),
            () if largest > limits::PLACES as u64 => Err(TooMany::OfOne(largest)),
            () => Ok(all),
        }
    }

    /// What a transaction has sent to topics since which subscriptions have come. Of a send that has taken several records the last, which
    /// has places left.
    fn sent_to_topics(&mut self, of: TransactionIndex) -> Vec<Sent> {
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
                if let Some(since) = since.filter(|since| self.destinations.has_subscribed_since(*since))
                    && !self.goes_on(of, message)
                {
                    sent.push(Sent { index, head, since });
                }
                (index, looked) = (message.sibling, looked + 1);
            }
        }
        self.work.spend(looked);
        sent
    }

    /// Whether another record follows as this one had no place for all subscriptions of its last topic: it begins with the same body in the
    /// same topic.
    fn goes_on(&self, of: TransactionIndex, message: &Message) -> bool {
        let staged = self.undecided.table.get(of.0).filter(|_| message.sibling == MessageIndex::NONE);
        let number = message.sequence.0;
        let next = staged.and_then(|staged| Some((staged.head_of(number)?, staged.find(number + 1)?)));
        next.is_some_and(|(head, next)| self.is_same_send((head, message), self.messages.at(next)))
    }

    /// Whether a record that begins with a message goes on with the send that another ends with: nothing else is as long, and like it in all.
    fn is_same_send(&self, (head, last): (MessageIndex, &Message), next: &Message) -> bool {
        let identity = |message: &Message| (message.destination, message.length, message.crc, message.store);
        let is_like = next.has(flag::SHARED) && last.has(flag::SHARED) && identity(next) == identity(last);
        is_like && self.live_places(head) > limits::PLACES as u64 / 2
    }

    /// Those from a number on that have a place of a send to a topic already, by its record or one before: they came later where the log was
    /// followed.
    fn placed_since(&self, of: TransactionIndex, message: &Message, since: DestinationId) -> Vec<DestinationIndex> {
        let Some(staged) = self.undecided.table.get(of.0) else { return Vec::new() };
        let (mut message, mut placed) = (message, Vec::new());
        loop {
            let sharers = self.undecided.sharers(message).iter().copied();
            placed.extend(sharers.filter(|of| self.destinations.get(*of).id >= Some(since)));
            let number = message.sequence.0;
            // It begins a record: is the one before it the same send?
            let before = staged.find(number).and(number.checked_sub(1)).and_then(|before| staged.head_of(before));
            let Some(before) = before.map(|head| (head, self.last_of_record(head))) else { return placed };
            if !self.is_same_send(before, message) {
                return placed;
            }
            message = before.1;
        }
    }

    fn last_of_record(&self, head: MessageIndex) -> &Message {
        let mut message = self.messages.at(head);
        while message.sibling != MessageIndex::NONE {
            message = self.messages.at(message.sibling);
        }
        message
    }

    fn late_sharers_of(
        &mut self,
        topic: DestinationIndex,
        since: DestinationId,
        (client, placed): (&[u8], &[DestinationIndex]),
    ) -> Vec<LateSharer> {
        let (subscribers, _) = self.destinations.take_subscribers(topic);
        let first = self.destinations.subscribed_since(&subscribers, since);
        let mut late = Vec::new();
        for of in subscribers.iter().skip(first).filter(|of| placed.binary_search(of).is_err()) {
            let Some(subscription) = &self.destinations.get(of).subscription else { continue };
            if subscription.is_foreign_to(client) {
                late.push(LateSharer { of, is_untried: subscription.has_selector() });
            }
        }
        self.destinations.put_subscribers(topic, subscribers);
        late
    }

    /// They are in use until the decision has taken effect (R44).
    pub(super) fn hold_late(&mut self, late: &Late) {
        let mut holds = vec![0; late.lists.len()];
        for list in late.by_number.values() {
            if let Some(holds) = holds.get_mut(*list) {
                *holds += 1;
            }
        }
        for (sharers, holds) in late.lists.iter().zip(holds) {
            for sharer in sharers {
                self.destinations.get_mut(sharer.of).undecided += holds;
            }
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
        let all: Vec<(u64, usize)> = late
            .by_number
            .iter()
            .map(|(number, list)| (*number, *list))
            .filter(|(number, _)| is_stored(*number))
            .collect();
        for same in all.chunk_by(|(_, one), (_, other)| one == other) {
            let sharers = same.first().and_then(|(_, list)| late.lists.get(*list)).into_iter().flatten();
            let sharers = sharers.filter(|sharer| sharer.is_untried == is_untried);
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
        let mut placed = BTreeMap::new();
        self.follow_placed_late(decided.placed, (false, commit), &mut placed)?;
        self.follow_placed_late(decided.untried, (true, commit), &mut placed)?;
        let mut late = Late::default();
        placed.iter().for_each(|(number, sharers)| late.add(*number, sharers));
        Ok(late)
    }

    fn follow_placed_late(
        &mut self,
        runs: &[u8],
        (is_untried, commit): (bool, &CommitMeta),
        placed: &mut BTreeMap<u64, Vec<LateSharer>>,
    ) -> Result<(), MetaError> {
        let mut is_wrong = false;
        let read = records::read_acknowledged(runs, |id, sequence| {
            let number = sequence.0.checked_sub(commit.first.0).filter(|number| *number < commit.places);
            match number.zip(self.queue_by_id(id)) {
                Some((number, of)) => placed.entry(number).or_default().push(LateSharer { of, is_untried }),
                None => is_wrong = true,
            }
        });
        if is_wrong { Err(MetaError::Malformed) } else { read.ok_or(MetaError::Malformed) }
    }
}
