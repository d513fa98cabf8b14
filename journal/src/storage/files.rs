//! Names and life of a directory's files.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::config::Medium;
use crate::image::ImageWriter;
use crate::plant::planted;
use crate::position::SegmentNumber;
use crate::size::size;
use crate::storage::{Prepare, direct, mapped};

/// A small file until it has its name.
pub(crate) const NEW_FILE: &str = "new-file";

/// Messages are for nobody else on the machine.
pub(crate) const FILE_MODE: u32 = 0o600;

/// Recycled files that are kept for reuse; they are not within the disk budget.
const SPARES: usize = 2;

/// A directory.
pub(crate) struct Files {
    pub directory: PathBuf,
    pub medium: Medium,
    /// One small file at a time has the name of those that have none yet.
    pub replacing: Mutex<()>,
}

/// Files without a number, known to the one worker that prepares.
#[derive(Default)]
pub(crate) struct SpareFiles {
    /// Path and bytes; none before the directory was looked at.
    spares: Option<Vec<(PathBuf, u64)>>,
    next: u64,
    /// Bytes of the smallest segment made ready so far: those beyond it are for messages beyond it, and seldom.
    usual: Option<u64>,
    /// Segments that are given back, and whose files could not be taken from them so far.
    leaving: Vec<Leaving>,
}

/// A segment that is given back.
#[derive(Clone, Copy)]
pub(crate) struct Leaving {
    pub segment: SegmentNumber,
    /// Its bytes are damaged in places, and are kept under another name.
    pub damaged: bool,
}

impl Files {
    pub(crate) fn segment(&self, segment: SegmentNumber) -> PathBuf {
        self.directory.join(segment.file_name())
    }

    pub(crate) fn spilled(&self, segment: SegmentNumber) -> PathBuf {
        self.directory.join(format!("spill-{:016x}", segment.0))
    }

    /// Deletes what the spool of an earlier life left.
    pub(crate) fn remove_spilled(&self) -> io::Result<()> {
        for name in self.names()?.iter().filter(|name| hexadecimal(name, "spill-").is_some()) {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{name} cannot be removed: {error}"));
            std::fs::remove_file(self.directory.join(name)).map_err(named)?;
        }
        Ok(())
    }

    pub(crate) fn table(&self, slot: usize) -> PathBuf {
        self.directory.join(format!("epochs-{slot}"))
    }

    /// Opens a segment file the way its medium wants it.
    pub(crate) fn open(&self, path: &Path, create: bool, write: bool) -> io::Result<File> {
        match self.medium {
            Medium::Direct => direct::open(path, create, write),
            Medium::Mapped => mapped::open(path, create, write),
        }
    }

    /// Numbers of all segment files.
    pub(crate) fn segments(&self) -> io::Result<Vec<SegmentNumber>> {
        Ok(self.names()?.iter().filter_map(|name| hexadecimal(name, "segment-")).map(SegmentNumber).collect())
    }

    /// Free bytes of the file system.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let room = statvfs(&self.directory)?;
        Ok(room.f_bavail * room.f_frsize)
    }

    /// Replaces a small file: durable when it returns, the old one or the new one at any time before.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let new = self.directory.join(NEW_FILE);
        step()?;
        let file = self.small(&new)?;
        step()?;
        direct::write_all(&file, bytes, 0)?;
        step()?;
        file.sync_all()?;
        step()?;
        std::fs::rename(&new, path)?;
        self.sync_names()
    }

    /// A new file that is written by bytes.
    pub(crate) fn small(&self, path: &Path) -> io::Result<File> {
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let name =
            |entry: io::Result<std::fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
        std::fs::read_dir(&self.directory)?.map(name).collect()
    }

    pub(crate) fn sync_names(&self) -> io::Result<()> {
        step()?;
        File::open(&self.directory)?.sync_all()
    }
}

impl SpareFiles {
    /// A file that is ready to be written on, under its segment's name, and its memory.
    pub(crate) fn prepare(&mut self, files: &Files, prepare: Prepare) -> io::Result<(ImageWriter, File)> {
        let bytes = prepare.header.bytes;
        self.usual = self.usual.min(Some(bytes)).or(Some(bytes));
        self.clear_way(files, prepare.header.number)?;
        let block = prepare.header.encode();
        let (path, opened) = match self.take(files, bytes)? {
            Some(path) => {
                let opened = files.open(&path, false, true);
                (path, opened)
            }
            None => self.create(files, bytes).map(|(path, file)| (path, Ok(file)))?,
        };
        let named = opened.and_then(|file| {
            direct::write_header(&file, &block)?;
            file.sync_all()?;
            std::fs::rename(&path, files.segment(prepare.header.number))?;
            files.sync_names()?;
            Ok(file)
        });
        let file = named.inspect_err(|error| self.keep(path, bytes, error))?;
        let mut image = match files.medium {
            Medium::Direct => {
                let reused = prepare.image.and_then(|image| ImageWriter::reuse(image).ok());
                reused.map_or_else(|| ImageWriter::anonymous(size(bytes)), Ok)?
            }
            Medium::Mapped => mapped::map(&file)?,
        };
        image.write(0, &block);
        image.publish(block.len());
        Ok((image, file))
    }

    /// Takes a segment's name from its file. What fails is tried again with what follows; a failure that others wait for already is not
    /// told.
    pub(crate) fn give_back(&mut self, files: &Files, leaving: Leaving) -> io::Result<()> {
        let told = !self.leaving.is_empty();
        self.leaving.push(leaving);
        if planted("stays-forgotten") {
            let _ = self.give_all_back(files);
            self.leaving.clear();
            return Ok(());
        }
        self.give_all_back(files).or_else(|error| if told { Ok(()) } else { Err(error) })
    }

    /// A segment is made where no file is left of one that was given back: a later start could not tell which of them is the log's.
    fn clear_way(&mut self, files: &Files, from: SegmentNumber) -> io::Result<()> {
        let in_the_way = |leaving: &Leaving| leaving.segment >= from;
        let result = self.give_all_back(files);
        match self.leaving.iter().find(|leaving| in_the_way(leaving)) {
            Some(Leaving { segment, .. }) => {
                let error = result.err().unwrap_or(io::ErrorKind::Other.into());
                let file = files.segment(*segment);
                Err(io::Error::new(error.kind(), format!("{} cannot be given back: {error}", file.display())))
            }
            None => Ok(()),
        }
    }

    /// In their order. Those behind the log are given back from the last one on, so one that fails holds up those before it: what is
    /// there is one interval at any time (R20).
    fn give_all_back(&mut self, files: &Files) -> io::Result<()> {
        let mut result = Ok(());
        for leaving in std::mem::take(&mut self.leaving) {
            let waits = self.leaving.iter().any(|failed| failed.segment > leaving.segment);
            let answer = if waits { Err(io::ErrorKind::ResourceBusy.into()) } else { self.take_name(files, leaving) };
            if let Err(error) = answer {
                self.leaving.push(leaving);
                result = result.and(Err(error));
            }
        }
        result
    }

    fn take_name(&mut self, files: &Files, leaving: Leaving) -> io::Result<()> {
        let answer =
            if leaving.damaged { files.set_aside(leaving.segment) } else { self.recycle(files, leaving.segment) };
        match answer {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // It may have been done at an earlier try, but for the sync.
            _ => files.sync_names(),
        }
    }

    /// The file is kept for the next segment, if there are not enough.
    fn recycle(&mut self, files: &Files, segment: SegmentNumber) -> io::Result<()> {
        self.look(files)?;
        self.next += 1;
        let next = self.next;
        let old = files.segment(segment);
        let metadata = std::fs::metadata(&old)?;
        let (bytes, usual) = (metadata.len(), self.usual.unwrap_or(metadata.len()));
        let spares = self.spares.get_or_insert_default();
        if spares.len() < SPARES && bytes == usual && has_one_name(&metadata) {
            let spare = files.directory.join(format!("spare-{next}"));
            std::fs::rename(&old, &spare)?;
            spares.push((spare, bytes));
            Ok(())
        } else {
            std::fs::remove_file(&old)
        }
    }

    /// A file that did not become a segment is there for the next try, unless it is the medium that fails there.
    fn keep(&mut self, path: PathBuf, bytes: u64, error: &io::Error) {
        if Errno::from_io_error(error) == Some(Errno::IO) {
            // What cannot be removed is found at the next start.
            let _ = std::fs::remove_file(path);
        } else if path.exists() {
            self.spares.get_or_insert_default().push((path, bytes));
        }
    }

    /// A file of so many bytes. Those of other sizes than the usual one hold a place and room for nothing.
    fn take(&mut self, files: &Files, bytes: u64) -> io::Result<Option<PathBuf>> {
        let usual = self.usual;
        let spares = self.look(files)?;
        for (path, _) in spares.extract_if(.., |(_, spare)| *spare != bytes && Some(*spare) != usual) {
            // One that cannot be removed is found at the next start.
            let _ = std::fs::remove_file(path);
        }
        let found = spares.iter().position(|(_, spare)| *spare == bytes);
        Ok(found.map(|index| spares.swap_remove(index).0))
    }

    /// A new file with all its bytes written: an extent that was only allocated would make each first write a journal entry of
    /// the file system.
    fn create(&mut self, files: &Files, bytes: u64) -> io::Result<(PathBuf, File)> {
        self.next += 1;
        let path = files.directory.join(format!("new-{}", self.next));
        let file = files.open(&path, true, true)?;
        if let Err(error) = allocate(&file, bytes).and_then(|()| direct::zero(&file, bytes)) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok((path, file))
    }

    /// Finds the spare files of earlier lives, and removes what was not finished then.
    fn look(&mut self, files: &Files) -> io::Result<&mut Vec<(PathBuf, u64)>> {
        let found = match self.spares.take() {
            Some(known) => known,
            None => self.find(files)?,
        };
        Ok(self.spares.insert(found))
    }

    fn find(&mut self, files: &Files) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut spares = Vec::new();
        for name in files.names()? {
            let path = files.directory.join(&name);
            let (spare, unfinished) = (decimal(&name, "spare-"), decimal(&name, "new-"));
            self.next = self.next.max(spare.or(unfinished).unwrap_or(0));
            if spare.is_some() || unfinished.is_some() || name == NEW_FILE {
                let metadata = std::fs::symlink_metadata(&path)?;
                if spare.is_some() && metadata.is_file() && has_one_name(&metadata) {
                    spares.push((path, metadata.len()));
                } else if !metadata.is_dir() {
                    std::fs::remove_file(&path)?;
                }
                // A directory is nobody's of ours: only its name is taken.
            }
        }
        for (path, _) in spares.drain(SPARES.min(spares.len())..) {
            std::fs::remove_file(path)?;
        }
        Ok(spares)
    }
}

/// Whether nobody else has the bytes: a file that was to be kept under another name may have both after a kill.
fn has_one_name(metadata: &Metadata) -> bool {
    metadata.nlink() == 1
}

/// The number in a name of ours that ends with 16 hexadecimal digits. All other names are somebody else's.
fn hexadecimal(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    let ours = digits.len() == 16 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// The number in a name of ours that ends with a decimal one.
fn decimal(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Between two operations on files a process may end.
#[cfg(not(any(test, feature = "testing")))]
#[inline(always)]
pub(crate) const fn step() -> io::Result<()> {
    Ok(())
}

/// Gives a file a second name.
#[cfg(not(any(test, feature = "testing")))]
pub(crate) use std::fs::hard_link as link;

#[cfg(any(test, feature = "testing"))]
pub(crate) use crate::testing::{link, step};

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;

/// Takes all room at once, so that a full disk is seen here. Where the file system cannot, the zeros take it.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
