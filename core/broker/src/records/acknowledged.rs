//! What is acknowledged, put together as it comes: a decision that names very much has it ready.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

use crate::kit::reader::write_varint;
use crate::records::{RUN_BYTES, write_run, zigzag};
use postrider_model::{DestinationId, Sequence};
use std::collections::BTreeMap;

/// Sequences of one destination, or numbers within a transaction, in the order in which they came.
#[derive(Default)]
pub(crate) struct Run {
    count: u32,
    first: u64,
    last: u64,
    /// From each to the next.
    differences: Vec<u8>,
}

impl Run {
    /// One more.
    pub(crate) fn add(&mut self, sequence: u64) {
        if self.count == 0 {
            self.first = sequence;
        } else {
            write_varint(&mut self.differences, zigzag(self.last, sequence));
        }
        (self.last, self.count) = (sequence, self.count + 1);
    }

    /// How many.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.count)
    }

    /// Bytes that it takes in a record.
    pub(crate) fn bytes(&self) -> u64 {
        RUN_BYTES + self.differences.len() as u64
    }

    /// Writes it as a destination's, each of them so much later.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>, destination: DestinationId, later: u64) {
        write_run(bytes, destination, self.count, self.first + later);
        bytes.extend_from_slice(&self.differences);
    }
}

/// Acknowledged messages, as [`write_acknowledged`](super::write_acknowledged) has them.
#[derive(Default)]
pub(crate) struct Runs {
    runs: Vec<(DestinationId, Run)>,
    by_destination: BTreeMap<DestinationId, usize>,
    /// The one to which something came last.
    newest: usize,
}

impl Runs {
    /// One more.
    pub(crate) fn add(&mut self, destination: DestinationId, sequence: Sequence) {
        let newest = self.runs.get(self.newest).filter(|(known, _)| *known == destination);
        let known = newest.map(|_| self.newest).or_else(|| self.by_destination.get(&destination).copied());
        self.newest = known.unwrap_or(self.runs.len());
        if known.is_none() {
            self.by_destination.insert(destination, self.newest);
            self.runs.push((destination, Run::default()));
        }
        if let Some((_, run)) = self.runs.get_mut(self.newest) {
            run.add(sequence.0);
        }
    }

    /// All of them, in the bytes of a record.
    pub(crate) fn put_together(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.bytes()).unwrap_or_default());
        self.runs.iter().for_each(|(destination, run)| run.write(&mut bytes, *destination, 0));
        bytes
    }

    /// How many bytes these are.
    pub(crate) fn bytes(&self) -> u64 {
        self.runs.iter().map(|(_, run)| run.bytes()).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::records::{read_acknowledged, write_acknowledged};

    #[test]
    fn it_says_what_was_put_together_in_whatever_order_it_came() {
        let mut runs = Runs::default();
        assert_eq!(runs.put_together(), []);
        let (one, other) = (DestinationId(1), DestinationId(9));
        let all = [(one, 7), (one, 8), (other, 3), (one, 5), (one, u64::MAX), (other, 1 << 40), (one, 0)];
        all.into_iter().for_each(|(id, sequence)| runs.add(id, Sequence(sequence)));
        let mut expected = Vec::new();
        write_acknowledged(&mut expected, one, &[7, 8, 5, u64::MAX, 0]);
        write_acknowledged(&mut expected, other, &[3, 1 << 40]);
        assert_eq!(runs.put_together(), expected);
        let mut read = Vec::new();
        read_acknowledged(&expected, |id, sequence| read.push((id, sequence.0))).unwrap();
        assert_eq!(read.len(), all.len());
    }
}
