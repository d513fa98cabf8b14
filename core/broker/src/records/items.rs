//! What lives where in a log: an array for each segment, from a record's number within it to the item that it is the home of (R10).
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

use crate::messages::{DestinationIndex, MessageIndex, OutcomeIndex, TransactionIndex};
use crate::records::PLACE_BYTES;
use postrider_journal::{Generation, Home, SegmentNumber};
use std::collections::VecDeque;

/// What the journal adds to a record's meta and body, about.
pub(crate) const RECORD_OVERHEAD: u64 = 48;

/// Something that is homed in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// Nothing, or nothing any more.
    None,
    /// A message; the first of its places.
    Message(MessageIndex),
    /// A destination and its number.
    Destination(DestinationIndex),
    /// What may have been delivered of a queue.
    Allowance(DestinationIndex),
    /// The reservation of sequences.
    Reservation,
    /// A prepared branch.
    Branch(TransactionIndex),
    /// How a branch has ended.
    Outcome(OutcomeIndex),
}

/// The home of an item that is not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ItemHome {
    pub segment: SegmentNumber,
    pub ordinal: u32,
    pub bytes: u32,
}

impl ItemHome {
    /// The home of a record with this much meta.
    pub(crate) fn new(home: Home, meta: usize) -> ItemHome {
        let meta = u32::try_from(meta).unwrap_or(u32::MAX);
        ItemHome { segment: home.segment, ordinal: home.ordinal, bytes: home.len.saturating_add(meta) }
    }

    /// What the record takes in the log, about.
    fn log_bytes(self) -> u64 {
        u64::from(self.bytes) + RECORD_OVERHEAD
    }
}

/// Items for which a segment's table gets memory at a time.
const CHUNK: usize = 1_024;

#[cold]
fn empty_chunk() -> Box<[Item; CHUNK]> {
    Box::new([Item::None; CHUNK])
}

/// What lives in one segment.
#[derive(Default, Debug)]
pub(crate) struct Table {
    /// In chunks, so that growing copies nothing; none where nothing was placed.
    items: Vec<Option<Box<[Item; CHUNK]>>>,
    live: u32,
    live_bytes: u64,
    /// Producers whose mark is homed here; they are not in `items`, as a message's record is a mark's home, too.
    marks: u32,
    /// What moving them takes.
    mark_bytes: u64,
    records: u32,
}

impl Table {
    /// The item of the record with this number.
    pub(crate) fn item(&self, ordinal: u32) -> Item {
        let chunk = self.items.get(ordinal as usize / CHUNK).and_then(Option::as_deref);
        chunk.and_then(|chunk| chunk.get(ordinal as usize % CHUNK)).copied().unwrap_or(Item::None)
    }

    /// Records seen.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    fn put(&mut self, ordinal: u32, item: Item) {
        let chunk = self.items.get_mut(ordinal as usize / CHUNK).and_then(Option::as_deref_mut);
        if let Some(place) = chunk.and_then(|chunk| chunk.get_mut(ordinal as usize % CHUNK)) {
            *place = item;
        }
    }

    /// The place of the record's item, which is there from now on.
    #[expect(clippy::indexing_slicing, reason = "the list has just grown to it")]
    fn reach(&mut self, ordinal: u32) -> &mut Item {
        let (chunk, place) = (ordinal as usize / CHUNK, ordinal as usize % CHUNK);
        if self.items.len() <= chunk {
            self.grow_to(chunk);
        }
        &mut self.items[chunk].get_or_insert_with(empty_chunk)[place]
    }

    #[cold]
    fn grow_to(&mut self, chunk: usize) {
        self.items.resize_with(chunk + 1, || None);
    }

    /// Items that live here, without marks.
    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Bytes of the items and marks that live here.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes + self.mark_bytes
    }

    /// What moving marks takes.
    pub(crate) fn mark_bytes(&self) -> u64 {
        self.mark_bytes
    }

    /// Marks that live here.
    pub(crate) fn marks(&self) -> u32 {
        self.marks
    }
}

/// What lives in the segments of one log.
#[derive(Default)]
pub(crate) struct Segments {
    first: u64,
    /// The segments that records are added to: the spool has one for each generation.
    written: [Option<SegmentNumber>; 2],
    tables: VecDeque<Option<Box<Table>>>,
    live_bytes: u64,
}

impl Segments {
    /// Bytes of records that live.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The newest segment that holds a record.
    pub(crate) fn newest(&self) -> Option<SegmentNumber> {
        (!self.tables.is_empty()).then(|| SegmentNumber(self.first + self.tables.len() as u64 - 1))
    }

    /// The oldest segment that holds a record and was not forgotten.
    pub(crate) fn oldest(&self) -> Option<SegmentNumber> {
        let first = self.tables.iter().position(Option::is_some)?;
        Some(SegmentNumber(self.first + first as u64))
    }

    /// The oldest segment, if it is no longer written.
    pub(crate) fn front(&self) -> Option<SegmentNumber> {
        self.oldest().filter(|front| Some(*front) != self.newest())
    }

    /// Segments that are known.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = SegmentNumber> {
        let numbers = (self.first..).zip(&self.tables).filter(|(_, table)| table.is_some());
        numbers.map(|(number, _)| SegmentNumber(number))
    }

    /// What lives in a segment.
    pub(crate) fn table(&self, segment: SegmentNumber) -> Option<&Table> {
        self.tables.get(self.index_of(segment)?)?.as_deref()
    }

    /// The segment that records of a generation are added to.
    pub(crate) fn written(&self, generation: Generation) -> Option<SegmentNumber> {
        self.written.get(generation as usize).copied().flatten()
    }

    /// Whether records are added to the segment.
    pub(crate) fn is_written(&self, segment: SegmentNumber) -> bool {
        self.written.contains(&Some(segment))
    }

    /// Notes that there is a record, whatever it is.
    pub(crate) fn note(&mut self, segment: SegmentNumber, ordinal: u32, generation: Generation) {
        if self.written(generation) != Some(segment) {
            self.write_on(segment, generation);
        }
        let table = self.table_mut(segment);
        table.records = table.records.max(ordinal.saturating_add(1));
    }

    /// The segment that was written before gives its memory back if nothing lives there: whoever follows a log does not forget segments.
    #[cold]
    fn write_on(&mut self, segment: SegmentNumber, generation: Generation) {
        let Some(written) = self.written.get_mut(generation as usize) else { return };
        let before = written.replace(segment);
        if let Some(before) = before.filter(|before| !self.is_written(*before))
            && let Some(table) = self.index_of(before).and_then(|index| self.tables.get_mut(index)?.as_mut())
            && table.live == 0
        {
            table.items = Vec::new();
        }
    }

    /// Whether an earlier record is the home of an item under the same number.
    pub(crate) fn is_taken(&self, segment: SegmentNumber, ordinal: u32) -> bool {
        self.table(segment).is_some_and(|table| table.item(ordinal) != Item::None)
    }

    /// A record is the home of an item.
    pub(crate) fn place(&mut self, home: ItemHome, item: Item) {
        let table = self.table_mut(home.segment);
        *table.reach(home.ordinal) = item;
        table.live += 1;
        table.live_bytes += home.log_bytes();
        self.live_bytes += home.log_bytes();
    }

    /// Another item stands for the same record.
    pub(crate) fn replace(&mut self, segment: SegmentNumber, ordinal: u32, item: Item) {
        self.table_mut(segment).put(ordinal, item);
    }

    /// The record is the home of nothing any more. True: nothing but marks lives in its segment.
    pub(crate) fn clear(&mut self, home: ItemHome) -> bool {
        self.live_bytes -= home.log_bytes();
        let table = self.table_mut(home.segment);
        table.put(home.ordinal, Item::None);
        table.live -= 1;
        table.live_bytes -= home.log_bytes();
        let dead = table.live == 0;
        if dead && !self.is_written(home.segment) {
            self.table_mut(home.segment).items = Vec::new();
        }
        dead
    }

    /// A record there has so many places more that are alive.
    pub(crate) fn add_places(&mut self, segment: SegmentNumber, places: u64) {
        self.table_mut(segment).live_bytes += places * PLACE_BYTES;
        self.live_bytes += places * PLACE_BYTES;
    }

    /// So many places of a record there are no more, or elsewhere.
    pub(crate) fn remove_places(&mut self, segment: SegmentNumber, places: u64) {
        self.table_mut(segment).live_bytes -= places * PLACE_BYTES;
        self.live_bytes -= places * PLACE_BYTES;
    }

    /// A mark of so many bytes has its home there.
    pub(crate) fn add_mark(&mut self, segment: SegmentNumber, bytes: u64) {
        let table = self.table_mut(segment);
        table.marks += 1;
        table.mark_bytes += bytes;
        self.live_bytes += bytes;
    }

    /// A mark has its home elsewhere, or is gone.
    pub(crate) fn remove_mark(&mut self, segment: SegmentNumber, bytes: u64) {
        let table = self.table_mut(segment);
        table.marks -= 1;
        table.mark_bytes = table.mark_bytes.saturating_sub(bytes);
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
    }

    /// Whether nothing lives in the segment.
    pub(crate) fn is_dead(&self, segment: SegmentNumber) -> bool {
        self.table(segment).is_none_or(|table| table.live == 0 && table.marks == 0)
    }

    /// Forgets a segment.
    pub(crate) fn drop_segment(&mut self, segment: SegmentNumber) {
        if let Some(table) = self.index_of(segment).and_then(|index| self.tables.get_mut(index)) {
            *table = None;
        }
        while self.tables.len() > 1 && self.tables.front().is_some_and(Option::is_none) {
            self.tables.pop_front();
            self.first += 1;
        }
    }

    fn index_of(&self, segment: SegmentNumber) -> Option<usize> {
        usize::try_from(segment.0.checked_sub(self.first)?).ok()
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "the list reaches it, or was grown to it"
    )]
    fn table_mut(&mut self, segment: SegmentNumber) -> &mut Table {
        let index = segment.0.wrapping_sub(self.first) as usize;
        if self.tables.get(index).is_some_and(Option::is_some) {
            return self.tables[index].get_or_insert_default();
        }
        self.add_table(segment)
    }

    #[cold]
    #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the list has just grown to it")]
    fn add_table(&mut self, segment: SegmentNumber) -> &mut Table {
        if self.tables.is_empty() {
            self.first = segment.0;
        }
        while segment.0 < self.first {
            self.tables.push_front(None);
            self.first -= 1;
        }
        let index = (segment.0 - self.first) as usize;
        if self.tables.len() <= index {
            self.tables.resize_with(index + 1, || None);
        }
        self.tables[index].get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(segment: u64, ordinal: u32) -> ItemHome {
        ItemHome { segment: SegmentNumber(segment), ordinal, bytes: 100 }
    }

    #[test]
    fn items_stay_where_they_are_when_their_table_grows() {
        let mut segments = Segments::default();
        segments.place(home(1, 0), Item::Message(MessageIndex(0)));
        let at = |segments: &Segments| {
            segments.table(SegmentNumber(1)).unwrap().items[0].as_deref().map(|chunk| chunk.as_ptr())
        };
        let first = at(&segments);
        let ordinals = [1, CHUNK as u32 - 1, CHUNK as u32, 5 * CHUNK as u32 + 7, 16_000_000];
        for ordinal in ordinals {
            segments.place(home(1, ordinal), Item::Message(MessageIndex(ordinal)));
        }
        assert_eq!(at(&segments), first);
        let table = segments.table(SegmentNumber(1)).unwrap();
        assert_eq!(table.items.iter().flatten().count(), 4, "only where there is something");
        assert!(ordinals.iter().all(|ordinal| table.item(*ordinal) == Item::Message(MessageIndex(*ordinal))));
        assert!([2, 2 * CHUNK as u32, 16_000_001, u32::MAX].iter().all(|ordinal| table.item(*ordinal) == Item::None));
        segments.replace(SegmentNumber(1), 2 * CHUNK as u32, Item::Reservation);
        segments.replace(SegmentNumber(1), 1, Item::Reservation);
        assert_eq!(segments.table(SegmentNumber(1)).unwrap().item(1), Item::Reservation);
        assert!(
            ordinals
                .iter()
                .chain(&[0])
                .map(|ordinal| segments.clear(home(1, *ordinal)))
                .eq([false, false, false, false, false, true])
        );
        assert!(segments.table(SegmentNumber(1)).unwrap().items.is_empty());
    }

    #[test]
    fn a_segment_that_has_died_while_it_was_written_has_no_memory_behind_it() {
        let mut segments = Segments::default();
        for segment in 1..4 {
            segments.note(SegmentNumber(segment), 0, Generation::Young);
            segments.place(home(segment, 0), Item::Message(MessageIndex(0)));
            segments.place(home(segment, 1), Item::Message(MessageIndex(1)));
            segments.clear(home(segment, 0));
            if segment != 2 {
                segments.clear(home(segment, 1));
            }
        }
        let has_memory = |segment| segments.table(SegmentNumber(segment)).is_some_and(|table| !table.items.is_empty());
        assert_eq!([1, 2, 3].map(has_memory), [false, true, true]);
    }

    #[test]
    fn a_segment_dies_with_its_last_item_and_mark() {
        let mut segments = Segments::default();
        segments.note(SegmentNumber(7), 0, Generation::Young);
        segments.place(home(7, 3), Item::Reservation);
        segments.place(home(9, 0), Item::Message(MessageIndex(1)));
        segments.add_mark(SegmentNumber(7), 90);
        assert_eq!(segments.live_bytes(), 2 * (100 + RECORD_OVERHEAD) + 90);
        assert!(!segments.is_dead(SegmentNumber(7)) && segments.is_dead(SegmentNumber(8)));
        assert!(segments.clear(home(7, 3)));
        assert!(!segments.is_dead(SegmentNumber(7)));
        segments.remove_mark(SegmentNumber(7), 90);
        assert!(segments.is_dead(SegmentNumber(7)));
        segments.drop_segment(SegmentNumber(7));
        assert!(segments.table(SegmentNumber(7)).is_none() && segments.tables.len() == 1);
        assert_eq!(segments.newest(), Some(SegmentNumber(9)));
        assert_eq!(segments.table(SegmentNumber(9)).unwrap().item(0), Item::Message(MessageIndex(1)));
    }
}
