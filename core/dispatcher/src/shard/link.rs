//! One connection as the shard sees it: its protocol session, what is to be sent, and what has been sent.

use postrider_model::limits;
use postrider_wire::session::Session;

use crate::net::{Connection, Net, Sent};

use super::gathering::Gathering;
use super::halves::HalfFrame;
use super::line::Backlog;

/// A connection of this shard.
pub(super) struct Link {
    /// The driver's name of it, and the broker's.
    pub connection: Connection,
    /// Where it comes from, for the log.
    pub peer: Box<str>,
    /// Its protocol.
    pub session: Session,
    /// It may send: there were sends in what was heard of it last, or it has never been given a message to acknowledge.
    pub sends: bool,
    is_given: bool,
    /// Messages that it was given, less the acknowledgements of one that it has said meanwhile: so many more may answer something.
    unanswered: u64,
    /// Bytes for the next send.
    pub output: Vec<u8>,
    /// Why nothing is received, if so.
    pub holds: Holds,
    /// It is on the list of links with output.
    pub dirty: bool,
    /// No more is read or said; it goes when the last send is over.
    pub closing: bool,
    /// It goes, too, only when the broker has answered what it has asked.
    pub leaves: bool,
    /// The frame that it is in the middle of.
    pub half: HalfFrame,
    /// The broker parks what it sends: bytes that were settled when it said so last.
    pub settled: Option<u64>,
    /// Bytes that are parked or on their way to be, as counted in the shard's budget.
    pub parked: u64,
    /// It is among those that wait for room for them.
    pub waits_for_parking: bool,
    /// What it has sent and waits to be heard.
    pub backlog: Backlog,
    /// It would be its turn, was it not held back because of a queue.
    pub stands_aside: bool,
    /// How much of what it says is worth a wake-up.
    pub gathering: Gathering,
    /// When its timer comes up, in nanoseconds.
    pub timer: u64,
    /// When it is looked at whether it is at rest and keeps memory all the same, in nanoseconds.
    pub rest: u64,
    /// It has sent something, or got a buffer back, since that was looked at.
    active: bool,
    spare: Vec<u8>,
    sending: bool,
    records: RecordBytes,
}

/// Reasons to receive nothing; it goes on when none is left.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Holds {
    /// What it sends is parked at the broker, and there is no room for more (R24).
    pub parking: bool,
    /// The process is to end.
    pub ending: bool,
    /// A queue to which it sends holds much, and it is the broker that the queue's consumers wait for (R24).
    pub queue: bool,
    /// The ring to the broker is full.
    pub ring: bool,
    /// What it has sent waits for its turn.
    pub turn: bool,
    /// The half frame does not fit into the shard's budget.
    pub budget: bool,
    /// The client does not take its answers.
    pub unsent: bool,
}

impl Holds {
    /// Whether there is a reason.
    #[must_use]
    pub(super) fn any(self) -> bool {
        self != Holds::default()
    }

    /// Whether it may be long until it goes on, whatever room there is for its half frame.
    #[must_use]
    pub(super) fn stands_still(self) -> bool {
        self.parking || self.queue || self.unsent
    }

    /// Whether nothing is received, and not by the client's fault.
    #[must_use]
    pub(super) fn excuse(self) -> bool {
        !self.unsent && self.any()
    }
}

/// Bytes of dispatched records, by how far they have come; the broker's send window counts them (R23).
#[derive(Default)]
struct RecordBytes {
    encoded: u64,
    sending: u64,
    written: u64,
}

/// Buffers that had to grow beyond this give their memory back: more than a send window fills only a large message.
#[allow(clippy::cast_possible_truncation, reason = "a constant")]
const KEPT_BUFFER_BYTES: usize = 2 * limits::LARGEST_SEND_WINDOW_BYTES as usize;

/// Who acknowledges many messages at once, or none, has saved up no more answers than these.
const MOST_UNANSWERED: u64 = 4_096;

/// Who has sent nothing for this long gives its buffers back.
const REST_NANOS: u64 = 10_000_000_000;

impl Link {
    /// A link whose session has written its greeting into `output`.
    pub(super) fn new(connection: Connection, peer: &str, session: Session, output: Vec<u8>) -> Link {
        Link {
            connection,
            peer: peer.into(),
            session,
            sends: true,
            is_given: false,
            unanswered: 0,
            output,
            holds: Holds::default(),
            dirty: false,
            closing: false,
            leaves: false,
            half: HalfFrame::default(),
            settled: None,
            parked: 0,
            waits_for_parking: false,
            backlog: Backlog::default(),
            stands_aside: false,
            gathering: Gathering::default(),
            timer: u64::MAX,
            rest: u64::MAX,
            active: false,
            spare: Vec::new(),
            sending: false,
            records: RecordBytes::default(),
        }
    }

    /// Changes the reasons to receive nothing. Silence is not held against a client that is not listened to.
    pub(super) fn hold<N: Net>(&mut self, net: &mut N, change: impl FnOnce(&mut Holds)) {
        let before = self.holds.any();
        if self.holds.excuse() {
            self.half.excuse();
        }
        change(&mut self.holds);
        let after = self.holds.any();
        if before == after || self.closing {
            return;
        }
        self.session.set_paused(after);
        if after {
            net.pause(self.connection);
        } else {
            net.resume(self.connection);
        }
    }

    /// Notes that a record of this length was encoded into the output.
    pub(super) fn encoded_record(&mut self, length: u32) {
        self.records.encoded += u64::from(length);
        if !std::mem::replace(&mut self.is_given, true) {
            self.sends = false;
        }
        self.unanswered = (self.unanswered + 1).min(MOST_UNANSWERED);
    }

    /// Frames were heard of it, with sends among them, or with none, and so many acknowledgements, or nothing but these. How many answers
    /// that were to messages that it was given, if nothing else.
    pub(super) fn was_heard(&mut self, sends: bool, (acknowledgements, nothing_else): (u64, bool)) -> u64 {
        self.sends = sends || !self.is_given;
        let answers = if nothing_else && acknowledgements <= self.unanswered { acknowledgements } else { 0 };
        self.unanswered = self.unanswered.saturating_sub(acknowledgements);
        answers
    }

    /// Sends the output, unless a send is on its way.
    pub(super) fn flush<N: Net>(&mut self, net: &mut N) {
        if self.sending {
            return;
        }
        if self.output.is_empty() {
            self.records.written += std::mem::take(&mut self.records.encoded);
            return;
        }
        self.active = true;
        let spare = std::mem::take(&mut self.spare);
        let bytes = std::mem::replace(&mut self.output, spare);
        self.records.sending += std::mem::take(&mut self.records.encoded);
        match net.send(self.connection, bytes) {
            Sent::Done(buffer) => self.sent(buffer),
            Sent::Pending => self.sending = true,
            Sent::Refused(buffer) => self.keep(buffer),
        }
    }

    /// A send is over: its buffer can be used again.
    pub(super) fn sent(&mut self, buffer: Vec<u8>) {
        (self.sending, self.active) = (false, true);
        self.records.written += std::mem::take(&mut self.records.sending);
        self.keep(buffer);
    }

    /// Whether the client leaves so much unread that it is not read from either. Dispatched messages, of which there is no more
    /// than the send window, count as twice their record: they alone must not stop acknowledgements.
    #[allow(clippy::cast_possible_truncation, reason = "what is in memory has a length")]
    pub(super) fn is_choked(&self) -> bool {
        let messages = 2 * self.records.encoded as usize;
        self.sending && self.output.len() > limits::UNSENT_BYTES + messages
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_drained(&self) -> bool {
        !self.sending && self.output.is_empty()
    }

    /// Asks for [`look_after`](Self::look_after) if there is memory to be given back. True: it did.
    pub(super) fn is_to_rest(&mut self, nanos: u64) -> bool {
        let asks = self.active && self.rest == u64::MAX;
        if asks {
            self.rest = nanos + REST_NANOS;
        }
        asks
    }

    /// Gives memory back if nothing was sent since the last look. A peer that does not read has what it is owed kept, and no more.
    pub(super) fn look_after(&mut self, nanos: u64) {
        if nanos < self.rest {
            return;
        }
        self.rest = u64::MAX;
        if std::mem::take(&mut self.active) {
            self.rest = nanos + REST_NANOS;
            return;
        }
        self.output.shrink_to_fit();
        self.spare = Vec::new();
        self.session.trim();
    }

    /// Bytes of records written since the last report, if they are worth one.
    pub(super) fn written_to_report(&mut self) -> Option<u32> {
        (self.records.written >= limits::WRITTEN_REPORT_BYTES).then(|| {
            let bytes = u32::try_from(self.records.written).unwrap_or(u32::MAX);
            self.records.written -= u64::from(bytes);
            bytes
        })
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(KEPT_BUFFER_BYTES);
        self.spare = buffer;
    }
}
