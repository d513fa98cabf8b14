//! The frame of a send: written once by the codec, then repeated with a few places changed.

use std::ops::Range;
use std::sync::Arc;

use postrider_wire::openwire::schema::{active_mq_text_message, message, message_id};
use postrider_wire::openwire::{Structure, Value};

use crate::body::Stamp;

/// What differs from send to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variable {
    /// The number of the command on its connection.
    pub command: i32,
    /// The number of the message of its producer: 1, 2, 3 ...
    pub sequence: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// A text message as a JMS client sends it. `text` is ASCII.
pub(crate) fn message(fixed: &Fixed<'_>, variable: Variable, text: &[u8]) -> Structure {
    let mut content = (text.len() as i32).to_be_bytes().to_vec();
    content.extend_from_slice(text);
    let id = Structure::new(&message_id::DEFINITION)
        .with(message_id::PRODUCER_ID, fixed.producer.clone())
        .with(message_id::PRODUCER_SEQUENCE_ID, variable.sequence);
    Structure::new(&active_mq_text_message::DEFINITION)
        .with(message::COMMAND_ID, variable.command)
        .with(message::RESPONSE_REQUIRED, fixed.response_required)
        .with(message::PRODUCER_ID, fixed.producer.clone())
        .with(message::DESTINATION, fixed.destination.clone())
        .with(message::TRANSACTION_ID, Value::Object(fixed.transaction.cloned()))
        .with(message::MESSAGE_ID, id)
        .with(message::PERSISTENT, fixed.persistent)
        .with(message::PRIORITY, 4_i8)
        .with(message::TIMESTAMP, variable.timestamp)
        .with(message::CONTENT, Value::bytes(&content))
        .with(message::MARSHALLED_PROPERTIES, fixed.properties.map_or(Value::Bytes(None), Value::bytes))
}

/// What all sends of a stream have in common.
#[derive(Debug)]
pub(crate) struct Fixed<'a> {
    /// The ProducerId.
    pub producer: &'a Arc<Structure>,
    /// The destination.
    pub destination: &'a Arc<Structure>,
    /// Whether the message is persistent.
    pub persistent: bool,
    /// Whether a receipt is wanted.
    pub response_required: bool,
    /// The LocalTransactionId, within a transaction.
    pub transaction: Option<&'a Arc<Structure>>,
    /// Properties as they stand in a frame, if there are any.
    pub properties: Option<&'a [u8]>,
}

/// A frame with its size in which `Variable` and the head of the text can be exchanged.
#[derive(Debug)]
pub(crate) struct SendTemplate {
    frame: Vec<u8>,
    command: usize,
    sequence: usize,
    timestamp: usize,
    text: usize,
}

impl SendTemplate {
    /// Finds the places by writing frames that differ in one field only. `encode` writes a frame with its size for that
    /// text; it must do so in the same way each time, as loose encodings do once everything is in the cache.
    pub(crate) fn new<E>(
        text: &[u8],
        mut encode: impl FnMut(Variable, &[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<SendTemplate, E> {
        let zero = Variable { command: 0, sequence: 0, timestamp: 0 };
        let inverted: Vec<u8> = text.iter().map(|byte| byte ^ 1).collect();
        let frame = encode(zero, text)?;
        let place = |other: Vec<u8>, length| place_of(&frame, &other, length);
        let command = place(encode(Variable { command: -1, ..zero }, text)?, 4);
        let sequence = place(encode(Variable { sequence: -1, ..zero }, text)?, 8);
        let timestamp = place(encode(Variable { timestamp: -1, ..zero }, text)?, 8);
        let text = place(encode(zero, &inverted)?, text.len());
        Ok(SendTemplate { command, sequence, timestamp, text, frame })
    }

    /// Appends one frame.
    #[inline]
    pub(crate) fn push(&self, out: &mut Vec<u8>, variable: Variable, stamp: &Stamp) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        frame[self.command..][..4].copy_from_slice(&variable.command.to_be_bytes());
        frame[self.sequence..][..8].copy_from_slice(&variable.sequence.to_be_bytes());
        frame[self.timestamp..][..8].copy_from_slice(&variable.timestamp.to_be_bytes());
        stamp.write(&mut frame[self.text..]);
    }
}

/// Where two frames differ.
///
/// # Panics
/// If that is not one range of `length` bytes: then the encoding has no fixed places.
fn place_of(one: &[u8], other: &[u8], length: usize) -> usize {
    assert_eq!(one.len(), other.len(), "the encoding has no fixed places");
    let mut differing = (0..one.len()).filter(|&index| one[index] != other[index]);
    let first = differing.next().expect("the field is in the frame");
    let place: Range<usize> = first..differing.next_back().map_or(first, |last| last) + 1;
    assert_eq!(place.len(), length, "the field has no fixed place");
    place.start
}

#[cfg(test)]
mod tests {
    use postrider_wire::openwire::{EncodeError, Settings, WireFormat, WriterPolicy};

    use super::*;
    use crate::body;
    use crate::names::{destination, producer_id};

    fn settings(cache_size: Option<u16>) -> Settings {
        Settings { cache_size, ..Settings::initial(1 << 20) }
    }

    #[test]
    fn patched_frames_are_what_the_codec_writes() {
        for cache_size in [None, Some(1024)] {
            for response_required in [false, true] {
                check(settings(cache_size), response_required);
            }
        }
    }

    fn check(settings: Settings, response_required: bool) {
        let (producer, destination) = (producer_id(7, 3, 1), destination("bench-1", false));
        let persistent = !response_required;
        let (transaction, properties) = (None, None);
        let destination = &destination;
        let fixed = Fixed { producer: &producer, destination, persistent, response_required, transaction, properties };
        let mut format = WireFormat::new(settings, WriterPolicy::JavaOrder);
        let mut encode = |variable, text: &[u8]| {
            let mut out = Vec::new();
            format.encode(&message(&fixed, variable, text), &mut out)?;
            Ok::<_, EncodeError>(out)
        };
        let mut text = body::blank(256);
        encode(Variable { command: 1, sequence: 1, timestamp: 1 }, &text).unwrap();
        let template = SendTemplate::new(&text, &mut encode).unwrap();
        for sequence in [1, 255, 256, 1 << 40] {
            let variable = Variable { command: sequence as i32 + 9, sequence, timestamp: 1_700_000_000_000 };
            let stamp = Stamp { run: 7, producer: 3, destination: 1, counter: sequence as u64, time: 99 };
            let mut out = vec![0xEE];
            template.push(&mut out, variable, &stamp);
            stamp.write(&mut text);
            assert_eq!(out[1..], encode(variable, &text).unwrap());
        }
    }

    #[test]
    #[should_panic(expected = "no fixed place")]
    fn tight_frames_have_no_template() {
        check(Settings { tight: true, ..settings(Some(1024)) }, true);
    }
}
