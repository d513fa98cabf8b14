//! Which values of a dispatch the peer has in its cache already.

use super::dispatch::ConsumerName;
use super::outbound::destination_code;
use super::placing::{Content, Head, PeerCache, Remembered, Slot};
use crate::openwire::schema::{consumer_id, producer_id};
use crate::session::Outbound;
use crate::session::{DestinationName, ProducerName};

/// What a consumer's last messages have put into the peer's cache.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    consumer: Remembered,
    destination: Remembered,
    original_destination: Remembered,
    producer: Remembered,
    sender: Remembered,
}

/// How each cached field is written, in the order of the wire.
#[derive(Clone, Copy)]
pub(super) struct Slots {
    pub consumer: Slot,
    pub destination: Slot,
    pub sender: Slot,
    pub sent_to: Slot,
    pub transaction: Slot,
    pub original_destination: Slot,
    pub producer: Slot,
    pub original_transaction: Slot,
    pub target: Slot,
}

impl Slots {
    const NONE: Slots = Slots {
        consumer: Slot::None,
        destination: Slot::None,
        sender: Slot::None,
        sent_to: Slot::None,
        transaction: Slot::None,
        original_destination: Slot::None,
        producer: Slot::None,
        original_transaction: Slot::None,
        target: Slot::None,
    };

    /// Whether the peer has all of the values.
    #[inline]
    pub(super) fn are_known(&self) -> bool {
        let of_message = self.sender.is_known() & self.sent_to.is_known() & self.original_destination.is_known();
        let of_id = self.producer.is_known() & self.original_transaction.is_known();
        let nulls = self.transaction.is_known() & self.target.is_known();
        self.consumer.is_known() & self.destination.is_known() & of_message & of_id & nulls
    }

    /// The slots of a message's frame; what the peer has not is noted as sent to it.
    #[inline]
    pub(super) fn choose(
        message: &Outbound<'_>,
        consumer: ConsumerName<'_>,
        memory: &mut Memory,
        cache: Option<&mut PeerCache>,
    ) -> Slots {
        let Some(cache) = cache else { return Slots::NONE };
        let (destination, producer) = (destination_content(message.destination), message.producer.content());
        let original = message.original_destination.map(destination_content);
        // Values are placed in the order in which they are written.
        let consumer = cache.place_only(&mut memory.consumer, consumer.content());
        let placed = cache.place(&mut memory.destination, destination);
        let sender = match message.fields.sender {
            Some(sender) => cache.place(&mut memory.sender, sender.content()),
            None => cache.place(&mut memory.producer, producer),
        };
        Slots {
            consumer,
            destination: placed,
            sender,
            sent_to: cache.place_again(placed, &mut memory.destination, destination),
            transaction: cache.null(),
            original_destination: match original {
                Some(content) => cache.place(&mut memory.original_destination, content),
                None => cache.null(),
            },
            producer: match message.fields.sender {
                Some(_) => cache.place(&mut memory.producer, producer),
                None => cache.place_again(sender, &mut memory.producer, producer),
            },
            original_transaction: cache.null(),
            target: cache.null(),
        }
    }
    /// The slots of consumer and message in a frame without a message.
    pub(super) fn choose_for_end(
        consumer: ConsumerName<'_>,
        memory: &mut Memory,
        cache: Option<&mut PeerCache>,
    ) -> (Slot, Slot) {
        match cache {
            Some(cache) => (cache.place_only(&mut memory.consumer, consumer.content()), cache.null()),
            None => (Slot::None, Slot::None),
        }
    }
}

impl ConsumerName<'_> {
    fn content(&self) -> Content<'_> {
        Content {
            head: Head { code: consumer_id::DEFINITION.code, session: self.session, value: self.value },
            text: self.connection,
        }
    }
}

impl ProducerName<'_> {
    fn content(&self) -> Content<'_> {
        Content {
            head: Head { code: producer_id::DEFINITION.code, session: self.session, value: self.value },
            text: self.connection,
        }
    }
}

fn destination_content(destination: DestinationName<'_>) -> Content<'_> {
    Content { head: Head { code: destination_code(destination.0), session: 0, value: 0 }, text: destination.1 }
}
