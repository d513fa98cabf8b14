//! One process a directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::io::Errno;

use crate::error::OpenError;
use crate::storage::files::FILE_MODE;

/// Held as long as the directory is in use; the kernel lets go of it when the process ends in any way.
pub(crate) struct DirectoryLock {
    _file: File,
    /// The lock's file can be removed; the directory cannot, unnoticed. None where a directory cannot be locked, as over some networks.
    _directory: Option<File>,
}

impl DirectoryLock {
    /// Makes the directory if need be, and locks it.
    ///
    /// # Errors
    /// It is locked, read-only or full.
    pub(crate) fn acquire(directory: &Path) -> Result<DirectoryLock, OpenError> {
        let refused = |error| refusal(directory, error);
        make(directory).map_err(refused)?;
        let path = directory.join("lock");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(path).map_err(refused)?;
        let whole = File::open(directory).map_err(refused)?;
        match (file.try_lock(), whole.try_lock()) {
            (Err(TryLockError::WouldBlock), _) | (_, Err(TryLockError::WouldBlock)) => {
                Err(OpenError::Locked(directory.to_owned()))
            }
            (Err(TryLockError::Error(error)), _) => Err(refused(error)),
            (Ok(()), locked) => Ok(DirectoryLock { _file: file, _directory: locked.is_ok().then_some(whole) }),
        }
    }
}

/// Makes a directory that is not there, with those above it, durably: what is synced in it later is nowhere without its name.
fn make(directory: &Path) -> io::Result<()> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let made: Vec<&Path> = directory.ancestors().take_while(missing).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for parent in made.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// What an operator can act on, out of what the system said.
pub(crate) fn refusal(directory: &Path, error: io::Error) -> OpenError {
    match Errno::from_io_error(&error) {
        Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => OpenError::ReadOnly(directory.to_owned()),
        Some(Errno::NOSPC | Errno::DQUOT) => OpenError::Full { directory: directory.to_owned(), needed: 4096, free: 0 },
        _ => OpenError::Io { doing: format!("opened in {}", directory.display()), error },
    }
}
