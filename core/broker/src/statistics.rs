//! What is counted.

/// Counts since the start, and present sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Messages taken.
    pub published: u64,
    /// Deliveries to consumers.
    pub dispatched: u64,
    /// Messages done with.
    pub acknowledged: u64,
    /// Messages that expired.
    pub expired: u64,
    /// Messages that went to the dead letter queue.
    pub dead_lettered: u64,
    /// Sends that were stored already (R17).
    pub duplicates: u64,
    /// Commands of connections, consumers or producers that are gone (R16).
    pub stale_commands: u64,
    /// Messages whose bytes were damaged.
    pub damaged: u64,
    /// Deliveries to slow subscribers of topics that were given up, because the spool was full (R21).
    pub shed: u64,
    /// Times that a connection was held back because of a queue that holds much and whose consumers wait for the broker.
    pub held_back: u64,
    /// Deliveries that their consumers' connections could not carry.
    pub unsendable: u64,
    /// Sends refused at a limit.
    pub refused: u64,
    /// Records written again by reclaim (R10).
    pub moved: u64,
    /// Times that a selector, or what its view stands for, was asked about a message.
    pub evaluations: u64,
    /// Messages stored now.
    pub messages: u64,
    /// Bytes of what is live in the journal.
    pub live_bytes: u64,
    /// Bytes of commands that wait for room in the journal.
    pub parked_bytes: u64,
    /// Connections now.
    pub connections: u64,
    /// Consumers now.
    pub consumers: u64,
    /// Destinations now.
    pub destinations: u64,
}
