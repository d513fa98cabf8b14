//! From a directory to a journal: what was durable is visited, what is torn is cut, what is damaged is named.

mod begin;
mod directory;
mod give_up;
mod rebuild;
mod report;
mod scan;
mod tail;
mod visit;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::append::Active;
use crate::config::Config;
use crate::epoch::{EpochTable, LIVES_TO_DRAIN, MAX_LIVES};
use crate::error::OpenError;
use crate::image::ImageWriter;
use crate::journal::Journal;
use crate::position::{Epoch, Position, SegmentNumber};
use crate::prepare::{Preparing, mixed};
use crate::segment::Segment;
use crate::size::size;
use crate::storage::{Loaded, SegmentFile, Storage, Unreadable};
use directory::{Directory, Found};
use report::Hit;
pub use report::{Cut, Damage, DamageKind, GivenUp, Recovery};
pub(crate) use scan::Scan;
use tail::Tail;
pub use visit::Visit;
use visit::Walk;

/// Bytes of a segment that hold the two copies of its header.
const COPIES: u64 = 2144;
/// A log that was read, in a directory that is as it was.
pub struct Recovered<S: Storage> {
    storage: S,
    config: Config,
    table: EpochTable,
    directory: Directory,
    report: Recovery,
    tail: Tail,
    visited: Visited,
}

/// An epoch table to go by.
pub(crate) struct Opened {
    pub table: EpochTable,
    /// Both copies are good.
    pub intact: bool,
    /// The latest life of which anything is known.
    pub latest: Epoch,
    /// It was made anew from the segments.
    pub rebuilt: bool,
}

/// A recovery under way.
struct Recovering<'a, S: Storage> {
    storage: &'a mut S,
    config: &'a Config,
    table: &'a EpochTable,
    directory: &'a mut Directory,
    report: Recovery,
}

/// What the visited segments leave for the journal.
#[derive(Default)]
struct Visited {
    segments: VecDeque<Segment>,
    hot_bytes: u64,
    /// The last segment's memory, still writable, and its records.
    last: Option<(ImageWriter, u32)>,
    /// Segments whose place others take: placeholders, or these bytes.
    replaced: Vec<(SegmentNumber, Option<ImageWriter>)>,
}

impl<S: Storage> Journal<S> {
    /// Opens the log: visits every valid record from the head on, in the log's order; cuts a torn end; syncs what it keeps; begins
    /// a new life (R1 to R5).
    ///
    /// # Errors
    /// The directory cannot be used. Nothing that counts in it was changed.
    pub fn recover(storage: S, config: Config, visit: &mut Visit<'_>) -> Result<Journal<S>, OpenError> {
        Journal::examine(storage, config, visit)?.begin()
    }

    /// Visits every valid record, and changes nothing.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn examine(mut storage: S, mut config: Config, visit: &mut Visit<'_>) -> Result<Recovered<S>, OpenError> {
        config.check();
        let files = storage.segments().map_err(OpenError::io(format!("listed ({})", storage.place())))?;
        let mut opened = open_table(&mut storage, &mut config, &files)?;
        let (mut directory, mut tail) = match read_ends(&mut storage, &config, &opened, &files) {
            Err(OpenError::OlderTable { .. }) if config.gives_up_table() && !opened.rebuilt => {
                opened = rebuild::rebuild(&mut storage, &config, &files)?;
                read_ends(&mut storage, &config, &opened, &files)?
            }
            answer => answer?,
        };
        let Opened { table, intact, rebuilt, .. } = opened;
        let most = if config.gives_up_table() { MAX_LIVES + LIVES_TO_DRAIN } else { MAX_LIVES };
        let lives = table.lives.len() - table.over_before(Position(tail.head.0 * table.segment_bytes));
        if lives >= most {
            return Err(OpenError::TooManyLives(lives));
        }
        config.segment_bytes = table.segment_bytes;
        let report = Recovery {
            table_repaired: !intact,
            table_rebuilt: rebuilt,
            earlier_losses: table.losses,
            segment_bytes: table.segment_bytes,
            lives,
            ..Recovery::default()
        };
        let mut recovering =
            Recovering { storage: &mut storage, config: &config, table: &table, directory: &mut directory, report };
        let visited = recovering.visit(&mut tail, visit)?;
        let report = recovering.report;
        Ok(Recovered { storage, config, table, directory, report, tail, visited })
    }

    /// Goes on in the last segment if the new life begins in it, and gives back all that is not part of the log.
    fn settle(&mut self, directory: &Directory, visited: Visited, first: Position) -> Result<(), OpenError> {
        self.segments = visited.segments;
        self.hot_bytes = visited.hot_bytes;
        let mut end = Position(first.0 - first.0 % self.table.segment_bytes);
        if let (Some(segment), Some((loaded, records))) = (self.segments.back_mut(), visited.last) {
            if first < segment.end() {
                let header = directory.at(segment.start).and_then(|found| found.header);
                let lost = || OpenError::NoSegmentHeader(segment.number, self.storage.name(segment.number));
                let header = header.ok_or_else(lost)?;
                let name = self.storage.name(segment.number);
                let mut writer = self
                    .storage
                    .adopt(segment.number, loaded)
                    .map_err(OpenError::io(format!("written on ({name})")))?;
                let at = size(first - segment.start);
                writer.publish(at);
                segment.image = Some(Arc::clone(writer.image()));
                let seed = segment.seed(self.epoch);
                self.active = Some(Active::new(writer, &header, segment.start, seed, at, records));
            } else {
                publish_all(loaded);
            }
            end = segment.end();
        }
        let front = self.segments.front().map_or(end, |segment| segment.start);
        // From both ends, so that what is there is one interval at any time.
        let before = directory.found.iter().take_while(|found| found.start < front);
        let behind = directory.found.iter().rev().take_while(|found| found.start >= end);
        for found in before.chain(behind) {
            // Before the head is nothing that is needed, but what such a file holds may be.
            if found.is_sound() {
                self.storage.recycle(found.number);
            } else {
                self.storage.set_aside(found.number);
            }
        }
        self.preparing = Preparing::new(SegmentNumber(end.0 / self.table.segment_bytes), self.config.keys);
        self.fix_budget();
        self.cool();
        self.top_up();
        Ok(())
    }
}

impl<S: Storage> Recovering<'_, S> {
    /// Visits all segments from the head to the end.
    fn visit(&mut self, tail: &mut Tail, visit: &mut Visit<'_>) -> Result<Visited, OpenError> {
        let mut visited = Visited::default();
        self.check_contiguous(tail)?;
        let found = std::mem::take(&mut self.directory.found);
        let live: Vec<&Found> =
            found.iter().filter(|found| found.number >= tail.head && found.data_start < tail.end).collect();
        self.directory.check_lives(self.table, &live)?;
        let mut ordinal = 0;
        let config = self.config;
        let given_up = |found: &Found| config.gives_up(&found.name);
        for (index, found) in live.iter().enumerate() {
            let ahead = live.iter().skip(index + 1).find(|next| !tail.loaded.contains_key(&next.number));
            let Contents { mut writer, has_holes } = match tail.loaded.remove(&found.number) {
                Some(contents) => contents,
                None => load(self.storage, self.config, self.table, found, ahead.copied())?,
            };
            let damages = self.report.damages;
            let unwritten;
            (ordinal, unwritten) = self.visit_segment(found, &writer, tail.end, visit);
            if let Some(region) = unwritten.first()
                && !given_up(found)
            {
                return Err(give_up::never_written(found, *region));
            }
            give_up::fill(&mut writer, found, self.table, &unwritten);
            if found.placeholder {
                visited.replaced.push((found.number, None));
            } else if has_holes || !unwritten.is_empty() {
                let copy = give_up::copy(&writer).map_err(OpenError::io(format!("copied ({})", found.name)))?;
                visited.replaced.push((found.number, Some(copy)));
            }
            self.keep(found, writer, tail, self.report.damages > damages, &mut visited);
        }
        if let Some((_, records)) = &mut visited.last {
            *records = ordinal;
        }
        self.directory.found = found;
        Ok(visited)
    }

    fn visit_segment(
        &mut self,
        found: &Found,
        writer: &ImageWriter,
        end: Position,
        visit: &mut Visit<'_>,
    ) -> (u32, Vec<give_up::Region>) {
        let Some(key) = found.key() else {
            self.report.add_damage(&found.name, found.number, (0, found.bytes), Hit::default(), DamageKind::Segment);
            return (0, Vec::new());
        };
        if found.placeholder {
            self.report.add_damage(&found.name, found.number, (0, found.bytes), Hit::default(), DamageKind::GivenUp);
        }
        if !found.intact {
            self.report.add_damage(&found.name, found.number, (0, COPIES), Hit::default(), DamageKind::SegmentHeader);
        }
        let scan = Scan { bytes: writer.bytes(0, writer.len()), start: found.start, key, table: self.table };
        let report = &mut self.report;
        let mut walk =
            Walk { scan, segment: found.number, name: &found.name, visit, report, ordinal: 0, unwritten: Vec::new() };
        walk.run(found.data_start, end);
        (walk.ordinal, walk.unwritten)
    }

    /// Keeps the memory of the last segments, and lends out that of the others again.
    fn keep(&mut self, found: &Found, mut writer: ImageWriter, tail: &Tail, damaged: bool, visited: &mut Visited) {
        let mut image = None;
        let last = found.end() >= tail.end;
        if last || tail.end - found.start <= self.config.hot_bytes {
            image = Some(Arc::clone(writer.image()));
            visited.hot_bytes += found.bytes;
        }
        visited.segments.push_back(Segment {
            number: found.number,
            key: found.key().unwrap_or(0),
            start: found.start,
            bytes: found.bytes,
            image,
            damaged: damaged && !found.placeholder,
        });
        if last {
            visited.last = Some((writer, 0));
        } else if visited.segments.back().is_some_and(|segment| segment.image.is_some()) {
            writer.publish(writer.len());
        } else {
            self.storage.unload(writer);
        }
    }

    /// All files from the head on are one interval, at any moment: a gap, or an end before the log's, was made by somebody else.
    fn check_contiguous(&self, tail: &Tail) -> Result<(), OpenError> {
        let mut next = tail.head;
        for found in self.directory.found.iter().filter(|found| found.number >= tail.head) {
            if found.number > next {
                return Err(self.missing(next));
            }
            next = next.max(SegmentNumber(found.number.0 + found.bytes / self.table.segment_bytes));
        }
        let data_start = Position(next.0 * self.table.segment_bytes + u64::from(self.table.block));
        if data_start < tail.end {
            return Err(self.missing(next));
        }
        Ok(())
    }

    fn missing(&self, number: SegmentNumber) -> OpenError {
        OpenError::Missing(number, self.storage.name(number))
    }
}

/// The table there is, or that of a new directory, or one that is made anew.
fn open_table<S: Storage>(storage: &mut S, config: &mut Config, files: &[SegmentFile]) -> Result<Opened, OpenError> {
    let given_up = config.gives_up_table();
    let (table, intact) = match directory::read_table(storage) {
        Ok(Some(found)) => found,
        Ok(None) if files.is_empty() => new_table(storage, config)?,
        Err(OpenError::NoTable | OpenError::UnreadableTable { .. }) if files.is_empty() && given_up => {
            new_table(storage, config)?
        }
        Ok(None) | Err(OpenError::NoTable | OpenError::UnreadableTable { .. }) if given_up => {
            return rebuild::rebuild(storage, config, files);
        }
        Ok(None) => return Err(OpenError::NoTable),
        Err(error) => return Err(error),
    };
    let latest = table.newest().map_or(Epoch(0), |life| life.epoch);
    Ok(Opened { table, intact, latest, rebuilt: false })
}

/// What the names and headers of the segments say, and the newest ones.
fn read_ends<S: Storage>(
    storage: &mut S,
    config: &Config,
    opened: &Opened,
    files: &[SegmentFile],
) -> Result<(Directory, Tail), OpenError> {
    let table = &opened.table;
    let mut directory = Directory::read(storage, table, files, opened.latest)?;
    directory.find_keys(storage, config, table)?;
    directory.give_up(config, table);
    directory.check(config, table)?;
    let tail = if table.lives.is_empty() {
        let none = Position(0);
        Tail { end: none, head: SegmentNumber(0), last_valid: none, loaded: Default::default() }
    } else {
        tail::find(storage, config, &directory, table)?
    };
    Ok((directory, tail))
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

fn new_table<S: Storage>(storage: &S, config: &mut Config) -> Result<(EpochTable, bool), OpenError> {
    config.segment_bytes = config.fitting_segment(storage.room())?;
    let log_id = [1, 2].map(|part| u128::from(mixed(!config.keys.wrapping_add(part))));
    let table = EpochTable {
        block: config.block,
        segment_bytes: config.segment_bytes,
        head: SegmentNumber(0),
        log_id: log_id[0] | log_id[1] << 64,
        node: config.node,
        ended: None,
        stated: None,
        losses: 0,
        lives: Vec::new(),
    };
    Ok((table, true))
}

fn publish_all(mut writer: ImageWriter) {
    writer.publish(writer.len());
}
