//! All figures of a ramp, as a table and as JSON.

use std::fmt;

use serde::Serialize;

use crate::Arguments;
use crate::ledger::Verdict;
use crate::ramp::figure::{grouped, time};
use crate::ramp::outcome::Outcome;
use crate::ramp::step::{Bearing, StepReport};
use crate::report::{Broker, Drain, Report};

/// The result of a ramp.
#[derive(Debug, Serialize)]
pub struct RampReport {
    /// What was asked for.
    pub arguments: Arguments,
    /// What the broker said about itself, and the agreed format.
    pub broker: Broker,
    /// The closed run before the ramp.
    pub closed: Option<Report>,
    /// The steps in their order.
    pub steps: Vec<StepReport>,
    /// What came after the last step.
    pub drain: Drain,
    /// What the steps say.
    pub outcome: Outcome,
    /// The same as a sentence.
    pub sentence: String,
    /// The check of all messages; those that had not arrived when the wait for them was over are not among the lost.
    pub verification: Verdict,
}

impl RampReport {
    /// Whether all messages have arrived, once and in order, in the closed run as well.
    pub fn is_clean(&self) -> bool {
        let closed = self.closed.as_ref().is_none_or(|closed| closed.verification.is_clean());
        closed && self.verification.is_clean() && self.drain.left == 0
    }
}

const HEADER: [&str; 12] = [
    "",
    "offered/s",
    "sent/s",
    "delivered/s",
    "p50",
    "p99",
    "p99.9",
    "(warm-up)",
    "backlog",
    "unsent",
    "held",
    "CPU s/M",
];

impl fmt::Display for RampReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "broker      {}", self.broker)?;
        if let Some(closed) = &self.closed {
            self.write_closed(out, closed)?;
        }
        writeln!(out)?;
        write_row(out, &HEADER.map(str::to_owned))?;
        for step in &self.steps {
            write_row(out, &row(step))?;
        }
        self.write_legend(out)?;
        let Drain { backlog, left, seconds, delivery_rate } = self.drain;
        let rate = if seconds < 0.1 { String::new() } else { format!(", {}/s", grouped(delivery_rate)) };
        let (backlog, missing) = (grouped(backlog as f64), grouped(left as f64));
        write!(out, "drained     {backlog} deliveries after the last step in {seconds:.2} s{rate}")?;
        if left > 0 {
            write!(out, "; {missing} ARE MISSING after {} s (--drain-seconds)", self.arguments.drain_seconds)?;
        }
        writeln!(out, "\ncheck       {}", self.verification)?;
        write!(out, "\n{}", self.sentence)
    }
}

impl RampReport {
    fn write_closed(&self, out: &mut fmt::Formatter<'_>, closed: &Report) -> fmt::Result {
        write!(out, "closed      {}/s", grouped(closed.messages.delivery_rate))?;
        if let Some(latency) = &closed.delivery_latency_us {
            write!(out, ", p50 {}, p99 {}", time(latency.p50), time(latency.p99))?;
        }
        if let Some(cpu) = closed.cpu.broker_seconds_per_million {
            write!(out, ", broker CPU {cpu:.2} s per million")?;
        }
        let backlog = closed.arguments.backlog.map_or(String::new(), |backlog| grouped(backlog as f64));
        writeln!(out, ": {:.1} s with at most {backlog} messages under way", closed.seconds)?;
        let is_clean = closed.verification.is_clean();
        if is_clean { Ok(()) } else { writeln!(out, "            {}", closed.verification) }
    }

    fn write_legend(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = &self.steps;
        let has = |bearing| steps.iter().any(|step| step.bearing == bearing);
        writeln!(out)?;
        if has(Bearing::FallsBehind) {
            writeln!(out, "!  less than 95 % of what was due was delivered")?;
        }
        if has(Bearing::GeneratorFallsBehind) {
            writeln!(out, "g  the generator sent less than 95 % of what was due, though nothing held it")?;
        }
        if steps.iter().all(|step| step.cpu.broker_seconds.is_none()) {
            writeln!(out, "no CPU time without --broker-pid")?;
        }
        Ok(())
    }
}

fn write_row(out: &mut fmt::Formatter<'_>, cells: &[String; HEADER.len()]) -> fmt::Result {
    const WIDTHS: [usize; HEADER.len()] = [6, 11, 11, 12, 9, 9, 9, 10, 11, 11, 6, 8];
    let mut line = format!("{:<width$}", cells[0], width = WIDTHS[0]);
    for (cell, width) in cells.iter().zip(WIDTHS).skip(1) {
        line.push_str(&format!(" {cell:>width$}"));
    }
    writeln!(out, "{}", line.trim_end())
}

fn row(step: &StepReport) -> [String; HEADER.len()] {
    let mark = match step.bearing {
        Bearing::KeepsUp => "",
        Bearing::FallsBehind => " !",
        Bearing::GeneratorFallsBehind => " g",
    };
    let none = || "-".to_owned();
    let [p50, p99, p99_9] = step
        .latency_us
        .as_ref()
        .map_or_else(|| [none(), none(), none()], |latency| [latency.p50, latency.p99, latency.p99_9].map(time));
    let warm_up = step.warm_up.as_ref().and_then(|warm_up| warm_up.latency_us.as_ref());
    [
        format!("{}{mark}", step.direction),
        grouped(step.offered),
        grouped(step.send_rate),
        grouped(step.delivery_rate),
        p50,
        p99,
        p99_9,
        warm_up.map_or_else(none, |latency| time(latency.p99)),
        grouped(step.backlog as f64),
        grouped(step.unsent as f64),
        format!("{:.0} %", 100.0 * step.held),
        step.cpu.broker_seconds_per_million.map_or_else(none, |seconds| format!("{seconds:.2}")),
    ]
}
