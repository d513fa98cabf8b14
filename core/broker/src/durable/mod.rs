//! What the log says, and how it is taken back.

pub(crate) mod allowance;
pub(crate) mod duplicates;
pub(crate) mod message_meta;
pub(crate) mod naming;
pub mod records;
pub(crate) mod recount;
pub(crate) mod recovery;
pub(crate) mod sequences;
