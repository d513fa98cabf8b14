//! Consumers of patterns, and the destinations that fit.

pub(crate) mod creation;
pub(crate) mod matching;
pub(crate) mod pairs;
pub(crate) mod patterns;

use self::pairs::Pairs;
use self::patterns::{Filed, Patterns};
use crate::destinations::destination::Reference;
use postrider_model::Destination;

/// Patterns of consumers, and what they take with the destinations that they fit.
#[derive(Default)]
pub(crate) struct Wildcards {
    patterns: Patterns,
    pairs: Pairs,
    /// A buffer that is used again.
    page: Vec<Reference>,
}

impl Wildcards {
    /// A consumer leaves one of its patterns.
    pub(crate) fn unfile(&mut self, pattern: &Destination, filed: Filed) {
        self.patterns.remove(pattern, filed);
    }

    /// A consumer is gone of which so much counted when it was closed.
    pub(crate) fn left(&mut self, bytes: u64) {
        self.pairs.left(bytes);
    }
}
