//! Log lines about clients, so many and no more: a broken client in a loop must not fill the log.

use postrider_model::Now;

/// Lines that may come at once.
const BURST: u32 = 20;

/// A line more for each so many nanoseconds.
const REFILL_NANOS: u64 = 1_000_000_000;

/// A bucket of log lines.
pub(crate) struct Complaints {
    left: u32,
    refilled_at: u64,
    suppressed: u64,
}

impl Default for Complaints {
    fn default() -> Complaints {
        Complaints { left: BURST, refilled_at: 0, suppressed: 0 }
    }
}

impl Complaints {
    /// Whether a line may be written; with the number of lines left out since the last one.
    pub(crate) fn allowed(&mut self, now: Now) -> Option<u64> {
        let due = now.nanos.saturating_sub(self.refilled_at) / REFILL_NANOS;
        if due > 0 {
            self.left = BURST.min(self.left.saturating_add(u32::try_from(due).unwrap_or(BURST)));
            self.refilled_at = now.nanos;
        }
        if self.left == 0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_then_one_a_second() {
        let mut complaints = Complaints::default();
        let at = |nanos| Now { nanos, unix_millis: 0 };
        let written = (0..100).filter(|_| complaints.allowed(at(0)).is_some()).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(complaints.allowed(at(REFILL_NANOS)), Some(80));
        assert_eq!(complaints.allowed(at(REFILL_NANOS)), None);
    }
}
