//! Messages that somebody is done with, settled one by one as the log has room for what becomes of them.

use crate::bounds::STEP_BYTES;
use crate::broker::Broker;
use crate::clients::consumer::InFlight;
use crate::durable::damage::Wait;
use crate::jobs::Slice;
use crate::kit::budget::Budget;
use crate::kit::deque::Deque;
use crate::log::Log;
use crate::plant::planted;
use crate::records::acknowledgement_bound;
use crate::settle::dead_letter::{Cause, Settled};
use crate::step::Step;
use postrider_journal::Purpose;

/// Messages without room that are looked at in one slice: each is written anew before it is known how much it takes.
const LOOKED_AT: usize = 8;

/// Steps that a dead letter takes besides one for each 256 bytes of it and of its cause: it is read, written anew and stored.
const LETTER_STEPS: usize = 12;

/// And one that only goes, as it is not persistent or nobody wants letters of what has expired: a look at it. *Without: what expires
/// comes faster than it goes, and fills the spool.*
const DROP_STEPS: usize = 1;

/// For so long others wait behind one whose bytes are asked for, in nanoseconds: as long as a disk may take that is only busy. They keep
/// their order as long as it does.
const BEHIND_BYTES_NANOS: u64 = 1_000_000_000;

/// When all have been looked at and none had room, only the first is, for so long, in nanoseconds: a round may be long.
const REST_NANOS: u64 = 1_000_000_000;

/// What becomes of messages that a consumer is done with.
pub(crate) enum Fate {
    Consumed,
    /// The consumer gave them up, for this cause.
    DeadLetter(Box<[u8]>),
    Expired,
}

impl Fate {
    /// Why they become dead letters, if they do; of those that have expired it is made from their own fields.
    fn cause(&self) -> Option<&[u8]> {
        match self {
            Fate::Consumed => None,
            Fate::DeadLetter(cause) => Some(cause),
            Fate::Expired => Some(&[]),
        }
    }
}

/// Messages with one fate. One that has to wait lets the others pass.
pub(crate) struct Settling {
    entries: Deque<InFlight>,
    fate: Fate,
    /// How many of them have been passed since one was settled.
    passed: usize,
    /// Since when the first waits for its bytes.
    waits_since: Option<u64>,
    /// Until then only the first is looked at.
    rests_until: u64,
}

impl Settling {
    pub(crate) fn new(entries: Deque<InFlight>, fate: Fate) -> Settling {
        Settling { entries, fate, passed: 0, waits_since: None, rests_until: 0 }
    }

    pub(crate) fn add(&mut self, entry: InFlight) {
        self.entries.push_back(entry);
        self.passed = 0;
    }

    fn settled(&mut self) {
        self.entries.pop_front();
        (self.passed, self.waits_since, self.rests_until) = (0, None, 0);
    }

    /// The first is the last from here on. True: all of them have been.
    fn pass(&mut self) -> bool {
        if let Some(entry) = self.entries.pop_front() {
            self.entries.push_back(entry);
        }
        self.waits_since = None;
        self.passed += 1;
        let all = self.passed >= self.entries.len();
        if all {
            self.passed = 0;
        }
        all
    }
}

impl Broker {
    pub(crate) fn settle_some<L: Log>(
        &mut self,
        settling: &mut Settling,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Slice {
        let mut looked_at = 0;
        while let Some(entry) = settling.entries.front() {
            if !budget.step() {
                return Slice::More;
            }
            let bytes = self.messages.at(entry.index).length as usize;
            let outcome = self.settle_one(entry, &settling.fate, step);
            if let Some(cause) = settling.fate.cause() {
                // One without room may have been written, too.
                let is_letter = !matches!(outcome, Ok(Settled::Gone));
                budget.spend(if is_letter { LETTER_STEPS + (bytes + cause.len()) / STEP_BYTES } else { DROP_STEPS });
            }
            match outcome {
                Ok(_) => settling.settled(),
                Err(Wait::TurnEnd) => return Slice::NextTurn,
                Err(Wait::Room) if planted("settled-in-line") => return Slice::Waits,
                Err(Wait::Room) if step.now.nanos < settling.rests_until => {
                    self.jobs.rest(settling.rests_until);
                    return Slice::Waits;
                }
                Err(Wait::Room) => {
                    if settling.pass() {
                        settling.rests_until = step.now.nanos.saturating_add(REST_NANOS);
                        self.jobs.rest(settling.rests_until);
                        return Slice::Waits;
                    }
                    looked_at += 1;
                    if looked_at == LOOKED_AT {
                        return Slice::More;
                    }
                }
                Err(Wait::Bytes) => {
                    let since = *settling.waits_since.get_or_insert(step.now.nanos);
                    let until = since.saturating_add(BEHIND_BYTES_NANOS);
                    if step.now.nanos < until {
                        self.jobs.rest(until);
                        return Slice::Waits;
                    }
                    if settling.pass() {
                        return Slice::Waits;
                    }
                }
            }
        }
        Slice::Done
    }

    fn settle_one<L: Log>(&mut self, entry: InFlight, fate: &Fate, step: &mut Step<'_, L>) -> Result<Settled, Wait> {
        match fate {
            Fate::Consumed if !step.log.reserve(Purpose::Settle, acknowledgement_bound(1)) => Err(Wait::Room),
            Fate::Consumed => {
                self.consume(entry.of, entry.index, step);
                Ok(Settled::Gone)
            }
            Fate::DeadLetter(cause) => self.give_up(entry.of, entry.index, Cause::Poison(cause), step),
            Fate::Expired => self.give_up(entry.of, entry.index, Cause::Expired, step),
        }
    }
}
