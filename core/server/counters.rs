//! What the threads have done, published by each of them for others to read: on SIGUSR1 and at the end it goes to the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use postrider_dispatcher::net::{Net, NetStatistics};
use postrider_dispatcher::shard::Shard;
use postrider_dispatcher::turn::BrokerTurn;
use postrider_journal::{Spill, Storage};

/// One thread's numbers; only that thread writes them.
#[derive(Default)]
pub(crate) struct ThreadCounters {
    values: [AtomicU64; Counter::COUNT],
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Counter {
    /// Connections that came.
    Accepted,
    /// Connections that are open.
    Open,
    /// Connections ended because of what they sent.
    Refused,
    /// Connections closed when they came, as there were too many.
    TurnedAway,
    /// Calls into the kernel for the network.
    SystemCalls,
    /// Bytes received.
    BytesIn,
    /// Bytes sent.
    BytesOut,
    /// Commands that the broker handled.
    Commands,
    /// Turns of the broker that did something.
    Turns,
    /// Persistent and other messages that were sent.
    Published,
    /// Messages handed to consumers.
    Dispatched,
    /// Deliveries that their consumers' connections could not carry.
    Unsendable,
    /// Times that a selector was asked about a message.
    Evaluations,
    /// Syncs of the journal.
    Syncs,
    /// Bytes of sends that wait for room in the journal.
    ParkedBytes,
    /// Bytes of the journal from its front to its end.
    LogBytes,
    /// Bytes of live records in it.
    LiveBytes,
    /// Reads of journal or spool that failed.
    ReadFailures,
    /// Windows that could not be read so far.
    ReadsWaiting,
    /// Segments that could not be made ready.
    PreparationFailures,
    /// Messages whose bytes were not what they had been.
    Damaged,
    /// Segment files that are open.
    OpenFiles,
    SetAside,
    /// Bytes of the spool in memory.
    SpoolMemory,
    /// Bytes of the spool on the disk.
    SpoolDisk,
    /// Deliveries to slow subscribers of topics that were given up.
    Shed,
    /// Times that a connection was not read because of a queue that holds much.
    HeldBack,
    /// Bytes that clients make the shards keep.
    ClientBytes,
    /// Bytes that patterns of consumers take with the destinations that they fit.
    PatternBytes,
}

impl Counter {
    const COUNT: usize = Counter::ALL.len();
    const ALL: &[Counter] = &[
        Counter::Accepted,
        Counter::Open,
        Counter::Refused,
        Counter::TurnedAway,
        Counter::SystemCalls,
        Counter::BytesIn,
        Counter::BytesOut,
        Counter::Commands,
        Counter::Turns,
        Counter::Published,
        Counter::Dispatched,
        Counter::Unsendable,
        Counter::Evaluations,
        Counter::Syncs,
        Counter::ParkedBytes,
        Counter::LogBytes,
        Counter::LiveBytes,
        Counter::ReadFailures,
        Counter::ReadsWaiting,
        Counter::PreparationFailures,
        Counter::Damaged,
        Counter::OpenFiles,
        Counter::SetAside,
        Counter::SpoolMemory,
        Counter::SpoolDisk,
        Counter::Shed,
        Counter::HeldBack,
        Counter::ClientBytes,
        Counter::PatternBytes,
    ];

    fn name(self) -> &'static str {
        match self {
            Counter::Accepted => "accepted",
            Counter::Open => "open",
            Counter::Refused => "refused",
            Counter::TurnedAway => "turned_away",
            Counter::SystemCalls => "system_calls",
            Counter::BytesIn => "bytes_in",
            Counter::BytesOut => "bytes_out",
            Counter::Commands => "commands",
            Counter::Turns => "turns",
            Counter::Published => "published",
            Counter::Dispatched => "dispatched",
            Counter::Unsendable => "unsendable",
            Counter::Evaluations => "evaluations",
            Counter::Syncs => "syncs",
            Counter::ParkedBytes => "parked_bytes",
            Counter::LogBytes => "log_bytes",
            Counter::LiveBytes => "live_bytes",
            Counter::ReadFailures => "read_failures",
            Counter::ReadsWaiting => "reads_waiting",
            Counter::PreparationFailures => "preparation_failures",
            Counter::Damaged => "damaged",
            Counter::OpenFiles => "open_files",
            Counter::SetAside => "set_aside",
            Counter::SpoolMemory => "spool_memory_bytes",
            Counter::SpoolDisk => "spool_disk_bytes",
            Counter::Shed => "shed",
            Counter::HeldBack => "held_back",
            Counter::ClientBytes => "client_bytes",
            Counter::PatternBytes => "pattern_bytes",
        }
    }
}

impl ThreadCounters {
    fn set(&self, counter: Counter, value: u64) {
        self.values[counter as usize].store(value, Ordering::Relaxed);
    }

    /// Publishes a shard's numbers.
    pub(crate) fn publish_shard<N: Net>(&self, shard: &Shard<N>) {
        let NetStatistics { system_calls, bytes_in, bytes_out, .. } = shard.net_statistics();
        let statistics = shard.statistics();
        self.set(Counter::Accepted, statistics.accepted);
        self.set(Counter::Open, statistics.open);
        self.set(Counter::Refused, statistics.refused);
        self.set(Counter::TurnedAway, statistics.turned_away);
        self.set(Counter::SystemCalls, system_calls);
        self.set(Counter::BytesIn, bytes_in);
        self.set(Counter::BytesOut, bytes_out);
        self.set(Counter::ClientBytes, statistics.client_bytes);
    }

    /// Publishes the broker's numbers.
    pub(crate) fn publish_broker<S: Storage, P: Spill>(&self, turn: &BrokerTurn<S, P>) {
        let (broker, journal) = (turn.broker().statistics(), turn.journal().statistics());
        self.set(Counter::Commands, turn.statistics().commands);
        self.set(Counter::Turns, turn.statistics().turns);
        self.set(Counter::Published, broker.published);
        self.set(Counter::Dispatched, broker.dispatched);
        self.set(Counter::Unsendable, broker.unsendable);
        self.set(Counter::Evaluations, broker.evaluations);
        self.set(Counter::Syncs, journal.syncs);
        self.set(Counter::ParkedBytes, broker.parked_bytes);
        self.set(Counter::LogBytes, turn.journal().live_log_bytes());
        self.set(Counter::LiveBytes, broker.live_bytes);
        let (failures, waiting) = turn.spool().read_failures();
        self.set(Counter::ReadFailures, journal.read_failures + failures);
        self.set(Counter::ReadsWaiting, journal.reads_waiting + waiting);
        self.set(Counter::PreparationFailures, journal.preparation_failures);
        self.set(Counter::Damaged, broker.damaged);
        self.set(Counter::OpenFiles, journal.open_files);
        self.set(Counter::SetAside, journal.set_aside);
        let spool = turn.spool().usage();
        self.set(Counter::SpoolMemory, spool.memory_bytes);
        self.set(Counter::SpoolDisk, spool.disk_bytes);
        self.set(Counter::Shed, broker.shed);
        self.set(Counter::HeldBack, broker.held_back);
        self.set(Counter::PatternBytes, turn.broker().pair_bytes());
    }
}

/// All threads' numbers.
pub(crate) struct Counters {
    threads: Vec<Arc<ThreadCounters>>,
}

impl Counters {
    /// Zeros for so many threads.
    pub(crate) fn new(threads: usize) -> Counters {
        Counters { threads: (0..threads).map(|_| Arc::default()).collect() }
    }

    /// One thread's, to publish to.
    pub(crate) fn thread(&self, index: usize) -> Arc<ThreadCounters> {
        self.threads[index].clone()
    }

    /// The sums over all threads in one line, `name=value` each.
    pub(crate) fn line(&self) -> String {
        let sum = |counter: Counter| -> u64 {
            self.threads.iter().map(|thread| thread.values[counter as usize].load(Ordering::Relaxed)).sum()
        };
        let words: Vec<String> =
            Counter::ALL.iter().copied().map(|counter| format!("{}={}", counter.name(), sum(counter))).collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_sums_of_all_threads() {
        let counters = Counters::new(2);
        counters.thread(0).set(Counter::Open, 2);
        counters.thread(1).set(Counter::Open, 3);
        counters.thread(1).set(Counter::Syncs, 7);
        let line = counters.line();
        assert!(line.starts_with("accepted=0 open=5 ") && line.contains(" syncs=7 "), "{line}");
    }

    #[test]
    fn every_counter_has_its_own_place() {
        for (index, counter) in Counter::ALL.iter().copied().enumerate() {
            assert_eq!(counter as usize, index);
        }
    }
}
