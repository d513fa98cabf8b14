//! A double-ended list in chunks: growing copies nothing, a peak does not stay, and taking from the middle moves one chunk at most.

use crate::kit::soonest::{NEVER, Soonest};
use std::collections::VecDeque;

pub(super) const CHUNK: usize = 128;

/// Chunks kept for later: what a consumer with the usual prefetch of 1,000 fills and empties.
const SPARE_CHUNKS: usize = 8;

pub(super) struct Chunk<T> {
    items: Vec<T>,
    start: usize,
    /// No item expires before this, in milliseconds since 1970; exact when it was looked for last.
    pub soonest: i64,
}

impl<T> Chunk<T> {
    pub(super) fn live(&self) -> &[T] {
        self.items.get(self.start..).unwrap_or_default()
    }
}

/// The list. Only the single chunk of an empty list is empty.
pub(crate) struct Deque<T> {
    pub(super) chunks: VecDeque<Chunk<T>>,
    spare: Vec<Vec<T>>,
    length: usize,
    /// All chunks are full but for what was taken from the front: items are found by arithmetic.
    regular: bool,
    pub(super) soonest: Soonest,
}

/// A place in a list, valid until the list changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(super) chunk: usize,
    item: usize,
}

impl<T> Default for Deque<T> {
    fn default() -> Deque<T> {
        Deque { chunks: VecDeque::new(), spare: Vec::new(), length: 0, regular: true, soonest: Soonest::NONE }
    }
}

impl<T: Copy> Deque<T> {
    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds at the end.
    pub(crate) fn push_back(&mut self, item: T) {
        self.push_back_until(item, NEVER);
    }

    /// Adds something at the end that expires at this time.
    pub(crate) fn push_back_until(&mut self, item: T, expiration: i64) {
        self.length += 1;
        self.soonest.add(expiration);
        if let Some(last) = self.chunks.back_mut()
            && last.items.len() < CHUNK
        {
            last.items.push(item);
            last.soonest = last.soonest.min(expiration);
            return;
        }
        let mut items = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
        items.push(item);
        self.chunks.push_back(Chunk { items, start: 0, soonest: expiration });
    }

    /// The first.
    pub(crate) fn front(&self) -> Option<T> {
        self.chunks.front().and_then(|chunk| chunk.live().first()).copied()
    }

    /// The last.
    pub(crate) fn back(&self) -> Option<T> {
        self.chunks.back().and_then(|chunk| chunk.live().last()).copied()
    }

    /// Takes the first.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let chunk = self.chunks.front_mut()?;
        let item = *chunk.items.get(chunk.start)?;
        chunk.start += 1;
        self.length -= 1;
        if chunk.start == chunk.items.len() {
            self.drop_empty(0);
        }
        Some(item)
    }

    /// The item with this many before it; walks chunks if something was taken from the middle.
    pub(crate) fn get(&self, index: usize) -> Option<T> {
        self.place_of(index).and_then(|place| self.at(place))
    }

    /// As [`Deque::get`], to change it.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let place = self.place_of(index)?;
        self.chunks.get_mut(place.chunk).and_then(|chunk| chunk.items.get_mut(place.item))
    }

    fn place_of(&self, mut index: usize) -> Option<Place> {
        if self.regular {
            let item = index + self.chunks.front()?.start;
            return Some(Place { chunk: item / CHUNK, item: item % CHUNK });
        }
        for (number, chunk) in self.chunks.iter().enumerate() {
            if index < chunk.live().len() {
                return Some(Place { chunk: number, item: chunk.start + index });
            }
            index -= chunk.live().len();
        }
        None
    }

    /// All items in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        self.chunks.iter().flat_map(|chunk| chunk.live().iter().copied())
    }

    /// The place of the first item.
    pub(crate) fn first_place(&self) -> Place {
        Place { chunk: 0, item: self.chunks.front().map_or(0, |chunk| chunk.start) }
    }

    /// The place of the first item that `before` does not hold for, given that those for which it holds come first.
    pub(crate) fn search(&self, before: impl Fn(T) -> bool) -> Place {
        let chunk = self.chunks.partition_point(|chunk| chunk.live().last().is_some_and(|item| before(*item)));
        let within = |chunk: &Chunk<T>| chunk.start + chunk.live().partition_point(|item| before(*item));
        Place { chunk, item: self.chunks.get(chunk).map_or(0, within) }
    }

    /// As [`Deque::search`], for a place that is near the front as a rule.
    pub(crate) fn search_from_front(&self, before: impl Fn(T) -> bool) -> Place {
        let is_before = |chunk: usize| {
            self.chunks.get(chunk).and_then(|chunk| chunk.live().last()).is_some_and(|item| before(*item))
        };
        let (mut from, mut to, mut step) = (0, 0, 1);
        while is_before(to) {
            (from, to) = (to + 1, to + step);
            step *= 2;
        }
        while from < to {
            let middle = usize::midpoint(from, to);
            if is_before(middle) { from = middle + 1 } else { to = middle }
        }
        let within = |chunk: &Chunk<T>| chunk.start + chunk.live().partition_point(|item| before(*item));
        Place { chunk: from, item: self.chunks.get(from).map_or(0, within) }
    }

    /// The item there; none at the end.
    pub(crate) fn at(&self, place: Place) -> Option<T> {
        self.chunks.get(place.chunk).and_then(|chunk| chunk.items.get(place.item)).copied()
    }

    /// The place after one that was known before the list may have changed, if what `is_it` is still there.
    pub(crate) fn after_known(&self, place: Place, is_it: impl Fn(T) -> bool) -> Option<Place> {
        let chunk = self.chunks.get(place.chunk).filter(|chunk| place.item >= chunk.start)?;
        chunk.items.get(place.item).is_some_and(|item| is_it(*item)).then(|| self.after(place))
    }

    /// The place after this one.
    pub(crate) fn after(&self, place: Place) -> Place {
        match self.chunks.get(place.chunk) {
            Some(chunk) if place.item + 1 < chunk.items.len() => Place { item: place.item + 1, ..place },
            _ => self.start_of(place.chunk + 1),
        }
    }

    /// The item before this place.
    pub(crate) fn before(&self, place: Place) -> Option<T> {
        match self.chunks.get(place.chunk) {
            Some(chunk) if place.item > chunk.start => chunk.items.get(place.item - 1).copied(),
            _ => self.chunks.get(place.chunk.checked_sub(1)?)?.live().last().copied(),
        }
    }

    /// Takes the item there out, and returns the place of the one after it.
    pub(crate) fn remove(&mut self, place: Place) -> Place {
        let Some(chunk) = self.chunks.get_mut(place.chunk).filter(|chunk| place.item < chunk.items.len()) else {
            return place;
        };
        self.regular &= place.chunk == 0 && place.item == chunk.start;
        if place.item == chunk.start {
            chunk.start += 1;
        } else {
            chunk.items.remove(place.item);
        }
        let next = place.item.max(chunk.start);
        let (used, length) = (chunk.live().is_empty(), chunk.items.len());
        self.length -= 1;
        if used {
            self.drop_empty(place.chunk);
            self.start_of(place.chunk)
        } else if next < length {
            Place { item: next, ..place }
        } else {
            self.start_of(place.chunk + 1)
        }
    }

    /// Takes the first `count` items out as a list of their own; whole chunks go without being copied.
    pub(crate) fn take_prefix(&mut self, count: usize) -> Deque<T> {
        let mut taken = Deque { regular: false, ..Deque::default() };
        while let Some(chunk) = self.chunks.front() {
            let live = chunk.live().len();
            if live == 0 || taken.length + live > count {
                break;
            }
            taken.length += live;
            self.length -= live;
            taken.chunks.extend(self.chunks.pop_front());
        }
        self.regular |= self.chunks.is_empty();
        while taken.length < count {
            let Some(item) = self.pop_front() else { break };
            taken.push_back(item);
        }
        taken
    }

    /// Takes `count` items out from this place on, likewise.
    pub(crate) fn take_from(&mut self, place: Place, count: usize) -> Deque<T> {
        let mut all = self.take_prefix(self.count_before(place));
        let taken = self.take_prefix(count);
        let rest = std::mem::take(self);
        all.length += rest.length;
        all.chunks.extend(rest.chunks.into_iter().filter(|chunk| !chunk.live().is_empty()));
        (all.spare, all.regular, all.soonest) = (rest.spare, all.chunks.is_empty(), rest.soonest);
        *self = all;
        taken
    }

    /// Takes in another list, both in the order of this key. Chunks between which none of the other's items belongs stay as they are.
    pub(crate) fn merge(&mut self, other: Deque<T>, key: impl Fn(T) -> u64) {
        let Deque { chunks, spare, soonest, .. } = std::mem::take(self);
        (self.spare, self.soonest) = (spare, soonest);
        let items = |chunk: Chunk<T>| {
            let (start, soonest) = (chunk.start, chunk.soonest);
            chunk.items.into_iter().skip(start).map(move |item| (item, soonest))
        };
        let mut others = other.chunks.into_iter().flat_map(items).peekable();
        for chunk in chunks {
            let Some(last) = chunk.live().last().map(|last| key(*last)) else { continue };
            if others.peek().is_none_or(|(other, _)| key(*other) > last) {
                self.length += chunk.live().len();
                self.chunks.push_back(chunk);
                continue;
            }
            for (item, soonest) in items(chunk) {
                while let Some((other, until)) = others.next_if(|(other, _)| key(*other) < key(item)) {
                    self.push_back_until(other, until);
                }
                self.push_back_until(item, soonest);
            }
        }
        others.for_each(|(other, until)| self.push_back_until(other, until));
        self.regular = self.chunks.is_empty();
    }

    /// Items before this place.
    pub(crate) fn count_before(&self, place: Place) -> usize {
        let whole: usize = self.chunks.iter().take(place.chunk).map(|chunk| chunk.live().len()).sum();
        whole + self.chunks.get(place.chunk).map_or(0, |chunk| place.item - chunk.start)
    }

    pub(super) fn start_of(&self, chunk: usize) -> Place {
        Place { chunk, item: self.chunks.get(chunk).map_or(0, |chunk| chunk.start) }
    }

    /// The last chunk of an empty list is kept; of others a few are kept, so that a list that breathes allocates nothing.
    fn drop_empty(&mut self, index: usize) {
        if self.chunks.len() == 1
            && let Some(chunk) = self.chunks.front_mut()
        {
            chunk.items.clear();
            (chunk.start, chunk.soonest) = (0, NEVER);
            self.regular = true;
            return;
        }
        if let Some(mut chunk) = self.chunks.remove(index) {
            chunk.items.clear();
            if self.spare.len() < SPARE_CHUNKS {
                self.spare.push(chunk.items);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_as_they_went_in() {
        let mut deque = Deque::default();
        let mut model = VecDeque::new();
        for round in 0..2_000u32 {
            for number in 0..round % 7 {
                deque.push_back(round * 10 + number);
                model.push_back(round * 10 + number);
            }
            for _ in 0..round % 5 {
                assert_eq!(deque.pop_front(), model.pop_front());
            }
            assert_eq!(
                (deque.len(), deque.front(), deque.back()),
                (model.len(), model.front().copied(), model.back().copied())
            );
        }
        assert!(deque.iter().eq(model.iter().copied()));
        assert_eq!(deque.get(500), model.get(500).copied());
    }

    #[test]
    fn anything_can_be_found_and_taken_out() {
        let mut deque = Deque::default();
        let mut model: Vec<u32> = (0..1_000).map(|number| number * 2).collect();
        model.iter().for_each(|item| deque.push_back(*item));
        let mut state = 7u32;
        while !model.is_empty() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let index = state as usize % model.len();
            let wanted = model[index];
            let place = deque.search(|item| item < wanted);
            assert_eq!(deque.at(place), Some(wanted));
            assert_eq!(deque.at(deque.after(place)), model.get(index + 1).copied());
            let next = deque.remove(place);
            model.remove(index);
            assert_eq!(deque.at(next), model.get(index).copied());
            assert_eq!(deque.front(), model.first().copied());
            assert_eq!(deque.back(), model.last().copied());
            assert!(deque.chunks.len() == 1 || deque.chunks.iter().all(|chunk| !chunk.live().is_empty()));
        }
        assert!(deque.is_empty());
    }

    #[test]
    fn a_prefix_leaves_the_rest() {
        for (length, popped, count) in
            [(1_000u32, 0u32, 300usize), (1_000, 50, 128), (256, 0, 256), (5, 0, 9), (300, 10, 0)]
        {
            let mut deque = Deque::default();
            (0..length).for_each(|item| deque.push_back(item));
            (0..popped).for_each(|_| assert!(deque.pop_front().is_some()));
            let place = deque.search(|item| item < popped + count as u32);
            assert_eq!(deque.count_before(place), count.min((length - popped) as usize));
            let taken = deque.take_prefix(count);
            let border = (popped + count as u32).min(length);
            assert!(taken.iter().eq(popped..border) && deque.iter().eq(border..length), "{length} {count}");
            assert_eq!(taken.len() + deque.len(), (length - popped) as usize);
            deque.push_back(7);
            assert_eq!(deque.back(), Some(7));
        }
    }

    #[test]
    fn two_lists_become_one_in_order() {
        let mut state = 7u32;
        let mut below = |most: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % most
        };
        for _ in 0..300 {
            let (mut left, mut right) = (Deque::default(), Deque::default());
            let chance = 1 + below(40);
            let block = 1 + below(400);
            for item in 0..2_000u32 {
                let list = if below(chance * 2) == 0 || (item / block) % 7 == 1 { &mut right } else { &mut left };
                list.push_back_until(item, i64::from(item));
            }
            for _ in 0..below(500) {
                let list = if below(2) == 0 { &mut left } else { &mut right };
                let wanted = below(2_000);
                let place = list.search_from_front(|item| item < wanted);
                assert_eq!(place, list.search(|item| item < wanted));
                if below(3) == 0 {
                    list.pop_front();
                } else {
                    list.remove(place);
                }
            }
            let mut both: Vec<u32> = left.iter().chain(right.iter()).collect();
            both.sort_unstable();
            left.merge(right, u64::from);
            assert!(left.iter().eq(both.iter().copied()) && left.len() == both.len());
            let soonest = both.first().copied().unwrap_or_default();
            assert!(both.is_empty() || left.may_expire(i64::from(soonest)));
            for index in [0, both.len() / 2, both.len().saturating_sub(1)] {
                assert_eq!(left.get(index), both.get(index).copied());
            }
            assert!(left.chunks.len() <= 1 || left.chunks.iter().all(|chunk| !chunk.live().is_empty()));
            let mut expired = Vec::new();
            left.begin_sweep();
            left.sweep(
                |_| false,
                (usize::MAX, 1_000),
                |item| {
                    let due = item <= 1_000;
                    expired.extend(due.then_some(item));
                    (!due).then_some(i64::from(item))
                },
            );
            assert!(expired.iter().eq(both.iter().filter(|item| **item <= 1_000)));
            left.push_back(7_000);
            assert_eq!(left.back(), Some(7_000));
        }
    }

    #[test]
    fn a_range_leaves_what_is_before_and_behind() {
        for (length, first, count) in
            [(1_000u32, 300, 500), (1_000, 0, 1_000), (300, 128, 128), (300, 299, 1), (5, 2, 0)]
        {
            let mut deque = Deque::default();
            (0..length).for_each(|item| deque.push_back(item));
            let taken = deque.take_from(deque.search(|item| item < first), count as usize);
            assert!(taken.iter().eq(first..first + count), "{length} {first} {count}");
            let rest: Vec<u32> = (0..first).chain(first + count..length).collect();
            assert!(deque.iter().eq(rest.iter().copied()) && deque.len() == rest.len());
            assert_eq!(deque.get(rest.len() / 2), rest.get(rest.len() / 2).copied());
            deque.push_back(7);
            assert_eq!((deque.back(), deque.len()), (Some(7), rest.len() + 1));
        }
    }
}
