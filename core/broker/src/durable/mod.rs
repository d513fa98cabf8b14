//! What the log says, and how it is taken back.

pub(crate) mod allowance;
pub(crate) mod damage;
pub(crate) mod directory;
pub(crate) mod duplicates;
pub(crate) mod follow;
pub(crate) mod naming;
pub(crate) mod recount;
pub(crate) mod recovery;
pub(crate) mod sequences;
pub(crate) mod store;
