//! Whose turn it is among consumers of a queue that want the same: rings by priority, in which any consumer comes and goes in the same few
//! steps.
#![expect(clippy::indexing_slicing, reason = "nodes are numbered by the list that holds them")]

use crate::destinations::members::Member;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Where a consumer stands when it is its turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seat {
    pub priority: i8,
    /// Number of its filter; 0: it wants all.
    pub filter: u32,
}

#[derive(Clone, Copy)]
struct Node {
    member: Member,
    next: u32,
    before: u32,
}

/// Consumers with the same priority.
struct Level {
    priority: i8,
    head: u32,
}

/// The turns.
#[derive(Default)]
pub(crate) struct Rotation {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// Higher priorities first. Those that cannot take are not in it.
    levels: Vec<Level>,
}

impl Rotation {
    /// Whether nobody ever came.
    pub(crate) fn is_unused(&self) -> bool {
        self.levels.is_empty()
    }

    /// Puts a consumer at the end of its equals; its node.
    pub(crate) fn enter(&mut self, member: Member, priority: i8) -> u32 {
        let node = self.add(member);
        let level = self.level(priority);
        link(&mut self.nodes, &mut self.levels[level].head, node);
        node
    }

    /// Takes a consumer out.
    pub(crate) fn leave(&mut self, node: u32, priority: i8) {
        self.free.push(node);
        let Some(at) = self.levels.iter().position(|level| level.priority == priority) else { return };
        unlink(&mut self.nodes, &mut self.levels[at].head, node);
        if self.levels[at].head == NONE && self.levels.len() > 1 {
            self.levels.remove(at);
        }
    }

    /// The consumer has had its turn: it goes behind its equals.
    #[inline]
    pub(crate) fn rotate(&mut self, node: u32, priority: i8) {
        if let Some(level) = self.levels.iter_mut().find(|level| level.priority == priority) {
            pass(&mut self.nodes, &mut level.head, node);
        }
    }

    /// The consumer whose turn it is.
    #[inline]
    pub(crate) fn next(&self) -> Option<Member> {
        self.levels.iter().find_map(|level| self.nodes.get(level.head as usize)).map(|node| node.member)
    }

    /// The priority of that one.
    pub(crate) fn top(&self) -> Option<i8> {
        self.levels.iter().find(|level| level.head != NONE).map(|level| level.priority)
    }

    fn level(&mut self, priority: i8) -> usize {
        let at = self.levels.partition_point(|level| level.priority > priority);
        if self.levels.get(at).is_none_or(|level| level.priority != priority) {
            self.levels.insert(at, Level { priority, head: NONE });
        }
        at
    }

    #[allow(clippy::cast_possible_truncation, reason = "a queue has fewer subscribers")]
    fn add(&mut self, member: Member) -> u32 {
        let node = Node { member, next: NONE, before: NONE };
        match self.free.pop() {
            Some(number) => {
                self.nodes[number as usize] = node;
                number
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }
}

/// Puts a node at the end of a ring.
fn link(nodes: &mut [Node], head: &mut u32, node: u32) {
    let (next, before) = match *head {
        NONE => (node, node),
        first => (first, nodes[first as usize].before),
    };
    if *head == NONE {
        *head = node;
    } else {
        nodes[next as usize].before = node;
        nodes[before as usize].next = node;
    }
    (nodes[node as usize].next, nodes[node as usize].before) = (next, before);
}

/// Takes a node out of its ring.
fn unlink(nodes: &mut [Node], head: &mut u32, node: u32) {
    let Node { next, before, .. } = nodes[node as usize];
    if next == node {
        *head = NONE;
        return;
    }
    nodes[before as usize].next = next;
    nodes[next as usize].before = before;
    if *head == node {
        *head = next;
    }
}

/// A node goes to the end of its ring.
fn pass(nodes: &mut [Node], head: &mut u32, node: u32) {
    if *head == node {
        *head = nodes[node as usize].next;
    } else {
        unlink(nodes, head, node);
        link(nodes, head, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::ConsumerIndex;
    use std::collections::{BTreeMap, VecDeque};

    /// Against lists that are walked: who is next, whatever comes and goes.
    #[test]
    fn turns_are_those_of_a_plain_list() {
        let (mut rotation, mut model): (Rotation, BTreeMap<i8, VecDeque<(u32, u32)>>) = Default::default();
        let mut state = 7u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for number in 0..5_000u32 {
            let priority = draw(3) as i8;
            let level = model.entry(-priority).or_default();
            match draw(3) {
                0 => {
                    let member = Member { consumer: ConsumerIndex(number), membership: 0 };
                    level.push_back((number, rotation.enter(member, priority)));
                }
                1 if !level.is_empty() => {
                    let (_, node) = level.remove(draw(level.len() as u32) as usize).unwrap();
                    rotation.leave(node, priority);
                }
                _ if !level.is_empty() => {
                    let at = draw(level.len() as u32) as usize;
                    let passed = level.remove(at).unwrap();
                    rotation.rotate(passed.1, priority);
                    level.push_back(passed);
                    if at == 0 {
                        continue;
                    }
                }
                _ => {}
            }
            let expected = model.values().find_map(|level| level.front()).map(|(number, _)| *number);
            assert_eq!(rotation.next().map(|member| member.consumer.0), expected);
        }
        assert!(rotation.nodes.len() < 2_000, "nodes are used again");
    }
}
