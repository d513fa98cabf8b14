//! The windows that there are, and which of them makes room.
//!
//! One that its reader has left for the next one goes first. Where those that are read have to go, there are more readers than windows of
//! this size: the next ones are smaller, so that each reader keeps its own, and larger again when long none had to go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::image::Image;
use crate::position::{Position, SegmentNumber};

/// Windows before a place that are looked through for one that holds it: where sizes change a few overlap.
const NEIGHBOURS: usize = 8;
/// How often windows are halved at most.
const MOST_HALVINGS: u32 = 5;
/// They are halved again when half of their memory was filled anew, and doubled when it was so often.
const CALM: u64 = 4;

/// Where a window is.
pub(crate) type Key = (SegmentNumber, Position);

/// A part of a segment in memory.
pub(crate) struct Window {
    pub image: Arc<Image>,
    /// How far its reader was ahead when it was asked for; 0: somebody waited for it.
    pub depth: u32,
    serial: u64,
    /// Somebody has read of it.
    is_begun: bool,
    /// Who has read it is at the next one.
    is_through: bool,
    /// Where its reader is expected to go on.
    next: Option<Position>,
}

/// All of them.
pub(crate) struct Windows {
    windows: BTreeMap<Key, Window>,
    /// As they came, and as they were read; what is gone or has changed stands there as well.
    arrived: VecDeque<(Key, u64)>,
    through: VecDeque<(Key, u64)>,
    /// Where readers are expected to go on, and from which window.
    expected: BTreeMap<Position, Key>,
    limit: u64,
    bytes: u64,
    /// Of them in windows that nobody has wanted so far.
    unread: u64,
    serial: u64,
    halvings: u32,
    /// Bytes that have come since the size has changed.
    filled: u64,
}

impl Window {
    fn len(&self) -> u64 {
        self.image.len() as u64
    }

    fn is_unread(&self) -> bool {
        self.depth > 0 && !self.is_begun
    }
}

impl Windows {
    pub(crate) fn new(limit: u64) -> Windows {
        Windows {
            windows: BTreeMap::new(),
            arrived: VecDeque::new(),
            through: VecDeque::new(),
            expected: BTreeMap::new(),
            limit,
            bytes: 0,
            unread: 0,
            serial: 0,
            halvings: 0,
            filled: 0,
        }
    }

    /// Bytes that they may take.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Of those that are there, what nobody has wanted so far.
    pub(crate) fn unread(&self) -> u64 {
        self.unread
    }

    /// What one has at present that should have so many bytes.
    pub(crate) fn fitting(&self, bytes: u64) -> u64 {
        bytes >> self.halvings
    }

    /// The window that holds what is from `start` to `end`.
    pub(crate) fn holding(&self, segment: SegmentNumber, start: Position, end: Position) -> Option<(Key, &Window)> {
        let before = self.windows.range((segment, Position(0))..=(segment, start)).rev().take(NEIGHBOURS);
        let mut holding = before.filter(|(key, window)| key.1 + window.len() >= end);
        holding.next().map(|(key, window)| (*key, window))
    }

    /// The one that goes on furthest from a place, and where it ends.
    pub(crate) fn furthest(&self, segment: SegmentNumber, from: Position) -> Option<(Position, &Window, Position)> {
        let before = self.windows.range((segment, Position(0))..=(segment, from)).rev().take(NEIGHBOURS);
        let there = before.map(|((_, base), window)| (*base, window, *base + window.len()));
        there.filter(|(_, _, end)| *end > from).max_by_key(|(_, _, end)| *end)
    }

    /// Somebody reads of it. True: nobody had.
    pub(crate) fn begin(&mut self, key: Key) -> bool {
        let Some(window) = self.windows.get_mut(&key).filter(|window| !window.is_begun) else { return false };
        self.unread -= if window.is_unread() { window.len() } else { 0 };
        window.is_begun = true;
        true
    }

    /// The reader of this window goes on from there.
    pub(crate) fn expect(&mut self, key: Key, place: Position) {
        if let Some(window) = self.windows.get_mut(&key) {
            window.next = Some(place);
            self.expected.insert(place, key);
        }
    }

    /// Whether a reader was expected from `base` to `end`: what it has read is not needed any more.
    pub(crate) fn was_expected(&mut self, base: Position, end: Position) -> bool {
        let Some((place, key)) = self.expected.range(base..end).next().map(|(place, key)| (*place, *key)) else {
            return false;
        };
        self.expected.remove(&place);
        if let Some(window) = self.windows.get_mut(&key) {
            window.is_through = true;
            self.through.push_back((key, window.serial));
        }
        true
    }

    /// One has come; others make room for it.
    pub(crate) fn add(&mut self, key: Key, image: Arc<Image>, depth: u32) {
        self.drop(key);
        self.serial += 1;
        let window = Window { image, depth, serial: self.serial, is_begun: false, is_through: false, next: None };
        self.bytes += window.len();
        self.unread += if window.is_unread() { window.len() } else { 0 };
        self.filled = self.filled.saturating_add(window.len());
        self.arrived.push_back((key, window.serial));
        self.windows.insert(key, window);
        while self.bytes > self.limit && self.windows.len() > 1 {
            let Some((key, serial)) = self.through.pop_front().or_else(|| self.arrived.pop_front()) else { break };
            if self.windows.get(&key).is_some_and(|window| window.serial == serial) {
                self.make_room(key);
            }
        }
        if self.filled >= CALM * self.limit {
            (self.halvings, self.filled) = (self.halvings.saturating_sub(1), 0);
        }
        for list in [&mut self.arrived, &mut self.through] {
            if list.len() > 2 * self.windows.len() + 64 {
                let windows = &self.windows;
                list.retain(|(key, serial)| windows.get(key).is_some_and(|window| window.serial == *serial));
            }
        }
    }

    fn make_room(&mut self, key: Key) {
        let was_needed =
            self.drop(key).is_some_and(|window| !window.is_through && (window.is_begun || window.depth > 0));
        if was_needed && self.filled >= self.limit / 2 {
            (self.halvings, self.filled) = (MOST_HALVINGS.min(self.halvings + 1), 0);
        }
    }

    fn drop(&mut self, key: Key) -> Option<Window> {
        let window = self.windows.remove(&key)?;
        self.bytes -= window.len();
        self.unread -= if window.is_unread() { window.len() } else { 0 };
        if let Some(place) = window.next.filter(|place| self.expected.get(place) == Some(&key)) {
            self.expected.remove(&place);
        }
        Some(window)
    }

    /// A segment goes, and its windows with it. Where its readers go on is known all the same.
    pub(crate) fn forget(&mut self, segment: SegmentNumber) {
        let all = (segment, Position(0))..=(segment, Position(u64::MAX));
        let keys: Vec<Key> = self.windows.range(all).map(|(key, _)| *key).collect();
        for key in keys {
            let next = self.windows.get(&key).and_then(|window| window.next);
            self.drop(key);
            self.expected.extend(next.map(|place| (place, key)));
        }
        while self.expected.len() > 2 * self.windows.len() + 64 {
            self.expected.pop_first();
        }
    }
}
