//! Regular expressions: what REGEX, SPLIT and REPLACE take, which is Java's, for the crate that reads another dialect.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};

use super::Fault;
use super::text::utf8;
use super::work::Work;

/// Bytes of a compiled pattern.
const COMPILED_LIMIT: usize = 64 * 1024;

/// Up to how many bytes all patterns count as the same.
const LEAST_COMPILED: usize = 1024;

/// So many bytes of a compiled pattern are looked at in the time of one of a text, where its tables do not fit.
const COMPILED_BYTES: usize = 64;

/// Bytes of the tables that searching makes of it.
const TABLES_LIMIT: usize = 256 * 1024;

/// A pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) source: Vec<u8>,
    regex: Regex,
    /// What a byte searched may cost.
    weight: usize,
}

impl Pattern {
    /// The reason if it cannot be read.
    pub(super) fn new(source: &[u8]) -> Result<Pattern, String> {
        let java = utf8(source);
        let translated = translate(&java)?;
        let mut builder = RegexBuilder::new(&translated);
        builder.crlf(true).dfa_size_limit(TABLES_LIMIT).nest_limit(64);
        // The crate does not say how large a pattern is, but whether it is larger than this.
        let mut limit = LEAST_COMPILED;
        loop {
            match builder.size_limit(limit).build() {
                Ok(regex) => return Ok(Pattern { source: source.to_vec(), regex, weight: limit / COMPILED_BYTES }),
                Err(regex::Error::CompiledTooBig(_)) if limit < COMPILED_LIMIT => limit *= 2,
                Err(error) => return Err(reason(&error)),
            }
        }
    }

    /// What a search mostly costs, beside one for a text as it is.
    pub(super) fn searches(&self) -> usize {
        1 + self.weight / COMPILED_BYTES
    }

    /// Bytes of memory that it takes at most, about.
    pub(super) fn memory(&self) -> usize {
        4 * self.weight * COMPILED_BYTES + TABLES_LIMIT
    }

    fn charge(&self, text: &str, work: &Work) -> Result<(), Fault> {
        work.take(text.len().saturating_mul(self.weight))
    }

    /// Whether it is found anywhere in the text.
    pub(super) fn is_found(&self, text: &str, work: &Work) -> Result<bool, Fault> {
        self.charge(text, work)?;
        Ok(self.regex.is_match(text))
    }

    /// The parts of a text between what is found. With a limit above 0 there are no more than that; at 0 empty ones at the end are
    /// left out.
    pub(super) fn split<'t>(&self, text: &'t str, limit: i32, work: &Work) -> Result<Vec<&'t str>, Fault> {
        self.charge(text, work)?;
        let most = usize::try_from(limit).ok().filter(|most| *most > 0);
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        let (mut parts, mut from) = (Vec::new(), 0);
        for found in self.regex.find_iter(text) {
            if most.is_some_and(|most| parts.len() + 1 >= most) {
                break;
            }
            if from == 0 && found.end() == 0 {
                continue;
            }
            work.take(size_of::<&str>())?;
            parts.push(part(from, found.start()));
            from = found.end();
        }
        if from == 0 {
            return Ok(vec![text]);
        }
        parts.push(part(from, text.len()));
        while limit == 0 && parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
        Ok(parts)
    }

    /// The text with all that is found replaced; `$1` and `${name}` in the replacement are groups of what was found, and a backslash
    /// makes plain what follows it.
    pub(super) fn replace(&self, text: &str, replacement: Option<&str>, work: &Work) -> Result<String, Fault> {
        self.charge(text, work)?;
        let (mut out, mut from) = (String::new(), 0);
        for found in self.regex.captures_iter(text) {
            let (whole, replacement) = (found.get(0).ok_or(Fault::Kind)?, replacement.ok_or(Fault::Kind)?);
            let before = out.len();
            out.push_str(text.get(from..whole.start()).unwrap_or_default());
            work.take(out.len() - before + 1)?;
            self.expand(replacement, &found, &mut out, work)?;
            from = whole.end();
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Ok(out)
    }

    fn expand(&self, replacement: &str, found: &Captures<'_>, out: &mut String, work: &Work) -> Result<(), Fault> {
        work.take(replacement.len())?;
        let mut rest = replacement;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            match letter {
                '\\' => {
                    let plain = rest.chars().next().ok_or(Fault::Kind)?;
                    out.push(plain);
                    rest = rest.get(plain.len_utf8()..).unwrap_or_default();
                }
                '$' => {
                    let (group, behind) = self.group(rest, found)?;
                    work.take(group.len())?;
                    out.push_str(group);
                    rest = behind;
                }
                _ => out.push(letter),
            }
        }
        Ok(())
    }

    /// The group that is named behind a `$`: by the longest number that is one, or by a name in braces.
    fn group<'c, 'r>(&self, rest: &'r str, found: &'c Captures<'_>) -> Result<(&'c str, &'r str), Fault> {
        if let Some((name, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            self.regex.capture_names().flatten().find(|known| *known == name).ok_or(Fault::Kind)?;
            return Ok((found.name(name).map_or("", |group| group.as_str()), behind));
        }
        let is_group = |digits: usize| {
            let number: usize = rest.get(..digits)?.parse().ok()?;
            (number < self.regex.captures_len()).then_some(number)
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count().min(4);
        let mut taken = None;
        for length in 1..=digits {
            let Some(number) = is_group(length) else { break };
            taken = Some((number, length));
        }
        let (number, length) = taken.ok_or(Fault::Kind)?;
        Ok((found.get(number).map_or("", |group| group.as_str()), rest.get(length..).unwrap_or_default()))
    }
}

/// One line of what the crate says.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("compiled it has more than {limit} bytes"),
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

/// Writes what Java means: `\d`, `\w`, `\s` and `\b` are of ASCII, and a quantifier with a `+` gives nothing back, which nothing here does.
fn translate(source: &str) -> Result<Cow<'_, str>, String> {
    if !source.contains(['\\', '+']) {
        return Ok(Cow::Borrowed(source));
    }
    let mut out = String::with_capacity(source.len() + 16);
    let mut letters = source.chars();
    // How deep in classes, and whether a quantifier has just ended.
    let (mut classes, mut is_quantified) = (0_usize, false);
    while let Some(letter) = letters.next() {
        let was_quantified = std::mem::replace(&mut is_quantified, false);
        match letter {
            '\\' => match letters.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[A-Za-z0-9_]"),
                Some('W') => out.push_str("[^A-Za-z0-9_]"),
                Some('s') => out.push_str("[\\x20\\t\\n\\x0B\\f\\r]"),
                Some('S') => out.push_str("[^\\x20\\t\\n\\x0B\\f\\r]"),
                Some('b') if classes == 0 => out.push_str("(?-u:\\b)"),
                Some('Q' | 'E' | 'G' | 'Z' | 'R' | 'X' | 'h' | 'H' | 'v' | 'V' | 'c' | 'k') => {
                    return Err("an escape that is not known".to_owned());
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '+' if was_quantified && classes == 0 => return Err("a possessive quantifier".to_owned()),
            _ => {
                match letter {
                    '[' => classes += 1,
                    ']' => classes = classes.saturating_sub(1),
                    '*' | '+' | '?' | '}' => is_quantified = classes == 0,
                    _ => {}
                }
                out.push(letter);
            }
        }
    }
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(source: &str) -> Pattern {
        Pattern::new(source.as_bytes()).unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    fn is_found(source: &str, text: &str) -> bool {
        pattern(source).is_found(text, &Work::default()).unwrap()
    }

    #[test]
    fn classes_are_of_ascii() {
        assert!(is_found("^\\d+$", "12") && !is_found("\\d", "\u{661}"));
        assert!(is_found("^[\\w.]+$", "a.b") && !is_found("\\w", "\u{e9}"));
        assert!(is_found("a\\sb", "a b") && !is_found("\\s", "\u{a0}"));
        assert!(is_found("\\bb", "a b") && is_found("^\u{e9}$", "\u{e9}") && is_found("^.$", "\u{20ac}"));
        assert!(is_found("(?i)v", "V") && !is_found("v", "V"));
        assert!(is_found("a+?b", "aab") && is_found("[+]+", "++") && is_found("a\\++", "a++"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for source in
            ["[", "(", "a++", "a*+", "(?=a)", "(?<!a)b", "(a)\\1", "\\Qa\\E", "a{9999999}", "(a{999}){999}", "\\"]
        {
            assert!(Pattern::new(source.as_bytes()).is_err(), "{source}");
        }
        assert!(!Pattern::new(b"(a{999}){999}").unwrap_err().contains('\n'));
        assert!(!Pattern::new(b"a(b").unwrap_err().contains('\n'));
    }

    #[test]
    fn the_longer_a_pattern_the_shorter_the_text() {
        let search = |source: &str, length: usize| pattern(source).is_found(&"ab".repeat(length / 2), &Work::default());
        assert_eq!(search("x[0-9]+", 128 * 1024), Ok(false));
        let large = "(a|b)*a(a|b){300}[ab]*c";
        assert_eq!(search(large, 4096), Ok(false));
        assert_eq!(search(large, 128 * 1024), Err(Fault::TooMuchWork));
    }

    #[test]
    fn parts_between_what_is_found() {
        let split =
            |text: &'static str, source: &str, limit| pattern(source).split(text, limit, &Work::default()).unwrap();
        assert_eq!(split("a,b,,", ",", 0), ["a", "b"]);
        assert_eq!(split("a,b,,", ",", -1), ["a", "b", "", ""]);
        assert_eq!(split("a,b,c", ",", 2), ["a", "b,c"]);
        assert_eq!(split("abc", "b", 1), ["abc"]);
        assert_eq!(split("", ",", 0), [""]);
        assert!(split(",", ",", 0).is_empty());
        assert_eq!(split(",a", ",", 0), ["", "a"]);
        assert_eq!(split("ab", "", 0), ["a", "b"]);
    }

    #[test]
    fn groups_in_replacements() {
        let replace = |text: &str, source: &str, by: &str| pattern(source).replace(text, Some(by), &Work::default());
        assert_eq!(replace("v5", "(v)", "$1$1").unwrap(), "vv5");
        assert_eq!(replace("v5", "(?<a>v)", "${a}x").unwrap(), "vx5");
        assert_eq!(replace("v5", "(v)", "$12").unwrap(), "v25");
        assert_eq!(replace("v5", "v", "\\$").unwrap(), "$5");
        assert_eq!(replace("a-b-c", "-", "").unwrap(), "abc");
        assert_eq!(pattern("x").replace("v5", None, &Work::default()).unwrap(), "v5");
        assert!(pattern("v").replace("v5", None, &Work::default()).is_err());
        for wrong in ["$1", "$", "${a}", "\\", "$x"] {
            assert_eq!(replace("v5", "v", wrong).unwrap_err(), Fault::Kind, "{wrong}");
        }
    }
}
