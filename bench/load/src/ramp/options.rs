//! What the command line says about a ramp.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::Arguments;
use crate::ramp::range::Range;

/// The first rate, if none is asked for and the broker takes much more than that.
const FIRST_RATE: f64 = 10_000.0;
/// By how much at least the highest rate is above the first one, if that is not asked for.
const LEAST_RISE: f64 = 16.0;
/// How often the rate of the closed run the ramp goes to.
const OVERLOAD: f64 = 2.0;
/// Messages for each consumer that the closed run has under way.
const CLOSED_BACKLOG: u64 = 1_000;
/// The part of a step that is left out, if none is asked for.
const WARM_UP_SHARE: f64 = 0.2;
/// Steps of one direction; a picture has room for that many.
const STEPS_LIMIT: u16 = 100;

/// Options of a ramp.
#[derive(Debug, Clone, Args, Serialize)]
pub struct RampOptions {
    /// Offer load in steps, from one rate up to another and down again, whatever the broker does with it; says at each
    /// step what was delivered, how late and at what cost, where the broker tips over, and whether it comes back. Either
    /// rate may be left out, or both [default: 10000 to twice the rate of a short closed run]
    #[arg(
        long,
        value_name = "FROM..TO",
        num_args = 0..=1,
        default_missing_value = "..",
        conflicts_with_all = ["rate", "count", "seconds", "first_delivery", "hold_seconds"]
    )]
    pub ramp: Option<Range>,
    /// Steps up, each by the same factor; down it is one less
    #[arg(long, default_value_t = 9, requires = "ramp")]
    pub steps: u16,
    /// Seconds of a step
    #[arg(long, default_value_t = 5.0, requires = "ramp")]
    pub step_seconds: f64,
    /// The first seconds of a step, shown by themselves and left out of its figures [default: a fifth of the step]
    #[arg(long, requires = "ramp")]
    pub step_warm_up: Option<f64>,
    /// Seconds of the closed run before a ramp, with --warm-up before it and --backlog messages under way [default: 1000
    /// for each consumer]; 0 leaves it out
    #[arg(long, default_value_t = 2.0, requires = "ramp")]
    pub closed_seconds: f64,
    /// File for a picture of the ramp (SVG)
    #[arg(long, value_name = "FILE", requires = "ramp")]
    pub picture: Option<PathBuf>,
}

impl RampOptions {
    /// Refuses what makes no sense, with the reason. `arguments` are those that these options are part of.
    pub(crate) fn check(&self, arguments: &Arguments) -> Result<()> {
        let Some(range) = self.ramp else { return Ok(()) };
        let has_both = arguments.producers > 0 && arguments.consumers > 0;
        ensure!(has_both, "--ramp needs producers and consumers: it measures what is sent until it is delivered");
        ensure!((2..=STEPS_LIMIT).contains(&self.steps), "--steps is 2 to {STEPS_LIMIT}, not {}", self.steps);
        let seconds = self.step_seconds;
        ensure!(
            (0.05..1e6).contains(&seconds),
            "--step-seconds is at least 0.05, so that a step has something to count"
        );
        let warm_up = self.step_warm_up();
        ensure!(
            (0.0..seconds).contains(&warm_up),
            "--step-warm-up is a part of the step, 0 or more and less than --step-seconds ({seconds}), not {warm_up}"
        );
        ensure!((0.0..1e6).contains(&self.closed_seconds), "--closed-seconds is 0 or more seconds");
        if self.closed_seconds == 0.0 {
            ensure!(range.to.is_some(), "--closed-seconds 0 leaves open how far up to go: say --ramp FROM..TO");
            ensure!(
                arguments.warm_up == 0.0,
                "--warm-up comes before the closed run, which --closed-seconds 0 leaves out"
            );
            ensure!(
                arguments.backlog.is_none(),
                "--backlog bounds the closed run, which --closed-seconds 0 leaves out"
            );
        }
        Ok(())
    }

    /// Seconds at the begin of a step that are left out of its figures.
    pub(crate) fn step_warm_up(&self) -> f64 {
        self.step_warm_up.unwrap_or(self.step_seconds * WARM_UP_SHARE)
    }

    /// A run of the same load that never has more under way than the broker gets through at once; none if there is to
    /// be none.
    pub(crate) fn closed(&self, arguments: &Arguments) -> Option<Arguments> {
        let backlog = arguments.backlog.unwrap_or(CLOSED_BACKLOG * u64::from(arguments.consumers));
        (self.closed_seconds > 0.0).then(|| Arguments {
            window: Some(arguments.window()),
            backlog: Some(backlog),
            seconds: self.closed_seconds,
            ramp: RampOptions { ramp: None, ..self.clone() },
            ..arguments.clone()
        })
    }

    /// The rates on the way up. `closed` is the send rate of the closed run.
    pub(crate) fn rates(&self, closed: Option<f64>) -> Result<Vec<f64>> {
        let range = self.ramp.unwrap_or_default();
        let to = range.to.or(closed.map(|rate| rate * OVERLOAD)).unwrap_or_default();
        let from = range.from.unwrap_or(FIRST_RATE.min(to / LEAST_RISE));
        ensure!(
            from > 0.0 && from < to,
            "from {from}/s to {to:.0}/s is no way up: twice the closed rate was taken for what is not said; \
             give both ends, --ramp FROM..TO"
        );
        Ok(geometric(from, to, self.steps))
    }
}

/// Each by the same factor more than the one before; to three digits, where that keeps them apart.
fn geometric(from: f64, to: f64, steps: u16) -> Vec<f64> {
    let factor = (to / from).powf(1.0 / f64::from(steps - 1));
    let exact = (0..steps).map(|step| if step + 1 == steps { to } else { from * factor.powi(i32::from(step)) });
    exact.map(|rate| if factor > 1.02 { rounded(rate) } else { rate }).collect()
}

fn rounded(rate: f64) -> f64 {
    let unit = 10f64.powf(rate.log10().floor() - 2.0);
    // A unit below one is not exact: divided by what is.
    if unit >= 1.0 { (rate / unit).round() * unit } else { (rate / unit).round() / (1.0 / unit).round() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::tests::try_parsed;

    fn parsed(line: &str) -> Result<Arguments> {
        let arguments = try_parsed(line)?;
        arguments.check()?;
        Ok(arguments)
    }

    #[test]
    fn a_ramp_may_leave_its_ends_open() {
        let open = parsed("127.0.0.1:1 --ramp").unwrap();
        assert_eq!(open.ramp.ramp, Some(Range::default()));
        assert_eq!(open.window(), 0, "nothing waits for receipts");
        assert_eq!(parsed("--ramp 5..80 127.0.0.1:1").unwrap().ramp.ramp.unwrap().to, Some(80.0));
        assert_eq!(parsed("").unwrap().ramp.ramp, None);
    }

    #[test]
    fn the_closed_run_is_bounded_and_no_ramp() {
        let arguments = parsed("--ramp -c 3 --warm-up 4 --size 99").unwrap();
        let closed = arguments.ramp.closed(&arguments).unwrap();
        closed.check().unwrap();
        assert_eq!((closed.backlog, closed.seconds, closed.warm_up, closed.size), (Some(3_000), 2.0, 4.0, 99));
        assert_eq!((closed.ramp.ramp, closed.window()), (None, 0));
        let without = parsed("--ramp 1..2 --closed-seconds 0").unwrap();
        assert!(without.ramp.closed(&without).is_none());
    }

    #[test]
    fn rates_rise_by_one_factor() {
        let rates = |line: &str, closed| parsed(line).unwrap().ramp.rates(closed).unwrap();
        assert_eq!(rates("--ramp 10..1000 --steps 3", None), [10.0, 100.0, 1_000.0]);
        assert_eq!(rates("--ramp --steps 2", Some(500_000.0)), [10_000.0, 1_000_000.0]);
        assert_eq!(rates("--ramp --steps 2", Some(4_000.0)), [500.0, 8_000.0], "a slow broker's ramp begins lower");
        assert_eq!(rates("--ramp 1.. --steps 3", Some(1.44)), [1.0, 1.7, 2.88]);
        assert_eq!(rates("--ramp 10000..10002 --steps 3", None)[1].floor(), 10_000.0);
        let default = rates("--ramp", Some(1_232_000.0));
        assert_eq!(default.len(), 9);
        assert!(default.windows(2).all(|pair| (1.9..2.1).contains(&(pair[1] / pair[0]))), "{default:?}");
        let refusal = parsed("--ramp 9000..").unwrap().ramp.rates(Some(4_000.0)).unwrap_err().to_string();
        assert!(refusal.contains("9000/s to 8000/s is no way up"), "{refusal}");
    }

    #[test]
    fn nonsense_is_refused_by_name_and_with_a_remedy() {
        for (line, word) in [
            ("--ramp 1..2 --rate 5", "--rate"),
            ("--ramp 1..2 --count 5", "--count"),
            ("--ramp 1..2 --seconds 5", "--seconds"),
            ("--ramp 1..2 --hold-seconds 5", "--hold-seconds"),
            ("--ramp 1..2 -c 0", "needs producers and consumers"),
            ("--ramp 1..2 -p 0", "needs producers and consumers"),
            ("--ramp localhost:61616", "FROM..TO is expected"),
            ("--ramp 2..1", "FROM is less than TO"),
            ("--ramp --steps 1", "--steps is 2 to 100"),
            ("--ramp --step-seconds 0", "--step-seconds is at least 0.05"),
            ("--ramp --step-warm-up 5", "less than --step-seconds (5), not 5"),
            ("--ramp --closed-seconds=-1", "--closed-seconds is 0 or more"),
            ("--ramp --closed-seconds 0", "say --ramp FROM..TO"),
            ("--ramp 1..2 --closed-seconds 0 --warm-up 1", "--warm-up comes before the closed run"),
            ("--ramp 1..2 --closed-seconds 0 --backlog 1", "--backlog bounds the closed run"),
            ("--steps 4", "--ramp"),
            ("--picture a.svg", "--ramp"),
        ] {
            let refusal = parsed(line).unwrap_err().to_string();
            assert!(refusal.contains(word), "{line}: {refusal}");
        }
    }
}
