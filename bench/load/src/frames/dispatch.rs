//! The MessageDispatch of a text message, read as far as the generator needs it.

use postrider_wire::openwire::schema::{
    active_mq_queue, active_mq_temp_topic, active_mq_text_message, broker_id, connection_id, consumer_id,
    local_transaction_id, message, message_dispatch, message_id, producer_id, session_id,
};
use postrider_wire::openwire::{Fault, Reader, Structure};

/// The index of a cached value that is not kept.
const NOT_KEPT: i16 = -1;

/// Which consumer a dispatch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity<'a> {
    /// The one whose ConsumerId lies at this index of the cache.
    Index(i16),
    /// The one whose ConsumerId has these bytes, its type first.
    Inline(&'a [u8]),
}

/// What a dispatch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dispatch<'a> {
    /// Its consumer.
    pub consumer: Identity<'a>,
    /// The producer's number of the message.
    pub sequence: i64,
    /// The broker's number of the message.
    pub broker_sequence: i64,
    /// The Modified UTF-8 of the text.
    pub text: &'a [u8],
    /// Whether it was delivered before.
    pub redelivered: bool,
}

impl<'a> Dispatch<'a> {
    /// Reads a loose frame, given without its size. Nothing if it has to go through the codec: it is something else than
    /// the dispatch of a plain text message, or puts a value into the cache.
    #[inline]
    pub(crate) fn read(frame: &'a [u8], is_cached: bool) -> Option<Dispatch<'a>> {
        if frame.first() != Some(&message_dispatch::DEFINITION.code) {
            return None;
        }
        Walk { reader: Reader::new(frame), is_cached }.dispatch().ok().flatten()
    }

    /// The same from what the codec read. The consumer is told apart by the caller.
    pub(crate) fn of(dispatch: &'a Structure, consumer: Identity<'a>) -> Option<Dispatch<'a>> {
        let message = dispatch.object(message_dispatch::MESSAGE)?;
        let id = message.object(message::MESSAGE_ID)?;
        let is_text = message.is(&active_mq_text_message::DEFINITION) && !message.bool(message::COMPRESSED);
        let content = if is_text { message.bytes(message::CONTENT) } else { None };
        Some(Dispatch {
            consumer,
            sequence: id.long(message_id::PRODUCER_SEQUENCE_ID),
            broker_sequence: id.long(message_id::BROKER_SEQUENCE_ID),
            text: content.and_then(text_of).unwrap_or_default(),
            redelivered: dispatch.int(message_dispatch::REDELIVERY_COUNTER) > 0,
        })
    }
}

/// The text behind its int32 length.
#[inline]
fn text_of(content: &[u8]) -> Option<&[u8]> {
    let (length, text) = content.split_first_chunk()?;
    (u32::from_be_bytes(*length) as usize == text.len()).then_some(text)
}

struct Walk<'a> {
    reader: Reader<'a>,
    is_cached: bool,
}

/// `Ok(None)`: not for us, as `Err`.
type Step<T> = Result<Option<T>, Fault>;

/// Leaves the function where a step had no result.
macro_rules! known {
    ($step:expr) => {
        match $step? {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

impl<'a> Walk<'a> {
    #[inline]
    fn dispatch(mut self) -> Step<Dispatch<'a>> {
        // Type, commandId and responseRequired.
        self.reader.take(6)?;
        let consumer = known!(self.consumer());
        known!(self.cached());
        if self.reader.array()? != [1, active_mq_text_message::DEFINITION.code] {
            return Ok(None);
        }
        let mut dispatch = known!(self.message());
        dispatch.consumer = consumer;
        // The arrays and strings that follow hold nothing of interest; redeliveryCounter comes last.
        dispatch.redelivered = self.reader.rest().last_chunk().is_some_and(|bytes| i32::from_be_bytes(*bytes) > 0);
        Ok(Some(dispatch))
    }

    #[inline]
    fn consumer(&mut self) -> Step<Identity<'a>> {
        if self.is_cached && self.reader.code()? == 0 {
            return Ok(Some(Identity::Index(self.reader.short()?)));
        }
        if self.is_cached && self.reader.short()? != NOT_KEPT {
            return Ok(None);
        }
        let object = self.reader.rest();
        known!(self.object());
        let length = object.len() - self.reader.rest().len();
        Ok(Some(Identity::Inline(&object[1..length])))
    }

    #[inline]
    fn message(&mut self) -> Step<Dispatch<'a>> {
        self.reader.take(5)?;
        // producerId, destination, transactionId and originalDestination.
        for _ in 0..4 {
            known!(self.cached());
        }
        if self.reader.array()? != [1, message_id::DEFINITION.code, 0] {
            return Ok(None);
        }
        known!(self.cached());
        let sequence = self.reader.loose_long()?;
        let broker_sequence = self.reader.loose_long()?;
        known!(self.cached());
        self.string()?;
        self.reader.int()?;
        self.string()?;
        // persistent, expiration and priority.
        self.reader.take(10)?;
        known!(self.object());
        self.reader.loose_long()?;
        self.string()?;
        let text = self.reader.loose_bytes()?.and_then(text_of);
        self.reader.loose_bytes()?;
        known!(self.object());
        known!(self.cached());
        let compressed = self.reader.loose_bool()?;
        let consumer = Identity::Index(NOT_KEPT);
        let dispatch = |text| Dispatch { consumer, sequence, broker_sequence, text, redelivered: false };
        Ok(text.filter(|_| !compressed).map(dispatch))
    }

    /// Skips a value that leaves the cache as it is.
    #[inline]
    fn cached(&mut self) -> Step<()> {
        if self.is_cached {
            let [new, high, low] = self.reader.array()?;
            if new == 0 {
                return Ok(Some(()));
            }
            if i16::from_be_bytes([high, low]) != NOT_KEPT {
                return Ok(None);
            }
        }
        self.object()
    }

    /// Skips an identifier, a destination or a local transaction.
    #[inline]
    fn object(&mut self) -> Step<()> {
        if !self.reader.loose_bool()? {
            return Ok(Some(()));
        }
        let longs = match self.reader.code()? {
            code if code == local_transaction_id::DEFINITION.code => {
                self.reader.loose_long()?;
                return self.cached();
            }
            code if (active_mq_queue::DEFINITION.code..=active_mq_temp_topic::DEFINITION.code).contains(&code) => 0,
            code if code == connection_id::DEFINITION.code || code == broker_id::DEFINITION.code => 0,
            code if code == session_id::DEFINITION.code => 1,
            code if code == consumer_id::DEFINITION.code || code == producer_id::DEFINITION.code => 2,
            _ => return Ok(None),
        };
        self.string()?;
        self.reader.take(longs * size_of::<i64>())?;
        Ok(Some(()))
    }

    /// Skips a string without looking at it.
    #[inline]
    fn string(&mut self) -> Result<(), Fault> {
        if self.reader.loose_bool()? {
            let length = self.reader.short()? as u16;
            self.reader.take(usize::from(length))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use postrider_wire::openwire::{Settings, Value, WireFormat, WriterPolicy};

    use super::*;
    use crate::frames::send::{Fixed, Variable, message};
    use crate::names;

    const TEXT: &[u8] = b"some text";

    fn dispatch(sequence: i64, redelivery: i32) -> Structure {
        dispatch_of(3, sequence, redelivery)
    }

    fn dispatch_of(producer: u16, sequence: i64, redelivery: i32) -> Structure {
        let (producer, destination) = (names::producer_id(7, producer, 1), names::destination("bench-1", false));
        let fixed = Fixed {
            producer: &producer,
            destination: &destination,
            persistent: true,
            response_required: true,
            transaction: None,
            properties: None,
        };
        let mut message = message(&fixed, Variable { command: 5, sequence, timestamp: 1 }, TEXT);
        let id = Structure::clone(message.object(message::MESSAGE_ID).unwrap());
        message.set(message::MESSAGE_ID, id.with(message_id::BROKER_SEQUENCE_ID, 1_000 + sequence));
        Structure::new(&message_dispatch::DEFINITION)
            .with(message_dispatch::CONSUMER_ID, consumer())
            .with(message_dispatch::DESTINATION, destination)
            .with(message_dispatch::MESSAGE, message)
            .with(message_dispatch::REDELIVERY_COUNTER, redelivery)
    }

    fn consumer() -> std::sync::Arc<Structure> {
        names::consumer_id("ID:c", 1)
    }

    fn format(cache_size: Option<u16>) -> WireFormat {
        let settings = Settings { cache_size, ..Settings::initial(1 << 20) };
        WireFormat::new(settings, WriterPolicy::JavaOrder)
    }

    fn encoded(format: &mut WireFormat, structure: &Structure) -> Vec<u8> {
        let mut out = Vec::new();
        format.encode(structure, &mut out).unwrap();
        out.split_off(4)
    }

    fn expected(consumer: Identity<'_>, sequence: i64, redelivered: bool) -> Option<Dispatch<'_>> {
        Some(Dispatch { consumer, sequence, broker_sequence: 1_000 + sequence, text: TEXT, redelivered })
    }

    #[test]
    fn cached_frames_are_read_once_the_cache_is_filled() {
        let mut format = format(Some(1024));
        assert_eq!(Dispatch::read(&encoded(&mut format, &dispatch(1, 0)), true), None);
        let frame = encoded(&mut format, &dispatch(2, 0));
        assert_eq!(Dispatch::read(&frame, true), expected(Identity::Index(0), 2, false));
        let frame = encoded(&mut format, &dispatch(3, 1));
        assert_eq!(Dispatch::read(&frame, true), expected(Identity::Index(0), 3, true));
    }

    #[test]
    fn a_new_value_anywhere_in_the_cache_is_left_to_the_codec() {
        let mut format = format(Some(1024));
        encoded(&mut format, &dispatch(1, 0));
        assert_eq!(Dispatch::read(&encoded(&mut format, &dispatch_of(4, 1, 0)), true), None);
        assert!(Dispatch::read(&encoded(&mut format, &dispatch_of(4, 2, 0)), true).is_some());
        let with_target = |consumer| {
            let message = Structure::clone(dispatch(5, 0).object(message_dispatch::MESSAGE).unwrap());
            let message = message.with(message::TARGET_CONSUMER_ID, names::consumer_id(consumer, 1));
            dispatch(5, 0).with(message_dispatch::MESSAGE, message)
        };
        assert_eq!(Dispatch::read(&encoded(&mut format, &with_target("ID:d")), true), None);
        assert!(Dispatch::read(&encoded(&mut format, &with_target("ID:d")), true).is_some());
    }

    #[test]
    fn uncached_frames_are_read_at_once() {
        let mut format = format(None);
        let frame = encoded(&mut format, &dispatch(1, 2));
        let identity = &encoded(&mut format, &consumer());
        assert_eq!(Dispatch::read(&frame, false), expected(Identity::Inline(identity), 1, true));
    }

    #[test]
    fn the_codec_reads_the_same() {
        for cache_size in [None, Some(1024)] {
            let mut format = format(cache_size);
            encoded(&mut format, &dispatch(1, 0));
            let frame = encoded(&mut format, &dispatch(2, 1));
            let by_hand = Dispatch::read(&frame, cache_size.is_some()).unwrap();
            assert_eq!(Dispatch::of(&dispatch(2, 1), by_hand.consumer), Some(by_hand));
        }
    }

    #[test]
    fn what_is_not_a_plain_text_message_is_left_to_the_codec() {
        let mut format = format(None);
        let original = dispatch(1, 0);
        let message = Structure::clone(original.object(message_dispatch::MESSAGE).unwrap());
        let variants = [
            message.clone().with(message::COMPRESSED, true),
            message.clone().with(message::CONTENT, Value::Bytes(None)),
            message.clone().with(message::CONTENT, Value::bytes(&[0, 0, 0, 9, 1])),
        ];
        for variant in variants {
            let frame = encoded(&mut format, &original.clone().with(message_dispatch::MESSAGE, variant));
            assert_eq!(Dispatch::read(&frame, false), None);
        }
        let frame = encoded(&mut format, &Structure::new(&message_dispatch::DEFINITION));
        assert_eq!(Dispatch::read(&frame, false), None);
        let frame = encoded(&mut format, &original);
        for length in 0..TEXT.len() + 40 {
            assert_eq!(Dispatch::read(&frame[..length], false), None, "{length}");
        }
    }
}
