//! Texts as a selector sees them: Modified UTF-8, in up to two pieces.

use std::borrow::Cow;
use std::cmp::Ordering;

use postrider_model::modified_utf8;

/// Bytes of a text that is put together on the stack: an identifier of a message, or a destination.
const SHORT: usize = 256;

/// A text. What is put together from two pieces, as a destination of its kind and its name, need not be copied to be compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) head: &'a [u8],
    pub(super) tail: &'a [u8],
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Text<'a> {
        Text { head: &[], tail: bytes }
    }

    pub(super) fn len(self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Most texts are one piece. To look for a head that is empty took longer than all else: as if its address, which is none, were read
    /// ahead.
    pub(super) fn is(self, other: &[u8]) -> bool {
        match self.head {
            [] => self.tail == other,
            head => other.len() == self.len() && other.strip_prefix(head) == Some(self.tail),
        }
    }

    pub(super) fn equals(self, other: Text<'_>) -> bool {
        match (self.head, other.head) {
            (_, []) => self.is(other.tail),
            ([], _) => other.is(self.tail),
            _ => self.len() == other.len() && self.of_both().eq(other.of_both()),
        }
    }

    /// By UTF-16 units.
    pub(super) fn compare(self, other: Text<'_>) -> Ordering {
        let units = |text: Text<'a>| modified_utf8::units(text.head).chain(modified_utf8::units(text.tail));
        units(self).cmp(modified_utf8::units(other.head).chain(modified_utf8::units(other.tail)))
    }

    fn of_both(self) -> impl Iterator<Item = &'a u8> {
        self.head.iter().chain(self.tail)
    }

    /// In one piece: copied if it is two.
    pub(super) fn in_one(self) -> Cow<'a, [u8]> {
        match self.head {
            [] => Cow::Borrowed(self.tail),
            _ => Cow::Owned([self.head, self.tail].concat()),
        }
    }

    /// Has a look at it in one piece, which is put together on the stack if it is short.
    pub(super) fn with_one<T>(self, look: impl FnOnce(&[u8]) -> T) -> T {
        let mut buffer = [0; SHORT];
        match buffer.get_mut(..self.len()) {
            _ if self.head.is_empty() => look(self.tail),
            None => look(&self.in_one()),
            Some(place) => {
                place.iter_mut().zip(self.of_both()).for_each(|(place, byte)| *place = *byte);
                look(place)
            }
        }
    }

    /// Appends it.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.tail);
    }
}

/// Bytes as UTF-8, for regular expressions: copied only if Modified UTF-8 writes one of the characters otherwise.
pub(super) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| modified_utf8::decode_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'a>(head: &'a str, tail: &'a str) -> Text<'a> {
        Text { head: head.as_bytes(), tail: tail.as_bytes() }
    }

    #[test]
    fn where_a_text_is_cut_does_not_matter() {
        let cuts = [pieces("", "queue://a"), pieces("queue://", "a"), pieces("queue:", "//a"), pieces("queue://a", "")];
        for left in cuts {
            for right in cuts {
                assert!(left.equals(right), "{left:?} {right:?}");
                assert_eq!(left.compare(right), Ordering::Equal);
            }
            assert!(!left.equals(pieces("queue://", "b")) && !left.equals(pieces("", "queue://")));
            assert_eq!(left.compare(pieces("queue", "://b")), Ordering::Less);
            assert_eq!(&*left.in_one(), b"queue://a");
            left.with_one(|whole| assert_eq!(whole, b"queue://a"));
        }
    }

    #[test]
    fn order_is_that_of_utf_16() {
        let text = |text: &str| modified_utf8::encode(text).into_owned();
        let (null, one, astral, last) = (text("\0"), text("\u{1}"), text("\u{1f600}"), text("\u{ffff}"));
        for (less, more) in [(&null, &one), (&astral, &last), (&one, &astral)] {
            assert_eq!(Text::new(less).compare(Text::new(more)), Ordering::Less);
        }
        assert_eq!(utf8(&astral), "\u{1f600}");
        assert_eq!(utf8(&null), "\0");
    }
}
