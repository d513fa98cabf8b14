//! Every valid record of a segment, in order; damage confined to what it hit.

use std::ops::ControlFlow;

use crate::frame::{
    BODY_HEADER, BodyHeader, DirectoryEntry, FRAME_ALIGN, FRAME_HEADER, FrameHeader, FrameKind, MARKER, Record,
};
use crate::plant::planted;
use crate::position::{Home, Position};
use crate::recovery::give_up::Region;
use crate::recovery::report::{Hit, Place};
use crate::recovery::scan::{Scan, entries, good_body};
use crate::recovery::{DamageKind, Recovery};
use crate::size::len32;

/// More than one damage hits: a medium's worst unit of loss is far smaller.
const MUCH: usize = 64 << 10;

/// Behind a damaged header of a body, or a damaged entry, so many bytes are looked through for the next one.
const LOOKED_THROUGH: u64 = 16 << 20;

/// What is called for each record, and may refuse it.
pub(super) type Visit<'a> = dyn FnMut(&Record<'_>, Home) -> ControlFlow<()> + 'a;

/// Why a walk does not go on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// The visitor refused a record.
    Refused,
    /// A frame that a version must know which reads it.
    UnknownFrame { kind: u8, position: Position },
}

/// A walk through one segment, up to the end of the log.
pub(super) struct SegmentWalk<'a, 'v> {
    pub scan: Scan<'a>,
    pub place: Place<'a>,
    pub visit: &'a mut Visit<'v>,
    pub report: &'a mut Recovery,
    /// The next frame.
    pub position: Position,
    /// Records before the next frame.
    pub ordinal: u32,
    /// Where frames should be, and nothing of one ever was.
    pub unwritten: Vec<Region>,
}

/// A frame, or what is left of one.
#[derive(Clone, Copy)]
struct Remains {
    frame: Position,
    end: Position,
}

impl Remains {
    /// The next entry from `at` on that checks, and whose body header says the same: looked for as far as the next body is.
    fn next_entry<'a>(self, scan: &Scan<'a>, at: Position, index: u32) -> Option<(Position, DirectoryEntry<'a>)> {
        let seed = scan.seed(self.frame);
        let mut place = at;
        let last = self.end.min(at + LOOKED_THROUGH);
        while place < last {
            let found = DirectoryEntry::decode_checked(scan.range(place, self.end), self.frame, seed);
            if let Some(entry) =
                found.filter(|entry| entry.index >= index && (place == at || self.confirmed(scan, entry)))
            {
                return Some((place, entry));
            }
            place += 1;
        }
        None
    }

    fn confirmed(self, scan: &Scan<'_>, entry: &DirectoryEntry<'_>) -> bool {
        if entry.body_len == 0 {
            return true;
        }
        let offset = u64::from(entry.body_offset);
        if offset < (FRAME_HEADER + BODY_HEADER) as u64 || self.frame + offset > self.end {
            return false;
        }
        let start = Position((self.frame + offset).0 - BODY_HEADER as u64);
        let header = BodyHeader::decode(scan.range(start, self.end), start, scan.seed(start));
        header.is_some_and(|header| header.sequence == entry.sequence && header.len == entry.body_len)
    }
}

impl SegmentWalk<'_, '_> {
    /// Visits frames that end at `up_to` or before, in a log that ends at `end`.
    pub(super) fn run(&mut self, up_to: Position, end: Position) -> Result<(), Stop> {
        let end = end.min(self.scan.end());
        while self.position < end {
            let mut limit = end;
            if let Some((life_end, next_first)) = self.scan.table.break_after(self.position) {
                if self.position >= life_end {
                    self.position = next_first;
                    continue;
                }
                limit = limit.min(life_end);
            }
            let header = self.scan.header_at(self.position).filter(|header| header.end() <= limit);
            let next = header.map_or_else(|| self.next_header(limit), |header| header.end());
            if next > up_to {
                break;
            }
            match header {
                Some(header) => self.frame(&header)?,
                None => self.lost_header(next)?,
            }
            self.position = next;
        }
        Ok(())
    }

    /// Where the next frame begins if this one has no header.
    fn next_header(&self, limit: Position) -> Position {
        self.scan.next_header(self.position + 8, limit).map_or(limit, |header| header.position)
    }

    fn frame(&mut self, header: &FrameHeader) -> Result<(), Stop> {
        // What was counted has a home already, whatever a pad says that was put there when the rest was lost.
        self.ordinal = self.ordinal.max(header.ordinal);
        match header.kind {
            FrameKind::Records => {}
            FrameKind::Pad | FrameKind::Ignorable => return Ok(()),
            FrameKind::Unknown(kind) => return Err(Stop::UnknownFrame { kind, position: header.position }),
        }
        let remains = Remains { frame: header.position, end: header.end() };
        let Some(directory) = self.scan.directory(header) else {
            return self.salvage(remains, header.position + header.directory_offset() as u64);
        };
        for entry in entries(directory) {
            self.record(remains, &entry)?;
            self.ordinal += 1;
        }
        Ok(())
    }

    /// Visits a record if its body is good.
    fn record(&mut self, remains: Remains, entry: &DirectoryEntry<'_>) -> Result<(), Stop> {
        let body = self.scan.body(remains.frame, remains.end, entry);
        let position = remains.frame + u64::from(entry.body_offset);
        let hit = Hit { record: Some(entry.kind), sequence: Some(entry.sequence), meta: entry.meta, body: &[] };
        match body.filter(|body| good_body(body, entry.body_crc)) {
            Some(body) => {
                let segment = self.place.segment;
                let home = Home { position, segment, ordinal: self.ordinal, len: entry.body_len };
                self.report.records += 1;
                self.report.bytes += body.len() as u64;
                if (self.visit)(&entry.record(body), home).is_break() {
                    return Err(Stop::Refused);
                }
                if planted("sound-named") && self.report.damages > 0 {
                    self.damage(position, u64::from(entry.body_len), Hit { body, ..hit }, DamageKind::Body);
                }
            }
            None => {
                // Where its header is hit, too, the bytes may be another record's.
                let body = body.filter(|_| remains.confirmed(&self.scan, entry)).unwrap_or_default();
                self.damage(position, u64::from(entry.body_len), Hit { body, ..hit }, DamageKind::Body);
            }
        }
        Ok(())
    }

    /// A frame without its header: it reaches to the next one.
    fn lost_header(&mut self, next: Position) -> Result<(), Stop> {
        let position = self.position;
        self.damage(position, next - position, Hit::default(), DamageKind::Frame);
        let marker = self.scan.seed(position).marker(position);
        let region = self.scan.range(position, next);
        let remains = Remains { frame: position, end: next };
        if let Some(offset) = region.windows(MARKER).position(|bytes| bytes == marker) {
            return self.salvage(remains, position + offset as u64);
        }
        if self.never_written(position, region) {
            self.unwritten.push(Region { from: position, to: next, ordinal: self.ordinal });
        } else {
            self.name_lost_bodies(remains, next, None);
        }
        Ok(())
    }

    /// Whether a region is no damaged frame, but not what the log had there: a block of zeros where a header should be, or much more than
    /// one damage hits with nothing of a frame in it.
    fn never_written(&self, position: Position, region: &[u8]) -> bool {
        let first_body = position + FRAME_HEADER as u64;
        let has_body = first_body + BODY_HEADER as u64 <= self.scan.end()
            && BodyHeader::decode(self.scan.range(first_body, self.scan.end()), first_body, self.scan.seed(first_body))
                .is_some();
        if has_body || self.scan.resembles_header(position) {
            return false;
        }
        let block = self.scan.table.block as usize;
        let zeros = region.get(..block).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
        zeros || region.len() >= MUCH
    }

    /// The records of a frame whose directory as a whole cannot be trusted: entry by entry.
    fn salvage(&mut self, remains: Remains, directory: Position) -> Result<(), Stop> {
        let first_ordinal = self.ordinal;
        let mut at = directory + MARKER as u64;
        let mut next_index = 0;
        let mut good_bodies = Vec::new();
        let mut lost = false;
        while let Some((place, entry)) = remains.next_entry(&self.scan, at, next_index) {
            lost |= place != at;
            good_bodies.push(entry.body_offset);
            self.ordinal = first_ordinal + entry.index;
            self.record(remains, &entry)?;
            next_index = entry.index + 1;
            at = place + entry.encoded_len() as u64;
        }
        self.ordinal = first_ordinal + next_index;
        if (lost || at != remains.end) && !self.name_lost_bodies(remains, directory, Some(&good_bodies)) {
            self.damage(directory, remains.end - directory, Hit::default(), DamageKind::Directory);
        }
        Ok(())
    }

    /// Bodies follow one another, each behind its header: those that no good entry names are lost, and known by it. Without a directory
    /// all are, and the frame as a whole was told. Whether there were some.
    fn name_lost_bodies(&mut self, remains: Remains, directory: Position, good: Option<&[u32]>) -> bool {
        let mut start = remains.frame + FRAME_HEADER as u64;
        let mut named = false;
        while let Some((place, header)) = self.next_body(start, directory) {
            named |= good.is_some() && self.gap(start, place);
            let body = place + BODY_HEADER as u64;
            if good.is_none_or(|good| good.binary_search(&len32(body - remains.frame)).is_err()) {
                named = true;
                let found = self.scan.range(body, directory.min(body + u64::from(header.len)));
                let hit = Hit { sequence: Some(header.sequence), body: found, ..Hit::default() };
                self.damage(body, u64::from(header.len), hit, DamageKind::Entry);
            }
            start = body + u64::from(header.len);
        }
        (good.is_some() && self.gap(start, directory)) || named
    }

    /// The next header of a body that checks.
    fn next_body(&self, from: Position, directory: Position) -> Option<(Position, BodyHeader)> {
        let last = directory.0.min(from.0 + LOOKED_THROUGH).checked_sub(BODY_HEADER as u64)?;
        (from.0..=last).map(Position).find_map(|place| {
            let header = BodyHeader::decode(self.scan.range(place, directory), place, self.scan.seed(place))?;
            Some((place, header))
        })
    }

    /// Where a header of a body should be and is none, something was that cannot be named. Whether it is more than what fills up.
    fn gap(&mut self, from: Position, to: Position) -> bool {
        let is_one = to >= from + FRAME_ALIGN as u64;
        if is_one {
            self.damage(from, to - from, Hit::default(), DamageKind::Directory);
        }
        is_one
    }

    fn damage(&mut self, position: Position, len: u64, hit: Hit<'_>, kind: DamageKind) {
        self.report.add_damage(self.place, (position, len), hit, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::{EpochTable, LifeEntry};
    use crate::position::{Epoch, SegmentNumber};

    #[test]
    fn the_next_entry_is_looked_for_so_far() {
        let first = Position(4096);
        let table = EpochTable {
            block: 4096,
            segment_bytes: 64 << 20,
            head: SegmentNumber(0),
            log_id: 1,
            node: 0,
            accepted: None,
            level: 0,
            ended: None,
            stated: None,
            losses: 0,
            lives: vec![LifeEntry { epoch: Epoch(1), node: 0, end: Position(0), first, nonce: 1 }],
        };
        let entry = DirectoryEntry {
            kind: 1,
            flags: 0,
            meta: b"m",
            body_len: 0,
            body_crc: 0,
            sequence: 7,
            body_offset: 0,
            index: 0,
        };
        for (distance, is_found) in [(0, true), (LOOKED_THROUGH - 1, true), (LOOKED_THROUGH, false)] {
            let mut bytes = vec![0; (17 << 20) + 4096];
            let seed = Scan { bytes: &bytes, start: Position(0), key: 3, table: &table }.seed(first);
            let mut encoded = Vec::new();
            entry.encode(&mut encoded, first, seed);
            let place = usize::try_from(first.0 + distance).unwrap();
            bytes[place..place + encoded.len()].copy_from_slice(&encoded);
            let scan = Scan { bytes: &bytes, start: Position(0), key: 3, table: &table };
            let found = Remains { frame: first, end: scan.end() }.next_entry(&scan, first, 0);
            assert_eq!(found.map(|(place, entry)| (place, entry.sequence)), is_found.then_some((first + distance, 7)));
        }
    }
}
