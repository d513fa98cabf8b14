//! What a run came to, for people and as JSON.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::Arguments;
use crate::conductor::Drained;
use crate::ledger::Verdict;
use crate::meter::Counts;

/// Seconds after which what is always under way has come.
pub(crate) const SOON: f64 = 0.1;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was asked for.
    pub arguments: Arguments,
    /// What the broker said about itself, and the agreed format.
    pub broker: Broker,
    /// Length of the measured interval.
    pub seconds: f64,
    /// From the generator's start to the first delivery, if the run was for that.
    pub first_delivery_seconds: Option<f64>,
    /// In the measured interval.
    pub messages: Messages,
    /// The part of the interval for which producers were kept from sending what was due: by sockets that took no more, or
    /// for want of receipts.
    pub held: f64,
    /// Microseconds from send to receipt; with a rate, from the time the send was due.
    pub receipt_latency_us: Option<Latency>,
    /// Microseconds from send to delivery; with a rate, from the time the send was due.
    pub delivery_latency_us: Option<Latency>,
    /// CPU time in the measured interval.
    pub cpu: Cpu,
    /// What came after the interval.
    pub drain: Drain,
    /// The check of all messages, those outside of the measured interval included; what was still missing when the wait
    /// for it was over is lost.
    pub verification: Verdict,
}

/// The other side.
#[derive(Debug, Serialize)]
pub struct Broker {
    /// Its ProviderName.
    pub provider: String,
    /// Its ProviderVersion.
    pub version: String,
    /// The agreed version of OpenWire.
    pub openwire: u8,
    /// Tight encoding was agreed.
    pub tight: bool,
    /// Slots of the agreed cache, 0 without one.
    pub cache: u16,
}

/// Numbers and rates.
#[derive(Debug, Serialize)]
pub struct Messages {
    /// Messages sent.
    pub sent: u64,
    /// Receipts.
    pub receipted: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Messages sent a second.
    pub send_rate: f64,
    /// Receipts a second.
    pub receipt_rate: f64,
    /// Deliveries a second.
    pub delivery_rate: f64,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half of them were at most that.
    pub p50: f64,
    /// 90 %
    pub p90: f64,
    /// 99 %
    pub p99: f64,
    /// 99.9 %
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

/// How what was under way after the last send came to an end.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Drain {
    /// Deliveries that were missing when nothing was sent any more.
    pub backlog: u64,
    /// Those that were still missing in the end.
    pub left: u64,
    /// How long it took.
    pub seconds: f64,
    /// Deliveries a second.
    pub delivery_rate: f64,
}

impl Drain {
    pub(crate) fn new(drained: &Drained) -> Drain {
        let Drained { backlog, left, seconds, .. } = *drained;
        // A short drain has ended when that was noticed, and says nothing about a rate then.
        Drain { backlog, left, seconds, delivery_rate: backlog.saturating_sub(left) as f64 / seconds.max(0.005) }
    }
}

/// CPU seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Cpu {
    /// What a million is a million of: `deliveries`, or without consumers `sends`.
    pub per: &'static str,
    /// All threads of the broker's process, if it was named.
    pub broker_seconds: Option<f64>,
    /// The same for a million messages.
    pub broker_seconds_per_million: Option<f64>,
    /// The generator.
    pub generator_seconds: f64,
    /// The same for a million messages.
    pub generator_seconds_per_million: f64,
}

impl Messages {
    /// What was counted in that time.
    pub fn new(counts: &Counts, seconds: f64) -> Messages {
        let rate = |count: u64| count as f64 / seconds;
        Messages {
            sent: counts.sent,
            receipted: counts.receipted,
            delivered: counts.delivered,
            send_rate: rate(counts.sent),
            receipt_rate: rate(counts.receipted),
            delivery_rate: rate(counts.delivered),
        }
    }
}

/// The part of the time for which that many producers were kept from sending what was due.
pub(crate) fn held(counts: &Counts, seconds: f64, producers: u16) -> f64 {
    (counts.held as f64 / 1e9 / seconds / f64::from(producers.max(1))).min(1.0)
}

impl Latency {
    /// Percentiles of a histogram of nanoseconds; nothing if it is empty.
    pub fn new(nanoseconds: &Histogram<u64>) -> Option<Latency> {
        let microseconds = |value: u64| value as f64 / 1_000.0;
        let at = |quantile| microseconds(nanoseconds.value_at_quantile(quantile));
        (!nanoseconds.is_empty()).then(|| Latency {
            count: nanoseconds.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: microseconds(nanoseconds.max()),
        })
    }
}

impl Cpu {
    /// The times for what was counted.
    pub fn new(counts: &Counts, has_consumers: bool, broker: Option<f64>, generator: f64) -> Cpu {
        let (per, messages) = if has_consumers { ("deliveries", counts.delivered) } else { ("sends", counts.sent) };
        // One message at least, so that a broker that did nothing gives a number.
        let per_million = |seconds: f64| seconds / messages.max(1) as f64 * 1e6;
        Cpu {
            per,
            broker_seconds: broker,
            broker_seconds_per_million: broker.map(per_million),
            generator_seconds: generator,
            generator_seconds_per_million: per_million(generator),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "broker      {}", self.broker)?;
        if let Some(seconds) = self.first_delivery_seconds {
            writeln!(out, "first       delivery {seconds:.3} s after the start")?;
        }
        let messages = &self.messages;
        for (name, count, rate) in [
            ("sent", messages.sent, messages.send_rate),
            ("receipted", messages.receipted, messages.receipt_rate),
            ("delivered", messages.delivered, messages.delivery_rate),
        ] {
            writeln!(out, "{name:11} {count:>12} in {:.2} s {rate:>12.0}/s", self.seconds)?;
        }
        for (name, latency) in [("receipt", &self.receipt_latency_us), ("delivery", &self.delivery_latency_us)] {
            let Some(Latency { p50, p90, p99, p99_9, max, .. }) = latency else { continue };
            let percentiles = format!("p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p99_9:.0}  max {max:.0}");
            writeln!(out, "{name:11} {percentiles} us")?;
        }
        if self.drain.seconds >= SOON {
            let Drain { backlog, left, seconds, delivery_rate } = self.drain;
            writeln!(
                out,
                "drained     {:>12} in {seconds:.2} s {delivery_rate:>12.0}/s",
                backlog.saturating_sub(left)
            )?;
        }
        let Cpu { per, broker_seconds, broker_seconds_per_million, .. } = &self.cpu;
        if let (Some(seconds), Some(per_million)) = (broker_seconds, broker_seconds_per_million) {
            writeln!(out, "broker CPU  {seconds:.2} s, {per_million:.3} s per million {per}")?;
        }
        let (seconds, per_million) = (self.cpu.generator_seconds, self.cpu.generator_seconds_per_million);
        writeln!(out, "own CPU     {seconds:.2} s, {per_million:.3} s per million {per}")?;
        write!(out, "check       {}", self.verification)
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broker { provider, version, openwire, tight, cache } = self;
        let encoding = if *tight { "tight" } else { "loose" };
        write!(out, "{provider} {version}, OpenWire {openwire}, {encoding}, cache {cache}")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { lost, duplicated, out_of_order, altered, unanswered, answered_again, redelivered, foreign } =
            *self;
        if self.is_clean() {
            write!(out, "0 lost, 0 duplicated, 0 out of order")?;
        } else {
            write!(out, "FAILED: {lost} lost, {duplicated} duplicated, {out_of_order} out of order, ")?;
            write!(out, "{altered} altered, {unanswered} sends unanswered")?;
        }
        let others = [(answered_again, "answered again"), (redelivered, "redelivered"), (foreign, "of others")];
        for (count, name) in others {
            if count > 0 {
                write!(out, ", {count} {name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_related_to_what_was_delivered() {
        let counts = Counts { sent: 1_000_000, delivered: 4_000_000, ..Counts::default() };
        assert_eq!(Cpu::new(&counts, true, Some(8.0), 2.0).broker_seconds_per_million, Some(2.0));
        assert_eq!(Cpu::new(&counts, false, None, 2.0).generator_seconds_per_million, 2.0);
        assert_eq!(Cpu::new(&counts, false, None, 2.0).broker_seconds_per_million, None);
    }

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut histogram = Histogram::new(3).unwrap();
        assert!(Latency::new(&histogram).is_none());
        (1..=1_000).for_each(|number| histogram.record(number * 1_000).unwrap());
        let latency = Latency::new(&histogram).unwrap();
        assert_eq!(latency.count, 1_000);
        for (found, expected) in [(latency.p50, 500.0), (latency.p99, 990.0), (latency.max, 1_000.0)] {
            assert!((found - expected).abs() <= expected * 0.002, "{found} for {expected}");
        }
    }
}
