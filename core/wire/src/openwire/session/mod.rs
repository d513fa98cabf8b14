//! The protocol's own state machine: frames of one connection to commands for the broker, and the broker's events to frames. It keeps
//! the contract of [`crate::session`].

mod answer;
mod branch;
mod connect;
mod consumer;
mod conversation;
mod deliver;
mod described;
mod error;
mod liveness;
mod member;
mod oversize;
mod profile;
mod publish;
mod removal;
mod tables;
mod transaction;

use std::rc::Rc;

use postrider_model::{ConnectionHandle, Now, limits};

use super::FrameSplitter;
use crate::session::{CommandSink, Handles, Next, Profile};
pub(crate) use answer::cause;
pub(crate) use consumer::NamedConsumer;
use conversation::{Context, Conversation};
pub use error::OpenWireError;
use oversize::Oversize;

/// Members of a session or a connection that go in one call.
const MEMBERS_A_CALL: u64 = 8;

/// One connection.
pub struct Session {
    splitter: FrameSplitter,
    /// A frame that is too large and is being skipped; the splitter goes on behind it.
    oversize: Option<Box<Oversize>>,
    frames: u64,
    pub(crate) conversation: Conversation,
}

impl Session {
    /// A connection from `peer`, which was accepted just now. Writes the WireFormatInfo.
    pub(crate) fn new(
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

    /// As [`crate::session::Session::received`].
    pub(crate) fn received(
        &mut self,
        bytes: &mut &[u8],
        frames: u64,
        now: Now,
        handles: &mut Handles,
        sink: &mut dyn CommandSink,
        output: &mut Vec<u8>,
    ) -> Result<Next, OpenWireError> {
        let context = &mut Context { now, handles, sink, output, parkable: 0 };
        self.conversation.receives();
        let end = self.frames.saturating_add(frames);
        let mut members = MEMBERS_A_CALL;
        let next = loop {
            if self.conversation.removes() {
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

    fn read(&mut self, bytes: &mut &[u8], end: u64, context: &mut Context<'_>) -> Result<Next, OpenWireError> {
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
    fn skip(&mut self, bytes: &mut &[u8], context: &mut Context<'_>) -> Result<bool, OpenWireError> {
        let Some(mut oversize) = self.oversize.take() else { return Ok(true) };
        if oversize.take(bytes, &mut self.conversation.decoder)? {
            self.frames += 1;
            self.conversation.skipped(*oversize, context)?;
            return Ok(true);
        }
        self.oversize = Some(oversize);
        Ok(false)
    }

    /// Bytes that are kept of the frame which has not come whole (R22).
    pub(crate) fn half_frame_bytes(&self) -> usize {
        let oversize = self.oversize.as_ref().map_or(0, |oversize| oversize.kept_bytes());
        oversize + self.splitter.pending()
    }

    /// Bytes that have come of it, kept or not.
    pub(crate) fn pending_bytes(&self) -> usize {
        const PREFIX: usize = 4;
        self.oversize.as_ref().map_or(self.splitter.pending(), |oversize| PREFIX + oversize.came())
    }

    /// Gives back memory that a connection at rest needs not.
    pub(crate) fn trim(&mut self) {
        self.splitter.trim();
    }

    /// Frames that have come whole.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// The socket is gone: the broker is told, unless it knows already. [`let_go`](Session::let_go) follows.
    pub(crate) fn closed(&mut self, sink: &mut dyn CommandSink) {
        (self.splitter, self.oversize) = (FrameSplitter::new(0), None);
        self.conversation.closed(sink);
    }
}
