//! The meta of a message record: its places, and whose place it takes. Byte by byte in docs/records.md.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::kit::reader::{Reader, write_varint};
use crate::plant::planted;
use crate::records::read_id;
use postrider_model::{DestinationId, Sequence, limits};

/// What a record's bits say of it as a whole. Those that are not here are of a newer version (R38).
mod bit {
    pub(super) const MARK: u8 = 1;
    pub(super) const ELSEWHERE: u8 = 2;
    pub(super) const TAG: u8 = 4;
    pub(super) const INSTEAD: u8 = 8;
    pub(super) const KNOWN: u8 = MARK | ELSEWHERE | TAG | INSTEAD;
}

/// What a place's bits say.
mod place_bit {
    pub(super) const OFFERED: u8 = 1;
    pub(super) const COPIED: u8 = 4;
    pub(super) const SHARED: u8 = 8;
    pub(super) const UNTRIED: u8 = 16;
    pub(super) const KNOWN: u8 = OFFERED | COPIED | SHARED | UNTRIED;
}

/// Sequences from here on are tags of transactions.
pub(crate) const TAGS: u64 = 1 << 63;

/// What the records of one transaction are known by: a sequence of the broker's own, so that none is used twice (R48).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionTag(pub u64);

impl TransactionTag {
    /// The sequence of its records.
    #[must_use]
    pub fn sequence(self) -> Sequence {
        Sequence(self.0 | TAGS)
    }

    /// The tag that a record's sequence is, if it is one.
    #[must_use]
    pub fn of(sequence: u64) -> Option<TransactionTag> {
        (TAGS..TAGS | (1 << 62)).contains(&sequence).then_some(TransactionTag(sequence & !TAGS))
    }
}

/// Numbers of places within a transaction are below.
const NUMBERS: u64 = 1 << 32;

/// Bytes of a meta besides its places, at most: bits, count, mark, instead, and what the number of a tagged message's first place has more
/// than a distance.
pub const MESSAGE_BYTES: u64 = 1 + 2 + 8 + 12 + 3;

/// Bytes of a place, at most: destination, distance to the one before, bits, redeliveries. All places of a record are numbered
/// together, so the distance is below [`limits::PLACES`].
pub const PLACE_BYTES: u64 = 4 + 2 + 1 + 3;

const _: () = assert!(limits::PLACES < 1 << 14, "counts and distances take two bytes");
const _: () = assert!(MESSAGE_BYTES + PLACE_BYTES * limits::PLACES as u64 <= crate::records::META_BYTES as u64);

/// One of the places of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// The queue.
    pub destination: DestinationId,
    /// The message's sequence there.
    pub sequence: Sequence,
    /// It may go to a consumer without an allowance (R15).
    pub offered: bool,
    /// A dead letter with its message id is there already, of another place.
    pub copied: bool,
    /// A topic, and, with the same sequence, behind it each subscription that shares what is sent to that (R40).
    pub shared: bool,
    /// What the subscription's selector says of it is still to be found out (R52).
    pub untried: bool,
    /// Deliveries so far.
    pub redeliveries: u16,
}

/// A place that is over, and what is there of it: the same record says so (R34).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instead {
    /// The queue.
    pub destination: DestinationId,
    /// The message's sequence there.
    pub sequence: Sequence,
}

/// What a message record says besides its body and its places.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageMeta {
    /// The queue is not the destination that the record names.
    pub elsewhere: bool,
    /// First of the run of sends of its producer, without gap, that are stored, this one being the last (R17).
    pub run_from: Option<i64>,
    /// The place that it takes.
    pub instead: Option<Instead>,
    /// The transaction that it belongs to: sequences of its places are numbers within that.
    pub tag: Option<TransactionTag>,
}

/// Why a meta cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetaError {
    /// It says what this version does not know.
    Newer,
    /// It makes no sense.
    Malformed,
}

/// An upper bound of the bytes of a meta with so many places.
#[must_use]
pub fn message_bytes(places: u64) -> u64 {
    MESSAGE_BYTES + PLACE_BYTES * places
}

/// Bytes that a message of this length counts for while it lives in so many places: the first of them is in what each record counts for.
pub fn live_bytes(length: usize, places: usize) -> u64 {
    length as u64 + PLACE_BYTES * (places as u64).saturating_sub(1)
}

/// Writes a message's meta and returns the sequence of its record: the first placement's, or the tag.
pub fn write_message(buffer: &mut Vec<u8>, meta: MessageMeta, placements: &[Placement]) -> Sequence {
    if let Some(tag) = meta.tag {
        write_tagged(buffer, meta, placements);
        return tag.sequence();
    }
    let first = placements.first().map_or(Sequence(0), |placement| placement.sequence);
    let bits = choose(meta.run_from.is_some(), bit::MARK)
        | choose(meta.elsewhere, bit::ELSEWHERE)
        | choose(meta.instead.is_some(), bit::INSTEAD);
    buffer.clear();
    match placements {
        // Nearly every message: nine bytes that are known beforehand.
        [place] if place.redeliveries < 0x80 => {
            let [a, b, c, d] = place.destination.0.to_le_bytes();
            let [redeliveries, _] = place.redeliveries.to_le_bytes();
            buffer.extend_from_slice(&[bits, 1, a, b, c, d, 0, place_bits(place), redeliveries]);
        }
        // And nearly every one to a topic for one subscription.
        [topic, place] if topic.redeliveries | place.redeliveries < 0x80 && topic.sequence == place.sequence => {
            let [a, b, c, d] = topic.destination.0.to_le_bytes();
            let [e, f, g, h] = place.destination.0.to_le_bytes();
            let [[before, _], [redeliveries, _]] = [topic, place].map(|place| place.redeliveries.to_le_bytes());
            let (topic, place) = (place_bits(topic), place_bits(place));
            buffer.extend_from_slice(&[bits, 2, a, b, c, d, 0, topic, before, e, f, g, h, 0, place, redeliveries]);
        }
        _ => write_places(buffer, bits, placements, first),
    }
    if let Some(from) = meta.run_from {
        buffer.extend_from_slice(&from.to_le_bytes());
    }
    if let Some(instead) = meta.instead {
        buffer.extend_from_slice(&instead.destination.0.to_le_bytes());
        buffer.extend_from_slice(&instead.sequence.0.to_le_bytes());
    }
    first
}

/// A message that is undecided has neither mark nor the place of another.
fn write_tagged(buffer: &mut Vec<u8>, meta: MessageMeta, placements: &[Placement]) {
    buffer.clear();
    write_places(buffer, bit::TAG | choose(meta.elsewhere, bit::ELSEWHERE), placements, Sequence(0));
}

fn write_places(buffer: &mut Vec<u8>, bits: u8, placements: &[Placement], first: Sequence) {
    buffer.push(bits);
    let count = placements.len() as u64;
    write_varint(buffer, if planted("places-wrap") { count % 256 } else { count });
    let mut before = first;
    for placement in placements {
        let [a, b, c, d] = placement.destination.0.to_le_bytes();
        let distance = placement.sequence.0.wrapping_sub(before.0);
        before = placement.sequence;
        let small = |value: u64| u8::try_from(value).ok().filter(|value| *value < 0x80);
        if let Some((distance, redeliveries)) = small(distance).zip(small(placement.redeliveries.into())) {
            buffer.extend_from_slice(&[a, b, c, d, distance, place_bits(placement), redeliveries]);
            continue;
        }
        buffer.extend_from_slice(&[a, b, c, d]);
        write_varint(buffer, distance);
        buffer.push(place_bits(placement));
        write_varint(buffer, u64::from(placement.redeliveries));
    }
}

fn place_bits(placement: &Placement) -> u8 {
    choose(placement.offered, place_bit::OFFERED)
        | choose(placement.copied, place_bit::COPIED)
        | choose(placement.shared, place_bit::SHARED)
        | choose(placement.untried, place_bit::UNTRIED)
}

fn choose(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

/// Reads a message's meta; the placements are appended to the list.
///
/// # Errors
/// It is malformed, or of a newer version: it must not be taken for less than it says.
pub fn read_message(
    meta: &[u8],
    sequence: Sequence,
    placements: &mut Vec<Placement>,
) -> Result<MessageMeta, MetaError> {
    let mut reader = Reader(meta);
    let bits = reader.u8().ok_or(MetaError::Malformed)?;
    if bits & !bit::KNOWN != 0 {
        return Err(MetaError::Newer);
    }
    let count = reader.varint().ok_or(MetaError::Malformed)?;
    if count == 0 || count > limits::PLACES as u64 {
        return Err(MetaError::Malformed);
    }
    if bits & bit::TAG != 0 {
        return read_tagged(&mut reader, bits, sequence, count, placements);
    }
    if sequence.0 >= TAGS {
        return Err(MetaError::Newer);
    }
    let mut before = Placement { sequence, ..Placement::default() };
    // A topic that nobody has subscribed to has no place.
    let mut is_topic = false;
    for number in 0..count {
        let placement = read_placement(&mut reader, before.sequence)?;
        let is_subscription = number > 0 && placement.sequence == before.sequence;
        // The first is the record's own, the others follow it.
        let is_wrong = match number {
            0 => placement.sequence != sequence,
            _ if is_subscription => !before.shared || !placement.shared,
            _ => is_topic,
        };
        if is_wrong {
            return Err(MetaError::Malformed);
        }
        is_topic = placement.shared && !is_subscription;
        before = placement;
        placements.push(placement);
    }
    if is_topic {
        return Err(MetaError::Malformed);
    }
    read_rest(&mut reader, bits).ok_or(MetaError::Malformed)
}

fn read_tagged(
    reader: &mut Reader<'_>,
    bits: u8,
    sequence: Sequence,
    count: u64,
    placements: &mut Vec<Placement>,
) -> Result<MessageMeta, MetaError> {
    let tag = TransactionTag::of(sequence.0).ok_or(MetaError::Malformed)?;
    if bits & (bit::MARK | bit::INSTEAD) != 0 {
        return Err(MetaError::Newer);
    }
    let mut before = Placement::default();
    for number in 0..count {
        let placement = read_placement(reader, before.sequence)?;
        let is_again = number > 0 && placement.sequence == before.sequence;
        if (is_again && !(before.shared && placement.shared)) || placement.sequence.0 >= NUMBERS {
            return Err(MetaError::Malformed);
        }
        before = placement;
        placements.push(placement);
    }
    let meta = MessageMeta { elsewhere: bits & bit::ELSEWHERE != 0, tag: Some(tag), ..MessageMeta::default() };
    reader.end(meta).ok_or(MetaError::Malformed)
}

fn read_placement(reader: &mut Reader<'_>, before: Sequence) -> Result<Placement, MetaError> {
    let head = |reader: &mut Reader<'_>| Some((read_id(reader)?, reader.varint()?, reader.u8()?));
    let (destination, distance, bits) = head(reader).ok_or(MetaError::Malformed)?;
    if bits & !place_bit::KNOWN != 0 {
        return Err(MetaError::Newer);
    }
    if bits & (place_bit::UNTRIED | place_bit::SHARED) == place_bit::UNTRIED {
        return Err(MetaError::Malformed);
    }
    let redeliveries = reader.varint().and_then(|count| u16::try_from(count).ok()).ok_or(MetaError::Malformed)?;
    Ok(Placement {
        destination,
        sequence: before
            .0
            .checked_add(distance)
            .filter(|sequence| *sequence < TAGS)
            .map(Sequence)
            .ok_or(MetaError::Malformed)?,
        offered: bits & place_bit::OFFERED != 0,
        copied: bits & place_bit::COPIED != 0,
        shared: bits & place_bit::SHARED != 0,
        untried: bits & place_bit::UNTRIED != 0,
        redeliveries,
    })
}

fn read_rest(reader: &mut Reader<'_>, bits: u8) -> Option<MessageMeta> {
    let run_from = if bits & bit::MARK != 0 { Some(reader.i64()?) } else { None };
    let instead = if bits & bit::INSTEAD != 0 {
        Some(Instead { destination: read_id(reader)?, sequence: Sequence(reader.u64()?) })
    } else {
        None
    };
    reader.end(MessageMeta { elsewhere: bits & bit::ELSEWHERE != 0, run_from, instead, tag: None })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic")]
mod tests {
    use super::*;

    fn placement(destination: u32, sequence: u64) -> Placement {
        Placement { destination: DestinationId(destination), sequence: Sequence(sequence), ..Placement::default() }
    }

    fn read(bytes: &[u8], sequence: u64) -> Result<(MessageMeta, Vec<Placement>), MetaError> {
        let mut placements = Vec::new();
        read_message(bytes, Sequence(sequence), &mut placements).map(|meta| (meta, placements))
    }

    #[test]
    fn a_message_has_these_bytes() {
        let placements = [
            Placement { offered: true, ..placement(7, 1000) },
            Placement { copied: true, redeliveries: 300, ..placement(0x0102_0304, 1200) },
        ];
        let instead = Instead { destination: DestinationId(5), sequence: Sequence(8) };
        let meta = MessageMeta { elsewhere: true, run_from: Some(9), instead: Some(instead), tag: None };
        let mut bytes = Vec::new();
        assert_eq!(write_message(&mut bytes, meta, &placements), Sequence(1000));
        let golden = [
            &[1 | 2 | 8, 2][..],
            &[7, 0, 0, 0, 0, 1, 0],
            &[4, 3, 2, 1, 0xC8, 1, 4, 0xAC, 2],
            &[9, 0, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(bytes, golden);
        assert_eq!(read(&bytes, 1000), Ok((meta, placements.to_vec())));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut], 1000), Err(MetaError::Malformed), "{cut}");
        }
    }

    #[test]
    fn an_ordinary_one_has_nine_bytes() {
        let mut bytes = Vec::new();
        write_message(&mut bytes, MessageMeta::default(), &[placement(7, 1000)]);
        assert_eq!(bytes, [0, 1, 7, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read(&bytes, 1000), Ok((MessageMeta::default(), vec![placement(7, 1000)])));
    }

    #[test]
    fn counts_and_distances_have_no_edge_below_the_limit() {
        for count in [1, 44, 127, 128, 255, 256, 257, 300, limits::PLACES] {
            for distance in [1, 127, 128, 255, 256, 4_095] {
                let placements: Vec<Placement> =
                    (0..count as u64).map(|number| placement(number as u32, 1 + number * distance)).collect();
                let mut bytes = Vec::new();
                write_message(&mut bytes, MessageMeta::default(), &placements);
                assert!(bytes.len() as u64 <= message_bytes(count as u64), "{count} places {distance} apart");
                assert_eq!(read(&bytes, 1), Ok((MessageMeta::default(), placements)), "{count} {distance}");
            }
        }
    }

    #[test]
    fn places_follow_one_another() {
        let pair = |first: u64, second: u64| {
            let mut bytes = Vec::new();
            write_message(&mut bytes, MessageMeta::default(), &[placement(1, first), placement(2, second)]);
            read(&bytes, 5).map(|(_, placements)| placements.len())
        };
        assert_eq!((pair(5, 6), pair(5, 5), pair(5, 4)), (Ok(2), Err(MetaError::Malformed), Err(MetaError::Malformed)));
        let mut bytes = Vec::new();
        write_message(&mut bytes, MessageMeta::default(), &[placement(1, 5)]);
        bytes[6] = 1;
        assert_eq!(read(&bytes, 5), Err(MetaError::Malformed), "the first one has the record's own sequence");
    }

    #[test]
    fn subscriptions_share_the_sequence_of_their_topics_place() {
        let shared = |destination, sequence| Placement { shared: true, ..placement(destination, sequence) };
        let written = |placements: &[Placement]| {
            let mut bytes = Vec::new();
            write_message(&mut bytes, MessageMeta::default(), placements);
            bytes
        };
        let places =
            [placement(7, 1000), shared(8, 1001), shared(9, 1001), shared(4, 1001), shared(5, 1002), shared(9, 1002)];
        let bytes = written(&places);
        let golden = [
            &[0, 6][..],
            &[7, 0, 0, 0, 0, 0, 0],
            &[8, 0, 0, 0, 1, 8, 0],
            &[9, 0, 0, 0, 0, 8, 0],
            &[4, 0, 0, 0, 0, 8, 0],
            &[5, 0, 0, 0, 1, 8, 0],
            &[9, 0, 0, 0, 0, 8, 0],
        ]
        .concat();
        assert_eq!(bytes, golden);
        assert_eq!(read(&bytes, 1000), Ok((MessageMeta::default(), places.to_vec())));
        for wrong in [
            &[shared(8, 1)][..],
            &[shared(8, 1), shared(9, 2), shared(3, 2)],
            &[shared(8, 1), placement(9, 1)],
            &[placement(8, 1), shared(9, 1)],
        ] {
            assert_eq!(read(&written(wrong), 1), Err(MetaError::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn the_largest_is_within_its_bound() {
        let largest = |number: u64| Placement {
            offered: true,
            copied: true,
            redeliveries: u16::MAX,
            ..placement(u32::MAX, 1 + number * 4_095)
        };
        let placements: Vec<Placement> = (0..limits::PLACES as u64).map(largest).collect();
        let instead = Some(Instead { destination: DestinationId(u32::MAX), sequence: Sequence(u64::MAX) });
        let mut bytes = Vec::new();
        write_message(&mut bytes, MessageMeta { elsewhere: true, run_from: Some(-1), instead, tag: None }, &placements);
        assert!(bytes.len() as u64 <= message_bytes(limits::PLACES as u64), "{}", bytes.len());
    }

    #[test]
    fn what_a_newer_version_says_is_refused_and_so_is_what_makes_no_sense() {
        let mut ordinary = Vec::new();
        write_message(&mut ordinary, MessageMeta::default(), &[placement(7, 1000)]);
        let with = |at: usize, byte: u8| {
            let mut bytes = ordinary.clone();
            bytes[at] = byte;
            read(&bytes, 1000)
        };
        for bit in [16, 32, 64, 128] {
            assert_eq!(with(0, bit), Err(MetaError::Newer), "bit {bit} of the record");
        }
        for bit in [2, 32, 64, 128] {
            assert_eq!(with(7, bit), Err(MetaError::Newer), "bit {bit} of a place");
        }
        assert_eq!(with(7, 8), Err(MetaError::Malformed), "a topic without a subscription");
        assert_eq!(with(7, 16), Err(MetaError::Malformed), "a queue has no selector");
        assert_eq!(with(1, 0), Err(MetaError::Malformed), "no place");
        assert_eq!(with(1, 2), Err(MetaError::Malformed), "a place is missing");
        assert_eq!(read(&[&ordinary[..], &[0]].concat(), 1000), Err(MetaError::Malformed), "a rest");
        assert_eq!(read(&[0, 0x81, 0x20], 1), Err(MetaError::Malformed), "4,097 places");
        assert_eq!(read(&[0, 1, 7, 0, 0, 0, 1, 0, 0], TAGS - 1), Err(MetaError::Malformed), "beyond the last sequence");
        assert_eq!(read(&ordinary, TAGS), Err(MetaError::Newer), "a tag");
        assert_eq!(with(0, 4), Err(MetaError::Malformed), "tagged, without a tag");
    }

    #[test]
    fn an_undecided_message_has_its_transactions_tag_and_numbers_within_it() {
        let placements = [placement(7, 300), placement(8, 301)];
        let meta = MessageMeta { tag: Some(TransactionTag(5)), ..MessageMeta::default() };
        let mut bytes = Vec::new();
        let sequence = write_message(&mut bytes, meta, &placements);
        assert_eq!(sequence, Sequence(5 | TAGS));
        assert_eq!(bytes, [4, 2, 7, 0, 0, 0, 0xAC, 2, 0, 0, 8, 0, 0, 0, 1, 0, 0]);
        assert_eq!(read(&bytes, sequence.0), Ok((meta, placements.to_vec())));
        assert_eq!(read(&bytes, 5), Err(MetaError::Malformed), "no tag");
        assert_eq!(read(&bytes, 5 | TAGS | 1 << 62), Err(MetaError::Malformed), "no sequence of the broker's");
        for bits in [4 | 1, 4 | 8] {
            bytes[0] = bits;
            assert_eq!(read(&bytes, sequence.0), Err(MetaError::Newer), "with a mark, or instead of another");
        }
        let first = [placement(7, 0)];
        write_message(&mut bytes, meta, &first);
        assert_eq!(read(&bytes, sequence.0), Ok((meta, first.to_vec())));
        let far: Vec<Placement> =
            (0..limits::PLACES as u64).map(|number| placement(7, NUMBERS - 5_000 + number)).collect();
        write_message(&mut bytes, meta, &far);
        assert!(bytes.len() as u64 <= message_bytes(limits::PLACES as u64));
        assert_eq!(read(&bytes, sequence.0), Ok((meta, far)));
    }
}
