//! Spool segments as files beside the journal's.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use crate::image::Image;
use crate::position::SegmentNumber;
use crate::spill::{Spill, Spilled};
use crate::storage::Read;
use crate::storage::file::{Answer, FileStorage, Performer, Request};
use crate::storage::worker::{Lane, Waker, Worker};

/// Requests the lane holds; more wait here.
const LANE: usize = 256;

/// Writes spool segments into the journal's directory. Nothing is synced.
pub struct FileSpill {
    lane: Lane,
    answers: Arc<ArrayQueue<Answer>>,
    waiting: VecDeque<Request>,
}

impl FileSpill {
    /// A spill in a storage's directory, and its worker. What an earlier life spilled is there until the journal's next life begins.
    #[must_use]
    pub fn beside(storage: &FileStorage, waker: Waker) -> (FileSpill, Worker) {
        let (lane, requests) = Lane::new(LANE);
        let answers = Arc::new(ArrayQueue::new(2 * LANE));
        let worker = Worker::new(requests, Arc::clone(&answers), waker, Performer::new(storage.files()));
        (FileSpill { lane, answers, waiting: VecDeque::new() }, worker)
    }

    fn ask(&mut self, request: Request) {
        self.waiting.push_back(request);
        self.pass_on();
    }

    fn pass_on(&mut self) {
        while let Some(request) = self.waiting.pop_front() {
            if let Err(request) = self.lane.push(request) {
                self.waiting.push_front(request);
                return;
            }
        }
    }
}

impl Spill for FileSpill {
    fn spill(&mut self, segment: SegmentNumber, image: Arc<Image>, len: usize) {
        self.ask(Request::Spill(segment, image, len));
    }

    fn read(&mut self, read: Read) {
        self.ask(Request::ReadSpilled(read));
    }

    fn discard(&mut self, segment: SegmentNumber) {
        self.ask(Request::Discard(segment));
    }

    fn has_completed(&self) -> bool {
        !self.answers.is_empty()
    }

    fn completed(&mut self) -> Option<Spilled> {
        self.pass_on();
        match self.answers.pop()? {
            Answer::Spilled(segment, result) => Some(Spilled::Out { segment, result }),
            Answer::Read(read, result, _) => Some(Spilled::Read { ticket: read.ticket, result }),
            Answer::Prepared(..) | Answer::Written(_) | Answer::Kept(_) | Answer::Stated(_) | Answer::Stays(..) => {
                unreachable!("a spill asks for none of them")
            }
        }
    }
}
