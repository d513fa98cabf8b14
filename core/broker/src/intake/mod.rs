//! What comes in: sends, what they may take, and what waits for room.

pub(crate) mod admission;
pub(crate) mod lines;
pub(crate) mod parking;
pub(crate) mod publish;
