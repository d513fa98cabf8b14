//! What the drivers share about listening.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::Wait;

/// Connections that the kernel completes ahead of the acceptor; it caps the number at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// How long a driver that cannot accept may block before it tries again.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// How many busy polls pass before a driver that cannot accept tries again.
const POLLS_BETWEEN_TRIES: u32 = 1024;

/// A peer that has vanished without a word is noticed two minutes later also where no monitor of inactivity was agreed on: what it held
/// goes to others, its descriptor comes back. Accepted sockets have it from their listener.
const LIVENESS: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// A listening socket, not blocking where `nonblocking`.
pub(super) fn bind(address: SocketAddr, nonblocking: bool) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.set_tcp_keepalive(&LIVENESS)?;
    socket.set_nonblocking(nonblocking)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an address can be listened on, as far as that is known before anybody does.
pub fn try_address(address: SocketAddr) -> io::Result<()> {
    bound(address).map(drop)
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted broker gets its port back while old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether a failed accept concerns only the one connection that would have been accepted.
pub(super) fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset
    ) || matches!(error.raw_os_error(), Some(libc::EPROTO | libc::EPERM))
}

/// Holds accepting back after an error that only time or a freed descriptor cures (EMFILE and the like): trying again at once
/// would spin.
#[derive(Debug, Default)]
pub(super) struct Stall {
    stalled: bool,
    polls: u32,
}

impl Stall {
    /// An accept failed.
    pub(super) fn begin(&mut self) {
        *self = Self { stalled: true, polls: 0 };
    }

    /// A stalled driver does not block for ever.
    pub(super) fn bound(&self, wait: Wait) -> Wait {
        if self.stalled { wait.at_most(PATIENCE) } else { wait }
    }

    /// Once a poll: whether to try again. `relief`: a descriptor was freed, or the wait ended with nothing to do.
    pub(super) fn is_over(&mut self, relief: bool) -> bool {
        if !self.stalled {
            return false;
        }
        self.polls += 1;
        if relief || self.polls >= POLLS_BETWEEN_TRIES {
            self.stalled = false;
        }
        !self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_notice_that_their_peer_has_vanished() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::from(listener.accept().unwrap().0);
        assert!(socket.keepalive().unwrap());
        let times = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert_eq!(times, (Duration::from_secs(60), Duration::from_secs(15)));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }

    #[test]
    fn a_stall_ends_by_relief_or_by_many_polls() {
        let mut stall = Stall::default();
        assert_eq!(stall.bound(Wait::Forever), Wait::Forever);
        assert!(!stall.is_over(true));
        stall.begin();
        assert_eq!(stall.bound(Wait::Forever), Wait::For(PATIENCE));
        assert_eq!(stall.bound(Wait::None), Wait::None);
        assert!(!stall.is_over(false));
        assert!(stall.is_over(true));
        stall.begin();
        assert_eq!((1..=POLLS_BETWEEN_TRIES).find(|_| stall.is_over(false)), Some(POLLS_BETWEEN_TRIES));
        assert_eq!(stall.bound(Wait::Forever), Wait::Forever);
    }
}
