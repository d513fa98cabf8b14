//! The records of a log whose end is settled, from the head on, in its order.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::error::{OpenError, Refusal};
use crate::frame::Record;
use crate::image::ImageWriter;
use crate::position::{Home, Position};
use crate::recovery::directory::Found;
use crate::recovery::give_up::Region;
use crate::recovery::report::{Hit, Place};
use crate::recovery::scan::Scan;
use crate::recovery::walk::{SegmentWalk, Stop, Visit};
use crate::recovery::{Bounded, Contents, DamageKind, KeptSegments, OldLog, Recovery, Visited, give_up, load};
use crate::segment::Segment;
use crate::storage::Storage;

/// Bytes of a segment that hold the two copies of its header.
const COPIES: u64 = 2144;

/// How far the records were visited.
pub(super) struct Reading {
    /// The segments that are needed and hold something, of those in the directory.
    live: Range<usize>,
    /// The one that is next, or under way.
    next: usize,
    part: Option<Part>,
    kept: KeptSegments,
}

/// A segment that is visited as far as `position`.
struct Part {
    contents: Contents,
    position: Position,
    ordinal: u32,
    unwritten: Vec<Region>,
    /// How many were known before it.
    damages: u64,
}

impl Reading {
    pub(super) fn of(live: Range<usize>) -> Reading {
        Reading { next: live.start, live, part: None, kept: KeptSegments::default() }
    }
}

impl<S: Storage> Bounded<S> {
    /// What was found so far.
    pub fn recovery(&self) -> &Recovery {
        &self.log.report
    }

    /// Where the log ends that counts.
    pub fn end(&self) -> Position {
        self.log.tail.end
    }

    /// Visits what was not visited yet, in frames that end at `up_to` or before.
    ///
    /// # Errors
    /// A segment is not as it should be, or `visit` refuses a record. Nothing was changed.
    pub fn visit_to<E>(
        mut self,
        up_to: Position,
        visit: &mut dyn FnMut(&Record<'_>, Home) -> Result<(), E>,
    ) -> Result<Bounded<S>, Refusal<E>> {
        let mut refused = None;
        let outcome = self.read_to(up_to, &mut |record, home| match visit(record, home) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                refused = Some(error);
                ControlFlow::Break(())
            }
        });
        match (refused, outcome) {
            (Some(error), _) => Err(Refusal::Record(error)),
            (None, outcome) => Ok(outcome.map(|()| self)?),
        }
    }

    /// Visits all that was not visited yet.
    ///
    /// # Errors
    /// A segment is not as it should be, or `visit` refuses a record. Nothing was changed.
    pub fn visit<E>(self, visit: &mut dyn FnMut(&Record<'_>, Home) -> Result<(), E>) -> Result<Visited<S>, Refusal<E>> {
        let end = self.end();
        let Bounded { log, reading } = self.visit_to(end, visit)?;
        Ok(Visited { log, kept: reading.kept })
    }

    fn read_to(&mut self, up_to: Position, visit: &mut Visit<'_>) -> Result<(), OpenError> {
        let found = std::mem::take(&mut self.log.directory.found);
        let live = found.get(..self.reading.live.end).unwrap_or_default();
        while let Some(segment) = live.get(self.reading.next).filter(|segment| segment.data_start < up_to) {
            let part = self.reading.part.take();
            let mut part = match part {
                Some(part) => part,
                None => self.log.begin_segment(segment, live.get(self.reading.next + 1..).unwrap_or_default())?,
            };
            self.log.walk(segment, &mut part, up_to, visit)?;
            if part.position < segment.end().min(self.log.tail.end) {
                self.reading.part = Some(part);
                break;
            }
            self.log.end_segment(segment, part, &mut self.reading.kept)?;
            self.reading.next += 1;
        }
        self.log.directory.found = found;
        Ok(())
    }
}

impl<S: Storage> OldLog<S> {
    fn begin_segment(&mut self, found: &Found, behind: &[Found]) -> Result<Part, OpenError> {
        let ahead = behind.iter().find(|next| !self.tail.loaded.contains_key(&next.number));
        let contents = match self.tail.loaded.remove(&found.number) {
            Some(contents) => contents,
            None => load(&mut self.storage, &self.config, &self.table, found, ahead)?,
        };
        let damages = self.report.damages;
        let mut position = found.data_start;
        if found.key().is_none() {
            position = found.end();
            self.damage(found, found.bytes, DamageKind::Segment);
        } else if found.placeholder {
            self.damage(found, found.bytes, DamageKind::GivenUp);
        }
        if found.key().is_some() && !found.intact {
            self.damage(found, COPIES, DamageKind::SegmentHeader);
        }
        Ok(Part { contents, position, ordinal: 0, unwritten: Vec::new(), damages })
    }

    fn damage(&mut self, found: &Found, len: u64, kind: DamageKind) {
        let place = Place { file: &found.name, segment: found.number, start: found.start };
        self.report.add_damage(place, (found.start, len), Hit::default(), kind);
    }

    fn walk(
        &mut self,
        found: &Found,
        part: &mut Part,
        up_to: Position,
        visit: &mut Visit<'_>,
    ) -> Result<(), OpenError> {
        let Some(key) = found.key() else { return Ok(()) };
        let bytes = part.contents.writer.bytes(0, part.contents.writer.len());
        let scan = Scan { bytes, start: found.start, key, table: &self.table };
        let mut walk = SegmentWalk {
            scan,
            place: Place { file: &found.name, segment: found.number, start: found.start },
            visit,
            report: &mut self.report,
            position: part.position,
            ordinal: part.ordinal,
            unwritten: std::mem::take(&mut part.unwritten),
        };
        let outcome = walk.run(up_to, self.tail.end);
        (part.position, part.ordinal, part.unwritten) = (walk.position, walk.ordinal, walk.unwritten);
        match outcome {
            // The visitor knows why.
            Ok(()) | Err(Stop::Refused) => Ok(()),
            Err(Stop::UnknownFrame { kind, position }) => {
                Err(OpenError::UnknownFrame { file: found.name.clone(), kind, position })
            }
        }
    }

    fn end_segment(&mut self, found: &Found, part: Part, kept: &mut KeptSegments) -> Result<(), OpenError> {
        let Part { contents: Contents { mut writer, has_holes }, unwritten, .. } = part;
        if let Some(region) = unwritten.first()
            && !self.config.gives_up(&found.name)
        {
            return Err(give_up::never_written(found, *region));
        }
        give_up::fill(&mut writer, found, &self.table, &unwritten);
        if found.placeholder {
            kept.replaced.push((found.number, None));
        } else if has_holes || !unwritten.is_empty() {
            let copy = give_up::copy(&writer).map_err(OpenError::io(format!("copied ({})", found.name)))?;
            kept.replaced.push((found.number, Some(copy)));
        }
        let damaged = self.report.damages > part.damages && !found.placeholder;
        self.keep(found, (writer, part.ordinal), damaged, kept);
        Ok(())
    }

    /// Keeps the memory of the last segments, and lends out that of the others again.
    fn keep(
        &mut self,
        found: &Found,
        (mut writer, records): (ImageWriter, u32),
        damaged: bool,
        kept: &mut KeptSegments,
    ) {
        let last = found.end() >= self.tail.end;
        let is_hot = last || self.tail.end - found.start <= self.config.hot_bytes;
        let image = is_hot.then(|| Arc::clone(writer.image()));
        if is_hot {
            kept.hot_bytes += found.bytes;
        }
        let (number, start, bytes) = (found.number, found.start, found.bytes);
        kept.segments.push_back(Segment { number, key: found.key().unwrap_or(0), start, bytes, image, damaged });
        if last {
            kept.last = Some((writer, records));
        } else if is_hot {
            writer.publish(writer.len());
        } else {
            self.storage.unload(writer);
        }
    }
}
