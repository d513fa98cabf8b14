//! The table of messages: one entry for each place of each message.

use crate::kit::slab::Slab;
use crate::log::LogKind;
use crate::outbox::Body;
use postrider_journal::{Position, SegmentNumber};
use postrider_model::Sequence;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(pub u32);
    };
}

index!(
    /// Number of an entry of the message table.
    MessageIndex
);
index!(
    /// Number of an entry of the destination table.
    DestinationIndex
);
index!(
    /// Number of an entry of the consumer table.
    ConsumerIndex
);
index!(
    /// Number of an entry of the connection table.
    ConnectionIndex
);
index!(
    /// Number of an entry of the table of producers' marks.
    MarkIndex
);
index!(
    /// Number of an entry of the table of what transactions have sent that are not decided.
    TransactionIndex
);

index!(
    /// Number of an entry of the table of branches that are not decided.
    BranchIndex
);
index!(
    /// Number of an entry of the table of branches that are.
    OutcomeIndex
);

impl MessageIndex {
    /// No entry.
    pub(crate) const NONE: MessageIndex = MessageIndex(u32::MAX);
}

/// The position of a message whose bytes are lost. No record can be there.
pub(crate) const NOWHERE: Position = Position(u64::MAX / 2);

/// Bits of [`Message::flags`].
pub(crate) mod flag {
    /// It may go out without an allowance (R15).
    pub(crate) const OFFERED: u8 = 1;
    /// It is not where its record says.
    pub(crate) const ELSEWHERE: u8 = 2;
    /// A consumer has it.
    pub(crate) const IN_FLIGHT: u8 = 4;
    /// A dead letter with its message id is there already, of another of its places.
    pub(crate) const COPIED: u8 = 8;
    /// Its record names another destination than the one that holds it.
    pub(crate) const STRAY: u8 = 16;
    /// Its transaction is undecided: its sequence is a number within that, its publisher which that is.
    pub(crate) const STAGED: u8 = 32;
    /// It came by a transaction whose decision may not be durable yet (R33).
    pub(crate) const DECIDED: u8 = 64;
    /// Subscriptions share it: they hold references to it, and its destination is their topic.
    pub(crate) const SHARED: u8 = 128;
}

/// A message in one place. 64 bytes: one cache line, and not parts of two.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Message {
    pub sequence: Sequence,
    /// First byte of the record's body.
    pub position: Position,
    /// Milliseconds since 1970; 0: never.
    pub expiration: i64,
    pub segment: SegmentNumber,
    /// Number of the record within its segment.
    pub ordinal: u32,
    /// Bytes of the record's body.
    pub length: u32,
    /// CRC of the record's body, for life (R5).
    pub crc: u32,
    pub destination: DestinationIndex,
    /// Another place of the same record.
    pub sibling: MessageIndex,
    /// Serial of the connection that sent it; 0: not known. Of one that is shared: how many want it.
    pub publisher: u32,
    pub redeliveries: u16,
    pub flags: u8,
    pub store: LogKind,
    /// Deliveries that the log knows of: what whoever follows it must know, too.
    #[cfg(feature = "plant")]
    pub stated: u16,
}

/// The table.
#[derive(Default)]
pub(crate) struct Messages(Slab<Message>);

impl Messages {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a message that is not there is our mistake")]
    pub(crate) fn at(&self, index: MessageIndex) -> &Message {
        &self.0[index.0]
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a message that is not there is our mistake")]
    pub(crate) fn at_mut(&mut self, index: MessageIndex) -> &mut Message {
        &mut self.0[index.0]
    }

    /// The message, if the number is taken.
    #[inline]
    pub(crate) fn get(&self, index: MessageIndex) -> Option<&Message> {
        self.0.get(index.0)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: MessageIndex) -> Option<&mut Message> {
        self.0.get_mut(index.0)
    }

    #[inline]
    pub(crate) fn insert(&mut self, message: Message) -> MessageIndex {
        MessageIndex(self.0.insert(message))
    }

    #[inline]
    pub(crate) fn remove(&mut self, index: MessageIndex) -> Message {
        self.0.remove(index.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is of one destination is of another from here on. All messages are looked at: not for a life that has begun.
    pub(crate) fn rename(&mut self, from: DestinationIndex, to: DestinationIndex) {
        let mut next = 0;
        while let Some(index) = self.0.next_taken(next) {
            if let Some(message) = self.0.get_mut(index).filter(|message| message.destination == from) {
                message.destination = to;
            }
            next = index + 1;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.0.iter().map(|(_, message)| message)
    }
}

const _: () =
    assert!(size_of::<Option<Message>>() == 64, "millions of them, and the table needs no room to tell a free entry");

impl Message {
    /// Whether all bits are set.
    pub(crate) fn has(&self, bits: u8) -> bool {
        self.flags & bits == bits
    }

    /// How many of its record's places it stands for: of one that is shared, those who want it, if that is decided.
    #[inline]
    pub(crate) fn places(&self) -> u64 {
        if self.flags & (flag::SHARED | flag::STAGED) == flag::SHARED { u64::from(self.publisher) } else { 1 }
    }

    /// Its body.
    pub(crate) fn body(&self) -> Body {
        Body { store: self.store, position: self.position, length: self.length, crc: self.crc }
    }
}
