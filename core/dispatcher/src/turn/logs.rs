//! The two logs of the broker behind the state machine's view of them.

use postrider_broker::{Log, LogKind};
use postrider_journal::{
    Bound, Generation, Home, Journal, Kept, Lookup, Position, Purpose, Record, Remains, SegmentNumber, Spill, Spool,
    SpoolUse, Storage, SyncFailed, Trouble, soonest,
};
use postrider_model::{Now, Sequence};

use crate::shard::complaints::Complaints;

/// Journal and spool.
pub(super) struct Logs<S: Storage, P: Spill> {
    /// What survives a restart.
    pub journal: Journal<S>,
    /// What does not.
    pub spool: Spool<P>,
    complaints: Complaints,
}

/// What a poll of the logs brought.
#[derive(Clone, Copy)]
pub(super) struct News {
    /// The journal is durable further on.
    pub durable: bool,
    /// The journal has more room.
    pub prepared: bool,
    /// Cold bytes came.
    pub fetched: bool,
}

impl News {
    /// Whether there is any.
    pub(super) fn any(self) -> bool {
        self.durable || self.prepared || self.fetched
    }
}

impl<S: Storage, P: Spill> Logs<S, P> {
    /// Both.
    pub(super) fn new(journal: Journal<S>, spool: Spool<P>) -> Logs<S, P> {
        Logs { journal, spool, complaints: Complaints::default() }
    }

    /// Takes what the storages have finished, and tries again what they could not do.
    pub(super) fn poll(&mut self, now: Now) -> Result<News, SyncFailed> {
        let progress = self.journal.poll()?;
        let spooled = self.spool.poll();
        let look_again = self.journal.try_again(now.nanos) | self.spool.try_again(now.nanos);
        self.complain(now);
        Ok(News {
            durable: progress.durable,
            prepared: progress.prepared > 0,
            fetched: progress.fetched > 0 || spooled.fetched > 0 || look_again,
        })
    }

    /// Whether there is room for what the state machine adds by itself. While the medium is short a record that is large leaves half of
    /// what is kept to the acknowledgements that come. One that is small takes of that, too: allowances and sequences among them, without
    /// which nothing more would be delivered, and so nothing more acknowledged.
    fn has_room(&self, bound: Bound) -> bool {
        let kept = self.journal.kept_for_acknowledgements() / 2;
        self.journal.room_when_short().is_none_or(|room| bound.frame_bytes() <= room + kept)
    }

    /// When something is to be tried again.
    pub(super) fn deadline(&self) -> Option<u64> {
        soonest([self.journal.deadline(), self.spool.deadline()])
    }

    fn complain(&mut self, now: Now) {
        while let Some(trouble) = self.journal.take_trouble().or_else(|| self.spool.take_trouble()) {
            // A message that is lost is named, however many there are.
            if matches!(trouble, Trouble::KeptAside { .. }) {
                tracing::error!("{trouble}");
            } else if let Some(suppressed) = self.complaints.allowed(now) {
                tracing::error!(suppressed, "{trouble}");
            }
        }
    }

    /// Whether a poll would bring something.
    pub(super) fn has_news(&self) -> bool {
        self.journal.has_completed() || self.spool.has_completed()
    }
}

impl<S: Storage, P: Spill> Log for Logs<S, P> {
    fn reserve(&mut self, purpose: Purpose, bound: Bound) -> bool {
        (purpose == Purpose::Create || self.has_room(bound)) && self.journal.reserve(purpose, bound).is_ok()
    }

    fn has_fallen_behind(&self) -> bool {
        self.journal.has_fallen_behind()
    }

    fn shortage(&self) -> Option<String> {
        self.journal.shortage()
    }

    fn stage(&mut self, store: LogKind, record: &Record<'_>) -> Home {
        match store {
            LogKind::Journal => self.journal.stage(record),
            LogKind::Spool => self.spool.stage(record, Generation::Young),
        }
    }

    fn extent(&mut self, store: LogKind, position: Position, length: u32, crc: u32) -> Lookup {
        match store {
            LogKind::Journal => self.journal.extent(position, length, crc),
            LogKind::Spool => self.spool.extent(position, length, crc),
        }
    }

    fn fetch(&mut self, store: LogKind, position: Position, length: u32) {
        match store {
            LogKind::Journal => self.journal.fetch(position, length),
            LogKind::Spool => self.spool.fetch(position, length),
        }
    }

    fn restage(&mut self, record: &Record<'_>) -> Home {
        self.spool.stage(record, Generation::Old)
    }

    fn spool_use(&self) -> SpoolUse {
        self.spool.usage()
    }

    fn spool_segment_bytes(&self, segment: SegmentNumber) -> u64 {
        self.spool.bytes_of(segment)
    }

    fn remains(&self, store: LogKind, position: Position, length: u32) -> Remains {
        match store {
            LogKind::Journal => self.journal.remains(position, length),
            LogKind::Spool => self.spool.remains(position, length),
        }
    }

    fn kept(&mut self, sequence: Sequence) -> Kept {
        self.journal.kept(sequence.0)
    }

    fn keep_aside(&mut self, sequence: Sequence, about: String, bytes: Vec<u8>) {
        self.journal.keep_aside(sequence.0, about, bytes);
    }

    fn release(&mut self, segment: SegmentNumber) {
        self.spool.release(segment);
    }

    fn committed(&self) -> Position {
        self.journal.committed()
    }

    fn set_head(&mut self, segment: SegmentNumber) {
        self.journal.set_head(segment);
    }

    fn live_log_bytes(&self) -> u64 {
        self.journal.live_log_bytes()
    }

    fn oversize(&self) -> &[(SegmentNumber, u64)] {
        self.journal.oversize()
    }

    fn segment_bytes(&self) -> u64 {
        self.journal.segment_bytes()
    }

    fn disk_budget(&self) -> u64 {
        self.journal.disk_budget()
    }

    fn is_measured_again(&self) -> bool {
        self.journal.is_measured_again()
    }
}
