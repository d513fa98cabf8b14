//! What a consumer with prefetch 0 may have: one message for each pull.

use crate::clients::consumer::Consumer;

/// A consumer may have one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Grant {
    /// Tells this pull from an earlier one.
    pub(super) serial: u64,
}

/// How long a pull waits for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// For ever.
    Endless,
    /// Until then, in nanoseconds; what is past asks for what is there.
    Until(u64),
}

impl Consumer {
    /// Whether it gets only what it pulls.
    pub(crate) fn pulls(&self) -> bool {
        self.prefetch == 0
    }

    /// Whether its newest pull has no answer yet.
    pub(crate) fn has_grant(&self) -> bool {
        self.grant.is_some()
    }

    /// Whether that is the pull with this serial.
    pub(crate) fn is_granted(&self, serial: u64) -> bool {
        self.grant == Some(Grant { serial })
    }

    /// It pulls.
    pub(crate) fn grant(&mut self, serial: u64, patience: Patience) {
        self.grant = Some(Grant { serial });
        self.pulled = Some(patience);
    }

    /// It has its answer.
    pub(crate) fn end_grant(&mut self) {
        self.grant = None;
    }

    /// How long its newest pull waits, if that was answered.
    pub(crate) fn answered_pull(&self) -> Option<Patience> {
        self.pulled.filter(|_| self.grant.is_none())
    }

    /// When its newest pull wants to hear, and its serial.
    pub(crate) fn set_pull_timer(&mut self, timer: (u64, u64)) {
        self.pull_timer = Some(timer);
    }

    /// The same, which nobody is to wait for any more.
    pub(crate) fn take_pull_timer(&mut self) -> Option<(u64, u64)> {
        self.pull_timer.take()
    }
}
