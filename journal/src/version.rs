//! What this program writes, and so what it can read.

/// The format's version; others are refused.
pub(crate) const FORMAT_VERSION: u16 = 2;

/// The writing level: within a version, what its records, frames and headers may say. The table states the one that a directory is
/// written at; who knows only lower ones refuses it, before it meets what it cannot read. It is never lowered.
pub(crate) const LEVEL: u16 = 1;
