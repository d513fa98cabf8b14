//! Credit: whether a consumer takes another message, and what makes it take again (R23).

use crate::broker::{Broker, Step};
use crate::consumer::{Consumer, ConsumerKind};
use crate::log::Log;
use crate::messages::ConsumerIndex;
use crate::outbox::Outbox;
use crate::plant::planted;
use postrider_model::command::Request;
use postrider_model::{ConnectionHandle, ConsumerHandle, PortIndex, limits};

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
    pub fn credit(&self) -> u32 {
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
            ConsumerKind::Queue => self.in_flight.len() as u32,
            ConsumerKind::Topic | ConsumerKind::Browser => self.outstanding,
        }
    }

    /// The application has seen so many more, which leave the window. Whatever a client counts, it is not more than it has.
    pub fn extend(&mut self, count: u32) {
        let held = if planted("extension-unbounded") { u32::MAX } else { self.held() };
        self.extension = self.extension.saturating_add(count).min(held);
    }

    /// So many have been taken from what it has.
    pub fn contract(&mut self, count: u32) {
        self.extension = self.extension.saturating_sub(count).min(self.held());
    }
}

impl Broker {
    /// Whether the consumer takes a message now.
    pub(crate) fn takes(&self, index: ConsumerIndex, out: &Outbox) -> Take {
        let consumer = &self.consumers[index.0];
        if consumer.credit() == 0 {
            return Take::NoCredit;
        }
        if !self.connections[consumer.connection.0].window.is_open() && !planted("window-ignored") {
            return Take::NoWindow;
        }
        if out.has_room(consumer.port) { Take::Yes } else { Take::NoRoom }
    }

    /// Puts the consumer where it is found when what it lacks is there again. Its credit brings it back by itself.
    pub(crate) fn wait_for(&mut self, index: ConsumerIndex, lacking: Take) {
        let consumer = &mut self.consumers[index.0];
        match lacking {
            Take::NoWindow if !consumer.waits_for_window => {
                consumer.waits_for_window = true;
                self.connections[consumer.connection.0].blocked.push(index);
            }
            Take::NoRoom if !consumer.waits_for_room => {
                consumer.waits_for_room = true;
                self.ports[usize::from(consumer.port.0)].blocked.push(index);
            }
            Take::NoBytes if !consumer.waits_for_bytes => {
                consumer.waits_for_bytes = true;
                self.cold_consumers.push(index);
            }
            _ => {}
        }
    }

    /// The consumer may take again: what waits for it is looked at in this turn.
    pub(crate) fn wake(&mut self, index: ConsumerIndex) {
        let Some(consumer) = self.consumers.get_mut(index.0) else { return };
        if !consumer.hungry && (!consumer.starved.is_empty() || consumer.browse.is_some() || consumer.replay.is_some())
        {
            consumer.hungry = true;
            if consumer.watches && !planted("advisory-overtaken") {
                self.hungry.push_front(index);
            } else {
                self.hungry.push_back(index);
            }
        }
    }

    /// A socket has taken bytes.
    pub(crate) fn written(&mut self, port: PortIndex, handle: ConnectionHandle, bytes: u32, nanos: u64) {
        let Some(index) = self.connection(port, handle) else { return };
        let connection = &mut self.connections[index.0];
        connection.window.give_back(bytes, nanos);
        if !connection.window.is_open() || connection.blocked.is_empty() {
            return;
        }
        for number in 0..connection.blocked.len() {
            let consumer = self.connections[index.0].blocked[number];
            if let Some(known) = self.consumers.get_mut(consumer.0) {
                known.waits_for_window = false;
                self.wake(consumer);
            }
        }
        self.connections[index.0].blocked.clear();
    }

    /// Rings that were full have room again.
    pub(crate) fn wake_ports(&mut self, out: &Outbox) {
        for number in 0..self.ports.len() {
            let port = &mut self.ports[number];
            if (port.blocked.is_empty() && port.blocked_topics.is_empty()) || !out.has_room(PortIndex::at(number)) {
                continue;
            }
            for waiting in 0..self.ports[number].blocked.len() {
                let consumer = self.ports[number].blocked[waiting];
                if let Some(known) = self.consumers.get_mut(consumer.0) {
                    known.waits_for_room = false;
                    self.wake(consumer);
                }
            }
            for waiting in 0..self.ports[number].blocked_topics.len() {
                let topic = self.ports[number].blocked_topics[waiting];
                if self.destinations.try_get(topic).is_some() {
                    self.schedule(topic);
                }
            }
            self.ports[number].blocked.clear();
            self.ports[number].blocked_topics.clear();
        }
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
            self.consumers[index.0].prefetch = prefetch.min(limits::MAX_PREFETCH);
            self.wake(index);
        }
        self.reply(port, connection, request, step);
    }
}
