//! The spool's old segments: the few messages that still live in one move on, so that it goes (R21).
//!
//! They move to segments of their own, among others that have outlived theirs, so that they hold no young ones back. What lives takes
//! at least an eighth of what the spool takes, but for the youngest segments; or half once there is no room.

use crate::bounds::{EVACUATED_BYTES, EVACUATED_RECORDS, EVACUATED_SEGMENTS, SPARSE, SPARSE_IF_FULL, YOUNG_SEGMENTS};
use crate::broker::Broker;
use crate::log::{Log, LogKind};
use crate::messages::{MessageIndex, NOWHERE};
use crate::records::items::Item;
use crate::records::kind;
use crate::step::Step;
use postrider_journal::{Generation, Lookup, Record, SegmentNumber, SpoolUse};

/// How a look at a segment, or at a message in it, ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// There is nothing to move in the segment, or not at present.
    Done,
    /// There is more to move, or this one has moved.
    More,
    /// This one stays.
    Stays,
    /// Bytes have to come first.
    Waits,
}

impl Broker {
    /// Looks at some old segments of the spool. Those that are full of waiting messages stay where they are.
    pub(crate) fn evacuate_spool<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let Some((oldest, newest)) = self.old_segments() else { return };
        let segments = if self.spooling.is_scarce { EVACUATED_SEGMENTS } else { 1 };
        for _ in 0..segments {
            let walk = &mut self.spooling.survivors;
            walk.stay_within(oldest, newest);
            if walk.is_done(oldest, newest) && self.spooling.is_scarce {
                return;
            }
            walk.waits = false;
            let segment = walk.segment;
            match self.is_sparse(segment, step).then(|| self.evacuate(segment, step)) {
                None | Some(Look::Done | Look::Stays) => self.spooling.survivors.pass(),
                Some(Look::More) => return,
                Some(Look::Waits) => {
                    self.spooling.survivors.waits = true;
                    return;
                }
            }
        }
    }

    /// Whether there is more to look at, for the sake of those who wait for room.
    pub(crate) fn evacuates(&self) -> bool {
        self.spooling.is_scarce
            && !self.spooling.survivors.waits
            && self.old_segments().is_some_and(|(oldest, newest)| !self.spooling.survivors.is_done(oldest, newest))
    }

    fn old_segments(&self) -> Option<(SegmentNumber, SegmentNumber)> {
        let (oldest, newest) = (self.spool.oldest()?, self.spool.newest()?);
        let young = if self.spooling.stays_scarce() { 0 } else { YOUNG_SEGMENTS };
        let old = newest.0.checked_sub(young).filter(|old| *old > oldest.0)?;
        Some((oldest, SegmentNumber(old)))
    }

    fn is_sparse<L: Log>(&self, segment: SegmentNumber, step: &Step<'_, L>) -> bool {
        let Some(table) = self.spool.table(segment) else { return false };
        if table.live() == 0 || self.spool.is_written(segment) {
            return false;
        }
        let factor = if self.spooling.is_scarce { SPARSE_IF_FULL } else { SPARSE };
        table.live_bytes() * factor <= step.log.spool_segment_bytes(segment)
    }

    fn evacuate<L: Log>(&mut self, segment: SegmentNumber, step: &mut Step<'_, L>) -> Look {
        let mut bytes = 0;
        for _ in 0..EVACUATED_RECORDS {
            let ordinal = self.spooling.survivors.ordinal;
            let Some(table) = self.spool.table(segment).filter(|table| ordinal < table.records()) else {
                self.release_spool(segment, step);
                return Look::Done;
            };
            if let Item::Message(head) = table.item(ordinal) {
                if bytes >= EVACUATED_BYTES {
                    return Look::More;
                }
                bytes += u64::from(self.messages.at(head).length);
                match self.evacuate_message(head, step) {
                    Look::More => self.spooling.survivors.found(),
                    Look::Stays => {}
                    ended => return ended,
                }
            }
            self.spooling.survivors.ordinal += 1;
        }
        Look::More
    }

    /// Gives a message a new home in the spool.
    fn evacuate_message<L: Log>(&mut self, head: MessageIndex, step: &mut Step<'_, L>) -> Look {
        let message = self.messages.at(head).clone();
        if message.position == NOWHERE {
            // It stands for itself, without bytes, unless another place still needs them.
            return if self.all_nowhere(head) { self.move_on(head, &[], step) } else { Look::Stays };
        }
        let extent = match step.log.extent(LogKind::Spool, message.position, message.length, message.crc) {
            Lookup::Memory(extent) | Lookup::Checked(extent) => extent,
            Lookup::Cold => {
                let SpoolUse { disk_bytes, disk_limit, .. } = step.log.spool_use();
                if !self.spooling.is_scarce && disk_bytes <= disk_limit / 2 {
                    return Look::Done;
                }
                step.log.fetch(LogKind::Spool, message.position, message.length);
                return Look::Waits;
            }
            // Whoever serves it gives it up.
            Lookup::Damaged => return Look::Stays,
        };
        self.move_on(head, extent.bytes(message.position, message.length as usize), step)
    }

    /// Whether no place of the record has bytes any more.
    fn all_nowhere(&self, head: MessageIndex) -> bool {
        let mut index = head;
        while index != MessageIndex::NONE {
            let place = self.messages.at(index);
            if place.position != NOWHERE {
                return false;
            }
            index = place.sibling;
        }
        true
    }

    fn move_on<L: Log>(&mut self, head: MessageIndex, body: &[u8], step: &mut Step<'_, L>) -> Look {
        let message = self.messages.at(head);
        let (sequence, body_crc) = (message.sequence.0, message.crc);
        let record = Record { kind: kind::MESSAGE, flags: 0, sequence, meta: &[], body, body_crc };
        let before = self.spool.written(Generation::Old);
        let home = step.log.restage(&record);
        self.spool.note(home.segment, home.ordinal, Generation::Old);
        self.rehome_message(head, home);
        if before != Some(home.segment) {
            self.release_full(before, step);
        }
        Look::More
    }
}
