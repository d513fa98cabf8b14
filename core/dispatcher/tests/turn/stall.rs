//! A log whose front cannot be given back, as the medium does not read it.

use crate::node::{Node, SEGMENT};
use postrider_journal::SegmentNumber;
use postrider_model::{CommandBatch, Sequence};

const SECOND: u64 = 1_000_000_000;
const BLOCK: u64 = 4_096;

/// Its first message, which is delivered and not acknowledged, cannot be read once it has left the memory.
fn front_unread() -> Node {
    let mut node = Node::within(1 << 40, 24 * SEGMENT, 2 * SEGMENT);
    node.consume();
    // More than what is moved at once: so it stays until it is cold.
    let first = node.sending(16_000, true, true);
    node.push(first);
    let front: SegmentNumber = node.storage.0.borrow().numbers()[0];
    node.storage.0.borrow_mut().make_unreadable(front, 4096..SEGMENT);
    node.turns(10);
    assert_eq!(std::mem::take(&mut node.got).len(), 1);
    node
}

/// Its first message, which nobody acknowledges, cannot be read once it has left the memory; so the log grows until nothing more may
/// be stored.
fn stalled() -> Node {
    let mut node = front_unread();
    for _ in 0..800 {
        let before = std::mem::take(&mut node.got);
        let batch = node.sending(16_000, true, true);
        node.push(batch);
        let newer = std::mem::replace(&mut node.got, before);
        if newer.is_empty() {
            return node;
        }
        if !node.got.is_empty() {
            node.acknowledge_all();
        }
        node.got = newer;
    }
    panic!("all {} are stored", node.stored);
}

/// Live bytes are far below their limit, and reclaim would make room, if it could.
#[test]
fn acknowledgements_do_not_wait_with_sends_for_a_walk_that_stands_still() {
    let mut node = stalled();
    let stored = node.stored;
    let mut batch = node.sending(1_000, true, true);
    batch.commands.push(node.acknowledgement());
    node.hand_over(batch);
    node.wait(SECOND / 10);
    assert_eq!((node.stored, node.refused.len()), (stored + 1, 0), "the sends wait for the walk, nothing else does");
    assert!(node.turn.broker().statistics().parked_bytes > 17_000);
    node.wait(2 * SECOND);
    assert_eq!(node.refused.len(), 2, "they are answered");
    assert_eq!(node.turn.broker().statistics().parked_bytes, 0);
    node.refused.pop();
    let text = &node.refused[0];
    assert!(text.contains("waits for the disk to read its oldest messages"), "{text}");
    let stored = node.stored;
    // Messages of the spool go on, and so does what comes in one batch with a send.
    for (round, wanted) in [true, true, true, false].into_iter().enumerate() {
        let batch = node.sending(1_000, false, false);
        node.push(batch);
        assert_eq!(node.got.len(), 1);
        let mut batch = node.sending(1_000, true, wanted);
        batch.commands.push(node.acknowledgement());
        node.hand_over(batch);
        node.wait(SECOND / 10);
        assert_eq!(node.stored, stored + 1 + round as u64, "the acknowledgement is answered");
    }
    assert_eq!(node.refused.len(), 4, "the last one is parked");
    assert!(node.turn.broker().statistics().parked_bytes > 0);
    // When it can be read, all goes on.
    node.storage.0.borrow_mut().make_readable();
    node.wait(10 * SECOND);
    assert_eq!(node.turn.broker().statistics().parked_bytes, 0);
    assert_eq!(node.got.len(), 1, "what was parked is there");
    let batch = node.sending(1_000, true, true);
    node.hand_over(batch);
    node.wait(SECOND);
    assert_eq!((node.stored, node.refused.len()), (stored + 5, 4));
}

/// The front cannot be read for a while, and a message larger than a segment comes when the log is nearly as long as it may be.
#[test]
fn what_is_larger_than_a_segment_leaves_room_to_move_the_front() {
    let mut node = front_unread();
    for _ in 0..800 {
        if node.turn.journal().live_log_bytes() > 18 * SEGMENT + SEGMENT / 2 {
            break;
        }
        let batch = node.sending(16_000, true, true);
        node.push(batch);
        node.acknowledge_all();
    }
    let batch = node.sending(5 * SEGMENT as usize - 9_000, true, true);
    node.push(batch);
    node.storage.0.borrow_mut().make_readable();
    node.turns(3_000);
    let stored = node.stored;
    let batch = node.sending(1_000, true, true);
    node.hand_over(batch);
    node.turns(1_000);
    let journal = node.turn.journal();
    assert_eq!(node.stored, stored + 1, "{} of {} bytes", journal.live_log_bytes(), journal.disk_budget());
}

/// A message of many segments stays at the front while others come and go behind it: it moves into as many, for which there is room.
#[test]
fn a_front_that_is_longer_than_a_segment_goes_as_well() {
    let mut node = Node::within(1 << 40, 48 * SEGMENT, 64 << 20);
    node.consume();
    let large = node.sending(20 * SEGMENT as usize - 20_000, true, true);
    node.push(large);
    node.turns(200);
    assert_eq!((node.stored, std::mem::take(&mut node.got).len()), (1, 1));
    for _ in 0..1_500 {
        let stored = node.stored;
        let batch = node.sending(16_000, true, true);
        node.push(batch);
        node.turns(if node.stored > stored { 0 } else { 2_000 });
        let journal = node.turn.journal();
        let bytes = (journal.live_log_bytes() / SEGMENT, journal.disk_bytes() / SEGMENT);
        assert_eq!(node.stored, stored + 1, "{} refused after {stored}: {bytes:?} of 48", node.refused.len());
        node.acknowledge_all();
    }
}

/// A message of so many bytes has died, with a small one behind it in the same segment, and a large one has come, within a budget of so many
/// segments.
fn behind_what_died(segments: u64, died: usize, large: usize) -> Node {
    let mut node = Node::within(1 << 40, segments * SEGMENT, 64 << 20);
    node.consume();
    for bytes in [died, 10_600] {
        let batch = node.sending(bytes, true, true);
        node.push(batch);
        node.turns(200);
    }
    let dead = node.got.remove(0);
    node.acknowledge_one(dead);
    let batch = node.sending(large, true, true);
    node.push(batch);
    node.turns(200);
    node
}

/// A message that takes nearly all that may live comes when the log is no longer than its law says, and needs as much to move: the walk makes
/// room for what may live besides, though nothing dies any more.
#[test]
fn what_needs_much_to_move_leaves_room_for_what_may_live_besides() {
    let segment = SEGMENT as usize;
    let mut node = behind_what_died(48, 12 * segment - 40_000, 20 * segment - 22_000);
    assert_eq!((node.stored, node.got.len()), (4, 2), "the acknowledgement has an answer, too");
    assert!(stores(&mut node), "{:?}", node.refused);
}

/// A large message is parked, as the log has no room for a segment of its length, and would have it when its front had moved.
#[test]
fn a_large_send_that_waits_for_room_has_the_front_walked() {
    let segment = SEGMENT as usize;
    let mut node = behind_what_died(49, 14 * segment - 3_000, 14 * segment - 3_000);
    let large = node.sending(5 * segment - 3_000, true, false);
    node.push(large);
    node.wait(2 * SECOND);
    let journal = node.turn.journal();
    let log = (journal.live_log_bytes() / SEGMENT, node.turn.broker().statistics().live_bytes / SEGMENT);
    assert_eq!((node.got.len(), node.turn.broker().statistics().parked_bytes), (3, 0), "{log:?}");
}

/// Its first messages are delivered and cannot be read once they have left the memory, and many small ones behind them are acknowledged one
/// by one, in groups that are padded to a block, until there is no room for one more. The front, and small ones that are left.
fn exhausted() -> (Node, SegmentNumber, Vec<Sequence>) {
    let mut node = Node::within(1 << 40, 24 * SEGMENT, 2 * SEGMENT);
    node.consume();
    for _ in 0..20 {
        let batch = node.sending(16_000, true, true);
        node.push(batch);
    }
    let front: SegmentNumber = node.storage.0.borrow().numbers()[0];
    node.storage.0.borrow_mut().make_unreadable(front, BLOCK..SEGMENT);
    assert_eq!(std::mem::take(&mut node.got).len(), 20);
    for _ in 0..10 {
        let mut batch = CommandBatch::default();
        (0..250).for_each(|_| node.add_send(&mut batch, (0, 0), 10, true, false));
        node.push(batch);
    }
    let mut small = std::mem::take(&mut node.got);
    while node.refused.is_empty() {
        let batch = node.sending(16_000, true, true);
        node.push(batch);
        if !node.got.is_empty() {
            node.acknowledge_all();
        }
    }
    acknowledge_singly(&mut node, &mut small);
    (node, front, small)
}

/// One after the other, until there is no answer.
fn acknowledge_singly(node: &mut Node, sequences: &mut Vec<Sequence>) {
    let mut stored = node.stored - 1;
    while std::mem::replace(&mut stored, node.stored) < node.stored {
        let sequence = sequences.pop().expect("there is no end to it");
        node.acknowledge_one(sequence);
    }
}

fn stores(node: &mut Node) -> bool {
    let stored = node.stored;
    let batch = node.sending(1_000, true, true);
    node.hand_over(batch);
    node.turns(1_000);
    node.stored == stored + 1
}

/// The front comes back piece by piece: what moves opens a segment, and acknowledgements come between.
#[test]
fn acknowledgements_leave_to_moves_what_is_opened_for_these() {
    let (mut node, front, mut small) = exhausted();
    for piece in 1..20 {
        node.storage.0.borrow_mut().make_readable();
        node.storage.0.borrow_mut().make_unreadable(front, piece * 5 * BLOCK..SEGMENT);
        node.turns(3_000);
        acknowledge_singly(&mut node, &mut small);
    }
    node.storage.0.borrow_mut().make_readable();
    node.turns(20_000);
    let journal = node.turn.journal();
    let bytes = (journal.disk_bytes(), journal.disk_budget());
    assert!(stores(&mut node), "{bytes:?}");
}

/// What is tried again has its time; until then there is nothing to do.
#[test]
fn a_log_that_cannot_become_shorter_lets_its_thread_sleep() {
    let (mut node, ..) = exhausted();
    node.wait(5 * SECOND);
    let turns = node.wait(SECOND);
    assert!(turns < 100, "{turns} turns in a second");
    node.storage.0.borrow_mut().make_readable();
    node.wait(20 * SECOND);
    assert!(stores(&mut node));
}

/// What waits for the spool goes on when that has room, whatever holds the journal up.
#[test]
fn what_waits_for_the_spool_does_not_wait_for_the_walk() {
    let mut node = stalled();
    node.wait(2 * SECOND);
    node.got.clear();
    let mut sent = 0;
    while node.turn.broker().statistics().parked_bytes < 250_000 {
        let batch = node.sending(100_000, false, false);
        node.hand_over(batch);
        node.wait(SECOND / 1_000);
        sent += 1;
        assert!(sent < 100, "there is always room");
    }
    let taken = node.got.len();
    node.acknowledge_all();
    node.wait(SECOND / 10);
    assert_eq!((node.got.len(), node.turn.broker().statistics().parked_bytes), (sent - taken, 0));
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Messages of a few bytes and of up to two dozen segments come and go, as many as may live. Each is stored; one that is longer than a segment
/// may be refused while there is no room for it, if it wants an answer. How many were.
fn any_sizes(seed: u64) -> usize {
    let mut random = Random(seed);
    let budget = 20 + random.below(44);
    let hot_bytes = if random.below(2) == 0 { 64 << 20 } else { 2 * SEGMENT };
    let mut node = Node::within(1 << 40, budget * SEGMENT, hot_bytes);
    node.consume();
    let limit = (budget - 8) * SEGMENT / 2;
    let (rest, one_in) = ([20_000, 3_000, SEGMENT - 10_000][random.below(3) as usize], 1 + random.below(30));
    let (mut there, mut live, mut refused): (Vec<(Sequence, u64)>, u64, usize) = (Vec::new(), 0, 0);
    for step in 0..500 {
        let bytes = match random.below(one_in) {
            0 => (1 + random.below((limit / SEGMENT).min(24))) * SEGMENT - rest,
            _ => 10 + random.below(16_000),
        };
        // What a record has besides.
        let length = bytes + 500;
        if length > limit {
            continue;
        }
        while live + length > limit {
            let (sequence, length) = there.swap_remove(random.below(there.len() as u64) as usize);
            live -= length;
            node.acknowledge_one(sequence);
        }
        let wanted = random.below(2) == 0;
        let batch = node.sending(bytes as usize, true, wanted);
        node.push(batch);
        for _ in 0..40 {
            if node.got.is_empty() && node.refused.is_empty() {
                node.turns(100);
            }
        }
        match node.got.pop() {
            Some(sequence) => {
                live += length;
                there.push((sequence, length));
            }
            None if wanted && bytes + 30_000 > SEGMENT && node.refused.pop().is_some() => refused += 1,
            None => panic!("seed {seed}, {step}: {bytes} beside {live} of {limit}, {:?}", node.refused),
        }
        for _ in 0..random.below(4) {
            let at = random.below(there.len().max(1) as u64) as usize;
            if there.get(at).is_some_and(|(_, length)| *length < SEGMENT || random.below(6) == 0) {
                let (sequence, length) = there.swap_remove(at);
                live -= length;
                node.acknowledge_one(sequence);
            }
        }
    }
    refused
}

#[test]
fn messages_of_any_size_find_room_within_what_may_live() {
    let refused: usize = (0..16).map(any_sizes).sum();
    assert!(refused <= 2, "{refused}");
}
