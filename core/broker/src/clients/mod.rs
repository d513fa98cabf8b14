//! Connections and consumers: what they have, what they take, and whom of them what is short wakes.

pub(crate) mod browser;
pub(crate) mod connection;
pub(crate) mod consumer;
pub(crate) mod credit;
pub(crate) mod grant;
pub(crate) mod in_flight;
pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod replies;
pub(crate) mod waiters;
pub(crate) mod window;
