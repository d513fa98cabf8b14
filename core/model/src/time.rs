//! Time as an argument.

/// What the owner of the thread read from its clocks before a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Nanoseconds of a monotonic clock; for deadlines.
    pub nanos: u64,
    /// Milliseconds since 1970; for what messages carry.
    pub unix_millis: i64,
}

impl Now {
    /// The moment `millis` milliseconds later, on the monotonic clock.
    #[must_use]
    pub fn deadline_after_millis(self, millis: u64) -> u64 {
        self.nanos.saturating_add(millis.saturating_mul(1_000_000))
    }
}

/// Where a thread's owner reads its clocks; parts that may block and then need the time of what woke them ask it.
pub trait Clock {
    /// The time at this moment.
    fn now(&self) -> Now;
}
