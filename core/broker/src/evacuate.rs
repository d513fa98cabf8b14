//! The spool's old segments: the few messages that still live in one move on, so that it goes (R21).

use crate::broker::{Broker, Step};
use crate::items::Item;
use crate::log::{Log, Store};
use crate::records::kind;
use postrider_journal::{Record, SegmentNumber};

/// Segments that are left alone: they are young and empty themselves.
const YOUNG_SEGMENTS: u64 = 4;

/// A segment is evacuated when at most one in so many of its messages lives.
const SPARSE: u32 = 8;

/// Messages that move in one turn.
const TURN_MESSAGES: u32 = 256;

impl Broker {
    /// Looks at one old segment of the spool. Those that are full of waiting messages stay where they are.
    pub(crate) fn evacuate_spool<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let (Some(oldest), Some(newest)) = (self.spool.oldest(), self.spool.newest()) else { return };
        if newest.0 - oldest.0 <= YOUNG_SEGMENTS {
            return;
        }
        let cursor = self.spool_cursor.0.max(oldest.0);
        let old = if cursor + YOUNG_SEGMENTS < newest.0 { SegmentNumber(cursor) } else { oldest };
        self.spool_cursor = SegmentNumber(old.0 + 1);
        let sparse = |table: &crate::items::Table| table.live() > 0 && table.live() <= table.records() / SPARSE;
        if self.spool.table(old).is_some_and(|table| sparse(table) && table.live() <= TURN_MESSAGES) {
            self.evacuate(old, step);
        }
    }

    fn evacuate<L: Log>(&mut self, old: SegmentNumber, step: &mut Step<'_, L>) {
        let records = self.spool.table(old).map_or(0, |table| table.records());
        for ordinal in 0..records {
            let Some(Item::Message(head)) = self.spool.table(old).map(|table| table.item(ordinal)) else { continue };
            let message = self.message(head).clone();
            let found = step.log.extent(Store::Spool, message.position, message.length);
            let Some(extent) = found.extent() else { return };
            let body = extent.bytes(message.position, message.length as usize);
            let (sequence, body_crc) = (message.sequence.0, message.crc);
            let record = Record { kind: kind::MESSAGE, flags: 0, sequence, meta: &[], body, body_crc };
            let home = self.stage(Store::Spool, &record, step);
            self.rehome_message(head, home);
        }
        self.release_spool(old, step);
    }
}
