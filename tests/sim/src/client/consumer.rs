//! A consumer: what it has in flight, and what the application has of it.

use std::collections::VecDeque;
use std::sync::Arc;

use postrider_wire::openwire::Structure;

use super::wishing::Wish;
use crate::ledger::{Address, Ledger, MessageId};

/// How it acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Each message at once.
    Auto,
    /// Runs of messages, when the application says so.
    Client,
    /// Single messages in any order.
    Individual,
}

/// A message that is in flight here.
pub struct InFlight {
    pub id: MessageId,
    pub address: Address,
    /// What the broker calls that address: another name where the record of its own has rotted.
    pub wire: Address,
    pub sequence: u64,
    pub message_id: Arc<Structure>,
    /// The application has it.
    pub given: bool,
}

/// A consumer.
pub struct Consumer {
    /// Never used twice, a restored consumer has another than before.
    pub number: u64,
    pub address: Address,
    pub mode: Mode,
    pub prefetch: u32,
    /// The larger one, as long as a change may not have arrived.
    pub allowed: u32,
    /// Messages beyond the prefetch for which delivered acknowledgements were sent.
    pub extension: u32,
    /// In dispatch order.
    pub in_flight: VecDeque<InFlight>,
    /// For delivered acknowledgements: messages given to the application since the last.
    pub given_since: u32,
    pub last_delivered: i64,
    /// Pulls sent, messages and ends of messages received.
    pub pulls: u32,
    pub pull_answers: u32,
    /// The timeout of the pull that waits for its answer.
    pub pull_waits: Option<i64>,
    /// The last pull found nothing.
    pub found_empty: bool,
    pub is_open: bool,
    /// It does not want what its own connection sends.
    pub foreign: bool,
    /// What it wants of what its destinations hold; none: all.
    pub wish: Option<Wish>,
    /// It has counted more as delivered than it has seen.
    pub has_boasted: bool,
    /// A restored consumer whose real prefetch has not been told yet.
    pub is_held: bool,
    /// Topics: deliveries not acknowledged yet.
    pub unacknowledged: u32,
    pub last_message: Option<Arc<Structure>>,
}

impl Consumer {
    /// A consumer that was not answered yet.
    pub fn new(number: u64, address: Address, mode: Mode, prefetch: u32) -> Consumer {
        Consumer {
            number,
            address,
            mode,
            prefetch,
            allowed: prefetch,
            extension: 0,
            in_flight: VecDeque::new(),
            given_since: 0,
            last_delivered: -1,
            pulls: 0,
            pull_answers: 0,
            pull_waits: None,
            found_empty: false,
            is_open: false,
            foreign: false,
            wish: None,
            has_boasted: false,
            is_held: false,
            unacknowledged: 0,
            last_message: None,
        }
    }

    /// The connection is another one now.
    pub fn restored(&mut self, number: u64) {
        self.number = number;
        self.allowed = 0;
        (self.pulls, self.pull_answers, self.pull_waits) = (0, 0, None);
        self.is_open = false;
        self.is_held = true;
    }

    /// Nothing is in flight here any more.
    pub fn forget_in_flight(&mut self) -> Vec<(MessageId, Address)> {
        self.extension = 0;
        self.given_since = 0;
        self.unacknowledged = 0;
        self.in_flight.drain(..).map(|message| (message.id, message.address)).collect()
    }

    /// Takes a delivery, which must be within the credit (10.3 of the protocol).
    pub fn take(&mut self, message: InFlight) {
        self.in_flight.push_back(message);
        let beyond = self.in_flight.len() as u32;
        let beyond = beyond.saturating_sub(self.extension);
        self.check_credit(beyond);
    }

    pub fn check_credit(&mut self, beyond: u32) {
        if self.allowed == 0 {
            self.pull_answers += 1;
            assert!(
                self.pull_answers <= self.pulls,
                "R23: consumer {}: {} messages for {} pulls",
                self.number,
                self.pull_answers,
                self.pulls
            );
            self.pull_waits = None;
            self.found_empty = false;
            return;
        }
        let slack = if self.pull_waits.is_some() { 1 } else { 0 };
        assert!(
            beyond <= self.allowed + slack,
            "R23: consumer {} has {beyond} in flight with a prefetch of {}",
            self.number,
            self.allowed
        );
    }

    /// One message consumed or given up: the window shrinks back first.
    pub fn settled(&mut self, messages: u32) {
        self.extension = self.extension.saturating_sub(messages);
    }

    /// Whether it waits for nothing, and nothing waits for it.
    pub fn is_idle(&self) -> bool {
        let emptied = self.prefetch > 0 || self.address.is_topic() || self.found_empty;
        self.is_open && !self.is_held && self.in_flight.is_empty() && self.pull_waits.is_none() && emptied
    }

    /// Why it is not idle, for people.
    pub fn waits_for(&self) -> String {
        format!(
            "number {} of {} prefetch {} {:?}: open {} held {} in flight {} pull {:?} found empty {}",
            self.number,
            self.address.name,
            self.prefetch,
            self.mode,
            self.is_open,
            self.is_held,
            self.in_flight.len(),
            self.pull_waits,
            self.found_empty
        )
    }

    /// Closes in order; `last` as the client says it: of what came before it, here or at another consumer, all was delivered.
    pub fn close(&mut self, last: i64, ledger: &mut Ledger) {
        ledger.subscriptions.close(self.number);
        let upto =
            if last > 0 { self.in_flight.iter().position(|message| message.sequence as i64 == last) } else { None };
        for (position, message) in self.in_flight.drain(..).enumerate() {
            let delivered = upto.map_or(message.sequence as i64 <= last, |upto| position <= upto);
            ledger.returned(message.id, &message.address, self.number, delivered);
        }
    }
}
