//! Commands on their way up: the batch being filled, and full ones that wait for room in the ring.

use std::collections::VecDeque;

use postrider_model::{Command, CommandBatch, Destination, limits};
use postrider_wire::session::{CommandSink, Session};

use super::pace::Pace;
use crate::plant::planted;
use crate::port::Portion;
use crate::ring::Sender;

/// Bytes that the ring takes: its batches' arenas, of which one large record may make each many times as long.
const RING_BYTES: usize = limits::RING_BATCHES * limits::BATCH_BYTES;

/// The same while the broker parks sends: what is on its way up by then is parked, too, however little room is left (R24).
const STRAINED_RING_BYTES: usize = 2 * limits::BATCH_BYTES;

/// A command that brings more bytes than these besides its batch's arena is the last one of it: each batch is looked through as a whole
/// before it is handled, and a client chooses how long names are.
const LONG_BYTES: usize = 4 * 1024;

/// Full batches that wait for the ring, at most, but for those of what is heard anyway.
const MOST_FULL: usize = 32;

/// Bytes that connections that send may have on its way up together: a batch's. Frames may be a portion. What frees, an acknowledgement
/// above all, waits behind no more of it, and neither does who sends something else (decision 0015).
const SENT_BYTES: u64 = limits::BATCH_BYTES as u64;

/// How much of what clients say is on its way up at a time: less than there is room for makes connections wait for their turns sooner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WayUp {
    /// Commands of a batch, at most [`limits::BATCH_COMMANDS`].
    pub commands: usize,
    /// Batches in the ring, at most [`limits::RING_BATCHES`].
    pub batches: usize,
}

impl Default for WayUp {
    fn default() -> Self {
        Self { commands: limits::BATCH_COMMANDS, batches: limits::RING_BATCHES }
    }
}

/// What connections that send have said.
#[derive(Clone, Copy, Default)]
pub(super) struct Sent {
    /// Frames.
    pub frames: u64,
    /// Bytes, as [`Session::handed_up`] counts them.
    pub bytes: u64,
}

impl Sent {
    /// What there has been of a connection.
    pub(super) fn by(session: &Session) -> Sent {
        Sent { frames: session.frames(), bytes: session.handed_up() }
    }

    /// What has come since; what counts anew has begun again.
    pub(super) fn since(self, before: Sent) -> Sent {
        Sent { frames: self.frames.saturating_sub(before.frames), bytes: self.bytes.saturating_sub(before.bytes) }
    }
}

/// A batch, and what of it is of connections that send.
#[derive(Default)]
struct Filled {
    batch: CommandBatch,
    sent: Sent,
}

/// Batches for the broker, in order.
pub(super) struct Outgoing {
    ring: Sender<CommandBatch>,
    portion: Portion,
    open: Filled,
    full: VecDeque<Filled>,
    /// Bytes of these.
    full_bytes: usize,
    /// Bytes of the batches in the ring, as far as is known, the oldest first, and what was sent of each; and the bytes of all of them.
    in_ring: VecDeque<(usize, Sent)>,
    ring_bytes: usize,
    /// What is on its way of connections that send: in all batches.
    sent: Sent,
    /// What these may come to.
    limit: usize,
    pace: Pace,
    /// Something has waited since the last look.
    was_blocked: bool,
    /// Commands of a full batch.
    commands: usize,
    /// Looks at the network.
    look: u32,
}

impl Outgoing {
    /// Nothing to say yet.
    pub(super) fn new(ring: Sender<CommandBatch>, portion: Portion) -> Outgoing {
        Outgoing {
            ring,
            portion,
            open: Filled::default(),
            full: VecDeque::new(),
            full_bytes: 0,
            in_ring: VecDeque::new(),
            ring_bytes: 0,
            sent: Sent::default(),
            limit: RING_BYTES,
            was_blocked: false,
            pace: Pace::new(limits::RING_BATCHES),
            commands: limits::BATCH_COMMANDS,
            look: 0,
        }
    }

    /// The network is looked at, by a thread that may sleep for it or does not.
    pub(super) fn looks(&mut self, rests: bool) {
        self.look = self.look.wrapping_add(if rests { limits::LOOKS_OF_A_REST } else { 1 });
    }

    /// The broker parks sends of this shard, or does not any more.
    pub(super) fn set_strained(&mut self, strained: bool) {
        self.limit = if strained { STRAINED_RING_BYTES } else { RING_BYTES };
    }

    /// Changes how much goes up at a time.
    pub(super) fn set_way_up(&mut self, WayUp { commands, batches }: WayUp) {
        (self.pace, self.commands) =
            (Pace::new(batches.min(limits::RING_BATCHES)), commands.min(limits::BATCH_COMMANDS));
    }

    /// Looks what the broker has taken, once a turn.
    pub(super) fn look(&mut self, nanos: u64) {
        self.forget_popped();
        let more = std::mem::take(&mut self.was_blocked) || self.is_blocked();
        self.pace.look(self.in_ring.len(), more, nanos);
    }

    /// Hands over what the ring takes. True: everything is with the broker. As long as it has no room, the open batch is filled further:
    /// each of the broker's turns takes one, however little is in it.
    pub(super) fn push(&mut self) -> bool {
        if !self.hand_over_full() {
            return false;
        }
        if !self.open.batch.is_empty() || self.open.sent.frames > 0 {
            self.close();
        }
        self.hand_over_full()
    }

    /// Hands over full batches. True: there is room for more.
    pub(super) fn hand_over_full(&mut self) -> bool {
        if self.is_full() {
            self.close();
        }
        while let Some(Filled { batch, sent }) = self.full.pop_front() {
            let bytes = bytes_of(&batch);
            if !self.has_room_for(bytes) {
                self.full.push_front(Filled { batch, sent });
                return false;
            }
            if let Err(batch) = self.ring.push(batch) {
                self.full.push_front(Filled { batch, sent });
                return false;
            }
            self.full_bytes -= bytes;
            self.in_ring.push_back((bytes, sent));
            self.ring_bytes += bytes;
        }
        true
    }

    /// Whether so many bytes may go into the ring: one batch always may.
    fn has_room_for(&mut self, bytes: usize) -> bool {
        loop {
            self.forget_popped();
            let few = self.in_ring.len() < self.pace.batches() && self.ring_bytes + bytes <= self.limit;
            if self.in_ring.is_empty() || few {
                return true;
            }
            if !self.ring.has_fewer_than(self.in_ring.len()) {
                self.was_blocked = true;
                return false;
            }
        }
    }

    fn forget_popped(&mut self) {
        let left = self.ring.len();
        self.pace.took(self.in_ring.len().saturating_sub(left));
        while self.in_ring.len() > left {
            let (bytes, sent) = self.in_ring.pop_front().unwrap_or_default();
            self.ring_bytes -= bytes;
            self.sent.frames -= sent.frames;
            self.sent.bytes -= sent.bytes;
        }
    }

    /// A connection that sends has said so much, which is in the open batch, or in those that became full by it.
    /// False: it has said other things.
    pub(super) fn has_sent(&mut self, sent: Sent) -> bool {
        if sent.bytes == 0 {
            return false;
        }
        for all in [&mut self.sent, &mut self.open.sent] {
            all.frames += sent.frames;
            all.bytes += sent.bytes;
        }
        true
    }

    /// How many frames may be heard now of connections that send: none as long as a portion of them is on its way.
    pub(super) fn takes_sent(&mut self) -> u64 {
        loop {
            self.forget_popped();
            let left = self.left_to_send();
            if left > 0 || !self.has_popped() {
                return left;
            }
        }
    }

    /// Whether [`takes_sent`](Self::takes_sent) has become more than nothing: what is not in the ring will be.
    pub(super) fn may_take_sent(&self) -> bool {
        self.left_to_send() > 0 || self.has_popped()
    }

    /// The same as far as it is known what the broker has taken.
    fn left_to_send(&self) -> u64 {
        let left = (self.portion.commands() as u64).saturating_sub(self.sent.frames);
        match planted("acks-behind-sends") {
            true => left.max(1),
            false if self.sent.bytes < SENT_BYTES => left,
            false => 0,
        }
    }

    /// Whether the broker has taken some of what is known to be in the ring. After a no its next batch wakes this side.
    fn has_popped(&self) -> bool {
        !self.in_ring.is_empty() && self.ring.has_fewer_than(self.in_ring.len())
    }

    /// Whether batches wait for room: the sockets must wait, too (R24).
    pub(super) fn is_blocked(&self) -> bool {
        !self.full.is_empty()
    }

    /// Whether so much waits that what comes now has to wait for its turn, unheard: twice as much as is on its way. Who is heard at once
    /// costs less, as bytes that lie around leave the caches.
    pub(super) fn is_far_behind(&mut self) -> bool {
        if self.hand_over_full() {
            return false;
        }
        self.full.len() >= (2 * self.pace.batches()).min(MOST_FULL) || self.full_bytes >= self.limit
    }

    /// Whether waiting batches could go on: the broker has taken one since they could not.
    pub(super) fn can_go_on(&self) -> bool {
        self.is_blocked() && (self.in_ring.is_empty() || self.has_popped())
    }

    /// Lets go of the empty batches.
    pub(super) fn trim(&mut self) {
        self.ring.trim();
    }

    /// Whether the open batch is handed over before more is added to it (R23).
    fn is_full(&self) -> bool {
        let open = &self.open.batch;
        open.commands.len() >= self.commands
            || open.arena.len() >= limits::BATCH_BYTES
            || open.commands.last().is_some_and(|last| bytes_besides(last) > LONG_BYTES)
    }

    fn close(&mut self) {
        self.open.batch.look = self.look;
        let blank = Filled { batch: self.ring.blank(), sent: Sent::default() };
        self.full_bytes += bytes_of(&self.open.batch);
        self.full.push_back(std::mem::replace(&mut self.open, blank));
    }
}

/// What a client may make long of a command that is not in its batch's arena.
fn bytes_besides(command: &Command) -> usize {
    let names =
        |destinations: &[Destination]| -> usize { destinations.iter().map(|destination| destination.name.len()).sum() };
    match command {
        Command::OpenConsumer(open) => {
            let texts = [&open.selector, &open.subscription].map(|text| text.as_ref().map_or(0, |text| text.len()));
            names(&open.destinations) + texts.iter().sum::<usize>() + open.described.rest.len()
        }
        Command::OpenProducer(open) => names(&open.destinations) + open.described.rest.len(),
        Command::DefineDestination { destinations, .. } => names(destinations),
        Command::DeleteDestination { destination, .. } => destination.name.len(),
        Command::Unsubscribe(unsubscribe) => {
            unsubscribe.name.len() + unsubscribe.client.as_ref().map_or(0, |client| client.len())
        }
        Command::CreateTemporary(create) => create.destination.name.len(),
        _ => 0,
    }
}

/// Bytes of a batch: only its last command may be a long one.
fn bytes_of(batch: &CommandBatch) -> usize {
    batch.arena.len() + batch.commands.last().map_or(0, bytes_besides)
}

impl CommandSink for Outgoing {
    fn batch(&mut self) -> &mut CommandBatch {
        if self.is_full() {
            self.close();
        }
        &mut self.open.batch
    }
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
