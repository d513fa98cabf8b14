//! How the threads come to an end in order: no more is received, what was received is done, synced and answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use postrider_dispatcher::wake::Alarm;

/// The stages of the end, shared by all threads.
pub struct Shutdown {
    requested: AtomicBool,
    shards: usize,
    quiet_shards: AtomicUsize,
    broker_done: AtomicBool,
    alarms: Vec<Arc<Alarm>>,
}

impl Shutdown {
    /// For so many shards, and these threads' alarms.
    pub fn new(shards: usize, alarms: Vec<Arc<Alarm>>) -> Arc<Shutdown> {
        Arc::new(Shutdown {
            requested: AtomicBool::new(false),
            shards,
            quiet_shards: AtomicUsize::new(0),
            broker_done: AtomicBool::new(false),
            alarms,
        })
    }

    /// First stage: shards stop receiving.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// A shard has handed over all that it had received. Called once by each.
    pub fn shard_is_quiet(&self) {
        self.quiet_shards.fetch_add(1, Ordering::AcqRel);
        self.wake_all();
    }

    /// Second stage: the broker has everything that will come.
    pub fn all_shards_are_quiet(&self) -> bool {
        self.quiet_shards.load(Ordering::Acquire) == self.shards
    }

    /// The broker has done it all, and said so to the ports.
    pub fn broker_is_done(&self) {
        self.broker_done.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Third stage: when the last answers are with the kernel, a shard ends.
    pub fn is_broker_done(&self) -> bool {
        self.broker_done.load(Ordering::Acquire)
    }

    /// Wakes every thread, for nothing but a look around.
    pub fn wake_all(&self) {
        for alarm in &self.alarms {
            alarm.notify();
        }
    }
}
