//! The broker-wide order of messages: sequences, and their reservation (R9).

use crate::bounds::{JOB_STEPS, TURN_STEPS, live_limit};
use crate::broker::Broker;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::outbox::Outbox;
use crate::plant::planted;
use crate::records::items::{Item, ItemHome};
use crate::records::kind;
use crate::step::Step;
#[cfg(feature = "plant")]
use postrider_journal::SegmentNumber;
use postrider_journal::{Bound, Position, Purpose};
use postrider_model::{Now, Sequence, limits};

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
    /// What a batch needs that waits for more than is reserved.
    wanted: u64,
    /// The highest that the log says a message has.
    seen: u64,
    /// The first of this life.
    life: u64,
}

/// What a turn uses besides its batches, at most: dead letters, and advisories that are told anew.
const HEADROOM: u64 = 65_536;
const _: () = assert!(HEADROOM >= 2 * (TURN_STEPS + JOB_STEPS) as u64);

/// What a batch uses at most, but for the temporary destinations that end with it.
const BATCH_MOST: u64 = (limits::BATCH_COMMANDS * limits::PLACES) as u64;
const _: () = assert!(2 * (HEADROOM + BATCH_MOST) < limits::SEQUENCE_RESERVATION);

impl Sequences {
    /// Gives consecutive sequences; the first of them.
    pub(crate) fn take(&mut self, count: u64) -> Sequence {
        let first = self.next.max(1);
        self.next = first + count;
        assert!(self.next <= self.usable, "sequence {} is beyond the committed reservation {}", self.next, self.usable);
        Sequence(first)
    }

    /// Whether so many may be used.
    pub(crate) fn has(&self, count: u64) -> bool {
        self.next.max(1).saturating_add(count) <= self.usable
    }

    /// The next that will be given.
    pub(crate) fn next(&self) -> Sequence {
        Sequence(self.next.max(1))
    }

    /// The log says that a message has this one.
    pub(crate) fn saw(&mut self, sequence: Sequence) {
        self.seen = self.seen.max(sequence.0);
    }

    /// A life begins: nothing below the last reservation is used again, nor what the log has. After damage so many more may have been
    /// used, and all below the others.
    pub(crate) fn begin_life(&mut self, skipped: Option<(u64, u64)>) {
        let behind = self.seen.saturating_add(1);
        self.next = if planted("reuse-sequence") { behind } else { self.reserved.max(behind) };
        if let Some((count, others)) = skipped {
            self.next = self.next.saturating_add(count).max(others);
        }
        self.life = self.next;
    }

    /// Whether it was given out before this life.
    pub(crate) fn is_of_an_earlier_life(&self, sequence: Sequence) -> bool {
        sequence.0 < self.life
    }

    /// A reservation as found in the log, and the home that it had.
    pub(crate) fn apply(&mut self, up_to: Sequence, home: ItemHome) -> Option<ItemHome> {
        self.reserved = self.reserved.max(up_to.0);
        self.home.replace(home)
    }

    /// What the log says of them.
    #[cfg(feature = "plant")]
    pub(crate) fn digest(&self) -> (u64, Option<(SegmentNumber, u32)>) {
        (self.reserved, self.home.map(|home| (home.segment, home.ordinal)))
    }

    /// The home of the reservation.
    pub(crate) fn home(&self) -> Option<ItemHome> {
        self.home
    }

    /// Whether this life has reserved some.
    pub(crate) fn is_stated(&self) -> bool {
        self.pending.is_some() || self.usable > 0
    }

    /// Whether a reservation waits for its commit.
    pub(crate) fn is_pending(&self) -> bool {
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
    /// After a turn's end: whether the log says now, once what the turn wrote is durable, all that a start after losses took for granted,
    /// so that the next one need not know of them (R9, R15). Yes is said once.
    pub fn states_losses(&mut self) -> bool {
        let states = self.durable.losses_unstated
            && self.durable.allowances_without_end.is_empty()
            && self.has_stated_kept()
            && self.sequences.is_stated();
        self.durable.losses_unstated &= !states;
        states
    }

    /// Whether commands may be handled: enough sequences are reserved, durably (R9). Otherwise the turn takes no batch, but ends, and
    /// looks again after the commit.
    pub fn is_ready<L: Log>(&mut self, now: Now, log: &mut L, out: &mut Outbox) -> bool {
        self.sequences.committed(log.committed());
        let step = &mut Step { now, log, out };
        self.renew_reservation(step);
        let reserved = self.sequences.has(self.headroom() + 1);
        let stopped = planted("limit-stops-ports") && self.journal.live_bytes() > live_limit(step.log) / 4;
        reserved && !stopped
    }

    /// What is left to the turn itself.
    pub(crate) fn headroom(&self) -> u64 {
        HEADROOM.min(self.config.reservation / 4)
    }

    /// Whether there are sequences for so many places, besides what the turn itself uses.
    pub(crate) fn has_sequences_for(&self, places: u64) -> bool {
        self.sequences.has(self.headroom() + places)
    }

    /// Somebody waits for so many, besides what the turn itself uses. Whether nobody has waited for as many so far.
    pub(crate) fn want_sequences(&mut self, needed: u64) -> bool {
        let wanted = self.headroom() + needed;
        let more = wanted > self.sequences.wanted;
        self.sequences.wanted = self.sequences.wanted.max(wanted);
        more
    }

    /// Reserves again when half is used.
    pub(crate) fn renew_reservation<L: Log>(&mut self, step: &mut Step<'_, L>) {
        self.sequences.committed(step.log.committed());
        let half = (self.config.reservation / 2).max(self.sequences.wanted);
        if self.sequences.pending.is_some() || self.sequences.usable > self.sequences.next + half {
            return;
        }
        if step.log.reserve(Purpose::Settle, Bound { records: 1, bytes: 8 }) {
            let up_to = self.sequences.next + self.config.reservation.max(2 * self.sequences.wanted);
            self.sequences.wanted = 0;
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
        let home = self.stage(LogKind::Journal, &small(kind::RESERVE, &meta), step);
        self.apply_reservation(up_to, ItemHome::new(home, meta.len()));
        home.position
    }

    pub(crate) fn apply_reservation(&mut self, up_to: Sequence, home: ItemHome) {
        self.journal.place(home, Item::Reservation);
        if let Some(old) = self.sequences.apply(up_to, home) {
            self.journal.clear(old);
        }
    }
}
