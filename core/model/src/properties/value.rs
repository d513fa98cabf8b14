//! Values, alone and in lists.

use super::cursor::Cursor;
use super::{Properties, PropertyError};

/// A value of a map or a list.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer of 8 bits.
    Byte(i8),
    /// A UTF-16 unit.
    Char(u16),
    /// An integer of 16 bits.
    Short(i16),
    /// An integer of 32 bits.
    Int(i32),
    /// An integer of 64 bits.
    Long(i64),
    /// IEEE 754, 64 bits.
    Double(f64),
    /// IEEE 754, 32 bits.
    Float(f32),
    /// A text: Modified UTF-8 if its sender has kept to that.
    String(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A map.
    Map(Properties<'a>),
    /// A list.
    List(List<'a>),
}

/// A list as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct List<'a> {
    pub(super) count: u32,
    pub(super) values: &'a [u8],
}

impl<'a> List<'a> {
    /// How many values it says it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in their order. The first error is the last item.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, PropertyError>> + use<'a> {
        items(self.count, self.values, Cursor::value)
    }
}

/// Values one behind the other, to the end: the content of a [`BodyKind::Stream`]. The first error is the last item.
///
/// [`BodyKind::Stream`]: crate::record::BodyKind::Stream
pub fn stream(content: &[u8]) -> impl Iterator<Item = Result<Value<'_>, PropertyError>> {
    let mut cursor = Cursor::new(content);
    std::iter::from_fn(move || (!cursor.rest().is_empty()).then(|| ending(&mut cursor, Cursor::value)))
}

/// So many items.
pub(super) fn items<'a, T>(
    count: u32,
    bytes: &'a [u8],
    read: impl Fn(&mut Cursor<'a>) -> Result<T, PropertyError>,
) -> impl Iterator<Item = Result<T, PropertyError>> {
    let mut cursor = Cursor::new(bytes);
    let mut left = count;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let item = ending(&mut cursor, &read);
        if item.is_err() {
            left = 0;
        }
        Some(item)
    })
}

/// Reads an item; after an error there is nothing left to read.
fn ending<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, PropertyError>,
) -> Result<T, PropertyError> {
    let item = read(cursor);
    if item.is_err() {
        *cursor = Cursor::new(&[]);
    }
    item
}
