//! The patterns of a consumer, and how far it has got with them.

use crate::clients::consumer::Consumer;
use postrider_model::Destination;

/// Patterns that are dropped at once, as they have not been filed.
const DROPPED_AT_ONCE: usize = 8;

impl Consumer {
    pub(crate) fn patterns(&self) -> &[Destination] {
        &self.patterns
    }

    /// It looks for destinations that its patterns fit, and takes nothing so far, as it may be refused.
    pub(crate) fn begin_matching(&mut self) {
        self.matching = true;
    }

    /// It has them all.
    pub(crate) fn end_matching(&mut self) {
        self.matching = false;
    }

    pub(crate) fn is_matching(&self) -> bool {
        self.matching
    }

    /// The next of its patterns that is to be found, and its number.
    pub(crate) fn next_to_file(&self) -> Option<(usize, &Destination)> {
        self.patterns.get(self.filed).map(|pattern| (self.filed, pattern))
    }

    /// That one can be found.
    pub(crate) fn note_filed(&mut self) {
        self.filed += 1;
    }

    /// It goes, with some of those that cannot be found. False: there are none.
    pub(crate) fn drop_unfiled(&mut self) -> bool {
        let has_some = self.patterns.len() > self.filed;
        if has_some {
            self.patterns.truncate(self.patterns.len().saturating_sub(DROPPED_AT_ONCE).max(self.filed));
        }
        has_some
    }

    /// It goes, with the last that can be found, which has this number.
    pub(crate) fn pop_pattern(&mut self) -> Option<(usize, Destination)> {
        let pattern = self.patterns.pop()?;
        self.filed = self.patterns.len();
        Some((self.filed, pattern))
    }
}
