//! Destinations in the order of their names: those that a pattern may fit stand together.

use crate::destinations::destination::Reference;
use postrider_model::Destination;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

type Names = BTreeMap<Arc<[u8]>, Reference>;

/// Destinations by kind and name.
#[derive(Default)]
pub(crate) struct Ordered {
    plain: Names,
    /// Those with an element that is a literal `*`, which may fit what it is not (`postrider_model::pattern`).
    starred: Names,
}

/// How far a look at those that a pattern may fit is.
#[derive(Clone, Default, Debug)]
pub(crate) enum NameCursor {
    /// At the one that is called like what the pattern begins with.
    #[default]
    Exact,
    /// At those whose names begin so, behind this one.
    Within(Option<Arc<[u8]>>),
    /// At those with a literal `*`.
    Starred(Option<Arc<[u8]>>),
    End,
}

/// Kind and name.
pub(crate) fn text(destination: &Destination) -> Arc<[u8]> {
    [&[destination.kind as u8][..], &destination.name].concat().into()
}

/// What all names that fit begin with, its last dot left out.
fn beginning(pattern: &Destination) -> Vec<u8> {
    let mut text = vec![pattern.kind as u8];
    let elements = pattern.name.split(|byte| *byte == b'.');
    for (number, element) in elements.take_while(|element| *element != b"*" && *element != b">").enumerate() {
        if number > 0 {
            text.push(b'.');
        }
        text.extend_from_slice(element);
    }
    text
}

impl Ordered {
    pub(crate) fn add(&mut self, text: Arc<[u8]>, reference: Reference) {
        self.names(&text).insert(text, reference);
    }

    pub(crate) fn remove(&mut self, text: &[u8]) {
        self.names(text).remove(text);
    }

    fn names(&mut self, text: &[u8]) -> &mut Names {
        let name = text.get(1..).unwrap_or_default();
        match name.split(|byte| *byte == b'.').any(|element| element == b"*") {
            true => &mut self.starred,
            false => &mut self.plain,
        }
    }

    /// Adds up to `most` of those that the pattern may fit, and comes to the place behind them.
    pub(crate) fn page(&self, pattern: &Destination, cursor: &mut NameCursor, most: usize, page: &mut Vec<Reference>) {
        let mut text = beginning(pattern);
        match cursor {
            NameCursor::Exact => {
                page.extend(self.plain.get(text.as_slice()).filter(|_| text.len() > 1));
                *cursor = NameCursor::Within(None);
            }
            NameCursor::Within(last) => {
                if text.len() > 1 {
                    text.push(b'.');
                }
                if !scan(&self.plain, &text, last, most, page) {
                    *cursor = NameCursor::Starred(None);
                }
            }
            NameCursor::Starred(last) => {
                if !scan(&self.starred, &[pattern.kind as u8], last, most, page) {
                    *cursor = NameCursor::End;
                }
            }
            NameCursor::End => {}
        }
    }
}

/// Adds up to `most` of those that begin so and stand behind `last`. False: there is no further one.
fn scan(names: &Names, beginning: &[u8], last: &mut Option<Arc<[u8]>>, most: usize, page: &mut Vec<Reference>) -> bool {
    let from = match last {
        Some(last) => Bound::Excluded(&**last),
        None => Bound::Included(beginning),
    };
    let mut found =
        names.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(text, _)| text.starts_with(beginning));
    let mut newest = None;
    page.extend(found.by_ref().take(most).map(|(text, reference)| {
        newest = Some(text);
        *reference
    }));
    let more = found.next().is_some();
    if let Some(newest) = newest {
        *last = Some(newest.clone());
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::DestinationIndex;
    use postrider_model::{DestinationKind, pattern};

    /// Against a look at all of them, page by page.
    #[test]
    fn pages_hold_all_that_fit_once() {
        let names = [
            "a", "a.b", "a.b.c", "a.bb", "ab", "b", "b.a", "*", "a.*", "*.b", "a.*.c", "some.1", "some.10", "some.1.x",
            "some-1", "", ".", "a.", ".a",
        ];
        let mut ordered = Ordered::default();
        let mut all = Vec::new();
        for kind in [DestinationKind::Queue, DestinationKind::Topic] {
            for name in names {
                let reference = Reference { index: DestinationIndex(all.len() as u32), serial: all.len() as u64 };
                let destination = Destination::new(kind, name.as_bytes());
                ordered.add(text(&destination), reference);
                all.push((destination, reference));
            }
        }
        let patterns =
            ["a.>", "a.*", ">", "*", "*.b", "some.1.>", "some.*", "a.b.>", "a.*.c", "*.>", ">.a", ".>", "a..>"];
        for name in patterns {
            for (kind, most) in
                [(DestinationKind::Queue, 1), (DestinationKind::Topic, 3), (DestinationKind::Queue, 100)]
            {
                let fitting = Destination::new(kind, name.as_bytes());
                let (mut cursor, mut met) = (NameCursor::default(), Vec::new());
                while !matches!(cursor, NameCursor::End) {
                    let before = met.len();
                    ordered.page(&fitting, &mut cursor, most, &mut met);
                    assert!(met.len() - before <= most);
                }
                for (destination, reference) in &all {
                    let count = met.iter().filter(|met| *met == reference).count();
                    assert!(count <= 1, "{destination} is met {count} times by {fitting}");
                    assert!(
                        count == 1 || !pattern::matches(&fitting, destination),
                        "{fitting} does not meet {destination}"
                    );
                }
            }
        }
        all.iter().for_each(|(destination, _)| ordered.remove(&text(destination)));
        assert!(ordered.plain.is_empty() && ordered.starred.is_empty());
    }

    #[test]
    fn what_begins_otherwise_is_not_looked_at() {
        let mut ordered = Ordered::default();
        let queue = |name: String| Destination::new(DestinationKind::Queue, name.as_bytes());
        for number in 0..10_000 {
            let reference = Reference { index: DestinationIndex(number), serial: 0 };
            ordered.add(text(&queue(format!("some.{}.{number}", number % 1_000))), reference);
        }
        let (mut cursor, mut met) = (NameCursor::default(), Vec::new());
        while !matches!(cursor, NameCursor::End) {
            ordered.page(&queue("some.1.>".into()), &mut cursor, 100, &mut met);
        }
        assert_eq!(met.len(), 10, "not those of some.10 or some.100");
    }
}
