//! What the log says, and how it is taken back.

pub(crate) mod allowance;
pub(crate) mod applying;
pub(crate) mod counting;
pub(crate) mod damage;
pub(crate) mod deciding;
#[cfg(feature = "plant")]
pub(crate) mod digest;
pub(crate) mod directory;
pub(crate) mod doubtful;
pub(crate) mod duplicates;
pub(crate) mod follow;
pub(crate) mod late;
pub(crate) mod named;
pub(crate) mod naming;
pub(crate) mod outcomes;
pub(crate) mod prepared;
pub(crate) mod recount;
pub(crate) mod recovery;
pub(crate) mod sent;
pub(crate) mod sequences;
pub(crate) mod sharing;
pub(crate) mod staging;
pub(crate) mod store;
pub(crate) mod undecided;

use self::counting::Counted;
use self::named::Named;
use self::sharing::Places;
use crate::messages::DestinationIndex;
use crate::records::Placement;
use postrider_model::Sequence;

/// What is still to be said in the log, and what can be read of it.
#[derive(Default)]
pub(crate) struct Durable {
    /// Queues whose allowances are drawn in, or stated anew, at the end of the turn.
    allowances_without_end: Vec<DestinationIndex>,
    /// What a start after losses takes for granted is not in the log yet: which messages may have been delivered, which sequences used.
    losses_unstated: bool,
    /// Transactions whose decision may lie in what is damaged.
    doubts: doubtful::Doubts,
    /// Messages from here on are of this turn: their bytes cannot be read yet.
    turn_start: Sequence,
    /// What goes out past others is to be named.
    named: Named,
    /// What has come back is to be counted.
    counted: Counted,
    /// Which turn it is.
    turn: u64,
    /// Buffers that are used again.
    meta: Vec<u8>,
    placements: Vec<Placement>,
    places: Places,
    kinds: Vec<usize>,
}

impl Durable {
    /// Whether a message came in this turn: its bytes cannot be read before the turn's end.
    pub(crate) fn is_of_this_turn(&self, sequence: Sequence) -> bool {
        sequence >= self.turn_start
    }

    /// The turn ends; the next one begins with this sequence.
    pub(crate) fn end_turn(&mut self, next: Sequence) {
        self.turn_start = next;
        self.turn += 1;
    }
}
