//! Criterion benches and instruction counts
