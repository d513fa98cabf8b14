//! The broker's turn over media that fail, and beneath much work.

mod expired;
mod node;
mod passed;
mod shortage;
mod stall;
mod work;
