//! How transactions begin and end, what they acknowledge, and what dooms them.

use crate::broker::Broker;
use crate::clients::consumer::{ConsumerKind, InFlight};
use crate::clients::in_flight::{COMPARED, Range};
use crate::clients::transaction::{Claims, NO_SERIAL, Transaction, runs};
use crate::destinations::destination::Refusal;
use crate::log::Log;
use crate::messages::{ConnectionIndex, ConsumerIndex, TransactionIndex};
use crate::plant::planted;
use crate::step::Step;
use postrider_model::command::{Acknowledge, AcknowledgeKind, Transact, TransactionAct};
use postrider_model::event::Failure;
use postrider_model::{PortIndex, TransactionNumber};

/// Nothing is done within a transaction that is not there (R47).
pub(super) fn not_begun() -> Refusal {
    (Failure::General, "the transaction has not been started: begin it first".into())
}

/// Bytes of it are damaged.
pub(super) fn lost() -> Refusal {
    (Failure::TransactionRolledBack, "what it has sent is damaged on the disk".into())
}

/// Its record would have to name more than there is room for.
pub(super) fn without_room() -> Refusal {
    let text = "the journal has no room for what the transaction acknowledges: acknowledge less in one, consume messages, or raise the setting \
                `journal.disk_budget_bytes`";
    (Failure::ResourceAllocation, text.into())
}

impl Broker {
    pub(crate) fn transact<L: Log>(&mut self, port: PortIndex, transact: &Transact, step: &mut Step<'_, L>) {
        let Some(connection) = self.connection(port, transact.connection) else { return };
        let (number, before) = (transact.transaction, self.jobs.pushed());
        let outcome = match transact.act {
            TransactionAct::Begin => {
                let before = self.clients.connection_mut(connection).begin_transaction(number);
                before.into_iter().for_each(|before| self.roll_back(before, step));
                Ok(())
            }
            TransactionAct::Doom => {
                let why = "something that belongs to it was refused".into();
                self.doom(connection, number, (Failure::TransactionRolledBack, why), step);
                Ok(())
            }
            TransactionAct::RollBack => {
                let transaction = self.clients.connection_mut(connection).take_transaction(number);
                transaction.map(|transaction| self.roll_back(transaction, step)).ok_or_else(not_begun)
            }
            TransactionAct::Commit => self.commit(connection, number, step),
        };
        match outcome {
            Ok(()) => self.reply_after_jobs(port, transact.connection, transact.request, before, step),
            Err(refusal) => self.refuse(port, transact.connection, transact.request, refusal, step),
        }
    }

    /// It cannot be committed any more, and what it has sent goes at once: it makes no room for anything (R35).
    pub(super) fn doom<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        number: TransactionNumber,
        why: Refusal,
        step: &mut Step<'_, L>,
    ) {
        let Some(transaction) = self.clients.transaction_mut(connection, number) else { return };
        transaction.doomed.get_or_insert(why);
        if let Some(staged) = transaction.staged.take() {
            self.roll_back_staged(staged, step);
        }
    }

    /// It is over without effect: what it has acknowledged is its consumers' again, or, where they are gone, the queues'.
    pub(crate) fn roll_back<L: Log>(&mut self, mut transaction: Transaction, step: &mut Step<'_, L>) {
        if let Some(staged) = transaction.staged.take() {
            self.roll_back_staged(staged, step);
        }
        for (serial, Claims { consumer, entries, .. }) in transaction.take_claims() {
            for (destination, count) in runs(&entries) {
                self.destinations.decide(destination, count);
            }
            if self.clients.is_alive(consumer, serial) {
                let entries = self.leave_dying(consumer, entries);
                let looked_at = self.clients.consumer_mut(consumer).take_back(entries);
                self.work.spend(looked_at / COMPARED);
                self.wake(consumer);
            } else {
                self.return_claimed(entries, serial != NO_SERIAL);
            }
        }
        self.jobs.stir();
    }

    /// What comes back of destinations that are deleted goes with them. The others.
    fn leave_dying(&mut self, consumer: ConsumerIndex, mut entries: Vec<InFlight>) -> Vec<InFlight> {
        if !runs(&entries).any(|(destination, _)| self.destinations.get(destination).is_dying()) {
            return entries;
        }
        let before = entries.len();
        self.work.spend(before / COMPARED);
        entries.retain(|entry| {
            let stays = !self.destinations.get(entry.of).is_dying();
            if !stays {
                let expiration = self.messages.at(entry.index).expiration;
                self.destinations.get_mut(entry.of).queue().push(entry.index, expiration);
            }
            stays
        });
        self.clients.consumer_mut(consumer).settle_claimed(before - entries.len(), 0);
        entries
    }

    pub(crate) fn acknowledge_in_transaction<L: Log>(
        &mut self,
        port: PortIndex,
        acknowledge: &Acknowledge,
        number: TransactionNumber,
        arena: &[u8],
        step: &mut Step<'_, L>,
    ) {
        let outside = match acknowledge.kind {
            // What the client has only seen, or what has expired there, does not wait for a decision.
            AcknowledgeKind::Delivered | AcknowledgeKind::Redelivered | AcknowledgeKind::Expired => true,
            AcknowledgeKind::Poison | AcknowledgeKind::Standard | AcknowledgeKind::Individual => false,
        };
        if outside {
            return self.acknowledge(port, &Acknowledge { transaction: None, ..*acknowledge }, arena, step);
        }
        let Some(connection) = self.connection(port, acknowledge.connection) else { return };
        match self.claim(port, connection, acknowledge, number) {
            Ok(()) => self.reply(port, acknowledge.connection, acknowledge.request, step),
            Err(refusal) => {
                self.doom(connection, number, refusal.clone(), step);
                self.refuse(port, acknowledge.connection, acknowledge.request, refusal, step);
            }
        }
    }

    /// What it acknowledges is the transaction's: out of its consumer's list, and in its window.
    fn claim(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        acknowledge: &Acknowledge,
        number: TransactionNumber,
    ) -> Result<(), Refusal> {
        if self.clients.says_again(connection, number) {
            return Ok(());
        }
        let transaction = self.clients.transaction(connection, number).ok_or_else(not_begun)?;
        if transaction.doomed.is_some() {
            // It is given back anyway, and is where it would be then.
            return Ok(());
        }
        let (staged, claimed) = (transaction.staged, transaction.claimed());
        if acknowledge.kind == AcknowledgeKind::Poison {
            return Err((Failure::General, "a message cannot be given up within a transaction".into()));
        }
        let Some(index) = self.consumer_of(port, connection, acknowledge.consumer) else {
            // What it had is others' now: the rest of the transaction is not to be done without.
            self.statistics.stale_commands += 1;
            return Err((Failure::General, "The subscription does not exist: its consumer is closed".into()));
        };
        let consumer = self.clients.consumer_mut(index);
        self.work.spend(consumer.compared() / COMPARED);
        if !consumer.was_served() {
            return Ok(());
        }
        if consumer.kind != ConsumerKind::Queue {
            let serial = consumer.serial;
            let outstanding = acknowledge.count;
            self.check_size(staged, claimed, u64::from(outstanding.max(1)))?;
            let transaction = self.clients.transaction_mut(connection, number).ok_or_else(not_begun)?;
            transaction.claim((index, serial), Vec::new(), outstanding);
            return Ok(());
        }
        let Some(range) = consumer.range(acknowledge) else { return self.unmatched(index, acknowledge) };
        let (count, counted) = (range.count as u64, u64::from(acknowledge.count.max(1)));
        // It has more than the range names: where a client has put what was rolled back before what came meanwhile.
        if counted > count && acknowledge.kind == AcknowledgeKind::Standard {
            return self.unmatched(index, acknowledge);
        }
        self.check_size(staged, claimed, count)?;
        // A decision in the same batch has room for as many as were counted.
        self.intake.has_outgrown_bounds |= count > counted && !planted("commit-bound-by-count");
        self.claim_range(connection, number, index, &range);
        if acknowledge.kind == AcknowledgeKind::Individual {
            self.clients.consumer_mut(index).extend(1);
            self.wake(index);
        }
        Ok(())
    }

    fn claim_range(
        &mut self,
        connection: ConnectionIndex,
        number: TransactionNumber,
        index: ConsumerIndex,
        range: &Range,
    ) {
        self.work.spend(range.count);
        let consumer = self.clients.consumer_mut(index);
        let (serial, entries) = (consumer.serial, consumer.claim_entries(range));
        for (destination, count) in runs(&entries) {
            self.destinations.get_mut(destination).undecided += count;
        }
        self.name_claimed(connection, number, &entries);
        if let Some(transaction) = self.clients.transaction_mut(connection, number) {
            transaction.claim((index, serial), entries, 0);
        }
    }

    /// Whether a transaction that has staged and claimed these may have so many messages more, sent or acknowledged.
    pub(super) fn check_size(&self, staged: Option<TransactionIndex>, claimed: u64, more: u64) -> Result<(), Refusal> {
        let sent = staged.map_or(0, |staged| self.undecided.places(staged));
        let most = self.config.transaction_messages;
        if claimed + sent + more <= most {
            return Ok(());
        }
        let text = format!(
            "a transaction has {most} messages at most, sent and received: commit more often, or raise the setting \
             `transactions.max_messages`"
        );
        Err((Failure::ResourceAllocation, text.into()))
    }
}
