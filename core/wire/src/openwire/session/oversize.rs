//! A message whose frame is larger than the agreed size: what names it is read, so that its sender can be told, and its content
//! and properties are skipped.

use postrider_model::event::Failure;

use super::conversation::{Context, Conversation, MESSAGES, request};
use super::error::{OpenWireError, Refusal};
use super::publish::windowed;
use crate::openwire::hot::message::Names;
use crate::openwire::hot::rare;
use crate::openwire::schema::message;
use crate::openwire::{Decoder, Fault, Structure, writer};
use crate::session::Profile;

/// Bytes of such a frame that are kept at most: all of a message but content and properties.
const KEPT_BYTES: usize = 64 * 1024;

/// Bytes after which it is looked for something to skip, for the first time.
const FIRST_LOOK: usize = 512;

/// A frame that is being skipped.
#[derive(Debug)]
pub(super) struct Oversize {
    size: usize,
    limit: usize,
    /// The frame without what was skipped, whose lengths are 0 here: a message that can be decoded once all of it has come.
    kept: Vec<u8>,
    /// Bytes to be dropped before more are kept.
    skip: usize,
    /// Bytes of the frame that have not come.
    left: usize,
    look_at: usize,
    /// Bytes of content and properties that were, or will be, dropped.
    dropped: usize,
}

impl Oversize {
    /// For a frame of which only the size has come. Fails if it is none that can be skipped.
    pub(super) fn new(fault: Fault) -> Result<Oversize, OpenWireError> {
        let Fault::FrameSize { size, limit } = fault else { return Err(OpenWireError::Frame(fault)) };
        let size = usize::try_from(size).ok().filter(|size| *size > limit).ok_or(OpenWireError::Frame(fault))?;
        Ok(Oversize { size, limit, kept: Vec::new(), skip: 0, left: size, look_at: FIRST_LOOK, dropped: 0 })
    }

    /// Bytes of memory that it takes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of the frame that have come.
    pub(super) fn came(&self) -> usize {
        self.size - self.left
    }

    /// Takes the frame's bytes off the front of `input`. True: all of it has come.
    pub(super) fn take(&mut self, input: &mut &[u8], decoder: &mut Decoder) -> Result<bool, OpenWireError> {
        while self.left > 0 && !input.is_empty() {
            if self.skip > 0 {
                let skipped = self.split_off(self.skip, input).len();
                self.skip -= skipped;
                continue;
            }
            let wanted = self.look_at - self.kept.len();
            let part = self.split_off(wanted, input);
            self.kept.extend_from_slice(part);
            if !self.kept.first().is_some_and(|code| MESSAGES.contains(code)) {
                return Err(self.refused());
            }
            if self.kept.len() == self.look_at && self.left > 0 {
                self.look(decoder)?;
            }
        }
        Ok(self.left == 0)
    }

    /// The message without the content and properties that were skipped, and how many bytes these have.
    pub(super) fn finish(self, decoder: &mut Decoder) -> Result<(Option<Structure>, usize), OpenWireError> {
        Ok((decoder.decode(&self.kept)?, self.dropped))
    }

    fn split_off<'i>(&mut self, most: usize, input: &mut &'i [u8]) -> &'i [u8] {
        let (part, rest) = input.split_at(most.min(self.left).min(input.len()));
        *input = rest;
        self.left -= part.len();
        part
    }

    /// Looks whether what was kept reaches into bytes that can be skipped. An error in it shows when all has come.
    fn look(&mut self, decoder: &mut Decoder) -> Result<(), OpenWireError> {
        let Ok(Some(cut)) = decoder.find_cut(&self.kept) else {
            if self.kept.len() == KEPT_BYTES {
                return Err(self.refused());
            }
            self.look_at = (2 * self.look_at).min(KEPT_BYTES);
            return Ok(());
        };
        let length_end = cut.at + 4;
        self.skip = cut.length - (self.kept.len() - length_end);
        if self.skip > self.left {
            return Err(OpenWireError::Frame(Fault::Truncated));
        }
        self.kept.truncate(cut.at);
        self.kept.extend_from_slice(&[0; 4]);
        self.dropped += cut.length;
        self.look_at = (self.kept.len() + FIRST_LOOK).min(KEPT_BYTES);
        Ok(())
    }

    fn refused(&self) -> OpenWireError {
        OpenWireError::Frame(Fault::FrameSize { size: i32::try_from(self.size).unwrap_or(i32::MAX), limit: self.limit })
    }
}

impl Conversation {
    /// A frame is too large to be taken. If it is a message's, as its first byte will show, it is skipped.
    pub(super) fn oversize(&self, fault: Fault) -> Result<Oversize, OpenWireError> {
        // Before there is a connection nobody can be told.
        if self.tables.is_none() { Err(OpenWireError::Frame(fault)) } else { Oversize::new(fault) }
    }

    /// A message was skipped: its sender is told.
    pub(super) fn skipped(&mut self, oversize: Oversize, context: &mut Context<'_>) -> Result<(), OpenWireError> {
        let (size, limit) = (oversize.size, oversize.limit);
        let (Some(message), dropped) = oversize.finish(&mut self.decoder)? else { return Ok(()) };
        let length = |field| message.bytes(field).map_or(0, <[u8]>::len);
        let producer = message.object(message::PRODUCER_ID).and_then(|id| rare::producer_name(id));
        let body = dropped + length(message::CONTENT) + length(message::MARSHALLED_PROPERTIES);
        let waits = windowed(self.tables.as_ref(), producer);
        let refusal = self.too_large(size, limit);
        self.refuse_send(request(&message), refusal, (waits, body), context.output)?;
        self.liveness.sent();
        Ok(())
    }

    /// The text names the side whose setting it is.
    fn too_large(&self, size: usize, limit: usize) -> Refusal {
        let setting = if limit < self.profile.max_frame_bytes() {
            "the client's `wireFormat.maxFrameSize`"
        } else {
            "setting `openwire.max_frame_bytes`"
        };
        let text = format!(
            "the message takes {size} bytes on the wire, at most {limit} are taken ({setting}): send a smaller one, or raise that"
        );
        Refusal::new(Failure::ResourceAllocation, text)
    }
}

/// Bytes that a MessageDispatch has besides the message and names, ids and counters, and a dead letter besides: why it is one. Of
/// a small limit the reason gets less.
fn envelope_bytes(limit: usize) -> usize {
    (limit / 16).clamp(512, 4096)
}

/// Largest frame of a message that certainly leaves room for its envelope, whatever its names are. Others are looked at.
pub(super) fn roomy_bytes(profile: &Profile) -> usize {
    const LONGEST_NAMES: usize = 5 * writer::LOOSE_STRING_LIMIT;
    let limit = profile.max_frame_bytes();
    limit.saturating_sub(envelope_bytes(limit) + 2 * LONGEST_NAMES)
}

/// Refuses what could come in and not go out: to a consumer goes a larger frame than came, in which names may stand twice.
#[cold]
pub(super) fn check_room(frame_bytes: usize, names: &Names<'_>, profile: &Profile) -> Result<(), Refusal> {
    let destinations = names.destination.1.len() + names.original_destination.map_or(0, |name| name.1.len());
    let named = destinations + names.sender.connection.len() + names.producer.connection.len();
    let limit = profile.max_frame_bytes();
    let envelope = envelope_bytes(limit) + 2 * named;
    if frame_bytes + envelope <= limit {
        return Ok(());
    }
    let text = format!(
        "the message takes {frame_bytes} bytes on the wire, and up to {envelope} more on its way to a consumer; at most {limit} are \
        sent (setting `openwire.max_frame_bytes`): send a smaller one, or raise that"
    );
    Err(Refusal::new(Failure::ResourceAllocation, text))
}
