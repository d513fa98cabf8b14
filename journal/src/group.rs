//! Group commit: one write in flight, all that was appended since in the next.

use std::io;
use std::sync::Arc;

use crate::append::Standing;
use crate::error::SyncFailed;
use crate::journal::Journal;
use crate::plant::planted;
use crate::position::{Position, SegmentNumber};
use crate::size::size;
use crate::storage::{Storage, Write};

/// What frames say of `durable`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Proof {
    /// The end of the last frame with records.
    pub needed: Position,
    /// The greatest `durable` in a group that was submitted.
    pub stated: Position,
}

/// The write that the storage has.
pub(crate) struct InFlight {
    segment: SegmentNumber,
    start: u64,
    end: u64,
    /// Where `durable` goes with it.
    durable: Position,
}

impl<S: Storage> Journal<S> {
    /// Whether a write is in flight.
    pub fn in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Hands what was appended since the last submit to the storage, unless a write is in flight. A group lies in one segment:
    /// what follows in the next one waits for the next submit. Whether a write was handed over.
    pub fn submit(&mut self) -> bool {
        if self.in_flight.is_some() {
            return false;
        }
        if self.marks.submitted.get() == self.marks.appended.get() && !self.state_head() {
            return false;
        }
        self.write_group()
    }

    /// Whether a frame on the disk says that all records are durable (R2). If not, damage in the last group looks like a torn end.
    pub fn is_proven(&self) -> bool {
        self.proof.stated >= self.proof.needed || planted("last-group-unproven")
    }

    /// Appends a pad frame alone that says so, when everything is durable. Whether it was handed over.
    pub fn prove(&mut self) -> bool {
        let durable = self.marks.durable.get() == self.marks.appended.get();
        if self.in_flight.is_some() || !durable || self.is_proven() || !self.has_active() {
            return false;
        }
        self.write_group()
    }

    #[expect(clippy::indexing_slicing, reason = "segments are not given back between here and there")]
    #[expect(clippy::expect_used, reason = "what is not durable stays in memory: only cool() lets go of it, and looks")]
    fn write_group(&mut self) -> bool {
        let submitted = self.marks.submitted.get();
        let Some(index) = self.segments.partition_point(|segment| segment.start <= submitted).checked_sub(1) else {
            return false;
        };
        let (written_end, durable) = self.end_group(self.segments[index].number);
        let segment = &self.segments[index];
        let block = u64::from(self.table.block);
        let mut start = submitted.max(segment.data_start(block));
        if planted("rewrite-last-block") {
            start = segment.data_start(block).max(Position(start.0 - block));
        }
        let flight = InFlight {
            segment: segment.number,
            start: start - segment.start,
            end: written_end - segment.start,
            durable,
        };
        let image = Arc::clone(segment.image.as_ref().expect("what is not durable stays in memory"));
        self.hand_over(flight, image);
        true
    }

    fn hand_over(&mut self, flight: InFlight, image: Arc<crate::image::Image>) {
        self.marks.submitted.raise(flight.durable);
        self.marks.check();
        self.statistics.written_bytes += flight.end - flight.start;
        let (start, end) = (size(flight.start), size(flight.end));
        self.storage.submit(Write { segment: flight.segment, image, start, end });
        if planted("ack-before-sync") {
            self.marks.durable.raise(flight.durable);
        }
        self.in_flight = Some(flight);
    }

    /// Ends the group that lies in `segment` with its pad: where its last block ends, and where `durable` goes with it.
    #[expect(clippy::expect_used, reason = "what is appended is in the active segment or in one that closes")]
    fn end_group(&mut self, segment: SegmentNumber) -> (Position, Position) {
        let standing = self.standing();
        self.proof.stated = standing.durable;
        if self.closing.front().is_some_and(|(closing, _)| closing.number() == segment) {
            let (mut closing, head) = self.closing.pop_front().expect("there is a front");
            let head = if planted("head-in-closing-pad") { standing.head } else { head };
            let written_end = closing.close(Standing { head, ..standing });
            return (written_end, closing.position());
        }
        let active = self.active.as_mut().expect("what is appended is in the active segment or in one that closes");
        assert!(!active.is_open(), "seal comes before submit");
        active.seal(standing);
        self.statistics.pad_bytes += active.pad(standing);
        let end = active.position();
        self.marks.appended.raise(end);
        self.head.stated(standing.head, end);
        if self.segments.back().is_some_and(|segment| segment.end() == end) {
            self.active = None;
        }
        (end, end)
    }

    #[expect(clippy::expect_used, reason = "a storage answers what it was asked: anything else is our own mistake")]
    pub(crate) fn written(&mut self, result: io::Result<()>) -> Result<bool, SyncFailed> {
        let flight = self.in_flight.take().expect("an answer to a write in flight");
        if let Err(error) = result {
            if planted("retry-failed-sync") {
                let segment = self.segments.iter().find(|segment| segment.number == flight.segment);
                let image = segment.and_then(|segment| segment.image.clone()).expect("what is not durable stays");
                self.hand_over(flight, image);
                return Ok(false);
            }
            return Err(SyncFailed { segment: flight.segment, start: flight.start, end: flight.end, error });
        }
        self.statistics.syncs += 1;
        self.marks.durable.raise(flight.durable.max(self.marks.durable.get()));
        self.marks.check();
        self.cool();
        Ok(true)
    }
}
