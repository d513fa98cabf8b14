//! Frames, body headers and directories as bytes.

use crate::plant::planted;
use crate::position::{Epoch, Position, SegmentNumber};

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = 64;
/// Bytes before each body.
pub(crate) const BODY_HEADER: usize = 20;
/// Bytes of a directory's entry, without its meta.
pub(crate) const ENTRY: usize = 32;
/// Bytes of a directory's marker.
pub(crate) const MARKER: usize = 8;
/// Frames begin at multiples of it.
pub(crate) const FRAME_ALIGN: usize = 8;
/// Kinds of records and frames below it must be understood by who reads them (R8).
pub const FIRST_IGNORABLE_KIND: u8 = 128;

const MAGIC: u32 = u32::from_le_bytes(*b"PRF1");
const KIND_RECORDS: u8 = 0;
const KIND_PAD: u8 = 1;

/// A record as it is staged and visited. `meta` and `body` are opaque to the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What it is; below [`FIRST_IGNORABLE_KIND`] critical.
    pub kind: u8,
    /// For the use of who owns the kind.
    pub flags: u8,
    /// The broker-wide sequence (R9), or 0.
    pub sequence: u64,
    /// What the broker decided: at most 65,535 bytes, kept in the directory.
    pub meta: &'a [u8],
    /// The bytes that never change.
    pub body: &'a [u8],
    /// CRC-32 of the body, by who received it.
    pub body_crc: u32,
}

/// What checks of a place are seeded with (R5).
#[derive(Clone, Copy)]
pub(crate) struct Seed {
    pub key: u64,
    pub epoch: Epoch,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FrameKind {
    Records,
    Pad,
    /// Of a newer version, and ignorable.
    Ignorable,
    /// Of a newer version, and who does not know it must not go on.
    Unknown(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameHeader {
    pub position: Position,
    pub epoch: Epoch,
    pub kind: FrameKind,
    pub durable: Position,
    pub committed: Position,
    pub head: SegmentNumber,
    pub len: u32,
    pub directory_len: u32,
    pub directory_crc: u32,
    pub ordinal: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BodyHeader {
    pub len: u32,
    pub sequence: u64,
    pub crc: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DirectoryEntry<'a> {
    pub kind: u8,
    pub flags: u8,
    pub body_len: u32,
    pub body_crc: u32,
    pub sequence: u64,
    pub body_offset: u32,
    pub index: u32,
    pub meta: &'a [u8],
}

impl Seed {
    /// The CRC's initial value for something at `position`.
    #[inline]
    pub(crate) fn at(self, position: Position) -> u32 {
        if planted("unseeded-checksum") {
            return 0;
        }
        low(self.key) ^ low(position.0) ^ self.epoch.0.wrapping_mul(0x9E37_79B1)
    }

    pub(crate) fn magic(self) -> u32 {
        if planted("unseeded-checksum") { MAGIC } else { MAGIC ^ (self.key >> 32) as u32 }
    }

    pub(crate) fn marker(self, frame: Position) -> [u8; MARKER] {
        (self.key ^ frame.0).to_le_bytes()
    }

    #[inline]
    pub(crate) fn check(self, position: Position, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.at(position));
        hasher.update(bytes);
        hasher.finalize()
    }
}

impl FrameHeader {
    pub(crate) fn encode(&self, seed: Seed) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        put(&mut bytes, 0, &seed.magic().to_le_bytes());
        put(&mut bytes, 8, &self.position.0.to_le_bytes());
        put(&mut bytes, 16, &self.epoch.0.to_le_bytes());
        bytes[20] = match self.kind {
            FrameKind::Records => KIND_RECORDS,
            FrameKind::Pad => KIND_PAD,
            FrameKind::Ignorable => FIRST_IGNORABLE_KIND,
            FrameKind::Unknown(kind) => kind,
        };
        put(&mut bytes, 24, &self.durable.0.to_le_bytes());
        put(&mut bytes, 32, &self.committed.0.to_le_bytes());
        put(&mut bytes, 40, &self.head.0.to_le_bytes());
        put(&mut bytes, 48, &self.len.to_le_bytes());
        put(&mut bytes, 52, &self.directory_len.to_le_bytes());
        put(&mut bytes, 56, &self.directory_crc.to_le_bytes());
        put(&mut bytes, 60, &self.ordinal.to_le_bytes());
        let check = seed.check(self.position, &bytes[8..]);
        put(&mut bytes, 4, &check.to_le_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`, if it is one that belongs at `position`: with its check, its position, its epoch
    /// (R1), and a length that stays within `bytes`.
    pub(crate) fn decode(bytes: &[u8], position: Position, seed: Seed) -> Option<FrameHeader> {
        FrameHeader::decode_within(bytes, position, seed, bytes.len())
    }

    /// The same where `bytes` may hold less than the frame, which has `available` bytes at most.
    pub(crate) fn decode_within(bytes: &[u8], position: Position, seed: Seed, available: usize) -> Option<FrameHeader> {
        let header = bytes.get(..FRAME_HEADER)?;
        if u32_at(header, 0) != seed.magic() || u64_at(header, 8) != position.0 {
            return None;
        }
        let epoch = Epoch(u32_at(header, 16));
        let seed = if planted("skip-epoch-check") { Seed { epoch, ..seed } } else { seed };
        if epoch != seed.epoch || u32_at(header, 4) != seed.check(position, header.get(8..)?) {
            return None;
        }
        let decoded = FrameHeader {
            position,
            epoch,
            kind: match *header.get(20)? {
                // What the others mean is not said by this kind alone.
                kind if header.get(21..24)? != [0; 3] => FrameKind::Unknown(kind),
                KIND_RECORDS => FrameKind::Records,
                KIND_PAD => FrameKind::Pad,
                FIRST_IGNORABLE_KIND.. => FrameKind::Ignorable,
                kind => FrameKind::Unknown(kind),
            },
            durable: Position(u64_at(header, 24)),
            committed: Position(u64_at(header, 32)),
            head: SegmentNumber(u64_at(header, 40)),
            len: u32_at(header, 48),
            directory_len: u32_at(header, 52),
            directory_crc: u32_at(header, 56),
            ordinal: u32_at(header, 60),
        };
        decoded.plausible(available).then_some(decoded)
    }

    fn plausible(&self, available: usize) -> bool {
        let len = self.len as usize;
        len >= FRAME_HEADER
            && len <= available
            && len.is_multiple_of(FRAME_ALIGN)
            && self.directory_len as usize <= len - FRAME_HEADER
    }

    /// Where the frame ends.
    pub(crate) fn end(&self) -> Position {
        self.position + u64::from(self.len)
    }

    /// Where the directory's marker is, from the frame's start: the directory ends with the frame.
    pub(crate) fn directory_offset(&self) -> usize {
        (self.len - self.directory_len) as usize
    }
}

impl BodyHeader {
    #[inline]
    pub(crate) fn encode(&self, position: Position, seed: Seed) -> [u8; BODY_HEADER] {
        let mut bytes = [0; BODY_HEADER];
        put(&mut bytes, 4, &self.len.to_le_bytes());
        put(&mut bytes, 8, &self.sequence.to_le_bytes());
        put(&mut bytes, 16, &self.crc.to_le_bytes());
        let check = seed.check(position, &bytes[4..]);
        put(&mut bytes, 0, &check.to_le_bytes());
        bytes
    }

    /// The body header at the beginning of `bytes`, which lie at `position`.
    pub(crate) fn decode(bytes: &[u8], position: Position, seed: Seed) -> Option<BodyHeader> {
        let header = bytes.get(..BODY_HEADER)?;
        (u32_at(header, 0) == seed.check(position, header.get(4..)?)).then(|| BodyHeader {
            len: u32_at(header, 4),
            sequence: u64_at(header, 8),
            crc: u32_at(header, 16),
        })
    }
}

impl<'a> DirectoryEntry<'a> {
    /// Appends entry and meta to `directory`. The check is seeded by the frame's position.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "what begins where the directory ended")]
    #[expect(clippy::cast_possible_truncation, reason = "who stages it has checked the meta's length")]
    pub(crate) fn encode(&self, directory: &mut Vec<u8>, frame: Position, seed: Seed) {
        let mut bytes = [0; ENTRY];
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        put(&mut bytes, 6, &(self.meta.len() as u16).to_le_bytes());
        put(&mut bytes, 8, &self.body_len.to_le_bytes());
        put(&mut bytes, 12, &self.body_crc.to_le_bytes());
        put(&mut bytes, 16, &self.sequence.to_le_bytes());
        put(&mut bytes, 24, &self.body_offset.to_le_bytes());
        put(&mut bytes, 28, &self.index.to_le_bytes());
        let start = directory.len();
        directory.extend_from_slice(&bytes);
        directory.extend_from_slice(self.meta);
        // With the check's own place as zeros it is 32 bytes and the meta: CRC works in sixteens.
        let check = seed.check(frame, &directory[start..]);
        put(&mut directory[start..], 0, &check.to_le_bytes());
    }

    /// The entry at the beginning of `bytes`, its check not looked at.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<DirectoryEntry<'a>> {
        let head = bytes.get(..ENTRY)?;
        Some(DirectoryEntry {
            kind: *head.get(4)?,
            flags: *head.get(5)?,
            body_len: u32_at(head, 8),
            body_crc: u32_at(head, 12),
            sequence: u64_at(head, 16),
            body_offset: u32_at(head, 24),
            index: u32_at(head, 28),
            meta: bytes.get(ENTRY..ENTRY + usize::from(u16_at(head, 6)))?,
        })
    }

    /// The entry at the beginning of `bytes` if its own check holds.
    pub(crate) fn decode_checked(bytes: &'a [u8], frame: Position, seed: Seed) -> Option<DirectoryEntry<'a>> {
        let entry = DirectoryEntry::decode(bytes)?;
        let mut hasher = crc32fast::Hasher::new_with_initial(seed.at(frame));
        hasher.update(&[0; 4]);
        hasher.update(bytes.get(4..entry.encoded_len())?);
        (u32_at(bytes, 0) == hasher.finalize()).then_some(entry)
    }

    pub(crate) fn encoded_len(&self) -> usize {
        ENTRY + self.meta.len()
    }

    pub(crate) fn record(&self, body: &'a [u8]) -> Record<'a> {
        Record {
            kind: self.kind,
            flags: self.flags,
            sequence: self.sequence,
            meta: self.meta,
            body,
            body_crc: self.body_crc,
        }
    }
}

/// The plain CRC-32 of a body.
#[must_use]
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}

/// The lower half of a number.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn low(number: u64) -> u32 {
    number as u32
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "constant places in arrays that are larger")]
fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes[offset..offset + field.len()].copy_from_slice(field);
}

/// The number at `offset`; 0 where the bytes end before it does.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    array_at(bytes, offset).map_or(0, u16::from_le_bytes)
}

/// As [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    array_at(bytes, offset).map_or(0, u32::from_le_bytes)
}

/// As [`u16_at`].
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    array_at(bytes, offset).map_or(0, u64::from_le_bytes)
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed { key: 0x0102_0304_1122_3344, epoch: Epoch(7) };
    const POSITION: Position = Position(0x5000);
    const INITIAL: u32 = 0x1122_3344 ^ 0x5000 ^ 7u32.wrapping_mul(0x9E37_79B1);

    fn checked(bytes: &[u8]) -> [u8; 4] {
        let mut hasher = crc32fast::Hasher::new_with_initial(INITIAL);
        hasher.update(bytes);
        hasher.finalize().to_le_bytes()
    }

    fn header() -> FrameHeader {
        FrameHeader {
            position: POSITION,
            epoch: Epoch(7),
            kind: FrameKind::Records,
            durable: Position(0x4000),
            committed: Position(0x3000),
            head: SegmentNumber(2),
            len: 128,
            directory_len: 40,
            directory_crc: 0xAABB_CCDD,
            ordinal: 9,
        }
    }

    #[test]
    fn a_frame_header_has_the_documented_bytes() {
        let fields = [
            [0, 0x50, 0, 0, 0, 0, 0, 0].as_slice(),
            &[7, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0x40, 0, 0, 0, 0, 0, 0],
            &[0, 0x30, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[128, 0, 0, 0],
            &[40, 0, 0, 0],
            &[0xDD, 0xCC, 0xBB, 0xAA],
            &[9, 0, 0, 0],
        ]
        .concat();
        let magic = (0x3146_5250u32 ^ 0x0102_0304).to_le_bytes();
        assert_eq!(header().encode(SEED).as_slice(), [magic.as_slice(), &checked(&fields), &fields].concat());
    }

    #[test]
    fn a_frame_header_counts_only_in_its_place() {
        let mut bytes = [0; 256];
        bytes[..64].copy_from_slice(&header().encode(SEED));
        assert_eq!(FrameHeader::decode(&bytes, POSITION, SEED), Some(header()));
        let other_epoch = Seed { epoch: Epoch(8), ..SEED };
        let other_key = Seed { key: SEED.key ^ 1, ..SEED };
        assert_eq!(FrameHeader::decode(&bytes, POSITION + 8, SEED), None);
        assert_eq!(FrameHeader::decode(&bytes, POSITION, other_epoch), None);
        assert_eq!(FrameHeader::decode(&bytes, POSITION, other_key), None);
        assert_eq!(FrameHeader::decode(&bytes[..120], POSITION, SEED), None, "it does not fit");
        for index in 0..64 {
            bytes[index] ^= 0x10;
            assert_eq!(FrameHeader::decode(&bytes, POSITION, SEED), None, "byte {index}");
            bytes[index] ^= 0x10;
        }
    }

    #[test]
    fn a_kind_that_is_not_known_is_told_apart_from_damage() {
        let mut bytes = [0; 256];
        for (kind, extra, expected) in [
            (2, 0, FrameKind::Unknown(2)),
            (127, 0, FrameKind::Unknown(127)),
            (128, 0, FrameKind::Ignorable),
            (0, 1, FrameKind::Unknown(0)),
        ] {
            bytes[..64].copy_from_slice(&header().encode(SEED));
            (bytes[20], bytes[22]) = (kind, extra);
            let check = SEED.check(POSITION, &bytes[8..64]);
            bytes[4..8].copy_from_slice(&check.to_le_bytes());
            assert_eq!(FrameHeader::decode(&bytes, POSITION, SEED).map(|header| header.kind), Some(expected));
        }
    }

    #[test]
    fn a_body_header_has_the_documented_bytes() {
        let header = BodyHeader { len: 5, sequence: 0x0102, crc: 0xDEAD_BEEF };
        let fields = [5, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0xEF, 0xBE, 0xAD, 0xDE];
        let bytes = header.encode(POSITION, SEED);
        assert_eq!(bytes.as_slice(), [checked(&fields).as_slice(), &fields].concat());
        assert_eq!(BodyHeader::decode(&bytes, POSITION, SEED), Some(header));
        assert_eq!(BodyHeader::decode(&bytes, POSITION + 8, SEED), None);
        assert_eq!(BodyHeader::decode(&bytes[..19], POSITION, SEED), None);
    }

    #[test]
    fn an_entry_has_the_documented_bytes() {
        let entry = DirectoryEntry {
            kind: 1,
            flags: 2,
            body_len: 5,
            body_crc: 0xDEAD_BEEF,
            sequence: 0x0102,
            body_offset: 88,
            index: 6,
            meta: b"meta",
        };
        let fields = [
            [1, 2, 4, 0, 5, 0, 0, 0, 0xEF, 0xBE, 0xAD, 0xDE].as_slice(),
            &[2, 1, 0, 0, 0, 0, 0, 0, 88, 0, 0, 0, 6, 0, 0, 0],
            b"meta",
        ]
        .concat();
        let mut bytes = Vec::new();
        entry.encode(&mut bytes, POSITION, SEED);
        let zeroed = [[0; 4].as_slice(), &fields].concat();
        assert_eq!(bytes, [checked(&zeroed).as_slice(), &fields].concat());
        assert_eq!(DirectoryEntry::decode_checked(&bytes, POSITION, SEED), Some(entry));
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 4;
            assert_eq!(DirectoryEntry::decode_checked(&altered, POSITION, SEED), None, "byte {index}");
        }
    }
}
