//! Exit codes; docs/operating.md lists them.

use std::fmt;
use std::process::ExitCode;

/// Why the process ends in another way than by a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Something unforeseen.
    Failure = 1,
    /// Bad arguments or configuration.
    Usage = 2,
    /// The data directory cannot be used; nothing that counts in it was changed.
    DataDirectory = 3,
    /// An address cannot be listened on.
    Listen = 4,
    /// The disk failed to write.
    Disk = 5,
    /// The end took too long: not everything is synced.
    Unsynced = 6,
}

/// An error with the code that the process ends with.
#[derive(Debug)]
pub(crate) struct Fatal {
    /// The code.
    pub exit: Exit,
    /// What happened, and what to do.
    pub error: anyhow::Error,
}

impl Fatal {
    /// Gives an error its code.
    pub(crate) fn with<E: Into<anyhow::Error>>(exit: Exit) -> impl FnOnce(E) -> Fatal {
        move |error| Fatal { exit, error: error.into() }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.error)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
