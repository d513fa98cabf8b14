//! The broker's turn over media that fail.

mod node;
mod shortage;
mod stall;
