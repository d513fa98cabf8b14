//! The state machine by its public interface: a log in memory, clients that check what they get.

mod acknowledge;
mod log;
mod queue;
mod world;
