//! When the sends of a producer are due.

/// A schedule of evenly spaced sends. Those that are late stay due, with the time at which they were to be sent: so a
/// broker that stalls does not hide the stall by keeping the generator from sending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    start: u64,
    /// Nanoseconds between two sends.
    interval: f64,
    sent: u64,
}

impl Pace {
    /// The share of producer `index` of `producers` in `rate` messages a second, from the time `start` on. The producers
    /// take turns.
    pub(crate) fn new(rate: f64, index: u16, producers: u16, start: u64) -> Pace {
        let interval = 1e9 / rate * f64::from(producers);
        let offset = interval * f64::from(index) / f64::from(producers);
        Pace { start: start + offset as u64, interval, sent: 0 }
    }

    /// When the next send is due.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.start + (self.sent as f64 * self.interval) as u64
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
}
