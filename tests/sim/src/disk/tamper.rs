//! Files that are not what they should be: a start refuses them, says which, and touches nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;

use postrider_journal::{Config, Journal, SegmentNumber, Storage};

use super::file::File;
use super::{Crash, Disk, FoundRecord, SECTOR, SimStorage, State};
use crate::random::Random;

/// Segments by number, and the tables.
type Contents = (BTreeMap<u64, Vec<u8>>, [Option<Vec<u8>>; 2]);

/// Segments at the end of the log of which none is missed for sure: what they held may not have been durable.
const UNPROVEN: usize = 2;

impl Disk {
    /// Looks at a start on a copy of the disk in which somebody has taken, swapped or cut segments of the log. None where there are
    /// too few of them.
    pub fn check_tampered(&self, config: &Config, random: &mut Random) -> Option<String> {
        let mut segments: Vec<u64> = self.records(config).iter().map(|record| record.segment).collect();
        segments.dedup();
        segments.truncate(segments.len().saturating_sub(UNPROVEN));
        if segments.len() < 2 {
            return None;
        }
        let copy = self.copy();
        let chosen = random.index(segments.len() - 1);
        let (one, other) = (segments[chosen], segments[chosen + 1]);
        let what = copy.state.borrow_mut().tamper((one, other), random);
        let before = copy.state.borrow().contents();
        let storage = SimStorage::new(copy.clone());
        let names = [one, other].map(|number| storage.name(SegmentNumber(number)));
        let outcome = Journal::recover(storage, config.clone(), &mut |_, _| Ok::<_, Infallible>(()));
        let refusal = match outcome {
            Ok(_) => panic!("R2: a start goes on though {what} of {names:?}"),
            Err(refusal) => refusal.to_string(),
        };
        assert!(
            names.iter().any(|name| refusal.contains(name)),
            "R2: {what} of {names:?}, and a start says: {refusal}"
        );
        assert!(
            copy.state.borrow().contents() == before,
            "R2: a start that was refused has touched something: {refusal}"
        );
        Some(format!("{what} of {names:?}: {refusal}"))
    }
}

impl Disk {
    /// Loses a segment with records out of the middle of the log: its name, and the records that a start does not find any more.
    pub fn lose_segment(&self, config: &Config) -> Option<(String, Vec<FoundRecord>)> {
        let records = self.records(config);
        let mut segments: Vec<u64> = records.iter().map(|record| record.segment).collect();
        segments.dedup();
        segments.truncate(segments.len().saturating_sub(UNPROVEN));
        let mut state = self.state.borrow_mut();
        let chosen = segments.get(state.random.index(segments.len().max(1))).copied()?;
        state.files.remove(&chosen);
        let taken = records.into_iter().filter(|record| record.segment == chosen).collect();
        Some((SimStorage::new(self.clone()).name(SegmentNumber(chosen)), taken))
    }

    /// Looks at starts on a copy of the disk that has lost a segment, which they give up, and at one behind them: each ends before the
    /// log says what follows, the first perhaps earlier, and says that something is lost (R9, R15). None where there are too few segments.
    pub fn check_given_up(&self, config: &Config, random: &mut Random) -> Option<String> {
        let copy = self.copy();
        copy.state.borrow_mut().random = random.fork();
        let (name, _) = copy.lose_segment(config)?;
        copy.die_after(random.percent(50).then(|| random.below(20) as u32));
        let mut config = Config { give_up: vec![name.clone()], ..config.clone() };
        for _ in 0..random.within(2..4) {
            config.keys = random.next();
            copy.check_loss(&config);
        }
        (config.keys, config.give_up) = (random.next(), Vec::new());
        copy.check_loss(&config);
        Some(name)
    }

    /// A start says that something is lost, unless the power goes in its middle.
    fn check_loss(&self, config: &Config) {
        match Journal::recover(SimStorage::new(self.clone()), config.clone(), &mut |_, _| Ok::<_, Infallible>(())) {
            Ok(journal) => {
                let recovery = journal.recovery();
                assert!(
                    recovery.losses() > 0,
                    "R15: a start without a segment, or behind one, says nothing: {recovery:?}"
                );
            }
            Err(reason) => assert_eq!(self.dies_after.get(), Some(0), "a start without a segment is refused: {reason}"),
        }
        self.crash(Crash::Kill);
    }
}

impl State {
    fn tamper(&mut self, (one, other): (u64, u64), random: &mut Random) -> &'static str {
        let mut take = |number: u64| self.files.remove(&number).expect("a segment of the log");
        match random.below(4) {
            0 => {
                take(one);
                "the first is missing"
            }
            1 => {
                let (first, second) = (take(one), take(other));
                self.files.extend([(one, second), (other, first)]);
                "the files are swapped"
            }
            2 => {
                let first = take(one);
                self.files.insert(one, first.resized(first.len() - SECTOR as u64));
                "the first is cut"
            }
            _ => {
                let first = take(one);
                self.files.insert(one, first.resized(first.len() + 1));
                "the first is a byte longer"
            }
        }
    }

    fn contents(&self) -> Contents {
        let files = self.files.iter().map(|(number, file): (&u64, &File)| (*number, file.bytes().to_vec()));
        (files.collect(), self.tables.clone())
    }
}
