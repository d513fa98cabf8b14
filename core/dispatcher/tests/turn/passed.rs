//! Sends that others pass while the journal is full.

use crate::node::{Node, SEGMENT};
use postrider_model::{Command, Handle};

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
