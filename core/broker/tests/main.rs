//! The state machine by its public interface: a log in memory, clients that check what they get.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "some measure how long it takes")]

mod acknowledge;
mod beside;
mod branches;
mod browsing;
mod connection;
mod cost;
mod damage;
mod dead_letters;
mod decisions;
mod follow;
mod late;
mod log;
mod marks;
mod members;
mod model;
mod moves;
mod names;
mod pacing;
mod page;
mod pairs;
mod panics;
mod parking;
mod passes;
mod places;
#[cfg(feature = "plant")]
mod plants;
mod prepared;
mod queue;
mod recount;
mod rotten;
mod selecting;
mod selectors;
mod senseless;
mod sharing;
mod slices;
mod space;
mod spooling;
mod subscriptions;
mod told;
mod topic;
mod transactions;
mod unsendable;
mod waiting;
mod walks;
mod world;
