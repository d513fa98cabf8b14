//! The tagged fields of a record, found in one pass.

use postrider_model::DestinationKind;
use postrider_model::record::{MessageView, Tag};

/// A ProducerId, by its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProducerName<'a> {
    pub connection: &'a [u8],
    pub session: i64,
    pub value: i64,
}

/// A destination, by its parts.
pub(crate) type DestinationName<'a> = (DestinationKind, &'a [u8]);

/// What a record holds besides its fixed part.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Fields<'a> {
    /// Connection of the message id's producer.
    pub connection: &'a [u8],
    pub destination: Option<DestinationName<'a>>,
    pub original_destination: Option<DestinationName<'a>>,
    pub correlation: Option<&'a [u8]>,
    pub message_type: Option<&'a [u8]>,
    pub group: Option<&'a [u8]>,
    pub reply_to: Option<DestinationName<'a>>,
    pub user: Option<&'a [u8]>,
    pub sender: Option<ProducerName<'a>>,
    pub text_view: Option<&'a [u8]>,
    pub blob_url: Option<&'a [u8]>,
    pub blob_mime: Option<&'a [u8]>,
    pub arrival: i64,
    /// There are structures that only the table-driven codec writes.
    pub has_rare: bool,
}

impl<'a> Fields<'a> {
    /// The fields of a record. What a later version may have added is passed over.
    pub(crate) fn of(view: &MessageView<'a>) -> Fields<'a> {
        let mut fields = Fields::default();
        for (tag, bytes) in view.fields() {
            fields.take(tag, bytes);
        }
        fields
    }

    /// Whether a message has none of the optional fields of a frame; those of a blob's are not looked at.
    #[inline]
    pub(crate) fn are_plain(&self) -> bool {
        let strings = [self.correlation, self.message_type, self.group, self.user, self.text_view];
        strings.iter().all(Option::is_none) && self.reply_to.is_none()
    }

    #[inline]
    fn take(&mut self, tag: u8, bytes: &'a [u8]) {
        const RARE: std::ops::RangeInclusive<u8> = Tag::Transaction as u8..=Tag::TargetConsumer as u8;
        match tag {
            tag if tag == Tag::ProducerConnection as u8 => self.connection = bytes,
            tag if tag == Tag::Destination as u8 => self.destination = destination(bytes),
            tag if tag == Tag::OriginalDestination as u8 => self.original_destination = destination(bytes),
            tag if tag == Tag::Correlation as u8 => self.correlation = Some(bytes),
            tag if tag == Tag::Type as u8 => self.message_type = Some(bytes),
            tag if tag == Tag::Group as u8 => self.group = Some(bytes),
            tag if tag == Tag::ReplyTo as u8 => self.reply_to = destination(bytes),
            tag if tag == Tag::User as u8 => self.user = Some(bytes),
            tag if tag == Tag::Sender as u8 => self.sender = producer(bytes),
            tag if tag == Tag::TextView as u8 => self.text_view = Some(bytes),
            tag if tag == Tag::BlobUrl as u8 => self.blob_url = Some(bytes),
            tag if tag == Tag::BlobMime as u8 => self.blob_mime = Some(bytes),
            tag if tag == Tag::Arrival as u8 => self.arrival = long(bytes).map_or(0, |(value, _)| value),
            tag => self.has_rare |= RARE.contains(&tag) || tag == Tag::Advisory as u8,
        }
    }
}

fn destination(bytes: &[u8]) -> Option<DestinationName<'_>> {
    let (kind, name) = bytes.split_first()?;
    Some((DestinationKind::from_number(*kind)?, name))
}

fn producer(bytes: &[u8]) -> Option<ProducerName<'_>> {
    let (session, bytes) = long(bytes)?;
    let (value, connection) = long(bytes)?;
    Some(ProducerName { connection, session, value })
}

fn long(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((i64::from_le_bytes(*head), rest))
}
