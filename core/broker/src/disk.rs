//! What the disk budget leaves to what lives.

use crate::log::Log;

/// Segments that are kept free for acknowledgements, commits and moves.
pub(crate) const RESERVED_SEGMENTS: u64 = 8;

/// A send may go beyond what may live by one part in so many of it.
pub(crate) const BEYOND: u64 = 8;

/// Live bytes that the journal may hold.
pub(crate) fn live_limit<L: Log>(log: &L) -> u64 {
    log.disk_budget().saturating_sub(RESERVED_SEGMENTS * log.segment_bytes()) / 2
}
