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
pub struct GiveBack {
    /// In nanoseconds; [`u64::MAX`]: nothing was done since the last time.
    due: u64,
}

impl GiveBack {
    /// For a thread that has done nothing yet.
    pub fn new() -> GiveBack {
        GiveBack { due: u64::MAX }
    }

    /// Called whenever the thread is awake; `trim` lets go of what is kept for later use only.
    pub fn run(&mut self, nanos: u64, trim: impl FnOnce()) {
        if self.is_due(nanos) {
            trim();
            // SAFETY: it looks through this thread's own free memory and the process's, under the allocator's own synchronisation.
            unsafe { mi_collect(true) };
        }
    }

    /// When the thread wants to be woken for it.
    pub fn deadline(&self) -> Option<u64> {
        (self.due != u64::MAX).then_some(self.due)
    }

    /// A thread that is woken for this alone asks for nothing again.
    fn is_due(&mut self, nanos: u64) -> bool {
        let due = nanos >= self.due;
        if due {
            self.due = u64::MAX;
        } else if self.due == u64::MAX {
            self.due = nanos + GIVE_BACK_AFTER_NANOS;
        }
        due
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
}
