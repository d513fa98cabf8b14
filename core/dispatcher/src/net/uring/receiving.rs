//! What connections receive: bytes in buffers of the pool; without one a little, or all that there is when a pause is over; their end, and
//! pauses in between.

use std::io;
use std::net::TcpStream as Socket;
use std::os::fd::AsFd;

use io_uring::cqueue;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::endpoint::{End, Endpoint, Receive, end_of_stream, hand_on};
use super::operation::Operation;
use super::{Uring, buffers};
use crate::net::{AT_ONCE_BYTES, BYTES_PER_POLL, CAREFUL_BYTES, Connection, Handler, LITTLE_BYTES, PAUSED_FEW};

/// What a connection receives at a time for which the pool has no buffer.
pub(super) const UNPOOLED_BYTES: usize = 16 << 10;

impl Uring {
    pub(super) fn complete_receive<H: Handler<Socket>>(
        &mut self,
        connection: Connection,
        result: i32,
        flags: u32,
        handler: &mut H,
    ) -> usize {
        let buffer = cqueue::buffer_select(flags);
        let Some(endpoint) = self.endpoints.get_mut(connection) else {
            unreachable!("{connection:?} has a receive in flight")
        };
        if !cqueue::more(flags) {
            endpoint.receive = Receive::Idle;
        }
        let mut calls = 0;
        match (result, buffer) {
            (1.., Some(id)) => {
                endpoint.fed = self.polls;
                let bytes = self.buffers.bytes(id, result as usize);
                self.statistics.bytes_in += bytes.len() as u64;
                calls = hand_on(connection, endpoint, bytes, handler);
            }
            (1.., None) => unreachable!("bytes come in buffers of the pool"),
            (0, _) => calls = end_of_stream(connection, endpoint, handler),
            _ if result == -libc::ENOBUFS => calls = self.receive_a_little(connection, handler),
            // A pause: the receive is armed again when it can be.
            _ if [-libc::ECANCELED, -libc::EINTR, -libc::EAGAIN].contains(&result) => {}
            _ => self.fail_receive(connection, io::Error::from_raw_os_error(-result)),
        }
        if let Some(id) = buffer {
            self.buffers.give_back(id, receive_bytes(self.paused));
        }
        self.after_receive(connection);
        calls + self.finish(connection, handler)
    }

    /// Connections that are paused no more: what was held back of one comes before what the kernel has. Who was paused has said much and
    /// may have more to say: it comes in one call, as each makes the peer's kernel send more, on our time (decision 0019). Who had more than
    /// a little is read again in the next poll, if it is not paused by then: a receive until then would have to be cancelled.
    pub(super) fn go_on<H: Handler<Socket>>(&mut self, handler: &mut H) -> usize {
        let (mut calls, mut left) = (0, BYTES_PER_POLL);
        let mut later = Vec::new();
        for connection in std::mem::take(&mut self.resumed) {
            let Some(endpoint) = self.endpoints.get_mut(connection) else { continue };
            endpoint.goes_on = false;
            if endpoint.paused || !endpoint.is_open() {
                continue;
            }
            let held = std::mem::take(&mut endpoint.held);
            if !held.is_empty() {
                left = left.saturating_sub(held.len());
                calls += hand_on(connection, endpoint, &held, handler);
            }
            if endpoint.end == End::Held {
                calls += end_of_stream(connection, endpoint, handler);
            }
            if self.paused <= PAUSED_FEW && endpoint.receive == Receive::Idle && endpoint.receives() {
                // Who has had some, or comes when the others have, is read in the next poll, before those who have more to say then.
                if left < AT_ONCE_BYTES || !held.is_empty() {
                    endpoint.goes_on = true;
                    later.push(connection);
                    continue;
                }
                let (called, came) = self.receive_at_once(connection, AT_ONCE_BYTES, handler);
                (calls, left) = (calls + called, left.saturating_sub(came));
                if came > LITTLE_BYTES {
                    self.go_on_next(connection);
                    continue;
                }
            }
            self.after_receive(connection);
        }
        later.append(&mut self.resumed);
        self.resumed = later;
        calls
    }

    /// It goes on in the next poll.
    pub(super) fn go_on_next(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if !std::mem::replace(&mut endpoint.goes_on, true) {
            self.resumed.push(connection);
        }
    }

    /// A receive that was at work when it was to be cancelled goes on: it is cancelled anew, now or with the next pause.
    pub(super) fn complete_cancel(&mut self, connection: Connection, result: i32) -> usize {
        if result < 0
            && let Some(endpoint) = self.endpoints.get_mut(connection)
            && endpoint.receive == Receive::Cancelling
        {
            if endpoint.paused {
                self.kernel.cancel(Operation::Receive(connection), Operation::Cancel(connection));
            } else {
                endpoint.receive = Receive::Armed;
            }
        }
        0
    }

    /// Arms the receive again where it should be; ends a broken connection that has been read to its end.
    pub(super) fn after_receive(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if endpoint.receive != Receive::Idle {
            return;
        }
        if endpoint.receives() {
            endpoint.receive = Receive::Armed;
            self.kernel.receive(endpoint.socket.as_fd(), Operation::Receive(connection));
        } else if let Some(error) = endpoint.broken.take() {
            self.begin_closing(connection, Err(error));
        }
    }

    /// Others had taken all buffers of the pool, and would again before this one's next receive: it gets what is there at once, as far as
    /// a buffer of our own holds it. Who had some of them in this poll waits for the next.
    fn receive_a_little<H: Handler<Socket>>(&mut self, connection: Connection, handler: &mut H) -> usize {
        let polls = self.polls;
        let unfed = |endpoint: &mut Endpoint| endpoint.receives() && endpoint.fed != polls;
        if !self.endpoints.get_mut(connection).is_some_and(unfed) {
            return 0;
        }
        self.receive_at_once(connection, UNPOOLED_BYTES.min(receive_bytes(self.paused)), handler).0
    }

    /// Hands on what is there, up to so much. Says how many calls of the handler and how many bytes that was.
    fn receive_at_once<H: Handler<Socket>>(
        &mut self,
        connection: Connection,
        most: usize,
        handler: &mut H,
    ) -> (usize, usize) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return (0, 0) };
        self.statistics.system_calls += 1;
        let is_much = most == AT_ONCE_BYTES;
        let received = if is_much {
            self.much.clear();
            if self.much.capacity() < most {
                self.much = Vec::with_capacity(most);
            }
            rustix::net::recv(&endpoint.socket, spare_capacity(&mut self.much), RecvFlags::DONTWAIT)
        } else {
            let own = self.own.get_mut(..most).unwrap_or_default();
            rustix::net::recv(&endpoint.socket, own, RecvFlags::DONTWAIT)
        };
        match received {
            Ok((_, 0)) => (end_of_stream(connection, endpoint, handler), 0),
            Ok((_, length)) => {
                self.statistics.bytes_in += length as u64;
                if is_much {
                    handler.received_much(connection, &mut self.much);
                } else {
                    handler.received(connection, self.own.get(..length).unwrap_or_default());
                }
                (1, length)
            }
            Err(Errno::AGAIN | Errno::INTR) => (0, 0),
            Err(error) => {
                self.fail_receive(connection, error.into());
                (0, 0)
            }
        }
    }

    fn fail_receive(&mut self, connection: Connection, error: io::Error) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        let error = endpoint.broken.take().unwrap_or(error);
        self.begin_closing(connection, Err(error));
    }
}

/// Bytes that one buffer offers: what is on its way when a connection is paused has to be kept, a pool full of it.
fn receive_bytes(paused: usize) -> usize {
    if paused > PAUSED_FEW { CAREFUL_BYTES } else { buffers::BYTES }
}
