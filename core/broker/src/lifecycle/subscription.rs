//! Durable subscriptions: they come and change with a consumer, stay when it goes, and go when their client says so (R40).

use crate::bounds::live_limit;
use crate::broker::Broker;
use crate::clients::consumer::ConsumerKind;
use crate::clients::portrait::ConsumerPortrait;
use crate::delivery::advisory::Subject;
use crate::destinations::advisories::is_advisory;
use crate::destinations::destination::Refusal;
use crate::destinations::subscription::Subscription;
use crate::intake::admission::Named;
use crate::kit::budget::Budget;
use crate::lifecycle::consumer::SELECTOR_BYTES_OF_STEP;
use crate::log::Log;
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex};
use crate::records::subscription::subscription_bytes;
use crate::records::{META_BYTES, SubscriptionMeta};
use crate::settle::emptying::Emptying;
use crate::step::Step;
use postrider_journal::{Bound, Purpose};
use postrider_model::command::{LastDelivered, OpenConsumer, Unsubscribe};
use postrider_model::event::Failure;
use postrider_model::{DestinationKind, PortIndex};

/// Steps that a topic takes that a subscription names.
const TOPIC_STEPS: usize = 4;

fn in_use(subscription: &SubscriptionMeta) -> Refusal {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (client, name) = (text(&subscription.client), text(&subscription.name));
    let text = format!("Durable consumer is in use for client: {client} and subscriptionName: {name}");
    (Failure::General, text.into())
}

fn claimed(subscription: &SubscriptionMeta) -> Refusal {
    let (failure, text) = in_use(subscription);
    let text = format!(
        "{text}: transactions that are not decided have acknowledged messages of it; commit them or roll them back first"
    );
    (failure, text.into())
}

impl Broker {
    /// A consumer attaches to the subscription that it names, which comes into being, or is another one from here on.
    pub(super) fn subscribe<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        open: &OpenConsumer,
        name: &[u8],
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let wanted = self.wanted_subscription(connection, open, name)?;
        let known = self.destinations.subscriptions.find(&wanted.meta.client, name);
        if let Some(known) = known {
            self.release_subscription(known, connection, step)?;
        }
        let subscription = |of: DestinationIndex| self.destinations.get(of).subscription.as_ref();
        let same = known.filter(|known| subscription(*known).is_some_and(|known| known.is_as(&wanted)));
        let index = match same {
            Some(index) => index,
            None => {
                known.map_or(Ok(()), |known| self.check_unclaimed(known))?;
                let old = known.and_then(|known| self.destinations.get(known).subscription.as_deref());
                self.destinations.subscriptions.admit(&wanted, old)?;
                self.create_subscription(wanted, known, step)?
            }
        };
        let plain = OpenConsumer {
            destinations: Box::default(),
            browser: false,
            no_local: false,
            exclusive: false,
            selector: None,
            subscription: None,
            ..open.clone()
        };
        let consumer = self.clients.add_consumer(port, connection, &plain, (ConsumerKind::Queue, None));
        let known = self.clients.consumer_mut(consumer);
        known.subscription = Some(index);
        known.portrait = ConsumerPortrait::new(open);
        let serial = known.serial;
        if let Some(subscription) = &mut self.destinations.get_mut(index).subscription {
            (subscription.consumer, subscription.left_at) = (Some((consumer, serial)), 0);
        }
        self.join(consumer, index, None);
        self.consumer_came(consumer, step);
        self.wake(consumer);
        Ok(())
    }

    fn meta_of(&self, index: DestinationIndex) -> Option<&SubscriptionMeta> {
        self.destinations.get(index).subscription.as_ref().map(|subscription| &subscription.meta)
    }

    /// What the consumer wants to have under this name, if it can be.
    fn wanted_subscription(
        &mut self,
        connection: ConnectionIndex,
        open: &OpenConsumer,
        name: &[u8],
    ) -> Result<Subscription, Refusal> {
        let selector = open.selector.as_deref().unwrap_or_default().trim_ascii();
        if let Some(wrong) =
            open.destinations.iter().find(|topic| topic.kind != DestinationKind::Topic || is_advisory(topic))
        {
            let text =
                format!("{wrong} cannot be subscribed to durably: subscribe to a topic of your own, or without a name");
            return Err((Failure::InvalidDestination, text.into()));
        }
        self.work.spend(open.destinations.len() * TOPIC_STEPS);
        let client = self.clients.connection(connection).client_id.clone();
        let topics = open.destinations.clone();
        let wanted =
            SubscriptionMeta { client, name: name.into(), topics, selector: selector.into(), no_local: open.no_local };
        let bytes = subscription_bytes(&wanted);
        if bytes > META_BYTES as u64 {
            let text = format!(
                "a durable subscription has {META_BYTES} bytes at most, with client id, name, topics and selector, and this one has \
                 {bytes}, of which its name takes {}: give it a shorter one, or fewer topics",
                name.len()
            );
            return Err((Failure::General, text.into()));
        }
        let wanted = Subscription::read(wanted)?;
        self.work.spend(wanted.selector_memory() / SELECTOR_BYTES_OF_STEP);
        Ok(wanted)
    }

    /// Nobody has the subscription when this is done: a consumer of a connection that has ended leaves it at once.
    fn release_subscription<L: Log>(
        &mut self,
        index: DestinationIndex,
        for_whom: ConnectionIndex,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let Some(subscription) = &self.destinations.get(index).subscription else { return Ok(()) };
        let Some((consumer, serial)) = subscription.consumer else { return Ok(()) };
        if !self.clients.is_alive(consumer, serial) {
            return Ok(());
        }
        let owner = self.clients.consumer(consumer).connection;
        let is_left = owner != for_whom && self.clients.try_connection(owner).is_none_or(|owner| owner.is_leaving());
        if is_left || self.config.allow_link_stealing {
            if self.clients.try_connection(owner).is_some() {
                self.clients.connection_mut(owner).consumers.remove(&consumer);
            }
            self.close_consumer(consumer, LastDelivered::Unknown, step);
            return Ok(());
        }
        Err(in_use(&subscription.meta))
    }

    /// Whether transactions that are not decided have acknowledged what it holds, which would outlive it and hold the log's front. What they
    /// have sent does not matter: it comes to nobody.
    fn is_claimed(&self, index: DestinationIndex) -> bool {
        let state = self.destinations.get(index);
        state.undecided > 0 && state.has_in_flight()
    }

    fn check_unclaimed(&self, index: DestinationIndex) -> Result<(), Refusal> {
        match self.meta_of(index).filter(|_| self.is_claimed(index)) {
            Some(meta) => Err(claimed(meta)),
            None => Ok(()),
        }
    }

    fn create_subscription<L: Log>(
        &mut self,
        wanted: Subscription,
        instead: Option<DestinationIndex>,
        step: &mut Step<'_, L>,
    ) -> Result<DestinationIndex, Refusal> {
        let (count, most) = (self.destinations.subscriptions.len(), self.config.subscriptions);
        let full = |why: String| Err((Failure::ResourceAllocation, why.into()));
        if instead.is_none() && count >= most {
            return full(format!(
                "there are {count} durable subscriptions already, which is the limit: delete some that nobody uses, or raise the \
                 setting `subscriptions.max_count`"
            ));
        }
        if !self.destinations.has_ids() {
            return full(
                "this data directory has had as many queues and subscriptions as it can have: begin a new one".into(),
            );
        }
        let (live, limit) = (self.journal.live_bytes() + subscription_bytes(&wanted.meta), live_limit(step.log));
        if live > limit {
            return full(format!(
                "the journal holds {live} of {limit} bytes with the durable subscription: consume messages, delete subscriptions \
                 that nobody uses, or raise the setting `journal.disk_budget_bytes`"
            ));
        }
        for topic in wanted.meta.topics.iter().filter(|topic| !topic.is_wildcard()) {
            self.resolve(topic, Named::ToConsume, step)?;
        }
        let index = self.write_subscription(wanted, instead, step);
        if let Some(old) = instead {
            self.jobs.push(Emptying { destination: old });
        }
        Ok(index)
    }

    /// A client does not want a subscription any more.
    pub(crate) fn unsubscribe<L: Log>(&mut self, port: PortIndex, unsubscribe: &Unsubscribe, step: &mut Step<'_, L>) {
        let Unsubscribe { connection, request, client, name } = unsubscribe;
        let Some(owner) = self.connection(port, *connection) else { return };
        let client = client.clone().unwrap_or_else(|| self.clients.connection(owner).client_id.clone());
        let Some(index) = self.destinations.subscriptions.find(&client, name) else {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..BRIEF).unwrap_or(bytes)).into_owned();
            let text = format!(
                "No durable subscription exists for clientID: {} and subscriptionName: {}",
                text(&client),
                text(name)
            );
            return self.refuse(port, *connection, *request, (Failure::InvalidDestination, text.into()), step);
        };
        let released = self.release_subscription(index, owner, step);
        if let Err(refusal) = released.and_then(|()| self.check_unclaimed(index)) {
            return self.refuse(port, *connection, *request, refusal, step);
        }
        let before = self.jobs.pushed();
        self.advise(Subject::Subscription(index), false, step);
        self.delete_destination(index, step);
        self.reply_after_jobs(port, *connection, *request, before, step);
    }

    /// Subscriptions go that the sweep has found to be abandoned, if they still are. True: there are more.
    pub(crate) fn end_abandoned<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        while budget.0 > 0 {
            let Some(found) = self.settlements.next_abandoned() else { return false };
            budget.spend(ENDED_STEPS);
            let is_there = self.destinations.is_valid(found);
            if !is_there || !self.is_abandoned(found.index, step.now) || self.is_claimed(found.index) {
                continue;
            }
            if !step.log.reserve(Purpose::Settle, Bound { records: 2, bytes: 64 }) {
                // The next sweep finds them again.
                self.settlements.forget_abandoned();
                return false;
            }
            self.delete_destination(found.index, step);
        }
        true
    }

    /// A consumer goes: its subscription stays, and is another's to have.
    pub(super) fn leave_subscription(&mut self, consumer: ConsumerIndex) {
        let known = self.clients.consumer(consumer);
        let (Some(index), serial) = (known.subscription, known.serial) else { return };
        if let Some(state) = self.destinations.try_get(index)
            && state.subscription.as_ref().is_some_and(|found| found.consumer == Some((consumer, serial)))
            && let Some(subscription) = &mut self.destinations.get_mut(index).subscription
        {
            subscription.consumer = None;
            self.draw_in_left(index);
        }
    }
}

/// Steps that a subscription takes that goes as nobody has had it for long.
const ENDED_STEPS: usize = 16;

/// Bytes of a name that a refusal repeats.
const BRIEF: usize = 200;
