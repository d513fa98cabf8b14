//! How far the log is known to have come, said outside of the segment that is being written: an older copy of it cannot pass for the log's
//! end after a kill, nor can its absence.

use std::io;
use std::sync::Arc;

use crate::journal::Journal;
use crate::plant::planted;
use crate::position::Position;
use crate::storage::Storage;

/// Nanoseconds between two statements: one small file each.
const EVERY: u64 = 10_000_000_000;

/// Lives of such a file, 32 KiB. With more of them statements are as much rarer.
const FEW_LIVES: u64 = 1024;

/// What was stated, and when it will be again.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stated {
    durable: Position,
    due: Option<u64>,
    under_way: bool,
    /// What follows from losses is in the log up to here.
    without_losses: Option<Position>,
    /// The copies of the table are written in turn.
    slot: usize,
}

impl Stated {
    pub(crate) fn at(durable: Position) -> Stated {
        Stated { durable, ..Stated::default() }
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.due
    }
}

impl<S: Storage> Journal<S> {
    /// What is appended so far says all that follows from losses which the start found: once it is durable no start need know of them.
    pub fn losses_stated(&mut self) {
        self.stated.without_losses = Some(self.marks.appended.get());
    }

    /// What the table says of losses, from now on.
    pub(crate) fn settle_losses(&mut self) {
        if self.stated.without_losses.is_some_and(|position| position <= self.marks.durable.get()) {
            self.stated.without_losses = None;
            Arc::make_mut(&mut self.table).losses = 0;
        }
    }

    /// Some seconds, or with a long table some minutes, after `durable` went beyond what the table says it is stated there, in one of its copies.
    pub(crate) fn state_durable(&mut self, now: u64) {
        let durable = self.marks.durable.get();
        if planted("end-unstated") {
            return;
        }
        if durable == self.stated.durable || self.stated.under_way {
            return;
        }
        if now < *self.stated.due.get_or_insert(now.saturating_add(every(self.table.lives.len()))) {
            return;
        }
        self.settle_losses();
        let table = Arc::make_mut(&mut self.table);
        (table.stated, table.head) = (Some(durable), self.head.committed());
        let slot = self.stated.slot;
        self.stated = Stated { durable, due: None, under_way: true, slot: 1 - slot, ..self.stated };
        self.storage.state(slot, Arc::clone(&self.table));
    }

    /// One that failed is followed by the next, if there is something new to be said: nobody waits for it.
    pub(crate) fn was_stated(&mut self, _: io::Result<()>) {
        self.stated.under_way = false;
    }
}

/// Nanoseconds between two statements in a table of so many lives: what they write a second does not grow with it.
fn every(lives: usize) -> u64 {
    EVERY * (lives as u64).div_ceil(FEW_LIVES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::MAX_LIVES;

    #[test]
    fn a_table_with_many_lives_is_stated_as_much_more_seldom() {
        for (lives, seconds) in [(1, 10), (1024, 10), (1025, 20), (65_536, 640), (MAX_LIVES, 10_240)] {
            assert_eq!(every(lives), seconds * 1_000_000_000, "{lives}");
        }
    }
}
