//! What a session makes of its client's commands, in every format, and what it does not put up with.

mod branches;
mod client;
mod commands;
mod memory;
mod oversize;
mod refusals;
mod removals;
mod transactions;
