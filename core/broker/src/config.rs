//! Settings of the state machine.

use postrider_model::limits;

/// What becomes of sends that wait for an answer and find the journal full. Those that wait for none wait for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenFull {
    /// They are refused.
    #[default]
    Refuse,
    /// They are answered when there was room, as ActiveMQ does.
    Wait,
}

/// What may wait in one queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backlog {
    /// Messages.
    pub messages: u64,
    /// Bytes, as many as there were if all were as long as the last that has come.
    pub bytes: u64,
}

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog { messages: 10_000, bytes: 16 << 20 }
    }
}

/// What can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker's name, for texts that clients match.
    pub broker_name: Box<str>,
    /// Connection id of the producer of advisories.
    pub advisory_connection: Box<[u8]>,
    /// Properties of an advisory, as a record has them: originBrokerId, originBrokerName, originBrokerURL.
    pub advisory_properties: Box<[u8]>,
    /// Seed of the hash tables: random in the product, fixed in the simulator.
    pub hash_seed: u64,
    /// Where dead letters go.
    pub dead_letter_queue: Box<[u8]>,
    /// Expired messages become dead letters.
    pub dead_letter_expired: bool,
    /// Non-persistent messages become dead letters.
    pub dead_letter_non_persistent: bool,
    /// Milliseconds between two looks for expired messages that nobody takes.
    pub expiry_sweep_millis: u64,
    /// Sequences reserved at a time (R9).
    pub reservation: u64,
    /// Messages that an allowance covers (R15).
    pub allowance_chunk: usize,
    /// How often that may double for a queue whose dispatch has waited for the next one.
    pub allowance_doublings: u32,
    /// Steps that views of a queue which have tried the same get in a row to try more, while others have not either (R42).
    pub trial_turn: usize,
    /// Nanoseconds between two slices of such trials while there is other work now and then.
    pub trial_rest_nanos: u64,
    /// Producers whose sends are remembered (R17).
    pub marks: usize,
    /// Messages that a transaction may have, sent and acknowledged.
    pub transaction_messages: u64,
    /// Milliseconds after which a producer of a connection that is gone is forgotten (R17).
    pub mark_millis: u64,
    /// Destinations that may exist, temporary ones included.
    pub destinations: usize,
    /// Durable subscriptions that may exist.
    pub subscriptions: usize,
    /// Milliseconds after which one goes that no consumer has had; 0: never.
    pub offline_millis: u64,
    /// A client id, or a durable subscription, that is in use goes to who comes later.
    pub allow_link_stealing: bool,
    /// Longest name of a destination that comes into being.
    pub name_bytes: usize,
    /// Bytes that consumers' patterns may take with the destinations that they fit, beside what is free for each connection.
    pub pair_bytes: u64,
    /// Those that are free for each.
    pub free_pair_bytes: u64,
    /// Bytes sent to a connection that its socket has not taken (R23).
    pub send_window: WindowSizes,
    /// What becomes of sends that find the journal full.
    pub when_full: WhenFull,
    /// What may wait in a queue whose consumers wait for the broker, before those who send to it are read no faster than it drains.
    pub backlog: Backlog,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            broker_name: "localhost".into(),
            advisory_connection: b"ID:postrider:advisory".as_slice().into(),
            advisory_properties: Box::default(),
            hash_seed: 0,
            dead_letter_queue: b"ActiveMQ.DLQ".as_slice().into(),
            dead_letter_expired: true,
            dead_letter_non_persistent: false,
            expiry_sweep_millis: 30_000,
            reservation: limits::SEQUENCE_RESERVATION,
            allowance_chunk: 1_000,
            allowance_doublings: 5,
            trial_turn: 4_096,
            trial_rest_nanos: 1_000_000,
            marks: 65_536,
            transaction_messages: 1_000_000,
            mark_millis: 3_600_000,
            destinations: 1_000_000,
            subscriptions: 65_536,
            offline_millis: 0,
            allow_link_stealing: false,
            name_bytes: 8 * 1024,
            pair_bytes: limits::CLIENT_MEMORY_BYTES,
            free_pair_bytes: limits::CLIENT_FREE_BYTES,
            send_window: WindowSizes::default(),
            when_full: WhenFull::default(),
            backlog: Backlog::default(),
        }
    }
}

/// Sizes of a window, in bytes of records.
#[derive(Clone, Copy, Debug)]
pub struct WindowSizes {
    /// What a connection begins with, and what a slow one has.
    pub first: u64,
    /// What it may grow to.
    pub largest: u64,
    /// It grows only for one that has taken so much in a row: more than sockets take for a client that does not read.
    pub proof: u64,
}

impl Default for WindowSizes {
    fn default() -> WindowSizes {
        WindowSizes {
            first: limits::SEND_WINDOW_BYTES,
            largest: limits::LARGEST_SEND_WINDOW_BYTES,
            proof: limits::SOCKET_BYTES,
        }
    }
}
