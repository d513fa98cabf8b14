//! LIKE: a pattern of texts, `_` and `%`.

use memchr::memmem::Finder;

use super::Fault;
use super::work::Work;

/// A pattern as pieces between its `%`.
#[derive(Debug)]
pub(super) struct Like {
    /// The pattern and the escape as they were stated.
    pub(super) source: Vec<u8>,
    pub(super) escape: Option<Vec<u8>>,
    /// What the text begins with; all of it if there is no `%`.
    first: Piece,
    /// What comes behind a `%` each; the last of them is the end of the text.
    others: Vec<Piece>,
}

/// What stands between two `%`.
#[derive(Default, Debug)]
struct Piece {
    parts: Vec<Part>,
    /// UTF-16 units that it takes.
    units: usize,
}

#[derive(Debug)]
enum Part {
    /// Bytes as they are, with what finds them in linear time.
    Bytes(Box<Finder<'static>>),
    /// So many units of any kind.
    Any(usize),
}

/// A unit of a pattern.
enum Token<'a> {
    Unit(&'a [u8]),
    One,
    Any,
}

impl Like {
    /// The escape makes a `_`, a `%` and itself plain; in front of all else it is plain itself. None if it is not one unit.
    pub(super) fn new(source: &[u8], escape: Option<&[u8]>) -> Option<Like> {
        if escape.is_some_and(|escape| escape.is_empty() || length_of_unit(escape) != escape.len()) {
            return None;
        }
        let mut pieces = vec![Building::default()];
        let mut rest = source;
        while let Some(token) = next(&mut rest, escape) {
            match (token, pieces.last_mut()) {
                (Token::Any, _) => pieces.push(Building::default()),
                (Token::One, Some(piece)) => piece.one(),
                (Token::Unit(bytes), Some(piece)) => piece.unit(bytes),
                (_, None) => {}
            }
        }
        let mut pieces = pieces.into_iter().map(Building::finish);
        Some(Like {
            source: source.to_vec(),
            escape: escape.map(<[u8]>::to_vec),
            first: pieces.next().unwrap_or_default(),
            others: pieces.collect(),
        })
    }

    pub(super) fn matches(&self, text: &[u8], work: &Work) -> Result<bool, Fault> {
        let Some(mut rest) = self.first.at_start(text) else { return Ok(false) };
        let Some((last, middle)) = self.others.split_last() else { return Ok(rest.is_empty()) };
        for piece in middle {
            match piece.find(rest, work)? {
                Some(behind) => rest = behind,
                None => return Ok(false),
            }
        }
        Ok(last.is_at_end(rest))
    }
}

/// Takes the next unit of a pattern off.
fn next<'a>(rest: &mut &'a [u8], escape: Option<&[u8]>) -> Option<Token<'a>> {
    let take = |rest: &mut &'a [u8]| {
        let (unit, behind) = rest.split_at_checked(length_of_unit(rest))?;
        *rest = behind;
        (!unit.is_empty()).then_some(unit)
    };
    let unit = take(rest)?;
    if escape == Some(unit) {
        let is_escaped = matches!(rest, [b'_' | b'%', ..]) || rest.starts_with(unit);
        return Some(Token::Unit(if is_escaped { take(rest)? } else { unit }));
    }
    Some(match unit {
        b"%" => Token::Any,
        b"_" => Token::One,
        _ => Token::Unit(unit),
    })
}

/// How many bytes the first UTF-16 unit has.
fn length_of_unit(text: &[u8]) -> usize {
    let is_continued = |byte: &&u8| **byte & 0xC0 == 0x80;
    text.len().min(1) + text.iter().skip(1).take_while(is_continued).count()
}

/// A piece that is being put together.
#[derive(Default)]
struct Building {
    bytes: Vec<u8>,
    piece: Piece,
}

impl Building {
    fn unit(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.piece.units += 1;
    }

    fn one(&mut self) {
        self.end_of_bytes();
        self.piece.units += 1;
        match self.piece.parts.last_mut() {
            Some(Part::Any(units)) => *units += 1,
            _ => self.piece.parts.push(Part::Any(1)),
        }
    }

    fn end_of_bytes(&mut self) {
        if !self.bytes.is_empty() {
            self.piece.parts.push(Part::Bytes(Box::new(Finder::new(&self.bytes).into_owned())));
            self.bytes.clear();
        }
    }

    fn finish(mut self) -> Piece {
        self.end_of_bytes();
        self.piece
    }
}

impl Piece {
    /// What is behind it, if the text begins with it.
    fn at_start<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        parts_at_start(&self.parts, text)
    }

    fn is_at_end(&self, text: &[u8]) -> bool {
        let mut start = text.len();
        for _ in 0..self.units {
            let before = text.get(..start).unwrap_or_default();
            match before.iter().rposition(|byte| byte & 0xC0 != 0x80) {
                Some(unit) => start = unit,
                None => return false,
            }
        }
        self.at_start(text.get(start..).unwrap_or_default()).is_some_and(<[u8]>::is_empty)
    }

    /// What is behind it where it is first found.
    fn find<'a>(&self, text: &'a [u8], work: &Work) -> Result<Option<&'a [u8]>, Fault> {
        let (mut text, mut parts) = (text, self.parts.as_slice());
        if let [Part::Any(units), rest @ ..] = parts {
            let Some(behind) = skip(text, *units) else { return Ok(None) };
            (text, parts) = (behind, rest);
        }
        let [Part::Bytes(finder), rest @ ..] = parts else { return Ok(Some(text)) };
        loop {
            let Some(at) = finder.find(text) else {
                work.take(text.len())?;
                return Ok(None);
            };
            work.take(at + 1)?;
            let found = text.get(at..).unwrap_or_default();
            if let Some(behind) = parts_at_start(rest, found.get(finder.needle().len()..).unwrap_or_default()) {
                return Ok(Some(behind));
            }
            // Each try may look at all parts.
            work.take(self.units)?;
            text = found.get(1..).unwrap_or_default();
        }
    }
}

fn parts_at_start<'a>(parts: &[Part], mut text: &'a [u8]) -> Option<&'a [u8]> {
    for part in parts {
        text = match part {
            Part::Bytes(finder) => text.strip_prefix(finder.needle())?,
            Part::Any(units) => skip(text, *units)?,
        };
    }
    Some(text)
}

/// What is behind so many units.
fn skip(mut text: &[u8], units: usize) -> Option<&[u8]> {
    for _ in 0..units {
        if text.is_empty() {
            return None;
        }
        text = text.get(length_of_unit(text)..)?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use postrider_model::modified_utf8;
    use proptest::prelude::*;

    use super::*;

    fn like(pattern: &str, escape: Option<&str>, text: &str) -> bool {
        let encode = |text: &str| modified_utf8::encode(text).into_owned();
        let escape = escape.map(encode);
        Like::new(&encode(pattern), escape.as_deref()).unwrap().matches(&encode(text), &Work::default()).unwrap()
    }

    #[test]
    fn units_and_sequences() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("%%", "", true),
            ("_", "", false),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("%b%", "abc", true),
            ("a%b%c", "abc", true),
            ("a%a", "a", false),
            ("a_c", "abc", true),
            ("%a_c%", "aabcc", true),
            ("%_%_%", "ab", true),
            ("%_%_%", "a", false),
            ("%__", "a", false),
            ("ab%bc", "abc", false),
            ("%ab_d%f", "abcabcdef", true),
            ("a%\n%", "a\n", true),
            ("_", "\u{20ac}", true),
            // Two UTF-16 units.
            ("_", "\u{1f600}", false),
            ("__", "\u{1f600}", true),
            ("%_", "\u{20ac}", true),
            ("A", "a", false),
            (".*", "ab", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(like(pattern, None, text), expected, "{text:?} LIKE {pattern:?}");
        }
    }

    #[test]
    fn an_escape_makes_plain_what_has_a_meaning() {
        assert!(like("a\\%", Some("\\"), "a%") && !like("a\\%", Some("\\"), "ab"));
        assert!(like("a\\_", Some("\\"), "a_") && !like("a\\_", Some("\\"), "ab"));
        assert!(like("a\\\\", Some("\\"), "a\\"));
        assert!(like("a\\b", Some("\\"), "a\\b"), "plain in front of all else");
        assert!(like("a\\", Some("\\"), "a\\"));
        assert!(like("vv5", Some("v"), "v5"));
        assert!(like("%%%", Some("%"), "%%") == like("\\%%", Some("\\"), "%%"));
        for wrong in [&b""[..], b"ab", b"\xED\xA0\xBD\xED\xB8\x80"] {
            assert!(Like::new(b"a", Some(wrong)).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_text_ends_too() {
        for pattern in [&b"%\x80%_\x80"[..], b"\x80_%", b"_%\xC3_%"] {
            for text in [&b"\x80\x80\x80\x80"[..], b"\xC3\x80\xFF", b"", b"\xE2"] {
                let _ = Like::new(pattern, None).unwrap().matches(text, &Work::default());
            }
        }
    }

    /// By trying everything.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'%', rest @ ..], _) => (0..=text.len()).any(|start| slow(rest, &text[start..])),
            ([b'_', rest @ ..], [_, behind @ ..]) => slow(rest, behind),
            ([first, rest @ ..], [unit, behind @ ..]) => first == unit && slow(rest, behind),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn as_by_trying_everything(pattern in "[ab%_]{0,9}", text in "[ab]{0,12}") {
            prop_assert_eq!(like(&pattern, None, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
