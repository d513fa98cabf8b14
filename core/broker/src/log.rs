//! What the state machine needs of the two logs: the journal and the spool.

use postrider_journal::{Bound, Home, Kept, Lookup, Position, Purpose, Record, Remains, SegmentNumber, SpoolUse};
use postrider_model::Sequence;

/// Which of the two logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum LogKind {
    /// Survives a restart.
    Journal = 0,
    /// Lives as long as the process (R21).
    Spool = 1,
}

/// The two logs. The turn implements it over the journal and the spool, tests over plain vectors.
pub trait Log {
    /// Makes sure that records within this bound can be staged in this turn, beyond what is taken already, for what they are there for
    /// (R6). False: not now.
    fn reserve(&mut self, purpose: Purpose, bound: Bound) -> bool;

    /// Whether nothing may be created, until the log is shorter. What makes it shorter goes on: acknowledgements, moves, and what
    /// deliveries need.
    fn has_fallen_behind(&self) -> bool;

    /// Adds a record to the turn's frame. Cannot fail within what was reserved. The spool needs no reservation.
    fn stage(&mut self, store: LogKind, record: &Record<'_>) -> Home;

    /// Memory that holds the body of `length` bytes with this checksum at this position. What a turn staged is found, too, but its bytes are not read before the
    /// turn's end.
    fn extent(&mut self, store: LogKind, position: Position, length: u32, crc: u32) -> Lookup;

    /// Asks for a cold body; [`crate::Broker::fetched`] is called when it came.
    fn fetch(&mut self, store: LogKind, position: Position, length: u32);

    /// Adds a message of the spool again, among others that outlived their segments (R21).
    fn restage(&mut self, record: &Record<'_>) -> Home;

    /// How much the spool holds, and whether there is room for more.
    fn spool_use(&self) -> SpoolUse;

    /// Bytes that a segment of the spool takes.
    fn spool_segment_bytes(&self, segment: SegmentNumber) -> u64;

    /// Why there is no room for what has to be stored, though the disk budget has some: the place, and what the system said.
    fn shortage(&self) -> Option<String>;

    /// What is left of the damaged record of `length` bytes at this position.
    fn remains(&self, store: LogKind, position: Position, length: u32) -> Remains;

    /// Whether what is left of this message is kept aside. Yes is said once.
    fn kept(&mut self, sequence: Sequence) -> Kept;

    /// Keeps bytes aside in a file of their own, under the message's sequence; `about` is for the log.
    /// [`crate::Broker::fetched`] is called when there is news.
    fn keep_aside(&mut self, sequence: Sequence, about: String, bytes: Vec<u8>);

    /// No message lives in this segment of the spool.
    fn release(&mut self, segment: SegmentNumber);

    /// All records below it are safe.
    fn committed(&self) -> Position;

    /// Nothing before this segment of the journal is needed any more, as soon as the turn's frame is committed (R20).
    fn set_head(&mut self, segment: SegmentNumber);

    /// Bytes of the journal from its front to its end.
    fn live_log_bytes(&self) -> u64;

    /// Segments of the journal that are longer than that, oldest first, and their bytes.
    fn oversize(&self) -> &[(SegmentNumber, u64)];

    /// Bytes of a segment of the journal.
    fn segment_bytes(&self) -> u64;

    /// Bytes that the journal may take on its medium.
    fn disk_budget(&self) -> u64;

    /// Whether a start found its medium too small for the journal, and it is measured again.
    fn is_measured_again(&self) -> bool;
}
