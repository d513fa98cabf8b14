//! Who is connected: connections by their names.

use crate::kit::table::Map;
use crate::messages::ConnectionIndex;
use foldhash::fast::FixedState;

/// Connections by name.
pub(crate) struct Names {
    pub(super) by_id: Map<Box<[u8]>, ConnectionIndex>,
    pub(super) by_client_id: Map<Box<[u8]>, ConnectionIndex>,
    /// Serial of the newest connection; 0 means none.
    pub(super) serial: u32,
    consumers: u64,
}

impl Names {
    pub(crate) fn new(hasher: &FixedState) -> Names {
        Names {
            by_id: Map::with_hasher(hasher.clone()),
            by_client_id: Map::with_hasher(hasher.clone()),
            serial: 0,
            consumers: 0,
        }
    }

    /// The connection with this id.
    pub(crate) fn with_id(&self, id: &[u8]) -> Option<ConnectionIndex> {
        self.by_id.get(id).copied()
    }

    /// The connection with this client id.
    pub(crate) fn with_client_id(&self, client_id: &[u8]) -> Option<ConnectionIndex> {
        self.by_client_id.get(client_id).copied()
    }

    /// A serial for a new connection.
    pub(crate) fn next_connection(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// A serial for a new consumer.
    pub(crate) fn next_consumer(&mut self) -> u64 {
        self.consumers += 1;
        self.consumers
    }
}
