//! What takes long takes turns, slice by slice (R25).
#![expect(clippy::indexing_slicing, reason = "answers are numbered by the table that holds them")]

use crate::kit::slab::Slab;
use crate::outbox::Outbox;
use postrider_model::{ConnectionHandle, Event, PortIndex};
use std::collections::VecDeque;

/// A job in its turn, and the answer that waits for it.
pub(crate) struct Entry<J> {
    pub job: J,
    pub answer: Option<u32>,
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
pub(crate) struct Jobs<J> {
    list: VecDeque<Entry<J>>,
    answers: Slab<Answer>,
    pushed: u64,
    /// When a job that rests goes on; 0: none does.
    rests_until: u64,
    /// Jobs in a row that could do nothing: when all of them are, the rest of the turn is not for them.
    fruitless: usize,
}

impl<J> Default for Jobs<J> {
    fn default() -> Jobs<J> {
        let (list, answers) = (VecDeque::new(), Slab::default());
        Jobs { list, answers, pushed: 0, rests_until: 0, fruitless: 0 }
    }
}

impl<J> Jobs<J> {
    pub(crate) fn push(&mut self, job: impl Into<J>) {
        self.pushed += 1;
        self.fruitless = 0;
        self.list.push_back(Entry { job: job.into(), answer: None });
    }

    /// There is news for one that waits.
    pub(crate) fn stir(&mut self) {
        self.fruitless = 0;
    }

    /// A job goes on then at the latest, though nothing happens.
    pub(crate) fn rest(&mut self, until: u64) {
        self.rests_until = match self.rests_until {
            0 => until,
            known => known.min(until),
        };
    }

    /// When that is, in nanoseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        (self.rests_until > 0).then_some(self.rests_until)
    }

    /// Jobs since the start.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The answer waits for the jobs that have come since there were `before`; the last one of a connection does for all others of it,
    /// too. It comes back if there are none.
    pub(crate) fn answer(
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

    /// A pass over all jobs begins, which are so many.
    pub(crate) fn begin_pass(&mut self, nanos: u64) -> usize {
        if self.rests_until <= nanos {
            self.rests_until = 0;
        }
        // What one of them waits for may have come since.
        self.fruitless = 0;
        self.list.len()
    }

    /// The next one in its turn, unless all wait for something.
    pub(crate) fn next(&mut self) -> Option<Entry<J>> {
        self.has_some_to_do().then(|| self.list.pop_front()).flatten()
    }

    /// Whether there are some, and not all of them wait for something.
    pub(crate) fn has_some_to_do(&self) -> bool {
        self.fruitless < self.list.len()
    }

    /// A slice of it is over, and there is more.
    pub(crate) fn put_back(&mut self, entry: Entry<J>, outcome: Slice) {
        self.fruitless = if outcome == Slice::Waits { self.fruitless + 1 } else { 0 };
        self.list.push_back(entry);
    }

    /// Others wait behind it.
    pub(crate) fn put_first(&mut self, entry: Entry<J>) {
        self.list.push_front(entry);
    }

    /// It is done. An answer that waits for nothing more goes, or what is to be said in place of it.
    pub(crate) fn finish(&mut self, answer: Option<u32>, instead: Option<(PortIndex, Event)>, out: &mut Outbox) {
        self.fruitless = 0;
        if let Some((port, event)) = instead {
            match answer {
                Some(answer) => self.answers[answer].event = event,
                None => out.reply(port, event),
            }
        }
        let mut done = answer;
        while let Some(answer) = done.and_then(|answer| self.done(answer)) {
            out.reply(answer.port, answer.event);
            done = answer.next;
        }
    }

    /// What a job has made besides belongs to the same answer.
    pub(crate) fn adopt(&mut self, answer: u32, before: u64) {
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
