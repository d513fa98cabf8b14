//! Destinations: their kinds, names, text forms and composites.

use crate::limits;
use std::collections::HashSet;
use std::fmt;

/// What a destination is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum DestinationKind {
    /// Each message goes to one consumer.
    Queue = 0,
    /// Each message goes to every subscriber.
    Topic = 1,
    /// A queue that lives as long as the connection that made it.
    TemporaryQueue = 2,
    /// A topic that lives as long as the connection that made it.
    TemporaryTopic = 3,
}

impl DestinationKind {
    /// The kind with this number, as stored in records.
    #[must_use]
    pub fn from_number(number: u8) -> Option<DestinationKind> {
        Some(match number {
            0 => DestinationKind::Queue,
            1 => DestinationKind::Topic,
            2 => DestinationKind::TemporaryQueue,
            3 => DestinationKind::TemporaryTopic,
            _ => return None,
        })
    }

    /// Whether messages go to every subscriber.
    #[must_use]
    pub fn is_topic(self) -> bool {
        matches!(self, DestinationKind::Topic | DestinationKind::TemporaryTopic)
    }

    /// Whether the destination ends with its connection.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        matches!(self, DestinationKind::TemporaryQueue | DestinationKind::TemporaryTopic)
    }

    /// What stands before the name in the qualified text form.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            DestinationKind::Queue => "queue://",
            DestinationKind::Topic => "topic://",
            DestinationKind::TemporaryQueue => "temp-queue://",
            DestinationKind::TemporaryTopic => "temp-topic://",
        }
    }
}

/// A destination by kind and name. The name is in Modified UTF-8, as received.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// What it is.
    pub kind: DestinationKind,
    /// Its physical name, without prefix and without blanks around it.
    pub name: Box<[u8]>,
}

/// Why a name cannot be a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// Nothing is left after trimming, or a composite has no part.
    Empty,
    /// Too long.
    TooLong {
        /// Bytes that it may have.
        most: usize,
    },
    /// A composite of too many.
    TooManyParts {
        /// Parts that it may have.
        most: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(formatter, "the destination's name is empty: give it at least one character"),
            NameError::TooLong { most } => {
                write!(formatter, "the destination's name is longer than {most} bytes: give it a shorter one")
            }
            NameError::TooManyParts { most } => {
                write!(formatter, "the composite destination has more than {most} parts: name fewer at a time")
            }
        }
    }
}

impl Destination {
    /// A destination with this name, which must be one (not a composite) and already trimmed.
    #[must_use]
    pub fn new(kind: DestinationKind, name: &[u8]) -> Destination {
        Destination { kind, name: name.into() }
    }

    /// The destinations that a name stands for: the parts of a composite, each once, in order; otherwise the name alone.
    ///
    /// A part may carry a prefix and is of that kind then; the others have the kind of the whole.
    pub fn parts(kind: DestinationKind, name: &[u8]) -> Result<Vec<Destination>, NameError> {
        parts_within(kind, name, limits::DESTINATION_NAME_BYTES, limits::COMPOSITE_PARTS)
    }

    /// Likewise, for a consumer: it may name many more.
    pub fn consumer_parts(kind: DestinationKind, name: &[u8]) -> Result<Vec<Destination>, NameError> {
        parts_within(kind, name, limits::CONSUMER_COMPOSITE_BYTES, limits::CONSUMER_PARTS)
    }

    /// Whether a consumer of this destination may get messages of several.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        /// A look at a piece is much quicker than one at each of its bytes.
        const PIECE: usize = 64;
        let is_special = |byte: &u8| matches!(byte, b'*' | b'>');
        let is_end =
            |place: Option<usize>| place.and_then(|place| self.name.get(place)).is_none_or(|byte| *byte == b'.');
        let is_element = |place: usize| is_end(place.checked_sub(1)) && is_end(place.checked_add(1));
        self.name.chunks(PIECE).enumerate().any(|(number, piece)| {
            let mut bytes = piece.iter().enumerate();
            piece.iter().fold(false, |found, byte| found | is_special(byte))
                && bytes.any(|(place, byte)| is_special(byte) && is_element(number * PIECE + place))
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.kind.prefix(), String::from_utf8_lossy(&self.name))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn parts_within(
    kind: DestinationKind,
    name: &[u8],
    most_bytes: usize,
    most_parts: usize,
) -> Result<Vec<Destination>, NameError> {
    if name.len() > most_bytes {
        return Err(NameError::TooLong { most: most_bytes });
    }
    let mut parts: Vec<Destination> = Vec::new();
    let mut known = HashSet::new();
    for part in name.split(|byte| *byte == b',') {
        let Some(destination) = part_of_composite(kind, part) else { continue };
        if destination.name.len() > limits::DESTINATION_NAME_BYTES {
            return Err(NameError::TooLong { most: limits::DESTINATION_NAME_BYTES });
        }
        if parts.is_empty() || known.insert(destination.clone()) && Some(&destination) != parts.first() {
            parts.push(destination);
        }
        if parts.len() > most_parts {
            return Err(NameError::TooManyParts { most: most_parts });
        }
    }
    if parts.is_empty() { Err(NameError::Empty) } else { Ok(parts) }
}

fn part_of_composite(kind: DestinationKind, part: &[u8]) -> Option<Destination> {
    use DestinationKind::{Queue, TemporaryQueue, TemporaryTopic, Topic};
    let part = part.trim_ascii();
    let (kind, name) = [Queue, Topic, TemporaryQueue, TemporaryTopic]
        .into_iter()
        .find_map(|kind| part.strip_prefix(kind.prefix().as_bytes()).map(|name| (kind, name.trim_ascii())))
        .unwrap_or((kind, part));
    (!name.is_empty()).then(|| Destination::new(kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(kind: DestinationKind, name: &str) -> Vec<String> {
        Destination::parts(kind, name.as_bytes()).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_composite_is_split_trimmed_and_freed_of_repeats() {
        assert_eq!(
            texts(DestinationKind::Queue, " a , topic://b,,a, queue://c"),
            ["queue://a", "topic://b", "queue://c"]
        );
        assert_eq!(texts(DestinationKind::Topic, "a.b"), ["topic://a.b"]);
    }

    #[test]
    fn a_name_without_characters_is_refused() {
        assert_eq!(Destination::parts(DestinationKind::Queue, b"  "), Err(NameError::Empty));
        assert_eq!(Destination::parts(DestinationKind::Queue, b" , ,"), Err(NameError::Empty));
        assert_eq!(
            Destination::parts(DestinationKind::Queue, &[b'a'; 20_000]),
            Err(NameError::TooLong { most: limits::DESTINATION_NAME_BYTES })
        );
    }

    #[test]
    fn a_consumer_may_name_thousands_and_each_once() {
        let names = |count: usize| (0..count).map(|number| format!("q{number}")).collect::<Vec<_>>().join(",");
        let consumer = |name: &str| Destination::consumer_parts(DestinationKind::Queue, name.as_bytes());
        let sender = |name: &str| Destination::parts(DestinationKind::Queue, name.as_bytes());
        assert_eq!(consumer(&names(4_096)).map(|parts| parts.len()), Ok(4_096));
        assert_eq!(consumer(&names(4_097)), Err(NameError::TooManyParts { most: 4_096 }));
        assert_eq!(sender(&names(64)).map(|parts| parts.len()), Ok(64));
        assert_eq!(sender(&names(65)), Err(NameError::TooManyParts { most: 64 }));
        assert_eq!(consumer("a,b,a,a,b").map(|parts| parts.len()), Ok(2));
        let most = limits::CONSUMER_COMPOSITE_BYTES;
        assert_eq!(consumer(&"a,".repeat(most / 2)).map(|parts| parts.len()), Ok(1));
        assert_eq!(consumer(&"a,".repeat(most / 2 + 1)), Err(NameError::TooLong { most }));
        let most = limits::DESTINATION_NAME_BYTES;
        assert_eq!(consumer(&format!("b,{}", "a".repeat(most + 1))), Err(NameError::TooLong { most }));
    }

    #[test]
    fn wildcards_are_whole_elements() {
        let wildcard = |name: &str| Destination::new(DestinationKind::Queue, name.as_bytes()).is_wildcard();
        assert!(wildcard("a.*") && wildcard(">") && wildcard("a.>") && wildcard("*.b"));
        assert!(!wildcard("a.b*") && !wildcard("a>") && !wildcard("a"));
        for length in 60..140 {
            let name = "a".repeat(length);
            assert!(
                wildcard(&format!("{name}.*")) && wildcard(&format!("{name}.*.a")) && wildcard(&format!("*.{name}"))
            );
            assert!(
                !wildcard(&format!("{name}*")) && !wildcard(&format!("{name}.*a")) && !wildcard(&format!(">{name}"))
            );
        }
    }
}
