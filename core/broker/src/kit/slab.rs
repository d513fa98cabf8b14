//! A table whose entries keep their number. It grows and shrinks by chunks, so that no growth copies it and no peak stays.
#![expect(clippy::indexing_slicing, reason = "chunks and slots are numbered by the table that holds them")]
#![expect(clippy::expect_used, reason = "this is the checked access: an entry that is not there is our mistake")]
#![cfg_attr(
    not(test),
    allow(
        clippy::cast_possible_truncation,
        reason = "numbers of entries have 32 bits: so many do not fit into memory"
    )
)]

use std::ops::{Index, IndexMut};

const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 9;
const NONE: u32 = u32::MAX;

enum Slot<T> {
    Taken(T),
    Free { next: u32 },
}

/// What is known of a chunk beside its slots, which whoever reads comes to without it.
#[derive(Clone, Copy)]
struct Chunk {
    free: u32,
    live: u32,
    /// Where it stands in `Slab::open`; [`NONE`] if it is full.
    open_at: u32,
}

type Slots<T> = Box<[Slot<T>; CHUNK]>;

fn free_slots<T>() -> Slots<T> {
    let next = |slot: usize| if slot + 1 == CHUNK { NONE } else { slot as u32 + 1 };
    let slots: Box<[Slot<T>]> = (0..CHUNK).map(|slot| Slot::Free { next: next(slot) }).collect();
    slots.try_into().ok().expect("a slot for each number")
}

/// The table.
pub(crate) struct Slab<T> {
    slots: Vec<Option<Slots<T>>>,
    /// As many; what is said there of one without memory means nothing.
    chunks: Vec<Chunk>,
    /// Chunks with a free slot.
    open: Vec<u32>,
    /// Numbers of chunks that have no memory.
    vacant: Vec<u32>,
    empty_chunks: usize,
    length: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), chunks: Vec::new(), open: Vec::new(), vacant: Vec::new(), empty_chunks: 0, length: 0 }
    }
}

impl<T> Slab<T> {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Puts a value in and gives its number.
    #[inline(always)]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let number = match self.open.last() {
            Some(number) => *number,
            None => self.add_chunk(),
        };
        let chunk = &mut self.chunks[number as usize];
        let slots = self.slots[number as usize].as_mut().expect("an open chunk has memory");
        let slot = chunk.free;
        let Slot::Free { next } = std::mem::replace(&mut slots[slot as usize], Slot::Taken(value)) else {
            unreachable!("the free list names free slots")
        };
        self.empty_chunks -= usize::from(chunk.live == 0);
        chunk.free = next;
        chunk.live += 1;
        if next == NONE {
            chunk.open_at = NONE;
            self.open.pop();
        }
        self.length += 1;
        (number << CHUNK_BITS) | slot
    }

    /// Takes an entry out; its number may be given again.
    #[inline(always)]
    pub(crate) fn remove(&mut self, index: u32) -> T {
        let number = index >> CHUNK_BITS;
        let chunk = &mut self.chunks[number as usize];
        let slots = self.slots[number as usize].as_mut().expect("the entry's chunk has memory");
        let slot = &mut slots[index as usize & (CHUNK - 1)];
        let Slot::Taken(value) = std::mem::replace(slot, Slot::Free { next: chunk.free }) else {
            panic!("entry {index} is not there")
        };
        chunk.free = index & (CHUNK as u32 - 1);
        chunk.live -= 1;
        self.length -= 1;
        if chunk.open_at == NONE {
            chunk.open_at = self.open.len() as u32;
            self.open.push(number);
        }
        if chunk.live == 0 {
            self.emptied(number);
        }
        value
    }

    /// The entry, if the number is taken.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.slots.get((index >> CHUNK_BITS) as usize)?.as_ref()?[index as usize & (CHUNK - 1)] {
            Slot::Taken(ref value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// The entry, if the number is taken.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slots.get_mut((index >> CHUNK_BITS) as usize)?.as_mut()?[index as usize & (CHUNK - 1)] {
            Slot::Taken(ref mut value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// The smallest taken number at or above this one.
    pub(crate) fn next_taken(&self, from: u32) -> Option<u32> {
        let mut index = from;
        while ((index >> CHUNK_BITS) as usize) < self.slots.len() {
            if self.slots[(index >> CHUNK_BITS) as usize].is_none() {
                index = ((index >> CHUNK_BITS) + 1) << CHUNK_BITS;
            } else if self.get(index).is_some() {
                return Some(index);
            } else {
                index += 1;
            }
        }
        None
    }

    /// All entries by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let taken = |(slot, entry): (usize, &'_ Slot<T>)| matches!(entry, Slot::Taken(_)).then_some(slot as u32);
        let numbers =
            self.slots.iter().enumerate().filter_map(|(number, slots)| Some((number as u32, slots.as_ref()?)));
        numbers
            .flat_map(move |(number, slots)| {
                let slots = slots.iter().enumerate().filter_map(taken);
                slots.map(move |slot| (number << CHUNK_BITS) | slot)
            })
            .map(|index| (index, &self[index]))
    }

    fn add_chunk(&mut self) -> u32 {
        let chunk = Chunk { free: 0, live: 0, open_at: self.open.len() as u32 };
        let number = match self.vacant.pop() {
            Some(number) => number,
            None => {
                self.slots.push(None);
                self.chunks.push(chunk);
                self.chunks.len() as u32 - 1
            }
        };
        self.slots[number as usize] = Some(free_slots());
        self.chunks[number as usize] = chunk;
        self.open.push(number);
        self.empty_chunks += 1;
        number
    }

    /// One empty chunk is kept, so that a table that breathes around a boundary does not allocate.
    fn emptied(&mut self, number: u32) {
        self.empty_chunks += 1;
        if self.empty_chunks < 2 {
            return;
        }
        self.empty_chunks -= 1;
        self.slots[number as usize] = None;
        let chunk = self.chunks[number as usize];
        self.open.swap_remove(chunk.open_at as usize);
        if let Some(moved) = self.open.get(chunk.open_at as usize) {
            self.chunks[*moved as usize].open_at = chunk.open_at;
        }
        self.vacant.push(number);
    }

    #[cfg(test)]
    fn chunks_with_memory(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.get(index).expect("the entry is there")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("the entry is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_numbers_and_numbers_come_again() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..3000).map(|value| slab.insert(value)).collect();
        for (value, number) in numbers.iter().enumerate() {
            assert_eq!(slab[*number], value);
        }
        assert_eq!(slab.remove(numbers[7]), 7);
        assert_eq!(slab.get(numbers[7]), None);
        assert_eq!(slab.insert(70_000), numbers[7]);
        assert_eq!(slab.len(), 3000);
        assert_eq!(slab.iter().count(), 3000);
        assert_eq!(slab.next_taken(5), Some(5));
    }

    #[test]
    fn one_old_entry_does_not_keep_the_memory_of_a_peak() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..100_000).map(|value| slab.insert(value)).collect();
        for number in &numbers[1..] {
            slab.remove(*number);
        }
        assert!(slab.chunks_with_memory() <= 2, "{}", slab.chunks_with_memory());
        let again: Vec<u32> = (0..5_000).map(|value| slab.insert(value)).collect();
        assert_eq!(slab[numbers[0]], 0);
        assert_eq!(slab.iter().count(), 5_001);
        assert_eq!(again.iter().max().copied(), slab.iter().map(|(number, _)| number).max());
    }
}
