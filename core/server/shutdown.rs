//! How the threads come to an end in order: no more is received, what was received is done, synced and answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postrider_dispatcher::wake::Alarm;

/// The stages of the end, shared by all threads.
pub(crate) struct Shutdown {
    requested: AtomicBool,
    quiet_shards: Vec<AtomicBool>,
    broker_done: AtomicBool,
    alarms: Vec<Arc<Alarm>>,
}

impl Shutdown {
    /// For so many shards, and these threads' alarms.
    pub(crate) fn new(shards: usize, alarms: Vec<Arc<Alarm>>) -> Arc<Shutdown> {
        Arc::new(Shutdown {
            requested: AtomicBool::new(false),
            quiet_shards: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            broker_done: AtomicBool::new(false),
            alarms,
        })
    }

    /// First stage: shards stop receiving.
    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether the end was asked for.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// A shard has handed over all that it had received, or will never hand over anything more.
    pub(crate) fn shard_is_quiet(&self, shard: usize) {
        if let Some(quiet) = self.quiet_shards.get(shard) {
            quiet.store(true, Ordering::Release);
        }
        self.wake_all();
    }

    /// A thread has failed: the others end, and do not wait for it.
    pub(crate) fn thread_failed(&self, thread: usize, had_the_broker: bool) {
        self.request();
        self.shard_is_quiet(thread);
        if had_the_broker {
            self.broker_is_done();
        }
    }

    /// Second stage: the broker has everything that will come.
    pub(crate) fn all_shards_are_quiet(&self) -> bool {
        self.quiet_shards.iter().all(|quiet| quiet.load(Ordering::Acquire))
    }

    /// The broker has done it all, and said so to the ports.
    pub(crate) fn broker_is_done(&self) {
        self.broker_done.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Third stage: when the last answers are with the kernel, a shard ends.
    pub(crate) fn is_broker_done(&self) -> bool {
        self.broker_done.load(Ordering::Acquire)
    }

    /// Wakes every thread, for nothing but a look around.
    pub(crate) fn wake_all(&self) {
        for alarm in &self.alarms {
            alarm.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_fails_keeps_no_other_from_its_end() {
        let shutdown = Shutdown::new(2, Vec::new());
        shutdown.thread_failed(1, false);
        assert!(shutdown.is_requested() && !shutdown.all_shards_are_quiet() && !shutdown.is_broker_done());
        shutdown.shard_is_quiet(0);
        shutdown.shard_is_quiet(0);
        assert!(shutdown.all_shards_are_quiet() && !shutdown.is_broker_done(), "the broker ends in order");
        let shutdown = Shutdown::new(2, Vec::new());
        shutdown.thread_failed(0, true);
        assert!(shutdown.is_broker_done(), "nobody else could say so");
    }
}
