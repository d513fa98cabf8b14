//! Dead letters: messages that were given up, or have expired, go to a queue of their own. One record says that they are there and
//! that their old place is over (R34).

use crate::broker::Broker;
use crate::durable::damage::Wait;
use crate::durable::store::Arrival;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, MessageIndex, flag as message_flag};
use crate::plant::planted;
use crate::records::{Instead, acknowledgement_bound};
use crate::step::Step;
use postrider_journal::{Bound, Lookup, Purpose, body_crc};
use postrider_model::properties::{Properties, PropertiesWriter, Value};
use postrider_model::record::{Header, Tag, flag};
use postrider_model::{Destination, DestinationKind, MessageView, MessageWriter, Sequence, limits, modified_utf8};

/// Why a message is given up.
#[derive(Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// Its consumer says so; class and message of the reason.
    Poison(&'a [u8]),
    Expired,
}

/// What a dead letter has more than the message had.
const ADDED_BYTES: u64 = 1_024;

/// What has become of a message.
pub(crate) enum Settled {
    /// It is gone.
    Gone,
    /// It is a dead letter.
    Letter,
}

impl Broker {
    /// The message leaves its queue for the dead letter queue, or for nowhere.
    pub(crate) fn give_up<L: Log>(
        &mut self,
        of: DestinationIndex,
        index: MessageIndex,
        cause: Cause<'_>,
        step: &mut Step<'_, L>,
    ) -> Result<Settled, Wait> {
        let expired = matches!(cause, Cause::Expired);
        if (expired && !self.config.dead_letter_expired) || self.is_dead_letter(index) || self.has_letter(of, index) {
            return self.drop_message(of, index, expired, step);
        }
        if self.durable.is_of_this_turn(self.messages.at(index).sequence) {
            return Err(Wait::TurnEnd);
        }
        let message = self.messages.at(index);
        let (store, position, length) = (message.store, message.position, message.length);
        let extent = match step.log.extent(store, position, length, message.crc) {
            Lookup::Memory(extent) | Lookup::Checked(extent) => extent,
            Lookup::Damaged => return self.give_up_damaged(of, index, expired, step),
            Lookup::Cold => {
                step.log.fetch(store, position, length);
                return Err(Wait::Bytes);
            }
        };
        let bytes = extent.bytes(position, length as usize);
        let Ok(view) = MessageView::parse(bytes) else { return self.give_up_damaged(of, index, expired, step) };
        let eligible =
            |view: &MessageView<'_>| view.flags() & flag::PERSISTENT != 0 || self.config.dead_letter_non_persistent;
        match Some(view).filter(eligible) {
            Some(view) => self
                .tell_siblings(index, step)
                .and_then(|()| self.move_to_dead_letters((of, index), &view, cause, step)),
            None => self.drop_message(of, index, expired, step),
        }
    }

    /// Of a topic's message there is one letter, whoever of those gives it up that share it; and none from a subscription that goes.
    fn has_letter(&self, of: DestinationIndex, index: MessageIndex) -> bool {
        let message = self.messages.at(index);
        message.has(message_flag::SHARED) && (message.has(message_flag::COPIED) || self.destinations.get(of).is_dying())
    }

    fn give_up_damaged<L: Log>(
        &mut self,
        of: DestinationIndex,
        index: MessageIndex,
        expired: bool,
        step: &mut Step<'_, L>,
    ) -> Result<Settled, Wait> {
        self.set_aside(index, step)?;
        Ok(self.let_go(of, index, expired, step))
    }

    pub(crate) fn is_dead_letter(&self, index: MessageIndex) -> bool {
        let destination = &self.destinations.get(self.messages.at(index).destination).destination;
        destination.name == self.config.dead_letter_queue && destination.kind == DestinationKind::Queue
    }

    fn drop_message<L: Log>(
        &mut self,
        of: DestinationIndex,
        index: MessageIndex,
        expired: bool,
        step: &mut Step<'_, L>,
    ) -> Result<Settled, Wait> {
        if !step.log.reserve(Purpose::Settle, acknowledgement_bound(1)) {
            return Err(Wait::Room);
        }
        Ok(self.let_go(of, index, expired, step))
    }

    fn let_go<L: Log>(
        &mut self,
        of: DestinationIndex,
        index: MessageIndex,
        expired: bool,
        step: &mut Step<'_, L>,
    ) -> Settled {
        self.statistics.expired += u64::from(expired);
        self.consume(of, index, step);
        Settled::Gone
    }

    fn move_to_dead_letters<L: Log>(
        &mut self,
        (of, index): (DestinationIndex, MessageIndex),
        view: &MessageView<'_>,
        cause: Cause<'_>,
        step: &mut Step<'_, L>,
    ) -> Result<Settled, Wait> {
        let mut record = std::mem::take(&mut self.settlements.record);
        record.clear();
        let queue = Destination::new(DestinationKind::Queue, &self.config.dead_letter_queue);
        let identity = self.has_copy(index, view).then(|| self.config.advisory_connection.clone());
        let identity = identity.map(|connection| Identity { connection, number: self.sequences.next() });
        let letter = Letter { source: self.source(index), queue: &queue, cause, identity };
        letter.write(&mut record, view);
        let outcome = self.store_dead_letter((of, index), &record, &queue, cause, step);
        self.settlements.record = record;
        outcome
    }

    /// Whether a dead letter has the message's id already: another of its places was given up. What is kept in memory of a durable
    /// message has a record of its own, and does not know of the others.
    fn has_copy(&self, index: MessageIndex, view: &MessageView<'_>) -> bool {
        let message = self.messages.at(index);
        let beside = message.store == LogKind::Spool && view.flags() & flag::PERSISTENT != 0;
        message.has(message_flag::COPIED) || (beside && message.has(message_flag::ELSEWHERE))
    }

    fn source(&self, index: MessageIndex) -> &Destination {
        &self.destinations.get(self.messages.at(index).destination).destination
    }

    fn store_dead_letter<L: Log>(
        &mut self,
        (of, index): (DestinationIndex, MessageIndex),
        record: &[u8],
        queue: &Destination,
        cause: Cause<'_>,
        step: &mut Step<'_, L>,
    ) -> Result<Settled, Wait> {
        // What lies at the front of the log holds it until it has moved, to the dead letters or otherwise.
        let moves = self.messages.at(index).store == LogKind::Journal
            && self.journal.front() == Some(self.messages.at(index).segment);
        let purpose = if moves { Purpose::Settle } else { Purpose::Create };
        let acknowledgement = acknowledgement_bound(1);
        let bytes = record.len() as u64 + ADDED_BYTES + queue.name.len() as u64 + acknowledgement.bytes;
        let bound = Bound { records: acknowledgement.records + 4, bytes };
        if !self.sequences.has(1) || !step.log.reserve(purpose, bound) {
            return Err(Wait::Room);
        }
        // Whatever the limits say: its messages are there already.
        let target = self.destinations.find(queue).unwrap_or_else(|| self.create(queue, step));
        let message = self.messages.at(index);
        let publisher = if message.has(message_flag::SHARED) { 0 } else { message.publisher };
        let (crc, instead) = (body_crc(record), self.instead_of(of, index));
        let arrival = Arrival { record, crc, expiration: 0, publisher, elsewhere: false, run_from: None, instead };
        self.store(LogKind::Journal, &[target], arrival, Broker::credit_waits, step);
        self.statistics.expired += u64::from(matches!(cause, Cause::Expired));
        self.statistics.dead_lettered += 1;
        if planted("copy-before-ack") {
            self.consume(of, index, step);
            return Ok(Settled::Letter);
        }
        self.statistics.acknowledged += 1;
        let (store, segment) = (self.messages.at(index).store, self.messages.at(index).segment);
        if self.apply_instead(of, index) && store == LogKind::Spool {
            self.release_spool(segment, step);
        }
        Ok(Settled::Letter)
    }

    /// The place that a record is to take, as far as the log knows of it: not of a deleted destination.
    fn instead_of(&self, of: DestinationIndex, index: MessageIndex) -> Option<Instead> {
        let message = self.messages.at(index);
        let Message { sequence, store, .. } = *message;
        let dying = self.destinations.get(of).is_dying();
        let destination = self.recorded_id(of, message).filter(|_| store == LogKind::Journal && !dying)?;
        (!planted("copy-before-ack")).then_some(Instead { destination, sequence })
    }
}

/// A message id of its own, of the broker's.
struct Identity {
    connection: Box<[u8]>,
    number: Sequence,
}

/// What is to be written.
struct Letter<'a> {
    source: &'a Destination,
    queue: &'a Destination,
    cause: Cause<'a>,
    /// None: it keeps the message's.
    identity: Option<Identity>,
}

/// Number of the session of the broker's own producer that gives dead letters an id; that of advisories is 0.
const SESSION: i64 = 1;

impl Letter<'_> {
    fn write(&self, record: &mut Vec<u8>, view: &MessageView<'_>) {
        let header = view.header();
        let properties = dead_letter_properties(view, self);
        let mut writer = MessageWriter::new(record);
        for (tag, bytes) in view.fields() {
            match tag {
                _ if tag == Tag::ProducerConnection as u8 => self.write_producer(&mut writer, view, bytes),
                _ if tag == Tag::Destination as u8 || tag == Tag::OriginalDestination as u8 => {}
                _ if tag == Tag::OriginalTransaction as u8 && view.field(Tag::Transaction).is_some() => {}
                _ if tag == Tag::Transaction as u8 => writer.field(Tag::OriginalTransaction, &[bytes]),
                _ if tag == Tag::TextView as u8 && self.identity.is_some() => {}
                _ => writer.raw_field(tag, bytes),
            }
        }
        if let Some(properties) = properties.as_deref().or(view.properties()) {
            writer.properties(properties);
        }
        if let Some(content) = view.content() {
            writer.content(content);
        }
        let flags = header.flags | flag::PERSISTENT;
        let mut header = Header { flags, expiration: 0, redelivery_counter: 0, ..header };
        if let Some(identity) = &self.identity {
            header.producer_sequence = i64::try_from(identity.number.0).unwrap_or(i64::MAX);
            (header.producer_session, header.producer_value) = (SESSION, 0);
        }
        writer.finish(&header);
    }

    /// The first two fields, and what belongs to them. Who has sent it stays known also where the message id is another's.
    fn write_producer(&self, writer: &mut MessageWriter<'_>, view: &MessageView<'_>, connection: &[u8]) {
        let id = self.identity.as_ref().map_or(connection, |identity| &identity.connection);
        writer.field(Tag::ProducerConnection, &[id]);
        writer.destination_field(Tag::Destination, self.queue.kind, &self.queue.name);
        writer.destination_field(Tag::OriginalDestination, self.source.kind, &self.source.name);
        if self.identity.is_some() && view.field(Tag::Sender).is_none() {
            let Header { producer_session, producer_value, .. } = view.header();
            let (session, value) = (producer_session.to_le_bytes(), producer_value.to_le_bytes());
            writer.field(Tag::Sender, &[&session, &value, connection]);
        }
    }
}

/// The properties with what was changed besides; none if they are not a map: then they stay as they are.
fn dead_letter_properties(view: &MessageView<'_>, letter: &Letter<'_>) -> Option<Vec<u8>> {
    let header = view.header();
    let kept = view.properties().map(|bytes| Properties::new(bytes).and_then(|map| map.whole(PROPERTY_VALUES)));
    let kept = kept.transpose().ok()?;
    let mut bytes = Vec::with_capacity(view.properties().map_or(0, <[u8]>::len) + 256);
    let mut map = PropertiesWriter::new(&mut bytes);
    kept.inspect(|kept| _ = map.copy_all(kept));
    map.entry(b"originalExpiration", Value::Long(header.expiration));
    if header.flags & flag::PERSISTENT == 0 {
        map.entry(b"originalDeliveryMode", Value::String(b"NON_PERSISTENT"));
    }
    if letter.identity.is_some() {
        map.entry(b"originalMessageId", Value::String(modified_utf8::cut(&message_id(view), TEXT_BYTES)));
    }
    let expired = format!("java.lang.Throwable: Message Expired. Expiration:{}", header.expiration);
    let cause = match letter.cause {
        Cause::Poison(cause) => cause,
        Cause::Expired => expired.as_bytes(),
    };
    map.entry(b"dlqDeliveryFailureCause", Value::String(modified_utf8::cut(cause, TEXT_BYTES)));
    Some(bytes)
}

/// JMSMessageID, as clients write it.
fn message_id(view: &MessageView<'_>) -> Vec<u8> {
    if let Some(text) = view.field(Tag::TextView) {
        return text.to_vec();
    }
    let Header { producer_session, producer_value, producer_sequence, .. } = view.header();
    let connection = view.field(Tag::ProducerConnection).unwrap_or_default();
    [connection, format!(":{producer_session}:{producer_value}:{producer_sequence}").as_bytes()].concat()
}

/// Most values of properties that are looked at, nested ones included: some tenths of a millisecond.
const PROPERTY_VALUES: u32 = 65_536;

/// Longest text that is added.
const TEXT_BYTES: usize = 8_000;
const _: () = assert!((TEXT_BYTES as u64) < limits::MAX_FRAME_BYTES);
