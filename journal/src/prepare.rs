//! Segments made ready ahead of their use.

use std::collections::VecDeque;
use std::io;

use crate::image::ImageWriter;
use crate::journal::{Journal, Prepared};
use crate::pause::{Pause, soonest};
use crate::position::SegmentNumber;
use crate::room::{Gate, room_of};
use crate::segment::SegmentHeader;
use crate::storage::{Prepare, Storage};
use crate::trouble::Trouble;

/// What is ready, and what is under way: one at a time, so that numbers stay contiguous when one fails.
pub(crate) struct Preparing {
    ready: VecDeque<Prepared>,
    under_way: Option<SegmentHeader>,
    next_number: SegmentNumber,
    /// Bytes of an oversize segment that a batch waits for.
    wanted: Option<u64>,
    /// Why the last one failed, until one does not.
    failed: Option<io::Error>,
    /// It is tried again when this is over.
    pause: Option<Pause>,
    keys: u64,
    /// When the disk is measured again, in nanoseconds, if it has to be.
    pub measure_at: Option<u64>,
    pub gate: Gate,
}

impl Preparing {
    pub(crate) fn new(next_number: SegmentNumber, keys: u64) -> Preparing {
        Preparing {
            ready: VecDeque::new(),
            under_way: None,
            next_number,
            wanted: None,
            failed: None,
            pause: None,
            keys,
            measure_at: None,
            gate: Gate::new(),
        }
    }

    /// When one is tried again.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let again = self.pause.filter(|_| self.waits()).and_then(|pause| pause.until());
        soonest([again, self.measure_at])
    }

    fn waits(&self) -> bool {
        self.failed.is_some() && self.under_way.is_none()
    }

    /// Whether the medium gives no segment for what comes next.
    pub(crate) fn is_short(&self) -> bool {
        self.failed.is_some() && self.ready.is_empty()
    }

    /// Bytes a frame may have in the next segment.
    pub(crate) fn room(&self) -> u64 {
        self.ready.front().map_or(0, |prepared| room_of(prepared.header.bytes, prepared.header.block))
    }

    pub(crate) fn take(&mut self) -> Option<Prepared> {
        self.ready.pop_front()
    }

    /// Bytes of the files that are ready or under way.
    pub(crate) fn bytes(&self) -> u64 {
        let ready: u64 = self.ready.iter().map(|prepared| prepared.header.bytes).sum();
        ready + self.under_way.map_or(0, |header| header.bytes)
    }

    /// The next of a sequence that nobody guesses who does not know where it began.
    fn next_key(&mut self) -> u64 {
        self.keys = self.keys.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.keys)
    }
}

/// Spreads the bits of what was counted (splitmix64).
pub(crate) fn mixed(counted: u64) -> u64 {
    let mixed = (counted ^ (counted >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl<S: Storage> Journal<S> {
    /// Tries again after a preparation failed, when its pause is over.
    pub(crate) fn prepare_again(&mut self, now: u64) {
        if self.preparing.waits() && self.preparing.pause.get_or_insert_default().is_over(now) {
            self.prepare_next();
        }
    }

    /// Why the medium gives no segment: the place, and what the system said.
    pub fn shortage(&self) -> Option<String> {
        let error = self.preparing.failed.as_ref()?;
        Some(format!("{}: {error}", self.storage.place()))
    }

    /// A frame of `frame_bytes` waits for a segment.
    pub(crate) fn want(&mut self, frame_bytes: u64) {
        if frame_bytes > self.regular_room() {
            self.preparing.wanted = self.preparing.wanted.max(self.segment_for(frame_bytes));
        }
        self.top_up();
    }

    /// Keeps enough segments ready, as far as the disk budget goes.
    pub(crate) fn top_up(&mut self) {
        if self.preparing.under_way.is_none() && self.preparing.failed.is_none() {
            self.prepare_next();
        }
    }

    fn prepare_next(&mut self) {
        let mut bytes = self.table.segment_bytes;
        if let Some(wanted) = self.affordable_wanted() {
            bytes = wanted;
            self.discard_ready();
        } else if self.preparing.ready.len() >= self.config.prepared {
            return;
        }
        let within = self.disk_bytes() + bytes <= self.disk_budget();
        if !within && !self.needs_segment_for_head() && !self.overdraws(bytes) {
            return;
        }
        let header = SegmentHeader {
            key: self.preparing.next_key(),
            number: self.preparing.next_number,
            bytes,
            block: self.table.block,
            epoch: self.epoch,
            log_id: self.table.log_id,
            nonce: self.table.newest().map_or(0, |life| life.nonce),
        };
        self.preparing.under_way = Some(header);
        let image = self.reusable_image(bytes);
        self.storage.prepare(Prepare { header, image });
    }

    /// The oversize segment a batch waits for, if the budget allows it; if not, that batch must not hold up the others.
    fn affordable_wanted(&mut self) -> Option<u64> {
        let wanted = self.preparing.wanted?;
        if !self.has_budget_for(wanted) {
            self.preparing.wanted = None;
        }
        self.preparing.wanted
    }

    #[expect(clippy::expect_used, reason = "a storage answers what it was asked: anything else is our own mistake")]
    pub(crate) fn was_prepared(&mut self, segment: SegmentNumber, result: io::Result<ImageWriter>) -> u32 {
        let header = self.preparing.under_way.take().expect("an answer to a preparation");
        assert_eq!(header.number, segment, "answers come in order");
        match result {
            Ok(writer) => {
                self.statistics.prepared += 1;
                (self.preparing.failed, self.preparing.pause) = (None, None);
                self.preparing.next_number.0 += header.bytes / self.table.segment_bytes;
                if self.preparing.wanted.is_some_and(|wanted| header.bytes >= wanted) {
                    self.preparing.wanted = None;
                }
                self.preparing.ready.push_back(Prepared { header, writer });
                1
            }
            Err(error) => {
                self.statistics.preparation_failures += 1;
                if self.preparing.pause.get_or_insert_default().failed(&error) {
                    let (file, place) = (self.storage.name(header.number), self.storage.place());
                    let told = io::Error::new(error.kind(), error.to_string());
                    self.troubles.add(Trouble::Preparation { file, bytes: header.bytes, place, error: told });
                }
                self.preparing.failed = Some(error);
                // An oversize segment must not keep the others from theirs.
                self.preparing.wanted = None;
                0
            }
        }
    }

    /// Regular segments that are ready make way for an oversize one.
    fn discard_ready(&mut self) {
        while let Some(Prepared { header, writer }) = self.preparing.ready.pop_back() {
            self.preparing.next_number = header.number;
            self.retired.push(std::sync::Arc::clone(writer.image()));
            drop(writer);
            self.storage.recycle(header.number);
        }
    }

    fn reusable_image(&mut self, bytes: u64) -> Option<std::sync::Arc<crate::image::Image>> {
        let free = |image: &std::sync::Arc<crate::image::Image>| std::sync::Arc::strong_count(image) == 1;
        let fits = |image: &std::sync::Arc<crate::image::Image>| image.len() as u64 == bytes && !image.file_backed();
        let found = self.retired.iter().position(|image| free(image) && fits(image));
        let image = found.map(|index| self.retired.swap_remove(index));
        // Unused images stay as long as all together are within `hot_bytes`: memory does not rise and fall with the log. What
        // others hold is theirs.
        let mut kept = self.hot_bytes;
        let hot_bytes = self.config.hot_bytes;
        self.retired.retain(|image| {
            let within = kept + image.len() as u64 <= hot_bytes && !image.file_backed();
            kept += if free(image) && within { image.len() as u64 } else { 0 };
            !free(image) || within
        });
        image
    }
}
