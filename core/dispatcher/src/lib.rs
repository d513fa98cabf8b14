//! Shards, the broker's turn, rings, ports and network drivers

#![deny(unsafe_code, unreachable_pub)]
#![cfg_attr(
    not(any(test, loom)),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub mod net;
#[cfg(not(loom))]
pub mod plant;
#[cfg(not(loom))]
pub mod port;
pub mod ring;
#[cfg(not(loom))]
pub mod round;
#[cfg(not(loom))]
pub mod shard;
#[cfg(not(loom))]
pub mod turn;
pub mod wake;
