//! Finding out whether io_uring can be used, by using it.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use io_uring::cqueue;

use super::Uring;
use super::operation::Operation;
use crate::net::{Connection, Wait};

/// Whether this machine lets us use io_uring, and knows all that the driver needs: an error says what is missing.
pub fn probe() -> io::Result<()> {
    let mut uring = Uring::new(1)?;
    let (one, other) = std::os::unix::net::UnixStream::pair()?;
    let connection = Connection { slot: 0, generation: 0 };
    uring.kernel.receive(one.as_fd(), Operation::Receive(connection));
    rustix::io::write(&other, b"?")?;
    // One wait is for the wake request's answer at most, the other for the receive's.
    for _ in 0..2 {
        uring.kernel.enter(Wait::For(Duration::from_secs(1)))?;
        uring.kernel.completions(&mut uring.batch);
        let receive = Operation::Receive(connection).into_word();
        if let Some(completion) = uring.batch.iter().find(|completion| completion.user_data() == receive) {
            return match (completion.result(), cqueue::more(completion.flags())) {
                (1, true) => Ok(()),
                (result, _) if result < 0 => Err(io::Error::from_raw_os_error(-result)),
                _ => Err(io::Error::new(ErrorKind::Unsupported, "this kernel has no multishot receive (before 6.0)")),
            };
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "io_uring does not complete a receive"))
}
