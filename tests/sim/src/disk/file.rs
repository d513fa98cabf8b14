//! A file in sectors.

use std::collections::BTreeSet;

use super::SECTOR;

/// What a sector has become after the power went while it was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// As it was synced last.
    Old,
    /// As it was written last.
    New,
    /// New up to this byte.
    Torn(usize),
    /// Old up to this byte.
    TornBehind(usize),
    /// Unreadable, which comes as zeros.
    Unreadable,
    /// Anything.
    Garbage(u64),
}

/// A file: its bytes as a reader sees them, and as they are on the medium.
#[derive(Clone)]
pub struct File {
    visible: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    /// Where the last sync of this life ended: nothing below is to be written again (R4).
    pub synced_to: usize,
}

impl File {
    /// A file of zeros.
    pub fn zeroed(bytes: u64) -> File {
        let bytes = vec![0; bytes as usize];
        File { visible: bytes.clone(), durable: bytes, dirty: BTreeSet::new(), synced_to: 0 }
    }

    /// The same with fewer bytes, or more.
    pub fn resized(&self, bytes: u64) -> File {
        let resized = |old: &Vec<u8>| {
            let mut new = old.clone();
            new.resize(bytes as usize, 0);
            new
        };
        let (visible, durable) = (resized(&self.visible), resized(&self.durable));
        File { visible, durable, dirty: BTreeSet::new(), synced_to: self.synced_to }
    }

    /// Its length.
    pub fn len(&self) -> u64 {
        self.visible.len() as u64
    }

    /// What a reader sees.
    pub fn bytes(&self) -> &[u8] {
        &self.visible
    }

    /// Writes and syncs.
    pub fn write_synced(&mut self, offset: usize, bytes: &[u8]) {
        self.visible[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
        for sector in offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR) {
            self.dirty.remove(&sector);
        }
    }

    /// Writes a sector's first bytes, unsynced; readers see them.
    pub fn write_sector(&mut self, sector: usize, bytes: &[u8]) {
        let start = sector * SECTOR;
        self.visible[start..start + bytes.len()].copy_from_slice(bytes);
        self.dirty.insert(sector);
    }

    /// Makes durable what readers see.
    pub fn sync(&mut self) {
        self.durable.copy_from_slice(&self.visible);
        self.dirty.clear();
    }

    /// The power goes: each unsynced sector meets its fate.
    pub fn lose_power(&mut self, mut fate: impl FnMut() -> Fate) {
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            let (new, old) = (&self.visible[range.clone()], &mut self.durable[range]);
            match fate() {
                Fate::Old => {}
                Fate::New => old.copy_from_slice(new),
                Fate::Torn(at) => old[..at].copy_from_slice(&new[..at]),
                Fate::TornBehind(at) => old[at..].copy_from_slice(&new[at..]),
                Fate::Unreadable => old.fill(0),
                Fate::Garbage(number) => scramble(old, number),
            }
        }
        self.visible.copy_from_slice(&self.durable);
    }

    /// Flips bits of a synced byte.
    pub fn rot(&mut self, offset: usize, number: u64) {
        self.durable[offset] ^= (number as u8).max(1);
        self.visible[offset] = self.durable[offset];
    }

    /// Whether a sector holds anything.
    pub fn is_written(&self, sector: usize) -> bool {
        self.durable[sector * SECTOR..(sector + 1) * SECTOR].iter().any(|byte| *byte != 0)
    }
}

fn scramble(bytes: &mut [u8], seed: u64) {
    let mut random = crate::random::Random::new(seed);
    for chunk in bytes.chunks_mut(8) {
        let number = random.next().to_le_bytes();
        chunk.copy_from_slice(&number[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synced_bytes_stay_and_others_meet_their_fate() {
        let mut file = File::zeroed(4 * SECTOR as u64);
        file.write_synced(0, &[1; SECTOR]);
        for sector in 1..4 {
            file.write_sector(sector, &[2; SECTOR]);
        }
        assert!(file.bytes()[SECTOR..].iter().all(|byte| *byte == 2));
        let mut fates = [Fate::Old, Fate::New, Fate::Torn(10)].into_iter();
        file.lose_power(|| fates.next().unwrap());
        assert_eq!(file.bytes()[..SECTOR], [1; SECTOR]);
        assert_eq!(file.bytes()[SECTOR..2 * SECTOR], [0; SECTOR]);
        assert_eq!(file.bytes()[2 * SECTOR..3 * SECTOR], [2; SECTOR]);
        assert_eq!(file.bytes()[3 * SECTOR + 9..3 * SECTOR + 11], [2, 0]);
        file.lose_power(|| unreachable!("nothing is unsynced any more"));
    }
}
