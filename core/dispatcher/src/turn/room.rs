//! Room in the journal for a batch, and what of the batch is without it.

use postrider_journal::{NoRoom, Purpose, Spill, Storage};
use postrider_model::command::{BranchAct, TransactionAct};
use postrider_model::{Command, CommandBatch, Now, PortIndex};

use super::BrokerTurn;

/// Commands of a batch for which the journal has no room, by their places, and what becomes of them.
#[derive(Default)]
pub(super) struct Unstored {
    pub(super) places: Vec<usize>,
    /// Reclaim makes room: they wait for it. Otherwise they are refused.
    pub(super) wait: bool,
}

impl From<Vec<usize>> for Unstored {
    fn from(places: Vec<usize>) -> Unstored {
        Unstored { places, wait: false }
    }
}

/// Whether a batch is the end of a transaction and nothing else.
fn is_lone_decision(batch: &CommandBatch) -> bool {
    let is_decision = |command: &Command| match command {
        Command::Transact(it) => it.act == TransactionAct::Commit,
        Command::Branch(said) => matches!(said.act, BranchAct::Prepare | BranchAct::CommitOnePhase),
        _ => false,
    };
    matches!(&batch.commands[..], [command] if is_decision(command))
}

impl<S: Storage, P: Spill> BrokerTurn<S, P> {
    /// Takes room for a batch in the journal. Where its disk budget has none, and reclaim will make none, the sends that do not fit
    /// are refused, so that they do not hold up what their port brings besides, acknowledgements above all (R6, R24). Gives their
    /// places in the batch: none, as a rule. So it is while the medium gives no further segment.
    pub(super) fn begin(&mut self, port: PortIndex, batch: &CommandBatch, now: Now) -> Result<Unstored, NoRoom> {
        if !self.broker.has_sequences(port, batch) {
            return Err(NoRoom::NotReady);
        }
        let bound = self.broker.bound(port, batch);
        match self.logs.journal.reserve(Purpose::Create, bound) {
            Ok(()) => Ok(Unstored::default()),
            Err(NoRoom::Behind) => self.begin_settling(port, batch, now),
            Err(NoRoom::Full) if self.broker.walks() => {
                self.waits_for_room = true;
                Err(NoRoom::Full)
            }
            Err(NoRoom::Full | NoRoom::Short) => {
                let room = self.logs.journal.room_to_create();
                let (bound, refused) = self.broker.bound_within(port, batch, room, 0);
                let begun = self.logs.journal.reserve(Purpose::Settle, bound);
                // What is left is for moves: they wake who waits here.
                self.waits_for_room |= begun == Err(NoRoom::Full);
                let journal = &self.logs.journal;
                let is_for_ever = journal.room_when_short().is_some() || journal.lacks_budget_for(bound);
                if begun.is_err() && is_lone_decision(batch) && is_for_ever {
                    return self.begin_refusing();
                }
                begun.map(|()| refused.into())
            }
            Err(NoRoom::NotReady) => Err(NoRoom::NotReady),
        }
    }

    /// Takes room for the first commands of a batch for which there is none: as many as a small part of a segment has room for. The others
    /// become the rest. What acknowledges many messages may be bounded by more than there is, until it has made room itself.
    pub(super) fn begin_some(
        &mut self,
        port: PortIndex,
        (batch, rest): (&mut CommandBatch, &mut Vec<Command>),
        now: Now,
    ) -> Result<Unstored, NoRoom> {
        let some = self.broker.first_within(port, batch, self.logs.journal.kept_for_acknowledgements() / 2);
        if some >= batch.commands.len() {
            return Err(NoRoom::NotReady);
        }
        *rest = batch.commands.split_off(some);
        self.begin(port, batch, now)
    }

    /// Takes room for a batch while nothing may be stored. What settles, looks or asks goes on. What stores is parked while reclaim
    /// makes room; where only acknowledgements can, or nothing for now, it is refused, or nobody could ever drain the log.
    fn begin_settling(&mut self, port: PortIndex, batch: &CommandBatch, now: Now) -> Result<Unstored, NoRoom> {
        let spare = self.broker.spare_for_creations(&self.logs);
        let (bound, places) = self.broker.bound_within(port, batch, 0, spare);
        let wait = !self.is_hopeless(now);
        if wait && places.iter().any(|place| matches!(batch.commands.get(*place), Some(Command::OpenConsumer(_)))) {
            self.waits_for_room = true;
            return Err(NoRoom::NotReady);
        }
        if self.logs.journal.reserve(Purpose::Settle, bound).is_ok() {
            return Ok(Unstored { places, wait });
        }
        let (bound, places) = self.broker.bound_within(port, batch, 0, 0);
        let begun = self.logs.journal.reserve(Purpose::Settle, bound);
        if begun.is_err() && !wait && is_lone_decision(batch) && self.logs.journal.lacks_budget_for(bound) {
            return self.begin_refusing();
        }
        self.waits_for_room |= begun.is_err();
        begun.map(|()| Unstored { places, wait })
    }

    /// Nothing makes room for a decision that is too large for what is left, but that it is not made.
    fn begin_refusing(&mut self) -> Result<Unstored, NoRoom> {
        let refusing = self.broker.bound_of_refusal();
        self.logs.journal.reserve(Purpose::Settle, refusing).map(|()| vec![0].into())
    }

    /// Whether only acknowledgements can make room, or nothing for now.
    pub(super) fn is_hopeless(&self, now: Now) -> bool {
        self.broker.is_overfull(&self.logs) || self.broker.stands_still(now, &self.logs)
    }
}
