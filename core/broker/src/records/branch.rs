//! The records of branches of distributed transactions: that one is prepared, and how one has ended. Byte by byte in docs/records.md.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

use crate::kit::reader::{Reader, write_varint};
use crate::records::message_meta::MetaError;
use crate::records::{META_BYTES, meta_or_body};
use postrider_model::xid::XID_PART_BYTES;
use postrider_model::{DestinationId, Xid};

/// Bytes of a name, at most: format, lengths, parts.
const XID_BYTES: usize = 4 + 2 + 2 * XID_PART_BYTES;

/// Bytes of what says which branch it is, at most: name, and whose it was.
pub(crate) const BRANCH_BYTES: usize = XID_BYTES + 4;

/// What it acknowledges is the record's body: it has no place in the meta.
const IN_BODY: u8 = 1;

/// It is committed.
const COMMITTED: u8 = 1;

/// It says which subscriptions came since it has sent to topics.
const SINCE: u8 = 2;

/// It says whose client has sent that.
const CLIENT: u8 = 4;

/// Bytes of a prepared branch's record besides the client's id and what it acknowledges, at most: bits, branch, time, places, subscriptions
/// since, length of the id.
pub(crate) const PREPARED_BYTES: usize = 1 + BRANCH_BYTES + 8 + 10 + 4 + 10;

/// Bytes of an outcome's meta, at most: bits, branch, time.
pub(crate) const OUTCOME_BYTES: u64 = 1 + BRANCH_BYTES as u64 + 8;

/// Which branch, and whose it was: a checksum of the id of the connection that began it, by which that is known when it comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Branch {
    /// Its name.
    pub xid: Xid,
    /// Of the id of its connection.
    pub owner: u32,
}

/// What a prepared branch says besides what it acknowledges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreparedMeta {
    /// Which.
    pub branch: Branch,
    /// When, in milliseconds since 1970.
    pub unix_millis: i64,
    /// Places of what it has sent.
    pub places: u64,
    /// Subscriptions with this number and later ones came since it has sent something to a topic: they have it from its decision (R52).
    pub since: Option<DestinationId>,
    /// Id of the client that has sent it: subscriptions of that may want nothing of their own.
    pub client: Option<Box<[u8]>>,
}

impl PreparedMeta {
    /// Bytes of that.
    pub(crate) fn client_bytes(&self) -> usize {
        self.client.as_ref().map_or(0, |client| client.len())
    }
}

/// How a branch has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutcomeMeta {
    /// Which.
    pub branch: Branch,
    /// All of it is done, or nothing.
    pub committed: bool,
    /// When it was decided, in milliseconds since 1970.
    pub unix_millis: i64,
}

#[allow(clippy::cast_possible_truncation, reason = "a part of a name has 64 bytes at most")]
pub(crate) fn write_branch(buffer: &mut Vec<u8>, branch: &Branch) {
    let (xid, global, qualifier) = (&branch.xid, branch.xid.global(), branch.xid.qualifier());
    buffer.extend_from_slice(&xid.format().to_le_bytes());
    buffer.extend_from_slice(&[global.len() as u8, qualifier.len() as u8]);
    buffer.extend_from_slice(global);
    buffer.extend_from_slice(qualifier);
    buffer.extend_from_slice(&branch.owner.to_le_bytes());
}

pub(crate) fn read_branch(reader: &mut Reader<'_>) -> Option<Branch> {
    let format = reader.u32()?.cast_signed();
    let lengths = (usize::from(reader.u8()?), usize::from(reader.u8()?));
    let (global, qualifier) = (reader.stretch(lengths.0)?, reader.stretch(lengths.1)?);
    let xid = Xid::new(format, global, qualifier).ok()?;
    Some(Branch { xid, owner: reader.u32()? })
}

/// Writes the meta. None: all is in it; else the body, as it is too long.
pub fn write_prepared(buffer: &mut Vec<u8>, prepared: &PreparedMeta, acknowledged: &[u8]) -> Option<Vec<u8>> {
    let long = PREPARED_BYTES + prepared.client_bytes() + acknowledged.len() > META_BYTES;
    buffer.clear();
    let is_since = if prepared.since.is_some() { SINCE } else { 0 };
    let is_client = if prepared.client.is_some() { CLIENT } else { 0 };
    buffer.push(if long { IN_BODY } else { 0 } | is_since | is_client);
    write_branch(buffer, &prepared.branch);
    buffer.extend_from_slice(&prepared.unix_millis.to_le_bytes());
    write_varint(buffer, prepared.places);
    if let Some(since) = prepared.since {
        buffer.extend_from_slice(&since.0.to_le_bytes());
    }
    let mut body = Vec::new();
    let rest = if long { &mut body } else { buffer };
    if let Some(client) = &prepared.client {
        write_varint(rest, client.len() as u64);
        rest.extend_from_slice(client);
    }
    rest.extend_from_slice(acknowledged);
    long.then_some(body)
}

/// Reads that a branch is prepared: what it says, and what it acknowledges, as in a record of acknowledgements.
///
/// # Errors
/// It is malformed, or of a newer version.
pub fn read_prepared<'a>(meta: &'a [u8], body: &'a [u8]) -> Result<(PreparedMeta, &'a [u8]), MetaError> {
    let mut reader = Reader(meta);
    let bits = reader.u8().ok_or(MetaError::Malformed)?;
    if bits & !(IN_BODY | SINCE | CLIENT) != 0 {
        return Err(MetaError::Newer);
    }
    let mut head = || {
        let branch = read_branch(&mut reader)?;
        let (unix_millis, places) = (reader.i64()?, reader.varint()?);
        let since = if bits & SINCE == 0 { None } else { Some(DestinationId(reader.u32()?)) };
        Some(PreparedMeta { branch, unix_millis, places, since, client: None })
    };
    let prepared = head().ok_or(MetaError::Malformed)?;
    let mut rest = Reader(meta_or_body(bits & IN_BODY != 0, reader.0, body)?);
    let client = if bits & CLIENT == 0 { None } else { Some(rest.counted().ok_or(MetaError::Malformed)?.into()) };
    Ok((PreparedMeta { client, ..prepared }, rest.0))
}

/// Writes how a branch has ended.
pub fn write_outcome(buffer: &mut Vec<u8>, outcome: &OutcomeMeta) {
    buffer.clear();
    buffer.push(if outcome.committed { COMMITTED } else { 0 });
    write_branch(buffer, &outcome.branch);
    buffer.extend_from_slice(&outcome.unix_millis.to_le_bytes());
}

/// Reads it.
///
/// # Errors
/// It is malformed, or of a newer version.
pub fn read_outcome(meta: &[u8]) -> Result<OutcomeMeta, MetaError> {
    let mut reader = Reader(meta);
    let bits = reader.u8().ok_or(MetaError::Malformed)?;
    if bits & !COMMITTED != 0 {
        return Err(MetaError::Newer);
    }
    let branch = read_branch(&mut reader).ok_or(MetaError::Malformed)?;
    let unix_millis = reader.i64().ok_or(MetaError::Malformed)?;
    reader.end(OutcomeMeta { branch, committed: bits != 0, unix_millis }).ok_or(MetaError::Malformed)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn branch() -> Branch {
        Branch { xid: Xid::new(86, &[1, 2], &[3]).unwrap(), owner: 9 }
    }

    #[test]
    fn a_prepared_branch_has_these_bytes() {
        let prepared = PreparedMeta { branch: branch(), unix_millis: 2, places: 300, since: None, client: None };
        let mut bytes = Vec::new();
        assert_eq!(write_prepared(&mut bytes, &prepared, &[7, 8]), None);
        let golden =
            [&[0][..], &[86, 0, 0, 0, 2, 1, 1, 2, 3], &9u32.to_le_bytes(), &2i64.to_le_bytes(), &[0xAC, 2], &[7, 8]]
                .concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_prepared(&bytes, &[]), Ok((prepared.clone(), &[7, 8][..])));
        assert_eq!(read_prepared(&bytes, &[1]), Err(MetaError::Malformed), "a body that nobody has announced");
        assert_eq!(read_prepared(&bytes[..9], &[]), Err(MetaError::Malformed));
        bytes[0] = 8;
        assert_eq!(read_prepared(&bytes, &[]), Err(MetaError::Newer));
        let to_topics = PreparedMeta { since: Some(DestinationId(6)), ..prepared.clone() };
        write_prepared(&mut bytes, &to_topics, &[7, 8]);
        assert_eq!(bytes[0], 2);
        assert!(bytes.ends_with(&[0xAC, 2, 6, 0, 0, 0, 7, 8]));
        assert_eq!(read_prepared(&bytes, &[]), Ok((to_topics.clone(), &[7, 8][..])));
        let of_client = PreparedMeta { client: Some([5, 6][..].into()), ..to_topics };
        assert_eq!(write_prepared(&mut bytes, &of_client, &[7, 8]), None);
        assert_eq!(bytes[0], 6);
        assert!(bytes.ends_with(&[0xAC, 2, 6, 0, 0, 0, 2, 5, 6, 7, 8]));
        assert_eq!(read_prepared(&bytes, &[]), Ok((of_client.clone(), &[7, 8][..])));
        assert_eq!(read_prepared(&bytes[..bytes.len() - 3], &[]), Err(MetaError::Malformed));
        let long = vec![7; META_BYTES];
        assert_eq!(write_prepared(&mut bytes, &prepared, &long).as_ref(), Some(&long));
        assert_eq!(read_prepared(&bytes, &long), Ok((prepared, &long[..])));
        let body = write_prepared(&mut bytes, &of_client, &long).unwrap();
        assert_eq!(read_prepared(&bytes, &body), Ok((of_client.clone(), &long[..])));
        let of_client = PreparedMeta { client: Some(long.clone().into()), ..of_client };
        let body = write_prepared(&mut bytes, &of_client, &[7, 8]).unwrap();
        assert_eq!(read_prepared(&bytes, &body), Ok((of_client, &[7, 8][..])));
    }

    #[test]
    fn an_outcome_has_these_bytes() {
        let outcome = OutcomeMeta { branch: branch(), committed: true, unix_millis: 2 };
        let mut bytes = Vec::new();
        write_outcome(&mut bytes, &outcome);
        let golden = [&[1][..], &[86, 0, 0, 0, 2, 1, 1, 2, 3], &9u32.to_le_bytes(), &2i64.to_le_bytes()].concat();
        assert_eq!(bytes, golden);
        assert_eq!(read_outcome(&bytes), Ok(outcome));
        bytes.push(0);
        assert_eq!(read_outcome(&bytes), Err(MetaError::Malformed));
        bytes[0] = 4;
        assert_eq!(read_outcome(&bytes), Err(MetaError::Newer));
        bytes[0] = 1;
        bytes[5] = 65;
        assert_eq!(read_outcome(&bytes), Err(MetaError::Malformed), "a part that is longer than it may be");
    }

    #[test]
    fn the_longest_is_within_the_bound() {
        let xid = Xid::new(-1, &[1; 64], &[2; 64]).unwrap();
        let (branch, since) = (Branch { xid, owner: u32::MAX }, Some(DestinationId(u32::MAX)));
        let mut bytes = Vec::new();
        write_branch(&mut bytes, &branch);
        assert_eq!(bytes.len(), BRANCH_BYTES);
        let client = Some(Box::default());
        write_prepared(&mut bytes, &PreparedMeta { branch, unix_millis: 0, places: u64::MAX, since, client }, &[]);
        assert_eq!(bytes.len() + 9, PREPARED_BYTES, "of no length that takes ten bytes");
    }
}
