//! Frames in a segment's bytes.

use crate::epoch::EpochTable;
use crate::frame::{
    DirectoryEntry, FRAME_ALIGN, FRAME_HEADER, FrameHeader, FrameKind, MARKER, Seed, body_crc, u32_at, u64_at,
};
use crate::plant::planted;
use crate::position::{Epoch, Position};
use crate::size::size;

/// A segment's bytes, and what decides whether a frame in them counts.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    pub bytes: &'a [u8],
    pub start: Position,
    pub key: u64,
    pub table: &'a EpochTable,
}

impl<'a> Scan<'a> {
    pub(crate) fn end(&self) -> Position {
        self.start + self.bytes.len() as u64
    }

    pub(crate) fn seed(&self, position: Position) -> Seed {
        Seed { key: self.key, epoch: self.table.at(position) }
    }

    /// Bytes from `from` to `to`; none where these are not of the segment.
    pub(crate) fn range(&self, from: Position, to: Position) -> &'a [u8] {
        let (from, to) = (from.0.checked_sub(self.start.0), to.0.checked_sub(self.start.0));
        let range = from.zip(to).and_then(|(from, to)| self.bytes.get(size(from)..size(to)));
        range.unwrap_or_default()
    }

    /// The valid frame header at `position` (R1).
    pub(crate) fn header_at(&self, position: Position) -> Option<FrameHeader> {
        if position >= self.end() {
            return None;
        }
        FrameHeader::decode(self.range(position, self.end()), position, self.seed(position))
    }

    /// The valid frame header at `position` in bytes that may end before the frame does: whether they do not.
    pub(crate) fn header_cut_at(&self, position: Position, limit: Position) -> Option<(FrameHeader, bool)> {
        let available = size(limit - position);
        let header =
            FrameHeader::decode_within(self.range(position, self.end()), position, self.seed(position), available)?;
        Some((header, header.end() <= self.end()))
    }

    /// The first valid frame header from `from` on that begins below `limit`.
    pub(crate) fn next_header(&self, from: Position, limit: Position) -> Option<FrameHeader> {
        let limit = limit.min(self.end());
        let mut position = from.align_up(FRAME_ALIGN as u64);
        while position + FRAME_HEADER as u64 <= limit {
            let offset = size(position - self.start);
            // The position in the header is the cheap sieve: hardly any other eight bytes equal it.
            if u64_at(self.bytes, offset + 8) == position.0
                && let Some(header) = self.header_at(position)
            {
                return Some(header);
            }
            position += FRAME_ALIGN as u64;
        }
        None
    }

    /// The first good frame header from `from` on that is of this life or a later one, whatever the table says.
    pub(crate) fn next_of_any_life(&self, from: Position, least: Epoch) -> Option<FrameHeader> {
        let mut position = from;
        while position + FRAME_HEADER as u64 <= self.end() {
            let bytes = self.range(position, self.end());
            if u64_at(bytes, 8) == position.0 {
                let epoch = Epoch(u32_at(bytes, 16));
                let header = FrameHeader::decode(bytes, position, Seed { key: self.key, epoch });
                if header.is_some_and(|header| header.epoch >= least) {
                    return header;
                }
            }
            position += FRAME_ALIGN as u64;
        }
        None
    }

    /// A frame of a later life than the table knows, at a block from `from` on: lives begin with one.
    pub(crate) fn newer_life(&self, from: Position) -> Option<(Position, Epoch)> {
        let newest = self.table.newest()?.epoch;
        let mut position = from.align_up(u64::from(self.table.block));
        while position + FRAME_HEADER as u64 <= self.end() {
            let offset = size(position - self.start);
            let epoch = Epoch(u32_at(self.bytes, offset + 16));
            let seed = Seed { key: self.key, epoch };
            if u64_at(self.bytes, offset + 8) == position.0
                && epoch > newest
                && FrameHeader::decode(self.range(position, self.end()), position, seed).is_some()
            {
                return Some((position, epoch));
            }
            position += u64::from(self.table.block);
        }
        None
    }

    /// Whether what should be a frame's header still has something of one.
    pub(crate) fn resembles_header(&self, position: Position) -> bool {
        let header = self.range(position, self.end());
        let seed = self.seed(position);
        header.len() >= FRAME_HEADER && (u64_at(header, 8) == position.0 || u32_at(header, 0) == seed.magic())
    }

    /// The frame's directory, marker included, if its check holds.
    pub(crate) fn directory(&self, header: &FrameHeader) -> Option<&'a [u8]> {
        let start = header.position + header.directory_offset() as u64;
        let directory = self.range(start, header.end());
        let seed = Seed { key: self.key, epoch: header.epoch };
        let good = directory.len() >= MARKER
            && directory.starts_with(&seed.marker(header.position))
            && seed.check(header.position, directory) == header.directory_crc;
        good.then_some(directory)
    }

    /// Body of an entry, if it lies within the frame.
    pub(crate) fn body(&self, frame: Position, end: Position, entry: &DirectoryEntry<'_>) -> Option<&'a [u8]> {
        if entry.body_len == 0 {
            return Some(&[]);
        }
        let from = frame + u64::from(entry.body_offset);
        let to = from + u64::from(entry.body_len);
        (from >= frame + FRAME_HEADER as u64 && to <= end).then(|| self.range(from, to))
    }

    /// Whether header, directory and every body of a frame are as they were written.
    pub(crate) fn whole(&self, header: &FrameHeader) -> bool {
        if header.kind != FrameKind::Records {
            return true;
        }
        let end = header.end();
        let Some(directory) = self.directory(header) else { return false };
        entries(directory)
            .all(|entry| self.body(header.position, end, &entry).is_some_and(|body| good_body(body, entry.body_crc)))
    }
}

/// The key of a segment that has lost both copies of its header: a frame's directory begins with it and the frame's position, and the
/// frame's check tells whether that is so.
pub(crate) fn key_of(bytes: &[u8], start: Position, table: &EpochTable) -> Option<u64> {
    let mut position = start + u64::from(table.block);
    for _ in 0..FRAMES_ASKED {
        let frame = bytes.get(usize::try_from(position - start).ok()?..)?;
        if frame.len() < FRAME_HEADER || u64_at(frame, 8) != position.0 {
            return None;
        }
        let (len, directory_len) = (u32_at(frame, 48), u32_at(frame, 52));
        let directory = frame.get(len.checked_sub(directory_len)? as usize..)?;
        if directory_len as usize >= MARKER && directory.len() >= MARKER {
            let key = u64_at(directory, 0) ^ position.0;
            if (Scan { bytes, start, key, table }).header_at(position).is_some() {
                return Some(key);
            }
        }
        position += u64::from(len).max(FRAME_HEADER as u64).next_multiple_of(FRAME_ALIGN as u64);
    }
    None
}

/// Frames that are asked for a lost key.
const FRAMES_ASKED: usize = 64;

/// Whether a body has its CRC.
pub(crate) fn good_body(body: &[u8], crc: u32) -> bool {
    body.is_empty() || planted("skip-body-crc") || body_crc(body) == crc
}

/// The entries of a directory whose check holds, behind its marker.
pub(crate) fn entries<'a>(directory: &'a [u8]) -> impl Iterator<Item = DirectoryEntry<'a>> {
    let mut rest = directory.get(MARKER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let entry = DirectoryEntry::decode(rest)?;
        rest = rest.get(entry.encoded_len()..)?;
        Some(entry)
    })
}
