//! The dispatcher's seam over the network: one shard's driver.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use postrider_dispatcher::net::{Closing, Connection, Handler, ListenerIndex, Net, NetStatistics, Sent, Wait, Waker};

use super::{CircuitId, Network};

/// So many bytes come in a buffer that may be kept.
const MUCH: usize = 64 * 1024;

/// An accepted connection that no driver has yet.
#[derive(Debug)]
pub struct SimSocket(CircuitId);

/// One shard's driver.
pub struct SimNet {
    network: Network,
    shard: usize,
    statistics: NetStatistics,
}

/// Something for the handler.
enum Call {
    Sent(Vec<u8>, io::Result<()>),
    Received(Vec<u8>),
    Ended,
    Closed(io::Result<()>),
}

impl SimNet {
    pub(super) fn new(network: Network, shard: usize) -> SimNet {
        SimNet { network, shard, statistics: NetStatistics::default() }
    }

    fn circuit(&self, connection: Connection) -> Option<CircuitId> {
        let state = self.network.state.borrow();
        let slot = state.shards.get(self.shard)?.slots.get(connection.slot as usize)?;
        slot.circuit.filter(|_| slot.generation == connection.generation)
    }

    /// The next call for a circuit; None when there is no more at present.
    fn next_call(&mut self, id: CircuitId) -> Option<(Connection, Call)> {
        let mut state = self.network.state.borrow_mut();
        let state = &mut *state;
        let circuit = state.circuits.get_mut(&id)?;
        let (shard, connection) = circuit.server?;
        let broken = circuit.reset || circuit.closing == Some(true);
        if broken && let Some((buffer, _)) = circuit.sending.take() {
            circuit.finished = Some((buffer, false));
        }
        if let Some((buffer, whole)) = circuit.finished.take() {
            let result = if whole { Ok(()) } else { Err(io::Error::from(io::ErrorKind::ConnectionReset)) };
            return Some((connection, Call::Sent(buffer, result)));
        }
        let drained = circuit.closing == Some(false) && circuit.sending.is_none();
        if broken || drained {
            if circuit.reset || broken {
                circuit.reset = true;
            } else {
                circuit.down.end();
            }
            let by_us = circuit.closing.is_some();
            circuit.server = None;
            let slot = &mut state.shards[shard].slots[connection.slot as usize];
            slot.circuit = None;
            slot.is_kept = true;
            slot.generation += 1;
            state.send_down(id, &self.network.schedule);
            let delay = state.delay();
            self.network.schedule.after(delay, crate::schedule::Happening::Network(id));
            let result = if by_us { Ok(()) } else { Err(io::Error::from(io::ErrorKind::ConnectionReset)) };
            return Some((connection, Call::Closed(result)));
        }
        if circuit.closing.is_some() || circuit.paused {
            return None;
        }
        let most = match state.random.one_in(10) {
            true => 1 + state.random.index(64),
            false if circuit.up.arrived() > MUCH && state.random.one_in(2) => 8 * MUCH,
            false => MUCH - 1,
        };
        if let Some(bytes) = circuit.up.take(most) {
            self.statistics.bytes_in += bytes.len() as u64;
            circuit.handed += bytes.len() as u64;
            while let Some((_, mark)) = circuit.marks.pop_front_if(|(end, _)| *end <= circuit.handed) {
                state.fairness.handed(id, mark);
            }
            return Some((connection, Call::Received(bytes)));
        }
        if circuit.up.is_over() && !circuit.end_told {
            circuit.end_told = true;
            return Some((connection, Call::Ended));
        }
        None
    }

    fn accept<H: Handler<SimSocket>>(&mut self, handler: &mut H) -> usize {
        let mut calls = 0;
        loop {
            let arrival = self.network.state.borrow_mut().shards[self.shard].arrivals.pop_front();
            let Some(id) = arrival else { return calls };
            let peer = SocketAddr::from(([10, 0, (id >> 8) as u8, id as u8], 40_000));
            handler.accepted(ListenerIndex(0), SimSocket(id), peer);
            calls += 1;
        }
    }

    /// A part of what there is, so that polls come to an end and the order is one of chance.
    fn serve<H: Handler<SimSocket>>(&mut self, handler: &mut H) -> usize {
        let mut calls = 0;
        let ready = self.network.state.borrow().shards[self.shard].ready.len();
        for _ in 0..ready {
            let Some(id) = self.take_ready() else { break };
            calls += self.serve_link(id, handler);
        }
        calls
    }

    fn take_ready(&mut self) -> Option<CircuitId> {
        let mut state = self.network.state.borrow_mut();
        let state = &mut *state;
        let side = &mut state.shards[self.shard];
        let chosen = state.random.index(side.ready.len().max(1));
        let id = side.ready.swap_remove_back(chosen)?;
        if let Some(circuit) = state.circuits.get_mut(&id) {
            circuit.queued = false;
        }
        Some(id)
    }

    fn serve_link<H: Handler<SimSocket>>(&mut self, id: CircuitId, handler: &mut H) -> usize {
        let mut calls = 0;
        while calls < 4 {
            let Some((connection, call)) = self.next_call(id) else { return calls };
            calls += 1;
            match call {
                Call::Sent(buffer, result) => handler.sent(connection, buffer, result),
                Call::Received(bytes) if bytes.len() < MUCH => handler.received(connection, &bytes),
                Call::Received(mut bytes) => handler.received_much(connection, &mut bytes),
                Call::Ended => handler.ended(connection),
                Call::Closed(result) => {
                    handler.closed(connection, result);
                    self.network.state.borrow_mut().forget_if_over(id);
                    return calls;
                }
            }
        }
        self.network.state.borrow_mut().mark_ready(id);
        calls
    }
}

impl Net for SimNet {
    type Socket = SimSocket;

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.network.state.borrow_mut().listening = true;
        Ok(address)
    }

    fn adopt(&mut self, socket: SimSocket) -> io::Result<Connection> {
        let mut state = self.network.state.borrow_mut();
        let id = socket.0;
        if !state.circuits.contains_key(&id) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let side = &mut state.shards[self.shard];
        let free = side.slots.iter().position(|slot| slot.circuit.is_none() && !slot.is_kept);
        let slot = free.unwrap_or_else(|| {
            side.slots.push(super::Slot::default());
            side.slots.len() - 1
        });
        side.slots[slot].circuit = Some(id);
        let connection = Connection { slot: slot as u32, generation: side.slots[slot].generation };
        let circuit = state.circuits.get_mut(&id).expect("just looked at");
        circuit.server = Some((self.shard, connection));
        state.mark_ready(id);
        Ok(connection)
    }

    fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> Sent {
        let Some(id) = self.circuit(connection) else { return Sent::Refused(bytes) };
        let mut state = self.network.state.borrow_mut();
        let state = &mut *state;
        let circuit = state.circuits.get_mut(&id).expect("a connection has its circuit");
        if circuit.closing.is_some() {
            return Sent::Refused(bytes);
        }
        assert!(circuit.sending.is_none() && circuit.finished.is_none(), "a send is pending already");
        self.statistics.bytes_out += bytes.len() as u64;
        let pending = bytes.len() + circuit.down.pending().saturating_sub(state.plan.buffer_bytes);
        assert!(pending <= state.plan.most_pending, "R23: {pending} bytes for one client that does not read");
        let room = state.plan.buffer_bytes.saturating_sub(circuit.down.pending());
        let answer = if !circuit.reset && bytes.len() <= room && state.random.percent(50) {
            circuit.down.write(&bytes);
            Sent::Done(bytes)
        } else {
            circuit.sending = Some((bytes, 0));
            Sent::Pending
        };
        state.send_down(id, &self.network.schedule);
        if state.circuits[&id].reset {
            state.mark_ready(id);
        }
        answer
    }

    fn pause(&mut self, connection: Connection) {
        let Some(id) = self.circuit(connection) else { return };
        self.network.state.borrow_mut().circuits.get_mut(&id).expect("a connection has its circuit").paused = true;
    }

    fn resume(&mut self, connection: Connection) {
        let Some(id) = self.circuit(connection) else { return };
        let mut state = self.network.state.borrow_mut();
        state.circuits.get_mut(&id).expect("a connection has its circuit").paused = false;
        state.mark_ready(id);
    }

    fn close(&mut self, connection: Connection, closing: Closing) {
        let Some(id) = self.circuit(connection) else { return };
        let mut state = self.network.state.borrow_mut();
        let circuit = state.circuits.get_mut(&id).expect("a connection has its circuit");
        let at_once = closing == Closing::AtOnce || circuit.closing == Some(true);
        circuit.closing = Some(at_once);
        state.mark_ready(id);
    }

    fn release(&mut self, connection: Connection) {
        let mut state = self.network.state.borrow_mut();
        let slot = &mut state.shards[self.shard].slots[connection.slot as usize];
        assert!(slot.generation == connection.generation + 1 && slot.is_kept, "it is gone, and known to be");
        slot.is_kept = false;
    }

    fn poll<H: Handler<SimSocket>>(&mut self, wait: Wait, handler: &mut H) -> io::Result<usize> {
        assert_eq!(wait, Wait::None, "the simulator sleeps in the thread's place");
        self.statistics.system_calls += 1;
        self.network.state.borrow().shards[self.shard].woken.store(false, Ordering::Relaxed);
        Ok(self.accept(handler) + self.serve(handler))
    }

    fn waker(&self) -> Waker {
        self.network.waker(self.shard)
    }

    fn statistics(&self) -> NetStatistics {
        self.statistics
    }
}
