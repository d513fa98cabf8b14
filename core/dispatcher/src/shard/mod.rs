//! A shard: one thread's connections, their protocols, and its port to the broker.
//!
//! A shard's turn has two halves. [`Shard::turn`] takes the broker's events, encodes them and flushes the sockets;
//! [`Shard::poll`] asks the network what happened, waiting for it if the owner of the thread says so, and hands the commands
//! over. The owner calls them in this order, so that nothing lies around while the thread sleeps.

pub(crate) mod complaints;
mod dealer;
mod delivery;
mod departed;
mod gathering;
mod halves;
mod line;
mod link;
mod links;
mod outgoing;
mod pace;
mod parking;
mod reception;
mod timers;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use postrider_broker::EventBatch;
use postrider_model::{Clock, Command, ConnectionHandle, Handle, Now};
use postrider_wire::session::{CommandSink, Handles, Profile, Protocol, Session};

pub use dealer::{Arrival, Dealer, Inbox};

use crate::net::{Closing, Connection, Net, NetStatistics, Wait};
use crate::plant::planted;
use crate::port::ClientPort;
use crate::ring::Receiver;
use complaints::Complaints;
use departed::Departed;
use links::Links;
use outgoing::Outgoing;
pub use outgoing::WayUp;
use reception::Reception;
use timers::Timers;

/// Batches of events that one turn takes (bounded work).
const EVENT_BATCHES_A_TURN: usize = 8;

/// How long what is done for clients is collected, and what they send left with the kernel, while there is enough to do, in nanoseconds: a
/// system call and a waking of each client for every few messages would be most of the work.
const POLL_EVERY_NANOS: u64 = 200_000;

/// How long a connection that is being closed may take to take its last bytes.
const CLOSE_WITHIN_NANOS: u64 = 5_000_000_000;

/// What a shard has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStatistics {
    /// Connections that came.
    pub accepted: u64,
    /// Connections that are open.
    pub open: u64,
    /// Consumers that are not forgotten yet.
    pub consumers: u64,
    /// Bytes that clients make it keep, beyond what is free for each connection.
    pub client_bytes: u64,
    /// Connections ended by us because of what they sent.
    pub refused: u64,
    /// Connections that were closed when they came, as there were too many.
    pub turned_away: u64,
}

/// One thread's connections.
pub struct Shard<N: Net> {
    net: N,
    state: ShardState<N::Socket>,
    /// When the network was looked at last, in nanoseconds.
    polled: u64,
    poll_is_due: bool,
}

/// All of a shard but its network driver, which calls it back.
struct ShardState<Socket> {
    links: Links,
    departed: Departed,
    handles: Handles,
    outgoing: Outgoing,
    events: Receiver<EventBatch>,
    timers: Timers,
    profile: Rc<Profile>,
    inbox: Arc<Inbox<Socket>>,
    dealer: Option<Dealer<Socket>>,
    /// The process is to end: nobody is let in.
    ending: bool,
    /// Connections heard of during one poll that may have to be held back; empty in between.
    heard_from: Vec<Connection>,
    /// The same of those of which so many bytes are worth a wake-up from here on.
    gathers: Vec<(Connection, usize)>,
    complaints: Complaints,
    statistics: ShardStatistics,
}

impl<N: Net> Shard<N> {
    /// A shard with no connections yet. The one that listens has a dealer.
    pub fn new(
        net: N,
        port: ClientPort,
        profile: Rc<Profile>,
        inbox: Arc<Inbox<N::Socket>>,
        dealer: Option<Dealer<N::Socket>>,
    ) -> Shard<N> {
        let state = ShardState {
            links: Links::default(),
            departed: Departed::default(),
            handles: Handles::default(),
            outgoing: Outgoing::new(port.commands, port.portion),
            events: port.events,
            timers: Timers::default(),
            profile,
            inbox,
            dealer,
            ending: false,
            heard_from: Vec::new(),
            gathers: Vec::new(),
            complaints: Complaints::default(),
            statistics: ShardStatistics::default(),
        };
        Shard { net, state, polled: 0, poll_is_due: true }
    }

    /// Changes how many bytes of this shard's connections the broker may have to park.
    pub fn set_park_bytes(&mut self, bytes: u64) {
        self.state.links.set_park_bytes(bytes);
    }

    /// Changes how many bytes of half frames it keeps, beside what each may have (R22).
    pub fn set_half_frame_bytes(&mut self, bytes: usize) {
        self.state.links.set_half_frame_bytes(bytes);
    }

    /// Changes how much of what its clients say is on its way up at a time.
    pub fn set_way_up(&mut self, way_up: WayUp) {
        self.state.outgoing.set_way_up(way_up);
    }

    /// Changes how much memory this shard's connections may take besides messages.
    pub fn set_client_memory_bytes(&mut self, bytes: u64) {
        self.state.handles.memory.set_budget(bytes);
    }

    /// First half: events to bytes, timers, sends. True: something was said to clients. As long as a broker on the same thread is `busy` with
    /// what it has, and has been handed by this turn, the network need not be looked at in each: sends are collected for
    /// [`poll_is_due`](Self::poll_is_due).
    pub fn turn(&mut self, now: Now, busy: impl FnOnce() -> bool) -> bool {
        self.state.outgoing.look(now.nanos);
        let delivered = self.state.take_events(now, &mut self.net);
        self.state.run_timers(now, &mut self.net);
        if self.state.departed.come_first() {
            self.state.hear_departed(now);
        }
        self.state.forget_departed();
        self.adopt_arrivals(now);
        self.state.links.release_half_frames(now, &mut self.net);
        self.state.links.release_parking_holds(&mut self.net);
        self.state.serve_line(now, &mut self.net);
        self.state.hear_departed(now);
        self.state.outgoing.set_strained(self.state.links.is_strained());
        self.state.outgoing.push();
        let idle = self.state.events.is_empty() && !busy();
        self.poll_is_due = idle || now.nanos >= self.polled + POLL_EVERY_NANOS;
        if self.poll_is_due {
            self.polled = now.nanos;
            self.flush(now);
            self.state.outgoing.push();
        }
        delivered
    }

    /// Whether the second half follows: otherwise the next turn does.
    pub fn poll_is_due(&self) -> bool {
        self.poll_is_due
    }

    /// Second half: what happened on the network becomes commands, handed over at the end, after `awake`: a broker on the same thread
    /// is awake then and needs no wake-up. Blocks as long as `wait` says when nothing happened.
    pub fn poll(&mut self, wait: Wait, clock: &impl Clock, awake: impl FnOnce()) -> io::Result<usize> {
        self.state.outgoing.looks(wait != Wait::None);
        let mut reception = Reception::new(&mut self.state, clock);
        let calls = self.net.poll(wait, &mut reception)?;
        let now = reception.finish(&mut self.net);
        awake();
        if let Some(now) = now {
            self.state.serve_line(now, &mut self.net);
            self.state.hear_departed(now);
            self.state.forget_departed();
        }
        self.state.outgoing.push();
        Ok(calls)
    }

    /// Whether something waits that is not the network's: looked at once more before the thread sleeps (R26).
    pub fn has_work(&self) -> bool {
        !self.state.events.is_empty()
            || (!self.state.inbox.is_empty() && self.state.departed.lets_in())
            || self.state.can_serve_departed()
            || self.state.outgoing.can_go_on()
            || self.state.can_serve_line()
            || self.state.links.may_release()
    }

    /// When the first timer comes up, in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.state.timers.deadline()
    }

    /// Lets go of what is kept for later use only: as much as the largest burst took.
    pub fn trim(&mut self) {
        self.state.outgoing.trim();
    }

    /// Counts since the shard began.
    pub fn statistics(&self) -> ShardStatistics {
        let ShardState { links, handles, statistics, .. } = &self.state;
        let client_bytes = handles.memory.taken();
        ShardStatistics { open: links.len() as u64, consumers: handles.len() as u64, client_bytes, ..*statistics }
    }

    /// The driver's counts.
    pub fn net_statistics(&self) -> NetStatistics {
        self.net.statistics()
    }

    /// Receives nothing more from anybody: the process is to end.
    pub fn stop_receiving(&mut self) {
        self.state.links.hold_all(&mut self.net);
        self.state.links.all_go_on(&mut self.net);
        self.state.dealer = None;
        self.state.ending = true;
    }

    /// Whether the broker has everything that was received.
    pub fn has_handed_over(&self) -> bool {
        !self.state.outgoing.is_blocked() && self.state.links.line.is_empty() && self.state.departed.are_heard()
    }

    /// Whether every answer is with the kernel.
    pub fn is_drained(&self) -> bool {
        self.state.events.is_empty() && self.state.links.iter().all(|link| link.is_drained())
    }

    /// Takes over the sockets that were dealt to this shard, as those that are gone let them in.
    fn adopt_arrivals(&mut self, now: Now) {
        while let Some(connection) = self.state.departed.take_told() {
            self.net.release(connection);
        }
        while self.state.departed.lets_in() {
            let Some(Arrival { socket, peer, protocol }) = self.state.inbox.take() else { return };
            self.state.departed.let_in();
            if self.state.ending {
                self.state.inbox.closed();
                continue;
            }
            match self.net.adopt(socket) {
                Ok(connection) => self.state.greet(connection, protocol, &peer.to_string(), now),
                Err(error) => {
                    self.state.inbox.closed();
                    self.state.statistics.turned_away += 1;
                    if let Some(left_out) = self.state.complaints.allowed(now) {
                        tracing::warn!(%peer, %error, left_out, "connection closed: the network driver does not take it");
                    }
                }
            }
        }
    }

    /// Sends what there is to send, and closes what is to be closed.
    fn flush(&mut self, now: Now) {
        while let Some(connection) = self.state.links.pop_dirty() {
            let Some(link) = self.state.links.get(connection) else { continue };
            link.dirty = false;
            link.flush(&mut self.net);
            let is_to_rest = link.is_to_rest(now.nanos);
            if link.closing && link.is_drained() && !(link.leaves && link.session.is_owed_answers()) {
                self.net.close(connection, Closing::Drained);
            }
            self.state.links.hold_if_choked(connection, &mut self.net);
            self.state.report_written(connection);
            if is_to_rest {
                self.state.watch(connection);
            }
        }
    }
}

impl<Socket> ShardState<Socket> {
    fn greet(&mut self, connection: Connection, protocol: Protocol, peer: &str, now: Now) {
        let mut output = Vec::new();
        let session = Session::new(protocol, handle_of(connection), peer, self.profile.clone(), now, &mut output);
        self.links.insert(link::Link::new(connection, peer, session, output));
        self.watch(connection);
        self.statistics.accepted += 1;
    }

    /// A client sends no more, or has said goodbye. What it is still owed goes out first: the answers of the broker, too, if what it has
    /// asked does not lie parked.
    fn take_leave(&mut self, connection: Connection, now: Now) {
        let Some(link) = self.links.get(connection).filter(|link| !link.closing) else { return };
        link.leaves = link.settled.is_none() && !planted("leaves-unanswered");
        if link.leaves {
            link.session.leaves(&mut self.outgoing);
        }
        self.close(connection, now);
    }

    /// Ends a connection; what was written before goes out first, if the peer takes it in time.
    fn close(&mut self, connection: Connection, now: Now) {
        let Some(link) = self.links.get(connection) else { return };
        if !std::mem::replace(&mut link.closing, true) {
            link.timer = now.nanos + CLOSE_WITHIN_NANOS;
            self.timers.insert(link.timer, connection);
            self.links.mark_dirty(connection);
        }
    }

    /// Sees to it that the session is asked at its deadline, which may have come nearer.
    fn watch(&mut self, connection: Connection) {
        let Some(link) = self.links.get(connection) else { return };
        let deadline = link.session.deadline().min(link.half.deadline).min(link.rest);
        if deadline < link.timer && !link.closing {
            link.timer = deadline;
            self.timers.insert(deadline, connection);
        }
    }

    fn run_timers<N: Net>(&mut self, now: Now, net: &mut N) {
        while let Some((due, connection)) = self.timers.pop_due(now.nanos) {
            let Some(link) = self.links.get(connection) else { continue };
            if link.timer != due {
                continue;
            }
            link.timer = u64::MAX;
            if link.closing {
                let is_owed_more = !link.is_drained();
                net.close(connection, if is_owed_more { Closing::AtOnce } else { Closing::Drained });
                continue;
            }
            link.look_after(now.nanos);
            if now.nanos >= link.half.deadline {
                self.check_half_frame(connection, now);
                continue;
            }
            if let Err(error) = link.session.tick(now, &mut link.output) {
                self.refuse(connection, &error, now);
            }
            self.links.mark_dirty(connection);
            self.watch(connection);
        }
    }

    /// A half frame has not gone on as it should: its connection ends, unless that is not its client's fault.
    fn check_half_frame(&mut self, connection: Connection, now: Now) {
        if !self.links.half_frame_ends(connection, now) {
            return self.watch(connection);
        }
        let Some(link) = self.links.get(connection) else { return };
        let too_slow = link.half.too_slow(link.session.pending_bytes());
        self.refuse(connection, &too_slow, now);
    }

    fn report_written(&mut self, connection: Connection) {
        let Some(link) = self.links.get(connection) else { return };
        if let Some(bytes) = link.written_to_report() {
            let command = Command::Written { connection: handle_of(connection), bytes };
            self.outgoing.batch().commands.push(command);
        }
    }
}

/// The broker knows a connection by the driver's slot and generation.
fn handle_of(connection: Connection) -> ConnectionHandle {
    Handle { slot: connection.slot, generation: connection.generation }
}

/// The way back.
fn connection_of(handle: ConnectionHandle) -> Connection {
    Connection { slot: handle.slot, generation: handle.generation }
}
