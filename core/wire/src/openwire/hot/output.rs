//! The three ways in which the same sequence of values is written.

use crate::openwire::BooleanWriter;
use postrider_model::modified_utf8;

/// Longest string that Java reads as one of ASCII: it takes that length with a sign. Longer ones are marked as Modified UTF-8,
/// whose length has none.
const ASCII_STRING_BYTES: usize = i16::MAX as usize;

/// Takes the values of a frame in the order of the wire.
///
/// A loose frame takes one pass with [`Loose`]. A tight frame takes two, first [`Bits`], then [`Inline`], as its bits stand
/// before all else.
pub(super) trait Output {
    fn bool(&mut self, value: bool);
    fn byte(&mut self, value: u8);
    fn short(&mut self, value: i16);
    fn int(&mut self, value: i32);
    fn long(&mut self, value: i64);
    fn string(&mut self, value: Option<&[u8]>);
    fn bytes(&mut self, value: Option<&[u8]>);
    /// What a marshal-aware structure has between its presence and its type.
    fn marshal_aware(&mut self);

    /// A nested structure begins.
    #[inline(always)]
    fn object(&mut self, code: u8) {
        self.bool(true);
        self.byte(code);
    }

    /// A nested structure that is null.
    #[inline(always)]
    fn absent(&mut self) {
        self.bool(false);
    }
}

/// Bytes that [`Loose`] puts together before it appends them.
pub(super) const STAGE_BYTES: usize = 128;

/// Everything inline.
///
/// A frame is some forty short fields and a few long ones. The short ones are put together in a small array, whose fill level
/// the compiler keeps in a register, as everything here is inlined; appending each of them to the vector would look at its
/// length and capacity in memory each time.
pub(super) struct Loose<'a> {
    output: &'a mut Vec<u8>,
    stage: &'a mut [u8; STAGE_BYTES],
    staged: usize,
}

impl<'a> Loose<'a> {
    #[inline(always)]
    pub(super) fn new(output: &'a mut Vec<u8>, stage: &'a mut [u8; STAGE_BYTES]) -> Loose<'a> {
        Loose { output, stage, staged: 0 }
    }

    /// Appends what was put together; without it the last fields are missing.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "no more is staged than there is room: `put` empties the stage first")]
    pub(super) fn finish(self) {
        self.output.extend_from_slice(&self.stage[..self.staged]);
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "no more is staged than there is room: `put` empties the stage first")]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        const { assert!(N <= STAGE_BYTES) };
        if self.stage.len() - self.staged < N {
            append(self.output, &self.stage[..self.staged]);
            self.staged = 0;
        }
        if let Some(room) = self.stage[self.staged..].first_chunk_mut() {
            *room = bytes;
        }
        self.staged += N;
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "no more is staged than there is room: `put` empties the stage first")]
    fn put_long(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(&self.stage[..self.staged]);
        self.output.extend_from_slice(bytes);
        self.staged = 0;
    }
}

#[cold]
#[inline(never)]
fn append(output: &mut Vec<u8>, staged: &[u8]) {
    output.extend_from_slice(staged);
}

impl Output for Loose<'_> {
    #[inline(always)]
    fn bool(&mut self, value: bool) {
        self.put([u8::from(value)]);
    }

    #[inline(always)]
    fn byte(&mut self, value: u8) {
        self.put([value]);
    }

    #[inline(always)]
    fn short(&mut self, value: i16) {
        self.put(value.to_be_bytes());
    }

    #[inline(always)]
    fn int(&mut self, value: i32) {
        self.put(value.to_be_bytes());
    }

    #[inline(always)]
    fn long(&mut self, value: i64) {
        self.put(value.to_be_bytes());
    }

    #[inline(always)]
    fn string(&mut self, value: Option<&[u8]>) {
        self.bool(value.is_some());
        if let Some(bytes) = value {
            self.put(string_length(bytes));
            self.put_long(bytes);
        }
    }

    #[inline(always)]
    fn bytes(&mut self, value: Option<&[u8]>) {
        self.bool(value.is_some());
        if let Some(bytes) = value {
            self.put(bytes_length(bytes));
            self.put_long(bytes);
        }
    }

    #[inline(always)]
    fn marshal_aware(&mut self) {}
}

/// The bits of a tight frame, without what stands inline.
pub(super) struct Bits<'a>(pub &'a mut BooleanWriter);

impl Output for Bits<'_> {
    fn bool(&mut self, value: bool) {
        self.0.push(value);
    }

    fn byte(&mut self, _: u8) {}

    fn short(&mut self, _: i16) {}

    fn int(&mut self, _: i32) {}

    fn long(&mut self, value: i64) {
        let (wide, narrow) = long_bits(value);
        self.0.push(wide);
        self.0.push(narrow);
    }

    fn string(&mut self, value: Option<&[u8]>) {
        self.0.push(value.is_some());
        if let Some(bytes) = value {
            self.0.push(bytes.len() <= ASCII_STRING_BYTES && modified_utf8::is_plain_ascii(bytes));
        }
    }

    fn bytes(&mut self, value: Option<&[u8]>) {
        self.0.push(value.is_some());
    }

    fn marshal_aware(&mut self) {
        self.0.push(false);
    }
}

/// What stands inline in a tight frame, without its bits.
pub(super) struct Inline<'a>(pub &'a mut Vec<u8>);

impl Output for Inline<'_> {
    fn bool(&mut self, _: bool) {}

    fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    fn short(&mut self, value: i16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn int(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    #[expect(clippy::cast_possible_truncation, reason = "the bits say that what is cut off is 0")]
    fn long(&mut self, value: i64) {
        match long_bits(value) {
            (false, false) => {}
            (false, true) => self.0.extend_from_slice(&(value as u16).to_be_bytes()),
            (true, false) => self.0.extend_from_slice(&(value as u32).to_be_bytes()),
            (true, true) => self.0.extend_from_slice(&value.to_be_bytes()),
        }
    }

    fn string(&mut self, value: Option<&[u8]>) {
        if let Some(bytes) = value {
            self.0.extend_from_slice(&string_length(bytes));
            self.0.extend_from_slice(bytes);
        }
    }

    fn bytes(&mut self, value: Option<&[u8]>) {
        if let Some(bytes) = value {
            self.0.extend_from_slice(&bytes_length(bytes));
            self.0.extend_from_slice(bytes);
        }
    }

    fn marshal_aware(&mut self) {}
}

/// The two bits of a tight long, which say how many bytes it takes: 0, 2, 4 or 8.
fn long_bits(value: i64) -> (bool, bool) {
    match value as u64 {
        0 => (false, false),
        1..=0xFFFF => (false, true),
        0x1_0000..=0xFFFF_FFFF => (true, false),
        _ => (true, true),
    }
}

/// Strings come out of records and ids that came in with a 16-bit length, so they have one.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "each string was checked when it came")]
fn string_length(bytes: &[u8]) -> [u8; 2] {
    debug_assert!(bytes.len() <= usize::from(u16::MAX));
    (bytes.len() as u16).to_be_bytes()
}

/// The length of a frame, and so of anything in it, fits into 31 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "longer ones make a frame that is refused by its own size")]
fn bytes_length(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_marked_as_ascii_as_long_as_java_reads_it_so() {
        let long = vec![b'x'; ASCII_STRING_BYTES + 1];
        let cases = [(&b""[..], 0b11), (b"plain", 0b11), (b"\xC3\xA9", 0b01), (&long[1..], 0b11), (&long, 0b01)];
        for (text, bits) in cases {
            let mut writer = BooleanWriter::default();
            Bits(&mut writer).string(Some(text));
            let mut written = Vec::new();
            writer.write(&mut written).unwrap();
            assert_eq!(written, [1, bits], "{} bytes", text.len());
        }
    }
}
