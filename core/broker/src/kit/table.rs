//! A hash table that grows a part at a time: no insertion moves more than a part's entries, however many there are.
//!
//! Entries stand in parts by some bits of their hashes (extendible hashing). A part that is full is split in two by one more bit. The
//! directory says which part stands for which bits; where a part has fewer bits than the directory, several of its entries name it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]
#![expect(
    clippy::indexing_slicing,
    reason = "parts and the directory's entries are numbered by the table that holds them"
)]

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashTable};
use std::hash::{BuildHasher, Hash};

/// Entries of a part that is full: what fits into 512 places.
const FULL: usize = 448;

/// Places that a part keeps when it is empty: where one comes and goes at a time, memory does not.
const KEPT: usize = 3;

/// Bits by which parts are told apart at most: beyond 28 million entries, or where hashes are alike, parts outgrow [`FULL`].
const BITS: u32 = 16;

/// The first of these bits: the parts' own tables go by the lowest ones and the seven highest.
const FIRST_BIT: u32 = 32;

struct Part<T> {
    entries: HashTable<T>,
    /// Bits that its entries have in common.
    bits: u32,
}

/// The table. It knows neither keys nor hashes: whoever uses it says them.
pub(crate) struct Table<T> {
    parts: Vec<Part<T>>,
    /// Numbers of parts; its length is a power of two.
    directory: Vec<u32>,
    length: usize,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Table<T> {
        Table { parts: vec![Part { entries: HashTable::new(), bits: 0 }], directory: vec![0], length: 0 }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        (hash >> FIRST_BIT) as u32 as usize & (self.directory.len() - 1)
    }

    #[inline]
    fn part(&self, hash: u64) -> usize {
        self.directory[self.place(hash)] as usize
    }

    /// The entry with this hash that is meant.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        self.parts[self.part(hash)].entries.find(hash, is_it)
    }

    /// As [`Table::find`], to change it.
    pub(crate) fn find_mut(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let part = self.part(hash);
        self.parts[part].entries.find_mut(hash, is_it)
    }

    /// Puts in what is not there. `hash_of` gives the hashes of others.
    pub(crate) fn insert(&mut self, hash: u64, value: T, hash_of: impl Fn(&T) -> u64) {
        if self.parts[self.part(hash)].entries.len() >= FULL {
            self.split(hash, &hash_of);
        }
        let part = self.part(hash);
        self.parts[part].entries.insert_unique(hash, value, hash_of);
        self.length += 1;
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let part = self.part(hash);
        let entries = &mut self.parts[part].entries;
        let (value, _) = entries.find_entry(hash, is_it).ok()?.remove();
        if entries.is_empty() && entries.capacity() > KEPT {
            // The memory of a peak does not stay.
            *entries = HashTable::new();
        }
        self.length -= 1;
        Some(value)
    }

    /// Moves those of a part that have the next bit to a new one.
    fn split(&mut self, hash: u64, hash_of: &impl Fn(&T) -> u64) {
        let (old, new) = (self.part(hash), self.parts.len());
        let bits = self.parts[old].bits;
        let Some(number) = u32::try_from(new).ok().filter(|_| bits < BITS) else { return };
        if 1 << bits == self.directory.len() {
            self.directory.extend_from_within(..);
        }
        let has_bit = |value: &mut T| (hash_of(value) >> FIRST_BIT) >> bits & 1 == 1;
        let mut entries = HashTable::with_capacity(FULL);
        let part = &mut self.parts[old];
        part.bits += 1;
        part.entries.extract_if(has_bit).for_each(|value| {
            entries.insert_unique(hash_of(&value), value, hash_of);
        });
        self.parts.push(Part { entries, bits: bits + 1 });
        let first = self.place(hash) & ((1 << bits) - 1) | 1 << bits;
        self.directory.iter_mut().skip(first).step_by(2 << bits).for_each(|entry| *entry = number);
    }
}

/// A map on such a table.
pub(crate) struct Map<K, V> {
    table: Table<(K, V)>,
    hasher: FixedState,
}

impl<K: Hash + Eq, V> Map<K, V> {
    pub(crate) fn with_hasher(hasher: FixedState) -> Map<K, V> {
        Map { table: Table::new(), hasher }
    }

    /// The value of a key.
    pub(crate) fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&V> {
        self.table.find(self.hasher.hash_one(key), |(known, _)| key.equivalent(known)).map(|(_, value)| value)
    }

    /// As [`Map::get`], to change it.
    pub(crate) fn get_mut<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<&mut V> {
        self.table.find_mut(self.hasher.hash_one(key), |(known, _)| key.equivalent(known)).map(|(_, value)| value)
    }

    /// Puts a value in the place of the one that the key had.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        if let Some((_, known)) = self.table.find_mut(hash, |(known, _)| *known == key) {
            *known = value;
        } else {
            let hasher = &self.hasher;
            self.table.insert(hash, (key, value), |(key, _)| hasher.hash_one(key));
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// All values, in whatever order.
    #[cfg(feature = "plant")]
    pub(crate) fn all_values(&self) -> impl Iterator<Item = &V> {
        self.table.parts.iter().flat_map(|part| part.entries.iter().map(|(_, value)| value))
    }

    /// Takes a key and its value out.
    pub(crate) fn remove<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<V> {
        self.table.remove(self.hasher.hash_one(key), |(known, _)| key.equivalent(known)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    /// Hashes that are asked for, of entries that are looked at, and of those that are moved.
    const MOST_HASHED: usize = 2 * FULL;

    fn most_hashed(count: u32, hash: impl Fn(u32) -> u64) -> (usize, Table<u32>) {
        let (mut table, hashed, mut most) = (Table::new(), Cell::new(0), 0);
        for number in 0..count {
            hashed.set(0);
            table.insert(hash(number), number, |number| {
                hashed.set(hashed.get() + 1);
                hash(*number)
            });
            most = most.max(hashed.get());
        }
        (most, table)
    }

    #[test]
    fn no_insertion_moves_more_than_a_part() {
        let hasher = FixedState::with_seed(7);
        let (most, table) = most_hashed(1_000_000, |number| hasher.hash_one(number));
        assert!((FULL..=MOST_HASHED).contains(&most), "{most}");
        assert!(table.parts.iter().all(|part| part.entries.len() <= FULL));
        let parts = table.parts.len();
        assert!((2_232..=5_000).contains(&parts) && table.directory.len() <= 16_384, "{parts}");
        assert!((0..1_000_000).all(|number| table.find(hasher.hash_one(number), |known| *known == number).is_some()));
    }

    #[test]
    fn hashes_that_are_alike_are_found_nevertheless() {
        let (_, table) = most_hashed(3_000, |number| u64::from(number % 3));
        assert!(table.parts.len() <= BITS as usize + 1 && table.directory.len() <= 1 << BITS);
        assert!((0..3_000).all(|number| table.find(u64::from(number % 3), |known| *known == number).is_some()));
    }

    /// Up to some ten thousands, and down to nothing, and up again.
    #[test]
    fn a_map_holds_what_a_model_holds() {
        let (mut map, mut model) = (Map::with_hasher(FixedState::with_seed(1)), BTreeMap::new());
        let mut state = 7u64;
        for step in 0..300_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (state >> 33) as u32 % 40_000;
            let grows = step / 100_000 != 1;
            let choice = (state >> 20) % 8;
            if choice == 0 || choice < 6 && grows {
                map.insert(key, step);
                model.insert(key, step);
            } else {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            if let Some(value) = map.get_mut(&(key / 2)) {
                *value += 1;
            }
            model.entry(key / 2).and_modify(|value| *value += 1);
            assert_eq!((map.get(&key), map.table.len()), (model.get(&key), model.len()));
        }
        assert!(map.table.parts.len() > 8);
        assert!((0..40_000).all(|key| map.get(&key) == model.get(&key)));
        (0..40_000).for_each(|key| assert_eq!(map.remove(&key), model.remove(&key)));
        assert!(map.table.len() == 0 && map.table.parts.iter().all(|part| part.entries.capacity() <= KEPT));
    }
}
