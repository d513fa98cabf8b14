//! What goes from destinations to consumers and browsers.

pub(crate) mod advisory;
pub(crate) mod browse;
pub(crate) mod dispatch;
pub(crate) mod fan_out;
pub(crate) mod listeners;
pub(crate) mod pull;
pub(crate) mod replay;
pub(crate) mod selecting;
pub(crate) mod trying;
pub(crate) mod unsendable;
pub(crate) mod wanting;

use self::listeners::Listening;
use self::pull::Pulls;
use crate::destinations::destination::Reference;
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::plant::planted;
use postrider_model::event::Recipient;

/// Steps in which views try what waits between two rests, where there is other work: a twentieth of the time, about.
const TRIAL_STEPS: usize = 500;

/// Who has waited so many times as long as a rest takes for other work is alone.
const RESTS_ALONE: u64 = 100;

/// What delivery keeps from turn to turn.
#[derive(Default)]
pub(crate) struct Delivery {
    pulls: Pulls,
    /// Steps that looks for browsers' pages have taken beyond the slices that they were in.
    beyond: usize,
    /// Patterns of consumers that listen to what the broker tells.
    listening: Listening,
    /// What has come so far that is told of.
    happenings: u64,
    /// Advisories so far.
    advisories: i64,
    /// Somebody waits for bytes that can be read when this turn has ended.
    waits_for_turn: bool,
    /// What was handled when the turn began, and steps that are left in it to the trials of what waits.
    handled: u64,
    trial_steps: usize,
    /// When something else was handled last, and when trials may go on beside such work, in nanoseconds.
    handled_at: u64,
    trial_at: u64,
    /// The queue whose messages are tried by views and wait for bytes.
    cold_scan: Option<Reference>,
    /// Buffers that are used again.
    record: Vec<u8>,
    recipients: Vec<Recipient>,
    places: Vec<DestinationIndex>,
}

impl Delivery {
    /// A consumer goes, and its newest pull is not waited for any more.
    pub(crate) fn forget_pull(&mut self, consumer: ConsumerIndex, timer: Option<(u64, u64)>) {
        self.pulls.forget(consumer, timer);
    }

    /// A turn goes on by itself, and so many sends, deliveries and acknowledgements have been handled since the start; trials rest for so long
    /// where something else was handled lately. Whether somebody waits for bytes of the turn before.
    pub(crate) fn begin_turn(&mut self, handled: u64, nanos: u64, rest: u64) -> bool {
        if std::mem::replace(&mut self.handled, handled) != handled {
            self.handled_at = nanos;
        }
        // A thread that never rests is let onto a processor later than those that do, and so are those beside it.
        self.trial_steps =
            if nanos.saturating_sub(self.handled_at) >= RESTS_ALONE * rest || planted("trials-never-rest") {
                usize::MAX
            } else if nanos >= self.trial_at {
                self.trial_at = nanos + rest;
                TRIAL_STEPS
            } else {
                0
            };
        std::mem::take(&mut self.waits_for_turn)
    }

    /// Whether somebody waits for bytes of this turn.
    pub(crate) fn waits_for_turn(&self) -> bool {
        self.waits_for_turn
    }

    /// When a pull is to be answered, in nanoseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.pulls.deadline()
    }
}
