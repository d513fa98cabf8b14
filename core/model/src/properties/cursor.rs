//! Where reading has come to.

use super::value::List;
use super::{NESTING_LIMIT, Properties, PropertyError, Value, tag};

/// The least bytes of an entry: an empty name and a null.
const LEAST_ENTRY: usize = 3;

/// A nested map or list: what is left of it.
#[derive(Clone, Copy)]
struct Open {
    left: u32,
    is_map: bool,
}

/// The bytes that are left, and how many values of them may still be looked at.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    values: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        // More than bytes of a length of 31 bits can hold.
        Cursor::within(bytes, u32::MAX)
    }

    /// For no more than so many values, nested ones included.
    pub(super) fn within(bytes: &'a [u8], values: u32) -> Cursor<'a> {
        Cursor { bytes, values }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// What was read since `start` was the rest.
    pub(super) fn taken_since(&self, start: &'a [u8]) -> &'a [u8] {
        start.get(..start.len() - self.bytes.len()).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PropertyError> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or(PropertyError::Truncated)?;
        self.bytes = tail;
        Ok(head)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], PropertyError> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(PropertyError::Truncated)?;
        self.bytes = tail;
        Ok(*head)
    }

    fn int(&mut self) -> Result<i32, PropertyError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn short_bytes(&mut self) -> Result<&'a [u8], PropertyError> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn long_bytes(&mut self) -> Result<&'a [u8], PropertyError> {
        let length = self.int()?;
        self.take(usize::try_from(length).map_err(|_| PropertyError::BadLength(length))?)
    }

    /// A count of things of at least so many bytes each; one below zero reads as 0.
    fn count(&mut self, least: usize) -> Result<u32, PropertyError> {
        let count = self.int()?;
        let number = u32::try_from(count).unwrap_or(0);
        let fits = usize::try_from(number).is_ok_and(|number| number <= self.bytes.len() / least);
        if fits { Ok(number) } else { Err(PropertyError::BadLength(count)) }
    }

    pub(super) fn map_count(&mut self) -> Result<u32, PropertyError> {
        self.count(LEAST_ENTRY)
    }

    fn list_count(&mut self) -> Result<u32, PropertyError> {
        self.count(1)
    }

    pub(super) fn name(&mut self) -> Result<&'a [u8], PropertyError> {
        self.short_bytes()
    }

    /// The tag of a value, which counts as looked at.
    fn tag(&mut self) -> Result<u8, PropertyError> {
        self.values = self.values.checked_sub(1).ok_or(PropertyError::TooMany)?;
        Ok(self.array::<1>()?[0])
    }

    /// A value with its tag.
    pub(super) fn value(&mut self) -> Result<Value<'a>, PropertyError> {
        Ok(match self.tag()? {
            tag::NULL => Value::Null,
            tag::BOOLEAN => Value::Boolean(self.array::<1>()? != [0]),
            tag::BYTE => Value::Byte(i8::from_be_bytes(self.array()?)),
            tag::CHAR => Value::Char(u16::from_be_bytes(self.array()?)),
            tag::SHORT => Value::Short(i16::from_be_bytes(self.array()?)),
            tag::INT => Value::Int(self.int()?),
            tag::LONG => Value::Long(i64::from_be_bytes(self.array()?)),
            tag::DOUBLE => Value::Double(f64::from_be_bytes(self.array()?)),
            tag::FLOAT => Value::Float(f32::from_be_bytes(self.array()?)),
            tag::STRING => Value::String(self.short_bytes()?),
            tag::BIG_STRING => Value::String(self.long_bytes()?),
            tag::BYTES => Value::Bytes(self.long_bytes()?),
            tag::MAP => {
                let count = self.map_count()?;
                Value::Map(Properties { count, entries: self.inside(Open { left: count, is_map: true })? })
            }
            tag::LIST => {
                let count = self.list_count()?;
                Value::List(List { count, values: self.inside(Open { left: count, is_map: false })? })
            }
            other => return Err(PropertyError::UnknownTag(other)),
        })
    }

    /// Steps over one value with its tag.
    pub(super) fn skip(&mut self) -> Result<(), PropertyError> {
        match self.skip_head()? {
            None => Ok(()),
            Some(open) => self.inside(open).map(|_| ()),
        }
    }

    /// As [`Cursor::skip`]; of a map or list it is the count that is stepped over.
    fn skip_head(&mut self) -> Result<Option<Open>, PropertyError> {
        let length = match self.tag()? {
            tag::NULL => 0,
            tag::BOOLEAN | tag::BYTE => 1,
            tag::CHAR | tag::SHORT => 2,
            tag::INT | tag::FLOAT => 4,
            tag::LONG | tag::DOUBLE => 8,
            tag::STRING => return self.short_bytes().map(|_| None),
            tag::BYTES | tag::BIG_STRING => return self.long_bytes().map(|_| None),
            tag::MAP => return Ok(Some(Open { left: self.map_count()?, is_map: true })),
            tag::LIST => return Ok(Some(Open { left: self.list_count()?, is_map: false })),
            other => return Err(PropertyError::UnknownTag(other)),
        };
        self.take(length).map(|_| None)
    }

    /// The bytes of a map or list behind its count. What it holds is on a stack of counts, not of calls.
    fn inside(&mut self, outer: Open) -> Result<&'a [u8], PropertyError> {
        let start = self.bytes;
        let mut stack = [outer; NESTING_LIMIT];
        let mut depth = 1;
        while depth > 0 {
            let Some(open) = stack.get_mut(depth - 1) else { break };
            if open.left == 0 {
                depth -= 1;
                continue;
            }
            open.left -= 1;
            if open.is_map {
                self.name()?;
            }
            if let Some(inner) = self.skip_head()? {
                *stack.get_mut(depth).ok_or(PropertyError::TooDeep)? = inner;
                depth += 1;
            }
        }
        Ok(self.taken_since(start))
    }
}
