//! The crowd of a client: a session with thousands of consumers and producers, which goes at once. What becomes of it is drawn from chance
//! of its own.

use super::protocol::{self, Member};
use super::{Asked, Client, Surroundings};
use crate::ledger::Address;
use crate::random::Random;

/// The session of a client's crowd.
const SESSION: i64 = 2_000_000;

/// What a client's crowd is like.
#[derive(Clone, Debug)]
pub struct CrowdPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Members that it has.
    pub members: i64,
    /// Percent of the times when it comes.
    pub comes: u64,
}

/// A crowd, whether it is there or not.
pub struct Crowd {
    chance: Random,
    stands: bool,
    /// Since when one of it waits to hear that there is no message for it.
    pull: Option<u64>,
    /// At rest, it goes with its connection.
    stays: Option<bool>,
    /// Its client says nothing more before it hears that it has gone.
    is_silent: bool,
}

impl Crowd {
    /// None has come yet.
    pub fn new(plan: Option<&CrowdPlan>) -> Crowd {
        let chance = Random::new(plan.map_or(0, |plan| plan.seed));
        Crowd { chance, stands: false, pull: None, stays: None, is_silent: false }
    }

    /// Whether it waits for nothing.
    pub fn is_idle(&self) -> bool {
        self.pull.is_none()
    }
}

/// Where a crowd listens: nobody sends there.
fn nowhere() -> Address {
    Address::queue("queue.nobody")
}

impl Client {
    /// The crowd comes, or goes. False: its connection has gone with it, or is about to.
    pub(super) fn gather(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(CrowdPlan { members, comes, .. }) = self.plan.crowd else { return true };
        if !self.reads || self.crowd.pull.is_some() {
            return true;
        }
        if !self.crowd.stands {
            if self.crowd.chance.percent(comes) {
                self.open_crowd(members, around);
            }
        } else if self.crowd.chance.percent(30) {
            self.remove_crowd(around);
            match self.crowd.chance.below(10) {
                0 => self.break_off(around),
                1 => self.say_goodbye(around),
                2..6 => self.open_again(members, around),
                _ => {}
            }
            return self.stage == super::Stage::Up;
        }
        true
    }

    /// At rest there is one: it goes, with nothing said behind its removal as a rule, or stays until its connection goes.
    pub(super) fn finish_crowd(&mut self, around: &mut Surroundings<'_>) {
        let Some(CrowdPlan { members, .. }) = self.plan.crowd else { return };
        let Crowd { chance, stands, pull, stays, .. } = &mut self.crowd;
        if pull.is_some() {
            return;
        }
        match *stays {
            None => {
                *stays = Some(chance.percent(50));
                if !*stands {
                    self.open_crowd(members, around);
                }
                // Its answer shows that the broker has heard all of them: no backlog lets those that go on.
                self.prove(around);
            }
            Some(false) if *stands && self.requests.is_empty() => {
                self.crowd.is_silent = chance.percent(75);
                self.remove_crowd(around);
            }
            Some(_) => {}
        }
    }

    /// Whether its client waits for the answer to the removal, and says nothing meanwhile.
    pub(super) fn is_silent(&self) -> bool {
        self.crowd.is_silent && !self.requests.is_empty()
    }

    /// Whether its connection goes with it without a word, when all is done.
    pub(super) fn crowd_runs_off(&mut self) -> bool {
        self.crowd.stands && self.crowd.chance.percent(50)
    }

    /// It goes with its connection.
    pub(super) fn forget_crowd(&mut self) {
        (self.crowd.stands, self.crowd.pull) = (false, None);
    }

    /// Who pulls hears that there is nothing as soon as a request is answered.
    pub(super) fn check_crowd(&self, now: u64, patience: u64) {
        let waits = self.crowd.pull.is_some_and(|since| now > since.max(self.last_sign) + patience);
        assert!(!waits, "R26: stuck: one of the crowd of client {} waits in vain", self.index);
    }

    /// One of the crowd has heard that there is nothing.
    pub(super) fn crowd_is_told(&mut self) {
        self.crowd.pull = None;
    }

    /// Whether a dispatch is for one of a crowd.
    pub(super) fn is_of_crowd(member: Member) -> bool {
        member.0 == SESSION
    }

    fn open_crowd(&mut self, members: i64, around: &mut Surroundings<'_>) {
        self.say(around, || format!("opens a crowd of {members}"));
        self.crowd.stands = true;
        let id = self.connection_id.clone();
        self.tell(protocol::open_session(&id, SESSION), around);
        for value in 0..members {
            let member = (SESSION, value);
            let info = match value % 2 {
                0 => protocol::open_consumer(&id, member, &nowhere(), 0),
                _ => protocol::open_producer(&id, member, None, 0),
            };
            self.tell(info, around);
        }
    }

    fn remove_crowd(&mut self, around: &mut Surroundings<'_>) {
        self.say(around, || "removes its crowd".into());
        self.crowd.stands = false;
        self.ask(protocol::remove(protocol::session(&self.connection_id, SESSION), -1), Asked::Nothing, around);
    }

    /// The ids of those that go are used again at once, by others: one listens, or the one that went last would still.
    fn open_again(&mut self, members: i64, around: &mut Surroundings<'_>) {
        let last = (members - 1) / 2 * 2;
        let member = (SESSION, *self.crowd.chance.pick(&[0, last]));
        self.say(around, || format!("opens {member:?} of its crowd again"));
        self.crowd.stands = true;
        self.crowd.pull = Some(around.schedule.nanos());
        let id = self.connection_id.clone();
        self.tell(protocol::open_session(&id, SESSION), around);
        self.tell(protocol::open_consumer(&id, member, &nowhere(), 0), around);
        self.tell(protocol::pull(&id, member, &nowhere(), -1), around);
    }
}
