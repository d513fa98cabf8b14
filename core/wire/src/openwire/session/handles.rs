//! The consumers of a shard.

use std::rc::Rc;

use postrider_model::{ConnectionHandle, ConsumerHandle};

use super::memory::ClientMemory;
use super::missing::{Asked, Missing};
use crate::openwire::hot::dispatch::ConsumerName;
use crate::openwire::hot::slots::Memory;

/// The consumers of all connections of a shard, by the handles that the broker knows them by.
#[derive(Default)]
pub struct Handles {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// What the connections of the shard may make the broker keep.
    pub memory: ClientMemory,
    /// What the connections of the shard have asked for in vain.
    pub(super) asked: Asked,
}

#[derive(Default)]
struct Entry {
    generation: u32,
    consumer: Option<Consumer>,
}

/// One consumer.
pub(super) struct Consumer {
    pub connection: ConnectionHandle,
    /// The connection's id, as the client wrote it in the ConsumerId.
    pub connection_id: Rc<[u8]>,
    pub session: i64,
    pub value: i64,
    pub memory: Memory,
    /// What it counts in the connection's memory.
    pub bytes: u64,
}

impl Consumer {
    /// Its ConsumerId, and what is remembered for it.
    pub fn split(&mut self) -> (ConsumerName<'_>, &mut Memory) {
        let name = ConsumerName { connection: &self.connection_id, session: self.session, value: self.value };
        (name, &mut self.memory)
    }
}

impl Handles {
    /// The connection of a consumer; None if the consumer is gone.
    #[must_use]
    pub fn connection_of(&self, consumer: ConsumerHandle) -> Option<ConnectionHandle> {
        let entry = self.entries.get(consumer.slot as usize)?;
        entry.consumer.as_ref().filter(|_| entry.generation == consumer.generation).map(|consumer| consumer.connection)
    }

    /// How many consumers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Something that a client has asked for since the last call and that this version does not do.
    pub fn take_missing(&mut self) -> Option<Missing> {
        self.asked.take()
    }

    #[expect(clippy::cast_possible_truncation, reason = "so many consumers do not fit into memory")]
    pub(super) fn add(&mut self, consumer: Consumer) -> ConsumerHandle {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            self.entries.len() as u32 - 1
        });
        let Some(entry) = self.entries.get_mut(slot as usize) else { return ConsumerHandle::default() };
        entry.consumer = Some(consumer);
        ConsumerHandle { slot, generation: entry.generation }
    }

    pub(super) fn get_mut(&mut self, consumer: ConsumerHandle) -> Option<&mut Consumer> {
        let entry = self.entries.get_mut(consumer.slot as usize)?;
        entry.consumer.as_mut().filter(|_| entry.generation == consumer.generation)
    }

    pub(super) fn remove(&mut self, consumer: ConsumerHandle) -> Option<Consumer> {
        self.get_mut(consumer)?;
        let entry = self.entries.get_mut(consumer.slot as usize)?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(consumer.slot);
        entry.consumer.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(value: i64) -> Consumer {
        let connection = ConnectionHandle { slot: 3, generation: 4 };
        Consumer { connection, connection_id: (*b"c").into(), session: 1, value, memory: Memory::default(), bytes: 0 }
    }

    #[test]
    fn an_old_handle_does_not_name_the_next_consumer() {
        let mut handles = Handles::default();
        let first = handles.add(consumer(1));
        assert_eq!(handles.remove(first).unwrap().value, 1);
        let second = handles.add(consumer(2));
        assert_eq!(first.slot, second.slot);
        assert!(handles.connection_of(first).is_none() && handles.remove(first).is_none());
        assert_eq!(handles.connection_of(second), Some(ConnectionHandle { slot: 3, generation: 4 }));
        assert_eq!((handles.len(), handles.get_mut(second).unwrap().value), (1, 2));
    }
}
