//! What follows the log meets messages that reclaim has moved behind newer ones: they are kept in sorted runs beside the queue's own list,
//! and merged into it when all has been met.

use crate::destinations::queue::until;
use crate::kit::deque::{Deque, Place};
use crate::messages::{MessageIndex, Messages};
use postrider_model::Sequence;

/// Runs of one queue; when they are more, those become one that are about as long as each other. A message is in a run half as long again
/// each time, so that it is not carried often, in whatever order they come: a queue that is never empty has as many rising sequences,
/// one between the other, as the log has been walked times. *Without: a start takes the square of what waits.*
const RUNS: usize = 16;

/// The moved messages of a queue.
#[derive(Default)]
pub(crate) struct Moved {
    runs: Vec<Run>,
    /// Messages that were carried from one run into another.
    #[cfg(test)]
    carried: usize,
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
            self.join_alike(messages);
        }
    }

    /// From the shortest on; each is more than twice as long as the one before it then.
    fn join_alike(&mut self, messages: &Messages) {
        let mut runs = std::mem::take(&mut self.runs);
        runs.sort_by_key(|run| run.list.len());
        for mut run in runs {
            if let Some(shorter) = self.runs.pop_if(|shorter| run.list.len() <= 2 * shorter.list.len()) {
                run.last = run.last.max(shorter.last);
                run.list.merge(shorter.list, key(messages));
                #[cfg(test)]
                {
                    self.carried += run.list.len();
                }
            }
            self.runs.push(run);
        }
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

    /// All of them.
    #[cfg(feature = "plant")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = MessageIndex> {
        self.runs.iter().flat_map(|run| {
            let mut place = run.list.first_place();
            std::iter::from_fn(move || {
                let found = run.list.at(place);
                place = run.list.after(place);
                found
            })
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogKind;
    use crate::messages::{DestinationIndex, Message};
    use postrider_journal::{Position, SegmentNumber};

    fn message(sequence: u64) -> Message {
        Message {
            sequence: Sequence(sequence),
            position: Position(0),
            expiration: 0,
            segment: SegmentNumber(0),
            ordinal: 0,
            length: 0,
            crc: 0,
            destination: DestinationIndex(0),
            sibling: MessageIndex::NONE,
            publisher: 0,
            redeliveries: 0,
            flags: 0,
            store: LogKind::Journal,
            #[cfg(feature = "plant")]
            stated: 0,
        }
    }

    /// Rising sequences, one between the other, in stretches of so many.
    fn between_each_other(sequences: u64, stretch: u64) -> Vec<u64> {
        let each = 40_000 / sequences;
        let rising = |from: u64| (0..sequences).rev().map(move |sequence| sequence * each + from);
        let stretches = (0..each).step_by(stretch as usize).flat_map(rising);
        stretches.flat_map(|from| (from..from + stretch).map(|sequence| 1 + sequence)).collect()
    }

    #[test]
    fn messages_in_any_order_are_carried_a_few_times_each() {
        for (sequences, stretch) in [(1, 1), (2, 1), (20, 1), (50, 1), (200, 20), (1_000, 4), (10_000, 4), (40_000, 1)]
        {
            let order = between_each_other(sequences, stretch);
            let (mut messages, mut moved) = (Messages::default(), Moved::default());
            for sequence in &order {
                let number = messages.insert(message(*sequence));
                moved.add(number, &messages);
                assert!(moved.runs.len() <= 2 * RUNS, "{} runs", moved.runs.len());
            }
            assert!(moved.carried <= 30 * order.len(), "{sequences}: {} for {}", moved.carried, order.len());
            for sequence in order.iter().map(|sequence| Sequence(*sequence)).filter(|sequence| sequence.0 % 3 == 0) {
                assert_eq!(moved.find(sequence, &messages), moved.take(sequence, &messages));
                assert_eq!(moved.find(sequence, &messages), None);
            }
            let mut list = Deque::default();
            moved.merge_into(&mut list, &messages);
            let mut rest: Vec<u64> = order.into_iter().filter(|sequence| sequence % 3 != 0).collect();
            rest.sort_unstable();
            assert!(list.iter().map(|number| messages.at(number).sequence.0).eq(rest));
        }
    }
}
