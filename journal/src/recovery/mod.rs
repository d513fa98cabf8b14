//! From a directory to a journal, in steps of which each can be had only from the one before: [`Journal::open`] finds where the log ends,
//! [`Opened::cut`] settles how much of it counts, [`Bounded::visit`] hands its records over, and [`Visited::begin`] begins a life. Only the
//! last one changes anything: what is torn is cut then, what is damaged was named before.

mod begin;
mod bounded;
mod cut;
mod directory;
mod give_up;
mod open;
mod rebuild;
mod report;
mod scan;
mod tail;
mod walk;

use std::collections::VecDeque;
use std::convert::Infallible;

use crate::config::Config;
use crate::epoch::EpochTable;
use crate::error::{OpenError, Refusal};
use crate::frame::Record;
use crate::image::ImageWriter;
use crate::journal::Journal;
use crate::position::{Home, SegmentNumber};
use crate::segment::Segment;
use crate::storage::{Loaded, Storage, Unreadable};
use bounded::Reading;
use directory::{Directory, Found};
pub use report::{Cut, Damage, DamageKind, GivenUp, Recovery};
pub(crate) use scan::{Scan, entries};
use tail::Tail;

/// What a directory holds, as far as it is known, and that is as it was.
struct OldLog<S: Storage> {
    storage: S,
    config: Config,
    table: EpochTable,
    directory: Directory,
    report: Recovery,
    tail: Tail,
}

/// A log whose table, headers and end were read.
pub struct Opened<S: Storage>(OldLog<S>);

/// A log of which is settled how far it counts.
pub struct Bounded<S: Storage> {
    log: OldLog<S>,
    reading: Reading,
}

/// A log whose records were all taken.
pub struct Visited<S: Storage> {
    log: OldLog<S>,
    kept: KeptSegments,
}

/// What the visited segments leave for the journal.
#[derive(Default)]
struct KeptSegments {
    segments: VecDeque<Segment>,
    hot_bytes: u64,
    /// The last segment's memory, still writable, and its records.
    last: Option<(ImageWriter, u32)>,
    /// Segments whose place others take: placeholders, or these bytes.
    replaced: Vec<(SegmentNumber, Option<ImageWriter>)>,
}

impl<S: Storage> Journal<S> {
    /// All steps of a node that asks nobody: visits every valid record from the head on, in the log's order; cuts a torn end; syncs what
    /// it keeps; begins the next life (R1 to R5).
    ///
    /// # Errors
    /// The directory cannot be used, or `visit` refuses a record. Nothing that counts was changed.
    pub fn recover<E>(
        storage: S,
        config: Config,
        visit: &mut dyn FnMut(&Record<'_>, Home) -> Result<(), E>,
    ) -> Result<Journal<S>, Refusal<E>> {
        let visited = Journal::open(storage, config)?.keep_all()?.visit(visit)?;
        let life = visited.next_life();
        Ok(visited.begin(life)?)
    }
}

impl From<Refusal<Infallible>> for OpenError {
    fn from(refusal: Refusal<Infallible>) -> OpenError {
        match refusal {
            Refusal::Journal(error) => error,
            Refusal::Record(never) => match never {},
        }
    }
}

/// A whole segment in memory.
pub(crate) struct Contents {
    pub writer: ImageWriter,
    /// Parts that cannot be read are given up, and zeros.
    pub has_holes: bool,
}

/// A whole segment. What cannot be read is no damage: nothing is known of it, so nothing may be left out for it.
pub(crate) fn load<S: Storage>(
    storage: &mut S,
    config: &Config,
    table: &EpochTable,
    found: &Found,
    ahead: Option<&Found>,
) -> Result<Contents, OpenError> {
    if found.placeholder {
        let held = || OpenError::io(format!("held in memory ({})", found.name));
        let writer = give_up::image(found, table).map_err(held())?;
        return Ok(Contents { writer, has_holes: false });
    }
    let ahead = ahead.filter(|next| !next.placeholder);
    let ahead = ahead.map(|next| (next.number, next.bytes));
    let loaded =
        storage.load(found.number, found.bytes, ahead).map_err(OpenError::io(format!("read ({})", found.name)))?;
    let mut contents = all_or_given_up(loaded, config, &found.name)?;
    if let Some(header) = found.header.as_ref().filter(|_| contents.has_holes) {
        contents.writer.write(0, &header.encode());
    }
    Ok(contents)
}

/// What was loaded, if that is all, or the rest is given up. Whoever concludes something from a segment asks, each time it is loaded: what
/// cannot be read now may be a moment later.
pub(crate) fn all_or_given_up(loaded: Loaded, config: &Config, file: &str) -> Result<Contents, OpenError> {
    match loaded.unreadable.into_iter().next() {
        Some(Unreadable { offset, len, error }) if !config.gives_up(file) => {
            Err(OpenError::Unreadable { file: file.to_owned(), offset, len, error })
        }
        hole => Ok(Contents { writer: loaded.writer, has_holes: hole.is_some() }),
    }
}
