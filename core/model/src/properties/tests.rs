use super::writer::BIG_STRING_UNITS;
use super::*;
use proptest::prelude::*;

#[test]
fn every_type_comes_back() {
    let long = vec![b'x'; BIG_STRING_UNITS];
    let mut inner = Vec::new();
    PropertiesWriter::new(&mut inner).entry(b"deep", Value::Char(0xFFFF));
    let values = [
        Value::Null,
        Value::Boolean(true),
        Value::Byte(-1),
        Value::Char(0xD800),
        Value::Short(-2),
        Value::Int(i32::MIN),
        Value::Long(i64::MAX),
        Value::Double(-0.5),
        Value::Float(1.1),
        Value::String(b""),
        Value::String(&long[1..]),
        Value::String(&long),
        Value::Bytes(b"\0\xFF"),
        Value::Map(Properties::new(&inner).unwrap()),
        Value::List(List { count: 2, values: &[tag::NULL, tag::BYTE, 1] }),
    ];
    let mut out = Vec::new();
    let mut writer = PropertiesWriter::new(&mut out);
    values.iter().for_each(|value| _ = writer.entry(b"name", *value));
    let map = Properties::new(&out).unwrap();
    assert_eq!(map.len(), values.len());
    let read: Vec<_> = map.iter().map(|entry| entry.unwrap().value).collect();
    assert_eq!(read, values);

    let mut copy = Vec::new();
    let mut writer = PropertiesWriter::new(&mut copy);
    map.iter().for_each(|entry| _ = writer.copy(&entry.unwrap()));
    assert_eq!(copy, out);
}

#[test]
fn named_values_are_picked_in_one_pass() {
    let mut bytes = Vec::new();
    let inner = [0, 0, 0, 1, 0, 1, b'a', tag::NULL];
    PropertiesWriter::new(&mut bytes)
        .entry(b"a", Value::Int(1))
        .entry(b"m", Value::Map(Properties::new(&inner).unwrap()))
        .entry(b"b", Value::Int(2))
        .entry(b"a", Value::Int(3));
    let pick = |bytes: &[u8]| {
        let mut places = [Value::Null; 2];
        Properties::new(bytes)?
            .pick(&mut places, |name| [&b"b"[..], b"a", b"m"].iter().position(|known| *known == name))?;
        let int = |value| if let Value::Int(value) = value { value } else { 0 };
        Ok::<_, PropertyError>(places.map(int))
    };
    assert_eq!(pick(&bytes), Ok([2, 3]), "the last of a name, and nothing of what is nested");
    for length in 0..bytes.len() {
        assert!(pick(&bytes[..length]).is_err(), "{length} bytes");
    }
}

/// These bytes lie in data directories.
#[test]
fn the_form_is_held_by_its_bytes() {
    let mut out = Vec::new();
    let inner = [0, 0, 0, 1, 0, 1, b'k', tag::NULL];
    PropertiesWriter::new(&mut out)
        .entry(b"b", Value::Boolean(true))
        .entry(b"c", Value::Char(0x20AC))
        .entry(b"l", Value::Long(-2))
        .entry(b"f", Value::Float(1.0))
        .entry(b"s", Value::String(b"xy"))
        .entry(b"y", Value::Bytes(b"z"))
        .entry(b"m", Value::Map(Properties::new(&inner).unwrap()));
    let expected = [
        b"\0\0\0\x07\0\x01b\x01\x01\0\x01c\x03\x20\xAC\0\x01l\x06\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE".as_slice(),
        b"\0\x01f\x08\x3F\x80\0\0\0\x01s\x09\0\x02xy\0\x01y\x0A\0\0\0\x01z\0\x01m\x0B\0\0\0\x01\0\x01k\0",
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn names_are_found_and_missing_ones_are_not() {
    let mut out = Vec::new();
    PropertiesWriter::new(&mut out).entry(b"a", Value::Int(1)).entry(b"b", Value::Null).entry(b"a", Value::Int(2));
    let map = Properties::new(&out).unwrap();
    assert_eq!(map.get(b"a"), Ok(Some(Value::Int(2))));
    assert_eq!(map.get(b"b"), Ok(Some(Value::Null)));
    assert_eq!(map.get(b"c"), Ok(None));
    assert_eq!(Properties::new(&out[..out.len() - 1]).unwrap().get(b"c"), Err(PropertyError::Truncated));
    assert!(Properties::new(&[0xFF; 4]).unwrap().is_empty());
}

#[test]
fn strings_are_big_by_their_utf_16_length() {
    let mut out = Vec::new();
    Value::String(&"\u{20ac}".repeat(BIG_STRING_UNITS - 1).into_bytes()).write(&mut out);
    assert_eq!(out[0], tag::STRING);
    out.clear();
    Value::String(&"\u{20ac}".repeat(BIG_STRING_UNITS).into_bytes()).write(&mut out);
    assert_eq!(out[0], tag::BIG_STRING);
}

#[test]
fn counts_are_checked_against_what_is_left() {
    assert_eq!(Properties::new(&[0, 0, 0]), Err(PropertyError::Truncated));
    assert_eq!(Properties::new(&[0, 0, 0, 1]), Err(PropertyError::BadLength(1)));
    assert_eq!(Properties::new(&[0xFF, 0xFF, 0xFF, 0xFE]).map(|map| map.len()), Ok(0));
    let list = [0, 0, 0, 1, 0, 0, tag::LIST, 0x7F, 0xFF, 0xFF, 0xFF, 0];
    let items: Vec<_> = Properties::new(&list).unwrap().iter().collect();
    assert_eq!(items, [Err(PropertyError::BadLength(i32::MAX))]);
    let unknown: Vec<_> = stream(&[tag::NULL, 14, tag::NULL]).collect();
    assert_eq!(unknown, [Ok(Value::Null), Err(PropertyError::UnknownTag(14))]);
}

#[test]
fn nesting_is_limited() {
    let nest = |depth: usize| {
        let mut content = [tag::LIST, 0, 0, 0, 1].repeat(depth);
        content.push(tag::NULL);
        content
    };
    assert!(stream(&nest(NESTING_LIMIT)).next().unwrap().is_ok());
    assert_eq!(stream(&nest(NESTING_LIMIT + 1)).next().unwrap(), Err(PropertyError::TooDeep));
    assert_eq!(stream(&nest(100_000)).next().unwrap(), Err(PropertyError::TooDeep));
}

#[test]
fn a_map_is_whole_or_not() {
    let one: &[u8] = b"\0\x01a\x01\x01";
    let text: &[u8] = b"\0\x01b\x09\0\x02xy";
    let nested: &[u8] = b"\0\x01c\x0b\0\0\0\x01\0\x01a\x01\x01";
    let list: &[u8] = b"\0\x01d\x0c\0\0\0\x02\x05\0\0\0\x01\0";
    let all = [one, text, nested, list].concat();
    let map = |count: i32, bytes: &[u8]| [&count.to_be_bytes()[..], bytes].concat();
    let whole = |bytes: &[u8], most: u32| {
        let whole = Properties::new(bytes)?.whole(most)?;
        Ok((whole.count, whole.entries.to_vec()))
    };
    assert_eq!(whole(&map(4, &all), 7), Ok((4, all.clone())));
    assert_eq!(whole(&map(4, &all), 6), Err(PropertyError::TooMany));
    assert_eq!(whole(&map(1, &all), 7), Ok((1, one.to_vec())), "what is behind the last entry counts for nobody");
    assert_eq!(whole(&map(0, &[]), 0), Ok((0, vec![])));
    assert_eq!(whole(&map(-1, one), 0), Ok((0, vec![])));
    for (count, bytes) in [(2, one), (i32::MAX, one), (1, &one[..4]), (1, b"\0\x01a\x63".as_slice())] {
        assert!(whole(&map(count, bytes), 7).is_err(), "{count} {bytes:?}");
    }
}

/// What a map holds, read by recursion and kept in memory.
#[derive(Clone, PartialEq, Debug)]
enum Tree {
    /// Tag and bytes of a value of fixed length.
    Fixed(u8, Vec<u8>),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Map(Vec<(Vec<u8>, Tree)>),
    List(Vec<Tree>),
}

impl Tree {
    fn write(&self, out: &mut Vec<u8>) {
        let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
        match self {
            Tree::Fixed(tag, bytes) => out.extend([&[*tag][..], bytes].concat()),
            Tree::Text(text) if text.len() % 2 == 0 => {
                out.extend([&[9], &u16::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat());
            }
            Tree::Text(text) => out.extend([&[13], &length(text.len())[..], text].concat()),
            Tree::Bytes(bytes) => out.extend([&[10], &length(bytes.len())[..], bytes].concat()),
            Tree::Map(entries) => {
                out.push(11);
                Tree::write_map(entries, out);
            }
            Tree::List(values) => {
                out.extend([&[12], &length(values.len())[..]].concat());
                values.iter().for_each(|value| value.write(out));
            }
        }
    }

    fn write_map(entries: &[(Vec<u8>, Tree)], out: &mut Vec<u8>) {
        out.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        for (name, value) in entries {
            out.extend([&u16::try_from(name.len()).unwrap().to_be_bytes()[..], name].concat());
            value.write(out);
        }
    }

    fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (head, tail) = bytes.split_at_checked(length)?;
        *bytes = tail;
        Some(head)
    }

    fn number(bytes: &mut &[u8], length: usize) -> Option<i64> {
        let head = Tree::split(bytes, length)?;
        let number = head.iter().fold(0, |number, byte| number << 8 | i64::from(*byte));
        Some(if length == 4 { i64::from(number as u32 as i32) } else { number })
    }

    fn counted(bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        let length = Tree::number(bytes, length)?;
        Tree::split(bytes, usize::try_from(length).ok()?).map(<[u8]>::to_vec)
    }

    fn read_map(bytes: &mut &[u8], depth: usize) -> Option<Vec<(Vec<u8>, Tree)>> {
        let count = Tree::number(bytes, 4)?;
        (0..count).map(|_| Some((Tree::counted(bytes, 2)?, Tree::read(bytes, depth)?))).collect()
    }

    fn read(bytes: &mut &[u8], depth: usize) -> Option<Tree> {
        let tag = Tree::split(bytes, 1)?[0];
        let fixed = |bytes: &mut &[u8], length| Some(Tree::Fixed(tag, Tree::split(bytes, length)?.to_vec()));
        match tag {
            0 => fixed(bytes, 0),
            1 | 2 => fixed(bytes, 1),
            3 | 4 => fixed(bytes, 2),
            5 | 8 => fixed(bytes, 4),
            6 | 7 => fixed(bytes, 8),
            9 => Some(Tree::Text(Tree::counted(bytes, 2)?)),
            13 => Some(Tree::Text(Tree::counted(bytes, 4)?)),
            10 => Some(Tree::Bytes(Tree::counted(bytes, 4)?)),
            11 => Some(Tree::Map(Tree::read_map(bytes, depth.checked_sub(1)?)?)),
            12 => {
                let count = Tree::number(bytes, 4)?;
                let depth = depth.checked_sub(1)?;
                Some(Tree::List((0..count).map(|_| Tree::read(bytes, depth)).collect::<Option<_>>()?))
            }
            _ => None,
        }
    }

    /// The same from what reads in place; None at an error.
    fn of(value: Value<'_>) -> Option<Tree> {
        let fixed = |tag: u8, bytes: &[u8]| Some(Tree::Fixed(tag, bytes.to_vec()));
        match value {
            Value::Null => fixed(0, &[]),
            Value::Boolean(value) => fixed(1, &[u8::from(value)]),
            Value::Byte(value) => fixed(2, &value.to_be_bytes()),
            Value::Char(value) => fixed(3, &value.to_be_bytes()),
            Value::Short(value) => fixed(4, &value.to_be_bytes()),
            Value::Int(value) => fixed(5, &value.to_be_bytes()),
            Value::Long(value) => fixed(6, &value.to_be_bytes()),
            Value::Double(value) => fixed(7, &value.to_bits().to_be_bytes()),
            Value::Float(value) => fixed(8, &value.to_bits().to_be_bytes()),
            Value::String(text) => Some(Tree::Text(text.to_vec())),
            Value::Bytes(bytes) => Some(Tree::Bytes(bytes.to_vec())),
            Value::Map(map) => Some(Tree::Map(Tree::of_map(map)?)),
            Value::List(list) => {
                Some(Tree::List(list.iter().map(|value| Tree::of(value.ok()?)).collect::<Option<_>>()?))
            }
        }
    }

    fn of_map(map: Properties<'_>) -> Option<Vec<(Vec<u8>, Tree)>> {
        map.iter()
            .map(|entry| entry.ok().and_then(|entry| Some((entry.name.to_vec(), Tree::of(entry.value)?))))
            .collect()
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..6);
    let fixed =
        |tag: u8, length| prop::collection::vec(any::<u8>(), length).prop_map(move |bytes| Tree::Fixed(tag, bytes));
    let leaf = prop_oneof![
        Just(Tree::Fixed(0, vec![])),
        any::<bool>().prop_map(|value| Tree::Fixed(1, vec![u8::from(value)])),
        fixed(2, 1),
        fixed(3, 2),
        fixed(4, 2),
        fixed(5, 4),
        fixed(6, 8),
        fixed(7, 8),
        fixed(8, 4),
        bytes().prop_map(Tree::Text),
        bytes().prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec((prop::collection::vec(any::<u8>(), 0..4), inner.clone()), 0..5).prop_map(Tree::Map),
            prop::collection::vec(inner, 0..5).prop_map(Tree::List),
        ]
    })
}

fn maps() -> impl Strategy<Value = Vec<(Vec<u8>, Tree)>> {
    prop::collection::vec((prop::collection::vec(any::<u8>(), 0..4), trees()), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_in_place_is_what_was_written(entries in maps(), behind in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut bytes = Vec::new();
        Tree::write_map(&entries, &mut bytes);
        let length = bytes.len();
        bytes.extend(behind);
        let map = Properties::new(&bytes).unwrap();
        prop_assert_eq!(Tree::of_map(map), Some(entries.clone()));
        for (name, _) in &entries {
            let last = &entries.iter().rfind(|(other, _)| other == name).unwrap().1;
            let found = Tree::of(map.get(name).unwrap().unwrap());
            prop_assert_eq!(found.as_ref(), Some(last));
        }
        let mut copy = Vec::new();
        PropertiesWriter::new(&mut copy).copy_all(&map.whole(u32::MAX).unwrap());
        prop_assert_eq!(&copy, &bytes[..length]);
        let mut again = Vec::new();
        let mut writer = PropertiesWriter::new(&mut again);
        map.iter().map(Result::unwrap).for_each(|entry| _ = writer.entry(entry.name, entry.value));
        prop_assert_eq!(Tree::of_map(Properties::new(&again).unwrap()), Some(entries));
    }

    /// One or two bytes of a map are others, or it ends early: both readers take the same, or nothing.
    #[test]
    fn what_is_wrong_is_seen(
        entries in maps(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        end in any::<prop::sample::Index>(),
        ends in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        Tree::write_map(&entries, &mut bytes);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if ends {
            bytes.truncate(end.index(bytes.len()));
        }
        let mut rest = &bytes[..];
        let expected = Tree::read_map(&mut rest, NESTING_LIMIT);
        // Any byte but 0 is true.
        let expected = expected.map(|entries| entries.into_iter().map(|(name, tree)| (name, plain(tree))).collect::<Vec<_>>());
        let read = Properties::new(&bytes).ok().and_then(Tree::of_map);
        prop_assert_eq!(read, expected);
        let whole = Properties::new(&bytes).and_then(|map| map.whole(u32::MAX));
        prop_assert_eq!(whole.is_ok(), Properties::new(&bytes).is_ok_and(|map| map.iter().all(|entry| entry.is_ok())));
        if let Ok(whole) = whole {
            let most = u32::try_from(bytes.len()).unwrap();
            prop_assert!(Properties::new(&bytes).unwrap().whole(most).is_ok(), "a value has a byte");
            prop_assert!(bytes[4..].starts_with(whole.entries));
        }
    }

    #[test]
    fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Properties::new(&bytes).map(|map| (Tree::of_map(map), map.whole(8).is_ok(), map.get(&bytes)));
        stream(&bytes).for_each(|value| _ = value.map(Tree::of));
    }
}

fn plain(tree: Tree) -> Tree {
    match tree {
        Tree::Fixed(1, bytes) => Tree::Fixed(1, vec![u8::from(bytes != [0])]),
        Tree::Map(entries) => Tree::Map(entries.into_iter().map(|(name, tree)| (name, plain(tree))).collect()),
        Tree::List(values) => Tree::List(values.into_iter().map(plain).collect()),
        other => other,
    }
}
