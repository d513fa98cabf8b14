//! What takes long, in slices (R25).
#![expect(clippy::indexing_slicing, reason = "answers are numbered by the table that holds them")]

use crate::broker::{Broker, Step};
use crate::clients::closing::Closing;
use crate::clients::connection::Leaving;
use crate::clients::consumer::InFlight;
use crate::delivery::advisory::Passage;
use crate::delivery::destination::Reference;
use crate::delivery::dispatch::Budget;
use crate::durable::records::{ACKNOWLEDGED_BYTES, RUN_BYTES};
use crate::intake::parking::Parked;
use crate::kit::deque::Deque;
use crate::kit::slab::Slab;
use crate::log::{Log, Store};
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use crate::settle::redelivery::Delivered;
use crate::settle::settling::{Fate, Settling};
use crate::wildcards::matching::{Join, Match};
use postrider_journal::Bound;
use postrider_model::{ConnectionHandle, ConsumerHandle, Event, PortIndex};
use std::collections::VecDeque;

/// Something that takes long.
pub(crate) enum Job {
    /// Messages that an acknowledgement names.
    Settle(Settling),
    /// Messages that have expired; there is one such job at most.
    Expire(Settling),
    /// Messages that go back.
    Return { entries: Deque<InFlight>, delivered: Delivered, held: Vec<Reference> },
    /// A destination that is gone, with its consumers and messages.
    Empty { destination: DestinationIndex },
    /// What a connection that has ended had.
    Leave(Leaving),
    /// What stood behind the goodbye of a connection that has gone.
    Drop(VecDeque<Parked>),
    /// A consumer that goes out of many places.
    Close(Closing),
    /// A consumer whose patterns fit many destinations.
    Match(Match),
    /// A destination that many patterns fit.
    Join(Join),
    /// An advisory that each port is to take.
    Advise(Passage),
    /// A consumer that is to hear of all temporary destinations that were there when it came.
    CatchUp { consumer: ConsumerIndex, handle: ConsumerHandle, passages: Option<Vec<Passage>> },
}

/// A job in its turn, and the answer that waits for it.
struct Entry {
    job: Job,
    answer: Option<u32>,
}

/// An answer to a command that has made jobs.
struct Answer {
    port: PortIndex,
    connection: ConnectionHandle,
    event: Event,
    /// Jobs that are not done, and answers that come first.
    jobs: u64,
    /// The answer that this one comes before.
    next: Option<u32>,
}

/// Jobs take turns, slice by slice; an answer waits for its own command's jobs only (R51), but that to a goodbye (R13).
#[derive(Default)]
pub(crate) struct Jobs {
    list: VecDeque<Entry>,
    answers: Slab<Answer>,
    pushed: u64,
    /// When a job that rests goes on; 0: none does.
    rests_until: u64,
    /// Messages that have expired and left their queues, for the job of them all, and whether there is one.
    expired: Deque<InFlight>,
    expires: bool,
    /// Jobs in a row that could do nothing: when all of them are, the rest of the turn is not for them.
    fruitless: usize,
}

impl Jobs {
    pub fn push(&mut self, job: Job) {
        self.pushed += 1;
        self.fruitless = 0;
        self.list.push_back(Entry { job, answer: None });
    }

    /// A message has expired and left its queue; whatever comes behind it there does not wait for it. No command's answer does.
    pub fn expire(&mut self, entry: InFlight) {
        self.expired.push_back(entry);
        self.fruitless = 0;
        if !std::mem::replace(&mut self.expires, true) {
            self.push(Job::Expire(Settling::new(Deque::default(), Fate::Expired)));
        }
    }

    /// A job goes on then at the latest, though nothing happens.
    pub fn rest(&mut self, until: u64) {
        self.rests_until = match self.rests_until {
            0 => until,
            known => known.min(until),
        };
    }

    /// When that is, in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        (self.rests_until > 0).then_some(self.rests_until)
    }

    pub fn next_expired(&mut self) -> Option<InFlight> {
        self.expired.pop_front()
    }

    /// The job of expired messages is done.
    pub fn no_more_expired(&mut self) {
        self.expires = false;
    }

    /// Jobs since the start.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The answer waits for the jobs that have come since there were `before`; the last one of a connection does for all others of it,
    /// too. It comes back if there are none.
    pub fn answer(
        &mut self,
        port: PortIndex,
        (connection, is_last): (ConnectionHandle, bool),
        event: Event,
        before: u64,
    ) -> Result<(), Event> {
        let of_it = |answer: &Answer| (answer.port, answer.connection) == (port, connection) && answer.next.is_none();
        let others = is_last.then(|| self.answers.iter().filter(|(_, answer)| of_it(answer))).into_iter().flatten();
        let others: Vec<u32> = others.map(|(number, _)| number).collect();
        let jobs = self.pushed - before;
        if jobs == 0 && others.is_empty() {
            return Err(event);
        }
        let waits_for = jobs + others.len() as u64;
        let answer = self.answers.insert(Answer { port, connection, event, jobs: waits_for, next: None });
        others.into_iter().for_each(|other| self.answers[other].next = Some(answer));
        self.belong(answer, jobs);
        Ok(())
    }

    /// What a job has made besides belongs to the same answer.
    fn adopt(&mut self, answer: u32, before: u64) {
        let children = self.pushed - before;
        self.answers[answer].jobs += children;
        self.belong(answer, children);
    }

    /// The newest so many jobs belong to an answer.
    fn belong(&mut self, answer: u32, count: u64) {
        let newest = self.list.iter_mut().rev();
        newest.zip(0..count).for_each(|(entry, _)| entry.answer = Some(answer));
    }

    /// A job is done, or what comes before an answer: the answer, if it was the last one.
    fn done(&mut self, answer: u32) -> Option<Answer> {
        self.answers[answer].jobs -= 1;
        (self.answers[answer].jobs == 0).then(|| self.answers.remove(answer))
    }

    /// A pass over all jobs begins.
    fn begin_pass(&mut self) -> usize {
        if self.fruitless >= self.list.len() {
            self.fruitless = 0;
        }
        self.list.len()
    }
}

/// How a slice ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slice {
    Done,
    More,
    /// It waits for room in the log, or for bytes.
    Waits,
    /// It goes on in the next turn.
    NextTurn,
}

fn some(done: bool) -> Slice {
    if done { Slice::Done } else { Slice::More }
}

/// A look at something costs a step.
fn look(budget: &mut Budget, done: bool) -> Slice {
    budget.spend(1);
    if done { Slice::Done } else { Slice::Waits }
}

/// Steps of a slice, while there are more jobs than get larger ones in a turn.
const SLICE_STEPS: usize = 250;

/// Bytes of a record that are copied and checked in the time of a step.
pub(crate) const STEP_BYTES: usize = 256;

/// Bytes and records of so many acknowledgements.
pub(crate) fn acknowledgement_bound(count: u64) -> Bound {
    let bytes = count * (ACKNOWLEDGED_BYTES + RUN_BYTES);
    let records = u32::try_from(2 + bytes / 20_000).unwrap_or(u32::MAX);
    Bound { records, bytes }
}

impl Broker {
    /// Works on jobs within the budget. True: there is more to do.
    pub(crate) fn run_jobs<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        if planted("unbounded-handle") {
            budget.0 = usize::MAX;
        }
        if self.jobs.rests_until <= step.now.nanos {
            self.jobs.rests_until = 0;
        }
        let jobs = self.jobs.begin_pass();
        let slice_steps = (budget.0 / jobs.max(1)).max(SLICE_STEPS);
        let mut goes_on = false;
        for _ in 0..jobs {
            if budget.0 == 0 || self.jobs.fruitless >= self.jobs.list.len() {
                break;
            }
            let Some(mut entry) = self.jobs.list.pop_front() else { break };
            let before = self.jobs.pushed();
            let mut slice = Budget(slice_steps.min(budget.0));
            let given = slice.0;
            let outcome = self.run_slice(&mut entry.job, &mut slice, step);
            budget.0 -= given - slice.0;
            if let Some(answer) = entry.answer {
                self.jobs.adopt(answer, before);
            }
            match outcome {
                _ if planted("answers-in-line") && outcome != Slice::Done => {
                    self.jobs.list.push_front(entry);
                    return outcome != Slice::Waits;
                }
                Slice::Done => self.finish(entry, step),
                Slice::Waits => {
                    self.jobs.fruitless += 1;
                    self.jobs.list.push_back(entry);
                }
                Slice::More | Slice::NextTurn => {
                    self.jobs.fruitless = 0;
                    goes_on = true;
                    self.jobs.list.push_back(entry);
                }
            }
        }
        goes_on || self.has_jobs_to_do()
    }

    /// Whether there are jobs, and not all of them wait for something.
    #[must_use]
    pub fn has_jobs_to_do(&self) -> bool {
        self.jobs.fruitless < self.jobs.list.len()
    }

    fn finish<L: Log>(&mut self, entry: Entry, step: &mut Step<'_, L>) {
        self.jobs.fruitless = 0;
        if let Job::Match(walk) = entry.job
            && let Some((port, event)) = walk.failure()
        {
            match entry.answer {
                Some(answer) => self.jobs.answers[answer].event = event,
                None => step.out.reply(port, event),
            }
        }
        let mut done = entry.answer;
        while let Some(answer) = done.and_then(|answer| self.jobs.done(answer)) {
            step.out.reply(answer.port, answer.event);
            done = answer.next;
        }
    }

    fn run_slice<L: Log>(&mut self, job: &mut Job, budget: &mut Budget, step: &mut Step<'_, L>) -> Slice {
        match job {
            Job::Settle(settling) => self.settle_some(settling, budget, step),
            Job::Expire(settling) => self.expire_waiting(settling, budget, step),
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
            Job::Leave(leaving) => match self.leave_some(leaving, budget, step) {
                false if budget.0 > 0 => Slice::Waits,
                done => some(done),
            },
            Job::Drop(parked) => {
                while budget.step() {
                    let Some(parked) = parked.pop_front() else { return Slice::Done };
                    self.drop_parked(&parked);
                }
                Slice::More
            }
            Job::Close(closing) => some(self.close_some(closing, budget)),
            Job::Match(walk) => {
                let done = self.match_some(walk, budget);
                if done {
                    self.matched(walk);
                }
                some(done)
            }
            Job::Join(join) => {
                let done = self.join_some(join, budget);
                if done {
                    self.joined(join);
                }
                some(done)
            }
            Job::Advise(passage) => look(budget, self.has_passed(passage)),
            Job::CatchUp { consumer, handle, passages } => {
                look(budget, self.has_caught_up(*consumer, *handle, passages))
            }
        }
    }

    /// The record of the deletion has said it all: who consumes from the destination and what is in it goes without a word.
    fn empty_some<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> Slice {
        loop {
            if !budget.step() {
                return Slice::More;
            }
            if self.drop_next_member(index, budget) {
                continue;
            }
            let Some(message) = self.destinations.get_mut(index).take_any() else { break };
            self.settle(message, step);
        }
        if self.destinations.get(index).holds_messages() {
            return Slice::Waits;
        }
        self.spooling.lagging.remove(&index);
        self.destinations.free(index);
        Slice::Done
    }

    /// A spool segment is written no more: it goes now if nothing lives in it.
    pub(crate) fn release_full<L: Log>(
        &mut self,
        segment: Option<postrider_journal::SegmentNumber>,
        step: &mut Step<'_, L>,
    ) {
        if let Some(full) = segment.filter(|full| self.spool.table(*full).is_some()) {
            self.release_spool(full, step);
        }
    }

    /// A spool segment without messages goes, unless it is still written (R21).
    pub(crate) fn release_spool<L: Log>(&mut self, segment: postrider_journal::SegmentNumber, step: &mut Step<'_, L>) {
        let early = planted("spool-freed-early") && self.spool.table(segment).is_some_and(|table| table.live() <= 1);
        if !self.spool.is_written(segment) && (self.spool.is_dead(segment) || early) {
            step.log.release(segment);
            if !early {
                self.segments(Store::Spool).drop_segment(segment);
            }
        }
    }
}
