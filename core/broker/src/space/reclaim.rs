//! Reclaim: the oldest segment's live items get new homes at the end, then it goes (R10, R19, R20).

use crate::bounds::{
    BEYOND, MOST_DEBT_BYTES, NEARLY_DEAD, RESERVED_SEGMENTS, STALL_NANOS, START_SEGMENTS, STEP_BYTES, WALKED_BYTES,
    WALKED_MARKS, live_limit,
};
use crate::broker::Broker;
use crate::log::{Log, LogKind};
use crate::messages::{MessageIndex, flag};
use crate::plant::planted;
use crate::records::items::{Item, RECORD_OVERHEAD};
use crate::records::subscription::subscription_bytes;
use crate::records::{self};
use crate::step::Step;
use postrider_journal::room::KEPT_FOR_MOVES;
use postrider_journal::{Bound, Lookup, Purpose, SegmentNumber};
use postrider_model::Now;

/// Where reclaim is.
#[derive(Default)]
pub(crate) struct Reclaim {
    /// The segment that is walked, and the next record in it.
    segment: SegmentNumber,
    ordinal: u32,
    /// The next mark to be looked at.
    mark: u32,
    /// Bytes that may be walked.
    debt: f64,
    /// Bytes appended and alive when they were looked at last.
    log_bytes: u64,
    live_bytes: u64,
    /// Bytes of moves since then: they are reclaim's own and make no debt.
    moved_bytes: u64,
    /// The walk has come further in this turn.
    walked: bool,
    /// It waits for bytes of the disk.
    reads: bool,
    /// When it did last, or nothing waited for it, in nanoseconds.
    moved_at: u64,
    /// The log is longer than it may be for what is alive, and segments are left of those that were there when something died last, or
    /// when it fell behind.
    behind: bool,
    /// It has fallen behind where room is kept for a large move, or a large send waits for room.
    lacks_room: bool,
    /// A large send waits for room that the walk would make.
    wanted: bool,
    /// The walk has come through for one that waits, and nothing has died since.
    tried: bool,
    /// The newest of those: what the walk moves is not walked again at rest.
    newest: SegmentNumber,
}

impl Reclaim {
    /// A life begins: nothing waits for the walk.
    pub(crate) fn begin(&mut self, now: Now) {
        self.moved_at = now.nanos;
    }
}

impl Broker {
    /// As much of the law's work as the turn has room for: while the log is longer than `L s / (s - 1) + K`, `s` bytes of its front
    /// are walked for each byte that was appended or died. That keeps the log short while as much lives as before; where much has
    /// died at once, the rest of the way is walked without anything having to come.
    pub(crate) fn reclaim<L: Log>(&mut self, step: &mut Step<'_, L>) {
        self.reclaim_some(step);
        if self.reclaim.walked || !step.log.has_fallen_behind() {
            self.reclaim.moved_at = step.now.nanos;
        }
    }

    fn reclaim_some<L: Log>(&mut self, step: &mut Step<'_, L>) {
        self.drop_dead_front(step);
        self.reclaim.walked = false;
        if self.is_applying() && !planted("moved-while-applied") {
            return;
        }
        let (total, live) = (step.log.live_log_bytes(), self.journal.live_bytes());
        let reserve = RESERVED_SEGMENTS * step.log.segment_bytes();
        let ratio = ratio(step.log.disk_budget().saturating_sub(reserve), live);
        let factor = amplification(ratio);
        let slack = (START_SEGMENTS * step.log.segment_bytes()) as f64;
        let allowed = live as f64 * factor / (factor - 1.0) + slack;
        // Where room is kept for a large move it falls behind though it is no longer than the law says.
        let wanted = std::mem::take(&mut self.reclaim.wanted);
        let is_behind = wanted || (!step.log.oversize().is_empty() && step.log.has_fallen_behind());
        self.reclaim.tried &= live >= self.reclaim.live_bytes;
        let falls_behind = !std::mem::replace(&mut self.reclaim.lacks_room, is_behind) && is_behind;
        if live < self.reclaim.live_bytes || self.reclaim.log_bytes == 0 || falls_behind {
            self.reclaim.newest = self.journal.newest().unwrap_or_default();
        }
        let long =
            total as f64 > live as f64 * ratio + 2.0 * slack || (is_behind && total > live + step.log.segment_bytes());
        self.reclaim.behind = long && self.journal.front().is_some_and(|front| front < self.reclaim.newest);
        let late = planted("reclaim-late") && (total as f64) < live as f64 * 5.0 + reserve as f64 * 3.0;
        let is_within = total as f64 <= allowed && !self.reclaim.behind;
        if late || (is_within && !self.is_front_nearly_dead(step.log.segment_bytes())) {
            self.note_sizes(total, live);
            self.reclaim.debt = 0.0;
            self.reclaim.behind = false;
            return;
        }
        let grown = if self.reclaim.log_bytes == 0 { 0 } else { total.saturating_sub(self.reclaim.log_bytes) };
        let appended = grown.saturating_sub(self.reclaim.moved_bytes);
        let died = (self.reclaim.live_bytes + appended).saturating_sub(live);
        self.reclaim.debt = (self.reclaim.debt + factor * (appended + died) as f64).min(MOST_DEBT_BYTES as f64);
        if self.reclaim.behind || step.log.has_fallen_behind() {
            self.reclaim.debt = self.reclaim.debt.max(step.log.segment_bytes() as f64);
        }
        self.note_sizes(total, live);
        self.walk_front(step);
        self.drop_dead_front(step);
    }

    /// Whether only acknowledgements can make the log shorter: more lives than may, with what goes a little beyond.
    pub fn is_overfull<L: Log>(&self, log: &L) -> bool {
        let limit = live_limit(log);
        self.journal.live_bytes() > limit + limit / BEYOND
    }

    /// Bytes that moving the largest of what lives takes, where that needs a segment of its own. None: moves make nothing shorter.
    pub fn needed_for_large_moves<L: Log>(&self, log: &L) -> Option<u64> {
        if self.is_overfull(log) {
            return None;
        }
        let half = log.segment_bytes() / 2;
        let lives = |segment| self.journal.table(segment).is_some_and(|table| table.live_bytes() > half);
        let needed = log.oversize().iter().filter(|(segment, _)| lives(*segment)).map(|(_, bytes)| *bytes).max();
        let needed = needed.unwrap_or(0);
        match self.undecided.prepared_bytes() {
            0 => Some(needed),
            _ if planted("commit-without-room") => Some(needed),
            // What is prepared is decided in the room of what moves: it takes the place of its own record (R46).
            kept => Some(needed.max(KEPT_FOR_MOVES * log.segment_bytes()) + kept.next_multiple_of(log.segment_bytes())),
        }
    }

    /// A send within what may live waits for a segment of its own, for which the budget has no room: the log is walked, once until something
    /// dies, if it is so much longer than what lives. *Without: it waits for others to acknowledge what is in nobody's way.*
    pub fn walk_for<L: Log>(&mut self, bound: Bound, log: &L) {
        let segment = log.segment_bytes();
        let Some(kept) = self.needed_for_large_moves(log) else { return };
        let needed = bound.frame_bytes().next_multiple_of(segment) + segment;
        let shortest = self.journal.live_bytes() + START_SEGMENTS * segment;
        let gains = log.live_log_bytes() > shortest && shortest + needed + kept.max(2 * segment) <= log.disk_budget();
        let is_through = self.journal.front().is_none_or(|front| front >= self.reclaim.newest);
        self.reclaim.tried |= self.reclaim.lacks_room && is_through;
        self.reclaim.wanted |= gains && !self.reclaim.tried;
    }

    /// Whether nothing makes the log shorter for now: it has fallen behind, and its walk stands still.
    pub fn stands_still<L: Log>(&self, now: Now, log: &L) -> bool {
        log.has_fallen_behind() && now.nanos >= self.stalls_at()
    }

    /// Whether it stands still because the disk does not read what is to be moved.
    pub fn waits_for_reads<L: Log>(&self, now: Now, log: &L) -> bool {
        self.stands_still(now, log) && self.reclaim.reads
    }

    /// When the walk counts as standing still, unless it comes further.
    pub fn stalls_at(&self) -> u64 {
        self.reclaim.moved_at.saturating_add(STALL_NANOS)
    }

    /// Whether the walk goes on without anything else having to happen.
    pub fn walks(&self) -> bool {
        self.reclaim.walked && (self.reclaim.behind || self.reclaim.debt > 0.0)
    }

    /// Whether the walk is to go on though nothing comes: the log is longer than it may be for what is alive.
    pub fn walks_at_rest(&self) -> bool {
        self.reclaim.behind && self.walks()
    }

    fn is_front_nearly_dead(&self, segment_bytes: u64) -> bool {
        let table = self.journal.front().and_then(|front| self.journal.table(front));
        table.is_some_and(|table| table.live_bytes() <= segment_bytes / NEARLY_DEAD)
    }

    fn note_sizes(&mut self, total: u64, live: u64) {
        self.reclaim.log_bytes = total;
        self.reclaim.live_bytes = live;
        self.reclaim.moved_bytes = 0;
    }

    fn walk_front<L: Log>(&mut self, step: &mut Step<'_, L>) {
        self.reclaim.reads = false;
        let Some(front) = self.front_to_walk() else { return };
        let records = self.journal.table(front).map_or(1, |table| table.records().max(1));
        let cost = step.log.segment_bytes() as f64 / f64::from(records);
        let mut left = WALKED_BYTES as f64;
        while self.reclaim.debt > 0.0 && left > 0.0 {
            if self.reclaim.ordinal >= records {
                self.move_marks(front, step);
                return;
            }
            let item = self.journal.table(front).map_or(Item::None, |table| table.item(self.reclaim.ordinal));
            let before = self.work.taken();
            if !self.move_item(item, step) {
                return;
            }
            self.reclaim.walked = true;
            self.reclaim.ordinal += 1;
            self.reclaim.debt -= cost;
            // Where many subscriptions share what moves, to ask them takes longer than its bytes (R53).
            left -= cost + ((self.work.taken() - before) * STEP_BYTES) as f64;
        }
    }

    /// The front; with another one the walk begins anew.
    fn front_to_walk(&mut self) -> Option<SegmentNumber> {
        let front = self.journal.front()?;
        if self.reclaim.segment != front {
            self.reclaim = Reclaim { segment: front, ordinal: 0, mark: 0, ..self.reclaim };
        }
        Some(front)
    }

    /// Gives an item a new home. False: it has to wait, for room or for bytes.
    fn move_item<L: Log>(&mut self, item: Item, step: &mut Step<'_, L>) -> bool {
        let small = Bound { records: 2, bytes: 64 };
        match item {
            Item::None => return true,
            Item::Message(index) => return self.move_message(index, step),
            Item::Destination(index) => {
                let state = self.destinations.get(index);
                let meta = state.subscription.as_ref().map_or(0, |subscription| subscription_bytes(&subscription.meta));
                let bytes = 64 + (state.destination.name.len() as u64).max(meta);
                if !step.log.reserve(Purpose::Move, Bound { records: 2, bytes }) {
                    return false;
                }
                self.write_destination(index, step);
            }
            Item::Branch(of) if !self.move_prepared(of, step) => return false,
            Item::Outcome(index) if !self.move_outcome(index, step) => return false,
            Item::Branch(_) | Item::Outcome(_) => {}
            Item::Allowance(_) | Item::Reservation if !step.log.reserve(Purpose::Move, small) => return false,
            Item::Allowance(index) => self.move_allowance(index, step),
            Item::Reservation => self.move_reservation(step),
        }
        self.statistics.moved += 1;
        true
    }

    fn move_message<L: Log>(&mut self, head: MessageIndex, step: &mut Step<'_, L>) -> bool {
        let message = self.messages.at(head).clone();
        // What is shared is its subscriptions' still, whatever becomes of the topic.
        let is_alone = message.sibling == MessageIndex::NONE && !message.has(flag::SHARED);
        if is_alone && self.destinations.get(message.destination).is_dying() {
            return true;
        }
        let extent = match step.log.extent(LogKind::Journal, message.position, message.length, message.crc) {
            Lookup::Memory(extent) | Lookup::Checked(extent) => extent,
            Lookup::Cold => {
                step.log.fetch(LogKind::Journal, message.position, message.length);
                self.reclaim.reads = true;
                return false;
            }
            Lookup::Damaged => return self.leave_damaged(head, step),
        };
        let bytes = records::message_bytes(self.live_places(head)) + u64::from(message.length);
        if !step.log.reserve(Purpose::Move, Bound { records: 2, bytes }) {
            return false;
        }
        self.restate_message(head, extent.bytes(message.position, message.length as usize), step);
        true
    }

    /// Writes a message's record anew, for which there is room, and counts it among what moves.
    pub(crate) fn restate_message<L: Log>(&mut self, head: MessageIndex, body: &[u8], step: &mut Step<'_, L>) {
        let moved = self.restate(head, body, step);
        self.reclaim.moved_bytes += moved;
        self.statistics.moved += u64::from(moved > 0);
    }

    fn move_marks<L: Log>(&mut self, front: SegmentNumber, step: &mut Step<'_, L>) {
        if self.journal.table(front).is_none_or(|table| table.marks() == 0) {
            return;
        }
        let (mut left, mut steps) = (WALKED_BYTES as f64, WALKED_MARKS);
        loop {
            let (at, found) = self.next_mark_in(front, self.reclaim.mark, &mut steps);
            self.reclaim.mark = at;
            // The look through all marks has come further, and not to their end.
            self.reclaim.walked |= found.is_none() && at != u32::MAX;
            let Some(index) = found.filter(|_| left > 0.0) else { return };
            let bytes = self.mark_bytes(index);
            left -= bytes as f64;
            if !self.write_mark(index, false, step) {
                return;
            }
            self.reclaim.moved_bytes += bytes + RECORD_OVERHEAD;
            self.reclaim.walked = true;
            self.statistics.moved += 1;
        }
    }

    /// Segments at the front in which nothing lives are not needed any more, once this turn's frame is committed.
    fn drop_dead_front<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let before = self.journal.oldest();
        while let Some(front) = self.journal.front() {
            let few = self.journal.table(front).is_some_and(|table| table.live() <= 2);
            if self.journal.is_dead(front) {
                self.journal.drop_segment(front);
                continue;
            }
            if planted("head-too-early") && few {
                step.log.set_head(SegmentNumber(front.0 + 1));
                return;
            }
            break;
        }
        if let Some(head) = self.journal.oldest().filter(|_| before != self.journal.oldest()) {
            step.log.set_head(head);
        }
    }
}

/// How many times the live bytes the log may be long: what the disk budget allows, between two and three.
fn ratio(budget: u64, live: u64) -> f64 {
    (budget as f64 / live.max(1) as f64).clamp(2.0, 3.0)
}

/// The factor of the reclaim law, between 1.71 (three times the live bytes) and 2.62 (twice).
fn amplification(ratio: f64) -> f64 {
    let (a, b) = (ratio - 1.0, ratio + 1.0);
    (b + (b * b - 4.0 * a).sqrt()) / (2.0 * a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_keeps_its_promise() {
        for (budget, expected) in [(2.0f64, 2.618), (3.0, 1.707), (10.0, 1.707), (1.0, 2.618)] {
            let factor = amplification(ratio((1_000_000.0 * budget) as u64, 1_000_000));
            assert!((factor - expected).abs() < 0.001, "{budget}: {factor}");
            let peak = factor / (factor - 1.0) + 1.0 / factor;
            assert!(peak <= budget.max(2.0) + 0.001, "{budget}: {peak}");
        }
    }
}
