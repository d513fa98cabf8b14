//! Credit: whether a consumer takes another message, and what makes it take again (R23).
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::clients::connection::Port;
use crate::clients::consumer::{Consumer, ConsumerKind};
use crate::clients::waiters::Rank;
use crate::destinations::destination::Content;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::{ConnectionIndex, ConsumerIndex};
use crate::outbox::Outbox;
use crate::plant::planted;
use crate::step::Step;
use postrider_model::command::Request;
use postrider_model::{ConnectionHandle, ConsumerHandle, PortIndex, limits};

/// Consumers that are woken together.
const WOKEN_AT_ONCE: usize = 64;

/// Whether a consumer takes a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Take {
    Yes,
    /// Not before it acknowledges or asks.
    NoCredit,
    /// Not before its socket has taken what was sent.
    NoWindow,
    /// Not before its port's ring has room.
    NoRoom,
    /// Not before there is news of the bytes of what it is to get next.
    NoBytes,
}

impl Consumer {
    /// Messages that it takes now, as far as it decides.
    pub(crate) fn credit(&self) -> u32 {
        if self.matching && !planted("refused-served") {
            return 0;
        }
        let held = self.held();
        if self.prefetch == 0 {
            return u32::from(self.grant.is_some());
        }
        let allowed = self.prefetch.saturating_add(self.extension) + u32::from(planted("credit-ignored"));
        let credit = allowed.saturating_sub(held);
        if credit == 0 && self.watches { 1 } else { credit }
    }

    /// Messages that it has.
    #[allow(clippy::cast_possible_truncation, reason = "one consumer has fewer in flight")]
    fn held(&self) -> u32 {
        match self.kind {
            ConsumerKind::Queue => self.in_flight.len() as u32 + self.claimed,
            ConsumerKind::Topic | ConsumerKind::Browser => self.outstanding,
        }
    }

    /// The application has seen so many more, which leave the window. Whatever a client counts, it is not more than it has.
    pub(crate) fn extend(&mut self, count: u32) {
        let held = if planted("extension-unbounded") { u32::MAX } else { self.held() };
        self.extension = self.extension.saturating_add(count).min(held);
    }

    /// Something of what it has is given up. What a client has reported as seen of that it leaves out of its reports of what follows, up to its
    /// next acknowledgement: as much is out of the window without. *Without: whoever gives up in a transaction what was rolled back gets
    /// nothing more before it commits.*
    pub(crate) fn give_up(&mut self) {
        if planted("credit-for-given-up") {
            self.contract(1);
        }
    }

    /// So many have been taken from what it has.
    pub(crate) fn contract(&mut self, count: u32) {
        self.extension = self.extension.saturating_sub(count).min(self.held());
    }
}

impl Broker {
    /// Whether the consumer takes a message now.
    pub(crate) fn takes(&self, index: ConsumerIndex, out: &Outbox) -> Take {
        let consumer = &self.clients.consumers[index.0];
        if consumer.credit() == 0 {
            return Take::NoCredit;
        }
        if !self.clients.connections[consumer.connection.0].window.is_open() && !planted("window-ignored") {
            return Take::NoWindow;
        }
        if out.has_room(consumer.port) { Take::Yes } else { Take::NoRoom }
    }

    /// Puts the consumer where it is found when what it lacks is there again. Its credit brings it back by itself.
    pub(crate) fn wait_for(&mut self, index: ConsumerIndex, lacking: Take) {
        let consumer = &mut self.clients.consumers[index.0];
        let rank = consumer.rank();
        match lacking {
            Take::NoWindow if !consumer.waits_for_window => {
                consumer.waits_for_window = true;
                let blocked = self.clients.connections[consumer.connection.0].blocked.of(rank);
                blocked.line_up(index, consumer.serial, consumer.is_told());
            }
            Take::NoRoom if !consumer.waits_for_room => {
                consumer.waits_for_room = true;
                let blocked = self.clients.ports[usize::from(consumer.port.0)].blocked.of(rank);
                blocked.line_up(index, consumer.serial, consumer.is_told());
            }
            Take::NoBytes if !consumer.waits_for_bytes => {
                consumer.waits_for_bytes = true;
                self.clients.cold.line_up(index, consumer.serial, false);
            }
            _ => {}
        }
    }

    /// The consumer may take again: what waits for it is looked at in this turn.
    pub(crate) fn wake(&mut self, index: ConsumerIndex) {
        let Some(consumer) = self.clients.consumers.get_mut(index.0) else { return };
        let browses = consumer.browse.is_some() && !planted("browser-forgotten");
        if !consumer.hungry && (!consumer.starved.is_empty() || browses || consumer.replay.is_some()) {
            consumer.hungry = true;
            let first = consumer.is_told() && !planted("advisory-overtaken");
            self.clients.hungry.of(consumer.rank()).line_up(index, consumer.serial, first);
        }
    }

    /// Consumers that wait for a socket, a ring, bytes or their turn, with those that are gone.
    #[must_use]
    pub fn waiters(&self) -> usize {
        let sockets = self.clients.connections.iter().map(|(_, connection)| connection.blocked.len());
        let rings = self.clients.ports.iter().map(|port| port.blocked.len());
        self.clients.hungry.len() + self.clients.cold.len() + sockets.chain(rings).sum::<usize>()
    }

    /// A socket has taken bytes.
    pub(crate) fn written(&mut self, port: PortIndex, handle: ConnectionHandle, bytes: u32, nanos: u64) {
        let Some(index) = self.connection(port, handle) else { return };
        let connection = &mut self.clients.connections[index.0];
        connection.window.give_back(bytes, nanos);
        if !connection.window.is_open() || connection.blocked.len() == 0 {
            return;
        }
        for rank in [Rank::Taker, Rank::Browser] {
            let connection = &mut self.clients.connections[index.0];
            if connection.blocked.of(rank).is_empty() {
                continue;
            }
            if !std::mem::replace(connection.opened.of(rank), true) {
                self.clients.opened.of(rank).push_back(index);
            }
            self.wake_opened(index, rank);
        }
    }

    /// Wakes some of those that found the window of a connection closed. False: nobody waits for it, or it is closed again.
    fn wake_opened(&mut self, index: ConnectionIndex, rank: Rank) -> bool {
        let Some(connection) = self.clients.connections.get_mut(index.0) else { return false };
        let waits = connection.window.is_open() && !connection.blocked.of(rank).is_empty();
        *connection.opened.of(rank) &= waits;
        if !*connection.opened.of(rank) {
            return false;
        }
        for _ in 0..WOKEN_AT_ONCE {
            let blocked = self.clients.connections[index.0].blocked.of(rank);
            let Some((consumer, known)) = blocked.next(&mut self.clients.consumers) else { break };
            if let Some(known) = known {
                known.waits_for_window = false;
                self.wake(consumer);
            }
        }
        true
    }

    /// Bytes came, or it is known that they are damaged: whoever waited for them looks again.
    pub(crate) fn wake_cold(&mut self) {
        let mut waiting = std::mem::take(&mut self.clients.cold);
        while let Some((index, known)) = waiting.next(&mut self.clients.consumers) {
            if let Some(consumer) = known {
                consumer.waits_for_bytes = false;
                consumer.starved.extend(consumer.cold.drain(..));
                self.wake(index);
            }
        }
    }

    /// Rings that were full have room again.
    pub(crate) fn wake_ports(&mut self, out: &Outbox) {
        for number in 0..self.clients.ports.len() {
            if !out.has_room(PortIndex::at(number)) {
                continue;
            }
            self.wake_port(number, Rank::Taker);
            for topic in std::mem::take(&mut self.clients.ports[number].blocked_topics) {
                // The number may be another's by now.
                if self.destinations.try_get(topic).is_some() {
                    if let Content::Topic(topic) = &mut self.destinations.get_mut(topic).content {
                        topic.unblock(number);
                    }
                    self.destinations.line_up(topic);
                }
            }
        }
    }

    #[inline]
    fn wake_port(&mut self, number: usize, rank: Rank) {
        for _ in 0..WOKEN_AT_ONCE {
            let Some((consumer, known)) = self.clients.ports[number].blocked.of(rank).next(&mut self.clients.consumers)
            else {
                return;
            };
            if let Some(known) = known {
                known.waits_for_room = false;
                self.wake(consumer);
            }
        }
    }

    /// Wakes some of those that wait for what is there again, as long as it is: all of them at once would be as many looks for the few
    /// that it is enough for. False: there are none.
    #[inline]
    pub(crate) fn wake_blocked(&mut self, rank: Rank, budget: &mut Budget, out: &Outbox) -> bool {
        budget.spend(1);
        while let Some(index) = self.clients.opened.of(rank).pop_front() {
            if self.wake_opened(index, rank) {
                self.clients.opened.of(rank).push_back(index);
                return true;
            }
        }
        let ports = self.clients.ports.iter().enumerate();
        let mut waiting =
            ports.filter(|(number, port)| !port.blocked.get(rank).is_empty() && out.has_room(PortIndex::at(*number)));
        let Some((number, _)) = waiting.next() else { return false };
        self.wake_port(number, rank);
        true
    }

    /// Whether the next turn could wake somebody.
    pub(crate) fn may_wake(&self, out: &Outbox) -> bool {
        let waits = |(number, port): (usize, &Port)| port.blocked.len() > 0 && out.has_room(PortIndex::at(number));
        !self.clients.opened.takers.is_empty()
            || !self.clients.opened.browsers.is_empty()
            || self.clients.ports.iter().enumerate().any(waits)
    }

    pub(crate) fn set_prefetch<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        consumer: ConsumerHandle,
        prefetch: u32,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        let Some(owner) = self.connection(port, connection) else { return };
        if let Some(index) = self.consumer_of(port, owner, consumer) {
            self.clients.consumers[index.0].prefetch = prefetch.min(limits::MAX_PREFETCH);
            self.wake(index);
        }
        self.reply(port, connection, request, step);
    }
}
