//! Sends: from a record to its places.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::bounds::live_limit;
use crate::broker::Broker;
use crate::destinations::destination::{Content, Refusal};
use crate::durable::sharing::{NOBODY, Shared};
use crate::durable::store::Arrival;
use crate::intake::admission::{Admission, Named};
use crate::log::{Log, LogKind};
use crate::messages::{ConnectionIndex, DestinationIndex};
use crate::plant::planted;
use crate::records::{self};
use crate::step::Step;
use postrider_model::command::Publish;
use postrider_model::event::Failure;
use postrider_model::{Command, ConnectionHandle, Destination, Event, MessageView, PortIndex};

/// Subscriptions that are asked in the time of a step, and expressions of their selectors.
const SUBSCRIPTIONS_A_STEP: usize = 4;

/// What a record says, which the session has written.
#[inline(always)]
pub(crate) fn view_of(record: &[u8]) -> Result<MessageView<'_>, Refusal> {
    MessageView::parse(record).map_err(|error| (Failure::General, error.to_string().into()))
}

impl Broker {
    pub(crate) fn publish<L: Log>(&mut self, port: PortIndex, publish: &Publish, arena: &[u8], step: &mut Step<'_, L>) {
        let Some(connection) = self.connection(port, publish.connection) else { return };
        if self.clients.connection(connection).is_parking() && self.is_behind_parked(connection) {
            return self.publish_behind_parked(port, publish, arena, step);
        }
        let record = publish.record.of(arena);
        let mut parts = std::mem::take(&mut self.intake.parts);
        parts.clear();
        let outcome = match self.find_parts(connection, publish, &mut parts, step) {
            Ok(Admission::Now) => self.publish_to(connection, publish, record, &mut parts, step),
            otherwise => otherwise,
        };
        self.intake.parts = parts;
        match outcome {
            Ok(Admission::Later(store)) => {
                self.park(port, (&Command::Publish(*publish), arena), (store, false), step);
                return;
            }
            Ok(Admission::OnceCreated) => {
                self.park(port, (&Command::Publish(*publish), arena), (LogKind::Journal, true), step);
                return;
            }
            _ => {}
        }
        self.clients.connection_mut(connection).settle(publish.parked_bytes());
        match outcome {
            Ok(_) if publish.request.is_wanted() => self.reply(port, publish.connection, publish.request, step),
            Ok(_) if publish.windowed => self.give_credit(port, connection, publish, record, step),
            Ok(_) => {}
            Err(refusal) => self.refuse_publish(port, connection, publish, record, refusal, step),
        }
    }

    /// A send is refused; what it took of its producer's window comes back all the same (R58).
    pub(crate) fn refuse_publish<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        publish: &Publish,
        record: &[u8],
        refusal: Refusal,
        step: &mut Step<'_, L>,
    ) {
        if !publish.persistent && !planted("refused-is-a-gap") {
            self.pass_mark(connection, publish);
        }
        self.refuse(port, publish.connection, publish.request, refusal, step);
        if publish.windowed && !publish.request.is_wanted() && !planted("credit-for-taken-only") {
            self.give_credit(port, connection, publish, record, step);
        }
    }

    /// A send whose connection has parked others: it waits behind them, or is refused where it would have been.
    #[cold]
    fn publish_behind_parked<L: Log>(
        &mut self,
        port: PortIndex,
        publish: &Publish,
        arena: &[u8],
        step: &mut Step<'_, L>,
    ) {
        let Some(connection) = self.peek_connection(port, publish.connection) else { return };
        let room = live_limit(step.log).saturating_sub(self.journal.live_bytes());
        let places = if publish.persistent { self.durable_places_behind(connection, publish) } else { 0 };
        let needed = records::live_bytes(publish.record.length as usize, places);
        if places == 0 || self.may_wait(publish) || needed <= room {
            self.park(port, (&Command::Publish(*publish), arena), (LogKind::Journal, false), step);
            return;
        }
        if self.is_duplicate(connection, publish) {
            return self.answer_duplicate(port, connection, publish, step);
        }
        let refusal = self.full(needed, step);
        self.note_settled(port, publish);
        self.refuse(port, publish.connection, publish.request, refusal, step);
    }

    /// A send that comes again and is stored already needs no room: whoever was told that there is none would send it once more, as
    /// another message (R17).
    pub(crate) fn answer_duplicate<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        publish: &Publish,
        step: &mut Step<'_, L>,
    ) {
        self.statistics.duplicates += 1;
        self.clients.connection_mut(connection).settle(publish.parked_bytes());
        self.reply(port, publish.connection, publish.request, step);
    }

    /// Bytes of the window of a producer that waits for no answers come back, as its client counts them.
    pub(crate) fn give_credit<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        publish: &Publish,
        record: &[u8],
        step: &mut Step<'_, L>,
    ) {
        let Some(producer) = self.clients.connection(connection).producer(publish.producer) else { return };
        let Ok(view) = MessageView::parse(record) else { return };
        let bytes = 1024 + view.properties().map_or(0, <[u8]>::len) + view.content().map_or(0, <[u8]>::len);
        let (session, value, connection) = (producer.session, producer.value, publish.connection);
        step.out.reply(
            port,
            Event::ProducerCredit { connection, session, value, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) },
        );
    }

    /// The destinations that a connection's number stands for; those that have gone meanwhile come again.
    #[inline(always)]
    pub(crate) fn find_parts<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        publish: &Publish,
        parts: &mut Vec<DestinationIndex>,
        step: &mut Step<'_, L>,
    ) -> Result<Admission, Refusal> {
        let number = publish.destination;
        let Some(definition) = self.clients.connection(connection).definition(number) else {
            return Err((Failure::InvalidDestination, format!("destination number {number} is not defined").into()));
        };
        let valid = definition.parts.iter().all(|part| self.destinations.is_valid(*part));
        if valid && definition.parts.len() == definition.names.len() {
            parts.extend(definition.parts.iter().map(|part| part.index));
            return Ok(Admission::Now);
        }
        let names = definition.names.clone();
        let mut found = Vec::new();
        for name in &names {
            if self.may_wait(publish) && self.is_created_later(name, step) && !planted("creation-drops-async") {
                return Ok(Admission::OnceCreated);
            }
            let index = self.resolve(name, Named::ToSend, step)?;
            found.push(self.destinations.reference(index));
            parts.push(index);
        }
        self.clients.connection_mut(connection).note_parts(number, found);
        Ok(Admission::Now)
    }

    fn publish_to<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        publish: &Publish,
        record: &[u8],
        parts: &mut [DestinationIndex],
        step: &mut Step<'_, L>,
    ) -> Result<Admission, Refusal> {
        if self.is_duplicate(connection, publish) {
            self.statistics.duplicates += 1;
            return Ok(Admission::Now);
        }
        let durable = |broker: &Broker, part: DestinationIndex| {
            publish.persistent && broker.destinations.get(part).is_durable_queue()
        };
        let elsewhere = parts.len() > 1;
        if elsewhere {
            self.work.spend(parts.len());
            parts.sort_by_key(|part| !durable(self, *part));
        }
        let split = parts.iter().take_while(|part| durable(self, **part)).count();
        if self.destinations.subscriptions.is_empty() {
            let expiration = || Ok(view_of(record)?.expiration());
            return self.publish_shared(connection, publish, (record, expiration), (parts, split), &NOBODY, step);
        }
        self.publish_to_subscribers(connection, publish, record, (parts, split), step)
    }

    /// The same where there are durable subscriptions.
    #[inline(never)]
    fn publish_to_subscribers<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        publish: &Publish,
        record: &[u8],
        (parts, split): (&[DestinationIndex], usize),
        step: &mut Step<'_, L>,
    ) -> Result<Admission, Refusal> {
        let mut shared = std::mem::take(&mut self.intake.shared);
        shared.clear();
        let view = view_of(record)?;
        self.share(connection, parts, &view, &mut shared);
        let sent = (record, || Ok(view.expiration()));
        let outcome = self.publish_shared(connection, publish, sent, (parts, split), &shared, step);
        self.intake.shared = shared;
        outcome
    }

    /// Stores it in all its places, if there is room.
    #[inline(always)]
    fn publish_shared<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        publish: &Publish,
        (record, expiration): (&[u8], impl FnOnce() -> Result<i64, Refusal>),
        (parts, split): (&[DestinationIndex], usize),
        shared: &Shared,
        step: &mut Step<'_, L>,
    ) -> Result<Admission, Refusal> {
        let (kept, passed) = if publish.persistent { (shared, &NOBODY) } else { (&NOBODY, shared) };
        let (places, elsewhere) = (split + kept.subscriptions(), parts.len() > 1);
        if places > 0 && self.admit(publish, records::live_bytes(record.len(), places), step)? != Admission::Now {
            return Ok(Admission::Later(LogKind::Journal));
        }
        if self.spooling.is_scarce() && self.admit_beside(publish, &parts[split..], passed, step)? != Admission::Now {
            return Ok(Admission::Later(LogKind::Spool));
        }
        let expiration = expiration()?;
        let publisher = self.clients.connection(connection).serial;
        let (crc, run_from, instead) = (publish.record_crc, None, None);
        let mut arrival = Arrival { record, crc, expiration, publisher, elsewhere, run_from, instead };
        self.statistics.published += 1;
        let (stored, passing) = parts.split_at(split);
        if places > 0 {
            let mark = self.mark_of(connection, publish.producer);
            arrival.run_from = mark.map(|mark| self.marks.run_to(mark, publish.producer_sequence));
            let home = if kept.is_empty() {
                Some(self.store(LogKind::Journal, stored, arrival, Broker::credit_waits, step))
            } else {
                self.store_shared(LogKind::Journal, (stored, kept), arrival, Broker::credit_waits, step)
            };
            if let (Some(mark), Some(from), Some(home)) = (mark, arrival.run_from, home) {
                self.apply_mark(mark, (from, publish.producer_sequence), home.segment);
            }
        } else if !publish.persistent {
            self.pass_mark(connection, publish);
        }
        // A topic that is kept for its subscriptions in the spool is among them, too.
        if !passing.is_empty() {
            self.store_passing(passing, passed, Arrival { run_from: None, ..arrival }, step);
        }
        self.pace(connection, parts, record.len(), step);
        Ok(Admission::Now)
    }

    /// What needs no journal: topics, non-persistent messages, temporary queues.
    #[inline(always)]
    fn store_passing<L: Log>(
        &mut self,
        passing: &[DestinationIndex],
        shared: &Shared,
        arrival: Arrival<'_>,
        step: &mut Step<'_, L>,
    ) {
        let expired = arrival.expiration > 0 && arrival.expiration <= step.now.unix_millis;
        let keep = |broker: &Broker, part: DestinationIndex| match &broker.destinations.get(part).content {
            Content::Topic(topic) => topic.is_heard() && !expired,
            Content::Queue(_) => !expired || broker.config.dead_letter_non_persistent,
        };
        let shared = if expired && !self.config.dead_letter_non_persistent { &NOBODY } else { shared };
        if shared.is_empty() && passing.iter().all(|part| keep(self, *part)) {
            if !passing.is_empty() {
                self.store(LogKind::Spool, passing, arrival, |_, _| false, step);
            }
            return;
        }
        self.statistics.expired += u64::from(expired);
        if shared.is_empty() && !passing.iter().any(|part| keep(self, *part)) {
            return;
        }
        let kept: Vec<DestinationIndex> = passing.iter().copied().filter(|part| keep(self, *part)).collect();
        if !shared.is_empty() {
            self.store_shared(LogKind::Spool, (&kept, shared), arrival, |_, _| false, step);
        } else if !kept.is_empty() {
            self.store(LogKind::Spool, &kept, arrival, |_, _| false, step);
        }
    }

    /// The durable subscriptions that are to have what a connection sends to these: their selectors decide here, once (R52).
    #[inline(never)]
    pub(crate) fn share(
        &mut self,
        connection: ConnectionIndex,
        parts: &[DestinationIndex],
        view: &MessageView<'_>,
        shared: &mut Shared,
    ) {
        for topic in parts.iter().copied() {
            if !self.destinations.get(topic).is_shared() {
                continue;
            }
            let (subscribers, mut steps) = self.destinations.take_subscribers(topic);
            let client = &self.clients.connection(connection).client_id;
            let takes = |index: &DestinationIndex| {
                let Some(subscription) = &self.destinations.get(*index).subscription else { return false };
                steps += 1 + subscription.steps(view);
                subscription.takes(view, client)
            };
            shared.add(topic, subscribers.iter().filter(takes));
            self.work.spend(steps / SUBSCRIPTIONS_A_STEP);
            self.destinations.put_subscribers(topic, subscribers);
        }
    }

    /// Whether what is sent to topics may come to the spool, where subscriptions keep it as queues do.
    fn admit_beside<L: Log>(
        &mut self,
        publish: &Publish,
        passing: &[DestinationIndex],
        shared: &Shared,
        step: &Step<'_, L>,
    ) -> Result<Admission, Refusal> {
        let Some(first) = shared.first() else { return self.admit_passing(publish, passing, step) };
        let all: Vec<DestinationIndex> = passing.iter().copied().chain([first]).collect();
        self.admit_passing(publish, &all, step)
    }

    /// The places of a send to a connection's number, and whether all of them are there.
    pub(crate) fn places_of(
        &self,
        port: PortIndex,
        handle: ConnectionHandle,
        number: u32,
    ) -> Option<(&[Destination], bool)> {
        let connection = self.clients.connection(self.peek_connection(port, handle)?);
        let definition = connection.definition(number)?;
        let resolved = definition.parts.len() == definition.names.len();
        let there = resolved && definition.parts.iter().all(|part| self.destinations.is_valid(*part));
        Some((&definition.names, there))
    }
}
