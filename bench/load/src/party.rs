//! A producer or consumer on its socket.

use std::io::{ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::consumer::Consumer;
use crate::link::{BrokerLink, Incoming};
use crate::meter::{Clock, Counts, Meter};
use crate::producer::{Pause, Producer};

/// Full buffers that one party reads before the others have their turn.
const READ_LIMIT: usize = 4;

/// What a connection is for.
#[derive(Debug)]
pub(crate) enum Role {
    /// It sends.
    Producer(Producer),
    /// It receives.
    Consumer(Consumer),
}

/// A connection that does not block, and what it is for.
#[derive(Debug)]
pub(crate) struct Party {
    link: BrokerLink,
    socket: TcpStream,
    role: Role,
    is_readable: bool,
    is_writable: bool,
    has_hung_up: bool,
    /// How many of the bytes to be sent are sent.
    written: usize,
    /// Since when a producer cannot send what is due; what was counted before is left out.
    held: Option<u64>,
}

/// What a producer needs to know at its turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// The clock of the run.
    pub clock: Clock,
    /// Milliseconds since 1970.
    pub wall: i64,
    /// Whether producers send.
    pub is_sending: bool,
    /// Deliveries that may be added to the backlog, and those of other threads that are under way.
    pub backlog: Option<(u64, i64)>,
    /// Deliveries that consumers leave waiting, and those of other threads that are under way.
    pub waiting: Option<(u64, i64)>,
}

impl Turn {
    /// Whether consumers leave alone what there is.
    fn is_waiting(&self, counts: &Counts) -> bool {
        self.waiting.is_some_and(|(limit, others)| under_way(counts, others) <= limit as i64)
    }
}

/// Deliveries of all threads that are missing.
fn under_way(counts: &Counts, others: i64) -> i64 {
    others + counts.owed as i64 - counts.delivered as i64
}

/// What a party waits for after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its socket.
    Socket,
    /// Nothing: it has more to do at once.
    Nothing,
    /// A time.
    Time(u64),
    /// Others.
    Others,
}

/// What a party waits for that has nothing to read, if it stopped filling for this reason, or did not fill as something `was_left` of the last time.
fn next(pause: Option<Pause>, was_left: bool, is_writable: bool) -> Next {
    match pause {
        Some(Pause::Full) if is_writable => Next::Nothing,
        // All that was left is sent: no socket tells that there may be more to fill in.
        None if was_left && is_writable => Next::Nothing,
        // Another schedule begins when this one ends.
        Some(Pause::Over) => Next::Time(0),
        Some(Pause::Until(time)) => Next::Time(time),
        Some(Pause::Backlog) => Next::Others,
        _ => Next::Socket,
    }
}

impl Party {
    /// Takes over a connection that was set up, and registers it.
    pub(crate) fn new(link: BrokerLink, role: Role, registry: &Registry, token: Token) -> Result<Party> {
        let mut socket = TcpStream::from_std(link.socket()?);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Party {
            link,
            socket,
            role,
            is_readable: true,
            is_writable: true,
            has_hung_up: false,
            written: 0,
            held: None,
        })
    }

    /// Takes what came while the connection was set up.
    pub(crate) fn begin(&mut self, clock: Clock, meter: &mut Meter) -> Result<()> {
        let Role::Consumer(consumer) = &mut self.role else { return Ok(()) };
        for dispatch in std::mem::take(&mut self.link.early) {
            consumer.dispatch(&dispatch, &mut self.link.codec, meter, clock.now())?;
        }
        consumer.flush(&mut self.link.codec)
    }

    /// Notes what the socket is ready for.
    pub(crate) fn ready(&mut self, event: &Event) {
        self.is_readable |= event.is_readable();
        self.is_writable |= event.is_writable();
        self.has_hung_up |= event.is_read_closed() || event.is_error();
    }

    /// Receives, makes sends, sends: a bounded amount of each.
    pub(crate) fn turn(&mut self, turn: &Turn, buffer: &mut [u8], meter: &mut Meter) -> Result<Next> {
        self.try_turn(turn, buffer, meter).with_context(|| self.link.label.clone())
    }

    fn try_turn(&mut self, turn: &Turn, buffer: &mut [u8], meter: &mut Meter) -> Result<Next> {
        let is_waiting = matches!(self.role, Role::Consumer(_)) && turn.is_waiting(&meter.counts);
        if self.is_readable && !is_waiting {
            self.receive(turn.clock, buffer, meter)?;
        }
        let was_left = self.written > 0;
        let pause = self.fill(turn, meter)?;
        if self.is_writable && !self.link.codec.out.is_empty() {
            self.send()?;
        }
        self.count_held(pause, turn.clock, meter);
        Ok(match self.is_readable {
            true if is_waiting => Next::Others,
            true => Next::Nothing,
            false => next(pause, was_left, self.is_writable),
        })
    }

    fn receive(&mut self, clock: Clock, buffer: &mut [u8], meter: &mut Meter) -> Result<()> {
        for _ in 0..READ_LIMIT {
            let length = match self.socket.read(buffer) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the connection to the broker is lost"),
            };
            self.take(&buffer[..length], clock.now(), meter)?;
            // A short read has emptied the socket; only the end of the stream is not announced again.
            if length < buffer.len() && !self.has_hung_up {
                self.is_readable = false;
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, mut input: &[u8], now: u64, meter: &mut Meter) -> Result<()> {
        let BrokerLink { splitter, codec, .. } = &mut self.link;
        match &mut self.role {
            Role::Consumer(consumer) => {
                while let Some(frame) = splitter.split(&mut input)? {
                    consumer.frame(frame, codec, meter, now)?;
                }
                consumer.flush(codec)
            }
            Role::Producer(producer) => {
                while let Some(frame) = splitter.split(&mut input)? {
                    match codec.receipt(frame)? {
                        Incoming::Receipt(command) => producer.receipt(command, now, meter)?,
                        Incoming::Dispatch(_) => bail!("the broker sent a message to a producer"),
                        Incoming::Ignored => {}
                    }
                }
                Ok(())
            }
        }
    }

    fn fill(&mut self, turn: &Turn, meter: &mut Meter) -> Result<Option<Pause>> {
        let Role::Producer(producer) = &mut self.role else { return Ok(None) };
        // What could not be sent yet is not added to.
        if self.written > 0 {
            return Ok(None);
        }
        if !turn.is_sending {
            return producer.finish(&mut self.link.codec, turn.clock.now()).map(|()| None);
        }
        let room = turn.backlog.map_or(i64::MAX, |(limit, others)| limit as i64 - under_way(&meter.counts, others));
        producer.fill(&mut self.link.codec, meter, turn.clock.now(), turn.wall, room).map(Some)
    }

    fn send(&mut self) -> Result<()> {
        let out = &mut self.link.codec.out;
        while self.written < out.len() {
            match self.socket.write(&out[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_writable = false;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the connection to the broker is lost"),
            }
        }
        out.clear();
        self.written = 0;
        Ok(())
    }

    /// Adds up how long a producer is kept from sending what is due: its socket takes no more, or receipts are missing.
    fn count_held(&mut self, pause: Option<Pause>, clock: Clock, meter: &mut Meter) {
        let Role::Producer(producer) = &self.role else { return };
        let is_full = !self.is_writable && self.written < self.link.codec.out.len();
        let is_waiting = pause == Some(Pause::Window);
        if !is_full && !is_waiting && self.held.is_none() {
            return;
        }
        let now = clock.now();
        meter.counts.held += self.held.map_or(0, |since| now - since);
        self.held = (is_full || is_waiting && producer.is_late(now)).then_some(now);
    }

    /// Its producer, if it is one.
    pub(crate) fn producer(&mut self) -> Option<&mut Producer> {
        if let Role::Producer(producer) = &mut self.role { Some(producer) } else { None }
    }

    /// The connection, for taking leave, and the role. Bytes that the socket did not take go with the leave.
    pub(crate) fn into_parts(mut self) -> Result<(BrokerLink, Role)> {
        self.link.codec.out.drain(..self.written);
        if let Role::Consumer(consumer) = &mut self.role {
            consumer.leave(&mut self.link.codec)?;
        }
        Ok((self.link, self.role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_sent_what_was_left_fills_again_at_once() {
        assert_eq!(next(None, true, true), Next::Nothing);
        assert_eq!(next(None, true, false), Next::Socket, "not all of it");
        assert_eq!(next(None, false, true), Next::Socket, "a consumer");
        assert_eq!(next(Some(Pause::Full), false, true), Next::Nothing);
        assert_eq!(next(Some(Pause::Full), false, false), Next::Socket);
    }

    #[test]
    fn consumers_take_what_is_beyond_that_which_waits() {
        let turn = |waiting| Turn { clock: Clock::start(), wall: 0, is_sending: true, backlog: None, waiting };
        let counts = |owed, delivered| Counts { owed, delivered, ..Counts::default() };
        assert!(!turn(None).is_waiting(&counts(0, 0)), "there is nothing to leave");
        assert!(turn(Some((10, 0))).is_waiting(&counts(15, 5)));
        assert!(!turn(Some((10, 0))).is_waiting(&counts(16, 5)));
        assert!(!turn(Some((10, 6))).is_waiting(&counts(15, 10)), "other threads' count");
        assert!(turn(Some((10, -30))).is_waiting(&counts(40, 0)), "other threads have taken them");
    }
}
