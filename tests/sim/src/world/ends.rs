//! Ends of lives: the process or the power goes, what lies on the disk rots or is lost, and there is another start.

use postrider_journal::Position;

use super::World;
use crate::disk::{Crash, Target};
use crate::process::Process;
use crate::random::Random;
use crate::schedule::{MICRO, MILLI, SECOND};

/// Records that one rotten byte may take.
const RECORDS_OF_A_BYTE: usize = 16;

/// Queues that one send goes to at most.
const PLACES: u64 = 2;

/// Seconds after which a log that nobody uses is at rest.
const SECONDS_TO_REST: u32 = 60;

impl World {
    /// Bytes of old segments rot; they are read back, or not, before the next start.
    pub(super) fn rot(&mut self, times: u64) {
        if times == 0 {
            return;
        }
        let targets: Vec<Target> = (0..times).map(|_| *self.random.pick(&Target::ALL)).collect();
        let (bytes, taken) = self.disk.rot(&targets, &self.plan.journal);
        self.say(|| format!("{bytes} of {targets:?} rot and take {taken:?}"));
        assert!(taken.len() <= bytes * RECORDS_OF_A_BYTE, "R5: {bytes} bytes of damage take {} records", taken.len());
        self.damaged |= bytes > 0;
        taken.iter().for_each(|record| self.ledger.has_rotted(record));
    }

    /// The process ends, or the power goes, and after a while there is another one.
    pub(super) fn die(&mut self) {
        let crash = if self.random.percent(self.plan.power_cuts) { Crash::Power } else { Crash::Kill };
        self.crash(crash);
        let pause = self.random.delay(10 * MILLI);
        self.run_for(pause);
        self.rot(self.plan.rot);
        if self.plan.rot > 0 && self.process.is_none() && self.random.one_in(4) {
            return self.start_without_a_segment();
        }
        self.look_at_losses(self.random.clone().fork());
        if !self.damaged && self.process.is_none() && self.random.one_in(8) {
            let mut random = self.random.fork();
            let refusal = self.disk.check_tampered(&self.plan.journal, &mut random);
            self.say(|| format!("somebody tampers: {refusal:?}"));
        }
        if self.process.is_none() {
            self.start();
        }
    }

    /// On a copy a segment is gone, after one crash in four where nothing has rotted: from draws that shift no others.
    fn look_at_losses(&self, mut random: Random) {
        if !self.damaged && self.process.is_none() && random.one_in(4) {
            let name = self.disk.check_given_up(&self.plan.journal, &mut random);
            self.say(|| format!("on a copy it is given up: {name:?}"));
        }
    }

    /// A segment is gone, and given up. Starts end early, and the first life, too; each one says that something is lost (R9, R15).
    fn start_without_a_segment(&mut self) {
        let Some((name, taken)) = self.disk.lose_segment(&self.plan.journal) else { return self.start() };
        self.say(|| format!("{name} is gone, and given up: {taken:?}"));
        self.damaged = true;
        taken.iter().for_each(|record| self.ledger.has_rotted(record));
        self.plan.journal.give_up = vec![name];
        for _ in 0..self.random.within(1..4) {
            self.start();
            let process = self.process.as_ref().expect("just started");
            let recovery = process.broker().journal().recovery();
            assert!(recovery.losses() > 0, "R15: a start after one that gave a segment up says nothing: {recovery:?}");
            let nanos = self.random.below(20) * MICRO;
            self.run_for(nanos);
            self.crash(Crash::Kill);
        }
        self.start();
        self.plan.journal.give_up.clear();
    }

    /// A log at rest says that all of it is durable: damage in its last group is damage, and no torn end (R2).
    pub(super) fn die_with_a_rotten_end(&mut self) {
        self.run_until_at_rest();
        self.crash(Crash::Power);
        let (rotten, taken) = self.disk.rot_last_group(&self.plan.journal);
        self.say(|| format!("the last group rots: {taken:?}"));
        self.damaged |= rotten;
        taken.iter().for_each(|record| self.ledger.has_rotted(record));
        self.start();
        let Some(process) = self.process.as_ref().filter(|_| rotten) else { return };
        let recovery = process.broker().journal().recovery();
        assert!(
            recovery.damages > 0,
            "R2: rot in the last group of a log at rest is taken for a torn end: {recovery:?}"
        );
    }

    /// What many producers are remembered by is not moved again and again where nothing comes (R19).
    pub(super) fn rest(&mut self) {
        if self.plan.has_throng() {
            self.run_until_at_rest();
            self.check_amplification();
        }
    }

    /// Until nothing is appended for a second. Without clients that is after what reclaim has to move (R19) and what expires, and one pad
    /// that says that all is durable.
    fn run_until_at_rest(&mut self) {
        let mut unexplained = 0;
        for _ in 0..SECONDS_TO_REST {
            let before = self.log_work();
            self.run_for(SECOND);
            let after = self.log_work();
            if after == before {
                return;
            }
            let worked = after.map(|(_, work)| work) != before.map(|(_, work)| work);
            unexplained = if worked { 0 } else { unexplained + 1 };
            assert!(unexplained <= 1, "R2: a log at rest is written on: {before:?}, {after:?}");
        }
        panic!("R19: a log that nobody uses does not come to rest within a minute: {:?}", self.log_work());
    }

    /// Where the log ends, and how much the broker has moved, expired and given up in this life.
    fn log_work(&self) -> Option<(Position, [u64; 3])> {
        let broker = self.process.as_ref()?.broker();
        let statistics = broker.broker().statistics();
        let work = [statistics.moved, statistics.expired, statistics.dead_lettered];
        Some((broker.journal().appended(), work))
    }

    pub(super) fn crash(&mut self, crash: Crash) {
        self.say(|| format!("{crash:?}"));
        self.crashes += 1;
        self.check_amplification();
        if let Some(process) = &self.process {
            let life = process.broker().broker().statistics();
            self.may_be_found = self.found + PLACES * life.published + life.dead_lettered;
        }
        // A mapping's bytes are the kernel's, so the disk looks at the process's memory before it goes.
        self.disk.crash(crash);
        self.schedule.forget_process();
        self.network.process_died();
        self.follower = self.process.take().map(Process::into_follower);
        self.ledger.crashed();
        self.temporaries.clear();
    }

    /// Starts the process; the power may go while it starts.
    pub(super) fn start(&mut self) {
        for attempt in 0.. {
            let dies = attempt < 3 && !self.calm && self.random.one_in(6);
            let calls = dies.then(|| self.random.below(20) as u32);
            self.disk.die_after(calls);
            let random = self.random.fork();
            // Of what a start that came to nothing has read nobody knows whether it lasts; what has rotted the follower still has.
            let follower = self.follower.take().filter(|_| attempt == 0 && !self.damaged);
            match Process::start(&self.plan, &self.disk, &self.network, &self.schedule, random, follower) {
                Ok(process) => {
                    self.disk.die_after(None);
                    self.process = Some(process);
                    self.begin_life();
                    self.check_start();
                    return;
                }
                Err(reason) => {
                    assert!(dies, "the broker does not start: {reason}");
                    let crash = if self.random.percent(20) { Crash::Kill } else { Crash::Power };
                    self.say(|| format!("{crash:?} during the start"));
                    self.disk.crash(crash);
                    self.schedule.forget_process();
                }
            }
        }
    }
}
