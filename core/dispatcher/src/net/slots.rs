//! A table of connections whose slots are used again, when they are released, under another generation.

use std::io;

use super::Connection;

/// Generations count modulo this, so that slot, generation and four bits of a driver's own fit one word. What a driver still
/// expects of a closed connection is over long before its slot was used that often.
const GENERATIONS: u32 = 1 << 28;

/// Entries by slot; a stale [`Connection`] finds nothing.
pub(super) struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    limit: usize,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
    /// The value is gone, and the slot not released.
    is_kept: bool,
}

impl<T> Slots<T> {
    /// A table of at most `limit` entries; memory grows with the use.
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), limit }
    }

    /// Puts a value into a free slot.
    #[allow(clippy::cast_possible_truncation, reason = "the limit of a table is far below")]
    pub(super) fn insert(&mut self, value: T) -> io::Result<Connection> {
        if let Some(slot) = self.free.pop()
            && let Some(entry) = self.entries.get_mut(slot as usize)
        {
            entry.value = Some(value);
            return Ok(Connection { slot, generation: entry.generation });
        }
        if self.entries.len() == self.limit {
            return Err(io::Error::other(format!("this shard has {} connections, its limit", self.limit)));
        }
        self.entries.push(Entry { generation: 0, value: Some(value), is_kept: false });
        Ok(Connection { slot: (self.entries.len() - 1) as u32, generation: 0 })
    }

    /// The value, unless the connection is gone.
    pub(super) fn get_mut(&mut self, connection: Connection) -> Option<&mut T> {
        let entry = self.entries.get_mut(connection.slot as usize)?;
        if entry.generation == connection.generation { entry.value.as_mut() } else { None }
    }

    /// Takes the value out; from here on its connection is stale. Its slot is kept until it is released.
    pub(super) fn remove(&mut self, connection: Connection) -> Option<T> {
        let entry = self.entries.get_mut(connection.slot as usize)?;
        if entry.generation != connection.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = next(entry.generation);
        entry.is_kept = true;
        Some(value)
    }

    /// The slot of a connection whose value was taken out may be used again.
    pub(super) fn release(&mut self, connection: Connection) {
        let Some(entry) = self.entries.get_mut(connection.slot as usize) else { return };
        if entry.generation == next(connection.generation) && std::mem::take(&mut entry.is_kept) {
            self.free.push(connection.slot);
        }
    }

    /// All connections there are.
    #[allow(clippy::cast_possible_truncation, reason = "the limit of a table is far below")]
    pub(super) fn connections(&self) -> impl Iterator<Item = Connection> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.value.is_some())
            .map(|(slot, entry)| Connection { slot: slot as u32, generation: entry.generation })
    }
}

fn next(generation: u32) -> u32 {
    (generation + 1) % GENERATIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_used_again_has_another_generation() {
        let mut slots = Slots::new(8);
        let first = slots.insert("first").unwrap();
        let other = slots.insert("other").unwrap();
        assert_eq!(slots.remove(first), Some("first"));
        let third = slots.insert("third").unwrap();
        assert_ne!(third.slot, first.slot, "somebody may know the first by its slot");
        slots.release(first);
        slots.release(first);
        let second = slots.insert("second").unwrap();
        assert_eq!(second.slot, first.slot);
        assert_ne!(second.generation, first.generation);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        slots.release(first);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!(slots.connections().collect::<Vec<_>>(), [second, other, third]);
        assert_eq!(slots.insert("fourth").unwrap().slot, 3, "a slot is free once");
    }

    #[test]
    fn a_full_table_refuses_and_takes_again_after_a_removal() {
        let mut slots = Slots::new(2);
        let first = slots.insert(1).unwrap();
        slots.insert(2).unwrap();
        assert!(slots.insert(3).unwrap_err().to_string().contains("2 connections"));
        slots.remove(first);
        assert!(slots.insert(3).is_err());
        slots.release(first);
        assert!(slots.insert(3).is_ok());
    }

    #[test]
    fn a_connection_never_given_out_finds_nothing() {
        let mut slots = Slots::<u8>::new(2);
        assert_eq!(slots.get_mut(Connection { slot: 5, generation: 0 }), None);
        assert_eq!(slots.remove(Connection { slot: 5, generation: 0 }), None);
        slots.release(Connection { slot: 5, generation: 0 });
        assert_eq!(slots.insert(1).unwrap(), Connection { slot: 0, generation: 0 });
    }
}
