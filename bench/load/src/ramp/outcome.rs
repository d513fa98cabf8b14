//! What a ramp says: how far the broker keeps up, where it tips over, what it then still does, and whether it comes back.

use std::fmt;

use serde::Serialize;

use crate::ramp::figure::{grouped, time};
use crate::ramp::stairs::Direction;
use crate::ramp::step::{Bearing, StepReport};

/// How much longer than on the way up the 99th percentile of a step on the way down may be, so that the broker is said
/// to have come back: twice, and this many microseconds for what else happens on a machine.
const SLACK: f64 = 10_000.0;

/// The decision. Rates are messages a second that were offered, where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// The highest rate on the way up that was delivered.
    pub keeps_up_to: Option<f64>,
    /// Rates below that which were not: something disturbed them.
    pub stumbles_at: Vec<f64>,
    /// The lowest rate above it that the broker did not deliver.
    pub tips_over_at: Option<f64>,
    /// Deliveries a second that were due there.
    pub tipped_due_rate: Option<f64>,
    /// Those that came.
    pub tipped_rate: Option<f64>,
    /// The lowest rate above it that the generator did not send.
    pub generator_ends_at: Option<f64>,
    /// Messages a second that the generator sent there.
    pub generator_rate: Option<f64>,
    /// Fewest deliveries a second at the rate where it tips over and above, on both ways.
    pub least_rate: Option<f64>,
    /// Deliveries a second that it could do: of the closed run, or the most of the ramp.
    pub full_rate: f64,
    /// The rate on the way down from which on all is as it was on the way up.
    pub recovers_at: Option<f64>,
    /// The 99th percentile there, in microseconds, and that on the way up.
    pub recovered_p99_us: Option<(f64, f64)>,
    /// The highest rate on the way down that was delivered on the way up and is not as it was.
    pub not_yet_at: Option<f64>,
    /// Whether the last step of the ramp is as the first.
    pub recovers: bool,
    /// Nothing of the above is to say what the closed run reached.
    #[serde(skip)]
    has_closed: bool,
}

impl Outcome {
    /// Of all steps in their order; `closed` is how many deliveries a second the closed run had.
    pub(crate) fn new(steps: &[StepReport], closed: Option<f64>) -> Outcome {
        let is_up = |step: &&StepReport| step.direction == Direction::Up;
        let up: Vec<&StepReport> = steps.iter().filter(is_up).collect();
        let down: Vec<&StepReport> = steps.iter().filter(|step| !is_up(step)).collect();
        let most = steps.iter().map(|step| step.delivery_rate).fold(0.0, f64::max);
        let has_closed = closed.is_some();
        let mut outcome = Outcome { full_rate: closed.unwrap_or(most), has_closed, ..Outcome::default() };
        outcome.find_the_tip(&up);
        if let Some(tip) = outcome.tips_over_at {
            let beyond = steps.iter().filter(|step| step.offered >= tip).map(|step| step.delivery_rate);
            outcome.least_rate = beyond.reduce(f64::min);
        }
        outcome.find_the_recovery(&up, &down);
        outcome
    }

    fn find_the_tip(&mut self, up: &[&StepReport]) {
        let kept = up.iter().rposition(|step| keeps_up(step));
        let (below, above) = up.split_at(kept.map_or(0, |kept| kept + 1));
        self.keeps_up_to = below.last().map(|step| step.offered);
        let stumbles = below.iter().filter(|step| !keeps_up(step));
        self.stumbles_at = stumbles.map(|step| step.offered).collect();
        let first = |bearing| above.iter().find(|step| step.bearing == bearing);
        if let Some(tip) = first(Bearing::FallsBehind) {
            self.tips_over_at = Some(tip.offered);
            (self.tipped_due_rate, self.tipped_rate) = (Some(tip.due_rate), Some(tip.delivery_rate));
        }
        if let Some(end) = first(Bearing::GeneratorFallsBehind) {
            (self.generator_ends_at, self.generator_rate) = (Some(end.offered), Some(end.send_rate));
        }
    }

    /// Only rates that were delivered on the way up are looked at: there is nothing to come back to at others.
    fn find_the_recovery(&mut self, up: &[&StepReport], down: &[&StepReport]) {
        let before = |step: &StepReport| up.iter().find(|before| before.offered == step.offered).copied();
        let pairs: Vec<(&StepReport, &StepReport)> =
            down.iter().filter_map(|&step| Some((step, before(step)?))).filter(|(_, up)| keeps_up(up)).collect();
        let is_back = |&(step, up): &(&StepReport, &StepReport)| is_as_before(step, up);
        let back = pairs.len() - pairs.iter().rev().take_while(|pair| is_back(pair)).count();
        self.not_yet_at = pairs[..back].iter().find(|pair| !is_back(pair)).map(|(step, _)| step.offered);
        let Some((step, up)) = pairs.get(back) else { return };
        self.recovers = true;
        self.recovers_at = Some(step.offered);
        self.recovered_p99_us = step.p99().zip(up.p99());
    }
}

fn keeps_up(step: &StepReport) -> bool {
    step.bearing == Bearing::KeepsUp
}

fn is_as_before(step: &StepReport, before: &StepReport) -> bool {
    let is_in_time = step.p99().zip(before.p99()).is_some_and(|(p99, before)| p99 <= 2.0 * before + SLACK);
    keeps_up(step) && is_in_time
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keeps_up_to {
            Some(rate) => write!(out, "Keeps up to {}/s", grouped(rate))?,
            None => write!(out, "Keeps up with none of these rates")?,
        }
        if !self.stumbles_at.is_empty() {
            let rates: Vec<String> = self.stumbles_at.iter().map(|&rate| format!("{}/s", grouped(rate))).collect();
            write!(out, ", with a stumble at {}", rates.join(", "))?;
        }
        self.write_the_tip(out)?;
        self.write_the_recovery(out)
    }
}

impl Outcome {
    fn write_the_tip(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((tip, delivered)) = self.tips_over_at.zip(self.tipped_rate) {
            let due = grouped(self.tipped_due_rate.unwrap_or(tip));
            write!(out, "; tips over at {}/s, where {} of {due} deliveries/s come", grouped(tip), grouped(delivered))?;
            let least = self.least_rate.unwrap_or(delivered);
            let of = if self.has_closed { "the closed rate" } else { "its best" };
            let percent = 100.0 * least / self.full_rate.max(1.0);
            write!(out, ", and never fewer than {} beyond ({percent:.0} % of {of})", grouped(least))?;
        } else if self.generator_ends_at.is_none() {
            write!(out, ", all that was offered")?;
        }
        if let Some((offered, sent)) = self.generator_ends_at.zip(self.generator_rate) {
            write!(out, "; of {}/s the generator sends only {}/s", grouped(offered), grouped(sent))?;
        }
        write!(out, ". ")
    }

    fn write_the_recovery(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.keeps_up_to.is_none() {
            return write!(out, "There is nothing to come back to.");
        }
        let Some(back) = self.recovers_at else {
            let until = self.not_yet_at.map_or(String::new(), |rate| format!(" from {}/s on", grouped(rate)));
            return write!(out, "Does not recover: on the way down it is not as on the way up{until}.");
        };
        let has_tipped = self.tips_over_at.is_some();
        match (has_tipped, self.not_yet_at) {
            (true, _) => write!(out, "Recovers at {}/s on the way down", grouped(back))?,
            (false, None) => write!(out, "It is the same on the way down")?,
            (false, Some(_)) => write!(out, "On the way down it is the same from {}/s on", grouped(back))?,
        }
        if let Some((down, up)) = self.recovered_p99_us {
            write!(out, " (p99 {}; {} on the way up)", time(down), time(up))?;
        }
        if let Some(late) = self.not_yet_at {
            write!(out, ", but not yet at {}/s", grouped(late))?;
        }
        write!(out, ".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ramp::step::tests::step;
    use Bearing::{FallsBehind, GeneratorFallsBehind, KeepsUp};

    /// Up by rates of 1,000, 2,000 ... and down again. Deliveries a second and milliseconds of the 99th percentile.
    fn outcome(up: &[(Bearing, f64, f64)], down: &[(Bearing, f64, f64)]) -> Outcome {
        let rates = 1..=up.len();
        let direction = |index| if index < up.len() { Direction::Up } else { Direction::Down };
        let rates: Vec<usize> = rates.clone().chain(rates.rev().skip(1)).collect();
        let steps =
            up.iter().chain(down).zip(&rates).enumerate().map(|(index, (&(bearing, delivered, p99), &rate))| {
                step(direction(index), rate as f64 * 1_000.0, bearing, delivered, Some(p99 * 1_000.0))
            });
        assert_eq!(rates.len(), up.len() + down.len());
        Outcome::new(&steps.collect::<Vec<_>>(), None)
    }

    #[test]
    fn who_delivers_all_does_not_tip() {
        let found = outcome(&[(KeepsUp, 1e3, 0.5), (KeepsUp, 2e3, 0.5)], &[(KeepsUp, 1e3, 0.6)]);
        assert_eq!((found.keeps_up_to, found.tips_over_at, found.recovers), (Some(2_000.0), None, true));
        let expected = "Keeps up to 2,000/s, all that was offered. \
                        It is the same on the way down (p99 600 us; 500 us on the way up).";
        assert_eq!(found.to_string(), expected);
    }

    #[test]
    fn a_collapse_is_told_with_its_depth_and_its_end() {
        let up = [(KeepsUp, 1e3, 0.5), (KeepsUp, 2e3, 0.6), (FallsBehind, 500.0, 900.0), (FallsBehind, 300.0, 3e3)];
        let found = outcome(&up, &[(FallsBehind, 200.0, 4e3), (KeepsUp, 2e3, 800.0), (KeepsUp, 1e3, 0.7)]);
        assert_eq!((found.tips_over_at, found.least_rate), (Some(3_000.0), Some(200.0)));
        assert_eq!((found.recovers_at, found.not_yet_at), (Some(1_000.0), Some(2_000.0)));
        let expected = "Keeps up to 2,000/s; tips over at 3,000/s, where 500 of 3,000 deliveries/s come, and never fewer \
                        than 200 beyond (10 % of its best). Recovers at 1,000/s on the way down (p99 700 us; 500 us on the way \
                        up), but not yet at 2,000/s.";
        assert_eq!(found.to_string(), expected);
    }

    #[test]
    fn who_stays_slow_does_not_recover() {
        let up = [(KeepsUp, 1e3, 0.5), (FallsBehind, 500.0, 900.0)];
        for last in [(FallsBehind, 300.0, 5.0), (KeepsUp, 1e3, 900.0)] {
            let found = outcome(&up, &[last]);
            assert_eq!((found.recovers, found.recovers_at), (false, None));
            assert!(found.to_string().ends_with("not as on the way up from 1,000/s on."), "{found}");
        }
    }

    #[test]
    fn one_that_came_back_and_fell_again_has_not_come_back() {
        let up = [(KeepsUp, 1e3, 0.5), (KeepsUp, 2e3, 0.5), (FallsBehind, 500.0, 900.0)];
        let found = outcome(&up, &[(KeepsUp, 2e3, 0.5), (FallsBehind, 500.0, 0.5)]);
        assert!(!found.recovers);
        assert_eq!(found.not_yet_at, Some(1_000.0));
    }

    #[test]
    fn what_disturbs_one_step_is_no_tip() {
        let up = [(FallsBehind, 700.0, 0.5), (KeepsUp, 2e3, 0.5), (KeepsUp, 3e3, 0.5)];
        let found = outcome(&up, &[(KeepsUp, 2e3, 0.5), (KeepsUp, 1e3, 0.5)]);
        assert_eq!((found.tips_over_at, &found.stumbles_at[..]), (None, &[1_000.0][..]));
        assert!(found.to_string().contains("with a stumble at 1,000/s, all that was offered"), "{found}");
    }

    #[test]
    fn the_generators_end_is_not_the_brokers() {
        let up = [(KeepsUp, 1e3, 0.5), (GeneratorFallsBehind, 1_500.0, 0.5)];
        let found = outcome(&up, &[(KeepsUp, 1e3, 0.5)]);
        assert_eq!((found.tips_over_at, found.generator_ends_at), (None, Some(2_000.0)));
        assert!(found.to_string().contains("of 2,000/s the generator sends only 1,500/s"), "{found}");
    }

    #[test]
    fn too_fast_from_the_first_step_on_is_said() {
        let found = outcome(&[(FallsBehind, 10.0, 0.5), (FallsBehind, 5.0, 0.5)], &[(FallsBehind, 5.0, 0.5)]);
        assert_eq!((found.keeps_up_to, found.tips_over_at), (None, Some(1_000.0)));
        assert!(found.to_string().starts_with("Keeps up with none of these rates; tips over at 1,000/s"), "{found}");
        assert!(found.to_string().ends_with("nothing to come back to."), "{found}");
    }

    #[test]
    fn the_closed_rate_is_the_measure_if_there_is_one() {
        let steps = [step(Direction::Up, 1_000.0, FallsBehind, 250.0, None)];
        let found = Outcome::new(&steps, Some(500.0));
        assert!(found.to_string().contains("250 beyond (50 % of the closed rate)"), "{found}");
    }
}
