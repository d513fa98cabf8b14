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
    /// Messages that were due and that no socket took before the step was over.
    pub unsent: u64,
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
        Lateness { measured: meter::histogram(), warm_up: meter::histogram(), unsent: 0 }
    }

    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: &Lateness) -> Result<(), AdditionError> {
        self.unsent += other.unsent;
        self.measured.add(&other.measured)?;
        self.warm_up.add(&other.warm_up)
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
        self.count(due, now, 1);
    }

    /// What a producer should have sent by the end of a step, and has not. It is not sent any more; it counts as
    /// `deliveries` each that are as late as they were when the step ended, which is less than they would have been.
    pub(crate) fn gave_up(&mut self, step: usize, pace: &Pace, deliveries: u64) {
        let end = self.stairs.end(step);
        let (first, last) = (pace.sent(), pace.due_before(end));
        let unsent = last.saturating_sub(first);
        self.steps[step].unsent += unsent;
        let stride = unsent.div_ceil(SAMPLES).max(1);
        for number in (first..last).step_by(stride as usize) {
            self.count(pace.due(number), end, stride.min(last - number) * deliveries);
        }
    }

    #[inline]
    fn count(&mut self, due: u64, now: u64, deliveries: u64) {
        let Some((step, is_warm_up)) = self.stairs.at(due) else { return };
        let lateness = &mut self.steps[step];
        let histogram = if is_warm_up { &mut lateness.warm_up } else { &mut lateness.measured };
        histogram.saturating_record_n(now.saturating_sub(due), deliveries);
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

    #[test]
    fn what_was_never_sent_counts_as_late_as_it_was() {
        let mut meter = meter();
        let mut pace = Pace::new(10_000.0, 0, 1, 1_000_000_000).until(2_000_000_000);
        (0..4_000).for_each(|_| pace.advance());
        meter.gave_up(1, &pace, 2);
        let step = &meter.steps()[1];
        assert_eq!((step.unsent, step.measured.len(), step.warm_up.len()), (6_000, 12_000, 0));
        for (quantile, expected) in [(0.5, 0.3), (0.99, 0.594), (1.0, 0.6)] {
            let found = step.measured.value_at_quantile(quantile) as f64 / 1e9;
            assert!((found - expected).abs() < 0.002, "{found} for {expected}");
        }
        let mut all = step.clone();
        all.add(step).unwrap();
        assert_eq!((all.unsent, all.measured.len()), (12_000, 24_000));
    }

    #[test]
    fn who_has_sent_everything_gave_nothing_up() {
        let mut meter = meter();
        let mut pace = Pace::new(1_000.0, 0, 1, 0).until(1_000_000_000);
        (0..1_000).for_each(|_| pace.advance());
        meter.gave_up(0, &pace, 1);
        assert_eq!((meter.steps()[0].unsent, meter.steps()[0].measured.len()), (0, 0));
    }
}
