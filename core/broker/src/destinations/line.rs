//! Destinations that are to be looked at: those that have something to send, and those that wait for a commit or for bytes.

use crate::destinations::destination::{Content, Destinations};
use crate::messages::DestinationIndex;
use crate::plant::planted;
use postrider_journal::Position;
use std::collections::VecDeque;

/// The lists. A destination knows in which of them it stands; one that is gone may stand there still, and its number be another's.
#[derive(Default)]
pub(crate) struct Line {
    /// With something to send, in the order in which they are served.
    served: VecDeque<DestinationIndex>,
    /// Topics on which the broker tells what happens: they come before all others (R57).
    told: VecDeque<DestinationIndex>,
    /// Queues with browsers that are to be shown more.
    browsed: VecDeque<DestinationIndex>,
    /// Those that wait for a commit.
    uncommitted: Vec<DestinationIndex>,
    /// What was committed when they were looked at last.
    seen_commit: Position,
    /// Those that wait for cold bytes.
    cold: Vec<DestinationIndex>,
    /// Those that go, of which nothing is undecided any more.
    decided: Vec<DestinationIndex>,
}

impl Line {
    /// Whether one of them can be served.
    pub(crate) fn is_empty(&self) -> bool {
        self.served.is_empty() && self.told.is_empty() && self.browsed.is_empty()
    }

    /// Whether queues have browsers to be shown more.
    pub(crate) fn has_browsed(&self) -> bool {
        !self.browsed.is_empty()
    }

    /// How many entries wait for a commit.
    pub(crate) fn awaiting_commit(&self) -> usize {
        self.uncommitted.len()
    }

    /// Whether something waits for a commit.
    pub(crate) fn awaits_commit(&self) -> bool {
        !self.uncommitted.is_empty()
    }
}

impl Destinations {
    /// Puts a destination in the line of those that are served.
    #[inline]
    pub(crate) fn line_up(&mut self, index: DestinationIndex) {
        let state = self.get_mut(index);
        if !state.in_line {
            state.in_line = true;
            if state.told && !planted("advisory-overtaken") {
                self.line.told.push_back(index);
            } else {
                self.line.served.push_back(index);
            }
        }
    }

    /// Takes the first out of the line, and whether it is there.
    #[inline]
    pub(crate) fn next_in_line(&mut self) -> Option<(DestinationIndex, bool)> {
        let index = match self.line.told.is_empty() {
            true => self.line.served.pop_front()?,
            false => self.line.told.pop_front()?,
        };
        let is_there = self.try_get(index).is_some();
        if is_there {
            self.get_mut(index).in_line = false;
        }
        Some((index, is_there))
    }

    /// How many topics on which the broker tells what happens have something to send.
    #[inline]
    pub(crate) fn told_in_line(&self) -> usize {
        self.line.told.len()
    }

    /// The queue's browsers are shown more when it is its turn.
    pub(crate) fn line_up_browsers(&mut self, index: DestinationIndex) {
        if !std::mem::replace(&mut self.get_mut(index).queue().shows, true) {
            self.line.browsed.push_back(index);
        }
    }

    /// The first of the queues with browsers, which may be gone.
    pub(crate) fn next_browsed(&mut self) -> Option<DestinationIndex> {
        self.line.browsed.pop_front()
    }

    /// The destination is looked at again when something was committed.
    pub(crate) fn await_commit(&mut self, index: DestinationIndex) {
        let waits = match &mut self.get_mut(index).content {
            Content::Queue(queue) => std::mem::replace(&mut queue.awaits_commit, true),
            // Nothing but a transaction makes a topic wait.
            Content::Topic(_) => std::mem::replace(&mut self.get_mut(index).awaits_commit, true),
        };
        if !waits {
            self.line.uncommitted.push(index);
        }
    }

    /// So many of its messages are decided.
    pub(crate) fn decide(&mut self, index: DestinationIndex, count: u32) {
        let state = self.get_mut(index);
        state.undecided -= count;
        if state.undecided == 0 && std::mem::take(&mut state.awaits_decisions) {
            self.line.decided.push(index);
        }
    }

    /// It goes: whether it has to wait for decisions. It is among [`Destinations::take_decided`] then.
    pub(crate) fn await_decisions(&mut self, index: DestinationIndex) -> bool {
        let state = self.get_mut(index);
        state.awaits_decisions = state.undecided > 0;
        state.awaits_decisions
    }

    /// Those that go, and have waited for decisions.
    pub(crate) fn take_decided(&mut self) -> Vec<DestinationIndex> {
        std::mem::take(&mut self.line.decided)
    }

    /// The destination is looked at again when bytes came.
    pub(crate) fn await_bytes(&mut self, index: DestinationIndex) {
        let state = self.get_mut(index);
        if !state.awaits_bytes && !planted("cold-forgotten") {
            state.awaits_bytes = true;
            self.line.cold.push(index);
        }
    }

    /// Whoever waits for a commit is looked at if there was one.
    pub(crate) fn note_commit(&mut self, committed: Position) {
        if committed != self.line.seen_commit {
            self.line.seen_commit = committed;
            self.commit_came();
        }
    }

    /// Whoever waits for a commit is looked at.
    pub(crate) fn commit_came(&mut self) {
        let mut uncommitted = std::mem::take(&mut self.line.uncommitted);
        for index in uncommitted.drain(..) {
            if self.try_get(index).is_some() {
                let state = self.get_mut(index);
                match &mut state.content {
                    Content::Queue(queue) => queue.awaits_commit = false,
                    Content::Topic(_) => state.awaits_commit = false,
                }
                self.line_up(index);
            }
        }
        self.line.uncommitted = uncommitted;
    }

    /// Bytes came, or it is known that they are damaged.
    pub(crate) fn bytes_came(&mut self) {
        for index in std::mem::take(&mut self.line.cold) {
            if self.try_get(index).is_some() {
                self.get_mut(index).awaits_bytes = false;
                self.line_up(index);
            }
        }
    }
}
