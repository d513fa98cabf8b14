//! Which part of a thread's turn takes long: a line of the log each, at its level `debug`.

use std::cell::Cell;

use postrider_model::{Clock, Now};

use crate::clock::SystemClock;

/// What takes longer than this is worth a line.
const LONG_NANOS: u64 = 5_000_000;

/// Times the parts of one thread's turns, one after the other. It is the thread's clock as well: what a poll does begins when it first
/// asks for the time, after its wait.
pub(crate) struct Laps {
    clock: SystemClock,
    wanted: bool,
    begun: Cell<u64>,
}

impl Laps {
    /// For a thread with this clock; nothing is timed unless the log's level asks for it.
    pub(crate) fn new(clock: SystemClock) -> Laps {
        Laps { clock, wanted: tracing::enabled!(tracing::Level::DEBUG), begun: Cell::new(u64::MAX) }
    }

    /// Whether parts are timed.
    pub(crate) fn wanted(&self) -> bool {
        self.wanted
    }

    /// A part is over, and the next one begins. `what` says more about a long one.
    pub(crate) fn over(&self, part: &str, what: impl FnOnce() -> String) {
        if !self.wanted {
            return;
        }
        let begun = self.begun.get();
        let nanos = self.now().nanos.saturating_sub(begun);
        if nanos > LONG_NANOS {
            tracing::debug!("{part} took {} ms: {}", nanos / 1_000_000, what());
        }
    }

    /// The next part begins when it asks for the time, if it does.
    pub(crate) fn waits(&self) {
        self.begun.set(u64::MAX);
    }
}

impl Clock for Laps {
    fn now(&self) -> Now {
        let now = self.clock.now();
        self.begun.set(now.nanos);
        now
    }
}
