//! Ports: whatever talks to the broker holds one end of a pair of rings, commands up, events down.

use std::sync::Arc;

use postrider_broker::EventBatch;
use postrider_model::{CommandBatch, limits};

use crate::ring::{Receiver, Recycle, Sender, ring};
use crate::wake::Alarm;

/// The end of a shard, or of another client of the broker.
pub struct ClientPort {
    /// What it asks.
    pub commands: Sender<CommandBatch>,
    /// What it is told.
    pub events: Receiver<EventBatch>,
}

/// The broker's end.
pub struct BrokerPort {
    /// What the client asks.
    pub commands: Receiver<CommandBatch>,
    /// What it is told.
    pub events: Sender<EventBatch>,
}

/// A port between the thread of a client and the broker's, known by their alarms (the same, where one thread is both).
#[must_use]
pub fn port(client: &Arc<Alarm>, broker: &Arc<Alarm>) -> (ClientPort, BrokerPort) {
    let (commands_in, commands_out) = ring(limits::RING_BATCHES, client.clone(), broker.clone());
    let (events_in, events_out) = ring(limits::RING_BATCHES, broker.clone(), client.clone());
    (ClientPort { commands: commands_in, events: events_out }, BrokerPort { commands: commands_out, events: events_in })
}

impl Recycle for CommandBatch {
    fn recycle(&mut self) {
        self.clear();
    }
}

impl Recycle for EventBatch {
    fn recycle(&mut self) {
        self.clear();
    }
}
