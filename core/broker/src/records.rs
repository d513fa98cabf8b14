//! The durable records: kinds, and what their metas say. Byte by byte in docs/records.md.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub(crate) mod acknowledged;
pub(crate) mod branch;
pub(crate) mod commit;
pub(crate) mod items;
mod message_meta;
pub(crate) mod subscription;

use self::message_meta::TAGS;
use crate::kit::reader::{Reader, write_varint};
use postrider_journal::Bound;
use postrider_model::{Destination, DestinationId, DestinationKind, Sequence};

/// What a record is. Numbers below 128 are critical: a version that does not know one refuses the log (R8).
pub mod kind {
    /// A message, new or moved, or one that takes another's place.
    pub const MESSAGE: u8 = 9;
    /// Messages that are done with.
    pub const ACKNOWLEDGE: u8 = 2;
    /// A destination and its number.
    pub const DESTINATION: u8 = 3;
    /// A destination goes, with all that is in it.
    pub const DELETE: u8 = 4;
    /// Messages that may have been delivered (R15).
    pub const ALLOW: u8 = 5;
    /// Sequences that may be used (R9).
    pub const RESERVE: u8 = 6;
    /// What a producer has sent (R17).
    pub const MARK: u8 = 7;
    /// A client said goodbye: its marks go (R17).
    pub const FORGET: u8 = 8;
    /// A transaction is done, and what it acknowledges (R32).
    pub const COMMIT: u8 = 10;
    /// A branch of a distributed transaction is prepared, and what it acknowledges (R32).
    pub const PREPARED: u8 = 11;
    /// How a branch has ended (R43).
    pub const OUTCOME: u8 = 12;
    /// A durable subscription, which may be there instead of another.
    pub const SUBSCRIPTION: u8 = 13;
    /// Messages that may have been delivered, past others (R41).
    pub const NAMED: u8 = 15;
    /// How often messages were delivered that have come back (R50).
    pub const COUNT: u8 = 16;
    /// Nothing of a transaction is done: for who follows the log, as a start takes what is undecided for that.
    pub const ROLLED_BACK: u8 = 129;
}

/// Bytes of a meta that the journal takes.
pub const META_BYTES: usize = 60_000;

pub use self::branch::{Branch, OutcomeMeta, PreparedMeta, read_outcome, read_prepared, write_outcome, write_prepared};
pub use self::commit::{CommitMeta, Decided, read_commit, write_commit};
pub use self::message_meta::{
    Instead, MESSAGE_BYTES, MessageMeta, MetaError, PLACE_BYTES, Placement, TransactionTag, live_bytes, message_bytes,
    read_message, write_message,
};

pub use self::subscription::{SubscriptionMeta, read_subscription, write_subscription};

/// Numbers of destinations are smaller: what is above is left to those that are passed over after damage.
pub const DESTINATION_IDS: u32 = u32::MAX - (1 << 24);

/// Reads the number of a destination.
pub(crate) fn read_id(reader: &mut Reader<'_>) -> Option<DestinationId> {
    reader.u32().filter(|id| *id < DESTINATION_IDS).map(DestinationId)
}

/// What stands behind the head of a record: the rest of its meta, or, where the head says so, its body; the other one is empty.
pub(crate) fn meta_or_body<'a>(in_body: bool, rest: &'a [u8], body: &'a [u8]) -> Result<&'a [u8], MetaError> {
    match (in_body, rest, body) {
        (true, [], found) | (false, found, []) => Ok(found),
        _ => Err(MetaError::Malformed),
    }
}

/// Adds a run of acknowledged sequences of one destination.
pub fn write_acknowledged(buffer: &mut Vec<u8>, destination: DestinationId, sequences: &[u64]) {
    let Some(first) = sequences.first() else { return };
    let count = u32::try_from(sequences.len()).unwrap_or(u32::MAX);
    write_run(buffer, destination, count, *first);
    let mut before = *first;
    for sequence in sequences.iter().skip(1).take(count as usize - 1) {
        write_varint(buffer, zigzag(before, *sequence));
        before = *sequence;
    }
}

/// How a run of so many sequences begins.
fn write_run(buffer: &mut Vec<u8>, destination: DestinationId, count: u32, first: u64) {
    buffer.extend_from_slice(&destination.0.to_le_bytes());
    buffer.extend_from_slice(&count.to_le_bytes());
    buffer.extend_from_slice(&first.to_le_bytes());
}

/// From one sequence to the next, so that what is near is small.
fn zigzag(before: u64, next: u64) -> u64 {
    let difference = next.wrapping_sub(before).cast_signed();
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

fn unzigzag(zigzag: u64) -> i64 {
    (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed())
}

/// Bytes of one more acknowledged sequence, at most.
pub const ACKNOWLEDGED_BYTES: u64 = 10;

/// Bytes of a run's beginning.
pub const RUN_BYTES: u64 = 16;

/// An upper bound of the records that say that so many messages are done with.
pub(crate) fn acknowledgement_bound(count: u64) -> Bound {
    let bytes = count * (ACKNOWLEDGED_BYTES + RUN_BYTES);
    let records = u32::try_from(2 + bytes / 20_000).unwrap_or(u32::MAX);
    Bound { records, bytes }
}

/// Calls `visit` for each acknowledged sequence; none if the meta is malformed.
pub fn read_acknowledged(meta: &[u8], mut visit: impl FnMut(DestinationId, Sequence)) -> Option<()> {
    let mut reader = Reader(meta);
    while !reader.0.is_empty() {
        let destination = read_id(&mut reader)?;
        let count = reader.u32().filter(|count| *count > 0)?;
        let mut sequence = reader.u64()?;
        visit(destination, Sequence(sequence));
        for _ in 1..count {
            sequence = sequence.wrapping_add_signed(unzigzag(reader.varint()?));
            visit(destination, Sequence(sequence));
        }
    }
    Some(())
}

/// Adds a run of sequences of one destination, each with its deliveries.
pub fn write_counted(buffer: &mut Vec<u8>, destination: DestinationId, counted: &[(u64, u16)]) {
    let Some((first, _)) = counted.first() else { return };
    let count = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    write_run(buffer, destination, count, *first);
    let mut before = None;
    for (sequence, deliveries) in counted.iter().take(count as usize) {
        if let Some(before) = before.replace(*sequence) {
            write_varint(buffer, zigzag(before, *sequence));
        }
        write_varint(buffer, u64::from(*deliveries));
    }
}

/// Bytes of a sequence with its deliveries, at most.
pub(crate) const COUNTED_BYTES: u64 = ACKNOWLEDGED_BYTES + 3;

/// An upper bound of the records that say how often so many messages were delivered.
pub(crate) fn counted_bound(count: u64) -> Bound {
    let bytes = count * (COUNTED_BYTES + RUN_BYTES);
    let records = u32::try_from(2 + bytes / 20_000).unwrap_or(u32::MAX);
    Bound { records, bytes }
}

/// Calls `visit` for each sequence with its deliveries; none if the meta is malformed.
pub fn read_counted(meta: &[u8], mut visit: impl FnMut(DestinationId, Sequence, u16)) -> Option<()> {
    let mut reader = Reader(meta);
    let deliveries =
        |reader: &mut Reader<'_>| u16::try_from(reader.varint()?).ok().filter(|deliveries| *deliveries > 0);
    while !reader.0.is_empty() {
        let destination = read_id(&mut reader)?;
        let count = reader.u32().filter(|count| *count > 0)?;
        let mut sequence = reader.u64()?;
        visit(destination, Sequence(sequence), deliveries(&mut reader)?);
        for _ in 1..count {
            sequence = sequence.wrapping_add_signed(unzigzag(reader.varint()?));
            visit(destination, Sequence(sequence), deliveries(&mut reader)?);
        }
    }
    Some(())
}

/// Writes a destination's meta.
pub fn write_destination(buffer: &mut Vec<u8>, id: DestinationId, destination: &Destination) {
    buffer.clear();
    buffer.extend_from_slice(&id.0.to_le_bytes());
    buffer.push(destination.kind as u8);
    buffer.extend_from_slice(&destination.name);
}

/// Reads a destination's meta.
pub fn read_destination(meta: &[u8]) -> Option<(DestinationId, Destination)> {
    let mut reader = Reader(meta);
    let id = read_id(&mut reader)?;
    let kind = DestinationKind::from_number(reader.u8()?)?;
    Some((id, Destination::new(kind, reader.0)))
}

/// Writes an allowance's meta.
pub fn write_allow(buffer: &mut Vec<u8>, id: DestinationId, up_to: Sequence) {
    buffer.clear();
    buffer.extend_from_slice(&id.0.to_le_bytes());
    buffer.extend_from_slice(&up_to.0.to_le_bytes());
}

/// Reads an allowance's meta.
pub fn read_allow(meta: &[u8]) -> Option<(DestinationId, Sequence)> {
    let mut reader = Reader(meta);
    let allowance = (read_id(&mut reader)?, Sequence(reader.u64()?));
    reader.end(allowance)
}

/// Reads the meta of a deletion.
pub fn read_delete(meta: &[u8]) -> Option<DestinationId> {
    let mut reader = Reader(meta);
    let id = read_id(&mut reader)?;
    reader.end(id)
}

/// Reads the meta of a reservation.
pub fn read_reserve(meta: &[u8]) -> Option<Sequence> {
    let mut reader = Reader(meta);
    let up_to = reader.u64().filter(|up_to| *up_to < TAGS).map(Sequence)?;
    reader.end(up_to)
}

/// Bytes of a mark's meta: session, value, the number of runs, the runs, the connection's id.
pub fn mark_length(connection: &[u8], runs: usize) -> usize {
    8 + 8 + 2 + 16 * runs + connection.len()
}

/// Writes a mark's meta.
pub fn write_mark(buffer: &mut Vec<u8>, connection: &[u8], (session, value): (i64, i64), runs: &[(i64, i64)]) {
    buffer.clear();
    buffer.extend_from_slice(&session.to_le_bytes());
    buffer.extend_from_slice(&value.to_le_bytes());
    let count = u16::try_from(runs.len()).unwrap_or(u16::MAX);
    buffer.extend_from_slice(&count.to_le_bytes());
    for (first, last) in runs.iter().take(usize::from(count)) {
        buffer.extend_from_slice(&first.to_le_bytes());
        buffer.extend_from_slice(&last.to_le_bytes());
    }
    buffer.extend_from_slice(connection);
}

/// A mark as read: the connection's id, session and value of the producer, runs of stored sends.
pub type ReadMark<'a> = (&'a [u8], (i64, i64), Vec<(i64, i64)>);

/// Reads a mark's meta.
pub fn read_mark(meta: &[u8]) -> Option<ReadMark<'_>> {
    let mut reader = Reader(meta);
    let producer = (reader.i64()?, reader.i64()?);
    let mut runs = Vec::new();
    for _ in 0..reader.u16()? {
        runs.push((reader.i64()?, reader.i64()?));
    }
    Some((reader.0, producer, runs))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_have_these_bytes() {
        let mut bytes = Vec::new();
        write_acknowledged(&mut bytes, DestinationId(1), &[300, 301, 500, 499]);
        write_acknowledged(&mut bytes, DestinationId(2), &[5]);
        let golden = [
            &[1, 0, 0, 0, 4, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0, 2, 0x8E, 3, 1][..],
            &[2, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(bytes, golden);
        let mut read = Vec::new();
        assert_eq!(read_acknowledged(&bytes, |destination, sequence| read.push((destination.0, sequence.0))), Some(()));
        assert_eq!(read, [(1, 300), (1, 301), (1, 500), (1, 499), (2, 5)]);
        assert_eq!(read_acknowledged(&bytes[..19], |_, _| ()), None);
        assert_eq!(read_acknowledged(&[0; 16], |_, _| ()), None, "a run of none");
    }

    #[test]
    fn counts_have_these_bytes() {
        let mut bytes = Vec::new();
        write_counted(&mut bytes, DestinationId(1), &[(300, 2), (500, 300), (499, 1)]);
        write_counted(&mut bytes, DestinationId(2), &[(5, u16::MAX)]);
        let golden = [
            &[1, 0, 0, 0, 3, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0, 2, 0x90, 3, 0xAC, 2, 1, 1][..],
            &[2, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 3],
        ]
        .concat();
        assert_eq!(bytes, golden);
        let mut read = Vec::new();
        let visit =
            |destination: DestinationId, sequence: Sequence, count| read.push((destination.0, sequence.0, count));
        assert_eq!(read_counted(&bytes, visit), Some(()));
        assert_eq!(read, [(1, 300, 2), (1, 500, 300), (1, 499, 1), (2, 5, u16::MAX)]);
        for cut in [8, 16, 17, 18, 22, 41] {
            assert_eq!(read_counted(&bytes[..cut], |_, _, _| ()), None, "{cut}");
        }
        let none = [&golden[..16], &[0]].concat();
        assert_eq!(read_counted(&none, |_, _, _| ()), None, "of none nothing is said");
        let many = [&golden[23..39], &[0x80, 0x80, 4]].concat();
        assert_eq!(read_counted(&many, |_, _, _| ()), None, "beyond 65,535");
        assert!(golden.len() as u64 <= counted_bound(4).bytes);
    }

    #[test]
    fn the_small_ones_have_these_bytes() {
        let mut bytes = Vec::new();
        let queue = Destination::new(DestinationKind::TemporaryQueue, b"q");
        write_destination(&mut bytes, DestinationId(5), &queue);
        assert_eq!(bytes, [5, 0, 0, 0, 2, b'q']);
        assert_eq!(read_destination(&bytes), Some((DestinationId(5), queue)));
        write_allow(&mut bytes, DestinationId(5), Sequence(6));
        assert_eq!(bytes, [5, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read_allow(&bytes), Some((DestinationId(5), Sequence(6))));
        assert_eq!(read_delete(&bytes[..4]), Some(DestinationId(5)));
        assert_eq!(read_reserve(&bytes[4..]), Some(Sequence(6)));
        write_mark(&mut bytes, b"id", (1, -1), &[(2, 3)]);
        assert_eq!(bytes.len(), mark_length(b"id", 1));
        let golden =
            [&1i64.to_le_bytes()[..], &[0xFF; 8], &[1, 0], &2i64.to_le_bytes(), &3i64.to_le_bytes(), b"id"].concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_mark(&bytes), Some((&b"id"[..], (1, -1), vec![(2, 3)])));
    }

    #[test]
    fn a_rest_is_refused() {
        assert_eq!(read_allow(&[0; 13]), None);
        assert_eq!(read_delete(&[0; 5]), None);
        assert_eq!(read_reserve(&[0; 9]), None);
    }
}
