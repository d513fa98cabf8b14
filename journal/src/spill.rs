//! The seam below the spool: where its segments go when there are too many in memory.

use std::io;
use std::sync::Arc;

use crate::image::Image;
use crate::position::SegmentNumber;
use crate::storage::Read;

/// Where segments go when there are too many in memory. Nothing blocks; answers come from `completed`, in any order.
pub trait Spill {
    /// Writes `len` bytes of the image out, a multiple of 4096.
    fn spill(&mut self, segment: SegmentNumber, image: Arc<Image>, len: usize);
    /// Reads a window of a segment that was written out.
    fn read(&mut self, read: Read);
    /// A segment that was written out is not needed any more.
    fn discard(&mut self, segment: SegmentNumber);
    /// The next answer.
    fn completed(&mut self) -> Option<Spilled>;
    /// Whether there is one: looked at once more before a thread sleeps (R26).
    fn has_completed(&self) -> bool;
}

/// An answer of a [`Spill`].
pub enum Spilled {
    /// A segment is written out, or stays in memory.
    Out {
        /// Which.
        segment: SegmentNumber,
        /// How it went.
        result: io::Result<()>,
    },
    /// A window.
    Read {
        /// The request's.
        ticket: u64,
        /// The window.
        result: io::Result<Arc<Image>>,
    },
}

/// Keeps everything in memory.
#[derive(Default)]
pub struct NoSpill;

impl Spill for NoSpill {
    fn spill(&mut self, segment: SegmentNumber, _: Arc<Image>, _: usize) {
        unreachable!("segment {segment}: a spool without a disk budget keeps within its memory");
    }
    fn read(&mut self, _: Read) {}
    fn discard(&mut self, _: SegmentNumber) {}
    fn completed(&mut self) -> Option<Spilled> {
        None
    }

    fn has_completed(&self) -> bool {
        false
    }
}
