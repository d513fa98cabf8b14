//! What came back to a queue: messages that some consumer had.

use crate::kit::soonest::NEVER;
use crate::messages::MessageIndex;
use postrider_model::Sequence;
use std::collections::BTreeSet;
use std::collections::btree_set::Range;

/// A message and its sequence.
type Entry = (Sequence, MessageIndex);

/// The messages by sequence, and those that expire by their time, too: only what has expired is looked for (R56).
#[derive(Default)]
pub(crate) struct Returned {
    all: BTreeSet<Entry>,
    expiring: BTreeSet<(i64, Entry)>,
}

impl Returned {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The oldest.
    pub(crate) fn first(&self) -> Option<&Entry> {
        self.all.first()
    }

    /// Whether it is here.
    pub(crate) fn contains(&self, entry: Entry) -> bool {
        self.all.contains(&entry)
    }

    /// Those from this sequence on.
    pub(crate) fn from(&self, sequence: Sequence) -> Range<'_, Entry> {
        self.all.range((sequence, MessageIndex(0))..)
    }

    /// Adds a message that expires at this time.
    pub(crate) fn insert(&mut self, entry: Entry, expiration: i64) {
        self.all.insert(entry);
        if expiration != NEVER {
            self.expiring.insert((expiration, entry));
        }
    }

    /// Takes it out; false: it was not there.
    pub(crate) fn remove(&mut self, entry: Entry, expiration: i64) -> bool {
        if expiration != NEVER {
            self.expiring.remove(&(expiration, entry));
        }
        self.all.remove(&entry)
    }

    /// Takes the oldest out, whenever it expires: for a queue that goes.
    pub(crate) fn take_any(&mut self) -> Option<MessageIndex> {
        self.expiring.clear();
        self.all.pop_first().map(|(_, message)| message)
    }

    /// Whether one has expired by now.
    pub(crate) fn may_expire(&self, now: i64) -> bool {
        self.expiring.first().is_some_and(|(expiration, _)| *expiration <= now)
    }

    /// Takes one out that has expired by now.
    pub(crate) fn take_expired(&mut self, now: i64) -> Option<Entry> {
        if !self.may_expire(now) {
            return None;
        }
        let (_, entry) = self.expiring.pop_first()?;
        self.all.remove(&entry);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_expired_is_taken_and_nothing_else() {
        let entry = |number: u32| (Sequence(u64::from(number)), MessageIndex(number));
        let mut returned = Returned::default();
        for number in 0..100 {
            returned.insert(entry(number), if number % 2 == 0 { NEVER } else { i64::from(200 - number) });
        }
        assert!(returned.remove(entry(99), 101) && !returned.remove(entry(99), 101));
        assert!(returned.remove(entry(0), NEVER));
        assert_eq!((returned.may_expire(102), returned.may_expire(103)), (false, true));
        let taken: Vec<u32> = std::iter::from_fn(|| returned.take_expired(110)).map(|(_, number)| number.0).collect();
        assert_eq!(taken, [97, 95, 93, 91]);
        assert_eq!((returned.len(), returned.first()), (94, Some(&entry(1))));
        assert_eq!(returned.from(Sequence(90)).count(), 5);
        assert_eq!(std::iter::from_fn(|| returned.take_any()).count(), 94);
        assert!(!returned.may_expire(NEVER));
    }
}
