//! What a consumer has in flight, in dispatch order.
#![expect(clippy::expect_used, reason = "the range was found")]

use crate::clients::consumer::{Consumer, InFlight};
use crate::kit::deque::{Deque, Place};
use crate::messages::DestinationIndex;
use crate::plant::planted;
use postrider_model::Sequence;
use postrider_model::command::{Acknowledge, AcknowledgeKind};
use std::collections::BTreeSet;

/// A range that is taken out one by one.
const FEW: usize = 64;

/// Entries of which few are moved when others are put between them.
const CHUNKED: usize = 64;

/// Entries that are compared in the time of a step.
pub(crate) const COMPARED: usize = 32;

/// A range of what a consumer has.
pub(crate) struct Range {
    pub first: Place,
    pub count: usize,
}

impl Consumer {
    /// The queues that it has something of in flight.
    pub(crate) fn queues(&self) -> BTreeSet<DestinationIndex> {
        self.in_flight.iter().map(|entry| entry.of).collect()
    }

    /// Where a sequence stands in dispatch order.
    pub(crate) fn find(&self, sequence: Sequence) -> Option<Place> {
        if self.sorted {
            let place = self.in_flight.search(|entry| entry.sequence < sequence);
            return self.in_flight.at(place).is_some_and(|entry| entry.sequence == sequence).then_some(place);
        }
        let mut place = self.in_flight.first_place();
        while let Some(entry) = self.in_flight.at(place) {
            if entry.sequence == sequence {
                return Some(place);
            }
            place = self.in_flight.after(place);
        }
        None
    }

    /// The range that an acknowledgement names, if the consumer has it so.
    #[inline(always)]
    pub(crate) fn range(&self, acknowledge: &Acknowledge) -> Option<Range> {
        let front = self.in_flight.front()?.sequence;
        if front == acknowledge.last && (acknowledge.first == front || acknowledge.first == Sequence(0)) {
            return Some(Range { first: self.in_flight.first_place(), count: 1 });
        }
        let last = self.find(acknowledge.last)?;
        let first = match acknowledge.first {
            _ if acknowledge.kind == AcknowledgeKind::Individual => last,
            Sequence(0) => self.in_flight.first_place(),
            sequence if sequence == acknowledge.last => last,
            sequence => self.find(sequence)?,
        };
        let (before, through) = (self.in_flight.count_before(first), self.in_flight.count_before(last) + 1);
        Some(Range { first, count: through.checked_sub(before).filter(|count| *count > 0)? })
    }

    /// Takes a range out.
    #[inline]
    pub(crate) fn take_entries(&mut self, range: &Range) -> Deque<InFlight> {
        if range.first == self.in_flight.first_place() {
            return self.in_flight.take_prefix(range.count);
        }
        if range.count > FEW {
            return self.in_flight.take_from(range.first, range.count);
        }
        let mut entries = Deque::default();
        let mut place = range.first;
        for _ in 0..range.count {
            entries.push_back(self.in_flight.at(place).expect("the range was found"));
            place = self.in_flight.remove(place);
        }
        entries
    }

    /// Takes a range out for a transaction: it stays in the window.
    #[allow(clippy::cast_possible_truncation, reason = "one consumer has fewer in flight")]
    pub(crate) fn claim_entries(&mut self, range: &Range) -> Vec<InFlight> {
        self.claimed += range.count as u32;
        if planted("claims-returned") {
            let mut place = range.first;
            let next = |place: &mut Place| {
                let entry = self.in_flight.at(*place);
                *place = self.in_flight.after(*place);
                entry
            };
            return (0..range.count).filter_map(|_| next(&mut place)).collect();
        }
        let mut taken = self.take_entries(range);
        std::iter::from_fn(|| taken.pop_front()).collect()
    }

    /// What a transaction has acknowledged is done with.
    #[allow(clippy::cast_possible_truncation, reason = "one consumer has fewer in flight")]
    pub(crate) fn settle_claimed(&mut self, claimed: usize, outstanding: u32) {
        self.claimed = self.claimed.saturating_sub(claimed as u32);
        self.outstanding = self.outstanding.saturating_sub(outstanding);
        self.contract((claimed as u32).saturating_add(outstanding));
    }

    fn is_sorted(&self) -> bool {
        let (mut place, mut before) = (self.in_flight.first_place(), Sequence(0));
        while let Some(entry) = self.in_flight.at(place) {
            if entry.sequence < before {
                return false;
            }
            (place, before) = (self.in_flight.after(place), entry.sequence);
        }
        true
    }

    /// A transaction is rolled back: what it had of this consumer's is in flight again, in the order in which it went out. How many entries
    /// were looked at.
    #[allow(clippy::cast_possible_truncation, reason = "one consumer has fewer in flight")]
    pub(crate) fn take_back(&mut self, mut entries: Vec<InFlight>) -> usize {
        let oldest = self.next_order.wrapping_sub(1 << 31);
        let age = |entry: InFlight| u64::from(entry.order.wrapping_sub(oldest));
        entries.sort_unstable_by_key(|entry| age(*entry));
        let (count, mut back) = (entries.len(), Deque::default());
        entries.iter().for_each(|entry| back.push_back(*entry));
        let is_much = count * CHUNKED > self.in_flight.len();
        if back.len() > self.in_flight.len() {
            std::mem::swap(&mut back, &mut self.in_flight);
        }
        self.in_flight.merge(back, age);
        self.sorted = if is_much { self.is_sorted() } else { self.sorted && self.fit(&entries, age) };
        // The application has seen them, and does not say so again: they stay out of the window.
        self.claimed = self.claimed.saturating_sub(count as u32);
        count + if is_much { self.in_flight.len() } else { self.in_flight.len() / CHUNKED }
    }

    /// Whether these, which are among what is in flight, stand between lower and higher sequences.
    fn fit(&self, entries: &[InFlight], age: impl Fn(InFlight) -> u64) -> bool {
        entries.iter().all(|entry| {
            let place = self.in_flight.search(|other| age(other) < age(*entry));
            let (before, after) = (self.in_flight.before(place), self.in_flight.at(self.in_flight.after(place)));
            before.is_none_or(|before| before.sequence < entry.sequence)
                && after.is_none_or(|after| after.sequence > entry.sequence)
        })
    }

    /// Adds a message at the end of what is in flight.
    pub(crate) fn hold(&mut self, entry: InFlight) {
        let entry = InFlight { order: self.next_order, ..entry };
        self.next_order = self.next_order.wrapping_add(1);
        match self.in_flight.back() {
            None => self.sorted = true,
            Some(last) => self.sorted &= last.sequence < entry.sequence,
        }
        self.in_flight.push_back(entry);
        self.served = true;
    }

    /// Messages of queues that it has.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The same, with what transactions have of it.
    pub(crate) fn at_hand(&self) -> usize {
        self.in_flight.len() + self.claimed as usize
    }

    /// How many entries are compared to find one by its sequence, where they are not in order.
    #[inline]
    pub(crate) fn compared(&self) -> usize {
        if self.sorted { 0 } else { self.in_flight.len() }
    }

    /// One that was found.
    pub(crate) fn held_at(&self, place: Place) -> Option<InFlight> {
        self.in_flight.at(place)
    }

    /// Takes one out that was found.
    #[inline]
    pub(crate) fn take_entry(&mut self, place: Place) -> InFlight {
        let entry = self.in_flight.at(place).expect("the range was found");
        self.in_flight.remove(place);
        entry
    }

    /// So many stand up to the one with this sequence, if it has that.
    pub(crate) fn count_through(&self, sequence: Sequence) -> Option<usize> {
        self.find(sequence).map(|place| self.in_flight.count_before(place) + 1)
    }

    /// What it has behind a sequence, as long as more of it is wanted: where they are in order nothing stands behind one that is not. How
    /// many were looked at.
    pub(crate) fn visit_behind(&self, last: Sequence, mut is_wanted: impl FnMut(InFlight) -> bool) -> usize {
        let mut looked_at = 0;
        let mut place = self.in_flight.search(|entry| self.sorted && entry.sequence <= last);
        while let Some(entry) = self.in_flight.at(place) {
            looked_at += 1;
            if entry.sequence > last && !is_wanted(entry) && self.sorted {
                return looked_at;
            }
            place = self.in_flight.after(place);
        }
        for entry in self.aside.iter().filter(|entry| entry.sequence > last) {
            is_wanted(*entry);
        }
        looked_at + self.aside.len()
    }

    /// Takes out what goes. How many were looked at.
    pub(crate) fn sift(&mut self, mut fate: impl FnMut(InFlight) -> Sifted) -> usize {
        let (mut place, mut looked_at) = (self.in_flight.first_place(), 0);
        while let Some(entry) = self.in_flight.at(place) {
            place = match fate(entry) {
                Sifted::Stays => self.in_flight.after(place),
                Sifted::Goes => self.in_flight.remove(place),
                Sifted::End => break,
            };
            looked_at += 1;
        }
        looked_at
    }

    /// A message cannot be sent to it, and has nowhere else to go: it stays aside until this consumer is gone.
    pub(crate) fn put_aside(&mut self, entry: InFlight) {
        self.aside.push(entry);
    }

    /// Whether something stays so.
    pub(crate) fn has_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// It goes: what has stayed aside.
    pub(crate) fn take_aside(&mut self) -> Deque<InFlight> {
        let mut entries = Deque::default();
        self.aside.drain(..).for_each(|entry| entries.push_back(entry));
        entries
    }

    /// It is gone: what it had.
    pub(crate) fn into_in_flight(self) -> Deque<InFlight> {
        self.in_flight
    }

    /// A message of a topic or of a browse has gone to it.
    #[inline]
    pub(crate) fn count_outstanding(&mut self) {
        self.outstanding += 1;
    }

    /// It is done with so many of them.
    pub(crate) fn settle_outstanding(&mut self, count: u32) {
        self.outstanding = self.outstanding.saturating_sub(count);
        self.contract(count);
    }
}

/// What becomes of one that is looked at.
pub(crate) enum Sifted {
    Stays,
    Goes,
    /// It stays, and so do those behind it.
    End,
}
