//! The record of a durable subscription. Byte by byte in docs/records.md.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

use crate::kit::reader::{Reader, write_varint};
use crate::records::message_meta::MetaError;
use crate::records::read_id;
use postrider_model::{Destination, DestinationId, DestinationKind};

/// Bits of the record.
mod bit {
    pub(super) const NO_LOCAL: u8 = 1;
    pub(super) const INSTEAD: u8 = 2;
    pub(super) const SELECTOR: u8 = 4;
    pub(super) const KNOWN: u8 = NO_LOCAL | INSTEAD | SELECTOR;
}

/// What a durable subscription is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionMeta {
    /// Whose it is.
    pub client: Box<[u8]>,
    /// What its client calls it.
    pub name: Box<[u8]>,
    /// Topics, and patterns of such.
    pub topics: Box<[Destination]>,
    /// The text of its selector; empty: it has none.
    pub selector: Box<[u8]>,
    /// It does not want what its own client sends.
    pub no_local: bool,
}

/// Writes the meta; `instead` is the number that its name had before.
pub fn write_subscription(
    buffer: &mut Vec<u8>,
    id: DestinationId,
    subscription: &SubscriptionMeta,
    instead: Option<DestinationId>,
) {
    let set = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    buffer.clear();
    buffer.push(
        set(subscription.no_local, bit::NO_LOCAL)
            | set(instead.is_some(), bit::INSTEAD)
            | set(!subscription.selector.is_empty(), bit::SELECTOR),
    );
    buffer.extend_from_slice(&id.0.to_le_bytes());
    if let Some(instead) = instead {
        buffer.extend_from_slice(&instead.0.to_le_bytes());
    }
    write_text(buffer, &subscription.client);
    write_text(buffer, &subscription.name);
    write_varint(buffer, subscription.topics.len() as u64);
    for topic in &subscription.topics {
        write_text(buffer, &topic.name);
    }
    if !subscription.selector.is_empty() {
        write_text(buffer, &subscription.selector);
    }
}

/// Bytes of the meta, at most.
pub(crate) fn subscription_bytes(subscription: &SubscriptionMeta) -> u64 {
    let topics: usize = subscription.topics.iter().map(|topic| 5 + topic.name.len()).sum();
    (32 + subscription.client.len() + subscription.name.len() + subscription.selector.len() + topics) as u64
}

fn write_text(buffer: &mut Vec<u8>, text: &[u8]) {
    write_varint(buffer, text.len() as u64);
    buffer.extend_from_slice(text);
}

/// Reads a subscription: its number, what it is, and the number that its name had before.
///
/// # Errors
/// It is malformed, or of a newer version.
pub fn read_subscription(meta: &[u8]) -> Result<(DestinationId, SubscriptionMeta, Option<DestinationId>), MetaError> {
    let mut reader = Reader(meta);
    let bits = reader.u8().ok_or(MetaError::Malformed)?;
    if bits & !bit::KNOWN != 0 {
        return Err(MetaError::Newer);
    }
    read_rest(&mut reader, bits).ok_or(MetaError::Malformed)
}

fn read_rest(reader: &mut Reader<'_>, bits: u8) -> Option<(DestinationId, SubscriptionMeta, Option<DestinationId>)> {
    let id = read_id(reader)?;
    let instead = if bits & bit::INSTEAD != 0 { Some(read_id(reader)?) } else { None };
    let (client, name) = (reader.counted()?.into(), reader.counted()?.into());
    let mut topics = Vec::new();
    // A count that lies takes no memory: each of them is there, or it ends.
    for _ in 0..reader.varint()? {
        topics.push(Destination::new(DestinationKind::Topic, reader.counted()?));
    }
    let selector = if bits & bit::SELECTOR != 0 { reader.counted()?.into() } else { Box::default() };
    if topics.is_empty() || instead == Some(id) {
        return None;
    }
    let no_local = bits & bit::NO_LOCAL != 0;
    let subscription = SubscriptionMeta { client, name, topics: topics.into(), selector, no_local };
    reader.end((id, subscription, instead))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_has_these_bytes() {
        let topic = |name: &[u8]| Destination::new(DestinationKind::Topic, name);
        let subscription = SubscriptionMeta {
            client: b"c".as_slice().into(),
            name: b"nm".as_slice().into(),
            topics: [topic(b"t"), topic(b"a.>")].into(),
            selector: b"x=1".as_slice().into(),
            no_local: true,
        };
        let mut bytes = Vec::new();
        write_subscription(&mut bytes, DestinationId(7), &subscription, Some(DestinationId(5)));
        let golden = b"\x07\x07\0\0\0\x05\0\0\0\x01c\x02nm\x02\x01t\x03a.>\x03x=1";
        assert_eq!(bytes, golden);
        let expected = (DestinationId(7), subscription.clone(), Some(DestinationId(5)));
        assert_eq!(read_subscription(&bytes), Ok(expected));
        for cut in 0..bytes.len() {
            assert_eq!(read_subscription(&bytes[..cut]), Err(MetaError::Malformed), "{cut}");
        }
        assert!(bytes.len() as u64 <= subscription_bytes(&subscription));
        bytes.push(0);
        assert_eq!(read_subscription(&bytes), Err(MetaError::Malformed), "a rest");
        bytes[0] |= 8;
        assert_eq!(read_subscription(&bytes), Err(MetaError::Newer));
        let plain = SubscriptionMeta { topics: [topic(b"t")].into(), ..SubscriptionMeta::default() };
        write_subscription(&mut bytes, DestinationId(7), &plain, None);
        assert_eq!(bytes, b"\0\x07\0\0\0\0\0\x01\x01t");
        assert_eq!(read_subscription(&bytes), Ok((DestinationId(7), plain, None)));
        assert_eq!(read_subscription(b"\0\x07\0\0\0\0\0\0"), Err(MetaError::Malformed), "no topic");
        assert_eq!(read_subscription(b"\0\x07\0\0\0\0\0\x02\0"), Err(MetaError::Malformed), "a count that lies");
        assert_eq!(read_subscription(b"\0\x07\0\0\0\0\0\x05\0\0\0"), Err(MetaError::Malformed), "likewise");
        assert_eq!(read_subscription(b"\x02\x07\0\0\0\x07\0\0\0\0\0\x01\x01t"), Err(MetaError::Malformed), "itself");
    }
}
