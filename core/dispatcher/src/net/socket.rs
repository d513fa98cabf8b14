//! What the drivers share about sockets.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::RecvFlags;
use socket2::SockRef;

/// Unread bytes thrown away before a close, in reads of `DISCARD_BYTES`; with more than that the peer gets a reset.
const DISCARD_READS: usize = 64;
const DISCARD_BYTES: usize = 8 << 10;

/// Throws away what has arrived: unread bytes at a close would make the kernel reset the connection, and the peer lose the
/// last bytes sent to it. Before a shutdown it also lets a peer go on that waits for room, and so meet the end: afterwards the
/// kernel tells it of no room any more. Says how many calls that took.
pub(super) fn discard_unread(socket: impl AsFd) -> u64 {
    let mut scratch = [0_u8; DISCARD_BYTES];
    for calls in 1..=DISCARD_READS {
        if !matches!(rustix::net::recv(&socket, &mut scratch, RecvFlags::DONTWAIT), Ok((1.., _))) {
            return calls as u64;
        }
    }
    DISCARD_READS as u64
}

/// Makes the close of a socket a reset: the peer hears of it at once, even if it does not read, and the kernel keeps nothing
/// of what was not sent yet.
pub(super) fn reset_at_close(socket: &impl AsFd) {
    // It fails on a socket that is gone already, which is as good.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// The same error once more: the system's keep their number, others their kind.
pub(super) fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::from(error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn discarding_ends_with_the_bytes_or_with_the_bound() {
        let (mut one, other) = UnixStream::pair().unwrap();
        assert_eq!(discard_unread(&other), 1);
        one.write_all(&[0; 3 * DISCARD_BYTES]).unwrap();
        assert_eq!(discard_unread(&other), 4);
        drop(one);
        assert_eq!(discard_unread(&other), 1);
    }

    #[test]
    fn a_copied_error_is_the_same() {
        let system = copy_error(&io::Error::from_raw_os_error(libc::EPIPE));
        assert_eq!(system.raw_os_error(), Some(libc::EPIPE));
        assert_eq!(copy_error(&io::ErrorKind::WriteZero.into()).kind(), io::ErrorKind::WriteZero);
    }
}
