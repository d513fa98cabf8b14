//! How a message ends: acknowledged, given back, expired, given up, damaged.

pub(crate) mod acknowledge;
pub(crate) mod dead_letter;
pub(crate) mod emptying;
pub(crate) mod expiry;
pub(crate) mod redelivery;
pub(crate) mod settling;
pub(crate) mod siblings;

use self::expiry::Sweep;
use crate::clients::consumer::InFlight;
use crate::destinations::destination::Reference;
use crate::kit::deque::Deque;
use crate::messages::MessageIndex;
use postrider_model::Sequence;
use std::collections::VecDeque;

/// What is on its way to its end.
#[derive(Default)]
pub(crate) struct Settlements {
    /// Messages that have expired and left their queues, for the job of them all, and whether there is one.
    expired: Deque<InFlight>,
    has_expiring: bool,
    /// When the next look at all queues for what has expired begins, in nanoseconds; 0: none did yet.
    next_sweep: u64,
    /// Where the present one is.
    sweep: Option<Sweep>,
    /// Subscriptions that the sweep has found to be without a consumer for as long as they may be.
    abandoned: VecDeque<Reference>,
    /// Places that are given up, of whose dead letters other places of the same message are to be told first.
    untold: Vec<(MessageIndex, Sequence)>,
    /// A buffer that is used again.
    record: Vec<u8>,
}

impl Settlements {
    /// The next subscription that was found to be abandoned.
    pub(crate) fn next_abandoned(&mut self) -> Option<Reference> {
        self.abandoned.pop_front()
    }

    /// They are to be found anew.
    pub(crate) fn forget_abandoned(&mut self) {
        self.abandoned.clear();
    }

    /// When there is something to do though nothing happens, in nanoseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        (self.next_sweep > 0).then_some(self.next_sweep)
    }
}
