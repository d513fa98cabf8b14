//! What the benches have in common: a client of the canonical message, and a storage that finishes at once.
//!
//! The canonical message is a persistent ActiveMQTextMessage of 256 ASCII characters without properties, in loose frames with
//! the cache. The counts of its instructions are kept in `bench/instructions.json`.

#![deny(unreachable_pub)]

pub mod canonical;
pub mod client;
pub mod instant;
pub mod turns;
