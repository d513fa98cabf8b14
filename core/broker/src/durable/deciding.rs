//! What is sent to topics within a transaction: the subscriptions that are there get it by its own record, those that come before the
//! decision by that ([`crate::durable::late`]).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::late::{Late, LateSharer};
use crate::durable::sharing::{Shared, Split};
use crate::durable::store::{Arrival, is_sharer};
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, MessageIndex, TransactionIndex, flag};
use crate::records::Placement;
use crate::step::Step;
use postrider_journal::SegmentNumber;

impl Broker {
    /// As [`Broker::stage_send`], with what subscriptions share, or may when it is decided.
    pub(crate) fn stage_shared_send<L: Log>(
        &mut self,
        of: TransactionIndex,
        store: LogKind,
        (parts, shared): (&[DestinationIndex], &Shared),
        arrival: Arrival<'_>,
        step: &mut Step<'_, L>,
    ) {
        let mut number = self.undecided.places(of);
        let mut places = std::mem::take(&mut self.durable.places);
        let mut split = Split::new(parts, shared);
        while !split.is_done() {
            let id = |of: DestinationIndex| self.destinations.get(of).id.unwrap_or_default();
            number = split.fill(&mut places, number, id, |_| false);
            self.stage_placed(of, store, arrival, (&places.parts, &places.placements), step);
            self.note_sent(of, store, &places, split.current());
        }
        self.durable.places = places;
    }

    /// Which subscriptions are to have what a record sends to topics.
    pub(super) fn note_sharers(&mut self, of: TransactionIndex, parts: &[DestinationIndex], placements: &[Placement]) {
        if placements.iter().all(|placement| !placement.shared) {
            return;
        }
        let Some(staged) = self.undecided.table.get_mut(of.0) else { return };
        // What is followed may have moved behind a subscription that came later: that a branch is prepared says which ones are meant.
        if self.following.is_some() {
            staged.topics.come_by_log();
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
        let late: Vec<LateSharer> = late.of(number).collect();
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
}
