//! Durable subscriptions: hidden queues of references to messages that are stored once (R40). Each is found by client and name.

use crate::bounds::SUBSCRIPTION_BYTES;
use crate::destinations::destination::{Content, Destinations, Refusal};
use crate::messages::{ConsumerIndex, DestinationIndex};
use crate::records::subscription::SubscriptionMeta;
use crate::selector::Selector;
use postrider_model::event::Failure;
use postrider_model::{Destination, DestinationId, DestinationKind, MessageView, limits, pattern};
use std::collections::{BTreeMap, BTreeSet};

/// A durable subscription.
pub(crate) struct Subscription {
    pub meta: SubscriptionMeta,
    /// Its selector; none of a text that cannot be read: nothing matches that.
    selector: Option<Selector>,
    /// Its consumer, and the serial of that.
    pub consumer: Option<(ConsumerIndex, u64)>,
    /// Since when it is known to have none, in milliseconds since 1970; 0: that was not asked yet.
    pub left_at: i64,
}

impl Subscription {
    /// As the log says it: nothing matches a selector that cannot be read.
    pub(crate) fn new(meta: SubscriptionMeta) -> Subscription {
        let selector = Selector::new(&meta.selector).ok();
        Subscription { meta, selector, consumer: None, left_at: 0 }
    }

    /// As a client wants it, whose selector can be read; an empty one is none.
    pub(crate) fn read(meta: SubscriptionMeta) -> Result<Subscription, Refusal> {
        let selector = match Selector::new(&meta.selector) {
            Ok(selector) => Some(selector),
            Err(_) if meta.selector.is_empty() => None,
            Err(error) => return Err((Failure::InvalidSelector, error.to_string().into())),
        };
        Ok(Subscription { meta, selector, consumer: None, left_at: 0 })
    }

    /// Whether it is to have a message that a client sends to one of its topics.
    pub(crate) fn takes(&self, view: &MessageView<'_>, client: &[u8]) -> bool {
        self.is_foreign_to(client) && self.matches(view)
    }

    /// Whether what a client sends may be for it.
    pub(crate) fn is_foreign_to(&self, client: &[u8]) -> bool {
        !self.meta.no_local || *self.meta.client != *client
    }

    pub(crate) fn has_selector(&self) -> bool {
        !self.meta.selector.is_empty()
    }

    /// What its selector says.
    pub(crate) fn matches(&self, view: &MessageView<'_>) -> bool {
        !self.has_selector() || self.selector.as_ref().is_some_and(|selector| selector.matches(view, 0))
    }

    /// Bytes of memory that it takes, about.
    fn memory(&self) -> u64 {
        let SubscriptionMeta { client, name, topics, .. } = &self.meta;
        let bytes_of = |topic: &Destination| {
            let pattern = if topic.is_wildcard() { PATTERN_BYTES } else { 0 };
            TOPIC_BYTES + 2 * topic.name.len() + pattern
        };
        let topics: usize = topics.iter().map(bytes_of).sum();
        (OWN_BYTES + 4 * (client.len() + name.len()) + topics + self.selector_memory()) as u64
    }

    /// The same of its selector.
    pub(crate) fn selector_memory(&self) -> usize {
        self.selector.as_ref().map_or(0, Selector::memory)
    }

    /// Steps that asking it takes.
    pub(crate) fn steps(&self, view: &MessageView<'_>) -> usize {
        self.selector.as_ref().filter(|_| !self.meta.selector.is_empty()).map_or(0, |selector| selector.steps(view))
    }

    /// Whether it is what a client wants under its name: written otherwise it is the same, and keeps what it holds.
    pub(crate) fn is_as(&self, wanted: &Subscription) -> bool {
        let SubscriptionMeta { topics, selector, no_local, .. } = &self.meta;
        let sorted = |topics: &[Destination]| topics.iter().map(|topic| topic.name.clone()).collect::<BTreeSet<_>>();
        let says_the_same = || {
            let both = self.selector.as_ref().zip(wanted.selector.as_ref());
            both.is_some_and(|(own, other)| own.text() == other.text())
        };
        *no_local == wanted.meta.no_local
            && (*selector == wanted.meta.selector || says_the_same())
            && (*topics == wanted.meta.topics || sorted(topics) == sorted(&wanted.meta.topics))
    }

    /// Whether no consumer has had it for so long by now; since it was asked first.
    pub(crate) fn is_abandoned(&mut self, unix_millis: i64, most_millis: i64) -> bool {
        if self.consumer.is_some() {
            return false;
        }
        if self.left_at == 0 {
            self.left_at = unix_millis;
        }
        unix_millis.saturating_sub(self.left_at) >= most_millis
    }

    fn fits(&self, topic: &Destination) -> bool {
        self.meta.topics.iter().any(|known| pattern::matches(known, topic))
    }

    /// Whether it may get what is sent to topics that come later.
    fn has_patterns(&self) -> bool {
        self.meta.topics.iter().any(Destination::is_wildcard)
    }

    /// As people know it.
    fn title(&self) -> Destination {
        let name = [&*self.meta.client, b":", &*self.meta.name].concat();
        Destination::new(DestinationKind::Queue, &name)
    }
}

/// Bytes of memory that a subscription takes, and each of its topics, besides names.
const OWN_BYTES: usize = 512;
const TOPIC_BYTES: usize = 128;

/// A pattern counts for so much more: each is held against the name of a topic that is sent to first, or again when subscriptions have changed.
/// *Without: one send looks at millions of them.*
const PATTERN_BYTES: usize = 8 << 10;

/// Client id, and name.
type ByClient = (Box<[u8]>, Box<[u8]>);

/// In the order in which they came, which their numbers say.
type InOrder = BTreeSet<(DestinationId, DestinationIndex)>;

/// All of them.
#[derive(Default)]
pub(crate) struct Subscriptions {
    /// By client and name.
    by_name: BTreeMap<ByClient, DestinationIndex>,
    /// Those that name topics only, by these.
    by_topic: BTreeMap<Destination, InOrder>,
    /// Those with patterns.
    patterns: InOrder,
    /// Queues with shared messages of which nothing else is known any more: their own record is lost.
    pub nameless: Vec<DestinationIndex>,
    /// Bytes of memory that all take, and those of each client.
    bytes: u64,
    by_client: BTreeMap<Box<[u8]>, u64>,
    /// How often they have changed.
    changes: u64,
    /// The number of the newest.
    newest: Option<DestinationId>,
}

impl Subscriptions {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How often they have changed: what was found of them holds as long as this is the same.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether there is none, so that no topic has one.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The one of a client that has this name.
    pub(crate) fn find(&self, client: &[u8], name: &[u8]) -> Option<DestinationIndex> {
        self.by_name.get(&(client.into(), name.into())).copied()
    }

    /// All that may hold what they share, whatever its topic is called.
    pub(crate) fn all_and_nameless(&self) -> Vec<DestinationIndex> {
        self.by_name.values().chain(&self.nameless).copied().collect()
    }

    /// Those that a destination lost with its record may have been, too.
    fn of_topic(&self, topic: &Destination) -> impl Iterator<Item = DestinationIndex> {
        let named = self.by_topic.get(topic).into_iter().flatten();
        named.chain(&self.patterns).map(|(_, index)| *index).chain(self.nameless.iter().copied())
    }

    /// Those that name it, and those with patterns, from this number on.
    fn of_topic_since(&self, topic: &Destination, since: DestinationId) -> impl Iterator<Item = DestinationIndex> {
        let from = (since, DestinationIndex(0))..;
        let named = self.by_topic.get(topic).into_iter().flat_map({
            let from = from.clone();
            move |named| named.range(from.clone())
        });
        named.chain(self.patterns.range(from)).map(|(_, index)| *index)
    }

    /// How many that are, at most.
    fn most_of_topic(&self, topic: &Destination) -> usize {
        self.by_topic.get(topic).map_or(0, InOrder::len) + self.patterns.len() + self.nameless.len()
    }

    /// Whether there is memory for one more, or for one instead of another of its client.
    pub(crate) fn admit(&self, wanted: &Subscription, instead: Option<&Subscription>) -> Result<(), Refusal> {
        let (client, bytes) = (&wanted.meta.client, wanted.memory());
        let gone = instead.map_or(0, Subscription::memory);
        let kept = self.by_client.get(client).copied().unwrap_or(0).saturating_sub(gone);
        let all = self.bytes.saturating_sub(gone) + bytes;
        if limits::is_fair_share(kept + bytes, all, SUBSCRIPTION_BYTES) {
            return Ok(());
        }
        let text = format!(
            "the client's durable subscriptions take {kept} bytes of memory with their topics and selectors, and there is no room for one of \
             {bytes}: delete some that nobody uses, or use fewer topics or shorter selectors"
        );
        Err((Failure::ResourceAllocation, text.into()))
    }

    fn file(&mut self, id: DestinationId, index: DestinationIndex, subscription: &Subscription) {
        let SubscriptionMeta { client, name, topics, .. } = &subscription.meta;
        self.changes += 1;
        let bytes = subscription.memory();
        self.bytes += bytes;
        *self.by_client.entry(client.clone()).or_default() += bytes;
        self.by_name.insert((client.clone(), name.clone()), index);
        if subscription.has_patterns() {
            self.patterns.insert((id, index));
            return;
        }
        for topic in topics {
            self.by_topic.entry(topic.clone()).or_default().insert((id, index));
        }
    }

    fn unfile(&mut self, id: DestinationId, index: DestinationIndex, subscription: &Subscription) {
        let SubscriptionMeta { client, name, topics, .. } = &subscription.meta;
        self.changes += 1;
        let bytes = subscription.memory();
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(kept) = self.by_client.get_mut(client) {
            *kept = kept.saturating_sub(bytes);
            if *kept == 0 {
                self.by_client.remove(client);
            }
        }
        let key = (client.clone(), name.clone());
        if self.by_name.get(&key) == Some(&index) {
            self.by_name.remove(&key);
        }
        self.patterns.remove(&(id, index));
        for topic in topics {
            if let Some(known) = self.by_topic.get_mut(topic) {
                known.remove(&(id, index));
                if known.is_empty() {
                    self.by_topic.remove(topic);
                }
            }
        }
    }
}

/// Those of a topic, as they were when it was looked at last.
#[derive(Default)]
pub(crate) struct Subscribers {
    list: Vec<DestinationIndex>,
    seen: u64,
}

impl Destinations {
    /// A subscription has this number from here on, which may have held messages before it was known.
    pub(crate) fn add_subscription(&mut self, id: DestinationId, subscription: Subscription) -> DestinationIndex {
        let index = self.by_id(id).unwrap_or_else(|| self.add_unnamed(id));
        self.subscriptions.newest = self.subscriptions.newest.max(Some(id));
        self.subscriptions.file(id, index, &subscription);
        let state = self.get_mut(index);
        state.destination = subscription.title();
        state.subscription = Some(Box::new(subscription));
        index
    }

    /// It goes, and is not found any more.
    pub(super) fn unfile_subscription(&mut self, index: DestinationIndex) {
        if let Some(subscription) = self.get_mut(index).subscription.take() {
            let id = self.get(index).id.unwrap_or_default();
            self.subscriptions.unfile(id, index, &subscription);
            self.get_mut(index).subscription = Some(subscription);
        }
        let before = self.subscriptions.nameless.len();
        self.subscriptions.nameless.retain(|known| *known != index);
        self.subscriptions.changes += u64::from(before != self.subscriptions.nameless.len());
    }

    /// A queue with shared messages whose own record is lost.
    pub(crate) fn note_nameless(&mut self, index: DestinationIndex) {
        self.subscriptions.nameless.push(index);
        self.subscriptions.changes += 1;
    }

    /// The subscriptions that may have what is sent to a topic, taken out of it until they are put back; and how many were looked at.
    pub(crate) fn take_subscribers(&mut self, topic: DestinationIndex) -> (Subscribers, usize) {
        let changes = self.subscriptions.changes;
        let Content::Topic(known) = &mut self.get_mut(topic).content else { return Default::default() };
        let mut subscribers = std::mem::take(&mut known.subscribers);
        if subscribers.seen == changes {
            return (subscribers, 0);
        }
        subscribers.seen = changes;
        subscribers.list.clear();
        let (name, mut looked) = (&self.get(topic).destination, 0);
        let fits = |index: &DestinationIndex| {
            looked += 1;
            self.get(*index).subscription.as_ref().is_none_or(|subscription| subscription.fits(name))
        };
        subscribers.list.extend(self.subscriptions.of_topic(name).filter(fits));
        subscribers.list.sort_unstable_by_key(|index| self.get(*index).id);
        (subscribers, looked)
    }

    /// The subscriptions of a topic that have this number or a later one: they came in the order of these, which no start changes. How many
    /// are looked at is counted.
    pub(crate) fn subscribed_since<'a>(
        &'a self,
        topic: DestinationIndex,
        since: DestinationId,
        looked: &'a mut usize,
    ) -> impl Iterator<Item = (DestinationIndex, &'a Subscription)> {
        let name = &self.get(topic).destination;
        self.subscriptions.of_topic_since(name, since).filter_map(move |index| {
            *looked += 1;
            let subscription = self.get(index).subscription.as_deref()?;
            subscription.fits(name).then_some((index, subscription))
        })
    }

    /// They are its own again.
    pub(crate) fn put_subscribers(&mut self, topic: DestinationIndex, subscribers: Subscribers) {
        self.get_mut(topic).topic().subscribers = subscribers;
    }

    /// How many subscriptions a topic has, at most: those of others with patterns count.
    pub(crate) fn most_subscribers(&self, topic: &Destination) -> usize {
        if self.subscriptions.is_empty() { 0 } else { self.subscriptions.most_of_topic(topic) }
    }

    /// Whether one has come that has this number or a later one.
    pub(crate) fn has_subscribed_since(&self, since: DestinationId) -> bool {
        self.subscriptions.newest >= Some(since)
    }

    /// Whether a topic has one.
    pub(crate) fn has_subscribers(&self, topic: &Destination) -> bool {
        let fits = |index: DestinationIndex| {
            self.get(index).subscription.as_ref().is_some_and(|subscription| subscription.fits(topic))
        };
        self.subscriptions.of_topic(topic).any(fits)
    }
}

impl Subscribers {
    pub(crate) fn iter(&self) -> impl Iterator<Item = DestinationIndex> {
        self.list.iter().copied()
    }
}
