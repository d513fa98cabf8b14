//! What must be so of the broker as a whole: after its start, while it runs and when all clients are gone.

use super::{Client, World};
use crate::plan::{Listener, SeedPlan};
use crate::schedule::{MILLI, SECOND};
use postrider_journal::SegmentNumber;

/// Segments that the log may be longer than three times what is live.
const SPARE_SEGMENTS: u64 = 8;

/// Nanoseconds after which a read or a preparation that has failed is tried again, at the longest.
pub(super) const LONGEST_PAUSE: u64 = 5 * SECOND;

/// Messages of one turn that may be marked because the power goes before their queue's allowance is drawn in.
const MARKS_OF_A_TURN: u64 = 32;

impl World {
    /// What was found is what was left, and all that is owed is there.
    pub(super) fn check_start(&mut self) {
        let Some(process) = &self.process else { return };
        let (journal, stored) = (process.broker().journal(), process.broker().broker().statistics().messages);
        let recovery = journal.recovery();
        self.say(|| format!("the broker is up, {stored} messages; journal up to {}; {recovery:?}", journal.appended()));
        assert!(self.damaged || recovery.damages == 0, "R2: damage where nothing rots: {:?}", recovery.damage);
        let owed = self.ledger.owed();
        let most = self.may_be_found + self.ledger.rotten.revived_sequences().count() as u64;
        assert!(stored <= most, "R1: {stored} messages after a restart, the lives before can have left {most}");
        self.found = stored;
        assert!(stored >= owed, "lost: {owed} messages are owed after a restart, {stored} are there");
    }

    /// What nobody has had is not marked as delivered but for a few messages at each crash (R15).
    pub(super) fn check_marks(&self) {
        if self.damaged || self.drains > 1 {
            return;
        }
        let address = SeedPlan::unheard();
        let of_a_crash =
            2 * ((self.plan.broker.allowance_chunk as u64) << self.plan.broker.allowance_doublings) + MARKS_OF_A_TURN;
        let most = match self.plan.listener {
            Listener::Nobody => 0,
            // What was sent to a consumer that was gone counts, too.
            Listener::Slow => self.crashes * of_a_crash + self.ledger.listeners(&address),
            Listener::Everybody | Listener::Sender => return,
        };
        let marked = self.ledger.overmarked(&address);
        assert!(marked <= most, "R15: {marked} messages that nobody has had are marked as delivered, {most} may be");
    }

    /// While reads and preparations fail, nothing that has to move can. What has failed is tried again after its pause; what has to be
    /// read before it moves comes with the disk's delay, record by record where windows are small: where much has died at once, or more comes
    /// meanwhile than is read, the walk comes further each second, and the log is as short as it should be within a minute.
    pub(super) fn check_log(&mut self) {
        if self.disk.holds_up_reclaim() {
            return;
        }
        let patience = if self.healed_at.is_some() { LONGEST_PAUSE + SECOND } else { SECOND };
        let end = self.schedule.nanos() + 60 * SECOND;
        let (mut seen, mut until) = (self.walked(), self.schedule.nanos() + patience);
        while self.log_is_too_long().is_some() && self.schedule.nanos() < until.min(end) {
            self.run_for(10 * MILLI);
            if self.walked() != seen {
                (seen, until) = (self.walked(), self.schedule.nanos() + patience);
            }
        }
        if let Some(reason) = self.log_is_too_long() {
            panic!("R19: {reason}");
        }
    }

    /// How far the walk has come: where the log begins, and what has moved.
    fn walked(&self) -> Option<(SegmentNumber, u64)> {
        let broker = self.process.as_ref()?.broker();
        Some((broker.journal().front()?, broker.broker().statistics().moved))
    }

    /// More than three times what is live, and some segments.
    fn log_is_too_long(&self) -> Option<String> {
        let journal = self.process.as_ref()?.broker().journal();
        let tokens: u64 = self.clients.iter().map(Client::token_bytes).sum();
        let (log, live) = (journal.live_log_bytes(), self.ledger.live_bytes() + self.left_bytes + tokens);
        let spare = SPARE_SEGMENTS * journal.segment_bytes();
        let counted = self.process.as_ref()?.broker().broker().statistics().live_bytes;
        let reason = || {
            format!(
                "{log} bytes of log for {live} live bytes, of which the broker counts {counted}, and {spare} to spare"
            )
        };
        (log > 3 * live + spare).then(reason)
    }

    pub(super) fn check_tables(&self) {
        let Some(process) = &self.process else { return };
        let left = (process.connections(), process.consumers());
        assert_eq!(left, (0, 0), "connections and consumers are left in the shards");
        let broker = process.broker().broker();
        assert_eq!(broker.pair_bytes(), 0, "destinations count for patterns that are gone");
        let statistics = broker.statistics();
        assert_eq!(
            (statistics.connections, statistics.consumers),
            (0, 0),
            "connections and consumers are left in the broker"
        );
    }
}
