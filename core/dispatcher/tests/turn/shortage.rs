//! A medium that gives no further segment for a while, or has less room than there was.

use crate::node::{CONNECTION, Node, SEGMENT};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Handle};

/// A topic's number.
const NEWS: u32 = 9;

fn send_news(node: &mut Node, persistent: bool, wanted: bool) {
    let mut batch = CommandBatch::default();
    node.add_send(&mut batch, (NEWS, 0), 1_000, persistent, wanted);
    node.push(batch);
}

/// Three segments fit; then the medium gives none.
fn full() -> (Node, u64) {
    let mut node = Node::new(3 * SEGMENT);
    let destinations = Box::new([Destination::new(DestinationKind::Topic, b"news")]);
    node.run(vec![Command::DefineDestination { connection: CONNECTION, number: NEWS, destinations }]);
    send_news(&mut node, false, false);
    while node.refused.is_empty() {
        node.send(true, true);
        assert!(node.sent < 4_000, "nothing is refused");
    }
    let stored = node.stored;
    assert!(stored > 60, "{stored} stored");
    (node, stored)
}

#[test]
fn sends_that_cannot_be_stored_are_refused_with_the_reason() {
    let (node, _) = full();
    let text = &node.refused[0];
    assert!(text.contains("the journal gets no further segment in the journal's directory: No space left"), "{text}");
}

#[test]
fn meanwhile_acknowledgements_and_what_needs_no_journal_go_on() {
    let (mut node, stored) = full();
    node.consume();
    assert_eq!(node.got.len() as u64, stored, "what is stored is delivered");
    for _ in 0..50 {
        node.send(false, true);
    }
    assert_eq!((node.stored, node.refused.len()), (stored + 50, 1), "messages of the spool pass");
    send_news(&mut node, true, true);
    assert_eq!((node.stored, node.refused.len()), (stored + 51, 1), "persistent ones of topics are no others");
    node.acknowledge_all();
    assert_eq!(node.stored, stored + 52, "they are acknowledged, durably");
    assert_eq!(node.turn.broker().statistics().messages, 0);
}

#[test]
fn what_acknowledgements_have_used_up_is_waited_for_and_nothing_of_it_is_lost() {
    let (mut node, stored) = full();
    node.consume();
    let got = std::mem::take(&mut node.got);
    let mut acknowledged = 0;
    for sequence in got {
        let before = node.stored;
        node.acknowledge_one(sequence);
        acknowledged += 1;
        if node.stored == before {
            break;
        }
    }
    let before = node.stored;
    assert!(acknowledged > 1 && acknowledged < stored, "{acknowledged} of {stored}: the last one waits");
    node.send(false, true);
    node.turns(6_000);
    assert_eq!((node.stored, node.refused.len()), (before, 1), "and what comes behind it, which needs no journal");
    node.storage.0.borrow_mut().free = 1 << 30;
    node.turns(6_000);
    assert_eq!((node.stored, node.refused.len()), (before + 2, 1));
    assert_eq!(node.turn.broker().statistics().messages, stored + 1 - acknowledged);
}

/// An allowance is small, and what goes out under it is acknowledged: it may take of what acknowledgements have.
#[test]
fn deliveries_go_on_for_as_long_as_they_can_be_acknowledged() {
    const CHURN: u32 = 2;
    let mut node = Node::new(3 * SEGMENT);
    let mut batch = CommandBatch::default();
    node.add_send(&mut batch, (CHURN, 0), 1_000, true, true);
    node.push(batch);
    while node.refused.is_empty() {
        node.send(true, true);
        assert!(node.sent < 4_000, "nothing is refused");
    }
    node.consume();
    let half = node.turn.journal().kept_for_acknowledgements() / 2;
    for sequence in std::mem::take(&mut node.got) {
        if node.turn.journal().room() < half {
            break;
        }
        node.acknowledge_one(sequence);
    }
    assert!(node.turn.journal().room() < half, "{} of {half}", node.turn.journal().room());
    let late = Handle { slot: 9, generation: 1 };
    node.consume_from(late, "churn");
    assert_eq!(node.others.iter().filter(|(consumer, _)| *consumer == late).count(), 1);
}

#[test]
fn when_there_is_room_again_everything_goes_on() {
    let (mut node, stored) = full();
    for _ in 0..10 {
        node.send(true, true);
        node.send(true, false);
    }
    node.turns(60_000);
    assert_eq!((node.stored, node.refused.len()), (stored, 11), "those that wait for no answer are parked");
    node.storage.0.borrow_mut().free = 1 << 30;
    node.turns(6_000);
    node.send(true, true);
    assert_eq!((node.stored, node.refused.len()), (stored + 1, 11));
    assert_eq!(node.turn.broker().statistics().messages, stored + 11);
    let failures = node.turn.journal().statistics().preparation_failures;
    assert!((15..40).contains(&failures), "{failures} in a minute");
}

/// Another program has taken the disk, or the setting was lowered: what makes the log shorter goes on, what stores is refused.
#[test]
fn a_log_beyond_its_budget_can_be_drained() {
    for budget in [2 * SEGMENT, 6 * SEGMENT, 10 * SEGMENT, 16 * SEGMENT] {
        let mut node = Node::new(1 << 40);
        for _ in 0..200 {
            for _ in 0..25 {
                node.send(true, true);
            }
            node.turns(3);
        }
        node.turns(100);
        assert_eq!((node.stored, node.refused.len()), (5_000, 0));
        node.storage.0.borrow_mut().settle();
        let mut node = node.restarted(budget);
        node.turns(200);
        node.send(true, true);
        node.turns(200);
        assert_eq!((node.stored, node.refused.len()), (0, 1), "{budget}: nothing is stored");
        assert!(node.refused[0].contains("journal.disk_budget_bytes"), "{}", node.refused[0]);
        // Who comes to consume creates his queue, out of what acknowledgements have.
        node.consume_from(Handle { slot: 9, generation: 1 }, "a new queue");
        assert_eq!(node.refused.len(), 1, "{budget}: {:?}", node.refused);
        node.consume();
        let mut drained = 0;
        for _ in 0..400 {
            node.turns(20);
            drained += node.got.len();
            if !node.got.is_empty() {
                node.acknowledge_all();
            }
        }
        assert_eq!(drained, 5_000, "{budget}: acknowledgements always have room");
        node.turns(2_000);
        assert_eq!(node.turn.broker().statistics().messages, 0, "{budget}");
        let bytes = node.turn.journal().disk_bytes();
        assert!(bytes <= budget.max(4 * SEGMENT) + 4 * SEGMENT, "{budget}: {bytes} after all is drained");
        if budget > 10 * SEGMENT {
            let before = node.stored;
            node.send(true, true);
            node.turns(200);
            assert_eq!(node.stored, before + 1, "{budget}: there is room again");
        }
    }
}

#[test]
fn what_comes_after_the_end_was_written_down_is_not_appended() {
    let mut node = Node::new(64 << 20);
    node.send(true, true);
    assert_eq!(node.stored, 1);
    node.turns(200);
    node.turn.end();
    let end = node.turn.journal().appended();
    node.send(true, true);
    node.turns(200);
    assert_eq!(node.turn.journal().appended(), end);
    assert!(!node.turn.has_work(), "nobody is kept awake by it");
}
