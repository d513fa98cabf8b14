//! Identifiers that the parts of the broker give each other. None of them is stored but [`Sequence`] and [`DestinationId`].

use std::fmt;
use std::num::NonZeroU16;

/// A slot of a table, with the number of times it has been given out, so that a late use of an old handle is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Handle {
    /// Index into the table of the shard that made the handle.
    pub slot: u32,
    /// How often the slot had been taken before.
    pub generation: u32,
}

/// A connection of one shard.
pub type ConnectionHandle = Handle;

/// A consumer of one shard, whatever connection it belongs to.
pub type ConsumerHandle = Handle;

/// The place of a message in the broker's one order: its identity for acknowledgements and the `brokerSequenceId` that clients
/// see. Starts at 1, is never used twice (R9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A destination for as long as the data directory lives; never given to another destination (R25).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct DestinationId(pub u32);

/// What a session knows a request of its client by: the broker gives it back with the answer and looks at nothing in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Number of an open transaction within its connection, which the session gives it: of 16 bits, so that what is sent and acknowledged
/// in one takes no more than what is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TransactionNumber(pub NonZeroU16);

/// Number of a port of the broker. Never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct PortIndex(pub u16);

impl PortIndex {
    /// The port at this place of a table of all ports.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "there is one for each thread that serves")]
    pub fn at(place: usize) -> PortIndex {
        PortIndex(place as u16)
    }
}
