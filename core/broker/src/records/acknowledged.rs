//! What is acknowledged, put together as it comes: a decision that names very much has it ready.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

use crate::kit::reader::write_varint;
use crate::records::zigzag;
use postrider_model::{DestinationId, Sequence};
use std::collections::BTreeMap;

/// The messages of one destination.
struct Run {
    destination: DestinationId,
    count: u32,
    first: u64,
    last: u64,
    /// From each to the next.
    differences: Vec<u8>,
}

/// Acknowledged messages, as [`write_acknowledged`](super::write_acknowledged) has them.
#[derive(Default)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    by_destination: BTreeMap<DestinationId, usize>,
    /// The one to which something came last.
    newest: usize,
}

impl Runs {
    /// One more.
    pub(crate) fn add(&mut self, destination: DestinationId, sequence: Sequence) {
        let newest = self.runs.get(self.newest).filter(|run| run.destination == destination);
        let known = newest.map(|_| self.newest).or_else(|| self.by_destination.get(&destination).copied());
        self.newest = known.unwrap_or(self.runs.len());
        match self.runs.get_mut(self.newest) {
            Some(run) => {
                write_varint(&mut run.differences, zigzag(run.last, sequence.0));
                (run.last, run.count) = (sequence.0, run.count + 1);
            }
            None => {
                self.by_destination.insert(destination, self.newest);
                let (first, last) = (sequence.0, sequence.0);
                self.runs.push(Run { destination, count: 1, first, last, differences: Vec::new() });
            }
        }
    }

    /// All of them, in the bytes of a record.
    pub(crate) fn put_together(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.runs.iter().map(|run| 16 + run.differences.len()).sum());
        for Run { destination, count, first, differences, .. } in &self.runs {
            bytes.extend_from_slice(&destination.0.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(differences);
        }
        bytes
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
