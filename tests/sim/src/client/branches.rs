//! Branches of XA in which tokens move, and the coordinator that decides them. What it has written down is done, whatever breaks; what it
//! has not is rolled back (R37, R43, R46, R47).

use std::collections::BTreeSet;
use std::sync::Arc;

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use super::moving::ROLL_BACK;
use super::{Asked, Client, Stage, Surroundings};

/// Types of TransactionInfo.
const PREPARE: i8 = 1;
const COMMIT_TWO_PHASE: i8 = 3;
const RECOVER: i8 = 5;
const END: i8 = 7;

/// What a branch without work is answered.
const READ_ONLY: i32 = 3;

/// Of a hundred branches that are prepared so many are forgotten by their coordinator, which has ended in between.
const FORGOTTEN: u64 = 15;

/// What a coordinator knows when it begins again.
#[derive(Default)]
pub(super) struct Coordinator {
    /// Branches that are to be committed, of which it has not heard that they are.
    committed: BTreeSet<i64>,
    /// Branches that may be prepared, of which nothing is written down.
    doubtful: BTreeSet<i64>,
    /// All that it has ever wanted to be prepared.
    asked: BTreeSet<i64>,
}

impl Coordinator {
    pub(super) fn has_decided_all(&self) -> bool {
        self.committed.is_empty() && self.doubtful.is_empty()
    }
}

impl Client {
    pub(super) fn branch_id(&self, value: i64) -> Arc<Structure> {
        let bytes = |bytes: &[u8]| Value::Bytes(Some(bytes.into()));
        Structure::new(&xa_transaction_id::DEFINITION)
            .with(xa_transaction_id::FORMAT_ID, 7)
            .with(xa_transaction_id::GLOBAL_TRANSACTION_ID, bytes(&value.to_le_bytes()))
            .with(xa_transaction_id::BRANCH_QUALIFIER, bytes(&(self.index as u64).to_le_bytes()))
            .shared()
    }

    /// The end of the work in a branch, and what is asked first. False: it is to be rolled back.
    pub(super) fn prepares(&mut self, value: i64, commits: bool, around: &mut Surroundings<'_>) -> bool {
        self.ask(self.transaction_info(value, END), Asked::Nothing, around);
        if let Some(coordinator) = self.moving.coordinator.as_mut().filter(|_| commits) {
            coordinator.doubtful.insert(value);
            coordinator.asked.insert(value);
            self.ask(self.transaction_info(value, PREPARE), Asked::Vote(value), around);
        }
        commits
    }

    /// The answer to PREPARE.
    pub(super) fn voted(&mut self, said: &Structure, around: &mut Surroundings<'_>) {
        let command = said.int(response::CORRELATION_ID);
        let Some(request) = self.requests.remove(&command) else { panic!("a vote that nobody has asked for") };
        self.has_come(request.before, around);
        let vote = said.int(integer_response::RESULT);
        if request.asked == Asked::SubscribedVote {
            return self.subscribed_vote(vote, around);
        }
        let Asked::Vote(value) = request.asked else { panic!("a vote on {}", request.asked) };
        self.say(around, || format!("hears the vote on branch {value}: {vote}"));
        let forgets = self.moving.chance.percent(FORGOTTEN);
        let Some(coordinator) = &mut self.moving.coordinator else { return };
        let Some(attempt) = self.moving.attempt.as_mut().filter(|attempt| attempt.value == value) else { return };
        if vote == READ_ONLY {
            assert!(attempt.moves.is_empty(), "branch {value} has moved something");
            coordinator.doubtful.remove(&value);
            self.moving.attempt = None;
        } else if forgets {
            attempt.commits = false;
            self.ask_if_it_sends(self.transaction_info(value, ROLL_BACK), Asked::Decision, around);
        } else {
            coordinator.doubtful.remove(&value);
            coordinator.committed.insert(value);
            attempt.is_seen = true;
            let moves = attempt.moves.clone();
            self.moving.apply(&moves);
            self.ask_if_it_sends(self.transaction_info(value, COMMIT_TWO_PHASE), Asked::Commit(value), around);
        }
    }

    /// Who sends no more decides on the next connection.
    fn ask_if_it_sends(&mut self, info: Structure, asked: Asked, around: &mut Surroundings<'_>) {
        if self.stage == Stage::Up {
            self.ask(info, asked, around);
        }
    }

    /// All that was said before is there; where sends may be parked, all but those.
    fn has_come(&mut self, before: u64, around: &mut Surroundings<'_>) {
        if around.scarce {
            self.make_acknowledgements_certain(before, around.ledger);
        } else {
            self.make_certain(before, around.ledger);
        }
    }

    /// What was to be committed is.
    pub(super) fn is_committed(&mut self, value: i64) {
        if let Some(coordinator) = &mut self.moving.coordinator {
            coordinator.committed.remove(&value);
        }
        self.moving.attempt.take_if(|attempt| attempt.value == value);
    }

    /// What may have been prepared is not, or is rolled back.
    pub(super) fn is_cleared(&mut self, value: i64) {
        if let Some(coordinator) = &mut self.moving.coordinator {
            coordinator.doubtful.remove(&value);
        }
    }

    /// On another connection the coordinator goes on with what is not answered.
    pub(super) fn decide_again(&mut self, around: &mut Surroundings<'_>) {
        let Some(coordinator) = &self.moving.coordinator else { return };
        let (committed, doubtful) = (coordinator.committed.clone(), coordinator.doubtful.clone());
        for value in committed {
            self.ask(self.transaction_info(value, COMMIT_TWO_PHASE), Asked::Commit(value), around);
        }
        for value in doubtful {
            self.ask(self.transaction_info(value, ROLL_BACK), Asked::Doubt(value), around);
        }
        self.ask_for_prepared(around);
    }

    /// Which branches are prepared? An old connection may have brought one after its coordinator had asked.
    pub(super) fn ask_for_prepared(&mut self, around: &mut Surroundings<'_>) {
        let waits = self.requests.values().any(|request| request.asked == Asked::Prepared);
        if self.moving.coordinator.is_some() && !waits {
            let info = self.transaction_info(0, RECOVER).with(transaction_info::TRANSACTION_ID, Value::Object(None));
            self.ask(info, Asked::Prepared, around);
        }
    }

    /// The answer to RECOVER.
    pub(super) fn hears_what_is_prepared(&mut self, said: &Structure, around: &mut Surroundings<'_>) {
        let command = said.int(response::CORRELATION_ID);
        let Some(request) = self.requests.remove(&command) else { panic!("a list that nobody has asked for") };
        self.has_come(request.before, around);
        let is_of_subscribers = request.asked == Asked::SubscribedPrepared;
        assert!(is_of_subscribers || request.asked == Asked::Prepared, "a list for {}", request.asked);
        let own = (self.index as u64).to_le_bytes();
        let own = if is_of_subscribers { self.subscribing_qualifier() } else { own.to_vec() };
        let listed = said.array(data_array_response::DATA).expect("a list is never null").iter().flatten();
        let mine = listed.filter(|id| id.bytes(xa_transaction_id::BRANCH_QUALIFIER) == Some(&own[..]));
        let values: Vec<i64> = mine
            .map(|id| id.bytes(xa_transaction_id::GLOBAL_TRANSACTION_ID).expect("a name has its parts"))
            .map(|bytes| i64::from_le_bytes(bytes.try_into().expect("eight bytes")))
            .collect();
        if is_of_subscribers {
            return self.subscribed_prepared(&values, around);
        }
        let Some(coordinator) = &self.moving.coordinator else { return };
        let present = self.moving.attempt.as_ref().map(|attempt| attempt.value);
        for value in &values {
            assert!(coordinator.asked.contains(value), "R47: branch {value} is prepared, which nobody has asked for");
        }
        let known = |value: &i64| Some(*value) == present || coordinator.committed.contains(value);
        let unknown: Vec<i64> = values.into_iter().filter(|value| !known(value)).collect();
        for value in unknown {
            self.ask_if_it_sends(self.transaction_info(value, ROLL_BACK), Asked::Doubt(value), around);
        }
    }
}
