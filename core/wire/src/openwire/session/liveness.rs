//! Keep-alive: who has been silent for how long.

use postrider_model::Now;

use super::error::{GREETING_SECONDS, OpenWireError};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Shortest duration that counts, in milliseconds: a client may ask for signs of life, but not for thousands a second.
const SHORTEST_MILLIS: u64 = 60;

/// What [`Liveness::tick`] asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    KeepAlive,
}

/// The connection's timers. Any frame in a direction counts as a sign of life there, and so do bytes of an unfinished one.
#[derive(Debug)]
pub(super) struct Liveness {
    /// The one moment at which a connection ends whose greeting is missing, or which was refused.
    ends: Option<(u64, OpenWireError)>,
    monitor: Option<Monitor>,
    /// Nothing is read from the socket on purpose (R24).
    paused: bool,
    received: bool,
    sent: bool,
}

#[derive(Debug)]
struct Monitor {
    millis: u64,
    next_read_check: u64,
    next_write_check: u64,
}

impl Monitor {
    fn read_interval(&self) -> u64 {
        self.millis.saturating_mul(NANOS_PER_MILLI)
    }

    /// A third, so that a peer hears two signs of life before its own check.
    fn write_interval(&self) -> u64 {
        if self.millis > 3 { self.read_interval() / 3 } else { self.read_interval() }
    }
}

impl Liveness {
    /// For a connection that waits for its greeting.
    pub(super) fn new(now: Now) -> Liveness {
        let end = (now.deadline_after_millis(GREETING_SECONDS * 1000), OpenWireError::NoGreeting);
        Liveness { ends: Some(end), monitor: None, paused: false, received: false, sent: false }
    }

    /// The greeting is there: from now on the agreed duration counts; 0 switches the monitor off, and no other is shorter than
    /// [`SHORTEST_MILLIS`].
    pub(super) fn agreed(&mut self, duration_millis: u64, initial_delay_millis: u64, now: Now) {
        self.ends = None;
        let start = now.deadline_after_millis(initial_delay_millis);
        self.monitor = (duration_millis > 0).then_some(Monitor {
            millis: duration_millis.max(SHORTEST_MILLIS),
            next_read_check: start,
            next_write_check: start,
        });
    }

    /// The connection ends after so long, whatever happens.
    pub(super) fn ends_after_millis(&mut self, millis: u64, error: OpenWireError, now: Now) {
        self.ends = Some((now.deadline_after_millis(millis), error));
    }

    pub(super) fn received(&mut self) {
        self.received = true;
    }

    pub(super) fn sent(&mut self) {
        self.sent = true;
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.received = true;
    }

    /// The moment of the next check; [`u64::MAX`]: never.
    pub(super) fn deadline(&self) -> u64 {
        let end = self.ends.as_ref().map_or(u64::MAX, |(end, _)| *end);
        let check = |monitor: &Monitor| monitor.next_read_check.min(monitor.next_write_check);
        end.min(self.monitor.as_ref().map_or(u64::MAX, check))
    }

    pub(super) fn tick(&mut self, now: Now) -> Result<Due, OpenWireError> {
        if let Some((_, error)) = self.ends.as_ref().filter(|(end, _)| now.nanos >= *end) {
            return Err(error.clone());
        }
        let Some(monitor) = &mut self.monitor else { return Ok(Due::Nothing) };
        if now.nanos >= monitor.next_read_check {
            monitor.next_read_check = now.nanos.saturating_add(monitor.read_interval());
            if !std::mem::take(&mut self.received) && !self.paused {
                return Err(OpenWireError::Silent { millis: monitor.millis });
            }
        }
        if now.nanos >= monitor.next_write_check {
            monitor.next_write_check = now.nanos.saturating_add(monitor.write_interval());
            if !std::mem::take(&mut self.sent) {
                return Ok(Due::KeepAlive);
            }
        }
        Ok(Due::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now { nanos: millis * NANOS_PER_MILLI, unix_millis: 0 }
    }

    fn agreed() -> Liveness {
        let mut liveness = Liveness::new(at(0));
        liveness.agreed(900, 300, at(100));
        liveness
    }

    #[test]
    fn a_greeting_is_waited_for_thirty_seconds() {
        let mut liveness = Liveness::new(at(5));
        assert_eq!(liveness.deadline(), at(30_005).nanos);
        assert_eq!(liveness.tick(at(30_004)), Ok(Due::Nothing));
        assert_eq!(liveness.tick(at(30_005)), Err(OpenWireError::NoGreeting));
    }

    #[test]
    fn keep_alives_come_at_a_third_if_nothing_else_was_sent() {
        let mut liveness = agreed();
        liveness.received();
        liveness.sent();
        assert_eq!(liveness.deadline(), at(400).nanos);
        assert_eq!(liveness.tick(at(400)), Ok(Due::Nothing));
        assert_eq!(liveness.tick(at(699)), Ok(Due::Nothing));
        assert_eq!(liveness.tick(at(700)), Ok(Due::KeepAlive));
        liveness.sent();
        assert_eq!(liveness.tick(at(1_000)), Ok(Due::Nothing));
    }

    #[test]
    fn a_silent_peer_is_noticed_between_one_and_two_durations() {
        let mut liveness = agreed();
        liveness.received();
        for millis in [400, 700, 1_000] {
            assert!(liveness.tick(at(millis)).is_ok(), "{millis}");
        }
        assert_eq!(liveness.tick(at(1_300)), Err(OpenWireError::Silent { millis: 900 }));
    }

    #[test]
    fn a_paused_socket_is_not_silent() {
        let mut liveness = agreed();
        liveness.set_paused(true);
        for millis in [400, 1_300, 2_200, 3_100] {
            assert!(liveness.tick(at(millis)).is_ok(), "{millis}");
        }
        liveness.set_paused(false);
        assert!(liveness.tick(at(4_000)).is_ok());
        assert!(liveness.tick(at(4_900)).is_err());
    }

    #[test]
    fn a_client_cannot_ask_for_thousands_of_signs_of_life_a_second() {
        let mut liveness = Liveness::new(at(0));
        liveness.agreed(1, 0, at(0));
        let mut ticks = 0;
        while liveness.deadline() < at(1_000).nanos {
            liveness.received();
            let due = Now { nanos: liveness.deadline(), unix_millis: 0 };
            assert!(liveness.tick(due).is_ok());
            ticks += 1;
        }
        assert!((50..=67).contains(&ticks), "{ticks}");
    }

    #[test]
    fn without_a_duration_nothing_is_checked() {
        let mut liveness = Liveness::new(at(0));
        liveness.agreed(0, 300, at(100));
        assert_eq!(liveness.deadline(), u64::MAX);
        assert_eq!(liveness.tick(at(1_000_000)), Ok(Due::Nothing));
    }
}
