//! Where stored messages live, and how the log and the spool get room again.

pub(crate) mod evacuate;
pub(crate) mod reclaim;
pub(crate) mod spooling;
