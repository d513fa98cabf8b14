//! The schedule of a ramp: which rate is offered when.

use std::fmt;

use serde::Serialize;

const NANOS: f64 = 1e9;

/// Which way a ramp goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To more.
    Up,
    /// To less.
    Down,
}

impl fmt::Display for Direction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == Direction::Up { "up" } else { "down" })
    }
}

/// One rate that is offered for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub direction: Direction,
    /// Messages a second over all producers.
    pub rate: f64,
}

/// Steps of one length, one after the other from a time on; fixed before the first message is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stairs {
    steps: Vec<Step>,
    /// Nanoseconds on the clock of the run.
    begin: u64,
    length: u64,
    warm_up: u64,
}

impl Stairs {
    /// Up by these rates and down again from the last but one; times in seconds, but for `begin`.
    pub(crate) fn new(rates: &[f64], begin: u64, seconds: f64, warm_up: f64) -> Stairs {
        let up = rates.iter().map(|&rate| Step { direction: Direction::Up, rate });
        let down = rates.iter().rev().skip(1).map(|&rate| Step { direction: Direction::Down, rate });
        let nanos = |seconds: f64| (seconds * NANOS) as u64;
        Stairs { steps: up.chain(down).collect(), begin, length: nanos(seconds).max(1), warm_up: nanos(warm_up) }
    }

    /// All steps in their order.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// When a step begins.
    pub(crate) fn begin(&self, step: usize) -> u64 {
        self.begin + self.length * step as u64
    }

    /// From when on a step is measured.
    pub(crate) fn measured(&self, step: usize) -> u64 {
        self.begin(step) + self.warm_up
    }

    /// When a step ends, which is when the next one begins.
    pub(crate) fn end(&self, step: usize) -> u64 {
        self.begin(step + 1)
    }

    /// The step that has a time, and whether the time is in its warm-up.
    #[inline]
    pub(crate) fn at(&self, time: u64) -> Option<(usize, bool)> {
        let since = time.checked_sub(self.begin)?;
        let step = (since / self.length) as usize;
        (step < self.steps.len()).then_some((step, since % self.length < self.warm_up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stairs() -> Stairs {
        Stairs::new(&[10.0, 20.0, 40.0], 500, 2.0, 0.5)
    }

    #[test]
    fn down_are_the_same_steps_without_the_highest() {
        let steps: Vec<_> = stairs().steps().iter().map(|step| (step.direction, step.rate)).collect();
        let (up, down) = (Direction::Up, Direction::Down);
        assert_eq!(steps, [(up, 10.0), (up, 20.0), (up, 40.0), (down, 20.0), (down, 10.0)]);
    }

    #[test]
    fn steps_follow_each_other_without_a_gap() {
        let stairs = stairs();
        assert_eq!((stairs.begin(0), stairs.measured(0), stairs.end(0)), (500, 500_000_500, 2_000_000_500));
        assert_eq!(stairs.end(3), stairs.begin(4));
    }

    #[test]
    fn every_time_belongs_to_one_step() {
        let stairs = stairs();
        assert_eq!(stairs.at(499), None, "before the first");
        assert_eq!(stairs.at(500), Some((0, true)));
        assert_eq!(stairs.at(stairs.measured(0) - 1), Some((0, true)));
        assert_eq!(stairs.at(stairs.measured(0)), Some((0, false)));
        assert_eq!(stairs.at(stairs.end(0) - 1), Some((0, false)));
        assert_eq!(stairs.at(stairs.end(0)), Some((1, true)));
        assert_eq!(stairs.at(stairs.end(4) - 1), Some((4, false)));
        assert_eq!(stairs.at(stairs.end(4)), None, "after the last");
    }
}
