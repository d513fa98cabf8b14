//! A disk that outlives the broker's process: files in sectors, each with what a reader sees and what a power cut leaves.

mod crash;
mod file;
mod rot;
mod storage;
mod tamper;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use postrider_dispatcher::wake::Alarm;
use postrider_journal::epoch::EpochTable;
use postrider_journal::{Completion, Image, Medium, SegmentNumber};

use crate::random::Random;
use crate::schedule::Schedule;
pub use crash::Crash;
use file::File;
pub use rot::{FoundRecord, Target};
pub use storage::SimStorage;

/// Bytes of a sector: what a power cut leaves whole, usually.
pub const SECTOR: usize = 512;

/// How a disk behaves.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// Writes of an image, or a mapping that the kernel may write back at any time.
    pub medium: Medium,
    /// Nanoseconds that a sync typically takes.
    pub sync_nanos: u64,
    /// Nanoseconds that a read, or the making of a file, typically takes.
    pub work_nanos: u64,
    /// Bytes that fit.
    pub capacity: u64,
    /// One sync in so many fails; 0: none.
    pub failing_syncs: u64,
    /// One read, and one file to be kept aside, in so many fails; 0: none.
    pub failing_reads: u64,
    /// One preparation in so many fails; 0: none.
    pub failing_preparations: u64,
    /// Percent of power cuts that lose the first unsynced block of each file and keep the rest.
    pub loses_first: u64,
    /// Percent of the writes that are broken off of which all has landed, unsynced.
    pub lands_whole: u64,
}

/// The disk. Handles share it.
#[derive(Clone)]
pub struct Disk {
    state: Rc<RefCell<State>>,
    schedule: Schedule,
    /// Calls that the process still makes before the power goes in the middle of its start; none: it does not.
    dies_after: Rc<Cell<Option<u32>>>,
}

struct State {
    plan: DiskPlan,
    random: Random,
    files: BTreeMap<u64, File>,
    /// Given back, and not for sure on the medium yet; oldest first.
    removed: VecDeque<(u64, File)>,
    spares: Vec<File>,
    tables: [Option<Vec<u8>>; 2],
    aside: Vec<(String, Vec<u8>)>,
    operations: BTreeMap<u64, Operation>,
    next_operation: u64,
    completions: VecDeque<Completion>,
    alarm: Option<Arc<Alarm>>,
    /// Images of segments in use, by segment: a mapping's bytes may reach the medium unasked.
    mapped: BTreeMap<u64, Weak<Image>>,
    writing: bool,
    sync_failed: bool,
    statistics: DiskStatistics,
}

/// What a disk has done.
#[derive(Clone, Copy, Default, Debug)]
pub struct DiskStatistics {
    /// Syncs finished.
    pub syncs: u64,
    /// Segments that were written to their end.
    pub filled: u64,
    /// Windows read.
    pub reads: u64,
    /// Segments given back.
    pub recycled: u64,
    /// Most bytes of files at a time.
    pub most_bytes: u64,
}

enum Operation {
    Prepare(postrider_journal::Prepare),
    Write(postrider_journal::Write),
    Read(postrider_journal::Read),
    Keep(String, Arc<[u8]>),
    State(usize, Arc<EpochTable>),
    Removal,
}

impl Disk {
    /// An empty disk.
    pub fn new(plan: DiskPlan, random: Random, schedule: Schedule) -> Disk {
        Disk::with(State::new(plan, random), schedule)
    }

    fn with(state: State, schedule: Schedule) -> Disk {
        Disk { state: Rc::new(RefCell::new(state)), schedule, dies_after: Rc::new(Cell::new(None)) }
    }

    /// The broker's hold on the disk, for one life. The alarm rings when something is finished.
    pub fn open(&self, alarm: Arc<Alarm>) -> SimStorage {
        let mut state = self.state.borrow_mut();
        state.alarm = Some(alarm);
        state.writing = false;
        state.sync_failed = false;
        SimStorage::new(self.clone())
    }

    /// Lets the power go during the start, after so many calls.
    pub fn die_after(&self, calls: Option<u32>) {
        self.dies_after.set(calls);
    }

    /// Finishes an operation whose time has come.
    pub fn finish(&self, operation: u64) {
        let mut state = self.state.borrow_mut();
        let Some(operation) = state.operations.remove(&operation) else { return };
        state.finish(operation);
        let alarm = state.alarm.clone();
        drop(state);
        if let Some(alarm) = alarm {
            alarm.notify();
        }
    }

    /// What the disk has done.
    pub fn statistics(&self) -> DiskStatistics {
        self.state.borrow().statistics
    }

    /// Whether what fails makes reclaim wait.
    pub fn holds_up_reclaim(&self) -> bool {
        let plan = &self.state.borrow().plan;
        plan.failing_reads > 0 || plan.failing_preparations > 0
    }

    /// Ends what makes it fail.
    pub fn heal(&self) {
        let plan = &mut self.state.borrow_mut().plan;
        (plan.failing_syncs, plan.failing_reads, plan.failing_preparations) = (0, 0, 0);
    }
}

impl State {
    fn new(plan: DiskPlan, random: Random) -> State {
        State {
            plan,
            random,
            files: BTreeMap::new(),
            removed: VecDeque::new(),
            spares: Vec::new(),
            tables: [None, None],
            aside: Vec::new(),
            operations: BTreeMap::new(),
            next_operation: 0,
            completions: VecDeque::new(),
            alarm: None,
            mapped: BTreeMap::new(),
            writing: false,
            sync_failed: false,
            statistics: DiskStatistics::default(),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.files.values().map(File::len).sum()
    }

    fn finish(&mut self, operation: Operation) {
        match operation {
            Operation::Prepare(prepare) => self.finish_prepare(prepare),
            Operation::Write(write) => self.finish_write(write),
            Operation::Read(read) => {
                self.statistics.reads += 1;
                let result = self.may_fail(self.plan.failing_reads).and_then(|()| self.window(read));
                self.completions.push_back(Completion::Read { ticket: read.ticket, result });
            }
            Operation::Keep(name, bytes) => self.finish_keep(name, &bytes),
            Operation::State(slot, table) => self.finish_state(slot, &table.encode()),
            Operation::Removal => self.make_removal_durable(),
        }
    }

    /// One time in `one_in` nothing is done; with 0 always something is.
    fn may_fail(&mut self, one_in: u64) -> io::Result<()> {
        let fails = one_in > 0 && self.random.one_in(one_in);
        if fails { Err(io::Error::other("simulated failure")) } else { Ok(()) }
    }

    fn make_removal_durable(&mut self) {
        if let Some((_, file)) = self.removed.pop_front()
            && self.spares.len() < 4
        {
            self.spares.push(file);
        }
    }

    /// A file for a segment: a used one with its old bytes, or a new one.
    fn take_spare(&mut self, bytes: u64) -> File {
        let fitting = self.spares.iter().position(|file| file.len() == bytes);
        fitting.map_or_else(|| File::zeroed(bytes), |index| self.spares.swap_remove(index))
    }

    fn put_file(&mut self, number: SegmentNumber, header: &[u8], bytes: u64) {
        while !self.removed.is_empty() {
            self.make_removal_durable();
        }
        let mut file = self.take_spare(bytes);
        file.write_synced(0, header);
        file.synced_to = header.len();
        self.files.insert(number.0, file);
        self.statistics.most_bytes = self.statistics.most_bytes.max(self.used_bytes());
    }
}

impl DiskStatistics {
    /// Adds another's.
    pub fn add(&mut self, other: &DiskStatistics) {
        self.syncs += other.syncs;
        self.filled += other.filled;
        self.reads += other.reads;
        self.recycled += other.recycled;
        self.most_bytes = self.most_bytes.max(other.most_bytes);
    }
}
