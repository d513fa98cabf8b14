//! Java's Modified UTF-8: U+0000 is `C0 80`, and characters beyond U+FFFF are two surrogates of three bytes each.

use std::borrow::Cow;

/// The bytes of a Rust string.
#[must_use]
pub fn encode(text: &str) -> Cow<'_, [u8]> {
    if text.bytes().all(|byte| byte != 0 && byte < 0xF0) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    for character in text.chars() {
        match character {
            '\0' => out.extend_from_slice(&[0xC0, 0x80]),
            '\u{10000}'.. => {
                character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.extend_from_slice(&three_bytes(*unit)));
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(out)
}

/// The text, or None if the bytes are not Modified UTF-8 or hold an unpaired surrogate, which no Rust string can.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if is_plain_ascii(bytes) {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    if !is_valid(bytes) {
        return None;
    }
    char::decode_utf16(units(bytes)).collect::<Result<String, _>>().ok().map(Cow::Owned)
}

/// The text for people to read: what cannot be decoded becomes U+FFFD.
#[must_use]
pub fn decode_lossy(bytes: &[u8]) -> Cow<'_, str> {
    if is_plain_ascii(bytes) || !is_valid(bytes) {
        return String::from_utf8_lossy(bytes);
    }
    char::decode_utf16(units(bytes)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Whether all bytes are U+0001 to U+007F: such text is the same in ASCII, UTF-8 and Modified UTF-8.
#[must_use]
#[inline]
pub fn is_plain_ascii(bytes: &[u8]) -> bool {
    bytes.is_ascii() && !bytes.contains(&0)
}

/// Whether Java's `readUTF` accepts the bytes. It takes a zero byte and overlong forms, but nothing of four bytes.
#[must_use]
#[inline]
pub fn is_valid(bytes: &[u8]) -> bool {
    bytes.is_ascii() || is_valid_sequence(bytes)
}

fn is_valid_sequence(mut bytes: &[u8]) -> bool {
    loop {
        bytes = match bytes {
            [] => return true,
            [0x00..=0x7F, rest @ ..] => rest,
            [0xC0..=0xDF, 0x80..=0xBF, rest @ ..] => rest,
            [0xE0..=0xEF, 0x80..=0xBF, 0x80..=0xBF, rest @ ..] => rest,
            _ => return false,
        };
    }
}

/// How many UTF-16 units valid bytes have: Java's length of the string.
#[must_use]
pub fn utf16_length(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// The UTF-16 units of valid bytes. Of bytes that are not valid the rest from the first mistake on is left out.
pub fn units(mut bytes: &[u8]) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let (unit, rest) = match bytes {
            [one @ 0x00..=0x7F, rest @ ..] => (u16::from(*one), rest),
            [one @ 0xC0..=0xDF, two, rest @ ..] => (u16::from(one & 0x1F) << 6 | low(*two), rest),
            [one @ 0xE0..=0xEF, two, three, rest @ ..] => {
                (u16::from(one & 0x0F) << 12 | low(*two) << 6 | low(*three), rest)
            }
            _ => return None,
        };
        bytes = rest;
        Some(unit)
    })
}

/// The beginning of a text, of no more than `most` bytes, without half a character of up to U+FFFF.
#[must_use]
pub fn cut(text: &[u8], most: usize) -> &[u8] {
    let mut length = text.len().min(most);
    while length > 0 && text.get(length).is_some_and(|byte| byte & 0xC0 == 0x80) {
        length -= 1;
    }
    text.get(..length).unwrap_or_default()
}

/// Latin-1 as Modified UTF-8.
#[must_use]
pub fn from_latin_1(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        match byte {
            0x01..=0x7F => out.push(*byte),
            _ => out.extend_from_slice(&[0xC0 | byte >> 6, 0x80 | byte & 0x3F]),
        }
    }
    out
}

fn low(byte: u8) -> u16 {
    u16::from(byte & 0x3F)
}

fn three_bytes(unit: u16) -> [u8; 3] {
    [0xE0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3F) as u8, 0x80 | (unit & 0x3F) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_both_ways() {
        let cases: [(&str, &[u8]); 6] = [
            ("", b""),
            ("plain", b"plain"),
            ("a\0b", b"a\xC0\x80b"),
            ("h\u{e9}\u{20ac}", b"h\xC3\xA9\xE2\x82\xAC"),
            ("\u{1f600}", b"\xED\xA0\xBD\xED\xB8\x80"),
            ("\u{ffff}\u{10ffff}", b"\xEF\xBF\xBF\xED\xAF\xBF\xED\xBF\xBF"),
        ];
        for (text, bytes) in cases {
            assert_eq!(encode(text), bytes, "{text:?}");
            assert_eq!(decode(bytes).as_deref(), Some(text));
            assert_eq!(decode_lossy(bytes), text);
            assert!(is_valid(bytes));
            assert_eq!(utf16_length(bytes), text.encode_utf16().count());
        }
    }

    #[test]
    fn what_java_refuses_is_not_valid() {
        for bytes in [&b"\xFF"[..], b"\x80", b"\xC3", b"\xE2\x82", b"\xC3a", b"\xF0\x9F\x98\x80"] {
            assert!(!is_valid(bytes), "{bytes:x?}");
            assert_eq!(decode(bytes), None);
        }
        assert_eq!(decode_lossy(b"a\xFF"), "a\u{fffd}");
    }

    #[test]
    fn an_unpaired_surrogate_is_valid_but_no_text() {
        let bytes = b"a\xED\xA0\xBDb";
        assert!(is_valid(bytes));
        assert_eq!(decode(bytes), None);
        assert_eq!(decode_lossy(bytes), "a\u{fffd}b");
    }

    #[test]
    fn a_zero_byte_is_valid_but_not_plain() {
        assert!(is_valid(b"\0"));
        assert!(!is_plain_ascii(b"\0"));
        assert_eq!(decode(b"a\0").as_deref(), Some("a\0"));
    }

    #[test]
    fn a_cut_leaves_whole_characters() {
        let text = b"a\xE2\x82\xACb";
        let cuts = [0, 1, 2, 3, 4, 5, 9].map(|most| cut(text, most).len());
        assert_eq!(cuts, [0, 1, 1, 1, 4, 5, 5]);
        assert_eq!(cut(b"\x80\x80", 1), b"", "what is no text ends too");
    }

    #[test]
    fn latin_1() {
        assert_eq!(from_latin_1(b"a\x00\x80\xFF"), b"a\xC0\x80\xC2\x80\xC3\xBF");
    }
}
