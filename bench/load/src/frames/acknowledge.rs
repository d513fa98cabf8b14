//! Acknowledgements of ranges, from the oldest unacknowledged message of a subscription to the newest.

use std::sync::Arc;

use postrider_wire::openwire::schema::{message_ack, message_id};
use postrider_wire::openwire::{EncodeError, Structure, WireFormat};

use super::is_handmade;
use crate::names;

/// "The messages of the range are consumed."
const STANDARD: i8 = 2;
/// messageCount and an absent poisonCause.
const TAIL: usize = 5;

/// What an acknowledgement says about a message of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// The number of its producer.
    pub producer: u16,
    /// The producer's number of the message.
    pub sequence: i64,
    /// The broker's number of the message.
    pub broker_sequence: i64,
}

/// The acknowledgements of one subscription.
#[derive(Debug)]
pub(crate) struct Acknowledge {
    run: u32,
    destination_number: u16,
    consumer: Arc<Structure>,
    destination: Arc<Structure>,
    range: Option<(Delivered, Delivered)>,
    count: u32,
    /// From the type to the ackType, once all of it is in the broker's cache.
    head: Vec<u8>,
    /// MessageIds up to their numbers, by producer, once the broker knows the producer; empty before.
    ids: Vec<Vec<u8>>,
}

impl Acknowledge {
    /// Acknowledgements for that consumer and destination.
    pub(crate) fn new(run: u32, number: u16, consumer: Arc<Structure>, destination: Arc<Structure>) -> Acknowledge {
        let (head, ids) = Default::default();
        Acknowledge { run, destination_number: number, consumer, destination, range: None, count: 0, head, ids }
    }

    /// Makes the messages of another run the ones that are acknowledged by their numbers, before there are any.
    pub(crate) fn set_run(&mut self, run: u32) {
        debug_assert!(self.ids.is_empty(), "ids of one run are not those of another");
        self.run = run;
    }

    /// Adds the message to the open range, and says how many it has.
    #[inline]
    pub(crate) fn add(&mut self, message: Delivered) -> u32 {
        let first = self.range.map_or(message, |(first, _)| first);
        self.range = Some((first, message));
        self.count += 1;
        self.count
    }

    /// Appends the open range's acknowledgement, if there is one.
    #[inline]
    pub(crate) fn flush(
        &mut self,
        format: &mut WireFormat,
        command: &mut i32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some((first, last)) = self.range.take() else { return Ok(()) };
        let count = std::mem::take(&mut self.count);
        *command += 1;
        if self.push(first, last, count, *command, out) {
            return Ok(());
        }
        let ids = [first, last].map(|message| Some(self.id_of(message)));
        format.encode(&self.structure(ids, count, *command), out)?;
        if is_handmade(format.settings()) {
            self.learn(first, format).and_then(|()| self.learn(last, format))
        } else {
            Ok(())
        }
    }

    /// Appends the open range's acknowledgement within a transaction, if there is one.
    pub(crate) fn flush_within(
        &mut self,
        transaction: &Arc<Structure>,
        format: &mut WireFormat,
        command: &mut i32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some((first, last)) = self.range.take() else { return Ok(()) };
        let count = std::mem::take(&mut self.count);
        *command += 1;
        let ids = [first, last].map(|message| Some(self.id_of(message)));
        let within = self.structure(ids, count, *command).with(message_ack::TRANSACTION_ID, transaction.clone());
        format.encode(&within, out)
    }

    /// Appends the acknowledgement of one message of any sender. The open range is to be flushed before.
    pub(crate) fn push_other(
        &mut self,
        id: Arc<Structure>,
        format: &mut WireFormat,
        command: &mut i32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        debug_assert!(self.range.is_none(), "ranges are in the order of dispatch");
        *command += 1;
        format.encode(&self.structure([Some(id.clone()), Some(id)], 1, *command), out)
    }

    /// Whether everything for a hand-made frame was there.
    #[inline]
    fn push(&self, first: Delivered, last: Delivered, count: u32, command: i32, out: &mut Vec<u8>) -> bool {
        let id = |message: Delivered| self.ids.get(usize::from(message.producer)).filter(|id| !id.is_empty());
        let (Some(first_id), Some(last_id)) = (id(first), id(last)) else { return false };
        let size = self.head.len() + first_id.len() + last_id.len() + 4 * size_of::<i64>() + TAIL;
        out.extend_from_slice(&(size as u32).to_be_bytes());
        let head = out.len();
        out.extend_from_slice(&self.head);
        out[head + 1..][..4].copy_from_slice(&command.to_be_bytes());
        for (id, message) in [(first_id, first), (last_id, last)] {
            out.extend_from_slice(id);
            out.extend_from_slice(&message.sequence.to_be_bytes());
            out.extend_from_slice(&message.broker_sequence.to_be_bytes());
        }
        out.extend_from_slice(&count.to_be_bytes());
        out.push(0);
        true
    }

    /// Takes the parts from what the codec writes, after it has written all values to the broker once.
    fn learn(&mut self, message: Delivered, format: &mut WireFormat) -> Result<(), EncodeError> {
        let mut frame_with = |id| {
            let mut frame = Vec::new();
            format.encode(&self.structure([None, id], 0, 0), &mut frame).map(|()| frame.split_off(size_of::<u32>()))
        };
        let without = frame_with(None)?;
        let with = frame_with(Some(self.id_of(message)))?;
        self.head = without[..without.len() - TAIL - 2].to_vec();
        let producer = usize::from(message.producer);
        self.ids.resize(self.ids.len().max(producer + 1), Vec::new());
        self.ids[producer] = with[self.head.len() + 1..with.len() - TAIL - 2 * size_of::<i64>()].to_vec();
        Ok(())
    }

    fn structure(&self, [first, last]: [Option<Arc<Structure>>; 2], count: u32, command: i32) -> Structure {
        Structure::new(&message_ack::DEFINITION)
            .with(message_ack::COMMAND_ID, command)
            .with(message_ack::DESTINATION, self.destination.clone())
            .with(message_ack::CONSUMER_ID, self.consumer.clone())
            .with(message_ack::ACK_TYPE, STANDARD)
            .with(message_ack::FIRST_MESSAGE_ID, first)
            .with(message_ack::LAST_MESSAGE_ID, last)
            .with(message_ack::MESSAGE_COUNT, count as i32)
    }

    fn id_of(&self, message: Delivered) -> Arc<Structure> {
        Structure::new(&message_id::DEFINITION)
            .with(message_id::PRODUCER_ID, names::producer_id(self.run, message.producer, self.destination_number))
            .with(message_id::PRODUCER_SEQUENCE_ID, message.sequence)
            .with(message_id::BROKER_SEQUENCE_ID, message.broker_sequence)
            .shared()
    }
}

#[cfg(test)]
mod tests {
    use postrider_wire::openwire::{Settings, WriterPolicy};

    use super::*;

    fn delivered(producer: u16, sequence: i64) -> Delivered {
        Delivered { producer, sequence, broker_sequence: sequence + 500 }
    }

    #[test]
    fn all_ranges_decode_to_what_was_meant() {
        let loose = Settings::initial(1 << 20);
        let cached = Settings { cache_size: Some(1024), ..loose };
        for settings in [loose, cached, Settings { tight: true, ..cached }] {
            let mut writer = WireFormat::new(settings, WriterPolicy::JavaOrder);
            let mut reader = WireFormat::new(settings, WriterPolicy::JavaOrder);
            check(&mut writer, &mut reader);
        }
    }

    fn check(writer: &mut WireFormat, reader: &mut WireFormat) {
        let destination = names::destination("bench-1", false);
        let mut acknowledge = Acknowledge::new(9, 1, names::consumer_id("ID:c", 1), destination);
        let mut command = 20;
        let ranges: &[&[Delivered]] = &[
            &[delivered(0, 1)],
            &[delivered(0, 2), delivered(0, 3)],
            &[delivered(2, 1), delivered(0, 4), delivered(1, 7)],
            &[delivered(1, 8), delivered(2, 1 << 40)],
        ];
        for range in ranges {
            range.iter().for_each(|&message| _ = acknowledge.add(message));
            let mut out = Vec::new();
            acknowledge.flush(writer, &mut command, &mut out).unwrap();
            let ids = [range[0], range[range.len() - 1]].map(|message| Some(acknowledge.id_of(message)));
            let expected = acknowledge.structure(ids, range.len() as u32, command);
            assert_eq!(reader.decode(&out[4..]).unwrap(), Some(expected));
            assert_eq!(out[..4], (out.len() as u32 - 4).to_be_bytes());
        }
        assert_eq!(acknowledge.head.is_empty(), writer.settings().tight);
    }

    #[test]
    fn known_producers_are_acknowledged_by_hand() {
        let settings = Settings { cache_size: Some(1024), ..Settings::initial(1 << 20) };
        let mut writer = WireFormat::new(settings, WriterPolicy::JavaOrder);
        let destination = names::destination("bench-1", false);
        let mut acknowledge = Acknowledge::new(9, 1, names::consumer_id("ID:c", 1), destination);
        let mut command = 0;
        acknowledge.add(delivered(0, 1));
        acknowledge.flush(&mut writer, &mut command, &mut Vec::new()).unwrap();
        let mut by_hand = Vec::new();
        assert!(acknowledge.push(delivered(0, 2), delivered(0, 3), 2, 5, &mut by_hand));
        let ids = [2, 3].map(|sequence| Some(acknowledge.id_of(delivered(0, sequence))));
        let mut by_codec = Vec::new();
        writer.encode(&acknowledge.structure(ids, 2, 5), &mut by_codec).unwrap();
        assert_eq!(by_hand, by_codec);
        assert!(!acknowledge.push(delivered(0, 2), delivered(1, 3), 2, 5, &mut by_hand));
    }

    #[test]
    fn an_empty_range_is_no_acknowledgement() {
        let mut format = WireFormat::new(Settings::initial(1 << 20), WriterPolicy::JavaOrder);
        let destination = names::destination("bench-1", false);
        let mut acknowledge = Acknowledge::new(9, 1, names::consumer_id("ID:c", 1), destination);
        let (mut command, mut out) = (7, Vec::new());
        acknowledge.flush(&mut format, &mut command, &mut out).unwrap();
        assert_eq!((command, out.len()), (7, 0));
    }
}
