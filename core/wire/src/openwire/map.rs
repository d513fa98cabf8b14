//! The primitive map: marshalledProperties, the bodies of MapMessages, and what a WireFormatInfo offers.
//!
//! Reading is lazy: nothing is allocated, and an entry is only looked at when the iteration comes to it. Strings are
//! Modified UTF-8; the order of entries is kept.

use super::{Fault, Reader, modified_utf8, writer};

/// How deep maps and lists may be nested in each other: ActiveMQ's own limit.
const NESTING_LIMIT: usize = 127;
/// Strings of fewer UTF-16 units have a 16-bit length, longer ones a 32-bit one, as Java writes them.
const BIG_STRING_UNITS: usize = 8191;
/// The least bytes of an entry: an empty name and a null.
const LEAST_ENTRY: usize = 3;

mod tag {
    pub const NULL: u8 = 0;
    pub const BOOLEAN: u8 = 1;
    pub const BYTE: u8 = 2;
    pub const CHAR: u8 = 3;
    pub const SHORT: u8 = 4;
    pub const INT: u8 = 5;
    pub const LONG: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const FLOAT: u8 = 8;
    pub const STRING: u8 = 9;
    pub const BYTES: u8 = 10;
    pub const MAP: u8 = 11;
    pub const LIST: u8 = 12;
    pub const BIG_STRING: u8 = 13;
}

/// A value of a map, a list, or a StreamMessage's body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Primitive<'a> {
    /// Nothing.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An int8.
    Byte(i8),
    /// A UTF-16 unit.
    Char(u16),
    /// An int16.
    Short(i16),
    /// An int32.
    Int(i32),
    /// An int64.
    Long(i64),
    /// IEEE 754, 64 bits.
    Double(f64),
    /// IEEE 754, 32 bits.
    Float(f32),
    /// Modified UTF-8, checked.
    String(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A map in the map.
    Map(PrimitiveMap<'a>),
    /// A list in the map.
    List(PrimitiveList<'a>),
}

/// A map in its wire form: all of its entries, whole and well-formed only as far as they have been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimitiveMap<'a> {
    count: usize,
    entries: &'a [u8],
}

/// One entry of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// The name: Modified UTF-8.
    pub name: &'a [u8],
    /// The value.
    pub value: Primitive<'a>,
    /// The entry's own bytes, to be copied as they are.
    pub raw: &'a [u8],
}

impl<'a> PrimitiveMap<'a> {
    /// The map that `bytes` begin with. A count of -1 means that there is no map, which reads as an empty one.
    pub fn new(bytes: &'a [u8]) -> Result<PrimitiveMap<'a>, Fault> {
        let mut reader = Reader::new(bytes);
        let count = count(&mut reader, LEAST_ENTRY)?;
        Ok(PrimitiveMap { count, entries: reader.rest() })
    }

    /// How many entries it says it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entries in the order of the wire. The first error is the last item.
    pub fn iter(&self) -> impl Iterator<Item = Result<Entry<'a>, Fault>> + use<'a> {
        items(self.count, self.entries, |reader| {
            let start = reader.rest();
            let name = reader.modified_utf8()?;
            let value = value(reader)?;
            Ok(Entry { name, value, raw: taken(start, reader) })
        })
    }

    /// The value of a name, None if it is missing. It is looked for from the front.
    pub fn get(&self, name: &[u8]) -> Result<Option<Primitive<'a>>, Fault> {
        let found = self.iter().find(|entry| entry.as_ref().map_or(true, |entry| entry.name == name));
        found.transpose().map(|entry| entry.map(|entry| entry.value))
    }
}

/// A list in its wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimitiveList<'a> {
    count: usize,
    values: &'a [u8],
}

impl<'a> PrimitiveList<'a> {
    /// How many values it says it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in order. The first error is the last item.
    pub fn iter(&self) -> impl Iterator<Item = Result<Primitive<'a>, Fault>> + use<'a> {
        items(self.count, self.values, value)
    }
}

/// The values of a StreamMessage's body, to its end. The first error is the last item.
pub fn stream(body: &[u8]) -> impl Iterator<Item = Result<Primitive<'_>, Fault>> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || (!reader.rest().is_empty()).then(|| ending(&mut reader, value)))
}

fn items<'a, T>(
    count: usize,
    bytes: &'a [u8],
    read: impl Fn(&mut Reader<'a>) -> Result<T, Fault>,
) -> impl Iterator<Item = Result<T, Fault>> {
    let mut reader = Reader::new(bytes);
    let mut left = count;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let item = ending(&mut reader, &read);
        if item.is_err() {
            left = 0;
        }
        Some(item)
    })
}

/// Reads an item; after an error there is nothing left to read.
fn ending<'a, T>(reader: &mut Reader<'a>, read: impl Fn(&mut Reader<'a>) -> Result<T, Fault>) -> Result<T, Fault> {
    let item = read(reader);
    if item.is_err() {
        *reader = Reader::new(&[]);
    }
    item
}

/// A value with its tag. Nested maps and lists are stepped over once, to find their end.
fn value<'a>(reader: &mut Reader<'a>) -> Result<Primitive<'a>, Fault> {
    Ok(match reader.code()? {
        tag::NULL => Primitive::Null,
        tag::BOOLEAN => Primitive::Boolean(reader.loose_bool()?),
        tag::BYTE => Primitive::Byte(reader.byte()?),
        tag::CHAR => Primitive::Char(reader.short()? as u16),
        tag::SHORT => Primitive::Short(reader.short()?),
        tag::INT => Primitive::Int(reader.int()?),
        tag::LONG => Primitive::Long(reader.loose_long()?),
        tag::DOUBLE => Primitive::Double(f64::from_be_bytes(reader.array()?)),
        tag::FLOAT => Primitive::Float(f32::from_be_bytes(reader.array()?)),
        tag::STRING => Primitive::String(reader.modified_utf8()?),
        tag::BIG_STRING => Primitive::String(big_string(reader)?),
        tag::BYTES => Primitive::Bytes(reader.counted_bytes()?),
        tag::MAP => {
            let (count, entries) = nested(reader, true)?;
            Primitive::Map(PrimitiveMap { count, entries })
        }
        tag::LIST => {
            let (count, values) = nested(reader, false)?;
            Primitive::List(PrimitiveList { count, values })
        }
        other => return Err(Fault::UnknownTag(other)),
    })
}

fn big_string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Fault> {
    let bytes = reader.counted_bytes()?;
    if modified_utf8::is_valid(bytes) { Ok(bytes) } else { Err(Fault::BadString) }
}

/// The count and the bytes of a nested map or list. What it holds is on a stack of counts, not of calls.
fn nested<'a>(reader: &mut Reader<'a>, is_map: bool) -> Result<(usize, &'a [u8]), Fault> {
    let first = count(reader, if is_map { LEAST_ENTRY } else { 1 })?;
    let start = reader.rest();
    let mut open = [(0, false); NESTING_LIMIT];
    open[0] = (first, is_map);
    let mut depth = 1;
    while depth > 0 {
        let Some((left, is_map)) = open.get_mut(depth - 1) else { break };
        if *left == 0 {
            depth -= 1;
            continue;
        }
        *left -= 1;
        if *is_map {
            reader.modified_utf8()?;
        }
        if let Some(inner) = skip(reader)? {
            *open.get_mut(depth).ok_or(Fault::TooDeep(NESTING_LIMIT))? = inner;
            depth += 1;
        }
    }
    Ok((first, taken(start, reader)))
}

/// What the reader has taken since `start` was its rest.
fn taken<'a>(start: &'a [u8], reader: &Reader<'a>) -> &'a [u8] {
    start.get(..start.len() - reader.rest().len()).unwrap_or_default()
}

/// Steps over one value; of a map or list only over its count, which is given back with whether it is a map.
fn skip(reader: &mut Reader<'_>) -> Result<Option<(usize, bool)>, Fault> {
    match reader.rest().first() {
        Some(&tag::MAP) => {
            reader.code()?;
            Ok(Some((count(reader, LEAST_ENTRY)?, true)))
        }
        Some(&tag::LIST) => {
            reader.code()?;
            Ok(Some((count(reader, 1)?, false)))
        }
        _ => value(reader).map(|_| None),
    }
}

/// A count of things of at least so many bytes each; -1 reads as 0.
fn count(reader: &mut Reader<'_>, least: usize) -> Result<usize, Fault> {
    let count = reader.int()?;
    if count == -1 {
        return Ok(0);
    }
    let most = reader.rest().len() / least;
    usize::try_from(count).ok().filter(|count| *count <= most).ok_or(Fault::BadLength(i64::from(count)))
}

impl Primitive<'_> {
    /// Appends the value with its tag.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Primitive::Null => out.push(tag::NULL),
            Primitive::Boolean(value) => out.extend_from_slice(&[tag::BOOLEAN, u8::from(value)]),
            Primitive::Byte(value) => out.extend_from_slice(&[tag::BYTE, value as u8]),
            Primitive::Char(value) => tagged(out, tag::CHAR, &value.to_be_bytes()),
            Primitive::Short(value) => tagged(out, tag::SHORT, &value.to_be_bytes()),
            Primitive::Int(value) => tagged(out, tag::INT, &value.to_be_bytes()),
            Primitive::Long(value) => tagged(out, tag::LONG, &value.to_be_bytes()),
            Primitive::Double(value) => tagged(out, tag::DOUBLE, &value.to_be_bytes()),
            Primitive::Float(value) => tagged(out, tag::FLOAT, &value.to_be_bytes()),
            Primitive::String(value) => string(out, value),
            Primitive::Bytes(value) => {
                out.push(tag::BYTES);
                writer::counted_bytes(out, value);
            }
            Primitive::Map(map) => counted(out, tag::MAP, map.count, map.entries),
            Primitive::List(list) => counted(out, tag::LIST, list.count, list.values),
        }
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it is the count of a map or list that was read, whose has 31 bits"
)]
fn counted(out: &mut Vec<u8>, tag: u8, count: usize, bytes: &[u8]) {
    out.push(tag);
    writer::int(out, count as i32);
    out.extend_from_slice(bytes);
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).ok().filter(|_| modified_utf8::utf16_length(bytes) < BIG_STRING_UNITS);
    if let Some(length) = length {
        out.push(tag::STRING);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
    } else {
        out.push(tag::BIG_STRING);
        writer::counted_bytes(out, bytes);
    }
}

/// Writes a map, entry by entry.
#[derive(Debug)]
pub struct MapWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count: i32,
}

impl<'o> MapWriter<'o> {
    /// Begins a map at the end of `out`; without an entry it is an empty one.
    pub fn new(out: &'o mut Vec<u8>) -> MapWriter<'o> {
        let start = out.len();
        writer::int(out, 0);
        MapWriter { out, start, count: 0 }
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// If the name is longer than its 16-bit length can say.
    #[expect(clippy::expect_used, reason = "names are constants, or were read with such a length")]
    pub fn entry(&mut self, name: &[u8], value: Primitive<'_>) -> &mut MapWriter<'o> {
        let length = u16::try_from(name.len()).expect("names are our own or were received");
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(name);
        value.write(self.out);
        self.counted()
    }

    /// Appends an entry as it was received.
    pub fn copy(&mut self, entry: &Entry<'_>) -> &mut MapWriter<'o> {
        self.out.extend_from_slice(entry.raw);
        self.counted()
    }

    fn counted(&mut self) -> &mut MapWriter<'o> {
        self.count += 1;
        writer::replace(self.out, self.start, self.count.to_be_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back() {
        let long = vec![b'x'; BIG_STRING_UNITS];
        let mut inner = Vec::new();
        MapWriter::new(&mut inner).entry(b"deep", Primitive::Char(0xFFFF));
        let values = [
            Primitive::Null,
            Primitive::Boolean(true),
            Primitive::Byte(-1),
            Primitive::Char(0xD800),
            Primitive::Short(-2),
            Primitive::Int(i32::MIN),
            Primitive::Long(i64::MAX),
            Primitive::Double(-0.5),
            Primitive::Float(1.1),
            Primitive::String(b""),
            Primitive::String(&long[1..]),
            Primitive::String(&long),
            Primitive::Bytes(b"\0\xFF"),
            Primitive::Map(PrimitiveMap::new(&inner).unwrap()),
            Primitive::List(PrimitiveList { count: 2, values: &[tag::NULL, tag::BYTE, 1] }),
        ];
        let mut out = Vec::new();
        let mut writer = MapWriter::new(&mut out);
        values.iter().for_each(|value| _ = writer.entry(b"name", *value));
        let map = PrimitiveMap::new(&out).unwrap();
        assert_eq!(map.len(), values.len());
        let read: Vec<_> = map.iter().map(|entry| entry.unwrap().value).collect();
        assert_eq!(read, values);

        let mut copy = Vec::new();
        let mut writer = MapWriter::new(&mut copy);
        map.iter().for_each(|entry| _ = writer.copy(&entry.unwrap()));
        assert_eq!(copy, out);
    }

    #[test]
    fn names_are_found_and_missing_ones_are_not() {
        let mut out = Vec::new();
        MapWriter::new(&mut out).entry(b"a", Primitive::Int(1)).entry(b"b", Primitive::Null);
        let map = PrimitiveMap::new(&out).unwrap();
        assert_eq!(map.get(b"a"), Ok(Some(Primitive::Int(1))));
        assert_eq!(map.get(b"b"), Ok(Some(Primitive::Null)));
        assert_eq!(map.get(b"c"), Ok(None));
        assert!(PrimitiveMap::new(&[0xFF; 4]).unwrap().is_empty());
    }

    #[test]
    fn strings_are_big_by_their_utf_16_length() {
        let mut out = Vec::new();
        Primitive::String(&"\u{20ac}".repeat(BIG_STRING_UNITS - 1).into_bytes()).write(&mut out);
        assert_eq!(out[0], tag::STRING);
        out.clear();
        Primitive::String(&"\u{20ac}".repeat(BIG_STRING_UNITS).into_bytes()).write(&mut out);
        assert_eq!(out[0], tag::BIG_STRING);
    }

    #[test]
    fn counts_are_checked_against_what_is_left() {
        assert_eq!(PrimitiveMap::new(&[0, 0, 0]), Err(Fault::Truncated));
        assert_eq!(PrimitiveMap::new(&[0, 0, 0, 1]), Err(Fault::BadLength(1)));
        assert_eq!(PrimitiveMap::new(&[0xFF, 0xFF, 0xFF, 0xFE]), Err(Fault::BadLength(-2)));
        let list = [0, 0, 0, 1, 0, 0, tag::LIST, 0x7F, 0xFF, 0xFF, 0xFF, 0];
        let items: Vec<_> = PrimitiveMap::new(&list).unwrap().iter().collect();
        assert_eq!(items, [Err(Fault::BadLength(i64::from(i32::MAX)))]);
        let unknown: Vec<_> = stream(&[tag::NULL, 14, tag::NULL]).collect();
        assert_eq!(unknown, [Ok(Primitive::Null), Err(Fault::UnknownTag(14))]);
    }

    #[test]
    fn nesting_is_limited() {
        let nest = |depth: usize| {
            let mut body = Vec::new();
            for _ in 0..depth {
                body.extend_from_slice(&[tag::LIST, 0, 0, 0, 1]);
            }
            body.push(tag::NULL);
            body
        };
        assert!(stream(&nest(NESTING_LIMIT)).next().unwrap().is_ok());
        assert_eq!(stream(&nest(NESTING_LIMIT + 1)).next().unwrap(), Err(Fault::TooDeep(NESTING_LIMIT)));
        assert_eq!(stream(&nest(100_000)).next().unwrap(), Err(Fault::TooDeep(NESTING_LIMIT)));
    }
}
