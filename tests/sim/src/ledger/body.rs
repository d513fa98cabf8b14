//! Bodies that say what they are, so that an altered or invented one is recognized.

use crate::random::{Random, mix};

/// A message's number within the seed, from 1.
pub type MessageId = u64;

const MAGIC: &[u8; 8] = b"SIM-BODY";
const HEAD: usize = 20;

/// Lengths of bodies in a seed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Sizes {
    /// Mostly small, some larger than a segment.
    #[default]
    Mixed,
    /// Mostly such that the frame fills a block or two.
    Blocks,
    /// A few kilobytes.
    Medium,
    /// Hardly anything.
    Small,
    /// Tens of kilobytes.
    Large,
    /// Every fourth one comes in pieces: about a hundred kilobytes.
    Huge,
}

impl Sizes {
    /// Bytes of the largest body.
    pub fn largest(self) -> u64 {
        HEAD as u64
            + match self {
                Sizes::Mixed | Sizes::Blocks | Sizes::Huge => 190_000,
                Sizes::Small => 200,
                Sizes::Medium => 6_000,
                Sizes::Large => 30_000,
            }
    }

    /// Bytes of a message's body.
    pub fn length(self, id: MessageId) -> u64 {
        let lot = mix(id ^ 0xB0D1);
        HEAD as u64
            + match self {
                Sizes::Mixed => mixed(lot),
                Sizes::Blocks if lot.is_multiple_of(8) => mixed(lot >> 3),
                Sizes::Blocks => block(lot, 1 + u64::from(lot % 8 == 1)),
                Sizes::Small => (lot >> 16) % 200,
                Sizes::Medium => (lot >> 16) % 6_000,
                Sizes::Large => (lot >> 16) % 30_000,
                Sizes::Huge if lot.is_multiple_of(4) => 66_000 + (lot >> 16) % 120_000,
                Sizes::Huge => (lot >> 16) % 600,
            }
    }
}

fn mixed(lot: u64) -> u64 {
    match lot % 400 {
        0 => 70_000 + (lot >> 16) % 120_000,
        1..20 => (lot >> 16) % 9_000,
        20..60 => 0,
        60..100 => block(lot, 1 + (lot >> 16) % 2),
        _ => (lot >> 16) % 600,
    }
}

/// Its frame, 270 bytes more, fills so many blocks, often exactly: the next then begins where a group of another life may end (R1).
fn block(lot: u64, blocks: u64) -> u64 {
    4_096 * blocks - 284 - (lot >> 20) % 14
}

/// The body of a message: magic, id, length, and bytes that follow from the id.
pub fn body(id: MessageId, length: u64) -> Vec<u8> {
    let length = length as usize;
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    let mut random = Random::new(id);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The message whose body this is.
pub fn read_body(bytes: &[u8], sizes: Sizes) -> Result<MessageId, String> {
    if bytes.len() < HEAD || bytes[..8] != *MAGIC {
        return Err(format!("{} bytes that nobody sent", bytes.len()));
    }
    let mut id = [0; 8];
    id.copy_from_slice(&bytes[8..16]);
    let id = u64::from_le_bytes(id);
    if bytes == body(id, sizes.length(id)) { Ok(id) } else { Err(format!("the body of message {id} has changed")) }
}

/// The correlation id of a message.
pub fn correlation(id: MessageId) -> String {
    format!("correlation-{id}")
}

/// The type of a message: one of four.
pub fn type_of(id: MessageId) -> u64 {
    id / 10 % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_recognized_and_an_altered_one_is_not() {
        for id in 1..200 {
            let mut bytes = body(id, Sizes::Mixed.length(id));
            assert_eq!(read_body(&bytes, Sizes::Mixed), Ok(id));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert!(read_body(&bytes, Sizes::Mixed).is_err());
            for sizes in [Sizes::Mixed, Sizes::Blocks, Sizes::Small, Sizes::Medium, Sizes::Large, Sizes::Huge] {
                assert!(sizes.length(id) <= sizes.largest());
            }
        }
    }
}
