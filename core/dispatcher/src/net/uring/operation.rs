//! What a completion belongs to, in the word that the kernel carries along with a request.

use crate::net::Connection;

/// A request of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Receive(Connection),
    Send(Connection),
    /// For a reset during a pause.
    Watch(Connection),
    /// Of a receive. Its own completion says nothing: the receive's counts.
    Cancel(Connection),
    /// On the listener of this index.
    Accept(u32),
    Wake,
    /// What was gathered has lain for long enough.
    Moment,
}

/// Four bits of kind, 28 of generation, 32 of slot.
const KIND_SHIFT: u32 = 60;
const GENERATION_SHIFT: u32 = 32;
const GENERATION_MASK: u64 = (1 << (KIND_SHIFT - GENERATION_SHIFT)) - 1;

impl Operation {
    pub(super) fn into_word(self) -> u64 {
        let of = |connection: Connection| {
            debug_assert!(u64::from(connection.generation) <= GENERATION_MASK);
            u64::from(connection.generation) << GENERATION_SHIFT | u64::from(connection.slot)
        };
        let (kind, rest) = match self {
            Self::Receive(connection) => (0, of(connection)),
            Self::Send(connection) => (1, of(connection)),
            Self::Watch(connection) => (2, of(connection)),
            Self::Cancel(connection) => (3, of(connection)),
            Self::Accept(listener) => (4, u64::from(listener)),
            Self::Wake => (5, 0),
            Self::Moment => (6, 0),
        };
        kind << KIND_SHIFT | rest
    }

    /// # Panics
    /// On a word that is none of ours.
    #[allow(clippy::cast_possible_truncation, reason = "the parts of the word")]
    pub(super) fn from_word(word: u64) -> Self {
        let generation = (word >> GENERATION_SHIFT & GENERATION_MASK) as u32;
        let connection = Connection { slot: word as u32, generation };
        match word >> KIND_SHIFT {
            0 => Self::Receive(connection),
            1 => Self::Send(connection),
            2 => Self::Watch(connection),
            3 => Self::Cancel(connection),
            4 => Self::Accept(word as u32),
            5 => Self::Wake,
            6 => Self::Moment,
            _ => panic!("the kernel completes a request that was never made: {word:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_their_operations() {
        for connection in [
            Connection { slot: 0, generation: 0 },
            Connection { slot: u32::MAX, generation: 0 },
            Connection { slot: 7, generation: (1 << 28) - 1 },
        ] {
            for operation in [
                Operation::Receive(connection),
                Operation::Send(connection),
                Operation::Watch(connection),
                Operation::Cancel(connection),
                Operation::Accept(connection.slot),
                Operation::Wake,
                Operation::Moment,
            ] {
                assert_eq!(Operation::from_word(operation.into_word()), operation);
            }
        }
    }
}
