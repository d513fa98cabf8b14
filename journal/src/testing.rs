//! A storage in memory that crashes on demand, and a source of chance that repeats itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::epoch::EpochTable;
use crate::error::OpenError;
use crate::frame::Record;
use crate::image::{Image, ImageWriter};
use crate::journal::Journal;
use crate::position::{Home, SegmentNumber};
use crate::storage::{Completion, Loaded, Prepare, Read, SegmentFile, Storage, Unreadable, Write};

/// A start whose owner takes every record.
///
/// # Errors
/// The directory cannot be used.
pub fn recover<S: Storage>(
    storage: S,
    config: Config,
    visit: &mut dyn FnMut(&Record<'_>, Home),
) -> Result<Journal<S>, OpenError> {
    let mut take_all = |record: &Record<'_>, home| {
        visit(record, home);
        Ok::<(), Infallible>(())
    };
    Journal::recover(storage, config, &mut take_all).map_err(OpenError::from)
}

/// What a medium writes as a whole.
pub const SECTOR: usize = 512;

/// What became of a sector that was written and not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is there.
    Kept,
    /// The old bytes are there.
    Lost,
    /// Half of it is there.
    Torn,
    /// Neither the old nor the new bytes are there.
    Rotten,
}

struct Disk {
    durable: Vec<u8>,
    /// Sectors that were written and not synced.
    cached: BTreeMap<usize, Vec<u8>>,
}

/// Segments in memory. Requests wait until [`FakeStorage::step`] performs the oldest.
#[derive(Default)]
pub struct FakeStorage {
    disks: BTreeMap<SegmentNumber, Disk>,
    spares: Vec<Vec<u8>>,
    tables: [Option<Vec<u8>>; 2],
    /// What was saved aside, by name.
    pub aside: BTreeMap<String, Vec<u8>>,
    requests: VecDeque<Request>,
    reads: VecDeque<Read>,
    completions: VecDeque<Completion>,
    in_flight: Option<Write>,
    fail_next_write: bool,
    /// So many of the next files that are to be kept aside cannot be written.
    pub keeps_fail: u32,
    /// Ranges of bytes that cannot be read.
    unreadable: Vec<(SegmentNumber, std::ops::Range<u64>)>,
    unreadable_tables: [bool; 2],
    /// After so many loads all can be read again.
    pub heals_after: Option<u32>,
    /// Reads that were tried, in vain or not.
    pub reads_tried: Vec<Read>,
    /// Ranges whose sync failed: like a kernel, the storage calls them clean and writes them no more.
    dropped: BTreeSet<(SegmentNumber, usize)>,
    /// Free bytes that `room` tells, and preparations take from.
    pub free: u64,
    /// Calls of `sync`.
    pub syncs: u64,
}

enum Request {
    Prepare(Prepare),
    Recycle(SegmentNumber),
    Keep(String, Arc<[u8]>),
    State(usize, Arc<EpochTable>),
    Remove(SegmentNumber),
}

impl FakeStorage {
    /// An empty medium with `free` bytes.
    #[must_use]
    pub fn new(free: u64) -> FakeStorage {
        FakeStorage { free, ..FakeStorage::default() }
    }

    /// Performs the oldest preparation or recycling. Whether there was one.
    pub fn step(&mut self) -> bool {
        match self.requests.pop_front() {
            Some(Request::Prepare(prepare)) => self.do_prepare(prepare),
            Some(Request::Recycle(segment)) => self.do_recycle(segment),
            Some(Request::Keep(name, bytes)) => self.do_keep(name, &bytes),
            Some(Request::State(slot, table)) => {
                let result = self.write_table(slot, &table.encode());
                self.completions.push_back(Completion::Stated(result));
            }
            Some(Request::Remove(segment)) => drop(self.disks.remove(&segment)),
            None => return false,
        }
        true
    }

    /// Performs the oldest read: nothing orders reads and the rest. Whether there was one.
    pub fn step_read(&mut self) -> bool {
        let read = self.reads.pop_front();
        read.inspect(|read| self.do_read(*read)).is_some()
    }

    /// Completes the write in flight, or fails it. Whether there was one.
    pub fn finish_write(&mut self) -> bool {
        let Some(write) = self.in_flight.take() else { return false };
        if self.fail_next_write {
            self.fail_next_write = false;
            self.dropped.extend(sectors(&write).map(|sector| (write.segment, sector)));
            let error = io::Error::from_raw_os_error(5);
            self.completions.push_back(Completion::Written(Err(error)));
            return true;
        }
        self.cache(&write);
        let disk = self.disks.get_mut(&write.segment).expect("a prepared segment");
        for sector in sectors(&write) {
            if let Some(bytes) = disk.cached.remove(&sector) {
                disk.durable[sector * SECTOR..][..SECTOR].copy_from_slice(&bytes);
            }
        }
        self.completions.push_back(Completion::Written(Ok(())));
        true
    }

    /// Performs everything there is.
    pub fn settle(&mut self) {
        while self.step() || self.step_read() || self.finish_write() {}
    }

    /// The next write fails.
    pub fn fail_next_write(&mut self) {
        self.fail_next_write = true;
    }

    /// From here on these bytes cannot be read.
    pub fn make_unreadable(&mut self, segment: SegmentNumber, bytes: std::ops::Range<u64>) {
        self.unreadable.push((segment, bytes));
    }

    /// From here on a copy of the table cannot be read.
    pub fn make_table_unreadable(&mut self, slot: usize) {
        self.unreadable_tables[slot] = true;
    }

    /// Everything can be read again.
    pub fn make_readable(&mut self) {
        self.unreadable.clear();
        self.unreadable_tables = [false; 2];
    }

    /// The process dies: what it wrote stays, synced or not; of the write in flight what `kept` says.
    pub fn kill(&mut self, kept: &mut dyn FnMut(usize) -> bool) {
        if let Some(write) = self.in_flight.take() {
            self.cache(&write);
            let disk = self.disks.get_mut(&write.segment).expect("a prepared segment");
            for sector in sectors(&write) {
                if !kept(sector) {
                    disk.cached.remove(&sector);
                }
            }
        }
        self.requests.clear();
        self.reads.clear();
        self.completions.clear();
        self.dropped.clear();
    }

    /// The power goes: each sector that was not synced meets its fate.
    pub fn crash(&mut self, fate: &mut dyn FnMut(SegmentNumber, usize) -> Fate) {
        self.kill(&mut |_| true);
        for (segment, disk) in &mut self.disks {
            for (sector, bytes) in std::mem::take(&mut disk.cached) {
                let place = &mut disk.durable[sector * SECTOR..][..SECTOR];
                match fate(*segment, sector) {
                    Fate::Kept => place.copy_from_slice(&bytes),
                    Fate::Lost => {}
                    Fate::Torn => place[..SECTOR / 2].copy_from_slice(&bytes[..SECTOR / 2]),
                    Fate::Rotten => place.iter_mut().for_each(|byte| *byte ^= 0x5A),
                }
            }
        }
    }

    /// Alters a durable byte.
    pub fn rot(&mut self, segment: SegmentNumber, offset: usize) {
        self.disks.get_mut(&segment).expect("a segment").durable[offset] ^= 0x20;
    }

    /// Alters a byte of a copy of the table.
    pub fn rot_table(&mut self, slot: usize) {
        self.tables[slot].as_mut().expect("a table")[20] ^= 1;
    }

    /// The durable bytes of a segment.
    #[must_use]
    pub fn durable(&self, segment: SegmentNumber) -> &[u8] {
        &self.disks[&segment].durable
    }

    /// Puts durable bytes into a segment.
    pub fn forge(&mut self, segment: SegmentNumber, offset: usize, bytes: &[u8]) {
        let disk = self.disks.get_mut(&segment).expect("a segment");
        disk.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts other bytes in the place of a segment's file, or a file where none was.
    pub fn put(&mut self, segment: SegmentNumber, bytes: Vec<u8>) {
        self.disks.insert(segment, Disk { durable: bytes, cached: BTreeMap::new() });
    }

    /// The copies of the epoch table.
    #[must_use]
    pub fn tables(&self) -> [Option<Vec<u8>>; 2] {
        self.tables.clone()
    }

    /// Puts other copies in their place.
    pub fn put_tables(&mut self, tables: [Option<Vec<u8>>; 2]) {
        self.tables = tables;
    }

    /// Takes a segment's file away.
    pub fn take_away(&mut self, segment: SegmentNumber) {
        self.disks.remove(&segment);
    }

    /// The segments there are.
    #[must_use]
    pub fn numbers(&self) -> Vec<SegmentNumber> {
        self.disks.keys().copied().collect()
    }

    fn cache(&mut self, write: &Write) {
        let disk = self.disks.get_mut(&write.segment).expect("a prepared segment");
        for sector in sectors(write).filter(|sector| !self.dropped.contains(&(write.segment, *sector))) {
            disk.cached.insert(sector, write.image.bytes(sector * SECTOR, SECTOR).to_vec());
        }
    }

    fn do_prepare(&mut self, prepare: Prepare) {
        let header = prepare.header;
        let bytes = header.bytes as usize;
        let spare =
            self.spares.iter().position(|spare| spare.len() == bytes).map(|index| self.spares.swap_remove(index));
        if spare.is_none() && self.free < header.bytes {
            let result = Err(io::Error::from_raw_os_error(28));
            self.completions.push_back(Completion::Prepared { segment: header.number, result });
            return;
        }
        let mut durable = spare.unwrap_or_else(|| {
            self.free -= header.bytes;
            vec![0; bytes]
        });
        let block = header.encode();
        durable[..block.len()].copy_from_slice(&block);
        self.disks.insert(header.number, Disk { durable, cached: BTreeMap::new() });
        let reused = prepare.image.and_then(|image| ImageWriter::reuse(image).ok());
        let mut writer = reused.unwrap_or_else(|| ImageWriter::anonymous(bytes).expect("memory"));
        writer.write(0, &block);
        writer.publish(block.len());
        self.completions.push_back(Completion::Prepared { segment: header.number, result: Ok(writer) });
    }

    fn do_read(&mut self, read: Read) {
        assert!(self.disks.contains_key(&read.segment), "segment {} was recycled under a read", read.segment);
        self.reads_tried.push(read);
        let end = read.offset + u64::from(read.len);
        let hit = |(segment, bytes): &(SegmentNumber, std::ops::Range<u64>)| {
            *segment == read.segment && bytes.start < end && read.offset < bytes.end
        };
        if self.unreadable.iter().any(hit) {
            let result = Err(io::Error::from_raw_os_error(5));
            self.completions.push_back(Completion::Read { ticket: read.ticket, result });
            return;
        }
        let bytes = self.contents(read.segment);
        let window = &bytes[read.offset as usize..][..read.len as usize];
        self.completions.push_back(Completion::Read { ticket: read.ticket, result: Ok(image_of(window)) });
    }

    fn do_keep(&mut self, name: String, bytes: &[u8]) {
        let fails = self.keeps_fail > 0;
        self.keeps_fail = self.keeps_fail.saturating_sub(1);
        let result = if fails { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) };
        if !fails {
            self.aside.insert(name, bytes.to_vec());
        }
        self.completions.push_back(Completion::Kept(result));
    }

    fn do_recycle(&mut self, segment: SegmentNumber) {
        if let Some(disk) = self.disks.remove(&segment) {
            self.spares.push(disk.durable);
        }
    }

    fn contents(&self, segment: SegmentNumber) -> Vec<u8> {
        let disk = &self.disks[&segment];
        let mut bytes = disk.durable.clone();
        for (sector, cached) in &disk.cached {
            bytes[sector * SECTOR..][..SECTOR].copy_from_slice(cached);
        }
        bytes
    }
}

impl Storage for FakeStorage {
    fn prepare(&mut self, prepare: Prepare) {
        self.requests.push_back(Request::Prepare(prepare));
    }

    fn submit(&mut self, write: Write) {
        assert!(self.in_flight.is_none(), "one write in flight");
        assert!(write.start.is_multiple_of(4096) && write.end.is_multiple_of(4096) && write.start < write.end);
        self.in_flight = Some(write);
    }

    fn read(&mut self, read: Read) {
        self.reads.push_back(read);
    }

    fn keep(&mut self, name: String, bytes: Arc<[u8]>) {
        self.requests.push_back(Request::Keep(name, bytes));
    }

    fn state(&mut self, slot: usize, table: Arc<EpochTable>) {
        self.requests.push_back(Request::State(slot, table));
    }

    fn recycle(&mut self, segment: SegmentNumber) {
        self.requests.push_back(Request::Recycle(segment));
    }

    fn has_completed(&self) -> bool {
        !self.completions.is_empty()
    }

    fn completed(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    fn room(&self) -> u64 {
        self.free
    }

    fn segments(&mut self) -> io::Result<Vec<SegmentFile>> {
        let file = |(number, disk): (&SegmentNumber, &Disk)| {
            let unreadable = self.unreadable.iter().any(|(segment, bytes)| segment == number && bytes.start < 4096);
            let header = if unreadable { 0 } else { disk.durable.len().min(4096) };
            SegmentFile {
                number: *number,
                bytes: disk.durable.len() as u64,
                header: disk.durable[..header].to_vec(),
                unreadable: unreadable.then(|| io::Error::from_raw_os_error(5).to_string()),
            }
        };
        Ok(self.disks.iter().map(file).collect())
    }

    fn load(&mut self, segment: SegmentNumber, _: u64, _: Option<(SegmentNumber, u64)>) -> io::Result<Loaded> {
        match self.heals_after.as_mut() {
            Some(0) => self.make_readable(),
            Some(loads) => *loads -= 1,
            None => {}
        }
        let bytes = self.contents(segment);
        let mut writer = ImageWriter::anonymous(bytes.len())?;
        writer.write(0, &bytes);
        let hit = self.unreadable.iter().filter(|(number, _)| *number == segment);
        let mut unreadable = Vec::new();
        for (_, range) in hit {
            writer.bytes_mut(range.start as usize, (range.end - range.start) as usize).fill(0);
            let error = io::Error::from_raw_os_error(5);
            unreadable.push(Unreadable { offset: range.start, len: range.end - range.start, error });
        }
        Ok(Loaded { writer, unreadable })
    }

    fn adopt(&mut self, _: SegmentNumber, loaded: ImageWriter) -> io::Result<ImageWriter> {
        Ok(loaded)
    }

    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.syncs += 1;
        let disk = self.disks.get_mut(&segment).expect("a segment");
        for (sector, bytes) in std::mem::take(&mut disk.cached) {
            disk.durable[sector * SECTOR..][..SECTOR].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn set_aside(&mut self, segment: SegmentNumber) {
        if let Some(disk) = self.disks.get(&segment) {
            self.aside.insert(format!("damaged-segment-{:016x}", segment.0), disk.durable.clone());
        }
        self.requests.push_back(Request::Remove(segment));
    }

    fn replace(&mut self, segment: SegmentNumber, bytes: &[u8], keep_as: &str) -> io::Result<Option<String>> {
        let kept_as = self.remove(segment, keep_as)?;
        self.disks.insert(segment, Disk { durable: bytes.to_vec(), cached: BTreeMap::new() });
        Ok(kept_as)
    }

    fn remove(&mut self, segment: SegmentNumber, keep_as: &str) -> io::Result<Option<String>> {
        let Some(old) = self.disks.remove(&segment) else { return Ok(None) };
        self.unreadable.retain(|(unreadable, _)| *unreadable != segment);
        self.aside.insert(keep_as.to_owned(), old.durable);
        Ok(Some(keep_as.to_owned()))
    }

    fn read_table(&mut self, slot: usize) -> io::Result<Option<Vec<u8>>> {
        if self.unreadable_tables[slot] {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(self.tables[slot].clone())
    }

    fn write_table(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        self.tables[slot] = Some(bytes.to_vec());
        self.unreadable_tables[slot] = false;
        Ok(())
    }

    fn save_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String> {
        self.aside.insert(name.to_owned(), bytes.to_vec());
        Ok(name.to_owned())
    }
}

thread_local!(static STEPS_LEFT: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) });

/// Of this thread's operations on the files of a directory all fail after so many, as if the process had ended; none: no more.
pub fn cut_after(operations: Option<u32>) {
    STEPS_LEFT.set(operations);
}

pub(crate) fn step() -> io::Result<()> {
    match STEPS_LEFT.get() {
        Some(0) => return Err(io::Error::other("the process has ended")),
        Some(left) => STEPS_LEFT.set(Some(left - 1)),
        None => {}
    }
    Ok(())
}

thread_local!(static LINKS: std::cell::Cell<bool> = const { std::cell::Cell::new(true) });

/// Whether a file can have two names, for this thread.
pub fn with_links(links: bool) {
    LINKS.set(links);
}

pub(crate) fn link(path: impl AsRef<std::path::Path>, other: impl AsRef<std::path::Path>) -> io::Result<()> {
    if LINKS.get() { std::fs::hard_link(path, other) } else { Err(io::Error::from_raw_os_error(1)) }
}

fn sectors(write: &Write) -> std::ops::Range<usize> {
    write.start / SECTOR..write.end / SECTOR
}

fn image_of(bytes: &[u8]) -> Arc<Image> {
    let mut writer = ImageWriter::anonymous(bytes.len()).expect("memory");
    writer.write(0, bytes);
    writer.publish(bytes.len());
    Arc::clone(writer.image())
}

/// Chance from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True once in `of`.
    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}
