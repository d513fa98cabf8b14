//! A map, and its entries.

use super::cursor::Cursor;
use super::value::items;
use super::{PropertyError, Value};

/// A map as it is stored: whole and well-formed as far as its entries have been looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Properties<'a> {
    pub(super) count: u32,
    pub(super) entries: &'a [u8],
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Property<'a> {
    /// Its name, as its sender has written it.
    pub name: &'a [u8],
    /// Its value.
    pub value: Value<'a>,
    /// Both as they lie there, to be copied.
    pub raw: &'a [u8],
}

/// All entries of a map that has been looked through, to be copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole<'a> {
    pub(super) count: u32,
    pub(super) entries: &'a [u8],
}

impl<'a> Properties<'a> {
    /// The map that these bytes begin with. A count below zero, which says that there is none, reads as an empty one.
    pub fn new(bytes: &'a [u8]) -> Result<Properties<'a>, PropertyError> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.map_count()?;
        Ok(Properties { count, entries: cursor.rest() })
    }

    /// How many entries it says it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entries in their order. The first error is the last item.
    pub fn iter(&self) -> impl Iterator<Item = Result<Property<'a>, PropertyError>> + use<'a> {
        items(self.count, self.entries, |cursor| {
            let start = cursor.rest();
            let (name, value) = (cursor.name()?, cursor.value()?);
            Ok(Property { name, value, raw: cursor.taken_since(start) })
        })
    }

    /// The value of this name, if there is one. Of several the last counts, as for everybody who makes a table of them.
    pub fn get(&self, name: &[u8]) -> Result<Option<Value<'a>>, PropertyError> {
        let mut found = None;
        self.find(|known| (known == name).then_some(()), |(), value| found = Some(value))?;
        Ok(found)
    }

    /// Puts the values of some names into their places, in one pass: `place_of` says which place a name has, if any. Of several of a
    /// name the last counts.
    pub fn pick(
        &self,
        places: &mut [Value<'a>],
        place_of: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<(), PropertyError> {
        self.find(place_of, |place, value| {
            if let Some(place) = places.get_mut(place) {
                *place = value;
            }
        })
    }

    /// Shows the values of those names that are known as something, in their order, and passes over all others.
    fn find<T>(
        &self,
        known_as: impl Fn(&[u8]) -> Option<T>,
        mut show: impl FnMut(T, Value<'a>),
    ) -> Result<(), PropertyError> {
        let mut cursor = Cursor::new(self.entries);
        for _ in 0..self.count {
            match known_as(cursor.name()?) {
                Some(known) => show(known, cursor.value()?),
                None => cursor.skip()?,
            }
        }
        Ok(())
    }

    /// Looks through all entries, for no more than so many values, nested ones included.
    pub fn whole(&self, most: u32) -> Result<Whole<'a>, PropertyError> {
        let mut cursor = Cursor::within(self.entries, most);
        for _ in 0..self.count {
            cursor.name()?;
            cursor.skip()?;
        }
        Ok(Whole { count: self.count, entries: cursor.taken_since(self.entries) })
    }
}
