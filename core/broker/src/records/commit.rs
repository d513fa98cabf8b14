//! The record that decides a transaction: what it acknowledges is in it, as it is what buries that (R32). Byte by byte in docs/records.md.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

use crate::kit::reader::{Reader, write_varint};
use crate::records::message_meta::{MetaError, TAGS};
use crate::records::{META_BYTES, acknowledgement_bound};
use postrider_journal::Bound;
use postrider_model::Sequence;

/// What it acknowledges is the record's body: it has no place in the meta.
const IN_BODY: u8 = 1;

/// Bytes of the meta besides what it acknowledges, at most: bits, first sequence, places, time.
const HEAD_BYTES: usize = 1 + 8 + 10 + 8;

/// What a commit says besides what it acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitMeta {
    /// Its message's places have the sequences from here on, as they have numbers within the transaction.
    pub first: Sequence,
    /// How many sequences it takes.
    pub places: u64,
    /// When it was decided, in milliseconds since 1970.
    pub unix_millis: i64,
}

/// An upper bound of the record of a commit that acknowledges so many messages.
pub(crate) fn commit_bound(acknowledged: u64) -> Bound {
    let bytes = HEAD_BYTES as u64 + acknowledgement_bound(acknowledged).bytes;
    Bound { records: 1, bytes }
}

/// Writes the meta. True: what it acknowledges is to be the body, as it is too long.
pub fn write_commit(buffer: &mut Vec<u8>, commit: CommitMeta, acknowledged: &[u8]) -> bool {
    let in_body = HEAD_BYTES + acknowledged.len() > META_BYTES;
    buffer.clear();
    buffer.push(if in_body { IN_BODY } else { 0 });
    buffer.extend_from_slice(&commit.first.0.to_le_bytes());
    write_varint(buffer, commit.places);
    buffer.extend_from_slice(&commit.unix_millis.to_le_bytes());
    if !in_body {
        buffer.extend_from_slice(acknowledged);
    }
    in_body
}

/// Reads a commit: what it says, and what it acknowledges, as in a record of acknowledgements.
///
/// # Errors
/// It is malformed, or of a newer version.
pub fn read_commit<'a>(meta: &'a [u8], body: &'a [u8]) -> Result<(CommitMeta, &'a [u8]), MetaError> {
    let mut reader = Reader(meta);
    let bits = reader.u8().ok_or(MetaError::Malformed)?;
    if bits & !IN_BODY != 0 {
        return Err(MetaError::Newer);
    }
    let mut head = || {
        let (first, places) = (reader.u64()?, reader.varint()?);
        let unix_millis = reader.i64()?;
        first.checked_add(places).filter(|end| *end < TAGS)?;
        Some(CommitMeta { first: Sequence(first), places, unix_millis })
    };
    let commit = head().ok_or(MetaError::Malformed)?;
    match (bits & IN_BODY != 0, reader.0, body) {
        (true, [], body) => Ok((commit, body)),
        (false, rest, []) => Ok((commit, rest)),
        _ => Err(MetaError::Malformed),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const COMMIT: CommitMeta = CommitMeta { first: Sequence(1000), places: 300, unix_millis: 2 };

    #[test]
    fn a_commit_has_these_bytes() {
        let mut bytes = Vec::new();
        assert!(!write_commit(&mut bytes, COMMIT, &[9, 8]));
        let golden = [&[0][..], &1000u64.to_le_bytes(), &[0xAC, 2], &2i64.to_le_bytes(), &[9, 8]].concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_commit(&bytes, &[]), Ok((COMMIT, &[9, 8][..])));
        assert_eq!(read_commit(&bytes, &[1]), Err(MetaError::Malformed), "a body that nobody has announced");
        assert_eq!(read_commit(&bytes[..10], &[]), Err(MetaError::Malformed));
        bytes[0] = 2;
        assert_eq!(read_commit(&bytes, &[]), Err(MetaError::Newer));
    }

    #[test]
    fn what_is_too_long_is_the_body() {
        let (mut bytes, long) = (Vec::new(), vec![7; META_BYTES]);
        assert!(write_commit(&mut bytes, COMMIT, &long));
        assert_eq!(read_commit(&bytes, &long), Ok((COMMIT, &long[..])));
        bytes.push(0);
        assert_eq!(read_commit(&bytes, &long), Err(MetaError::Malformed));
    }
}
