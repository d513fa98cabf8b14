//! What a recovery tells of what it found.

use crate::plant::planted;
use crate::position::{Position, SegmentNumber};

/// Damages listed at most; all are counted.
const MAX_DAMAGES: usize = 10_000;

/// Bytes of meta and body that are kept of each: enough to say which record it was.
const HEAD: usize = 1024;

/// What a recovery found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Records visited.
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// What was not as it had been written, in the log's order: the first ten thousand. Where there were more, nothing is known of what lies
    /// behind the last of these.
    pub damage: Vec<Damage>,
    /// How many there were.
    pub damages: u64,
    /// How many of them cost nothing.
    pub harmless: u64,
    /// Losses of an earlier start, the most of one, which ended before the log said what follows from them. Of a table that is made anew
    /// nobody knows whether there were some: one.
    pub earlier_losses: u32,
    /// What was cut off the end and saved aside.
    pub cut: Option<Cut>,
    /// One copy of the epoch table was damaged, or could not be read, or was not there, and is written again.
    pub table_repaired: bool,
    /// The epoch table was made anew from the segments.
    pub table_rebuilt: bool,
    /// Files that were given up on purpose, and under which name what they held is kept.
    pub given_up: Vec<GivenUp>,
    /// Lives that the epoch table listed: at 65,536 it is high time that the front of the log goes.
    pub lives: usize,
    /// Bytes of a segment in this directory.
    pub segment_bytes: u64,
}

/// Bytes that are not as they were written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Its segment.
    pub segment: SegmentNumber,
    /// Where in the file.
    pub offset: u64,
    /// Where in the log: what was written behind a record whose home is before it may be what was hit.
    pub position: Position,
    /// Bytes concerned.
    pub len: u64,
    /// The record's kind, where it can be told.
    pub record: Option<u8>,
    /// The record's sequence, where it can be told.
    pub sequence: Option<u64>,
    /// What was hit.
    pub kind: DamageKind,
    /// The record's meta, where it can be told.
    pub meta: Vec<u8>,
    /// The first bytes of the record's body, as they were found.
    pub head: Vec<u8>,
}

/// The segment that a damage is in.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub file: &'a str,
    pub segment: SegmentNumber,
    pub start: Position,
}

/// What is known of a record that is damaged.
#[derive(Clone, Copy, Default)]
pub(super) struct Hit<'a> {
    pub record: Option<u8>,
    pub sequence: Option<u64>,
    pub meta: &'a [u8],
    pub body: &'a [u8],
}

/// What a damage hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamageKind {
    /// A body: this record is lost.
    Body,
    /// A directory's entry: this record is lost.
    Entry,
    /// A directory, in places that no record can be named for.
    Directory,
    /// A frame's header; records found by the directory's marker were visited.
    Frame,
    /// Both copies of a segment's header, and the frames that tell its key: all its records are lost.
    Segment,
    /// One copy of a segment's header, or both and its frames tell what it said: nothing is lost.
    SegmentHeader,
    /// A whole segment that was given up on purpose: all its records are lost.
    GivenUp,
}

/// A file that was given up on purpose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenUp {
    /// The file.
    pub file: String,
    /// The name of what it held, if it was there.
    pub kept_as: Option<String>,
}

/// Bytes beyond the log's end: torn, never answered for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The log's end.
    pub from: Position,
    /// Bytes saved.
    pub bytes: u64,
    /// Names of the copies.
    pub names: Vec<String>,
}

impl DamageKind {
    /// Nothing is lost with it.
    #[must_use]
    pub fn is_harmless(self) -> bool {
        self == DamageKind::SegmentHeader
    }
}

impl Recovery {
    /// Damages that something may be lost with, those of an earlier start included if it could not say what follows from them.
    #[must_use]
    pub fn losses(&self) -> u64 {
        (self.damages - self.harmless).max(u64::from(self.earlier_losses))
    }

    /// Whether something may be lost of which no place is known.
    #[must_use]
    pub fn has_unlisted(&self) -> bool {
        self.damages > self.damage.len() as u64 || self.earlier_losses > 0
    }

    pub(super) fn add_damage(
        &mut self,
        Place { file, segment, start }: Place<'_>,
        (position, len): (Position, u64),
        hit: Hit<'_>,
        kind: DamageKind,
    ) {
        let offset = position - start;
        assert!(!planted("damage-ends-all"), "{kind:?} at {offset} of {file}");
        if planted("damage-untold") {
            return;
        }
        self.damages += 1;
        self.harmless += u64::from(kind.is_harmless());
        if self.damage.len() < MAX_DAMAGES {
            let first = |bytes: &[u8]| bytes.iter().take(HEAD).copied().collect();
            let body = if planted("damage-unnamed") { &[] } else { hit.body };
            let (meta, head) = (first(hit.meta), first(body));
            self.damage.push(Damage {
                file: file.to_owned(),
                segment,
                offset,
                position,
                len,
                record: hit.record,
                sequence: hit.sequence,
                kind,
                meta,
                head,
            });
        }
    }
}
