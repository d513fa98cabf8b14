//! A ramp: load that is offered whatever the broker does with it, up in steps and down again.
//!
//! The schedule is fixed before the first message ([`stairs`]). Producers send what is due as far as their sockets take
//! it; how late a delivery is counts from the time its message was due, in the step in which it was due ([`lateness`]).
//! What no socket has taken when a step ends is given up, and counts as if it had come with the last message of the step.

mod figure;
mod lateness;
mod options;
mod outcome;
mod picture;
mod range;
mod report;
mod stairs;
mod step;

use std::fs::{self, OpenOptions};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::Arguments;
use crate::conductor::{Conductor, Drained};
use crate::meter::Clock;
use crate::plan::Plan;
use crate::process::cpu_seconds;
use crate::ramp::lateness::Lateness;
use crate::report::{Drain, Report, SOON};
use crate::run::{self, connect, describe, judge, perform, run_number, tell};
use crate::worker::Remains;

pub(crate) use lateness::StepMeter;
pub use options::RampOptions;
pub use outcome::Outcome;
pub use range::Range;
pub use report::RampReport;
pub use stairs::Direction;
pub(crate) use stairs::Stairs;
pub use step::{Bearing, StepReport, WarmUp};

/// Nanoseconds from the making of the schedule to its first step, for threads to start.
const LEAD: u64 = 20_000_000;
/// Tells the messages of the ramp from those of the closed run before it.
const RAMP: u32 = 1 << 31;

/// Runs the ramp, prints the result and draws the picture. The exit code is 1 if messages are missing, duplicated, out of
/// order or altered.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.check()?;
    if let Some(path) = &arguments.ramp.picture {
        // Said before minutes have passed; a picture that is there stays until there is another.
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.with_context(|| cannot_write(path))?;
    }
    let report = measure(arguments)?;
    let code = tell(arguments, &report, report.is_clean())?;
    if let Some(path) = &arguments.ramp.picture {
        fs::write(path, picture::draw(&report)).with_context(|| cannot_write(path))?;
    }
    Ok(code)
}

fn cannot_write(path: &Path) -> String {
    format!("--picture: cannot write {}", path.display())
}

/// Runs the ramp and returns all figures.
pub fn measure(arguments: &Arguments) -> Result<RampReport> {
    arguments.check()?;
    arguments.broker_pid.map(cpu_seconds).transpose()?;
    let options = &arguments.ramp;
    let closed = options.closed(arguments).map(|closed| run::measure(&closed)).transpose();
    let closed = closed.context("the closed run before the ramp failed")?;
    let rates = options.rates(closed.as_ref().map(|closed| closed.messages.send_rate))?;
    announce(options, closed.as_ref(), &rates);

    let plan = Plan::new(arguments);
    let links = connect(arguments, &plan, run_number() ^ RAMP)?;
    let broker = describe(&links[0].0);
    let clock = Clock::start();
    let stairs = Stairs::new(&rates, clock.now() + LEAD, options.step_seconds, options.step_warm_up());
    let conduct = |conductor: Conductor<'_>| conductor.climb(&stairs);
    let ((ascents, drained), remains) = perform(arguments, &plan, links, clock, Some(&stairs), conduct)?;

    let fan_out = plan.fan_out();
    let lateness = lateness(&stairs, &remains, &drained, fan_out)?;
    let mut verification = judge(arguments, remains);
    verification.lost = verification.lost.saturating_sub(drained.left);
    let measured = stairs.steps().iter().zip(&ascents).zip(&lateness);
    let steps: Vec<StepReport> = measured
        .map(|((step, ascent), lateness)| StepReport::new(step, ascent, lateness, fan_out, arguments.producers))
        .collect();
    let outcome = Outcome::new(&steps, closed.as_ref().map(|closed| closed.messages.delivery_rate));
    Ok(RampReport {
        arguments: arguments.clone(),
        broker,
        closed,
        steps,
        drain: Drain::new(&drained),
        sentence: sentence(&outcome, &drained),
        outcome,
        verification,
    })
}

/// What the ramp says, and what became of a backlog that kept it from coming back.
fn sentence(outcome: &Outcome, drained: &Drained) -> String {
    let Drained { left, seconds, .. } = *drained;
    if outcome.recovers {
        outcome.to_string()
    } else if left > 0 {
        format!("{outcome} Its backlog was not gone {seconds:.0} s after the last step.")
    } else if seconds >= SOON {
        format!("{outcome} Its backlog was gone {seconds:.1} s after the last step.")
    } else {
        format!("{outcome} Its backlog was gone by the end of the last step.")
    }
}

/// Says to who waits at a terminal how long it will take.
fn announce(options: &RampOptions, closed: Option<&Report>, rates: &[f64]) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    if let Some(closed) = closed {
        eprintln!("closed run: {}/s", figure::grouped(closed.messages.delivery_rate));
    }
    let steps = 2 * rates.len() - 1;
    eprintln!("{steps} steps of {} s: {:.0} s", options.step_seconds, steps as f64 * options.step_seconds);
}

/// All threads' together. What had not arrived when the wait was over is at least as late as it was then.
fn lateness(stairs: &Stairs, remains: &[Remains], drained: &Drained, fan_out: f64) -> Result<Vec<Lateness>> {
    let mut steps = vec![Lateness::new(); stairs.steps().len()];
    for meter in remains.iter().filter_map(|part| part.meter.steps.as_ref()) {
        for (all, own) in steps.iter_mut().zip(meter.steps()) {
            all.add(own)?;
        }
    }
    steps.iter_mut().enumerate().for_each(|(index, lateness)| lateness.settle(stairs, index));
    if drained.left > 0 {
        for (index, (lateness, step)) in steps.iter_mut().zip(stairs.steps()).enumerate() {
            let seconds = (stairs.end(index) - stairs.measured(index)) as f64 / 1e9;
            let due = (step.rate * seconds * fan_out) as u64;
            let missing = due.saturating_sub(lateness.measured.len());
            lateness.measured.saturating_record_n(drained.end.saturating_sub(stairs.end(index)), missing);
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_tells_what_became_of_the_backlog() {
        let told = |recovers, left, seconds| {
            let mut outcome = Outcome::new(&[], None);
            outcome.recovers = recovers;
            sentence(&outcome, &Drained { backlog: 9, left, seconds, end: 1 })
        };
        assert!(!told(true, 0, 3.0).contains("backlog"));
        assert!(told(false, 4, 30.0).ends_with("Its backlog was not gone 30 s after the last step."));
        assert!(told(false, 0, 1.26).ends_with("Its backlog was gone 1.3 s after the last step."));
        assert!(told(false, 0, 0.01).ends_with("Its backlog was gone by the end of the last step."));
    }

    #[test]
    fn what_never_arrived_counts_as_late_as_it_is() {
        // Up and down: 10 messages in the measured half of each outer step, 20 in the middle one.
        let stairs = Stairs::new(&[20.0, 40.0], 0, 1.0, 0.5);
        let drained = Drained { backlog: 40, left: 40, seconds: 1.0, end: 4_000_000_000 };
        let steps = lateness(&stairs, &[], &drained, 1.0).unwrap();
        let found = steps.iter().map(|step| (step.measured.len(), step.measured.min() / 1_000_000));
        let counts: Vec<(u64, u64)> = found.collect();
        assert_eq!(counts.iter().map(|(count, _)| count).collect::<Vec<_>>(), [&10, &20, &10]);
        for ((_, millis), expected) in counts.iter().zip([3_000, 2_000, 1_000]) {
            assert!(millis.abs_diff(expected) <= 3, "{millis} for {expected}");
        }
    }
}
