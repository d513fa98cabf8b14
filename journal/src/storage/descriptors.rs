//! Files of segments that stay open, so that a read never needs a descriptor that somebody else has taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use crate::position::SegmentNumber;

/// A quarter of the process's descriptors, but no more than this: a terabyte of segments of the usual size.
const MOST: u64 = 16_384;

/// The open files, by segment.
pub(super) struct OpenFiles {
    files: BTreeMap<SegmentNumber, OpenFile>,
    most: usize,
    uses: u64,
}

struct OpenFile {
    file: Arc<File>,
    used: u64,
    /// Writes may still go to it: it is not closed for others, so that no error of a write is lost.
    written: bool,
}

impl OpenFiles {
    /// None yet; of those that are only read at most `most` stay open.
    pub(super) fn new(most: usize) -> OpenFiles {
        OpenFiles { files: BTreeMap::new(), most, uses: 0 }
    }

    /// As many as the process's limit suggests.
    pub(super) fn within_limit() -> OpenFiles {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        OpenFiles::new((limit / 4).clamp(16, MOST) as usize)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Keeps a file open; where there are too many, the one that was not used for the longest time is closed.
    pub(super) fn keep(&mut self, segment: SegmentNumber, file: File, written: bool) {
        self.uses += 1;
        self.files.insert(segment, OpenFile { file: Arc::new(file), used: self.uses, written });
        while self.files.len() > self.most && self.close_one(segment) {}
    }

    /// The segment's file, if it is open.
    pub(super) fn get(&mut self, segment: SegmentNumber) -> Option<Arc<File>> {
        self.uses += 1;
        let open = self.files.get_mut(&segment)?;
        open.used = self.uses;
        Some(Arc::clone(&open.file))
    }

    /// No write goes to the segments before this one any more.
    pub(super) fn written_before(&mut self, segment: SegmentNumber) {
        for (_, open) in self.files.range_mut(..segment).rev().take_while(|(_, open)| open.written) {
            open.written = false;
        }
    }

    /// The segment goes.
    pub(super) fn close(&mut self, segment: SegmentNumber) {
        self.files.remove(&segment);
    }

    /// Gives a descriptor up, for another file than `but`. False: there is none to give.
    pub(super) fn close_one(&mut self, but: SegmentNumber) -> bool {
        let closable = self.files.iter().filter(|(segment, open)| !open.written && **segment != but);
        let oldest = closable.min_by_key(|(_, open)| open.used).map(|(segment, _)| *segment);
        oldest.is_some_and(|segment| self.files.remove(&segment).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        File::open("/dev/null").unwrap()
    }

    fn open(files: &OpenFiles) -> Vec<u64> {
        files.files.keys().map(|segment| segment.0).collect()
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_and_what_is_written_stays() {
        let mut files = OpenFiles::new(3);
        (0..3).for_each(|number| files.keep(SegmentNumber(number), file(), true));
        files.written_before(SegmentNumber(2));
        assert!(files.get(SegmentNumber(0)).is_some());
        files.keep(SegmentNumber(3), file(), true);
        assert_eq!(open(&files), [0, 2, 3]);
        files.keep(SegmentNumber(4), file(), true);
        assert_eq!(open(&files), [2, 3, 4]);
        files.keep(SegmentNumber(5), file(), true);
        assert_eq!(open(&files), [2, 3, 4, 5], "writes may go to all of them");
        files.close(SegmentNumber(4));
        files.written_before(SegmentNumber(5));
        files.keep(SegmentNumber(1), file(), false);
        assert_eq!(open(&files), [1, 3, 5]);
        assert!(files.get(SegmentNumber(2)).is_none());
    }
}
