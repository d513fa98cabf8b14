//! What a consumer has in flight, in dispatch order.
#![expect(clippy::expect_used, reason = "the range was found")]

use crate::clients::consumer::{Consumer, InFlight};
use crate::kit::deque::{Deque, Place};
use postrider_model::Sequence;
use postrider_model::command::{Acknowledge, AcknowledgeKind};

/// A range that is taken out one by one.
const FEW: usize = 64;

/// A range of what a consumer has.
pub(crate) struct Range {
    pub first: Place,
    pub count: usize,
}

impl Consumer {
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

    /// Adds a message at the end of what is in flight.
    pub(crate) fn hold(&mut self, entry: InFlight) {
        match self.in_flight.back() {
            None => self.sorted = true,
            Some(last) => self.sorted &= last.sequence < entry.sequence,
        }
        self.in_flight.push_back(entry);
        self.served = true;
    }
}
