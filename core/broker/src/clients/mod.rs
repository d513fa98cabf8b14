//! Connections and consumers: what they have, what they take, and whom of them what is short wakes.

pub(crate) mod branch;
pub(crate) mod browser;
pub(crate) mod connection;
pub(crate) mod consumer;
pub(crate) mod credit;
pub(crate) mod filters;
pub(crate) mod grant;
pub(crate) mod in_flight;
pub(crate) mod members;
pub(crate) mod memberships;
pub(crate) mod names;
pub(crate) mod patterns;
pub(crate) mod portrait;
pub(crate) mod replay;
pub(crate) mod replies;
pub(crate) mod transaction;
pub(crate) mod waiters;
pub(crate) mod window;

use self::branch::Branches;
use self::connection::{Connection, Port};
use self::consumer::{Consumer, ConsumerKind, InFlight};
use self::filters::Filters;
use self::names::Names;
use self::waiters::{Rank, Ranked, Waiters};
use crate::clients::window::SendWindow;
use crate::kit::slab::Slab;
use crate::messages::{ConnectionIndex, ConsumerIndex};
use crate::selector::Selector;
use foldhash::fast::FixedState;
use postrider_model::command::OpenConsumer;
use postrider_model::event::Recipient;
use postrider_model::{ConnectionHandle, PortIndex, Sequence};
use std::collections::{BTreeMap, VecDeque};

/// Who is there, and who waits for what.
pub(crate) struct Clients {
    ports: Vec<Port>,
    connections: Slab<Connection>,
    names: Names,
    /// Which happenings the coming of connections was that are on their way out, by their ids.
    leaving: BTreeMap<Box<[u8]>, Vec<u64>>,
    consumers: Slab<Consumer>,
    filters: Filters,
    pub branches: Branches,
    /// Consumers that can take again what destinations hold for them.
    hungry: Ranked<Waiters>,
    /// Connections whose send window is open again, with consumers that wait for it.
    opened: Ranked<VecDeque<ConnectionIndex>>,
    /// Consumers that wait for cold bytes.
    cold: Waiters,
}

#[expect(clippy::indexing_slicing, reason = "numbers in the broker's own tables: one that is not there is our mistake")]
impl Clients {
    pub(crate) fn new(hasher: &FixedState) -> Clients {
        Clients {
            ports: Vec::new(),
            connections: Slab::default(),
            names: Names::new(hasher),
            leaving: BTreeMap::new(),
            consumers: Slab::default(),
            filters: Filters::new(hasher),
            branches: Branches::default(),
            hungry: Ranked::default(),
            opened: Ranked::default(),
            cold: Waiters::default(),
        }
    }

    /// What consumers want.
    pub(crate) fn filters(&self) -> &Filters {
        &self.filters
    }

    /// How many connections and consumers there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.connections.len(), self.consumers.len())
    }

    #[inline]
    pub(crate) fn connection(&self, index: ConnectionIndex) -> &Connection {
        &self.connections[index.0]
    }

    #[inline]
    pub(crate) fn connection_mut(&mut self, index: ConnectionIndex) -> &mut Connection {
        &mut self.connections[index.0]
    }

    /// The connection, if the number is taken.
    #[inline]
    pub(crate) fn try_connection(&self, index: ConnectionIndex) -> Option<&Connection> {
        self.connections.get(index.0)
    }

    #[inline]
    pub(crate) fn try_connection_mut(&mut self, index: ConnectionIndex) -> Option<&mut Connection> {
        self.connections.get_mut(index.0)
    }

    #[inline]
    pub(crate) fn consumer(&self, index: ConsumerIndex) -> &Consumer {
        &self.consumers[index.0]
    }

    #[inline]
    pub(crate) fn consumer_mut(&mut self, index: ConsumerIndex) -> &mut Consumer {
        &mut self.consumers[index.0]
    }

    /// The consumer, if the number is taken.
    #[inline]
    pub(crate) fn try_consumer(&self, index: ConsumerIndex) -> Option<&Consumer> {
        self.consumers.get(index.0)
    }

    #[inline]
    pub(crate) fn try_consumer_mut(&mut self, index: ConsumerIndex) -> Option<&mut Consumer> {
        self.consumers.get_mut(index.0)
    }

    /// The first consumer with this number or a higher one, and the same of connections.
    pub(crate) fn next_consumer_from(&self, from: u32) -> Option<ConsumerIndex> {
        self.consumers.next_taken(from).map(ConsumerIndex)
    }

    pub(crate) fn next_connection_from(&self, from: u32) -> Option<ConnectionIndex> {
        self.connections.next_taken(from).map(ConnectionIndex)
    }

    /// The connection of a consumer.
    #[inline]
    pub(crate) fn owner_of(&self, consumer: &Consumer) -> &Connection {
        &self.connections[consumer.connection.0]
    }

    #[inline]
    pub(crate) fn port_mut(&mut self, port: PortIndex) -> &mut Port {
        &mut self.ports[usize::from(port.0)]
    }

    #[inline]
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    #[inline]
    pub(crate) fn names_mut(&mut self) -> &mut Names {
        &mut self.names
    }

    /// A connection comes: it is found by its handle and its names.
    pub(crate) fn add_connection(&mut self, connection: Connection) -> ConnectionIndex {
        let (port, handle) = (connection.port, connection.handle);
        let (id, client_id) = (connection.id.clone(), connection.client_id.clone());
        let index = ConnectionIndex(self.connections.insert(connection));
        self.names.by_id.insert(id, index);
        self.names.by_client_id.insert(client_id, index);
        self.port_mut(port).set_connection(handle, index);
        index
    }

    /// Nobody finds a connection any more, and nothing goes to it. Its port, its handle and its id, which it keeps: what tells of its
    /// temporary destinations names it, and comes later.
    pub(crate) fn hide_connection(&mut self, index: ConnectionIndex) -> (PortIndex, ConnectionHandle, Box<[u8]>) {
        let connection = &mut self.connections[index.0];
        (connection.leaving, connection.window) = (true, SendWindow::shut());
        let (port, handle, id) = (connection.port, connection.handle, connection.id.clone());
        self.leaving.entry(id.clone()).or_default().push(connection.happened);
        self.names.by_id.remove(&id);
        self.names.by_client_id.remove(&connection.client_id);
        self.port_mut(port).clear_connection(handle);
        (port, handle, id)
    }

    /// A connection has gone.
    pub(crate) fn remove_connection(&mut self, index: ConnectionIndex) {
        let connection = self.connections.remove(index.0);
        if let Some(leaving) = self.leaving.get_mut(&connection.id) {
            leaving.retain(|happened| *happened != connection.happened);
            if leaving.is_empty() {
                self.leaving.remove(&connection.id);
            }
        }
    }

    /// Whether a connection of the same client is on its way out still that came before this one, whoever has seen its end.
    pub(crate) fn has_predecessors(&self, connection: &Connection) -> bool {
        let leaving = self.leaving.get(&connection.id);
        leaving.is_some_and(|leaving| leaving.iter().any(|happened| *happened < connection.happened))
    }

    /// A consumer comes: it is found by its handle, and among those of its connection.
    pub(crate) fn add_consumer(
        &mut self,
        port: PortIndex,
        owner: ConnectionIndex,
        open: &OpenConsumer,
        (kind, selector): (ConsumerKind, Option<Selector>),
    ) -> ConsumerIndex {
        let serial = self.names.next_consumer();
        let connection = &mut self.connections[owner.0];
        let filter = self.filters.take(selector, connection.serial, if open.no_local { connection.serial } else { 0 });
        let consumer = Consumer::new(port, (owner, connection), open, (kind, filter), serial);
        let index = ConsumerIndex(self.consumers.insert(consumer));
        connection.consumers.insert(index);
        self.port_mut(port).set_consumer(open.consumer, index);
        index
    }

    /// A consumer has gone.
    pub(crate) fn remove_consumer(&mut self, index: ConsumerIndex) -> Consumer {
        let consumer = self.consumers.remove(index.0);
        consumer.predicate().inspect(|filter| self.filters.release(filter));
        consumer
    }

    /// What a port says now has come with this look at the network.
    pub(crate) fn note_look(&mut self, port: PortIndex, look: u32) {
        self.port_mut(port).look = look;
    }

    /// A queue's message has gone to a consumer.
    #[inline]
    pub(crate) fn hold(&mut self, index: ConsumerIndex, entry: InFlight, nanos: u64) {
        let consumer = &mut self.consumers[index.0];
        consumer.hold(entry);
        consumer.probe(entry.sequence, self.ports[usize::from(consumer.port.0)].look, nanos);
    }

    /// A consumer acknowledges from one sequence to another. True: it has hardly done anything but wait for the broker.
    #[inline]
    pub(crate) fn answers_at_once(
        &mut self,
        index: ConsumerIndex,
        (first, last): (Sequence, Sequence),
        nanos: u64,
    ) -> bool {
        let consumer = &mut self.consumers[index.0];
        consumer.answers_at_once(first, last, self.ports[usize::from(consumer.port.0)].look, nanos)
    }

    /// A message of this length has gone to a consumer: who that is.
    #[inline]
    pub(crate) fn count_sent(&mut self, index: ConsumerIndex, length: u32, nanos: u64) -> Recipient {
        let consumer = &mut self.consumers[index.0];
        consumer.grant = None;
        consumer.served = true;
        let connection = &mut self.connections[consumer.connection.0];
        connection.window.take(length, nanos);
        Recipient { consumer: consumer.handle, connection: connection.handle }
    }

    /// The next consumer that can take again; none in it: it is gone.
    #[inline]
    pub(crate) fn next_hungry(&mut self, rank: Rank) -> Option<(ConsumerIndex, Option<&mut Consumer>)> {
        let (index, mut known) = self.hungry.of(rank).next(&mut self.consumers)?;
        if let Some(known) = &mut known {
            known.hungry = false;
        }
        Some((index, known))
    }

    /// Whether a consumer can take again.
    pub(crate) fn has_hungry(&self) -> bool {
        self.hungry.len() > 0
    }

    /// Whether a browser can take again, or may find that it can.
    pub(crate) fn has_browsers_to_serve(&self) -> bool {
        let waits = |port: &Port| !port.blocked.browsers.is_empty();
        !self.hungry.browsers.is_empty() || !self.opened.browsers.is_empty() || self.ports.iter().any(waits)
    }

    /// Goes out of those that wait, who are looked through now and then. How many of them were looked at.
    pub(crate) fn leave_waiting(&mut self, consumer: &Consumer) -> usize {
        let consumers = &self.consumers;
        let staying = |index: ConsumerIndex| {
            consumers.get(index.0).filter(|consumer| !consumer.closing).map(|consumer| consumer.serial)
        };
        let (mut looked, rank) = (0, consumer.rank());
        if let Some(connection) = self.connections.get_mut(consumer.connection.0)
            && consumer.waits_for_window
        {
            looked += connection.blocked.of(rank).forget(connection.consumers.len(), staying);
        }
        if consumer.waits_for_room {
            looked += self.ports[usize::from(consumer.port.0)].blocked.of(rank).forget(consumers.len(), staying);
        }
        if consumer.waits_for_bytes {
            looked += self.cold.forget(consumers.len(), staying);
        }
        if consumer.hungry {
            looked += self.hungry.of(rank).forget(consumers.len(), staying);
        }
        looked
    }
}
