//! The two logs in memory: segments, a frontier, a commit, and crashes. It checks that what is staged was reserved.

use postrider_broker::{Broker, Log, LogKind, RecoverError};
use postrider_journal::room::KEPT_FROM_CREATES;
use postrider_journal::{
    Bound, Extent, Home, ImageWriter, Kept, Lookup, Position, Pressure, Purpose, Record, Remains, SegmentNumber,
    SpoolUse, body_crc,
};
use postrider_model::Sequence;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a segment of either log, unless said otherwise.
pub const SEGMENT: u64 = 32 * 1024;

/// Segments beyond its limit from which on the spool is crowded.
pub const CROWDED_SEGMENTS: usize = 16;

/// A record's own bytes besides meta and body.
const OVERHEAD: u64 = 64;

/// A record as it was staged.
pub struct Stored {
    pub kind: u8,
    pub sequence: u64,
    pub meta: Vec<u8>,
    pub body: Vec<u8>,
    pub body_crc: u32,
    pub home: Home,
}

impl Stored {
    pub fn record(&self) -> Record<'_> {
        let Stored { kind, sequence, meta, body, body_crc, .. } = self;
        Record { kind: *kind, flags: 0, sequence: *sequence, meta, body, body_crc: *body_crc }
    }
}

struct Segment {
    writer: ImageWriter,
    end: u64,
    records: u32,
}

#[derive(Default)]
struct Half {
    bytes: u64,
    segments: BTreeMap<u64, Segment>,
    newest: u64,
    /// The segment of those that have outlived theirs.
    old: u64,
}

impl Half {
    fn stage(&mut self, record: &Record<'_>) -> Home {
        self.newest = self.stage_into(self.newest, record);
        self.home(self.newest, record)
    }

    fn restage(&mut self, record: &Record<'_>) -> Home {
        // The first of them is none that others are in.
        self.old = self.stage_into(if self.old == 0 { u64::MAX } else { self.old }, record);
        self.home(self.old, record)
    }

    fn stage_into(&mut self, number: u64, record: &Record<'_>) -> u64 {
        let bytes = OVERHEAD + record.meta.len() as u64 + record.body.len() as u64;
        assert!(bytes < self.bytes, "the test's records are small");
        let mut number = number;
        if self.segments.get(&number).is_none_or(|segment| segment.end + bytes > self.bytes) {
            number = self.newest.max(self.old) + u64::from(!self.segments.is_empty() || self.newest > 0);
            let writer = ImageWriter::anonymous(self.bytes as usize).unwrap();
            self.segments.insert(number, Segment { writer, end: 64, records: 0 });
        }
        let segment = self.segments.get_mut(&number).unwrap();
        let offset = segment.end + OVERHEAD;
        segment.writer.write(offset as usize, record.body);
        segment.end += bytes;
        segment.records += 1;
        number
    }

    /// Where the record that was just staged is.
    fn home(&self, number: u64, record: &Record<'_>) -> Home {
        let segment = &self.segments[&number];
        Home {
            position: Position(number * self.bytes + segment.end - (record.meta.len() + record.body.len()) as u64),
            segment: SegmentNumber(number),
            ordinal: segment.records - 1,
            len: record.body.len() as u32,
        }
    }

    fn seal(&mut self) {
        for segment in self.segments.values_mut() {
            segment.writer.publish(segment.end as usize);
        }
    }

    fn end(&self) -> Position {
        Position(self.segments.get(&self.newest).map_or(0, |segment| self.newest * self.bytes + segment.end))
    }

    fn extent(&self, position: Position) -> Option<Extent> {
        let number = position.0 / self.bytes;
        let segment = self.segments.get(&number)?;
        Some(Extent { base: Position(number * self.bytes), image: segment.writer.image().clone() })
    }
}

/// The logs.
#[derive(Default)]
pub struct TestLog {
    journal: Half,
    spool: Half,
    /// All records of the journal from its front on.
    pub records: Vec<Stored>,
    appended: Position,
    committed: Position,
    /// Where each turn ended: a crash keeps whole turns.
    turns: Vec<Position>,
    front: u64,
    /// A front that counts when this is committed.
    next_front: Option<(Position, u64)>,
    pub budget: u64,
    /// The medium may get larger.
    pub measured_again: bool,
    /// Starts before this one.
    pub life: u32,
    reserved: Bound,
    staged: Bound,
    /// Segments of the journal that are only on the disk.
    pub cold: BTreeSet<u64>,
    pub asked: Vec<Position>,
    /// Records come from windows of the disk: of the memory each is checked alone.
    pub windows: bool,
    /// Why the medium gives no segment.
    pub shortage: Option<String>,
    /// What was kept aside, by sequence: which message, and its bytes.
    pub aside: BTreeMap<u64, (String, Vec<u8>)>,
    /// Files that are to be written wait.
    pub aside_waits: bool,
    /// What is left of a damaged record is another one's.
    pub moved_here: bool,
    /// Bodies that are not what they were.
    pub rotten: BTreeSet<u64>,
    /// The same in the spool.
    pub spool_rotten: BTreeSet<u64>,
    /// Where the spool's bodies are, in the order in which they came.
    pub spooled: Vec<u64>,
    /// Records of the spool that moved.
    pub restaged: usize,
    pub released: Vec<u64>,
    /// How full the spool is, beyond so many segments.
    pub spool_limit: Option<(usize, Pressure)>,
    /// Segments of the spool that are only on the disk.
    pub spool_cold: BTreeSet<u64>,
    /// Nothing more may be reserved.
    pub full: bool,
    /// What is left is for moves.
    pub kept_for_moves: bool,
    /// No more bytes than these may be reserved at a time.
    pub most: Option<u64>,
}

impl TestLog {
    /// The oldest segment of the journal.
    pub fn front(&self) -> Option<SegmentNumber> {
        (!self.journal.segments.is_empty()).then_some(SegmentNumber(self.front))
    }

    pub fn new(budget: u64, segment: u64) -> TestLog {
        let half = || Half { bytes: segment, ..Half::default() };
        TestLog { budget, journal: half(), spool: half(), ..TestLog::default() }
    }

    pub fn segment(&self) -> u64 {
        self.journal.bytes
    }

    /// What handling a batch may stage.
    pub fn begin(&mut self, bound: Bound) {
        self.reserved.records += bound.records;
        self.reserved.bytes += bound.bytes;
    }

    /// A record as somebody wrote it, in a turn of its own; a broker that follows takes or refuses it.
    pub fn append(
        &mut self,
        broker: &mut Broker,
        (kind, sequence): (u8, u64),
        meta: &[u8],
        body: &[u8],
    ) -> Result<(), RecoverError> {
        self.begin(Bound { records: 1, bytes: (meta.len() + body.len()) as u64 });
        let record = Record { kind, flags: 0, sequence, meta, body, body_crc: body_crc(body) };
        let home = self.stage(LogKind::Journal, &record);
        let taken = broker.follow(&record, home);
        self.seal();
        self.commit();
        taken
    }

    /// The end of a turn.
    pub fn seal(&mut self) -> Position {
        let (staged, reserved) = (self.staged, self.reserved);
        assert!(staged.records <= reserved.records, "{} records staged, {} reserved", staged.records, reserved.records);
        assert!(staged.bytes <= reserved.bytes, "{} bytes staged, {} reserved", staged.bytes, reserved.bytes);
        (self.staged, self.reserved) = (Bound::default(), Bound::default());
        self.journal.seal();
        self.spool.seal();
        self.appended = self.journal.end();
        self.turns.push(self.appended);
        self.appended
    }

    /// All that was appended is safe.
    pub fn commit(&mut self) {
        self.commit_to(self.appended);
    }

    pub fn commit_to(&mut self, position: Position) {
        self.committed = self.committed.max(position);
        if let Some((at, front)) = self.next_front.filter(|(at, _)| *at <= self.committed) {
            let _ = at;
            self.front = front;
            self.next_front = None;
            self.journal.segments.retain(|number, _| *number >= front);
            self.records.retain(|record| record.home.segment.0 >= front);
        }
    }

    /// Turns that are not committed.
    pub fn open_turns(&self) -> Vec<Position> {
        self.turns.iter().copied().filter(|end| *end > self.committed).collect()
    }

    /// What a crash leaves that keeps the log up to the end of a turn: the next life's log, and the records it begins with.
    pub fn crash(mut self, keep: Position) -> TestLog {
        assert!(keep >= self.committed);
        self.commit_to(keep);
        self.records.retain(|record| record.home.position < keep);
        let mut next = TestLog::new(self.budget, self.segment());
        next.front = self.front;
        next.life = self.life + 1;
        next.journal.newest = self.front;
        for record in std::mem::take(&mut self.records) {
            // The same record at a new place: a life begins a new block anyway.
            let home = loop {
                let home = next.journal.stage(&record.record());
                if home.segment >= record.home.segment {
                    break home;
                }
                let number = next.journal.newest;
                let segment = next.segment();
                next.journal.segments.get_mut(&number).unwrap().end = segment;
            };
            next.records.push(Stored { home, ..record });
        }
        next.seal();
        next.commit();
        next
    }

    /// Where the bodies of the messages are, in order.
    pub fn bodies(&self) -> Vec<u64> {
        let bodies = self.records.iter().filter(|record| !record.body.is_empty());
        bodies.map(|record| record.home.position.0).collect()
    }

    pub fn spool_segments(&self) -> usize {
        self.spool.segments.len()
    }
}

impl Log for TestLog {
    fn has_fallen_behind(&self) -> bool {
        let kept = KEPT_FROM_CREATES * self.segment();
        self.front < self.journal.newest && self.live_log_bytes() + kept > self.budget
    }

    fn reserve(&mut self, purpose: Purpose, bound: Bound) -> bool {
        let kept = match purpose {
            Purpose::Create => self.kept_for_moves || self.has_fallen_behind(),
            Purpose::Settle => self.kept_for_moves,
            Purpose::Move => false,
        };
        let fits = !self.full && !kept && self.most.is_none_or(|most| bound.bytes <= most);
        if fits {
            self.begin(bound);
        }
        fits
    }

    fn stage(&mut self, store: LogKind, record: &Record<'_>) -> Home {
        if store == LogKind::Spool {
            let home = self.spool.stage(record);
            // As the spool does it: a segment may be given back in the turn that filled it.
            self.spool.seal();
            self.spooled.push(home.position.0);
            return home;
        }
        self.staged.records += 1;
        self.staged.bytes += (record.meta.len() + record.body.len()) as u64;
        let home = self.journal.stage(record);
        let (kind, sequence, body_crc) = (record.kind, record.sequence, record.body_crc);
        let (meta, body) = (record.meta.to_vec(), record.body.to_vec());
        self.records.push(Stored { kind, sequence, meta, body, body_crc, home });
        home
    }

    fn extent(&mut self, store: LogKind, position: Position, _length: u32, _crc: u32) -> Lookup {
        match store {
            LogKind::Journal if self.cold.contains(&(position.0 / self.segment())) => Lookup::Cold,
            LogKind::Journal if self.rotten.contains(&position.0) => Lookup::Damaged,
            LogKind::Journal if self.windows => self.journal.extent(position).map_or(Lookup::Damaged, Lookup::Checked),
            LogKind::Journal => self.journal.extent(position).map_or(Lookup::Damaged, Lookup::Memory),
            LogKind::Spool if self.spool_cold.contains(&(position.0 / self.segment())) => Lookup::Cold,
            LogKind::Spool if self.spool_rotten.contains(&position.0) => Lookup::Damaged,
            LogKind::Spool => self.spool.extent(position).map_or(Lookup::Damaged, Lookup::Memory),
        }
    }

    fn fetch(&mut self, _: LogKind, position: Position, _length: u32) {
        assert!(self.asked.len() < 100_000, "it asks for bytes without end");
        self.asked.push(position);
    }

    fn restage(&mut self, record: &Record<'_>) -> Home {
        self.restaged += 1;
        let home = self.spool.restage(record);
        self.spool.seal();
        home
    }

    fn spool_use(&self) -> SpoolUse {
        let segments = self.spool.segments.len();
        let beyond = self.spool_limit.filter(|(limit, _)| segments > *limit);
        SpoolUse {
            memory_bytes: segments as u64 * self.segment(),
            memory_limit: self.spool_limit.map_or(u64::MAX, |(limit, _)| limit as u64 * self.segment()),
            pressure: beyond.map_or(Pressure::None, |(_, pressure)| pressure),
            is_crowded: beyond.is_some_and(|(limit, _)| segments > limit + CROWDED_SEGMENTS),
            leaves: beyond.is_some_and(|(_, pressure)| matches!(pressure, Pressure::Busy | Pressure::Crowded)),
            eased: beyond.is_none(),
            ..SpoolUse::default()
        }
    }

    fn spool_segment_bytes(&self, _: SegmentNumber) -> u64 {
        self.segment()
    }

    fn shortage(&self) -> Option<String> {
        self.shortage.clone()
    }

    fn remains(&self, store: LogKind, position: Position, length: u32) -> Remains {
        let half = if store == LogKind::Journal { &self.journal } else { &self.spool };
        let extent = half.extent(position).unwrap();
        let start = Position(position.0 - 20);
        let bytes = extent.bytes(start, 20 + length as usize).to_vec();
        Remains { file: "segment".into(), offset: start.0, bytes, is_its_own: !self.moved_here }
    }

    fn kept(&mut self, sequence: Sequence) -> Kept {
        match self.aside.contains_key(&sequence.0) {
            true if self.aside_waits => Kept::UnderWay,
            true => Kept::Yes,
            false => Kept::No,
        }
    }

    fn keep_aside(&mut self, sequence: Sequence, about: String, bytes: Vec<u8>) {
        assert!(self.aside.insert(sequence.0, (about, bytes)).is_none(), "{sequence} is kept aside twice");
    }

    fn release(&mut self, segment: SegmentNumber) {
        self.spool.segments.remove(&segment.0).expect("a released segment was there");
        self.released.push(segment.0);
    }

    fn committed(&self) -> Position {
        self.committed
    }

    fn set_head(&mut self, segment: SegmentNumber) {
        if self.next_front.is_none_or(|(_, known)| known != segment.0) && self.front != segment.0 {
            self.next_front = Some((self.journal.end(), segment.0));
        }
    }

    fn live_log_bytes(&self) -> u64 {
        self.appended.0 - self.front * self.segment()
    }

    fn oversize(&self) -> &[(SegmentNumber, u64)] {
        &[]
    }

    fn segment_bytes(&self) -> u64 {
        self.segment()
    }

    fn disk_budget(&self) -> u64 {
        self.budget
    }

    fn is_measured_again(&self) -> bool {
        self.measured_again
    }
}
