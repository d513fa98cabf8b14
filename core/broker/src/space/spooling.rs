//! A spool without room: who waits, and what goes (R21).
//!
//! Whoever sends to a queue waits or is refused, as at the journal's limit. Senders to topics wait only while the disk catches up with a
//! crowded spool, or others wait for it; where there will be no room by itself topics take what comes, and their slow subscribers lose the
//! oldest messages that they have not had. What they lose in a turn has its bound: while memory is crowded nevertheless, that comes first.

use crate::bounds::{SHED_MESSAGES, SHED_PASSES, SHED_SHARE};
use crate::broker::Broker;
use crate::destinations::advisories::is_told_again;
use crate::log::Log;
use crate::messages::DestinationIndex;
use crate::plant::planted;
use crate::step::Step;
use postrider_journal::{Generation, Pressure, SegmentNumber, SpoolUse};
use std::collections::BTreeSet;

/// How full the spool is, and what is done about it.
#[derive(Default)]
pub(crate) struct Spooling {
    pub(super) usage: SpoolUse,
    /// There is no room, or not enough for those who wait for it.
    pub(super) is_scarce: bool,
    /// Topics with messages that somebody has not had.
    lagging: BTreeSet<DestinationIndex>,
    /// They have lost all that they can: the last pass found nothing.
    is_shed: bool,
    /// Passes since the spool is full.
    passes: u32,
    /// The topic that loses messages next.
    next: u32,
    /// Where survivors are looked for.
    pub(super) survivors: Walk,
    /// Bytes that lived there when it was looked at last.
    live_bytes: u64,
}

/// A walk over the segments of the spool, round after round.
#[derive(Clone, Copy, Default)]
pub(super) struct Walk {
    pub segment: SegmentNumber,
    pub ordinal: u32,
    /// It goes on when bytes have come.
    pub waits: bool,
    /// Segments since something was found.
    fruitless: u64,
}

impl Spooling {
    /// There is no room, or not enough for those who wait for it.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.is_scarce
    }

    /// A topic has messages that somebody has not had.
    pub(crate) fn lags(&mut self, topic: DestinationIndex) {
        self.lagging.insert(topic);
    }

    /// A destination goes.
    pub(crate) fn forget(&mut self, index: DestinationIndex) {
        self.lagging.remove(&index);
    }

    /// How full it was when it was looked at last.
    pub(crate) fn usage(&self) -> SpoolUse {
        self.usage
    }

    /// Looks how full the spool is.
    pub(crate) fn look<L: Log>(&mut self, log: &L) {
        self.usage = log.spool_use();
    }

    /// What was asked for came from the disk.
    pub(crate) fn bytes_came(&mut self) {
        self.survivors.waits = false;
    }

    /// There is no room, or not enough, and the disk makes none by itself.
    pub(crate) fn stays_scarce(&self) -> bool {
        self.is_scarce && !self.usage.leaves
    }

    /// Topics lose messages before more comes to them: there is no room, and they would take a turn's messages each turn.
    pub(crate) fn sheds_first(&self) -> bool {
        self.usage.is_crowded && !self.usage.leaves && !self.topics_have_lost_all()
    }

    /// No topic has something to lose: where the spool is full whoever waits for an answer is refused.
    pub(crate) fn topics_have_lost_all(&self) -> bool {
        self.is_shed || self.lagging.is_empty()
    }
}

impl Walk {
    /// On to the next segment.
    pub(super) fn pass(&mut self) {
        let segment = SegmentNumber(self.segment.0 + 1);
        *self = Walk { segment, ordinal: 0, waits: false, fruitless: self.fruitless + 1 };
    }

    /// There was something: there may be more.
    pub(super) fn found(&mut self) {
        self.fruitless = 0;
    }

    /// Puts it on a segment from `oldest` to `newest`.
    pub(super) fn stay_within(&mut self, oldest: SegmentNumber, newest: SegmentNumber) {
        if self.segment < oldest || self.segment > newest {
            *self = Walk { segment: oldest, ordinal: 0, ..*self };
        }
    }

    /// A whole round has found nothing.
    pub(super) fn is_done(&self, oldest: SegmentNumber, newest: SegmentNumber) -> bool {
        self.fruitless > newest.0 - oldest.0 + 1
    }
}

impl Broker {
    /// Looks how full the spool is; where there is no room, something is done about it, also where somebody
    /// waits for room. True: there is more to do.
    pub(crate) fn make_spool_room<L: Log>(&mut self, is_waited_for: bool, step: &mut Step<'_, L>) -> bool {
        self.spooling.look(step.log);
        let SpoolUse { pressure, eased, .. } = self.spooling.usage;
        self.spooling.is_shed = false;
        let before = self.spooling.is_scarce;
        self.spooling.is_scarce = pressure != Pressure::None || (!eased && is_waited_for);
        if !self.spooling.is_scarce {
            return false;
        }
        let live_bytes = std::mem::replace(&mut self.spooling.live_bytes, self.spool.live_bytes());
        if !before || self.spooling.live_bytes < live_bytes {
            self.spooling.survivors.found();
        }
        self.release_written(step);
        if pressure < Pressure::Full {
            self.spooling.passes = 0;
        } else if !planted("slow-subscriber-pins") {
            if self.shed(step) {
                return true;
            }
            self.spooling.is_shed = step.log.spool_use().pressure == Pressure::Full;
        }
        self.evacuates()
    }

    /// Segments that are written on go as well, if nothing lives in them: one may have been made for a single large message.
    fn release_written<L: Log>(&mut self, step: &mut Step<'_, L>) {
        for generation in [Generation::Young, Generation::Old] {
            let Some(segment) = self.spool.written(generation) else { continue };
            if self.spool.table(segment).is_some() && self.spool.is_dead(segment) {
                step.log.release(segment);
                self.spool.drop_segment(segment);
            }
        }
    }

    /// The oldest messages of topics go, whoever has not had them: of those that hold few only if all do, or now and then. True: there
    /// are more.
    fn shed<L: Log>(&mut self, step: &mut Step<'_, L>) -> bool {
        self.spooling.passes = self.spooling.passes.wrapping_add(1);
        let some = self.shed_shares(|held| held / SHED_SHARE, step);
        if some && !self.spooling.passes.is_multiple_of(SHED_PASSES) {
            return true;
        }
        self.shed_shares(|held| held.div_ceil(SHED_SHARE), step) || some
    }

    /// Of each topic goes a share of what it holds. True: something has gone.
    fn shed_shares<L: Log>(&mut self, share_of: impl Fn(usize) -> usize, step: &mut Step<'_, L>) -> bool {
        let mut left = SHED_MESSAGES;
        // One step more takes it from the last to the first.
        for _ in 0..=self.spooling.lagging.len().min(SHED_MESSAGES) {
            let next = DestinationIndex(self.spooling.next);
            let Some(index) = self.spooling.lagging.range(next..).next().copied() else {
                self.spooling.next = 0;
                continue;
            };
            self.spooling.next = index.0 + 1;
            let is_told_again = is_told_again(&self.destinations.get(index).destination);
            let topic = self.destinations.get_mut(index).topic();
            if !topic.is_behind() {
                topic.end_lag();
                self.spooling.lagging.remove(&index);
                continue;
            }
            let share = share_of(topic.held()).min(left);
            for _ in 0..share {
                let Some((message, lost)) = self.destinations.get_mut(index).topic().shed(is_told_again) else { break };
                self.statistics.shed += lost;
                self.settle(index, message, step);
                left -= 1;
            }
            if left == 0 || step.log.spool_use().pressure < Pressure::Full {
                break;
            }
        }
        left < SHED_MESSAGES
    }
}
