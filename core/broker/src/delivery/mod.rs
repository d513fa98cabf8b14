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

    /// A turn begins. Whether somebody waits for bytes of the one before.
    pub(crate) fn begin_turn(&mut self) -> bool {
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
