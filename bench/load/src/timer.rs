//! A timer that wakes the loop to the microsecond; the time-out of a poll counts milliseconds.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// One alarm at a time.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: OwnedFd,
}

impl Timer {
    /// A timer that wakes that registry's poll with `token`.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        let descriptor = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        SourceFd(&descriptor.as_raw_fd()).register(registry, token, Interest::READABLE)?;
        Ok(Timer { descriptor })
    }

    /// Wakes the poll after `delay`; an earlier alarm is forgotten.
    pub(crate) fn set(&self, delay: Duration) -> io::Result<()> {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: delay.as_secs() as i64, tv_nsec: i64::from(delay.subsec_nanos()) };
        let timer = Itimerspec { it_interval: none, it_value: value };
        rustix::time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn an_alarm_wakes_the_poll_each_time() {
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(4));
        let timer = Timer::new(poll.registry(), Token(3)).unwrap();
        for _ in 0..3 {
            timer.set(Duration::from_micros(20)).unwrap();
            poll.poll(&mut events, None).unwrap();
            assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(3)]);
        }
    }
}
