//! The tables behind cached fields: each direction of a connection names values that it sent before by an index.
//!
//! The reader keeps what it is told to keep. The writer chooses indices as it likes, as long as it knows what the reader
//! holds; null is a value like any other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::{Fault, Nested, Structure};

/// The index of a value that the reader is not to keep.
pub const NOT_KEPT: i16 = -1;

/// Bytes of memory that a peer may occupy with its cached values.
const RETAINED_LIMIT: usize = 8 << 20;

/// The reader's table of one direction of one connection.
#[derive(Debug)]
pub struct ReaderCache {
    /// Grows up to `size` with the indices that the peer uses.
    slots: Vec<Slot>,
    size: usize,
    retained: usize,
}

#[derive(Debug, Clone)]
enum Slot {
    Unused,
    Null { tag: u32 },
    Value { tag: u32, structure: Arc<Structure> },
}

impl ReaderCache {
    /// An empty table of the agreed size.
    pub fn new(size: u16) -> ReaderCache {
        ReaderCache { slots: Vec::new(), size: usize::from(size), retained: 0 }
    }

    /// Bytes of its values.
    #[inline]
    pub fn retained(&self) -> u64 {
        self.retained as u64
    }

    /// The value at an index that was filled before.
    pub fn get(&self, index: i16) -> Result<Option<&Arc<Structure>>, Fault> {
        match self.slots.get(position(index)) {
            Some(Slot::Value { structure, .. }) => Ok(Some(structure)),
            Some(Slot::Null { .. }) => Ok(None),
            _ => Err(Fault::BadCacheIndex(index)),
        }
    }

    /// Fills the slot at `index`, which loses its tag; [`NOT_KEPT`] keeps nothing.
    pub fn store(&mut self, index: i16, value: &Nested) -> Result<(), Fault> {
        if index == NOT_KEPT {
            return Ok(());
        }
        let position = usize::try_from(index).ok().filter(|position| *position < self.size);
        let position = position.ok_or(Fault::BadCacheIndex(index))?;
        if position >= self.slots.len() {
            self.slots.resize(position + 1, Slot::Unused);
        }
        let slot = match value {
            None => Slot::Null { tag: 0 },
            Some(structure) => Slot::Value { tag: 0, structure: structure.clone() },
        };
        let place = self.slots.get_mut(position).ok_or(Fault::BadCacheIndex(index))?;
        self.retained += value.as_ref().map_or(0, |structure| structure.size());
        if let Slot::Value { structure, .. } = std::mem::replace(place, slot) {
            self.retained -= structure.size();
        }
        if self.retained > RETAINED_LIMIT { Err(Fault::CacheFull(RETAINED_LIMIT)) } else { Ok(()) }
    }

    /// What the user of the table has noted about the value at an index since it was stored, 0 if nothing: a handle that
    /// spares looking the value up by its content.
    pub fn tag(&self, index: i16) -> Result<u32, Fault> {
        match self.slots.get(position(index)) {
            Some(Slot::Value { tag, .. } | Slot::Null { tag }) => Ok(*tag),
            _ => Err(Fault::BadCacheIndex(index)),
        }
    }

    /// Notes something about the value at an index, until another value is stored there.
    pub fn set_tag(&mut self, index: i16, new: u32) -> Result<(), Fault> {
        match self.slots.get_mut(position(index)) {
            Some(Slot::Value { tag, .. } | Slot::Null { tag }) => *tag = new,
            _ => return Err(Fault::BadCacheIndex(index)),
        }
        Ok(())
    }
}

/// Where the index stands; a negative one nowhere.
#[inline]
fn position(index: i16) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// How a writer assigns indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterPolicy {
    /// As ActiveMQ's Java writer does: for byte-exact output.
    JavaOrder,
    /// A value's hash names the only slot that it can have: no map, no eviction, one comparison a value.
    Cheap,
}

/// Whether the reader has a value already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It has, at this index.
    Known(i16),
    /// It has not: [`WriterCache::insert`] assigns an index.
    New,
}

/// The writer's table of one direction of one connection.
#[derive(Debug)]
pub struct WriterCache(Assignment);

#[derive(Debug)]
enum Assignment {
    JavaOrder(JavaOrder),
    Cheap(Cheap),
}

impl WriterCache {
    /// An empty table of the agreed size.
    pub fn new(policy: WriterPolicy, size: u16) -> WriterCache {
        WriterCache(match policy {
            WriterPolicy::JavaOrder => Assignment::JavaOrder(JavaOrder::new(size)),
            WriterPolicy::Cheap => Assignment::Cheap(Cheap { slots: Vec::new(), size }),
        })
    }

    /// To be called before each frame.
    pub fn begin_frame(&mut self) {
        if let Assignment::JavaOrder(cache) = &mut self.0 {
            cache.evict();
        }
    }

    /// Looks a value up.
    pub fn find(&self, value: &Nested) -> Placement {
        let index = match &self.0 {
            Assignment::JavaOrder(cache) => cache.indices.get(value).copied(),
            Assignment::Cheap(cache) => cache.find(value),
        };
        index.map_or(Placement::New, Placement::Known)
    }

    /// Assigns an index to a value that is new; it may be [`NOT_KEPT`].
    pub fn insert(&mut self, value: &Nested) -> i16 {
        match &mut self.0 {
            Assignment::JavaOrder(cache) => cache.insert(value),
            Assignment::Cheap(cache) => cache.insert(value),
        }
    }

    /// Whether the index of a loose value is assigned before those of the cached values inside it. A reader stores the
    /// outer value last, so a policy that may give both the same slot has to assign the outer one last.
    pub(super) fn assigns_outer_first(&self) -> bool {
        matches!(self.0, Assignment::JavaOrder(_))
    }

    /// Takes nothing for granted of what the reader holds, which is always right: after a frame that was not sent.
    pub fn forget(&mut self) {
        match &mut self.0 {
            Assignment::JavaOrder(cache) => *cache = JavaOrder::new(cache.size),
            Assignment::Cheap(cache) => cache.slots.clear(),
        }
    }
}

/// How many entries ActiveMQ's writer keeps free for the next frame.
const JAVA_FREE: usize = 100;

#[derive(Debug)]
struct JavaOrder {
    indices: HashMap<Nested, i16>,
    /// What each slot was given; None also where nothing is, as in Java's array.
    slots: Vec<Nested>,
    size: u16,
    next: usize,
    evict: usize,
}

impl JavaOrder {
    fn new(size: u16) -> JavaOrder {
        JavaOrder { indices: HashMap::new(), slots: vec![None; usize::from(size)], size, next: 0, evict: 0 }
    }

    fn evict(&mut self) {
        // Java never comes to an end with a size below 100.
        let most = self.slots.len().saturating_sub(JAVA_FREE);
        while self.indices.len() > most {
            let Some(oldest) = self.slots.get_mut(self.evict) else { return };
            self.indices.remove(&oldest.take());
            self.evict = (self.evict + 1) % self.slots.len();
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a cache has at most 32767 slots")]
    fn insert(&mut self, value: &Nested) -> i16 {
        let index = self.next;
        self.next = (index + 1) % self.slots.len();
        if self.indices.len() >= self.slots.len() {
            return NOT_KEPT;
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.clone_from(value);
        }
        self.indices.insert(value.clone(), index as i16);
        index as i16
    }
}

/// Larger values are not worth keeping; nor may a peer's long names fill our memory.
const CHEAP_VALUE_LIMIT: usize = 1024;

#[derive(Debug)]
struct Cheap {
    /// Grows to `size` with the first value.
    slots: Vec<Option<Nested>>,
    size: u16,
}

impl Cheap {
    fn find(&self, value: &Nested) -> Option<i16> {
        let index = self.index(value);
        let slot = self.slots.get(position(index))?;
        slot.as_ref().filter(|slot| is_same(slot, value)).map(|_| index)
    }

    fn insert(&mut self, value: &Nested) -> i16 {
        if value.as_ref().is_some_and(|structure| structure.size() > CHEAP_VALUE_LIMIT) {
            return NOT_KEPT;
        }
        self.slots.resize(usize::from(self.size), None);
        let index = self.index(value);
        let Some(slot) = self.slots.get_mut(position(index)) else { return NOT_KEPT };
        *slot = Some(value.clone());
        index
    }

    #[expect(clippy::cast_possible_truncation, reason = "a cache has at most 32767 slots")]
    fn index(&self, value: &Nested) -> i16 {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        (hasher.finish() % u64::from(self.size)) as i16
    }
}

fn is_same(left: &Nested, right: &Nested) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => Arc::ptr_eq(left, right) || left == right,
        (left, right) => left.is_none() && right.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Value, schema};
    use super::*;

    fn queue(name: &str) -> Nested {
        let queue = Structure::new(&schema::active_mq_queue::DEFINITION);
        Some(queue.with(schema::active_mq_queue::PHYSICAL_NAME, name).shared())
    }

    #[test]
    fn null_is_kept_apart_from_never_used() {
        let mut cache = ReaderCache::new(3);
        cache.store(1, &None).unwrap();
        assert_eq!(cache.get(1), Ok(None));
        for index in [0, 2, 3, -1, -2, i16::MAX, i16::MIN] {
            assert_eq!(cache.get(index), Err(Fault::BadCacheIndex(index)));
        }
        cache.store(NOT_KEPT, &queue("a")).unwrap();
        assert_eq!(cache.store(3, &None), Err(Fault::BadCacheIndex(3)));
        assert_eq!(cache.store(-2, &None), Err(Fault::BadCacheIndex(-2)));
        cache.store(1, &queue("a")).unwrap();
        assert_eq!(cache.get(1).unwrap().cloned(), queue("a"));
    }

    #[test]
    fn tags_go_with_the_value() {
        let mut cache = ReaderCache::new(3);
        cache.store(0, &queue("a")).unwrap();
        assert_eq!(cache.tag(0), Ok(0));
        cache.set_tag(0, 7).unwrap();
        assert_eq!(cache.tag(0), Ok(7));
        cache.store(0, &queue("a")).unwrap();
        assert_eq!(cache.tag(0), Ok(0));
        assert!(cache.set_tag(1, 7).is_err());
    }

    #[test]
    fn what_a_peer_caches_is_bounded_and_what_it_replaces_is_given_back() {
        let mut cache = ReaderCache::new(1024);
        let id = |length: usize| {
            let id = Structure::new(&schema::connection_id::DEFINITION);
            Some(id.with(schema::connection_id::VALUE, Value::string(&vec![b'x'; length])).shared())
        };
        for _ in 0..1_000 {
            cache.store(5, &id(60_000)).unwrap();
        }
        let refused = (0..1_000).find(|index| cache.store(*index, &id(60_000)).is_err());
        assert_eq!(refused.map(|index| index as usize), Some(RETAINED_LIMIT / 60_000));
    }

    #[test]
    fn java_assigns_in_order_and_evicts_from_the_front() {
        let mut cache = WriterCache::new(WriterPolicy::JavaOrder, 103);
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(cache.find(&queue(name)), Placement::New);
            assert_eq!(cache.insert(&queue(name)), index as i16);
        }
        cache.begin_frame();
        assert_eq!(cache.find(&queue("a")), Placement::Known(0));
        assert_eq!(cache.insert(&None), 3);
        cache.begin_frame();
        assert_eq!(cache.find(&queue("a")), Placement::New);
        assert_eq!(cache.find(&queue("b")), Placement::Known(1));
        assert_eq!(cache.find(&None), Placement::Known(3));
    }

    #[test]
    fn java_keeps_nothing_when_a_frame_fills_the_table() {
        let mut cache = WriterCache::new(WriterPolicy::JavaOrder, 101);
        for index in 0..101 {
            assert_eq!(cache.insert(&queue(&index.to_string())), index);
        }
        assert_eq!(cache.insert(&queue("more")), NOT_KEPT);
        assert_eq!(cache.find(&queue("more")), Placement::New);
        cache.begin_frame();
        assert_eq!(cache.insert(&queue("other")), 1);
    }

    #[test]
    fn small_java_tables_come_to_an_end() {
        let mut cache = WriterCache::new(WriterPolicy::JavaOrder, 5);
        for index in 0..20 {
            cache.begin_frame();
            cache.insert(&queue(&index.to_string()));
        }
    }

    #[test]
    fn cheap_agrees_with_a_reader_over_many_collisions() {
        let mut writer = WriterCache::new(WriterPolicy::Cheap, 7);
        let mut reader = ReaderCache::new(7);
        let mut known = 0;
        for step in 0..2_000u32 {
            let value = if step % 11 == 0 { None } else { queue(&(step * step % 23).to_string()) };
            let index = match writer.find(&value) {
                Placement::Known(index) => {
                    known += 1;
                    index
                }
                Placement::New => {
                    let index = writer.insert(&value);
                    reader.store(index, &value).unwrap();
                    index
                }
            };
            assert_eq!(reader.get(index).unwrap().cloned(), value, "step {step}");
        }
        assert!(known > 100, "{known} hits");
    }

    #[test]
    fn cheap_does_not_keep_large_values() {
        let mut cache = WriterCache::new(WriterPolicy::Cheap, 100);
        let large = queue(&"x".repeat(2_000));
        assert_eq!(cache.insert(&large), NOT_KEPT);
        assert_eq!(cache.find(&large), Placement::New);
    }
}
