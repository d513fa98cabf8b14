//! Large transactions: they take effect in slices, and nothing passes them meanwhile.

use crate::log::TestLog;
use crate::transactions::{begin, claiming, commit, send, transact, waiting};
use crate::world::{World, acknowledging, handle, queue, record, topic, wanted};
use postrider_broker::{Config, Log};
use postrider_model::command::{AcknowledgeKind, LastDelivered, OpenConsumer, Request, TransactionAct};
use postrider_model::{Command, CommandBatch, Destination, Event};

/// Messages of a transaction that takes many slices.
const MANY: usize = 12_000;

fn large_world() -> World {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(256 << 20, 64 << 10));
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world
}

/// One turn, whatever is left to do.
fn turn(world: &mut World, batch: &CommandBatch) {
    world.handle(0, batch);
    world.go_on();
    world.log.commit();
    world.release_replies();
}

fn deciding(connection: u32, transaction: u16, act: TransactionAct) -> CommandBatch {
    CommandBatch { commands: vec![transact(connection, transaction, act)], ..CommandBatch::default() }
}

/// What is wrong, in a few words.
fn check(world: &mut World, name: &str, expected: &[String]) {
    let waiting = waiting(world, name);
    let differs = waiting.iter().zip(expected).position(|(one, other)| one != other);
    let first = differs.map(|at| (at, &waiting[at]));
    assert_eq!((waiting.len(), first), (expected.len(), None), "{name}");
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// A transaction that has sent many to two queues and a topic.
fn sent(world: &mut World) {
    begin(world, 1, 1);
    for number in numbers(MANY) {
        send(world, 1, &queue("q"), &number, true, 1);
        if number.len() < 3 {
            send(world, 1, &topic("t"), &number, false, 1);
        }
    }
    world.settle();
    world.heard(0);
    world.heard(1);
}

#[test]
pub fn what_comes_while_a_decision_takes_effect_stands_behind_it() {
    let mut world = large_world();
    world.consume(1, 1, 6, &topic("t"), 20_000);
    sent(&mut world);
    begin(&mut world, 1, 2);
    send(&mut world, 1, &queue("q"), "behind that", true, 2);
    send(&mut world, 1, &topic("t"), "behind", false, 2);
    begin(&mut world, 1, 3);
    send(&mut world, 1, &queue("other"), "at once", true, 3);
    let plain = record(&[queue("q")], b"behind", true, 0, 0);
    let plain = world.publish(0, handle(1), &[queue("q")], true, (&plain, 0), Request::default());
    let delete =
        Command::DeleteDestination { connection: handle(1), destination: Box::new(queue("q")), request: wanted(30) };
    world.settle();
    world.heard(0);
    turn(&mut world, &deciding(1, 1, TransactionAct::Commit));
    assert!(world.broker.is_deciding(), "it takes more than a turn");
    turn(&mut world, &plain);
    turn(&mut world, &deciding(1, 2, TransactionAct::Commit));
    assert_eq!(world.events(0).len(), 0);
    turn(&mut world, &deciding(1, 3, TransactionAct::Commit));
    assert!(world.broker.is_deciding());
    assert_eq!(world.events(0).len(), 1, "what stands behind nothing is there, and said to be");
    turn(&mut world, &CommandBatch { commands: vec![delete], ..CommandBatch::default() });
    assert!(matches!(world.events(0)[..], [Event::Failed { .. }]), "a decision names it (R44)");
    assert!(world.broker.is_deciding());
    world.settle();
    assert_eq!(world.events(0).len(), 2);
    assert_eq!(world.broker.recount(), Ok(()));
    let texts = world.texts(1);
    assert_eq!(texts, [numbers(100), vec!["behind".to_owned()]].concat());
    let expected = [numbers(MANY), vec!["behind".to_owned(), "behind that".to_owned()]].concat();
    check(&mut world, "q", &expected);
    check(&mut world, "other", &["at once".to_owned()]);
    let mut world = world.restarted();
    assert_eq!(world.broker.recount(), Ok(()));
    check(&mut world, "q", &expected);
}

#[test]
pub fn a_decision_stands_wherever_the_process_ends_while_it_takes_effect() {
    for turns in [0, 1, 2, 4, 100] {
        let mut world = large_world();
        for number in numbers(MANY) {
            world.send(0, 1, &queue("from"), &number, true);
        }
        world.consume(0, 1, 5, &queue("from"), 20_000);
        world.settle();
        let got = world.got(0);
        sent(&mut world);
        world.turn(0, &claiming(1, 5, (got[0].sequence.0, got[MANY - 1].sequence.0), 12_000, 1));
        world.settle();
        turn(&mut world, &deciding(1, 1, TransactionAct::Commit));
        assert!(world.broker.is_deciding());
        for _ in 0..turns {
            world.go_on();
        }
        let keep = world.log.committed();
        let mut world = world.crash(keep);
        assert_eq!(world.broker.recount(), Ok(()));
        check(&mut world, "from", &[]);
        check(&mut world, "q", &numbers(MANY));
    }
}

/// What a decision has buried, or given its sequence, does not move before it has taken effect (R36).
#[test]
pub fn reclaim_stands_still_while_a_decision_takes_effect() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(16 << 20, 64 << 10));
    world.connect(0, 1, "a");
    for number in numbers(6_000) {
        world.send(0, 1, &queue("from"), &number, true);
    }
    world.consume(0, 1, 5, &queue("from"), 20_000);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 1, 1);
    for number in numbers(3_000) {
        send(&mut world, 1, &queue("q"), &number, true, 1);
    }
    // The log is longer than it may be for what is alive.
    world.consume(0, 1, 7, &queue("churn"), 1_000);
    for _ in 0..700 {
        world.send(0, 1, &queue("churn"), &"x".repeat(6_000), true);
    }
    world.settle();
    let last = world.got(0).last().unwrap().sequence.0;
    world.turn(0, &claiming(1, 5, (got[0].sequence.0, got[5_999].sequence.0), 6_000, 1));
    let mut batch = deciding(1, 1, TransactionAct::Commit);
    let over = acknowledging(1, 7, AcknowledgeKind::Standard, (0, last), 700, b"");
    batch.commands.extend(over.commands);
    world.settle();
    turn(&mut world, &batch);
    assert!(world.broker.is_deciding());
    for _ in 0..2 {
        world.go_on();
        world.log.commit();
    }
    assert!(world.broker.is_deciding());
    let keep = world.log.committed();
    let mut world = world.crash(keep);
    assert_eq!(world.broker.recount(), Ok(()));
    check(&mut world, "from", &[]);
    check(&mut world, "q", &numbers(3_000));
}

#[test]
pub fn much_that_is_rolled_back_goes_in_slices() {
    for ends in [TransactionAct::RollBack, TransactionAct::Doom] {
        let mut world = large_world();
        for number in numbers(MANY) {
            world.send(0, 1, &queue("from"), &number, true);
        }
        world.consume(0, 1, 5, &queue("from"), 20_000);
        world.settle();
        let got = world.got(0);
        sent(&mut world);
        world.turn(0, &claiming(1, 5, (got[0].sequence.0, got[MANY - 1].sequence.0), 12_000, 1));
        world.close_consumer(0, 1, 5, LastDelivered::Unknown);
        let before = world.broker.statistics().messages;
        world.settle();
        world.heard(0);
        turn(&mut world, &deciding(1, 1, ends));
        let left = world.broker.statistics().messages;
        // What is sent to a topic has a place for those that subscribe before the commit.
        assert!(left >= before - 4_000, "it is not all done in a turn: {left} of {before}");
        if ends == TransactionAct::Doom {
            commit(&mut world, 1, 1);
        }
        world.settle();
        assert_eq!(world.events(0).len(), if ends == TransactionAct::Doom { 2 } else { 1 });
        assert_eq!(world.broker.recount(), Ok(()));
        check(&mut world, "from", &numbers(MANY));
        check(&mut world, "q", &[]);
        let mut world = world.restarted();
        assert_eq!(world.broker.recount(), Ok(()));
        check(&mut world, "from", &numbers(MANY));
        check(&mut world, "q", &[]);
    }
}

/// What was tried when it came, and stands behind a decision, is another one than the next that enters the queue.
#[test]
pub fn what_waits_behind_a_decision_is_found_by_those_who_want_it() {
    let mut world = large_world();
    crate::selecting::consume(&mut world, 7, &queue("q"), 100, "color = 'red'");
    sent(&mut world);
    let batches = ["red", "blue", "red"].map(|color| {
        let bytes = crate::selecting::colored(&queue("q"), color, color, true);
        world.publish(0, handle(1), &[queue("q")], true, (&bytes, 0), Request::default())
    });
    turn(&mut world, &deciding(1, 1, TransactionAct::Commit));
    for batch in &batches {
        turn(&mut world, batch);
    }
    assert!(world.broker.is_deciding());
    world.settle();
    assert_eq!(world.texts(0), ["red", "red"]);
    assert_eq!(world.broker.recount(), Ok(()));
}

fn slow_commit(world: &mut World, last: &Destination) {
    begin(world, 1, 1);
    for number in 0..12_000 {
        send(world, 1, &queue("q"), &number.to_string(), true, 1);
    }
    send(world, 1, last, "decided", true, 1);
    world.settle();
    world.heard(0);
    world.heard(1);
    let batch = CommandBatch { commands: vec![transact(1, 1, TransactionAct::Commit)], ..CommandBatch::default() };
    world.handle(0, &batch);
    world.go_on();
    world.log.commit();
    world.release_replies();
    assert!(world.broker.is_deciding());
}

fn is_told_that_there_is_nothing(world: &mut World, port: usize) -> bool {
    world.events(port).iter().any(|event| matches!(event, Event::EndOfMessages { .. }))
}

/// A send is answered while it waits behind a decision: who asks then does not hear that there is nothing.
#[test]
fn what_is_answered_is_there_for_who_pulls() {
    let mut world = large_world();
    world.consume(1, 1, 5, &queue("other"), 0);
    world.settle();
    slow_commit(&mut world, &queue("other"));
    let plain = record(&[queue("other")], b"plain", true, 0, 0);
    let batch = world.publish(0, handle(1), &[queue("other")], true, (&plain, 0), wanted(7));
    world.handle(0, &batch);
    world.go_on();
    world.log.commit();
    world.release_replies();
    assert_eq!(world.events(0).len(), 1, "it is answered");
    assert!(world.broker.is_deciding());
    let pull =
        Command::Pull { connection: handle(1), consumer: handle(5), timeout_millis: -1, request: Request::default() };
    world.handle(1, &CommandBatch { commands: vec![pull], ..CommandBatch::default() });
    world.go_on();
    world.log.commit();
    world.release_replies();
    let is_deciding = world.broker.is_deciding();
    assert!(
        !is_told_that_there_is_nothing(&mut world, 1),
        "there is a message that was answered (deciding: {is_deciding})"
    );
}

/// The same for who browses.
#[test]
fn what_is_answered_is_there_for_who_browses() {
    let mut world = large_world();
    slow_commit(&mut world, &queue("other"));
    let plain = record(&[queue("other")], b"plain", true, 0, 0);
    let batch = world.publish(0, handle(1), &[queue("other")], true, (&plain, 0), wanted(7));
    world.handle(0, &batch);
    world.go_on();
    world.log.commit();
    world.release_replies();
    assert_eq!(world.events(0).len(), 1, "it is answered");
    let open = OpenConsumer { browser: true, ..world.open(1, 9, &[queue("other")], 100) };
    world.connections_of.insert((1, handle(9)), handle(1));
    world.handle(1, &CommandBatch { commands: vec![Command::OpenConsumer(Box::new(open))], ..CommandBatch::default() });
    world.go_on();
    world.log.commit();
    world.release_replies();
    assert!(world.broker.is_deciding());
    assert!(!is_told_that_there_is_nothing(&mut world, 1), "there is a message that was answered");
}

/// Two ports that send as much in a turn as they may (R23: four batches of 256 each) to a queue where a decision takes effect: it
/// ends all the same, is answered, and reclaim goes on.
#[test]
fn a_flood_does_not_keep_a_decision_from_its_end() {
    let mut world = large_world();
    slow_commit(&mut world, &queue("other"));
    let bytes = record(&[queue("other")], b"plain", false, 0, 0);
    let mut batches = Vec::new();
    for port in 0..2 {
        let first = world.publish(port, handle(1), &[queue("other")], false, (&bytes, 0), Request::default());
        world.handle(port, &first);
        let mut batch = world.publish(port, handle(1), &[queue("other")], false, (&bytes, 0), Request::default());
        let one = batch.commands.pop().unwrap();
        for _ in 0..256 {
            batch.commands.push(one.clone());
        }
        batches.push(batch);
    }
    for _ in 0..300 {
        for (port, batch) in batches.iter().enumerate() {
            for _ in 0..4 {
                assert!(!world.broker.has_worked_enough());
                world.handle(port, batch);
            }
        }
        world.go_on();
        world.log.commit();
        world.release_replies();
        if !world.broker.is_deciding() {
            return;
        }
    }
    panic!("12,001 messages of a decision are not there after 300 turns");
}
