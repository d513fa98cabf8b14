//! Reading OpenWire's primitive kinds, loose and tight.

use std::borrow::Cow;

use super::{BooleanReader, Fault};
use postrider_model::modified_utf8;

/// The rest of one frame: the inline bytes and, in a tight frame, the bits.
///
/// Kinds that are written alike in both encodings have one method; the others have a `loose_` and a `tight_` one. Every
/// length is checked against the bytes that are left before anything is taken.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The bits of a tight frame.
    pub bits: BooleanReader<'a>,
}

impl<'a> Reader<'a> {
    /// Reads from the first of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, bits: BooleanReader::default() }
    }

    /// Takes the BooleanStream that stands here; the `tight_` methods use its bits from now on.
    pub fn open_bits(&mut self) -> Result<(), Fault> {
        self.bits = BooleanReader::open(&mut self.bytes)?;
        Ok(())
    }

    /// The inline bytes that are left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error unless all inline bytes were taken.
    #[inline]
    pub fn finish(&self) -> Result<(), Fault> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Fault::TrailingBytes(self.bytes.len())) }
    }

    /// The next `length` bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next bytes, as many as the array has.
    #[inline]
    pub fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Fault> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(Fault::Truncated)?;
        self.bytes = tail;
        Ok(*head)
    }

    /// An int8 as its bits: a type or a tag.
    #[inline]
    pub fn code(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    /// An int8.
    #[inline]
    pub fn byte(&mut self) -> Result<i8, Fault> {
        Ok(self.code()? as i8)
    }

    /// An int16.
    #[inline]
    pub fn short(&mut self) -> Result<i16, Fault> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    /// An int32.
    #[inline]
    pub fn int(&mut self) -> Result<i32, Fault> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A byte; everything but 0 is true.
    #[inline]
    pub fn loose_bool(&mut self) -> Result<bool, Fault> {
        Ok(self.code()? != 0)
    }

    /// An int64.
    #[inline]
    pub fn loose_long(&mut self) -> Result<i64, Fault> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Modified UTF-8, checked, or null.
    #[inline]
    pub fn loose_string(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if self.loose_bool()? { self.modified_utf8().map(Some) } else { Ok(None) }
    }

    /// Bytes, or null.
    #[inline]
    pub fn loose_bytes(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if self.loose_bool()? { self.counted_bytes().map(Some) } else { Ok(None) }
    }

    /// One bit.
    #[inline]
    pub fn tight_bool(&mut self) -> Result<bool, Fault> {
        self.bits.next_bit()
    }

    /// A long in 0, 2, 4 or 8 bytes; the short forms have no sign.
    #[inline]
    pub fn tight_long(&mut self) -> Result<i64, Fault> {
        match (self.bits.next_bit()?, self.bits.next_bit()?) {
            (false, false) => Ok(0),
            (false, true) => Ok(i64::from(u16::from_be_bytes(self.array()?))),
            (true, false) => Ok(i64::from(u32::from_be_bytes(self.array()?))),
            (true, true) => self.loose_long(),
        }
    }

    /// Modified UTF-8, checked, or null. Java takes the bytes of a string that is marked as ASCII for Latin-1, so bytes
    /// that are no ASCII after all are converted.
    #[inline]
    pub fn tight_string(&mut self) -> Result<Option<Cow<'a, [u8]>>, Fault> {
        if !self.bits.next_bit()? {
            return Ok(None);
        }
        if !self.bits.next_bit()? {
            return self.modified_utf8().map(|bytes| Some(Cow::Borrowed(bytes)));
        }
        let length = self.length_prefix()?;
        let bytes = self.take(length)?;
        if modified_utf8::is_plain_ascii(bytes) {
            Ok(Some(Cow::Borrowed(bytes)))
        } else {
            Ok(Some(Cow::Owned(modified_utf8::from_latin_1(bytes))))
        }
    }

    /// Bytes, or null.
    #[inline]
    pub fn tight_bytes(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if self.bits.next_bit()? { self.counted_bytes().map(Some) } else { Ok(None) }
    }

    /// An int32 length and that many bytes.
    #[inline]
    pub fn counted_bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.int()?;
        let length = usize::try_from(length).map_err(|_| Fault::BadLength(i64::from(length)))?;
        self.take(length)
    }

    /// A uint16 length and that many bytes of Modified UTF-8, checked.
    #[inline]
    pub fn modified_utf8(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length_prefix()?;
        let bytes = self.take(length)?;
        if modified_utf8::is_valid(bytes) { Ok(bytes) } else { Err(Fault::BadString) }
    }

    #[inline]
    fn length_prefix(&mut self) -> Result<usize, Fault> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }
}
