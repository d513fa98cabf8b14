//! Commands on their way from a shard to the broker.

use crate::command::Command;
use crate::limits;

/// A piece of a batch's arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub offset: u32,
    /// Number of bytes.
    pub length: u32,
}

impl Span {
    /// The bytes of the arena that this is a piece of.
    #[must_use]
    pub fn of(self, arena: &[u8]) -> &[u8] {
        #[expect(
            clippy::indexing_slicing,
            reason = "a span comes with the arena that it was made for: another one is our mistake"
        )]
        &arena[self.offset as usize..self.offset as usize + self.length as usize]
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// Commands in the order in which they came, and the bytes that they refer to. Used again and again: it keeps its memory.
#[derive(Default, Debug)]
pub struct CommandBatch {
    /// What to do.
    pub commands: Vec<Command>,
    /// Records and names; spans in the commands are pieces of it.
    pub arena: Vec<u8>,
    /// The look at the network that has brought the last of it, as its shard counts them: one for which it may sleep is
    /// [`LOOKS_OF_A_REST`](crate::limits::LOOKS_OF_A_REST).
    pub look: u32,
}

impl CommandBatch {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Adds bytes to the arena.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an arena is handed over at 256 KiB, and a record is shorter than 2 GiB"
    )]
    pub fn store(&mut self, bytes: &[u8]) -> Span {
        let span = Span { offset: self.arena.len() as u32, length: bytes.len() as u32 };
        self.arena.extend_from_slice(bytes);
        span
    }

    /// Empties it and keeps memory for an ordinary batch; what one large record had needed goes back.
    pub fn clear(&mut self) {
        self.commands.clear();
        self.arena.clear();
        self.arena.shrink_to(2 * limits::BATCH_BYTES);
    }
}
