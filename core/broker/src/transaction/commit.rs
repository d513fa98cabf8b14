//! COMMIT: decided where it is handled, in order (R36). One record names what it acknowledges (R32), and what it has sent shows when that
//! is durable (R33).

use crate::broker::Broker;
use crate::clients::transaction::{Claims, Transaction};
use crate::destinations::destination::Refusal;
use crate::log::{Log, LogKind};
use crate::messages::ConnectionIndex;
use crate::records::commit::commit_bound;
use crate::records::write_acknowledged;
use crate::step::Step;
use crate::transaction::local::not_begun;
use postrider_journal::Purpose;
use postrider_model::event::Failure;
use postrider_model::{DestinationId, TransactionNumber};

impl Broker {
    pub(super) fn commit<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        number: TransactionNumber,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let owner = self.clients.connection_mut(connection);
        let (publisher, transaction) = (owner.serial, owner.take_transaction(number));
        let mut transaction = transaction.ok_or_else(not_begun)?;
        if let Err(refusal) = self.check_commit(&mut transaction, step) {
            self.roll_back(transaction, step);
            return Err(refusal);
        }
        let mut acknowledged = Vec::new();
        self.name_claims(&transaction, &mut acknowledged);
        let staged = transaction.staged.take();
        if staged.is_some() || !acknowledged.is_empty() {
            let of = staged.unwrap_or_else(|| self.undecided.begin());
            self.commit_staged(of, &acknowledged, publisher, step);
        }
        self.settle_claims(transaction, step);
        Ok(())
    }

    /// Whether it can be committed.
    fn check_commit<L: Log>(&mut self, transaction: &mut Transaction, step: &mut Step<'_, L>) -> Result<(), Refusal> {
        if let Some((failure, why)) = transaction.doomed.take() {
            return Err(rolled_back(failure, &why));
        }
        if transaction.staged.is_some_and(|staged| self.undecided.is_lost(staged)) {
            return Err(rolled_back(Failure::TransactionRolledBack, "what it has sent is damaged on the disk"));
        }
        let uncounted = transaction.uncounted;
        if uncounted > 0 && !step.log.reserve(Purpose::Settle, commit_bound(uncounted)) {
            let why = "the journal has no room for what it acknowledges: count that, consume messages, or raise the setting \
                       `journal.disk_budget_bytes`";
            return Err(rolled_back(Failure::ResourceAllocation, why));
        }
        Ok(())
    }

    /// Writes which durable messages it acknowledges.
    fn name_claims(&self, transaction: &Transaction, buffer: &mut Vec<u8>) {
        let entries = transaction.claims().flat_map(|claims| &claims.entries);
        let durable = entries.filter_map(|entry| {
            let message = self.messages.at(entry.index);
            let dying = self.destinations.get(entry.of).is_dying();
            let id = self.recorded_id(entry.of, message).filter(|_| message.store == LogKind::Journal && !dying)?;
            Some((id, message.sequence.0))
        });
        let mut named: Vec<(DestinationId, u64)> = durable.collect();
        named.sort_unstable();
        for run in named.chunk_by(|(one, _), (other, _)| one == other) {
            let sequences: Vec<u64> = run.iter().map(|(_, sequence)| *sequence).collect();
            if let Some((id, _)) = run.first() {
                write_acknowledged(buffer, *id, &sequences);
            }
        }
    }

    /// What it has acknowledged is done with.
    fn settle_claims<L: Log>(&mut self, mut transaction: Transaction, step: &mut Step<'_, L>) {
        for (serial, claims) in transaction.take_claims() {
            let Claims { consumer, entries, outstanding } = claims;
            self.work.spend(entries.len());
            if self.clients.is_alive(consumer, serial) {
                self.clients.consumer_mut(consumer).settle_claimed(entries.len(), outstanding);
                self.wake(consumer);
            }
            self.statistics.acknowledged += entries.len() as u64;
            for entry in entries {
                self.destinations.get_mut(entry.of).undecided -= 1;
                self.settle(entry.of, entry.index, step);
            }
        }
    }
}

fn rolled_back(failure: Failure, why: &str) -> Refusal {
    let failure = match failure {
        Failure::ResourceAllocation => Failure::ResourceAllocation,
        _ => Failure::TransactionRolledBack,
    };
    (failure, format!("the transaction is rolled back: {why}").into())
}
