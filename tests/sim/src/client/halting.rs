//! Clients that stop in the middle of a frame, and go on later, go, or leave it at that.

use super::{Client, Surroundings};
use crate::random::Random;

/// Bytes of a half frame that take none of the shard's budget.
const SMALL_BYTES: usize = 64 * 1024;

/// How a client stops in the middle of its large frames.
#[derive(Clone, Debug)]
pub struct HaltingPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Percent of its large frames in which it stops.
    pub percent: u64,
    /// Percent of the stops at which it stays until the broker ends its connection.
    pub stays: u64,
}

/// What of its present connection's frames a client keeps back.
pub struct Halt {
    chance: Random,
    rest: Option<Vec<u8>>,
    stays: bool,
}

impl Halt {
    /// Nothing is kept back.
    pub fn new(plan: Option<&HaltingPlan>) -> Halt {
        Halt { chance: Random::new(plan.map_or(0, |plan| plan.seed)), rest: None, stays: false }
    }

    /// Another connection.
    pub fn begin(&mut self) {
        self.rest = None;
    }

    /// Whether it is in the middle of a frame.
    pub fn is_within(&self) -> bool {
        self.rest.is_some()
    }

    /// What of these bytes goes out now.
    pub fn let_out<'b>(&mut self, plan: Option<&HaltingPlan>, bytes: &'b [u8]) -> &'b [u8] {
        if let Some(rest) = &mut self.rest {
            rest.extend_from_slice(bytes);
            return &[];
        }
        let Some(HaltingPlan { percent, stays, .. }) = plan else { return bytes };
        if bytes.len() <= SMALL_BYTES || !self.chance.percent(*percent) {
            return bytes;
        }
        let from = if self.chance.percent(80) { SMALL_BYTES } else { 1 };
        let (now, later) = bytes.split_at(from + self.chance.index(bytes.len() - from));
        (self.rest, self.stays) = (Some(later.to_vec()), self.chance.percent(*stays));
        now
    }
}

impl Client {
    /// In the middle of a frame. True: it does nothing else.
    pub(super) fn stands_within(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(circuit) = self.circuit.filter(|_| self.halt.is_within()) else { return false };
        if self.halt.stays {
            // The broker takes what it has for itself away before it knows, and gives to others what it had.
            around.temporaries.retain(|address| !self.temporaries.contains(address));
            self.others_may_have_all(around);
            return true;
        }
        if !around.calm && self.halt.chance.one_in(40) {
            self.break_off(around);
        } else if around.calm || self.halt.chance.one_in(8) {
            let rest = self.halt.rest.take().unwrap_or_default();
            self.say(around, || format!("goes on with {} bytes", rest.len()));
            around.network.write(circuit, &rest);
            // From now on it has said all that is to be answered.
            let now = around.schedule.nanos();
            self.requests.values_mut().for_each(|request| request.since = now);
        }
        true
    }

    /// Of a client that stays until the broker ends its connection.
    pub(super) fn others_may_have_all(&self, around: &mut Surroundings<'_>) {
        if !self.halt.stays || !self.halt.is_within() {
            return;
        }
        for consumer in self.consumers.values() {
            for message in &consumer.in_flight {
                around.ledger.returned(message.id, &message.address, consumer.number, true);
            }
        }
    }
}
