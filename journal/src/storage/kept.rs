//! Files that leave the log and are kept: under another name, which no other file has.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use rustix::io::Errno;

use crate::image::ImageWriter;
use crate::position::SegmentNumber;
use crate::size::size;
use crate::storage::direct;
use crate::storage::files::{Files, NEW_FILE, link, step};
use crate::storage::whole::{self, Patience};

impl Files {
    /// Gives a file a second name, and says which; the first one is to be replaced. Where a file cannot have two, a copy gets it.
    pub(crate) fn keep(&self, path: &Path, name: &str) -> io::Result<Option<String>> {
        self.beside(name, |other| {
            link(path, other).or_else(|error| self.without_links(error, other, || self.copy(path, other)))
        })
    }

    /// Gives a file another name, and says which.
    pub(crate) fn rename_aside(&self, path: &Path, name: &str) -> io::Result<Option<String>> {
        let kept_as = self.beside(name, |other| {
            link(path, other).or_else(|error| self.without_links(error, other, || std::fs::rename(path, other)))
        })?;
        if kept_as.is_some() {
            step()?;
            match std::fs::remove_file(path) {
                // It was renamed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                answer => answer?,
            }
            self.sync_names()?;
        }
        Ok(kept_as)
    }

    /// A damaged segment leaves the log, and stays for who wants to look at it.
    pub(crate) fn set_aside(&self, segment: SegmentNumber) -> io::Result<()> {
        let name = format!("damaged-segment-{:016x}", segment.0);
        self.rename_aside(&self.segment(segment), &name).map(|_| ())
    }

    /// Puts a file under the first of the names that is free, durably. None: there is no such file.
    fn beside(&self, name: &str, put: impl Fn(&Path) -> io::Result<()>) -> io::Result<Option<String>> {
        let mut other = name.to_owned();
        for number in 1.. {
            step()?;
            match put(&self.directory.join(&other)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                answer => return answer.and_then(|()| self.sync_names()).map(|()| Some(other)),
            }
            other = format!("{name}-{number}");
        }
        Ok(None)
    }

    /// Does what takes the place of a link, where the file system makes none. Nobody else gives names here.
    fn without_links(&self, error: io::Error, other: &Path, put: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) if other.try_exists()? => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => put(),
            _ => Err(error),
        }
    }

    /// What of a file can be read, and zeros for the rest, under another name.
    fn copy(&self, path: &Path, other: &Path) -> io::Result<()> {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let new = self.directory.join(NEW_FILE);
        step()?;
        let copy = self.small(&new)?;
        if bytes > 0 {
            let loaded = whole::read(&file, ImageWriter::anonymous(size(bytes))?, &Patience::default())?.writer;
            step()?;
            direct::write_all(&copy, loaded.bytes(0, loaded.len()), 0)?;
        }
        step()?;
        copy.sync_all()?;
        step()?;
        std::fs::rename(&new, other)
    }
}
