//! Room for what producers are remembered by, and who is forgotten for want of it (R17).
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use super::{MarkReference, Marks};
use crate::bounds::{MARKS_BYTES, MARKS_OF_WHAT_LIVES, live_limit};
use crate::broker::Broker;
use crate::kit::runs::{RUNS, RUNS_OF_ONE};
use crate::log::Log;
use crate::messages::MarkIndex;
use crate::records;
use crate::records::items::RECORD_OVERHEAD;
use crate::step::Step;
use postrider_model::Now;

/// Runs that all producers together may have before one is held to [`RUNS`], for each mark that may be: 8 MiB by default.
pub(super) const RUNS_PER_MARK: usize = 8;

/// So long whoever went without a goodbye has to come back, though there are too many: a failover client tries every half minute.
pub(super) const RETURN_NANOS: u64 = 60_000_000_000;

/// Marks that are looked at for their age in one turn: each of them may be a record.
const AGED_AT_ONCE: usize = 1_024;

/// Bytes of these records: each repeats the connection's id, which may be long.
const AGED_BYTES: u64 = 256 << 10;

/// Runs that each may have though there is no more room: what was sent before a gap may be sent again.
const RUNS_AT_LEAST: usize = 2;

impl Marks {
    /// Whether nearly as many are known as may be.
    fn is_crowded(&self, most: usize) -> bool {
        self.table.len() * 8 > most * 7 || self.bytes > self.room - self.room / 8
    }

    /// Whether a minute has gone since the room became less.
    fn lacks_room(&self, now: Now) -> bool {
        now.nanos >= self.less_since.saturating_add(RETURN_NANOS)
    }

    /// One after the other, until all have been looked at.
    fn next_at_all(&mut self) -> Option<MarkIndex> {
        let from = std::mem::take(&mut self.looked_at);
        let index = self.table.next_taken(from)?;
        self.looked_at = index + 1;
        Some(MarkIndex(index))
    }

    /// A producer's run of stored sends is known from now on. Whether it is one more or less.
    pub(super) fn insert_run(&mut self, index: MarkIndex, run: (i64, i64)) -> bool {
        let most = match self.bytes {
            bytes if bytes >= self.room => RUNS_AT_LEAST,
            bytes if bytes >= self.room / 2 || self.runs >= self.many_runs => RUNS,
            _ => RUNS_OF_ONE,
        };
        let runs = &mut self.table[index.0].runs;
        let before = runs.len();
        runs.insert(run.0, run.1, most.max(before));
        let after = runs.len();
        self.runs = (self.runs + after).saturating_sub(before);
        after != before
    }

    /// It belongs to nobody from now on, and may be forgotten for others from then on.
    pub(super) fn detach(&mut self, index: MarkIndex, from: u64) {
        self.unlist(index);
        let mark = &mut self.table[index.0];
        mark.detached = Some(from);
        self.detached.insert((from, mark.serial), index);
    }

    /// It belongs to one more producer.
    pub(super) fn attach(&mut self, index: MarkIndex) {
        self.table[index.0].attached += 1;
        self.unlist(index);
    }

    /// A producer is closed by its client, which does not open it again: it goes before those that may come back.
    pub(crate) fn retire(&mut self, kept: Option<MarkReference>, now: Now) {
        self.let_go(kept, now.nanos);
    }

    /// A producer ends; what it sent is remembered for a while.
    pub(crate) fn release(&mut self, kept: Option<MarkReference>, now: Now) {
        self.let_go(kept, now.nanos.saturating_add(RETURN_NANOS));
    }

    /// A producer has its mark no more, which may be forgotten for others from then on.
    fn let_go(&mut self, kept: Option<MarkReference>, from: u64) {
        let Some(mark) = kept.filter(|mark| self.is_valid(*mark)) else { return };
        let known = &mut self.table[mark.index.0];
        known.attached -= 1;
        if known.attached == 0 {
            self.detach(mark.index, from);
        }
    }

    /// It is not among those that belong to nobody any more.
    pub(super) fn unlist(&mut self, index: MarkIndex) {
        let mark = &mut self.table[index.0];
        if let Some(from) = mark.detached.take() {
            self.detached.remove(&(from, mark.serial));
        }
    }
}

impl Broker {
    /// Forgets producers that have been away for long, and, where there has been much less room than was taken for a minute, others.
    /// True: there are more.
    pub(crate) fn age_marks<L: Log>(&mut self, step: &mut Step<'_, L>) -> bool {
        let room = (live_limit(step.log) / MARKS_OF_WHAT_LIVES).min(MARKS_BYTES);
        if std::mem::replace(&mut self.marks.room, room) > room {
            self.marks.less_since = step.now.nanos;
            self.marks.is_cut = false;
        }
        if !self.marks.is_cut && !self.may_get_room(step) {
            self.marks.is_cut = true;
            self.cut_marks();
        }
        let mut left = AGED_BYTES;
        for _ in 0..AGED_AT_ONCE {
            let Some(index) = self.next_to_forget(step.now) else { return false };
            // What a goodbye has forgotten goes with its connection.
            if !self.marks.is_known(index) {
                self.marks.unlist(index);
                continue;
            }
            let bytes = self.last_bytes(index) + RECORD_OVERHEAD;
            if bytes > left {
                return true;
            }
            if !self.write_mark(index, true, step) {
                return false;
            }
            left -= bytes;
        }
        true
    }

    /// Whether a start has found the disk too small for its journal, as others fill it, and measures it again: nothing is forgotten for
    /// that within a minute.
    fn may_get_room<L: Log>(&self, step: &Step<'_, L>) -> bool {
        step.log.is_measured_again() && !self.marks.lacks_room(step.now)
    }

    /// The mark that is to be forgotten next, if one is.
    fn next_to_forget(&mut self, now: Now) -> Option<MarkIndex> {
        let marks = &mut self.marks;
        let overfull = marks.lacks_room(now) && marks.bytes > marks.room + marks.room / 2;
        let Some((&(from, _), &index)) = marks.detached.first_key_value() else {
            return if overfull { marks.next_at_all() } else { None };
        };
        let old = self.config.mark_millis.saturating_mul(1_000_000);
        let due = now.nanos.saturating_add(RETURN_NANOS) >= from.saturating_add(old);
        let crowded = now.nanos >= from && marks.is_crowded(self.config.marks);
        (due || crowded || overfull).then_some(index)
    }

    /// There is less room than was thought, as a start finds out, or the disk: the oldest runs go, first of those that have most.
    fn cut_marks(&mut self) {
        let all: Vec<u32> = self.marks.table.iter().map(|(index, _)| index).collect();
        let mut most = RUNS_OF_ONE;
        while self.marks.bytes > self.marks.room && most > RUNS_AT_LEAST {
            most /= 2;
            for index in &all {
                let mark = &mut self.marks.table[*index];
                let gone = mark.runs.keep(most);
                if let Some(home) = mark.segment.filter(|_| gone > 0) {
                    self.marks.runs = self.marks.runs.saturating_sub(gone);
                    self.rehome_mark(MarkIndex(*index), home);
                }
            }
        }
    }

    /// Bytes of the record that says that it goes.
    pub(super) fn last_bytes(&self, index: MarkIndex) -> u64 {
        records::mark_length(&self.marks.table[index.0].connection, 0) as u64
    }
}
