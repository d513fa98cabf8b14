//! A client that listens to what the broker tells of consumers, as a bridge does: it is true, whole and in order, and stands before
//! what is sent because of it (R57).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::*;

use super::protocol;
use super::{Asked, Client, Member, Stage, Surroundings};
use crate::ledger::{Address, MessageId};

/// What a bridge listens to, but for temporary destinations.
const TOPICS: &str = "ActiveMQ.Advisory.Consumer.Queue.>,ActiveMQ.Advisory.Consumer.Topic.>";

/// The consumer that listens.
const LISTENER: Member = (-1, 2);

/// Advisories that it acknowledges at once.
const ACKNOWLEDGED: u32 = 100;

/// Longest name of consumers that are told of for certain: composites of very many are not.
const NAME_BYTES: usize = 16_000;

/// A consumer's id: its connection's, and its own numbers there.
type Name = (String, Member);

/// What all clients have asked for, and what they were answered.
#[derive(Default)]
pub struct Announced(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    /// The ConsumerInfos of each consumer, in the order in which they were asked for: what is told may be of one before the last.
    asked: BTreeMap<Name, Vec<Structure>>,
    /// Consumers whose clients have their answer, in that order.
    answered: Vec<Name>,
    /// How many of them there were when a message was sent.
    sent: BTreeMap<MessageId, usize>,
    /// And when a connection was lost: the answer may have come long after the broker has seen it end.
    lost: BTreeMap<String, usize>,
}

impl Inner {
    /// Consumers that were answered in between and that nobody has lost since.
    fn known(&self, since: usize, until: usize) -> impl Iterator<Item = &Name> {
        let names = self.answered.iter().enumerate().take(until).skip(since);
        let is_there = |place: usize, name: &Name| self.lost.get(&name.0).is_none_or(|lost| place >= *lost);
        names.filter(move |(place, name)| is_there(*place, name)).map(|(_, name)| name)
    }
}

impl Announced {
    /// A client says something, which may be that it wants a consumer.
    pub(super) fn said(&self, structure: &Structure) {
        if structure.is(&consumer_info::DEFINITION)
            && let Some(name) = structure.object(consumer_info::CONSUMER_ID).and_then(|id| name_of(id))
        {
            self.0.borrow_mut().asked.entry(name).or_default().push(structure.clone());
        }
    }

    /// A client has its answer to the last that it has asked for under this name.
    pub(super) fn answered(&self, connection: &str, member: Member) {
        let mut inner = self.0.borrow_mut();
        let name = (connection.to_owned(), member);
        let last = inner.asked.get(&name).and_then(|asked| asked.last());
        let address = last.and_then(|info| info.object(consumer_info::DESTINATION)).cloned();
        // Of consumers of advisories nobody is told.
        let is_told =
            |address: Address| address.name.len() < NAME_BYTES && !address.name.starts_with("ActiveMQ.Advisory.");
        if address.is_some_and(|address| is_told(protocol::address(&address))) {
            inner.answered.push(name);
        }
    }

    /// A connection is lost, with the consumers that it had.
    pub(super) fn lost(&self, connection: &str) {
        let mut inner = self.0.borrow_mut();
        let count = inner.answered.len();
        inner.lost.insert(connection.to_owned(), count);
    }

    /// A message is sent now.
    pub(super) fn sends(&self, id: MessageId) {
        let mut inner = self.0.borrow_mut();
        let count = inner.answered.len();
        inner.sent.insert(id, count);
    }
}

/// What a client has heard.
#[derive(Default)]
pub struct Hearing {
    /// Consumers that were answered before it listened.
    since: Option<usize>,
    /// Those that are there, and those that have gone again.
    there: BTreeSet<Name>,
    gone: BTreeSet<Name>,
    unacknowledged: u32,
}

fn name_of(id: &Structure) -> Option<Name> {
    let connection = String::from_utf8_lossy(id.string(consumer_id::CONNECTION_ID)?).into_owned();
    Some((connection, (id.long(consumer_id::SESSION_ID), id.long(consumer_id::VALUE))))
}

impl Client {
    /// It listens, if that is its plan.
    pub(super) fn listen(&mut self, around: &mut Surroundings<'_>) {
        self.hearing = Hearing::default();
        if self.plan.listens {
            let info = protocol::open_consumer(&self.connection_id, LISTENER, &Address::topic(TOPICS), 32_767);
            self.ask(info, Asked::Listen, around);
        }
    }

    pub(super) fn is_listener(member: Member) -> bool {
        member == LISTENER
    }

    /// From here on it hears of all that come.
    pub(super) fn listens(&mut self, around: &Surroundings<'_>) {
        self.hearing.since = Some(around.announced.0.borrow().answered.len());
    }

    /// It is told of a consumer that has come or gone.
    pub(super) fn hear_of_consumer(&mut self, advisory: &Structure, around: &mut Surroundings<'_>) {
        self.hearing.unacknowledged += 1;
        if self.hearing.unacknowledged >= ACKNOWLEDGED && self.stage == Stage::Up {
            let count = std::mem::take(&mut self.hearing.unacknowledged) as i32;
            let id = protocol::consumer(&self.connection_id, LISTENER);
            let said = protocol::acknowledge(id, &Address::topic(TOPICS), 2, None, None, count);
            self.tell(said, around);
        }
        let about = advisory.object(message::DATA_STRUCTURE).expect("an advisory says what it is about").clone();
        if about.is(&remove_info::DEFINITION) {
            let name = about.object(remove_info::OBJECT_ID).and_then(|id| name_of(id)).expect("a consumer's id");
            self.say(around, || format!("hears that {name:?} has gone"));
            assert!(self.hearing.gone.insert(name.clone()), "client {}: {name:?} has gone twice", self.index);
            self.hearing.there.remove(&name);
            return;
        }
        assert!(about.is(&consumer_info::DEFINITION), "client {} hears of {about:?}", self.index);
        let name = about.object(consumer_info::CONSUMER_ID).and_then(|id| name_of(id)).expect("a consumer has an id");
        self.say(around, || format!("hears that {name:?} has come"));
        let announced = around.announced.0.borrow();
        let asked = announced.asked.get(&name).unwrap_or_else(|| panic!("{name:?} has never been asked for"));
        let is_so = asked.iter().any(|asked| facts(&about) == facts(asked));
        assert!(is_so, "client {} hears of {name:?} what is not so: {:?}", self.index, facts(&about));
        assert!(self.hearing.there.insert(name.clone()), "client {}: {name:?} has come twice", self.index);
        self.hearing.gone.remove(&name);
    }

    /// It has got a message: it has heard of all consumers whose clients had their answers when that was sent.
    pub(super) fn has_heard_before(&mut self, id: MessageId, around: &Surroundings<'_>) {
        let Some(since) = self.hearing.since else { return };
        let announced = around.announced.0.borrow();
        let until = announced.sent.get(&id).copied().unwrap_or(0);
        for name in announced.known(since, until) {
            let heard = self.hearing.there.contains(name) || self.hearing.gone.contains(name);
            assert!(heard, "R57: client {} has got {id} and not heard of {name:?}", self.index);
        }
        self.hearing.since = Some(since.max(until));
    }
}

/// What others are told as it was said.
fn facts(info: &Structure) -> (Address, [bool; 3], i8) {
    let address = protocol::address(info.object(consumer_info::DESTINATION).expect("a consumer has a destination"));
    let bits = [consumer_info::BROWSER, consumer_info::NO_LOCAL, consumer_info::EXCLUSIVE];
    (address, bits.map(|bit| info.bool(bit)), info.byte(consumer_info::PRIORITY))
}
