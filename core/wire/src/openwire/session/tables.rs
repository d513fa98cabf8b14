//! What a connection has opened, and what its cached ids stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use postrider_model::command::Publish;
use postrider_model::{ConsumerHandle, Destination, DestinationKind, Token, limits};

use super::error::Refusal;
use super::transaction::Transactions;
use crate::openwire::ReaderCache;
use crate::openwire::hot::dispatch::ConsumerName;
use crate::openwire::hot::input::TransactionName;
use crate::openwire::hot::rare;
use crate::session::{DestinationName, ProducerName};

/// Sessions, producers, and consumers that one connection may have, each.
pub(super) const MEMBERS: usize = 65_536;

/// Bytes of the names of the destinations that a connection has defined.
const DESTINATION_BYTES: usize = 1024 * 1024;

/// The session that every connection has: of its advisory consumer, and of connection consumers.
const OWN_SESSION: i64 = -1;

/// An id within its connection: session, then value.
pub(super) type MemberId = (i64, i64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Producer {
    pub number: u32,
    /// It waits for credit after its asynchronous sends.
    pub windowed: bool,
}

impl Producer {
    /// Of a message whose producer is not one of the connection's.
    pub(super) const NONE: Producer = Producer { number: Publish::NO_PRODUCER, windowed: false };
}

/// A producer that the connection has opened.
pub(super) struct OpenedProducer {
    pub producer: Producer,
    /// Of the command that opened it.
    token: Token,
    /// What it counts in the connection's memory.
    pub bytes: u64,
}

/// What a value in the reader's cache stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    Unknown,
    Producer(Producer),
    Destination(u32),
    Consumer(Option<ConsumerHandle>),
    /// A transaction of this connection, by the value of its id.
    Transaction(i64),
}

/// One accepted connection's members.
pub(super) struct Tables {
    /// The connection's id.
    pub id: Rc<[u8]>,
    pub sessions: BTreeSet<i64>,
    pub producers: BTreeMap<MemberId, OpenedProducer>,
    pub consumers: BTreeMap<MemberId, ConsumerHandle>,
    pub transactions: Transactions,
    /// Producer numbers that were ever given out.
    numbers: u32,
    free_numbers: Vec<u32>,
    destinations: HashMap<Destination, u32, FixedState>,
    /// Bytes of their names.
    destination_bytes: usize,
    /// What they count in the connection's memory.
    defined: u64,
    meanings: Vec<Meaning>,
    /// Tag of cache slots whose meaning is still true. A slot that gets another value loses its tag.
    generation: u32,
}

#[derive(Hash)]
struct DestinationKey<'a>(DestinationKind, &'a [u8]);

impl Equivalent<Destination> for DestinationKey<'_> {
    fn equivalent(&self, key: &Destination) -> bool {
        self.0 == key.kind && *self.1 == *key.name
    }
}

impl Tables {
    pub(super) fn new(id: &[u8], hash_seed: u64, generation: u32) -> Tables {
        Tables {
            id: id.into(),
            sessions: BTreeSet::from([OWN_SESSION]),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            transactions: Transactions::default(),
            numbers: 0,
            free_numbers: Vec::new(),
            destinations: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            destination_bytes: 0,
            defined: 0,
            meanings: Vec::new(),
            generation,
        }
    }

    /// A tag that no slot has yet.
    pub(super) fn next_generation(&self) -> u32 {
        self.generation.wrapping_add(1).max(1)
    }

    pub(super) fn add_producer(
        &mut self,
        member: MemberId,
        windowed: bool,
        (token, bytes): (Token, u64),
    ) -> Result<Producer, Refusal> {
        if self.producers.len() >= MEMBERS {
            return Err(Refusal::too_many("producers", MEMBERS));
        }
        let number = self.free_numbers.pop().unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers - 1
        });
        let producer = Producer { number, windowed };
        self.producers.insert(member, OpenedProducer { producer, token, bytes });
        self.forget_meanings();
        Ok(producer)
    }

    pub(super) fn remove_producer(&mut self, member: MemberId) -> Option<OpenedProducer> {
        let opened = self.producers.remove(&member)?;
        self.free_numbers.push(opened.producer.number);
        self.forget_meanings();
        Some(opened)
    }

    /// The producer that this command was to open does not exist. It, if it was here.
    pub(super) fn forget_producer(&mut self, member: MemberId, token: Token) -> Option<OpenedProducer> {
        self.producers.get(&member).filter(|opened| opened.token == token)?;
        self.remove_producer(member)
    }

    /// True: it was there, and is one that its client has opened.
    pub(super) fn remove_session(&mut self, session: i64) -> bool {
        session != OWN_SESSION && self.sessions.remove(&session)
    }

    pub(super) fn add_consumer(&mut self, member: MemberId, consumer: ConsumerHandle) {
        self.consumers.insert(member, consumer);
        self.forget_meanings();
    }

    pub(super) fn remove_consumer(&mut self, member: MemberId) -> Option<ConsumerHandle> {
        let consumer = self.consumers.remove(&member)?;
        self.forget_meanings();
        Some(consumer)
    }

    /// The number of a destination, if it has one.
    pub(super) fn destination_number(&self, name: DestinationName<'_>) -> Option<u32> {
        self.destinations.get(&DestinationKey(name.0, name.1)).copied()
    }

    /// Whether all numbers of destinations are given out, or their names take too much: they are to be given out anew.
    pub(super) fn is_full_of_destinations(&self) -> bool {
        self.destinations.len() >= limits::CONNECTION_DESTINATIONS as usize
            || self.destination_bytes >= DESTINATION_BYTES
    }

    /// Numbers of destinations are given out anew, from 0 on. What they counted in the connection's memory.
    pub(super) fn forget_destinations(&mut self) -> u64 {
        self.destinations.clear();
        self.destination_bytes = 0;
        self.forget_meanings();
        std::mem::take(&mut self.defined)
    }

    /// Gives a destination the next number; it counts so much in the connection's memory.
    #[expect(clippy::cast_possible_truncation, reason = "there are at most `CONNECTION_DESTINATIONS`")]
    pub(super) fn add_destination(&mut self, name: DestinationName<'_>, bytes: u64) -> u32 {
        self.destination_bytes += name.1.len();
        self.defined += bytes;
        let number = self.destinations.len() as u32;
        self.destinations.insert(Destination::new(name.0, name.1), number);
        number
    }

    /// The producer of an id.
    pub(super) fn producer(&self, name: ProducerName<'_>) -> Producer {
        let producer = self.producers.get(&(name.session, name.value)).filter(|_| *name.connection == *self.id);
        producer.map_or(Producer::NONE, |opened| opened.producer)
    }

    /// The consumer of an id.
    pub(super) fn consumer(&self, name: ConsumerName<'_>) -> Option<ConsumerHandle> {
        let consumer = self.consumers.get(&(name.session, name.value)).filter(|_| *name.connection == *self.id);
        consumer.copied()
    }

    /// The producer whose id is at this index of the cache; None if something else is there.
    #[inline]
    pub(super) fn cached_producer(&mut self, cache: &mut ReaderCache, index: i16) -> Option<Producer> {
        if let Meaning::Producer(producer) = self.meaning(cache, index) {
            return Some(producer);
        }
        let producer = self.producer(rare::producer_name(cache.get(index).ok()??)?);
        self.note(cache, index, Meaning::Producer(producer));
        Some(producer)
    }

    /// The consumer whose id is at this index of the cache; None outside if something else is there.
    #[inline]
    pub(super) fn cached_consumer(&mut self, cache: &mut ReaderCache, index: i16) -> Option<Option<ConsumerHandle>> {
        if let Meaning::Consumer(consumer) = self.meaning(cache, index) {
            return Some(consumer);
        }
        let consumer = self.consumer(rare::consumer_name(cache.get(index).ok()??)?);
        self.note(cache, index, Meaning::Consumer(consumer));
        Some(consumer)
    }

    /// The value of the id of this connection's transaction that is at this index of the cache; None if something else is there.
    #[inline]
    pub(super) fn cached_transaction(&mut self, cache: &mut ReaderCache, index: i16) -> Option<i64> {
        if let Meaning::Transaction(value) = self.meaning(cache, index) {
            return Some(value);
        }
        let TransactionName::Local { connection, value } = rare::transaction_name(cache.get(index).ok()??)? else {
            return None;
        };
        (*connection == *self.id).then_some(())?;
        self.note(cache, index, Meaning::Transaction(value));
        Some(value)
    }

    /// The number of the destination at this index of the cache, if it is known.
    #[inline]
    pub(super) fn cached_destination(&self, cache: &ReaderCache, index: i16) -> Option<u32> {
        match self.meaning(cache, index) {
            Meaning::Destination(number) => Some(number),
            _ => None,
        }
    }

    /// Notes the number of the destination at this index of the cache.
    pub(super) fn note_destination(&mut self, cache: &mut ReaderCache, index: i16, number: u32) {
        self.note(cache, index, Meaning::Destination(number));
    }

    #[inline]
    fn meaning(&self, cache: &ReaderCache, index: i16) -> Meaning {
        let meaning = usize::try_from(index).ok().and_then(|position| self.meanings.get(position));
        match meaning {
            Some(meaning) if cache.tag(index) == Ok(self.generation) => *meaning,
            _ => Meaning::Unknown,
        }
    }

    fn note(&mut self, cache: &mut ReaderCache, index: i16, meaning: Meaning) {
        if cache.set_tag(index, self.generation).is_ok() {
            let Ok(position) = usize::try_from(index) else { return };
            if self.meanings.len() <= position {
                self.meanings.resize(position + 1, Meaning::Unknown);
            }
            if let Some(known) = self.meanings.get_mut(position) {
                *known = meaning;
            }
        }
    }

    /// What ids stand for has changed.
    fn forget_meanings(&mut self) {
        self.generation = self.next_generation();
    }
}
