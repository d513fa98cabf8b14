//! What the broker writes for what clients bring (R19).

use super::World;

/// What was counted when a life began.
#[derive(Clone, Copy, Default)]
pub struct Begin {
    counts: crate::ledger::Counts,
    syncs: u64,
    live_bytes: u64,
}

/// Bytes of a block, to which each group is filled up.
const BLOCK: u64 = 4_096;

/// What is written of what has to be, at most, with what reclaim moves of it.
const TIMES: u64 = 2;

/// And these: a segment is filled up, too, and a start writes.
const SPARE_SEGMENTS: u64 = 8;

impl World {
    /// The process is there: what is counted from now on is of its life.
    pub(super) fn begin_life(&mut self) {
        let (counts, syncs) = (self.ledger.counts, self.disk.statistics().syncs);
        self.begin = Begin { counts, syncs, live_bytes: self.ledger.live_bytes() };
    }

    /// What was written in this life is what clients brought, what was alive, and the rest of each group's last block, and not much more. Nothing
    /// of that comes by itself: where reclaim goes round in circles it is seen here.
    pub(super) fn check_amplification(&self) {
        let Some(process) = &self.process else { return };
        let journal = process.broker().journal();
        let appended = journal.appended().0 - process.begin.0;
        let (now, then) = (&self.ledger.counts, &self.begin.counts);
        let commands = now.delivered - then.delivered + now.acknowledged - then.acknowledged + now.sent - then.sent;
        let brought = now.bytes - then.bytes + 100 * commands;
        let blocks = BLOCK * (1 + self.disk.statistics().syncs - self.begin.syncs);
        let segment = journal.segment_bytes();
        let least = brought + blocks + self.begin.live_bytes;
        assert!(
            appended <= TIMES * least + SPARE_SEGMENTS * segment,
            "R19: {appended} bytes are written where clients bring {brought}, {} were alive, and groups end with {blocks}",
            self.begin.live_bytes
        );
    }
}
