//! More comes than the broker takes: each connection is heard in its turn.

use crate::node::{LEAVE, Node, numbered, requests};
use postrider_model::limits;

const NOISY: u32 = 40;
const EACH: i32 = 2_000;

/// Batches that go up before the broker's pace is known: eight in the ring, and twice as many that wait.
const FIRST: usize = 3 * 8;

/// Requests of one that says little.
const QUIET: i32 = 10;

/// More than goes up at once, of three connections.
const MANY: i32 = 20_000;

#[test]
fn who_says_little_waits_for_a_little_of_what_the_others_say() {
    let mut node = Node::new(NOISY + 1);
    node.turn_nanos = 1_000_000;
    for slot in 0..NOISY {
        node.comes(slot, requests(EACH));
    }
    let mut heard = vec![0; NOISY as usize];
    let mut note = |batch: Vec<(u32, i32)>| {
        for (slot, number) in batch.into_iter().filter(|(slot, _)| *slot < NOISY) {
            assert!(number > heard[slot as usize], "in its order");
            heard[slot as usize] = number;
        }
    };
    // What was heard before it was known that a batch takes a millisecond.
    for _ in 0..FIRST {
        note(node.turn());
    }
    // The ring's batches, twice as many that wait for them, the open one, and eight commands of each of the others.
    let most = 2 + 4 + 1 + (NOISY as usize * 9).div_ceil(limits::BATCH_COMMANDS);
    for request in 1..=QUIET {
        node.comes(NOISY, numbered(request..=request));
        let heard_in = (1..).find(|_| {
            let batch = node.turn();
            assert_eq!(batch.len(), limits::BATCH_COMMANDS, "each of the broker's turns takes one batch: it is full");
            let is_heard = batch.contains(&(NOISY, request));
            note(batch);
            is_heard
        });
        assert!(heard_in <= Some(most), "request {request} is heard in batch {heard_in:?} of at most {most}");
    }
    loop {
        let batch = node.turn();
        if batch.is_empty() {
            break;
        }
        note(batch);
    }
    assert_eq!(heard, vec![EACH; NOISY as usize], "all are heard to the end");
    assert_eq!((node.world.borrow().paused.len(), node.shard.has_work()), (0, false));
}

#[test]
fn whoever_ends_is_heard_to_the_end() {
    let mut node = Node::new(3);
    for slot in 0..3 {
        node.comes(slot, requests(MANY));
    }
    node.turn();
    assert_eq!(node.world.borrow().paused.len(), 3, "their turn is yet to come");
    node.world.borrow_mut().ended.push(1);
    let (mut last, mut leaves) = (0, false);
    loop {
        let batch = node.turn();
        if batch.is_empty() {
            break;
        }
        for (_, number) in batch.into_iter().filter(|(slot, _)| *slot == 1) {
            assert!(!leaves, "{number} after its leave");
            leaves = number == -1;
            last = if leaves { last } else { number };
        }
    }
    assert_eq!((last, leaves, node.world.borrow().closed.clone()), (MANY, true, vec![]));
    node.answer(1, LEAVE);
    node.turn();
    assert_eq!(node.world.borrow().closed, [1]);
}

#[test]
fn nobody_is_passed_for_ever_by_those_who_always_have_more_to_say() {
    const CONNECTIONS: usize = 40;
    const TURNS: usize = 2_000;
    let mut node = Node::new(CONNECTIONS as u32);
    node.turn_nanos = 100_000;
    // Each eighth says much at a time, so that it is held for the ring.
    let piece = |slot: usize| if slot.is_multiple_of(8) { 2_000 } else { 100 };
    let (mut said, mut heard) = ([0; CONNECTIONS], [0; CONNECTIONS]);
    let (mut last, mut longest) = ([0; CONNECTIONS], [0; CONNECTIONS]);
    for turn in 0..TURNS {
        for slot in 0..CONNECTIONS {
            if said[slot] - heard[slot] <= piece(slot) {
                node.comes(slot as u32, numbered(said[slot] + 1..=said[slot] + piece(slot)));
                said[slot] += piece(slot);
            }
        }
        for (slot, number) in node.turn() {
            let slot = slot as usize;
            heard[slot] += 1;
            assert_eq!(number, heard[slot], "of connection {slot}");
            longest[slot] = longest[slot].max(turn - last[slot]);
            last[slot] = turn;
        }
    }
    for (slot, last) in last.into_iter().enumerate() {
        let longest = longest[slot].max(TURNS - last);
        assert!(longest < 60, "connection {slot} was not heard for {longest} turns: {heard:?}");
    }
}
