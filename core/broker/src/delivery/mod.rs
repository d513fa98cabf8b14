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
use postrider_model::event::Recipient;

/// Where there is other work views try what waits in a tenth of its time: a step is about a third of what a send, a delivery or an
/// acknowledgement takes.
const HANDLED_OF_TRIAL: usize = 3;

/// And in so many steps of a turn at least.
const LEAST_TRIAL_STEPS: usize = 64;

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

    /// A turn goes on by itself, and so many sends, deliveries and acknowledgements have been handled since the start. Whether somebody waits
    /// for bytes of the turn before.
    pub(crate) fn begin_turn(&mut self, handled: u64) -> bool {
        let others = usize::try_from(handled.wrapping_sub(self.handled)).unwrap_or(usize::MAX);
        self.handled = handled;
        self.trial_steps = if others == 0 { usize::MAX } else { (others / HANDLED_OF_TRIAL).max(LEAST_TRIAL_STEPS) };
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
