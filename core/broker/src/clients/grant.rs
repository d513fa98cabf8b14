//! What a consumer with prefetch 0 may have: one message for each pull.

/// A consumer may have one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Grant {
    /// Tells this pull from an earlier one.
    pub serial: u64,
}

/// How long a pull waits for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// For ever.
    Endless,
    /// Until then, in nanoseconds; what is past asks for what is there.
    Until(u64),
}
