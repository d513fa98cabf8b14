//! Consumers: how they come and go.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::delivery::advisory::{self, Replay};
use crate::delivery::browse::Browse;
use crate::delivery::pull::{Grant, Patience};
use crate::destinations::destination::Refusal;
use crate::destinations::rotation::Seat;
use crate::intake::admission::Named;
use crate::kit::deque::Deque;
use crate::log::Log;
use crate::messages::{ConnectionIndex, ConsumerIndex, DestinationIndex, MessageIndex};
use crate::step::Step;
use crate::wildcards::matching::name_steps;
use postrider_model::command::{OpenConsumer, Request};
use postrider_model::event::{Failure, Refused};
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, Event, PortIndex, Sequence, limits};
use std::collections::VecDeque;

/// Steps that a destination takes that a consumer names.
const DESTINATION_STEPS: usize = 4;

/// What kind of consumer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConsumerKind {
    Queue,
    Topic,
    Browser,
}

/// Where a subscription stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Among those that the destination serves.
    Served,
    /// Listed in `starved`, as the consumer could not take when its turn came, or in `cold`.
    Starved,
    /// The destination is gone.
    Gone,
}

/// One destination of a consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub destination: DestinationIndex,
    pub standing: Standing,
    /// A pattern fits it, which is counted.
    pub matched: bool,
    /// Of a topic: the next message, while the subscription is not at the head of the others.
    pub cursor: u64,
    /// Of a queue: its node in the rotation, while it is served.
    pub turn: u32,
}

/// A message that a consumer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub sequence: Sequence,
    pub index: MessageIndex,
}

/// A consumer.
pub(crate) struct Consumer {
    pub handle: ConsumerHandle,
    pub port: PortIndex,
    pub connection: ConnectionIndex,
    pub connection_serial: u32,
    /// Rises from consumer to consumer.
    pub serial: u64,
    pub kind: ConsumerKind,
    pub prefetch: u32,
    pub extension: u32,
    pub priority: i8,
    pub exclusive: bool,
    pub no_local: bool,
    pub patterns: Vec<Destination>,
    /// How many of them can be found. All can before it looks for destinations.
    pub filed: usize,
    pub subscriptions: Vec<Subscription>,
    /// Bytes that those take which its patterns fit.
    pub pair_bytes: u64,
    /// Numbers of subscriptions that may be used again.
    pub free_subscriptions: Vec<u32>,
    /// Subscriptions that wait for this consumer, the oldest first.
    pub starved: VecDeque<u32>,
    /// Subscriptions whose next message has no bytes here: they wait for this consumer again when there is news of them.
    pub cold: Vec<u32>,
    /// In dispatch order.
    pub in_flight: Deque<InFlight>,
    /// Sequences in flight rise.
    pub sorted: bool,
    /// Messages of topics or of a browse that are not acknowledged.
    pub outstanding: u32,
    pub grant: Option<Grant>,
    /// When its newest pull wants to hear, and its serial.
    pub pull_timer: Option<(u64, u64)>,
    /// Its newest pull, with what is left of its time.
    pub pulled: Option<Patience>,
    /// Dead letters that cannot be sent to it: they go back with it.
    pub aside: Vec<InFlight>,
    /// Something was sent to it.
    pub served: bool,
    /// A destination went with messages in flight here: acknowledgements of them are not an error.
    pub orphaned: bool,
    /// It hears of temporary destinations only: whatever its prefetch, it takes them as they come, and before others (R57).
    pub watches: bool,
    /// The temporary destinations that were there when it came, as far as it has not been told of them.
    pub replay: Option<Box<Replay>>,
    /// Not all destinations that its patterns fit have been found yet: it takes nothing so far, as it may be refused.
    pub matching: bool,
    /// It goes, in slices: it takes nothing, and nobody finds it any more.
    pub closing: bool,
    pub hungry: bool,
    pub waits_for_window: bool,
    pub waits_for_room: bool,
    pub waits_for_bytes: bool,
    pub browse: Option<Box<Browse>>,
    pub identity: Box<[u8]>,
}

impl Consumer {
    /// Where it stands in a queue's rotation.
    pub fn seat(&self) -> Seat {
        Seat { priority: self.priority, local: if self.no_local { self.connection_serial } else { 0 } }
    }
}

impl Broker {
    pub(crate) fn open_consumer<L: Log>(&mut self, port: PortIndex, open: &OpenConsumer, step: &mut Step<'_, L>) {
        let Some(connection) = self.connection(port, open.connection) else { return };
        let before = self.jobs.pushed();
        match self.try_open_consumer(port, connection, open, step) {
            Ok(()) => self.reply_after_jobs(port, open.connection, open.request, before, step),
            Err(refusal) => step.out.reply(port, refused(open.connection, open.consumer, open.request, refusal)),
        }
    }

    fn try_open_consumer<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        open: &OpenConsumer,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let kind = consumer_kind(open)?;
        let mut destinations = Vec::new();
        for destination in open.destinations.iter().filter(|destination| !destination.is_wildcard()) {
            let destination = self.resolve(destination, Named::ToConsume, step)?;
            self.check_owner(destination, connection)?;
            destinations.push(destination);
        }
        let index = self.add_consumer(port, connection, open, kind);
        self.work.spend(open.destinations.iter().map(|name| DESTINATION_STEPS + name_steps(name)).sum::<usize>());
        for destination in destinations {
            self.subscribe(index, destination, None);
        }
        self.add_advisory_topics(index);
        self.replay_advisories(index);
        self.match_destinations(index, open)?;
        self.wake(index);
        Ok(())
    }

    fn add_consumer(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        open: &OpenConsumer,
        kind: ConsumerKind,
    ) -> ConsumerIndex {
        let patterns: Vec<Destination> =
            open.destinations.iter().filter(|destination| destination.is_wildcard()).cloned().collect();
        let serial = self.names.next_consumer();
        let consumer = Consumer {
            handle: open.consumer,
            port,
            connection,
            connection_serial: self.connections[connection.0].serial,
            serial,
            kind,
            prefetch: open.prefetch.min(limits::MAX_PREFETCH),
            extension: 0,
            priority: open.priority,
            exclusive: open.exclusive,
            no_local: open.no_local,
            patterns,
            filed: 0,
            subscriptions: Vec::new(),
            pair_bytes: 0,
            free_subscriptions: Vec::new(),
            starved: VecDeque::new(),
            cold: Vec::new(),
            in_flight: Deque::default(),
            sorted: true,
            outstanding: 0,
            grant: None,
            pull_timer: None,
            pulled: None,
            aside: Vec::new(),
            served: false,
            orphaned: false,
            watches: open.prefetch > 0 && advisory::is_watcher(&open.destinations),
            replay: None,
            matching: false,
            closing: false,
            hungry: false,
            waits_for_window: false,
            waits_for_room: false,
            waits_for_bytes: false,
            browse: (kind == ConsumerKind::Browser).then(Box::default),
            identity: open.identity.clone(),
        };
        let index = ConsumerIndex(self.consumers.insert(consumer));
        self.connections[connection.0].consumers.insert(index);
        self.ports[usize::from(port.0)].set_consumer(open.consumer, index);
        self.enter_pairs(index);
        index
    }
}

/// A consumer does not come into being.
pub(crate) fn refused(
    connection: ConnectionHandle,
    consumer: ConsumerHandle,
    request: Request,
    (failure, message): Refusal,
) -> Event {
    let token = request.answer();
    Event::Failed { connection, token, failure, message, refused: Some(Box::new(Refused::Consumer(consumer))) }
}

fn consumer_kind(open: &OpenConsumer) -> Result<ConsumerKind, Refusal> {
    let unsupported = |what: &str, remedy: &str| -> Result<ConsumerKind, Refusal> {
        Err((Failure::General, format!("{what} are not supported yet: {remedy}").into()))
    };
    if open.subscription.is_some() {
        return unsupported("durable subscriptions", "consume without a subscription name");
    }
    if open.selector.as_ref().is_some_and(|selector| !selector.trim_ascii().is_empty()) {
        return unsupported("selectors", "consume without one");
    }
    match open.destinations.first() {
        None => Err((Failure::InvalidDestination, "a consumer needs a destination: name at least one".into())),
        Some(first) if first.kind.is_topic() => Ok(ConsumerKind::Topic),
        Some(_) if open.browser => Ok(ConsumerKind::Browser),
        Some(_) => Ok(ConsumerKind::Queue),
    }
}
