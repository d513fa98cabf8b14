//! Whose turn it is among the consumers of a queue: rings by priority, in which any consumer comes and goes in the same few steps.
//!
//! Consumers that do not want what their own connection sends stand together, by connection and priority, as one in their ring: for
//! a message there is at most one such group in a ring that does not want it.
#![expect(clippy::indexing_slicing, reason = "nodes are numbered by the list that holds them")]

use crate::destinations::members::Member;
use crate::destinations::view::View;
use std::collections::BTreeMap;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Where a consumer stands when it is its turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seat {
    pub priority: i8,
    /// Serial of the connection whose messages it does not want; 0: it wants all.
    pub local: u32,
}

/// Who has a turn.
#[derive(Clone, Copy)]
enum Turn {
    Member(Member),
    Group(Seat),
}

#[derive(Clone, Copy)]
struct Node {
    turn: Turn,
    next: u32,
    before: u32,
}

/// Consumers with the same priority.
struct Level {
    priority: i8,
    head: u32,
}

/// Consumers that do not want the messages of the same connection.
struct Group {
    /// Of its members.
    head: u32,
    /// Its own, in its level.
    node: u32,
    view: View,
}

/// The turns.
#[derive(Default)]
pub(crate) struct Rotation {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// Higher priorities first. Those that cannot take are not in it.
    levels: Vec<Level>,
    groups: BTreeMap<Seat, Group>,
}

impl Rotation {
    /// Whether nobody ever came.
    pub(crate) fn is_unused(&self) -> bool {
        self.levels.is_empty()
    }

    /// Puts a consumer at the end of its equals; its node.
    pub(crate) fn enter(&mut self, member: Member, seat: Seat) -> u32 {
        let node = self.add(Turn::Member(member));
        if seat.local == 0 {
            let level = self.level(seat.priority);
            link(&mut self.nodes, &mut self.levels[level].head, node);
            return node;
        }
        if !self.groups.contains_key(&seat) {
            let own = self.add(Turn::Group(seat));
            let level = self.level(seat.priority);
            link(&mut self.nodes, &mut self.levels[level].head, own);
            self.groups.insert(seat, Group { head: NONE, node: own, view: View::default() });
        }
        if let Some(group) = self.groups.get_mut(&seat) {
            link(&mut self.nodes, &mut group.head, node);
        }
        node
    }

    /// Takes a consumer out.
    pub(crate) fn leave(&mut self, node: u32, seat: Seat) {
        self.free.push(node);
        if seat.local == 0 {
            return self.leave_level(node, seat.priority);
        }
        let Some(group) = self.groups.get_mut(&seat) else { return };
        unlink(&mut self.nodes, &mut group.head, node);
        if group.head == NONE {
            let own = group.node;
            self.groups.remove(&seat);
            self.free.push(own);
            self.leave_level(own, seat.priority);
        }
    }

    fn leave_level(&mut self, node: u32, priority: i8) {
        let Some(at) = self.levels.iter().position(|level| level.priority == priority) else { return };
        unlink(&mut self.nodes, &mut self.levels[at].head, node);
        if self.levels[at].head == NONE && self.levels.len() > 1 {
            self.levels.remove(at);
        }
    }

    /// The consumer has had its turn: it goes behind its equals.
    pub(crate) fn rotate(&mut self, node: u32, seat: Seat) {
        let node = match self.groups.get_mut(&seat) {
            Some(group) if seat.local != 0 => {
                pass(&mut self.nodes, &mut group.head, node);
                group.node
            }
            _ => node,
        };
        if let Some(level) = self.levels.iter_mut().find(|level| level.priority == seat.priority) {
            pass(&mut self.nodes, &mut level.head, node);
        }
    }

    /// The consumer whose turn it is for a message of this publisher.
    pub(crate) fn next(&self, publisher: u32) -> Option<Member> {
        self.levels.iter().find_map(|level| {
            let head = self.nodes.get(level.head as usize)?;
            self.member(head, publisher).or_else(|| self.member(self.nodes.get(head.next as usize)?, publisher))
        })
    }

    fn member(&self, node: &Node, publisher: u32) -> Option<Member> {
        match node.turn {
            Turn::Member(member) => Some(member),
            Turn::Group(seat) if seat.local == publisher => None,
            Turn::Group(seat) => match self.nodes.get(self.groups.get(&seat)?.head as usize)?.turn {
                Turn::Member(member) => Some(member),
                Turn::Group(_) => None,
            },
        }
    }

    /// A group that does not want this publisher's messages.
    pub(crate) fn unwilling(&self, publisher: u32) -> Option<Seat> {
        if self.groups.is_empty() {
            return None;
        }
        let priorities = self.levels.iter().map(|level| Seat { priority: level.priority, local: publisher });
        priorities.into_iter().find(|seat| self.groups.contains_key(seat))
    }

    /// What a group has tried.
    pub(crate) fn view(&mut self, seat: Seat) -> Option<&mut View> {
        self.groups.get_mut(&seat).map(|group| &mut group.view)
    }

    fn level(&mut self, priority: i8) -> usize {
        let at = self.levels.partition_point(|level| level.priority > priority);
        if self.levels.get(at).is_none_or(|level| level.priority != priority) {
            self.levels.insert(at, Level { priority, head: NONE });
        }
        at
    }

    #[allow(clippy::cast_possible_truncation, reason = "a queue has fewer subscribers")]
    fn add(&mut self, turn: Turn) -> u32 {
        let node = Node { turn, next: NONE, before: NONE };
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
    use std::collections::VecDeque;

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
            let seat = Seat { priority, local: 0 };
            let level = model.entry(-priority).or_default();
            match draw(3) {
                0 => {
                    let member = Member { consumer: ConsumerIndex(number), membership: 0 };
                    level.push_back((number, rotation.enter(member, seat)));
                }
                1 if !level.is_empty() => {
                    let (_, node) = level.remove(draw(level.len() as u32) as usize).unwrap();
                    rotation.leave(node, seat);
                }
                _ if !level.is_empty() => {
                    let at = draw(level.len() as u32) as usize;
                    let passed = level.remove(at).unwrap();
                    rotation.rotate(passed.1, seat);
                    level.push_back(passed);
                    if at == 0 {
                        continue;
                    }
                }
                _ => {}
            }
            let expected = model.values().find_map(|level| level.front()).map(|(number, _)| *number);
            assert_eq!(rotation.next(0).map(|member| member.consumer.0), expected);
        }
        assert!(rotation.nodes.len() < 2_000, "nodes are used again");
    }

    #[test]
    fn a_group_is_passed_over_for_its_own_messages() {
        let mut rotation = Rotation::default();
        let member = |number| Member { consumer: ConsumerIndex(number), membership: 0 };
        let seat = |local| Seat { priority: 0, local };
        let nodes: Vec<u32> =
            [(1, 7), (2, 7), (3, 8)].map(|(number, local)| rotation.enter(member(number), seat(local))).into();
        let next = |rotation: &Rotation, publisher| rotation.next(publisher).map(|member| member.consumer.0);
        assert_eq!((next(&rotation, 7), next(&rotation, 8), next(&rotation, 9)), (Some(3), Some(1), Some(1)));
        rotation.rotate(nodes[0], seat(7));
        assert_eq!((next(&rotation, 7), next(&rotation, 8), next(&rotation, 9)), (Some(3), Some(2), Some(3)));
        rotation.leave(nodes[2], seat(8));
        assert_eq!((next(&rotation, 7), next(&rotation, 9)), (None, Some(2)));
        assert_eq!((rotation.unwilling(7), rotation.unwilling(8)), (Some(seat(7)), None));
        rotation.leave(nodes[0], seat(7));
        rotation.leave(nodes[1], seat(7));
        assert_eq!((next(&rotation, 9), rotation.unwilling(7)), (None, None));
    }
}
