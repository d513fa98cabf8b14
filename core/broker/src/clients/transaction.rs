//! An open transaction of a connection: what it has sent is known to the log, what it has acknowledged is its own (R37).

use crate::clients::connection::Connection;
use crate::clients::consumer::InFlight;
use crate::destinations::destination::Refusal;
use crate::messages::{ConsumerIndex, TransactionIndex};
use postrider_model::{ConsumerHandle, PortIndex, TransactionNumber};
use std::collections::BTreeMap;

/// An open transaction.
#[derive(Default)]
pub(crate) struct Transaction {
    /// What it has sent; none: nothing so far.
    pub staged: Option<TransactionIndex>,
    /// By the serial of the consumer that has acknowledged.
    claims: BTreeMap<u64, Claims>,
    /// Messages in those.
    claimed: u64,
    /// Messages of ranges that their clients have counted for fewer.
    pub uncounted: u64,
    /// Why it cannot be committed any more.
    pub doomed: Option<Refusal>,
}

/// What one consumer has acknowledged.
pub(crate) struct Claims {
    pub consumer: ConsumerIndex,
    /// Messages of queues.
    pub entries: Vec<InFlight>,
    /// How many of topics.
    pub outstanding: u32,
}

impl Transaction {
    /// Messages that it has acknowledged.
    pub(crate) fn claimed(&self) -> u64 {
        self.claimed
    }

    /// A consumer has acknowledged these.
    pub(crate) fn claim(
        &mut self,
        (consumer, serial): (ConsumerIndex, u64),
        entries: impl Iterator<Item = InFlight>,
        outstanding: u32,
    ) {
        let empty = || Claims { consumer, entries: Vec::new(), outstanding: 0 };
        let claims = self.claims.entry(serial).or_insert_with(empty);
        let before = claims.entries.len();
        claims.entries.extend(entries);
        claims.outstanding = claims.outstanding.saturating_add(outstanding);
        self.claimed += (claims.entries.len() - before) as u64;
    }

    /// All that it has acknowledged.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claims> {
        self.claims.values()
    }

    /// The same, by the serials of the consumers: it is decided.
    pub(crate) fn take_claims(&mut self) -> BTreeMap<u64, Claims> {
        self.claimed = 0;
        std::mem::take(&mut self.claims)
    }
}

impl Connection {
    /// An open transaction.
    pub(crate) fn transaction(&self, number: TransactionNumber) -> Option<&Transaction> {
        self.transactions.get(&number)
    }

    /// The same, to be changed.
    pub(crate) fn transaction_mut(&mut self, number: TransactionNumber) -> Option<&mut Transaction> {
        self.transactions.get_mut(&number)
    }

    /// One begins. The one that had its number.
    pub(crate) fn begin_transaction(&mut self, number: TransactionNumber) -> Option<Transaction> {
        self.transactions.insert(number, Transaction::default())
    }

    /// It is to be decided: what follows of its connection does not find it any more (R36).
    pub(crate) fn take_transaction(&mut self, number: TransactionNumber) -> Option<Transaction> {
        self.transactions.remove(&number)
    }

    /// The connection goes, and the first of its transactions with it.
    pub(crate) fn pop_transaction(&mut self) -> Option<Transaction> {
        self.transactions.pop_first().map(|(_, transaction)| transaction)
    }
}

impl super::Clients {
    /// Whether the consumer that has claimed something is still there.
    pub(crate) fn is_alive(&self, index: ConsumerIndex, serial: u64) -> bool {
        self.try_consumer(index).is_some_and(|consumer| consumer.serial == serial && !consumer.is_closing())
    }

    /// How many messages a consumer has that a command names.
    pub(crate) fn in_flight_of(&self, port: PortIndex, handle: ConsumerHandle) -> usize {
        let found = self.ports.get(usize::from(port.0)).and_then(|port| port.consumer(handle));
        found.map_or(0, |index| self.consumer(index).in_flight())
    }
}
