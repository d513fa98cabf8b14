//! Ports: whatever talks to the broker holds one end of a pair of rings, commands up, events down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    /// What the broker does of it in a turn.
    pub portion: Portion,
}

/// The broker's end.
pub struct BrokerPort {
    /// What the client asks.
    pub commands: Receiver<CommandBatch>,
    /// What it is told.
    pub events: Sender<EventBatch>,
    /// What it does of it in a turn, for the client to hear.
    pub portion: Portion,
}

/// Commands of a port that the broker does in one turn: how many it was of late where their work was more than a turn's, and a batch of
/// them otherwise. Who has more to say lets no more of it go before others (decision 0015).
#[derive(Clone)]
pub struct Portion(Arc<AtomicUsize>);

impl Default for Portion {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(limits::BATCH_COMMANDS)))
    }
}

impl Portion {
    /// How many they are, one at least: as it was a moment ago.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A turn has done so many, and had time for more or had not. As long as all that may come is done in each turn it becomes more.
    pub(crate) fn turned(&self, commands: usize, had_time: bool) {
        let portion = self.commands();
        let next = match had_time {
            true if commands >= portion => (2 * portion).min(limits::BATCH_COMMANDS),
            true => portion,
            false => portion.min(commands).max(1),
        };
        if next != portion {
            self.0.store(next, Ordering::Relaxed);
        }
    }
}

/// A port between the thread of a client and the broker's, known by their alarms (the same, where one thread is both).
#[must_use]
pub fn port(client: &Arc<Alarm>, broker: &Arc<Alarm>) -> (ClientPort, BrokerPort) {
    let (commands_in, commands_out) = ring(limits::RING_BATCHES, client.clone(), broker.clone());
    let (events_in, events_out) = ring(limits::RING_BATCHES, broker.clone(), client.clone());
    let portion = Portion::default();
    (
        ClientPort { commands: commands_in, events: events_out, portion: portion.clone() },
        BrokerPort { commands: commands_out, events: events_in, portion },
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_what_a_turn_has_time_for() {
        let portion = Portion::default();
        let turned = |commands, had_time| {
            portion.turned(commands, had_time);
            portion.commands()
        };
        assert_eq!(turned(1_000, true), limits::BATCH_COMMANDS);
        assert_eq!(turned(1_000, false), limits::BATCH_COMMANDS);
        assert_eq!(turned(3, false), 3);
        assert_eq!(turned(2, true), 3, "no more may have come");
        assert_eq!(turned(3, true), 6);
        assert_eq!(turned(0, false), 1);
        assert_eq!(turned(9, false), 1);
        for doubled in 1..=9 {
            assert_eq!(turned(limits::BATCH_COMMANDS, true), (1 << doubled).min(limits::BATCH_COMMANDS));
        }
    }
}
