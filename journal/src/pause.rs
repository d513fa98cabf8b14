//! Pauses between tries of what failed. The journal has no clock: its owner says what time it is.

/// The first pause, in nanoseconds.
const FIRST: u64 = 10_000_000;
/// No pause is longer, in nanoseconds.
const LONGEST: u64 = 5_000_000_000;

/// When something that failed is tried again: later and later, for as long as it takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pause {
    nanos: u64,
    /// None until the owner has told the time since the failure.
    until: Option<u64>,
}

/// The soonest of some deadlines. Each turn asks for several.
#[must_use]
pub fn soonest<const N: usize>(deadlines: [Option<u64>; N]) -> Option<u64> {
    let soonest = deadlines.iter().fold(u64::MAX, |soonest, deadline| soonest.min(deadline.unwrap_or(u64::MAX)));
    (soonest != u64::MAX).then_some(soonest)
}

impl Pause {
    /// It failed once more.
    pub fn failed(&mut self) {
        self.nanos = (2 * self.nanos).clamp(FIRST, LONGEST);
        self.until = None;
    }

    /// Whether it has failed at all.
    pub fn has_failed(&self) -> bool {
        self.nanos > 0
    }

    /// Whether it is to be tried again; the pause begins when this is asked first.
    pub fn is_over(&mut self, now: u64) -> bool {
        now >= *self.until.get_or_insert(now.saturating_add(self.nanos))
    }

    /// When it is over, as far as that is known.
    pub fn until(&self) -> Option<u64> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_last_up_to_the_longest() {
        let mut pause = Pause::default();
        let mut now = 1_000;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pause.failed();
            assert!(!pause.is_over(now));
            let until = pause.until().unwrap();
            assert!(!pause.is_over(until - 1) && pause.is_over(until));
            pauses.push((until - now) / 1_000_000);
            now = until;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000, 5_000]);
    }
}
