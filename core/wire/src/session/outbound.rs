//! A message on its way out: its record, read.

use postrider_model::record::Header;
use postrider_model::{DestinationKind, MessageView, Sequence};

use super::fields::{DestinationName, Fields, ProducerName};

/// A message on its way to a consumer.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The record.
    pub view: MessageView<'a>,
    /// Its sequence.
    pub sequence: Sequence,
    /// Earlier deliveries.
    pub redeliveries: u32,
    /// Where the message is, if not where the record says.
    pub destination: Option<(DestinationKind, &'a [u8])>,
    /// Milliseconds since 1970.
    pub unix_millis: i64,
}

impl<'a> Delivery<'a> {
    /// Reads the record.
    #[must_use]
    #[inline]
    pub fn outbound(self) -> Outbound<'a> {
        let header = self.view.header();
        let fields = Fields::of(&self.view);
        let sent_to = fields.destination.unwrap_or((DestinationKind::Queue, b""));
        let destination = self.destination.unwrap_or(sent_to);
        let moved_from = (destination != sent_to).then_some(sent_to);
        let (session, value) = (header.producer_session, header.producer_value);
        let producer = ProducerName { connection: fields.connection, session, value };
        let original_destination = fields.original_destination.or(moved_from);
        Outbound { delivery: self, header, fields, destination, original_destination, producer }
    }
}

/// A delivery whose record has been read: once, however many consumers it goes to.
pub struct Outbound<'a> {
    pub(crate) delivery: Delivery<'a>,
    pub(crate) header: Header,
    pub(crate) fields: Fields<'a>,
    /// Where the message is.
    pub(crate) destination: DestinationName<'a>,
    /// Where it was sent first.
    pub(crate) original_destination: Option<DestinationName<'a>>,
    /// The message id's producer.
    pub(crate) producer: ProducerName<'a>,
}

impl<'a> Outbound<'a> {
    /// The message's sequence.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.delivery.sequence
    }

    /// What the message is, for people: its id and where it is.
    #[must_use]
    #[cold]
    pub fn identity(&self) -> String {
        let ProducerName { connection, session, value } = self.producer;
        let (kind, name) = (self.destination.0, String::from_utf8_lossy(self.destination.1));
        let id = String::from_utf8_lossy(connection);
        format!("{id}:{session}:{value}:{} in {}{name}", self.header.producer_sequence, kind.prefix())
    }

    /// The record.
    pub(crate) fn view(&self) -> MessageView<'a> {
        self.delivery.view
    }

    /// Who sent it here.
    pub(crate) fn sender(&self) -> ProducerName<'a> {
        self.fields.sender.unwrap_or(self.producer)
    }

    /// Whether a flag of the record is set.
    pub(crate) fn has(&self, bit: u32) -> bool {
        self.header.flags & bit != 0
    }
}
