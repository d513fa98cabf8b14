//! Records on their way into a log, and segments of the spool that go when nothing lives in them.

use crate::broker::Broker;
use crate::log::{Log, LogKind};
use crate::plant::planted;
use crate::records::{self, MessageMeta, Placement, kind};
use crate::step::Step;
use postrider_journal::{Generation, Home, Record, SegmentNumber};
use postrider_model::Sequence;

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

    /// Stages a message's record. In the journal it says what there is to know of the message and of its places.
    #[inline(always)]
    pub(super) fn stage_message<L: Log>(
        &mut self,
        store: LogKind,
        about: MessageMeta,
        placements: &[Placement],
        (body, body_crc): (&[u8], u32),
        step: &mut Step<'_, L>,
    ) -> Home {
        let mut meta = std::mem::take(&mut self.durable.meta);
        let sequence = match store {
            LogKind::Journal => records::write_message(&mut meta, about, placements),
            LogKind::Spool => {
                meta.clear();
                placements.first().map_or(Sequence(0), |first| first.sequence)
            }
        };
        let record = Record { kind: kind::MESSAGE, flags: 0, sequence: sequence.0, meta: &meta, body, body_crc };
        let home = self.stage(store, &record, step);
        self.durable.meta = meta;
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
