//! What the broker says about itself to every client.

use crate::openwire::schema::{broker_id, broker_info};
use crate::openwire::{Offer, Structure};

/// What all connections of a broker have in common.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The broker's id, never empty: clients and bridges wait for it.
    pub broker_id: Box<str>,
    /// The broker's name.
    pub broker_name: Box<str>,
    /// Where clients reach it; for people and for bridges.
    pub broker_url: Box<str>,
    /// What the WireFormatInfo says.
    pub offer: Offer,
    /// Seed of the hash tables over what clients send.
    pub hash_seed: u64,
}

impl Profile {
    /// The largest frame that this side takes or sends.
    pub(super) fn max_frame_bytes(&self) -> usize {
        match self.offer.max_frame_size {
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
