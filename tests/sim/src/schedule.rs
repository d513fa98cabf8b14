//! The virtual clock, and what is to happen when.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use postrider_model::{Clock, Now};

use crate::random::Random;

/// A microsecond, in the clock's nanoseconds.
pub const MICRO: u64 = 1_000;
/// A millisecond.
pub const MILLI: u64 = 1_000_000;
/// A second.
pub const SECOND: u64 = 1_000_000_000;

/// Milliseconds since 1970 when a simulation begins.
const BEGIN_UNIX_MILLIS: i64 = 1_800_000_000_000;

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Happening {
    /// A thread of the broker goes on, if it may.
    Thread(usize),
    /// A deadline that a sleeping thread had named; the number tells it from earlier sleeps.
    Deadline(usize, u64),
    /// The disk has finished something.
    Disk(u64),
    /// A file of the spool was written or read.
    Spill(u64),
    /// Bytes, an end or a reset arrive at one end of a connection.
    Network(u64),
    /// A client does the next thing it wants; the number tells its lives apart.
    Client(usize, u64),
}

/// Everything that will happen, and the time it is. All parts of a simulation share it.
#[derive(Clone)]
pub struct Schedule {
    inner: Rc<Inner>,
}

/// When, a lot among what falls on the same moment, a number of its own, and what.
type Due = (u64, u64, u64, Happening);

struct Inner {
    nanos: Cell<u64>,
    count: Cell<u64>,
    heap: RefCell<BinaryHeap<Reverse<Due>>>,
    random: RefCell<Random>,
}

impl Schedule {
    /// An empty one. What falls on the same moment comes in an order of chance.
    pub fn new(random: Random) -> Schedule {
        let inner = Inner {
            nanos: Cell::new(SECOND),
            count: Cell::new(0),
            heap: RefCell::new(BinaryHeap::new()),
            random: RefCell::new(random),
        };
        Schedule { inner: Rc::new(inner) }
    }

    /// The time, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.inner.nanos.get()
    }

    /// Lets something happen after a delay.
    pub fn after(&self, delay: u64, happening: Happening) {
        self.at(self.nanos().saturating_add(delay), happening);
    }

    /// Lets something happen at a time.
    pub fn at(&self, nanos: u64, happening: Happening) {
        let count = self.inner.count.get() + 1;
        self.inner.count.set(count);
        let lot = self.inner.random.borrow_mut().next();
        self.inner.heap.borrow_mut().push(Reverse((nanos.max(self.nanos()), lot, count, happening)));
    }

    /// The next thing that happens, unless it lies behind `until`; the clock moves there.
    pub fn next(&self, until: u64) -> Option<Happening> {
        let mut heap = self.inner.heap.borrow_mut();
        let due = heap.peek().is_some_and(|Reverse((nanos, ..))| *nanos <= until);
        if !due {
            self.inner.nanos.set(until.max(self.nanos()));
            return None;
        }
        let Reverse((nanos, _, _, happening)) = heap.pop()?;
        self.inner.nanos.set(nanos);
        Some(happening)
    }

    /// Forgets everything of the broker's process and its disk: after a crash none of it happens.
    pub fn forget_process(&self) {
        let of_process = |happening: &Happening| {
            matches!(
                happening,
                Happening::Thread(_) | Happening::Deadline(..) | Happening::Disk(_) | Happening::Spill(_)
            )
        };
        self.inner.heap.borrow_mut().retain(|Reverse((.., happening))| !of_process(happening));
    }
}

impl Clock for Schedule {
    fn now(&self) -> Now {
        let nanos = self.nanos();
        Now { nanos, unix_millis: BEGIN_UNIX_MILLIS + (nanos / MILLI).cast_signed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_time_and_the_clock_follows() {
        let schedule = Schedule::new(Random::new(1));
        schedule.after(30, Happening::Client(0, 1));
        schedule.after(10, Happening::Disk(1));
        schedule.after(20, Happening::Thread(0));
        let begin = schedule.nanos();
        assert_eq!(schedule.next(begin + 9), None);
        assert_eq!(schedule.next(u64::MAX), Some(Happening::Disk(1)));
        assert_eq!(schedule.nanos(), begin + 10);
        schedule.forget_process();
        assert_eq!(schedule.next(u64::MAX), Some(Happening::Client(0, 1)));
        assert_eq!(schedule.nanos(), begin + 30);
    }
}
