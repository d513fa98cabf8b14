//! What durable subscriptions are to have, as far as their client knows, with what its transactions have taken of it.

use std::collections::{BTreeMap, BTreeSet};

/// What a subscription is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    /// One of two topics; 2: both, by a pattern.
    pub(super) topic: usize,
    pub(super) red: bool,
    /// Nothing of its own client, which is all that there is.
    pub(super) foreign: bool,
}

/// Something sent: its number, its topic, and whether it is red.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) serial: u64,
    pub(super) topic: usize,
    pub(super) red: bool,
}

impl Wanted {
    fn takes(self, sent: Sent) -> bool {
        !self.foreign && (self.topic == 2 || self.topic == sent.topic) && (!self.red || sent.red)
    }
}

/// Something that changes what there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Sent(Vec<Sent>),
    /// In the transaction of this number, which is committed once.
    Ended(i64, Vec<Sent>),
    /// In the branch of this number, which may be committed already.
    Committed(i64, Vec<Sent>),
    /// What this transaction has taken is there again, if it was not before.
    RolledBack(i64),
    /// This branch stays what it is until it is decided.
    Prepared(i64),
    Attached(usize, Wanted),
    Deleted(usize),
}

impl Change {
    /// Whether this brings it, unless it was there.
    pub(super) fn brings(&self, serial: u64) -> bool {
        match self {
            Change::Sent(all) | Change::Ended(_, all) | Change::Committed(_, all) => {
                all.iter().any(|sent| sent.serial == serial)
            }
            _ => false,
        }
    }
}

/// A subscription, as it may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Subscription {
    wanted: Wanted,
    /// It is to have these.
    pub(super) waiting: BTreeSet<u64>,
    /// These it has acknowledged, which may be lost.
    pub(super) perhaps: BTreeSet<u64>,
    /// These it has acknowledged in transactions that are not decided: it gets none of them.
    pub(super) taken: BTreeMap<u64, i64>,
}

impl Subscription {
    fn new(wanted: Wanted) -> Subscription {
        Subscription { wanted, waiting: BTreeSet::new(), perhaps: BTreeSet::new(), taken: BTreeMap::new() }
    }

    /// What transactions have taken is there again, except what some of them keep.
    fn give_back(&mut self, keeps: impl Fn(i64) -> bool) {
        let waiting = &mut self.waiting;
        waiting.extend(self.taken.extract_if(.., |_, value| !keeps(*value)).map(|(serial, _)| serial));
    }
}

/// All of them, as they may be.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct State {
    pub(super) subscriptions: BTreeMap<usize, Subscription>,
    /// Branches that are committed.
    committed: BTreeSet<i64>,
    /// Those that are prepared and have taken something, perhaps.
    pub(super) prepared: BTreeSet<i64>,
}

impl State {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Sent(all) => self.send(all),
            Change::Ended(value, all) => self.commit(*value, all),
            Change::Committed(value, all) => {
                if self.committed.insert(*value) {
                    self.commit(*value, all);
                }
            }
            Change::RolledBack(value) => {
                self.prepared.remove(value);
                self.subscriptions.values_mut().for_each(|known| known.give_back(|other| other != *value));
            }
            Change::Prepared(value) => drop(self.prepared.insert(*value)),
            Change::Attached(name, wanted) => {
                if self.subscriptions.get(name).is_none_or(|known| known.wanted != *wanted) {
                    self.subscriptions.insert(*name, Subscription::new(*wanted));
                }
            }
            Change::Deleted(name) => drop(self.subscriptions.remove(name)),
        }
    }

    fn send(&mut self, all: &[Sent]) {
        for subscription in self.subscriptions.values_mut() {
            let due = all.iter().filter(|sent| subscription.wanted.takes(**sent)).map(|sent| sent.serial);
            subscription.waiting.extend(due);
        }
    }

    fn commit(&mut self, value: i64, all: &[Sent]) {
        self.prepared.remove(&value);
        self.subscriptions.values_mut().for_each(|known| known.taken.retain(|_, other| *other != value));
        self.send(all);
    }

    /// A transaction takes something of a subscription.
    pub(super) fn take(&mut self, name: usize, serials: &[u64], value: i64) {
        let Some(known) = self.subscriptions.get_mut(&name) else { return };
        for serial in serials {
            if known.waiting.remove(serial) | known.perhaps.remove(serial) {
                known.taken.insert(*serial, value);
            }
        }
    }

    /// The connection is gone, and with it all transactions that are not prepared.
    pub(super) fn lose_open(&mut self) {
        let prepared = &self.prepared;
        self.subscriptions.values_mut().for_each(|known| known.give_back(|value| prepared.contains(&value)));
    }

    /// Something has come to a subscription that had these since it was attached. False: then this is not how it is.
    pub(super) fn may_get(&mut self, name: usize, serial: u64, had: &BTreeSet<u64>) -> bool {
        let Some(known) = self.subscriptions.get_mut(&name) else { return false };
        // What was acknowledged and comes again was not.
        if known.perhaps.remove(&serial) {
            known.waiting.insert(serial);
        }
        known.waiting.contains(&serial) && known.waiting.range(..serial).all(|missed| had.contains(missed))
    }

    /// Whether transactions that are not decided have something of a subscription.
    pub(super) fn is_taken(&self, name: usize) -> bool {
        self.subscriptions.get(&name).is_some_and(|known| !known.taken.is_empty())
    }
}
