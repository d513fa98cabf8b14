//! Collections that know nothing of a broker.

pub(crate) mod budget;
pub(crate) mod deque;
pub(crate) mod reader;
pub(crate) mod runs;
pub(crate) mod slab;
pub(crate) mod soonest;
pub(crate) mod table;
