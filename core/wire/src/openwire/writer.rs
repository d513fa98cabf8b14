//! Writing OpenWire's primitive kinds, loose and tight.
//!
//! Kinds that are written alike in both encodings have one function; the others have a `loose_` and a `tight_` one.

use super::{BooleanWriter, EncodeError};
use postrider_model::modified_utf8;

/// The longest loose string in bytes.
pub const LOOSE_STRING_LIMIT: usize = 65_535;
/// The longest tight string in bytes: Java reads its length with a sign, and refuses the largest itself.
pub const TIGHT_STRING_LIMIT: usize = 32_766;

/// An int8.
#[inline]
pub fn byte(out: &mut Vec<u8>, value: i8) {
    out.push(value as u8);
}

/// An int16.
#[inline]
pub fn short(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// An int32.
#[inline]
pub fn int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// A byte 0 or 1.
#[inline]
pub fn loose_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// An int64.
#[inline]
pub fn loose_long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Modified UTF-8, or null.
#[inline]
pub fn loose_string(out: &mut Vec<u8>, value: Option<&[u8]>) -> Result<(), EncodeError> {
    loose_bool(out, value.is_some());
    value.map_or(Ok(()), |bytes| counted_string(out, bytes, LOOSE_STRING_LIMIT))
}

/// Bytes, or null.
#[inline]
pub fn loose_bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    loose_bool(out, value.is_some());
    value.inspect(|bytes| counted_bytes(out, bytes));
}

/// Puts bytes where others were left out, if they are all there.
#[inline]
pub(crate) fn replace<const LENGTH: usize>(out: &mut [u8], at: usize, bytes: [u8; LENGTH]) {
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = bytes;
    }
}

/// A long in 0, 2, 4 or 8 bytes.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the branches have looked at what is cut off")]
pub fn tight_long(bits: &mut BooleanWriter, out: &mut Vec<u8>, value: i64) {
    let unsigned = value as u64;
    let is_long = unsigned >= 1 << 32;
    bits.push(unsigned >= 1 << 16);
    bits.push(is_long || (1..1 << 16).contains(&unsigned));
    if is_long {
        loose_long(out, value);
    } else if unsigned >= 1 << 16 {
        out.extend_from_slice(&(unsigned as u32).to_be_bytes());
    } else if unsigned > 0 {
        out.extend_from_slice(&(unsigned as u16).to_be_bytes());
    }
}

/// Modified UTF-8, or null.
#[inline]
pub fn tight_string(bits: &mut BooleanWriter, out: &mut Vec<u8>, value: Option<&[u8]>) -> Result<(), EncodeError> {
    bits.push(value.is_some());
    value.map_or(Ok(()), |bytes| {
        bits.push(modified_utf8::is_plain_ascii(bytes));
        counted_string(out, bytes, TIGHT_STRING_LIMIT)
    })
}

/// Bytes, or null.
#[inline]
pub fn tight_bytes(bits: &mut BooleanWriter, out: &mut Vec<u8>, value: Option<&[u8]>) {
    bits.push(value.is_some());
    value.inspect(|bytes| counted_bytes(out, bytes));
}

/// An int32 length and the bytes. More than it can count make a frame that is refused by its own size.
#[inline]
pub fn counted_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    int(out, i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.extend_from_slice(bytes);
}

/// A uint16 length and the bytes of a string.
#[inline]
fn counted_string(out: &mut Vec<u8>, bytes: &[u8], limit: usize) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len()).ok().filter(|length| usize::from(*length) <= limit);
    let length = length.ok_or(EncodeError::StringTooLong { length: bytes.len(), limit })?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, Reader};
    use super::*;

    fn tight(write: impl FnOnce(&mut BooleanWriter, &mut Vec<u8>)) -> Vec<u8> {
        let (mut bits, mut out) = (BooleanWriter::default(), Vec::new());
        write(&mut bits, &mut out);
        let mut frame = Vec::new();
        bits.write(&mut frame).unwrap();
        frame.extend_from_slice(&out);
        frame
    }

    #[test]
    fn tight_longs() {
        let cases: [(i64, u8, usize); 9] = [
            (0, 0b00, 0),
            (1, 0b10, 2),
            (0xFFFF, 0b10, 2),
            (0x1_0000, 0b01, 4),
            (0xFFFF_FFFF, 0b01, 4),
            (0x1_0000_0000, 0b11, 8),
            (i64::MAX, 0b11, 8),
            (-1, 0b11, 8),
            (i64::MIN, 0b11, 8),
        ];
        for (value, bits, length) in cases {
            let frame = tight(|bits, out| tight_long(bits, out, value));
            assert_eq!((frame[1], frame.len() - 2), (bits, length), "{value}");
            let mut reader = Reader::new(&frame);
            reader.open_bits().unwrap();
            assert_eq!(reader.tight_long(), Ok(value));
            reader.finish().unwrap();
        }
    }

    #[test]
    fn strings_and_bytes_loose_and_tight() {
        let long = vec![b'x'; TIGHT_STRING_LIMIT];
        for value in [None, Some(&b""[..]), Some(b"ascii"), Some(b"\xC0\x80"), Some(b"\xC3\xA9"), Some(&long)] {
            let mut out = Vec::new();
            loose_string(&mut out, value).unwrap();
            loose_bytes(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.loose_string(), Ok(value));
            assert_eq!(reader.loose_bytes(), Ok(value));
            reader.finish().unwrap();

            let frame = tight(|bits, out| {
                tight_string(bits, out, value).unwrap();
                tight_bytes(bits, out, value);
            });
            let mut reader = Reader::new(&frame);
            reader.open_bits().unwrap();
            assert_eq!(reader.tight_string().unwrap().as_deref(), value);
            assert_eq!(reader.tight_bytes(), Ok(value));
            reader.finish().unwrap();
        }
    }

    #[test]
    fn strings_have_limits() {
        let long = vec![b'x'; LOOSE_STRING_LIMIT + 1];
        let error = |limit| Err(EncodeError::StringTooLong { length: limit + 1, limit });
        assert_eq!(loose_string(&mut Vec::new(), Some(&long)), error(LOOSE_STRING_LIMIT));
        let (mut bits, mut out) = (BooleanWriter::default(), Vec::new());
        let value = Some(&long[..TIGHT_STRING_LIMIT + 1]);
        assert_eq!(tight_string(&mut bits, &mut out, value), error(TIGHT_STRING_LIMIT));
    }

    #[test]
    fn latin_1_marked_as_ascii_is_converted() {
        let frame = [1, 0b11, 0, 3, b'a', 0xE9, 0x00];
        let mut reader = Reader::new(&frame);
        reader.open_bits().unwrap();
        assert_eq!(reader.tight_string().unwrap().unwrap(), &b"a\xC3\xA9\xC0\x80"[..]);
    }

    #[test]
    fn lengths_are_checked_before_they_are_believed() {
        assert_eq!(Reader::new(&[1, 0, 2, b'a']).loose_string(), Err(Fault::Truncated));
        assert_eq!(Reader::new(&[1, 0, 1, 0xFF]).loose_string(), Err(Fault::BadString));
        assert_eq!(Reader::new(&[1, 0xFF, 0xFF, 0xFF, 0xFF]).loose_bytes(), Err(Fault::BadLength(-1)));
        assert_eq!(Reader::new(&[1, 0x7F, 0xFF, 0xFF, 0xFF]).loose_bytes(), Err(Fault::Truncated));
        assert_eq!(Reader::new(&[0, 0, 0]).int(), Err(Fault::Truncated));
        assert_eq!(Reader::new(&[7]).loose_bool(), Ok(true));
    }
}
