//! Views that have tried the same messages of a queue. For a message those alone are met that may want it: views whose selectors demand
//! `name = 'text'` stand under that text.

use crate::destinations::filter::Filter;
use crate::kit::deque::Place;
use crate::selector::terms::{header_text, is_header, property_texts};
use crate::selector::{Term, property_steps};
use foldhash::fast::FixedState;
use postrider_model::{MessageView, Sequence};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;

/// Number of a view, never used twice in its queue.
pub(crate) type ViewNumber = u64;

/// The views.
#[derive(Default)]
pub(super) struct Cohort {
    /// All that waits up to here they have tried.
    pub(super) cursor: Sequence,
    /// Where the message at the cursor stood.
    pub(super) place: Option<Place>,
    /// Where the one stands that is tried next.
    pub(super) next_place: Option<Place>,
    /// Of this message, which may be gone by now, views up to this one have tried it.
    pub(super) tried_by: Option<(Sequence, ViewNumber)>,
    size: usize,
    /// Those that are to be asked about each message.
    plain: BTreeSet<ViewNumber>,
    /// What asking all of these takes: steps, and walks over a message's properties.
    weight: (usize, usize),
    by_term: HashMap<u64, Vec<ViewNumber>, FixedState>,
    /// How many stand under a text of each header, and under those of properties.
    headers: BTreeMap<Vec<u8>, usize>,
    by_properties: usize,
}

/// Where a view stands in its cohort.
fn term_of(filter: &Filter) -> Option<&Term> {
    let terms = filter.selector.as_ref()?.terms();
    terms.iter().find(|term| is_header(&term.name)).or(terms.first())
}

fn hash(name: &[u8], text: &[u8]) -> u64 {
    FixedState::default().hash_one((name, text))
}

fn weight(filter: &Filter) -> (usize, usize) {
    filter.selector.as_ref().map_or((1, 0), |selector| selector.weight())
}

impl Cohort {
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether what asking those takes that are to be asked about each message is no more than so many steps and walks with this one.
    pub(super) fn stays_within(&self, most: (usize, usize), filter: &Filter) -> bool {
        let (steps, walks) = if term_of(filter).is_some() { (0, 0) } else { weight(filter) };
        (steps, walks) == (0, 0) || (self.weight.0 + steps <= most.0 && self.weight.1 + walks <= most.1)
    }

    pub(super) fn add(&mut self, number: ViewNumber, filter: &Filter) {
        self.size += 1;
        let Some(term) = term_of(filter) else {
            self.plain.insert(number);
            let (steps, walks) = weight(filter);
            self.weight = (self.weight.0 + steps, self.weight.1 + walks);
            return;
        };
        self.by_term.entry(hash(&term.name, &term.text)).or_default().push(number);
        if is_header(&term.name) {
            *self.headers.entry(term.name.clone()).or_default() += 1;
        } else {
            self.by_properties += 1;
        }
    }

    pub(super) fn remove(&mut self, number: ViewNumber, filter: &Filter) {
        self.size -= 1;
        let Some(term) = term_of(filter) else {
            self.plain.remove(&number);
            let (steps, walks) = weight(filter);
            self.weight = (self.weight.0 - steps, self.weight.1 - walks);
            return;
        };
        let key = hash(&term.name, &term.text);
        if let Some(views) = self.by_term.get_mut(&key) {
            views.retain(|known| *known != number);
            if views.is_empty() {
                self.by_term.remove(&key);
            }
        }
        if !is_header(&term.name) {
            self.by_properties -= 1;
        } else if let Some(count) = self.headers.get_mut(&term.name) {
            *count -= 1;
            if *count == 0 {
                self.headers.remove(&term.name);
            }
        }
    }

    /// All of another's views are this one's, too.
    pub(super) fn take_in(&mut self, mut other: Cohort) {
        if self.size < other.size {
            std::mem::swap(&mut self.plain, &mut other.plain);
            std::mem::swap(&mut self.by_term, &mut other.by_term);
        }
        self.size += other.size;
        self.plain.append(&mut other.plain);
        self.weight = (self.weight.0 + other.weight.0, self.weight.1 + other.weight.1);
        for (key, views) in other.by_term {
            self.by_term.entry(key).or_default().extend(views);
        }
        for (name, count) in other.headers {
            *self.headers.entry(name).or_default() += count;
        }
        self.by_properties += other.by_properties;
    }

    /// Finds those that stand under a text which the message has, in order; steps that this takes.
    pub(super) fn find(&self, view: &MessageView<'_>, found: &mut Vec<ViewNumber>, buffer: &mut Vec<u8>) -> usize {
        found.clear();
        for name in self.headers.keys() {
            if let Some(text) = header_text(view, name, buffer)
                && let Some(views) = self.by_term.get(&hash(name, text))
            {
                found.extend_from_slice(views);
            }
        }
        let mut steps = self.headers.len();
        if self.by_properties > 0 {
            property_texts(view, |name, text| {
                found.extend(self.by_term.get(&hash(name, text)).into_iter().flatten());
            });
            steps += 1 + property_steps(view);
        }
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        steps
    }

    /// What asking those takes that are to be asked about each message.
    pub(super) fn steps(&self, view: &MessageView<'_>) -> usize {
        let (steps, walks) = self.weight;
        steps + walks * if walks > 0 { property_steps(view) } else { 0 }
    }

    /// All that are to be asked, those that were found among them, in order, behind this one.
    pub(super) fn to_ask<'a>(
        &'a self,
        found: &'a [ViewNumber],
        behind: Option<ViewNumber>,
    ) -> impl Iterator<Item = ViewNumber> + 'a {
        let first = behind.map_or(0, |number| number + 1);
        let mut plain = self.plain.range(first..).copied().peekable();
        let found = found.get(found.partition_point(|number| *number < first)..).unwrap_or_default();
        let mut found = found.iter().copied().peekable();
        std::iter::from_fn(move || match (plain.peek(), found.peek()) {
            (Some(one), Some(other)) if one < other => plain.next(),
            (Some(_), None) => plain.next(),
            _ => found.next(),
        })
    }
}
