//! A client sends no more: what it is owed goes out before its connection does.

use crate::node::{LEAVE, Node, requests, says};

const SECOND: u64 = 1_000_000_000;

/// How long a connection may take to go.
const WITHIN: u64 = 5 * SECOND;

/// Three requests and an end, which the broker has taken.
fn asked(goodbye: Vec<u8>) -> Node {
    let mut node = Node::new(2);
    node.answer(0, 1);
    node.turn();
    node.comes(0, [requests(3), goodbye.clone()].concat());
    if goodbye.is_empty() {
        node.world.borrow_mut().ended.push(0);
    }
    assert_eq!(node.turn(), [(0, 1), (0, 2), (0, 3), (0, -1)]);
    node.turn();
    node.sent();
    node
}

fn closed(node: &Node) -> Vec<u32> {
    node.world.borrow().closed.clone()
}

#[test]
fn whoever_sends_no_more_gets_the_answers_that_it_waits_for() {
    for goodbye in [Vec::new(), says().goodbye()] {
        let mut node = asked(goodbye);
        for token in 1..=3 {
            node.answer(0, token);
            node.turn();
            assert_eq!((node.sent().len(), closed(&node)), (1, vec![]), "answer {token}");
        }
        node.answer(0, LEAVE);
        node.turn();
        assert_eq!((node.sent(), closed(&node)), (vec![], vec![0]), "the client has not asked for that");
    }
}

#[test]
fn a_broker_that_does_not_answer_is_not_waited_for_long() {
    let mut node = asked(Vec::new());
    node.clock.0 += WITHIN - 1;
    node.turn();
    assert_eq!(closed(&node), []);
    node.clock.0 += 1;
    node.turn();
    assert_eq!((closed(&node), node.world.borrow().reset.len()), (vec![0], 0), "what it has been sent it can read");
}

#[test]
fn nobody_waits_for_the_answers_to_what_is_parked() {
    let mut node = Node::new(1);
    node.park(0);
    node.turn();
    node.world.borrow_mut().ended.push(0);
    node.turn();
    node.turn();
    assert_eq!(closed(&node), [0]);
}
