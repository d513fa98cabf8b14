//! How long a group waits for the clients that were just answered.
//!
//! A client that sends one message at a time sends the next when it has the receipt of the last. All that a commit answers come back
//! together, a moment later; a group that is written at once leaves without them, and from then on two half groups take turns,
//! each at the price of a sync. So a small group waits for those who were just answered, if they have come back so far. It
//! does not wait for long, and a large group does not wait at all: its sync costs little a message, and the disk should not idle.
//! See docs/decisions/0007.

use crate::plant::planted;
use postrider_broker::EventBatch;
use postrider_model::{ConnectionHandle, Event};

/// A sync costs the same up to about so many bytes.
const LARGE_BYTES: u64 = 32 * 1024;

/// The longest wait, in nanoseconds, and twice the last sync where that is less: to come back, a client takes no longer for a slow disk.
const LONGEST_NANOS: u64 = 500_000;

/// More clients than this are no small group.
const MOST_CLIENTS: usize = 128;

/// With fewer who wait each is worth waking up for.
const FEW: usize = 4;

/// After so many waits in vain in a row the number of groups that do not wait is not doubled any more.
const MOST_MISSES: u32 = 6;

/// Things that are likely to happen soon, and together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How many.
    pub count: usize,
    /// Until when it is not worth waking up for fewer, in nanoseconds.
    pub until: u64,
}

/// What the turn knows of who comes back.
#[derive(Default)]
pub(super) struct Gathering {
    /// Who was answered by the last commit and has not asked again.
    away: Vec<ConnectionHandle>,
    /// How many were answered.
    answered: usize,
    /// Clients that wait for a commit, about.
    waiting: usize,
    /// When the last group was submitted, in nanoseconds.
    submitted: u64,
    /// It was a large one.
    large: bool,
    /// How long its sync took, in nanoseconds.
    sync: u64,
    /// Until when the next group waits at the latest; none: it does not wait.
    until: Option<u64>,
    /// Waits in vain in a row.
    misses: u32,
    /// Groups that do not wait because of them.
    skipped: u32,
}

impl Gathering {
    /// Clients have asked for something that has to be committed.
    pub(super) fn ask(&mut self, replies: &EventBatch) {
        for client in clients(replies) {
            self.waiting += 1;
            if let Some(index) = self.away.iter().position(|away| *away == client) {
                self.away.swap_remove(index);
            }
        }
    }

    /// They get their answers.
    pub(super) fn answer(&mut self, replies: &EventBatch) {
        for client in clients(replies) {
            self.waiting -= 1;
            if self.until.is_some() {
                self.away.push(client);
                self.answered += 1;
            }
        }
        if self.answered > MOST_CLIENTS {
            self.until = None;
        }
    }

    /// A group of so many bytes is handed to the disk.
    pub(super) fn submitted(&mut self, bytes: u64, now: u64) {
        self.submitted = now;
        self.large = bytes >= LARGE_BYTES;
        self.until = None;
    }

    /// A group is durable; who has waited for it is answered next.
    pub(super) fn committed(&mut self, now: u64) {
        self.away.clear();
        self.answered = 0;
        self.sync = now.saturating_sub(self.submitted);
        let waits = !self.large && self.skipped == 0;
        self.skipped = self.skipped.saturating_sub(1);
        let longest = if planted("gathers-for-ever") { u64::MAX - now } else { (2 * self.sync).min(LONGEST_NANOS) };
        self.until = waits.then_some(now + longest);
    }

    /// Whether the next group, of so many bytes so far, still waits.
    pub(super) fn holds(&mut self, bytes: u64, now: u64) -> bool {
        let Some(until) = self.until else { return false };
        let enough = self.missing() == 0 || bytes >= LARGE_BYTES;
        if !enough && now < until {
            return true;
        }
        self.until = None;
        if self.answered == 0 {
            return false;
        }
        if enough || self.away.len() <= self.answered / 2 {
            self.misses = 0;
        } else {
            self.misses = (self.misses + 1).min(MOST_MISSES);
            self.skipped = 1 << self.misses;
        }
        false
    }

    /// When a wait is over at the latest, in nanoseconds.
    pub(super) fn until(&self) -> Option<u64> {
        self.until.filter(|_| self.waiting > 0)
    }

    /// Those who must come before the next group is written.
    pub(super) fn before_submit(&self) -> Option<Expected> {
        let until = self.until?;
        (self.missing() > 0).then(|| Expected { count: self.missing(), until })
    }

    /// Who comes while a group is in flight waits for its end anyway; only that is worth waking up for.
    pub(super) fn in_flight(&self) -> Option<Expected> {
        let until = self.submitted + self.sync.min(LONGEST_NANOS) * 3 / 4;
        (self.waiting >= FEW && !self.large).then_some(Expected { count: self.waiting, until })
    }

    /// One in eight need not come back: some always leave.
    fn missing(&self) -> usize {
        self.away.len().saturating_sub(self.answered / 8)
    }
}

/// The clients of a batch of replies; one that has sent several messages in a row is named once.
fn clients(replies: &EventBatch) -> impl Iterator<Item = ConnectionHandle> {
    let connections = replies.events.iter().filter_map(|event| match event {
        Event::Reply { connection, .. } | Event::Voted { connection, .. } | Event::Failed { connection, .. } => {
            Some(*connection)
        }
        _ => None,
    });
    let mut last = None;
    connections.filter(move |connection| last.replace(*connection) != Some(*connection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::{Handle, Token};

    const SYNC: u64 = 100_000;

    fn replies(slots: std::ops::Range<u32>) -> EventBatch {
        let mut batch = EventBatch::default();
        let reply = |slot| Event::Reply { connection: Handle { slot, generation: 0 }, token: Token(0) };
        // Two messages of each in a row: one client.
        batch.events = slots.flat_map(|slot| [reply(slot), reply(slot)]).collect();
        batch
    }

    /// A group of ten clients is written from 0 to `SYNC`, and they are answered.
    fn ten_answered(bytes: u64) -> Gathering {
        answered(&replies(0..10), bytes)
    }

    fn answered(replies: &EventBatch, bytes: u64) -> Gathering {
        let mut gathering = Gathering::default();
        gathering.ask(replies);
        gathering.submitted(bytes, 0);
        gathering.committed(SYNC);
        gathering.answer(replies);
        gathering
    }

    #[test]
    fn a_small_group_waits_for_all_but_one_in_eight() {
        let mut gathering = ten_answered(4096);
        assert!(gathering.holds(100, SYNC));
        assert_eq!(gathering.until(), None, "nobody waits for it");
        assert_eq!(gathering.before_submit(), Some(Expected { count: 9, until: 3 * SYNC }));
        gathering.ask(&replies(0..8));
        assert!(gathering.holds(100, SYNC));
        assert_eq!(gathering.until(), Some(3 * SYNC));
        assert_eq!(gathering.before_submit(), Some(Expected { count: 1, until: 3 * SYNC }));
        gathering.ask(&replies(8..9));
        assert!(!gathering.holds(100, SYNC));
        assert_eq!(gathering.before_submit(), None);
    }

    #[test]
    fn others_do_not_count_as_those_who_were_answered() {
        let mut gathering = ten_answered(4096);
        gathering.ask(&replies(20..40));
        assert!(gathering.holds(100, SYNC));
    }

    #[test]
    fn a_wait_ends_in_time_and_one_in_vain_is_not_repeated_for_a_while() {
        let mut gathering = ten_answered(4096);
        let mut waits = Vec::new();
        for group in 1..=20 {
            let now = group * 10 * SYNC;
            gathering.ask(&replies(20..21));
            let waited = gathering.holds(100, now - 9 * SYNC);
            assert!(!gathering.holds(100, now));
            waits.push(waited);
            gathering.submitted(4096, now);
            gathering.committed(now + SYNC);
            gathering.answer(&replies(20..21));
            // They never come back.
            gathering.waiting += 10;
            gathering.answer(&replies(0..10));
        }
        let waited: Vec<usize> =
            waits.iter().enumerate().filter(|(_, waited)| **waited).map(|(index, _)| index).collect();
        assert_eq!(waited, [0, 3, 8, 17]);
    }

    #[test]
    fn large_groups_and_those_of_many_do_not_wait() {
        let mut gathering = ten_answered(LARGE_BYTES);
        assert!(!gathering.holds(100, SYNC));
        let mut gathering = ten_answered(4096);
        assert!(!gathering.holds(LARGE_BYTES, SYNC));
        let mut gathering = answered(&replies(0..MOST_CLIENTS as u32 + 1), 4096);
        assert!(!gathering.holds(100, SYNC));
    }

    #[test]
    fn while_many_wait_for_a_sync_less_is_not_worth_waking_up_for() {
        let mut gathering = ten_answered(4096);
        gathering.ask(&replies(0..3));
        gathering.submitted(4096, 2 * SYNC);
        assert_eq!(gathering.in_flight(), None, "few");
        gathering.ask(&replies(3..4));
        assert_eq!(gathering.in_flight(), Some(Expected { count: 4, until: 2 * SYNC + SYNC * 3 / 4 }));
        gathering.submitted(LARGE_BYTES, 2 * SYNC);
        assert_eq!(gathering.in_flight(), None, "a large group");
    }
}
