//! A network driver whose peers are byte strings.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use postrider_dispatcher::net::{Closing, Connection, Handler, ListenerIndex, Net, NetStatistics, Sent, Wait, Waker};

/// One end of the connections: the driver has the other.
#[derive(Clone, Default)]
pub struct Pipes {
    list: Rc<RefCell<Vec<Pipe>>>,
}

#[derive(Default)]
struct Pipe {
    adopted: bool,
    accepted: bool,
    arrivals: VecDeque<Vec<u8>>,
    /// The client reads nothing.
    stalled: bool,
    pending: Option<Vec<u8>>,
    paused: bool,
    over: Over,
    closing: Option<Closing>,
    gone: bool,
    /// Bytes that the client got.
    received: Vec<u8>,
}

/// How the client ends.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Over {
    #[default]
    No,
    Ended,
    Told,
    Reset,
}

/// The driver.
pub struct PipeNet(Pipes);

/// What a poll tells of a pipe.
enum Call {
    Sent(Vec<u8>, io::Result<()>),
    Received(Vec<u8>),
    Ended,
    Closed(io::Result<()>),
}

impl Pipes {
    /// The driver.
    pub fn driver(&self) -> PipeNet {
        PipeNet(self.clone())
    }

    /// A client connects; its number.
    pub fn connect(&self) -> usize {
        self.list.borrow_mut().push(Pipe::default());
        self.list.borrow().len() - 1
    }

    /// A client sends.
    pub fn send(&self, pipe: usize, bytes: &[u8]) {
        self.list.borrow_mut()[pipe].arrivals.push_back(bytes.to_vec());
    }

    /// A client reads no more, or reads again.
    pub fn stall(&self, pipe: usize, stalled: bool) {
        self.list.borrow_mut()[pipe].stalled = stalled;
    }

    /// A client ends: it says so, or breaks.
    pub fn end(&self, pipe: usize, reset: bool) {
        let over = &mut self.list.borrow_mut()[pipe].over;
        *over = match (reset, *over) {
            (true, _) => Over::Reset,
            (false, Over::No) => Over::Ended,
            (false, before) => before,
        };
    }

    /// What a client got since it was asked last.
    pub fn received(&self, pipe: usize) -> Vec<u8> {
        std::mem::take(&mut self.list.borrow_mut()[pipe].received)
    }

    /// Whether the broker has no connection any more.
    pub fn are_gone(&self) -> bool {
        self.list.borrow().iter().all(|pipe| pipe.gone)
    }

    /// Whether nothing is on its way that the broker would take.
    pub fn are_quiet(&self) -> bool {
        self.list.borrow().iter().all(|pipe| pipe.gone || pipe.paused || pipe.arrivals.is_empty())
    }
}

impl Pipe {
    fn next_call(&mut self) -> Option<Call> {
        if self.gone {
            return None;
        }
        let broken = self.over == Over::Reset || self.closing == Some(Closing::AtOnce);
        if let Some(bytes) = self.pending.take_if(|_| broken || !self.stalled) {
            if broken {
                return Some(Call::Sent(bytes, Err(io::ErrorKind::ConnectionReset.into())));
            }
            self.received.extend_from_slice(&bytes);
            return Some(Call::Sent(bytes, Ok(())));
        }
        if broken || (self.closing.is_some() && self.pending.is_none()) {
            self.gone = true;
            let by_us = self.closing.is_some();
            return Some(Call::Closed(if by_us { Ok(()) } else { Err(io::ErrorKind::ConnectionReset.into()) }));
        }
        if self.closing.is_some() || self.paused {
            return None;
        }
        if let Some(bytes) = self.arrivals.pop_front() {
            return Some(Call::Received(bytes));
        }
        if self.over == Over::Ended {
            self.over = Over::Told;
            return Some(Call::Ended);
        }
        None
    }
}

impl PipeNet {
    fn with(&self, connection: Connection, does: impl FnOnce(&mut Pipe)) {
        if let Some(pipe) = self.0.list.borrow_mut().get_mut(connection.slot as usize).filter(|pipe| !pipe.gone) {
            does(pipe);
        }
    }
}

impl Net for PipeNet {
    type Socket = usize;

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        Ok(address)
    }

    fn adopt(&mut self, pipe: usize) -> io::Result<Connection> {
        self.0.list.borrow_mut()[pipe].adopted = true;
        Ok(Connection { slot: pipe as u32, generation: 0 })
    }

    fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> Sent {
        let mut list = self.0.list.borrow_mut();
        let Some(pipe) = list.get_mut(connection.slot as usize).filter(|pipe| !pipe.gone && pipe.closing.is_none())
        else {
            return Sent::Refused(bytes);
        };
        assert!(pipe.pending.is_none(), "a send is pending already");
        if pipe.stalled {
            pipe.pending = Some(bytes);
            return Sent::Pending;
        }
        pipe.received.extend_from_slice(&bytes);
        Sent::Done(bytes)
    }

    fn pause(&mut self, connection: Connection) {
        self.with(connection, |pipe| pipe.paused = true);
    }

    fn resume(&mut self, connection: Connection) {
        self.with(connection, |pipe| pipe.paused = false);
    }

    fn close(&mut self, connection: Connection, closing: Closing) {
        self.with(connection, |pipe| {
            if pipe.closing != Some(Closing::AtOnce) {
                pipe.closing = Some(closing);
            }
        });
    }

    fn release(&mut self, _: Connection) {}

    fn poll<H: Handler<usize>>(&mut self, _: Wait, handler: &mut H) -> io::Result<usize> {
        let mut calls = 0;
        let count = self.0.list.borrow().len();
        for index in 0..count {
            if !std::mem::replace(&mut self.0.list.borrow_mut()[index].accepted, true) {
                handler.accepted(ListenerIndex(0), index, SocketAddr::from(([127, 0, 0, 1], 40_000)));
                calls += 1;
            }
            let connection = Connection { slot: index as u32, generation: 0 };
            for _ in 0..4 {
                let mut list = self.0.list.borrow_mut();
                let Some(call) = Some(&mut list[index]).filter(|pipe| pipe.adopted).and_then(Pipe::next_call) else {
                    break;
                };
                drop(list);
                calls += 1;
                match call {
                    Call::Sent(bytes, result) => handler.sent(connection, bytes, result),
                    Call::Received(bytes) => handler.received(connection, &bytes),
                    Call::Ended => handler.ended(connection),
                    Call::Closed(result) => handler.closed(connection, result),
                }
            }
        }
        Ok(calls)
    }

    fn waker(&self) -> Waker {
        Arc::new(|| ())
    }

    fn statistics(&self) -> NetStatistics {
        NetStatistics::default()
    }
}
