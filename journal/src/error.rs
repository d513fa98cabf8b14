//! What can go wrong, by operation.

use std::io;
use std::path::PathBuf;

use crate::position::{Position, SegmentNumber};
use crate::version::FORMAT_VERSION;

/// Why a journal's directory cannot be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error("the journal {0:?} is locked by another process: stop that one, or choose another directory")]
    Locked(PathBuf),
    /// It cannot be written.
    #[error("the journal {0:?} is read-only: mount it writable, or give this user the right to write it")]
    ReadOnly(PathBuf),
    /// There is no room.
    #[error(
        "no room for the journal in {directory:?}: {needed} bytes are needed and {free} are free; make room, or choose another directory"
    )]
    Full {
        /// The journal's directory.
        directory: PathBuf,
        /// What a start needs.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// A new directory on a budget that nothing could be taken with.
    #[error(
        "the journal may take {budget} bytes of the disk, and needs {needed}: make room, choose another directory, or set journal.disk_budget_bytes"
    )]
    SmallBudget {
        /// What it needs.
        needed: u64,
        /// What it may take.
        budget: u64,
    },
    /// A later version wrote it.
    #[error(
        "{file} has format version {found}, this program knows versions up to {known}: start the version that wrote it"
    )]
    Newer {
        /// The file that says so.
        file: String,
        /// What it says.
        found: u16,
        /// What we know.
        known: u16,
    },
    /// A later version wrote it, in this version's format.
    #[error("{file} says what only a newer version knows: start the version that wrote it")]
    NewerContents {
        /// The file that says so.
        file: String,
    },
    /// A frame of a kind that must be known by who reads it.
    #[error(
        "{file} has a frame of kind {kind} at {position}, which only a newer version knows: start the version that wrote it"
    )]
    UnknownFrame {
        /// The segment.
        file: String,
        /// What it says.
        kind: u8,
        /// Where it is.
        position: Position,
    },
    /// The log was to be cut where no frame ends.
    #[error("the journal cannot be cut at {to}: no frame of it ends there, and it ends at {end}")]
    NoSuchEnd {
        /// Where it was to end.
        to: Position,
        /// Where it does.
        end: Position,
    },
    /// The log was to be cut where it needs what it has given back.
    #[error("the journal cannot be cut at {to}: what was needed there lies before segment {head}, and is given back")]
    GivenBack {
        /// Where it was to end.
        to: Position,
        /// The first segment that it needs.
        head: SegmentNumber,
    },
    /// A life was to begin that is not newer than what the log has, or is promised to.
    #[error("life {life} cannot begin: the journal has, or is promised to, life {known}")]
    OldLife {
        /// Which.
        life: u32,
        /// The newest that is known.
        known: u32,
    },
    /// A version before the first release wrote it.
    #[error(
        "{file} has format version {found}, from before the first release, which this program does not read: choose another directory"
    )]
    Older {
        /// The file that says so.
        file: String,
        /// What it says.
        found: u16,
    },
    /// Both copies of the table are damaged, or missing while there are segments.
    #[error(
        "both copies of the epoch table (epochs-0, epochs-1) are damaged or missing: put the newest copy of one back, or let them be made anew from the segments with `postrider serve --give-up epochs-0`"
    )]
    NoTable,
    /// The same, and no segment says anything in its place.
    #[error(
        "neither the epoch table (epochs-0, epochs-1) nor the header of a segment can be read: restore the directory from a backup, or put it aside and start on an empty one"
    )]
    NoHeader,
    /// A table that is full.
    #[error(
        "the epoch table (epochs-0, epochs-1) lists {0} starts and is full: the oldest messages hold it; start with `postrider serve --give-up epochs-0`, which makes an exception for some thousand starts and gives nothing else up, and take or delete them; or put the directory aside, and start on an empty one"
    )]
    TooManyLives(usize),
    /// A segment between head and end is not there.
    #[error(
        "segment {0} of the journal is missing ({1}): put the file back, or give up what it held with `postrider serve --give-up {1}`"
    )]
    Missing(SegmentNumber, String),
    /// The last segment cannot be read without its header.
    #[error(
        "both copies of the header of segment {0} ({1}), the log's last, are damaged: put a good copy of the file back, or give up what it holds with `postrider serve --give-up {1}`"
    )]
    NoSegmentHeader(SegmentNumber, String),
    /// A file that is not what it should be.
    #[error(
        "{file} {what}: put the right file back, or give up what it should hold with `postrider serve --give-up {file}`; what it holds is kept aside then"
    )]
    Contradiction {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// No copy of the table is good, and one cannot be read.
    #[error(
        "the epoch table cannot be read ({file}): {error}; look after the disk and start again, put the newest copy of it back, or let it be made anew from the segments with `postrider serve --give-up {file}`"
    )]
    UnreadableTable {
        /// The copy.
        file: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The epoch table is not the newest one.
    #[error(
        "{file} has bytes of life {life} at {position}, and the epoch table (epochs-0, epochs-1) is from before that life: put the newest copies of both back, or let them be made anew from the segments with `postrider serve --give-up epochs-0`"
    )]
    OlderTable {
        /// The segment.
        file: String,
        /// A life that the table does not know.
        life: u32,
        /// Where it wrote.
        position: Position,
    },
    /// A part of a segment cannot be read. Nothing is known of what is there.
    #[error(
        "the journal cannot be read ({file}, {len} bytes at {offset}): {error}; look after the disk and start again, or give up what cannot be read of it with `postrider serve --give-up {file}`"
    )]
    Unreadable {
        /// The file.
        file: String,
        /// First byte that cannot be read.
        offset: u64,
        /// How many.
        len: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The medium refused.
    #[error("the journal cannot be {doing}: {error}{}", remedy(error))]
    Io {
        /// What was tried.
        doing: String,
        /// What the system said.
        error: io::Error,
    },
}

impl OpenError {
    pub(crate) fn version(file: String, found: u16) -> OpenError {
        if found < FORMAT_VERSION {
            return OpenError::Older { file, found };
        }
        OpenError::Newer { file, found, known: FORMAT_VERSION }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
        let doing = doing.into();
        move |error| OpenError::Io { doing, error }
    }
}

/// Why a start came to nothing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal<E> {
    /// The directory cannot be used.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Its records' owner cannot take one of them.
    #[error(transparent)]
    Record(E),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; a start needs some KiB of its own: make room there, and start again"
        }
        _ => "",
    }
}

/// A sync failed. What it covered is unknown, and no second try can tell: the process must end (R7).
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal's sync failed in segment {segment}, bytes {start} to {end}: {error}; the disk must be looked after before a restart"
)]
pub struct SyncFailed {
    /// Where.
    pub segment: SegmentNumber,
    /// First byte of the write, within the segment.
    pub start: u64,
    /// End of the write, within the segment.
    pub end: u64,
    /// What the system said.
    pub error: io::Error,
}
