//! What the medium refused or lost, for who writes a log. What it refused is tried again.

use std::collections::VecDeque;
use std::fmt;
use std::io;

/// Troubles kept for who asks; of more only the counters tell.
const MOST: usize = 64;

/// Something that is not as it should be.
#[derive(Debug)]
pub enum Trouble {
    /// A window cannot be read.
    Read {
        /// The file.
        file: String,
        /// Its first byte.
        offset: u64,
        /// Its bytes.
        len: u64,
        /// What the system said.
        error: io::Error,
    },
    /// A record is damaged; what is left of it is in a file of its own.
    KeptAside {
        /// That file.
        file: String,
        /// Which record.
        about: String,
    },
    /// A segment cannot be made ready.
    Preparation {
        /// Its file.
        file: String,
        /// Its bytes.
        bytes: u64,
        /// Where it is to be.
        place: String,
        /// What the system said.
        error: io::Error,
    },
    /// A segment that is not needed any more keeps its file.
    Stays {
        /// The file.
        file: String,
        /// Where it is.
        place: String,
        /// What the system said.
        error: io::Error,
    },
    /// What is left of a damaged record cannot be written.
    NotKeptAside {
        /// The file that was to hold it.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// A segment of the spool that should leave memory.
    Spill {
        /// The file.
        file: String,
        /// Its bytes.
        len: u64,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Read { file, offset, len, error } => write!(
                out,
                "{len} bytes at {offset} of {file} cannot be read: {error}; what needs them waits, and they are read again"
            ),
            Trouble::KeptAside { file, about } => {
                write!(out, "damaged, and not delivered: {about}; what is left of it is kept in {file}")
            }
            Trouble::Preparation { file, bytes, place, error } => write!(
                out,
                "{file} of {bytes} bytes cannot be made ready in {place}: {error}; it is tried again, and when the segment in use is \
                 full, sends that have to be stored are refused or wait"
            ),
            Trouble::Stays { file, place, error } => {
                write!(
                    out,
                    "{file} is not needed and cannot be given back in {place}: {error}; it is tried again with the next segment"
                )
            }
            Trouble::NotKeptAside { file, error } => {
                write!(out, "a damaged message waits until {file} can be written: {error}")
            }
            Trouble::Spill { file, len, error } => {
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
    pub(crate) fn add(&mut self, trouble: Trouble) {
        if self.list.len() < MOST {
            self.list.push_back(trouble);
        }
    }

    pub(crate) fn take(&mut self) -> Option<Trouble> {
        self.list.pop_front()
    }
}
