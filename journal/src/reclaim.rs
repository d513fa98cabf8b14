//! The front of the log: what is not needed goes, in order, behind a durable head (R20).

use std::sync::Arc;

use crate::journal::Journal;
use crate::plant::planted;
use crate::position::{Position, SegmentNumber};
use crate::storage::Storage;

/// From which segment on the log is needed.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    declared: SegmentNumber,
    /// The end of the first frame that says so.
    stated_at: Option<Position>,
    committed: SegmentNumber,
}

impl Head {
    pub(crate) fn new(committed: SegmentNumber) -> Head {
        Head { declared: committed, stated_at: None, committed }
    }

    pub(crate) fn declared(self) -> SegmentNumber {
        self.declared
    }

    /// A durable frame says so.
    pub(crate) fn committed(self) -> SegmentNumber {
        self.committed
    }

    fn unstated(self) -> bool {
        self.declared > self.committed && self.stated_at.is_none()
    }

    /// A frame that ends at `end` says `head`.
    pub(crate) fn stated(&mut self, head: SegmentNumber, end: Position) {
        if head == self.declared && head > self.committed && self.stated_at.is_none() {
            self.stated_at = Some(end);
        }
    }

    fn commit(&mut self, durable: Position) {
        let stated = self.stated_at.is_some_and(|at| at <= durable) || planted("recycle-before-head-committed");
        if self.declared > self.committed && stated {
            self.committed = self.declared;
            self.stated_at = None;
        }
    }
}

impl<S: Storage> Journal<S> {
    /// The oldest live segment.
    pub fn front(&self) -> Option<SegmentNumber> {
        self.segments.front().map(|segment| segment.number)
    }

    /// Declares that nothing before `segment` is needed. Frames from now on say so; once one of them is durable the segments go.
    /// Panics if the head would fall, or pass the active segment.
    #[expect(clippy::expect_used, reason = "a head before there is a log is our own mistake")]
    pub fn set_head(&mut self, segment: SegmentNumber) {
        assert!(segment >= self.head.declared, "the head fell from {} to {segment}", self.head.declared);
        let last = self.segments.back().expect("a head needs a log").number;
        assert!(segment <= last, "head {segment} beyond the last segment {last}");
        if segment > self.head.declared {
            self.head.declared = segment;
            self.head.stated_at = None;
            self.top_up();
        }
    }

    /// Bytes from the head, as declared, to the end.
    pub fn live_log_bytes(&self) -> u64 {
        let head = self.head.declared;
        let first = self.segments.iter().find(|segment| segment.number >= head);
        first.map_or(0, |segment| self.marks.appended.get() - segment.start)
    }

    /// Bytes of all segment files that are in use or made ready.
    pub fn disk_bytes(&self) -> u64 {
        let end = self.segments.back().map_or(Position(0), |segment| segment.end());
        let start = self.segments.front().map_or(Position(0), |segment| segment.start);
        end - start + self.preparing.bytes()
    }

    /// Whether a head waits for a frame to say it. If so, and nothing else was appended, the group's pad will.
    pub(crate) fn state_head(&mut self) -> bool {
        self.head.unstated() && self.has_active()
    }

    /// Whether a segment is being written, or the next one was ready and is now.
    pub(crate) fn has_active(&mut self) -> bool {
        if self.active.is_none() && self.preparing.room() > 0 {
            self.activate();
        }
        self.active.is_some()
    }

    /// Where a segment is needed to state the head, it may go beyond the disk budget: more comes back for it.
    pub(crate) fn needs_segment_for_head(&self) -> bool {
        self.head.unstated() && self.active.is_none() && self.preparing.room() == 0
    }

    /// Gives back what lies before a durable head.
    pub(crate) fn reclaim(&mut self) {
        self.head.commit(self.marks.durable.get());
        if !self.oversize().is_empty() {
            self.note_reclaimed(self.head.committed);
        }
        while let Some(front) = self.segments.front()
            && front.number < self.head.committed
        {
            let mapped = front.image.as_ref().is_some_and(|image| image.file_backed());
            let in_use = front.image.as_ref().is_some_and(|image| Arc::strong_count(image) > 1);
            let read = self.cold.reads(front.number) && !planted("recycle-under-read");
            if (mapped && in_use) || read {
                return;
            }
            let Some(segment) = self.segments.pop_front() else { return };
            if let Some(image) = segment.image {
                self.hot_bytes -= segment.bytes;
                self.retired.push(image);
            }
            self.unserved |= self.cold.forget(segment.number);
            if segment.damaged {
                self.storage.set_aside(segment.number);
                self.statistics.set_aside += 1;
            } else {
                self.storage.recycle(segment.number);
                self.statistics.recycled += 1;
            }
        }
    }
}
