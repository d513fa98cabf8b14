//! A native OpenWire load generator for any OpenWire broker, and a check that every message arrives once and in order.
//!
//! [`run`] connects producers and consumers, each on a connection of its own, lets them work for a time or a number of
//! messages, waits for what is still under way, and prints rates, latencies, CPU time and the outcome of the check. Or it
//! offers more and more, and less again, and says where the broker tips over ([`measure_ramp`]).
//!
//! The generator shares the machine with the broker that it measures, so it has to cost little beside it: few threads on
//! non-blocking sockets, and hand-made frames for what passes by the million (`frames`); all else goes through the
//! codec of `postrider-wire`. It behaves as ActiveMQ's JMS client does by default: one connection, session and producer
//! or consumer each, one acknowledgement a message, receipts for persistent sends.

#![deny(unreachable_pub)]

mod arguments;
mod body;
mod conductor;
mod consumer;
mod frames;
mod ledger;
mod link;
mod meter;
mod names;
mod pace;
mod party;
mod plan;
mod process;
mod producer;
mod properties;
mod ramp;
mod report;
mod run;
mod timer;
mod transaction;
mod worker;

pub use arguments::Arguments;
pub use ledger::Verdict;
pub use ramp::measure as measure_ramp;
pub use ramp::{Bearing, Direction, Outcome, RampOptions, RampReport, Range, StepReport, WarmUp};
pub use report::{Broker, Cpu, Drain, Latency, Messages, Report};
pub use run::{measure, run};
