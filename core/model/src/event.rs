//! What the broker tells a port.

use crate::batch::Span;
use crate::ids::{ConnectionHandle, ConsumerHandle, Sequence, Token};
use crate::xid::Xid;

/// Kind of failure that a client is told; protocols map it to what they have for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Anything without a better name.
    General,
    /// The client id is missing or in use.
    InvalidClientId,
    /// The destination cannot be used so.
    InvalidDestination,
    /// The selector cannot be read.
    InvalidSelector,
    /// A limit is reached: try again later.
    ResourceAllocation,
    /// The transaction is rolled back.
    TransactionRolledBack,
    /// Not allowed.
    Security,
    /// A temporary destination is gone.
    DestinationDoesNotExist,
    /// The command does not fit the state.
    IllegalState,
    /// A branch of a distributed transaction does not do what was asked.
    Branch(BranchFailure),
}

/// Why it does not, as XA numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum BranchFailure {
    /// It is rolled back.
    RolledBack = 100,
    /// What it belongs to has failed.
    Resource = -3,
    /// There is no such branch.
    Unknown = -4,
    /// The name cannot be one.
    Invalid = -5,
    /// It is not in the state for that.
    Protocol = -6,
}

/// The answer to who has a branch prepared, as XA numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum Vote {
    /// It can be committed, whatever happens.
    Prepared = 0,
    /// There is nothing to be decided: it is over.
    ReadOnly = 3,
}

/// A place in one of the extents that an event batch holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Index of the batch's extent.
    pub extent: u16,
    /// First byte within the extent.
    pub offset: u32,
    /// Length of the record.
    pub length: u32,
}

/// Who gets a message. The connection is named too, as the send window is counted by connection, also for messages whose consumer
/// has gone meanwhile (R23).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recipient {
    /// The consumer.
    pub consumer: ConsumerHandle,
    /// Its connection.
    pub connection: ConnectionHandle,
}

/// A message for one consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dispatch {
    /// Who gets it.
    pub to: Recipient,
    /// The record.
    pub place: Place,
    /// The message's sequence.
    pub sequence: Sequence,
    /// Earlier deliveries.
    pub redeliveries: u32,
    /// Where the message is, if not where the record says: kind and name, in the batch's arena; else empty.
    pub destination: Span,
}

/// A message for several consumers of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fanout {
    /// First recipient in the batch's list, and how many.
    pub recipients: Span,
    /// The record.
    pub place: Place,
    /// The message's sequence.
    pub sequence: Sequence,
    /// As in [`Dispatch::destination`].
    pub destination: Span,
}

/// What was to come into being in a connection and did not: who keeps it until then is to forget it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A consumer.
    Consumer(ConsumerHandle),
    /// A producer.
    Producer {
        /// Session number of its id.
        session: i64,
        /// Number within the session, of its id.
        value: i64,
        /// Of the command that was to open it: another may have opened one with this id since.
        token: Token,
    },
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A request is done.
    Reply {
        /// Whose.
        connection: ConnectionHandle,
        /// The request's.
        token: Token,
    },
    /// The connection is accepted.
    Opened {
        /// Which.
        connection: ConnectionHandle,
        /// The request's.
        token: Token,
    },
    /// A request has failed, or, without a token, something that wanted no answer.
    Failed {
        /// Whose.
        connection: ConnectionHandle,
        /// The request's.
        token: Option<Token>,
        /// What kind.
        failure: Failure,
        /// What is wrong with what, and what to do.
        message: Box<str>,
        /// A member of the connection that does not exist, because it was refused.
        refused: Option<Box<Refused>>,
    },
    /// A branch is prepared, or need not be.
    Voted {
        /// Whose request that was.
        connection: ConnectionHandle,
        /// The request's.
        token: Token,
        /// What it says.
        vote: Vote,
    },
    /// The branches that are prepared.
    Branches {
        /// Who has asked.
        connection: ConnectionHandle,
        /// The request's.
        token: Token,
        /// Their names.
        names: Box<[Xid]>,
    },
    /// A message for one consumer.
    Dispatch(Dispatch),
    /// A message for several.
    Fanout(Fanout),
    /// A pull or a browse has ended without a further message.
    EndOfMessages {
        /// Whose.
        consumer: ConsumerHandle,
    },
    /// An asynchronous send is taken; its bytes of the window come back.
    ProducerCredit {
        /// The producer's connection.
        connection: ConnectionHandle,
        /// Session of the producer's id: its number may belong to another producer by the time this arrives.
        session: i64,
        /// Number within the session, of the producer's id.
        value: i64,
        /// Length of properties and content, plus 1024: as the client counts.
        bytes: u32,
    },
    /// Sends of the connection are parked until there is room. It is read on as far as there is room for what it sends besides,
    /// until [`Event::Unparked`] (R24). Said again when some of them went on.
    Parked {
        /// Which.
        connection: ConnectionHandle,
        /// Bytes of its commands that are settled since it began, as [`crate::Command::parked_bytes`] counts them.
        settled: u64,
    },
    /// The connection sends to a queue faster than it drains, though its consumers wait for nothing but the broker: nothing is read from it
    /// until [`Event::GoesOn`] (R24).
    HeldBack {
        /// Which.
        connection: ConnectionHandle,
    },
    /// The connection is read again.
    GoesOn {
        /// Which.
        connection: ConnectionHandle,
    },
    /// Nothing of the connection is parked any more.
    Unparked {
        /// Which.
        connection: ConnectionHandle,
    },
    /// The broker has ended the connection: close its socket.
    Close {
        /// Which.
        connection: ConnectionHandle,
        /// Why, for the log.
        reason: &'static str,
    },
}

const _: () = assert!(size_of::<Event>() <= 56, "events are copied by the hundred");
