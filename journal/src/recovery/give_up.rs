//! Files that are not what they should be: a start is refused for them, or somebody gives up what they should hold.

use std::io;
use std::ops::Range;

use crate::config::Config;
use crate::epoch::EpochTable;
use crate::error::OpenError;
use crate::frame::{FRAME_HEADER, FrameHeader, FrameKind, Seed};
use crate::image::ImageWriter;
use crate::position::{Epoch, Position, SegmentNumber};
use crate::prepare::mixed;
use crate::recovery::directory::{Directory, Found, LAST_POSITION};
use crate::size::{len32, size};

/// A part of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    pub from: Position,
    pub to: Position,
    /// Records of its segment before it.
    pub ordinal: u32,
}

impl Directory {
    /// Refuses a file from the head on that contradicts its name, its header or the table, or whose header cannot be read.
    pub(super) fn check(&self, config: &Config, table: &EpochTable) -> Result<(), OpenError> {
        let unreadable = |found: &&Found| found.number >= table.head && !config.gives_up(&found.name);
        if let Some((found, error)) =
            self.found.iter().filter(unreadable).filter_map(|found| Some((found, found.unreadable.as_ref()?))).next()
        {
            let (offset, len, error) = (0, u64::from(table.block), io::Error::other(error.clone()));
            return Err(OpenError::Unreadable { file: found.name.clone(), offset, len, error });
        }
        let later = self.found.iter().filter(|found| found.number >= table.head);
        if let Some((found, epoch)) = later.filter_map(|found| Some((found, found.later?))).next() {
            return Err(older_table(&found.name, found.start, epoch));
        }
        let wrong = self.found.iter().filter(|found| found.number >= table.head);
        match wrong.filter_map(|found| Some((found, found.wrong.as_ref()?))).next() {
            Some((found, what)) => Err(contradicts(found, what)),
            None => Ok(()),
        }
    }

    /// Refuses a segment of the log that was made in a life which the table does not list: each one's first frame is of that life.
    pub(super) fn check_lives(&self, table: &EpochTable, live: Range<usize>) -> Result<(), OpenError> {
        let strange = |found: &&Found| found.header.is_some_and(|header| table.life(header.epoch).is_none());
        match self.found.get(live).unwrap_or_default().iter().find(strange) {
            Some(found) => Err(contradicts(found, "was made in a life that this log did not have: it is another file")),
            None => Ok(()),
        }
    }

    /// Puts segments without records in the place of those that are given up and cannot be used, or are not there. A file that is given up
    /// where the log has no segment leaves it.
    pub(super) fn give_up(&mut self, config: &Config, table: &EpochTable) {
        let mut given_up: Vec<SegmentNumber> = config.give_up.iter().filter_map(|name| number(name)).collect();
        given_up.sort_unstable();
        for number in given_up.into_iter().filter(|number| *number >= table.head) {
            let place = self.found.partition_point(|found| found.number < number);
            let there = self.found.get(place).filter(|found| found.number == number);
            if there.is_some_and(Found::is_sound) {
                continue;
            }
            let is_there = there.is_some();
            let removed = is_there.then(|| self.found.remove(place));
            if !self.is_inside(place, number, table) {
                self.outside.extend(removed);
                continue;
            }
            let least = SegmentNumber(if is_there { number.0 + 1 } else { 0 });
            let end = least.max(self.gap_end(place, number, table));
            let placeholders = (number.0..end.0).map(|number| placeholder(SegmentNumber(number), table, config));
            self.found.splice(place..place, placeholders);
        }
    }

    /// Whether the log has a segment of this number, which would be at `place`: it follows what lies before, or something sound follows it,
    /// or the table says that the log went on.
    fn is_inside(&self, place: usize, number: SegmentNumber, table: &EpochTable) -> bool {
        let before = place.checked_sub(1).and_then(|place| self.found.get(place));
        let before = before.filter(|found| found.number >= table.head);
        let end_before = before.map_or(number, |found| SegmentNumber(found.end().0 / table.segment_bytes));
        let goes_on = self.found.get(place).is_some_and(Found::is_sound) || number < known_end(table);
        let possible = number.0 < LAST_POSITION.0 / table.segment_bytes;
        possible && (number == end_before || (number > end_before && goes_on))
    }

    /// Where the log goes on behind a gap that begins with `number`, as far as that is known: of a file that is not sound the name alone
    /// says nothing.
    fn gap_end(&self, place: usize, number: SegmentNumber, table: &EpochTable) -> SegmentNumber {
        match self.found.get(place) {
            Some(next) if next.is_sound() => next.number,
            Some(_) => SegmentNumber(number.0 + 1),
            None => known_end(table),
        }
    }
}

/// The number behind the last segment of which the table knows.
fn known_end(table: &EpochTable) -> SegmentNumber {
    SegmentNumber(table.known_durable().0.div_ceil(table.segment_bytes))
}

fn contradicts(found: &Found, what: &str) -> OpenError {
    OpenError::Contradiction { file: found.name.clone(), what: what.to_owned() }
}

/// The number in a segment's name, as it is written.
fn number(name: &str) -> Option<SegmentNumber> {
    let number = u64::from_str_radix(name.strip_prefix("segment-")?, 16).ok()?;
    Some(SegmentNumber(number)).filter(|number| name == number.file_name())
}

fn placeholder(number: SegmentNumber, table: &EpochTable, config: &Config) -> Found {
    let start = Position(number.0 * table.segment_bytes);
    let mut found = Found {
        number,
        name: number.file_name(),
        start,
        data_start: start + u64::from(table.block),
        bytes: table.segment_bytes,
        header: None,
        intact: true,
        wrong: None,
        unreadable: None,
        later: None,
        placeholder: true,
    };
    found.header = Some(found.made_up_header(mixed(config.keys ^ number.0.rotate_left(32)), table));
    found
}

impl Directory {
    /// The bytes of a segment that stands for one that is given up.
    pub(super) fn placeholder(&self, number: SegmentNumber, table: &EpochTable) -> io::Result<ImageWriter> {
        let found = self.found.iter().find(|found| found.number == number);
        image(found.ok_or(io::ErrorKind::NotFound)?, table)
    }
}

/// The bytes of a segment without records.
pub(crate) fn image(found: &Found, table: &EpochTable) -> io::Result<ImageWriter> {
    let mut writer = ready(found)?;
    fill(&mut writer, found, table, &[Region { from: found.data_start, to: found.end(), ordinal: 0 }]);
    Ok(writer)
}

/// The bytes of a segment that nothing was written to.
pub(crate) fn ready(found: &Found) -> io::Result<ImageWriter> {
    let mut writer = ImageWriter::anonymous(size(found.bytes))?;
    if let Some(header) = &found.header {
        writer.write(0, &header.encode());
    }
    Ok(writer)
}

/// Puts pad frames over regions of a segment, one for each life that should have written there.
pub(crate) fn fill(writer: &mut ImageWriter, found: &Found, table: &EpochTable, regions: &[Region]) {
    let Some(key) = found.key() else { return };
    for region in regions {
        let mut from = region.from;
        while from < region.to {
            let (life_end, next_first) = table.break_after(from).unwrap_or((region.to, region.to));
            let to = region.to.min(life_end);
            if to >= from + FRAME_HEADER as u64 {
                let pad = pad(table.at(from), from, (len32(to - from), region.ordinal));
                writer.write(size(from - found.start), &pad.encode(Seed { key, epoch: pad.epoch }));
            }
            from = next_first.max(to);
        }
    }
}

fn pad(epoch: Epoch, position: Position, (len, ordinal): (u32, u32)) -> FrameHeader {
    FrameHeader {
        position,
        epoch,
        kind: FrameKind::Pad,
        // It stands for what is not known: how far the log was durable is what the table and other frames say.
        durable: Position(0),
        committed: Position(0),
        head: SegmentNumber(0),
        len,
        directory_len: 0,
        directory_crc: 0,
        ordinal,
    }
}

/// A copy of a segment's bytes.
pub(crate) fn copy(writer: &ImageWriter) -> io::Result<ImageWriter> {
    let mut copy = ImageWriter::anonymous(writer.len())?;
    copy.write(0, writer.bytes(0, writer.len()));
    Ok(copy)
}

/// A region of the log that its file never held.
pub(crate) fn never_written(found: &Found, region: Region) -> OpenError {
    let (offset, len) = (region.from - found.start, region.to - region.from);
    let what = format!("holds nothing of the log in {len} bytes at {offset}: it is an older copy, or another file");
    OpenError::Contradiction { file: found.name.clone(), what }
}

/// A segment that knows a life which the table does not.
pub(crate) fn older_table(file: &str, position: Position, epoch: Epoch) -> OpenError {
    OpenError::OlderTable { file: file.to_owned(), life: epoch.0, position }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_named_as_its_file_is() {
        assert_eq!(number("segment-000000000000001f"), Some(SegmentNumber(31)));
        for name in ["segment-1f", "segment-000000000000001F", "segment-+00000000000001f", "epochs-0"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
