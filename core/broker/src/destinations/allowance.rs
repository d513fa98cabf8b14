//! The allowance of a queue: what of it may have been delivered, as the log says or will (R15).

use crate::records::items::ItemHome;
use postrider_journal::Position;
use postrider_model::Sequence;

/// After so many allowances for which nobody has waited the next one covers half as many messages.
const CALM: u8 = 16;

/// Covers all.
pub(crate) const NO_END: Sequence = Sequence(u64::MAX);

/// The allowance of a queue.
#[derive(Default, Debug)]
pub(crate) struct Allowance {
    /// As stated last, committed or not.
    stated: Sequence,
    /// Where it was stated, until that is committed, and what was stated before.
    pending: Option<(Position, Sequence)>,
    pub home: Option<ItemHome>,
    /// Newest persistent message that went out, in this life or perhaps in an earlier one.
    pub(super) highest_dispatched: Sequence,
    /// What may have been delivered in an earlier life: messages of one up to this.
    before: Sequence,
    /// Messages that may go out until the next allowance is due.
    left: usize,
    /// How often what one covers has doubled, as dispatch goes faster than commits are made.
    doublings: u32,
    /// Dispatch waits, or has waited, for the commit of what was stated last, which was stated in time.
    was_waited_for: bool,
    /// Allowances since one was waited for.
    calm: u8,
    /// It stands in the list of those to be drawn in, or stated anew.
    listed: bool,
    /// Damage may have taken the record of it: all that was there is covered, and the log does not say so yet.
    unstated: bool,
    /// What the allowances of queues cover that this one has taken in.
    taken_in: Sequence,
}

impl Allowance {
    /// Whether a message may go out.
    pub(crate) fn covers(&mut self, sequence: Sequence, committed: Position) -> bool {
        if self.pending.is_some_and(|(position, _)| position < committed) {
            self.pending = None;
        }
        let before = self.pending.map_or(NO_END, |(_, before)| before);
        sequence <= self.stated.min(before)
    }

    /// Whether a message may have been delivered in an earlier life.
    #[inline]
    pub(crate) fn covered(&self, sequence: Sequence) -> bool {
        sequence <= self.before
    }

    /// Messages that one covers at present, of so many at first.
    #[inline]
    pub(super) fn size(&self, chunk: usize) -> usize {
        chunk << self.doublings
    }

    /// Whether the next one is due, so that nobody waits for it.
    pub(crate) fn is_due(&self, chunk: usize) -> bool {
        self.pending.is_none() && self.stated != NO_END && self.left < self.size(chunk) / 2
    }

    /// A message that it does not cover waits.
    pub(crate) fn note_wait(&mut self) {
        self.was_waited_for |= self.is_pending();
    }

    /// Before the next one is stated: it covers more, as often as that may double, where the last one was waited for, and less where long
    /// none was.
    pub(crate) fn fit(&mut self, most_doublings: u32) {
        if std::mem::take(&mut self.was_waited_for) {
            (self.doublings, self.calm) = (most_doublings.min(self.doublings + 1), 0);
        } else if self.calm < CALM {
            self.calm += 1;
        } else {
            (self.doublings, self.calm) = (self.doublings.saturating_sub(1), 0);
        }
    }

    /// A persistent message goes out.
    pub(crate) fn note_dispatched(&mut self, sequence: Sequence, offered: bool) {
        self.highest_dispatched = self.highest_dispatched.max(sequence);
        self.left = self.left.saturating_sub(usize::from(!offered));
    }

    /// What the log says of it.
    #[cfg(feature = "plant")]
    pub(crate) fn digest(&self) -> Option<(Sequence, postrider_journal::SegmentNumber, u32)> {
        self.home.map(|home| (self.stated, home.segment, home.ordinal))
    }

    /// Another queue's messages are this one's, and so is what of them may have been delivered.
    pub(crate) fn take_in(&mut self, other: &Allowance) {
        self.taken_in = self.taken_in.max(other.stated).max(other.taken_in);
    }

    /// A life begins: anything that was covered must stay so. If some of the log was damaged, that may be everything, and a later start
    /// finds no damage any more.
    pub(crate) fn begin_life(&mut self, last: Sequence, damaged: bool) {
        self.unstated = (damaged || self.taken_in > self.stated) && self.stated < last;
        self.highest_dispatched = if damaged { last } else { self.stated.max(self.taken_in).min(last) };
        self.before = self.highest_dispatched;
    }

    /// Whether what was stated last waits for its commit.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// As stated last.
    pub(crate) fn stated(&self) -> Sequence {
        self.stated
    }

    /// It is stated anew, at this position, and is good for so many messages when that is committed.
    pub(crate) fn state(&mut self, up_to: Sequence, position: Position, chunk: usize) {
        self.pending = Some((position, self.stated));
        self.stated = up_to;
        (self.left, self.unstated) = (self.size(chunk), false);
    }

    /// A record that is followed states it.
    pub(crate) fn follow(&mut self, up_to: Sequence) {
        self.stated = up_to;
    }

    /// Whether it is to be put among those that are drawn in, as so many messages wait under one without end, or stated anew.
    pub(crate) fn is_to_be_listed(&mut self, waiting: usize, chunk: usize) -> bool {
        let is_wide = self.stated == NO_END && waiting >= 2 * self.size(chunk);
        (is_wide || self.unstated) && !std::mem::replace(&mut self.listed, true)
    }

    /// Whether it is to be put among those, as nobody takes what it covers.
    pub(crate) fn is_to_be_drawn_in(&mut self) -> bool {
        self.stated == NO_END && !std::mem::replace(&mut self.listed, true)
    }

    /// What has gone out, and no more.
    pub(crate) fn up_to_dispatched(&self) -> Sequence {
        self.highest_dispatched
    }

    /// It has left that list.
    pub(crate) fn unlist(&mut self) {
        self.listed = false;
    }
}
