//! Connections as pairs of byte pipes, with what a network does to them: segments of any length, delays, peers that do not
//! read, resets, and lines that die without a word.

mod driver;
mod pipe;

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postrider_dispatcher::net::{Connection, Waker};

use crate::fairness::{Fairness, Mark};
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
pub type CircuitId = u64;

/// The network. Handles share it.
#[derive(Clone)]
pub struct Network {
    state: Rc<RefCell<State>>,
    schedule: Schedule,
}

struct State {
    plan: NetworkPlan,
    random: Random,
    circuits: BTreeMap<CircuitId, Circuit>,
    next_link: CircuitId,
    listening: bool,
    shards: Vec<ShardSide>,
    /// Links with something for their client.
    client_news: VecDeque<CircuitId>,
    fairness: Fairness,
}

/// What the drivers of one shard share with the network.
struct ShardSide {
    /// Set by the waker, from "another thread".
    woken: Arc<AtomicBool>,
    /// Links with something for the driver, each once.
    ready: VecDeque<CircuitId>,
    /// Links that wait to be accepted.
    arrivals: VecDeque<CircuitId>,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    circuit: Option<CircuitId>,
    /// The circuit is gone, and its shard has not said that the slot may be used again.
    is_kept: bool,
}

struct Circuit {
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
    /// Bytes that the client has written, and that its shard has been handed.
    written: u64,
    handed: u64,
    /// Where what is followed ends among them.
    marks: VecDeque<(u64, Mark)>,
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
            circuits: BTreeMap::new(),
            next_link: 1,
            listening: false,
            shards: Vec::new(),
            client_news: VecDeque::new(),
            fairness: Fairness::default(),
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
        state.fairness.begin_life();
        state.shards = (0..shards).map(side).collect();
        drop(state);
        (0..shards).map(|shard| SimNet::new(self.clone(), shard)).collect()
    }

    /// The process is gone: the kernel resets its connections.
    pub fn process_died(&self) {
        let mut state = self.state.borrow_mut();
        state.listening = false;
        state.shards.clear();
        let circuits: Vec<CircuitId> = state.circuits.keys().copied().collect();
        for id in circuits {
            let circuit = state.circuits.get_mut(&id).expect("just listed");
            (circuit.reset, circuit.orphaned) = (true, true);
            // What the clients have not read goes with the reset.
            circuit.down = Pipe::default();
            circuit.server = None;
            circuit.sending = None;
            circuit.queued = true;
            let delay = state.delay();
            self.schedule.after(delay, Happening::Network(id));
        }
    }

    /// A client connects. None: nobody listens.
    pub fn connect(&self) -> Option<CircuitId> {
        let mut state = self.state.borrow_mut();
        if !state.listening {
            return None;
        }
        let id = state.next_link;
        state.next_link += 1;
        state.circuits.insert(id, Circuit::new());
        state.shards[0].arrivals.push_back(id);
        Some(id)
    }

    /// A client writes.
    pub fn write(&self, id: CircuitId, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        let Some(circuit) = state.circuits.get_mut(&id) else { return };
        circuit.up.write(bytes);
        circuit.written += bytes.len() as u64;
        state.send_up(id, &self.schedule);
    }

    /// What a client has written last is followed.
    pub fn mark(&self, id: CircuitId, mark: Mark) {
        if let Some(circuit) = self.state.borrow_mut().circuits.get_mut(&id) {
            circuit.marks.push_back((circuit.written, mark));
        }
    }

    /// Who waits for whom.
    pub fn fairness(&self) -> RefMut<'_, Fairness> {
        RefMut::map(self.state.borrow_mut(), |state| &mut state.fairness)
    }

    /// A client closes: in order, behind what it wrote, or by a reset.
    pub fn close(&self, id: CircuitId, in_order: bool) {
        let mut state = self.state.borrow_mut();
        let Some(circuit) = state.circuits.get_mut(&id) else { return };
        circuit.client_gone = true;
        if in_order {
            circuit.up.end();
            state.send_up(id, &self.schedule);
        } else {
            let delay = state.delay();
            let circuit = state.circuits.get_mut(&id).expect("just there");
            circuit.reset = true;
            self.schedule.after(delay, Happening::Network(id));
        }
    }

    /// A client sends no more behind what it wrote, and reads on.
    pub fn end(&self, id: CircuitId) {
        let mut state = self.state.borrow_mut();
        let Some(circuit) = state.circuits.get_mut(&id) else { return };
        circuit.up.end();
        state.send_up(id, &self.schedule);
    }

    /// The line dies: nothing arrives at either end, and nobody is told.
    pub fn cut(&self, id: CircuitId) {
        if let Some(circuit) = self.state.borrow_mut().circuits.get_mut(&id) {
            circuit.dead = true;
        }
    }

    /// Whether the client reads what comes.
    pub fn set_reading(&self, id: CircuitId, reads: bool) {
        let mut state = self.state.borrow_mut();
        let Some(circuit) = state.circuits.get_mut(&id) else { return };
        circuit.client_reads = reads;
        if reads && (circuit.down.has_arrived() || circuit.reset) {
            state.client_news.push_back(id);
        }
    }

    /// The next client connection with news.
    pub fn client_news(&self) -> Option<CircuitId> {
        self.state.borrow_mut().client_news.pop_front()
    }

    /// What has come for a client.
    pub fn read(&self, id: CircuitId) -> Option<Arrival> {
        let mut state = self.state.borrow_mut();
        let circuit = state.circuits.get_mut(&id)?;
        if circuit.client_gone || circuit.client_told || !circuit.client_reads {
            return None;
        }
        if let Some(bytes) = circuit.down.take(usize::MAX) {
            state.send_down(id, &self.schedule);
            return Some(Arrival::Bytes(bytes));
        }
        let over = circuit.down.is_over() || (circuit.reset && !circuit.dead);
        over.then(|| {
            circuit.client_told = true;
            Arrival::Closed(if circuit.orphaned { End::Process } else { End::Broker })
        })
    }

    /// Something has travelled as far as it goes: both ends look.
    pub fn arrive(&self, id: CircuitId) {
        let mut state = self.state.borrow_mut();
        let now = self.schedule.nanos();
        let Some(circuit) = state.circuits.get_mut(&id) else { return };
        if circuit.dead {
            state.forget_if_over(id);
            return;
        }
        circuit.up.arrive(now);
        circuit.down.arrive(now);
        // The kernel of a client that has closed answers data by a reset.
        circuit.reset |= circuit.client_gone && circuit.down.has_arrived();
        state.send_down(id, &self.schedule);
        state.mark_ready(id);
        let circuit = state.circuits.get_mut(&id).expect("just there");
        if circuit.client_reads
            && !circuit.client_gone
            && (circuit.down.has_arrived() || circuit.down.is_over() || circuit.reset)
        {
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
        let is_over = |circuit: &Circuit| circuit.reset || circuit.client_gone || circuit.client_told;
        let alive = state.circuits.values().filter(|circuit| !circuit.dead && !is_over(circuit));
        alive
            .map(|circuit| {
                circuit.up.pending()
                    + circuit.down.pending()
                    + circuit.sending.as_ref().map_or(0, |(buffer, done)| buffer.len() - done)
            })
            .sum()
    }

    /// Lines that had died, and whose clients are gone, are reset at last. Whether there were any.
    pub fn bury_the_dead(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let dead: Vec<CircuitId> =
            state.circuits.iter().filter(|(_, circuit)| circuit.dead).map(|(id, _)| *id).collect();
        for id in &dead {
            let circuit = state.circuits.get_mut(id).expect("just listed");
            (circuit.dead, circuit.reset) = (false, true);
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

    fn mark_ready(&mut self, id: CircuitId) {
        let Some(circuit) = self.circuits.get_mut(&id) else { return };
        let Some((shard, _)) = circuit.server else { return };
        if !std::mem::replace(&mut circuit.queued, true) {
            self.shards[shard].ready.push_back(id);
        }
    }

    fn send_up(&mut self, id: CircuitId, schedule: &Schedule) {
        let Some(circuit) = self.circuits.get_mut(&id) else { return };
        for at in circuit.up.send(&self.plan, usize::MAX, &mut self.random, schedule.nanos()) {
            schedule.at(at, Happening::Network(id));
        }
    }

    /// Moves bytes of a pending send into the kernel, as far as it takes them, and on.
    fn send_down(&mut self, id: CircuitId, schedule: &Schedule) {
        let Some(circuit) = self.circuits.get_mut(&id) else { return };
        if let Some((buffer, done)) = &mut circuit.sending {
            let room = self.plan.buffer_bytes.saturating_sub(circuit.down.pending());
            let taken = room.min(buffer.len() - *done);
            circuit.down.write(&buffer[*done..*done + taken]);
            *done += taken;
            if *done == buffer.len() {
                let (buffer, _) = circuit.sending.take().expect("just looked at");
                circuit.finished = Some((buffer, true));
                self.mark_ready(id);
            }
        }
        let Some(circuit) = self.circuits.get_mut(&id) else { return };
        let window = self.plan.buffer_bytes;
        for at in circuit.down.send(&self.plan, window, &mut self.random, schedule.nanos()) {
            schedule.at(at, Happening::Network(id));
        }
    }

    fn forget_if_over(&mut self, id: CircuitId) {
        let Some(circuit) = self.circuits.get(&id) else { return };
        let server_done = circuit.server.is_none() && (circuit.reset || circuit.down.is_ended());
        if server_done && (circuit.client_gone || circuit.client_told) {
            self.circuits.remove(&id);
        }
    }
}

impl Circuit {
    fn new() -> Circuit {
        Circuit {
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
            written: 0,
            handed: 0,
            marks: VecDeque::new(),
        }
    }
}
