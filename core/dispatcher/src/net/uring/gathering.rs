//! Connections of which a few bytes are no news: the kernel tells of them when there are more, or a moment has passed.

use std::net::TcpStream as Socket;
use std::os::fd::AsRawFd;

use super::Uring;
use super::operation::Operation;
use crate::net::Connection;

/// Each costs a call at the end of a moment.
const MOST: usize = 16;

/// Those that are gathered in this moment.
#[derive(Default)]
pub(super) struct Gathered {
    connections: Vec<Connection>,
    /// The kernel has the timer of the moment.
    timed: bool,
}

impl Uring {
    /// Few bytes of a connection are no news until the moment's end.
    pub(super) fn begin_gathering(&mut self, connection: Connection, bytes: usize) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if endpoint.gathers || !endpoint.is_open() || self.gathered.connections.len() >= MOST {
            return;
        }
        endpoint.gathers = true;
        set_low_water(&endpoint.socket, bytes);
        self.statistics.system_calls += 1;
        self.gathered.connections.push(connection);
        if !std::mem::replace(&mut self.gathered.timed, true) {
            self.kernel.moment(Operation::Moment);
        }
    }

    /// The moment is over: what lies there is news.
    pub(super) fn end_gathering(&mut self) -> usize {
        self.gathered.timed = false;
        while let Some(connection) = self.gathered.connections.pop() {
            let Some(endpoint) = self.endpoints.get_mut(connection) else { continue };
            endpoint.gathers = false;
            set_low_water(&endpoint.socket, 1);
            self.statistics.system_calls += 1;
        }
        0
    }
}

/// Changes with how many bytes a socket counts as readable. One that is broken or at its end always does.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "it is a few thousand at most")]
fn set_low_water(socket: &Socket, bytes: usize) {
    let (bytes, size) = (bytes as libc::c_int, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the kernel reads the integer during the call. Refused, the socket tells of each byte as before.
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, (&raw const bytes).cast(), size);
    }
}
