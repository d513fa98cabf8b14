//! The bounds of everything, in one place and tied together.

/// Commands of one batch (R23).
pub const BATCH_COMMANDS: usize = 256;

/// Bytes of one command batch's arena after which a shard hands it over (R23). A single larger record still goes whole.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Events of one batch.
pub const BATCH_EVENTS: usize = 512;

/// Batches that fit into a port's ring, in each direction.
pub const RING_BATCHES: usize = 64;

/// Bytes dispatched to a connection that its socket has not taken yet (R23).
pub const SEND_WINDOW_BYTES: u64 = 256 * 1024;

/// The same for a connection whose socket takes them quickly.
pub const LARGEST_SEND_WINDOW_BYTES: u64 = 2 * 1024 * 1024;

/// Bytes that the sockets at both ends take for a client that does not read, with the kernel's own limits: 4 MiB here, 6 MiB there.
pub const SOCKET_BYTES: u64 = 16 * 1024 * 1024;

/// As how many looks at the network one counts for which a shard's thread may sleep: neither it nor the broker has anything to do, and
/// whoever answers then takes its own time.
pub const LOOKS_OF_A_REST: u32 = 4;

/// Written bytes that a shard collects for a connection before it tells the broker.
pub const WRITTEN_REPORT_BYTES: u64 = 64 * 1024;

/// Unsent bytes of a connection, besides the messages within its send window, beyond which nothing more is read from it: a client
/// that does not take its answers gets no more.
pub const UNSENT_BYTES: usize = 1024 * 1024;

/// Largest frame that is taken, unless configured: what ActiveMQ's brokers announce.
pub const MAX_FRAME_BYTES: u64 = 100 * 1024 * 1024;

/// Largest frame before a connection is accepted.
pub const MAX_FRAME_BYTES_BEFORE_CONNECT: usize = 64 * 1024;

/// Half frames held by one shard; beyond it sockets wait.
pub const HALF_FRAME_BUDGET_BYTES: usize = 256 * 1024 * 1024;

/// Commands that wait for room in the journal, of all connections, unless configured.
pub const PARK_BYTES: u64 = 64 * 1024 * 1024;

/// What clients make the broker keep besides messages, of all connections and beside what is free for each, unless configured.
pub const CLIENT_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// What is free for each connection: so much an ordinary client may always have.
pub const CLIENT_FREE_BYTES: u64 = 64 * 1024;

/// Whether one may have so much of a budget of which all together, this one included, have `all`: a budget is shared as switches share
/// their buffers, so that nobody has more than what is left for all others. One gets half, a second one half of the rest, and there is
/// always some left for the next.
#[inline]
#[must_use]
pub const fn is_fair_share(one: u64, all: u64, budget: u64) -> bool {
    one <= budget.saturating_sub(all)
}

/// What keeping a parked command takes besides its record and names.
pub const PARKED_COMMAND_BYTES: u64 = 128;

/// Parked bytes that go on before a shard is told of it.
pub const SETTLED_REPORT_BYTES: u64 = 64 * 1024;

/// Destinations that one connection can have defined at a time; the shard starts over beyond.
pub const CONNECTION_DESTINATIONS: u32 = 4096;

/// Places of one message (R39).
pub const PLACES: usize = 4_096;

/// Parts of a composite destination that is sent to.
pub const COMPOSITE_PARTS: usize = 64;

/// Parts of a consumer's composite destination, and its bytes.
pub const CONSUMER_PARTS: usize = 4_096;
/// Bytes of a consumer's composite destination.
pub const CONSUMER_COMPOSITE_BYTES: usize = 1024 * 1024;

/// Bytes of a destination's name, whatever is configured.
pub const DESTINATION_NAME_BYTES: usize = 16 * 1024;

/// Largest prefetch of a consumer: the client's own maximum.
pub const MAX_PREFETCH: u32 = 32_767;

/// Sequences reserved at a time (R9).
pub const SEQUENCE_RESERVATION: u64 = 1 << 24;

/// Steps over items that handling one command may take (R25).
pub const HANDLE_STEPS: usize = 1_000;

/// Longest slice of a job within one turn, in nanoseconds (R25).
pub const JOB_SLICE_NANOS: u64 = 200_000;

const _: () = assert!(WRITTEN_REPORT_BYTES * 2 <= SEND_WINDOW_BYTES, "an unreported rest must not close the window");
const _: () = assert!(BATCH_COMMANDS <= BATCH_EVENTS, "every command may have its reply in one batch");
const _: () = assert!(SEND_WINDOW_BYTES <= LARGEST_SEND_WINDOW_BYTES, "it grows");
const _: () = assert!(COMPOSITE_PARTS <= PLACES, "a send to all parts is one record");
const _: () = assert!(MAX_FRAME_BYTES < u32::MAX as u64, "lengths of records are 32 bits");
