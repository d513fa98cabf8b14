//! Shards, the broker's turn, rings, ports and network drivers

#![cfg_attr(not(test), deny(clippy::cast_possible_truncation))]

pub mod net;
#[cfg(not(loom))]
pub mod plant;
#[cfg(not(loom))]
pub mod port;
pub mod ring;
#[cfg(not(loom))]
pub mod shard;
#[cfg(not(loom))]
pub mod turn;
pub mod wake;
