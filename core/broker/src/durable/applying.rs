//! How a decision takes effect: it stands with its record, and what it does to messages follows in slices where that is much (R36). Until
//! then nothing passes it: what comes to the destinations where it has sent waits behind it, and reclaim stands still, or it would write
//! anew what the record has buried or given its sequence.

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::late::Late;
use crate::durable::undecided::Heads;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::{DestinationIndex, Message, MessageIndex, TransactionIndex, flag};
use crate::step::Step;
use postrider_journal::SegmentNumber;
use postrider_model::Sequence;
use std::collections::{BTreeSet, VecDeque};

/// What a decision does.
pub(super) struct Effect {
    /// Whose messages these are, until they are in their queues.
    pub of: TransactionIndex,
    pub heads: Heads,
    /// Sequence of the first of its places.
    pub first: Sequence,
    pub publisher: u32,
    /// Bits of its messages.
    pub bits: u8,
    /// Where its places are.
    pub touched: BTreeSet<DestinationIndex>,
    /// Subscriptions that have come since.
    pub late: Late,
    /// What it has acknowledged.
    pub settled: std::vec::IntoIter<(DestinationIndex, MessageIndex)>,
}

impl Effect {
    fn is_done(&self) -> bool {
        self.heads.len() + self.settled.len() == 0 && self.late.is_released()
    }
}

/// One of those that take their time, and what has come meanwhile.
struct Slow {
    effect: Effect,
    behind: VecDeque<(DestinationIndex, MessageIndex)>,
}

/// Decisions that take effect, one after the other.
#[derive(Default)]
pub(crate) struct Applying {
    line: VecDeque<Slow>,
    /// Those since the start, and how many of them are done.
    begun: u64,
    done: u64,
    /// Steps of what has come behind them in this turn: it costs the next one what it has not cost this.
    owed: usize,
}

/// Waits for one of them.
pub(crate) struct Wait(u64);

impl Applying {
    fn touches(&self, destination: DestinationIndex) -> bool {
        self.line.iter().any(|slow| slow.effect.touched.contains(&destination))
    }
}

impl Broker {
    /// Whether a transaction's decision is taking effect: who follows the log is ahead of this broker.
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        self.is_applying()
    }

    /// Whether a decision is taking effect.
    #[inline(always)]
    pub(crate) fn is_applying(&self) -> bool {
        !self.undecided.applying.line.is_empty()
    }

    /// Whether the newest decision that was there then has taken effect.
    pub(crate) fn has_applied(&self, wait: &Wait) -> bool {
        self.undecided.applying.done >= wait.0
    }

    /// It takes effect: now, if that is little and nothing stands before it where it goes; else in its turn.
    pub(super) fn take_effect<L: Log>(&mut self, effect: Effect, step: &mut Step<'_, L>) {
        let overtakes = effect.touched.iter().any(|destination| self.undecided.applying.touches(*destination));
        let mut slow = Slow { effect, behind: VecDeque::new() };
        if !overtakes && self.at_once(|broker, budget| broker.apply_slice(&mut slow, budget, step)) {
            return;
        }
        self.undecided.applying.line.push_back(slow);
        self.undecided.applying.begun += 1;
        let wait = Wait(self.undecided.applying.begun);
        self.jobs.push(wait);
    }

    /// Goes on with the oldest of them. True: there is more to do.
    pub(crate) fn apply_decided<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        // Or a flood behind it would grow faster than it is worked off.
        budget.0 += std::mem::take(&mut self.undecided.applying.owed);
        while let Some(mut slow) = self.undecided.applying.line.pop_front() {
            if !self.apply_slice(&mut slow, budget, step) {
                self.undecided.applying.line.push_front(slow);
                return true;
            }
            self.undecided.applying.done += 1;
            self.jobs.stir();
        }
        false
    }

    /// Goes on with one. True: it has taken effect.
    fn apply_slice<L: Log>(&mut self, slow: &mut Slow, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        let Slow { effect, behind } = slow;
        while budget.step() {
            if let Some((_, head)) = effect.heads.next() {
                let (emptied, places) =
                    self.enter_queues((effect.of, head), (effect.first, &effect.late), effect.publisher, effect.bits);
                budget.spend(places);
                emptied.into_iter().for_each(|segment| self.release_spool(segment, step));
            } else if let Some((of, index)) = behind.pop_front() {
                self.destinations.get_mut(of).behind -= 1;
                self.destinations.decide(of, 1);
                self.enter_queue(of, index);
            } else if let Some(of) = effect.late.release() {
                self.destinations.decide(of, 1);
            } else if let Some((of, index)) = effect.settled.next() {
                self.destinations.decide(of, 1);
                self.settle(of, index, step);
            } else {
                break;
            }
        }
        let done = effect.is_done() && behind.is_empty();
        if done {
            self.undecided.end(effect.of);
        }
        done
    }

    /// The places of a record that a transaction has sent are there for those who consume. The same when it is followed.
    /// Segments of the spool that may be empty, and how many places it has besides the first.
    #[allow(clippy::cast_possible_truncation, reason = "places of a record")]
    pub(super) fn enter_queues(
        &mut self,
        (of, head): (TransactionIndex, MessageIndex),
        (first, late): (Sequence, &Late),
        publisher: u32,
        bits: u8,
    ) -> (Vec<SegmentNumber>, usize) {
        let (mut index, mut emptied, mut places) = (head, Vec::new(), 0);
        while index != MessageIndex::NONE {
            let message = self.messages.at_mut(index);
            let (number, is_shared) = (message.sequence.0, message.has(flag::SHARED));
            if message.has(flag::STRAY) {
                self.strays.decide(message, Sequence(first.0 + number));
            }
            message.sequence = Sequence(first.0 + number);
            message.publisher = publisher;
            message.flags = message.flags & !flag::STAGED | bits;
            let (destination, next) = (message.destination, message.sibling);
            self.destinations.decide(destination, 1);
            if is_shared {
                emptied.extend(self.decide_shared(of, index, number, late));
                places += self.messages.get(index).map_or(0, Message::places) as usize;
            } else {
                self.enter_queue(destination, index);
                places += 1;
            }
            index = next;
        }
        (emptied, places.saturating_sub(1))
    }

    /// A message comes to a destination where a decision may be taking effect. True: it waits behind that.
    #[cold]
    pub(super) fn waits_behind_decision(&mut self, destination: DestinationIndex, index: MessageIndex) -> bool {
        let line = &mut self.undecided.applying.line;
        let Some(slow) = line.iter_mut().rev().find(|slow| slow.effect.touched.contains(&destination)) else {
            return false;
        };
        slow.behind.push_back((destination, index));
        self.undecided.applying.owed += 1;
        let state = self.destinations.get_mut(destination);
        (state.undecided, state.behind) = (state.undecided + 1, state.behind + 1);
        if let Content::Queue(queue) = &mut state.content {
            queue.comes_later();
        }
        true
    }
}
