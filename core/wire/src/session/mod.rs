//! The contract between a shard and the protocols that its connections speak: what a session wants, and what it gives.
//!
//! A [`Session`] knows no socket and no clock. Bytes come in by [`Session::received`], in any pieces; what the broker has to do
//! goes into the shard's batch by a [`CommandSink`], and what is to be sent is appended to a buffer. Each kind of event that is a
//! connection's has its method. What the broker answers it names by the [`Token`] that the session has given it with the request, and the
//! consumers of a shard, which are in [`Handles`], without their connection.
//!
//! Why it is an enum: docs/decisions/0012-sessions-are-one-enum.md.

mod error;
mod fields;
mod handles;
mod memory;
mod missing;
mod outbound;
mod profile;
mod protocol;

use std::rc::Rc;

#[cfg(doc)]
use postrider_model::Command;
use postrider_model::event::{Failure, Refused, Vote};
use postrider_model::{CommandBatch, ConnectionHandle, ConsumerHandle, Now, Token, Xid};

use crate::openwire::session as openwire;

pub use error::{SessionError, Unsendable};
pub(crate) use fields::{DestinationName, ProducerName};
pub use handles::Handles;
pub(crate) use handles::{Consumer, ConsumerState};
pub use memory::ClientMemory;
pub(crate) use memory::Kept;
pub use missing::Missing;
pub use outbound::{Delivery, Outbound};
pub use profile::Profile;
pub use protocol::Protocol;

/// Where a session puts its commands.
pub trait CommandSink {
    /// The open batch, which has room for one more command; a full one is handed over first.
    fn batch(&mut self) -> &mut CommandBatch;
}

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Next {
    /// It does.
    Continue,
    /// It does, when the members have gone that its client removes: [`Session::received`] is to be called again, when others have
    /// been heard, with what is left of the bytes.
    Remove,
    /// The client has said goodbye: close the socket when all is sent.
    Close,
}

/// Frames for whose effect their client does not wait.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Unhurried {
    /// Each acknowledged one message and wanted no answer.
    pub acknowledgements: u64,
    /// Each was a message that wanted no answer and has no window.
    pub sends: u64,
}

/// A request has failed, or, without a token, something that wanted no answer.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// The request's.
    pub token: Option<Token>,
    /// What kind.
    pub failure: Failure,
    /// What is wrong with what, and what to do.
    pub message: &'a str,
    /// A member that does not exist after all.
    pub refused: Option<&'a Refused>,
}

/// One connection, in the protocol that it speaks.
pub enum Session {
    /// The one with the most messages, and therefore not boxed, as others are.
    OpenWire(openwire::Session),
}

impl Session {
    /// A connection from `peer`, which was accepted just now. Writes what the protocol has a server say first.
    #[must_use]
    pub fn new(
        protocol: Protocol,
        connection: ConnectionHandle,
        peer: &str,
        profile: Rc<Profile>,
        now: Now,
        output: &mut Vec<u8>,
    ) -> Session {
        match protocol {
            Protocol::OpenWire => Session::OpenWire(openwire::Session::new(connection, peer, profile, now, output)),
        }
    }

    /// Takes bytes from the client: so many frames at most, and a few members that go; `bytes` is what is left then. Whole frames are read
    /// where they lie, the rest is kept. After an error the connection is to be closed.
    #[inline]
    pub fn received(
        &mut self,
        bytes: &mut &[u8],
        frames: u64,
        now: Now,
        handles: &mut Handles,
        sink: &mut dyn CommandSink,
        output: &mut Vec<u8>,
    ) -> Result<Next, SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.received(bytes, frames, now, handles, sink, output)?),
        }
    }

    /// Whether members are on their way out, behind which all else waits.
    #[must_use]
    #[inline]
    pub fn removes(&self) -> bool {
        match self {
            Session::OpenWire(session) => session.conversation.removes(),
        }
    }

    /// Bytes of commands since the connection's beginning that the broker may park, as [`Command::parked_bytes`] counts them.
    #[must_use]
    #[inline]
    pub fn handed_up(&self) -> u64 {
        match self {
            Session::OpenWire(session) => session.conversation.handed_up,
        }
    }

    /// Bytes that are kept of the frame which has not come whole (R22).
    #[must_use]
    #[inline]
    pub fn half_frame_bytes(&self) -> usize {
        match self {
            Session::OpenWire(session) => session.half_frame_bytes(),
        }
    }

    /// Bytes that have come of it, kept or not.
    #[must_use]
    #[inline]
    pub fn pending_bytes(&self) -> usize {
        match self {
            Session::OpenWire(session) => session.pending_bytes(),
        }
    }

    /// Frames that have come whole.
    #[must_use]
    #[inline]
    pub fn frames(&self) -> u64 {
        match self {
            Session::OpenWire(session) => session.frames(),
        }
    }

    /// Which of the [frames](Session::frames) so far were such that their client does not wait for their effect.
    #[must_use]
    #[inline]
    pub fn unhurried(&self) -> Unhurried {
        match self {
            Session::OpenWire(session) => session.conversation.unhurried,
        }
    }

    /// The smallest number of messages that a consumer of it may have had in flight.
    #[must_use]
    #[inline]
    pub fn least_prefetch(&self) -> u32 {
        match self {
            Session::OpenWire(session) => session.conversation.least_prefetch,
        }
    }

    /// Gives back memory that a connection at rest needs not.
    pub fn trim(&mut self) {
        match self {
            Session::OpenWire(session) => session.trim(),
        }
    }

    /// The client sends no more. The broker is told, unless it knows already, and what it has been asked before is answered first: see
    /// [`is_owed_answers`](Session::is_owed_answers).
    pub fn leaves(&mut self, sink: &mut dyn CommandSink) {
        match self {
            Session::OpenWire(session) => session.conversation.leaves(sink),
        }
    }

    /// Whether the broker has not come yet to the end of what a client has asked that has taken its leave.
    #[must_use]
    pub fn is_owed_answers(&self) -> bool {
        match self {
            Session::OpenWire(session) => session.conversation.is_owed_answers(),
        }
    }

    /// The socket is gone: the broker is told, unless it knows already. [`let_go`](Session::let_go) follows.
    pub fn closed(&mut self, sink: &mut dyn CommandSink) {
        match self {
            Session::OpenWire(session) => session.closed(sink),
        }
    }

    /// Forgets so many members of a closed connection at most. How many there were: with fewer it is done with.
    pub fn let_go(&mut self, most: u64, handles: &mut Handles) -> u64 {
        match self {
            Session::OpenWire(session) => session.conversation.let_go(most, handles),
        }
    }

    /// A request is done.
    #[inline]
    pub fn reply(&mut self, token: Token, output: &mut Vec<u8>) {
        match self {
            Session::OpenWire(session) => session.conversation.reply(token, output),
        }
    }

    /// The broker has accepted the connection.
    pub fn opened(&mut self, token: Token, output: &mut Vec<u8>) -> Result<(), SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.opened(token, output)?),
        }
    }

    /// A branch of a distributed transaction is prepared, or need not be.
    pub fn voted(&mut self, token: Token, vote: Vote, output: &mut Vec<u8>) -> Result<(), SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.voted(token, vote, output)?),
        }
    }

    /// The branches that are prepared.
    pub fn branches(&mut self, token: Token, names: &[Xid], output: &mut Vec<u8>) -> Result<(), SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.branches(token, names, output)?),
        }
    }

    /// Something has failed.
    pub fn failed(
        &mut self,
        failed: &Failed<'_>,
        now: Now,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.failed(failed, now, handles, output)?),
        }
    }

    /// A message for a consumer of this connection. Nothing is written if the consumer is gone, or after an error: then the agreed
    /// format cannot carry the message, and the connection goes on.
    #[inline]
    pub fn dispatch(
        &mut self,
        consumer: ConsumerHandle,
        message: &Outbound<'_>,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), Unsendable> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.dispatch(consumer, message, handles, output)?),
        }
    }

    /// What a dead letter says of why it became one, as this protocol's clients read it.
    #[must_use]
    pub fn cause(&self, why: &str) -> String {
        match self {
            Session::OpenWire(_) => openwire::cause(why),
        }
    }

    /// A pull or a browse of this connection's consumer has ended.
    pub fn end_of_messages(
        &mut self,
        consumer: ConsumerHandle,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.end_of_messages(consumer, handles, output)?),
        }
    }

    /// Bytes of a producer's window come back. The producer is named by session and value of its id; it may be gone.
    #[inline]
    pub fn producer_credit(
        &mut self,
        producer: (i64, i64),
        bytes: u32,
        output: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.producer_credit(producer, bytes, output)?),
        }
    }

    /// The shard stops or goes on reading from the socket. As long as it does not, silence is not held against the client.
    pub fn set_paused(&mut self, paused: bool) {
        match self {
            Session::OpenWire(session) => session.conversation.set_paused(paused),
        }
    }

    /// To be called at [`deadline`](Session::deadline): sends signs of life, and ends the connection of a silent peer.
    pub fn tick(&mut self, now: Now, output: &mut Vec<u8>) -> Result<(), SessionError> {
        match self {
            Session::OpenWire(session) => Ok(session.conversation.tick(now, output)?),
        }
    }

    /// The moment, on the monotonic clock in nanoseconds, by which [`tick`](Session::tick) is due; [`u64::MAX`]: never.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> u64 {
        match self {
            Session::OpenWire(session) => session.conversation.deadline(),
        }
    }
}
