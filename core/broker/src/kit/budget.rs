//! Steps: what bounds the work of a turn.

/// Steps that a turn may still take (R25).
pub(crate) struct Budget(pub usize);

impl Budget {
    /// Takes a step, if there is one left.
    pub(crate) fn step(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }

    /// Takes so many more, as far as they are there.
    pub(crate) fn spend(&mut self, steps: usize) {
        self.0 = self.0.saturating_sub(steps);
    }

    /// So much of it for one of them.
    pub(crate) fn slice<T>(&mut self, given: usize, work: impl FnOnce(&mut Budget) -> T) -> T {
        let mut slice = Budget(given);
        let done = work(&mut slice);
        self.spend(given - slice.0);
        done
    }
}
