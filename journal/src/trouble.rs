//! What the medium refused, for who writes a log. All of it is tried again.

use std::collections::VecDeque;
use std::fmt;
use std::io;

/// Troubles kept for who asks; of more only the counters tell.
const MOST: usize = 16;

/// Something that failed and is tried again.
#[derive(Debug)]
pub struct Trouble {
    /// What it was about.
    pub what: TroubleKind,
    /// What the system said.
    pub error: io::Error,
}

/// What failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TroubleKind {
    /// A read of a cold window.
    Read {
        /// The file.
        file: String,
        /// Its first byte.
        offset: u64,
        /// Its bytes.
        len: u64,
    },
    /// A segment of the spool that should leave memory.
    Spill {
        /// The file.
        file: String,
        /// Its bytes.
        len: u64,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.error;
        match &self.what {
            TroubleKind::Read { file, offset, len } => {
                write!(
                    out,
                    "{len} bytes at {offset} of {file} cannot be read: {error}; what needs them waits, and they are read again"
                )
            }
            TroubleKind::Spill { file, len } => {
                write!(
                    out,
                    "{len} bytes of the spool cannot be written to {file}: {error}; they stay in memory and are written again, and \
                     when memory is full senders of non-persistent messages wait"
                )
            }
        }
    }
}

/// The newest troubles that nobody has asked for.
#[derive(Default)]
pub(crate) struct Troubles {
    list: VecDeque<Trouble>,
}

impl Troubles {
    pub fn add(&mut self, what: TroubleKind, error: io::Error) {
        if self.list.len() < MOST {
            self.list.push_back(Trouble { what, error });
        }
    }

    pub fn take(&mut self) -> Option<Trouble> {
        self.list.pop_front()
    }
}
