//! What became of one step.

use serde::Serialize;

use crate::conductor::Ascent;
use crate::ramp::lateness::Lateness;
use crate::ramp::stairs::{Direction, Step};
use crate::report::{Cpu, Latency, held};

/// The part of what is due that has to be delivered. The rest is for a measurement that ends amid a batch.
const ENOUGH: f64 = 0.95;
/// The part of the time for which producers may be held while the generator is still taken for what is slow.
const HARDLY_HELD: f64 = 0.1;

/// The figures of a step, of its measured part where nothing else is said.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Which way the ramp went.
    pub direction: Direction,
    /// Messages a second that were due.
    pub offered: f64,
    /// Deliveries a second that follow from that.
    pub due_rate: f64,
    /// Messages sent a second.
    pub send_rate: f64,
    /// Deliveries a second.
    pub delivery_rate: f64,
    /// Who kept up, and who did not.
    pub bearing: Bearing,
    /// How long it was measured.
    pub seconds: f64,
    /// Microseconds from the time a message was due to its delivery, of messages due in this step.
    pub latency_us: Option<Latency>,
    /// The part before the measured one, if it has one.
    pub warm_up: Option<WarmUp>,
    /// Deliveries that followed from what was sent and were missing when the step ended.
    pub backlog: u64,
    /// Messages of the whole step that were due and that no socket took before it ended. They are never sent, and are
    /// among the latencies as if they had come with the last message of the step.
    pub unsent: u64,
    /// The part of the time for which producers were kept from sending what was due: by sockets that took no more, or for
    /// want of receipts, where they wait for such (`--window`).
    pub held: f64,
    /// CPU time.
    pub cpu: Cpu,
}

/// The begin of a step, which is not in its figures.
#[derive(Debug, Clone, Serialize)]
pub struct WarmUp {
    /// How long it was.
    pub seconds: f64,
    /// Deliveries a second.
    pub delivery_rate: f64,
    /// As in the step.
    pub latency_us: Option<Latency>,
}

/// What a step says about broker and generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// The broker delivered what was due.
    KeepsUp,
    /// It did not.
    FallsBehind,
    /// It delivered what it got, but the generator sent less than was due, and nothing of the broker's kept it from that.
    GeneratorFallsBehind,
}

impl StepReport {
    /// Of a step that was measured. `fan_out` is how many deliveries follow from a message.
    pub(crate) fn new(step: &Step, ascent: &Ascent, lateness: &Lateness, fan_out: f64, producers: u16) -> StepReport {
        let (interval, counts) = (&ascent.interval, &ascent.interval.counts);
        let (send_rate, delivery_rate) = (interval.rate(counts.sent), interval.rate(counts.delivered));
        let held = held(counts, interval.seconds, producers);
        StepReport {
            direction: step.direction,
            offered: step.rate,
            due_rate: step.rate * fan_out,
            send_rate,
            delivery_rate,
            bearing: Bearing::new(step.rate, send_rate, fan_out, delivery_rate, held),
            seconds: interval.seconds,
            latency_us: Latency::new(&lateness.measured),
            warm_up: ascent.warm_up.as_ref().map(|interval| WarmUp {
                seconds: interval.seconds,
                delivery_rate: interval.rate(interval.counts.delivered),
                latency_us: Latency::new(&lateness.warm_up),
            }),
            backlog: ascent.backlog,
            unsent: lateness.unsent(),
            held,
            cpu: Cpu::new(counts, true, interval.broker_cpu, interval.generator_cpu),
        }
    }

    /// The latency that all but one in a hundred stay below.
    pub fn p99(&self) -> Option<f64> {
        self.latency_us.as_ref().map(|latency| latency.p99)
    }
}

impl Bearing {
    fn new(offered: f64, sent: f64, fan_out: f64, delivered: f64, held: f64) -> Bearing {
        if delivered >= ENOUGH * offered * fan_out {
            Bearing::KeepsUp
        } else if sent < ENOUGH * offered && delivered >= ENOUGH * sent * fan_out && held < HARDLY_HELD {
            Bearing::GeneratorFallsBehind
        } else {
            Bearing::FallsBehind
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::meter::Counts;

    /// A step of one second with the figures that decisions and pictures look at.
    pub(crate) fn step(
        direction: Direction,
        offered: f64,
        bearing: Bearing,
        delivered: f64,
        p99: Option<f64>,
    ) -> StepReport {
        let latency = |p99: f64| Latency { count: 9, p50: p99 / 2.0, p90: p99, p99, p99_9: p99 * 2.0, max: p99 * 3.0 };
        StepReport {
            direction,
            offered,
            due_rate: offered,
            send_rate: if bearing == Bearing::GeneratorFallsBehind { delivered } else { offered },
            delivery_rate: delivered,
            bearing,
            seconds: 1.0,
            latency_us: p99.map(latency),
            warm_up: Some(WarmUp { seconds: 0.2, delivery_rate: delivered, latency_us: p99.map(latency) }),
            backlog: (offered - delivered).max(0.0) as u64,
            unsent: 0,
            held: 0.0,
            cpu: Cpu::new(&Counts { delivered: delivered as u64, ..Counts::default() }, true, Some(0.01), 0.01),
        }
    }

    #[test]
    fn who_falls_behind_is_told_apart() {
        for (sent, delivered, held, expected) in [
            (1_000.0, 1_000.0, 0.0, Bearing::KeepsUp),
            (1_000.0, 951.0, 0.5, Bearing::KeepsUp),
            (100.0, 1_600.0, 0.0, Bearing::KeepsUp),
            (1_000.0, 900.0, 0.0, Bearing::FallsBehind),
            (600.0, 600.0, 0.9, Bearing::FallsBehind),
            (600.0, 300.0, 0.0, Bearing::FallsBehind),
            (600.0, 590.0, 0.05, Bearing::GeneratorFallsBehind),
        ] {
            assert_eq!(Bearing::new(1_000.0, sent, 1.0, delivered, held), expected, "{sent} {delivered} {held}");
        }
        assert_eq!(Bearing::new(1_000.0, 1_000.0, 4.0, 3_000.0, 0.0), Bearing::FallsBehind, "of four subscribers");
    }
}
