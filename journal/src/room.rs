//! Room in the log: one gate, which knows what it is taken for (R6). There is no other way to it.
//!
//! | left of the disk budget | [`Create`](Purpose::Create) | [`Settle`](Purpose::Settle) | [`Move`](Purpose::Move) |
//! |---|---|---|---|
//! | more than [`KEPT_FROM_CREATES`] | yes | yes | yes |
//! | more than [`KEPT_FOR_MOVES`] | | yes | yes |
//! | less | | | yes |
//! | nothing, at a start that found more than the budget: [`OVERDRAFT`] beyond | | yes | yes |
//!
//! Where a segment that is longer than the usual holds what lives, no fewer bytes than it has are left to moves, see
//! [`keep_for_moves`](Journal::keep_for_moves). Pads need no room of the gate: each frame leaves it to them.

use crate::append::Bound;
use crate::frame::FRAME_HEADER;
use crate::journal::Journal;
use crate::plant::planted;
use crate::position::SegmentNumber;
use crate::storage::Storage;

/// Segments of the disk budget that nothing is created in: what makes the log shorter has them. Where bytes of the front have to be read
/// from the disk first, the walk may fall behind what is appended. Each start takes one of them, too. *Without: a full log whose
/// acknowledgements find no room.*
pub const KEPT_FROM_CREATES: u64 = 5;

/// The last segments of the disk budget: nothing but a move makes the log shorter while a live record stands at its front. *Without:
/// acknowledgements, which are padded to a block each, take them while the front cannot be read, and it never moves.*
pub const KEPT_FOR_MOVES: u64 = 2;

/// Segments beyond the disk budget for what makes the log shorter, where a start found more than it allows. *Without: a smaller budget
/// than before can never be drained.*
pub const OVERDRAFT: u64 = 4;

/// While the medium gives no further segment, this part of one is left to acknowledgements ...
pub const KEPT_OF_SEGMENT: u64 = 4;

/// ... but no more bytes than these.
pub const MOST_KEPT_BYTES: u64 = 16 << 20;

const _: () = assert!(KEPT_FOR_MOVES + 1 < KEPT_FROM_CREATES, "a segment at least is for what settles alone");

/// What room in the log is taken for. Who comes later in this list has what those before it may not take.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// What comes to live: a message, a destination. It may be refused, or wait.
    Create,
    /// What lets something die, or is needed for that: acknowledgements, closes, dead letters, what deliveries need.
    Settle,
    /// What lives at the front goes to the end, so that the front can go.
    Move,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 3] = [Purpose::Create, Purpose::Settle, Purpose::Move];
}

/// Why there is no room in the log for what is to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoom {
    /// No segment is ready for it: a poll tells when one is.
    NotReady,
    /// The medium gives no further segment, and what is left of this one is for acknowledgements.
    Short,
    /// Reclaim has fallen behind what is appended: until it has come further nothing is created.
    Behind,
    /// The disk budget has none for this purpose.
    Full,
}

/// What the gate goes by.
pub(crate) struct Gate {
    /// The start found more than the budget leaves room to work in.
    pub began_short: bool,
    /// The least that the files had when something had to go beyond the disk budget.
    overdrawn: Option<u64>,
    /// The newest segment that was opened among those that are left to moves.
    for_moves: Option<SegmentNumber>,
    /// Bytes that are left to moves at least, where they need more than [`KEPT_FOR_MOVES`]; none: nothing is.
    for_large_moves: Option<u64>,
    /// Segments that are longer than the usual, oldest first.
    oversize: Vec<(SegmentNumber, u64)>,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate { began_short: false, overdrawn: None, for_moves: None, for_large_moves: Some(0), oversize: Vec::new() }
    }
}

impl<S: Storage> Journal<S> {
    /// Takes room for a batch: all it stages lands in one frame. Called again within a turn it adds a batch; if that needs the next
    /// segment, what was taken before and not staged moves there with it.
    ///
    /// # Errors
    /// Why there is no room for this purpose; nothing was changed.
    pub fn reserve(&mut self, purpose: Purpose, bound: Bound) -> Result<(), NoRoom> {
        match purpose {
            Purpose::Create => {
                self.may_create(bound)?;
                self.take(bound)
            }
            Purpose::Settle if !self.may_settle() => self.take_of_active(bound),
            Purpose::Settle | Purpose::Move => self.take_beyond(bound),
        }
    }

    /// Whether nothing may be created any more until the log is shorter: too little of the budget is left, and there is a front that can
    /// be walked.
    pub fn has_fallen_behind(&self) -> bool {
        let is_walked = self.segments.back().is_some_and(|last| self.head.declared() < last.number);
        let kept = (KEPT_FROM_CREATES - KEPT_FOR_MOVES) * self.table.segment_bytes + self.kept_for_moves();
        is_walked && self.live_log_bytes() + kept > self.disk_budget() && !planted("create-takes-all")
    }

    /// Bytes that a frame of what is created may have at least, where less has been refused: the medium gives no further segment, or the
    /// budget has none of more than the usual size.
    pub fn room_to_create(&self) -> u64 {
        self.room_when_short().unwrap_or_else(|| self.regular_room())
    }

    /// Whether the last of the budget is left to moves: not where only acknowledgements can make the log shorter. To what lives in a
    /// segment that is longer than the usual so many bytes are left at least: it moves into one as long. *Without: such a segment at the
    /// front never goes, and the log fills behind it.*
    pub fn keep_for_moves(&mut self, large: Option<u64>) {
        self.preparing.gate.for_large_moves = if planted("oversize-unkept") { large.map(|_| 0) } else { large };
    }

    /// Segments of the log that are longer than the usual, oldest first, and their bytes.
    pub fn oversize(&self) -> &[(SegmentNumber, u64)] {
        &self.preparing.gate.oversize
    }

    /// At the start: which segments there are.
    pub(crate) fn find_oversize(&mut self) {
        let usual = self.table.segment_bytes;
        let oversize = self.segments.iter().filter(|segment| segment.bytes > usual);
        self.preparing.gate.oversize = oversize.map(|segment| (segment.number, segment.bytes)).collect();
    }

    /// The segments before this one are gone.
    pub(crate) fn note_reclaimed(&mut self, front: SegmentNumber) {
        self.preparing.gate.oversize.retain(|(segment, _)| *segment >= front);
    }

    /// While the medium gives no segment for what comes next: bytes that a frame of a batch may have without taking what is left
    /// for acknowledgements.
    pub fn room_when_short(&self) -> Option<u64> {
        self.preparing.is_short().then(|| self.room().saturating_sub(self.kept_for_acknowledgements()))
    }

    /// Bytes of the last segment that acknowledgements have for themselves when there is no next one.
    pub fn kept_for_acknowledgements(&self) -> u64 {
        (self.table.segment_bytes / KEPT_OF_SEGMENT).min(MOST_KEPT_BYTES)
    }

    fn may_create(&self, bound: Bound) -> Result<(), NoRoom> {
        if self.has_fallen_behind() {
            return Err(NoRoom::Behind);
        }
        if self.room_when_short().is_some_and(|room| bound.frame_bytes() > room) {
            return Err(NoRoom::Short);
        }
        self.affords(bound).then_some(()).ok_or(NoRoom::Full)
    }

    /// Whether what settles may take the next segment. If not, it has what is left of one that is not for moves.
    fn may_settle(&self) -> bool {
        let Gate { began_short, for_large_moves, .. } = self.preparing.gate;
        began_short || for_large_moves.is_none() || self.has_more_than_kept() || planted("settle-takes-all")
    }

    /// Whether the disk budget has room for a batch that is too large for a segment of the usual size, besides what is for moves. For
    /// all others it has, as long as reclaim keeps up.
    fn affords(&self, bound: Bound) -> bool {
        let bytes = bound.frame_bytes();
        let has_budget = |segment: u64| self.has_budget_for(segment + self.kept_for_moves());
        bytes <= self.regular_room() || self.segment_for(bytes).is_some_and(has_budget)
    }

    /// Whether a batch needs a segment beyond the usual size, for which the disk budget has no room now, not even what is for moves.
    pub fn lacks_budget_for(&self, bound: Bound) -> bool {
        let bytes = bound.frame_bytes();
        bytes > self.regular_room() && !self.segment_for(bytes).is_some_and(|segment| self.has_budget_for(segment))
    }

    #[expect(clippy::expect_used, reason = "a segment was just activated")]
    fn take(&mut self, bound: Bound) -> Result<(), NoRoom> {
        if self.active.as_mut().is_some_and(|active| active.reserve(bound)) {
            return Ok(());
        }
        let kept = self.active.as_ref().map_or(0, |active| active.unstaged());
        let bound = Bound { bytes: bound.bytes + kept, ..bound };
        if bound.frame_bytes() > self.preparing.room() {
            self.want(bound.frame_bytes());
            return Err(NoRoom::NotReady);
        }
        self.seal();
        self.close_active();
        self.activate();
        let active = self.active.as_mut().expect("just activated");
        assert!(active.reserve(bound), "a prepared segment has the room it said");
        Ok(())
    }

    /// The same for what makes the log shorter. A start may find more than the disk budget allows; then this goes a little beyond, or
    /// nobody could ever drain it.
    fn take_beyond(&mut self, bound: Bound) -> Result<(), NoRoom> {
        let taken = self.take(bound);
        let is_full = self.disk_bytes() + self.table.segment_bytes > self.disk_budget();
        if taken.is_err() && is_full && self.preparing.gate.began_short {
            let floor = self.preparing.gate.overdrawn.unwrap_or(u64::MAX).min(self.disk_bytes());
            self.preparing.gate.overdrawn = Some(floor);
            self.top_up();
        }
        taken
    }

    /// Of the active segment alone, unless it is for moves.
    fn take_of_active(&mut self, bound: Bound) -> Result<(), NoRoom> {
        let for_moves = self.preparing.gate.for_moves;
        let active = self.active.as_mut().filter(|active| Some(active.number()) != for_moves);
        match active.is_some_and(|active| active.reserve(bound)) {
            true => Ok(()),
            false => Err(NoRoom::Full),
        }
    }

    /// A segment is opened: of the last ones of the disk budget it is for moves.
    pub(crate) fn note_opened(&mut self, segment: SegmentNumber, bytes: u64) {
        if !self.has_more_than_kept() {
            self.preparing.gate.for_moves = Some(segment);
        }
        if bytes > self.table.segment_bytes {
            self.preparing.gate.oversize.push((segment, bytes));
        }
    }

    fn kept_for_moves(&self) -> u64 {
        (KEPT_FOR_MOVES * self.table.segment_bytes).max(self.preparing.gate.for_large_moves.unwrap_or(0))
    }

    /// Whether the disk budget has room for a segment besides what is for moves.
    fn has_more_than_kept(&self) -> bool {
        self.has_budget_for(self.table.segment_bytes + self.kept_for_moves())
    }

    /// Whether a segment beyond the budget is for what makes the log shorter: few of them beyond what was there when they were first
    /// needed, or since.
    pub(crate) fn overdraws(&self, bytes: u64) -> bool {
        let overdrawn = self.preparing.gate.overdrawn;
        let floor = overdrawn.unwrap_or(0).max(self.disk_budget());
        let most = floor + OVERDRAFT * self.table.segment_bytes;
        overdrawn.is_some() && self.preparing.room() == 0 && self.disk_bytes() + bytes <= most
    }

    /// Bytes that a frame may take in a segment of the usual size.
    pub fn regular_room(&self) -> u64 {
        room_of(self.table.segment_bytes, self.table.block)
    }

    /// Whether a segment of this size fits beside those that hold something.
    pub(crate) fn has_budget_for(&self, bytes: u64) -> bool {
        self.disk_bytes() - self.preparing.bytes() + bytes <= self.disk_budget()
    }

    /// Bytes of a segment that has room for such a frame, if one can be as long. *Without: whoever sends a large message to many topics of
    /// thousands of subscriptions, each record of which has it, ends the process.*
    pub(crate) fn segment_for(&self, frame_bytes: u64) -> Option<u64> {
        let needed = frame_bytes + u64::from(self.table.block) + FRAME_HEADER as u64;
        Some(needed.next_multiple_of(self.table.segment_bytes)).filter(|bytes| *bytes <= u64::from(u32::MAX))
    }
}

/// Bytes a frame may have in a segment of its own: a header's block before it, a closing pad behind it.
pub(crate) fn room_of(segment_bytes: u64, block: u32) -> u64 {
    segment_bytes - u64::from(block) - FRAME_HEADER as u64
}
