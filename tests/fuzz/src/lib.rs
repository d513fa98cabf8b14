//! The whole broker on one thread, for the fuzzer: a shard over pipes in memory, the broker's turn, and a journal in a directory.

pub mod broker;
pub mod frames;
pub mod pipes;
