//! From a log that was read to a new life: what is cut or given up is kept aside, what is kept is synced, the table is written (R3).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::append::Active;
use crate::aside::Aside;
use crate::cold::Cold;
use crate::config::Config;
use crate::epoch::{EpochTable, Life, LifeEntry};
use crate::error::OpenError;
use crate::group::Proof;
use crate::image::ImageWriter;
use crate::journal::Journal;
use crate::plant::planted;
use crate::position::{Epoch, Position, SegmentNumber};
use crate::prepare::{Preparing, mixed};
use crate::reclaim::Head;
use crate::recovery::directory::{Directory, Found};
use crate::recovery::{Cut, GivenUp, KeptSegments, OldLog, Recovery, Visited, give_up, load};
use crate::size::size;
use crate::stated::Stated;
use crate::statistics::Statistics;
use crate::storage::Storage;
use crate::trouble::Troubles;
use crate::version::LEVEL;
use crate::watermark::Watermarks;

impl<S: Storage> Visited<S> {
    /// What was found.
    pub fn recovery(&self) -> &Recovery {
        &self.log.report
    }

    /// The life that begins where nobody else is asked.
    pub fn next_life(&self) -> Life {
        Life { epoch: Epoch(self.newest_known().0 + 1), nonce: mixed(!self.log.config.keys) }
    }

    /// Begins a life: keeps aside what is cut or given up, syncs what is kept, writes the table (R3).
    ///
    /// # Errors
    /// The life is an old one; or the medium's. Nothing that counts was changed.
    pub fn begin(self, life: Life) -> Result<Journal<S>, OpenError> {
        let known = self.newest_known();
        let is_newer = life.epoch > self.log.directory.latest;
        let promised = self.log.table.accepted.is_none_or(|accepted| life.epoch > accepted.epoch || life == accepted);
        if !is_newer || !promised {
            return Err(OpenError::OldLife { life: life.epoch.0, known: known.0 });
        }
        let Visited { mut log, mut kept } = self;
        let place = log.storage.place();
        log.storage.begin().map_err(OpenError::io(format!("cleared ({place})")))?;
        log.keep_old_table()?;
        let replaced = std::mem::take(&mut kept.replaced);
        log.own_up(!replaced.is_empty())?;
        log.replace_given_up(replaced)?;
        log.save_cut()?;
        let first = log.begin_life(life)?;
        let OldLog { storage, config, table, directory, report, tail } = log;
        let mut journal = assemble(storage, config, table, report, (first, tail.head));
        if tail.is_cut {
            // Until the new life has said something, only the table tells that what was cut off does not count.
            journal.proof.needed = first;
        }
        journal.settle(&directory, kept, first)?;
        Ok(journal)
    }

    fn newest_known(&self) -> Epoch {
        let accepted = self.log.table.accepted.map_or(Epoch(0), |life| life.epoch);
        self.log.directory.latest.max(accepted)
    }
}

impl<S: Storage> OldLog<S> {
    /// What the copies of a table held that is made anew.
    fn keep_old_table(&mut self) -> Result<(), OpenError> {
        for slot in (0..2).filter(|_| self.report.table_rebuilt) {
            // What cannot be read cannot be kept.
            let Ok(Some(bytes)) = self.storage.read_table(slot) else { continue };
            let file = format!("epochs-{slot}");
            let kept_as = kept_name(&file);
            let kept_as =
                self.storage.save_aside(&kept_as, &bytes).map_err(OpenError::io(format!("given up ({file})")))?;
            self.report.given_up.push(GivenUp { file, kept_as: Some(kept_as) });
        }
        Ok(())
    }

    /// What is given up looks as it should once it is replaced: the table says before that something was lost. Of one that is made anew
    /// it is assumed until it has its place.
    fn own_up(&mut self, replaces: bool) -> Result<(), OpenError> {
        if !planted("losses-forgotten") {
            self.table.losses = u32::try_from(self.report.losses()).unwrap_or(u32::MAX);
        }
        if !replaces || self.report.table_rebuilt || self.table.lives.is_empty() {
            return Ok(());
        }
        self.write_table()
    }

    fn write_table(&mut self) -> Result<(), OpenError> {
        let bytes = self.table.encode();
        let place = self.storage.place();
        for slot in 0..2 {
            let doing = format!("written ({place}/epochs-{slot})");
            self.storage.write_table(slot, &bytes).map_err(OpenError::io(doing))?;
        }
        Ok(())
    }

    /// From the last one on: what a start that is cut short leaves is refused for the same files, or for none.
    fn replace_given_up(&mut self, mut replaced: Vec<(SegmentNumber, Option<ImageWriter>)>) -> Result<(), OpenError> {
        replaced.extend(self.unused()?);
        for (number, copy) in replaced.into_iter().rev().filter(|_| !planted("stand-in-unwritten")) {
            let name = self.storage.name(number);
            let failed = || OpenError::io(format!("given up ({name})"));
            let bytes = match copy {
                Some(copy) => copy,
                None => self.directory.placeholder(number, &self.table).map_err(failed())?,
            };
            let bytes = bytes.bytes(0, bytes.len());
            let kept_as = self.storage.replace(number, bytes, &kept_name(&name)).map_err(failed())?;
            self.report.given_up.push(GivenUp { file: name, kept_as });
        }
        for found in &self.directory.outside {
            let name = found.name.clone();
            let kept_as = self.storage.remove(found.number, &kept_name(&name));
            let kept_as = kept_as.map_err(OpenError::io(format!("given up ({name})")))?;
            self.report.given_up.push(GivenUp { file: name, kept_as });
        }
        Ok(())
    }

    /// What takes the place of files that are given up behind the log's end: it is made ready again, and kept as one interval until it goes.
    fn unused(&self) -> Result<Vec<(SegmentNumber, Option<ImageWriter>)>, OpenError> {
        let behind = self.directory.found.iter().filter(|found| found.placeholder && found.data_start >= self.tail.end);
        let ready = |found: &Found| {
            let bytes = give_up::ready(found).map_err(OpenError::io(format!("held in memory ({})", found.name)))?;
            Ok((found.number, Some(bytes)))
        };
        behind.map(ready).collect()
    }

    /// Saves what lies between the end and the last valid frame beyond it.
    fn save_cut(&mut self) -> Result<(), OpenError> {
        let mut cut = Cut { from: self.tail.end, bytes: 0, names: Vec::new() };
        let epoch = self.table.newest().map_or(Epoch(0), |life| life.epoch);
        for found in &self.directory.found {
            let from = self.tail.end.max(found.data_start);
            let to = self.tail.last_valid.min(found.end());
            if from >= to {
                continue;
            }
            let name = format!("cut-{}-{}", epoch.0, from);
            let loaded = load(&mut self.storage, &self.config, &self.table, found, None)?.writer;
            let bytes = loaded.bytes(size(from - found.start), size(to - from));
            let saved = self.storage.save_aside(&name, bytes);
            cut.names.push(saved.map_err(OpenError::io(format!("saved aside ({name})")))?);
            cut.bytes += bytes.len() as u64;
            self.storage.unload(loaded);
        }
        self.report.cut = (!cut.names.is_empty()).then_some(cut);
        Ok(())
    }

    /// Syncs what is kept, then writes the table (R3). Returns where the new life begins.
    fn begin_life(&mut self, life: Life) -> Result<Position, OpenError> {
        let old_first = self.table.newest().map_or(Position(0), |life| life.first);
        for found in &self.directory.found {
            if found.end() > old_first && found.data_start < self.tail.end && !planted("no-sync-before-epoch") {
                self.storage.sync(found.number).map_err(OpenError::io(format!("synced ({})", found.name)))?;
            }
        }
        let first = self.first_after(self.tail.end);
        let keep_from = Position(self.tail.head.0 * self.table.segment_bytes);
        self.table.head = self.tail.head;
        self.table.node = self.config.node;
        (self.table.ended, self.table.stated) = (None, None);
        self.table.accepted = Some(life);
        self.table.level = self.table.level.max(LEVEL);
        let Life { epoch, nonce } = life;
        self.table.begin(LifeEntry { epoch, node: self.config.node, end: self.tail.end, first, nonce }, keep_from);
        self.write_table()?;
        Ok(first)
    }

    /// The next block after `end` that a frame may begin at.
    fn first_after(&self, end: Position) -> Position {
        let block = u64::from(self.table.block);
        let first = end.align_up(block);
        let boundary = self
            .directory
            .at(first)
            .map_or(first.0.is_multiple_of(self.table.segment_bytes), |found| found.start == first);
        if boundary { first + block } else { first }
    }
}

impl<S: Storage> Journal<S> {
    /// Goes on in the last segment if the new life begins in it, and gives back all that is not part of the log.
    fn settle(&mut self, directory: &Directory, kept: KeptSegments, first: Position) -> Result<(), OpenError> {
        self.segments = kept.segments;
        self.hot_bytes = kept.hot_bytes;
        let mut end = Position(first.0 - first.0 % self.table.segment_bytes);
        if let (Some(segment), Some((loaded, records))) = (self.segments.back_mut(), kept.last) {
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

fn publish_all(mut writer: ImageWriter) {
    writer.publish(writer.len());
}

fn kept_name(name: &str) -> String {
    format!("given-up-{name}")
}

fn assemble<S: Storage>(
    storage: S,
    config: Config,
    table: EpochTable,
    recovery: Recovery,
    (first, head): (Position, SegmentNumber),
) -> Journal<S> {
    Journal {
        storage,
        epoch: table.newest().map_or(Epoch(0), |life| life.epoch),
        table: Arc::new(table),
        recovery,
        marks: Watermarks::at(first),
        proof: Proof::default(),
        segments: VecDeque::new(),
        active: None,
        closing: VecDeque::new(),
        preparing: Preparing::new(SegmentNumber(0), config.keys),
        in_flight: None,
        head: Head::new(head),
        stated: Stated::at(first),
        hot_bytes: 0,
        retired: Vec::new(),
        cold: Cold::new(config.cold_bytes),
        unserved: false,
        aside: Aside::default(),
        troubles: Troubles::default(),
        statistics: Statistics::default(),
        config,
    }
}
