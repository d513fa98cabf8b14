//! The words of a selector.

use super::error::{Problem, SelectorError};
use super::expression::Constant;

/// A word, and the byte at which it begins.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

/// What a word is.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Kind {
    /// A name of a property, a header or a function.
    Name(Vec<u8>),
    Keyword(Keyword),
    Text(Vec<u8>),
    Number(Constant),
    Symbol(&'static str),
    End,
}

/// Names with a meaning, in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keyword {
    And,
    Between,
    Escape,
    False,
    In,
    Is,
    Like,
    Not,
    Null,
    Or,
    True,
    XPath,
    XQuery,
}

const KEYWORDS: [(&str, Keyword); 13] = [
    ("AND", Keyword::And),
    ("BETWEEN", Keyword::Between),
    ("ESCAPE", Keyword::Escape),
    ("FALSE", Keyword::False),
    ("IN", Keyword::In),
    ("IS", Keyword::Is),
    ("LIKE", Keyword::Like),
    ("NOT", Keyword::Not),
    ("NULL", Keyword::Null),
    ("OR", Keyword::Or),
    ("TRUE", Keyword::True),
    ("XPATH", Keyword::XPath),
    ("XQUERY", Keyword::XQuery),
];

/// Longer ones before those that they begin with.
const SYMBOLS: [&str; 14] = ["<>", "<=", ">=", "<", ">", "=", "(", ")", ",", "+", "-", "*", "/", "%"];

/// Takes a text apart. The last token is the end. Positions count from the beginning of the whole text, of which this is the end.
pub(super) fn tokens(text: &[u8], start: usize, hyphens: bool) -> Result<Vec<Token>, SelectorError> {
    let mut reader = Reader { rest: text, end: start + text.len(), hyphens };
    let mut found = Vec::new();
    loop {
        let token = reader.next()?;
        let is_end = token.kind == Kind::End;
        found.push(token);
        if is_end {
            return Ok(found);
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    end: usize,
    /// Whether names may have hyphens.
    hyphens: bool,
}

impl<'a> Reader<'a> {
    fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// How many bytes are such, from one on.
    fn run(&self, from: usize, is_such: impl Fn(u8) -> bool) -> usize {
        self.rest.iter().skip(from).take_while(|byte| is_such(**byte)).count()
    }

    fn next(&mut self) -> Result<Token, SelectorError> {
        self.skip_blanks();
        let at = self.at();
        let kind = match self.rest {
            [] => Kind::End,
            [b'\'', ..] => self.text()?,
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => self.number()?,
            [b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$', ..] => self.name(),
            [byte, ..] => match SYMBOLS.iter().find(|symbol| self.rest.starts_with(symbol.as_bytes())) {
                Some(symbol) => {
                    self.take(symbol.len());
                    Kind::Symbol(symbol)
                }
                None => return Err(SelectorError { position: at, problem: Problem::Byte(*byte) }),
            },
        };
        Ok(Token { at, kind })
    }

    /// Blanks and comments. What looks like the beginning of a comment and has no end is operators.
    fn skip_blanks(&mut self) {
        loop {
            let blanks = match self.rest {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0C, ..] => 1,
                [b'-', b'-', comment @ ..] => match comment.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                    Some(length) => length + 3,
                    None => return,
                },
                [b'/', b'*', comment @ ..] => match comment.windows(2).position(|pair| pair == b"*/") {
                    Some(length) => length + 4,
                    None => return,
                },
                _ => return,
            };
            self.take(blanks);
        }
    }

    fn text(&mut self) -> Result<Kind, SelectorError> {
        let open = SelectorError { position: self.at(), problem: Problem::OpenText };
        let mut text = Vec::new();
        self.take(1);
        loop {
            let length = self.run(0, |byte| byte != b'\'');
            text.extend_from_slice(self.take(length));
            match self.rest {
                [] => return Err(open),
                [b'\'', b'\'', ..] => {
                    text.push(b'\'');
                    self.take(2);
                }
                _ => {
                    self.take(1);
                    return Ok(Kind::Text(text));
                }
            }
        }
    }

    fn name(&mut self) -> Kind {
        let hyphens = self.hyphens;
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || hyphens && byte == b'-';
        let length = self.run(0, is_part);
        let name = self.take(length);
        match KEYWORDS.iter().find(|(word, _)| name.eq_ignore_ascii_case(word.as_bytes())) {
            Some((_, keyword)) => Kind::Keyword(*keyword),
            None => Kind::Name(name.to_vec()),
        }
    }

    fn number(&mut self) -> Result<Kind, SelectorError> {
        let wrong = SelectorError { position: self.at(), problem: Problem::Number };
        if let Some(length) = self.floating() {
            let digits = std::str::from_utf8(self.take(length)).unwrap_or_default();
            return digits.parse().map(|value| Kind::Number(Constant::Double(value))).map_err(|_| wrong);
        }
        let (start, radix, length) = match self.rest {
            [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => {
                (2, 16, self.run(2, |byte| byte.is_ascii_hexdigit()))
            }
            [b'0', ..] => (0, 8, self.run(0, |byte| matches!(byte, b'0'..=b'7'))),
            _ => (0, 10, self.run(0, |byte| byte.is_ascii_digit())),
        };
        self.take(start);
        let digits = std::str::from_utf8(self.take(length)).unwrap_or_default();
        if radix == 10 {
            if let [b'l' | b'L', ..] = self.rest {
                self.take(1);
            }
            return Ok(Kind::Number(decimal(digits)));
        }
        let value = i64::from_str_radix(digits, radix).map_err(|_| wrong)?;
        Ok(Kind::Number(Constant::integer(value)))
    }

    /// The length of a floating-point literal, if here is one: it has a point or an exponent.
    fn floating(&self) -> Option<usize> {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let mut length = self.run(0, is_digit);
        let has_point = self.rest.get(length) == Some(&b'.');
        if has_point {
            length += 1;
            length += self.run(length, is_digit);
        }
        let mut exponent = length;
        if matches!(self.rest.get(exponent), Some(b'e' | b'E')) {
            exponent += 1;
            exponent += usize::from(matches!(self.rest.get(exponent), Some(b'+' | b'-')));
            let digits = self.run(exponent, is_digit);
            if digits > 0 {
                return Some(exponent + digits);
            }
        }
        has_point.then_some(length)
    }
}

/// A decimal integer of any length. One beyond 64 bits whose low 64 are an int is that int, as in Java.
fn decimal(digits: &str) -> Constant {
    if let Ok(value) = digits.parse() {
        return Constant::integer(value);
    }
    let low = digits.bytes().fold(0_i64, |low, digit| low.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')));
    match Constant::integer(low) {
        Constant::Int(value) => Constant::Int(value),
        // What is beyond 128 bits keeps its low 64, which arithmetic sees.
        _ => Constant::Big(digits.parse().unwrap_or(i128::MAX ^ i128::from(!low.cast_unsigned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut found: Vec<Kind> =
            tokens(text.as_bytes(), 0, false).unwrap().into_iter().map(|token| token.kind).collect();
        assert_eq!(found.pop(), Some(Kind::End));
        found
    }

    fn number(text: &str) -> Constant {
        match kinds(text).as_slice() {
            [Kind::Number(value)] => value.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers() {
        let cases = [
            ("5", Constant::Int(5)),
            ("5L", Constant::Int(5)),
            ("0", Constant::Int(0)),
            ("017", Constant::Int(15)),
            ("0x1F", Constant::Int(31)),
            ("2147483647", Constant::Int(i32::MAX)),
            ("2147483648", Constant::Long(1 << 31)),
            ("9223372036854775807", Constant::Long(i64::MAX)),
            ("9223372036854775808", Constant::Big(1 << 63)),
            ("18446744073709551616", Constant::Int(0)),
            ("5.", Constant::Double(5.0)),
            (".5", Constant::Double(0.5)),
            ("5.E-1", Constant::Double(0.5)),
            ("5e1", Constant::Double(50.0)),
            ("09.5", Constant::Double(9.5)),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text}");
        }
        assert_eq!(kinds("09").len(), 2);
        assert_eq!(kinds("5E").len(), 2);
        assert_eq!(kinds("0x").len(), 2);
        let greatest = "9".repeat(50);
        let Constant::Big(value) = number(&greatest) else { panic!("{:?}", number(&greatest)) };
        assert_eq!(value >> 64, i128::MAX >> 64);
        assert_eq!(number(&value.to_string()), Constant::Big(value));
        assert_eq!(tokens(b"0xFFFFFFFFFFFFFFFF", 7, false).unwrap_err().position, 7);
    }

    #[test]
    fn comments_and_what_looks_like_one() {
        assert_eq!(kinds("a -- b\n + /* c **/ d").len(), 3);
        assert_eq!(kinds("a--5").len(), 4);
        assert_eq!(kinds("a /* b").len(), 4);
    }

    #[test]
    fn texts_and_names() {
        assert_eq!(kinds("'it''s'"), [Kind::Text(b"it's".to_vec())]);
        assert_eq!(kinds("''"), [Kind::Text(Vec::new())]);
        assert_eq!(tokens(b"a = 'b", 3, false).unwrap_err().position, 7);
        assert_eq!(kinds("iN"), [Kind::Keyword(Keyword::In)]);
        assert_eq!(kinds("$a-b").len(), 3);
        assert_eq!(tokens(b"$a-b", 0, true).unwrap().len(), 2);
        assert_eq!(tokens("a\u{e9}".as_bytes(), 0, true).unwrap_err().problem, Problem::Byte(0xC3));
    }
}
