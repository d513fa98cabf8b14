//! What the network tells a shard, while the driver is being polled.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Once;

use postrider_model::{Clock, Now, limits};
use postrider_wire::session::{Missing, Next};

use crate::net::{Connection, Handler, ListenerIndex, Net};

use super::gathering::Said;
use super::halves::SMALL_BYTES;
use super::line::{TURN_BYTES, TURN_FRAMES};
use super::outgoing::Sent;
use super::{Arrival, ShardState};

/// Times that a connection is heard in one piece that the driver brings: what is beyond waits for its turn, also of frames that bring nothing
/// up, as keep-alives, of which a piece holds thousands.
const TIMES: usize = 4;

/// The handler of one poll. The clock is read when the first call comes, that is after the wait.
pub(super) struct Reception<'a, Socket, C> {
    state: &'a mut ShardState<Socket>,
    clock: &'a C,
    now: Option<Now>,
    heard_from: Vec<Connection>,
}

impl<'a, Socket, C: Clock> Reception<'a, Socket, C> {
    /// The handler for one poll.
    pub(super) fn new(state: &'a mut ShardState<Socket>, clock: &'a C) -> Self {
        let heard_from = std::mem::take(&mut state.heard_from);
        Reception { state, clock, now: None, heard_from }
    }

    /// What could not be done while the driver was busy: holds for connections that have sent more than there is room for. When
    /// something happened, if it did.
    pub(super) fn finish<N: Net>(mut self, net: &mut N) -> Option<Now> {
        let blocked = self.state.outgoing.is_blocked();
        for connection in self.heard_from.drain(..) {
            if blocked {
                self.state.links.hold_for_ring(connection, net);
            }
            self.state.links.hold_for_half_frame(connection, self.now.unwrap_or_default(), net);
            self.state.watch(connection);
            self.state.links.hold_for_parking(connection, net);
        }
        for (connection, bytes) in self.state.gathers.drain(..) {
            net.gather(connection, bytes);
        }
        self.warn_of_missing();
        self.state.heard_from = self.heard_from;
        self.now
    }

    /// Says once in the process's life what clients wait for in vain.
    fn warn_of_missing(&mut self) {
        static GROUPS: Once = Once::new();
        while let Some(missing) = self.state.handles.take_missing() {
            match missing {
                Missing::Groups => GROUPS.call_once(|| {
                    tracing::warn!(
                        "a message has a JMSXGroupID: groups are not kept in this version, its queue's consumers share its messages"
                    );
                }),
            }
        }
    }

    fn now(&mut self) -> Now {
        *self.now.get_or_insert_with(|| self.clock.now())
    }

    /// Hears what has come of a connection as far as others let it. What has to wait for its turn is what is behind so many bytes, if any.
    fn hear(&mut self, connection: Connection, mut bytes: &[u8]) -> Option<usize> {
        let now = self.now();
        let link = self.state.links.get(connection).filter(|link| !link.closing)?;
        let (mut sends, waits) = (link.sends, link.backlog.waits() || link.holds.queue);
        let mut frames = self.state.may_say(sends);
        let waits = waits || self.state.links.line.comes_first(bytes.len(), sends, frames == 0);
        frames = frames.max(TURN_FRAMES);
        let (came, much, mut to_look_at) = (bytes.len(), bytes.len() > TURN_BYTES, false);
        let mut times = if waits { 0 } else { TIMES };
        let mut rest = None;
        while !bytes.is_empty() {
            if times == 0 || frames == 0 || self.state.outgoing.is_far_behind() {
                rest = Some(came - bytes.len());
                break;
            }
            times -= 1;
            let heard = self.state.hear(connection, &mut bytes, frames, now);
            to_look_at |= heard.to_look_at;
            sends = heard.sends;
            if !sends {
                self.state.links.line.was_heard(&heard);
            }
            frames = self.state.may_say(sends);
            if heard.removes {
                rest = Some(came - bytes.len());
                break;
            }
        }
        if to_look_at || (much && self.state.outgoing.is_blocked()) {
            self.heard_from.push(connection);
        }
        rest
    }

    /// So many bytes of a connection have come: how much of what comes next is worth a wake-up.
    fn gather(&mut self, connection: Connection, came: usize) {
        let now = self.now();
        let Some(link) = self.state.links.get(connection).filter(|link| !link.closing) else { return };
        let (said, prefetch) = (Said::by(&link.session), link.session.least_prefetch());
        if let Some(bytes) = link.gathering.heard(came, said, prefetch, now.nanos) {
            self.state.gathers.push((connection, bytes));
        }
    }
}

impl<Socket, C: Clock> Handler<Socket> for Reception<'_, Socket, C> {
    fn accepted(&mut self, listener: ListenerIndex, socket: Socket, peer: SocketAddr) {
        let Some(dealer) = &mut self.state.dealer else { return };
        let Some(protocol) = dealer.spoken_at(listener) else { return };
        let Err(reason) = dealer.deal(Arrival { socket, peer, protocol }) else { return };
        self.state.statistics.turned_away += 1;
        let now = self.now();
        if let Some(left_out) = self.state.complaints.allowed(now) {
            tracing::warn!(%peer, left_out, "connection closed: {reason}");
        }
    }

    fn received(&mut self, connection: Connection, bytes: &[u8]) {
        if let Some(heard) = self.hear(connection, bytes) {
            self.state.links.wait_in_line(connection, bytes.get(heard..).unwrap_or_default());
        }
        self.gather(connection, bytes.len());
    }

    fn received_much(&mut self, connection: Connection, buffer: &mut Vec<u8>) {
        let came = buffer.len();
        if let Some(heard) = self.hear(connection, buffer) {
            self.state.links.keep_in_line(connection, buffer, heard);
        }
        self.gather(connection, came);
    }

    fn sent(&mut self, connection: Connection, buffer: Vec<u8>, _result: io::Result<()>) {
        let Some(link) = self.state.links.get(connection) else { return };
        link.sent(buffer);
        self.state.links.mark_dirty(connection);
    }

    fn ended(&mut self, connection: Connection) {
        // A client that sends no more has gone; what it is still owed goes out first.
        let now = self.now();
        match self.state.links.get(connection) {
            Some(link) if link.backlog.waits() => link.backlog.ended = true,
            _ => self.state.take_leave(connection, now),
        }
    }

    fn closed(&mut self, connection: Connection, reason: io::Result<()>) {
        let Some(link) = self.state.links.remove(connection) else { return };
        self.state.inbox.closed();
        if let Err(error) = reason {
            tracing::debug!(peer = &*link.peer, %error, "connection lost");
        }
        // Something has happened in this poll: what departs is served behind it.
        self.now();
        self.state.depart(link);
    }
}

/// What a connection was found to be when it was heard.
#[derive(Clone, Copy, Default)]
pub(super) struct Heard {
    /// It may have to be held back.
    pub to_look_at: bool,
    /// Members of it go, behind which the rest waits.
    pub removes: bool,
    /// It may send more.
    pub sends: bool,
    /// Frames that were heard of it, if each of them may answer a message that it was given; otherwise none.
    pub answers: u64,
}

impl<Socket> ShardState<Socket> {
    /// Frames that a connection may say at once, which has sent something of late or has not.
    fn may_say(&mut self, sends: bool) -> u64 {
        if sends { self.outgoing.takes_sent() } else { limits::BATCH_COMMANDS as u64 }
    }

    /// Gives so many frames of a connection's bytes to its session. Of one that ends nothing is left.
    pub(super) fn hear(&mut self, connection: Connection, bytes: &mut &[u8], frames: u64, now: Now) -> Heard {
        let ShardState { links, handles, outgoing, .. } = self;
        let Some(link) = links.get(connection).filter(|link| !link.closing) else {
            *bytes = &[];
            return Heard::default();
        };
        let half_frame = link.session.half_frame_bytes();
        let (before, said) = (Sent::by(&link.session), Said::by(&link.session));
        let outcome = link.session.received(bytes, frames, now, handles, outgoing, &mut link.output);
        let kept = link.session.half_frame_bytes();
        link.half.received(link.session.pending_bytes(), link.session.frames(), now);
        let to_look_at = half_frame.max(kept) > SMALL_BYTES || link.settled.is_some();
        let has_sent = outgoing.has_sent(Sent::by(&link.session).since(before));
        let answers = link.was_heard(has_sent, Said::by(&link.session).acknowledgements_since(said));
        let sends = link.sends;
        if !link.output.is_empty() {
            links.mark_dirty(connection);
        }
        let removes = outcome == Ok(Next::Remove);
        match outcome {
            Ok(Next::Continue | Next::Remove) => self.watch(connection),
            Ok(Next::Close) => self.take_leave(connection, now),
            Err(error) => self.refuse(connection, &error, now),
        }
        Heard { to_look_at, removes, sends, answers }
    }

    /// Ends a connection because of what it sent. The others go on.
    pub(super) fn refuse(&mut self, connection: Connection, error: &dyn Display, now: Now) {
        let Some(link) = self.links.get(connection) else { return };
        if link.closing {
            return;
        }
        self.statistics.refused += 1;
        if let Some(left_out) = self.complaints.allowed(now) {
            tracing::warn!(peer = &*link.peer, %error, left_out, "connection closed");
        }
        self.close(connection, now);
    }
}
