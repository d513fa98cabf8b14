//! A storage that has finished before it was asked: what is measured above it is the journal alone.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use postrider_journal::epoch::EpochTable;
use postrider_journal::{Completion, ImageWriter, Loaded, Prepare, Read, SegmentFile, SegmentNumber, Storage, Write};

/// Nothing is kept; memory of segments is used again.
#[derive(Default)]
pub struct InstantStorage {
    completions: VecDeque<Completion>,
}

impl Storage for InstantStorage {
    fn prepare(&mut self, prepare: Prepare) {
        let header = prepare.header;
        let reused = prepare.image.and_then(|image| ImageWriter::reuse(image).ok());
        let mut writer = reused.unwrap_or_else(|| ImageWriter::anonymous(header.bytes as usize).expect("memory"));
        let block = header.encode();
        writer.write(0, &block);
        writer.publish(block.len());
        self.completions.push_back(Completion::Prepared { segment: header.number, result: Ok(writer) });
    }

    fn submit(&mut self, _: Write) {
        self.completions.push_back(Completion::Written(Ok(())));
    }

    fn read(&mut self, read: Read) {
        let result = Err(io::Error::other("nothing is kept"));
        self.completions.push_back(Completion::Read { ticket: read.ticket, result });
    }

    fn keep(&mut self, _: String, _: Arc<[u8]>) {
        self.completions.push_back(Completion::Kept(Ok(())));
    }

    fn state(&mut self, _: usize, _: Arc<EpochTable>) {
        self.completions.push_back(Completion::Stated(Ok(())));
    }

    fn recycle(&mut self, _: SegmentNumber) {}

    fn completed(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    fn has_completed(&self) -> bool {
        !self.completions.is_empty()
    }

    fn room(&self) -> u64 {
        1 << 40
    }

    fn segments(&mut self) -> io::Result<Vec<SegmentFile>> {
        Ok(Vec::new())
    }

    fn load(&mut self, _: SegmentNumber, _: u64, _: Option<(SegmentNumber, u64)>) -> io::Result<Loaded> {
        Err(io::Error::other("nothing is kept"))
    }

    fn adopt(&mut self, _: SegmentNumber, loaded: ImageWriter) -> io::Result<ImageWriter> {
        Ok(loaded)
    }

    fn sync(&mut self, _: SegmentNumber) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self, _: SegmentNumber, _: &[u8], _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn remove(&mut self, _: SegmentNumber, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn read_table(&mut self, _: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn write_table(&mut self, _: usize, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn save_aside(&mut self, name: &str, _: &[u8]) -> io::Result<String> {
        Ok(name.to_owned())
    }
}
