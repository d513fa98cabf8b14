//! The process's allocator, and how what it has free goes back to the system.

/// Small batches of many sizes come and go on every thread; glibc's allocator costs twice as much for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// How long after a thread was woken it gives back what was freed meanwhile.
const GIVE_BACK_AFTER_NANOS: u64 = 10_000_000_000;

/// When a thread gives free memory back. The allocator itself does so only while it is at work, so that a peak would stay for as long
/// as everybody rests after it (decision 0011).
pub(crate) struct GiveBack {
    /// In nanoseconds; [`u64::MAX`]: nothing was done since the last time.
    due: u64,
    /// Turns since it was asked for.
    turns: u32,
}

/// A thread that makes more turns in this time is at work: it would have to get anew what it gives back.
const TURNS_AT_WORK: u32 = 20_000;

impl GiveBack {
    /// For a thread that has done nothing yet.
    pub(crate) fn new() -> GiveBack {
        GiveBack { due: u64::MAX, turns: 0 }
    }

    /// Called whenever the thread is awake; `trim` lets go of what is kept for later use only.
    pub(crate) fn run(&mut self, nanos: u64, trim: impl FnOnce()) {
        if self.is_due(nanos) {
            trim();
            // SAFETY: it looks through this thread's own free memory and the process's, under the allocator's own synchronisation.
            unsafe { mi_collect(true) };
        }
    }

    /// When the thread wants to be woken for it.
    pub(crate) fn deadline(&self) -> Option<u64> {
        (self.due != u64::MAX).then_some(self.due)
    }

    /// A thread that is woken for this alone asks for nothing again.
    fn is_due(&mut self, nanos: u64) -> bool {
        self.turns = self.turns.saturating_add(1);
        let (due, is_at_work) = (nanos >= self.due, self.turns > TURNS_AT_WORK);
        if due && !is_at_work {
            (self.due, self.turns) = (u64::MAX, 0);
        } else if due || self.due == u64::MAX {
            (self.due, self.turns) = (nanos + GIVE_BACK_AFTER_NANOS, 0);
        }
        due && !is_at_work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_each_time_of_work_and_never_at_rest() {
        const SECOND: u64 = 1_000_000_000;
        let mut give_back = GiveBack::new();
        assert_eq!(give_back.deadline(), None);
        let due: Vec<u64> = [0, 1, 9, 10, 30, 35, 40].into_iter().filter(|at| give_back.is_due(at * SECOND)).collect();
        assert_eq!((due, give_back.deadline()), (vec![10, 40], None));
    }

    #[test]
    fn not_while_the_thread_is_at_work() {
        const MILLI: u64 = 1_000_000;
        let mut give_back = GiveBack::new();
        // Five turns a millisecond for 25 seconds, then one a second.
        let busy = (0..125_000).map(|turn| turn * MILLI / 5);
        let due: Vec<u64> =
            busy.chain((25..60).map(|second| second * 1_000 * MILLI)).filter(|at| give_back.is_due(*at)).collect();
        assert_eq!(due.iter().map(|at| at / MILLI / 1_000).collect::<Vec<_>>(), [40, 51]);
    }
}
