//! What the end of the process, or of the power, leaves on the disk.

use postrider_journal::Medium;

use super::file::Fate;
use super::{Disk, Operation, SECTOR, State};
use crate::random::Random;

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process is killed; the kernel keeps what it was given.
    Kill,
    /// The power goes; of what was not synced anything may be left.
    Power,
}

impl Disk {
    /// Ends what is under way. To be called while the process's memory is still there: a mapping's bytes are the kernel's.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.state.borrow_mut();
        let operations = std::mem::take(&mut state.operations);
        state.completions.clear();
        state.alarm = None;
        for operation in operations.into_values() {
            state.break_off(operation, crash);
        }
        state.write_back();
        state.mapped.clear();
        if crash == Crash::Power {
            state.lose_power();
        }
        let State { files, .. } = &mut *state;
        files.values_mut().for_each(|file| file.synced_to = 0);
        self.dies_after.set(None);
    }
}

impl State {
    fn break_off(&mut self, operation: Operation, crash: Crash) {
        match operation {
            Operation::Write(write) => self.land_some(&write),
            Operation::Prepare(prepare) => {
                // The file may have its name already, with nobody told.
                if self.random.percent(50) && self.used_bytes() + prepare.header.bytes <= self.plan.capacity {
                    self.put_file(prepare.header.number, &prepare.header.encode(), prepare.header.bytes);
                }
            }
            Operation::Removal if crash == Crash::Kill => self.make_removal_durable(),
            Operation::State(slot, table) if self.random.percent(50) => self.tables[slot] = Some(table.encode()),
            Operation::Removal | Operation::Read(_) | Operation::Keep(..) | Operation::State(..) => {}
        }
    }

    /// The kernel writes a mapping's pages back when it likes: sectors below the frontier may be there, those of an earlier
    /// moment too.
    fn write_back(&mut self) {
        if self.plan.medium != Medium::Mapped {
            return;
        }
        let mapped = std::mem::take(&mut self.mapped);
        for (number, image) in mapped {
            let (Some(image), Some(file)) = (image.upgrade(), self.files.get_mut(&number)) else { continue };
            let whole = self.random.percent(self.plan.lands_whole);
            let share = if whole { 100 } else { *self.random.pick(&[0, 50, 100]) };
            for sector in file.synced_to / SECTOR..image.frontier().div_ceil(SECTOR) {
                if self.random.percent(share) {
                    let start = sector * SECTOR;
                    let there = SECTOR.min(image.frontier() - start);
                    let moment = if self.random.percent(80) { there } else { self.random.index(there + 1) };
                    // A page that nobody has changed is not written.
                    if file.bytes()[start..start + moment] != *image.bytes(start, moment) {
                        file.write_sector(sector, image.bytes(start, moment));
                    }
                }
            }
        }
    }

    fn lose_power(&mut self) {
        let State { files, removed, random, plan, .. } = self;
        // Directory changes become durable in their order.
        let durable = random.index(removed.len() + 1);
        for (number, file) in removed.drain(..).skip(durable) {
            files.insert(number, file);
        }
        let style = Style::choose(random, plan.loses_first);
        for (_, file) in files.iter_mut() {
            let mut sector = 0;
            file.lose_power(|| {
                sector += 1;
                if style.behind_first && sector <= FIRST_SECTORS { Fate::Old } else { style.fate(random) }
            });
        }
    }
}

/// What happens to most sectors of one power cut; a mixture of everything would hide the pure cases.
struct Style {
    kept: u64,
    odd: u64,
    /// Of each file the first unsynced block is lost: the disk began with the rest.
    behind_first: bool,
}

/// Sectors of a block.
const FIRST_SECTORS: usize = 8;

impl Style {
    fn choose(random: &mut Random, loses_first: u64) -> Style {
        let behind_first = random.percent(loses_first);
        let kept = if behind_first { 100 } else { *random.pick(&[0, 30, 50, 80, 95, 100]) };
        Style { kept, odd: *random.pick(&[0, 0, 2, 10]), behind_first }
    }

    fn fate(&self, random: &mut Random) -> Fate {
        if random.percent(self.odd) {
            return match random.below(4) {
                0 => Fate::Torn(random.index(SECTOR)),
                1 => Fate::TornBehind(random.index(SECTOR)),
                2 => Fate::Unreadable,
                _ => Fate::Garbage(random.next()),
            };
        }
        if random.percent(self.kept) { Fate::New } else { Fate::Old }
    }
}
