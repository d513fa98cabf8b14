//! The process's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use postrider_model::{Clock, Now};

/// The machine's monotonic clock and its wall clock.
#[derive(Clone, Copy)]
pub(crate) struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock that begins at zero.
    pub(crate) fn start() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { nanos: self.started.elapsed().as_nanos() as u64, unix_millis: unix.as_millis() as i64 }
    }
}
