//! Pulls: a consumer with prefetch 0 asks for one message at a time.

use crate::broker::Broker;
use crate::clients::consumer::{Consumer, Standing};
use crate::clients::credit::Take;
use crate::clients::grant::Patience;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::ConsumerIndex;
use crate::step::Step;
use postrider_journal::soonest;
use postrider_model::command::Request;
use postrider_model::{ConnectionHandle, ConsumerHandle, Event, Now, PortIndex};
use std::collections::{BTreeSet, VecDeque};

/// Pulls that are looked at in one turn, and destinations of their consumers.
const LOOKED_AT: usize = 1_000;

/// Nanoseconds until the next look at others, where there are more.
const LOOK_NANOS: u64 = 1_000_000;

/// A pull whose time has come.
struct Due {
    serial: u64,
    consumer: ConsumerIndex,
    /// So many of the consumer's destinations have nothing for it.
    seen: usize,
}

/// Pulls that want to hear when there is nothing.
#[derive(Default)]
pub(crate) struct Pulls {
    /// By the time when they want to.
    timed: BTreeSet<(u64, u64, ConsumerIndex)>,
    /// Their time has come.
    due: VecDeque<Due>,
    /// When those are looked at for which a turn had no time.
    look_at: Option<u64>,
    serial: u64,
}

impl Pulls {
    /// The consumer's newest pull is not waited for any more. One that is due by now knows by its serial that it is an old one.
    pub(crate) fn forget(&mut self, consumer: ConsumerIndex, timer: Option<(u64, u64)>) {
        if let Some((at, serial)) = timer {
            self.timed.remove(&(at, serial, consumer));
        }
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        soonest([self.timed.first().map(|(at, _, _)| *at), self.look_at])
    }
}

impl Broker {
    pub(crate) fn pull<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        consumer: ConsumerHandle,
        timeout_millis: i64,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        let Some(owner) = self.connection(port, connection) else { return };
        if let Some(index) = self.consumer_of(port, owner, consumer) {
            let patience = match timeout_millis {
                0 => Patience::Endless,
                millis if millis > 0 => Patience::Until(step.now.deadline_after_millis(millis.unsigned_abs())),
                _ => Patience::Until(0),
            };
            self.grant(index, patience, step.now);
        }
        self.reply(port, connection, request, step);
    }

    /// What was sent for the newest pull did not reach the client, which still waits.
    pub(crate) fn grant_again(&mut self, index: ConsumerIndex, now: Now) {
        let consumer = self.clients.consumer(index);
        if let Some(patience) = consumer.answered_pull() {
            self.grant(index, patience, now);
        }
    }

    fn grant(&mut self, index: ConsumerIndex, patience: Patience, now: Now) {
        let consumer = self.clients.consumer_mut(index);
        if !consumer.pulls() {
            return;
        }
        self.delivery.pulls.forget(index, consumer.take_pull_timer());
        self.delivery.pulls.serial += 1;
        let serial = self.delivery.pulls.serial;
        consumer.grant(serial, patience);
        match patience {
            Patience::Endless => {}
            Patience::Until(at) if at > now.nanos => {
                consumer.set_pull_timer((at, serial));
                self.delivery.pulls.timed.insert((at, serial, index));
            }
            Patience::Until(_) => self.delivery.pulls.due.push_back(Due { serial, consumer: index, seen: 0 }),
        }
        self.wake(index);
    }

    /// Pulls whose time has come, after all that could be sent was sent: they hear that there is nothing, unless something is
    /// only on its way to a commit (R13).
    pub(crate) fn answer_pulls<L: Log>(&mut self, step: &mut Step<'_, L>) {
        if self.delivery.pulls.due.is_empty() && self.delivery.pulls.timed.is_empty() {
            return;
        }
        let mut budget = Budget(LOOKED_AT);
        while let Some((at, serial, consumer)) =
            self.delivery.pulls.timed.first().copied().filter(|(at, ..)| *at <= step.now.nanos && budget.step())
        {
            self.delivery.pulls.timed.remove(&(at, serial, consumer));
            self.delivery.pulls.due.push_back(Due { serial, consumer, seen: 0 });
        }
        let mut budget = Budget(LOOKED_AT);
        for _ in 0..self.delivery.pulls.due.len() {
            let Some(due) = self.delivery.pulls.due.pop_front() else { break };
            self.answer_pull(due, &mut budget, step);
            if budget.0 == 0 {
                break;
            }
        }
        let more = budget.0 == 0 && !self.delivery.pulls.due.is_empty();
        self.delivery.pulls.look_at = more.then_some(step.now.nanos + LOOK_NANOS);
    }

    fn answer_pull<L: Log>(&mut self, mut due: Due, budget: &mut Budget, step: &mut Step<'_, L>) {
        budget.spend(1);
        let Some(consumer) = self.clients.try_consumer(due.consumer) else { return };
        if !consumer.is_granted(due.serial) {
            return;
        }
        if self.may_still_get(consumer, &mut due, budget, step) {
            self.delivery.pulls.due.push_back(due);
            return;
        }
        let (port, handle) = (consumer.port, consumer.handle);
        self.clients.consumer_mut(due.consumer).end_grant();
        step.out.reply(port, Event::EndOfMessages { consumer: handle });
    }

    fn may_still_get<L: Log>(
        &self,
        consumer: &Consumer,
        due: &mut Due,
        budget: &mut Budget,
        step: &Step<'_, L>,
    ) -> bool {
        let takes = self.takes(due.consumer, step.out) == Take::Yes;
        if !takes || consumer.is_to_be_fed() {
            return true;
        }
        while let Some(known) = consumer.memberships().get(due.seen) {
            let is_there = matches!(known.standing, Standing::Served | Standing::Starved);
            if budget.0 == 0 || (is_there && self.destinations.get(known.destination).may_still_send()) {
                return true;
            }
            if is_there && self.is_still_tried(consumer.seat().filter, known.destination) {
                return true;
            }
            budget.spend(1);
            due.seen += 1;
        }
        false
    }
}
