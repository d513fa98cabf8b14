//! Writing maps and values.

use super::{Property, Value, Whole, tag};
use crate::modified_utf8;

/// Strings of fewer UTF-16 units have a short length, longer ones a long one. A reader takes both at any length.
pub(super) const BIG_STRING_UNITS: usize = 8191;

impl Value<'_> {
    /// Appends the value with its tag.
    ///
    /// # Panics
    /// If a text or bytes are longer than 2^31 bytes, which no frame holds.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Value::Null => out.push(tag::NULL),
            Value::Boolean(value) => out.extend_from_slice(&[tag::BOOLEAN, u8::from(value)]),
            Value::Byte(value) => tagged(out, tag::BYTE, &value.to_be_bytes()),
            Value::Char(value) => tagged(out, tag::CHAR, &value.to_be_bytes()),
            Value::Short(value) => tagged(out, tag::SHORT, &value.to_be_bytes()),
            Value::Int(value) => tagged(out, tag::INT, &value.to_be_bytes()),
            Value::Long(value) => tagged(out, tag::LONG, &value.to_be_bytes()),
            Value::Double(value) => tagged(out, tag::DOUBLE, &value.to_be_bytes()),
            Value::Float(value) => tagged(out, tag::FLOAT, &value.to_be_bytes()),
            Value::String(value) => string(out, value),
            Value::Bytes(value) => long(out, tag::BYTES, value),
            Value::Map(map) => counted(out, tag::MAP, map.count, map.entries),
            Value::List(list) => counted(out, tag::LIST, list.count, list.values),
        }
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn counted(out: &mut Vec<u8>, tag: u8, count: u32, bytes: &[u8]) {
    tagged(out, tag, &count.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[expect(clippy::expect_used, reason = "frames have lengths of 31 bits, and what the broker writes itself is short")]
fn long(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    let length = i32::try_from(bytes.len()).expect("a value is part of a frame");
    tagged(out, tag, &length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    let short = u16::try_from(text.len()).ok().filter(|_| modified_utf8::utf16_length(text) < BIG_STRING_UNITS);
    let Some(length) = short else { return long(out, tag::BIG_STRING, text) };
    tagged(out, tag::STRING, &length.to_be_bytes());
    out.extend_from_slice(text);
}

/// Writes a map, entry by entry.
#[derive(Debug)]
pub struct PropertiesWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count: u32,
}

impl<'o> PropertiesWriter<'o> {
    /// Begins a map at the end of `out`; without an entry it is an empty one.
    pub fn new(out: &'o mut Vec<u8>) -> PropertiesWriter<'o> {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        PropertiesWriter { out, start, count: 0 }
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// If the name is longer than its 16-bit length can say.
    #[expect(clippy::expect_used, reason = "names are constants, or were read with such a length")]
    pub fn entry(&mut self, name: &[u8], value: Value<'_>) -> &mut PropertiesWriter<'o> {
        let length = u16::try_from(name.len()).expect("names are our own or were received");
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(name);
        value.write(self.out);
        self.counted(1)
    }

    /// Appends an entry as it was read.
    pub fn copy(&mut self, property: &Property<'_>) -> &mut PropertiesWriter<'o> {
        self.out.extend_from_slice(property.raw);
        self.counted(1)
    }

    /// Appends all entries of a map as they were read.
    pub fn copy_all(&mut self, whole: &Whole<'_>) -> &mut PropertiesWriter<'o> {
        self.out.extend_from_slice(whole.entries);
        self.counted(whole.count)
    }

    fn counted(&mut self, more: u32) -> &mut PropertiesWriter<'o> {
        self.count += more;
        if let Some(place) = self.out.get_mut(self.start..).and_then(<[u8]>::first_chunk_mut) {
            *place = self.count.to_be_bytes();
        }
        self
    }
}
