//! Shards, the broker's turn, rings, ports and network drivers
