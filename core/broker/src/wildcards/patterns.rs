//! Patterns of consumers by their first elements: those that a new destination may fit are found without looking at all of them.
#![expect(clippy::indexing_slicing, reason = "nodes are numbered by the tree that holds them")]

use crate::kit::slab::Slab;
use crate::messages::ConsumerIndex;
use postrider_model::Destination;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Elements by which a pattern is found. Those that begin alike with more of them are looked at one by one.
const DEPTH: usize = 8;

/// A consumer's pattern.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Filed {
    /// The consumer's serial.
    pub serial: u64,
    /// Which of its patterns.
    pub number: usize,
    pub consumer: ConsumerIndex,
}

/// Patterns that begin with the same elements.
#[derive(Default)]
struct Node {
    parent: u32,
    element: Box<[u8]>,
    children: BTreeMap<Box<[u8]>, u32>,
    /// Those that have no further element by which they are found.
    filed: BTreeSet<Filed>,
}

/// All patterns.
pub(crate) struct Patterns {
    nodes: Slab<Node>,
    /// By the kind of destination.
    roots: [u32; 4],
    length: usize,
}

impl Default for Patterns {
    fn default() -> Patterns {
        let mut nodes = Slab::default();
        let roots = std::array::from_fn(|_| nodes.insert(Node::default()));
        Patterns { nodes, roots, length: 0 }
    }
}

/// The elements by which a pattern is found; what follows a `>` says nothing.
fn path(pattern: &Destination) -> impl Iterator<Item = &[u8]> {
    pattern.name.split(|byte| *byte == b'.').take(DEPTH).take_while(|element| *element != b">")
}

impl Patterns {
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn add(&mut self, pattern: &Destination, filed: Filed) {
        let mut at = self.roots[pattern.kind as usize];
        for element in path(pattern) {
            at = match self.nodes[at].children.get(element) {
                Some(child) => *child,
                None => self.add_node(at, element),
            };
        }
        self.length += usize::from(self.nodes[at].filed.insert(filed));
    }

    fn add_node(&mut self, parent: u32, element: &[u8]) -> u32 {
        let child = self.nodes.insert(Node { parent, element: element.into(), ..Node::default() });
        self.nodes[parent].children.insert(element.into(), child);
        child
    }

    pub(crate) fn remove(&mut self, pattern: &Destination, filed: Filed) {
        let mut at = self.roots[pattern.kind as usize];
        for element in path(pattern) {
            let Some(child) = self.nodes[at].children.get(element) else { return };
            at = *child;
        }
        self.length -= usize::from(self.nodes[at].filed.remove(&filed));
        while !self.roots.contains(&at) && self.nodes[at].filed.is_empty() && self.nodes[at].children.is_empty() {
            let Node { parent, element, .. } = self.nodes.remove(at);
            self.nodes[parent].children.remove(&element);
            at = parent;
        }
    }

    /// A search for those that the destination may fit.
    pub(crate) fn search(&self, destination: &Destination) -> Search {
        Search { ahead: vec![Ahead::Node(self.roots[destination.kind as usize], 0)], at: None }
    }
}

/// How far a search is. Patterns that come meanwhile may be missed or met; others are met once.
pub(crate) struct Search {
    ahead: Vec<Ahead>,
    /// The node that is gone through, and the last that was met there.
    at: Option<(u32, Option<Filed>)>,
}

/// Where a search goes, and how many elements lead there.
enum Ahead {
    Node(u32, usize),
    /// All children of a node, behind the one with this element.
    Children(u32, usize, Option<Box<[u8]>>),
}

/// A step of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Met {
    Pattern(Filed),
    Nothing,
    End,
}

impl Search {
    /// One step further.
    pub(crate) fn step(&mut self, patterns: &Patterns, destination: &Destination) -> Met {
        if let Some((node, last)) = self.at {
            let from = last.map_or(Bound::Unbounded, Bound::Excluded);
            let filed = patterns.nodes.get(node).and_then(|node| node.filed.range((from, Bound::Unbounded)).next());
            self.at = filed.map(|filed| (node, Some(*filed)));
            return filed.map_or(Met::Nothing, |filed| Met::Pattern(*filed));
        }
        match self.ahead.pop() {
            None => return Met::End,
            Some(Ahead::Node(node, depth)) => {
                if let Some(known) = patterns.nodes.get(node) {
                    let element = destination.name.split(|byte| *byte == b'.').nth(depth);
                    self.descend((node, known), element, depth + 1);
                    self.at = Some((node, None));
                }
            }
            Some(Ahead::Children(node, depth, last)) => {
                if let Some(known) = patterns.nodes.get(node) {
                    self.next_child((node, known), depth, last);
                }
            }
        }
        Met::Nothing
    }

    /// An element of a name that is a literal `*` may fit anything (`postrider_model::pattern`).
    fn descend(&mut self, (index, node): (u32, &Node), element: Option<&[u8]>, depth: usize) {
        match element {
            None => {}
            Some(b"*") => self.ahead.push(Ahead::Children(index, depth, None)),
            Some(element) => {
                let children = [element, b"*"].map(|element| node.children.get(element));
                self.ahead.extend(children.into_iter().flatten().map(|child| Ahead::Node(*child, depth)));
            }
        }
    }

    fn next_child(&mut self, (index, node): (u32, &Node), depth: usize, last: Option<Box<[u8]>>) {
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let Some((element, child)) = node.children.range::<[u8], _>((from, Bound::Unbounded)).next() else { return };
        self.ahead.push(Ahead::Children(index, depth, Some(element.clone())));
        self.ahead.push(Ahead::Node(*child, depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::{DestinationKind, pattern};

    const ELEMENTS: [&str; 5] = ["a", "b", "*", ">", "aa"];

    fn names(draw: &mut impl FnMut(usize) -> usize) -> Destination {
        let most = if draw(4) == 0 { 11 } else { 3 };
        let length = 1 + draw(most);
        let name: Vec<&str> = (0..length).map(|_| ELEMENTS[draw(ELEMENTS.len())]).collect();
        let kind = if draw(3) == 0 { DestinationKind::Topic } else { DestinationKind::Queue };
        Destination::new(kind, name.join(".").as_bytes())
    }

    /// Against a look at all of them.
    #[test]
    fn a_search_meets_each_pattern_that_fits_once() {
        let mut state = 7u32;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        let (mut patterns, mut all) = (Patterns::default(), Vec::new());
        for serial in 0..4_000 {
            let (pattern, filed) = (names(&mut draw), Filed { serial, number: 0, consumer: ConsumerIndex(1) });
            patterns.add(&pattern, filed);
            all.push((pattern, filed));
            if draw(2) == 0 {
                let (pattern, filed) = all.swap_remove(draw(all.len()));
                patterns.remove(&pattern, filed);
            }
            let name = names(&mut draw);
            let mut search = patterns.search(&name);
            let mut met = Vec::new();
            loop {
                match search.step(&patterns, &name) {
                    Met::Pattern(filed) => met.push(filed),
                    Met::Nothing => {}
                    Met::End => break,
                }
            }
            met.sort_unstable();
            assert!(met.windows(2).all(|pair| pair[0] != pair[1]), "{name}");
            for (pattern, filed) in &all {
                let fits = pattern::matches(pattern, &name);
                assert!(!fits || met.binary_search(filed).is_ok(), "{pattern} is not met by {name}");
            }
        }
        all.drain(..).for_each(|(pattern, filed)| patterns.remove(&pattern, filed));
        assert!(patterns.is_empty() && patterns.nodes.len() == 4, "nothing is left");
    }

    /// A name that holds a literal `*` may fit all of them: each step meets one, and none goes through all.
    #[test]
    fn a_name_that_fits_anything_takes_a_step_for_each() {
        let mut patterns = Patterns::default();
        let queue = |name: String| Destination::new(DestinationKind::Queue, name.as_bytes());
        for serial in 0..10_000 {
            let filed = Filed { serial, number: 0, consumer: ConsumerIndex(1) };
            patterns.add(&queue(format!("some.{serial}.>")), filed);
        }
        let name = queue("some.*.x".into());
        let mut search = patterns.search(&name);
        let (mut met, mut steps) = (0, 0);
        loop {
            steps += 1;
            match search.step(&patterns, &name) {
                Met::Pattern(_) => met += 1,
                Met::Nothing => {}
                Met::End => break,
            }
            assert!(search.ahead.len() < 10, "what is ahead is not heaped up");
        }
        assert_eq!(met, 10_000);
        assert!((20_000..50_000).contains(&steps), "{steps}");
    }

    #[test]
    fn what_begins_otherwise_is_not_looked_at() {
        let mut patterns = Patterns::default();
        let queue = |name: String| Destination::new(DestinationKind::Queue, name.as_bytes());
        for serial in 0..10_000 {
            let filed = Filed { serial, number: 0, consumer: ConsumerIndex(1) };
            patterns.add(&queue(format!("some.{serial}.*.>")), filed);
        }
        let name = queue("some.77.x".into());
        let mut search = patterns.search(&name);
        let steps = std::iter::from_fn(|| Some(search.step(&patterns, &name))).take_while(|met| *met != Met::End);
        assert!(steps.count() < 20);
    }
}
