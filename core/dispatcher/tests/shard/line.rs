//! More comes than the broker takes: each connection is heard in its turn.

use crate::node::{LEAVE, Node, numbered, requests, says};
use postrider_model::{Clock as _, Command, ConsumerHandle, limits};

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

/// What those have left who are gone, however much, is heard as what the others say.
#[test]
fn who_is_gone_has_a_turn_as_others_have() {
    const THERE: u32 = 4;
    const GONE: u32 = 2;
    let mut node = Node::new(THERE + GONE);
    node.turn_nanos = 1_000_000;
    (0..THERE + GONE).for_each(|slot| node.comes(slot, requests(MANY)));
    node.turn();
    node.world.borrow_mut().broken.extend(THERE..THERE + GONE);
    let mut heard = [0; (THERE + GONE) as usize];
    for _ in 0..100 {
        node.turn().into_iter().for_each(|(slot, _)| heard[slot as usize] += 1);
    }
    let gone: usize = heard[THERE as usize..].iter().sum();
    let each = gone / GONE as usize;
    let is_fair = |there: &usize| there.abs_diff(each) < each / 10;
    assert!(heard[..THERE as usize].iter().all(is_fair), "{heard:?}, the last {GONE} of those who are gone");
}

/// Also while consumers have much to say, which has turns of its own.
#[test]
fn who_is_gone_has_a_turn_beside_those_who_send_nothing() {
    const THERE: u32 = 4;
    const GONE: u32 = 2;
    let senders = THERE + GONE;
    let mut node = given(senders, 1);
    (0..senders).for_each(|slot| node.comes(slot, requests(MANY)));
    node.turn();
    node.world.borrow_mut().broken.extend(THERE..senders);
    let opens = |slot| (2..i64::from(EACH) + 2).flat_map(|value| says().open_consumer(slot, value)).collect();
    consumers(senders).for_each(|slot| node.comes(slot, opens(slot)));
    let (mut there, mut gone, mut opened) = (0, 0, 0);
    while opened < CONSUMERS as usize * EACH as usize {
        node.clock.0 += node.turn_nanos;
        node.look(false);
        for command in node.take_one().unwrap_or_default() {
            match command {
                Command::Synchronize { connection, .. } if connection.slot < THERE => there += 1,
                Command::Synchronize { .. } => gone += 1,
                _ => opened += 1,
            }
        }
    }
    let (there, gone) = (there / THERE, gone / GONE);
    assert!(gone > there / 2, "{gone} of each that is gone, {there} of each that is there");
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
    let opened = opened(&mut node);
    node.give(NOISY, opened);
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

/// Consumers, of which each is the only one of a connection.
const CONSUMERS: u32 = 8;

/// Not more than one of them may save up, and of all of them more than turns of those who send are due behind.
const GIVEN: usize = 4_000;

/// Connections of so many senders, then of consumers which were given so many messages each, and said that they are done with one.
fn given(senders: u32, given: usize) -> Node {
    let mut node = Node::new(senders + CONSUMERS);
    node.turn_nanos = 100_000;
    for slot in consumers(senders) {
        gives(&mut node, slot, given);
        says_that_it_is_done(&mut node, slot);
    }
    node
}

fn consumers(senders: u32) -> std::ops::Range<u32> {
    senders..senders + CONSUMERS
}

/// The first consumer that is opened in what the broker takes now.
fn opened(node: &mut Node) -> ConsumerHandle {
    let opened = node.take_all().into_iter().find_map(|command| match command {
        Command::OpenConsumer(open) => Some(open.consumer),
        _ => None,
    });
    opened.unwrap()
}

/// A connection opens a consumer, which is given so many messages.
fn gives(node: &mut Node, slot: u32, messages: usize) {
    node.comes(slot, [says().open_session(slot), says().open_consumer(slot, 1)].concat());
    node.look(false);
    let opened = opened(node);
    for _ in 0..messages {
        node.give(slot, opened);
        node.look(false);
        node.take_all();
    }
}

fn says_that_it_is_done(node: &mut Node, slot: u32) {
    node.comes(slot, says().acknowledge(slot, 1));
    node.look(false);
    node.take_all();
}

/// What all consumers have to answer comes.
fn all_answer(node: &mut Node, senders: u32) {
    for slot in consumers(senders) {
        node.comes(slot, says().acknowledge(slot, 1).repeat(GIVEN));
    }
}

/// How many answers are heard before the first word of a connection.
fn answers_before(node: &mut Node, senders: u32, slot: u32) -> usize {
    let mut answers = 0;
    for _ in 0..1_000 {
        let batch = node.turn();
        let reached = batch.iter().position(|(of, _)| *of == slot);
        let before = batch.iter().take(reached.unwrap_or(batch.len()));
        answers += before.filter(|(slot, _)| consumers(senders).contains(slot)).count();
        if reached.is_some() {
            return answers;
        }
    }
    panic!("never heard, beside {answers} answers")
}

/// What is heard of those who send while consumers that were given so many messages say such things, which are so many commands.
fn sent_beside(messages: usize, say: impl Fn(u32) -> Vec<u8>, commands: usize) -> usize {
    let mut node = given(NOISY, messages);
    for slot in 0..NOISY {
        node.comes(slot, requests(MANY));
    }
    for slot in consumers(NOISY) {
        node.comes(slot, say(slot));
    }
    let (mut sent, mut left) = (0, CONSUMERS as usize * commands);
    while left > 0 {
        node.clock.0 += node.turn_nanos;
        node.look(false);
        let batch = node.take_one().unwrap_or_default();
        assert!(!batch.is_empty(), "{left} are not heard");
        let is_sent = |command: &&Command| matches!(command, Command::Synchronize { .. });
        let of_senders = batch.iter().filter(is_sent).count();
        (sent, left) = (sent + of_senders, left - (batch.len() - of_senders));
    }
    sent
}

#[test]
fn answers_of_many_consumers_do_not_wait_for_what_is_sent() {
    let each = EACH as usize;
    let sent = sent_beside(each + 1, |slot| says().acknowledge(slot, 1).repeat(each), each);
    // What is on its way when they come, and the turns that are due.
    let answers = CONSUMERS as usize * each;
    let most = 3 * limits::BATCH_COMMANDS + answers / 100;
    assert!(sent <= most, "{sent} of others beside {answers} answers, {most} may be");
}

/// Neither who answers more than it was given, nor who was given much and says other things.
#[test]
fn who_says_more_than_answers_does_not_stop_those_who_send() {
    let each = EACH as usize;
    let answers = |slot| says().acknowledge(slot, 1).repeat(each);
    let open = |slot, value| says().open_consumer(slot, value);
    let opens = |slot| (2..i64::from(EACH) + 2).flat_map(|value| open(slot, value)).collect();
    let both = |slot| {
        let one = |value: i64| if value % 8 == 0 { says().acknowledge(slot, 1) } else { open(slot, value) };
        (2..i64::from(EACH) + 2).flat_map(one).collect()
    };
    // What comes first is heard a thousand frames at once.
    let least = CONSUMERS as usize * (each - 4 * limits::BATCH_COMMANDS) / 4;
    let much = each + 1;
    for sent in [sent_beside(1, answers, each), sent_beside(much, opens, each), sent_beside(much, both, each)] {
        assert!(sent >= least, "{sent} of those who send beside {each} of each other, {least} have to be");
    }
}

#[test]
fn answers_are_not_saved_up_for_ever() {
    let sent = sent_beside(2 * GIVEN, |slot| says().acknowledge(slot, 1).repeat(2 * GIVEN), 2 * GIVEN);
    let least = CONSUMERS as usize * (2 * GIVEN - 4_096 - 4 * limits::BATCH_COMMANDS) / 4;
    assert!(sent >= least, "{sent} of those who send beside {} of each other, {least} have to be", 2 * GIVEN);
}

/// What goes up beside, a few thousand frames at once, and the answers behind which a turn of theirs is due.
const DUE: usize = 3 * 8_192;

/// All consumers answer, and a sender is heard in time.
fn comes_to_its_turn(mut node: Node, senders: u32, slot: u32, where_it_is: &str) {
    all_answer(&mut node, senders);
    let before = answers_before(&mut node, senders, slot);
    assert!(before < DUE, "{before} answers before a sender {where_it_is}");
}

#[test]
fn a_turn_of_those_who_send_is_due_and_not_spent_on_who_is_held_back() {
    for held in [0, 3] {
        let (senders, last) = (held + 2, held + 1);
        let mut node = given(senders, GIVEN);
        for slot in 0..senders {
            node.comes(slot, requests(MANY));
        }
        node.look(false);
        (0..last).for_each(|slot| node.hold_back(slot));
        comes_to_its_turn(node, senders, last, &format!("behind {held} that are held back"));
    }
}

#[test]
fn a_turn_of_those_who_send_is_not_spent_on_who_is_gone() {
    const GONE: u32 = 3;
    let (senders, last) = (GONE + 2, GONE + 1);
    let mut node = given(senders, GIVEN);
    node.comes(0, requests(MANY));
    (1..=GONE).for_each(|slot| node.comes(slot, requests(300)));
    node.comes(last, requests(MANY));
    node.look(false);
    node.world.borrow_mut().broken.extend(1..=GONE);
    comes_to_its_turn(node, senders, last, &format!("behind {GONE} that are gone"));
}

#[test]
fn a_newcomers_first_answer_does_not_stand_in_the_line_of_those_who_send() {
    const SENDERS: u32 = 4;
    const BURST: u32 = SENDERS + CONSUMERS;
    const NEWCOMER: u32 = BURST + 1;
    let mut node = given(SENDERS, GIVEN);
    for slot in [BURST, NEWCOMER] {
        node.arrives();
        node.shard.turn(node.clock.now(), || false);
        node.comes(slot, says().introduction(slot));
        gives(&mut node, slot, 1_000);
    }
    says_that_it_is_done(&mut node, BURST);
    (0..SENDERS).for_each(|slot| node.comes(slot, requests(MANY)));
    all_answer(&mut node, SENDERS);
    node.look(false);
    // More than may pass the line.
    node.comes(BURST, says().acknowledge(BURST, 1).repeat(900));
    node.comes(NEWCOMER, says().acknowledge(NEWCOMER, 1).repeat(900));
    let before = answers_before(&mut node, SENDERS, NEWCOMER);
    assert!(before < 4_096, "{before} answers of others before a newcomer's first");
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
