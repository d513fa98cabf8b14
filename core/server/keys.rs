//! The keys of the configuration's file: one that is none of them is refused with its line and the nearest that is.

use std::fmt;

use anyhow::anyhow;
use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};
use toml::de::DeTable;

use crate::config::Config;

/// Names of keys, as serde has them from a struct.
type Keys = &'static [&'static str];

/// The keys of each table of the file, the top level first: the fields of [`Config`], and of those of its fields that have some.
pub(crate) fn tables() -> Vec<(&'static str, Keys)> {
    let top = keys_of(Config::deserialize(Probe)).unwrap_or_default();
    let only = |key| MapDeserializer::new([(key, Probe)].into_iter());
    let below = top.iter().filter_map(|key| Some((*key, keys_of(Config::deserialize(only(*key)))?)));
    std::iter::once(("", top)).chain(below).collect()
}

fn keys_of(outcome: Result<Config, Found>) -> Option<Keys> {
    outcome.err()?.0
}

/// A value that is none: reading it fails with the keys of what should be there, if it is a table.
struct Probe;

/// What the probe has found.
#[derive(Debug)]
struct Found(Option<Keys>);

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

impl std::error::Error for Found {}

impl serde::de::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Found {
        Found(None)
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Found;

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: Keys, _: V) -> Result<V::Value, Found> {
        Err(Found(Some(fields)))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found(None))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, Found> for Probe {
    type Deserializer = Probe;

    fn into_deserializer(self) -> Probe {
        self
    }
}

/// Refuses a file with a key that is none.
pub(crate) fn refuse_unknown_keys(text: &str) -> anyhow::Result<()> {
    let table =
        DeTable::parse(text).map_err(|error| anyhow!("line {}: {}", line_of(text, error.span()), error.message()))?;
    for (section, keys) in tables() {
        let found = if section.is_empty() {
            table.get_ref()
        } else {
            match table.get_ref().get(section).and_then(|value| value.get_ref().as_table()) {
                Some(table) => table,
                None => continue,
            }
        };
        for key in found.keys() {
            if !keys.contains(&key.get_ref().as_ref()) {
                return Err(unknown_key(text, section, key.get_ref(), key.span(), keys));
            }
        }
    }
    Ok(())
}

fn unknown_key(text: &str, section: &str, key: &str, span: std::ops::Range<usize>, keys: &[&str]) -> anyhow::Error {
    let nearest =
        keys.iter().max_by(|left, right| strsim::jaro_winkler(key, left).total_cmp(&strsim::jaro_winkler(key, right)));
    let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
    anyhow!(
        "line {}: unknown key `{key}`{place}; did you mean `{}`?",
        line_of(text, Some(span)),
        nearest.unwrap_or(&"")
    )
}

/// The line in which it begins; the first if nobody knows.
pub(crate) fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count()
}
