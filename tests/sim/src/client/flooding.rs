//! An open loop: producers that send at their own pace whoever is behind, consumers of what they send that only acknowledge, and one who sends
//! one message now and then. Each has a connection of its own. What becomes of them is drawn from chance of their own.

use super::protocol::{self, Member, Sending};
use super::{Certainty, Client, Mode, Surroundings};
use crate::fairness::Mark;
use crate::ledger::{Address, correlation};
use crate::random::Random;

/// The session of a client's producer.
const SESSION: i64 = 5_000_000;
const PRODUCER: Member = (SESSION, 1);

/// What one of them is like.
#[derive(Clone, Debug)]
pub struct FloodPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// What it does.
    pub role: FloodRole,
}

/// What one of them does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FloodRole {
    /// Sends, and waits for nothing.
    Floods {
        /// Where to.
        to: Address,
        /// Messages that it sends at once.
        burst: usize,
        /// Percent of the times when it could.
        percent: u64,
        /// Messages in all.
        messages: usize,
        /// How often it goes in the middle of it, at most, and comes as another one.
        breaks: usize,
    },
    /// Takes what others send, and only acknowledges.
    Acknowledges {
        /// Its consumers' prefetches; each of them takes from the client's addresses in turn.
        prefetches: Vec<u32>,
        /// Messages that are acknowledged at once, one by one.
        pace: usize,
    },
    /// Sends one message now and then.
    Says {
        /// Where to.
        to: Address,
        /// Percent of the times when it could.
        percent: u64,
    },
}

/// How far one of them has come.
pub struct Flooding {
    chance: Random,
    /// Of this connection's producer its number, and that of its last message.
    producer: Option<(u64, i64)>,
    has_consumers: bool,
    left: usize,
    breaks: usize,
}

impl Flooding {
    /// It has not begun.
    pub fn new(plan: Option<&FloodPlan>) -> Flooding {
        let (left, breaks) = match plan.map(|plan| &plan.role) {
            Some(FloodRole::Floods { messages, breaks, .. }) => (*messages, *breaks),
            _ => (0, 0),
        };
        let chance = Random::new(plan.map_or(0, |plan| plan.seed));
        Flooding { chance, producer: None, has_consumers: false, left, breaks }
    }

    /// Another client.
    pub fn forget(&mut self) {
        (self.producer, self.has_consumers) = (None, false);
    }
}

impl Client {
    /// One of an open loop does what it does. False: it is none.
    pub(super) fn floods(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(FloodPlan { role, .. }) = self.plan.flood.clone() else { return false };
        match role {
            FloodRole::Floods { to, burst, percent, .. } => {
                let burst = burst.min(self.flooding.left);
                if burst > 0 && self.flooding.chance.percent(percent) {
                    self.flooding.left -= burst;
                    self.say(around, || format!("floods {} with {burst} messages", to.name));
                    (0..burst).for_each(|_| self.send_of_flood(&to, false, around));
                }
                let may_break = self.flooding.breaks > 0 && self.flooding.producer.is_some();
                if may_break && self.flooding.chance.percent(20) {
                    self.flooding.breaks -= 1;
                    self.breaks_off_flooding(around);
                }
            }
            FloodRole::Acknowledges { prefetches, pace } => {
                if !std::mem::replace(&mut self.flooding.has_consumers, true) {
                    self.open_takers(&prefetches, around);
                }
                (0..pace).for_each(|_| self.consume(around));
            }
            FloodRole::Says { to, percent } => {
                if self.flooding.producer.is_none() || self.flooding.chance.percent(percent) {
                    self.send_of_flood(&to, true, around);
                }
            }
        }
        true
    }

    /// It goes, while much of what it has said may wait to be heard.
    fn breaks_off_flooding(&mut self, around: &mut Surroundings<'_>) {
        match self.flooding.chance.below(3) {
            0 => {
                let sends = self.certainties.iter().filter_map(|certainty| match certainty {
                    Certainty::Sent(id) => Some(*id),
                    Certainty::Acknowledged(..) => None,
                });
                let heard: Vec<_> = sends.collect();
                self.run_off(around);
                heard.into_iter().for_each(|id| around.ledger.is_heard(id));
            }
            1 => self.say_goodbye(around),
            _ => self.break_off(around),
        }
    }

    fn open_takers(&mut self, prefetches: &[u32], around: &mut Surroundings<'_>) {
        let session = self.open_session(around);
        for (index, prefetch) in prefetches.iter().enumerate() {
            let address = self.plan.addresses[index % self.plan.addresses.len()].clone();
            self.add_consumer(session, address, Mode::Auto, *prefetch, around);
        }
    }

    /// Sends a message without waiting for anything, be it the answer to the producer's opening.
    fn send_of_flood(&mut self, to: &Address, is_quiet: bool, around: &mut Surroundings<'_>) {
        let (number, last) = self.flooding.producer.unwrap_or_else(|| self.open_flood(around));
        let sequence = last + 1;
        self.flooding.producer = Some((number, sequence));
        let persistent = self.random.percent(self.plan.persistent);
        let id = around.ledger.send(number, sequence, to, persistent);
        let message = protocol::message(&Sending {
            connection: &self.connection_id,
            producer: PRODUCER,
            sequence,
            address: to,
            persistent,
            reply_to: None,
            expiration: 0,
            content: &around.ledger.body(id),
            correlation: &correlation(id),
            message_type: None,
        });
        self.certainties.push_back(Certainty::Sent(id));
        self.tell(message, around);
        if is_quiet {
            self.mark(Mark::Quiet(id), around);
        }
    }

    fn open_flood(&mut self, around: &mut Surroundings<'_>) -> (u64, i64) {
        self.tell(protocol::open_session(&self.connection_id, SESSION), around);
        let number = around.number();
        around.ledger.names_producer((self.connection_id.clone(), PRODUCER.0, PRODUCER.1), number);
        self.tell(protocol::open_producer(&self.connection_id, PRODUCER, None, 0), around);
        (number, 0)
    }

    /// What was written last is followed on its way to the broker.
    pub(super) fn mark(&self, mark: Mark, around: &Surroundings<'_>) {
        if let (Some(circuit), Some(_)) = (self.circuit, &self.plan.flood) {
            around.network.mark(circuit, mark);
        }
    }
}
