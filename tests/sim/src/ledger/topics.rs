//! Plain topic consumers: each gets what is published while it is there, once, in the order of each producer.

use std::collections::{BTreeMap, BTreeSet};

use super::{Address, Delivery, MessageId};
use crate::client::Wish;

/// All plain topic consumers that are open.
#[derive(Default)]
pub struct Subscriptions {
    open: BTreeMap<u64, Subscription>,
}

struct Subscription {
    address: Address,
    wish: Option<Wish>,
    /// Sent since the broker had answered the ConsumerInfo, not delivered yet.
    expected: BTreeSet<MessageId>,
    received: BTreeSet<(MessageId, Address)>,
    /// Last number of each producer at each address.
    last: BTreeMap<(u64, Address), i64>,
}

impl Subscriptions {
    /// A consumer asks to be opened.
    pub fn open(&mut self, consumer: u64, address: Address, wish: Option<Wish>) {
        let subscription =
            Subscription { address, wish, expected: BTreeSet::new(), received: BTreeSet::new(), last: BTreeMap::new() };
        self.open.insert(consumer, subscription);
    }

    /// A consumer is closed, or its connection broke.
    pub fn close(&mut self, consumer: u64) {
        self.open.remove(&consumer);
    }

    /// The process has ended: nothing is owed any more.
    pub fn crashed(&mut self) {
        self.open.clear();
    }

    /// A message is sent to a topic, to these consumers that were there before.
    pub fn sent(&mut self, id: MessageId, address: &Address) {
        for subscription in self.open.values_mut().filter(|subscription| subscription.address.takes(address)) {
            if subscription.wish.as_ref().is_some_and(|wish| !wish.takes(id)) {
                continue;
            }
            subscription.expected.insert(id);
        }
    }

    /// What was sent before the broker knew the consumer is not owed to it.
    pub fn begins(&mut self, consumer: u64) {
        if let Some(subscription) = self.open.get_mut(&consumer) {
            subscription.expected.clear();
        }
    }

    /// A delivery to one of them.
    pub fn delivered(&mut self, id: MessageId, delivery: &Delivery<'_>, producer: u64, number: i64) {
        let Some(subscription) = self.open.get_mut(&delivery.consumer) else { return };
        assert!(
            subscription.address.takes(delivery.address),
            "message {id} of {:?} to a consumer of {:?}",
            delivery.address,
            subscription.address
        );
        subscription.expected.remove(&id);
        let first = subscription.received.insert((id, delivery.address.clone()));
        assert!(first, "message {id} comes twice to topic consumer {}", delivery.consumer);
        let last = subscription.last.entry((producer, delivery.address.clone())).or_insert(i64::MIN);
        assert!(
            *last < number,
            "order of producer {producer} at topic consumer {}: {last}, then {number}",
            delivery.consumer
        );
        *last = number;
    }

    /// Everybody has had what was owed.
    pub fn check(&self, certain: impl Fn(MessageId) -> bool) {
        for (consumer, subscription) in &self.open {
            let missed: Vec<_> = subscription.expected.iter().filter(|id| certain(**id)).take(5).collect();
            assert!(missed.is_empty(), "topic consumer {consumer} of {:?} missed {missed:?}", subscription.address);
        }
    }
}
