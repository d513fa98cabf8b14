//! A shard: whom it hears when, and when it looks at the network.

mod leaving;
mod line;
mod node;
mod polls;
mod removals;
