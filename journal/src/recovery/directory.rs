//! What is there: table and segments, looked at before anything is touched.

use crate::config::Config;
use crate::epoch::{BadTable, EpochTable};
use crate::error::OpenError;
use crate::plant::planted;
use crate::position::{Epoch, Position, SegmentNumber};
use crate::recovery::all_or_given_up;
use crate::recovery::scan::key_of;
use crate::segment::{BadHeader, SegmentHeader};
use crate::storage::{SegmentFile, Storage};
use crate::version::FORMAT_VERSION;

/// A segment file.
pub(crate) struct Found {
    pub number: SegmentNumber,
    pub name: String,
    pub start: Position,
    pub data_start: Position,
    pub bytes: u64,
    /// None where both copies are damaged.
    pub header: Option<SegmentHeader>,
    /// Both copies of it are good.
    pub intact: bool,
    /// How it contradicts its name or its header.
    pub wrong: Option<String>,
    /// Its first block cannot be read.
    pub unreadable: Option<String>,
    /// It was made in this life, which the table does not know yet.
    pub later: Option<Epoch>,
    /// It was given up: a segment without records stands for it.
    pub placeholder: bool,
}

/// All segment files, by number.
pub(crate) struct Directory {
    pub found: Vec<Found>,
    /// Files that are given up, and no part of the log.
    pub outside: Vec<Found>,
    /// The latest life of which anything is known.
    pub latest: Epoch,
}

impl Found {
    pub(crate) fn end(&self) -> Position {
        self.start + self.bytes
    }

    /// A header as it must have been.
    pub(crate) fn made_up_header(&self, key: u64, table: &EpochTable) -> SegmentHeader {
        let life = table.life_at(self.data_start);
        SegmentHeader {
            key,
            number: self.number,
            bytes: self.bytes,
            block: table.block,
            epoch: life.map_or(Epoch(0), |life| life.epoch),
            log_id: table.log_id,
            nonce: life.map_or(0, |life| life.nonce),
        }
    }

    /// Nothing speaks against its being what its name says.
    pub(crate) fn is_sound(&self) -> bool {
        self.wrong.is_none() && self.header.is_some()
    }

    pub(crate) fn key(&self) -> Option<u64> {
        self.header.map(|header| header.key)
    }
}

impl Directory {
    pub(super) fn read<S: Storage>(
        storage: &mut S,
        table: &EpochTable,
        files: &[SegmentFile],
        latest: Epoch,
    ) -> Result<Directory, OpenError> {
        let mut found = Vec::with_capacity(files.len());
        for file in files {
            let name = storage.name(file.number);
            let header = SegmentHeader::decode(&file.header).ok();
            let intact = SegmentHeader::intact(&file.header);
            let start = Position(file.number.0.saturating_mul(table.segment_bytes).min(LAST_POSITION.0));
            let data_start = start + u64::from(table.block);
            let wrong = contradiction(file, header.as_ref(), table);
            let later = header.filter(|header| header.epoch > latest && header.log_id == table.log_id);
            found.push(Found {
                number: file.number,
                name,
                start,
                data_start,
                bytes: file.bytes,
                header,
                intact,
                wrong: wrong.or(later.map(|header| later_life(header.epoch))),
                unreadable: file.unreadable.clone(),
                later: later.map(|header| header.epoch),
                placeholder: false,
            });
        }
        found.sort_by_key(|found| found.number);
        let mut directory = Directory { found, outside: Vec::new(), latest };
        directory.find_covered(table);
        Ok(directory)
    }

    /// Where a header is lost, frames tell the key, and the table the rest.
    pub(super) fn find_keys<S: Storage>(
        &mut self,
        storage: &mut S,
        config: &Config,
        table: &EpochTable,
    ) -> Result<(), OpenError> {
        let lost = |found: &&mut Found| found.number >= table.head && found.header.is_none() && found.wrong.is_none();
        for found in self.found.iter_mut().filter(lost) {
            let loaded = storage.load(found.number, found.bytes, None);
            let loaded = loaded.map_err(OpenError::io(format!("read ({})", found.name)))?;
            let writer = all_or_given_up(loaded, config, &found.name)?.writer;
            let key = key_of(writer.bytes(0, writer.len()), found.start, table);
            found.header = key.map(|key| found.made_up_header(key, table));
            storage.unload(writer);
        }
        Ok(())
    }

    /// Of files that claim the same part of the log at most one is right.
    fn find_covered(&mut self, table: &EpochTable) {
        let mut covered = (Position(0), String::new());
        for found in self.found.iter_mut().filter(|found| found.number >= table.head && found.wrong.is_none()) {
            if found.start < covered.0 {
                found.wrong = Some(format!("lies within {}, which reaches to position {}", covered.1, covered.0));
            } else {
                covered = (found.end(), found.name.clone());
            }
        }
    }

    /// The segment that holds `position`.
    pub(super) fn at(&self, position: Position) -> Option<&Found> {
        let after = self.found.partition_point(|found| found.start <= position);
        let found = self.found.get(after.checked_sub(1)?)?;
        (position < found.end()).then_some(found)
    }
}

fn later_life(epoch: Epoch) -> String {
    format!("was made in life {}, which the epoch table (epochs-0, epochs-1) does not know", epoch.0)
}

/// No log comes near it.
pub(crate) const LAST_POSITION: Position = Position(1 << 62);

/// How a file contradicts its name, its header, or the table.
fn contradiction(file: &SegmentFile, header: Option<&SegmentHeader>, table: &EpochTable) -> Option<String> {
    if file.number.0 >= LAST_POSITION.0 / table.segment_bytes || file.bytes > LAST_POSITION.0 {
        return Some("lies behind where any log ends".into());
    }
    let Some(header) = header else {
        let whole = file.bytes > 0 && file.bytes.is_multiple_of(table.segment_bytes);
        return (!whole).then(|| format!("has {} bytes, which no segment of this directory has", file.bytes));
    };
    if header.log_id != table.log_id && !planted("any-log") {
        return Some("is a segment of another log, by its header".into());
    }
    if header.number != file.number {
        return Some(format!("holds segment {} of the log, by its header", header.number));
    }
    if header.bytes != file.bytes {
        let (bytes, said) = (file.bytes, header.bytes);
        return Some(format!(
            "has {bytes} bytes where its header says {said} (`truncate -s {said}` if nothing else happened to it)"
        ));
    }
    if header.block != table.block || header.bytes == 0 || !header.bytes.is_multiple_of(table.segment_bytes) {
        return Some("is a segment of a directory with other sizes".into());
    }
    let other = table.life(header.epoch).is_some_and(|life| life.nonce != header.nonce) && !planted("any-log");
    let epoch = header.epoch.0;
    other.then(|| format!("was made in another life {epoch} than this log's: it is from a copy of the directory"))
}

/// Looks at versions before anything else, the table included: what other ones mean is not known.
pub(crate) fn refuse_other_versions<S: Storage>(storage: &S, files: &[SegmentFile]) -> Result<(), OpenError> {
    for file in files {
        match SegmentHeader::decode(&file.header) {
            Ok(_) | Err(BadHeader::Damaged) => {}
            Err(BadHeader::Version(version)) => return Err(OpenError::version(storage.name(file.number), version)),
            Err(BadHeader::Unknown) => return Err(OpenError::NewerContents { file: storage.name(file.number) }),
        }
    }
    Ok(())
}

/// The better copy of the epoch table, and whether the other is there and as good; `None` in a new directory.
pub(crate) fn read_table<S: Storage>(storage: &mut S) -> Result<Option<(EpochTable, bool)>, OpenError> {
    let mut best: Option<EpochTable> = None;
    let mut other = None;
    let mut present = 0;
    let mut good = 0;
    for slot in 0..2 {
        let bytes = match storage.read_table(slot) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) => {
                present += 1;
                other = Some(OpenError::UnreadableTable { file: format!("epochs-{slot}"), error });
                continue;
            }
        };
        present += 1;
        match EpochTable::decode(&bytes) {
            Ok(table) => {
                good += 1;
                // Of two that say the same of the end one has forgotten losses too early, or does not know of them yet.
                let said = |table: &EpochTable| {
                    let lives = (table.newest().map(|life| life.epoch), table.accepted.map(|life| life.epoch));
                    (lives, table.level, table.ended, table.stated, table.losses)
                };
                if best.as_ref().is_none_or(|best| said(best) < said(&table)) {
                    best = Some(table);
                }
            }
            Err(BadTable::Version { found, checked }) => {
                let refused = OpenError::version(format!("epochs-{slot}"), found);
                if checked {
                    return Err(refused);
                }
                // Every later version has its check at the same place: a table without it is no newer one.
                if found < FORMAT_VERSION && found > 0 {
                    other = Some(refused);
                }
            }
            Err(BadTable::Unknown) => return Err(OpenError::NewerContents { file: format!("epochs-{slot}") }),
            Err(BadTable::Damaged) => {}
        }
    }
    match best {
        Some(table) => Ok(Some((table, good == 2))),
        None if present > 0 => Err(other.unwrap_or(OpenError::NoTable)),
        None => Ok(None),
    }
}
