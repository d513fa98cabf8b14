//! The journal: what its owner, the one appender, calls.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::ahead::{Begun, Stretch};
use crate::append::{Active, Standing};
use crate::aside::Aside;
use crate::cold::{Arrival, Cold, Lookup, Wanted};
use crate::config::Config;
use crate::epoch::EpochTable;
use crate::error::SyncFailed;
use crate::frame::Record;
use crate::group::{InFlight, Proof};
use crate::image::{Extent, Image, ImageWriter};
use crate::pause::soonest;
use crate::plant::planted;
use crate::position::{Epoch, Home, Position, SegmentNumber};
use crate::prepare::Preparing;
use crate::reclaim::Head;
use crate::recovery::Recovery;
use crate::segment::{Segment, SegmentHeader};
use crate::stated::Stated;
use crate::statistics::Statistics;
use crate::storage::{Completion, Storage};
use crate::trouble::{Trouble, Troubles};
use crate::watermark::Watermarks;

/// The log of one node. A turn of its owner: `reserve` and `stage` for each batch, `seal`, `submit`, `poll`.
pub struct Journal<S: Storage> {
    pub(crate) storage: S,
    pub(crate) config: Config,
    pub(crate) table: Arc<EpochTable>,
    pub(crate) epoch: Epoch,
    pub(crate) recovery: Recovery,
    pub(crate) marks: Watermarks,
    pub(crate) proof: Proof,
    /// Live segments, oldest first; the active one is the last.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) active: Option<Active>,
    /// Full segments whose last group is not submitted, oldest first.
    pub(crate) closing: VecDeque<(Active, SegmentNumber)>,
    pub(crate) preparing: Preparing,
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) head: Head,
    pub(crate) stated: Stated,
    pub(crate) hot_bytes: u64,
    /// Images that are no longer needed here, until nobody else holds them.
    pub(crate) retired: Vec<Arc<Image>>,
    pub(crate) cold: Cold,
    /// What was asked for is not needed any more, and whoever waits for it does not know.
    pub(crate) unserved: bool,
    pub(crate) aside: Aside,
    pub(crate) troubles: Troubles,
    pub(crate) statistics: Statistics,
}

/// A segment that is ready for its turn.
pub(crate) struct Prepared {
    pub header: SegmentHeader,
    pub writer: ImageWriter,
}

/// What a poll brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// `durable` moved.
    pub durable: bool,
    /// Segments that became ready.
    pub prepared: u32,
    /// Windows that arrived.
    pub fetched: u32,
}

impl<S: Storage> Journal<S> {
    /// What recovery found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// This life.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Counters since the start.
    pub fn statistics(&self) -> Statistics {
        let (reads_waiting, open_files) = (self.cold.failed() as u64, self.storage.open_files() as u64);
        Statistics { reads_waiting, open_files, ..self.statistics }
    }

    /// Something that failed, and is tried again; each is told once, and not all when there are many.
    pub fn take_trouble(&mut self) -> Option<Trouble> {
        self.troubles.take()
    }

    /// The end of the last sealed frame.
    pub fn appended(&self) -> Position {
        self.marks.appended.get()
    }

    /// All below it is on this node's disk.
    pub fn durable(&self) -> Position {
        self.marks.durable.get()
    }

    /// What a submit would have to write besides its pad, in bytes.
    pub fn unsubmitted_bytes(&self) -> u64 {
        self.marks.appended.get() - self.marks.submitted.get()
    }

    /// Bytes of an ordinary segment.
    pub fn segment_bytes(&self) -> u64 {
        self.config.segment_bytes
    }

    /// Whether a poll would bring something.
    pub fn has_completed(&self) -> bool {
        self.storage.has_completed()
    }

    /// All below it may be answered for.
    pub fn committed(&self) -> Position {
        self.marks.durable.get()
    }

    /// Payload that a batch of one frame may have for sure, overhead included: see [`crate::Bound::frame_bytes`].
    pub fn room(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, Active::room);
        active.max(self.preparing.room())
    }

    /// Copies a record into the log. Its bytes can be read from [`extent`](Self::extent) after the seal. Panics beyond the bound.
    #[inline]
    #[expect(
        clippy::expect_used,
        reason = "to stage without room is our own mistake, and nothing that came from outside leads to it"
    )]
    pub fn stage(&mut self, record: &Record<'_>) -> Home {
        self.statistics.records += 1;
        self.statistics.body_bytes += record.body.len() as u64;
        self.active.as_mut().expect("room is taken before something is staged").stage(record)
    }

    /// Ends the turn's frame. Everything staged is durable when `durable` reaches the position returned.
    pub fn seal(&mut self) -> Position {
        let standing = self.standing();
        if let Some(active) = &mut self.active
            && active.seal(standing)
        {
            self.statistics.frames += 1;
            let end = active.position();
            self.proof.needed = end;
            self.marks.appended.raise(end);
            self.head.stated(standing.head, end);
        }
        self.marks.appended.get()
    }

    /// States in the table where the log ends, when all of it is durable, and from where on it is needed: the next start misses what is
    /// not there, and takes what is not as it was for damage. What is appended all the same counts. Blocks.
    ///
    /// # Errors
    /// The medium's: the start finds the end as after a kill.
    pub fn end(&mut self) -> io::Result<()> {
        self.settle_losses();
        let table = Arc::make_mut(&mut self.table);
        table.ended = Some(self.marks.durable.get());
        if !planted("head-of-the-start") {
            table.head = self.head.committed();
        }
        let bytes = self.table.encode();
        (0..2).try_for_each(|slot| self.storage.write_table(slot, &bytes))
    }

    /// Takes the storage's answers.
    ///
    /// # Errors
    /// A sync failed: the process must end (R7).
    pub fn poll(&mut self) -> Result<Progress, SyncFailed> {
        let mut progress = Progress::default();
        while let Some(completion) = self.storage.completed() {
            match completion {
                Completion::Written(result) => progress.durable |= self.written(result)?,
                Completion::Prepared { segment, result } => progress.prepared += self.was_prepared(segment, result),
                Completion::Read { ticket, result } => progress.fetched += self.arrived(ticket, result),
                Completion::Kept(result) => progress.fetched += self.was_kept(result),
                Completion::Stated(result) => self.was_stated(result),
                Completion::Stays { segment, error } => {
                    let (file, place) = (self.storage.name(segment), self.storage.place());
                    self.troubles.add(Trouble::Stays { file, place, error });
                }
            }
        }
        self.reclaim();
        progress.fetched += u32::from(std::mem::take(&mut self.unserved));
        self.top_up();
        Ok(progress)
    }

    /// Tries again what failed and whose pause is over: after a poll, with the time in nanoseconds of any clock that does not stand
    /// still. True: whoever waits for bytes looks again.
    pub fn try_again(&mut self, now: u64) -> bool {
        self.try_to_keep_again(now);
        self.measure_again(now);
        self.prepare_again(now);
        self.state_durable(now);
        let look_again = self.cold.try_again(now);
        self.read();
        look_again
    }

    /// When there is something to be tried again, in nanoseconds of the same clock.
    pub fn deadline(&self) -> Option<u64> {
        soonest([self.cold.deadline(), self.aside.deadline(), self.preparing.deadline(), self.stated.deadline()])
    }

    /// The memory that holds the body of `len` bytes at `position` (a [`Home`]'s), with this checksum.
    pub fn extent(&mut self, position: Position, len: u32, crc: u32) -> Lookup {
        let Some(segment) = self.segment_at(position) else { return Lookup::Damaged };
        if let Some(image) = &segment.image {
            return Lookup::Memory(Extent { base: segment.start, image: Arc::clone(image) });
        }
        let (answer, begun) = self.cold.lookup(segment.number, (position, len), crc);
        begun.into_iter().for_each(|begun| self.read_ahead(begun));
        if matches!(answer, Lookup::Damaged) {
            self.statistics.damaged += 1;
            self.note_damage(position);
        }
        answer
    }

    /// Asks for a window that holds the body at `position`; a poll tells when one arrived. A read that fails is tried again, see
    /// [`try_again`](Self::try_again). Where no live segment is nothing is asked for: [`extent`](Self::extent) says that it is damaged.
    pub fn fetch(&mut self, position: Position, len: u32) {
        let Some(segment) = self.segment_at(position) else { return };
        let (number, bounds) = (segment.number, (segment.start, segment.bytes));
        let (read_ahead, unit) = (self.config.read_ahead, u64::from(self.table.block));
        self.cold.fetch(number, bounds, Wanted { position, len, read_ahead, unit });
        self.read();
    }

    /// The next windows, for who reads on.
    fn read_ahead(&mut self, begun: Begun) {
        let segments = &self.segments;
        let at = |from: Position| {
            let next = segments.get(segments.partition_point(|segment| segment.end() <= from))?;
            let stretch = Stretch { segment: next.number, start: next.start, bytes: next.bytes, is_whole: false };
            next.image.is_none().then_some(stretch)
        };
        self.cold.read_ahead(begun, (u64::from(self.config.read_ahead), u64::from(self.table.block)), at);
        self.read();
    }

    /// The storage, for who drives it in tests.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// The storage, for the next recovery.
    pub fn into_storage(self) -> S {
        self.storage
    }

    pub(crate) fn standing(&self) -> Standing {
        let durable = self.marks.durable.get();
        Standing { durable, committed: self.committed(), head: self.head.declared() }
    }

    /// What a segment holds is kept when it goes.
    fn note_damage(&mut self, position: Position) {
        let after = self.segments.partition_point(|segment| segment.start <= position);
        if let Some(segment) = after.checked_sub(1).and_then(|index| self.segments.get_mut(index)) {
            segment.damaged = true;
        }
    }

    pub(crate) fn segment_at(&self, position: Position) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.start <= position);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (position < segment.end()).then_some(segment)
    }

    fn arrived(&mut self, ticket: u64, result: io::Result<Arc<Image>>) -> u32 {
        let Some(Arrival { read, error, is_told, look_again }) = self.cold.arrived(ticket, result) else { return 0 };
        match error {
            None => {
                self.statistics.windows += 1;
                self.statistics.window_bytes += u64::from(read.len);
            }
            Some(error) => {
                self.statistics.read_failures += 1;
                if is_told {
                    let file = self.storage.name(read.segment);
                    let (offset, len) = (read.offset, u64::from(read.len));
                    self.troubles.add(Trouble::Read { file, offset, len, error });
                }
            }
        }
        self.read();
        u32::from(look_again)
    }

    /// Hands over what is to be read.
    pub(crate) fn read(&mut self) {
        while let Some(read) = self.cold.next_read() {
            self.storage.read(read);
        }
    }

    /// The rest of the active segment is left to its closing pad, which is written when its last group is submitted: it carries
    /// `durable` as at that time (R4).
    #[expect(clippy::expect_used, reason = "the active segment is the last one that is listed")]
    pub(crate) fn close_active(&mut self) {
        let Some(active) = self.active.take() else { return };
        let segment = self.segments.back().expect("the active segment is listed");
        self.marks.appended.raise(segment.end());
        // A head declared later rests on records of the next segment, which may not be there when this one's pad is.
        self.closing.push_back((active, self.head.declared()));
    }

    #[expect(clippy::expect_used, reason = "who calls it has seen that one is prepared")]
    pub(crate) fn activate(&mut self) {
        let Prepared { header, writer } = self.preparing.take().expect("a prepared segment");
        let start = Position(header.number.0 * self.table.segment_bytes);
        self.note_opened(header.number, header.bytes);
        self.hot_bytes += header.bytes;
        self.segments.push_back(Segment {
            number: header.number,
            key: header.key,
            start,
            bytes: header.bytes,
            image: Some(Arc::clone(writer.image())),
            damaged: false,
        });
        let segment = self.segments.back().expect("just pushed");
        let seed = segment.seed(self.epoch);
        self.active = Some(Active::new(writer, &header, start, seed, header.block as usize, 0));
        self.top_up();
    }

    /// Lets go of the oldest images beyond `hot_bytes`, of what is durable only.
    pub(crate) fn cool(&mut self) {
        let durable = self.marks.durable.get();
        let first_hot = self.segments.partition_point(|segment| segment.image.is_none());
        let count = self.segments.len().saturating_sub(1);
        for segment in self.segments.range_mut(first_hot.min(count)..count) {
            if self.hot_bytes <= self.config.hot_bytes || segment.end() > durable {
                break;
            }
            self.hot_bytes -= segment.bytes;
            self.retired.extend(segment.image.take());
        }
    }
}
