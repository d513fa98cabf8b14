//! Names with values: a message's properties as its record has them, read where they lie.
//!
//! ```text
//! map    count i32, then as many times: name, value; a count below zero says that there is no map
//! list   count i32, then as many values; a count below zero says that there is none
//! name   length u16, Modified UTF-8
//! value  tag u8, then
//!         0 null     nothing                8 float       IEEE 754, 4 bytes
//!         1 boolean  u8, 0 is false         9 string      length u16, Modified UTF-8
//!         2 byte     i8                    10 bytes       length i32, bytes
//!         3 char     u16, a UTF-16 unit    11 map         as above
//!         4 short    i16                   12 list        as above
//!         5 int      i32                   13 big string  length i32, Modified UTF-8
//!         6 long     i64
//!         7 double   IEEE 754, 8 bytes
//! ```
//!
//! Integers are big endian. The order of entries is kept, and means nothing; what stands behind the last entry is read by nobody.
//! Strings and names are as their sender has written them: nothing has looked whether they are Modified UTF-8. A map is stored as it
//! came, so its bytes may be anything: reading says what is wrong with them, at the entry where it is.
//!
//! Nothing is allocated, and an entry is looked at when the iteration comes to it. Nested maps and lists are stepped over once.

mod cursor;
mod map;
mod value;
mod writer;

pub use map::{Properties, Property, Whole};
pub use value::{List, Value, stream};
pub use writer::PropertiesWriter;

use std::fmt;

/// How deep maps and lists may be nested in each other.
pub const NESTING_LIMIT: usize = 127;

/// Tags of values; the numbers are stored.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const BYTE: u8 = 2;
    pub(super) const CHAR: u8 = 3;
    pub(super) const SHORT: u8 = 4;
    pub(super) const INT: u8 = 5;
    pub(super) const LONG: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const FLOAT: u8 = 8;
    pub(super) const STRING: u8 = 9;
    pub(super) const BYTES: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const LIST: u8 = 12;
    pub(super) const BIG_STRING: u8 = 13;
}

/// Why bytes are not properties, or not such as somebody is ready to look through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PropertyError {
    /// They end inside a value.
    Truncated,
    /// A length below zero, or a count of more than there are bytes for.
    BadLength(i32),
    /// A tag that no value has.
    UnknownTag(u8),
    /// Maps and lists are nested deeper than [`NESTING_LIMIT`].
    TooDeep,
    /// There are more values than were to be looked at.
    TooMany,
}

impl fmt::Display for PropertyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PropertyError::Truncated => write!(formatter, "they end inside a value"),
            PropertyError::BadLength(length) => write!(formatter, "the length {length} is not possible here"),
            PropertyError::UnknownTag(tag) => write!(formatter, "tag {tag} is not one of a value"),
            PropertyError::TooDeep => write!(formatter, "values are nested deeper than {NESTING_LIMIT}"),
            PropertyError::TooMany => write!(formatter, "there are too many values"),
        }
    }
}

impl std::error::Error for PropertyError {}

#[cfg(test)]
mod tests;
