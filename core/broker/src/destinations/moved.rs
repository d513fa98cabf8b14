//! What follows the log meets messages that reclaim has moved behind newer ones: they are kept in sorted runs beside the queue's own list,
//! and merged into it when all has been met.

use crate::destinations::queue::until;
use crate::kit::deque::{Deque, Place};
use crate::messages::{MessageIndex, Messages};
use postrider_model::Sequence;

/// Runs of one queue; when they are more, the shorter half of them become one.
const RUNS: usize = 16;

/// The moved messages of a queue.
#[derive(Default)]
pub(crate) struct Moved {
    runs: Vec<Run>,
}

/// Messages in the order of their sequences.
#[derive(Default)]
struct Run {
    list: Deque<MessageIndex>,
    /// The newest that came.
    last: Sequence,
}

/// The sequence of a message, as lists are sorted by it.
fn key(messages: &Messages) -> impl Fn(MessageIndex) -> u64 + '_ {
    |number| messages.get(number).map_or(0, |message| message.sequence.0)
}

/// Takes the message of this sequence out of a list.
pub(crate) fn take_of(list: &mut Deque<MessageIndex>, sequence: Sequence, messages: &Messages) -> Option<MessageIndex> {
    if key(messages)(list.front()?) == sequence.0 {
        return list.pop_front();
    }
    let (place, found) = place_of(list, sequence, messages)?;
    list.remove(place);
    Some(found)
}

/// The message of this sequence in a list.
pub(crate) fn find_in(list: &Deque<MessageIndex>, sequence: Sequence, messages: &Messages) -> Option<MessageIndex> {
    place_of(list, sequence, messages).map(|(_, found)| found)
}

fn place_of(list: &Deque<MessageIndex>, sequence: Sequence, messages: &Messages) -> Option<(Place, MessageIndex)> {
    let key = key(messages);
    let place = list.search_from_front(|number| key(number) < sequence.0);
    let found = list.at(place).filter(|number| key(*number) == sequence.0)?;
    Some((place, found))
}

impl Moved {
    /// A message comes that is older than one that came before it.
    pub(crate) fn add(&mut self, number: MessageIndex, messages: &Messages) {
        let Some(message) = messages.get(number) else { return };
        let fitting = self.runs.iter_mut().filter(|run| run.last < message.sequence).max_by_key(|run| run.last);
        let run = match fitting {
            Some(run) => run,
            None => {
                self.runs.push(Run::default());
                let Some(run) = self.runs.last_mut() else { return };
                run
            }
        };
        run.last = message.sequence;
        run.list.push_back_until(number, until(message.expiration));
        if self.runs.len() > RUNS {
            self.join_shorter(messages);
        }
    }

    fn join_shorter(&mut self, messages: &Messages) {
        self.runs.sort_by_key(|run| std::cmp::Reverse(run.list.len()));
        let mut joined = Run::default();
        for run in self.runs.drain(RUNS / 2..).rev() {
            joined.last = joined.last.max(run.last);
            joined.list.merge(run.list, key(messages));
        }
        self.runs.push(joined);
    }

    /// The message of this sequence, if it is here.
    pub(crate) fn find(&self, sequence: Sequence, messages: &Messages) -> Option<MessageIndex> {
        let runs = self.runs.iter().filter(|run| sequence <= run.last);
        runs.filter_map(|run| find_in(&run.list, sequence, messages)).next()
    }

    /// Takes it out.
    pub(crate) fn take(&mut self, sequence: Sequence, messages: &Messages) -> Option<MessageIndex> {
        let mut runs = self.runs.iter_mut().enumerate().filter(|(_, run)| sequence <= run.last);
        let (place, found) =
            runs.find_map(|(place, run)| Some((place, take_of(&mut run.list, sequence, messages)?)))?;
        if self.runs.get(place).is_some_and(|run| run.list.is_empty()) {
            self.runs.swap_remove(place);
        }
        Some(found)
    }

    /// Takes any out.
    pub(crate) fn take_any(&mut self) -> Option<MessageIndex> {
        while let Some(run) = self.runs.last_mut() {
            if let Some(number) = run.list.pop_front() {
                return Some(number);
            }
            self.runs.pop();
        }
        None
    }

    /// All of them take their places in a list.
    pub(crate) fn merge_into(&mut self, list: &mut Deque<MessageIndex>, messages: &Messages) {
        let mut runs = std::mem::take(&mut self.runs);
        runs.sort_by_key(|run| run.list.len());
        let mut all = Deque::default();
        runs.into_iter().for_each(|run| all.merge(run.list, key(messages)));
        if !all.is_empty() {
            list.merge(all, key(messages));
        }
    }
}
