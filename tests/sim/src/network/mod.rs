//! Connections as pairs of byte pipes, with what a network does to them: segments of any length, delays, peers that do not
//! read, resets, and lines that die without a word.

mod driver;
mod pipe;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postrider_dispatcher::net::{Connection, Waker};

use crate::random::Random;
use crate::schedule::{Happening, Schedule};
pub use driver::SimNet;
use pipe::Pipe;

/// How a network behaves.
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    /// Nanoseconds that a segment typically takes.
    pub delay_nanos: u64,
    /// Longest segment.
    pub segment_bytes: u64,
    /// Bytes that the kernel holds in each direction for a peer that does not read.
    pub buffer_bytes: usize,
    /// Bytes that the broker may have for one client that does not read (R23).
    pub most_pending: usize,
}

/// A client's name of its connection.
pub type LinkId = u64;

/// The network. Handles share it.
#[derive(Clone)]
pub struct Network {
    state: Rc<RefCell<State>>,
    schedule: Schedule,
}

struct State {
    plan: NetworkPlan,
    random: Random,
    links: BTreeMap<LinkId, Link>,
    next_link: LinkId,
    listening: bool,
    shards: Vec<ShardSide>,
    /// Links with something for their client.
    client_news: VecDeque<LinkId>,
}

/// What the drivers of one shard share with the network.
struct ShardSide {
    /// Set by the waker, from "another thread".
    woken: Arc<AtomicBool>,
    /// Links with something for the driver, each once.
    ready: VecDeque<LinkId>,
    /// Links that wait to be accepted.
    arrivals: VecDeque<LinkId>,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    link: Option<LinkId>,
    /// The link is gone, and its shard has not said that the slot may be used again.
    is_kept: bool,
}

struct Link {
    up: Pipe,
    down: Pipe,
    /// Shard and connection, once a shard has it.
    server: Option<(usize, Connection)>,
    /// It is in its shard's list of ready ones.
    queued: bool,
    paused: bool,
    /// Bytes of a send that the driver still has.
    sending: Option<(Vec<u8>, usize)>,
    /// A send is over, which the handler has not been told.
    finished: Option<(Vec<u8>, bool)>,
    /// The shard wants it closed: after the send, or at once.
    closing: Option<bool>,
    reset: bool,
    /// The process has died that had it.
    orphaned: bool,
    end_told: bool,
    /// Nothing arrives any more, in either direction, and nobody is told.
    dead: bool,
    client_gone: bool,
    client_told: bool,
    client_reads: bool,
}

/// What a client finds on its connection.
pub enum Arrival {
    /// Bytes, and when the broker had sent the first of them.
    Bytes(Vec<u8>),
    /// The connection is over.
    Closed(End),
}

/// Who has ended a connection that its client had not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The broker.
    Broker,
    /// The end of its process.
    Process,
}

impl Network {
    /// A network without connections.
    pub fn new(plan: NetworkPlan, random: Random, schedule: Schedule) -> Network {
        let state = State {
            plan,
            random,
            links: BTreeMap::new(),
            next_link: 1,
            listening: false,
            shards: Vec::new(),
            client_news: VecDeque::new(),
        };
        Network { state: Rc::new(RefCell::new(state)), schedule }
    }

    /// Drivers for the shards of a new process.
    pub fn drivers(&self, shards: usize) -> Vec<SimNet> {
        let mut state = self.state.borrow_mut();
        let side = |_| ShardSide {
            woken: Arc::new(AtomicBool::new(false)),
            ready: VecDeque::new(),
            arrivals: VecDeque::new(),
            slots: Vec::new(),
        };
        state.shards = (0..shards).map(side).collect();
        drop(state);
        (0..shards).map(|shard| SimNet::new(self.clone(), shard)).collect()
    }

    /// The process is gone: the kernel resets its connections.
    pub fn process_died(&self) {
        let mut state = self.state.borrow_mut();
        state.listening = false;
        state.shards.clear();
        let links: Vec<LinkId> = state.links.keys().copied().collect();
        for id in links {
            let link = state.links.get_mut(&id).expect("just listed");
            (link.reset, link.orphaned) = (true, true);
            // What the clients have not read goes with the reset.
            link.down = Pipe::default();
            link.server = None;
            link.sending = None;
            link.queued = true;
            let delay = state.delay();
            self.schedule.after(delay, Happening::Network(id));
        }
    }

    /// A client connects. None: nobody listens.
    pub fn connect(&self) -> Option<LinkId> {
        let mut state = self.state.borrow_mut();
        if !state.listening {
            return None;
        }
        let id = state.next_link;
        state.next_link += 1;
        state.links.insert(id, Link::new());
        state.shards[0].arrivals.push_back(id);
        Some(id)
    }

    /// A client writes.
    pub fn write(&self, id: LinkId, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        let Some(link) = state.links.get_mut(&id) else { return };
        link.up.write(bytes);
        state.send_up(id, &self.schedule);
    }

    /// A client closes: in order, behind what it wrote, or by a reset.
    pub fn close(&self, id: LinkId, in_order: bool) {
        let mut state = self.state.borrow_mut();
        let Some(link) = state.links.get_mut(&id) else { return };
        link.client_gone = true;
        if in_order {
            link.up.end();
            state.send_up(id, &self.schedule);
        } else {
            let delay = state.delay();
            let link = state.links.get_mut(&id).expect("just there");
            link.reset = true;
            self.schedule.after(delay, Happening::Network(id));
        }
    }

    /// A client sends no more behind what it wrote, and reads on.
    pub fn end(&self, id: LinkId) {
        let mut state = self.state.borrow_mut();
        let Some(link) = state.links.get_mut(&id) else { return };
        link.up.end();
        state.send_up(id, &self.schedule);
    }

    /// The line dies: nothing arrives at either end, and nobody is told.
    pub fn cut(&self, id: LinkId) {
        if let Some(link) = self.state.borrow_mut().links.get_mut(&id) {
            link.dead = true;
        }
    }

    /// Whether the client reads what comes.
    pub fn set_reading(&self, id: LinkId, reads: bool) {
        let mut state = self.state.borrow_mut();
        let Some(link) = state.links.get_mut(&id) else { return };
        link.client_reads = reads;
        if reads && (link.down.has_arrived() || link.reset) {
            state.client_news.push_back(id);
        }
    }

    /// The next client connection with news.
    pub fn client_news(&self) -> Option<LinkId> {
        self.state.borrow_mut().client_news.pop_front()
    }

    /// What has come for a client.
    pub fn read(&self, id: LinkId) -> Option<Arrival> {
        let mut state = self.state.borrow_mut();
        let link = state.links.get_mut(&id)?;
        if link.client_gone || link.client_told || !link.client_reads {
            return None;
        }
        if let Some(bytes) = link.down.take(usize::MAX) {
            state.send_down(id, &self.schedule);
            return Some(Arrival::Bytes(bytes));
        }
        let over = link.down.is_over() || (link.reset && !link.dead);
        over.then(|| {
            link.client_told = true;
            Arrival::Closed(if link.orphaned { End::Process } else { End::Broker })
        })
    }

    /// Something has travelled as far as it goes: both ends look.
    pub fn arrive(&self, id: LinkId) {
        let mut state = self.state.borrow_mut();
        let now = self.schedule.nanos();
        let Some(link) = state.links.get_mut(&id) else { return };
        if link.dead {
            state.forget_if_over(id);
            return;
        }
        link.up.arrive(now);
        link.down.arrive(now);
        // The kernel of a client that has closed answers data by a reset.
        link.reset |= link.client_gone && link.down.has_arrived();
        state.send_down(id, &self.schedule);
        state.mark_ready(id);
        let link = state.links.get_mut(&id).expect("just there");
        if link.client_reads && !link.client_gone && (link.down.has_arrived() || link.down.is_over() || link.reset) {
            state.client_news.push_back(id);
        }
        state.forget_if_over(id);
    }

    /// Whether a driver has something for its handler, or was woken.
    pub fn has_news(&self, shard: usize) -> bool {
        let state = self.state.borrow();
        let Some(side) = state.shards.get(shard) else { return false };
        side.woken.load(Ordering::Relaxed) || !side.ready.is_empty() || !side.arrivals.is_empty()
    }

    /// Bytes on their way in either direction, or not read at its end.
    pub fn bytes_under_way(&self) -> usize {
        let state = self.state.borrow();
        let is_over = |link: &Link| link.reset || link.client_gone || link.client_told;
        let alive = state.links.values().filter(|link| !link.dead && !is_over(link));
        alive
            .map(|link| {
                link.up.pending()
                    + link.down.pending()
                    + link.sending.as_ref().map_or(0, |(buffer, done)| buffer.len() - done)
            })
            .sum()
    }

    /// Lines that had died, and whose clients are gone, are reset at last. Whether there were any.
    pub fn bury_the_dead(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let dead: Vec<LinkId> = state.links.iter().filter(|(_, link)| link.dead).map(|(id, _)| *id).collect();
        for id in &dead {
            let link = state.links.get_mut(id).expect("just listed");
            (link.dead, link.reset) = (false, true);
            let delay = state.delay();
            self.schedule.after(delay, Happening::Network(*id));
        }
        !dead.is_empty()
    }

    fn waker(&self, shard: usize) -> Waker {
        let woken = self.state.borrow().shards[shard].woken.clone();
        Arc::new(move || woken.store(true, Ordering::Relaxed))
    }
}

impl State {
    fn delay(&mut self) -> u64 {
        1 + self.random.delay(self.plan.delay_nanos)
    }

    fn mark_ready(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some((shard, _)) = link.server else { return };
        if !std::mem::replace(&mut link.queued, true) {
            self.shards[shard].ready.push_back(id);
        }
    }

    fn send_up(&mut self, id: LinkId, schedule: &Schedule) {
        let Some(link) = self.links.get_mut(&id) else { return };
        for at in link.up.send(&self.plan, usize::MAX, &mut self.random, schedule.nanos()) {
            schedule.at(at, Happening::Network(id));
        }
    }

    /// Moves bytes of a pending send into the kernel, as far as it takes them, and on.
    fn send_down(&mut self, id: LinkId, schedule: &Schedule) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if let Some((buffer, done)) = &mut link.sending {
            let room = self.plan.buffer_bytes.saturating_sub(link.down.pending());
            let taken = room.min(buffer.len() - *done);
            link.down.write(&buffer[*done..*done + taken]);
            *done += taken;
            if *done == buffer.len() {
                let (buffer, _) = link.sending.take().expect("just looked at");
                link.finished = Some((buffer, true));
                self.mark_ready(id);
            }
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        let window = self.plan.buffer_bytes;
        for at in link.down.send(&self.plan, window, &mut self.random, schedule.nanos()) {
            schedule.at(at, Happening::Network(id));
        }
    }

    fn forget_if_over(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let server_done = link.server.is_none() && (link.reset || link.down.is_ended());
        if server_done && (link.client_gone || link.client_told) {
            self.links.remove(&id);
        }
    }
}

impl Link {
    fn new() -> Link {
        Link {
            up: Pipe::default(),
            down: Pipe::default(),
            server: None,
            queued: false,
            paused: false,
            sending: None,
            finished: None,
            closing: None,
            reset: false,
            orphaned: false,
            end_told: false,
            dead: false,
            client_gone: false,
            client_told: false,
            client_reads: true,
        }
    }
}
