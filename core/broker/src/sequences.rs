//! The broker-wide order of messages: sequences, and their reservation (R9).

use crate::broker::{Broker, Step};
use crate::items::{Item, ItemHome};
use crate::log::{Log, Store};
use crate::outbox::Outbox;
use crate::plant::planted;
use crate::records::kind;
use postrider_journal::{Bound, Generation, Home, Position, Record};
use postrider_model::{Now, Sequence};

/// Sequences given out and reserved.
#[derive(Default)]
pub(crate) struct Sequences {
    /// The next to be given out.
    next: u64,
    /// Those below may be used, as this is committed.
    usable: u64,
    /// Those below may be used after a crash at the earliest.
    reserved: u64,
    /// Where the newest reservation is, until it is committed.
    pending: Option<Position>,
    home: Option<ItemHome>,
}

/// No batch needs more: 256 commands of 64 places and the dead letters that they make.
const HEADROOM: u64 = 65_536;

impl Sequences {
    /// Gives consecutive sequences; the first of them.
    pub fn take(&mut self, count: u64) -> Sequence {
        let first = self.next.max(1);
        self.next = first + count;
        assert!(self.next <= self.usable, "sequence {} is beyond the committed reservation {}", self.next, self.usable);
        Sequence(first)
    }

    /// The next that will be given.
    pub fn next(&self) -> Sequence {
        Sequence(self.next.max(1))
    }

    /// After recovery: nothing below the last reservation is used again.
    pub fn recovered(&mut self, highest_seen: Sequence) {
        self.next = if planted("reuse-sequence") { highest_seen.0 + 1 } else { self.reserved.max(highest_seen.0 + 1) };
    }

    /// After recovery: these may have been used.
    pub fn skip(&mut self, count: u64) {
        self.next = self.next.saturating_add(count);
    }

    /// A reservation as found in the log, and the home that it had.
    pub fn apply(&mut self, up_to: Sequence, home: ItemHome) -> Option<ItemHome> {
        self.reserved = self.reserved.max(up_to.0);
        self.home.replace(home)
    }

    /// Whether a reservation waits for its commit.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn committed(&mut self, committed: Position) {
        if self.pending.is_some_and(|position| position < committed) {
            self.pending = None;
            self.usable = self.reserved;
        }
    }
}

impl Broker {
    /// Whether commands may be handled: enough sequences are reserved, durably (R9), and reclaim has not fallen behind. Otherwise
    /// the turn takes no batch, but ends, and looks again after the commit.
    pub fn is_ready<L: Log>(&mut self, now: Now, log: &mut L, out: &mut Outbox) -> bool {
        self.sequences.committed(log.committed());
        let step = &mut Step { now, log, out };
        self.renew_reservation(step);
        let reserved = self.sequences.next + HEADROOM.min(self.config.reservation / 2) < self.sequences.usable;
        let stopped = planted("limit-stops-ports") && self.journal.live_bytes() > self.live_limit(step) / 4;
        reserved && !stopped && !self.has_fallen_behind(step.log)
    }

    /// Reserves again when half is used.
    pub(crate) fn renew_reservation<L: Log>(&mut self, step: &mut Step<'_, L>) {
        self.sequences.committed(step.log.committed());
        let half = self.config.reservation / 2;
        if self.sequences.pending.is_some() || self.sequences.usable > self.sequences.next + half {
            return;
        }
        if step.log.reserve(Bound { records: 1, bytes: 8 }) {
            let up_to = self.sequences.next + self.config.reservation;
            let position = self.write_reservation(Sequence(up_to), step);
            self.sequences.pending = Some(position);
        }
    }

    /// Reclaim: the reservation moves to the end.
    pub(crate) fn move_reservation<L: Log>(&mut self, step: &mut Step<'_, L>) {
        self.write_reservation(Sequence(self.sequences.reserved), step);
    }

    fn write_reservation<L: Log>(&mut self, up_to: Sequence, step: &mut Step<'_, L>) -> Position {
        self.flush_acknowledged(step);
        let meta = up_to.0.to_le_bytes();
        let home = self.stage(Store::Journal, &small(kind::RESERVE, &meta), step);
        self.apply_reservation(up_to, ItemHome::new(home, meta.len()));
        home.position
    }

    pub(crate) fn apply_reservation(&mut self, up_to: Sequence, home: ItemHome) {
        self.journal.place(home, Item::Reservation);
        if let Some(old) = self.sequences.apply(up_to, home) {
            self.journal.clear(old);
        }
    }

    /// Stages a record and remembers how far the journal reaches.
    pub(crate) fn stage<L: Log>(&mut self, store: Store, record: &Record<'_>, step: &mut Step<'_, L>) -> Home {
        let home = step.log.stage(store, record);
        self.segments(store).note(home.segment, home.ordinal, Generation::Young);
        home
    }

    /// Stages a record of the spool that nobody looks for any more once it is on its way.
    pub(crate) fn stage_passing<L: Log>(&mut self, record: &Record<'_>, step: &mut Step<'_, L>) -> Home {
        let before = self.spool.written(Generation::Young);
        let home = self.stage(Store::Spool, record, step);
        if before != Some(home.segment) {
            self.release_full(before, step);
        }
        home
    }
}

/// A record that has no body.
pub(crate) fn small(kind: u8, meta: &[u8]) -> Record<'_> {
    Record { kind, flags: 0, sequence: 0, meta, body: &[], body_crc: 0 }
}
