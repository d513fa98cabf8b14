//! Consumers that take as much as they can get, and give it back: hundreds of messages at a time, again and again.

use super::{Client, Surroundings};
use crate::random::Random;

/// How a client gives back what it has.
#[derive(Clone, Debug)]
pub struct ReturningPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Of a hundred things it could do, so often it gives back, if it has enough.
    pub percent: u64,
    /// Messages in flight at one consumer that are enough.
    pub enough: usize,
    /// Prefetch of its consumers.
    pub prefetch: u32,
    /// Messages that it sends where it would send one.
    pub burst: u64,
}

/// Its chance.
pub struct Returning(Random);

impl Returning {
    /// Nothing was given back yet.
    pub fn new(plan: Option<&ReturningPlan>) -> Returning {
        Returning(Random::new(plan.map_or(0, |plan| plan.seed)))
    }
}

impl Client {
    /// Gives back what it has. False: it has little, or keeps it; otherwise its connection may be gone, too.
    pub(super) fn gives_back(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(ReturningPlan { percent, enough, .. }) = self.plan.returning else { return false };
        let most = self.consumers.values().map(|consumer| consumer.in_flight.len()).max().unwrap_or_default();
        if !self.reads || most < enough || !self.returning.0.percent(percent) {
            return false;
        }
        self.say(around, || format!("gives back {most} messages of a consumer"));
        match self.returning.0.below(10) {
            0..7 => self.close_fullest(around),
            7 => self.say_goodbye(around),
            _ => self.break_off(around),
        }
        true
    }

    fn close_fullest(&mut self, around: &mut Surroundings<'_>) {
        let open = self.consumers.iter().filter(|(_, consumer)| consumer.is_open);
        let fullest = open.max_by_key(|(_, consumer)| consumer.in_flight.len()).map(|(member, _)| *member);
        if let Some(member) = fullest {
            let unknown = self.returning.0.one_in(3);
            self.close_member(member, unknown, around);
        }
    }
}
