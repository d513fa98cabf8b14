//! Dead letters: messages that were given up, or have expired, go to a queue of their own, in one frame with their
//! acknowledgement.

use crate::broker::{Broker, Step};
use crate::jobs::acknowledgement_bound;
use crate::log::{Log, Store};
use crate::messages::{Message, MessageIndex};
use crate::properties;
use crate::publish::Arrival;
use postrider_journal::{Bound, Lookup, body_crc};
use postrider_model::record::{Header, RecordError, Tag, flag};
use postrider_model::{Destination, DestinationKind, MessageView, MessageWriter, limits};

/// Why a message is given up.
#[derive(Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// Its consumer says so; class and message of the reason.
    Poison(&'a [u8]),
    Expired,
}

/// It has to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// For room in the log.
    Room,
    /// For bytes from a disk.
    Bytes,
    /// For the turn's end, when what it has staged can be read.
    TurnEnd,
}

/// What a dead letter has more than the message had.
const ADDED_BYTES: u64 = 1_024;

impl Broker {
    /// The message leaves its queue for the dead letter queue, or for nowhere.
    pub(crate) fn give_up<L: Log>(
        &mut self,
        index: MessageIndex,
        cause: Cause<'_>,
        step: &mut Step<'_, L>,
    ) -> Result<(), Wait> {
        let expired = matches!(cause, Cause::Expired);
        if (expired && !self.config.dead_letter_expired) || self.is_dead_letter(index) {
            return self.drop_message(index, expired, step);
        }
        if self.message(index).store == Store::Spool && self.message(index).sequence >= self.turn_start {
            return Err(Wait::TurnEnd);
        }
        let message = self.message(index);
        let (store, position, length) = (message.store, message.position, message.length);
        let extent = match step.log.extent(store, position, length) {
            Lookup::Memory(extent) | Lookup::Checked(extent) => extent,
            Lookup::Damaged => return self.give_up_damaged(index, expired, step),
            Lookup::Cold => {
                step.log.fetch(store, position, length);
                return Err(Wait::Bytes);
            }
        };
        let bytes = extent.bytes(position, length as usize);
        let Ok(view) = MessageView::parse(bytes) else { return self.give_up_damaged(index, expired, step) };
        let eligible =
            |view: &MessageView<'_>| view.flags() & flag::PERSISTENT != 0 || self.config.dead_letter_non_persistent;
        match Some(view).filter(eligible) {
            Some(view) => self.move_to_dead_letters(index, &view, cause, step),
            None => self.drop_message(index, expired, step),
        }
    }

    fn give_up_damaged<L: Log>(
        &mut self,
        index: MessageIndex,
        expired: bool,
        step: &mut Step<'_, L>,
    ) -> Result<(), Wait> {
        self.set_aside(index, step)?;
        self.statistics.expired += u64::from(expired);
        self.consume(index, step);
        Ok(())
    }

    pub(crate) fn is_dead_letter(&self, index: MessageIndex) -> bool {
        let destination = &self.destinations.get(self.message(index).destination).destination;
        destination.name == self.config.dead_letter_queue && destination.kind == DestinationKind::Queue
    }

    fn drop_message<L: Log>(&mut self, index: MessageIndex, expired: bool, step: &mut Step<'_, L>) -> Result<(), Wait> {
        if !step.log.reserve(acknowledgement_bound(1)) {
            return Err(Wait::Room);
        }
        self.statistics.expired += u64::from(expired);
        self.consume(index, step);
        Ok(())
    }

    fn move_to_dead_letters<L: Log>(
        &mut self,
        index: MessageIndex,
        view: &MessageView<'_>,
        cause: Cause<'_>,
        step: &mut Step<'_, L>,
    ) -> Result<(), Wait> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        let queue = Destination::new(DestinationKind::Queue, &self.config.dead_letter_queue);
        let written = write_dead_letter(&mut record, view, self.source(index), &queue, cause);
        let outcome = match written {
            Ok(()) => self.store_dead_letter(index, &record, &queue, cause, step),
            Err(_) => self.drop_message(index, matches!(cause, Cause::Expired), step),
        };
        self.record = record;
        outcome
    }

    fn source(&self, index: MessageIndex) -> &Destination {
        &self.destinations.get(self.message(index).destination).destination
    }

    fn store_dead_letter<L: Log>(
        &mut self,
        index: MessageIndex,
        record: &[u8],
        queue: &Destination,
        cause: Cause<'_>,
        step: &mut Step<'_, L>,
    ) -> Result<(), Wait> {
        let acknowledgement = acknowledgement_bound(1);
        let bytes = record.len() as u64 + ADDED_BYTES + queue.name.len() as u64 + acknowledgement.bytes;
        if !step.log.reserve(Bound { records: acknowledgement.records + 4, bytes }) {
            return Err(Wait::Room);
        }
        let Ok(target) = self.resolve(queue, step) else { return self.drop_message(index, false, step) };
        let Message { publisher, .. } = *self.message(index);
        let crc = body_crc(record);
        let arrival =
            Arrival { record, crc, expiration: 0, publisher, elsewhere: false, run_from: None, instead: None };
        self.store(Store::Journal, &[target], arrival, step);
        self.statistics.expired += u64::from(matches!(cause, Cause::Expired));
        self.statistics.dead_lettered += 1;
        self.consume(index, step);
        Ok(())
    }
}

/// Writes the dead letter of a message that was in `source`.
fn write_dead_letter(
    record: &mut Vec<u8>,
    view: &MessageView<'_>,
    source: &Destination,
    queue: &Destination,
    cause: Cause<'_>,
) -> Result<(), RecordError> {
    let header = view.header();
    let properties = dead_letter_properties(view.properties(), &header, cause);
    let mut writer = MessageWriter::new(record);
    for (tag, bytes) in view.fields() {
        match tag {
            _ if tag == Tag::ProducerConnection as u8 => {
                writer.field(Tag::ProducerConnection, &[bytes]);
                writer.destination_field(Tag::Destination, queue.kind, &queue.name);
                writer.destination_field(Tag::OriginalDestination, source.kind, &source.name);
            }
            _ if tag == Tag::Destination as u8 || tag == Tag::OriginalDestination as u8 => {}
            _ if tag == Tag::OriginalTransaction as u8 && view.field(Tag::Transaction).is_some() => {}
            _ if tag == Tag::Transaction as u8 => writer.field(Tag::OriginalTransaction, &[bytes]),
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
    writer.finish(&Header { flags, expiration: 0, redelivery_counter: 0, ..header });
    Ok(())
}

/// The properties with what was changed besides; none if they are not a map: then they stay as they are.
fn dead_letter_properties(properties: Option<&[u8]>, header: &Header, cause: Cause<'_>) -> Option<Vec<u8>> {
    const LONG: u8 = 6;
    let (count, entries) = properties.map_or(Some((0, &[][..])), properties::entries)?;
    let non_persistent = header.flags & flag::PERSISTENT == 0;
    let added = 2 + u32::from(non_persistent);
    let mut map = Vec::with_capacity(entries.len() + 256);
    map.extend_from_slice(&(count + added).to_be_bytes());
    map.extend_from_slice(entries);
    write_name(&mut map, b"originalExpiration");
    map.push(LONG);
    map.extend_from_slice(&header.expiration.to_be_bytes());
    if non_persistent {
        write_text(&mut map, b"originalDeliveryMode", b"NON_PERSISTENT");
    }
    let text = match cause {
        Cause::Poison(cause) => cause.to_vec(),
        Cause::Expired => {
            format!("java.lang.Throwable: Message Expired. Expiration:{}", header.expiration).into_bytes()
        }
    };
    write_text(&mut map, b"dlqDeliveryFailureCause", &text);
    Some(map)
}

fn write_name(map: &mut Vec<u8>, name: &[u8]) {
    map.extend_from_slice(&(name.len() as u16).to_be_bytes());
    map.extend_from_slice(name);
}

fn write_text(map: &mut Vec<u8>, name: &[u8], text: &[u8]) {
    const STRING: u8 = 9;
    write_name(map, name);
    map.push(STRING);
    let mut length = text.len().min(CAUSE_BYTES);
    while length < text.len() && length > 0 && text[length] & 0xC0 == 0x80 {
        length -= 1;
    }
    write_name(map, &text[..length]);
}

/// Longest text of a cause.
const CAUSE_BYTES: usize = 8_000;
const _: () = assert!((CAUSE_BYTES as u64) < limits::MAX_FRAME_BYTES);
