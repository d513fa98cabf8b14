//! Wildcards in a consumer's destination.
//!
//! Names are paths of elements between dots. `*` is any one element; `>` as the last element is any number of further ones,
//! none included. They are special as whole elements only.

use crate::destination::Destination;

/// Whether a consumer of `pattern` gets what is sent to `destination`.
#[must_use]
pub fn matches(pattern: &Destination, destination: &Destination) -> bool {
    pattern.kind == destination.kind && name_matches(&pattern.name, &destination.name)
}

/// Whether the name fits the pattern.
///
/// ActiveMQ lets an element of the *name* that is a literal `*` match anything when the pattern ends in `>`; so does this.
#[must_use]
pub fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let pattern = without_repeated_tail(pattern);
    let dot = |byte: &u8| *byte == b'.';
    let mut names = name.split(dot);
    let mut patterns = pattern.split(dot).peekable();
    let open = pattern == b">" || pattern.ends_with(b".>");
    while let Some(element) = patterns.next() {
        if open && patterns.peek().is_none() {
            return true;
        }
        match names.next() {
            Some(name) if element == b"*" || element == name || (open && name == b"*") => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// `a.>.>` says what `a.>` says.
fn without_repeated_tail(mut pattern: &[u8]) -> &[u8] {
    while let Some(shorter) = pattern.strip_suffix(b".>")
        && (shorter == b">" || shorter.ends_with(b".>"))
    {
        pattern = shorter;
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_match_as_documented() {
        let table = [
            ("a", "a", true),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a", true),
            ("a.>", "a.b.c", true),
            (">", "x.y", true),
            ("a.*.>", "a", false),
            ("a.*.>", "a.b", true),
            ("a..b", "a..b", true),
            ("a.b*", "a.bc", false),
            ("A", "a", false),
            ("a.>.>", "a", true),
            ("b>.>", "b>", true),
            ("b>.>", "b", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(name_matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} against {name}");
        }
    }
}
