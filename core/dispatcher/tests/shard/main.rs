//! A shard: whom it hears when, and when it looks at the network.

mod held_back;
mod leaving;
mod line;
mod node;
mod polls;
mod removals;
