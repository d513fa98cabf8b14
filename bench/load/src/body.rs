//! The text of a message: who sent it, its number and when, then a padding that is the same in all.
//!
//! Numbers are base 16 in the letters `a` to `p`, so that eight digits are made and read with a few instructions.

/// Bytes of a [`Stamp`] as text; the least size of a body.
pub(crate) const STAMP_LENGTH: usize = 48;

/// What the head of a body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which run of the generator; messages that an earlier run left behind are told apart by it.
    pub run: u32,
    /// The number of the producer in its run.
    pub producer: u16,
    /// The number of the destination it was sent to.
    pub destination: u16,
    /// 0, 1, 2 ... for each producer and destination.
    pub counter: u64,
    /// Nanoseconds on the clock of the run.
    pub time: u64,
}

impl Stamp {
    /// Writes the stamp over the first bytes of a text.
    #[inline]
    pub(crate) fn write(&self, text: &mut [u8]) {
        let words = [
            self.run,
            u32::from(self.producer) << 16 | u32::from(self.destination),
            (self.counter >> 32) as u32,
            self.counter as u32,
            (self.time >> 32) as u32,
            self.time as u32,
        ];
        for (digits, word) in text[..STAMP_LENGTH].chunks_exact_mut(8).zip(words) {
            digits.copy_from_slice(&digits_of(word));
        }
    }

    /// Reads the stamp at the head of a text; nothing if it has none.
    #[inline]
    pub(crate) fn read(text: &[u8]) -> Option<Stamp> {
        let text: &[u8; STAMP_LENGTH] = text.first_chunk()?;
        let mut words = [0; 6];
        for (word, digits) in words.iter_mut().zip(text.chunks_exact(8)) {
            *word = word_of(digits.try_into().ok()?)?;
        }
        let long = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        Some(Stamp {
            run: words[0],
            producer: (words[1] >> 16) as u16,
            destination: words[1] as u16,
            counter: long(words[2], words[3]),
            time: long(words[4], words[5]),
        })
    }
}

const LETTERS: u64 = u64::from_ne_bytes([b'a'; 8]);

#[inline]
fn digits_of(word: u32) -> [u8; 8] {
    let spread = u64::from(word);
    let spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    let spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    let spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    (spread + LETTERS).to_be_bytes()
}

#[inline]
fn word_of(digits: [u8; 8]) -> Option<u32> {
    let spread = u64::from_be_bytes(digits).wrapping_sub(LETTERS);
    if spread & 0xF0F0_F0F0_F0F0_F0F0 != 0 {
        return None;
    }
    let packed = (spread | spread >> 4) & 0x00FF_00FF_00FF_00FF;
    let packed = (packed | packed >> 8) & 0x0000_FFFF_0000_FFFF;
    Some((packed | packed >> 16) as u32)
}

/// A text of that many bytes with room for a stamp at its head.
///
/// # Panics
/// If it is shorter than a stamp.
pub(crate) fn blank(size: usize) -> Vec<u8> {
    assert!(size >= STAMP_LENGTH, "a body holds its stamp");
    (0..size).map(|index| b'A' + (index % 26) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back() {
        let cases = [
            Stamp { run: 0, producer: 0, destination: 0, counter: 0, time: 0 },
            Stamp { run: u32::MAX, producer: u16::MAX, destination: u16::MAX, counter: u64::MAX, time: u64::MAX },
            Stamp { run: 0x0123_4567, producer: 0x89AB, destination: 0xCDEF, counter: 1 << 40 | 7, time: 0xFEDC_BA98 },
        ];
        for stamp in cases {
            let mut text = blank(60);
            stamp.write(&mut text);
            assert_eq!(Stamp::read(&text), Some(stamp));
            assert!(text[..STAMP_LENGTH].iter().all(|byte| (b'a'..=b'p').contains(byte)), "{text:?}");
            assert_eq!(text[STAMP_LENGTH..], blank(60)[STAMP_LENGTH..]);
        }
    }

    #[test]
    fn digits_stand_in_reading_order() {
        assert_eq!(&digits_of(0x0123_ABCF), b"abcdklmp");
    }

    #[test]
    fn other_texts_have_no_stamp() {
        assert_eq!(Stamp::read(&blank(STAMP_LENGTH)), None);
        assert_eq!(Stamp::read(b"aaaaaaaa"), None);
        for place in 0..STAMP_LENGTH {
            for wrong in [b'`', b'q', b'0', 0xFF] {
                let mut text = vec![b'a'; STAMP_LENGTH];
                text[place] = wrong;
                assert_eq!(Stamp::read(&text), None, "{wrong} at {place}");
            }
        }
    }
}
