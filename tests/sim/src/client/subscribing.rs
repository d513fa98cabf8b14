//! A client with durable subscriptions: they come, are left and come back, change and go, and it sends to their topics itself, so that it
//! knows what each of them is to have: all of it, in order, and nothing else, wherever the process ends (R40, R52).
//!
//! What the broker has not answered may be done or not, but in order: when the connection breaks, each prefix of it is a state that may
//! be. Which ones are left is learned from what comes.
//!
//! Some of its transactions are branches of XA, which stay prepared for a while, and for longer than the process. Nothing is sent meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use super::protocol::{self, Member, Sending, acknowledge};
use super::subscriptions::{Change, Sent, State, Wanted};
use super::taking::{Taken, Taking};
use super::{Asked, Client, Surroundings};
use crate::ledger::Address;
use crate::random::Random;

/// The session of those who subscribe, with its producer and consumers.
const SESSION: i64 = 9_100_000;
const PRODUCER: Member = (SESSION, -1);

/// Types of TransactionInfo.
const BEGIN: i8 = 0;
const PREPARE: i8 = 1;
const COMMIT: i8 = 2;
const COMMIT_TWO_PHASE: i8 = 3;
const ROLL_BACK: i8 = 4;
pub(super) const RECOVER: i8 = 5;
const END: i8 = 7;

/// The vote on a branch without work.
const READ_ONLY: i32 = 3;

/// Bytes that a message and its acknowledgements take in the log, about, beside what it carries.
const OVERHEAD: u64 = 500;

/// States that may be, at most: beyond it nothing uncertain is done.
const MOST_STATES: usize = 200;

/// What a client subscribes to.
#[derive(Clone, Debug)]
pub struct SubscribingPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Percent of the times when it could go on and does.
    pub percent: u64,
    /// Subscriptions that it has.
    pub names: usize,
    /// Bytes of a message, at most.
    pub bytes: u64,
    /// It also takes messages within its transactions: where the chance of that begins.
    pub takes: Option<u64>,
}

/// A consumer of a subscription.
pub(super) struct Attached {
    pub(super) value: i64,
    /// What has come to it, and was not acknowledged.
    pub(super) held: Vec<(u64, Arc<Structure>)>,
    had: BTreeSet<u64>,
    /// What another consumer's transaction has given back since it is there, and comes behind newer messages, perhaps.
    pub(super) back: BTreeSet<u64>,
    last: u64,
}

/// The transaction that it sends in.
pub(super) struct Open {
    pub(super) value: i64,
    pub(super) is_branch: bool,
    sent: Vec<Sent>,
    pub(super) taken: Vec<Taken>,
}

/// How far the coordinator of a branch has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has asked for the vote, and written nothing down.
    Asked,
    /// It has not heard the vote, and asks what is prepared.
    Doubtful,
    Prepared,
    /// It has written down that it is to be committed.
    Commits,
    RollsBack,
}

/// A branch in which nothing is done any more.
pub(super) struct Branch {
    pub(super) value: i64,
    sent: Vec<Sent>,
    pub(super) taken: Vec<Taken>,
    pub(super) standing: Standing,
    /// Where it is prepared, if it may have taken something.
    pub(super) place: u64,
}

/// What it knows of its subscriptions.
pub struct Subscribing {
    chance: Random,
    /// Of what it takes in transactions.
    pub(super) taking: Option<Taking>,
    pub(super) states: Vec<State>,
    /// What is not certain yet, in order, with the place of each.
    changes: VecDeque<(u64, Change)>,
    acknowledged: VecDeque<(u64, usize, Vec<u64>)>,
    place: u64,
    serials: u64,
    values: i64,
    pub(super) wanted: Vec<Wanted>,
    pub(super) attached: BTreeMap<usize, Attached>,
    pub(super) transaction: Option<Open>,
    pub(super) branch: Option<Branch>,
    /// What was rolled back and is its consumers' again when that is answered, by transactions.
    pub(super) returning: BTreeMap<i64, Vec<Taken>>,
    /// These count as delivered.
    pub(super) seen: BTreeSet<(usize, u64)>,
    stands: bool,
    /// The first of the last messages, which each of them gets.
    marked: Option<u64>,
}

impl Attached {
    fn new(value: i64) -> Attached {
        Attached { value, held: Vec::new(), had: BTreeSet::new(), back: BTreeSet::new(), last: 0 }
    }
}

impl Subscribing {
    /// There are no subscriptions yet.
    pub fn new(plan: Option<&SubscribingPlan>) -> Subscribing {
        let names = plan.map_or(0, |plan| plan.names);
        Subscribing {
            chance: Random::new(plan.map_or(0, |plan| plan.seed)),
            taking: plan.and_then(|plan| plan.takes).map(Taking::new),
            states: vec![State::default()],
            changes: VecDeque::new(),
            acknowledged: VecDeque::new(),
            place: 0,
            serials: 0,
            values: 0,
            wanted: vec![Wanted { topic: 0, red: false, foreign: false }; names],
            attached: BTreeMap::new(),
            transaction: None,
            branch: None,
            returning: BTreeMap::new(),
            seen: BTreeSet::new(),
            stands: false,
            marked: None,
        }
    }

    fn note(&mut self, change: Change) -> u64 {
        self.place += 1;
        self.changes.push_back((self.place, change));
        self.place
    }

    /// All changes up to a place are done.
    fn is_done(&mut self, place: u64) {
        while let Some((_, change)) = self.changes.pop_front_if(|(at, _)| *at <= place) {
            self.states.iter_mut().for_each(|state| state.apply(&change));
            self.hold_again(&change);
        }
    }

    /// So are acknowledgements.
    fn is_acknowledged(&mut self, place: u64) {
        while let Some((_, name, serials)) = self.acknowledged.pop_front_if(|(at, ..)| *at <= place) {
            for subscription in self.states.iter_mut().filter_map(|state| state.subscriptions.get_mut(&name)) {
                serials.iter().for_each(|serial| _ = subscription.perhaps.remove(serial));
            }
        }
    }

    /// The connection is gone: what was not answered may be done up to some place.
    fn forget(&mut self) {
        (self.stands, self.marked, self.transaction) = (false, None, None);
        self.attached.clear();
        self.returning.clear();
        self.acknowledged.clear();
        if let Some(branch) = self.branch.as_mut().filter(|branch| branch.standing == Standing::Asked) {
            let asks = self.taking.as_mut().is_some_and(Taking::asks);
            branch.standing = if asks { Standing::Doubtful } else { Standing::RollsBack };
        }
        let mut furthest = self.states.clone();
        for (_, change) in std::mem::take(&mut self.changes) {
            furthest.iter_mut().for_each(|state| state.apply(&change));
            self.states.extend(furthest.clone());
        }
        let mut different: Vec<State> = Vec::new();
        for mut state in std::mem::take(&mut self.states) {
            state.lose_open();
            if !different.contains(&state) {
                different.push(state);
            }
        }
        self.states = different;
    }

    fn is_overfull(&self) -> bool {
        self.changes.len() > 6 || self.states.len() > MOST_STATES
    }
}

impl Client {
    fn subscribed_topic(&self, topic: usize) -> Address {
        let name = if topic == 2 { ">".to_owned() } else { topic.to_string() };
        Address::topic(&format!("subscribing.{}.{name}", self.index))
    }

    /// The client id that its subscriptions are known by.
    pub(super) fn subscribing_client(&self) -> Option<String> {
        self.plan.subscribing.as_ref().map(|_| format!("subscriber-{}", self.index))
    }

    /// Goes on with its subscriptions. True: that was what it did.
    pub(super) fn subscribes(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(SubscribingPlan { percent, names, bytes, .. }) = self.plan.subscribing else { return false };
        if !self.reads || !self.subscribing.chance.percent(percent) {
            return false;
        }
        if !self.subscribing.stands {
            self.stand_to_subscribe(around);
            return true;
        }
        if self.subscribing.is_overfull() {
            return false;
        }
        if self.takes_on(around) {
            return true;
        }
        let name = self.subscribing.chance.index(names);
        match self.subscribing.chance.below(100) {
            // What is sent comes in the order of the numbers: meanwhile others come and go.
            0..45 if self.subscribing.branch.is_some() => match self.subscribing.attached.contains_key(&name) {
                true => self.detach(name, around),
                false => self.attach(name, true, around),
            },
            0..45 => self.send_to_subscribers(bytes, around),
            45..60 => self.acknowledge_subscribed(name, around),
            60..75 if !self.subscribing.attached.contains_key(&name) => self.attach(name, true, around),
            75..88 => self.detach(name, around),
            88..91 if !self.subscribing.attached.contains_key(&name) => self.unsubscribe(name, around),
            _ => self.transact_subscribed(around),
        }
        true
    }

    /// At rest: all of them are there, and each gets what it is to have, and then a last message.
    pub(super) fn finish_subscribing(&mut self, around: &mut Surroundings<'_>) {
        let Some(SubscribingPlan { names, bytes, .. }) = self.plan.subscribing else { return };
        if !self.subscribing.stands {
            return self.stand_to_subscribe(around);
        }
        if self.subscribing.transaction.is_some() || self.subscribing.branch.is_some() {
            return self.transact_subscribed(around);
        }
        for name in 0..names {
            if !self.subscribing.attached.contains_key(&name) {
                self.attach(name, false, around);
            }
            self.acknowledge_all_subscribed(name, around);
        }
        if self.subscribing.marked.is_none() {
            self.subscribing.marked = Some(self.subscribing.serials + 1);
            for topic in 0..2 {
                let sent = self.next_sent(topic, true);
                self.send_one(sent, bytes, None, around);
                let place = self.subscribing.note(Change::Sent(vec![sent]));
                self.prove_subscribed(place, around);
            }
        }
    }

    /// Whether each has had all.
    pub(super) fn has_subscribed(&self) -> bool {
        let Some(SubscribingPlan { names, .. }) = self.plan.subscribing else { return true };
        let known = &self.subscribing;
        let Some(marked) = known.marked else { return false };
        (0..names).all(|name| {
            let last = match known.wanted[name] {
                Wanted { foreign: true, .. } => 0,
                Wanted { topic: 0, .. } => marked,
                _ => marked + 1,
            };
            known.attached.get(&name).is_some_and(|attached| attached.last >= last && attached.held.is_empty())
        })
    }

    /// What is missing, for people.
    pub(super) fn subscriptions_wait_for(&self) -> String {
        let known = &self.subscribing;
        let last = |(name, attached): (&usize, &Attached)| (*name, attached.last, attached.held.len());
        let all: Vec<_> = known.attached.iter().map(last).collect();
        format!("{:?} {all:?}, {} states", known.marked, known.states.len())
    }

    /// Whether a dispatch is for one of those who subscribe.
    pub(super) fn is_of_subscribing(member: Member) -> bool {
        member.0 == SESSION
    }

    /// The connection is gone, or its end is said, which says what the application has seen.
    pub(super) fn forget_subscribing(&mut self, is_said: bool) {
        if !is_said {
            self.subscribing.have_been_seen();
        }
        self.subscribing.forget();
    }

    /// An answer: all up to this place is done.
    pub(super) fn is_subscribed(&mut self, place: u64) {
        self.subscribing.is_done(place);
        self.subscribing.is_acknowledged(place);
    }

    /// A message for one of its subscriptions.
    pub(super) fn gets_subscribed(
        &mut self,
        (value, redeliveries): (i64, i32),
        message: &Structure,
        message_id: Arc<Structure>,
        around: &mut Surroundings<'_>,
    ) {
        let content = message.bytes(message::CONTENT).unwrap_or_default();
        let serial = u64::from_le_bytes(content[..8].try_into().expect("eight bytes"));
        around.ledger.counts.delivered += 1;
        let found = self.subscribing.attached.iter().find(|(_, attached)| attached.value == value);
        let Some(name) = found.map(|(name, _)| *name) else { return };
        self.say(around, || format!("gets {serial} of subscription {name}"));
        // It is delivered when it is committed, and with it what was done before (R14).
        let known = &self.subscribing;
        let brings = |change: &Change| change.brings(serial) || known.gives_back(change, name, serial);
        let place = known.changes.iter().find(|(_, change)| brings(change)).map(|(place, _)| *place);
        place.into_iter().for_each(|place| self.subscribing.is_done(place));
        let index = self.index;
        let known = &mut self.subscribing;
        let was_seen = known.seen.contains(&(name, serial));
        assert!(
            redeliveries > 0 || !was_seen,
            "R15: client {index}: subscription {name} gets {serial} as if it were new"
        );
        let attached = known.attached.get_mut(&name).expect("just found");
        let in_order = attached.last < serial || attached.back.remove(&serial);
        assert!(in_order, "client {index}: subscription {name} gets {serial} after {}", attached.last);
        assert!(!attached.had.contains(&serial), "client {index}: subscription {name} gets {serial} twice");
        attached.last = attached.last.max(serial);
        let before = known.states.clone();
        known.states.retain_mut(|state| state.may_get(name, serial, &attached.had));
        assert!(
            !known.states.is_empty(),
            "R40: client {index}: subscription {name} gets {serial}, of what it had {:?}: {:?}",
            attached.had,
            before.iter().map(|state| state.subscriptions.get(&name)).collect::<Vec<_>>()
        );
        attached.had.insert(serial);
        attached.held.push((serial, message_id));
    }

    fn stand_to_subscribe(&mut self, around: &mut Surroundings<'_>) {
        self.subscribing.stands = true;
        let id = self.connection_id.clone();
        self.tell(protocol::open_session(&id, SESSION), around);
        self.tell(protocol::open_producer(&id, PRODUCER, None, 0), around);
        let standing = self.subscribing.branch.as_ref().map(|branch| branch.standing);
        match standing {
            Some(Standing::Commits | Standing::RollsBack) => self.decide_subscribed(around),
            Some(_) => self.ask_what_is_prepared(around),
            None => {}
        }
    }

    /// A consumer comes, perhaps for another subscription under the same name.
    pub(super) fn attach(&mut self, name: usize, may_change: bool, around: &mut Surroundings<'_>) {
        if may_change && self.subscribing.chance.percent(25) && !self.subscribing.is_taken(name) {
            let (topic, red) = (self.subscribing.chance.index(3), self.subscribing.chance.percent(40));
            let foreign = self.subscribing.chance.percent(15);
            self.subscribing.wanted[name] = Wanted { topic, red, foreign };
        }
        let wanted = self.subscribing.wanted[name];
        self.subscribing.values += 1;
        let value = self.subscribing.values;
        let prefetch = if may_change { *self.subscribing.chance.pick(&[1, 5, 100]) } else { 1_000 };
        let address = self.subscribed_topic(wanted.topic);
        let mut consumer = protocol::open_consumer(&self.connection_id, (SESSION, value), &address, prefetch)
            .with(consumer_info::SUBSCRIPTION_NAME, format!("s{name}").as_str())
            .with(consumer_info::NO_LOCAL, wanted.foreign);
        if wanted.red {
            consumer = consumer.with(consumer_info::SELECTOR, "JMSCorrelationID = 'red'");
        }
        let place = self.subscribing.note(Change::Attached(name, wanted));
        self.say(around, || format!("attaches to subscription {name} as {value}: {wanted:?}"));
        self.ask(consumer, Asked::Subscribed(place), around);
        self.subscribing.attached.insert(name, Attached::new(value));
    }

    fn detach(&mut self, name: usize, around: &mut Surroundings<'_>) {
        let Some(attached) = self.subscribing.attached.remove(&name) else { return };
        self.say(around, || format!("leaves subscription {name}"));
        let consumer = protocol::consumer(&self.connection_id, (SESSION, attached.value));
        let last = *self.subscribing.chance.pick(&[-1, -2, 0]);
        self.tell(protocol::remove(consumer, last), around);
    }

    fn unsubscribe(&mut self, name: usize, around: &mut Surroundings<'_>) {
        // Of one that is not there it would be refused.
        if self.subscribing.states.len() > 1 || !self.subscribing.changes.is_empty() {
            return;
        }
        if !self.subscribing.states[0].subscriptions.contains_key(&name) {
            return;
        }
        let is_taken = self.subscribing.is_taken(name);
        self.say(around, || format!("deletes subscription {name}"));
        let info = Structure::new(&remove_subscription_info::DEFINITION)
            .with(remove_subscription_info::CONNECTION_ID, protocol::connection(&self.connection_id))
            .with(remove_subscription_info::SUBSCRIPTION_NAME, format!("s{name}").as_str())
            .with(remove_subscription_info::CLIENT_ID, self.subscribing_client().unwrap_or_default().as_str());
        if is_taken {
            return self.ask(info, Asked::SubscribedKept, around);
        }
        let place = self.subscribing.note(Change::Deleted(name));
        self.ask(info, Asked::Subscribed(place), around);
    }

    fn acknowledge_all_subscribed(&mut self, name: usize, around: &mut Surroundings<'_>) {
        let count = self.subscribing.attached.get(&name).map_or(0, |attached| attached.held.len());
        self.acknowledge_some_subscribed(name, count, around);
    }

    fn acknowledge_subscribed(&mut self, name: usize, around: &mut Surroundings<'_>) {
        let held = self.subscribing.attached.get(&name).map_or(0, |attached| attached.held.len());
        let count = (1 + self.subscribing.chance.index(5)).min(held);
        if self.subscribing.takes() {
            return self.take_subscribed(name, count, around);
        }
        self.acknowledge_some_subscribed(name, count, around);
    }

    fn acknowledge_some_subscribed(&mut self, name: usize, count: usize, around: &mut Surroundings<'_>) {
        let known = &mut self.subscribing;
        if known.awaits(name) {
            return;
        }
        let Some(attached) = known.attached.get_mut(&name) else { return };
        let taken: Vec<(u64, Arc<Structure>)> = attached.held.drain(..count).collect();
        let (Some((_, first)), Some((_, last))) = (taken.first(), taken.last()) else { return };
        let serials: Vec<u64> = taken.iter().map(|(serial, _)| *serial).collect();
        for subscription in known.states.iter_mut().filter_map(|state| state.subscriptions.get_mut(&name)) {
            for serial in serials.iter().filter(|serial| subscription.waiting.remove(serial)) {
                subscription.perhaps.insert(*serial);
            }
        }
        known.place += 1;
        known.acknowledged.push_back((known.place, name, serials));
        let place = known.place;
        let said = self.subscribed_range(name, (first.clone(), last.clone()), count as i32);
        around.ledger.counts.acknowledged += count as u64;
        self.tell(said, around);
        if self.subscribing.chance.percent(30) {
            self.prove_subscribed(place, around);
        }
    }

    /// An acknowledgement of what a subscription holds.
    pub(super) fn subscribed_range(
        &self,
        name: usize,
        (first, last): (Arc<Structure>, Arc<Structure>),
        count: i32,
    ) -> Structure {
        let value = self.subscribing.attached[&name].value;
        let consumer = protocol::consumer(&self.connection_id, (SESSION, value));
        let address = self.subscribed_topic(self.subscribing.wanted[name].topic);
        protocol::acknowledge(consumer, &address, acknowledge::STANDARD, Some(first), Some(last), count)
    }

    /// An answer to something small: all before it is done.
    fn prove_subscribed(&mut self, place: u64, around: &mut Surroundings<'_>) {
        let again = protocol::open_producer(&self.connection_id, PRODUCER, None, 0);
        self.ask(again, Asked::Subscribed(place), around);
    }

    fn next_sent(&mut self, topic: usize, red: bool) -> Sent {
        self.subscribing.serials += 1;
        Sent { serial: self.subscribing.serials, topic, red }
    }

    fn send_to_subscribers(&mut self, bytes: u64, around: &mut Surroundings<'_>) {
        let (topic, red) = (self.subscribing.chance.index(2), self.subscribing.chance.percent(50));
        let sent = self.next_sent(topic, red);
        if let Some(open) = &mut self.subscribing.transaction {
            open.sent.push(sent);
            let within = (open.value, open.is_branch);
            return self.send_one(sent, bytes, Some(within), around);
        }
        self.send_one(sent, bytes, None, around);
        let place = self.subscribing.note(Change::Sent(vec![sent]));
        if self.subscribing.chance.percent(40) {
            self.prove_subscribed(place, around);
        }
    }

    fn send_one(&mut self, sent: Sent, bytes: u64, transaction: Option<(i64, bool)>, around: &mut Surroundings<'_>) {
        let mut content = sent.serial.to_le_bytes().to_vec();
        content.resize(8 + self.subscribing.chance.below(bytes) as usize, b'x');
        let address = self.subscribed_topic(sent.topic);
        let sending = Sending {
            connection: &self.connection_id,
            producer: PRODUCER,
            sequence: sent.serial as i64,
            address: &address,
            persistent: true,
            reply_to: None,
            expiration: 0,
            content: &content,
            correlation: if sent.red { "red" } else { "blue" },
            message_type: None,
        };
        around.ledger.counts.sent += 1;
        around.ledger.counts.bytes += content.len() as u64 + OVERHEAD;
        let mut message = protocol::message(&sending);
        if let Some((value, is_branch)) = transaction {
            message = message.with(message::TRANSACTION_ID, self.subscribing_transaction(value, is_branch));
        }
        self.say(around, || format!("sends {sent:?} to subscribers in {transaction:?}"));
        self.tell(message, around);
    }

    /// Begins a transaction, or ends it, or decides a branch that is prepared.
    pub(super) fn transact_subscribed(&mut self, around: &mut Surroundings<'_>) {
        if let Some(branch) = &mut self.subscribing.branch {
            if branch.standing == Standing::Prepared && self.subscribing.chance.percent(40) {
                let commits = self.subscribing.chance.percent(75);
                branch.standing = if commits { Standing::Commits } else { Standing::RollsBack };
                self.decide_subscribed(around);
            }
            return;
        }
        let Some(Open { value, is_branch, sent, taken }) = self.subscribing.transaction.take() else {
            self.subscribing.values += 1;
            let (value, is_branch) = (self.subscribing.values, self.subscribing.chance.percent(50));
            self.subscribing.transaction = Some(Open { value, is_branch, sent: Vec::new(), taken: Vec::new() });
            return self.tell(self.subscribing_info(value, is_branch, BEGIN), around);
        };
        let commits = self.subscribing.chance.percent(75);
        self.say(around, || format!("ends transaction {value} of subscribers ({commits}, a branch: {is_branch})"));
        if is_branch {
            self.ask(self.subscribing_info(value, true, END), Asked::Nothing, around);
            if commits && self.subscribing.chance.percent(80) {
                let place = if taken.is_empty() { 0 } else { self.subscribing.note(Change::Prepared(value)) };
                self.subscribing.branch = Some(Branch { value, sent, taken, standing: Standing::Asked, place });
                return self.ask(self.subscribing_info(value, true, PREPARE), Asked::SubscribedVote, around);
            }
        }
        if !commits {
            self.subscribing.gives_up(value, taken);
        }
        let place = self.subscribing.note(if commits { Change::Ended(value, sent) } else { Change::RolledBack(value) });
        let kind = if commits { COMMIT } else { ROLL_BACK };
        self.ask(self.subscribing_info(value, is_branch, kind), Asked::Subscribed(place), around);
    }

    /// The answer to PREPARE.
    pub(super) fn subscribed_vote(&mut self, vote: i32, around: &mut Surroundings<'_>) {
        self.say(around, || format!("hears the vote on a branch of subscribers: {vote}"));
        let known = &mut self.subscribing;
        let branch = known.branch.as_mut().expect("it was asked for");
        branch.standing = Standing::Prepared;
        let place = branch.place;
        if vote == READ_ONLY {
            let is_empty = branch.sent.is_empty() && branch.taken.is_empty();
            assert!(is_empty, "a branch that has sent or taken something");
            known.branch = None;
        }
        known.is_done(place);
    }

    /// Says how the branch ends, perhaps again.
    pub(super) fn decide_subscribed(&mut self, around: &mut Surroundings<'_>) {
        let Some(branch) = &mut self.subscribing.branch else { return };
        let (value, commits) = (branch.value, branch.standing == Standing::Commits);
        let (sent, taken) = (branch.sent.clone(), std::mem::take(&mut branch.taken));
        self.say(around, || format!("decides branch {value} of subscribers ({commits})"));
        if !commits {
            self.subscribing.gives_up(value, taken);
        }
        let change = if commits { Change::Committed(value, sent) } else { Change::RolledBack(value) };
        let place = self.subscribing.note(change);
        let kind = if commits { COMMIT_TWO_PHASE } else { ROLL_BACK };
        self.ask(self.subscribing_info(value, true, kind), Asked::SubscribedEnd(place), around);
    }

    /// The branch is decided, as this answer says, or is not there, where it is rolled back.
    pub(super) fn subscribed_end(&mut self, place: u64) {
        self.is_subscribed(place);
        self.subscribing.branch = None;
    }

    /// Whether a branch that is not there may be what it is told of.
    pub(super) fn subscribed_rolls_back(&self) -> bool {
        self.subscribing.branch.as_ref().is_some_and(|branch| branch.standing == Standing::RollsBack)
    }

    pub(super) fn subscribing_info(&self, value: i64, is_branch: bool, kind: i8) -> Structure {
        Structure::new(&transaction_info::DEFINITION)
            .with(transaction_info::CONNECTION_ID, protocol::connection(&self.connection_id))
            .with(transaction_info::TRANSACTION_ID, self.subscribing_transaction(value, is_branch))
            .with(transaction_info::TYPE, kind)
    }

    /// Another's than that of a branch of tokens.
    pub(super) fn subscribing_qualifier(&self) -> Vec<u8> {
        [&(self.index as u64).to_le_bytes()[..], b"s"].concat()
    }

    pub(super) fn subscribing_transaction(&self, value: i64, is_branch: bool) -> Arc<Structure> {
        if is_branch {
            let qualifier = self.subscribing_qualifier();
            let bytes = |bytes: &[u8]| Value::Bytes(Some(bytes.into()));
            return Structure::new(&xa_transaction_id::DEFINITION)
                .with(xa_transaction_id::FORMAT_ID, 7)
                .with(xa_transaction_id::GLOBAL_TRANSACTION_ID, bytes(&value.to_le_bytes()))
                .with(xa_transaction_id::BRANCH_QUALIFIER, bytes(&qualifier))
                .shared();
        }
        Structure::new(&local_transaction_id::DEFINITION)
            .with(local_transaction_id::CONNECTION_ID, protocol::connection(&self.connection_id))
            .with(local_transaction_id::VALUE, SESSION + value)
            .shared()
    }
}
