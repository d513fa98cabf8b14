//! Whether a queue's senders are to be as slow as it drains: only while it is the broker that its consumers wait for.

use postrider_model::Now;

/// How long a queue is taken for one whose consumers wait for the broker, after one of them has answered at once, in nanoseconds.
const EAGER_NANOS: u64 = 20_000_000;

/// Messages that its senders may be ahead of what has left it, or behind.
const MOST: i32 = 4_096;

/// A message's room for each that has left goes to a sender that waits when there is so much of it: to go on and to stop costs something.
const WORTH_GOING_ON: i32 = 1_024;

/// What has left a queue against what has come.
#[derive(Default)]
pub(crate) struct Pace {
    /// Until when its consumers are taken to wait for the broker.
    eager_until: u64,
    /// Messages that have left it, less those that came.
    ahead: i32,
}

impl Pace {
    /// A consumer has answered as soon as the broker has listened.
    pub(crate) fn is_answered(&mut self, now: Now) {
        if !self.is_eager(now) {
            self.ahead = 0;
        }
        self.eager_until = now.nanos + EAGER_NANOS;
    }

    /// A message goes to a consumer.
    #[inline]
    pub(super) fn leaves(&mut self) {
        self.ahead = (self.ahead + 1).min(MOST);
    }

    /// A message comes.
    #[inline]
    pub(super) fn comes(&mut self) {
        self.ahead = (self.ahead - 1).max(-MOST);
    }

    /// Whether consumers wait for the broker.
    #[inline]
    pub(crate) fn is_eager(&self, now: Now) -> bool {
        now.nanos < self.eager_until
    }

    /// Whether who sends to it is to wait, while so much waits in it already.
    #[inline]
    pub(crate) fn is_to_wait(&self, now: Now) -> bool {
        self.ahead <= 0 && self.is_eager(now)
    }

    /// How many of those who wait go on now.
    pub(crate) fn going_on(&self) -> usize {
        usize::try_from(self.ahead / WORTH_GOING_ON).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Now {
        Now { nanos, unix_millis: 0 }
    }

    #[test]
    fn who_sends_waits_only_while_consumers_are_eager_and_have_taken_no_more() {
        let mut pace = Pace::default();
        assert!(!pace.is_to_wait(at(0)), "nobody has answered");
        pace.is_answered(at(5));
        assert!(pace.is_to_wait(at(5)) && pace.is_to_wait(at(4 + EAGER_NANOS)));
        assert!(!pace.is_to_wait(at(5 + EAGER_NANOS)), "nobody has answered for a while");
        pace.leaves();
        assert!(!pace.is_to_wait(at(5)), "there is room for one");
        pace.comes();
        assert!(pace.is_to_wait(at(5)));
    }

    #[test]
    fn those_who_wait_go_on_when_it_is_worth_it_and_what_was_long_ago_counts_no_more() {
        let mut pace = Pace::default();
        pace.is_answered(at(0));
        (0..10 * MOST).for_each(|_| pace.comes());
        pace.is_answered(at(1));
        (0..MOST + WORTH_GOING_ON - 1).for_each(|_| pace.leaves());
        assert_eq!(pace.going_on(), 0);
        pace.leaves();
        assert_eq!(pace.going_on(), 1);
        (0..10 * MOST).for_each(|_| pace.leaves());
        assert_eq!(pace.going_on(), (MOST / WORTH_GOING_ON) as usize);
        pace.is_answered(at(5 * EAGER_NANOS));
        assert_eq!(pace.going_on(), 0, "what was before nobody waited");
    }
}
