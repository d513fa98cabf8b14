//! The durable records: what their metas say, byte by byte. Integers are little endian.
//!
//! ```text
//! message       bits u8 (1: producer's mark, 2: not where the record says), count u8,
//!               count * (destination u32, sequence - the record's u8, bits u8 (1: offered), redeliveries u16),
//!               with a mark: first i64 of the run of stored sends that ends with this one
//! acknowledge   runs of (destination u32, count u32, first u64, count - 1 zigzag varints to the one before)
//! destination   id u32, kind u8, name
//! delete        id u32
//! allow         destination u32, up to u64
//! reserve       up to u64
//! mark          session i64, value i64, count u16, count * (first i64, last i64), connection id
//! forget        connection id
//! ```

use postrider_model::{Destination, DestinationId, DestinationKind, Sequence};

/// What a record is. Numbers below 128 are critical: a version that does not know one refuses the log (R8).
pub mod kind {
    /// A message, new or moved.
    pub const MESSAGE: u8 = 1;
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
}

const HAS_MARK: u8 = 1;
const ELSEWHERE: u8 = 2;
const OFFERED: u8 = 1;

/// Bytes of a meta that the journal takes.
pub const META_BYTES: usize = 60_000;

/// One of the places of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// The queue.
    pub destination: DestinationId,
    /// The message's sequence there.
    pub sequence: Sequence,
    /// It may go to a consumer without an allowance (R15).
    pub offered: bool,
    /// Deliveries so far.
    pub redeliveries: u16,
}

/// What a message record says besides its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageMeta {
    /// The queue is not the destination that the record names.
    pub elsewhere: bool,
    /// First of the run of sends of its producer, without gap, that are stored, this one being the last (R17).
    pub run_from: Option<i64>,
}

/// Writes a message's meta and returns the sequence of its record: the first placement's.
pub fn write_message(buffer: &mut Vec<u8>, meta: MessageMeta, placements: &[Placement]) -> Sequence {
    let first = placements[0].sequence;
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    buffer.clear();
    buffer.extend_from_slice(&[
        bit(meta.run_from.is_some(), HAS_MARK) | bit(meta.elsewhere, ELSEWHERE),
        placements.len() as u8,
    ]);
    for placement in placements {
        let delta =
            u8::try_from(placement.sequence.0 - first.0).expect("the parts of a composite are numbered together");
        buffer.extend_from_slice(&placement.destination.0.to_le_bytes());
        buffer.extend_from_slice(&[delta, bit(placement.offered, OFFERED)]);
        buffer.extend_from_slice(&placement.redeliveries.to_le_bytes());
    }
    if let Some(from) = meta.run_from {
        buffer.extend_from_slice(&from.to_le_bytes());
    }
    first
}

/// Reads a message's meta; the placements are appended to the list.
pub fn read_message(meta: &[u8], sequence: Sequence, placements: &mut Vec<Placement>) -> Option<MessageMeta> {
    let mut reader = Reader(meta);
    let bits = reader.u8()?;
    for _ in 0..reader.u8()? {
        let destination = DestinationId(reader.u32()?);
        let sequence = Sequence(sequence.0 + u64::from(reader.u8()?));
        let offered = reader.u8()? & OFFERED != 0;
        placements.push(Placement { destination, sequence, offered, redeliveries: reader.u16()? });
    }
    let run_from = if bits & HAS_MARK != 0 { Some(reader.u64()?.cast_signed()) } else { None };
    Some(MessageMeta { elsewhere: bits & ELSEWHERE != 0, run_from })
}

/// Adds a run of acknowledged sequences of one destination.
pub fn write_acknowledged(buffer: &mut Vec<u8>, destination: DestinationId, sequences: &[u64]) {
    let Some(first) = sequences.first() else { return };
    buffer.extend_from_slice(&destination.0.to_le_bytes());
    buffer.extend_from_slice(&(sequences.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&first.to_le_bytes());
    for pair in sequences.windows(2) {
        let difference = pair[1].wrapping_sub(pair[0]).cast_signed();
        let mut zigzag = ((difference << 1) ^ (difference >> 63)).cast_unsigned();
        while zigzag >= 0x80 {
            buffer.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        buffer.push(zigzag as u8);
    }
}

/// Bytes of one more acknowledged sequence, at most.
pub const ACKNOWLEDGED_BYTES: u64 = 10;

/// Bytes of a run's beginning.
pub const RUN_BYTES: u64 = 16;

/// Calls `visit` for each acknowledged sequence; none if the meta is malformed.
pub fn read_acknowledged(meta: &[u8], mut visit: impl FnMut(DestinationId, Sequence)) -> Option<()> {
    let mut reader = Reader(meta);
    while !reader.0.is_empty() {
        let destination = DestinationId(reader.u32()?);
        let count = reader.u32()?;
        let mut sequence = reader.u64()?;
        visit(destination, Sequence(sequence));
        for _ in 1..count {
            let zigzag = reader.varint()?;
            let difference = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
            sequence = sequence.wrapping_add_signed(difference);
            visit(destination, Sequence(sequence));
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
    let id = DestinationId(reader.u32()?);
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
    Some((DestinationId(reader.u32()?), Sequence(reader.u64()?)))
}

/// Reads the meta of a deletion.
pub fn read_delete(meta: &[u8]) -> Option<DestinationId> {
    Reader(meta).u32().map(DestinationId)
}

/// Reads the meta of a reservation.
pub fn read_reserve(meta: &[u8]) -> Option<Sequence> {
    Reader(meta).u64().map(Sequence)
}

/// Writes a mark's meta.
pub fn write_mark(buffer: &mut Vec<u8>, connection: &[u8], (session, value): (i64, i64), runs: &[(i64, i64)]) {
    buffer.clear();
    buffer.extend_from_slice(&session.to_le_bytes());
    buffer.extend_from_slice(&value.to_le_bytes());
    buffer.extend_from_slice(&(runs.len() as u16).to_le_bytes());
    for (first, last) in runs {
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
    let producer = (reader.u64()?.cast_signed(), reader.u64()?.cast_signed());
    let mut runs = Vec::new();
    for _ in 0..reader.u16()? {
        runs.push((reader.u64()?.cast_signed(), reader.u64()?.cast_signed()));
    }
    Some((reader.0, producer, runs))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_these_bytes() {
        let placement = |destination, sequence, offered, redeliveries| Placement {
            destination: DestinationId(destination),
            sequence: Sequence(sequence),
            offered,
            redeliveries,
        };
        let placements = [placement(7, 1000, true, 0), placement(0x0102_0304, 1002, false, 3)];
        let meta = MessageMeta { elsewhere: true, run_from: Some(9) };
        let mut bytes = Vec::new();
        assert_eq!(write_message(&mut bytes, meta, &placements), Sequence(1000));
        let golden =
            [&[3, 2][..], &[7, 0, 0, 0, 0, 1, 0, 0], &[4, 3, 2, 1, 2, 0, 3, 0], &[9, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(bytes, golden);
        let mut read = Vec::new();
        assert_eq!(read_message(&bytes, Sequence(1000), &mut read), Some(meta));
        assert_eq!(read, placements);
        for cut in 0..bytes.len() {
            assert_eq!(read_message(&bytes[..cut], Sequence(1000), &mut Vec::new()), None, "{cut}");
        }
    }

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
        let golden =
            [&1i64.to_le_bytes()[..], &[0xFF; 8], &[1, 0], &2i64.to_le_bytes(), &3i64.to_le_bytes(), b"id"].concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_mark(&bytes), Some((&b"id"[..], (1, -1), vec![(2, 3)])));
    }
}
