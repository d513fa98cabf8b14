//! Connections with parked commands, a line for each log: who is next, and who needs least (R24).

use crate::log::LogKind;
use crate::messages::ConnectionIndex;
use crate::plant::planted;
use std::collections::{BTreeMap, BTreeSet};

/// So many times what the first in the journal's line needs may pass it.
const PATIENCE: u64 = 16;

/// What the first parked command of a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Need {
    /// The log that had no room.
    pub store: LogKind,
    /// Bytes that it needs below the limit of what may live.
    pub bytes: u64,
}

/// A connection's place in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket {
    need: Need,
    turn: u64,
}

#[derive(Default)]
struct LogLine {
    by_turn: BTreeMap<u64, (ConnectionIndex, u64)>,
    /// Bytes and turn: whoever needs least can go on if anybody can.
    by_need: BTreeSet<(u64, u64)>,
}

impl LogLine {
    /// The first of the line, and behind them who needs least.
    fn next(&self, most: usize) -> impl Iterator<Item = (u64, ConnectionIndex)> {
        let least = self.by_need.first().and_then(|(_, turn)| Some((*turn, self.by_turn.get(turn)?.0)));
        let least = least.filter(|_| !planted("parked-line-sticks"));
        self.by_turn.iter().take(most).map(|(turn, (index, _))| (*turn, *index)).chain(least)
    }

    /// Whose turn it is, and the bytes that it needs.
    fn first(&self) -> Option<(u64, ConnectionIndex, u64)> {
        self.by_turn.first_key_value().map(|(turn, (index, bytes))| (*turn, *index, *bytes))
    }
}

/// The lines. Whoever is taken out and comes again is the last of its line.
#[derive(Default)]
pub(crate) struct Lines {
    journal: LogLine,
    spool: LogLine,
    next_turn: u64,
    /// The first of the journal's line, and bytes of others that the journal has taken since it is.
    passed: (u64, u64),
    /// The log has no place for it in this turn: others come, and it stays the first.
    waits: bool,
}

impl Lines {
    pub(crate) fn is_empty(&self) -> bool {
        !self.waits_for(LogKind::Journal) && !self.waits_for(LogKind::Spool)
    }

    /// Whether somebody waits for room in this log.
    pub(crate) fn waits_for(&self, store: LogKind) -> bool {
        !self.line(store).by_turn.is_empty()
    }

    pub(crate) fn join(&mut self, index: ConnectionIndex, need: Need) -> Ticket {
        self.next_turn += 1;
        let turn = self.next_turn;
        let line = self.line_mut(need.store);
        line.by_turn.insert(turn, (index, need.bytes));
        line.by_need.insert((need.bytes, turn));
        Ticket { need, turn }
    }

    pub(crate) fn leave(&mut self, ticket: Ticket) {
        let line = self.line_mut(ticket.need.store);
        line.by_turn.remove(&ticket.turn);
        line.by_need.remove(&(ticket.need.bytes, ticket.turn));
    }

    /// The journal takes so much of somebody while others wait.
    pub(crate) fn pass(&mut self, bytes: u64) {
        let Some((first, ..)) = self.journal.first() else { return };
        let (turn, passed) = self.passed;
        self.passed = (first, if turn == first { passed + bytes } else { bytes });
    }

    /// Whether this is the first of the journal's line, and many times what it needs has passed it.
    pub(crate) fn is_passed(&self, index: ConnectionIndex) -> bool {
        let (turn, passed) = self.passed;
        let is_passed = |(first, of, bytes)| (turn, of) == (first, index) && passed >= PATIENCE * bytes;
        !self.waits && self.journal.first().is_some_and(is_passed)
    }

    /// Whether the first of the journal's line, which many have passed, has to wait for a place until the next turn.
    pub(crate) fn set_waits(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// Who is to be looked at: the first `most` of each line, or of that for the spool only, in turn, and those who need least.
    pub(crate) fn next(&self, most: usize, all: bool) -> Vec<ConnectionIndex> {
        let journal = self.journal.next(most).filter(|_| all);
        let mut next: Vec<(u64, ConnectionIndex)> = journal.chain(self.spool.next(most)).collect();
        next.sort_by_key(|(turn, _)| *turn);
        next.dedup_by_key(|(turn, _)| *turn);
        next.into_iter().map(|(_, index)| index).collect()
    }

    fn line(&self, store: LogKind) -> &LogLine {
        match store {
            LogKind::Journal => &self.journal,
            LogKind::Spool => &self.spool,
        }
    }

    fn line_mut(&mut self, store: LogKind) -> &mut LogLine {
        match store {
            LogKind::Journal => &mut self.journal,
            LogKind::Spool => &mut self.spool,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(next: Vec<ConnectionIndex>) -> Vec<u32> {
        next.into_iter().map(|index| index.0).collect()
    }

    #[test]
    fn the_first_of_each_line_and_those_who_need_least_are_next() {
        let mut lines = Lines::default();
        assert!(lines.is_empty() && lines.next(2, true).is_empty());
        let need = |store, bytes| Need { store, bytes };
        let tickets: Vec<Ticket> = (0..8)
            .map(|number| {
                let store = if number % 2 == 0 { LogKind::Journal } else { LogKind::Spool };
                lines.join(ConnectionIndex(number), need(store, u64::from(100 - number)))
            })
            .collect();
        assert_eq!(indices(lines.next(1, true)), [0, 1, 6, 7]);
        assert_eq!(indices(lines.next(3, true)), [0, 1, 2, 3, 4, 5, 6, 7]);
        for place in [0, 6] {
            lines.leave(tickets[place]);
        }
        assert_eq!(indices(lines.next(1, true)), [1, 2, 4, 7]);
        lines.join(ConnectionIndex(0), need(LogKind::Journal, 1));
        assert_eq!(indices(lines.next(1, true)), [1, 2, 7, 0], "the last of its line, but with the least need");
        for place in [2, 4] {
            lines.leave(tickets[place]);
        }
        assert_eq!(indices(lines.next(5, true)), [1, 3, 5, 7, 0]);
        assert_eq!(indices(lines.next(2, false)), [1, 3, 7], "those who wait for the spool");
        assert!(lines.waits_for(LogKind::Journal) && lines.waits_for(LogKind::Spool));
    }
}
