//! Spool segments as files beside the journal's.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;

use crate::image::Image;
use crate::position::SegmentNumber;
use crate::spill::{Spill, Spilled};
use crate::storage::Read;
use crate::storage::file::{Answer, FileStorage, Performer, Request};
use crate::storage::worker::{Queue, Step, Waker, Worker, spawn};

/// Requests the lane holds; more wait here.
const LANE: usize = 256;

/// Writes spool segments into the journal's directory. Nothing is synced.
pub struct FileSpill {
    writer: Queue,
    reader: Queue,
    answers: Arc<ArrayQueue<Answer>>,
}

/// The workers of a [`FileSpill`]. Each can be stepped, or run on a thread.
pub struct Spillers {
    /// Writes segments out, and removes those that went.
    pub writer: Worker,
    /// Reads windows of them: who waits for one does not wait for all that is written meanwhile.
    pub reader: Worker,
}

impl Spillers {
    /// Steps both once.
    pub fn step(&mut self) -> Step {
        let steps = [self.writer.step(), self.reader.step()];
        if steps.contains(&Step::Work) { Step::Work } else { Step::Idle }
    }

    /// Puts each on a thread of its own; they end with the spill.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn spawn(self) -> io::Result<Vec<JoinHandle<()>>> {
        spawn([("spiller", self.writer), ("spool-reader", self.reader)])
    }
}

impl FileSpill {
    /// A spill in a storage's directory, and its workers. What an earlier life spilled is there until the journal's next life begins.
    #[must_use]
    pub fn beside(storage: &FileStorage, waker: Waker) -> (FileSpill, Spillers) {
        let answers = Arc::new(ArrayQueue::new(2 * LANE));
        let ends = || {
            let (queue, requests) = Queue::new(LANE);
            let performer = Performer::new(storage.files());
            let worker = Worker::new(requests, Arc::clone(&answers), Arc::clone(&waker), performer);
            (queue, worker)
        };
        let ((to_writer, writer), (to_reader, reader)) = (ends(), ends());
        (FileSpill { writer: to_writer, reader: to_reader, answers }, Spillers { writer, reader })
    }
}

impl Spill for FileSpill {
    fn spill(&mut self, segment: SegmentNumber, image: Arc<Image>, len: usize) {
        self.writer.ask(Request::Spill(segment, image, len));
    }

    fn read(&mut self, read: Read) {
        self.reader.ask(Request::ReadSpilled(read));
    }

    fn discard(&mut self, segment: SegmentNumber) {
        self.writer.ask(Request::Discard(segment));
    }

    fn has_completed(&self) -> bool {
        !self.answers.is_empty()
    }

    fn completed(&mut self) -> Option<Spilled> {
        self.writer.pass_on();
        self.reader.pass_on();
        match self.answers.pop()? {
            Answer::Spilled(segment, result) => Some(Spilled::Out { segment, result }),
            Answer::Read(read, result, _) => Some(Spilled::Read { ticket: read.ticket, result }),
            Answer::Prepared(..) | Answer::Written(_) | Answer::Kept(_) | Answer::Stated(_) | Answer::Stays(..) => {
                unreachable!("a spill asks for none of them")
            }
        }
    }
}
