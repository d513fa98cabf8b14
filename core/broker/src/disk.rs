//! What the disk budget leaves to what lives.

use crate::bounds::RESERVED_SEGMENTS;
use crate::log::Log;

/// Live bytes that the journal may hold.
pub(crate) fn live_limit<L: Log>(log: &L) -> u64 {
    log.disk_budget().saturating_sub(RESERVED_SEGMENTS * log.segment_bytes()) / 2
}
