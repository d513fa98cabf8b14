//! What a queue has of messages that it shares with others: of those that are not in its lists, and of their deliveries. A subscription is
//! such a queue: it holds references to messages that are stored once (R40).

use crate::destinations::queue::Queue;
use crate::kit::table::Map;
use crate::messages::{MessageIndex, Messages};
use foldhash::fast::FixedState;
use postrider_model::Sequence;
use std::collections::{BTreeMap, BTreeSet};

/// The part of a queue that knows of shared messages.
pub(crate) struct Shares {
    /// Those that are in none of its lists: consumers, transactions and jobs have them.
    lent: Map<Sequence, MessageIndex>,
    /// Deliveries of those that had some.
    deliveries: BTreeMap<Sequence, u16>,
    /// Those that are to be tried when they are looked at: they could not be read before.
    untried: BTreeSet<Sequence>,
}

impl Default for Shares {
    fn default() -> Shares {
        // Sequences are the broker's own: nobody chooses them.
        let lent = Map::with_hasher(FixedState::default());
        Shares { lent, deliveries: BTreeMap::new(), untried: BTreeSet::new() }
    }
}

impl Queue {
    fn shares_mut(&mut self) -> &mut Shares {
        self.shares.get_or_insert_default()
    }

    /// A shared message leaves its lists, and is not done with.
    pub(crate) fn lend(&mut self, sequence: Sequence, number: MessageIndex) {
        self.shares_mut().lent.insert(sequence, number);
    }

    /// One is to be in its lists again, with so many deliveries if that has changed.
    pub(crate) fn take_back(&mut self, sequence: Sequence, deliveries: Option<u16>) {
        self.shares_mut().lent.remove(&sequence);
        if let Some(deliveries) = deliveries {
            self.set_deliveries(sequence, deliveries);
        }
    }

    /// It is done with one.
    pub(crate) fn end_share(&mut self, sequence: Sequence) {
        if let Some(shares) = &mut self.shares {
            shares.lent.remove(&sequence);
            shares.deliveries.remove(&sequence);
            shares.untried.remove(&sequence);
        }
    }

    /// One is to be tried when it is looked at.
    pub(crate) fn try_later(&mut self, sequence: Sequence) {
        self.shares_mut().untried.insert(sequence);
    }

    /// Whether one is to be tried.
    pub(crate) fn is_untried(&self, sequence: Sequence) -> bool {
        self.shares.as_ref().is_some_and(|shares| shares.untried.contains(&sequence))
    }

    /// One was tried, and is for it.
    pub(crate) fn was_tried(&mut self, sequence: Sequence) {
        if let Some(shares) = &mut self.shares {
            shares.untried.remove(&sequence);
        }
    }

    /// How often one was delivered, as far as that is known.
    pub(crate) fn deliveries(&self, sequence: Sequence) -> u16 {
        self.shares.as_ref().and_then(|shares| shares.deliveries.get(&sequence)).copied().unwrap_or(0)
    }

    /// What a record says of it.
    pub(crate) fn set_deliveries(&mut self, sequence: Sequence, deliveries: u16) {
        if deliveries > 0 {
            self.shares_mut().deliveries.insert(sequence, deliveries);
        }
    }

    /// Whether one is neither in its lists nor done with.
    pub(crate) fn has_lent(&self, sequence: Sequence) -> bool {
        self.shares.as_ref().is_some_and(|shares| shares.lent.get(&sequence).is_some())
    }

    /// Whether it still wants a shared message: it waits here, or somebody has it.
    pub(crate) fn wants(&self, sequence: Sequence, number: MessageIndex, messages: &Messages) -> bool {
        if self.size == 0 || sequence > self.last {
            return false;
        }
        let place = self.ready.search_from_front(|other| messages.at(other).sequence < sequence);
        self.ready.at(place) == Some(number)
            || self.has_lent(sequence)
            || self.returned.contains((sequence, number))
            || self.moved.find(sequence, messages).is_some()
    }

    /// All messages that are its own, in whatever order.
    #[cfg(feature = "plant")]
    pub(crate) fn all(&self) -> Vec<MessageIndex> {
        let mut all: Vec<MessageIndex> = Vec::new();
        let mut place = self.ready.first_place();
        while let Some(number) = self.ready.at(place) {
            all.push(number);
            place = self.ready.after(place);
        }
        all.extend(self.returned.from(Sequence(0)).map(|(_, number)| *number));
        all.extend(self.moved.iter());
        all.extend(self.shares.iter().flat_map(|shares| shares.lent.all_values().copied()));
        all
    }
}
