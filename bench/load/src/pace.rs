//! When the sends of a producer are due.

/// A schedule of evenly spaced sends. Those that are late stay due, with the time at which they were to be sent: so a
/// broker that stalls does not hide the stall by keeping the generator from sending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    start: u64,
    /// Nanoseconds between two sends.
    interval: f64,
    sent: u64,
    /// Nothing is due from then on.
    end: u64,
}

impl Pace {
    /// The share of producer `index` of `producers` in `rate` messages a second, from the time `start` on. The producers
    /// take turns.
    pub(crate) fn new(rate: f64, index: u16, producers: u16, start: u64) -> Pace {
        let interval = 1e9 / rate * f64::from(producers);
        let offset = interval * f64::from(index) / f64::from(producers);
        Pace { start: start + offset as u64, interval, sent: 0, end: u64::MAX }
    }

    /// The same, but nothing is due from that time on.
    pub(crate) fn until(self, end: u64) -> Pace {
        Pace { end, ..self }
    }

    /// When the next send is due.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.due(self.sent)
    }

    /// Whether all that was to be sent was sent.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.next() >= self.end
    }

    /// When the send of that number is due.
    #[inline]
    pub(crate) fn due(&self, number: u64) -> u64 {
        self.start + (number as f64 * self.interval) as u64
    }

    /// How many sends are due before a time.
    pub(crate) fn due_before(&self, time: u64) -> u64 {
        let mut number = (time.saturating_sub(self.start) as f64 / self.interval) as u64;
        // The division may be off by one where a send is due at just that time.
        while number > 0 && self.due(number - 1) >= time {
            number -= 1;
        }
        while self.due(number) < time {
            number += 1;
        }
        number
    }

    /// How many sends were made.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The next send was made.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.sent += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_take_turns() {
        let mut paces = [0, 1, 2, 3].map(|index| Pace::new(1_000.0, index, 4, 5));
        let mut times = Vec::new();
        for _ in 0..2 {
            for pace in &mut paces {
                times.push(pace.next());
                pace.advance();
            }
        }
        let expected: Vec<u64> = (0..8).map(|number| 5 + number * 1_000_000).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn the_rate_does_not_drift() {
        let mut pace = Pace::new(3.0, 0, 1, 0);
        (0..3_000_000).for_each(|_| pace.advance());
        assert_eq!(pace.next(), 1_000_000 * 1_000_000_000);
    }

    #[test]
    fn sends_before_a_time_are_counted() {
        for rate in [3.0, 7.0, 1_000.0, 999_999.0] {
            for time in [0, 5, 6, 1_000_005, 333_333_338, 1_000_000_005, 2_000_000_000] {
                let pace = Pace::new(rate, 0, 1, 5);
                let number = pace.due_before(time);
                assert!(number == 0 || pace.due(number - 1) < time, "{rate} {time}");
                assert!(pace.due(number) >= time, "{rate} {time}");
            }
        }
    }

    #[test]
    fn producers_have_together_what_is_offered() {
        let shares = (0..3).map(|index| Pace::new(1_000.0, index, 3, 7).due_before(1_000_000_007));
        assert_eq!(shares.sum::<u64>(), 1_000);
    }

    #[test]
    fn nothing_is_due_after_the_end() {
        let mut pace = Pace::new(1_000.0, 0, 1, 0).until(2_000_000);
        assert!(!pace.is_over());
        (0..2).for_each(|_| pace.advance());
        assert!(pace.is_over());
        assert!(!Pace::new(1_000.0, 0, 1, 0).is_over());
    }
}
