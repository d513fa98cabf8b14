//! A connection that is held back because of a queue is not heard, and loses nothing.

use crate::node::{LEAVE, Node, numbered, requests};

/// More than a turn's.
const MUCH: i32 = 2_000;

/// What has come of the first connection, which is to be all up to this number.
fn heard(node: &mut Node) -> i32 {
    let mut last = 0;
    loop {
        let batch = node.turn();
        if batch.is_empty() {
            return last;
        }
        for (slot, number) in batch {
            if slot == 0 {
                last = number;
            }
        }
    }
}

#[test]
fn who_is_held_back_is_not_read_and_not_heard_until_it_goes_on() {
    for in_line in [false, true] {
        let mut node = Node::new(2);
        if in_line {
            node.comes(0, requests(MUCH));
            node.look(false);
        }
        node.hold_back(0);
        node.look(false);
        node.comes(0, numbered(MUCH + 1..=MUCH + 5));
        node.comes(1, requests(3));
        let before = heard(&mut node);
        assert!(before < MUCH, "{before}: what was on its way, at most");
        assert_eq!((node.paused(), node.shard.has_work()), (vec![0], false));
        node.goes_on(0);
        assert_eq!(heard(&mut node), MUCH + 5);
        assert_eq!((node.paused(), node.shard.has_work()), (vec![], false));
    }
}

#[test]
fn what_comes_while_it_is_not_paused_yet_waits_too() {
    let mut node = Node::new(1);
    node.hold_back(0);
    node.comes(0, requests(10));
    // The same look has brought it as has told of it.
    assert_eq!(heard(&mut node), 0);
    node.goes_on(0);
    assert_eq!(heard(&mut node), 10);
}

#[test]
fn to_be_held_back_and_to_go_on_before_its_turn_changes_nothing() {
    let mut node = Node::new(1);
    node.comes(0, requests(MUCH));
    node.look(false);
    node.hold_back(0);
    node.goes_on(0);
    assert_eq!(heard(&mut node), MUCH);
    assert_eq!((node.paused(), node.shard.has_work()), (vec![], false));
}

#[test]
fn whoever_ends_or_breaks_while_it_is_held_back_is_heard_to_the_end() {
    for breaks in [false, true] {
        let mut node = Node::new(1);
        node.comes(0, requests(MUCH));
        node.look(false);
        node.hold_back(0);
        let on_its_way = heard(&mut node);
        assert!(on_its_way < MUCH);
        if breaks {
            node.world.borrow_mut().broken.push(0);
            assert_eq!(heard(&mut node), -1, "its leave is the last of it");
            continue;
        }
        node.world.borrow_mut().ended.push(0);
        assert_eq!(heard(&mut node), 0);
        node.goes_on(0);
        assert_eq!(heard(&mut node), -1);
        node.answer(0, LEAVE);
        node.turn();
        assert_eq!(node.world.borrow().closed, [0]);
    }
}

#[test]
fn an_end_of_the_process_hears_all_that_was_received() {
    let mut node = Node::new(1);
    node.comes(0, requests(MUCH));
    node.look(false);
    node.hold_back(0);
    assert!(heard(&mut node) < MUCH);
    node.shard.stop_receiving();
    assert!(!node.shard.has_handed_over());
    node.hold_back(0);
    assert_eq!(heard(&mut node), MUCH);
    assert!(node.shard.has_handed_over());
}
