//! A message as a selector sees it.

use std::io::Write;

use postrider_model::DestinationKind;
use postrider_model::record::{self, MessageView, Tag, flag};

use super::expression::Header;
use super::operand::Operand;
use super::text::Text;

/// Bytes of three numbers with a colon before each.
const NUMBERS: usize = 3 * 21;

/// A message.
pub(super) struct Message<'a> {
    view: &'a MessageView<'a>,
    header: record::Header,
    redeliveries: u32,
    /// What stands in its identifier behind the connection, and how much of it is filled.
    numbers: [u8; NUMBERS],
    filled: usize,
}

impl<'a> Message<'a> {
    pub(super) fn new(view: &'a MessageView<'a>, redeliveries: u32) -> Message<'a> {
        Message { view, header: view.header(), redeliveries, numbers: [0; NUMBERS], filled: 0 }
    }

    /// Makes its identifier ready, for a selector that reads it.
    pub(super) fn identify(&mut self) {
        let mut rest = self.numbers.as_mut_slice();
        let [session, value, sequence] =
            [self.header.producer_session, self.header.producer_value, self.header.producer_sequence];
        // There is room for three of 64 bits.
        let _ = write!(rest, ":{session}:{value}:{sequence}");
        self.filled = NUMBERS - rest.len();
    }

    /// A header; null if it is not set.
    pub(super) fn value_of(&self, header: Header) -> Operand<'_> {
        let field = |tag: Tag| Operand::of_text(self.view.field(tag));
        match header {
            Header::Destination => {
                let first = self.view.destination_field(Tag::OriginalDestination);
                destination(first.or_else(|| self.view.destination_field(Tag::Destination)))
            }
            Header::ReplyTo => destination(self.view.destination_field(Tag::ReplyTo)),
            Header::Type => field(Tag::Type),
            Header::DeliveryMode => Operand::Text(Text::new(match self.header.flags & flag::PERSISTENT {
                0 => b"NON_PERSISTENT",
                _ => b"PERSISTENT",
            })),
            Header::Priority => Operand::Int(self.header.priority.into()),
            Header::MessageId => self.identifier(),
            Header::Timestamp => Operand::Long(self.header.timestamp),
            Header::Correlation => field(Tag::Correlation),
            Header::Expiration => Operand::Long(self.header.expiration),
            Header::Redelivered => Operand::Boolean(self.redeliveries > 0),
            Header::DeliveryCount => Operand::Int(self.redeliveries.wrapping_add(1).cast_signed()),
            Header::Group => field(Tag::Group),
            Header::GroupSequence => Operand::Int(self.header.group_sequence),
            Header::BrokerInTime => Operand::Long(self.header.broker_in_time),
            // What a dispatch decides has not been decided.
            Header::BrokerOutTime => Operand::Long(0),
            Header::FirstOfGroup => Operand::Boolean(false),
            Header::BrokerPath if self.view.field(Tag::BrokerPath).is_none() => Operand::Text(Text::new(b"null")),
            // Their fields are bytes of whoever wrote them.
            Header::BrokerPath | Header::ProducerTransaction => Operand::Null,
        }
    }

    /// JMSXUserID, as far as it is a header.
    pub(super) fn user(&self) -> Operand<'_> {
        Operand::of_text(self.view.field(Tag::User))
    }

    fn identifier(&self) -> Operand<'_> {
        const BEGIN: &[u8] = b"ID:";
        let text = match (self.view.field(Tag::TextView), self.view.field(Tag::ProducerConnection)) {
            (Some(foreign), _) if foreign.starts_with(BEGIN) => Text::new(foreign),
            (Some(foreign), _) => Text { head: BEGIN, tail: foreign },
            (None, Some(connection)) => {
                Text { head: connection, tail: self.numbers.get(..self.filled).unwrap_or_default() }
            }
            (None, None) => return Operand::Null,
        };
        Operand::Text(text)
    }
}

fn destination(named: Option<(DestinationKind, &[u8])>) -> Operand<'_> {
    named.map_or(Operand::Null, |(kind, name)| Operand::Text(Text { head: kind.prefix().as_bytes(), tail: name }))
}
