//! An open transaction of a connection: what it has sent is known to the log, what it has acknowledged is its own (R37).

use crate::clients::connection::Connection;
use crate::clients::consumer::InFlight;
use crate::destinations::destination::Refusal;
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex, MessageIndex, TransactionIndex};
use crate::records::acknowledged::Runs;
use postrider_model::{ConsumerHandle, PortIndex, TransactionNumber};
use std::collections::BTreeMap;

/// An open transaction.
#[derive(Default)]
pub(crate) struct Transaction {
    /// What it has sent; none: nothing so far.
    pub staged: Option<TransactionIndex>,
    /// By the serial of the consumer that has acknowledged.
    claims: BTreeMap<u64, Claims>,
    /// Messages in those, of topics as well.
    claimed: u64,
    /// Those that are durable, as its decision names them.
    pub named: Runs,
    /// Why it cannot be committed any more.
    pub doomed: Option<Refusal>,
}

/// Of what an earlier life had acknowledged: nobody's number.
const NO_CONSUMER: ConsumerIndex = ConsumerIndex(u32::MAX);

/// And nobody's serial.
pub(crate) const NO_SERIAL: u64 = 0;

/// What one consumer has acknowledged.
pub(crate) struct Claims {
    pub consumer: ConsumerIndex,
    /// Messages of queues.
    pub entries: Vec<InFlight>,
    /// How many of topics.
    pub outstanding: u32,
}

/// How many of them are of which destination, one after the other.
#[allow(clippy::cast_possible_truncation, reason = "one consumer has fewer in flight")]
pub(crate) fn runs(entries: &[InFlight]) -> impl Iterator<Item = (DestinationIndex, u32)> {
    let runs = entries.chunk_by(|one, other| one.of == other.of);
    runs.filter_map(|run| Some((run.first()?.of, run.len() as u32)))
}

impl Transaction {
    /// Messages that it has acknowledged.
    pub(crate) fn claimed(&self) -> u64 {
        self.claimed
    }

    /// A consumer has acknowledged these.
    pub(crate) fn claim(&mut self, (consumer, serial): (ConsumerIndex, u64), entries: Vec<InFlight>, outstanding: u32) {
        self.claimed += entries.len() as u64 + u64::from(outstanding);
        let Some(claims) = self.claims.get_mut(&serial) else {
            self.claims.insert(serial, Claims { consumer, entries, outstanding });
            return;
        };
        claims.entries.extend(entries);
        claims.outstanding = claims.outstanding.saturating_add(outstanding);
    }

    /// Whether it has acknowledged messages of queues.
    pub(crate) fn has_messages(&self) -> bool {
        self.claims.values().any(|claims| !claims.entries.is_empty())
    }

    /// These are acknowledged, by consumers of an earlier life.
    pub(crate) fn claim_of_nobody(&mut self, entries: Vec<InFlight>) {
        self.claim((NO_CONSUMER, NO_SERIAL), entries, 0);
    }

    /// All that it has acknowledged.
    pub(crate) fn settled(&self) -> Vec<(DestinationIndex, MessageIndex)> {
        let count = self.claims.values().map(|claims| claims.entries.len()).sum();
        let mut settled = Vec::with_capacity(count);
        let entries = self.claims.values().flat_map(|claims| &claims.entries);
        settled.extend(entries.map(|entry| (entry.of, entry.index)));
        settled
    }

    /// All that it has acknowledged, by the serials of the consumers: it is decided.
    pub(crate) fn take_claims(&mut self) -> BTreeMap<u64, Claims> {
        self.claimed = 0;
        std::mem::take(&mut self.claims)
    }
}

impl Connection {
    /// One begins. The one that had its number.
    pub(crate) fn begin_transaction(&mut self, number: TransactionNumber) -> Option<Transaction> {
        self.transactions.insert(number, Transaction::default())
    }

    /// It is to be decided: what follows of its connection does not find it any more (R36).
    pub(crate) fn take_transaction(&mut self, number: TransactionNumber) -> Option<Transaction> {
        self.transactions.remove(&number)
    }
}

impl super::Clients {
    /// A connection goes, and the first of its transactions with it, or of the branches that it began.
    pub(crate) fn pop_transaction(&mut self, index: ConnectionIndex) -> Option<Transaction> {
        let own = self.connection_mut(index).transactions.pop_first();
        own.map(|(_, transaction)| transaction).or_else(|| self.pop_branch(index))
    }

    /// An open transaction of a connection, or a branch that it works in.
    pub(crate) fn transaction(&self, connection: ConnectionIndex, number: TransactionNumber) -> Option<&Transaction> {
        match self.joined(connection, number) {
            Some(branch) => Some(&self.branches.at(branch).transaction),
            None => self.connection(connection).transactions.get(&number),
        }
    }

    /// The same, to be changed.
    pub(crate) fn transaction_mut(
        &mut self,
        connection: ConnectionIndex,
        number: TransactionNumber,
    ) -> Option<&mut Transaction> {
        match self.joined(connection, number) {
            Some(branch) => Some(&mut self.branches.at_mut(branch).transaction),
            None => self.connection_mut(connection).transactions.get_mut(&number),
        }
    }

    /// Whether the consumer that has claimed something is still there.
    pub(crate) fn is_alive(&self, index: ConsumerIndex, serial: u64) -> bool {
        self.try_consumer(index).is_some_and(|consumer| consumer.serial == serial && !consumer.is_closing())
    }

    /// How many messages a consumer has that a command names, those included that transactions have of it: another command of the same
    /// batch may give them back.
    pub(crate) fn at_hand(&self, port: PortIndex, handle: ConsumerHandle) -> usize {
        let found = self.ports.get(usize::from(port.0)).and_then(|port| port.consumer(handle));
        found.map_or(0, |index| self.consumer(index).at_hand())
    }
}
