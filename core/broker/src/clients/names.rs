//! Who is connected: connections by their names.

use crate::kit::table::Map;
use crate::messages::ConnectionIndex;
use foldhash::fast::FixedState;

/// Connections by name.
pub(crate) struct Names {
    pub by_id: Map<Box<[u8]>, ConnectionIndex>,
    pub by_client_id: Map<Box<[u8]>, ConnectionIndex>,
    /// Serial of the newest connection; 0 means none.
    pub serial: u32,
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

    /// A serial for a new consumer.
    pub(crate) fn next_consumer(&mut self) -> u64 {
        self.consumers += 1;
        self.consumers
    }
}
