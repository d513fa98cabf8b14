//! One round of a thread's loop: the broker's turn, if the thread has it, then its shard's, if it has one. Who owns the thread waits
//! between the rounds: the server sleeps, the simulator lets its clock run.

use postrider_journal::{Spill, Storage, SyncFailed};
use postrider_model::Now;

use crate::net::Net;
use crate::shard::Shard;
use crate::turn::{BrokerTurn, Expected};
use crate::wake::Alarm;

/// What a round has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// There is more to do at once, which no port and no log will tell of.
    more: bool,
    /// Sends are collected, and no socket is looked at: the next round follows at once.
    collects: bool,
    /// When the first timer comes up, in nanoseconds.
    pub deadline: Option<u64>,
    /// Who is expected, if it is not worth waking up for less.
    pub expected: Option<Expected>,
}

impl Round {
    /// A round of a thread that may have the broker: its turn.
    ///
    /// # Errors
    /// A sync failed: the process must end (R7).
    pub fn begin<S: Storage, P: Spill>(broker: Option<&mut BrokerTurn<S, P>>, now: Now) -> Result<Round, SyncFailed> {
        let turned = broker.map(|broker| broker.turn(now)).transpose()?;
        Ok(Round {
            more: turned.is_some_and(|turned| turned.more),
            collects: false,
            deadline: turned.and_then(|turned| turned.deadline),
            expected: turned.and_then(|turned| turned.expected),
        })
    }

    /// Goes on with a shard's turn, on the thread of this broker if there is one.
    pub fn serve<N: Net, S: Storage, P: Spill>(
        &mut self,
        shard: &mut Shard<N>,
        broker: Option<&BrokerTurn<S, P>>,
        now: Now,
    ) {
        shard.turn(now, || self.more || broker.is_some_and(BrokerTurn::has_work));
        self.collects = !shard.poll_is_due();
        self.deadline = self.deadline.into_iter().chain(shard.deadline()).min();
    }

    /// Whether the thread looks at its sockets, if it has any, or waits, before the next round. Sends are handed over and the next
    /// bytes waited for in one call, also right after a turn that did something.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.collects
    }

    /// Whether the thread may sleep until its alarm rings or the deadline comes, after which [`Alarm::awake`] is to be called.
    /// `has_work`: whether shard or broker have some, which is looked at once more (R26).
    #[must_use]
    pub fn may_sleep(&self, alarm: &Alarm, has_work: impl FnOnce() -> bool) -> bool {
        alarm.may_sleep(|| self.more || has_work())
    }
}
