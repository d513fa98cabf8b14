//! What an evaluation may take.

use std::cell::Cell;

use super::{Fault, WORK_LIMIT};

/// Bytes that one evaluation has searched and made. Its expressions are bounded by themselves.
#[derive(Default, Debug)]
pub(super) struct Work {
    done: Cell<usize>,
}

impl Work {
    /// So many bytes more.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Fault> {
        self.done.set(self.done.get().saturating_add(bytes));
        if self.done.get() > WORK_LIMIT { Err(Fault::TooMuchWork) } else { Ok(()) }
    }
}
