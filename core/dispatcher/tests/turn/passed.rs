//! Sends that others pass while the journal is full.

use crate::node::{CONSUMER, Node, SEGMENT, acknowledgement_of};
use postrider_model::{Command, CommandBatch, Handle};

const OTHER: Handle = Handle { slot: 2, generation: 1 };

/// A segment of its own has to be made first; others keep the journal full with smaller messages meanwhile.
#[test]
fn what_is_larger_than_a_segment_is_not_passed_for_ever() {
    const SMALL: usize = 50_000;
    let large = 2 * SEGMENT;
    let mut node = Node::within(1 << 40, 64 * SEGMENT, 256 << 20);
    node.connect(OTHER, b"d");
    node.consume();
    let parked = |node: &Node| node.turn.broker().statistics().parked_bytes;
    while parked(&node) == 0 {
        let batch = node.sending(SMALL, true, false);
        node.hand_over(batch);
        node.turns(3);
    }
    let mut batch = node.sending(large as usize, true, false);
    let Command::Publish(publish) = &mut batch.commands[0] else { unreachable!() };
    publish.connection = OTHER;
    node.hand_over(batch);
    node.turns(3);
    assert!(parked(&node) > large);
    let rounds = (0..3_000).find(|_| {
        let batch = node.sending(SMALL, true, false);
        node.hand_over(batch);
        let first = node.got.remove(0);
        node.acknowledge_one(first);
        parked(&node) < large
    });
    assert!(rounds.is_some_and(|rounds| rounds < 800), "{rounds:?}: {} bytes", parked(&node));
}

/// Ranges are bounded by what they say, and a batch by the sum of them.
#[test]
fn ranges_that_say_more_than_there_is_room_for_are_answered() {
    let mut node = Node::within(1 << 40, 24 * SEGMENT, 256 << 20);
    node.consume();
    while node.turn.broker().statistics().parked_bytes == 0 {
        let batch = node.sending(50_000, true, false);
        node.hand_over(batch);
        node.turns(3);
    }
    // As much lives as may, nearly; what comes and goes makes the log as long as it is at rest.
    for _ in 0..300 {
        let newest = node.got.pop().expect("what is there");
        node.acknowledge_one(newest);
        let batch = node.sending(50_000, true, false);
        node.push(batch);
    }
    let mut batch = CommandBatch::default();
    batch.commands.resize(255, acknowledgement_of(CONSUMER, &node.got[..1], 1_000));
    let (stored, all) = (node.stored, node.acknowledgement());
    batch.commands.push(all);
    node.hand_over(batch);
    node.wait(1_000_000_000);
    assert_eq!(
        (node.refused.len(), node.stored),
        (255, stored + 1),
        "{:?} {}",
        node.turn.statistics(),
        node.turn.journal().live_log_bytes() / SEGMENT
    );
}
