//! The journal alone over the disk: what was durable is there after any crash, in order, and nothing else is.

use std::convert::Infallible;
use std::sync::Arc;

use postrider_dispatcher::wake::Alarm;
use postrider_journal::{Bound, Config, Home, Journal, Medium, Position, Purpose, Record, body_crc};

use super::{Crash, Disk, DiskPlan, SimStorage};
use crate::random::Random;
use crate::schedule::{Happening, Schedule};

struct Bench {
    random: Random,
    schedule: Schedule,
    disk: Disk,
    /// Sequence and end of each record that was staged and not lost since.
    records: Vec<(u64, Position)>,
    next: u64,
    durable: Position,
}

fn body(sequence: u64) -> Vec<u8> {
    let mut random = Random::new(sequence);
    (0..random.below(if sequence.is_multiple_of(50) { 40_000 } else { 900 })).map(|_| random.next() as u8).collect()
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let mut random = Random::new(seed);
        let schedule = Schedule::new(random.fork());
        let medium = if random.percent(50) { Medium::Direct } else { Medium::Mapped };
        let plan = DiskPlan {
            medium,
            sync_nanos: 1_000,
            work_nanos: 1_000,
            capacity: 1 << 30,
            failing_syncs: 0,
            failing_reads: 0,
            failing_preparations: 0,
            loses_first: 20,
            lands_whole: 20,
        };
        let disk = Disk::new(plan, random.fork(), schedule.clone());
        Bench { random, schedule, disk, records: Vec::new(), next: 1, durable: Position(0) }
    }

    fn open(&mut self) -> Option<Journal<SimStorage>> {
        let alarm = Alarm::with_waker(Arc::new(|| ()));
        let config = Config {
            segment_bytes: 64 << 10,
            hot_bytes: 128 << 10,
            cold_bytes: 64 << 10,
            read_ahead: 4096,
            disk_budget: Some(1 << 29),
            spool_budget: Some(0),
            keys: self.random.next(),
            ..Config::default()
        };
        let mut found = Vec::new();
        let calls = self.random.one_in(5).then(|| self.random.below(20) as u32);
        self.disk.die_after(calls);
        let journal = Journal::recover(self.disk.open(alarm), config, &mut |record: &Record<'_>, home: Home| {
            assert_eq!(record.body, body(record.sequence), "record {} is altered", record.sequence);
            found.push((record.sequence, home.position + u64::from(home.len)));
            Ok::<_, Infallible>(())
        });
        self.disk.die_after(None);
        let journal = match journal {
            Ok(journal) => journal,
            Err(error) => {
                assert!(calls.is_some(), "{error}");
                return None;
            }
        };
        let sequences = |records: &[(u64, Position)]| records.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>();
        assert!(found.len() <= self.records.len(), "{} found of {}", found.len(), self.records.len());
        assert_eq!(sequences(&found), sequences(&self.records[..found.len()]));
        let owed = self.records.iter().filter(|(_, end)| *end <= self.durable).count();
        assert!(found.len() >= owed, "{} found, {owed} were durable", found.len());
        self.records.truncate(found.len());
        self.durable = journal.durable();
        Some(journal)
    }

    fn live(&mut self, journal: &mut Journal<SimStorage>) {
        for _ in 0..self.random.below(200) {
            for _ in 0..self.random.below(4) {
                let body = body(self.next);
                if journal.reserve(Purpose::Create, Bound { records: 1, bytes: body.len() as u64 }).is_err() {
                    break;
                }
                let record = Record {
                    kind: 1,
                    flags: 0,
                    sequence: self.next,
                    meta: &[],
                    body: &body,
                    body_crc: body_crc(&body),
                };
                let home = journal.stage(&record);
                self.records.push((self.next, home.position + u64::from(home.len)));
                self.next += 1;
            }
            journal.seal();
            if self.random.percent(60) {
                journal.submit();
            }
            let pause = self.random.below(2_000);
            let until = self.schedule.nanos() + pause;
            while let Some(happening) = self.schedule.next(until) {
                if let Happening::Disk(operation) = happening {
                    self.disk.finish(operation);
                }
            }
            journal.poll().unwrap();
            self.durable = journal.durable();
        }
    }
}

#[test]
fn what_was_durable_survives_any_crash() {
    for seed in 0..60 {
        let mut bench = Bench::new(seed);
        for _ in 0..6 {
            let Some(mut journal) = bench.open() else {
                bench.disk.crash(Crash::Power);
                continue;
            };
            bench.live(&mut journal);
            let crash = if bench.random.percent(40) { Crash::Kill } else { Crash::Power };
            bench.disk.crash(crash);
            bench.schedule.forget_process();
        }
    }
}
