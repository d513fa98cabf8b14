//! Waits of less than a millisecond.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer whose end is an event. Its edge is all that counts: it is never read.
pub(super) struct Timer {
    descriptor: OwnedFd,
}

impl Timer {
    /// A timer that does not run.
    pub(super) fn register(poll: &Poll, token: Token) -> io::Result<Timer> {
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        poll.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Timer { descriptor })
    }

    /// Makes an event after `limit`, and none of what it was set to before.
    pub(super) fn set(&self, limit: Duration) -> io::Result<()> {
        let value = Timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}
