//! The consumers of a shard.

use postrider_model::{ConnectionHandle, ConsumerHandle};

use super::memory::ClientMemory;
use super::missing::{Asked, Missing};
use crate::openwire::session as openwire;

/// The consumers of all connections of a shard, by the handles that the broker knows them by.
#[derive(Default)]
pub struct Handles {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// What the connections of the shard may make the broker keep.
    pub memory: ClientMemory,
    /// What the connections of the shard have asked for in vain.
    pub(crate) asked: Asked,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    consumer: Option<Consumer>,
}

/// One consumer.
pub(crate) struct Consumer {
    pub connection: ConnectionHandle,
    /// What it counts in the connection's memory.
    pub bytes: u64,
    pub state: ConsumerState,
}

/// What its protocol keeps of it.
pub(crate) enum ConsumerState {
    OpenWire(openwire::NamedConsumer),
}

impl Handles {
    /// The connection of a consumer; None if the consumer is gone.
    #[must_use]
    pub fn connection_of(&self, consumer: ConsumerHandle) -> Option<ConnectionHandle> {
        let place = self.slots.get(consumer.slot as usize)?;
        place.consumer.as_ref().filter(|_| place.generation == consumer.generation).map(|consumer| consumer.connection)
    }

    /// How many consumers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
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
    pub(crate) fn add(&mut self, consumer: Consumer) -> ConsumerHandle {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let Some(place) = self.slots.get_mut(slot as usize) else { return ConsumerHandle::default() };
        place.consumer = Some(consumer);
        ConsumerHandle { slot, generation: place.generation }
    }

    pub(crate) fn get_mut(&mut self, consumer: ConsumerHandle) -> Option<&mut Consumer> {
        let place = self.slots.get_mut(consumer.slot as usize)?;
        place.consumer.as_mut().filter(|_| place.generation == consumer.generation)
    }

    pub(crate) fn remove(&mut self, consumer: ConsumerHandle) -> Option<Consumer> {
        self.get_mut(consumer)?;
        let place = self.slots.get_mut(consumer.slot as usize)?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(consumer.slot);
        place.consumer.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(bytes: u64) -> Consumer {
        let connection = ConnectionHandle { slot: 3, generation: 4 };
        let state = ConsumerState::OpenWire(openwire::NamedConsumer::new((*b"c").into(), (1, 1)));
        Consumer { connection, bytes, state }
    }

    #[test]
    fn an_old_handle_does_not_name_the_next_consumer() {
        let mut handles = Handles::default();
        let first = handles.add(consumer(1));
        assert_eq!(handles.remove(first).unwrap().bytes, 1);
        let second = handles.add(consumer(2));
        assert_eq!(first.slot, second.slot);
        assert!(handles.connection_of(first).is_none() && handles.remove(first).is_none());
        assert_eq!(handles.connection_of(second), Some(ConnectionHandle { slot: 3, generation: 4 }));
        assert_eq!((handles.len(), handles.get_mut(second).unwrap().bytes), (1, 2));
    }
}
