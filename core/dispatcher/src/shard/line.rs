//! Who is heard next when more comes in than the broker takes (R24): each connection in its turn, and a little of each, so that who says
//! little does not wait for all that the others say.

use std::collections::VecDeque;

use postrider_model::Now;

use crate::net::{Connection, LITTLE_BYTES, Net};
use crate::plant::planted;

use super::ShardState;
use super::link::Link;
use super::reception::Heard;

/// Frames of a connection that are heard in one turn, and bytes. A few members of it may go besides.
pub(super) const TURN_FRAMES: u64 = 8;
pub(super) const TURN_BYTES: usize = 16 * 1024;

/// Turns of connections until the shard looks at all else: at what comes from others, above all (R25).
pub(super) const TURNS: usize = 32;

/// A turn of those that send is due behind so many turns of others, also while more of these wait: who floods with anything else does not
/// stop them.
const OTHERS: u64 = 3;

/// So it is behind so many frames of those who answer what they were given, and there it is seldom. A message to a topic brings as many
/// answers as there are subscribers: if they fell behind what is sent, credit would end, and each subscriber would be served by itself.
const ANSWERS: u64 = 8192;

/// If so much of a received buffer waits it is not copied.
const KEPT_BYTES: usize = 64 * 1024;

/// Buffers of backlogs that are kept for the next ones, and how long each may be: a few receives.
const SPARE_BUFFERS: usize = 4;
const SPARE_BYTES: usize = 1024 * 1024;

/// What a connection has sent and waits to be heard: little, or no more than a driver hands on until it knows that it is to pause.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    heard: usize,
    /// Members go first.
    removes: bool,
    /// The peer sends no more.
    pub ended: bool,
}

impl Backlog {
    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        self.heard < self.bytes.len() || self.removes
    }

    /// Adds bytes. Who is received from meanwhile may always have some left: what was heard of it takes no room for ever.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.heard > TURN_BYTES {
            self.bytes.drain(..self.heard);
            self.heard = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// What is left of it.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.heard..).unwrap_or_default()
    }

    /// So many bytes less are left of it, behind members that go, or behind none.
    pub(super) fn was_heard(&mut self, bytes: usize, removes: bool) {
        self.heard += bytes;
        self.removes = removes;
    }
}

/// The turn of a connection, of the line of those that send or of the other: so many frames.
struct Turn {
    connection: Connection,
    frames: u64,
    of_senders: bool,
}

/// The connections with a backlog, and those that are not read on before it would be their turn, each once.
#[derive(Default)]
pub(super) struct Line {
    /// Those that have not sent anything of late: acknowledgements, mostly, which free.
    freeing: VecDeque<Connection>,
    /// Those that send.
    sending: VecDeque<Connection>,
    /// Turns of those that have not, and frames of those of them who only answered, since one who sends was heard in its turn.
    others: u64,
    answers: u64,
    /// Turns of those that send, times those who are gone, since one of these had its own.
    turns: usize,
    /// Those of them that have come to have more than a little to say since the driver was told of the others.
    joined: Vec<Connection>,
    /// Bytes of others that were heard at once since it was somebody's turn, or would have been: of those that send, and of the rest.
    senders_passed: usize,
    passed: usize,
    /// Empty buffers.
    spare: Vec<Vec<u8>>,
}

impl Line {
    /// Bytes have come from a link while far too much was on its way to the broker, from one that has a backlog, or behind a removal.
    pub(super) fn add(&mut self, link: &mut Link, bytes: &[u8]) {
        if !link.backlog.waits() {
            if bytes.is_empty() && (!link.session.removes() || planted("removal-forgotten")) {
                return;
            }
            self.queue(link);
            if link.backlog.bytes.capacity() == 0 {
                link.backlog.bytes = self.spare.pop().unwrap_or_default();
            }
        }
        let before = link.backlog.rest().len();
        link.backlog.add(bytes);
        link.backlog.removes = link.session.removes();
        if before <= LITTLE_BYTES && link.backlog.rest().len() > LITTLE_BYTES {
            self.joined.push(link.connection);
        }
    }

    /// The same of what was not heard of a buffer. Where that is much, and nothing else of the link waits, the buffer itself is kept, and
    /// another as long left in its place, if there is one.
    pub(super) fn keep(&mut self, link: &mut Link, buffer: &mut Vec<u8>, heard: usize) {
        let rest = buffer.get(heard..).unwrap_or_default();
        if rest.len() < KEPT_BYTES || link.backlog.waits() || link.session.removes() {
            return self.add(link, rest);
        }
        self.queue(link);
        let other = self.spare.pop_if(|spare| spare.capacity() == buffer.capacity()).unwrap_or_default();
        let bytes = std::mem::replace(buffer, other);
        link.backlog = Backlog { bytes, heard, ..Backlog::default() };
        self.joined.push(link.connection);
    }

    /// Whether so many bytes of somebody who is not in it have to wait for those who are, or, though nobody is, for the broker: between
    /// their turns a little is heard at once.
    pub(super) fn comes_first(&mut self, bytes: usize, sends: bool, enough: bool) -> bool {
        let before = if sends { enough || !self.is_empty() } else { !self.freeing.is_empty() };
        if !before {
            return false;
        }
        let passed = if sends { &mut self.senders_passed } else { &mut self.passed };
        let waits = *passed + bytes > TURN_BYTES;
        *passed += if waits { 0 } else { bytes };
        waits
    }

    /// A connection goes to the end of the line. False: it has a place there.
    pub(super) fn queue(&mut self, link: &Link) -> bool {
        let comes = !link.backlog.waits() && !link.holds.ring;
        if comes {
            self.queue_again(link.connection, link.sends);
        }
        comes
    }

    /// The same of one that has no place in it.
    pub(super) fn queue_again(&mut self, connection: Connection, sends: bool) {
        let line = if sends { &mut self.sending } else { &mut self.freeing };
        line.push_back(connection);
    }

    /// Whose turn it is. Those that send have none while enough of it is on its way.
    fn next(&mut self, takes_sent: impl FnOnce() -> u64) -> Option<Turn> {
        let is_theirs = self.freeing.is_empty() || self.others >= OTHERS || self.answers >= ANSWERS;
        let frames = if is_theirs && !self.sending.is_empty() { takes_sent().min(TURN_FRAMES) } else { 0 };
        let of_senders = frames > 0;
        let (line, frames) = if of_senders { (&mut self.sending, frames) } else { (&mut self.freeing, TURN_FRAMES) };
        line.pop_front().map(|connection| Turn { connection, frames, of_senders })
    }

    /// Somebody was heard in a turn of those who send nothing, or out of turn and has not sent anything.
    pub(super) fn was_heard(&mut self, heard: &Heard) {
        match heard.answers {
            0 => self.others += 1,
            answers => self.answers += answers,
        }
    }

    /// A backlog is heard to its end.
    fn keep_buffer(&mut self, backlog: Backlog) {
        let mut buffer = backlog.bytes;
        if self.spare.len() < SPARE_BUFFERS && buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// One of those that send had its turn, beside so many that are gone and not heard to the end: a turn of theirs is due behind one of
    /// each that sends.
    fn note_turn(&mut self, unheard: usize) {
        self.turns = (self.turns + unheard).min(self.sending.len() * unheard);
    }

    /// Whether it is the turn of one of those who are gone.
    fn takes_departed(&mut self) -> bool {
        let is_theirs = !self.sending.is_empty() && self.turns >= self.sending.len();
        self.turns -= if is_theirs { self.sending.len() } else { 0 };
        is_theirs
    }

    /// Whether none of those waits that send.
    pub(super) fn has_no_senders(&self) -> bool {
        self.sending.is_empty()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.freeing.is_empty() && self.sending.is_empty()
    }
}

impl<Socket> ShardState<Socket> {
    /// Those in the line are heard as long as the broker takes what they say; of who has bytes in it nothing more is received.
    pub(super) fn serve_line<N: Net>(&mut self, now: Now, net: &mut N) {
        let mut turns = TURNS;
        while turns > 0 && self.outgoing.hand_over_full() {
            (self.links.line.senders_passed, self.links.line.passed) = (0, 0);
            if self.outgoing.takes_sent() > 0 && self.links.line.takes_departed() {
                turns -= usize::from(self.hear_one_departed(now));
                continue;
            }
            let Some(turn) = self.links.line.next(|| self.outgoing.takes_sent()) else { break };
            if self.hear_in_turn(&turn, now, net) {
                turns -= 1;
                // Turns of others, however many are between them, take nothing of what is due.
                if turn.of_senders {
                    self.links.line.note_turn(self.departed.unheard());
                }
            }
        }
        while let Some(connection) = self.links.line.joined.pop() {
            let Some(link) = self.links.get(connection) else { continue };
            if link.backlog.rest().len() > LITTLE_BYTES && !link.holds.turn {
                self.links.hold(connection, net, |holds| holds.turn = true);
            }
        }
    }

    /// Whether somebody in the line could be heard, or read on.
    pub(super) fn can_serve_line(&self) -> bool {
        let line = &self.links.line;
        !line.is_empty() && !self.outgoing.is_blocked() && (!line.freeing.is_empty() || self.outgoing.may_take_sent())
    }

    /// One connection's turn. It goes to the end of the line, unless it has been heard to the end. False: it had nothing to say.
    fn hear_in_turn<N: Net>(&mut self, turn: &Turn, now: Now, net: &mut N) -> bool {
        let connection = turn.connection;
        if let Some(link) = self.links.get(connection).filter(|link| link.holds.queue && !link.closing) {
            link.stands_aside = true;
            return false;
        }
        self.read_on(connection, net);
        let Some(link) = self.links.get(connection).filter(|link| link.backlog.waits()) else { return false };
        let mut backlog = std::mem::take(&mut link.backlog);
        let rest = backlog.rest();
        let mut piece = rest.get(..TURN_BYTES).unwrap_or(rest);
        let whole = piece.len();
        let heard = self.hear(connection, &mut piece, turn.frames, now);
        let line = &mut self.links.line;
        match turn.of_senders {
            true => (line.others, line.answers) = (0, 0),
            false => line.was_heard(&heard),
        }
        let Heard { to_look_at, removes, sends, .. } = heard;
        backlog.was_heard(whole - piece.len(), removes);
        if self.links.get(connection).is_none_or(|link| link.closing) {
            return true;
        }
        if to_look_at {
            self.links.hold_for_half_frame(connection, now, net);
            self.watch(connection);
            self.links.hold_for_parking(connection, net);
        }
        if backlog.waits() {
            if sends && planted("flood-starves") {
                self.links.line.sending.push_front(connection);
            } else if !planted("line-forgotten") {
                self.links.line.queue_again(connection, sends);
            }
        } else {
            if backlog.bytes.len() > TURN_BYTES && self.outgoing.is_blocked() {
                self.links.hold_for_ring(connection, net);
            }
            self.links.hold(connection, net, |holds| holds.turn = false);
            if backlog.ended {
                self.take_leave(connection, now);
            }
            self.links.line.keep_buffer(std::mem::take(&mut backlog));
        }
        if let Some(link) = self.links.get(connection) {
            link.backlog = backlog;
        }
        true
    }

    /// Who has said much while too much was on its way has waited as long as the others.
    fn read_on<N: Net>(&mut self, connection: Connection, net: &mut N) {
        if self.links.get(connection).is_some_and(|link| link.holds.ring) && !planted("ring-hold-stays") {
            self.links.hold(connection, net, |holds| holds.ring = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_takes_no_room_though_there_is_always_more() {
        let mut backlog = Backlog::default();
        backlog.add(&[0; 100]);
        for round in 1..=10_000_u32 {
            let piece = round.to_le_bytes().repeat(25);
            backlog.add(&piece);
            backlog.was_heard(100, false);
            assert!(backlog.waits() && backlog.rest() == piece);
        }
        assert!(backlog.bytes.capacity() < 4 * TURN_BYTES, "{} bytes", backlog.bytes.capacity());
    }
}
