//! Following the log by whole groups, for a slave that writes the same bytes at the same positions (R4).

use crate::cold::Wanted;
use crate::frame::{BODY_HEADER, FRAME_HEADER, FrameKind, Record};
use crate::image::Extent;
use crate::journal::Journal;
use crate::position::{Home, Position};
use crate::recovery::{Scan, entries};
use crate::storage::Storage;

/// Bytes first asked for where the log is not in memory; doubled until a group fits.
const FIRST_STRETCH: u32 = 1 << 20;

/// A reader's place in the log.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    next: Position,
    stretch: u32,
}

/// What one submit wrote, or what a life's end left of it.
#[derive(Clone)]
pub struct Group {
    /// Its first byte.
    pub start: Position,
    /// Where its bytes end: `end`, or less where a closing pad skips the rest of a segment.
    pub written_end: Position,
    /// Where the next group begins, at the earliest.
    pub end: Position,
    /// The memory that holds it.
    pub extent: Extent,
}

/// What a tail has next.
#[derive(Clone)]
pub enum TailStep {
    /// A group that is durable here.
    Group(Group),
    /// Nothing that is durable here.
    CaughtUp,
    /// The bytes were asked for: again after a poll that fetched.
    Cold,
    /// The bytes are not as they were written: they must come from elsewhere.
    Damaged(Position),
}

impl Tail {
    /// A tail that begins at a group's start.
    #[must_use]
    pub fn at(position: Position) -> Tail {
        Tail { next: position, stretch: FIRST_STRETCH }
    }

    /// Where the next group is looked for.
    #[must_use]
    pub fn position(&self) -> Position {
        self.next
    }

    /// The next group up to `durable`.
    pub fn next<S: Storage>(&mut self, journal: &mut Journal<S>) -> TailStep {
        match self.look(journal, journal.durable()) {
            Looked::At(step) => step,
            Looked::Short(start, end) => self.ask(journal, start, end),
        }
    }

    /// The next group that is on its way to the disk here, or durable; only those that are in memory.
    pub fn next_submitted<S: Storage>(&mut self, journal: &Journal<S>) -> TailStep {
        match self.look(journal, journal.marks.submitted.get()) {
            Looked::At(step) => step,
            Looked::Short(..) => TailStep::Cold,
        }
    }

    fn look<S: Storage>(&mut self, journal: &Journal<S>, last: Position) -> Looked {
        let Some((key, segment_start, segment_end)) = self.place(journal) else {
            return Looked::At(TailStep::CaughtUp);
        };
        if self.next >= last {
            return Looked::At(TailStep::CaughtUp);
        }
        let Some(segment) = journal.segment_at(self.next) else { return Looked::At(TailStep::CaughtUp) };
        let (number, in_memory) = (segment.number, segment.image.clone());
        let cold = in_memory.is_none();
        let extent = match in_memory {
            Some(image) => Extent { base: segment_start, image },
            None => match journal.cold.stretch(number, self.next) {
                Some(extent) => extent,
                None => return Looked::Short(segment_start, segment_end),
            },
        };
        let limit = journal.table.break_after(self.next).map_or(last, |(end, _)| end.min(last));
        let bytes = extent.image.bytes(0, extent.image.frontier());
        let scan = Scan { bytes, start: extent.base, key, table: &journal.table };
        match walk(&scan, self.next, limit, segment_end, u64::from(journal.table.block)) {
            Walked::Group(written_end, end) => {
                let start = std::mem::replace(&mut self.next, end);
                self.stretch = FIRST_STRETCH;
                Looked::At(TailStep::Group(Group { start, written_end, end, extent }))
            }
            Walked::Short if cold => Looked::Short(segment_start, segment_end),
            Walked::Short | Walked::Bad => Looked::At(TailStep::Damaged(self.next)),
        }
    }

    /// Moves over what no frame is in: a segment's header, the rest of an earlier life's last block. The segment's key and bounds.
    fn place<S: Storage>(&mut self, journal: &Journal<S>) -> Option<(u64, Position, Position)> {
        if let Some((end, first)) = journal.table.break_after(self.next)
            && self.next >= end
        {
            self.next = first;
        }
        let segment = journal.segment_at(self.next)?;
        self.next = self.next.max(segment.data_start(u64::from(journal.table.block)));
        Some((segment.key, segment.start, segment.end()))
    }

    fn ask<S: Storage>(&mut self, journal: &mut Journal<S>, start: Position, end: Position) -> TailStep {
        let Some(number) = journal.segment_at(self.next).map(|segment| segment.number) else {
            return TailStep::CaughtUp;
        };
        let unit = u64::from(journal.table.block);
        let position = self.next + BODY_HEADER as u64;
        let wanted = Wanted { position, len: self.stretch, read_ahead: self.stretch, unit };
        if journal.cold.fetch(number, (start, end - start), wanted) {
            self.stretch = self.stretch.saturating_mul(2).min(u32::MAX / 4);
            journal.read();
        }
        TailStep::Cold
    }
}

/// What a look at the log in memory found.
enum Looked {
    At(TailStep),
    /// Bytes have to come from the medium: of the segment with these bounds.
    Short(Position, Position),
}

impl Group {
    /// Visits the group's records. They were checked when it was found.
    pub fn visit<S: Storage>(&self, journal: &Journal<S>, visit: &mut dyn FnMut(&Record<'_>, Home)) {
        let Some(segment) = journal.segment_at(self.start) else { return };
        let bytes = self.extent.image.bytes(0, self.extent.image.frontier());
        let scan = Scan { bytes, start: self.extent.base, key: segment.key, table: &journal.table };
        let mut position = self.start;
        while position < self.written_end
            && let Some(header) = scan.header_cut_at(position, segment.end()).map(|(header, _)| header)
        {
            position = header.end();
            let directory = if header.kind == FrameKind::Records { scan.directory(&header) } else { None };
            for (entry, ordinal) in entries(directory.unwrap_or_default()).zip(header.ordinal..) {
                let Some(body) = scan.body(header.position, header.end(), &entry) else { continue };
                let place = header.position + u64::from(entry.body_offset);
                let home = Home { position: place, segment: segment.number, ordinal, len: entry.body_len };
                visit(&entry.record(body), home);
            }
        }
    }
}

enum Walked {
    /// Ends of its bytes and of itself.
    Group(Position, Position),
    /// The bytes at hand end before the group does.
    Short,
    Bad,
}

/// Whole frames up to a pad, or to `limit`.
fn walk(scan: &Scan<'_>, from: Position, limit: Position, segment_end: Position, block: u64) -> Walked {
    let mut position = from;
    while position < limit && position < segment_end {
        if position + FRAME_HEADER as u64 > scan.end() {
            return Walked::Short;
        }
        let Some((header, fits)) = scan.header_cut_at(position, segment_end) else { return Walked::Bad };
        let end = position + u64::from(header.len);
        if header.kind == FrameKind::Pad {
            let written = (position + FRAME_HEADER as u64).align_up(block).min(end);
            return if written <= scan.end() { Walked::Group(written, end) } else { Walked::Short };
        }
        if !fits {
            return Walked::Short;
        }
        if !scan.whole(&header) {
            return Walked::Bad;
        }
        position = end;
    }
    Walked::Group(position, position)
}
