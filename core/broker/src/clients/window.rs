//! A connection's send window: how far dispatch may run ahead of its socket (R23).

use crate::config::WindowSizes;

/// A window that a socket empties within this many nanoseconds is too small for it: it stands still in between.
const QUICK_NANOS: u64 = 5_000_000;

/// A socket that takes longer than this many nanoseconds gets no more than the first window.
const SLOW_NANOS: u64 = 50_000_000;

/// Bytes dispatched to a connection that its socket has not taken, and how many they may be.
///
/// As in TCP the rate of a connection is at most a window for each time that the far side takes to empty it. So the window
/// doubles when a full one is emptied quickly. Memory stays in proportion to what the clients really take: a window of `n` bytes
/// is given only to one that has just taken `n / 2` within 5 ms, and more before than the kernel alone takes.
#[derive(Debug)]
pub(crate) struct SendWindow {
    unwritten: u64,
    /// Bytes that the socket has taken since it was slow.
    taken: u64,
    size: u64,
    sizes: WindowSizes,
    /// When it became full, in nanoseconds.
    full_since: u64,
}

impl SendWindow {
    /// An empty window.
    pub(crate) fn new(sizes: WindowSizes) -> SendWindow {
        SendWindow { unwritten: 0, taken: 0, size: sizes.first, sizes, full_since: 0 }
    }

    /// A window that never opens.
    pub(crate) fn shut() -> SendWindow {
        let sizes = WindowSizes { first: 0, largest: 0, proof: 0 };
        SendWindow::new(sizes)
    }

    /// Whether another message may go. The last one may go beyond the window.
    pub(crate) fn is_open(&self) -> bool {
        self.unwritten < self.size
    }

    /// A message of this length goes.
    pub(crate) fn take(&mut self, length: u32, nanos: u64) {
        let was_open = self.is_open();
        self.unwritten += u64::from(length);
        if was_open && !self.is_open() {
            self.full_since = nanos;
        }
    }

    /// The socket has taken bytes.
    pub(crate) fn give_back(&mut self, bytes: u32, nanos: u64) {
        let was_open = self.is_open();
        self.unwritten = self.unwritten.saturating_sub(u64::from(bytes));
        self.taken = self.taken.saturating_add(u64::from(bytes));
        if was_open || !self.is_open() {
            return;
        }
        let full = nanos.saturating_sub(self.full_since);
        if full > SLOW_NANOS {
            (self.size, self.taken) = (self.sizes.first, 0);
        } else if full < QUICK_NANOS && self.taken > self.sizes.proof {
            self.size = (self.size * 2).min(self.sizes.largest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: WindowSizes = WindowSizes { first: 100, largest: 300, proof: 0 };

    /// Fills the window with messages of 10 bytes and empties it; gives the bytes that went.
    fn round(window: &mut SendWindow, start: u64, nanos: u64) -> u64 {
        let mut sent = 0;
        while window.is_open() {
            window.take(10, start);
            sent += 10;
        }
        window.give_back(sent as u32, start + nanos);
        sent
    }

    #[test]
    fn it_grows_for_a_quick_socket_and_starts_over_with_a_slow_one() {
        let mut window = SendWindow::new(SIZES);
        let rounds = [QUICK_NANOS - 1, QUICK_NANOS, 0, 0, SLOW_NANOS, SLOW_NANOS + 1, 0];
        let sent: Vec<u64> = rounds
            .iter()
            .enumerate()
            .map(|(at, nanos)| round(&mut window, at as u64 * 1_000_000_000, *nanos))
            .collect();
        assert_eq!(sent, [100, 200, 200, 300, 300, 300, 100]);
    }

    /// Sockets take some for a client that never reads.
    #[test]
    fn it_grows_only_for_who_takes_more_than_sockets_do() {
        let mut window = SendWindow::new(WindowSizes { proof: 250, ..SIZES });
        let mut sent_in = |nanos: &[u64]| -> Vec<u64> {
            nanos.iter().enumerate().map(|(at, nanos)| round(&mut window, at as u64 * 1_000_000_000, *nanos)).collect()
        };
        assert_eq!(sent_in(&[0; 5]), [100, 100, 100, 200, 300]);
        assert_eq!(sent_in(&[SLOW_NANOS + 1, 0, 0, 0, 0]), [300, 100, 100, 100, 200], "from the beginning");
    }

    #[test]
    fn one_that_was_never_full_does_not_grow() {
        let mut window = SendWindow::new(SIZES);
        for _ in 0..10 {
            window.take(90, 0);
            window.give_back(90, 0);
        }
        assert_eq!(round(&mut window, 0, 0), 100);
    }

    #[test]
    fn a_part_that_does_not_open_it_says_nothing() {
        let mut window = SendWindow::new(SIZES);
        window.take(200, 0);
        window.give_back(50, 1);
        window.give_back(50, SLOW_NANOS * 2);
        assert!(!window.is_open());
        window.give_back(1, SLOW_NANOS * 2);
        assert!(window.is_open());
    }
}
