//! Transactions of one connection: all of it shows with COMMIT, durably, or nothing ever does (decision 0020).

pub(crate) mod branch;
mod commit;
mod local;
mod staged;
