//! The journal's seam over the disk.

use std::io;
use std::sync::Arc;

use postrider_journal::epoch::EpochTable;
use postrider_journal::{
    Completion, Image, ImageWriter, Loaded, Medium, Prepare, Read, SegmentFile, SegmentNumber, Storage, Write,
};

use super::{Disk, Operation, SECTOR, State};
use crate::schedule::Happening;

/// The broker's hold on the disk, for one life.
pub struct SimStorage {
    disk: Disk,
}

impl SimStorage {
    pub(super) fn new(disk: Disk) -> SimStorage {
        SimStorage { disk }
    }

    fn start(&self, operation: Operation) {
        let mut state = self.disk.state.borrow_mut();
        let number = state.next_operation;
        state.next_operation += 1;
        let typical =
            if matches!(operation, Operation::Write(_)) { state.plan.sync_nanos } else { state.plan.work_nanos };
        let delay = 1 + state.random.delay(typical);
        state.operations.insert(number, operation);
        self.disk.schedule.after(delay, Happening::Disk(number));
    }

    /// The power may go between any two calls of a start.
    fn live(&self) -> io::Result<()> {
        match self.disk.dies_after.get() {
            Some(0) => Err(io::Error::other("the simulated power is gone")),
            Some(calls) => {
                self.disk.dies_after.set(Some(calls - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn may_keep(&self, segment: SegmentNumber, image: &Arc<Image>) {
        let mut state = self.disk.state.borrow_mut();
        if state.plan.medium == Medium::Mapped {
            state.mapped.insert(segment.0, Arc::downgrade(image));
        }
    }
}

impl Storage for SimStorage {
    fn prepare(&mut self, prepare: Prepare) {
        if let Some(image) = &prepare.image {
            // A weak reference would keep the memory from being used again.
            let mut state = self.disk.state.borrow_mut();
            state.mapped.retain(|_, mapped| mapped.as_ptr() != Arc::as_ptr(image));
        }
        self.start(Operation::Prepare(prepare));
    }

    fn submit(&mut self, write: Write) {
        let mut state = self.disk.state.borrow_mut();
        assert!(!state.writing, "R4: two writes in flight");
        assert!(!state.sync_failed, "R7: a write after a failed sync");
        assert!(
            write.start < write.end && write.start.is_multiple_of(4096) && write.end.is_multiple_of(4096),
            "R4: blocks"
        );
        let file = state.files.get(&write.segment.0).expect("a write to a segment that exists");
        assert!(
            write.start >= file.synced_to,
            "R4: byte {} of segment {} is synced and is written again",
            write.start,
            write.segment
        );
        state.writing = true;
        drop(state);
        self.start(Operation::Write(write));
    }

    fn read(&mut self, read: Read) {
        self.start(Operation::Read(read));
    }

    fn keep(&mut self, name: String, bytes: Arc<[u8]>) {
        self.start(Operation::Keep(name, bytes));
    }

    fn state(&mut self, slot: usize, table: Arc<EpochTable>) {
        self.start(Operation::State(slot, table));
    }

    fn recycle(&mut self, segment: SegmentNumber) {
        let mut state = self.disk.state.borrow_mut();
        let read = |operation: &Operation| matches!(operation, Operation::Read(read) if read.segment == segment);
        assert!(!state.operations.values().any(read), "R20: segment {segment} is given back while it is being read");
        let file = state.files.remove(&segment.0).expect("a segment that exists is given back");
        state.removed.push_back((segment.0, file));
        state.mapped.remove(&segment.0);
        state.statistics.recycled += 1;
        drop(state);
        self.start(Operation::Removal);
    }

    fn completed(&mut self) -> Option<Completion> {
        self.disk.state.borrow_mut().completions.pop_front()
    }

    fn has_completed(&self) -> bool {
        !self.disk.state.borrow().completions.is_empty()
    }

    fn room(&self) -> u64 {
        let state = self.disk.state.borrow();
        state.plan.capacity.saturating_sub(state.used_bytes())
    }

    fn segments(&mut self) -> io::Result<Vec<SegmentFile>> {
        self.live()?;
        let state = self.disk.state.borrow();
        let found = state.files.iter().map(|(number, file)| SegmentFile {
            number: SegmentNumber(*number),
            bytes: file.len(),
            header: file.bytes()[..4096].to_vec(),
            unreadable: None,
        });
        Ok(found.collect())
    }

    fn load(&mut self, segment: SegmentNumber, bytes: u64, _: Option<(SegmentNumber, u64)>) -> io::Result<Loaded> {
        self.live()?;
        let mut writer = ImageWriter::anonymous(bytes as usize)?;
        let state = self.disk.state.borrow();
        let file = state.files.get(&segment.0).ok_or(io::ErrorKind::NotFound)?;
        let len = file.bytes().len().min(bytes as usize);
        writer.write(0, &file.bytes()[..len]);
        Ok(Loaded { writer, unreadable: Vec::new() })
    }

    fn adopt(&mut self, segment: SegmentNumber, loaded: ImageWriter) -> io::Result<ImageWriter> {
        self.live()?;
        self.may_keep(segment, loaded.image());
        Ok(loaded)
    }

    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.live()?;
        let mut state = self.disk.state.borrow_mut();
        state.files.get_mut(&segment.0).ok_or(io::ErrorKind::NotFound)?.sync();
        Ok(())
    }

    fn replace(&mut self, segment: SegmentNumber, bytes: &[u8], keep_as: &str) -> io::Result<Option<String>> {
        let kept_as = self.remove(segment, keep_as)?;
        self.disk.state.borrow_mut().put_file(segment, bytes, bytes.len() as u64);
        Ok(kept_as)
    }

    fn remove(&mut self, segment: SegmentNumber, keep_as: &str) -> io::Result<Option<String>> {
        self.live()?;
        let mut state = self.disk.state.borrow_mut();
        let Some(old) = state.files.remove(&segment.0) else { return Ok(None) };
        let held = old.bytes().to_vec();
        state.aside.push((keep_as.to_owned(), held));
        Ok(Some(keep_as.to_owned()))
    }

    fn read_table(&mut self, slot: usize) -> io::Result<Option<Vec<u8>>> {
        self.live()?;
        Ok(self.disk.state.borrow().tables[slot].clone())
    }

    fn write_table(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        self.live()?;
        self.disk.state.borrow_mut().tables[slot] = Some(bytes.to_vec());
        self.live()
    }

    fn save_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String> {
        self.live()?;
        self.disk.state.borrow_mut().put_aside(name.to_owned(), bytes);
        Ok(name.to_owned())
    }
}

impl State {
    pub(super) fn finish_prepare(&mut self, prepare: Prepare) {
        let header = prepare.header;
        let failure = self.may_fail(self.plan.failing_preparations).err();
        let result = if let Some(error) = failure {
            Err(error)
        } else if self.used_bytes() + header.bytes > self.plan.capacity {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        } else {
            let reused = prepare.image.and_then(|image| ImageWriter::reuse(image).ok());
            let made = reused.map_or_else(|| ImageWriter::anonymous(header.bytes as usize), Ok);
            made.inspect(|_| self.put_file(header.number, &header.encode(), header.bytes))
        };
        let result = result.map(|mut writer| {
            writer.write(0, &header.encode());
            writer.publish(header.block as usize);
            if self.plan.medium == Medium::Mapped {
                self.mapped.insert(header.number.0, Arc::downgrade(writer.image()));
            }
            writer
        });
        self.completions.push_back(Completion::Prepared { segment: header.number, result });
    }

    pub(super) fn finish_keep(&mut self, name: String, bytes: &[u8]) {
        let result = self.may_fail(self.plan.failing_reads).map(|()| self.put_aside(name, bytes));
        self.completions.push_back(Completion::Kept(result));
    }

    pub(super) fn finish_state(&mut self, slot: usize, table: &[u8]) {
        let result = self.may_fail(self.plan.failing_reads).map(|()| self.tables[slot] = Some(table.to_vec()));
        self.completions.push_back(Completion::Stated(result));
    }

    fn put_aside(&mut self, name: String, bytes: &[u8]) {
        self.aside.retain(|(other, _)| *other != name);
        self.aside.push((name, bytes.to_vec()));
    }

    pub(super) fn finish_write(&mut self, write: Write) {
        self.writing = false;
        let failing = self.plan.failing_syncs;
        if failing > 0 && self.random.one_in(failing) {
            self.sync_failed = true;
            self.land_some(&write);
            self.completions.push_back(Completion::Written(Err(io::Error::other("simulated failure of a sync"))));
            return;
        }
        let file = self.files.get_mut(&write.segment.0).expect("a segment that is written exists");
        file.write_synced(write.start, write.image.bytes(write.start, write.end - write.start));
        file.synced_to = write.end;
        self.statistics.syncs += 1;
        self.statistics.filled += u64::from(write.end as u64 == file.len());
        self.completions.push_back(Completion::Written(Ok(())));
    }

    pub(super) fn window(&mut self, read: Read) -> io::Result<Arc<Image>> {
        let file = self.files.get(&read.segment.0).ok_or(io::ErrorKind::NotFound)?;
        let (offset, len) = (read.offset as usize, read.len as usize);
        let bytes = file.bytes().get(offset..offset + len).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut writer = ImageWriter::anonymous(len)?;
        writer.write(0, bytes);
        writer.publish(len);
        Ok(Arc::clone(writer.image()))
    }

    /// Some sectors of a write that did not come to its end are there, for now.
    pub(super) fn land_some(&mut self, write: &Write) {
        let whole = self.random.percent(self.plan.lands_whole);
        let share = if whole { 100 } else { *self.random.pick(&[0, 10, 50, 90]) };
        let Some(file) = self.files.get_mut(&write.segment.0) else { return };
        for sector in write.start / SECTOR..write.end / SECTOR {
            if self.random.percent(share) {
                file.write_sector(sector, write.image.bytes(sector * SECTOR, SECTOR));
            }
        }
    }
}
