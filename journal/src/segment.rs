//! A segment's header, and what the journal knows of a segment in use.

use std::sync::Arc;

use crate::frame::{Seed, u16_at, u32_at, u64_at};
use crate::image::Image;
use crate::position::{Epoch, Position, SegmentNumber};
use crate::version::FORMAT_VERSION;

const MAGIC: &[u8; 8] = b"PRSEGMNT";
const COPY: usize = 96;
const SECOND_COPY: usize = 2048;
/// Where the CRC stands: of all before it, and all behind it.
const CRC: usize = 60;

/// What the first block of a segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Seeds all checks of the segment; new at each preparation (R5).
    pub key: u64,
    /// Where it stands in the log.
    pub number: SegmentNumber,
    /// Bytes of the segment, this header's block included.
    pub bytes: u64,
    /// What groups are padded to.
    pub block: u32,
    /// The life that prepared it.
    pub epoch: Epoch,
    /// The log that it belongs to.
    pub log_id: u128,
    /// That life's nonce: another copy of the directory may have had a life of the same number.
    pub nonce: u64,
}

/// Why a segment header cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadHeader {
    /// Neither copy is good.
    Damaged,
    /// Of another version of the format, which it names.
    Version(u16),
    /// As it was written, and says what only a newer version knows.
    Unknown,
}

impl SegmentHeader {
    /// The segment's first block.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "constant places in a copy, and copies in a block, of which the least is 4096"
    )]
    pub fn encode(&self) -> Vec<u8> {
        let mut copy = [0u8; COPY];
        copy[..8].copy_from_slice(MAGIC);
        copy[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy[12..16].copy_from_slice(&self.block.to_le_bytes());
        copy[16..24].copy_from_slice(&self.key.to_le_bytes());
        copy[24..32].copy_from_slice(&self.number.0.to_le_bytes());
        copy[32..40].copy_from_slice(&self.bytes.to_le_bytes());
        copy[40..44].copy_from_slice(&self.epoch.0.to_le_bytes());
        copy[64..80].copy_from_slice(&self.log_id.to_le_bytes());
        copy[80..88].copy_from_slice(&self.nonce.to_le_bytes());
        let crc = copy_crc(&copy);
        copy[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        let mut block = vec![0; self.block as usize];
        block[..COPY].copy_from_slice(&copy);
        block[SECOND_COPY..SECOND_COPY + COPY].copy_from_slice(&copy);
        block
    }

    /// Reads either copy.
    ///
    /// # Errors
    /// Both are damaged, or of another version; or one says what only a newer version knows.
    pub fn decode(block: &[u8]) -> Result<SegmentHeader, BadHeader> {
        let read = match [0, SECOND_COPY].map(|offset| Self::decode_copy(block, offset)) {
            [Err(BadHeader::Damaged), other] => other,
            [first, Err(BadHeader::Damaged)] => first,
            // One that says what we do not know is believed, whatever the other says.
            [first, second] => first.and(second),
        };
        read.map_err(|bad| match other_version(block) {
            Some(version) if bad == BadHeader::Damaged => BadHeader::Version(version),
            _ => bad,
        })
    }

    /// Whether both copies are good.
    #[must_use]
    pub fn intact(block: &[u8]) -> bool {
        [0, SECOND_COPY].iter().all(|offset| Self::decode_copy(block, *offset).is_ok())
    }

    fn decode_copy(block: &[u8], offset: usize) -> Result<SegmentHeader, BadHeader> {
        let copy: &[u8; COPY] = block.get(offset..).and_then(|rest| rest.first_chunk()).ok_or(BadHeader::Damaged)?;
        if &copy[..8] != MAGIC || u32_at(copy, CRC) != copy_crc(copy) {
            return Err(BadHeader::Damaged);
        }
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        match u16_at(copy, 8) {
            FORMAT_VERSION if !is_zero(&copy[10..12]) || !is_zero(&copy[44..60]) || !is_zero(&copy[88..]) => {
                Err(BadHeader::Unknown)
            }
            FORMAT_VERSION => Ok(SegmentHeader {
                key: u64_at(copy, 16),
                number: SegmentNumber(u64_at(copy, 24)),
                bytes: u64_at(copy, 32),
                block: u32_at(copy, 12),
                epoch: Epoch(u32_at(copy, 40)),
                log_id: u128::from(u64_at(copy, 64)) | u128::from(u64_at(copy, 72)) << 64,
                nonce: u64_at(copy, 80),
            }),
            other => Err(BadHeader::Version(other)),
        }
    }
}

/// The other version that both copies name: what else they say, and how long they are, only it knows.
fn other_version(block: &[u8]) -> Option<u16> {
    let named = [0, SECOND_COPY].map(|offset| {
        let copy = block.get(offset..)?;
        copy.starts_with(MAGIC).then(|| u16_at(copy, 8))
    });
    let [Some(first), Some(second)] = named else { return None };
    (first == second && first != FORMAT_VERSION).then_some(first)
}

fn copy_crc(copy: &[u8; COPY]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&copy[..CRC]);
    hasher.update(&copy[CRC + 4..]);
    hasher.finalize()
}

/// A live segment.
pub(crate) struct Segment {
    pub number: SegmentNumber,
    pub key: u64,
    pub start: Position,
    pub bytes: u64,
    /// Its memory, while it is within `hot_bytes`. The active segment's image is here too.
    pub image: Option<Arc<Image>>,
    /// Something of it is not as it was written.
    pub damaged: bool,
}

impl Segment {
    pub(crate) fn end(&self) -> Position {
        self.start + self.bytes
    }

    /// The first position a frame can have.
    pub(crate) fn data_start(&self, block: u64) -> Position {
        self.start + block
    }

    pub(crate) fn seed(&self, epoch: Epoch) -> Seed {
        Seed { key: self.key, epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            key: 0x1122_3344_5566_7788,
            number: SegmentNumber(5),
            bytes: 1 << 20,
            block: 4096,
            epoch: Epoch(3),
            log_id: 0x0F0E << 112 | 0x0D0C,
            nonce: 0x0102,
        }
    }

    #[test]
    fn the_header_has_the_documented_bytes() {
        let block = header().encode();
        assert_eq!(block.len(), 4096);
        let golden = [
            b"PRSEGMNT".as_slice(),
            &[2, 0, 0, 0, 0, 0x10, 0, 0],
            &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0x10, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0],
            &[0; 16],
        ]
        .concat();
        let more = [
            [0x0C, 0x0D, 0, 0, 0, 0, 0, 0].as_slice(),
            &[0, 0, 0, 0, 0, 0, 0x0E, 0x0F],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[0; 8],
        ]
        .concat();
        let crc = crc32fast::hash(&[golden.as_slice(), &more].concat()).to_le_bytes();
        assert_eq!(block[..96], [golden.as_slice(), &crc, &more].concat());
        assert_eq!(block[..96], block[2048..2144]);
        assert!(block[96..2048].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn either_copy_will_do() {
        let mut block = header().encode();
        block[20] ^= 1;
        assert_eq!(SegmentHeader::decode(&block), Ok(header()));
        assert!(!SegmentHeader::intact(&block));
        block[20] ^= 1;
        assert!(SegmentHeader::intact(&block));
        block[2050] ^= 1;
        assert_eq!(SegmentHeader::decode(&block), Ok(header()));
        block[0] ^= 1;
        assert_eq!(SegmentHeader::decode(&block), Err(BadHeader::Damaged));
    }

    fn altered(offset: usize, value: u8) -> Vec<u8> {
        let mut block = header().encode();
        block[offset] = value;
        let crc = copy_crc(block[..96].try_into().unwrap());
        block[60..64].copy_from_slice(&crc.to_le_bytes());
        block
    }

    #[test]
    fn another_version_is_told_apart_from_damage_before_anything_else_is_looked_at() {
        for version in [1, 3] {
            let mut block = vec![7; 4096];
            for copy in [0, 2048] {
                block[copy..copy + 8].copy_from_slice(b"PRSEGMNT");
                block[copy + 8..copy + 10].copy_from_slice(&[version, 0]);
            }
            assert_eq!(SegmentHeader::decode(&block), Err(BadHeader::Version(version.into())));
            block[2056] ^= 4;
            assert_eq!(SegmentHeader::decode(&block), Err(BadHeader::Damaged), "the copies differ");
            let one = SegmentHeader::decode(&altered(8, version));
            assert_eq!(one, Err(BadHeader::Version(version.into())), "a copy that checks says so");
        }
    }

    #[test]
    fn what_only_a_newer_version_says_is_told_apart_from_damage() {
        for offset in [10, 44, 59, 88, 95] {
            assert_eq!(SegmentHeader::decode(&altered(offset, 1)), Err(BadHeader::Unknown), "byte {offset}");
        }
    }
}
