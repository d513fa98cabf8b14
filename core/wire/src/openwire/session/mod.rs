//! The protocol's own state machine: frames of one connection to commands for the broker, and the broker's events to frames.
//!
//! A [`Session`] knows no socket and no clock. Bytes come in by [`Session::received`], in any pieces; what the broker has to do
//! goes into the shard's batch by a [`CommandSink`], and what is to be sent is appended to a buffer. Each kind of event has its
//! method. The consumers of a shard are in [`Handles`], as the broker names them without their connection.

mod answer;
mod connect;
mod conversation;
mod deliver;
mod error;
mod handles;
mod liveness;
mod member;
mod memory;
mod missing;
mod oversize;
mod profile;
mod publish;
mod removal;
mod tables;

use std::rc::Rc;

#[cfg(doc)]
use postrider_model::Command;
use postrider_model::event::{Failure, Refused};
use postrider_model::{CommandBatch, ConnectionHandle, ConsumerHandle, Now, Token, limits};

use super::{EncodeError, FrameSplitter};
use conversation::{Context, Conversation};
use oversize::Oversize;

pub use super::hot::outbound::{Delivery, Outbound};
pub use error::SessionError;
pub use handles::Handles;
pub use memory::ClientMemory;
pub use missing::Missing;
pub use profile::Profile;

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
    /// It does, when the members have gone that its client removes: [`Session::received_some`] is to be called again, when others have
    /// been heard, with what is left of the bytes.
    Remove,
    /// The client has said goodbye: close the socket when all is sent.
    Close,
}

/// Members of a session or a connection that go in one call.
const MEMBERS_A_CALL: u64 = 8;

/// One connection.
pub struct Session {
    splitter: FrameSplitter,
    /// A frame that is too large and is being skipped; the splitter goes on behind it.
    oversize: Option<Box<Oversize>>,
    frames: u64,
    conversation: Conversation,
}

impl Session {
    /// A connection from `peer`, which was accepted just now. Writes the WireFormatInfo.
    pub fn new(
        connection: ConnectionHandle,
        peer: &str,
        profile: Rc<Profile>,
        now: Now,
        output: &mut Vec<u8>,
    ) -> Session {
        let splitter = FrameSplitter::new(limits::MAX_FRAME_BYTES_BEFORE_CONNECT);
        let conversation = Conversation::new(connection, peer, profile, now, output);
        Session { splitter, oversize: None, frames: 0, conversation }
    }

    /// Takes bytes from the client. Whole frames are read where they lie, the rest is kept. After an error the connection is to
    /// be closed.
    pub fn received(
        &mut self,
        mut bytes: &[u8],
        now: Now,
        handles: &mut Handles,
        sink: &mut dyn CommandSink,
        output: &mut Vec<u8>,
    ) -> Result<Next, SessionError> {
        loop {
            match self.received_some(&mut bytes, u64::MAX, now, handles, sink, output)? {
                Next::Remove => {}
                next => return Ok(next),
            }
        }
    }

    /// The same for so many frames at most, and a few members that go: `bytes` is what is left then.
    pub fn received_some(
        &mut self,
        bytes: &mut &[u8],
        frames: u64,
        now: Now,
        handles: &mut Handles,
        sink: &mut dyn CommandSink,
        output: &mut Vec<u8>,
    ) -> Result<Next, SessionError> {
        let context = &mut Context { now, handles, sink, output, parkable: 0 };
        self.conversation.receives();
        let end = self.frames.saturating_add(frames);
        let mut members = MEMBERS_A_CALL;
        let next = loop {
            if self.removes() {
                members -= self.conversation.remove_some(members, context);
                if members == 0 {
                    break Ok(Next::Remove);
                }
            }
            match self.read(bytes, end, context) {
                Ok(Next::Remove) => {}
                next => break next,
            }
        };
        self.conversation.handed_up += context.parkable;
        self.splitter.let_go();
        next
    }

    fn read(&mut self, bytes: &mut &[u8], end: u64, context: &mut Context<'_>) -> Result<Next, SessionError> {
        loop {
            if self.frames == end {
                return Ok(Next::Continue);
            }
            if self.oversize.is_some() && !self.skip(bytes, context)? {
                return Ok(Next::Continue);
            }
            self.splitter.set_limit(self.conversation.frame_limit());
            let frame = match self.splitter.split(bytes) {
                Ok(Some(frame)) => {
                    self.frames += 1;
                    frame
                }
                Ok(None) => return Ok(Next::Continue),
                Err(fault) => {
                    self.oversize = Some(Box::new(self.conversation.oversize(fault)?));
                    continue;
                }
            };
            let next = self.conversation.frame(frame, context)?;
            if next != Next::Continue {
                return Ok(next);
            }
        }
    }

    /// Takes bytes of a frame that is skipped. True: it is over.
    #[cold]
    fn skip(&mut self, bytes: &mut &[u8], context: &mut Context<'_>) -> Result<bool, SessionError> {
        let Some(mut oversize) = self.oversize.take() else { return Ok(true) };
        if oversize.take(bytes, &mut self.conversation.decoder)? {
            self.frames += 1;
            self.conversation.skipped(*oversize, context)?;
            return Ok(true);
        }
        self.oversize = Some(oversize);
        Ok(false)
    }

    /// Whether members are on their way out, behind which all else waits.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.conversation.removal.is_some()
    }

    /// Bytes of commands since the connection's beginning that the broker may park, as [`Command::parked_bytes`] counts them.
    #[must_use]
    pub fn handed_up(&self) -> u64 {
        self.conversation.handed_up
    }

    /// Bytes that are kept of the frame which has not come whole (R22).
    #[must_use]
    pub fn half_frame_bytes(&self) -> usize {
        let oversize = self.oversize.as_ref().map_or(0, |oversize| oversize.kept_bytes());
        oversize + self.splitter.pending()
    }

    /// Bytes that have come of it, kept or not.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        const PREFIX: usize = 4;
        self.oversize.as_ref().map_or(self.splitter.pending(), |oversize| PREFIX + oversize.came())
    }

    /// Gives back memory that a connection at rest needs not.
    pub fn trim(&mut self) {
        self.splitter.trim();
    }

    /// Frames that have come whole.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The client sends no more. The broker is told, unless it knows already, and what it has been asked before is answered first: see
    /// [`is_owed_answers`](Session::is_owed_answers).
    pub fn leaves(&mut self, sink: &mut dyn CommandSink) {
        self.conversation.leaves(sink);
    }

    /// Whether the broker has not come yet to the end of what a client has asked that has taken its leave.
    #[must_use]
    pub fn is_owed_answers(&self) -> bool {
        self.conversation.leaving.is_some()
    }

    /// The socket is gone: the broker is told, unless it knows already. [`let_go`](Session::let_go) follows.
    pub fn closed(&mut self, sink: &mut dyn CommandSink) {
        (self.splitter, self.oversize) = (FrameSplitter::new(0), None);
        self.conversation.closed(sink);
    }

    /// Forgets so many members of a closed connection at most. How many there were: with fewer it is done with.
    pub fn let_go(&mut self, most: u64, handles: &mut Handles) -> u64 {
        self.conversation.let_go(most, handles)
    }

    /// A request is done.
    pub fn reply(&mut self, token: Token, output: &mut Vec<u8>) {
        self.conversation.reply(token, output);
    }

    /// The broker has accepted the connection.
    pub fn opened(&mut self, token: Token, output: &mut Vec<u8>) -> Result<(), SessionError> {
        self.conversation.opened(token, output)
    }

    /// A request has failed, or, without a token, something that wanted no answer. `refused` is a member that does not exist
    /// after all.
    #[expect(clippy::too_many_arguments, reason = "the parts of the event, and the shard's own")]
    pub fn failed(
        &mut self,
        token: Option<Token>,
        failure: Failure,
        message: &str,
        refused: Option<&Refused>,
        now: Now,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        self.conversation.failed(token, failure, message, refused, now, handles, output)
    }

    /// A message for a consumer of this connection. Nothing is written if the consumer is gone, or after an error: then the agreed
    /// format cannot carry the message, and the connection goes on.
    pub fn dispatch(
        &mut self,
        consumer: ConsumerHandle,
        message: &Outbound<'_>,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.conversation.dispatch(consumer, message, handles, output)
    }

    /// A pull or a browse of this connection's consumer has ended.
    pub fn end_of_messages(
        &mut self,
        consumer: ConsumerHandle,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        self.conversation.end_of_messages(consumer, handles, output)
    }

    /// Bytes of a producer's window come back. The producer is named by session and value of its id; it may be gone.
    pub fn producer_credit(
        &mut self,
        producer: (i64, i64),
        bytes: u32,
        output: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        self.conversation.producer_credit(producer, bytes, output)
    }

    /// The shard stops or goes on reading from the socket. As long as it does not, silence is not held against the client.
    pub fn set_paused(&mut self, paused: bool) {
        self.conversation.set_paused(paused);
    }

    /// The broker stops: tells the client politely. The socket is to be closed then.
    pub fn shut_down(&mut self, output: &mut Vec<u8>) -> Result<(), SessionError> {
        self.conversation.shut_down(output)
    }

    /// To be called at [`deadline`](Session::deadline): sends signs of life, and ends the connection of a silent peer.
    pub fn tick(&mut self, now: Now, output: &mut Vec<u8>) -> Result<(), SessionError> {
        self.conversation.tick(now, output)
    }

    /// The moment, on the monotonic clock in nanoseconds, by which [`tick`](Session::tick) is due; [`u64::MAX`]: never.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.conversation.deadline()
    }

    /// Whether both sides agreed on TCP_NODELAY; None before the greeting.
    #[must_use]
    pub fn tcp_no_delay(&self) -> Option<bool> {
        self.conversation.tcp_no_delay()
    }
}
