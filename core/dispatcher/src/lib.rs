//! Shards, the broker's turn, rings, ports and network drivers

pub mod net;
pub mod ring;
pub mod wake;
