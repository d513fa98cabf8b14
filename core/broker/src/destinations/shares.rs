//! What a queue has of messages that it shares with others: of those that are not in its lists, and of their deliveries. A subscription is
//! such a queue: it holds references to messages that are stored once (R40).

use crate::destinations::queue::Queue;
use crate::kit::table::Map;
use crate::messages::{MessageIndex, Messages};
use foldhash::fast::FixedState;
use postrider_model::Sequence;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The part of a queue that knows of shared messages.
#[derive(Default)]
pub(crate) struct Shares {
    /// Those that are in none of its lists: consumers, transactions and jobs have them.
    lent: Lent,
    /// Deliveries of those that had some.
    deliveries: BTreeMap<Sequence, u16>,
    /// Those that are to be tried when they are looked at: they could not be read before.
    untried: BTreeSet<Sequence>,
}

/// Entries of a row at most: as many as a consumer with the usual prefetch has, and few enough to be moved at a time.
const ROW: usize = 1_024;

/// Entries for which an empty row keeps memory.
const KEPT: usize = 64;

/// Messages by their sequences. As a rule they come in the order of these and go in it.
struct Lent {
    /// Those that came in order.
    row: VecDeque<(Sequence, MessageIndex)>,
    others: Map<Sequence, MessageIndex>,
}

impl Default for Lent {
    fn default() -> Lent {
        // Sequences are the broker's own: nobody chooses them.
        Lent { row: VecDeque::new(), others: Map::with_hasher(FixedState::default()) }
    }
}

impl Lent {
    fn find(&self, sequence: Sequence) -> Option<usize> {
        match self.row.front() {
            Some((first, _)) if *first == sequence => Some(0),
            _ => self.row.binary_search_by_key(&sequence, |(known, _)| *known).ok(),
        }
    }

    fn insert(&mut self, sequence: Sequence, number: MessageIndex) {
        if self.row.back().is_none_or(|(last, _)| *last < sequence) && self.row.len() < ROW {
            self.row.push_back((sequence, number));
        } else {
            self.others.insert(sequence, number);
        }
    }

    fn remove(&mut self, sequence: Sequence) {
        match self.find(sequence) {
            Some(0) => drop(self.row.pop_front()),
            Some(place) => drop(self.row.remove(place)),
            None => {}
        }
        if !self.others.is_empty() {
            self.others.remove(&sequence);
        }
        if self.row.is_empty() && self.row.capacity() > KEPT {
            // The memory of a peak does not stay.
            self.row = VecDeque::new();
        }
    }

    fn has(&self, sequence: Sequence) -> bool {
        self.find(sequence).is_some() || self.others.get(&sequence).is_some()
    }

    #[cfg(feature = "plant")]
    fn all(&self) -> impl Iterator<Item = MessageIndex> {
        self.row.iter().map(|(_, number)| *number).chain(self.others.all_values().copied())
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
        self.shares_mut().lent.remove(sequence);
        if let Some(deliveries) = deliveries {
            self.set_deliveries(sequence, deliveries);
        }
    }

    /// It is done with one.
    pub(crate) fn end_share(&mut self, sequence: Sequence) {
        if let Some(shares) = &mut self.shares {
            shares.lent.remove(sequence);
            shares.deliveries.remove(&sequence);
            shares.untried.remove(&sequence);
        }
    }

    /// One is to be tried when it is looked at.
    pub(crate) fn try_later(&mut self, sequence: Sequence) {
        self.shares_mut().untried.insert(sequence);
    }

    /// Whether there are such.
    pub(crate) fn has_untried(&self) -> bool {
        self.shares.as_ref().is_some_and(|shares| !shares.untried.is_empty())
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
        self.shares.as_ref().is_some_and(|shares| shares.lent.has(sequence))
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
        all.extend(self.shares.iter().flat_map(|shares| shares.lent.all()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prefixes, single ones and what was lent before and came back, up to more than a row.
    #[test]
    fn it_holds_what_a_model_holds() {
        let (mut lent, mut model) = (Lent::default(), BTreeMap::new());
        let (mut state, mut next) = (7u64, 0);
        for step in 0..200_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (choice, chosen) = ((state >> 20) % 10, state >> 33);
            let grows = step / 20_000 % 2 == 0;
            let added = match choice {
                0 => Some(chosen % (next + 1)),
                1..6 if grows || choice < 3 => Some(next + 1 + chosen % 2),
                _ => None,
            };
            if let Some(sequence) = added {
                next = next.max(sequence);
                model.insert(Sequence(sequence), MessageIndex(step));
                lent.insert(Sequence(sequence), MessageIndex(step));
            } else {
                let of_first = model.keys().nth(chosen as usize % 8).copied();
                let gone = of_first.filter(|_| choice < 9).unwrap_or(Sequence(chosen % (next + 1)));
                model.remove(&gone);
                lent.remove(gone);
            }
            let asked = Sequence((state >> 12) % (next + 1));
            assert_eq!(lent.has(asked), model.contains_key(&asked));
        }
        (0..=next)
            .for_each(|sequence| assert_eq!(lent.has(Sequence(sequence)), model.contains_key(&Sequence(sequence))));
        (0..=next).for_each(|sequence| lent.remove(Sequence(sequence)));
        assert!(lent.row.capacity() <= KEPT && lent.others.is_empty());
    }
}
