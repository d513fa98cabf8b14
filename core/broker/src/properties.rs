//! A message's properties as its client has marshalled them: a count, then names with values.

/// Longest nesting of maps and lists.
const DEPTH: u32 = 16;

/// How many entries there are, and their bytes. None: it is not what it should be, and nobody can add to it.
///
/// A count below zero is no map at all, and what stands behind the last entry is read by nobody: both as ActiveMQ has it.
pub(crate) fn entries(properties: &[u8]) -> Option<(u32, &[u8])> {
    let (count, entries) = number(properties)?;
    let count = u32::try_from(count).unwrap_or(0);
    let rest = skip_entries(count, entries, DEPTH)?;
    Some((count, entries.get(..entries.len() - rest.len())?))
}

fn number(bytes: &[u8]) -> Option<(i32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(head, rest)| (i32::from_be_bytes(*head), rest))
}

fn skip_entries(count: u32, mut bytes: &[u8], depth: u32) -> Option<&[u8]> {
    for _ in 0..count {
        bytes = skip_value(skip_short(bytes)?, depth)?;
    }
    Some(bytes)
}

/// Bytes with their length in two bytes before them.
fn skip_short(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*length))..)
}

/// Bytes with their length in four bytes before them.
fn skip_long(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = number(bytes)?;
    rest.get(usize::try_from(length).ok()?..)
}

/// A value, by its tag.
fn skip_value(bytes: &[u8], depth: u32) -> Option<&[u8]> {
    let depth = depth.checked_sub(1)?;
    let (tag, rest) = bytes.split_first()?;
    match tag {
        0 => Some(rest),
        1 | 2 => rest.get(1..),
        3 | 4 => rest.get(2..),
        5 | 8 => rest.get(4..),
        6 | 7 => rest.get(8..),
        9 => skip_short(rest),
        10 | 13 => skip_long(rest),
        11 => number(rest).and_then(|(count, entries)| skip_entries(u32::try_from(count).unwrap_or(0), entries, depth)),
        12 => {
            let (count, mut values) = number(rest)?;
            for _ in 0..count {
                values = skip_value(values, depth)?;
            }
            Some(values)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_as_they_are_read() {
        let one: &[u8] = b"\0\x01a\x01\x01";
        let text: &[u8] = b"\0\x01b\x09\0\x02xy";
        let nested: &[u8] = b"\0\x01c\x0b\0\0\0\x01\0\x01a\x01\x01";
        let list: &[u8] = b"\0\x01d\x0c\0\0\0\x02\x05\0\0\0\x01\0";
        let all = [one, text, nested, list].concat();
        let map = |count: i32, bytes: &[u8]| [&count.to_be_bytes()[..], bytes].concat();
        assert_eq!(entries(&map(4, &all)), Some((4, &all[..])));
        assert_eq!(entries(&map(1, &all)), Some((1, one)), "what is behind the last entry counts for nobody");
        assert_eq!(entries(&map(0, &[])), Some((0, &[][..])));
        assert_eq!(entries(&map(-1, one)), Some((0, &[][..])));
        for (count, bytes) in [(2, one), (i32::MAX, one), (1, &one[..4]), (1, b"\0\x01a\x63".as_slice())] {
            assert_eq!(entries(&map(count, bytes)), None, "{count} {bytes:?}");
        }
        assert_eq!(entries(&[0, 0, 1]), None);
        let deep = b"\x0c\0\0\0\x01".repeat(1_000);
        assert_eq!(entries(&map(1, &[b"\0\x01a".as_slice(), &deep].concat())), None);
    }
}
