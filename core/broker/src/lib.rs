//! The broker's state machine: destinations, consumers, credit, acknowledgements.
//!
//! [`Broker::handle`] takes a port's commands, [`Broker::advance`] goes on with what became possible, [`Broker::end_turn`] writes
//! what the turn owes. Durable state changes by records, which [`Broker::follow`] takes again after a restart. It knows of no
//! protocol, thread, socket, file or clock.

#![forbid(unsafe_code)]
#![deny(unreachable_pub)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

mod bounds;
mod broker;
mod clients;
pub mod config;
mod delivery;
mod destinations;
mod durable;
mod intake;
mod jobs;
mod kit;
mod lifecycle;
mod log;
mod messages;
pub mod outbox;
pub mod plant;
pub mod records;
pub mod selector;
mod settle;
mod slices;
mod space;
mod statistics;
mod step;
mod transaction;
mod turn;
mod wildcards;

pub use broker::Broker;
pub use config::{Backlog, Config, WhenFull, WindowSizes};
#[cfg(feature = "plant")]
#[doc(hidden)]
pub use durable::digest::Digest;
pub use durable::doubtful::{KEPT_FORMAT, KEPT_GLOBAL, KeptTransaction};
#[cfg(feature = "plant")]
pub use durable::duplicates::{Producers, Sent};
pub use durable::follow::RecoverError;
pub use durable::naming::Mended;
pub use intake::parking::ParkedSlice;
pub use log::{Log, LogKind};
pub use outbox::{EventBatch, Outbox};
pub use statistics::Statistics;
