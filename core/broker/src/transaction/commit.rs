//! COMMIT: decided where it is handled, in order (R36). One record names what it acknowledges (R32), and what it has sent shows when that
//! is durable (R33).

use crate::broker::Broker;
use crate::clients::consumer::InFlight;
use crate::clients::transaction::{Claims, Transaction};
use crate::destinations::destination::Refusal;
use crate::durable::late::{Late, TooMany};
use crate::durable::outcomes::BranchEnd;
use crate::log::{Log, LogKind};
use crate::messages::{ConnectionIndex, DestinationIndex, MessageIndex};
use crate::step::Step;
use crate::transaction::local::{lost, not_begun, without_room};
use postrider_model::command::Transact;
use postrider_model::event::Failure;
use postrider_model::{DestinationId, PortIndex, Sequence, TransactionNumber, limits};

/// Messages of which it is noted that they are settled in the time of a step.
const NOTED: usize = 32;

/// Messages that are named before their transaction is looked up again.
const NAMED_AT_ONCE: usize = 8;

/// It has sent to very many topics, or many have come, who may have gone again, between what it has sent.
pub(super) const TOO_MUCH_TO_LOOK_AT: &str = "with the topics that it has sent to and the subscriptions that came since, there is more to look at than one decision may take";

pub(super) fn too_many_places(places: u64) -> String {
    format!(
        "with subscriptions that came since it has sent to their topics, a message of it would have {places} places, {} at most can be \
         recorded",
        limits::PLACES
    )
}

impl Broker {
    pub(super) fn commit<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        number: TransactionNumber,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let owner = self.clients.connection_mut(connection);
        let (publisher, transaction) = (owner.serial, owner.take_transaction(number));
        let client = owner.client_id.clone();
        self.commit_taken(transaction.ok_or_else(not_begun)?, (publisher, &client), None, step)
    }

    /// All of it is done, or, if that cannot be, nothing.
    pub(super) fn commit_taken<L: Log>(
        &mut self,
        transaction: Transaction,
        (publisher, client): (u32, &[u8]),
        branch: Option<&BranchEnd>,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let late = match self.check_commit(&transaction, client) {
            Ok(late) => late,
            Err(refusal) => {
                self.roll_back(transaction, step);
                return Err(refusal);
            }
        };
        let (names, settled) = (transaction.named.put_together(), transaction.settled());
        self.decide(transaction, (&names, settled), late, (publisher, branch), step);
        Ok(())
    }

    /// All of it is done: it acknowledges what is named.
    pub(super) fn decide<L: Log>(
        &mut self,
        mut transaction: Transaction,
        (names, settled): (&[u8], Vec<(DestinationIndex, MessageIndex)>),
        late: Late,
        whose: (u32, Option<&BranchEnd>),
        step: &mut Step<'_, L>,
    ) {
        let claims = transaction.take_claims();
        self.work.spend(settled.len() / NOTED);
        self.statistics.acknowledged += settled.len() as u64;
        for (serial, Claims { consumer, entries, outstanding, .. }) in claims {
            if self.clients.is_alive(consumer, serial) {
                self.clients.consumer_mut(consumer).settle_claimed(entries.len(), outstanding);
                self.wake(consumer);
            }
        }
        let staged = transaction.staged.take();
        if staged.is_some() || !settled.is_empty() {
            let of = staged.unwrap_or_else(|| self.undecided.begin());
            self.commit_staged(of, (names, settled), late, whose, step);
        }
    }

    /// The journal has no room for a decision, and gets none: the transaction is rolled back (R46).
    pub(crate) fn refuse_commit<L: Log>(&mut self, port: PortIndex, transact: &Transact, step: &mut Step<'_, L>) {
        let Some(connection) = self.connection(port, transact.connection) else { return };
        let refusal = match self.clients.connection_mut(connection).take_transaction(transact.transaction) {
            None => not_begun(),
            Some(transaction) => {
                self.roll_back(transaction, step);
                rolled_back(without_room())
            }
        };
        self.refuse(port, transact.connection, transact.request, refusal, step);
    }

    /// Whether it can be committed. Its batch has the room, also for those who are late.
    pub(super) fn check_commit(&mut self, transaction: &Transaction, client: &[u8]) -> Result<Late, Refusal> {
        self.check_decidable(transaction)?;
        let most = self.config.transaction_messages;
        let late =
            transaction.staged.map_or_else(|| Ok(Late::default()), |staged| self.late_sharers(staged, client, most));
        late.map_err(|too_many| {
            let text = match too_many {
                TooMany::OfAll(_) => format!(
                    "subscriptions that came since it has sent to their topics would have more than {most} messages of it: commit sooner, \
                     or raise the setting `transactions.max_messages`"
                ),
                TooMany::OfOne(places) => format!("{}: commit sooner", too_many_places(places)),
                TooMany::ToLookAt => format!("{TOO_MUCH_TO_LOOK_AT}: commit sooner"),
            };
            rolled_back((Failure::ResourceAllocation, text.into()))
        })
    }

    /// Whether nothing stands against it.
    pub(super) fn check_decidable(&self, transaction: &Transaction) -> Result<(), Refusal> {
        if let Some(why) = transaction.doomed.clone() {
            return Err(rolled_back(why));
        }
        if transaction.staged.is_some_and(|staged| self.undecided.is_lost(staged)) {
            return Err(rolled_back(lost()));
        }
        Ok(())
    }

    /// What is acknowledged is named as it comes: the decision has that ready, however much it is (R32).
    pub(super) fn name_claimed(
        &mut self,
        connection: ConnectionIndex,
        number: TransactionNumber,
        entries: &[InFlight],
    ) {
        let mut named = [(DestinationId::default(), Sequence(0)); NAMED_AT_ONCE];
        for entries in entries.chunks(NAMED_AT_ONCE) {
            let mut count = 0;
            for entry in entries {
                let message = self.messages.at(entry.index);
                let id = self.recorded_id(entry.of, message).filter(|_| message.store == LogKind::Journal);
                if let Some((id, next)) = id.zip(named.get_mut(count)) {
                    *next = (id, message.sequence);
                    count += 1;
                }
            }
            let Some(transaction) = self.clients.transaction_mut(connection, number) else { return };
            named.iter().take(count).for_each(|(id, sequence)| transaction.named.add(*id, *sequence));
        }
    }
}

fn rolled_back((failure, why): Refusal) -> Refusal {
    let failure = match failure {
        Failure::ResourceAllocation => Failure::ResourceAllocation,
        _ => Failure::TransactionRolledBack,
    };
    (failure, format!("the transaction is rolled back: {why}").into())
}
