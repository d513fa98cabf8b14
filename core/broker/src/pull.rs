//! Pulls: a consumer with prefetch 0 asks for one message at a time.

use crate::broker::{Broker, Step};
use crate::consumer::{Consumer, Standing};
use crate::credit::Take;
use crate::destination::Content;
use crate::log::Log;
use crate::messages::ConsumerIndex;
use postrider_model::command::Request;
use postrider_model::{ConnectionHandle, ConsumerHandle, Event, Now, PortIndex};
use std::collections::BTreeSet;

/// A consumer may have one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Grant {
    /// Tells this pull from an earlier one.
    serial: u64,
}

/// How long a pull waits for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// For ever.
    Endless,
    /// Until then, in nanoseconds; what is past asks for what is there.
    Until(u64),
}

/// Pulls that want to hear when there is nothing.
#[derive(Default)]
pub(crate) struct Pulls {
    /// By the time when they want to.
    timed: BTreeSet<(u64, u64, ConsumerIndex)>,
    /// Their time has come.
    due: Vec<(u64, ConsumerIndex)>,
    serial: u64,
}

impl Pulls {
    /// The consumer's newest pull is not waited for any more. One that is due by now knows by its serial that it is an old one.
    pub fn forget(&mut self, consumer: ConsumerIndex, timer: Option<(u64, u64)>) {
        if let Some((at, serial)) = timer {
            self.timed.remove(&(at, serial, consumer));
        }
    }

    pub fn deadline(&self) -> Option<u64> {
        self.timed.first().map(|(at, _, _)| *at)
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
        let consumer = &self.consumers[index.0];
        if let Some(patience) = consumer.pulled.filter(|_| consumer.grant.is_none()) {
            self.grant(index, patience, now);
        }
    }

    fn grant(&mut self, index: ConsumerIndex, patience: Patience, now: Now) {
        let consumer = &mut self.consumers[index.0];
        if consumer.prefetch > 0 {
            return;
        }
        self.pulls.forget(index, consumer.pull_timer.take());
        self.pulls.serial += 1;
        let serial = self.pulls.serial;
        consumer.grant = Some(Grant { serial });
        consumer.pulled = Some(patience);
        match patience {
            Patience::Endless => {}
            Patience::Until(at) if at > now.nanos => {
                consumer.pull_timer = Some((at, serial));
                self.pulls.timed.insert((at, serial, index));
            }
            Patience::Until(_) => self.pulls.due.push((serial, index)),
        }
        self.wake(index);
    }

    /// Pulls whose time has come, after all that could be sent was sent: they hear that there is nothing, unless something is
    /// only on its way to a commit (R13).
    pub(crate) fn answer_pulls<L: Log>(&mut self, step: &mut Step<'_, L>) {
        while let Some((at, serial, consumer)) =
            self.pulls.timed.first().copied().filter(|(at, ..)| *at <= step.now.nanos)
        {
            self.pulls.timed.remove(&(at, serial, consumer));
            self.pulls.due.push((serial, consumer));
        }
        let due = std::mem::take(&mut self.pulls.due);
        for (serial, index) in due {
            let Some(consumer) = self.consumers.get(index.0) else { continue };
            if consumer.grant != Some(Grant { serial }) {
                continue;
            }
            if self.may_still_get(consumer, index, step) {
                self.pulls.due.push((serial, index));
                continue;
            }
            let (port, handle) = (consumer.port, consumer.handle);
            self.consumers[index.0].grant = None;
            step.out.reply(port, Event::EndOfMessages { consumer: handle });
        }
    }

    fn may_still_get<L: Log>(&self, consumer: &Consumer, index: ConsumerIndex, step: &Step<'_, L>) -> bool {
        if self.takes(index, step.out) != Take::Yes || consumer.browse.as_ref().is_some_and(|browse| !browse.is_done())
        {
            return true;
        }
        if consumer.hungry || consumer.waits_for_bytes {
            return true;
        }
        let served = consumer
            .subscriptions
            .iter()
            .filter(|known| matches!(known.standing, Standing::Served | Standing::Starved));
        served.into_iter().any(|known| {
            let state = self.destinations.get(known.destination);
            let waits = match &state.content {
                Content::Queue(queue) => queue.holds > 0 || (queue.awaits_commit && queue.waiting() > 0),
                Content::Topic(_) => false,
            };
            waits || state.scheduled || self.cold.contains(&known.destination)
        })
    }
}
