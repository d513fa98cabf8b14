//! The spool's seam over files that die with the process: slow, of limited size, and now and then refusing.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use postrider_dispatcher::wake::Alarm;
use postrider_journal::{Image, ImageWriter, Read, SegmentNumber, Spill, Spilled, SpoolConfig};

use crate::random::Random;
use crate::schedule::{Happening, MICRO, MILLI, Schedule};

/// Bytes of a segment: a few messages, or one.
const SEGMENT: u64 = 16 << 10;

/// What a life's spool is like.
pub struct SpoolPlan {
    /// Its sizes.
    pub config: SpoolConfig,
    /// Nanoseconds that an operation typically takes.
    nanos: u64,
    /// One operation in so many fails; 0: none.
    failing: u64,
}

/// The broker's hold on the files.
pub struct SimSpill {
    files: Files,
}

/// The files. Handles share them.
#[derive(Clone)]
pub struct Files {
    state: Rc<RefCell<State>>,
    schedule: Schedule,
    alarm: Arc<Alarm>,
}

struct State {
    plan: SpoolPlan,
    random: Random,
    files: BTreeMap<u64, Vec<u8>>,
    operations: BTreeMap<u64, Operation>,
    next: u64,
    answers: VecDeque<Spilled>,
}

enum Operation {
    Spill(SegmentNumber, Arc<Image>, usize),
    Read(Read),
}

impl SpoolPlan {
    /// Memory is small where the disk is, mostly.
    pub fn draw(random: &mut Random, scarce: bool) -> SpoolPlan {
        let keys = random.next();
        let small = scarce && random.percent(80);
        let (memory, disk) = match small {
            true => (SEGMENT * random.within(0..4), SEGMENT * random.within(0..16)),
            false => (512 << 20, 1 << 30),
        };
        SpoolPlan {
            config: SpoolConfig {
                segment_bytes: SEGMENT,
                memory_bytes: memory,
                disk_bytes: disk,
                cold_bytes: SEGMENT * random.within(1..6),
                read_ahead: 4096 * random.within(1..9) as u32,
                keys,
            },
            nanos: *random.pick(&[20 * MICRO, 200 * MICRO, 2 * MILLI]),
            failing: if random.one_in(3) { random.within(2..8) } else { 0 },
        }
    }
}

impl Files {
    /// No files yet. The alarm rings when something is finished.
    pub fn new(plan: SpoolPlan, random: Random, schedule: &Schedule, alarm: Arc<Alarm>) -> Files {
        let state = State {
            plan,
            random,
            files: BTreeMap::new(),
            operations: BTreeMap::new(),
            next: 0,
            answers: VecDeque::new(),
        };
        Files { state: Rc::new(RefCell::new(state)), schedule: schedule.clone(), alarm }
    }

    /// The broker's hold on them.
    pub fn open(&self) -> SimSpill {
        SimSpill { files: self.clone() }
    }

    /// Finishes an operation whose time has come.
    pub fn finish(&self, number: u64) {
        let mut state = self.state.borrow_mut();
        let Some(operation) = state.operations.remove(&number) else { return };
        let failing = state.plan.failing;
        let fails = failing > 0 && state.random.one_in(failing);
        let answer = state.answer(operation, fails);
        state.answers.push_back(answer);
        drop(state);
        self.alarm.notify();
    }

    fn start(&self, operation: Operation) {
        let mut state = self.state.borrow_mut();
        let number = state.next;
        state.next += 1;
        state.operations.insert(number, operation);
        let nanos = state.plan.nanos;
        let delay = 1 + state.random.delay(nanos);
        self.schedule.after(delay, Happening::Spill(number));
    }
}

impl State {
    fn answer(&mut self, operation: Operation, fails: bool) -> Spilled {
        let failure = || Err(io::Error::from(io::ErrorKind::StorageFull));
        match operation {
            Operation::Spill(segment, image, len) => {
                if fails {
                    return Spilled::Out { segment, result: failure() };
                }
                let before = self.files.insert(segment.0, image.bytes(0, len).to_vec());
                assert!(before.is_none(), "R21: segment {segment} of the spool is written out twice");
                Spilled::Out { segment, result: Ok(()) }
            }
            Operation::Read(Read { ticket, .. }) if fails => {
                Spilled::Read { ticket, result: Err(io::Error::other("simulated failure of a read")) }
            }
            Operation::Read(read) => Spilled::Read { ticket: read.ticket, result: self.window(read) },
        }
    }

    fn window(&self, read: Read) -> io::Result<Arc<Image>> {
        let file = self.files.get(&read.segment.0).ok_or(io::ErrorKind::NotFound)?;
        let window = &file[read.offset as usize..][..read.len as usize];
        let mut writer = ImageWriter::anonymous(window.len())?;
        writer.write(0, window);
        writer.publish(window.len());
        Ok(Arc::clone(writer.image()))
    }
}

impl Spill for SimSpill {
    fn spill(&mut self, segment: SegmentNumber, image: Arc<Image>, len: usize) {
        self.files.start(Operation::Spill(segment, image, len));
    }

    fn read(&mut self, read: Read) {
        self.files.start(Operation::Read(read));
    }

    fn discard(&mut self, segment: SegmentNumber) {
        self.files.state.borrow_mut().files.remove(&segment.0);
    }

    fn completed(&mut self) -> Option<Spilled> {
        self.files.state.borrow_mut().answers.pop_front()
    }

    fn has_completed(&self) -> bool {
        !self.files.state.borrow().answers.is_empty()
    }
}
