//! The record that decides a transaction: what it acknowledges is in it, as it is what buries that (R32). Byte by byte in docs/records.md.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

use crate::kit::reader::{Reader, write_varint};
use crate::records::branch::{BRANCH_BYTES, Branch, OutcomeMeta, read_branch, write_branch};
use crate::records::message_meta::{MetaError, TAGS};
use crate::records::{META_BYTES, acknowledgement_bound, meta_or_body};
use postrider_journal::Bound;
use postrider_model::Sequence;

/// What it acknowledges is the record's body: it has no place in the meta.
const IN_BODY: u8 = 1;

/// It is a branch of a distributed transaction, whose outcome it is (R43).
const BRANCH: u8 = 2;

/// Before that stand places at subscriptions.
const PLACES: u8 = 4;

/// And such of which it is not known what the selectors say.
const UNTRIED: u8 = 8;

/// Bytes of the meta besides what it acknowledges, at most: bits, first sequence, places, time, branch.
pub(crate) const HEAD_BYTES: usize = 1 + 8 + 10 + 8 + BRANCH_BYTES;

/// Bytes of the length of places, at most.
const LENGTH_BYTES: usize = 10;

/// What a commit says besides what it acknowledges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitMeta {
    /// Its message's places have the sequences from here on, as they have numbers within the transaction.
    pub first: Sequence,
    /// How many sequences it takes.
    pub places: u64,
    /// When it was decided, in milliseconds since 1970.
    pub unix_millis: i64,
    /// The branch that it is, if it is one.
    pub branch: Option<Branch>,
}

impl CommitMeta {
    /// The outcome of its branch, if it is one.
    pub(crate) fn outcome(&self) -> Option<OutcomeMeta> {
        let branch = self.branch.clone()?;
        Some(OutcomeMeta { branch, committed: true, unix_millis: self.unix_millis })
    }
}

/// An upper bound of the record of a commit that acknowledges so many messages.
pub(crate) fn commit_bound(acknowledged: u64) -> Bound {
    let bytes = HEAD_BYTES as u64 + acknowledgement_bound(acknowledged).bytes;
    Bound { records: 1, bytes }
}

/// What so many bytes of places make it longer.
pub(crate) fn late_bound(places: u64) -> Bound {
    Bound { records: 0, bytes: if places == 0 { 0 } else { 2 * LENGTH_BYTES as u64 + places } }
}

/// What a commit says of places, as a record of acknowledgements does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Decided<'a> {
    /// Places of its messages at subscriptions that came since they were sent (R52).
    pub placed: &'a [u8],
    /// The same, where it is still to be found out what their selectors say.
    pub untried: &'a [u8],
    /// What it acknowledges (R32).
    pub acknowledged: &'a [u8],
}

/// Writes the meta. None: all is in it; else the body, as it is too long.
pub fn write_commit(buffer: &mut Vec<u8>, commit: &CommitMeta, decided: Decided<'_>) -> Option<Vec<u8>> {
    let Decided { placed, untried, acknowledged } = decided;
    let long = HEAD_BYTES + 2 * LENGTH_BYTES + placed.len() + untried.len() + acknowledged.len() > META_BYTES;
    buffer.clear();
    let bit = |runs: &[u8], bit: u8| if runs.is_empty() { 0 } else { bit };
    let is_branch = if commit.branch.is_some() { BRANCH } else { 0 };
    buffer.push(if long { IN_BODY } else { 0 } | bit(placed, PLACES) | bit(untried, UNTRIED) | is_branch);
    buffer.extend_from_slice(&commit.first.0.to_le_bytes());
    write_varint(buffer, commit.places);
    buffer.extend_from_slice(&commit.unix_millis.to_le_bytes());
    if let Some(branch) = &commit.branch {
        write_branch(buffer, branch);
    }
    let mut body = Vec::new();
    let rest = if long { &mut body } else { buffer };
    for runs in [placed, untried].into_iter().filter(|runs| !runs.is_empty()) {
        write_varint(rest, runs.len() as u64);
        rest.extend_from_slice(runs);
    }
    rest.extend_from_slice(acknowledged);
    long.then_some(body)
}

/// Reads a commit: what it says, and of which places.
///
/// # Errors
/// It is malformed, or of a newer version.
pub fn read_commit<'a>(meta: &'a [u8], body: &'a [u8]) -> Result<(CommitMeta, Decided<'a>), MetaError> {
    let mut reader = Reader(meta);
    let bits = reader.u8().ok_or(MetaError::Malformed)?;
    if bits & !(IN_BODY | BRANCH | PLACES | UNTRIED) != 0 {
        return Err(MetaError::Newer);
    }
    let mut head = || {
        let (first, places) = (reader.u64()?, reader.varint()?);
        let unix_millis = reader.i64()?;
        first.checked_add(places).filter(|end| *end < TAGS)?;
        let branch = if bits & BRANCH == 0 { None } else { Some(read_branch(&mut reader)?) };
        Some(CommitMeta { first: Sequence(first), places, unix_millis, branch })
    };
    let commit = head().ok_or(MetaError::Malformed)?;
    let mut reader = Reader(meta_or_body(bits & IN_BODY != 0, reader.0, body)?);
    let mut runs = |bit: u8| {
        if bits & bit == 0 {
            return Some(&[][..]);
        }
        reader.counted().filter(|runs| !runs.is_empty())
    };
    let (placed, untried) = runs(PLACES).zip(runs(UNTRIED)).ok_or(MetaError::Malformed)?;
    Ok((commit, Decided { placed, untried, acknowledged: reader.0 }))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const COMMIT: CommitMeta = CommitMeta { first: Sequence(1000), places: 300, unix_millis: 2, branch: None };

    #[test]
    fn a_commit_has_these_bytes() {
        let mut bytes = Vec::new();
        let ended = Decided { acknowledged: &[9, 8], ..Decided::default() };
        assert_eq!(write_commit(&mut bytes, &COMMIT, ended), None);
        let golden = [&[0][..], &1000u64.to_le_bytes(), &[0xAC, 2], &2i64.to_le_bytes(), &[9, 8]].concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_commit(&bytes, &[]), Ok((COMMIT, ended)));
        assert_eq!(read_commit(&bytes, &[1]), Err(MetaError::Malformed), "a body that nobody has announced");
        assert_eq!(read_commit(&bytes[..10], &[]), Err(MetaError::Malformed));
        bytes[0] = 16;
        assert_eq!(read_commit(&bytes, &[]), Err(MetaError::Newer));
        let placed = Decided { placed: &[5, 6, 7], acknowledged: &[9], ..Decided::default() };
        assert_eq!(write_commit(&mut bytes, &COMMIT, placed), None);
        let golden = [&[4][..], &1000u64.to_le_bytes(), &[0xAC, 2], &2i64.to_le_bytes(), &[3, 5, 6, 7, 9]].concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_commit(&bytes, &[]), Ok((COMMIT, placed)));
        assert_eq!(read_commit(&bytes[..bytes.len() - 2], &[]), Err(MetaError::Malformed));
    }

    #[test]
    fn a_branch_stands_behind_the_time() {
        let mut bytes = Vec::new();
        let branch = Branch { xid: postrider_model::Xid::new(86, &[1, 2], &[3]).unwrap(), owner: 9 };
        let commit = CommitMeta { branch: Some(branch), ..COMMIT };
        let ended = Decided { acknowledged: &[9, 8], ..Decided::default() };
        assert_eq!(write_commit(&mut bytes, &commit, ended), None);
        let head = [&[2][..], &1000u64.to_le_bytes(), &[0xAC, 2], &2i64.to_le_bytes()].concat();
        let golden = [&head[..], &[86, 0, 0, 0, 2, 1, 1, 2, 3], &9u32.to_le_bytes(), &[9, 8]].concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_commit(&bytes, &[]), Ok((commit, ended)));
        assert_eq!(read_commit(&bytes[..24], &[]), Err(MetaError::Malformed));
    }

    #[test]
    fn what_is_too_long_is_the_body() {
        let (mut bytes, long) = (Vec::new(), vec![7; META_BYTES]);
        let ended = Decided { acknowledged: &long, ..Decided::default() };
        assert_eq!(write_commit(&mut bytes, &COMMIT, ended).as_ref(), Some(&long));
        assert_eq!(read_commit(&bytes, &long), Ok((COMMIT, ended)));
        bytes.push(0);
        assert_eq!(read_commit(&bytes, &long), Err(MetaError::Malformed));
        let placed = Decided { placed: &long, untried: &[2, 3], acknowledged: &[1] };
        let body = write_commit(&mut bytes, &COMMIT, placed).unwrap();
        assert_eq!(read_commit(&bytes, &body), Ok((COMMIT, placed)));
    }
}
