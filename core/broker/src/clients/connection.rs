//! Connections and what they have defined: producers, numbers for destinations.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::clients::waiters::{Ranked, Waiters};
use crate::clients::window::SendWindow;
use crate::destinations::destination::Reference;
use crate::durable::duplicates::MarkReference;
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex};
use postrider_model::command::OpenProducer;
use postrider_model::event::Refused;
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, Handle, PortIndex};
use std::collections::BTreeSet;

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

    pub(crate) fn set_connection(&mut self, handle: ConnectionHandle, value: ConnectionIndex) {
        Port::set(&mut self.connections, handle, value);
    }

    pub(crate) fn clear_connection(&mut self, handle: ConnectionHandle) {
        Port::clear(&mut self.connections, handle);
    }

    pub(crate) fn set_consumer(&mut self, handle: ConsumerHandle, value: ConsumerIndex) {
        Port::set(&mut self.consumers, handle, value);
    }

    pub(crate) fn clear_consumer(&mut self, handle: ConsumerHandle) {
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
    /// Bytes of commands that are settled, and what the shard knows of them.
    pub settled: u64,
    pub settled_reported: u64,
    /// It is among those that have parked something.
    pub is_parking: bool,
    /// It has ended, and goes in slices: it takes nothing any more, and nobody finds it.
    pub leaving: bool,
}

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
