//! Waking a thread that sleeps, and only such a one (R26).
//!
//! A wake-up costs its sender microseconds, so it is sent only to who has said that it goes to sleep. The sleeper raises its
//! flag, *then* looks at all its sources once more, then blocks; who brings something makes it visible, *then* looks at
//! the flag. With a sequentially consistent fence between the two steps on both sides at least one of them sees the other.

use std::sync::{Arc, OnceLock};

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Interrupts the blocking wait of one thread, from any thread.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Says that a thread sleeps or is about to.
#[derive(Debug)]
pub struct WakeFlag {
    sleeping: AtomicBool,
}

impl WakeFlag {
    /// A flag of a thread that is awake.
    pub fn new() -> Self {
        Self { sleeping: AtomicBool::new(false) }
    }

    /// The sleeper's first step. What it reads afterwards is at least as new as what anybody saw who missed the flag.
    pub fn raise(&self) {
        // A swap, here and below: each change then follows from the one before, which the model checker needs to see. Who
        // goes to sleep has the time.
        self.sleeping.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper is awake again.
    pub fn lower(&self) {
        self.sleeping.swap(false, Ordering::Relaxed);
    }

    /// The waker's step, after what it brings is visible. True: the caller must wake the sleeper, nobody else will.
    pub fn take(&self) -> bool {
        fence(Ordering::SeqCst);
        // The load keeps the cache line shared while the other side is awake, which is the usual case.
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed)
    }
}

impl Default for WakeFlag {
    fn default() -> Self {
        Self::new()
    }
}

/// One thread's flag together with the way to wake it. All that can wake the thread hold the same alarm.
#[derive(Default)]
pub struct Alarm {
    flag: WakeFlag,
    waker: OnceLock<Waker>,
}

impl Alarm {
    /// An alarm whose thread does not sleep yet; its waker may be attached later, by that thread.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// An alarm with its waker.
    pub fn with_waker(waker: Waker) -> Arc<Self> {
        let alarm = Self::new();
        alarm.attach(waker);
        alarm
    }

    /// Tells how the thread is woken; once, before it sleeps for the first time.
    ///
    /// # Panics
    /// When a waker is attached already.
    pub fn attach(&self, waker: Waker) {
        assert!(self.waker.set(waker).is_ok(), "an alarm has one waker");
    }

    /// Before blocking: raises the flag and asks `work` whether any source of the thread has something. True: the thread may
    /// block, and calls [`awake`](Self::awake) afterwards; false: it must not, and the flag is down again.
    pub fn may_sleep(&self, work: impl FnOnce() -> bool) -> bool {
        debug_assert!(self.waker.get().is_some(), "a thread that sleeps must have attached its waker");
        self.flag.raise();
        let idle = !work();
        if !idle {
            self.flag.lower();
        }
        idle
    }

    /// After blocking.
    pub fn awake(&self) {
        self.flag.lower();
    }

    /// After something for the thread became visible: wakes it if it sleeps. Says whether it did.
    pub fn notify(&self) -> bool {
        let asleep = self.flag.take();
        if asleep && let Some(wake) = self.waker.get() {
            wake();
        }
        asleep
    }
}

impl std::fmt::Debug for Alarm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Alarm")
            .field("flag", &self.flag)
            .field("attached", &self.waker.get().is_some())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn counted() -> (Arc<Alarm>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        let waker = move || {
            seen.fetch_add(1, Ordering::Relaxed);
        };
        (Alarm::with_waker(Arc::new(waker)), count)
    }

    #[test]
    fn only_a_sleeper_is_woken_and_once() {
        let (alarm, count) = counted();
        assert!(!alarm.notify());
        assert!(alarm.may_sleep(|| false));
        assert!(alarm.notify());
        assert!(!alarm.notify());
        assert_eq!(count.load(Ordering::Relaxed), 1);
        alarm.awake();
        assert!(!alarm.notify());
    }

    #[test]
    fn work_found_on_the_second_look_keeps_the_thread_awake() {
        let (alarm, count) = counted();
        assert!(!alarm.may_sleep(|| true));
        assert!(!alarm.notify());
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_notice_before_the_waker_is_attached_is_not_an_error() {
        let alarm = Alarm::new();
        assert!(!alarm.notify());
        alarm.attach(Arc::new(|| ()));
        assert!(alarm.may_sleep(|| false));
        assert!(alarm.notify());
    }

    #[test]
    #[should_panic(expected = "one waker")]
    fn a_second_waker_is_our_mistake() {
        let (alarm, _) = counted();
        alarm.attach(Arc::new(|| ()));
    }
}
