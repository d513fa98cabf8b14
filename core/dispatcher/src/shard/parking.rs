//! Room for what the broker parks of this shard's connections (R24).

use std::collections::VecDeque;

use postrider_model::limits;

use crate::net::Connection;

use super::link::Link;

/// Bytes of each connection that take nothing of the budget: so much can always be parked, and what passes it is heard.
const FREE_BYTES: u64 = 32 * 1024;

/// Bytes that may be parked, shared as [`limits::is_fair_share`] has it.
pub(super) struct Parking {
    budget: u64,
    taken: u64,
    /// Connections of which something is parked.
    parked: usize,
    /// Connections that wait for room, each once.
    held: VecDeque<Connection>,
    /// The first so many of them have not been looked at since there was news.
    candidates: usize,
}

impl Default for Parking {
    fn default() -> Parking {
        Parking { budget: limits::PARK_BYTES, taken: 0, parked: 0, held: VecDeque::new(), candidates: 0 }
    }
}

impl Parking {
    /// Changes how much there is.
    pub(super) fn set_budget(&mut self, bytes: u64) {
        self.budget = bytes;
    }

    /// The broker says how much of a link is settled; None: nothing of it is parked.
    pub(super) fn set_settled(&mut self, link: &mut Link, settled: Option<u64>) {
        self.parked -= usize::from(link.settled.is_some());
        self.parked += usize::from(settled.is_some());
        link.settled = settled;
    }

    /// Whether something is parked: what comes up from any connection may have to be, too.
    pub(super) fn is_strained(&self) -> bool {
        self.parked > 0
    }

    /// Counts what is parked of a link, or on its way to be. True: there is no room for more.
    pub(super) fn is_full_for(&mut self, link: &mut Link) -> bool {
        let unsettled = link.settled.map_or(0, |settled| link.session.handed_up().saturating_sub(settled));
        let parked = unsettled.saturating_sub(FREE_BYTES);
        self.taken = self.taken - link.parked + parked;
        link.parked = parked;
        !limits::is_fair_share(parked, self.taken, self.budget)
    }

    /// A link that is full waits for its turn.
    pub(super) fn wait(&mut self, link: &mut Link) {
        if !std::mem::replace(&mut link.waits_for_parking, true) {
            self.held.push_back(link.connection);
        }
    }

    /// There may be more room: all who wait are to be looked at.
    pub(super) fn eased(&mut self) {
        self.candidates = self.held.len();
    }

    /// How many of those who wait are to be looked at.
    pub(super) fn candidates(&self) -> usize {
        self.candidates
    }

    /// The one of them who has waited longest.
    pub(super) fn next(&mut self) -> Option<Connection> {
        self.candidates = self.candidates.saturating_sub(1);
        self.held.pop_front()
    }

    /// A link is gone. Nothing may have been parked of it when that was said, which nobody says twice.
    pub(super) fn remove(&mut self, link: &mut Link) {
        let parked = std::mem::take(&mut link.parked);
        self.taken -= parked;
        if parked > 0 {
            self.eased();
        }
        self.set_settled(link, None);
    }
}
