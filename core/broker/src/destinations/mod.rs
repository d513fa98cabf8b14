//! Destinations as nouns: what they hold, whose turn it is, and those that are to be looked at.

pub(crate) mod advisories;
pub(crate) mod allowance;
pub(crate) mod cohort;
pub(crate) mod destination;
pub(crate) mod expired;
pub(crate) mod filter;
pub(crate) mod line;
pub(crate) mod members;
pub(crate) mod moved;
pub(crate) mod ordered;
pub(crate) mod pace;
pub(crate) mod passes;
pub(crate) mod queue;
pub(crate) mod returned;
pub(crate) mod rotation;
pub(crate) mod shares;
pub(crate) mod subscription;
pub(crate) mod topic;
pub(crate) mod views;
pub(crate) mod wanting;
