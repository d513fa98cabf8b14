//! The active segment: records into frames.

use crate::frame::{
    BODY_HEADER, BodyHeader, DirectoryEntry, ENTRY, FRAME_ALIGN, FRAME_HEADER, FrameHeader, FrameKind, MARKER, Record,
    Seed,
};
use crate::image::ImageWriter;
use crate::plant::planted;
use crate::position::{Home, Position, SegmentNumber};
use crate::segment::SegmentHeader;
use crate::size::size;

/// An upper bound of what a batch will stage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bound {
    /// Records.
    pub records: u32,
    /// Bytes of their metas and bodies.
    pub bytes: u64,
}

/// What a frame says besides its records.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub durable: Position,
    pub committed: Position,
    pub head: SegmentNumber,
}

/// The segment that is being written.
pub(crate) struct Active {
    writer: ImageWriter,
    number: SegmentNumber,
    start: Position,
    block: usize,
    seed: Seed,
    /// The next free byte.
    at: usize,
    /// Records before the open frame.
    records: u32,
    frame: Option<OpenFrame>,
    directory: Vec<u8>,
}

struct OpenFrame {
    start: usize,
    records: u32,
    /// Where the frame ends at the latest.
    limit: usize,
}

impl Bound {
    /// What two batches stage.
    #[must_use]
    pub fn and(self, other: Bound) -> Bound {
        Bound { records: self.records + other.records, bytes: self.bytes + other.bytes }
    }

    /// Bytes that a frame's records take at most.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        if planted("bound-without-overhead") {
            return self.bytes;
        }
        u64::from(self.records) * (ENTRY + BODY_HEADER) as u64 + self.bytes
    }

    /// Bytes that a frame of its own takes at most.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        (FRAME_HEADER + MARKER + FRAME_ALIGN) as u64 + self.record_bytes()
    }
}

impl Active {
    /// Goes on at byte `at` of a segment that holds `records` records before it.
    pub(crate) fn new(
        writer: ImageWriter,
        header: &SegmentHeader,
        start: Position,
        seed: Seed,
        at: usize,
        records: u32,
    ) -> Active {
        let block = header.block as usize;
        Active { writer, number: header.number, start, block, seed, at, records, frame: None, directory: Vec::new() }
    }

    pub(crate) fn number(&self) -> SegmentNumber {
        self.number
    }

    pub(crate) fn position(&self) -> Position {
        self.start + self.at as u64
    }

    /// Bytes that frames of their own may still take: there is always room left for the closing pad.
    pub(crate) fn room(&self) -> u64 {
        let end = self.frame.as_ref().map_or(self.at, |frame| frame.limit);
        (self.writer.len() - end).saturating_sub(FRAME_HEADER) as u64
    }

    /// Bytes that were reserved for this turn's frame and are not taken yet.
    pub(crate) fn unstaged(&self) -> u64 {
        let taken = self.at + FRAME_ALIGN + MARKER + self.directory.len();
        self.frame.as_ref().map_or(0, |frame| frame.limit.saturating_sub(taken) as u64)
    }

    /// Whether something was staged since the last seal.
    pub(crate) fn is_open(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.records > 0)
    }

    /// Reserves room for a batch in the frame of this turn, if the segment has it.
    pub(crate) fn reserve(&mut self, bound: Bound) -> bool {
        let bytes = if self.frame.is_some() { bound.record_bytes() } else { bound.frame_bytes() };
        if bytes > self.room() {
            return false;
        }
        match &mut self.frame {
            Some(frame) => frame.limit += size(bytes),
            None => {
                self.frame = Some(OpenFrame { start: self.at, records: 0, limit: self.at + size(bytes) });
                self.at += FRAME_HEADER;
            }
        }
        true
    }

    /// Copies a record. Panics outside of what was reserved.
    #[inline]
    #[expect(
        clippy::expect_used,
        reason = "to stage without room is our own mistake, and nothing that came from outside leads to it"
    )]
    #[expect(clippy::cast_possible_truncation, reason = "no segment has 4 GiB")]
    pub(crate) fn stage(&mut self, record: &Record<'_>) -> Home {
        let frame = self.frame.as_mut().expect("room is taken before something is staged");
        let body_len = record.body.len();
        let body_bytes = if body_len == 0 { 0 } else { BODY_HEADER + body_len };
        let end = self.at + body_bytes + FRAME_ALIGN + MARKER + self.directory.len() + ENTRY + record.meta.len();
        assert!(end <= frame.limit, "staged beyond the bound of the batch");
        assert!(record.meta.len() <= usize::from(u16::MAX), "a meta of {} bytes", record.meta.len());
        let mut body_offset = 0;
        if body_len > 0 {
            let header = BodyHeader { len: body_len as u32, sequence: record.sequence, crc: record.body_crc };
            let header = header.encode(self.start + self.at as u64, self.seed);
            let (head, body) = self.writer.bytes_mut(self.at, body_bytes).split_at_mut(BODY_HEADER);
            head.copy_from_slice(&header);
            body.copy_from_slice(record.body);
            body_offset = (self.at + BODY_HEADER - frame.start) as u32;
            self.at += body_bytes;
        }
        let entry = DirectoryEntry {
            kind: record.kind,
            flags: record.flags,
            body_len: body_len as u32,
            body_crc: record.body_crc,
            sequence: record.sequence,
            body_offset,
            index: frame.records,
            meta: record.meta,
        };
        entry.encode(&mut self.directory, self.start + frame.start as u64, self.seed);
        let ordinal = self.records + frame.records;
        frame.records += 1;
        let position = self.start + (frame.start + body_offset as usize) as u64;
        Home { position, segment: self.number, ordinal, len: body_len as u32 }
    }

    /// Completes the frame: directory, then header; publishes it. Whether there was one.
    #[expect(clippy::cast_possible_truncation, reason = "no segment has 4 GiB")]
    pub(crate) fn seal(&mut self, standing: Standing) -> bool {
        let Some(frame) = self.frame.take() else { return false };
        if frame.records == 0 {
            self.at = frame.start;
            return false;
        }
        let directory_len = MARKER + self.directory.len();
        let end = (self.at + directory_len).next_multiple_of(FRAME_ALIGN);
        let position = self.start + frame.start as u64;
        let directory_start = end - directory_len;
        self.writer.bytes_mut(self.at, directory_start - self.at).fill(0);
        self.writer.write(directory_start, &self.seed.marker(position));
        self.writer.write(directory_start + MARKER, &self.directory);
        let directory_crc = self.seed.check(position, self.writer.bytes(directory_start, directory_len));
        let len = (end - frame.start) as u32;
        let header = self.header(FrameKind::Records, frame.start, len, standing);
        let header = FrameHeader { directory_len: directory_len as u32, directory_crc, ..header };
        self.writer.write(frame.start, &header.encode(self.seed));
        self.directory.clear();
        self.records += frame.records;
        self.at = end;
        self.writer.publish(end);
        true
    }

    /// Ends a group on a block with a pad frame (R4). Returns the bytes it took.
    pub(crate) fn pad(&mut self, standing: Standing) -> u64 {
        let end = (self.at + FRAME_HEADER).next_multiple_of(self.block);
        self.pad_to(end, end, standing)
    }

    /// Ends the segment with a pad frame to its end. Returns where the last written block ends.
    pub(crate) fn close(&mut self, standing: Standing) -> Position {
        assert!(self.frame.is_none(), "a frame is open");
        assert!(self.frame.is_none(), "seal comes before a close");
        let end = self.writer.len();
        if self.at < end {
            let written = (self.at + FRAME_HEADER).next_multiple_of(self.block);
            self.pad_to(end, written, standing);
            return self.start + written as u64;
        }
        self.start + end as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "no segment has 4 GiB")]
    #[expect(clippy::indexing_slicing, reason = "it takes whole blocks, or what is left for the header")]
    fn pad_to(&mut self, end: usize, written: usize, standing: Standing) -> u64 {
        assert!(self.frame.is_none(), "seal comes before a pad");
        let len = end - self.at;
        let header = self.header(FrameKind::Pad, self.at, len as u32, standing);
        let pad = self.writer.bytes_mut(self.at, written - self.at);
        pad[..FRAME_HEADER].copy_from_slice(&header.encode(self.seed));
        pad[FRAME_HEADER..].fill(0);
        self.at = end;
        self.writer.publish(written);
        len as u64
    }

    fn header(&self, kind: FrameKind, offset: usize, len: u32, standing: Standing) -> FrameHeader {
        FrameHeader {
            position: self.start + offset as u64,
            epoch: self.seed.epoch,
            kind,
            durable: standing.durable,
            committed: standing.committed,
            head: standing.head,
            len,
            directory_len: 0,
            directory_crc: 0,
            ordinal: self.records,
        }
    }
}
