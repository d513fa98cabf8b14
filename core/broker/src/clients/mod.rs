//! Connections, their consumers and temporary destinations: how they come, what they may take, how they go.

pub(crate) mod closing;
pub(crate) mod connection;
pub(crate) mod consumer;
pub(crate) mod credit;
pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod temporary;
pub(crate) mod unsendable;
pub(crate) mod waiters;
pub(crate) mod window;
