//! What is left of damaged records, kept in files of their own.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use crate::frame::BodyHeader;
use crate::journal::Journal;
use crate::pause::Pause;
use crate::position::Position;
use crate::size::size;
use crate::storage::Storage;
use crate::trouble::Trouble;

/// Records that wait for their file at a time; who comes with more asks again.
const MOST_WAITING: usize = 64;
/// Files that were written for somebody who has not asked again yet.
const MOST_DONE: usize = 4_096;

/// What is left of a record whose bytes are not what they were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Remains {
    /// The file it is in.
    pub file: String,
    /// Where in it the bytes begin.
    pub offset: u64,
    /// The record's header and body as they were found; nothing where the segment is not there.
    pub bytes: Vec<u8>,
    /// The header checks: what follows it is of this record, and not moved here from another place.
    pub is_its_own: bool,
}

/// Whether something is kept aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// Durably, and that is told once.
    Yes,
    /// Its file is being written.
    UnderWay,
    /// Nobody has asked for it.
    No,
}

struct Keeping {
    number: u64,
    /// What the log is told of it.
    about: String,
    bytes: Arc<[u8]>,
    pause: Pause,
}

/// What is to be kept: one file is written at a time.
#[derive(Default)]
pub(crate) struct Aside {
    waiting: VecDeque<Keeping>,
    /// The first of those that wait is with the storage.
    handed_over: bool,
    done: BTreeSet<u64>,
}

fn name(number: u64) -> String {
    format!("damaged-{number}")
}

impl Aside {
    /// When the first is tried again; what is with the storage already waits for its answer.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.waiting.front().filter(|_| !self.handed_over).and_then(|keeping| keeping.pause.until())
    }
}

impl<S: Storage> Journal<S> {
    /// Whether what has this number is kept aside.
    pub fn kept(&mut self, number: u64) -> Kept {
        if self.aside.done.remove(&number) {
            return Kept::Yes;
        }
        let waits = self.aside.waiting.iter().any(|keeping| keeping.number == number);
        if waits { Kept::UnderWay } else { Kept::No }
    }

    /// Keeps bytes in a file `damaged-<number>`, in time: a poll tells when there is news. Tried again for as long as it takes.
    pub fn keep_aside(&mut self, number: u64, about: String, bytes: Vec<u8>) {
        if self.aside.waiting.len() < MOST_WAITING {
            self.aside.waiting.push_back(Keeping { number, about, bytes: bytes.into(), pause: Pause::default() });
            self.hand_aside_over();
        }
    }

    /// What is left of the record of `len` bytes at `position`.
    pub fn remains(&self, position: Position, len: u32) -> Remains {
        let Some(segment) = self.segment_at(position) else { return Remains::default() };
        let (start, mut bytes) = self.cold.remains(segment.number, position, len);
        if let Some(image) = &segment.image {
            let (from, to) = (size(start - segment.start), size(position - segment.start) + len as usize);
            bytes = image.bytes(from, to.min(image.frontier()).saturating_sub(from)).to_vec();
        }
        let seed = segment.seed(self.table.at(position));
        let is_its_own = BodyHeader::decode(&bytes, start, seed).is_some();
        Remains { file: self.storage.name(segment.number), offset: start - segment.start, bytes, is_its_own }
    }

    pub(crate) fn try_to_keep_again(&mut self, now: u64) {
        let due = |keeping: &mut Keeping| keeping.pause.has_failed() && keeping.pause.is_over(now);
        if !self.aside.handed_over && self.aside.waiting.front_mut().is_some_and(due) {
            self.hand_over_first();
        }
    }

    /// News for whoever waits: 1.
    pub(crate) fn was_kept(&mut self, result: io::Result<()>) -> u32 {
        self.aside.handed_over = false;
        let Some(mut keeping) = self.aside.waiting.pop_front() else { return 0 };
        let file = name(keeping.number);
        match result {
            Ok(()) => {
                self.troubles.add(Trouble::KeptAside { file, about: keeping.about });
                self.aside.done.insert(keeping.number);
                if self.aside.done.len() > MOST_DONE {
                    self.aside.done.pop_first();
                }
                self.hand_aside_over();
                1
            }
            Err(error) => {
                if keeping.pause.failed(&error) {
                    self.troubles.add(Trouble::NotKeptAside { file, error });
                }
                self.aside.waiting.push_front(keeping);
                0
            }
        }
    }

    fn hand_aside_over(&mut self) {
        let fresh = self.aside.waiting.front().is_some_and(|keeping| !keeping.pause.has_failed());
        if fresh && !self.aside.handed_over {
            self.hand_over_first();
        }
    }

    fn hand_over_first(&mut self) {
        if let Some(keeping) = self.aside.waiting.front() {
            self.storage.keep(name(keeping.number), Arc::clone(&keeping.bytes));
            self.aside.handed_over = true;
        }
    }
}
