//! How late deliveries are, by the step in which their messages were due.
//!
//! A message counts where it was due, however late it is sent or arrives: a broker that stalls can neither push what it
//! delays into another step nor keep it from being counted.

use hdrhistogram::Histogram;
use hdrhistogram::errors::AdditionError;

use crate::meter;
use crate::pace::Pace;
use crate::ramp::stairs::Stairs;

/// Times that stand for all that a producer has not sent: enough for percentiles, and few beside what a step sends.
const SAMPLES: u64 = 1_000;

/// One step's times, in nanoseconds from when a message was due to when it was delivered.
#[derive(Debug, Clone)]
pub(crate) struct Lateness {
    /// Of messages that were due in the measured part.
    pub measured: Histogram<u64>,
    /// Of those before.
    pub warm_up: Histogram<u64>,
    /// When the last of them was delivered.
    last: u64,
    given_up: Vec<GivenUp>,
}

/// What a producer should have sent by the end of a step, and has not.
#[derive(Debug, Clone, Copy)]
struct GivenUp {
    pace: Pace,
    /// Behind the number of the last one.
    end: u64,
    /// How many follow from a message.
    deliveries: u64,
}

/// What one thread knows of all steps.
#[derive(Debug)]
pub(crate) struct StepMeter {
    stairs: Stairs,
    steps: Vec<Lateness>,
}

impl Lateness {
    /// None yet.
    pub(crate) fn new() -> Lateness {
        Lateness { measured: meter::histogram(), warm_up: meter::histogram(), last: 0, given_up: Vec::new() }
    }

    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: &Lateness) -> Result<(), AdditionError> {
        self.last = self.last.max(other.last);
        self.given_up.extend(&other.given_up);
        self.measured.add(&other.measured)?;
        self.warm_up.add(&other.warm_up)
    }

    /// Messages that were due and that no socket took before the step was over.
    pub(crate) fn unsent(&self) -> u64 {
        self.given_up.iter().map(|part| part.end - part.pace.sent()).sum()
    }

    /// Counts what was given up in step number `step`, once all deliveries are known: as if it had come with the last that did, and
    /// not before the step was over. It would have stood behind that one, so that it would not have come earlier.
    pub(crate) fn settle(&mut self, stairs: &Stairs, step: usize) {
        let when = self.last.max(stairs.end(step));
        for GivenUp { pace, end, deliveries } in self.given_up.clone() {
            let first = pace.sent();
            let stride = (end - first).div_ceil(SAMPLES).max(1);
            for number in (first..end).step_by(stride as usize) {
                let due = pace.due(number);
                self.count(due, when, stride.min(end - number) * deliveries, due < stairs.measured(step));
            }
        }
    }

    #[inline]
    fn count(&mut self, due: u64, now: u64, deliveries: u64, is_warm_up: bool) {
        let histogram = if is_warm_up { &mut self.warm_up } else { &mut self.measured };
        histogram.saturating_record_n(now.saturating_sub(due), deliveries);
    }
}

impl StepMeter {
    /// For a schedule.
    pub(crate) fn new(stairs: Stairs) -> StepMeter {
        let steps = vec![Lateness::new(); stairs.steps().len()];
        StepMeter { stairs, steps }
    }

    /// A delivery of what was due at that time.
    #[inline]
    pub(crate) fn delivered(&mut self, due: u64, now: u64) {
        let Some((step, is_warm_up)) = self.stairs.at(due) else { return };
        let lateness = &mut self.steps[step];
        lateness.last = now;
        lateness.count(due, now, 1, is_warm_up);
    }

    /// What a producer's schedule still has at the end of a step is not sent any more.
    pub(crate) fn gave_up(&mut self, step: usize, pace: &Pace, deliveries: u64) {
        let end = pace.due_before(self.stairs.end(step));
        if end > pace.sent() {
            self.steps[step].given_up.push(GivenUp { pace: *pace, end, deliveries });
        }
    }

    /// By step.
    pub(crate) fn steps(&self) -> &[Lateness] {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps of a second, 1,000 and 10,000 messages a second, the first fifth of each a warm-up; and down again.
    fn meter() -> StepMeter {
        StepMeter::new(Stairs::new(&[1_000.0, 10_000.0], 0, 1.0, 0.2))
    }

    #[test]
    fn what_arrives_late_counts_where_it_was_due() {
        let mut meter = meter();
        meter.delivered(100_000_000, 100_000_700);
        meter.delivered(900_000_000, 2_900_000_000);
        meter.delivered(1_900_000_000, 1_900_000_000);
        let counts: Vec<_> = meter.steps().iter().map(|step| (step.warm_up.len(), step.measured.len())).collect();
        assert_eq!(counts, [(1, 1), (0, 1), (0, 0)]);
        assert!(meter.steps()[0].measured.max() >= 2_000_000_000);
        meter.delivered(3_000_000_000, 3_000_000_001);
        assert_eq!(meter.steps().iter().map(|step| step.measured.len()).sum::<u64>(), 2, "that was due in no step");
    }

    /// Of 10,000 messages of the second step 4,000 were sent, at once.
    fn given_up() -> StepMeter {
        let mut meter = meter();
        let mut pace = Pace::new(10_000.0, 0, 1, 1_000_000_000).until(2_000_000_000);
        (0..4_000).for_each(|_| pace.advance());
        meter.gave_up(1, &pace, 2);
        meter
    }

    #[test]
    fn what_was_never_sent_counts_as_late_as_it_was() {
        let meter = given_up();
        let mut step = meter.steps()[1].clone();
        assert_eq!((step.unsent(), step.measured.len()), (6_000, 0));
        step.settle(&meter.stairs, 1);
        assert_eq!((step.measured.len(), step.warm_up.len()), (12_000, 0));
        for (quantile, expected) in [(0.5, 0.3), (0.99, 0.594), (1.0, 0.6)] {
            let found = step.measured.value_at_quantile(quantile) as f64 / 1e9;
            assert!((found - expected).abs() < 0.002, "{found} for {expected}");
        }
    }

    #[test]
    fn what_was_never_sent_would_not_have_come_before_what_was() {
        let mut meter = given_up();
        meter.delivered(1_399_000_000, 9_000_000_000);
        let mut step = meter.steps()[1].clone();
        step.add(&given_up().steps()[1]).unwrap();
        assert_eq!(step.unsent(), 12_000);
        step.settle(&meter.stairs, 1);
        assert_eq!(step.measured.len(), 24_001);
        let (least, most) = (step.measured.min() as f64 / 1e9, step.measured.max() as f64 / 1e9);
        assert!((6.99..7.01).contains(&least) && (7.59..7.61).contains(&most), "{least} {most}");
    }

    #[test]
    fn who_has_sent_everything_gave_nothing_up() {
        let mut meter = meter();
        let mut pace = Pace::new(1_000.0, 0, 1, 0).until(1_000_000_000);
        (0..1_000).for_each(|_| pace.advance());
        meter.gave_up(0, &pace, 1);
        assert_eq!(meter.steps()[0].unsent(), 0);
    }
}
