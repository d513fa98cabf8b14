//! The BooleanStream: the bits at the head of a tight frame, least significant bit of each byte first.

use super::{EncodeError, Fault};

const LENGTH_IN_BYTE: u8 = 0xC0;
const LENGTH_IN_SHORT: u8 = 0x80;

/// The bits of a received frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct BooleanReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> BooleanReader<'a> {
    /// Takes the header and the bits off the front of `input`.
    pub fn open(input: &mut &'a [u8]) -> Result<BooleanReader<'a>, Fault> {
        let length = match take_byte(input)? {
            LENGTH_IN_BYTE => usize::from(take_byte(input)?),
            LENGTH_IN_SHORT => usize::from(u16::from_be_bytes([take_byte(input)?, take_byte(input)?])),
            // Java reads the byte with its sign and has no array of a negative length.
            length @ 0x81.. => return Err(Fault::BadLength(i64::from(length as i8))),
            length => usize::from(length),
        };
        Ok(BooleanReader { bytes: take(input, length)?, position: 0 })
    }

    /// The next bit.
    #[inline]
    pub fn next_bit(&mut self) -> Result<bool, Fault> {
        let byte = self.bytes.get(self.position / 8).ok_or(Fault::Truncated)?;
        let bit = byte >> (self.position % 8) & 1;
        self.position += 1;
        Ok(bit == 1)
    }

    /// How many bits are left, the padding of the last byte among them.
    pub fn remaining(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], Fault> {
    let (head, tail) = input.split_at_checked(length).ok_or(Fault::Truncated)?;
    *input = tail;
    Ok(head)
}

fn take_byte(input: &mut &[u8]) -> Result<u8, Fault> {
    let (byte, tail) = input.split_first().ok_or(Fault::Truncated)?;
    *input = tail;
    Ok(*byte)
}

/// Collects the bits of a frame that is being written.
#[derive(Debug, Default)]
pub struct BooleanWriter {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 if the next bit opens a byte.
    used: u8,
}

impl BooleanWriter {
    /// Forgets all bits and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.used = 0;
    }

    /// Appends one bit.
    #[inline]
    pub fn push(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(byte) = self.bytes.last_mut() {
            *byte |= u8::from(bit) << self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    /// Writes the header and the bits.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let length = self.bytes.len();
        match u8::try_from(length) {
            Ok(length @ ..64) => out.push(length),
            Ok(length) => out.extend_from_slice(&[LENGTH_IN_BYTE, length]),
            Err(_) => {
                let length = u16::try_from(length).map_err(|_| EncodeError::TooManyBits(length))?;
                out.push(LENGTH_IN_SHORT);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        out.extend_from_slice(&self.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bits: usize) -> Vec<u8> {
        let mut writer = BooleanWriter::default();
        (0..bits).for_each(|bit| writer.push(bit % 3 == 0));
        let mut out = Vec::new();
        writer.write(&mut out).unwrap();
        out
    }

    #[test]
    fn header_grows_with_the_number_of_bytes() {
        let cases: [(usize, &[u8]); 6] = [
            (0, &[0]),
            (1, &[1]),
            (63 * 8, &[63]),
            (63 * 8 + 1, &[0xC0, 64]),
            (255 * 8, &[0xC0, 255]),
            (255 * 8 + 1, &[0x80, 1, 0]),
        ];
        for (bits, header) in cases {
            let out = written(bits);
            assert_eq!(&out[..header.len()], header, "{bits} bits");
            assert_eq!(out.len(), header.len() + bits.div_ceil(8));
        }
    }

    #[test]
    fn bits_come_back_and_end() {
        let out = written(2_051);
        let mut input = &out[..];
        let mut reader = BooleanReader::open(&mut input).unwrap();
        assert!(input.is_empty());
        for bit in 0..2_051 {
            assert_eq!(reader.next_bit(), Ok(bit % 3 == 0), "bit {bit}");
        }
        assert_eq!(reader.remaining(), 5);
        for _ in 0..5 {
            assert_eq!(reader.next_bit(), Ok(false));
        }
        assert_eq!(reader.next_bit(), Err(Fault::Truncated));
    }

    #[test]
    fn a_header_must_be_possible() {
        assert_eq!(BooleanReader::open(&mut &[][..]).unwrap_err(), Fault::Truncated);
        assert_eq!(BooleanReader::open(&mut &[2, 0][..]).unwrap_err(), Fault::Truncated);
        assert_eq!(BooleanReader::open(&mut &[0xC0][..]).unwrap_err(), Fault::Truncated);
        assert_eq!(BooleanReader::open(&mut &[0x80, 1][..]).unwrap_err(), Fault::Truncated);
        assert_eq!(BooleanReader::open(&mut &[0xFF][..]).unwrap_err(), Fault::BadLength(-1));
        assert!(BooleanReader::open(&mut &[0x80, 0xFF, 0xFF][..]).is_err());
    }

    #[test]
    fn too_many_bits_are_refused() {
        let mut writer = BooleanWriter::default();
        (0..65_536 * 8).for_each(|_| writer.push(true));
        assert_eq!(writer.write(&mut Vec::new()), Err(EncodeError::TooManyBits(65_536)));
    }
}
