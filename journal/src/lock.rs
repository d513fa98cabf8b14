//! One process a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::error::OpenError;

/// Held as long as the directory is in use; the kernel lets go of it when the process ends in any way.
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory if need be, and locks it.
    ///
    /// # Errors
    /// It is locked, read-only or full.
    pub fn acquire(directory: &Path) -> Result<DirectoryLock, OpenError> {
        let refused = |error| refusal(directory, error);
        std::fs::create_dir_all(directory).map_err(refused)?;
        let path = directory.join("lock");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(refused)?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }
}

/// What an operator can act on, out of what the system said.
pub(crate) fn refusal(directory: &Path, error: io::Error) -> OpenError {
    match Errno::from_io_error(&error) {
        Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => OpenError::ReadOnly(directory.to_owned()),
        Some(Errno::NOSPC | Errno::DQUOT) => OpenError::Full { directory: directory.to_owned(), needed: 4096, free: 0 },
        _ => OpenError::Io { doing: format!("opened in {}", directory.display()), error },
    }
}
