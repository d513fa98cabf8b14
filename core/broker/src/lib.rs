//! The broker's state machine: destinations, consumers, credit, acknowledgements.
//!
//! [`Broker::handle`] takes a port's commands, [`Broker::advance`] goes on with what became possible, [`Broker::end_turn`] writes
//! what the turn owes. Durable state changes by records, which [`Broker::recover`] takes again after a restart. It knows of no
//! protocol, thread, socket, file or clock.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

mod acknowledge;
mod admission;
mod advisory;
mod allowance;
mod broker;
mod browse;
mod closing;
pub mod config;
mod connection;
mod consumer;
mod credit;
mod damage;
mod dead_letter;
mod deque;
mod destination;
mod dispatch;
mod duplicates;
mod evacuate;
mod expiry;
mod items;
mod jobs;
mod lines;
mod log;
mod matching;
mod message_meta;
mod messages;
mod names;
mod naming;
mod ordered;
pub mod outbox;
mod pairs;
mod parking;
mod patterns;
pub mod plant;
mod properties;
mod publish;
mod pull;
mod queue;
mod reader;
mod reclaim;
pub mod records;
mod recount;
mod recovery;
mod redelivery;
mod returned;
mod rotation;
mod runs;
mod sequences;
mod settling;
mod siblings;
mod slab;
mod soonest;
mod spooling;
mod statistics;
mod table;
mod temporary;
mod topic;
mod turn;
mod unsendable;
mod view;
mod waiters;
mod window;

pub use broker::Broker;
pub use config::{Config, WhenFull};
pub use log::{Log, Store};
pub use naming::Mended;
pub use outbox::{EventBatch, Outbox};
pub use parking::ParkedSlice;
pub use recovery::RecoverError;
pub use statistics::Statistics;
pub use window::WindowSizes;
