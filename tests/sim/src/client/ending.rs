//! Ends that the broker brings about: of connections whose clients send no more and read on, or have sent what no connection survives.

use super::{Client, Stage, Surroundings};
use crate::network::End;
use crate::random::Random;

/// How a client shuts down its sending side.
#[derive(Clone, Debug)]
pub struct HalfClosingPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Of a hundred things it could do it is so often done with sending.
    pub percent: u64,
}

/// What a client waits for at whose connection the broker has the last word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// The answers to all that it has sent, for it sends no more.
    Answers,
    /// Nothing: after what it has sent no connection goes on.
    Nothing,
}

/// Of its present connection.
pub struct Ending {
    chance: Random,
    /// What it waits for, and since when.
    waits: Option<(Last, u64)>,
}

impl Ending {
    /// Nothing ends yet.
    pub fn new(plan: Option<&HalfClosingPlan>) -> Ending {
        Ending { chance: Random::new(plan.map_or(0, |plan| plan.seed)), waits: None }
    }

    /// Another connection.
    pub fn begin(&mut self) {
        self.waits = None;
    }
}

impl Client {
    /// Sends no more, and reads on. True: it does.
    pub(super) fn falls_silent(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(HalfClosingPlan { percent, .. }) = self.plan.half_closing else { return false };
        let Some(circuit) = self.circuit.filter(|_| self.reads && self.ending.chance.percent(percent)) else {
            return false;
        };
        self.say(around, || format!("sends no more, and waits for {} answers", self.requests.len()));
        around.network.end(circuit);
        self.waits_for_the_end(Last::Answers, around);
        true
    }

    /// Says nothing more. What it had may be with others before it knows.
    pub(super) fn waits_for_the_end(&mut self, last: Last, around: &mut Surroundings<'_>) {
        self.in_flight_returns(around);
        around.temporaries.retain(|address| !self.temporaries.contains(address));
        self.stage = Stage::Listening;
        self.ending.waits = Some((last, around.schedule.nanos()));
    }

    /// The broker ends a connection within seconds of which nothing more comes.
    pub(super) fn check_ending(&self, now: u64, patience: u64) {
        if let Some((last, since)) = self.ending.waits {
            let waits = now > since.max(self.last_sign) + patience;
            assert!(!waits, "R26: stuck: client {} waits for {last:?} and the end in vain", self.index);
        }
    }

    /// A connection is over that the client has not ended: is that as it should be?
    pub(super) fn check_end(&mut self, end: End, around: &mut Surroundings<'_>) {
        if end == End::Process {
            return;
        }
        let goes = self.stage == Stage::Closing || self.ending.waits.is_some() || self.halt.is_within();
        assert!(goes, "R26: the broker ends the connection of client {}, which did nothing wrong", self.index);
        let owed = !self.halt.is_within() && self.ending.waits.is_none_or(|(last, _)| last == Last::Answers);
        // What is parked is not waited for (R13).
        if around.scarce || !owed {
            return;
        }
        let unanswered: Vec<String> = self.requests.values().map(|request| request.asked.to_string()).collect();
        assert!(
            unanswered.is_empty(),
            "R13: client {} sends no more, and its connection ends without answers to {unanswered:?}",
            self.index
        );
        self.make_certain(u64::MAX, around.ledger);
    }
}
