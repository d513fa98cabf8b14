//! Segments made ready ahead of their use.

use std::collections::VecDeque;
use std::io;

use crate::append::Bound;
use crate::error::NotReady;
use crate::frame::FRAME_HEADER;
use crate::image::ImageWriter;
use crate::journal::{Journal, Prepared};
use crate::pause::{Pause, soonest};
use crate::position::SegmentNumber;
use crate::segment::SegmentHeader;
use crate::storage::{Prepare, Storage};
use crate::trouble::Trouble;

/// Acknowledgements have no more than this for themselves.
const MOST_KEPT: u64 = 16 << 20;

/// The last segments of the disk budget are for what moves: nothing else makes the log shorter while a live record stands at its front.
const SEGMENTS_FOR_MOVES: u64 = 2;

/// Segments that what makes the log shorter may take beyond the disk budget.
const OVERDRAFT_SEGMENTS: u64 = 4;

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
    /// The least that the files had when something had to go beyond the disk budget.
    overdrawn: Option<u64>,
    /// The start found more than the budget leaves room to work in.
    pub began_short: bool,
    /// The newest segment that was opened among the last ones of the budget.
    for_moves: Option<SegmentNumber>,
    /// When the disk is measured again, in nanoseconds, if it has to be.
    pub measure_at: Option<u64>,
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
            overdrawn: None,
            began_short: false,
            for_moves: None,
            measure_at: None,
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

/// Bytes a frame may have in a segment of its own: a header's block before it, a closing pad behind it.
fn room_of(segment_bytes: u64, block: u32) -> u64 {
    segment_bytes - u64::from(block) - FRAME_HEADER as u64
}

impl<S: Storage> Journal<S> {
    /// Tries again after a preparation failed, when its pause is over.
    pub(crate) fn prepare_again(&mut self, now: u64) {
        if self.preparing.waits() && self.preparing.pause.get_or_insert_default().is_over(now) {
            self.prepare_next();
        }
    }

    /// While the medium gives no segment for what comes next: bytes that a frame of a batch may have without taking what is left
    /// for acknowledgements.
    pub fn room_when_short(&self) -> Option<u64> {
        let is_short = self.preparing.failed.is_some() && self.preparing.ready.is_empty();
        is_short.then(|| self.room().saturating_sub(self.kept_for_acknowledgements()))
    }

    /// Why the medium gives no segment: the place, and what the system said.
    pub fn shortage(&self) -> Option<String> {
        let error = self.preparing.failed.as_ref()?;
        Some(format!("{}: {error}", self.storage.place()))
    }

    /// Bytes of the last segment that acknowledgements have for themselves when there is no next one.
    pub fn kept_for_acknowledgements(&self) -> u64 {
        (self.table.segment_bytes / 4).min(MOST_KEPT)
    }

    /// A frame of `frame_bytes` waits for a segment.
    pub(crate) fn want(&mut self, frame_bytes: u64) {
        if frame_bytes > self.regular_room() {
            let bytes = self.segment_for(frame_bytes);
            assert!(bytes <= u64::from(u32::MAX), "a batch of {frame_bytes} bytes");
            self.preparing.wanted = self.preparing.wanted.max(Some(bytes));
        }
        self.top_up();
    }

    /// As [`begin`](Self::begin), for what lets a log become shorter: acknowledgements, moves, and what deliveries need. A start may find
    /// more than the disk budget allows; then this goes a little beyond, or nobody could ever drain it.
    ///
    /// # Errors
    /// No segment is ready for it; nothing was changed.
    pub fn begin_beyond(&mut self, bound: Bound) -> Result<(), NotReady> {
        let begun = self.begin(bound);
        let is_full = self.disk_bytes() + self.table.segment_bytes > self.disk_budget();
        if begun.is_err() && is_full && self.preparing.began_short {
            let floor = self.preparing.overdrawn.unwrap_or(u64::MAX).min(self.disk_bytes());
            self.preparing.overdrawn = Some(floor);
            self.top_up();
        }
        begun
    }

    /// As [`begin_beyond`](Self::begin_beyond), for all but moves: it leaves them the last segments of the disk budget, opened or
    /// not. Small groups are padded to a block, so that acknowledgements would take those while the front cannot be read.
    ///
    /// # Errors
    /// No segment is ready for it; nothing was changed.
    pub fn begin_settling(&mut self, bound: Bound) -> Result<(), NotReady> {
        if self.preparing.began_short || self.has_more_than_kept() {
            return self.begin_beyond(bound);
        }
        let for_moves = self.preparing.for_moves;
        let active = self.active.as_mut().filter(|active| Some(active.number()) != for_moves);
        match active.is_some_and(|active| active.reserve(bound)) {
            true => Ok(()),
            false => Err(NotReady),
        }
    }

    /// A segment is opened: of the last ones of the disk budget it is for moves.
    pub(crate) fn note_opened(&mut self, segment: SegmentNumber) {
        if !self.has_more_than_kept() {
            self.preparing.for_moves = Some(segment);
        }
    }

    /// Whether the disk budget has room for a segment besides what is for moves.
    fn has_more_than_kept(&self) -> bool {
        self.has_budget_for((1 + SEGMENTS_FOR_MOVES) * self.table.segment_bytes)
    }

    /// Whether a segment beyond the budget is for what makes the log shorter: few of them beyond what was there when they were first
    /// needed, or since.
    fn overdraws(&self, bytes: u64) -> bool {
        let floor = self.preparing.overdrawn.unwrap_or(0).max(self.disk_budget());
        let most = floor + OVERDRAFT_SEGMENTS * self.table.segment_bytes;
        let is_needed = self.preparing.overdrawn.is_some() && self.preparing.ready.is_empty();
        is_needed && self.disk_bytes() + bytes <= most
    }

    /// Bytes that a frame may take in a segment of the usual size.
    pub fn regular_room(&self) -> u64 {
        room_of(self.table.segment_bytes, self.table.block)
    }

    /// Whether the disk budget has room for a batch that is too large for a segment of the usual size, besides what is for moves. For
    /// all others it has, as long as reclaim keeps up.
    pub fn affords(&self, bound: Bound) -> bool {
        let bytes = bound.frame_bytes();
        let kept = SEGMENTS_FOR_MOVES * self.table.segment_bytes;
        bytes <= self.regular_room() || self.has_budget_for(self.segment_for(bytes) + kept)
    }

    /// Whether a segment of this size fits beside those that hold something.
    fn has_budget_for(&self, bytes: u64) -> bool {
        self.disk_bytes() - self.preparing.bytes() + bytes <= self.disk_budget()
    }

    fn segment_for(&self, frame_bytes: u64) -> u64 {
        let needed = frame_bytes + u64::from(self.table.block) + FRAME_HEADER as u64;
        needed.next_multiple_of(self.table.segment_bytes)
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
