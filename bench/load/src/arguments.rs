//! The command line.

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::body::STAMP_LENGTH;
use crate::properties::{self, Property};
use crate::ramp::RampOptions;

/// The largest text; ActiveMQ takes frames of up to 100 MiB.
const SIZE_LIMIT: usize = 64 << 20;
/// The most connections of either kind.
const PARTY_LIMIT: u16 = 10_000;

/// Send and receive messages as fast as a broker can, or at a given rate, and check that all of them arrive.
#[derive(Debug, Clone, Args, Serialize)]
pub struct Arguments {
    /// The broker: HOST:PORT, also as openwire://HOST:PORT or tcp://HOST:PORT
    #[arg(default_value = "127.0.0.1:61616")]
    pub broker: String,
    /// Producers, each on a connection of its own
    #[arg(long, short, default_value_t = 1)]
    pub producers: u16,
    /// Consumers, each on a connection of its own
    #[arg(long, short, default_value_t = 1)]
    pub consumers: u16,
    /// Queues or topics; producers and consumers are dealt over them
    #[arg(long, short, default_value_t = 1)]
    pub destinations: u16,
    /// Use topics instead of queues
    #[arg(long)]
    pub topic: bool,
    /// Name of the destinations, to which their number is added
    #[arg(long, default_value = "bench")]
    pub name: String,
    /// Characters of the text of a message
    #[arg(long, default_value_t = 256)]
    pub size: usize,
    /// Send non-persistent messages
    #[arg(long)]
    pub non_persistent: bool,
    /// Sends of a producer that may wait for their receipts; 0 asks for no receipts [default: 1, non-persistent or with
    /// --ramp 0]
    #[arg(long)]
    pub window: Option<u32>,
    /// Messages that a consumer may have in flight [default: 1000, topics 32767, durable 100]
    #[arg(long)]
    pub prefetch: Option<u32>,
    /// Acknowledge up to that many messages at once, if they were received at once
    #[arg(long, default_value_t = 1)]
    pub ack_every: u32,
    /// Send and acknowledge in local transactions of that many messages; a --window is of commits then
    #[arg(long, value_name = "MESSAGES")]
    pub transaction: Option<u32>,
    /// Consume with that selector; all messages of the run are to match it
    #[arg(long, value_name = "TEXT")]
    pub selector: Option<String>,
    /// Give each message a property, an integer where VALUE reads as one; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = properties::parse)]
    pub property: Vec<Property>,
    /// Consume topics by durable subscriptions, which end with the run
    #[arg(long, requires = "topic")]
    pub durable: bool,
    /// Messages a second over all producers; without it as fast as possible
    #[arg(long)]
    pub rate: Option<f64>,
    /// Most messages that are sent but not yet delivered; producers wait at that [default: no limit]
    #[arg(long)]
    pub backlog: Option<u64>,
    /// Messages that consumers leave waiting: until the load ends they take only what is beyond that (topics: deliveries)
    #[arg(long, conflicts_with = "count")]
    pub waiting: Option<u64>,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0, conflicts_with = "count")]
    pub seconds: f64,
    /// Messages to send over all producers; measured until the last has arrived
    #[arg(long)]
    pub count: Option<u64>,
    /// Seconds of the same load before the measurement
    #[arg(long, default_value_t = 0.0)]
    pub warm_up: f64,
    /// Seconds to wait at the end for receipts and deliveries
    #[arg(long, default_value_t = 30.0)]
    pub drain_seconds: f64,
    /// Acknowledge nothing, and keep the connections open and quiet for that many seconds after the run
    #[arg(long, default_value_t = 0.0)]
    pub hold_seconds: f64,
    /// End with the first delivery, unacknowledged, and print the time since this program's start (without producers)
    #[arg(long, conflicts_with = "count")]
    pub first_delivery: bool,
    /// Seconds for which a refused connection is tried again
    #[arg(long, default_value_t = 0.0)]
    pub connect_seconds: f64,
    /// Threads of the generator
    #[arg(long, default_value_t = 1)]
    pub threads: u16,
    /// Ask for tight encoding (slower here, as all frames go through the general codec)
    #[arg(long)]
    pub tight: bool,
    /// Ask for no cache
    #[arg(long)]
    pub no_cache: bool,
    /// Bytes of each socket's buffers, which are the kernel's own and grow otherwise; the ActiveMQ client asks for 65536
    #[arg(long, value_name = "BYTES")]
    pub socket_buffer: Option<usize>,
    /// User name for the broker
    #[arg(long)]
    pub user: Option<String>,
    /// Password for the broker
    #[arg(long)]
    #[serde(skip)]
    pub password: Option<String>,
    /// Process of the broker on this machine, to measure its CPU time
    #[arg(long)]
    pub broker_pid: Option<u32>,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub json: bool,
    /// Load that goes up and down instead
    #[command(flatten)]
    pub ramp: RampOptions,
}

impl Arguments {
    /// Refuses what makes no sense, with the reason.
    pub fn check(&self) -> Result<()> {
        ensure!(self.producers > 0 || self.consumers > 0, "no producers and no consumers: nothing to do");
        ensure!(self.producers.max(self.consumers) <= PARTY_LIMIT, "at most {PARTY_LIMIT} producers or consumers");
        ensure!(self.destinations > 0, "--destinations is at least 1");
        ensure!(self.threads > 0, "--threads is at least 1");
        ensure!(self.ack_every > 0, "--ack-every is at least 1");
        let sizes = STAMP_LENGTH..=SIZE_LIMIT;
        ensure!(sizes.contains(&self.size), "--size is {STAMP_LENGTH} (what the check needs) to {SIZE_LIMIT}");
        ensure!(self.prefetch() > 0, "--prefetch is at least 1: the generator does not pull");
        ensure!(self.ack_every <= self.prefetch(), "--ack-every is more than --prefetch");
        ensure!(self.transaction != Some(0), "--transaction is at least 1");
        let transaction = u64::from(self.transaction.unwrap_or(0));
        ensure!(
            transaction <= u64::from(self.prefetch()),
            "--transaction is more than --prefetch: it would never be full"
        );
        ensure!(transaction == 0 || self.ack_every == 1, "--transaction acknowledges all of its messages at once");
        ensure!(transaction == 0 || self.window() > 0, "--transaction waits for its commits: --window is at least 1");
        ensure!(
            self.backlog.is_none_or(|backlog| backlog >= transaction * u64::from(self.producers)),
            "--backlog is less than the open transactions have: nothing would ever be committed"
        );
        ensure!(transaction == 0 || self.waiting.is_none(), "--waiting would count what is not committed yet");
        ensure!(self.rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "--rate is more than 0");
        ensure!(self.backlog != Some(0), "--backlog is at least 1");
        let buffers = 1..=1 << 30;
        ensure!(self.socket_buffer.is_none_or(|bytes| buffers.contains(&bytes)), "--socket-buffer is 1 to {}", 1 << 30);
        ensure!(self.backlog.is_none() || self.consumers > 0, "--backlog needs consumers: nothing would shrink it");
        let has_both = self.producers > 0 && self.consumers > 0;
        ensure!(
            self.waiting.is_none() || has_both,
            "--waiting needs producers and consumers: it counts what is between"
        );
        ensure!(self.waiting.is_none() || self.ramp.ramp.is_none(), "--waiting would be all that a --ramp measures");
        ensure!(
            self.waiting.is_none() || self.backlog.is_none_or(|backlog| Some(backlog) > self.waiting),
            "--backlog is more than --waiting: nothing would ever be taken"
        );
        ensure!(
            self.hold_seconds == 0.0 || self.consumers > 0,
            "--hold-seconds needs consumers: they hold the messages"
        );
        let only_consumers = self.producers == 0 && self.consumers > 0;
        ensure!(!self.first_delivery || only_consumers, "--first-delivery needs consumers and no producers (-p 0)");
        for (name, seconds) in [
            ("warm-up", self.warm_up),
            ("drain-seconds", self.drain_seconds),
            ("hold-seconds", self.hold_seconds),
            ("connect-seconds", self.connect_seconds),
        ] {
            ensure!((0.0..1e9).contains(&seconds), "--{name} is 0 or more seconds");
        }
        ensure!(self.seconds > 0.0 && self.seconds < 1e9, "--seconds is more than 0");
        self.ramp.check(self)
    }

    /// Whether messages are persistent.
    pub fn persistent(&self) -> bool {
        !self.non_persistent
    }

    /// After how many messages all is done; without producers, after how many deliveries.
    pub fn count(&self) -> Option<u64> {
        if self.first_delivery { Some(1) } else { self.count }
    }

    /// Whether consumers acknowledge what they get.
    pub fn acknowledges(&self) -> bool {
        self.hold_seconds == 0.0 && !self.first_delivery
    }

    /// Sends in flight per producer, 0 for sends without receipts. The default is what a JMS client does; but a ramp waits
    /// for nothing.
    pub fn window(&self) -> u32 {
        let waits = self.transaction.is_some() || self.persistent() && self.ramp.ramp.is_none();
        self.window.unwrap_or(u32::from(waits))
    }

    /// Messages in flight per subscription. The default is the JMS client's.
    pub fn prefetch(&self) -> u32 {
        self.prefetch.unwrap_or(match (self.topic, self.durable) {
            (true, true) => 100,
            (true, false) => 32_767,
            _ => 1_000,
        })
    }

    /// Host and port of the broker.
    pub fn address(&self) -> Result<&str> {
        let address = self.broker.rsplit_once("://").map_or(&*self.broker, |(_, address)| address);
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        port.with_context(|| format!("{:?} names no broker: HOST:PORT is expected", self.broker))?;
        Ok(address)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// What a command line asks for, unchecked, or why it is none.
    pub(crate) fn try_parsed(line: &str) -> Result<Arguments, clap::Error> {
        let words = std::iter::once("load").chain(line.split_whitespace());
        Program::try_parse_from(words).map(|program| program.arguments)
    }

    pub(crate) fn parsed(line: &str) -> Arguments {
        try_parsed(line).unwrap()
    }

    #[test]
    fn defaults_are_those_of_a_jms_client() {
        let persistent = parsed("");
        assert_eq!((persistent.window(), persistent.prefetch()), (1, 1_000));
        let topic = parsed("--topic --non-persistent");
        assert_eq!((topic.window(), topic.prefetch()), (0, 32_767));
        assert_eq!(parsed("--non-persistent --window 5 --prefetch 7").window(), 5);
        assert_eq!(parsed("--non-persistent --transaction 5").window(), 1, "a commit is waited for");
        assert_eq!(parsed("--topic --durable").prefetch(), 100);
        persistent.check().unwrap();
    }

    #[test]
    fn addresses_may_have_a_scheme() {
        for broker in ["host:61616", "openwire://host:61616", "tcp://host:61616"] {
            assert_eq!(parsed(broker).address().unwrap(), "host:61616");
        }
        for broker in ["host", "tcp://host", "host:port"] {
            assert!(parsed(broker).address().is_err(), "{broker}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let lines = [
            "-p 0 -c 0",
            "-d 0",
            "--threads 0",
            "--socket-buffer 0",
            "--size 47",
            "--ack-every 0",
            "--ack-every 11 --prefetch 10",
            "--rate 0",
            "--backlog 0",
            "--backlog 5 -c 0",
            "--transaction 0",
            "--transaction 1001",
            "--transaction 5 --ack-every 2",
            "--transaction 5 --window 0",
            "--transaction 5 --backlog 9 -p 2",
            "--transaction 5 --waiting 9",
            "--waiting 5 -c 0",
            "--waiting 5 -p 0",
            "--waiting 5 --backlog 5",
            "--waiting 5 --ramp",
            "--warm-up -1",
            "--seconds 0",
            "--prefetch 0",
            "--hold-seconds -1",
            "--hold-seconds 5 -c 0",
            "--connect-seconds -1",
            "--first-delivery",
        ];
        for line in lines {
            assert!(parsed(&line.replace(" -1", "=-1")).check().is_err(), "{line}");
        }
    }

    #[test]
    fn who_holds_or_waits_for_one_message_acknowledges_nothing() {
        let first = parsed("--first-delivery -p 0");
        first.check().unwrap();
        assert_eq!((first.count(), first.acknowledges()), (Some(1), false));
        let holding = parsed("--hold-seconds 5 --count 3");
        holding.check().unwrap();
        assert_eq!((holding.count(), holding.acknowledges()), (Some(3), false));
        assert!(parsed("").acknowledges());
    }
}
