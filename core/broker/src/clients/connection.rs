//! Connections and what they have defined: producers, numbers for destinations.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

mod leaving;

pub(crate) use self::leaving::Leaving;
use crate::broker::Broker;
use crate::clients::waiters::{Ranked, Waiters};
use crate::clients::window::SendWindow;
use crate::destinations::destination::{Reference, Refusal};
use crate::durable::duplicates::MarkReference;
use crate::intake::admission::Named;
use crate::intake::lines::Place;
use crate::intake::parking::Parked;
use crate::log::Log;
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use crate::step::Step;
use postrider_model::command::{LastDelivered, OpenConnection, OpenProducer, Request};
use postrider_model::event::{Failure, Refused};
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, Event, Handle, PortIndex};
use std::collections::{BTreeSet, VecDeque};

/// What a port's handles mean.
#[derive(Default)]
pub(crate) struct Port {
    connections: Vec<Option<(u32, ConnectionIndex)>>,
    consumers: Vec<Option<(u32, ConsumerIndex)>>,
    /// Consumers that found the port's ring full.
    pub blocked: Ranked<Waiters>,
    /// Topics that did.
    pub blocked_topics: Vec<DestinationIndex>,
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

    pub fn set_consumer(&mut self, handle: ConsumerHandle, value: ConsumerIndex) {
        Port::set(&mut self.consumers, handle, value);
    }

    pub fn clear_consumer(&mut self, handle: ConsumerHandle) {
        Port::clear(&mut self.consumers, handle);
    }
}

/// A producer of a connection.
pub(crate) struct Producer {
    pub session: i64,
    pub value: i64,
    pub mark: Option<MarkReference>,
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
    /// The same for all connections with this id, never that of another.
    pub serial: u32,
    pub failover_reconnect: bool,
    pub producers: Vec<Option<Producer>>,
    pub definitions: Vec<Option<Definition>>,
    pub consumers: BTreeSet<ConsumerIndex>,
    pub temporaries: BTreeSet<DestinationIndex>,
    /// Bytes that its consumers take with the destinations that their patterns fit.
    pub pair_bytes: u64,
    /// Bytes that a destination takes which all their patterns fit.
    pub most_pairs: u64,
    pub window: SendWindow,
    /// Consumers that found the send window closed.
    pub blocked: Ranked<Waiters>,
    /// It is listed among those whose window is open again.
    pub opened: Ranked<bool>,
    /// Sends for which there was no room, and what waits behind them.
    pub parked: VecDeque<Parked>,
    /// Bytes of commands that are settled, and what the shard knows of them.
    pub settled: u64,
    pub settled_reported: u64,
    /// It is among those that have parked something.
    pub is_parking: bool,
    /// Where it stands in the line of those, unless what it has parked goes on just then.
    pub place: Option<Place>,
    /// It has ended, and goes in slices: it takes nothing any more, and nobody finds it.
    pub leaving: bool,
}

/// Definitions that are dropped in the time of a step.
const DROPPED_A_STEP: usize = 4;

/// A producer that does not come into being.
pub(crate) fn refused_producer(open: &OpenProducer) -> Refused {
    Refused::Producer { session: open.session, value: open.value, token: open.request.token() }
}

impl Broker {
    /// The connection that the handle means; a late use of an old handle means none (R16).
    pub(crate) fn connection(&mut self, port: PortIndex, handle: ConnectionHandle) -> Option<ConnectionIndex> {
        let found = self.peek_connection(port, handle);
        self.statistics.stale_commands += u64::from(found.is_none());
        found
    }

    pub(crate) fn peek_connection(&self, port: PortIndex, handle: ConnectionHandle) -> Option<ConnectionIndex> {
        self.ports.get(usize::from(port.0)).and_then(|port| Port::get(&port.connections, handle))
    }

    /// The consumer that the handle means, if it belongs to this connection.
    pub(crate) fn consumer_of(
        &self,
        port: PortIndex,
        connection: ConnectionIndex,
        handle: ConsumerHandle,
    ) -> Option<ConsumerIndex> {
        let found = self.ports.get(usize::from(port.0)).and_then(|port| Port::get(&port.consumers, handle))?;
        (self.consumers[found.0].connection == connection).then_some(found)
    }

    pub(crate) fn open_connection<L: Log>(&mut self, port: PortIndex, open: &OpenConnection, step: &mut Step<'_, L>) {
        self.attach(port);
        if let Some(left) = self.peek_connection(port, open.connection) {
            // It has taken its leave and does not wait for what is parked.
            self.end_connection(left, (LastDelivered::Unknown, true), None, step);
        }
        let old = self.names.by_id.get(&open.id).copied();
        let serial = old.map(|old| self.connections[old.0].serial);
        if let Some(old) = old {
            self.take_over(old, step);
        }
        if let Err((failure, message)) = self.check_client_id(open) {
            let token = open.request.answer();
            let failed = Event::Failed { connection: open.connection, token, failure, message, refused: None };
            step.out.reply(port, failed);
            return;
        }
        let index = self.add_connection(port, open, serial);
        let slots = &mut self.ports[usize::from(port.0)].connections;
        Port::set(slots, open.connection, index);
        let token = open.request.token();
        step.out.reply(port, Event::Opened { connection: open.connection, token });
    }

    fn add_connection(&mut self, port: PortIndex, open: &OpenConnection, serial: Option<u32>) -> ConnectionIndex {
        let serial = serial.unwrap_or_else(|| {
            self.names.serial += 1;
            self.names.serial
        });
        let connection = Connection {
            handle: open.connection,
            port,
            id: open.id.clone(),
            client_id: open.client_id.clone(),
            peer: open.peer.clone(),
            serial,
            failover_reconnect: open.failover_reconnect,
            producers: Vec::new(),
            definitions: Vec::new(),
            consumers: BTreeSet::new(),
            temporaries: BTreeSet::new(),
            pair_bytes: 0,
            most_pairs: 0,
            window: SendWindow::new(self.config.send_window),
            blocked: Ranked::default(),
            opened: Ranked::default(),
            parked: VecDeque::new(),
            settled: 0,
            settled_reported: 0,
            is_parking: false,
            place: None,
            leaving: false,
        };
        let index = ConnectionIndex(self.connections.insert(connection));
        self.names.by_id.insert(open.id.clone(), index);
        self.names.by_client_id.insert(open.client_id.clone(), index);
        index
    }

    /// The same client has come back: its old connection ends, and what it still says is not heard (R16).
    fn take_over<L: Log>(&mut self, old: ConnectionIndex, step: &mut Step<'_, L>) {
        let (port, handle) = (self.connections[old.0].port, self.connections[old.0].handle);
        self.end_connection(old, (LastDelivered::Unknown, false), None, step);
        step.out.reply(port, Event::Close { connection: handle, reason: "its client has connected again" });
        if planted("stale-generation") {
            Port::set(&mut self.ports[usize::from(port.0)].connections, handle, old);
        }
    }

    fn check_client_id(&self, open: &OpenConnection) -> Result<(), Refusal> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if open.client_id.is_empty() {
            return Err((Failure::InvalidClientId, "No clientID specified for connection request".into()));
        }
        let Some(other) = self.names.by_client_id.get(&open.client_id) else { return Ok(()) };
        let (broker, client) = (&self.config.broker_name, text(&open.client_id));
        let peer = &self.connections[other.0].peer;
        let message = format!("Broker: {broker} - Client: {client} already connected from {peer}");
        Err((Failure::InvalidClientId, message.into()))
    }

    pub(crate) fn define_destination(
        &mut self,
        port: PortIndex,
        handle: ConnectionHandle,
        number: u32,
        destinations: &[Destination],
    ) {
        let Some(index) = self.connection(port, handle) else { return };
        let definitions = &mut self.connections[index.0].definitions;
        let number = number as usize;
        if number == 0 {
            // The shard gives its numbers out anew: nothing refers to the old ones any more.
            self.work.spend(definitions.len() / DROPPED_A_STEP);
            definitions.clear();
        }
        if definitions.len() <= number {
            definitions.resize_with(number + 1, || None);
        }
        definitions[number] = Some(Definition { names: destinations.into(), parts: Vec::new() });
    }

    pub(crate) fn open_producer<L: Log>(&mut self, port: PortIndex, open: &OpenProducer, step: &mut Step<'_, L>) {
        let Some(index) = self.connection(port, open.connection) else { return };
        for destination in open.destinations.iter().filter(|destination| !destination.kind.is_temporary()) {
            if let Err((failure, message)) = self.resolve(destination, Named::ToSend, step) {
                let token = open.request.answer();
                let refused = Some(Box::new(refused_producer(open)));
                let failed = Event::Failed { connection: open.connection, token, failure, message, refused };
                return step.out.reply(port, failed);
            }
        }
        let producers = &mut self.connections[index.0].producers;
        let number = open.producer as usize;
        if producers.len() <= number {
            producers.resize_with(number + 1, || None);
        }
        let old = producers[number].replace(Producer { session: open.session, value: open.value, mark: None });
        if let Some(old) = old {
            self.release_mark(&old, step.now);
        }
        self.known_mark(index, open.producer);
        self.reply(port, open.connection, open.request, step);
    }

    pub(crate) fn close_producer<L: Log>(
        &mut self,
        port: PortIndex,
        handle: ConnectionHandle,
        producer: u32,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        let Some(index) = self.connection(port, handle) else { return };
        let slot = self.connections[index.0].producers.get_mut(producer as usize);
        if let Some(producer) = slot.and_then(Option::take) {
            self.retire_mark(&producer, step.now);
        }
        self.reply(port, handle, request, step);
    }

    /// The answer that all is well, if one is wanted.
    pub(crate) fn reply<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        if request.is_wanted() {
            step.out.reply(port, Event::Reply { connection, token: request.token() });
        }
    }

    /// The answer that it did not work; unasked if none was wanted.
    pub(crate) fn refuse<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        request: Request,
        (failure, message): Refusal,
        step: &mut Step<'_, L>,
    ) {
        let token = request.answer();
        step.out.reply(port, Event::Failed { connection, token, failure, message, refused: None });
    }
}
