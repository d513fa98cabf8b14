//! Subscriptions that come late: behind what a transaction has sent, or behind another consumer.

use crate::log::TestLog;
use crate::subscriptions::{leave, unsubscribe};
use crate::transactions::{begin, commit, send, transact};
use crate::world::{World, handle, queue, topic, wanted};
use postrider_broker::Config;
use postrider_model::command::{Branch, BranchAct, OpenConsumer, Request, TransactionAct, Unsubscribe};
use postrider_model::{Command, CommandBatch, Xid};
use std::time::Instant;

fn subscribe(world: &mut World, (connection, consumer): (u32, u32), name: &str, selector: Option<&str>) {
    let open = OpenConsumer {
        subscription: Some(name.as_bytes().into()),
        selector: selector.map(|selector| selector.as_bytes().into()),
        ..world.open(connection, consumer, &[topic("t")], 100)
    };
    world.consume_as(1, open);
    world.settle();
}

fn subscriptions(world: &mut World, numbers: std::ops::Range<u32>) {
    for number in numbers {
        subscribe(world, (1, number), &format!("s{number}"), None);
        leave(world, 1, 1, number);
    }
}

fn world(config: Config) -> World {
    let mut world = World::with(config, 1 << 30);
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    world
}

fn sends(world: &mut World, numbers: std::ops::Range<u32>) {
    for number in numbers {
        send(world, 1, &topic("t"), &number.to_string(), true, 1);
    }
    world.settle();
}

#[test]
fn a_commit_behind_new_subscriptions_is_bounded() {
    let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
    subscriptions(&mut world, 5_000..5_001);
    begin(&mut world, 1, 1);
    sends(&mut world, 0..1);
    subscriptions(&mut world, 0..1_000);
    sends(&mut world, 1..2_001);
    let batch = CommandBatch { commands: vec![transact(1, 1, TransactionAct::Commit)], ..CommandBatch::default() };
    let begun = Instant::now();
    world.handle(0, &batch);
    let took = begun.elapsed();
    assert!(took.as_millis() < 100, "{took:?} in one handle");
    while world.broker.is_deciding() {
        world.go_on();
        world.log.commit();
    }
    for number in [5_000, 0, 999] {
        subscribe(&mut world, (1, number), &format!("s{number}"), None);
        assert_eq!(world.texts(1).first().map(String::as_str), Some("0"), "of s{number}");
    }
    assert_eq!(world.broker.recount(), Ok(()));
}

/// Whoever came is late for what was sent before, and for nothing else, each once.
#[test]
pub fn who_comes_between_sends_has_each_of_them_once() {
    let mut world = world(Config::default());
    begin(&mut world, 1, 1);
    for number in 0..4 {
        sends(&mut world, number..number + 1);
        subscribe(&mut world, (1, number), &format!("s{number}"), [None, Some("no = 1")][number as usize % 2]);
        leave(&mut world, 1, 1, number);
    }
    sends(&mut world, 4..6);
    commit(&mut world, 1, 1);
    world.settle();
    for again in 0..2 {
        for number in 0..4 {
            let selector = [None, Some("no = 1")][number as usize % 2];
            subscribe(&mut world, (1, number), &format!("s{number}"), selector);
            let all = ["0", "1", "2", "3", "4", "5"];
            assert_eq!(world.texts(1), if selector.is_none() { &all[..] } else { &[] }, "s{number}, life {again}");
            leave(&mut world, 1, 1, number);
        }
        if again == 0 {
            world = world.restarted();
            world.connect(1, 1, "a");
            world.heard(1);
        }
    }
    assert_eq!(world.broker.recount(), Ok(()));
}

/// What lies in the spool is committed by nothing: who came late is asked about it when it can be read, and has it.
#[test]
fn what_is_not_persistent_waits_for_nothing_but_its_bytes() {
    let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
    begin(&mut world, 1, 1);
    for number in 0..20 {
        send(&mut world, 1, &topic("t"), &number.to_string(), false, 1);
    }
    subscribe(&mut world, (1, 1), "all", Some("JMSDeliveryMode = 'NON_PERSISTENT'"));
    subscribe(&mut world, (1, 2), "none", Some("JMSDeliveryMode = 'PERSISTENT'"));
    assert_eq!(world.broker.statistics().evaluations, 0);
    commit(&mut world, 1, 1);
    world.settle();
    let all: Vec<String> = (0..20).map(|number: u32| number.to_string()).collect();
    assert_eq!(world.texts(1), all);
    assert_eq!(world.broker.statistics().evaluations, 40, "each was asked about each");
    assert_eq!(world.broker.recount(), Ok(()));
}

#[test]
fn late_places_beyond_what_a_transaction_may_have_are_refused() {
    for (subscribers, is_refused) in [(4, false), (5, true)] {
        let mut world = world(Config { transaction_messages: 8, ..Config::default() });
        begin(&mut world, 1, 1);
        sends(&mut world, 0..2);
        subscriptions(&mut world, 0..subscribers);
        world.heard(0);
        commit(&mut world, 1, 1);
        world.settle();
        let said = format!("{:?}", world.heard(0));
        let why = "the transaction is rolled back: subscriptions that came since";
        assert_eq!(said.contains(why) && said.contains("`transactions.max_messages`"), is_refused, "{said}");
        assert_eq!(said.contains("ResourceAllocation"), is_refused, "{said}");
        subscribe(&mut world, (1, 0), "s0", None);
        assert_eq!(world.texts(1).len(), if is_refused { 0 } else { 2 });
        assert_eq!(world.broker.recount(), Ok(()));
    }
}

/// A consumer takes a subscription of many topics over: what the one before had comes before what is newer.
#[test]
fn who_takes_a_subscription_over_gets_the_oldest_first() {
    for topics in [1, 300] {
        let mut world = world(Config { reservation: 1_000_000, allow_link_stealing: true, ..Config::default() });
        let names: Vec<_> = (0..topics).map(|number| topic(&format!("t{number}"))).collect();
        let open = |world: &World, consumer: u32| OpenConsumer {
            subscription: Some(b"s".as_slice().into()),
            ..world.open(1, consumer, &names, 5)
        };
        let first = open(&world, 1);
        world.consume_as(1, first);
        world.settle();
        for number in 0..10 {
            world.send(0, 1, &topic("t0"), &number.to_string(), true);
        }
        world.settle();
        assert_eq!(world.texts(1), ["0", "1", "2", "3", "4"]);
        let second = open(&world, 2);
        world.consume_as(1, second);
        world.settle();
        assert_eq!(world.texts(1), ["0", "1", "2", "3", "4"], "{topics} topics");
        assert_eq!(world.broker.recount(), Ok(()));
    }
}

/// A branch that has sent so many messages to the topic is prepared.
fn prepare(world: &mut World, messages: u32) {
    branch(world, BranchAct::Begin);
    for number in 0..messages {
        send(world, 1, &topic("t"), &number.to_string(), true, 2);
    }
    branch(world, BranchAct::End);
    branch(world, BranchAct::Prepare);
}

/// A million messages by one decision are the most, with its own clear answer, and the branch is there for another one.
#[test]
fn a_prepared_branch_stays_prepared_where_too_many_came_since() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 30, 8 << 20));
    world.connect(0, 1, "sender");
    world.connect(1, 1, "a");
    prepare(&mut world, 1_001);
    subscriptions(&mut world, 0..1_000);
    let commit = BranchAct::CommitTwoPhase;
    let said = branch(&mut world, commit);
    assert!(said.contains("ResourceAllocation") && said.contains("stays prepared"), "{said}");
    unsubscribe(&mut world, 1, 1, "s999");
    let begun = Instant::now();
    let said = branch(&mut world, commit);
    println!("1,000,000 messages of subscriptions that came since: {:?}", begun.elapsed());
    assert!(!said.contains("Failed"), "{said}");
    for _ in 0..10_000 {
        world.go_on();
        world.settle();
        if !world.broker.is_deciding() {
            break;
        }
    }
    subscribe(&mut world, (1, 998), "s998", None);
    assert_eq!(world.texts(1).first().map(String::as_str), Some("0"));
    assert_eq!(world.broker.recount(), Ok(()));
}

/// Says it of a branch. What is answered.
fn branch(world: &mut World, act: BranchAct) -> String {
    let begins = act == BranchAct::Begin;
    let request = if begins { Request::default() } else { wanted(30) };
    let number = matches!(act, BranchAct::Begin | BranchAct::End).then(|| crate::transactions::number(2));
    let xid = Xid::new(7, b"late", b"branch").unwrap();
    world.heard(0);
    world.run(0, Command::Branch(Box::new(Branch { connection: handle(1), request, xid, number, act })));
    world.settle();
    format!("{:?}", world.heard(0))
}

/// A send to more subscriptions than a record has places for is several records. Whoever comes before the decision has it once.
#[test]
fn who_comes_behind_a_send_of_several_records_has_it_once() {
    let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
    subscriptions(&mut world, 0..5_000);
    begin(&mut world, 1, 1);
    sends(&mut world, 0..1);
    subscriptions(&mut world, 9_000..9_001);
    sends(&mut world, 1..2);
    // Alike in all, and another one.
    sends(&mut world, 1..2);
    commit(&mut world, 1, 1);
    world.settle();
    for number in [0, 4_999, 9_000] {
        subscribe(&mut world, (1, number), &format!("s{number}"), None);
        assert_eq!(world.texts(1), ["0", "1", "1"], "of s{number}");
    }
    assert_eq!(world.broker.recount(), Ok(()));
}

/// Those that came since are places of the same message, and its record has to say all of them when it moves.
#[test]
fn a_message_has_no_more_places_than_a_record_says() {
    for (late, is_refused) in [(1, false), (2, true)] {
        let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
        subscriptions(&mut world, 0..4_094);
        begin(&mut world, 1, 1);
        sends(&mut world, 0..1);
        subscriptions(&mut world, 9_000..9_000 + late);
        world.heard(0);
        commit(&mut world, 1, 1);
        world.settle();
        let said = format!("{:?}", world.heard(0));
        assert_eq!(
            said.contains("ResourceAllocation") && said.contains("4096 at most can be recorded"),
            is_refused,
            "{said}"
        );
        world.consume(0, 1, 50, &queue("churn"), 100);
        world.churn(50, 100, 10_000);
        let mut world = world.restarted();
        world.connect(1, 1, "a");
        for number in [0, 4_093, 9_000] {
            subscribe(&mut world, (1, number), &format!("s{number}"), None);
            assert_eq!(world.texts(1).len(), usize::from(!is_refused), "of s{number}");
        }
    }
}

/// Whoever commits much for those that came since takes no longer than a command may: what it sends where is known by then, and what is to be
/// done for each message takes turns (R36, R53).
#[test]
fn a_large_commit_for_those_that_came_since_is_no_more_than_a_command() {
    for (prepares, restarts) in [(false, false), (true, false), (true, true)] {
        let mut world =
            World::over(Config { reservation: 1_000_000, ..Config::default() }, TestLog::new(1 << 30, 8 << 20));
        world.connect(0, 1, "sender");
        world.connect(1, 1, "a");
        if prepares {
            branch(&mut world, BranchAct::Begin);
        } else {
            begin(&mut world, 1, 2);
        }
        for number in 0..20_000_u32 {
            let to = [topic("t"), queue("q"), topic("u"), topic("t")][number as usize % 4].clone();
            send(&mut world, 1, &to, &number.to_string(), true, 2);
        }
        if prepares {
            branch(&mut world, BranchAct::End);
            branch(&mut world, BranchAct::Prepare);
        }
        subscriptions(&mut world, 0..5);
        if restarts {
            world = world.restarted();
            world.connect(0, 1, "sender");
            world.connect(1, 1, "a");
            world.settle();
        }
        let command = if prepares {
            let xid = Xid::new(7, b"late", b"branch").unwrap();
            let act = BranchAct::CommitTwoPhase;
            Command::Branch(Box::new(Branch { connection: handle(1), request: wanted(30), xid, number: None, act }))
        } else {
            crate::transactions::transact(1, 2, TransactionAct::Commit)
        };
        let begun = Instant::now();
        world.handle(0, &CommandBatch { commands: vec![command], ..CommandBatch::default() });
        println!("20,000 messages for five that came since: {:?} in one handle", begun.elapsed());
        assert!(!world.broker.has_worked_enough(), "more than a command may do, {prepares} {restarts}");
        world.settle();
        assert_eq!(world.broker.recount(), Ok(()));
        let all: Vec<String> =
            (0..20_000).filter(|number| number % 4 % 3 == 0).map(|number| number.to_string()).collect();
        for again in 0..2 {
            world.heard(1);
            let open = OpenConsumer { subscription: Some(b"s4"[..].into()), ..world.open(1, 9, &[topic("t")], 20_000) };
            world.consume_as(1, open);
            world.settle();
            assert_eq!(world.texts(1), all, "{prepares} {restarts} {again}");
            assert_eq!(world.broker.recount(), Ok(()));
            world = world.restarted();
            world.connect(1, 1, "a");
        }
    }
}

/// The room of a commit is its batch's, with all who are late, also those that the batch brings: where there is none for the moment it waits,
/// and is not refused.
#[test]
fn a_commit_has_its_room_before_it_is_handled() {
    for in_batch in [false, true] {
        let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
        begin(&mut world, 1, 1);
        sends(&mut world, 0..200);
        subscriptions(&mut world, 0..20);
        sends(&mut world, 200..201);
        world.heard(0);
        let mut commands = vec![transact(1, 1, TransactionAct::Commit)];
        if in_batch {
            let subscription = Some(b"last".as_slice().into());
            let last = OpenConsumer { subscription, ..world.open(1, 1, &[topic("t")], 10) };
            world.connections_of.insert((0, handle(1)), handle(1));
            commands.insert(0, Command::OpenConsumer(Box::new(last)));
        }
        world.log.full = true;
        world.handle(0, &CommandBatch { commands, ..CommandBatch::default() });
        world.log.full = false;
        world.settle();
        let got = world.texts(0).len();
        let said = format!("{:?}", world.heard(0));
        assert!(!said.contains("Failed"), "{said}");
        assert_eq!(got, if in_batch { 10 } else { 0 }, "who came with the commit has it");
        subscribe(&mut world, (1, 19), "s19", None);
        assert_eq!(world.texts(1).len(), 100);
        assert_eq!(world.broker.recount(), Ok(()));
    }
}

/// Too many have come since for a decision, and one of them goes by a command of the same batch: the others are not too many.
#[test]
fn a_commit_has_its_room_where_who_goes_makes_it_possible() {
    let mut world = world(Config { reservation: 1_000_000, transaction_messages: 5_000, ..Config::default() });
    begin(&mut world, 1, 1);
    sends(&mut world, 0..501);
    subscriptions(&mut world, 0..10);
    world.heard(0);
    world.heard(1);
    let gone = Unsubscribe {
        connection: handle(1),
        request: wanted(30),
        client: Some(b"client of a".as_slice().into()),
        name: b"s9".as_slice().into(),
    };
    let commands = vec![Command::Unsubscribe(Box::new(gone)), transact(1, 1, TransactionAct::Commit)];
    world.handle(0, &CommandBatch { commands, ..CommandBatch::default() });
    world.settle();
    let said = format!("{:?}", world.heard(0));
    assert!(!said.contains("Failed"), "{said}");
    subscribe(&mut world, (1, 8), "s8", None);
    assert_eq!(world.texts(1).len(), 100);
    assert_eq!(world.broker.recount(), Ok(()));
}

/// Who says often that a branch is committed whose subscriptions come and go.
#[test]
fn what_a_batch_of_decisions_may_take_is_soon_said() {
    let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
    let xid = Xid::new(1, b"x", b"x").unwrap();
    let said = |act| {
        let number = (act == BranchAct::Begin).then(|| crate::transactions::number(1));
        Command::Branch(Box::new(Branch {
            connection: handle(1),
            request: Request::default(),
            xid: xid.clone(),
            number,
            act,
        }))
    };
    world.run(0, said(BranchAct::Begin));
    for number in 0..2_000 {
        send(&mut world, 1, &topic("t"), "t", true, 1);
        subscribe(&mut world, (1, number), "s", None);
        leave(&mut world, 1, 1, number);
        unsubscribe(&mut world, 1, 1, "s");
    }
    let commands = vec![said(BranchAct::CommitOnePhase); 256];
    let batch = CommandBatch { commands, ..CommandBatch::default() };
    let begun = Instant::now();
    let bound = world.broker.bound(postrider_model::PortIndex(0), &batch);
    let took = begun.elapsed();
    assert!(took.as_millis() < 5, "{took:?} {bound:?}");
}

/// Many patterns came that fit none of the many topics to which a transaction has sent.
#[test]
fn those_who_want_nothing_are_looked_at_up_to_a_bound() {
    let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
    begin(&mut world, 1, 1);
    for number in 0..1_000 {
        send(&mut world, 1, &topic(&format!("t{number}")), "t", true, 1);
    }
    for number in 0..2_000 {
        let subscription = Some(format!("s{number}").as_bytes().into());
        let open = OpenConsumer { subscription, ..world.open(1, number, &[topic(&format!("other.{number}.>"))], 100) };
        world.consume_as(1, open);
        leave(&mut world, 1, 1, number);
    }
    let begun = Instant::now();
    world
        .handle(0, &CommandBatch { commands: vec![transact(1, 1, TransactionAct::Commit)], ..CommandBatch::default() });
    let took = begun.elapsed();
    assert!(took.as_millis() < 30, "{took:?} in one handle");
    world.settle();
    let said = format!("{:?}", world.heard(0));
    assert!(said.contains("more to look at"), "{said}");
    assert_eq!(world.broker.recount(), Ok(()));
}

/// What the decision of many places takes is what it says of them, not what as many acknowledgements might take.
#[test]
fn a_branch_is_committed_in_a_small_journal_whoever_came_since() {
    let mut world = world(Config { reservation: 1_000_000, ..Config::default() });
    prepare(&mut world, 200);
    subscriptions(&mut world, 0..20);
    // 20 times 200 messages in a byte each.
    world.log.most = Some(8 << 10);
    let said = branch(&mut world, BranchAct::CommitTwoPhase);
    assert!(said.contains("Reply"), "it waits for room: {said}");
    world.log.most = None;
    subscribe(&mut world, (1, 19), "s19", None);
    assert_eq!(world.texts(1).len(), 100, "as many as it has room for");
    assert_eq!(world.broker.recount(), Ok(()));
}

/// A subscription that wants nothing of its own client gets none by a decision either, whoever is there by then.
#[test]
pub fn who_wants_nothing_of_its_own_client_gets_none_of_a_branch_of_another_life() {
    for restarts in 0..3 {
        let mut world = world(Config::default());
        branch(&mut world, BranchAct::Begin);
        send(&mut world, 1, &topic("t"), "own", true, 2);
        branch(&mut world, BranchAct::End);
        branch(&mut world, BranchAct::Prepare);
        for (port, name) in [(0, "same"), (1, "other")] {
            let open = OpenConsumer {
                subscription: Some(name.as_bytes().into()),
                no_local: true,
                ..world.open(1, 7, &[topic("t")], 100)
            };
            world.consume_as(port, open);
            world.settle();
            leave(&mut world, port, 1, 7);
        }
        for _ in 0..restarts {
            world = world.restarted();
            world.connect(0, 1, "sender");
            world.connect(1, 1, "a");
            world.settle();
        }
        branch(&mut world, BranchAct::CommitTwoPhase);
        for (port, name, expected) in [(0, "same", &[][..]), (1, "other", &["own"])] {
            world.heard(port);
            let open = OpenConsumer {
                subscription: Some(name.as_bytes().into()),
                no_local: true,
                ..world.open(1, 8, &[topic("t")], 100)
            };
            world.consume_as(port, open);
            world.settle();
            assert_eq!(world.texts(port), expected, "{name} after {restarts} starts");
        }
        assert_eq!(world.broker.recount(), Ok(()));
    }
}
