//! The epoch table, made anew from the segments: a header says which log a segment is of, and each frame in which life it was written.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::epoch::{EpochTable, LifeEntry};
use crate::error::OpenError;
use crate::frame::{FRAME_HEADER, FrameHeader, Seed, u32_at, u64_at};
use crate::image::ImageWriter;
use crate::position::{Epoch, Position, SegmentNumber};
use crate::recovery::all_or_given_up;
use crate::recovery::directory::LAST_POSITION;
use crate::recovery::open::FoundTable;
use crate::recovery::scan::Scan;
use crate::segment::SegmentHeader;
use crate::storage::{SegmentFile, Storage};
use crate::version::LEVEL;

/// A table that says what can be known without one: when all lives began that have frames.
pub(crate) fn rebuild<S: Storage>(
    storage: &mut S,
    config: &Config,
    files: &[SegmentFile],
) -> Result<FoundTable, OpenError> {
    let headers = of_one_log(files);
    let Some(first) = headers.first() else { return Err(OpenError::NoHeader) };
    let mut table = EpochTable {
        block: first.block,
        segment_bytes: segment_bytes(storage, config, &headers)?,
        head: SegmentNumber(0),
        log_id: first.log_id,
        node: config.node,
        accepted: None,
        level: LEVEL,
        ended: None,
        stated: None,
        // Only the table could say so.
        losses: 1,
        lives: Vec::new(),
    };
    let nonces: BTreeMap<Epoch, u64> = headers.iter().map(|header| (header.epoch, header.nonce)).collect();
    let mut seen = Seen { lives: Vec::new(), heads: Vec::new(), durable: Position(0) };
    for header in &headers {
        let writer = load(storage, config, header)?;
        let start = Position(header.number.0.saturating_mul(table.segment_bytes));
        if start < LAST_POSITION {
            seen.look(&Scan { bytes: writer.bytes(0, writer.len()), start, key: header.key, table: &table });
        }
        storage.unload(writer);
    }
    let made = nonces.keys().copied().max().unwrap_or_default();
    let latest = made.max(seen.newest());
    if seen.lives.is_empty() {
        let start = Position(first.number.0 * table.segment_bytes);
        seen.lives.push((made, start, start + u64::from(table.block)));
    }
    let nonce = |epoch: Epoch| nonces.get(&epoch).copied().unwrap_or(0);
    let life = |(epoch, end, first)| LifeEntry { epoch, node: config.node, end, first, nonce: nonce(epoch) };
    table.head = seen.head();
    table.lives = seen.lives.into_iter().map(life).collect();
    Ok(FoundTable { table, intact: false, latest, rebuilt: true })
}

/// Bytes of a usual segment, as the position of an oversize one's first frame says if there is no other.
fn segment_bytes<S: Storage>(storage: &mut S, config: &Config, headers: &[SegmentHeader]) -> Result<u64, OpenError> {
    for header in headers.iter().filter(|header| header.number.0 > 0) {
        let writer = load(storage, config, header)?;
        let first = writer.bytes(0, writer.len()).get(header.block as usize..).unwrap_or_default();
        if first.len() >= FRAME_HEADER {
            let (position, epoch) = (Position(u64_at(first, 8)), Epoch(u32_at(first, 16)));
            let found = FrameHeader::decode(first, position, Seed { key: header.key, epoch });
            let start = position.0.saturating_sub(u64::from(header.block));
            if found.is_some() && start.is_multiple_of(header.number.0) {
                return Ok(start / header.number.0);
            }
        }
        storage.unload(writer);
    }
    Ok(headers.iter().map(|header| header.bytes).min().unwrap_or_default())
}

fn load<S: Storage>(storage: &mut S, config: &Config, header: &SegmentHeader) -> Result<ImageWriter, OpenError> {
    let name = storage.name(header.number);
    let loaded = storage.load(header.number, header.bytes, None);
    let loaded = loaded.map_err(OpenError::io(format!("read ({name})")))?;
    Ok(all_or_given_up(loaded, config, &name)?.writer)
}

/// The headers of the log that most of the files are of, by number.
fn of_one_log(files: &[SegmentFile]) -> Vec<SegmentHeader> {
    let sound = |file: &SegmentFile| {
        let header = SegmentHeader::decode(&file.header).ok()?;
        (header.number == file.number && header.bytes == file.bytes).then_some(header)
    };
    let mut headers: Vec<SegmentHeader> = files.iter().filter_map(sound).collect();
    let mut counts: BTreeMap<u128, usize> = BTreeMap::new();
    headers.iter().for_each(|header| *counts.entry(header.log_id).or_default() += 1);
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(log_id, _)| log_id);
    headers.retain(|header| Some(header.log_id) == most);
    headers.sort_unstable_by_key(|header| header.number);
    headers
}

/// What the frames say.
struct Seen {
    /// Each life, where the log before it ended, and where it begins.
    lives: Vec<(Epoch, Position, Position)>,
    /// Each head with the first frame that states it.
    heads: Vec<(Position, SegmentNumber)>,
    durable: Position,
}

impl Seen {
    /// The greatest one that a durable frame states: others may have been torn. What is before a life was durable when it began.
    fn head(&self) -> SegmentNumber {
        let durable = self.lives.last().map_or(self.durable, |(_, end, _)| self.durable.max(*end));
        let durable = self.heads.iter().filter(|(position, _)| *position < durable);
        durable.map(|(_, head)| *head).max().unwrap_or_default()
    }

    fn newest(&self) -> Epoch {
        self.lives.last().map_or(Epoch(0), |(epoch, ..)| *epoch)
    }

    /// A frame of a later life than all before it begins that life. One of an earlier life is a rest that nothing was written over.
    fn look(&mut self, scan: &Scan<'_>) {
        let block = u64::from(scan.table.block);
        let mut position = scan.start + block;
        let mut written_to = scan.start;
        while let Some(mut header) = scan.next_of_any_life(position, self.newest()) {
            let end = header.end();
            if !scan.whole(&header)
                && let Some(over) = scan.next_of_any_life(header.position + 8, Epoch(header.epoch.0.saturating_add(1)))
                && over.position < end
            {
                header = over;
            }
            if header.epoch > self.newest() {
                // What lies between two lives and cannot be read is torn, or damage, as the later one's frames say.
                let end = written_to.align_up(block).min(header.position);
                let first = if end == scan.start { scan.start + block } else { end };
                self.lives.push((header.epoch, end, first));
            }
            self.durable = self.durable.max(header.durable);
            if self.heads.last().is_none_or(|(_, head)| header.head > *head) {
                self.heads.push((header.position, header.head));
            }
            position = header.end();
            written_to = position;
        }
    }
}
