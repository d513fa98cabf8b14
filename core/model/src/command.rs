//! What a port asks of the broker.
//!
//! A shard has translated its protocol already: names are handles, identifiers are checked, records are whole. Commands of one
//! connection come in their order, so a handle that a connection gives out again means the new thing from there on.

use crate::batch::Span;
use crate::destination::Destination;
use crate::ids::{ConnectionHandle, ConsumerHandle, Sequence, Token, TransactionNumber};
use crate::limits;
use crate::xid::Xid;

/// Where the answer goes, and whether one is wanted: in one word, as every command has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Request(u64);

impl Request {
    /// A request with this token, of which the last 63 bits are kept.
    #[must_use]
    pub const fn new(token: Token, wanted: bool) -> Request {
        Request(token.0 << 1 | wanted as u64)
    }

    /// What the session knows it by; the answer repeats it.
    #[must_use]
    pub const fn token(self) -> Token {
        Token(self.0 >> 1)
    }

    /// Whether the client waits for an answer.
    #[must_use]
    pub const fn is_wanted(self) -> bool {
        self.0 & 1 != 0
    }

    /// What an answer is given with, if one is wanted.
    #[must_use]
    pub fn answer(self) -> Option<Token> {
        self.is_wanted().then(|| self.token())
    }
}

/// What the application had been given when its consumer went, which decides about redelivery counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastDelivered {
    /// Nobody knows: everything in flight counts as delivered. Also when the socket broke.
    Unknown,
    /// Nothing.
    None,
    /// Messages up to this one, in dispatch order.
    UpTo(Sequence),
}

/// What an acknowledgement says about its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcknowledgeKind {
    /// Seen by the client, still in flight: its window grows.
    Delivered,
    /// Given up: to the dead letter queue.
    Poison,
    /// Consumed, all of the range.
    Standard,
    /// Rolled back by the client again; nothing changes.
    Redelivered,
    /// Consumed, only the last of the range.
    Individual,
    /// Expired in the client's buffer.
    Expired,
}

/// A new connection, its credentials checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenConnection {
    /// The shard's handle for it.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// The client's name of the connection. A live connection of the same name is taken over (R16).
    pub id: Box<[u8]>,
    /// The JMS client id, unique among live connections.
    pub client_id: Box<[u8]>,
    /// It comes back after a broken connection: sends that are stored already are dropped (R17).
    pub failover_reconnect: bool,
    /// Where it comes from, for messages to people.
    pub peer: Box<str>,
    /// The name of its user, if it has said one.
    pub user: Option<Box<[u8]>>,
    /// Bits of its protocol that others are told (see [`crate::advisory`]).
    pub marks: u16,
}

/// A new producer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenProducer {
    /// Its connection.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// Number that the connection's commands use for it.
    pub producer: u32,
    /// Session number of the producer's id.
    pub session: i64,
    /// Number within the session, of the producer's id.
    pub value: i64,
    /// Where it sends; none: each message says so itself. Destinations come into being here.
    pub destinations: Box<[Destination]>,
    /// Bytes of asynchronous sends that it lets out before it waits for credit; 0: it does not wait.
    pub window: u32,
    /// What others are told of it besides.
    pub described: Described,
}

/// What others are told of a producer or a consumer that only its protocol understands (see [`crate::advisory`]).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Described {
    /// Bits of its protocol.
    pub marks: u16,
    /// What its protocol needs besides; mostly nothing.
    pub rest: Box<[u8]>,
}

/// A new consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenConsumer {
    /// Its connection.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// The shard's handle for it.
    pub consumer: ConsumerHandle,
    /// What it listens to: one destination, or the parts of a composite; wildcards allowed.
    pub destinations: Box<[Destination]>,
    /// Messages in flight that it takes; 0: it asks for each by [`Command::Pull`].
    pub prefetch: u32,
    /// It looks and does not take.
    pub browser: bool,
    /// It does not want what its own connection sends.
    pub no_local: bool,
    /// The only one to be served, among those with equal priority.
    pub exclusive: bool,
    /// Higher ones are served first.
    pub priority: i8,
    /// The selector's text.
    pub selector: Option<Box<[u8]>>,
    /// Name of a durable subscription.
    pub subscription: Option<Box<[u8]>>,
    /// Session number of the consumer's id.
    pub session: i64,
    /// Number within the session, of the consumer's id.
    pub value: i64,
    /// Messages that it wants kept for it when it is slow, as others are told.
    pub pending_limit: i32,
    /// What others are told of it besides.
    pub described: Described,
}

/// A temporary destination comes into being.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateTemporary {
    /// The connection with which it lives.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// Kind and name.
    pub destination: Destination,
}

/// A durable subscription is not wanted any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsubscribe {
    /// Who asks.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// The client id whose it is; none: that of the connection.
    pub client: Option<Box<[u8]>>,
    /// Its name.
    pub name: Box<[u8]>,
}

/// A message to be stored and delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish {
    /// The sender's connection.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// Number of the producer within the connection; [`Publish::NO_PRODUCER`] if the message id is another's.
    pub producer: u32,
    /// Number that [`Command::DefineDestination`] has given to its destination, composites included.
    pub destination: u32,
    /// The record.
    pub record: Span,
    /// CRC-32 of the record (R5).
    pub record_crc: u32,
    /// Survives a restart.
    pub persistent: bool,
    /// The producer counts bytes and waits for [`crate::Event::ProducerCredit`].
    pub windowed: bool,
    /// It is not to be seen before this one's commit.
    pub transaction: Option<TransactionNumber>,
    /// Number of the message within its producer.
    pub producer_sequence: i64,
}

impl Publish {
    /// The message does not belong to a producer of the connection's: no duplicate check.
    pub const NO_PRODUCER: u32 = u32::MAX;

    /// As [`Command::parked_bytes`].
    #[must_use]
    pub fn parked_bytes(&self) -> u64 {
        limits::PARKED_COMMAND_BYTES + u64::from(self.record.length)
    }
}

/// An acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledge {
    /// The consumer's connection.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// Who acknowledges.
    pub consumer: ConsumerHandle,
    /// What it says.
    pub kind: AcknowledgeKind,
    /// First of the range, in dispatch order; 0: the oldest in flight.
    pub first: Sequence,
    /// Last of the range; 0 where only the count matters (topics).
    pub last: Sequence,
    /// Messages in the range.
    pub count: u32,
    /// It counts from this one's commit on.
    pub transaction: Option<TransactionNumber>,
    /// Why, with [`AcknowledgeKind::Poison`]: class and message, for people.
    pub cause: Span,
}

/// What becomes of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionAct {
    /// It begins; its number may have been another's.
    Begin,
    /// All of it, or, if it cannot be, nothing. The number is free.
    Commit,
    /// Nothing of it. The number is free.
    RollBack,
    /// Something that belongs to it was refused: it cannot be committed.
    Doom,
}

/// The beginning or the end of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transact {
    /// Its connection.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// Which.
    pub transaction: TransactionNumber,
    /// What becomes of it.
    pub act: TransactionAct,
}

/// What becomes of a branch of a distributed transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BranchAct {
    /// The connection works in it under its number from here on. It begins, unless another connection's has begun.
    Begin,
    /// The connection works in it no more; nothing is decided.
    End,
    /// It is to be such that it can be committed, whatever happens.
    Prepare,
    /// All of it; it is prepared or need not be.
    CommitOnePhase,
    /// All of it; it is prepared.
    CommitTwoPhase,
    /// Nothing of it.
    RollBack,
}

/// Something that concerns a branch of a distributed transaction, which any connection may say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Branch {
    /// Who says it.
    pub connection: ConnectionHandle,
    /// Where the answer goes.
    pub request: Request,
    /// Which.
    pub xid: Xid,
    /// The number that the connection has for it; with any act but the first it is free from here on.
    pub number: Option<TransactionNumber>,
    /// What becomes of it.
    pub act: BranchAct,
}

/// One command. The large and rare ones are boxed, so that a batch stays small.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A connection begins.
    OpenConnection(Box<OpenConnection>),
    /// A connection ends, with all that belongs to it.
    CloseConnection {
        /// Which.
        connection: ConnectionHandle,
        /// Where the answer goes; none is wanted when the socket is gone.
        request: Request,
        /// For the counters of what was in flight.
        last_delivered: LastDelivered,
        /// The client said goodbye: it will not come back with old sends (R17).
        clean: bool,
    },
    /// From here on this number of the connection means these destinations.
    DefineDestination {
        /// Whose number.
        connection: ConnectionHandle,
        /// The number, below [`crate::limits::CONNECTION_DESTINATIONS`].
        number: u32,
        /// One destination, or the parts of a composite.
        destinations: Box<[Destination]>,
    },
    /// A producer begins.
    OpenProducer(Box<OpenProducer>),
    /// A producer ends; its number may be given to another.
    CloseProducer {
        /// Its connection.
        connection: ConnectionHandle,
        /// Its number within the connection.
        producer: u32,
        /// Where the answer goes.
        request: Request,
    },
    /// A consumer begins.
    OpenConsumer(Box<OpenConsumer>),
    /// A consumer ends; what it had in flight goes back.
    CloseConsumer {
        /// Its connection.
        connection: ConnectionHandle,
        /// Which.
        consumer: ConsumerHandle,
        /// For the counters of what was in flight.
        last_delivered: LastDelivered,
        /// Where the answer goes.
        request: Request,
    },
    /// A message.
    Publish(Publish),
    /// An acknowledgement.
    Acknowledge(Acknowledge),
    /// A transaction begins or ends.
    Transact(Transact),
    /// A branch of a distributed transaction begins, ends, or is decided.
    Branch(Box<Branch>),
    /// Which branches are prepared?
    Recover {
        /// Who asks.
        connection: ConnectionHandle,
        /// Where the answer goes.
        request: Request,
    },
    /// A consumer with prefetch 0 wants one message.
    Pull {
        /// Its connection.
        connection: ConnectionHandle,
        /// Which.
        consumer: ConsumerHandle,
        /// Milliseconds after which it wants to hear that there is none; 0: never; -1: at once.
        timeout_millis: i64,
        /// Where the answer goes.
        request: Request,
    },
    /// A consumer's prefetch changes.
    SetPrefetch {
        /// Its connection.
        connection: ConnectionHandle,
        /// Which.
        consumer: ConsumerHandle,
        /// The new one.
        prefetch: u32,
        /// Where the answer goes.
        request: Request,
    },
    /// A temporary destination begins.
    CreateTemporary(Box<CreateTemporary>),
    /// A destination goes, with its messages.
    DeleteDestination {
        /// Who asks.
        connection: ConnectionHandle,
        /// Which.
        destination: Box<Destination>,
        /// Where the answer goes.
        request: Request,
    },
    /// A durable subscription goes, with its messages.
    Unsubscribe(Box<Unsubscribe>),
    /// Nothing to do but to answer, in order with all else.
    Synchronize {
        /// Who asks.
        connection: ConnectionHandle,
        /// Where the answer goes.
        request: Request,
    },
    /// A message cannot be written to the consumer to which it was dispatched: it is larger than the client takes, above all.
    Unsendable {
        /// The consumer's connection.
        connection: ConnectionHandle,
        /// Which.
        consumer: ConsumerHandle,
        /// The message.
        sequence: Sequence,
        /// Why, for people.
        cause: Span,
    },
    /// The socket has taken this many bytes of dispatched records (R23).
    Written {
        /// Whose socket.
        connection: ConnectionHandle,
        /// Bytes of records, as counted by their lengths.
        bytes: u32,
    },
}

impl Command {
    /// The connection whose parked sends this command waits behind, if it is of a kind that does: what depends on the order of the
    /// sends. Acknowledgements, pulls and removals of consumers pass them, for they make room. What belongs to a transaction is not parked
    /// (R35).
    #[must_use]
    pub fn waits_behind_sends(&self) -> Option<ConnectionHandle> {
        match self {
            Command::Publish(publish) => publish.transaction.is_none().then_some(publish.connection),
            Command::DefineDestination { connection, .. }
            | Command::CloseProducer { connection, .. }
            | Command::DeleteDestination { connection, .. }
            | Command::Synchronize { connection, .. } => Some(*connection),
            Command::OpenProducer(open) => Some(open.connection),
            // Without a wish for an answer it is the end of the socket, which drops what waits.
            Command::CloseConnection { connection, request, .. } if request.is_wanted() => Some(*connection),
            _ => None,
        }
    }

    /// Bytes of memory that the command takes while it is parked; 0 where it never is. Shard and broker count alike.
    #[must_use]
    pub fn parked_bytes(&self) -> u64 {
        let names = |destinations: &[Destination]| -> u64 {
            destinations.iter().map(|destination| limits::PARKED_COMMAND_BYTES + destination.name.len() as u64).sum()
        };
        let besides = match self {
            Command::Publish(publish) => return publish.parked_bytes(),
            Command::DefineDestination { destinations, .. } => names(destinations),
            Command::OpenProducer(open) => names(&open.destinations),
            Command::DeleteDestination { destination, .. } => destination.name.len() as u64,
            _ if self.waits_behind_sends().is_none() => return 0,
            _ => 0,
        };
        limits::PARKED_COMMAND_BYTES + besides
    }
}

const _: () = assert!(
    size_of::<Publish>() == 48 && size_of::<Acknowledge>() == 56,
    "transactions cost those nothing that are in none"
);
const _: () = assert!(size_of::<Command>() <= 64, "commands are copied by the hundred");
