//! The broker's turn over media that fail, and beneath much work.

mod decisions;
mod expired;
mod golden;
mod much;
mod node;
#[path = "../../../../journal/tests/packed/mod.rs"]
mod packed;
mod passed;
mod shortage;
mod stall;
mod work;
