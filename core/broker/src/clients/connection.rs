//! Connections and what they have defined: producers, numbers for destinations.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::clients::branch::Joined;
use crate::clients::portrait::ProducerPortrait;
use crate::clients::transaction::Transaction;
use crate::clients::waiters::{Ranked, Waiters};
use crate::clients::window::SendWindow;
use crate::destinations::destination::Reference;
use crate::durable::duplicates::MarkReference;
use crate::messages::{BranchIndex, ConnectionIndex, ConsumerIndex, DestinationIndex};
use postrider_model::command::{OpenConnection, OpenProducer};
use postrider_model::event::Refused;
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, Handle, PortIndex, TransactionNumber};
use std::collections::{BTreeMap, BTreeSet};

/// What a port's handles mean.
#[derive(Default)]
pub(crate) struct Port {
    connections: Vec<Option<(u32, ConnectionIndex)>>,
    consumers: Vec<Option<(u32, ConsumerIndex)>>,
    /// Consumers that found the port's ring full.
    pub(super) blocked: Ranked<Waiters>,
    /// Topics that did.
    pub(super) blocked_topics: Vec<DestinationIndex>,
    /// Which look at the network has brought what it said last.
    pub(super) look: u32,
}

impl Port {
    fn set<T>(table: &mut Vec<Option<(u32, T)>>, handle: Handle, value: T) {
        let slot = handle.slot as usize;
        if table.len() <= slot {
            table.resize_with(slot + 1, || None);
        }
        table[slot] = Some((handle.generation, value));
    }

    /// The handle means nothing any more, unless its slot has been given out again.
    fn clear<T>(table: &mut [Option<(u32, T)>], handle: Handle) {
        if let Some(slot) = table.get_mut(handle.slot as usize)
            && slot.as_ref().is_some_and(|(generation, _)| *generation == handle.generation)
        {
            *slot = None;
        }
    }

    fn get<T: Copy>(table: &[Option<(u32, T)>], handle: Handle) -> Option<T> {
        let (generation, value) = table.get(handle.slot as usize).copied().flatten()?;
        (generation == handle.generation).then_some(value)
    }

    pub(crate) fn set_connection(&mut self, handle: ConnectionHandle, value: ConnectionIndex) {
        Port::set(&mut self.connections, handle, value);
    }

    pub(crate) fn clear_connection(&mut self, handle: ConnectionHandle) {
        Port::clear(&mut self.connections, handle);
    }

    pub(crate) fn set_consumer(&mut self, handle: ConsumerHandle, value: ConsumerIndex) {
        Port::set(&mut self.consumers, handle, value);
    }

    pub(super) fn consumer(&self, handle: ConsumerHandle) -> Option<ConsumerIndex> {
        Port::get(&self.consumers, handle)
    }

    pub(crate) fn clear_consumer(&mut self, handle: ConsumerHandle) {
        Port::clear(&mut self.consumers, handle);
    }

    /// A topic has found the port's ring full.
    pub(crate) fn block_topic(&mut self, topic: DestinationIndex) {
        self.blocked_topics.push(topic);
    }
}

/// A producer of a connection.
pub(crate) struct Producer {
    pub session: i64,
    pub value: i64,
    pub mark: Option<MarkReference>,
    /// What others are told of it.
    pub portrait: Option<Box<ProducerPortrait>>,
}

/// What a connection's number for a destination stands for.
pub(crate) struct Definition {
    pub names: Box<[Destination]>,
    pub parts: Vec<Reference>,
}

/// A connection.
pub(crate) struct Connection {
    pub handle: ConnectionHandle,
    pub port: PortIndex,
    pub id: Box<[u8]>,
    pub client_id: Box<[u8]>,
    pub peer: Box<str>,
    pub user: Option<Box<[u8]>>,
    pub marks: u16,
    /// Which of all happenings its coming was.
    pub happened: u64,
    /// The same for all connections with this id, never that of another.
    pub serial: u32,
    pub failover_reconnect: bool,
    pub(super) producers: Vec<Option<Producer>>,
    pub(super) definitions: Vec<Option<Definition>>,
    pub consumers: BTreeSet<ConsumerIndex>,
    pub(super) transactions: BTreeMap<TransactionNumber, Transaction>,
    /// Branches that it works in.
    pub(super) joined: BTreeMap<TransactionNumber, Joined>,
    /// Those that go with it.
    pub(super) branches: BTreeSet<BranchIndex>,
    pub temporaries: BTreeSet<DestinationIndex>,
    /// Bytes that its consumers take with the destinations that their patterns fit.
    pub pair_bytes: u64,
    /// Bytes that a destination takes which all their patterns fit.
    pub most_pairs: u64,
    pub(super) window: SendWindow,
    /// Consumers that found the send window closed.
    pub(super) blocked: Ranked<Waiters>,
    /// It is listed among those whose window is open again.
    pub(super) opened: Ranked<bool>,
    /// Bytes of commands that are settled, and what the shard knows of them.
    pub(super) settled: u64,
    pub(super) settled_reported: u64,
    /// It is among those that have parked something.
    pub(super) is_parking: bool,
    /// It is not read because of a queue to which it sends.
    is_held_back: bool,
    /// It has ended, and goes in slices: it takes nothing any more, and nobody finds it.
    pub(super) leaving: bool,
}

impl Connection {
    pub(crate) fn new(port: PortIndex, open: &OpenConnection, serial: u32, window: SendWindow) -> Connection {
        Connection {
            handle: open.connection,
            port,
            id: open.id.clone(),
            client_id: open.client_id.clone(),
            peer: open.peer.clone(),
            user: open.user.clone(),
            marks: open.marks,
            happened: 0,
            serial,
            failover_reconnect: open.failover_reconnect,
            producers: Vec::new(),
            definitions: Vec::new(),
            consumers: BTreeSet::new(),
            transactions: BTreeMap::new(),
            joined: BTreeMap::new(),
            branches: BTreeSet::new(),
            temporaries: BTreeSet::new(),
            pair_bytes: 0,
            most_pairs: 0,
            window,
            blocked: Ranked::default(),
            opened: Ranked::default(),
            settled: 0,
            settled_reported: 0,
            is_parking: false,
            is_held_back: false,
            leaving: false,
        }
    }

    /// Whether it has ended: it takes nothing any more, and nobody finds it.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    #[inline]
    pub(crate) fn producer(&self, number: u32) -> Option<&Producer> {
        self.producers.get(number as usize)?.as_ref()
    }

    /// The mark of a producer: whose it is, and where it is noted.
    #[inline]
    pub(crate) fn mark(&mut self, producer: u32) -> Option<Marked<'_>> {
        let producer = self.producers.get_mut(producer as usize)?.as_mut()?;
        Some((&self.id, (producer.session, producer.value), &mut producer.mark))
    }

    /// A producer comes. The one that had its number.
    pub(crate) fn add_producer(
        &mut self,
        open: &OpenProducer,
        portrait: Option<Box<ProducerPortrait>>,
    ) -> Option<Producer> {
        let number = open.producer as usize;
        if self.producers.len() <= number {
            self.producers.resize_with(number + 1, || None);
        }
        self.producers[number].replace(Producer { session: open.session, value: open.value, mark: None, portrait })
    }

    pub(crate) fn remove_producer(&mut self, number: u32) -> Option<Producer> {
        self.producers.get_mut(number as usize)?.take()
    }

    /// Producers, consumers and temporary destinations, or a few more.
    pub(crate) fn members(&self) -> usize {
        self.producers.len() + self.consumers.len() + self.temporaries.len()
    }

    /// What others were told of a producer that goes.
    pub(crate) fn take_portrait(&mut self, number: u32) -> Option<Box<ProducerPortrait>> {
        self.producers.get_mut(number as usize)?.as_mut()?.portrait.take()
    }

    /// The number of its last producer.
    pub(crate) fn last_producer(&self) -> Option<u32> {
        u32::try_from(self.producers.len()).ok()?.checked_sub(1)
    }

    /// It goes, and the last of its producers' numbers with it.
    pub(crate) fn pop_producer(&mut self) -> Option<Option<Producer>> {
        self.producers.pop()
    }

    /// What its number for a destination stands for.
    #[inline]
    pub(crate) fn definition(&self, number: u32) -> Option<&Definition> {
        self.definitions.get(number as usize)?.as_ref()
    }

    /// The places of what a number stands for were found.
    pub(crate) fn note_parts(&mut self, number: u32, parts: Vec<Reference>) {
        if let Some(Some(definition)) = self.definitions.get_mut(number as usize) {
            definition.parts = parts;
        }
    }

    /// A number stands for these from here on. At 0 the shard gives its numbers out anew, and nothing refers to the old ones any more: how
    /// many those are.
    pub(crate) fn define(&mut self, number: u32, destinations: &[Destination]) -> usize {
        let dropped = if number == 0 { self.definitions.drain(..).len() } else { 0 };
        let number = number as usize;
        if self.definitions.len() <= number {
            self.definitions.resize_with(number + 1, || None);
        }
        self.definitions[number] = Some(Definition { names: destinations.into(), parts: Vec::new() });
        dropped
    }

    /// It goes, and the last of its numbers with it.
    pub(crate) fn pop_definition(&mut self) -> Option<Option<Definition>> {
        self.definitions.pop()
    }

    /// Commands of so many bytes are settled.
    #[inline]
    pub(crate) fn settle(&mut self, bytes: u64) {
        self.settled += bytes;
    }

    /// Bytes that are settled, and of which its shard does not know.
    pub(crate) fn unreported(&self) -> u64 {
        self.settled - self.settled_reported
    }

    /// Its shard is told how many bytes are settled: so many.
    pub(crate) fn report(&mut self) -> u64 {
        self.settled_reported = self.settled;
        self.settled
    }

    /// Whether it is among those that have parked something.
    #[inline]
    pub(crate) fn is_parking(&self) -> bool {
        self.is_parking
    }

    /// It parks something. True: it had not.
    pub(crate) fn begin_parking(&mut self) -> bool {
        !std::mem::replace(&mut self.is_parking, true)
    }

    /// It is not to be read because of a queue to which it sends. False: it is not read already.
    pub(crate) fn hold_back(&mut self) -> bool {
        !std::mem::replace(&mut self.is_held_back, true)
    }

    /// It is read again. False: it was all the time.
    pub(crate) fn go_on(&mut self) -> bool {
        std::mem::take(&mut self.is_held_back)
    }

    /// All is done with that it had parked. Whether it had.
    pub(crate) fn end_parking(&mut self) -> bool {
        std::mem::take(&mut self.is_parking)
    }
}

/// A producer's mark: the id of its connection, its session and value, and where the mark is noted.
type Marked<'a> = (&'a [u8], (i64, i64), &'a mut Option<MarkReference>);

/// A producer that does not come into being.
pub(crate) fn refused_producer(open: &OpenProducer) -> Refused {
    Refused::Producer { session: open.session, value: open.value, token: open.request.token() }
}

impl Broker {
    /// Makes a port known, before its first command.
    pub fn attach(&mut self, port: PortIndex) {
        let index = usize::from(port.0);
        if self.clients.ports.len() <= index {
            self.clients.ports.resize_with(index + 1, Port::default);
        }
    }

    /// The connection that the handle means; a late use of an old handle means none (R16).
    pub(crate) fn connection(&mut self, port: PortIndex, handle: ConnectionHandle) -> Option<ConnectionIndex> {
        let found = self.peek_connection(port, handle);
        self.statistics.stale_commands += u64::from(found.is_none());
        found
    }

    pub(crate) fn peek_connection(&self, port: PortIndex, handle: ConnectionHandle) -> Option<ConnectionIndex> {
        self.clients.ports.get(usize::from(port.0)).and_then(|port| Port::get(&port.connections, handle))
    }

    /// The consumer that the handle means, if it belongs to this connection.
    pub(crate) fn consumer_of(
        &self,
        port: PortIndex,
        connection: ConnectionIndex,
        handle: ConsumerHandle,
    ) -> Option<ConsumerIndex> {
        let found = self.clients.ports.get(usize::from(port.0)).and_then(|port| Port::get(&port.consumers, handle))?;
        (self.clients.consumers[found.0].connection == connection).then_some(found)
    }
}
