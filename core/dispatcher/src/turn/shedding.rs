//! What the log is told of slow subscribers, once in a while.

/// Nanoseconds between two lines.
const PAUSE: u64 = 10_000_000_000;

/// What was told, and when.
#[derive(Default)]
pub(super) struct Shedding {
    shed: u64,
    next: u64,
}

impl Shedding {
    /// So many deliveries to slow subscribers of topics were given up since the start.
    #[inline]
    pub(super) fn note(&mut self, shed: u64, nanos: u64) {
        if shed != self.shed && nanos >= self.next {
            let lost = shed - self.shed;
            self.shed = shed;
            self.next = nanos + PAUSE;
            tracing::warn!(
                lost,
                "slow subscribers of topics have lost their oldest messages: the spool is full; let them read faster, or raise \
                 the setting `journal.spool_disk_bytes`"
            );
        }
    }
}
