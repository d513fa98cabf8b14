//! The epoch table: which life wrote which part of the log (R1).

use crate::frame::{u16_at, u32_at, u64_at};
use crate::position::{Epoch, Position, SegmentNumber};
use crate::version::{FORMAT_VERSION, LEVEL};

const MAGIC: &[u8; 8] = b"PREPOCHS";
const FIXED: usize = 96;
const ENTRY: usize = 32;
/// Where the CRC stands: of all before it, and all behind it.
const CRC: usize = 36;
/// Bytes that a table of any version has at least.
const OLDEST_FIXED: usize = 40;
/// Lives a table may list at a start.
pub const MAX_LIVES: usize = 1 << 20;
/// Further ones, for starts that are to take away what holds the table.
pub const LIVES_TO_DRAIN: usize = 4096;

/// A life of the log, from a start to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// Its number, greater than those of all before it.
    pub epoch: Epoch,
    /// Random: tells it from another node's life of the same number.
    pub nonce: u64,
}

/// A life, and the part of the log that it wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LifeEntry {
    /// Its number.
    pub epoch: Epoch,
    /// The node that lived it.
    pub node: u32,
    /// Where the log before it ended.
    pub end: Position,
    /// Where its own part begins.
    pub first: Position,
    /// Tells it from another node's life of the same number.
    pub nonce: u64,
}

/// All lives that may have written what is still there, oldest first, and what is fixed for the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochTable {
    /// What groups are padded to.
    pub block: u32,
    /// Bytes of a segment that is not oversize.
    pub segment_bytes: u64,
    /// The first segment needed when this was written.
    pub head: SegmentNumber,
    /// Drawn when the directory was created.
    pub log_id: u128,
    /// CRC-32 of the node's configured name.
    pub node: u32,
    /// The newest life that this node has promised to be of, its own or another node's: it is of none before it.
    pub accepted: Option<Life>,
    /// The level it is written at.
    pub level: u16,
    /// Where the newest life ended in order: all below it was durable, and nothing followed. None while it lives.
    pub ended: Option<Position>,
    /// Below it all was durable at some time of the newest life, as last stated.
    pub stated: Option<Position>,
    /// Losses that one start found, or gave up on purpose, at the most, while the log does not say yet what follows from them: the files
    /// may be as they should be by now.
    pub losses: u32,
    /// Never empty in a table that was written.
    pub lives: Vec<LifeEntry>,
}

/// Why a copy of the table cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadTable {
    /// Cut or altered.
    Damaged,
    /// Of another version of the format.
    Version {
        /// Which.
        found: u16,
        /// Its checksum is where ours is, and holds: it is not an altered table of this version.
        checked: bool,
    },
    /// As it was written, and says what only a newer version knows: a level, longer entries, something where ours has zeros.
    Unknown,
}

impl EpochTable {
    /// The table as bytes.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number of lives is bounded, and an entry's size is a constant"
    )]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + ENTRY * self.lives.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&self.block.to_le_bytes());
        bytes.extend_from_slice(&self.segment_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.head.0.to_le_bytes());
        bytes.extend_from_slice(&(self.lives.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.log_id.to_le_bytes());
        bytes.extend_from_slice(&self.node.to_le_bytes());
        bytes.extend_from_slice(&self.accepted.map_or(0, |life| life.epoch.0).to_le_bytes());
        bytes.extend_from_slice(&self.accepted.map_or(0, |life| life.nonce).to_le_bytes());
        bytes.extend_from_slice(&self.level.to_le_bytes());
        bytes.extend_from_slice(&(ENTRY as u16).to_le_bytes());
        bytes.extend_from_slice(&self.losses.to_le_bytes());
        bytes.extend_from_slice(&self.ended.unwrap_or(Position(0)).0.to_le_bytes());
        bytes.extend_from_slice(&self.stated.unwrap_or(Position(0)).0.to_le_bytes());
        for life in &self.lives {
            bytes.extend_from_slice(&life.epoch.0.to_le_bytes());
            bytes.extend_from_slice(&life.node.to_le_bytes());
            bytes.extend_from_slice(&life.end.0.to_le_bytes());
            bytes.extend_from_slice(&life.first.0.to_le_bytes());
            bytes.extend_from_slice(&life.nonce.to_le_bytes());
        }
        let crc = table_crc(&bytes);
        if let Some(place) = bytes.get_mut(CRC..CRC + 4) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        bytes
    }

    /// Reads a copy.
    ///
    /// # Errors
    /// It is damaged, of another version, or says what only a newer one knows.
    pub fn decode(bytes: &[u8]) -> Result<EpochTable, BadTable> {
        if bytes.len() < OLDEST_FIXED || !bytes.starts_with(MAGIC) {
            return Err(BadTable::Damaged);
        }
        let (found, checked) = (u16_at(bytes, 8), u32_at(bytes, CRC) == table_crc(bytes));
        if found != FORMAT_VERSION {
            return Err(BadTable::Version { found, checked });
        }
        if !checked {
            return Err(BadTable::Damaged);
        }
        let (level, entry_bytes) = (u16_at(bytes, 72), usize::from(u16_at(bytes, 74)));
        if u16_at(bytes, 10) != 0 || level > LEVEL || entry_bytes > ENTRY {
            return Err(BadTable::Unknown);
        }
        let count = u32_at(bytes, 32) as usize;
        let entries = bytes.get(FIXED..).unwrap_or(&[]);
        let block = u32_at(bytes, 12);
        let segment_bytes = u64_at(bytes, 16);
        let sound = (1..=MAX_LIVES + LIVES_TO_DRAIN).contains(&count)
            && entries.len() == ENTRY * count
            && entry_bytes == ENTRY
            && block.is_power_of_two()
            && segment_bytes > u64::from(block)
            && segment_bytes.is_multiple_of(u64::from(block));
        if !sound {
            return Err(BadTable::Damaged);
        }
        let lives = entries.chunks_exact(ENTRY).map(|entry| LifeEntry {
            epoch: Epoch(u32_at(entry, 0)),
            node: u32_at(entry, 4),
            end: Position(u64_at(entry, 8)),
            first: Position(u64_at(entry, 16)),
            nonce: u64_at(entry, 24),
        });
        let (low, high) = (u64_at(bytes, 40), u64_at(bytes, 48));
        let accepted = Life { epoch: Epoch(u32_at(bytes, 60)), nonce: u64_at(bytes, 64) };
        Ok(EpochTable {
            block,
            segment_bytes,
            head: SegmentNumber(u64_at(bytes, 24)),
            log_id: u128::from(low) | u128::from(high) << 64,
            node: u32_at(bytes, 56),
            accepted: Some(accepted).filter(|life| life.epoch.0 > 0),
            level,
            ended: Some(Position(u64_at(bytes, 80))).filter(|ended| ended.0 > 0),
            stated: Some(Position(u64_at(bytes, 88))).filter(|stated| stated.0 > 0),
            losses: u32_at(bytes, 76),
            lives: lives.collect(),
        })
    }

    /// The newest life.
    #[must_use]
    pub fn newest(&self) -> Option<&LifeEntry> {
        self.lives.last()
    }

    /// Below it all was durable, by what the newest life said here.
    #[must_use]
    pub fn known_durable(&self) -> Position {
        self.ended.max(self.stated).unwrap_or_default()
    }

    /// Whose bytes are at `position`.
    #[must_use]
    pub fn at(&self, position: Position) -> Epoch {
        self.life_at(position).map_or(Epoch(0), |life| life.epoch)
    }

    /// The life whose bytes are at `position`.
    #[must_use]
    pub fn life_at(&self, position: Position) -> Option<&LifeEntry> {
        let after = self.lives.partition_point(|life| life.first <= position);
        self.lives.get(after.checked_sub(1)?)
    }

    /// The life with this number, if it may have written what is still there.
    #[must_use]
    pub fn life(&self, epoch: Epoch) -> Option<&LifeEntry> {
        let place = self.lives.partition_point(|life| life.epoch < epoch);
        self.lives.get(place).filter(|life| life.epoch == epoch)
    }

    /// Where the part of the log that holds `position` ends, and where the next begins; `None` in the newest life.
    #[must_use]
    pub fn break_after(&self, position: Position) -> Option<(Position, Position)> {
        let next = self.lives.partition_point(|life| life.first <= position);
        self.lives.get(next).map(|life| (life.end, life.first))
    }

    /// Adds a life to a log that is cut at its `end`, and forgets those whose part ended before `keep_from`. Lives of which nothing is left
    /// give their place to it: starts that come to nothing do not fill the table.
    pub fn begin(&mut self, mut life: LifeEntry, keep_from: Position) {
        let kept = self.lives.partition_point(|kept| kept.first < life.end);
        if let Some(gone) = self.lives.get(kept) {
            life.end = life.end.min(gone.end);
        }
        self.lives.truncate(kept);
        self.lives.push(life);
        self.lives.drain(..self.over_before(keep_from));
    }

    /// Lives that are kept of a log which ends at `end`, and of which nothing before `keep_from` is.
    #[must_use]
    pub fn kept(&self, end: Position, keep_from: Position) -> usize {
        let kept = self.lives.partition_point(|life| life.first < end);
        kept.saturating_sub(self.over_before(keep_from))
    }

    /// Lives whose part of the log ended before a position.
    #[must_use]
    pub fn over_before(&self, position: Position) -> usize {
        self.lives.iter().skip(1).take_while(|next| next.first <= position).count()
    }
}

fn table_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..CRC).unwrap_or(bytes));
    hasher.update(bytes.get(CRC + 4..).unwrap_or_default());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(epoch: u32, end: u64, first: u64) -> LifeEntry {
        LifeEntry { epoch: Epoch(epoch), node: 7, end: Position(end), first: Position(first), nonce: 9 }
    }

    fn table() -> EpochTable {
        EpochTable {
            block: 4096,
            segment_bytes: 1 << 20,
            head: SegmentNumber(2),
            log_id: 3,
            node: 7,
            accepted: Some(Life { epoch: Epoch(4), nonce: 6 }),
            level: LEVEL,
            ended: Some(Position(9000)),
            stated: Some(Position(8200)),
            losses: 5,
            lives: vec![life(1, 4096, 4096), life(2, 5000, 8192)],
        }
    }

    #[test]
    fn the_table_has_the_documented_bytes() {
        let golden = [
            b"PREPOCHS".as_slice(),
            &[2, 0, 0, 0, 0, 0x10, 0, 0],
            &[0, 0, 0x10, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0],
        ]
        .concat();
        let entries = [
            [3u8, 0, 0, 0, 0, 0, 0, 0].as_slice(),
            &[0; 8],
            &[7, 0, 0, 0],
            &[4, 0, 0, 0],
            &[6, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0],
            &[32, 0],
            &[5, 0, 0, 0],
            &[0x28, 0x23, 0, 0, 0, 0, 0, 0],
            &[8, 0x20, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 7, 0, 0, 0],
            &[0, 0x10, 0, 0, 0, 0, 0, 0],
            &[0, 0x10, 0, 0, 0, 0, 0, 0],
            &[9, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 7, 0, 0, 0],
            &[0x88, 0x13, 0, 0, 0, 0, 0, 0],
            &[0, 0x20, 0, 0, 0, 0, 0, 0],
            &[9, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let crc = crc32fast::hash(&[golden.as_slice(), &entries].concat());
        assert_eq!(table().encode(), [golden.as_slice(), &crc.to_le_bytes(), &entries].concat());
    }

    #[test]
    fn every_altered_byte_is_seen() {
        let bytes = table().encode();
        assert_eq!(EpochTable::decode(&bytes), Ok(table()));
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 0x40;
            assert!(EpochTable::decode(&altered).is_err(), "byte {index}");
        }
        assert_eq!(EpochTable::decode(&bytes[..bytes.len() - 1]), Err(BadTable::Damaged));
    }

    #[test]
    fn another_version_is_told_apart_from_damage_before_its_length_is_looked_at() {
        for (version, len) in [(1, 64), (3, 500)] {
            let mut bytes = table().encode();
            bytes.resize(len, 0);
            bytes[8] = version;
            let crc = table_crc(&bytes);
            bytes[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(EpochTable::decode(&bytes), Err(BadTable::Version { found: version.into(), checked: true }));
        }
    }

    #[test]
    fn what_only_a_newer_version_says_is_told_apart_from_damage() {
        for (offset, value) in [(10, 1), (72, LEVEL as u8 + 1), (74, ENTRY as u8 + 8)] {
            let mut bytes = table().encode();
            bytes[offset] = value;
            let crc = table_crc(&bytes);
            bytes[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(EpochTable::decode(&bytes), Err(BadTable::Unknown), "byte {offset}");
        }
    }

    #[test]
    fn a_position_belongs_to_the_life_that_began_last_before_it() {
        let table = table();
        assert_eq!(table.at(Position(4096)), Epoch(1));
        assert_eq!(table.at(Position(8191)), Epoch(1));
        assert_eq!(table.at(Position(8192)), Epoch(2));
        assert_eq!(table.break_after(Position(4096)), Some((Position(5000), Position(8192))));
        assert_eq!(table.break_after(Position(8192)), None);
    }

    #[test]
    fn lives_before_the_head_are_forgotten() {
        let mut table = table();
        table.begin(life(3, 9000, 12288), Position(8192));
        assert_eq!(table.lives, [life(2, 5000, 8192), life(3, 9000, 12288)]);
        table.begin(life(4, 13000, 16384), Position(12287));
        assert_eq!(table.lives.len(), 3);
    }

    #[test]
    fn a_life_that_wrote_nothing_gives_its_place_to_the_next() {
        let mut table = table();
        for epoch in 3..70_000 {
            table.begin(life(epoch, 8192, 8192), Position(4096));
        }
        assert_eq!(table.lives, [life(1, 4096, 4096), life(69_999, 5000, 8192)]);
    }

    #[test]
    fn lives_of_which_nothing_is_left_behind_a_cut_give_their_places_to_the_next() {
        let mut table = table();
        table.begin(life(3, 9000, 12288), Position(4096));
        let before = table.clone();
        table.begin(life(7, 8500, 12288), Position(4096));
        assert_eq!(table.lives, [life(1, 4096, 4096), life(2, 5000, 8192), life(7, 8500, 12288)]);
        table = before;
        table.begin(life(7, 4800, 8192), Position(4096));
        assert_eq!(table.lives, [life(1, 4096, 4096), life(7, 4800, 8192)]);
    }
}
