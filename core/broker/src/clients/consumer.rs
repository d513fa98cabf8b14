//! Consumers, and what they have.

use crate::clients::browser::Browse;
use crate::clients::connection::Connection;
use crate::clients::grant::{Grant, Patience};
use crate::clients::portrait::ConsumerPortrait;
use crate::clients::replay::Replay;
use crate::destinations::advisories::{ClassSet, is_watcher};
use crate::destinations::destination::Refusal;
use crate::destinations::filter::Filter;
use crate::destinations::rotation::Seat;
use crate::kit::deque::Deque;
use crate::messages::{ConnectionIndex, DestinationIndex, MessageIndex};
use postrider_model::command::{OpenConsumer, Request};
use postrider_model::event::Refused;
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, Event, PortIndex, Sequence, limits};
use std::collections::VecDeque;
use std::sync::Arc;

/// What kind of consumer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConsumerKind {
    Queue,
    Topic,
    Browser,
}

/// Where a membership stands.
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
pub(crate) struct Membership {
    pub destination: DestinationIndex,
    pub standing: Standing,
    /// A pattern fits it, which is counted.
    pub matched: bool,
    /// Of a topic: the next message, while the membership is not at the head of the others.
    pub cursor: u64,
    /// Of a queue: its node in the rotation, while it is served.
    pub turn: u32,
}

/// A message that a consumer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub sequence: Sequence,
    pub index: MessageIndex,
    /// Whose message it is: of one that subscriptions share, which of them.
    pub of: DestinationIndex,
    /// Rises as they go out to one consumer, and begins again beyond the last.
    pub order: u32,
}

impl InFlight {
    /// One that nobody has.
    pub(crate) fn new(sequence: Sequence, index: MessageIndex, of: DestinationIndex) -> InFlight {
        InFlight { sequence, index, of, order: 0 }
    }
}

/// A message whose way to its consumer and back is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    sequence: Sequence,
    /// The look at the network before it went out, and when that was, in nanoseconds.
    look: u32,
    nanos: u64,
}

/// Looks at the network, from the one before a message goes out to the one that brings its acknowledgement, within which the consumer has waited
/// for the broker longer than the broker for it: it goes out with the first, and nobody could answer before the second.
const AT_ONCE_LOOKS: u32 = 3;

const _: () = assert!(AT_ONCE_LOOKS < limits::LOOKS_OF_A_REST, "who slept meanwhile was not waited for");

/// However long a look takes: who needs longer than this has something to do, in nanoseconds.
const AT_ONCE_NANOS: u64 = 50_000_000;

/// A consumer.
pub(crate) struct Consumer {
    pub handle: ConsumerHandle,
    pub port: PortIndex,
    pub connection: ConnectionIndex,
    /// Rises from consumer to consumer.
    pub serial: u64,
    pub kind: ConsumerKind,
    pub(super) prefetch: u32,
    pub(super) extension: u32,
    pub priority: i8,
    pub exclusive: bool,
    /// The durable subscription that it has.
    pub subscription: Option<DestinationIndex>,
    /// What it wants of its destinations' messages; none: all.
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) patterns: Vec<Destination>,
    /// How many of them can be found. All can before it looks for destinations.
    pub(super) filed: usize,
    pub(super) memberships: Vec<Membership>,
    /// Bytes that those take which its patterns fit.
    pub pair_bytes: u64,
    /// Numbers of memberships that may be used again.
    pub(super) free_memberships: Vec<u32>,
    /// Subscriptions that wait for this consumer, the oldest first.
    pub(super) starved: VecDeque<u32>,
    /// Subscriptions whose next message has no bytes here: they wait for this consumer again when there is news of them.
    pub(super) cold: Vec<u32>,
    /// In dispatch order.
    pub(super) in_flight: Deque<InFlight>,
    /// The order of the next one.
    pub(super) next_order: u32,
    /// Messages that transactions have acknowledged which are not decided: they are in its window (R37).
    pub(super) claimed: u32,
    /// Sequences in flight rise.
    pub(super) sorted: bool,
    /// Messages of topics or of a browse that are not acknowledged.
    pub(super) outstanding: u32,
    pub(super) grant: Option<Grant>,
    /// When its newest pull wants to hear, and its serial.
    pub(super) pull_timer: Option<(u64, u64)>,
    /// Its newest pull, with what is left of its time.
    pub(super) pulled: Option<Patience>,
    /// Dead letters that cannot be sent to it: they go back with it.
    pub(super) aside: Vec<InFlight>,
    /// Something was sent to it.
    pub(super) served: bool,
    /// A destination went with messages in flight here: acknowledgements of them are not an error.
    pub(super) orphaned: bool,
    /// It hears of temporary destinations only: whatever its prefetch, it takes them as they come, and before others (R57).
    pub watches: bool,
    /// What was there when it came, as far as it is to be told of it and has not been.
    pub replay: Option<Box<Replay>>,
    /// Not all destinations that its patterns fit have been found yet: it takes nothing so far, as it may be refused.
    pub(super) matching: bool,
    /// It goes, in slices: it takes nothing, and nobody finds it any more.
    pub(super) closing: bool,
    pub(super) probe: Option<Probe>,
    /// What others are told of it, and which of all happenings its coming was; 0: it has not been told.
    pub portrait: ConsumerPortrait,
    pub happened: u64,
    /// What it is told of by the broker itself.
    pub hears: ClassSet,
    pub(super) hungry: bool,
    pub(super) waits_for_window: bool,
    pub(super) waits_for_room: bool,
    pub(super) waits_for_bytes: bool,
    pub browse: Option<Box<Browse>>,
}

impl Consumer {
    /// One that has nothing yet.
    pub(super) fn new(
        port: PortIndex,
        owner: (ConnectionIndex, &Connection),
        open: &OpenConsumer,
        (kind, filter): (ConsumerKind, Option<Arc<Filter>>),
        serial: u64,
    ) -> Consumer {
        let patterns = open.destinations.iter().filter(|destination| destination.is_wildcard()).cloned().collect();
        Consumer {
            handle: open.consumer,
            port,
            connection: owner.0,
            serial,
            kind,
            prefetch: open.prefetch.min(limits::MAX_PREFETCH),
            extension: 0,
            priority: open.priority,
            exclusive: open.exclusive,
            subscription: None,
            filter,
            patterns,
            filed: 0,
            memberships: Vec::new(),
            pair_bytes: 0,
            free_memberships: Vec::new(),
            starved: VecDeque::new(),
            cold: Vec::new(),
            in_flight: Deque::default(),
            next_order: 0,
            claimed: 0,
            sorted: true,
            outstanding: 0,
            grant: None,
            pull_timer: None,
            pulled: None,
            aside: Vec::new(),
            served: false,
            orphaned: false,
            watches: open.prefetch > 0 && is_watcher(&open.destinations),
            replay: None,
            matching: false,
            closing: false,
            probe: None,
            portrait: ConsumerPortrait::new(open),
            happened: 0,
            hears: ClassSet::default(),
            hungry: false,
            waits_for_window: false,
            waits_for_room: false,
            waits_for_bytes: false,
            browse: (kind == ConsumerKind::Browser).then(Box::default),
        }
    }

    /// It goes: it takes nothing from here on, and nobody finds it any more. When its newest pull wanted to hear.
    pub(crate) fn begin_to_close(&mut self) -> Option<(u64, u64)> {
        self.closing = true;
        (self.prefetch, self.grant) = (0, None);
        (self.browse, self.replay) = (None, None);
        self.pull_timer
    }

    /// Whether the broker tells it what happens: it goes before others.
    pub(crate) fn is_told(&self) -> bool {
        self.watches || !self.hears.is_empty()
    }

    pub(crate) fn prefetch(&self) -> u32 {
        self.prefetch
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Something was sent to it.
    #[inline]
    pub(crate) fn was_served(&self) -> bool {
        self.served
    }

    /// Whether it is to be looked at by itself: what it has not got may be on its way to it.
    pub(crate) fn is_to_be_fed(&self) -> bool {
        let browses = self.browse.as_ref().is_some_and(|browse| !browse.is_done());
        browses || self.matching || self.hungry || self.waits_for_bytes
    }

    /// Whether it is one of queues that takes.
    pub(crate) fn is_of_queues(&self) -> bool {
        self.kind == ConsumerKind::Queue
    }

    /// A message goes out to it, behind this look of its shard at the network.
    #[inline]
    pub(super) fn probe(&mut self, sequence: Sequence, look: u32, nanos: u64) {
        if self.probe.is_none() {
            self.probe = Some(Probe { sequence, look, nanos });
        }
    }

    /// It has acknowledged a range, as this look has brought. True: it has hardly done anything but wait for the broker.
    #[inline]
    pub(super) fn answers_at_once(&mut self, first: Sequence, last: Sequence, look: u32, nanos: u64) -> bool {
        let Some(probe) = self.probe.filter(|probe| probe.sequence <= last) else { return false };
        self.probe = None;
        // What was to be followed may be gone: the next is.
        first <= probe.sequence
            && look.wrapping_sub(probe.look) <= AT_ONCE_LOOKS
            && nanos.saturating_sub(probe.nanos) <= AT_ONCE_NANOS
    }

    /// Where it stands in a queue's rotation.
    pub(crate) fn seat(&self) -> Seat {
        Seat { priority: self.priority, filter: self.filter.as_ref().map_or(0, |filter| filter.number) }
    }

    /// Whether it has a selector.
    pub(crate) fn reads(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.reads())
    }

    /// What it wants of its destinations' messages; none: all.
    #[inline]
    pub(crate) fn predicate(&self) -> Option<&Arc<Filter>> {
        self.filter.as_ref()
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
