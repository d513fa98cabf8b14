//! What the broker says about itself, in OpenWire.

use crate::openwire::Structure;
use crate::openwire::schema::{broker_id, broker_info};
use crate::session::Profile;

impl Profile {
    /// The largest frame that this side takes or sends.
    pub(super) fn max_frame_bytes(&self) -> usize {
        match self.openwire.max_frame_size {
            size @ 1.. => usize::try_from(size).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }

    /// The BrokerInfo that follows the client's WireFormatInfo.
    pub(super) fn broker_info(&self) -> Structure {
        let id = Structure::new(&broker_id::DEFINITION).with(broker_id::VALUE, &*self.broker_id);
        Structure::new(&broker_info::DEFINITION)
            .with(broker_info::BROKER_ID, id)
            .with(broker_info::BROKER_URL, &*self.broker_url)
            .with(broker_info::BROKER_NAME, &*self.broker_name)
    }
}
