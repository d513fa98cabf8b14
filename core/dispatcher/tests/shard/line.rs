//! More comes than the broker takes: each connection is heard in its turn.

use crate::node::{LEAVE, Node, numbered, requests, says};
use postrider_model::{Command, limits};

const NOISY: u32 = 40;
const EACH: i32 = 2_000;

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
    // A batch's worth that is on its way, one that is heard before it, and eight commands of each of the others.
    let most = 2 * limits::BATCH_COMMANDS + NOISY as usize * 8;
    for request in 1..=QUIET {
        node.comes(NOISY, numbered(request..=request));
        let mut before = 0;
        loop {
            let batch = node.turn();
            before += batch.len();
            assert!(!batch.is_empty() && before <= most, "request {request} waits for {before} of at most {most}");
            let is_heard = batch.contains(&(NOISY, request));
            note(batch);
            if is_heard {
                break;
            }
        }
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

/// Consumers have been given messages, and what they say frees something.
#[test]
fn what_frees_waits_for_one_batch_of_what_others_send() {
    const CONSUMERS: i64 = 20;
    let mut node = Node::new(NOISY + 1);
    node.turn_nanos = 100_000;
    let opens = (1..=CONSUMERS).flat_map(|value| says().open_consumer(NOISY, value));
    node.comes(NOISY, says().open_session(NOISY).into_iter().chain(opens).collect());
    node.look(false);
    let opened = node.take_all().into_iter().find_map(|command| match command {
        Command::OpenConsumer(open) => Some(open.consumer),
        _ => None,
    });
    node.give(NOISY, opened.unwrap());
    node.look(false);
    node.take_all();
    for slot in 0..NOISY {
        node.comes(slot, requests(EACH));
    }
    for value in 1..=CONSUMERS {
        for _ in 0..3 {
            node.look(false);
            assert!(!node.take_one().unwrap().is_empty(), "the others have more to say");
        }
        node.comes(NOISY, says().remove_consumer(NOISY, value, 1));
        let mut before = 0;
        let is_freed = |command: &Command| matches!(command, Command::CloseConsumer { .. });
        loop {
            node.look(false);
            let taken = node.take_one().unwrap();
            let freed = taken.iter().position(is_freed);
            before += freed.unwrap_or(taken.len());
            assert!(before <= limits::BATCH_COMMANDS + 8, "{before} commands before that of consumer {value}");
            if freed.is_some() {
                break;
            }
        }
    }
}

/// Of those who send, what is heard while consumers which were given so many messages each say `EACH` times that they are done with one.
fn sent_beside(given: i32) -> usize {
    const CONSUMERS: u32 = 4;
    let mut node = Node::new(NOISY + CONSUMERS);
    node.turn_nanos = 100_000;
    for slot in NOISY..NOISY + CONSUMERS {
        node.comes(slot, [says().open_session(slot), says().open_consumer(slot, 1)].concat());
        node.look(false);
        let opened = node.take_all().into_iter().find_map(|command| match command {
            Command::OpenConsumer(open) => Some(open.consumer),
            _ => None,
        });
        for _ in 0..given {
            node.give(slot, opened.unwrap());
            node.look(false);
            node.take_all();
        }
    }
    for slot in 0..NOISY {
        node.comes(slot, requests(MANY));
    }
    for slot in NOISY..NOISY + CONSUMERS {
        node.comes(slot, says().acknowledge(slot, 1).repeat(EACH as usize));
    }
    let (mut sent, mut left) = (0, CONSUMERS as usize * EACH as usize);
    while left > 0 {
        let batch = node.turn();
        assert!(!batch.is_empty(), "{left} are not heard");
        let answers = batch.iter().filter(|(slot, _)| *slot >= NOISY).count();
        (sent, left) = (sent + batch.len() - answers, left - answers);
    }
    sent
}

#[test]
fn answers_of_many_consumers_do_not_wait_for_what_is_sent() {
    let (sent, answers) = (sent_beside(EACH), 4 * EACH as usize);
    // What is on its way when they come, and the turns that are due.
    let most = 3 * limits::BATCH_COMMANDS + answers / 100;
    assert!(sent <= most, "{sent} of others beside {answers} answers, {most} may be");
}

#[test]
fn who_says_more_than_answers_does_not_stop_those_who_send() {
    let (sent, others) = (sent_beside(1), 4 * EACH as usize);
    assert!(sent >= others / 4, "{sent} of those who send beside {others} of others");
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
