//! A bounded ring of recycled batches from one thread to another.
//!
//! What crosses is a whole turn's batch, not an item; empty batches travel back, so that a steady state allocates nothing.
//! Both sides know the other's [`Alarm`]: a push wakes a sleeping receiver, and a pop wakes a sender that found the ring
//! full (R26).

use std::sync::Arc;

use crate::wake::{Alarm, WakeFlag};

/// A batch that can be emptied and used again, its memory kept.
pub trait Recycle {
    /// Empties it; keeps its capacity.
    fn recycle(&mut self);
}

/// A ring of at least one batch; `sender` and `receiver` are the alarms of the two threads (the same one, where one thread
/// is both).
pub fn ring<T: Default + Recycle>(
    capacity: usize,
    sender: Arc<Alarm>,
    receiver: Arc<Alarm>,
) -> (Sender<T>, Receiver<T>) {
    // Besides those in the ring, one batch is being filled and one being read.
    let shared =
        Arc::new(Shared { filled: Queue::new(capacity), empty: Queue::new(capacity + 2), found_full: WakeFlag::new() });
    (Sender { shared: shared.clone(), receiver }, Receiver { shared, sender })
}

/// Both ends share it.
struct Shared<T> {
    filled: Queue<T>,
    empty: Queue<T>,
    /// The sender waits for a slot.
    found_full: WakeFlag,
}

/// The end that fills batches; one thread's.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    receiver: Arc<Alarm>,
}

impl<T: Default + Recycle> Sender<T> {
    /// An empty batch to fill: a used one where there is one.
    pub fn blank(&mut self) -> T {
        self.returned().unwrap_or_default()
    }

    /// A used batch, empty, if one has come back.
    pub fn returned(&mut self) -> Option<T> {
        self.shared.empty.pop()
    }

    /// Lets go of the used batches that have come back.
    pub fn trim(&mut self) {
        while self.returned().is_some() {}
    }

    /// Hands a batch over and wakes the receiver if it sleeps. A full ring gives it back; the alarm of this side rings when
    /// there is room again.
    pub fn push(&mut self, mut batch: T) -> Result<(), T> {
        while self.has_room() {
            match self.shared.filled.push(batch) {
                Ok(()) => {
                    self.receiver.notify();
                    return Ok(());
                }
                Err(refused) => batch = refused,
            }
        }
        Err(batch)
    }

    /// Whether a push would be taken; one of the things a sender with a waiting batch looks at before it sleeps. After a no
    /// the receiver's next pop rings the alarm of this side: each no asks for it anew, since an earlier pop's late answer may
    /// have taken the request away.
    pub fn has_room(&self) -> bool {
        self.has_fewer_than(self.shared.filled.capacity())
    }

    /// Whether fewer batches than these wait to be popped. After a no as [`has_room`](Self::has_room).
    pub fn has_fewer_than(&self, batches: usize) -> bool {
        if self.len() < batches {
            return true;
        }
        // A slot freed before the flag was up is seen here, one freed after it rings the alarm.
        self.shared.found_full.raise();
        self.len() < batches
    }

    /// Batches that wait to be popped: there may be fewer by now.
    pub fn len(&self) -> usize {
        self.shared.filled.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end that empties batches; one thread's.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    sender: Arc<Alarm>,
}

impl<T: Default + Recycle> Receiver<T> {
    /// The oldest batch. It should come back by [`recycle`](Self::recycle).
    pub fn pop(&mut self) -> Option<T> {
        let batch = self.shared.filled.pop()?;
        if self.shared.found_full.take() {
            self.sender.notify();
        }
        Some(batch)
    }

    /// Empties a batch that was read and lets the sender have it again.
    pub fn recycle(&mut self, mut batch: T) {
        batch.recycle();
        // More than fit come about only if a caller makes batches of its own; those are dropped.
        drop(self.shared.empty.push(batch));
    }

    /// Whether there is nothing to pop; one of the things a receiver looks at before it sleeps.
    pub fn is_empty(&self) -> bool {
        self.shared.filled.is_empty()
    }
}

#[cfg(not(loom))]
use crossbeam_queue::ArrayQueue as Queue;
#[cfg(loom)]
use modelled::Queue;

/// What loom sees in the queue's place: crossbeam's does not use loom's atomics. The accesses are relaxed on purpose, so that
/// no order between ring and flag comes from here but what the flag's own fences make.
#[cfg(loom)]
mod modelled {
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use std::collections::VecDeque;

    pub(super) struct Queue<T> {
        items: Mutex<VecDeque<T>>,
        length: AtomicUsize,
        capacity: usize,
    }

    impl<T> Queue<T> {
        pub(super) fn new(capacity: usize) -> Self {
            assert!(capacity > 0);
            Self { items: Mutex::new(VecDeque::new()), length: AtomicUsize::new(0), capacity }
        }

        pub(super) fn push(&self, item: T) -> Result<(), T> {
            if self.is_full() {
                return Err(item);
            }
            self.items.lock().unwrap().push_back(item);
            self.length.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        pub(super) fn pop(&self) -> Option<T> {
            if self.is_empty() {
                return None;
            }
            let item = self.items.lock().unwrap().pop_front();
            self.length.fetch_sub(1, Ordering::Relaxed);
            item
        }

        pub(super) fn is_empty(&self) -> bool {
            self.length.load(Ordering::Relaxed) == 0
        }

        pub(super) fn is_full(&self) -> bool {
            self.len() == self.capacity
        }

        pub(super) fn len(&self) -> usize {
            self.length.load(Ordering::Relaxed)
        }

        pub(super) fn capacity(&self) -> usize {
            self.capacity
        }
    }
}
