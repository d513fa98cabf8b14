//! Pauses between tries of what failed. The journal has no clock: its owner says what time it is.

use std::io;

/// The first pause, in nanoseconds.
const FIRST: u64 = 10_000_000;
/// No pause is longer, in nanoseconds.
const LONGEST: u64 = 5_000_000_000;
/// What goes on failing is told again so long after the first time, then twice as long after that, in nanoseconds.
const FIRST_SILENCE: u64 = 1_000_000_000;
/// And so long after the last time at most.
const LONGEST_SILENCE: u64 = 60_000_000_000;

/// When something that failed is tried again: later and later, for as long as it takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pause {
    nanos: u64,
    /// None until the owner has told the time since the failure.
    until: Option<u64>,
    /// Pauses since it was told that it fails, and how long they are until it is again.
    silent: u64,
    silence: u64,
    /// What the system said then.
    told: Option<i32>,
}

/// The soonest of some deadlines. Each turn asks for several.
#[must_use]
pub fn soonest<const N: usize>(deadlines: [Option<u64>; N]) -> Option<u64> {
    let soonest = deadlines.iter().fold(u64::MAX, |soonest, deadline| soonest.min(deadline.unwrap_or(u64::MAX)));
    (soonest != u64::MAX).then_some(soonest)
}

impl Pause {
    /// It failed once more. Whether that is to be told: the first time, for another reason, and then seldom and more seldom.
    pub(crate) fn failed(&mut self, error: &io::Error) -> bool {
        let is_first = !self.has_failed();
        self.silent += self.nanos;
        self.nanos = (2 * self.nanos).clamp(FIRST, LONGEST);
        self.until = None;
        let is_another = self.told != error.raw_os_error();
        let tells = is_first || is_another || self.silent >= self.silence;
        if tells {
            let next = if is_first || is_another { FIRST_SILENCE } else { 2 * self.silence };
            (self.silent, self.silence) = (0, next.min(LONGEST_SILENCE));
            self.told = error.raw_os_error();
        }
        tells
    }

    /// Whether it has failed at all.
    pub(crate) fn has_failed(&self) -> bool {
        self.nanos > 0
    }

    /// Whether it is to be tried again; the pause begins when this is asked first.
    pub(crate) fn is_over(&mut self, now: u64) -> bool {
        now >= *self.until.get_or_insert(now.saturating_add(self.nanos))
    }

    /// When it is over, as far as that is known.
    pub(crate) fn until(&self) -> Option<u64> {
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
            pause.failed(&io::Error::from_raw_os_error(28));
            assert!(!pause.is_over(now));
            let until = pause.until().unwrap();
            assert!(!pause.is_over(until - 1) && pause.is_over(until));
            pauses.push((until - now) / 1_000_000);
            now = until;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000, 5_000]);
    }

    #[test]
    fn what_goes_on_failing_is_told_at_once_and_then_more_and_more_seldom() {
        let mut pause = Pause::default();
        let (mut now, mut told) = (0, Vec::new());
        while now < 400_000_000_000 {
            if pause.failed(&io::Error::from_raw_os_error(28)) {
                told.push(now / 1_000_000);
            }
            pause.is_over(now);
            now = pause.until().unwrap();
        }
        assert_eq!(
            told,
            [0, 1_270, 5_110, 10_110, 20_110, 40_110, 75_110, 135_110, 195_110, 255_110, 315_110, 375_110]
        );
        assert!(pause.failed(&io::Error::from_raw_os_error(5)), "another reason");
    }
}
