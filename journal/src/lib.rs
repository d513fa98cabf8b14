//! The journal: a memory-mapped, segmented log with group commit
