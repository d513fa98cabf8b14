//! A message's properties as its client has marshalled them: a count, then names with values.

/// Longest nesting of maps and lists.
const DEPTH: u32 = 16;

/// Most values that are looked at, nested ones included: some tenths of a millisecond.
const VALUES: u32 = 65_536;

/// How many entries there are, and their bytes. None: it is not what it should be, and nobody can add to it.
///
/// A count below zero is no map at all, and what stands behind the last entry is read by nobody: both as ActiveMQ has it.
pub(crate) fn entries(properties: &[u8]) -> Option<(u32, &[u8])> {
    let (count, entries) = number(properties)?;
    let count = u32::try_from(count).unwrap_or(0);
    let rest = Skip { values: VALUES, depth: DEPTH }.entries(count, entries)?;
    Some((count, entries.get(..entries.len() - rest.len())?))
}

fn number(bytes: &[u8]) -> Option<(i32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(head, rest)| (i32::from_be_bytes(*head), rest))
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

/// What the way through a map may still take.
struct Skip {
    values: u32,
    depth: u32,
}

impl Skip {
    fn entries<'a>(&mut self, count: u32, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        for _ in 0..count {
            bytes = self.value(skip_short(bytes)?)?;
        }
        Some(bytes)
    }

    fn list<'a>(&mut self, count: i32, mut values: &'a [u8]) -> Option<&'a [u8]> {
        for _ in 0..count {
            values = self.value(values)?;
        }
        Some(values)
    }

    /// A value, by its tag.
    fn value<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.values = self.values.checked_sub(1)?;
        self.depth = self.depth.checked_sub(1)?;
        let (tag, rest) = bytes.split_first()?;
        let rest = match tag {
            0 => Some(rest),
            1 | 2 => rest.get(1..),
            3 | 4 => rest.get(2..),
            5 | 8 => rest.get(4..),
            6 | 7 => rest.get(8..),
            9 => skip_short(rest),
            10 | 13 => skip_long(rest),
            11 => number(rest).and_then(|(count, entries)| self.entries(u32::try_from(count).unwrap_or(0), entries)),
            12 => number(rest).and_then(|(count, values)| self.list(count, values)),
            _ => None,
        };
        self.depth += 1;
        rest
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
        for (count, is_read) in [(65_535, true), (65_536, false)] {
            let list = [b"\0\x01d\x0c".as_slice(), &i32::to_be_bytes(count), &vec![0; count as usize]].concat();
            assert_eq!(entries(&map(1, &list)).is_some(), is_read, "{count} values and their list");
        }
    }
}
