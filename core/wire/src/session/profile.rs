//! What the broker says about itself to every client.

use crate::openwire::Offer;

/// What all connections of a broker have in common.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The broker's id, never empty: clients and bridges wait for it.
    pub broker_id: Box<str>,
    /// The broker's name.
    pub broker_name: Box<str>,
    /// Where clients reach it; for people and for bridges.
    pub broker_url: Box<str>,
    /// Seed of the hash tables over what clients send.
    pub hash_seed: u64,
    /// What the WireFormatInfo of OpenWire says.
    pub openwire: Offer,
}
