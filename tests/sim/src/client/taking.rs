//! What a client takes of its durable subscriptions within transactions and branches: nobody has it while these are not decided, also over
//! a start; it is gone with COMMIT, and there again, as what was delivered before, after ROLLBACK (R37, R40, R43).

use std::sync::Arc;

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use super::subscribing::{Attached, RECOVER, Standing, Subscribing};
use super::subscriptions::Change;
use super::{Asked, Client, Stage, Surroundings};
use crate::random::Random;

/// Of a hundred acknowledgements while a transaction is open so many belong to it.
const WITHIN: u64 = 70;

/// And of a hundred things it does so many are for these, if they can be done.
const OF_ALL: u64 = 50;

/// Something that a transaction has taken.
pub(super) struct Taken {
    name: usize,
    /// The consumer that had it.
    consumer: i64,
    serial: u64,
    message_id: Arc<Structure>,
}

/// The chance of one that takes.
pub(super) struct Taking(Random);

impl Taking {
    /// It begins here.
    pub(super) fn new(seed: u64) -> Taking {
        Taking(Random::new(seed))
    }

    /// Whether its coordinator asks what is prepared, and does not just roll it back.
    pub(super) fn asks(&mut self) -> bool {
        self.0.percent(60)
    }
}

impl Subscribing {
    /// Whether what is acknowledged next belongs to the open transaction.
    pub(super) fn takes(&mut self) -> bool {
        self.transaction.is_some() && self.taking.as_mut().is_some_and(|taking| taking.0.percent(WITHIN))
    }

    /// Whether a transaction that is not decided may have something of a subscription, which stays what it is then.
    pub(super) fn is_taken(&self, name: usize) -> bool {
        self.states.iter().any(|state| state.is_taken(name))
    }

    /// Whether a consumer waits for what is rolled back: the application goes on behind that.
    pub(super) fn awaits(&self, name: usize) -> bool {
        self.returning.values().flatten().any(|taken| taken.name == name)
    }

    /// Whether a change gives back what a transaction has taken.
    pub(super) fn gives_back(&self, change: &Change, name: usize, serial: u64) -> bool {
        let Change::RolledBack(value) = change else { return false };
        let mut known = self.states.iter().filter_map(|state| state.subscriptions.get(&name));
        known.any(|known| known.taken.get(&serial) == Some(value))
    }

    /// A transaction is to be rolled back. What consumers had that have gone comes again.
    pub(super) fn gives_up(&mut self, value: i64, taken: Vec<Taken>) {
        let is_there =
            |taken: &Taken| self.attached.get(&taken.name).is_some_and(|known| known.value == taken.consumer);
        let (own, gone): (Vec<Taken>, Vec<Taken>) = taken.into_iter().partition(is_there);
        for Taken { name, serial, .. } in gone {
            self.seen.insert((name, serial));
            self.attached.get_mut(&name).into_iter().for_each(|known| _ = known.back.insert(serial));
        }
        self.returning.insert(value, own);
    }

    /// Something is done: what was rolled back is its consumers' again, before all else, if these are still there.
    pub(super) fn hold_again(&mut self, change: &Change) {
        let Change::RolledBack(value) = change else { return };
        for Taken { name, consumer, serial, message_id } in self.returning.remove(value).into_iter().flatten().rev() {
            if let Some(known) = self.attached.get_mut(&name).filter(|known| known.value == consumer) {
                known.held.insert(0, (serial, message_id));
            }
        }
    }

    /// The connection is gone: what has come and was not acknowledged is not new when it comes again.
    pub(super) fn have_been_seen(&mut self) {
        let pairs = |(name, known): (&usize, &Attached)| {
            let name = *name;
            known.held.iter().map(move |(serial, _)| (name, *serial)).collect::<Vec<_>>()
        };
        self.seen.extend(self.attached.iter().flat_map(pairs));
        let taken = self.returning.values().flatten();
        let taken = taken.chain(self.transaction.iter().flat_map(|open| &open.taken));
        let taken = taken.chain(self.branch.iter().flat_map(|branch| &branch.taken));
        self.seen.extend(taken.map(|taken| (taken.name, taken.serial)));
    }
}

impl Client {
    /// Goes on with what a transaction takes. True: that was what it did.
    pub(super) fn takes_on(&mut self, around: &mut Surroundings<'_>) -> bool {
        let known = &mut self.subscribing;
        let Some(Taking(chance)) = &mut known.taking else { return false };
        if !chance.percent(OF_ALL) {
            return false;
        }
        let (ends, count) = (chance.percent(30), 1 + chance.index(4));
        if known.branch.is_some() {
            if ends {
                self.transact_subscribed(around);
            }
            return ends;
        }
        let holds: Vec<usize> =
            known.attached.iter().filter(|(_, has)| !has.held.is_empty()).map(|(name, _)| *name).collect();
        if holds.is_empty() {
            let names = 0..known.wanted.len();
            let Some(name) = names.into_iter().find(|name| !known.attached.contains_key(name)) else { return false };
            self.attach(name, true, around);
            return true;
        }
        let name = *chance.pick(&holds);
        if known.transaction.is_none() || ends {
            self.transact_subscribed(around);
        } else {
            self.take_subscribed(name, count, around);
        }
        true
    }

    /// The open transaction takes the first messages that a subscription holds.
    pub(super) fn take_subscribed(&mut self, name: usize, count: usize, around: &mut Surroundings<'_>) {
        let known = &mut self.subscribing;
        if known.awaits(name) {
            return;
        }
        let (Some(attached), Some(open)) = (known.attached.get_mut(&name), &mut known.transaction) else { return };
        let count = count.min(attached.held.len());
        let taken: Vec<_> = attached.held.drain(..count).collect();
        let (Some((_, first)), Some((_, last))) = (taken.first().cloned(), taken.last().cloned()) else { return };
        let serials: Vec<u64> = taken.iter().map(|(serial, _)| *serial).collect();
        let (value, is_branch, consumer) = (open.value, open.is_branch, attached.value);
        let taken = taken.into_iter().map(|(serial, message_id)| Taken { name, consumer, serial, message_id });
        open.taken.extend(taken);
        known.states.iter_mut().for_each(|state| state.take(name, &serials, value));
        self.say(around, || format!("takes {serials:?} of subscription {name} in transaction {value}"));
        around.ledger.counts.acknowledged += count as u64;
        let within = self.subscribing_transaction(value, is_branch);
        let said = self.subscribed_range(name, (first, last), count as i32);
        self.tell(said.with(message_ack::TRANSACTION_ID, within), around);
    }

    /// On another connection: which branches are prepared?
    pub(super) fn ask_what_is_prepared(&mut self, around: &mut Surroundings<'_>) {
        if self.subscribing.taking.is_some() {
            let info = self.subscribing_info(0, true, RECOVER);
            let info = info.with(transaction_info::TRANSACTION_ID, Value::Object(None));
            self.ask(info, Asked::SubscribedPrepared, around);
        }
    }

    /// The answer to RECOVER: the names of own branches.
    pub(super) fn subscribed_prepared(&mut self, values: &[i64], around: &mut Surroundings<'_>) {
        self.say(around, || format!("hears that of its subscribers' branches {values:?} are prepared"));
        let (index, known) = (self.index, &mut self.subscribing);
        let Some(branch) = &mut known.branch else {
            assert!(values.is_empty(), "R47: client {index}: {values:?} are prepared, and decided or not asked for");
            return;
        };
        let (value, is_prepared) = (branch.value, values.contains(&branch.value));
        let others = values.iter().any(|other| *other != value);
        assert!(!others, "R47: client {index}: {values:?} are prepared, and {value} is alone");
        if branch.standing != Standing::Doubtful {
            assert!(is_prepared, "R43: client {index}: branch {value} is not prepared any more");
            return;
        }
        if branch.place > 0 {
            known.states.retain(|state| state.prepared.contains(&value) == is_prepared);
            assert!(!known.states.is_empty(), "R43: client {index}: branch {value} is prepared ({is_prepared})");
        }
        if !is_prepared {
            known.branch = None;
            return;
        }
        let commits = known.taking.as_mut().is_some_and(|taking| taking.0.percent(50));
        branch.standing = if commits { Standing::Commits } else { Standing::RollsBack };
        // Who sends no more decides on the next connection.
        if self.stage == Stage::Up {
            self.decide_subscribed(around);
        }
    }
}
