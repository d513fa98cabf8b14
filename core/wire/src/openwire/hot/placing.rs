//! The table of what the peer's cache holds, for the direction in which this side writes.

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Slots that are used, however many were agreed: busy connections need a few dozen.
const SLOTS: u16 = 1024;

/// Values longer than this are sent whole each time, so that one connection's table stays below a megabyte.
const VALUE_BYTES: usize = 512;

/// How a cached field is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// There is no cache: the value stands in the field.
    None,
    /// The value, which the peer is to keep at this index; -1: not at all.
    New(i16),
    /// What the peer has at this index.
    Known(i16),
}

impl Slot {
    /// Whether the peer has the value.
    #[inline(always)]
    pub(super) fn is_known(self) -> bool {
        matches!(self, Slot::Known(_))
    }

    /// The index, if there is one.
    #[inline(always)]
    pub(super) fn index(self) -> i16 {
        match self {
            Slot::None => -1,
            Slot::New(index) | Slot::Known(index) => index,
        }
    }
}

/// What one owner of values remembers of the table: its last value and where that was put, so that nothing need be hashed as
/// long as the value stays the same.
#[derive(Default, Debug)]
pub(super) struct Remembered {
    head: Head,
    text: Vec<u8>,
    slot: u16,
    /// The slot's stamp when the value was put there; 0: nowhere.
    stamp: u64,
}

/// What a value is but for its text: the code of its type, and the numbers that it has.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub code: u8,
    pub session: i64,
    pub value: i64,
}

/// A value by its content.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub head: Head,
    pub text: &'a [u8],
}

impl Content<'_> {
    /// All of it in one row, as the table of values has it.
    fn write_key(&self, key: &mut Vec<u8>) {
        let Head { code, session, value } = self.head;
        key.clear();
        key.push(code);
        key.extend_from_slice(&session.to_le_bytes());
        key.extend_from_slice(&value.to_le_bytes());
        key.extend_from_slice(self.text);
    }
}

#[derive(Default)]
struct Entry {
    value: Box<[u8]>,
    stamp: u64,
}

/// Which value is at which index. Slots are given out in a circle; a value that loses its slot is sent again when it is needed.
///
/// The first slot is the null of cached fields: it is in nearly every message, so it is never evicted.
pub(super) struct PeerCache {
    entries: Vec<Entry>,
    slots: HashMap<Box<[u8]>, u16, FixedState>,
    range: Range<u16>,
    next: u16,
    last_stamp: u64,
    null_sent: bool,
    /// For looking a value up.
    key: Vec<u8>,
}

impl PeerCache {
    /// The table for a range of the peer's slots.
    pub(super) fn new(range: Range<u16>, hash_seed: u64) -> PeerCache {
        PeerCache {
            entries: Vec::new(),
            slots: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            next: range.start + 1,
            range: range.start..range.end.min(range.start.saturating_add(SLOTS)),
            last_stamp: 0,
            null_sent: false,
            key: Vec::new(),
        }
    }

    /// Where null stands.
    #[inline]
    pub(super) fn null(&mut self) -> Slot {
        let index = self.range.start as i16;
        if self.null_sent {
            return Slot::Known(index);
        }
        self.null_sent = !self.range.is_empty();
        Slot::New(if self.null_sent { index } else { -1 })
    }

    /// Where a value stands. Values must be asked for in the order in which they are written.
    #[inline]
    pub(super) fn place(&mut self, remembered: &mut Remembered, content: Content<'_>) -> Slot {
        if self.holds(remembered) && content.head == remembered.head && *content.text == *remembered.text {
            return Slot::Known(remembered.slot as i16);
        }
        self.search(remembered, content)
    }

    /// As [`place`](PeerCache::place), for an owner that has only ever had this one value.
    #[inline]
    pub(super) fn place_only(&mut self, remembered: &mut Remembered, content: Content<'_>) -> Slot {
        if self.holds(remembered) {
            return Slot::Known(remembered.slot as i16);
        }
        self.search(remembered, content)
    }

    /// Where the value stands that this owner has placed last, with this outcome, in the same frame.
    #[inline]
    pub(super) fn place_again(&mut self, placed: Slot, remembered: &mut Remembered, content: Content<'_>) -> Slot {
        match placed {
            Slot::New(-1) => placed,
            _ => self.place_only(remembered, content),
        }
    }

    #[inline]
    fn holds(&self, remembered: &Remembered) -> bool {
        let entry = self.entries.get(usize::from(remembered.slot));
        remembered.stamp != 0 && entry.is_some_and(|entry| entry.stamp == remembered.stamp)
    }

    #[cold]
    fn search(&mut self, remembered: &mut Remembered, content: Content<'_>) -> Slot {
        if content.text.len() > VALUE_BYTES || self.range.len() < 2 {
            return Slot::New(-1);
        }
        content.write_key(&mut self.key);
        let (slot, found) = match self.slots.get(&self.key[..]) {
            Some(slot) => (*slot, Slot::Known(*slot as i16)),
            None => {
                let slot = self.put(self.key[..].into());
                (slot, Slot::New(slot as i16))
            }
        };
        remembered.head = content.head;
        remembered.text.clear();
        remembered.text.extend_from_slice(content.text);
        let entry = self.entries.get(usize::from(slot));
        (remembered.slot, remembered.stamp) = (slot, entry.map_or(0, |entry| entry.stamp));
        found
    }

    fn put(&mut self, value: Box<[u8]>) -> u16 {
        let slot = self.next;
        self.next = if slot + 1 < self.range.end { slot + 1 } else { self.range.start + 1 };
        if self.entries.len() <= usize::from(slot) {
            self.entries.resize_with(usize::from(slot) + 1, Entry::default);
        }
        self.last_stamp += 1;
        if let Some(entry) = self.entries.get_mut(usize::from(slot)) {
            self.slots.remove(&entry.value);
            *entry = Entry { value: value.clone(), stamp: self.last_stamp };
        }
        self.slots.insert(value, slot);
        slot
    }

    /// Forgets all that the peer has: after a frame that was not sent after all.
    pub(super) fn forget(&mut self) {
        self.slots.clear();
        self.entries.clear();
        self.null_sent = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &[u8]) -> Content<'_> {
        Content { head: Head { code: 1, session: 2, value: 3 }, text }
    }

    /// What a reader makes of the slots: the value of each index.
    #[derive(Default)]
    struct Reader(std::collections::BTreeMap<i16, Option<Vec<u8>>>);

    impl Reader {
        fn read(&mut self, slot: Slot, value: Option<&[u8]>) {
            match slot {
                Slot::None => panic!("there is a cache"),
                Slot::New(-1) => {}
                Slot::New(index) => {
                    self.0.insert(index, value.map(Into::into));
                }
                Slot::Known(index) => assert_eq!(self.0[&index].as_deref(), value),
            }
        }
    }

    #[test]
    fn a_reader_understands_every_reference() {
        for range in [0..0, 5..5, 0..1, 0..2, 3..5, 0..3, 1..8, 16..1024, 16..16_383] {
            let mut cache = PeerCache::new(range.clone(), 7);
            let mut reader = Reader::default();
            let mut owners: [Remembered; 3] = Default::default();
            for step in 0..3_000_usize {
                let text = (step * step % 11).to_string();
                let slot = cache.place(&mut owners[step % 3], content(text.as_bytes()));
                reader.read(slot, Some(text.as_bytes()));
                reader.read(cache.null(), None);
                if step % 500 == 499 {
                    cache.forget();
                    reader.0.clear();
                }
                assert!(reader.0.keys().all(|index| range.contains(&(*index as u16))), "indices of the range");
            }
        }
    }

    #[test]
    fn a_value_is_sent_once() {
        let mut cache = PeerCache::new(0..100, 0);
        let (mut one, mut other) = (Remembered::default(), Remembered::default());
        assert_eq!(cache.place(&mut one, content(b"a")), Slot::New(1));
        assert_eq!(cache.place(&mut one, content(b"a")), Slot::Known(1));
        assert_eq!(cache.place(&mut other, content(b"a")), Slot::Known(1));
        assert_eq!(cache.place(&mut one, content(b"b")), Slot::New(2));
        assert_eq!(cache.place(&mut one, content(&[b'x'; VALUE_BYTES + 1])), Slot::New(-1));
        assert_eq!(cache.place(&mut one, content(b"b")), Slot::Known(2));
        assert_eq!(cache.place_only(&mut other, content(b"a")), Slot::Known(1));
    }
}
