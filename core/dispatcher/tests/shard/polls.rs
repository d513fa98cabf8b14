//! When a shard looks at the network, and whom it hears no more until the broker has what it has heard.

use crate::node::{Node, numbered, requests};
use postrider_dispatcher::net::Wait;
use postrider_model::{Clock as _, limits};

/// The longest time without a look, in nanoseconds.
const EVERY: u64 = 200_000;

/// More than goes up at first, by a few batches: so much is heard at once.
const MUCH: i32 = (12 * limits::BATCH_COMMANDS) as i32;

#[test]
fn while_the_broker_is_busy_what_is_said_to_clients_is_collected() {
    let mut node = Node::new(1);
    node.answer(0, 1);
    node.sent();
    assert!(node.look(false), "nobody is busy");
    let sent = node.sent();
    let [length] = sent[..] else { panic!("{sent:?}") };
    let looked = node.clock.0;
    for nanos in [1, EVERY / 2, EVERY - 1] {
        node.answer(0, 1);
        node.comes(0, requests(1));
        node.clock.0 = looked + nanos;
        assert!(!node.look(true) && node.sent().is_empty() && node.take().is_empty(), "after {nanos} ns");
    }
    node.clock.0 = looked + EVERY;
    assert!(node.look(true));
    assert_eq!(node.sent(), [3 * length], "one send");
    assert_eq!(node.take(), [(0, 1); 3]);
    node.clock.0 += 1;
    assert!(!node.look(true));
    assert!(node.look(false), "who is not busy looks at once");
}

#[test]
fn what_the_broker_has_said_and_was_not_taken_yet_is_collected_with_the_rest() {
    let mut node = Node::new(1);
    node.answer(0, 1);
    node.sent();
    node.look(false);
    let length = node.sent()[0];
    (0..20).for_each(|_| node.answer(0, 1));
    node.clock.0 += 1;
    assert!(!node.look(false) && !node.look(false) && node.sent().is_empty(), "a turn takes eight batches");
    assert!(node.look(false));
    assert_eq!(node.sent(), [20 * length]);
}

/// Those in the line would be heard batch by batch otherwise, with a look and a send for each.
#[test]
fn what_a_turn_hands_over_is_work_of_a_broker_on_the_same_thread() {
    let mut node = Node::new(1);
    node.comes(0, requests(MUCH));
    node.look(false);
    while !node.take().is_empty() {}
    assert!(node.shard.has_work(), "not all was handed over");
    let commands = node.commands.clone();
    let has_work = || !commands.borrow().is_empty();
    assert!(!has_work());
    node.clock.0 += 1;
    node.shard.turn(node.clock.now(), has_work);
    assert!(has_work() && !node.shard.poll_is_due());
}

#[test]
fn who_is_heard_while_the_ring_is_full_waits_until_the_broker_has_it() {
    let mut node = Node::new(3);
    node.comes(0, requests(MUCH));
    node.look(false);
    assert_eq!(node.paused(), [0]);
    node.comes(1, requests(10));
    node.look(false);
    assert_eq!(node.paused(), [0], "who says little is not held");
    node.comes(0, numbered(MUCH + 1..=MUCH + 10));
    node.comes(1, numbered(11..=20));
    node.look(false);
    assert_eq!(node.world.borrow().come.len(), 1, "it waits in its socket");
    let mut heard = [0; 3];
    let mut turns = 0;
    loop {
        let batch = node.turn();
        if batch.is_empty() {
            break;
        }
        heard_in(&batch, &mut heard);
        turns += 1;
        assert!(turns > 3 || !node.paused().is_empty(), "batches wait for the ring");
    }
    assert_eq!(heard, [MUCH + 10, 20, 0]);
    assert_eq!((node.paused(), node.shard.has_work()), (vec![], false));
}

/// They fill no batch, so nothing that counts what is on its way up bounds them.
#[test]
fn who_says_only_what_brings_nothing_up_is_heard_in_its_turn_as_well() {
    let mut node = Node::new(2);
    // A KeepAliveInfo that wants no answer, in loose frames: type, command id, response required.
    let keep_alive = [0, 0, 0, 6, 10, 0, 0, 0, 0, 0];
    let mut bytes = keep_alive.repeat(10_000);
    bytes.extend(requests(1));
    node.comes(0, bytes);
    node.comes(1, requests(1));
    node.look(false);
    assert_eq!((node.paused(), node.take()), (vec![0], vec![(1, 1)]));
    let turns = (1..1_000).find(|_| !node.turn().is_empty());
    assert!(turns.is_some_and(|turns| turns > 10), "heard to its end after {turns:?} turns");
    assert_eq!((node.paused(), node.shard.has_work()), (vec![], false));
}

/// A broker of another thread wakes who has found its ring full, but not who is awake: that looks once more before it sleeps (R26).
#[test]
fn a_shard_whose_ring_was_emptied_meanwhile_does_not_sleep_before_all_go_on() {
    let mut node = Node::new(1);
    node.comes(0, requests(MUCH));
    node.look(false);
    node.answer(0, 1);
    let commands = node.commands.clone();
    let empties = move || while commands.borrow_mut().pop().is_some() {};
    node.world.borrow_mut().at_send = Some(Box::new(empties));
    node.look(false);
    assert_eq!(node.paused(), [0], "there was no room yet when it was looked for");
    assert!(node.shard.has_work());
    for _ in 0..MUCH as usize / limits::BATCH_COMMANDS {
        node.look(false);
        assert!(!node.shard.has_work(), "a batch's worth of it is on its way");
        while node.commands.borrow_mut().pop().is_some() {}
        assert_eq!(node.shard.has_work(), !node.paused().is_empty());
    }
    assert_eq!((node.paused(), node.shard.has_work()), (vec![], false));
}

#[test]
fn what_a_connection_says_keeps_its_order_whichever_way_it_takes() {
    const CONNECTIONS: usize = 6;
    const EACH: i32 = 12_000;
    let mut node = Node::new(CONNECTIONS as u32);
    node.turn_nanos = 20_000;
    let said = requests(EACH);
    let mut state = 1_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    let (mut given, mut heard) = ([0; CONNECTIONS], [0; CONNECTIONS]);
    let (mut turns, mut all_wait) = (0, 0);
    while heard != [EACH; CONNECTIONS] {
        for _ in 0..below(2 * CONNECTIONS) {
            let slot = below(CONNECTIONS);
            let length = [5, 300, 5_000][below(3)].min(said.len() - given[slot]);
            if length == 0 {
                continue;
            }
            node.comes(slot as u32, said[given[slot]..given[slot] + length].to_vec());
            given[slot] += length;
        }
        heard_in(&node.turn(), &mut heard);
        (0..below(3)).for_each(|_| heard_in(&node.take(), &mut heard));
        all_wait += usize::from(node.paused().len() == CONNECTIONS);
        turns += 1;
        assert!(turns < 10_000, "{heard:?} were heard");
    }
    assert!((10..turns - 10).contains(&all_wait), "all waited in {all_wait} of {turns} turns");
    node.turn();
    assert_eq!((node.paused(), node.shard.has_work()), (vec![], false));
}

/// What was said while the thread slept says nothing of how busy the broker is.
#[test]
fn a_look_for_which_the_thread_may_sleep_counts_as_several() {
    let mut node = Node::new(1);
    let mut look_after = |wait| {
        node.comes(0, requests(1));
        node.shard.turn(node.clock.now(), || false);
        assert!(node.shard.poll(wait, &node.clock, || ()).is_ok());
        let batch = node.commands.borrow_mut().pop().unwrap();
        batch.look
    };
    let first = look_after(Wait::None);
    assert_eq!(look_after(Wait::None), first + 1);
    assert_eq!(look_after(Wait::Forever), first + 1 + limits::LOOKS_OF_A_REST);
}

/// Each number is the next of its connection.
fn heard_in(batch: &[(u32, i32)], heard: &mut [i32]) {
    for (slot, number) in batch {
        let heard = &mut heard[*slot as usize];
        *heard += 1;
        assert_eq!(number, heard, "of connection {slot}");
    }
}
