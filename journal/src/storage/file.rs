//! Segments as files of one directory.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;
use rustix::io::Errno;

use crate::config::Medium;
use crate::epoch::EpochTable;
use crate::error::OpenError;
use crate::image::{Image, ImageWriter};
use crate::lock::{DirectoryLock, refusal};
use crate::plant::planted;
use crate::position::SegmentNumber;
use crate::size::size;
use crate::storage::descriptors::OpenFiles;
use crate::storage::files::{Files, Leaving, SpareFiles};
use crate::storage::whole::{self, Patience};
use crate::storage::worker::{Lane, Queue, Waker, Worker, Workers};
use crate::storage::{Completion, Loaded, Prepare, Read, SegmentFile, Storage, Write, direct, mapped};

/// Requests a lane holds; more wait with the storage.
const LANE: usize = 256;

/// How a directory is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Where.
    pub directory: PathBuf,
    /// How segments reach the disk.
    pub medium: Medium,
    /// Called from a worker's thread when `completed` has something.
    pub waker: Waker,
    /// Free bytes without which a directory that has no segment yet is refused; 0: do not ask.
    pub min_free: u64,
}

/// What the broker's thread holds: requests go to the [`Workers`], answers come back.
pub struct FileStorage {
    files: Arc<Files>,
    flusher: Lane,
    helper: Queue,
    reader: Queue,
    answers: Arc<ArrayQueue<Answer>>,
    /// Files of segments, from their preparation or the start on.
    open: OpenFiles,
    ahead: Option<(SegmentNumber, JoinHandle<io::Result<Opened>>)>,
    pool: Vec<ImageWriter>,
    /// Of the start, with all that it reads.
    patience: Arc<Patience>,
    _lock: DirectoryLock,
}

pub(crate) enum Request {
    Write(Write, Arc<File>),
    Prepare(Prepare),
    GiveBack(Leaving),
    Keep(String, Arc<[u8]>),
    State(usize, Arc<EpochTable>),
    /// Of an open file, or of one that is opened for it.
    Read(Read, Option<Arc<File>>),
    Spill(SegmentNumber, Arc<Image>, usize),
    ReadSpilled(Read),
    Discard(SegmentNumber),
}

pub(crate) enum Answer {
    Prepared(SegmentNumber, io::Result<(ImageWriter, File)>),
    Written(io::Result<()>),
    Kept(io::Result<()>),
    Stated(io::Result<()>),
    Stays(SegmentNumber, io::Error),
    /// With the file, if it was opened.
    Read(Read, io::Result<Arc<Image>>, Option<File>),
    Spilled(SegmentNumber, io::Result<()>),
}

/// Images kept for the next load: one is read and one read ahead.
const POOL: usize = 2;

/// A segment that was read at the start, and its file.
type Opened = (Loaded, File);

/// What a worker does with its requests.
pub(crate) struct Performer {
    files: Arc<Files>,
    spares: SpareFiles,
    /// The windows that it has read last, to be filled again when nobody holds them any more.
    windows: VecDeque<Arc<Image>>,
    remembered: usize,
}

/// Bytes of windows that a worker remembers: of those that are kept, and a few that are free.
const REMEMBERED: usize = 80 << 20;
/// Larger ones are not remembered.
const LARGEST_KEPT: usize = 2 << 20;

impl FileStorage {
    /// Locks a directory and looks at it; changes nothing but its lock.
    ///
    /// # Errors
    /// It is locked, read-only or full.
    pub fn open(options: OpenOptions) -> Result<(FileStorage, Workers), OpenError> {
        let lock = DirectoryLock::acquire(&options.directory)?;
        let files = Arc::new(Files { directory: options.directory, medium: options.medium, replacing: Mutex::new(()) });
        files.check_room(options.min_free)?;
        let ((flusher, writes), (helper, preparations), (reader, reads)) =
            (Lane::new(LANE), Queue::new(LANE), Queue::new(LANE));
        let answers = Arc::new(ArrayQueue::new(2 * LANE));
        let worker = |requests| {
            let performer = Performer::new(Arc::clone(&files));
            Worker::new(requests, Arc::clone(&answers), Arc::clone(&options.waker), performer)
        };
        let workers = Workers { flusher: worker(writes), helper: worker(preparations), reader: worker(reads) };
        let storage = FileStorage {
            files,
            flusher,
            helper,
            reader,
            answers,
            open: OpenFiles::within_limit(),
            ahead: None,
            pool: Vec::new(),
            patience: Arc::default(),
            _lock: lock,
        };
        Ok((storage, workers))
    }

    pub(crate) fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// A file that was opened to be read stays open; where no descriptor was left, one of our own is given up for the next try.
    fn opened(&mut self, read: &Read, result: &io::Result<Arc<Image>>, file: Option<File>) {
        if let Some(file) = file {
            self.open.keep(read.segment, file, false);
        } else if result
            .as_ref()
            .is_err_and(|error| matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)))
        {
            self.open.close_one(read.segment);
        }
    }

    fn read_ahead(&mut self, segment: SegmentNumber, bytes: u64) {
        if self.ahead.as_ref().is_some_and(|(under_way, _)| *under_way == segment) {
            return;
        }
        let (path, image, patience) = (self.files.segment(segment), self.image(bytes), self.patience.clone());
        // Where there is no thread to be had, it is read when it is asked for.
        let thread = std::thread::Builder::new().spawn(move || read_whole(&path, image?, &patience));
        self.ahead = thread.ok().map(|thread| (segment, thread));
    }

    fn image(&mut self, bytes: u64) -> io::Result<ImageWriter> {
        let found = self.pool.iter().position(|image| image.len() as u64 == bytes);
        found.map_or_else(|| ImageWriter::anonymous(size(bytes)), |index| Ok(self.pool.swap_remove(index)))
    }
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        if let Some((_, thread)) = self.ahead.take() {
            drop(thread.join());
        }
    }
}

impl Performer {
    pub(crate) fn new(files: Arc<Files>) -> Performer {
        Performer { files, spares: SpareFiles::default(), windows: VecDeque::new(), remembered: 0 }
    }

    /// There is nothing to do: memory that was kept for more goes.
    pub(crate) fn rest(&mut self) {
        (self.windows, self.remembered) = (VecDeque::new(), 0);
    }

    pub(crate) fn perform(&mut self, request: Request) -> Option<Answer> {
        match request {
            Request::Write(write, file) => Some(Answer::Written(self.write(&write, &file))),
            Request::Prepare(prepare) => {
                let segment = prepare.header.number;
                Some(Answer::Prepared(segment, self.spares.prepare(&self.files, prepare)))
            }
            Request::GiveBack(leaving) => {
                let answer = self.spares.give_back(&self.files, leaving);
                answer.err().map(|error| Answer::Stays(leaving.segment, error))
            }
            Request::Keep(name, bytes) => {
                Some(Answer::Kept(self.files.replace(&self.files.directory.join(name), &bytes)))
            }
            Request::State(slot, table) => {
                let bytes = table.encode();
                drop(table);
                Some(Answer::Stated(self.files.replace(&self.files.table(slot), &bytes)))
            }
            Request::Read(read, Some(file)) => Some(Answer::Read(read, self.window(&file, &read), None)),
            Request::Read(read, None) => Some(self.open_and_read(self.files.segment(read.segment), read)),
            Request::ReadSpilled(read) => Some(self.open_and_read(self.files.spilled(read.segment), read)),
            Request::Spill(segment, image, len) => {
                let result = self.spill(segment, image.bytes(0, len));
                Some(Answer::Spilled(segment, if planted("spill-failure-unseen") { Ok(()) } else { result }))
            }
            Request::Discard(segment) => {
                // What cannot be removed is removed at the next start.
                let _ = std::fs::remove_file(self.files.spilled(segment));
                None
            }
        }
    }

    fn write(&self, write: &Write, file: &File) -> io::Result<()> {
        let len = write.end - write.start;
        match self.files.medium {
            Medium::Direct => direct::write_durable(file, write.image.bytes(write.start, len), write.start as u64),
            Medium::Mapped => write.image.flush(write.start, len),
        }
    }

    fn spill(&self, segment: SegmentNumber, bytes: &[u8]) -> io::Result<()> {
        let path = self.files.spilled(segment);
        let open = || self.files.open(&path, true, true);
        let file = open().or_else(|error| match error.kind() {
            // Of a try that failed, and whose file could not be removed then.
            io::ErrorKind::AlreadyExists => std::fs::remove_file(&path).and_then(|()| open()),
            _ => Err(error),
        })?;
        direct::write_all(&file, bytes, 0).inspect_err(|_| {
            let _ = std::fs::remove_file(&path);
        })
    }

    fn open_and_read(&mut self, path: PathBuf, read: Read) -> Answer {
        match self.files.open(&path, false, false) {
            Ok(file) => Answer::Read(read, self.window(&file, &read), Some(file)),
            Err(error) => Answer::Read(read, Err(error), None),
        }
    }

    fn window(&mut self, file: &File, read: &Read) -> io::Result<Arc<Image>> {
        let mut image = self.image(read.len as usize)?;
        let read = direct::read(file, &mut image, read.offset);
        if !planted("unreadable-is-zeros") {
            read?;
        }
        image.publish(image.len());
        if image.len() <= LARGEST_KEPT {
            self.remembered += image.len();
            self.windows.push_back(Arc::clone(image.image()));
            while self.remembered > REMEMBERED {
                self.remembered -= self.windows.pop_front().map_or(self.remembered, |image| image.len());
            }
        }
        Ok(Arc::clone(image.image()))
    }

    /// Memory for a window: of one that nobody holds any more, or new.
    fn image(&mut self, bytes: usize) -> io::Result<ImageWriter> {
        let is_free = |image: &Arc<Image>| Arc::strong_count(image) == 1 && image.len() == bytes;
        let free = self.windows.iter().rposition(is_free).and_then(|index| self.windows.remove(index));
        self.remembered -= free.as_ref().map_or(0, |image| image.len());
        match free.map(ImageWriter::reuse) {
            Some(Ok(writer)) => Ok(writer),
            _ => ImageWriter::anonymous(bytes),
        }
    }
}

impl Storage for FileStorage {
    fn prepare(&mut self, prepare: Prepare) {
        // The start is over.
        self.pool.clear();
        self.helper.ask(Request::Prepare(prepare));
    }

    #[expect(clippy::expect_used, reason = "a file that is written stays open from its preparation on")]
    fn submit(&mut self, write: Write) {
        self.open.written_before(write.segment);
        let file = self.open.get(write.segment).expect("a prepared segment's file is open");
        let handed = self.flusher.push(Request::Write(write, file)).is_ok();
        assert!(handed, "one write in flight");
    }

    fn read(&mut self, read: Read) {
        let file = self.open.get(read.segment);
        self.reader.ask(Request::Read(read, file));
    }

    fn keep(&mut self, name: String, bytes: Arc<[u8]>) {
        self.helper.ask(Request::Keep(name, bytes));
    }

    fn state(&mut self, slot: usize, table: Arc<EpochTable>) {
        self.helper.ask(Request::State(slot, table));
    }

    fn recycle(&mut self, segment: SegmentNumber) {
        self.open.close(segment);
        self.helper.ask(Request::GiveBack(Leaving { segment, damaged: false }));
    }

    fn set_aside(&mut self, segment: SegmentNumber) {
        self.open.close(segment);
        self.helper.ask(Request::GiveBack(Leaving { segment, damaged: true }));
    }

    fn has_completed(&self) -> bool {
        !self.answers.is_empty()
    }

    fn completed(&mut self) -> Option<Completion> {
        self.helper.pass_on();
        self.reader.pass_on();
        Some(match self.answers.pop()? {
            Answer::Written(result) => Completion::Written(result),
            Answer::Kept(result) => Completion::Kept(result),
            Answer::Stated(result) => Completion::Stated(result),
            Answer::Stays(segment, error) => Completion::Stays { segment, error },
            Answer::Spilled(..) => unreachable!("a storage asks for no spill"),
            Answer::Read(read, result, file) => {
                self.opened(&read, &result, file);
                Completion::Read { ticket: read.ticket, result }
            }
            Answer::Prepared(segment, result) => {
                let result = result.map(|(image, file)| {
                    self.open.keep(segment, file, true);
                    image
                });
                Completion::Prepared { segment, result }
            }
        })
    }

    fn room(&self) -> u64 {
        self.files.free().unwrap_or(0)
    }

    fn place(&self) -> String {
        self.files.directory.display().to_string()
    }

    fn open_files(&self) -> usize {
        self.open.len()
    }

    fn begin(&mut self) -> io::Result<()> {
        self.files.remove_spilled()
    }

    fn segments(&mut self) -> io::Result<Vec<SegmentFile>> {
        let mut segments = Vec::new();
        for number in self.files.segments()? {
            let path = self.files.segment(number);
            let bytes = match regular_length(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let unreadable = Some(error.to_string());
                    segments.push(SegmentFile { number, bytes: 0, header: Vec::new(), unreadable });
                    continue;
                }
            };
            let first_block = || {
                let mut header = Vec::new();
                File::open(&path)?.take(4096).read_to_end(&mut header)?;
                Ok(header)
            };
            let (header, unreadable) = match whole::asked_again(first_block, &self.patience) {
                Ok(header) => (header, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            segments.push(SegmentFile { number, bytes, header, unreadable });
        }
        Ok(segments)
    }

    fn load(&mut self, segment: SegmentNumber, bytes: u64, ahead: Option<(SegmentNumber, u64)>) -> io::Result<Loaded> {
        let (loaded, file) = match self.ahead.take() {
            Some((under_way, thread)) if under_way == segment => {
                thread.join().map_err(|_| io::Error::other("the reader ended"))??
            }
            other => {
                self.ahead = other;
                let image = self.image(bytes)?;
                read_whole(&self.files.segment(segment), image, &self.patience)?
            }
        };
        let file = match self.files.medium {
            Medium::Direct => Ok(file),
            Medium::Mapped => mapped::open(&self.files.segment(segment), false, false),
        };
        // One that cannot be opened is opened when it is read.
        if let Ok(file) = file {
            self.open.keep(segment, file, false);
        }
        if let Some((segment, bytes)) = ahead {
            self.read_ahead(segment, bytes);
        }
        Ok(loaded)
    }

    fn unload(&mut self, image: ImageWriter) {
        // Sizes that do not come again make way.
        if self.pool.len() == POOL {
            self.pool.remove(0);
        }
        self.pool.push(image);
    }

    fn adopt(&mut self, segment: SegmentNumber, loaded: ImageWriter) -> io::Result<ImageWriter> {
        // The last call of a start: what was read ahead or kept for it is not needed.
        self.ahead = None;
        self.pool.clear();
        let file = self.files.open(&self.files.segment(segment), false, true)?;
        let image = match self.files.medium {
            Medium::Direct => loaded,
            Medium::Mapped => mapped::map(&file)?,
        };
        self.open.keep(segment, file, true);
        Ok(image)
    }

    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        File::options().write(true).open(self.files.segment(segment))?.sync_data()
    }

    fn replace(&mut self, segment: SegmentNumber, bytes: &[u8], keep_as: &str) -> io::Result<Option<String>> {
        self.open.close(segment);
        let path = self.files.segment(segment);
        let kept_as = self.files.keep(&path, keep_as)?;
        self.files.replace(&path, bytes)?;
        Ok(kept_as)
    }

    fn remove(&mut self, segment: SegmentNumber, keep_as: &str) -> io::Result<Option<String>> {
        self.open.close(segment);
        self.files.rename_aside(&self.files.segment(segment), keep_as)
    }

    fn read_table(&mut self, slot: usize) -> io::Result<Option<Vec<u8>>> {
        let path = self.files.table(slot);
        match whole::asked_again(|| regular_length(&path).and_then(|_| std::fs::read(&path)), &self.patience) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn write_table(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        self.files.replace(&self.files.table(slot), bytes)
    }

    fn save_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String> {
        let mut other = name.to_owned();
        for number in 1_u64.. {
            match std::fs::read(self.files.directory.join(&other)) {
                // Of a start that was cut short.
                Ok(there) if there == bytes => return Ok(other),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                _ => other = format!("{name}-{number}"),
            }
        }
        self.files.replace(&self.files.directory.join(&other), bytes).map(|()| other)
    }
}

/// The length of a file. What has its name and is something else is not opened: a pipe would be waited for.
fn regular_length(path: &Path) -> io::Result<u64> {
    let metadata = std::fs::metadata(path)?;
    // As of a directory, nothing is tried again.
    let other = || io::Error::new(io::ErrorKind::IsADirectory, "it is no regular file");
    if metadata.is_file() { Ok(metadata.len()) } else { Err(other()) }
}

fn read_whole(path: &Path, image: ImageWriter, patience: &Patience) -> io::Result<Opened> {
    let file = direct::open(path, false, false)?;
    let loaded = whole::read(&file, image, patience)?;
    Ok((loaded, file))
}

impl Files {
    fn check_room(&self, min_free: u64) -> Result<(), OpenError> {
        let seen = |error| refusal(&self.directory, error);
        if min_free == 0 || !self.segments().map_err(seen)?.is_empty() {
            return Ok(());
        }
        let free = self.free().map_err(seen)?;
        if free < min_free {
            return Err(OpenError::Full { directory: self.directory.clone(), needed: min_free, free });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
