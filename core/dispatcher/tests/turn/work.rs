//! A batch that is more than a turn's work.

use crate::node::{CONNECTION, Node, SEGMENT, opening};
use postrider_model::command::{OpenProducer, Request};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Handle, Token, limits};

/// It creates 1,000 queues: what it says is handled in its order over some turns, and nothing twice (R53).
#[test]
fn it_goes_on_in_the_next_turns() {
    let mut node = Node::new(64 * SEGMENT);
    let open = |number: u32| {
        let names = (0..10).map(|part| Destination::new(DestinationKind::Queue, format!("{number}.{part}").as_bytes()));
        Command::OpenProducer(Box::new(OpenProducer {
            connection: CONNECTION,
            request: Request::new(Token(1), true),
            producer: number,
            session: 1,
            value: 1,
            destinations: names.collect(),
            window: 0,
            described: postrider_model::command::Described::default(),
        }))
    };
    let batch = CommandBatch { commands: (0..100).map(open).collect(), ..CommandBatch::default() };
    let before = node.turn.statistics().commands;
    assert!(node.port.commands.push(batch).is_ok());
    let mut turns = 0;
    while node.turn.statistics().commands < before + 100 {
        let handled = node.turn.statistics().commands;
        node.turns(1);
        assert!(node.turn.statistics().commands - handled <= 60, "a turn's work");
        turns += 1;
        assert!(turns < 100, "it goes on");
        assert!((1..=60).contains(&node.port.portion.commands()), "{}", node.port.portion.commands());
    }
    assert!((2..20).contains(&turns), "{turns}");
    node.turns(20);
    assert_eq!((node.stored, node.refused.len()), (100, 0));
    assert_eq!(node.turn.broker().statistics().destinations, 1_000);
    // Whoever sends after that has less on its way, until turns are short again.
    for _ in 0..8 {
        let mut batch = CommandBatch::default();
        (0..limits::BATCH_COMMANDS).for_each(|_| node.add_send(&mut batch, (0, 0), 10, false, false));
        node.push(batch);
    }
    assert_eq!(node.port.portion.commands(), limits::BATCH_COMMANDS);
}

/// What a batch has left, and what a command goes on with in slices, was taken: an end in order comes behind it.
#[test]
fn an_end_waits_for_the_rest_of_it() {
    let mut node = Node::new(64 * SEGMENT);
    let consume = |number: u32| {
        let names = (0..500).map(|part| Destination::new(DestinationKind::Queue, format!("{part}").as_bytes()));
        opening(Handle { slot: 100 + number, generation: 1 }, names.collect(), 1)
    };
    node.run(vec![consume(0)]);
    node.turns(500);
    assert!(node.turn.is_drained());
    let before = node.turn.statistics().commands;
    node.hand_over(CommandBatch { commands: (1..61).map(consume).collect(), ..CommandBatch::default() });
    let mut turns = 0;
    while node.turn.has_work() || !node.turn.is_drained() {
        node.turns(1);
        turns += 1;
        assert!(turns < 1_000, "it comes to an end");
    }
    assert_eq!(node.turn.statistics().commands - before, 60, "after {turns} turns");
    assert_eq!(node.turn.broker().statistics().consumers, 61);
}

/// So many sends at once: how many events the longest batch of the answers takes. All have come back when this returns.
fn longest_answer(node: &mut Node, sends: usize) -> usize {
    let mut batch = CommandBatch::default();
    (0..sends).for_each(|_| node.add_send(&mut batch, (0, 0), 10, false, true));
    node.hand_over(batch);
    let mut answers = Vec::new();
    for _ in 0..20 {
        node.now.nanos += 1_000_000;
        assert!(node.turn.turn(node.now).is_ok());
        node.storage.0.borrow_mut().settle();
        answers.extend(std::iter::from_fn(|| node.port.events.pop()));
    }
    assert_eq!(answers.iter().map(|answer| answer.events.len()).sum::<usize>(), sends);
    let longest = answers.iter().map(|answer| answer.events.capacity()).max();
    answers.into_iter().for_each(|answer| node.port.events.recycle(answer));
    longest.unwrap_or_default()
}

#[test]
fn what_a_burst_has_left_is_let_go() {
    const BURST: usize = 200;
    let mut node = Node::new(64 * SEGMENT);
    let longest_of_ten = |node: &mut Node| (0..10).map(|_| longest_answer(node, 1)).max();
    assert!(longest_answer(&mut node, BURST) >= BURST);
    assert!(longest_of_ten(&mut node) >= Some(BURST), "it is used again");
    node.turns(1);
    node.turn.trim();
    assert!(longest_of_ten(&mut node) < Some(BURST), "what the broker had kept");
    longest_answer(&mut node, BURST);
    node.turn.trim();
    assert!(longest_of_ten(&mut node) < Some(BURST), "what had come back since its last turn");
}
