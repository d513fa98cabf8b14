//! What the files may take of the disk.

use crate::journal::Journal;
use crate::storage::Storage;

/// Segments of the budget that are free while all is well (R6).
const ROOM_TO_WORK: u64 = 8;

/// Nanoseconds after which a disk that was too small at the start is measured again.
const MEASURED_AGAIN: u64 = 1_000_000_000;

impl<S: Storage> Journal<S> {
    /// At the start: as it is set, or by what is free.
    pub(crate) fn fix_budget(&mut self) {
        self.find_oversize();
        let measured = self.config.disk_budget.is_none();
        let whole = self.config.disk_budget.unwrap_or_else(|| self.available());
        let spool = self.config.spool_budget.unwrap_or(whole / 4).min(whole / 2);
        self.config.spool_budget = Some(spool);
        self.config.disk_budget = Some(whole - spool);
        self.preparing.gate.began_short = self.is_short();
        self.preparing.measure_at = (measured && self.preparing.gate.began_short).then_some(0);
    }

    /// What others had filled at the start they may have given back: until there is room to work the disk is measured again and again.
    pub(crate) fn measure_again(&mut self, now: u64) {
        if self.preparing.measure_at.is_none_or(|at| now < at) {
            return;
        }
        self.preparing.measure_at = Some(now.saturating_add(MEASURED_AGAIN));
        let budget = self.available().saturating_sub(self.spool_budget());
        if budget > self.disk_budget() {
            self.config.disk_budget = Some(budget);
            self.preparing.gate.began_short = self.is_short();
            self.preparing.measure_at = self.preparing.measure_at.filter(|_| self.preparing.gate.began_short);
            self.top_up();
        }
    }

    /// Whether that goes on.
    pub fn is_measured_again(&self) -> bool {
        self.preparing.measure_at.is_some()
    }

    /// What `disk_bytes` does not exceed, but for one segment where a head could not be stated otherwise, and a few of a start that found
    /// more than that.
    pub fn disk_budget(&self) -> u64 {
        self.config.disk_budget.unwrap_or_default()
    }

    /// Bytes of the disk that are left to a spool beside the journal: never more than the journal's own.
    pub fn spool_budget(&self) -> u64 {
        self.config.spool_budget.unwrap_or_default()
    }

    fn available(&self) -> u64 {
        (self.storage.room() + self.disk_bytes()) / 10 * 8
    }

    fn is_short(&self) -> bool {
        self.disk_bytes() + ROOM_TO_WORK * self.table.segment_bytes > self.disk_budget()
    }
}
