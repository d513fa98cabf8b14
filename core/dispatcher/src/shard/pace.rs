//! How many batches are on their way to the broker at a time: as many as it takes in a moment, so that who comes now waits for a moment.

/// The moment, in nanoseconds.
const MOMENT_NANOS: u64 = 1_000_000;

/// The broker's pace is looked at after so long.
const LOOK_NANOS: u64 = MOMENT_NANOS / 4;

/// The least: one that it takes and one that it takes next.
const LEAST: usize = 2;

/// What it is before anything is known: a burst after a rest is not to be in the way of who comes next.
const FIRST: usize = 8;

/// The number, by what the broker has taken of late.
pub(super) struct Pace {
    most: usize,
    batches: usize,
    /// Since when the ring was never found empty, and what was taken in that time.
    since: u64,
    taken: usize,
}

impl Pace {
    /// Nothing is known yet; never more than `most`.
    pub(super) fn new(most: usize) -> Pace {
        Pace { most, batches: FIRST.min(most), since: 0, taken: 0 }
    }

    /// How many there may be.
    pub(super) fn batches(&self) -> usize {
        self.batches
    }

    /// The broker has taken some.
    pub(super) fn took(&mut self, batches: usize) {
        self.taken += batches;
    }

    /// So many are left in the ring now, and more has waited for it of late or has not.
    #[allow(clippy::cast_possible_truncation, reason = "it is at most the ring's length")]
    pub(super) fn look(&mut self, left: usize, more: bool, now: u64) {
        if left == 0 {
            if more {
                self.batches = (2 * self.batches).min(self.most);
            }
            (self.since, self.taken) = (now, 0);
            return;
        }
        let passed = now.saturating_sub(self.since);
        if passed < LOOK_NANOS {
            return;
        }
        let a_moment = (self.taken as u64 * MOMENT_NANOS / passed).min(self.most as u64) as usize;
        self.batches = (self.batches + a_moment).div_ceil(2).max(LEAST.min(self.most));
        (self.since, self.taken) = (now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::limits;

    /// The broker takes one batch in so many nanoseconds, for so many of them.
    fn after(batches: u64, nanos: u64) -> usize {
        let mut pace = Pace::new(limits::RING_BATCHES);
        pace.look(0, false, 0);
        for taken in 1..=batches {
            pace.took(1);
            pace.look(1, true, taken * nanos);
        }
        pace.batches()
    }

    #[test]
    fn as_many_as_the_broker_takes_in_a_moment() {
        assert_eq!(after(1000, 10_000), limits::RING_BATCHES);
        assert!((18..=22).contains(&after(1000, 50_000)), "{}", after(1000, 50_000));
        assert_eq!(after(100, MOMENT_NANOS), LEAST);
        assert_eq!(after(100, 20 * MOMENT_NANOS), LEAST);
    }

    #[test]
    fn a_broker_that_has_taken_all_gets_more_if_there_is_more_and_not_by_a_rest() {
        let mut pace = Pace::new(limits::RING_BATCHES);
        for look in 0..100 {
            pace.look(0, false, look * MOMENT_NANOS);
        }
        assert_eq!(pace.batches(), FIRST, "nothing is known");
        for look in 100..110 {
            pace.took(1);
            pace.look(1, true, look * MOMENT_NANOS * 5);
        }
        assert_eq!(pace.batches(), LEAST);
        for look in 0..6 {
            pace.look(0, true, 600 * MOMENT_NANOS + look);
        }
        assert_eq!(pace.batches(), limits::RING_BATCHES);
    }
}
