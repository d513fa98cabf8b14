//! Records on their way into a log, and segments of the spool that go when nothing lives in them.

use crate::broker::Broker;
use crate::log::{Log, LogKind};
use crate::plant::planted;
use crate::step::Step;
use postrider_journal::{Generation, Home, Record, SegmentNumber};

impl Broker {
    /// Stages a record and remembers how far its log reaches. The spool's segment that is full goes at once if nothing lives in it:
    /// nobody else would come to it.
    pub(crate) fn stage<L: Log>(&mut self, store: LogKind, record: &Record<'_>, step: &mut Step<'_, L>) -> Home {
        let home = step.log.stage(store, record);
        let segments = self.segments(store);
        let before = segments.written(Generation::Young);
        segments.note(home.segment, home.ordinal, Generation::Young);
        if store == LogKind::Spool && before != Some(home.segment) {
            self.release_full(before, step);
        }
        home
    }

    /// A spool segment is written no more: it goes now if nothing lives in it.
    pub(crate) fn release_full<L: Log>(&mut self, segment: Option<SegmentNumber>, step: &mut Step<'_, L>) {
        if let Some(full) = segment.filter(|full| self.spool.table(*full).is_some()) {
            self.release_spool(full, step);
        }
    }

    /// A spool segment without messages goes, unless it is still written (R21).
    pub(crate) fn release_spool<L: Log>(&mut self, segment: SegmentNumber, step: &mut Step<'_, L>) {
        let early = planted("spool-freed-early") && self.spool.table(segment).is_some_and(|table| table.live() <= 1);
        if !self.spool.is_written(segment) && (self.spool.is_dead(segment) || early) {
            step.log.release(segment);
            if !early {
                self.segments(LogKind::Spool).drop_segment(segment);
            }
        }
    }
}

/// A record that has no body.
pub(crate) fn small(kind: u8, meta: &[u8]) -> Record<'_> {
    Record { kind, flags: 0, sequence: 0, meta, body: &[], body_crc: 0 }
}
