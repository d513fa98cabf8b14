//! What goes from destinations to consumers and browsers.

pub(crate) mod advisory;
pub(crate) mod browse;
pub(crate) mod dispatch;
pub(crate) mod fan_out;
pub(crate) mod pull;
pub(crate) mod unsendable;

use self::pull::Pulls;
use crate::destinations::destination::Reference;
use crate::messages::ConsumerIndex;
use postrider_model::event::Recipient;

/// What delivery keeps from turn to turn.
#[derive(Default)]
pub(crate) struct Delivery {
    pulls: Pulls,
    /// Steps that looks for browsers' pages have taken beyond the slices that they were in.
    beyond: usize,
    /// The topics of advisories that were needed yet, and where they are.
    advisory_topics: [Option<Reference>; 2],
    /// Advisories so far.
    advisories: i64,
    /// Buffers that are used again.
    record: Vec<u8>,
    recipients: Vec<Recipient>,
}

impl Delivery {
    /// A consumer goes, and its newest pull is not waited for any more.
    pub(crate) fn forget_pull(&mut self, consumer: ConsumerIndex, timer: Option<(u64, u64)>) {
        self.pulls.forget(consumer, timer);
    }

    /// When a pull is to be answered, in nanoseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.pulls.deadline()
    }
}
