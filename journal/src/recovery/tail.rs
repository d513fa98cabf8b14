//! Where the log ends (R2), and from where on it is needed.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::epoch::EpochTable;
use crate::error::OpenError;
use crate::frame::FrameKind;
use crate::plant::planted;
use crate::position::{Position, SegmentNumber};
use crate::recovery::directory::{Directory, Found};
use crate::recovery::scan::Scan;
use crate::recovery::{Contents, give_up, load};
use crate::storage::Storage;

/// What the newest life left.
pub(crate) struct Tail {
    /// The end of the last frame that is kept.
    pub end: Position,
    /// The first segment that is needed.
    pub head: SegmentNumber,
    /// Where the last valid frame beyond the end ends, if there is one.
    pub last_valid: Position,
    /// The log was cut there, though more of it was good.
    pub is_cut: bool,
    /// Segments that were read on the way.
    pub loaded: BTreeMap<SegmentNumber, Contents>,
}

/// What the frame headers of the last segments say.
struct Headers {
    durable: Position,
    last_valid: Position,
    /// Each head with the position of the first frame of a segment that stated it.
    heads: Vec<(Position, SegmentNumber)>,
}

/// Reads the last segments and finds the end.
pub(crate) fn find<S: Storage>(
    storage: &mut S,
    config: &Config,
    directory: &Directory,
    table: &EpochTable,
) -> Result<Tail, OpenError> {
    let first = table.newest().map_or(Position(0), |life| life.first);
    let known = first.max(table.known_durable());
    let mut headers = Headers { durable: known, last_valid: first, heads: Vec::new() };
    let mut loaded = BTreeMap::new();
    let newest = || directory.found.iter().rev().take_while(|found| found.end() > first);
    for (index, found) in newest().enumerate() {
        let Some(key) = found.key() else { continue };
        let contents = load(storage, config, table, found, newest().nth(index + 1))?;
        let writer = &contents.writer;
        let scan = Scan { bytes: writer.bytes(0, writer.len()), start: found.start, key, table };
        if let Some((position, epoch)) = scan.newer_life(first.max(found.data_start)) {
            return Err(give_up::older_table(&found.name, position, epoch));
        }
        if !found.placeholder {
            headers.collect(&scan, first.max(found.data_start), &found.name)?;
        }
        loaded.insert(found.number, contents);
        if headers.durable > found.data_start {
            break;
        }
    }
    let end = end_of_log(directory, table, &loaded, headers.durable, first)?;
    let heads = headers.heads.iter().filter(|(position, _)| *position < end).map(|(_, head)| *head);
    let head = heads.max().unwrap_or_default().max(table.head);
    Ok(Tail { end, head, last_valid: headers.last_valid, is_cut: false, loaded })
}

impl Headers {
    fn collect(&mut self, scan: &Scan<'_>, from: Position, file: &str) -> Result<(), OpenError> {
        let mut position = from;
        let mut stated = None;
        while let Some(header) = scan.header_at(position).or_else(|| scan.next_header(position, scan.end())) {
            if let FrameKind::Unknown(kind) = header.kind {
                // Taken for a torn one it would be cut off.
                return Err(OpenError::UnknownFrame { file: file.to_owned(), kind, position: header.position });
            }
            self.durable = self.durable.max(header.durable);
            position = header.end();
            self.last_valid = self.last_valid.max(position);
            if stated != Some(header.head) {
                stated = Some(header.head);
                self.heads.push((header.position, header.head));
            }
        }
        Ok(())
    }
}

/// All below `durable` was durable; from there on frames count up to the first bad one.
fn end_of_log(
    directory: &Directory,
    table: &EpochTable,
    loaded: &BTreeMap<SegmentNumber, Contents>,
    durable: Position,
    first: Position,
) -> Result<Position, OpenError> {
    let mut end = if planted("damage-is-the-end") { first } else { durable };
    while let Some(found) = directory.at(end) {
        let (Some(key), Some(Contents { writer, .. })) = (found.key(), loaded.get(&found.number)) else {
            return Err(unreadable_tail(found));
        };
        let scan = Scan { bytes: writer.bytes(0, writer.len()), start: found.start, key, table };
        let position = end.max(found.data_start);
        let kept = scan.header_at(position).filter(|header| scan.whole(header));
        let kept = match kept {
            None if planted("keep-after-hole") => scan.next_header(position + 8, scan.end()),
            kept => kept,
        };
        let Some(header) = kept else { break };
        end = header.end();
    }
    Ok(end)
}

fn unreadable_tail(found: &Found) -> OpenError {
    OpenError::NoSegmentHeader(found.number, found.name.clone())
}
