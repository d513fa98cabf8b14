//! The ring itself: setting it up with what the kernel offers, queueing requests, one system call a poll.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{Builder, EnterFlags, IoUring, cqueue, opcode, squeue};

use super::buffers::GROUP;
use super::operation::Operation;
use crate::net::Wait;

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 4096;
/// What one request sends at most: the kernel does it in one go where the socket has room.
pub(super) const SEND_BYTES: usize = 1 << 20;

/// How long few bytes may lie of who is [gathered](crate::net::Net::gather).
static MOMENT: Timespec = Timespec::new().nsec(2_000_000);

/// Ways to set a ring up, the fastest first. The kernel answers EINVAL to flags it does not know.
const LADDER: [fn(&mut Builder); 4] = [
    // Since 6.1: completions are made in this thread's own wait, and in batches.
    |builder| {
        builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().setup_taskrun_flag();
        builder.setup_submit_all();
    },
    // Since 6.0.
    |builder| {
        builder.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
    },
    // Since 5.19.
    |builder| {
        builder.setup_coop_taskrun().setup_taskrun_flag();
    },
    |_| {},
];

/// A ring and what waits for room in it.
pub(super) struct Kernel {
    ring: IoUring,
    /// Requests beyond the ring's size; at most a few for each connection.
    waiting: VecDeque<squeue::Entry>,
    wait_flags: EnterFlags,
    /// The kernel can wait for several completions and still return for fewer after a while (since 6.12).
    can_wait_for_several: bool,
    /// Sends were queued since the last call.
    sends: bool,
    pub(super) system_calls: u64,
}

impl Kernel {
    pub(super) fn new() -> io::Result<Self> {
        let ring = LADDER.iter().find_map(|setup| build(*setup).transpose()).unwrap_or_else(|| {
            Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel's io_uring takes no set of flags we know"))
        })?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel's io_uring is too old (before 6.0)"));
        }
        // Else a blocked wait counts as waiting for a disk, and an idle broker looks like a busy machine.
        let no_iowait = ring.params().is_feature_no_iowait();
        let wait_flags = if no_iowait { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        let can_wait_for_several = ring.params().is_feature_min_timeout();
        Ok(Self { ring, waiting: VecDeque::new(), wait_flags, can_wait_for_several, sends: false, system_calls: 0 })
    }

    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// Every connection that comes in completes it once.
    pub(super) fn accept(&mut self, listener: BorrowedFd, operation: Operation) {
        self.queue(opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build(), operation);
    }

    /// All that comes in completes it, each time with a buffer of the registered ring.
    pub(super) fn receive(&mut self, socket: BorrowedFd, operation: Operation) {
        self.queue(opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build(), operation);
    }

    /// Completes when the socket is reset, or shut down on both sides.
    pub(super) fn watch(&mut self, socket: BorrowedFd, operation: Operation) {
        self.queue(opcode::PollAdd::new(Fd(socket.as_raw_fd()), 0).build(), operation);
    }

    /// Each write to the eventfd completes it.
    pub(super) fn watch_wakes(&mut self, eventfd: BorrowedFd, operation: Operation) {
        let events = libc::POLLIN as u32;
        self.queue(opcode::PollAdd::new(Fd(eventfd.as_raw_fd()), events).multi(true).build(), operation);
    }

    /// Completes after a moment. One such timer for many waits: a wait with one of its own has it set and taken back each time.
    pub(super) fn moment(&mut self, operation: Operation) {
        self.queue(opcode::Timeout::new(&raw const MOMENT).build(), operation);
    }

    pub(super) fn cancel(&mut self, target: Operation, operation: Operation) {
        self.queue(opcode::AsyncCancel::new(target.into_word()).build(), operation);
    }

    /// Sends the bytes, or as many of them as one request takes.
    ///
    /// # Safety
    /// The bytes must stay where they are, unchanged, until the request has completed.
    #[allow(clippy::cast_possible_truncation, reason = "it is at most a constant")]
    pub(super) unsafe fn send(&mut self, socket: BorrowedFd, bytes: &[u8], operation: Operation) {
        self.sends = true;
        let length = bytes.len().min(SEND_BYTES) as u32;
        let send = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length);
        self.queue(send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build(), operation);
    }

    fn queue(&mut self, entry: squeue::Entry, operation: Operation) {
        self.waiting.push_back(entry.user_data(operation.into_word()));
        self.fill();
    }

    /// Moves what waits into the ring, as far as it has room.
    fn fill(&mut self) {
        let mut submissions = self.ring.submission();
        while let Some(entry) = self.waiting.front() {
            // SAFETY: of all requests only `send` names memory that does not live for ever, and its caller keeps that alive; registered buffers
            // stay until the ring is gone. A descriptor that were closed early would be an error, not a fault.
            if unsafe { submissions.push(entry) }.is_err() {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// Hands the queued requests over and waits for a completion; usually by one system call, or by none if there is nothing
    /// to hand over, to wait for or to fetch. With sends it does not wait: as a rule they complete at once, and a wait that has to look
    /// past them needs a timer, which costs more than another call.
    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let before = self.waiting.len();
            self.submit(0, SubmitArgs::new())?;
            self.fill();
            if self.waiting.len() == before {
                // It takes no more before its completions are taken, or for want of memory: the caller looks at them and comes again.
                return Ok(());
            }
        }
        let something = !self.ring.completion().is_empty();
        let sends = std::mem::take(&mut self.sends);
        match wait {
            Wait::None if self.is_quiet() => Ok(()),
            Wait::None => self.submit(0, SubmitArgs::new()),
            _ if something || sends => self.enter(Wait::None),
            Wait::Several { count, within, limit } => {
                self.wait(count, u32::try_from(within.as_micros()).unwrap_or(u32::MAX), limit)
            }
            Wait::For(_) | Wait::Forever => self.wait(1, 0, wait.limit()),
        }
    }

    /// Waits for `count` things, or for one when `micros` have passed.
    fn wait(&mut self, count: usize, micros: u32, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.map(Timespec::from);
        let mut arguments = SubmitArgs::new();
        if let Some(limit) = &limit {
            arguments = arguments.timespec(limit);
        }
        if micros == 0 || !self.can_wait_for_several {
            return self.submit(1, arguments);
        }
        self.submit(count, arguments.min_wait_usec(micros))
    }

    /// Whether the kernel has nothing from us and says that it has nothing for us. Without deferred work completions appear by
    /// themselves.
    fn is_quiet(&mut self) -> bool {
        let submissions = self.ring.submission();
        submissions.is_empty() && !submissions.taskrun() && !submissions.cq_overflow()
    }

    fn submit(&mut self, want: usize, arguments: SubmitArgs) -> io::Result<()> {
        self.system_calls += 1;
        let flags = if want > 0 { self.wait_flags } else { EnterFlags::empty() };
        match self.ring.submitter().submit_with_args_and_flags(want, &arguments, flags) {
            Ok(_) => Ok(()),
            // The time is up; a signal; completions to be taken first: each time the caller looks at what there is.
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Takes all completions there are.
    pub(super) fn completions(&mut self, into: &mut Vec<cqueue::Entry>) {
        into.extend(self.ring.completion());
    }
}

/// A ring, or none where the kernel does not know the flags.
fn build(setup: fn(&mut Builder)) -> io::Result<Option<IoUring>> {
    let mut builder = IoUring::builder();
    builder.setup_clamp().setup_cqsize(COMPLETIONS);
    setup(&mut builder);
    match builder.build(SUBMISSIONS) {
        Ok(ring) => Ok(Some(ring)),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_of_the_ladder_makes_a_ring_here_or_is_refused_as_unknown() {
        for setup in LADDER {
            build(setup).unwrap();
        }
    }
}
