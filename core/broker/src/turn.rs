//! The broker's part of a turn: what goes on by itself, and what is written at the end.

use crate::bounds::{JOB_STEPS, TURN_STEPS};
use crate::broker::Broker;
use crate::clients::waiters::Rank;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::outbox::Outbox;
use crate::settle::emptying::Emptying;
use crate::statistics::Statistics;
use crate::step::Step;
use postrider_journal::soonest;
use postrider_model::Now;

impl Broker {
    /// Serves what can be served: after a commit, when credit came, when it is time. In bounded slices; true: there is more to do.
    pub fn advance<L: Log>(&mut self, now: Now, log: &mut L, out: &mut Outbox) -> bool {
        let step = &mut Step { now, log, out };
        let mut budget = Budget(TURN_STEPS);
        if self.clients.branches.claims_now() {
            self.restore_branches();
        }
        let Statistics { published, dispatched, acknowledged, .. } = self.statistics;
        if self.delivery.begin_turn(published + dispatched + acknowledged, now.nanos, self.config.trial_rest_nanos) {
            self.fetched();
        }
        self.end_naming(step.log.committed());
        self.destinations.note_commit(step.log.committed());
        self.wake_ports(step.out);
        self.serve_advisories(&mut budget, step);
        let mut more = self.apply_decided(&mut Budget(JOB_STEPS), step);
        self.serve_all(&mut budget, step);
        for destination in self.destinations.take_decided() {
            self.jobs.push(Emptying { destination });
        }
        self.start_sweep(now);
        let sweeping = &mut Budget(JOB_STEPS);
        more |= self.end_abandoned(sweeping, step);
        more |= self.run_sweep(sweeping, step);
        more |= self.run_jobs(&mut Budget(JOB_STEPS), step);
        self.serve_all(&mut budget, step);
        self.serve_browsing(step);
        self.answer_pulls(step);
        more |= self.age_marks(step);
        more |= self.make_spool_room(self.intake.waits_for_spool(), step);
        more |= self.let_go_on(step);
        more |= self.has_jobs_to_do() || self.delivery.waits_for_turn();
        more || !self.destinations.line.is_empty() || self.clients.has_hungry() || self.may_wake(step.out)
    }

    /// The log has more room: whoever found none waits for a commit that need not come.
    pub fn prepared(&mut self) {
        self.destinations.commit_came();
    }

    fn serve_all<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) {
        while budget.0 > 0 {
            if let Some((consumer, known)) = self.clients.next_hungry(Rank::Taker) {
                let Some(known) = known else { continue };
                let is_told = known.is_told();
                if self.feed(consumer, budget, step) {
                    self.wake(consumer);
                }
                // One that has caught up walks with the others again, and so gets what is the next for all.
                if is_told {
                    self.serve_advisories(budget, step);
                }
            } else if self.wake_blocked(Rank::Taker, budget, step.out) {
                // They are hungry now.
            } else if let Some((index, is_there)) = self.destinations.next_in_line() {
                if !is_there {
                    continue;
                }
                budget.spend(1);
                if self.serve(index, budget, step) {
                    self.destinations.line_up(index);
                }
            } else {
                return;
            }
        }
    }

    /// The end of the turn: merged acknowledgements, allowances, the reservation, reclaim. The turn seals its frame afterwards.
    pub fn end_turn<L: Log>(&mut self, now: Now, log: &mut L, out: &mut Outbox) {
        let step = &mut Step { now, log, out };
        self.draw_in_allowances(step);
        self.renew_reservation(step);
        self.acknowledged.end_turn();
        self.flush_named(step);
        self.flush_counted(step);
        self.flush_acknowledged(step);
        self.restate_untold(step);
        self.tell_rolled_back(step);
        self.forget_outcomes(step);
        self.state_kept(step);
        self.reclaim(step);
        // What reclaim found damaged is acknowledged in the frame that it took the room in.
        self.flush_acknowledged(step);
        self.evacuate_spool(step);
        #[cfg(feature = "plant")]
        self.restage_acknowledged(step);
        self.intake.end_turn();
        self.durable.end_turn(self.sequences.next());
        self.work.end_turn();
    }

    /// Something that was asked for came into memory, or turned out to be damaged: whoever waited for bytes looks again.
    pub fn fetched(&mut self) {
        self.spooling.bytes_came();
        self.destinations.bytes_came();
        self.wake_cold();
    }

    /// When the next timer is due, in nanoseconds of the clock of [`Now`].
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        soonest([self.delivery.deadline(), self.jobs.deadline(), self.settlements.deadline(), self.intake.deadline()])
    }

    /// Whether deliveries wait for a commit. Whether answers do is the turn's own knowledge.
    #[must_use]
    pub fn wants_sync(&self) -> bool {
        self.destinations.line.awaits_commit() || self.durable.is_naming() || self.sequences.is_pending()
    }
}
