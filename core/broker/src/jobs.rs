//! What takes long, in slices (R25).

use crate::broker::{Broker, Step};
use crate::consumer::InFlight;
use crate::dead_letter::{Cause, Wait};
use crate::deque::Deque;
use crate::dispatch::Budget;
use crate::log::{Log, Store};
use crate::messages::DestinationIndex;
use crate::plant::planted;
use crate::records::{ACKNOWLEDGED_BYTES, RUN_BYTES};
use crate::redelivery::Delivered;
use postrider_journal::Bound;
use postrider_model::{Event, PortIndex};
use std::collections::VecDeque;

/// What becomes of messages that a consumer is done with.
pub(crate) enum Fate {
    Consumed,
    /// The consumer gave them up, for this cause.
    DeadLetter(Box<[u8]>),
    Expired,
}

/// Something that takes long.
pub(crate) enum Job {
    /// Messages that an acknowledgement names.
    Settle { entries: Deque<InFlight>, fate: Fate },
    /// Messages that go back.
    Return { entries: Deque<InFlight>, delivered: Delivered, held: Vec<DestinationIndex> },
    /// A destination that is gone, with its messages.
    Empty { destination: DestinationIndex },
    /// The answer to the command that made the jobs before it.
    Answer { port: PortIndex, event: Event },
    /// Stands for a job while that runs.
    Nothing,
}

/// Jobs in the order in which they came. One that waits lets others pass, but no answer.
#[derive(Default)]
pub(crate) struct Jobs {
    list: VecDeque<Job>,
    pushed: u64,
}

impl Jobs {
    pub fn push(&mut self, job: Job) {
        self.pushed += 1;
        self.list.push_back(job);
    }

    /// Jobs since the start.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }
}

/// How a slice ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slice {
    Done,
    More,
    /// It waits for room in the log, or for bytes.
    Waits,
    /// It goes on in the next turn.
    NextTurn,
}

/// Jobs that get a chance in a turn while those before them wait.
const JOBS_LOOKED_AT: usize = 64;

/// Bytes and records of so many acknowledgements.
pub(crate) fn acknowledgement_bound(count: u64) -> Bound {
    let bytes = count * (ACKNOWLEDGED_BYTES + RUN_BYTES);
    Bound { records: 2 + (bytes / 20_000) as u32, bytes }
}

impl Broker {
    /// Works on jobs within the budget. True: there is more to do.
    pub(crate) fn run_jobs<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        if planted("unbounded-handle") {
            budget.0 = usize::MAX;
        }
        let (mut index, mut waiting, mut more) = (0, false, false);
        while index < self.jobs.list.len().min(JOBS_LOOKED_AT) {
            if waiting && matches!(self.jobs.list[index], Job::Answer { .. }) {
                index += 1;
                continue;
            }
            let mut job = std::mem::replace(&mut self.jobs.list[index], Job::Nothing);
            let slice = self.run_slice(&mut job, budget, step);
            if slice == Slice::Done {
                self.jobs.list.remove(index);
                continue;
            }
            self.jobs.list[index] = job;
            match slice {
                Slice::More => return true,
                Slice::NextTurn => (waiting, more) = (true, true),
                _ => waiting = true,
            }
            index += 1;
        }
        more
    }

    fn run_slice<L: Log>(&mut self, job: &mut Job, budget: &mut Budget, step: &mut Step<'_, L>) -> Slice {
        match job {
            Job::Settle { entries, fate } => self.settle_some(entries, fate, budget, step),
            Job::Return { entries, delivered, held } => {
                let steps = budget.0.min(entries.len());
                self.return_some(entries, delivered, steps);
                budget.0 -= steps;
                if !entries.is_empty() {
                    return Slice::More;
                }
                self.release_queues(held);
                Slice::Done
            }
            Job::Empty { destination } => self.empty_some(*destination, budget, step),
            Job::Answer { port, event } => {
                step.out.reply(*port, event.clone());
                Slice::Done
            }
            Job::Nothing => Slice::Done,
        }
    }

    fn settle_some<L: Log>(
        &mut self,
        entries: &mut Deque<InFlight>,
        fate: &Fate,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Slice {
        while let Some(entry) = entries.front() {
            if !budget.step() {
                return Slice::More;
            }
            let outcome = match fate {
                Fate::Consumed if !step.log.reserve(acknowledgement_bound(1)) => Err(Wait::Room),
                Fate::Consumed => {
                    self.consume(entry.index, step);
                    Ok(())
                }
                Fate::DeadLetter(cause) => self.give_up(entry.index, Cause::Poison(cause), step),
                Fate::Expired => self.give_up(entry.index, Cause::Expired, step),
            };
            match outcome {
                Ok(()) => {}
                Err(Wait::TurnEnd) => return Slice::NextTurn,
                Err(Wait::Room | Wait::Bytes) => return Slice::Waits,
            }
            entries.pop_front();
        }
        Slice::Done
    }

    /// The record of the deletion has said it all: what is in the destination goes without a word.
    fn empty_some<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> Slice {
        loop {
            if !budget.step() {
                return Slice::More;
            }
            let Some(message) = self.destinations.get_mut(index).take_any() else { break };
            self.settle(message, step);
        }
        if self.destinations.get(index).holds_messages() {
            return Slice::Waits;
        }
        self.uncommitted.retain(|other| *other != index);
        self.cold.retain(|other| *other != index);
        self.scheduled.retain(|other| *other != index);
        self.destinations.free(index);
        Slice::Done
    }

    /// A spool segment without messages goes, unless it is still written (R21).
    pub(crate) fn release_spool<L: Log>(&mut self, segment: postrider_journal::SegmentNumber, step: &mut Step<'_, L>) {
        let early = planted("spool-freed-early") && self.spool.table(segment).is_some_and(|table| table.live() <= 1);
        if self.spool.newest() != Some(segment) && (self.spool.is_dead(segment) || early) {
            step.log.release(segment);
            if !early {
                self.segments(Store::Spool).drop_segment(segment);
            }
        }
    }
}
