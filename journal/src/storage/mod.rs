//! The seam below the journal. Everything under it is a file system, or a simulator; nothing above it knows which.

mod descriptors;
mod direct;
pub mod file;
pub(crate) mod files;
mod kept;
mod mapped;
pub mod spill;
mod whole;
pub mod worker;

use std::io;
use std::sync::Arc;

use crate::epoch::EpochTable;
use crate::image::{Image, ImageWriter};
use crate::position::SegmentNumber;
use crate::segment::SegmentHeader;

/// Make a segment ready ahead of its use: room on the medium, its header, its memory.
pub struct Prepare {
    /// What its first block says. The answer comes when that block is durable.
    pub header: SegmentHeader,
    /// Memory of the same size that may be used for it; nobody else has it.
    pub image: Option<Arc<Image>>,
}

/// Write a range of a segment's image and sync it. One is in flight at most.
pub struct Write {
    /// The segment.
    pub segment: SegmentNumber,
    /// Its memory.
    pub image: Arc<Image>,
    /// First byte, a multiple of the block.
    pub start: usize,
    /// End, a multiple of the block.
    pub end: usize,
}

/// Read a window of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// Names the answer.
    pub ticket: u64,
    /// The segment.
    pub segment: SegmentNumber,
    /// First byte, a multiple of the block.
    pub offset: u64,
    /// Bytes, a multiple of the block.
    pub len: u32,
}

/// An answer of the storage.
pub enum Completion {
    /// To a `prepare`. Answers come in the order of the requests.
    Prepared {
        /// Which segment.
        segment: SegmentNumber,
        /// Its memory: the header's block published, all else writable.
        result: io::Result<ImageWriter>,
    },
    /// To a `submit`.
    Written(io::Result<()>),
    /// To a `keep`. Answers come in the order of the requests.
    Kept(io::Result<()>),
    /// To a `state`.
    Stated(io::Result<()>),
    /// To a `recycle` or `set_aside` that failed: the segment's file is there, and it is tried again with what follows. Not told again
    /// while one stays.
    Stays {
        /// Which segment.
        segment: SegmentNumber,
        /// What the system said.
        error: io::Error,
    },
    /// To a `read`.
    Read {
        /// The request's.
        ticket: u64,
        /// The whole window, as the medium gave it; or why it gave none, which says nothing of what is there.
        result: io::Result<Arc<Image>>,
    },
}

/// A segment as a start read it.
pub struct Loaded {
    /// Its memory, nothing published.
    pub writer: ImageWriter,
    /// What the medium did not give, however often it was asked. The zeros in its place say nothing of what is there.
    pub unreadable: Vec<Unreadable>,
}

/// Bytes of a segment that the medium does not give.
#[derive(Debug)]
pub struct Unreadable {
    /// The first, in the file.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// What the system said last.
    pub error: io::Error,
}

/// A segment found at the start.
#[derive(Clone, Debug)]
pub struct SegmentFile {
    /// The number in its name.
    pub number: SegmentNumber,
    /// Bytes of the file.
    pub bytes: u64,
    /// Its first block, as far as the file has it.
    pub header: Vec<u8>,
    /// Why the medium does not give it, however often it was asked.
    pub unreadable: Option<String>,
}

/// Where segments are kept. No method of the first group blocks; answers come from `completed`.
pub trait Storage {
    /// Makes a segment ready.
    fn prepare(&mut self, prepare: Prepare);
    /// Writes and syncs a range.
    fn submit(&mut self, write: Write);
    /// Reads a window.
    fn read(&mut self, read: Read);
    /// Writes a small file of its own, replacing one of the same name; durable when it is answered.
    fn keep(&mut self, name: String, bytes: Arc<[u8]>);
    /// Gives a segment back: nothing refers to it. Durable in the order of the calls, but for a file that stays where it is: others
    /// with higher numbers may go before it, and no segment is made before it.
    fn recycle(&mut self, segment: SegmentNumber);
    /// Gives a segment back as well, but its bytes are damaged in places: they are kept under another name.
    fn set_aside(&mut self, segment: SegmentNumber) {
        self.recycle(segment);
    }
    /// Replaces a copy of the epoch table, which is encoded on another thread: it may be long. Durable when it is answered, and not held any
    /// longer. One is under way at most.
    fn state(&mut self, slot: usize, table: Arc<EpochTable>);
    /// The next answer.
    fn completed(&mut self) -> Option<Completion>;
    /// Whether there is one: looked at once more before a thread sleeps (R26).
    fn has_completed(&self) -> bool;

    /// Free bytes of the medium.
    fn room(&self) -> u64;
    /// Files that are kept open.
    fn open_files(&self) -> usize {
        0
    }
    /// Where all of it is, in reports.
    fn place(&self) -> String {
        "the journal's directory".to_owned()
    }
    /// What a segment is called in reports.
    fn name(&self, segment: SegmentNumber) -> String {
        segment.file_name()
    }

    // At the start only; these block.

    /// A life begins, and the start is not refused any more: what earlier lives wrote for themselves alone can go.
    ///
    /// # Errors
    /// The medium's.
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// All segments there are, in any order. Changes nothing.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn segments(&mut self) -> io::Result<Vec<SegmentFile>>;
    /// A whole segment as memory, and what of it could not be read. `ahead` will be asked for next.
    ///
    /// # Errors
    /// The file cannot be opened, or is shorter than `bytes`.
    fn load(&mut self, segment: SegmentNumber, bytes: u64, ahead: Option<(SegmentNumber, u64)>) -> io::Result<Loaded>;
    /// Takes the memory of a loaded segment back, for the next load.
    fn unload(&mut self, image: ImageWriter) {
        drop(image);
    }
    /// Turns a loaded segment into one that can be written on.
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    fn adopt(&mut self, segment: SegmentNumber, loaded: ImageWriter) -> io::Result<ImageWriter>;
    /// Makes all of a segment durable.
    ///
    /// # Errors
    /// What fdatasync says.
    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()>;
    /// Puts these bytes in the place of a segment, which may be missing; what it held is kept under the name that is answered. Durable when
    /// it returns, and at any time before the segment is the old or the new one.
    ///
    /// # Errors
    /// No room, or the medium's.
    fn replace(&mut self, segment: SegmentNumber, bytes: &[u8], keep_as: &str) -> io::Result<Option<String>>;
    /// Takes a segment's name from its file; what it held is kept under the name that is answered. Durable when it returns.
    ///
    /// # Errors
    /// The medium's.
    fn remove(&mut self, segment: SegmentNumber, keep_as: &str) -> io::Result<Option<String>>;
    /// A copy of the epoch table, slot 0 or 1.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn read_table(&mut self, slot: usize) -> io::Result<Option<Vec<u8>>>;
    /// Replaces a copy of the epoch table; durable when it returns.
    ///
    /// # Errors
    /// No room, or the medium's.
    fn write_table(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()>;
    /// Keeps bytes that recovery cut or replaces; nothing that an earlier start kept under that name goes. The name that they got; durable
    /// when it returns.
    ///
    /// # Errors
    /// No room, or the medium's.
    fn save_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String>;
}
