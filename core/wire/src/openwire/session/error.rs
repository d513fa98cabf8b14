//! Why a connection ends, and why a command is refused.

use postrider_model::event::Failure;
use postrider_model::limits;

use crate::openwire::{DecodeError, EncodeError, Fault, NegotiationError};

/// Why a connection is to be closed, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenWireError {
    /// A frame that cannot be, by its size.
    #[error("{0}")]
    Frame(Fault),
    /// A frame that cannot be read.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The peers find no common format.
    #[error("{0}")]
    Negotiation(#[from] NegotiationError),
    /// The agreed frames are too small for the answers of a broker.
    #[error("MaxFrameSize {0} is agreed, at least {min} is needed: raise the client's wireFormat.maxFrameSize, or the setting `openwire.max_frame_bytes`", min = MIN_FRAME_BYTES)]
    FramesTooSmall(usize),
    /// No WireFormatInfo came.
    #[error("no WireFormatInfo within {GREETING_SECONDS} s: is the peer a client of OpenWire?")]
    NoGreeting,
    /// A WireFormatInfo in the middle of a conversation.
    #[error("a second WireFormatInfo")]
    SecondGreeting,
    /// A structure that clients have no use for.
    #[error("a {0}, which no client sends")]
    Unexpected(&'static str),
    /// Nothing came for the agreed duration.
    #[error("nothing received for {millis} ms, the agreed MaxInactivityDuration")]
    Silent {
        /// The agreed duration.
        millis: u64,
    },
    /// The client's cached values have no room.
    #[error(
        "the connection keeps {kept} bytes of memory with cached values, members and names, and there is no room for more: use fewer names, or raise the setting `clients.memory_bytes`"
    )]
    NoMemory {
        /// Bytes that it would keep.
        kept: u64,
    },
    /// The connection was refused, and the client has had time to read why.
    #[error("the connection was refused")]
    Refused,
    /// A frame for the client that the agreed format cannot carry.
    #[error("a frame for the client cannot be written: {0}")]
    Encode(#[from] EncodeError),
}

/// Smallest agreed frame with which a connection is of use: errors and answers fit in.
pub(super) const MIN_FRAME_BYTES: usize = 1024;

/// Seconds until a client must have sent its WireFormatInfo, as in ActiveMQ.
pub(super) const GREETING_SECONDS: u64 = 30;

/// A command that the client is told it cannot have; the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub failure: Failure,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(failure: Failure, message: impl Into<String>) -> Refusal {
        Refusal { failure, message: message.into() }
    }

    pub(super) fn no_connection() -> Refusal {
        Refusal::new(Failure::IllegalState, "there is no connection: send a ConnectionInfo first")
    }

    pub(super) fn duplex() -> Refusal {
        let message = "a duplex network connection, in which this broker would forward as well, is not available in this version of \
                       postrider: set duplex=\"false\" at the other broker's network connector, which then forwards to this one";
        Refusal::new(Failure::General, message)
    }

    pub(super) fn second_connection() -> Refusal {
        let message = "this socket has a connection already: open another one, or remove the first";
        Refusal::new(Failure::IllegalState, message)
    }

    pub(super) fn no_memory(kept: u64) -> Refusal {
        let message = format!(
            "the connection keeps {kept} bytes of memory with its sessions, producers, consumers and names, and there is no room for more: \
             close some, or raise the setting `clients.memory_bytes`"
        );
        Refusal::new(Failure::ResourceAllocation, message)
    }

    pub(super) fn too_many(what: &str, limit: usize) -> Refusal {
        let message = format!(
            "the connection has {limit} {what} already, which is the limit: close some, or use another connection"
        );
        Refusal::new(Failure::ResourceAllocation, message)
    }
}

impl From<postrider_model::destination::NameError> for Refusal {
    fn from(error: postrider_model::destination::NameError) -> Refusal {
        Refusal::new(Failure::InvalidDestination, error.to_string())
    }
}

/// What handling a frame may come to.
pub(super) enum Trouble {
    Refused(Refusal),
    Fatal(OpenWireError),
    /// A cached field of a frame that was read by hand names a value of another class: the tables say what is wrong.
    WrongClass,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        Trouble::Refused(refusal)
    }
}

impl From<postrider_model::destination::NameError> for Trouble {
    fn from(error: postrider_model::destination::NameError) -> Trouble {
        Trouble::Refused(error.into())
    }
}

impl From<OpenWireError> for Trouble {
    fn from(error: OpenWireError) -> Trouble {
        Trouble::Fatal(error)
    }
}

impl From<DecodeError> for Trouble {
    fn from(error: DecodeError) -> Trouble {
        Trouble::Fatal(error.into())
    }
}

impl From<EncodeError> for Trouble {
    fn from(error: EncodeError) -> Trouble {
        Trouble::Fatal(error.into())
    }
}

const _: () = assert!(MIN_FRAME_BYTES <= limits::MAX_FRAME_BYTES_BEFORE_CONNECT, "a first frame may be as large");
