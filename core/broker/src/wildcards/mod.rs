//! Consumers of patterns, and the destinations that fit.

pub(crate) mod creation;
pub(crate) mod matching;
pub(crate) mod pairs;
pub(crate) mod patterns;
