//! What transactions send to topics, put together as it comes: who subscribes before the decision is to have it (R52), and a decision has
//! ready what that takes, however much was sent (R36).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::log::LogKind;
use crate::messages::{DestinationIndex, Message, MessageIndex, TransactionIndex, flag};
use crate::records::acknowledged::Run;
use postrider_model::{DestinationId, limits};
use std::cell::Cell;
use std::collections::BTreeMap;

use super::sharing::Places;
use super::store::is_sharer;

/// A number in [`SentToTopics::kinds`].
type Kind = usize;

/// What goes to the same subscriptions of those that come before the decision.
pub(super) struct Sent {
    pub topic: DestinationIndex,
    /// It is in the journal, so that the decision says its places.
    pub is_stored: bool,
    /// Those have come since that have this number or a higher one.
    pub since: DestinationId,
    /// Of those, these have it by its records: they came later where the log was followed.
    pub placed: Box<[DestinationIndex]>,
    /// Its numbers within the transaction.
    pub numbers: Run,
}

/// All that a transaction has sent to topics.
#[derive(Default)]
pub(crate) struct SentToTopics {
    /// Since the first of it those have come that have this number or a higher one; since the newest, that.
    since: Option<(DestinationId, DestinationId)>,
    pub(super) kinds: Vec<Sent>,
    /// The newest kind of a topic, in the journal or not.
    by_topic: BTreeMap<(DestinationIndex, bool), Kind>,
    /// Which kind it is that has this number, and those that follow. None: nobody gets it that comes later, as another record goes on with it.
    by_number: Vec<(u64, Option<Kind>)>,
    /// The kinds of a record, and how many places one like that has at most.
    pub(super) records: BTreeMap<Box<[Kind]>, u64>,
    /// How many of all these there are to be looked at.
    pub(super) looks: usize,
    /// What those who are late took in the decision's record when that was asked last, and what it was found of.
    pub(super) late_bytes: Cell<Option<(LateOf, u64)>>,
}

/// How often subscriptions had changed, and how many places the transaction had.
pub(super) type LateOf = (u64, u64);

impl SentToTopics {
    /// Since something was sent those have come that have this number or a higher one.
    pub(super) fn since(&self) -> Option<DestinationId> {
        self.since.map(|(first, _)| first)
    }

    /// The same, as the log says it.
    pub(super) fn set_since(&mut self, since: Option<DestinationId>) {
        self.since = since.map(|since| (since, since));
    }

    /// The same, where the log has not said it yet: they have it that are in no record.
    pub(super) fn come_by_log(&mut self) {
        self.since.get_or_insert((DestinationId(0), DestinationId(0)));
    }

    pub(super) fn take_numbers(&mut self) -> Vec<(u64, Option<Kind>)> {
        std::mem::take(&mut self.by_number)
    }

    fn note(&mut self, number: u64, kind: Option<Kind>) {
        if self.by_number.last().is_none_or(|(_, last)| *last != kind) {
            self.by_number.push((number, kind));
        }
        if let Some(sent) = kind.and_then(|kind| self.kinds.get_mut(kind)) {
            sent.numbers.add(number);
        }
    }

    fn add_kind(&mut self, sent: Sent) -> Kind {
        self.looks += 1;
        self.kinds.push(sent);
        self.kinds.len() - 1
    }

    fn note_record(&mut self, kinds: &[Kind], places: u64) {
        match self.records.get_mut(kinds) {
            Some(most) => *most = places.max(*most),
            None if kinds.is_empty() => {}
            None => {
                self.looks += kinds.len();
                self.records.insert(kinds.into(), places);
            }
        }
    }
}

impl Broker {
    /// A record was staged that sends to topics; another one goes on with one of them.
    pub(super) fn note_sent(
        &mut self,
        of: TransactionIndex,
        store: LogKind,
        places: &Places,
        goes_on: Option<DestinationIndex>,
    ) {
        let (is_stored, next) = (store == LogKind::Journal, self.destinations.next_id());
        let mut kinds = std::mem::take(&mut self.durable.kinds);
        kinds.clear();
        let Some(staged) = self.undecided.table.get_mut(of.0) else { return };
        let sent = &mut staged.topics;
        let (first, newest) = sent.since.unwrap_or((next, next));
        let since = if self.destinations.has_subscribed_since(newest) { next } else { newest };
        sent.since = Some((first, since));
        for (place, (topic, placement)) in places.parts.iter().zip(&places.placements).enumerate() {
            if !placement.shared || is_sharer(&places.placements, place) {
                continue;
            }
            if goes_on == Some(*topic) {
                sent.note(placement.sequence.0, None);
                continue;
            }
            let known = sent.by_topic.get(&(*topic, is_stored)).copied();
            let known = known.filter(|kind| sent.kinds.get(*kind).is_some_and(|sent| sent.since == since));
            let kind = known.unwrap_or_else(|| {
                let (placed, numbers) = (Box::default(), Run::default());
                let kind = sent.add_kind(Sent { topic: *topic, is_stored, since, placed, numbers });
                sent.by_topic.insert((*topic, is_stored), kind);
                kind
            });
            sent.note(placement.sequence.0, Some(kind));
            kinds.push(kind);
        }
        sent.note_record(&kinds, places.parts.len() as u64);
        self.durable.kinds = kinds;
    }

    /// A life begins with a branch that is not decided: the same of what the log says.
    pub(crate) fn gather_sent(&mut self, of: TransactionIndex) {
        let Some(staged) = self.undecided.table.get_mut(of.0) else { return };
        let Some(since) = staged.topics.since() else { return };
        let (mut sent, heads) = (std::mem::take(&mut staged.topics), staged.in_order());
        let (mut known, mut kinds) = (BTreeMap::new(), Vec::new());
        for head in heads {
            kinds.clear();
            let mut index = head;
            while index != MessageIndex::NONE {
                let message = self.messages.at(index);
                index = message.sibling;
                if !message.has(flag::SHARED) {
                    continue;
                }
                let number = message.sequence.0;
                if self.goes_on(of, message) {
                    sent.note(number, None);
                    continue;
                }
                let (topic, is_stored) = (message.destination, message.store == LogKind::Journal);
                let placed = self.placed_since(of, message, since);
                let kind = *known.entry((topic, placed.clone())).or_insert_with(|| {
                    sent.add_kind(Sent { topic, is_stored, since, placed, numbers: Run::default() })
                });
                sent.note(number, Some(kind));
                kinds.push(kind);
            }
            sent.note_record(&kinds, self.live_places(head));
        }
        if let Some(staged) = self.undecided.table.get_mut(of.0) {
            staged.topics = sent;
        }
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

    /// Those from a number on that have a place of a send to a topic already, by its record or one before, in their order.
    fn placed_since(&self, of: TransactionIndex, message: &Message, since: DestinationId) -> Box<[DestinationIndex]> {
        let Some(staged) = self.undecided.table.get(of.0) else { return Box::default() };
        let (mut message, mut placed) = (message, Vec::new());
        loop {
            let sharers = self.undecided.sharers(message).iter().copied();
            placed.extend(sharers.filter(|of| self.destinations.get(*of).id >= Some(since)));
            let number = message.sequence.0;
            // It begins a record: is the one before it the same send?
            let before = staged.find(number).and(number.checked_sub(1)).and_then(|before| staged.head_of(before));
            let before = before.map(|head| (head, self.last_of_record(head)));
            match before.filter(|before| self.is_same_send(*before, message)) {
                Some((_, last)) => message = last,
                None => break,
            }
        }
        placed.sort_unstable();
        placed.into()
    }

    fn last_of_record(&self, head: MessageIndex) -> &Message {
        let mut message = self.messages.at(head);
        while message.sibling != MessageIndex::NONE {
            message = self.messages.at(message.sibling);
        }
        message
    }
}
