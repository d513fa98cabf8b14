//! What blocks runs here: workers that the server puts on threads of their own.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;

use crate::storage::file::{Answer, Performer, Request};

/// Called when an answer is there.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A request was performed.
    Work,
    /// There was none.
    Idle,
}

/// Requests to one worker.
pub(crate) struct Lane {
    requests: ArrayQueue<Request>,
    sleeping: AtomicBool,
    closed: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

/// Performs the requests of one lane: writes, preparations, or reads.
pub struct Worker {
    lane: Arc<Lane>,
    answers: Arc<ArrayQueue<Answer>>,
    waker: Waker,
    performer: Performer,
}

/// The workers of a [`FileStorage`](crate::FileStorage). Each can be stepped, or run on a thread.
pub struct Workers {
    /// Writes and syncs: the one that commits wait for.
    pub flusher: Worker,
    /// Prepares and recycles segments.
    pub helper: Worker,
    /// Reads windows of cold segments.
    pub reader: Worker,
}

impl Lane {
    pub fn new(capacity: usize) -> Arc<Lane> {
        Arc::new(Lane {
            requests: ArrayQueue::new(capacity),
            sleeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            thread: Mutex::new(None),
        })
    }

    /// Hands a request over; it comes back when the lane is full.
    pub fn push(&self, request: Request) -> Result<(), Request> {
        self.requests.push(request)?;
        self.wake();
        Ok(())
    }

    /// No request follows: a running worker ends when it has done those there are.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.swap(false, Ordering::AcqRel) {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(thread) = &*thread {
                thread.unpark();
            }
        }
    }

    /// Sleeps until a request is there or the lane is closed, or for no reason.
    fn park(&self) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
        self.sleeping.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.requests.is_empty() && !self.closed.load(Ordering::Acquire) {
            std::thread::park();
        }
        self.sleeping.store(false, Ordering::Release);
    }
}

impl Worker {
    pub(crate) fn new(lane: Arc<Lane>, answers: Arc<ArrayQueue<Answer>>, waker: Waker, performer: Performer) -> Worker {
        Worker { lane, answers, waker, performer }
    }

    /// Performs one request, if there is one.
    pub fn step(&mut self) -> Step {
        let Some(request) = self.lane.requests.pop() else { return Step::Idle };
        if let Some(answer) = self.performer.perform(request) {
            let room = self.answers.push(answer).is_ok();
            assert!(room, "answers are bounded by what the journal has under way");
            (self.waker)();
        }
        Step::Work
    }

    /// Sleeps until there may be work.
    pub fn park(&self) {
        self.lane.park();
    }

    /// Works until the storage is gone.
    pub fn run(mut self) {
        loop {
            if self.step() == Step::Work {
                continue;
            }
            if self.lane.closed.load(Ordering::Acquire) && self.lane.requests.is_empty() {
                return;
            }
            self.park();
        }
    }
}

impl Workers {
    /// Steps all of them once.
    pub fn step(&mut self) -> Step {
        let steps = [self.flusher.step(), self.helper.step(), self.reader.step()];
        if steps.contains(&Step::Work) { Step::Work } else { Step::Idle }
    }

    /// Puts each on a thread of its own; they end with the storage.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn spawn(self) -> std::io::Result<Vec<std::thread::JoinHandle<()>>> {
        let named = [("flusher", self.flusher), ("helper", self.helper), ("reader", self.reader)];
        let spawn = |(name, worker): (&str, Worker)| {
            std::thread::Builder::new().name(name.to_owned()).spawn(move || worker.run())
        };
        named.into_iter().map(spawn).collect()
    }
}
