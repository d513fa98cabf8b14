//! What blocks runs here: workers that the server puts on threads of their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

use crate::storage::file::{Answer, Performer, Request};

/// Without a request for so long a worker has nothing to do.
const REST: Duration = Duration::from_secs(1);

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

/// Requests to one worker, which ends when it has done those there are and the lane is gone.
pub(crate) struct Lane(SyncSender<Request>);

/// Performs the requests of one lane: writes, preparations, or reads.
pub struct Worker {
    requests: Receiver<Request>,
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

/// Requests to one worker, however many: those that do not fit its lane wait here.
pub(crate) struct Queue {
    lane: Lane,
    waiting: VecDeque<Request>,
}

impl Queue {
    /// One whose lane holds so many requests, and its worker's end.
    pub(crate) fn new(capacity: usize) -> (Queue, Receiver<Request>) {
        let (lane, requests) = Lane::new(capacity);
        (Queue { lane, waiting: VecDeque::new() }, requests)
    }

    /// Hands a request over, behind those that wait.
    pub(crate) fn ask(&mut self, request: Request) {
        self.waiting.push_back(request);
        self.pass_on();
    }

    /// Hands over what waits, as far as there is room.
    pub(crate) fn pass_on(&mut self) {
        while let Some(request) = self.waiting.pop_front() {
            if let Err(request) = self.lane.push(request) {
                self.waiting.push_front(request);
                return;
            }
        }
    }
}

impl Lane {
    /// A lane that holds so many requests, and its worker's end.
    pub(crate) fn new(capacity: usize) -> (Lane, Receiver<Request>) {
        let (lane, requests) = sync_channel(capacity);
        (Lane(lane), requests)
    }

    /// Hands a request over; it comes back when the lane is full.
    pub(crate) fn push(&self, request: Request) -> Result<(), Request> {
        self.0.try_send(request).map_err(|refused| match refused {
            TrySendError::Full(request) | TrySendError::Disconnected(request) => request,
        })
    }
}

impl Worker {
    pub(crate) fn new(
        requests: Receiver<Request>,
        answers: Arc<ArrayQueue<Answer>>,
        waker: Waker,
        performer: Performer,
    ) -> Worker {
        Worker { requests, answers, waker, performer }
    }

    /// Performs one request, if there is one.
    pub fn step(&mut self) -> Step {
        let Ok(request) = self.requests.try_recv() else { return Step::Idle };
        self.perform(request);
        Step::Work
    }

    /// Works until the storage is gone.
    pub fn run(mut self) {
        while let Some(request) = self.next() {
            self.perform(request);
        }
    }

    /// The next request; memory that is kept for it goes when it is long in coming.
    fn next(&mut self) -> Option<Request> {
        match self.requests.recv_timeout(REST) {
            Ok(request) => Some(request),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.performer.rest();
                self.requests.recv().ok()
            }
        }
    }

    fn perform(&mut self, request: Request) {
        if let Some(answer) = self.performer.perform(request) {
            let room = self.answers.push(answer).is_ok();
            assert!(room, "answers are bounded by what the journal has under way");
            (self.waker)();
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
        spawn([("flusher", self.flusher), ("helper", self.helper), ("reader", self.reader)])
    }
}

/// Puts each on a thread of this name.
pub(crate) fn spawn<const N: usize>(workers: [(&str, Worker); N]) -> std::io::Result<Vec<std::thread::JoinHandle<()>>> {
    let spawn =
        |(name, worker): (&str, Worker)| std::thread::Builder::new().name(name.to_owned()).spawn(move || worker.run());
    workers.into_iter().map(spawn).collect()
}
