//! What names a branch of a distributed transaction, as X/Open's XA has it. Whoever coordinates it chooses it.

use std::fmt;
use std::sync::Arc;

/// Bytes of a global transaction id, and of a branch qualifier, at most: XA's own bound.
pub const XID_PART_BYTES: usize = 64;

/// The name of a branch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid {
    format: i32,
    /// Bytes of the global transaction id, which come first.
    split: u8,
    bytes: Arc<[u8]>,
}

/// A part of it is longer than it may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XidTooLong {
    /// Which.
    pub part: &'static str,
    /// Its bytes.
    pub bytes: usize,
}

impl Xid {
    /// The name with these parts.
    ///
    /// # Errors
    /// One of them is longer than [`XID_PART_BYTES`].
    pub fn new(format: i32, global: &[u8], qualifier: &[u8]) -> Result<Xid, XidTooLong> {
        let too_long = |part, bytes: &[u8]| XidTooLong { part, bytes: bytes.len() };
        let split = u8::try_from(global.len()).ok().filter(|split| usize::from(*split) <= XID_PART_BYTES);
        let split = split.ok_or_else(|| too_long("global transaction id", global))?;
        if qualifier.len() > XID_PART_BYTES {
            return Err(too_long("branch qualifier", qualifier));
        }
        Ok(Xid { format, split, bytes: [global, qualifier].concat().into() })
    }

    /// The number that says how the others are to be read; nobody here reads them.
    #[must_use]
    pub fn format(&self) -> i32 {
        self.format
    }

    /// The distributed transaction.
    #[must_use]
    pub fn global(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.split)).unwrap_or_default()
    }

    /// Which of its branches.
    #[must_use]
    pub fn qualifier(&self) -> &[u8] {
        self.bytes.get(usize::from(self.split)..).unwrap_or_default()
    }
}

impl fmt::Display for XidTooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let XidTooLong { part, bytes } = self;
        write!(formatter, "its {part} has {bytes} bytes, and {XID_PART_BYTES} is the limit: give it a shorter one")
    }
}

impl std::error::Error for XidTooLong {}

/// As ActiveMQ's clients print it: each byte as Java prints a number of 32 bits.
impl fmt::Display for Xid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |formatter: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(formatter, "{:x}", i32::from(byte.cast_signed())))
        };
        write!(formatter, "XID:[{},globalId=", self.format)?;
        write(formatter, self.global())?;
        formatter.write_str(",branchId=")?;
        write(formatter, self.qualifier())?;
        formatter.write_str("]")
    }
}

impl fmt::Debug for Xid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_its_parts_and_no_longer_ones() {
        let xid = Xid::new(-1, b"global", b"").unwrap();
        assert_eq!((xid.format(), xid.global(), xid.qualifier()), (-1, &b"global"[..], &b""[..]));
        assert!(Xid::new(0, &[1; 64], &[2; 64]).is_ok());
        assert_eq!(Xid::new(0, &[1; 65], &[]), Err(XidTooLong { part: "global transaction id", bytes: 65 }));
        assert_eq!(Xid::new(0, &[1; 300], &[]), Err(XidTooLong { part: "global transaction id", bytes: 300 }));
        assert_eq!(Xid::new(0, &[], &[2; 65]), Err(XidTooLong { part: "branch qualifier", bytes: 65 }));
        assert_ne!(Xid::new(0, b"ab", b"c"), Xid::new(0, b"a", b"bc"));
    }

    #[test]
    fn it_is_printed_as_by_activemq() {
        let xid = Xid::new(86, &[1, 2, 3, 0x63], &[0xC6]).unwrap();
        assert_eq!(xid.to_string(), "XID:[86,globalId=12363,branchId=ffffffc6]");
    }
}
