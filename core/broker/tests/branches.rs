//! Branches of distributed transactions: whatever ends in between, what is prepared is done or not as its coordinator says, and whole.

use crate::log::TestLog;
use crate::transactions::{claiming, failures, number, send, sending, transact, waiting};
use crate::world::{Told, World, handle, queue, topic, wanted};
use postrider_broker::records::kind;
use postrider_broker::{Config, KEPT_FORMAT, KEPT_GLOBAL, Log};
use postrider_model::command::{
    Branch, BranchAct, LastDelivered, OpenConnection, OpenConsumer, Request, TransactionAct,
};
use postrider_model::event::{BranchFailure, Failure, Vote};
use postrider_model::{Command, CommandBatch, Event, Xid};
use std::collections::{BTreeMap, BTreeSet};

pub fn xid(name: u32) -> Xid {
    Xid::new(7, &name.to_le_bytes(), b"branch").unwrap()
}

pub fn said(connection: u32, name: u32, act: BranchAct) -> Command {
    let begins = act == BranchAct::Begin;
    let request = if begins { Request::default() } else { wanted(30) };
    let numbered = matches!(act, BranchAct::Begin | BranchAct::End).then(|| number(name as u16 + 1));
    Command::Branch(Box::new(Branch { connection: handle(connection), request, xid: xid(name), number: numbered, act }))
}

pub fn say(world: &mut World, port: usize, connection: u32, name: u32, act: BranchAct) {
    world.run(port, said(connection, name, act));
}

/// The same, and what comes of it.
pub fn ask(world: &mut World, connection: u32, name: u32, act: BranchAct) -> Result<Option<Vote>, BranchFailure> {
    world.settle();
    world.heard(0);
    say(world, 0, connection, name, act);
    world.settle();
    let told = world.heard(0);
    let answer = |told: &Told| match told {
        Told::Event(Event::Voted { vote, .. }) => Some(Ok(Some(*vote))),
        Told::Event(Event::Reply { token, .. }) if token.0 == 30 => Some(Ok(None)),
        Told::Event(Event::Failed { failure: Failure::Branch(failure), .. }) => Some(Err(*failure)),
        _ => None,
    };
    told.iter().find_map(answer).unwrap_or_else(|| panic!("{:?}", failures(&told)))
}

pub fn prepared(world: &mut World, connection: u32) -> Vec<Xid> {
    world.settle();
    world.heard(0);
    world.run(0, Command::Recover { connection: handle(connection), request: wanted(31) });
    world.settle();
    let names = world.events(0).into_iter().find_map(|event| match event {
        Event::Branches { names, .. } => Some(names.to_vec()),
        _ => None,
    });
    names.unwrap()
}

/// A branch that takes the oldest message of one queue, and sends another one to a second.
pub fn work(world: &mut World, connection: u32, name: u32) {
    say(world, 0, connection, name, BranchAct::Begin);
    let consumer = 100 + name;
    world.consume(0, connection, consumer, &queue("from"), 1);
    world.settle();
    let got = world.got(0);
    let of = name as u16 + 1;
    world.turn(0, &claiming(connection, consumer, (0, got[0].sequence.0), 1, of));
    send(world, connection, &queue("to"), &format!("of {name}"), true, of);
    world.close_consumer(0, connection, consumer, LastDelivered::None);
    world.settle();
    world.heard(0);
}

pub fn world() -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    for content in ["1", "2", "3"] {
        world.send(0, 1, &queue("from"), content, true);
    }
    world
}

#[test]
pub fn what_is_prepared_is_decided_after_its_connection_and_a_start() {
    for (commits, restarts) in [(true, 0), (true, 2), (false, 0), (false, 2)] {
        let mut world = world();
        work(&mut world, 1, 1);
        assert_eq!(ask(&mut world, 1, 1, BranchAct::End), Ok(None));
        assert_eq!(prepared(&mut world, 1), []);
        assert_eq!(ask(&mut world, 1, 1, BranchAct::CommitTwoPhase), Err(BranchFailure::Protocol));
        assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
        assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)), "the same again");
        world.disconnect(0, handle(1), true);
        world.settle();
        for _ in 0..restarts {
            world = world.restarted();
            assert_eq!(world.broker.recount(), Ok(()));
        }
        world.connect(0, 2, "other");
        assert_eq!(prepared(&mut world, 2), [xid(1)]);
        assert_eq!(waiting(&mut world, "from"), ["2", "3"], "the first one is claimed (R37)");
        assert_eq!(waiting(&mut world, "to"), [""; 0]);
        let acts = [BranchAct::CommitTwoPhase, BranchAct::RollBack];
        let [act, other] = if commits { acts } else { [acts[1], acts[0]] };
        assert_eq!(ask(&mut world, 2, 1, act), Ok(None));
        for _ in 0..2 {
            assert_eq!(world.broker.recount(), Ok(()));
            assert_eq!(prepared(&mut world, 2), []);
            assert_eq!(ask(&mut world, 2, 1, act), Ok(None), "the same again is done (R43)");
            assert_eq!(ask(&mut world, 2, 1, other), Err(BranchFailure::Unknown));
            let (from, to) = if commits { (&["2", "3"][..], &["of 1"][..]) } else { (&["1", "2", "3"][..], &[][..]) };
            assert_eq!(waiting(&mut world, "from"), from);
            assert_eq!(waiting(&mut world, "to"), to);
            world.settle();
            world = world.restarted();
            world.connect(0, 2, "other");
        }
        world.consume(0, 2, 9, &queue("from"), 10);
        world.settle();
        assert_eq!(world.got(0)[0].redeliveries, 1, "it may have been delivered");
    }
}

/// All of one comes in a batch, with a client's name that its record says.
#[test]
pub fn what_begins_and_is_prepared_in_one_batch_has_its_room() {
    let mut world = World::new();
    world.connect(0, 1, &"a".repeat(10_000));
    let begins = said(1, 0, BranchAct::Begin);
    let mut batch = sending(&mut world, 1, &[topic("t")], "t", true, 1);
    batch.commands.insert(0, begins);
    batch.commands.push(said(1, 0, BranchAct::Prepare));
    world.handle(0, &batch);
    assert_eq!(prepared(&mut world, 1), [xid(0)]);
}

/// A socket's connection says goodbye and another one comes by it, under a long name.
#[test]
pub fn who_comes_by_a_socket_that_had_another_name_has_its_room() {
    for subscribes in [true, false] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.connections_of.insert((0, handle(1)), handle(1));
        let subscription = Some(b"s".as_slice().into());
        let open = OpenConsumer { subscription, ..world.open(1, 1, &[topic("t")], 10) };
        let comes = OpenConnection {
            connection: handle(1),
            request: wanted(1),
            id: b"b".as_slice().into(),
            client_id: vec![b'b'; 20_000].into(),
            failover_reconnect: false,
            peer: "tcp://peer".into(),
            user: None,
            marks: 0,
        };
        let goes = Command::CloseConnection {
            connection: handle(1),
            request: wanted(2),
            last_delivered: LastDelivered::None,
            clean: true,
        };
        let (mut commands, mut arena) = (vec![goes, Command::OpenConnection(Box::new(comes))], Vec::new());
        if subscribes {
            commands.push(Command::OpenConsumer(Box::new(open)));
        } else {
            commands.push(said(1, 0, BranchAct::Begin));
            let sent = sending(&mut world, 1, &[topic("t")], "t", true, 1);
            commands.extend(sent.commands);
            arena = sent.arena;
            commands.push(said(1, 0, BranchAct::Prepare));
        }
        world.handle(0, &CommandBatch { commands, arena, ..CommandBatch::default() });
        world.settle();
        let told = world.heard(0);
        assert!(failures(&told).is_empty(), "{:?}", failures(&told));
    }
}

#[test]
pub fn one_phase_is_enough_where_there_is_one_branch() {
    let mut world = world();
    work(&mut world, 1, 1);
    assert_eq!(ask(&mut world, 1, 1, BranchAct::CommitOnePhase), Ok(None));
    assert_eq!(ask(&mut world, 1, 1, BranchAct::CommitOnePhase), Ok(None));
    assert_eq!(ask(&mut world, 1, 1, BranchAct::RollBack), Err(BranchFailure::Unknown));
    let mut world = world.restarted();
    assert_eq!(waiting(&mut world, "from"), ["2", "3"]);
    assert_eq!(waiting(&mut world, "to"), ["of 1"]);
}

#[test]
pub fn one_without_work_is_over_with_its_vote() {
    let mut world = world();
    for act in [BranchAct::Prepare, BranchAct::CommitOnePhase, BranchAct::RollBack] {
        say(&mut world, 0, 1, 1, BranchAct::Begin);
        let vote = (act == BranchAct::Prepare).then_some(Vote::ReadOnly);
        assert_eq!(ask(&mut world, 1, 1, act), Ok(vote));
        assert_eq!(ask(&mut world, 1, 1, act), Err(BranchFailure::Unknown));
    }
    assert!(!world.log.records.iter().any(|stored| [kind::PREPARED, kind::OUTCOME].contains(&stored.kind)));
}

#[test]
pub fn one_that_is_not_prepared_goes_with_the_connection_that_began_it() {
    let mut world = world();
    world.connect(0, 2, "joins");
    work(&mut world, 1, 1);
    say(&mut world, 0, 2, 1, BranchAct::Begin);
    send(&mut world, 2, &queue("to"), "joined", true, 2);
    world.disconnect(0, handle(1), false);
    send(&mut world, 2, &queue("to"), "late", true, 2);
    world.settle();
    let refused = failures(&world.heard(0));
    assert!(refused[0].1.contains("has not been started"), "{refused:?}");
    assert_eq!(ask(&mut world, 2, 1, BranchAct::Prepare), Err(BranchFailure::Unknown));
    assert_eq!(waiting(&mut world, "from"), ["1", "2", "3"]);
    assert_eq!(waiting(&mut world, "to"), [""; 0]);
    assert_eq!(world.broker.recount(), Ok(()));
}

#[test]
pub fn whoever_joins_works_in_the_same_branch() {
    let mut world = world();
    world.connect(0, 2, "joins");
    work(&mut world, 1, 1);
    say(&mut world, 0, 2, 1, BranchAct::Begin);
    send(&mut world, 2, &queue("to"), "joined", true, 2);
    say(&mut world, 0, 2, 1, BranchAct::End);
    send(&mut world, 2, &queue("to"), "late", true, 2);
    world.disconnect(0, handle(2), false);
    world.settle();
    assert!(failures(&world.heard(0))[0].1.contains("has not been started"));
    assert_eq!(ask(&mut world, 1, 1, BranchAct::CommitOnePhase), Ok(None));
    assert_eq!(waiting(&mut world, "to"), ["of 1", "joined"]);
}

#[test]
pub fn what_is_refused_rolls_all_of_it_back() {
    for act in [BranchAct::Prepare, BranchAct::CommitOnePhase] {
        let config = Config { reservation: 1_000_000, transaction_messages: 3, ..Config::default() };
        let mut world = World::with(config, 1 << 20);
        world.connect(0, 1, "a");
        say(&mut world, 0, 1, 1, BranchAct::Begin);
        for _ in 0..4 {
            send(&mut world, 1, &queue("to"), "never", true, 2);
        }
        assert_eq!(ask(&mut world, 1, 1, act), Err(BranchFailure::RolledBack));
        assert_eq!(ask(&mut world, 1, 1, act), Err(BranchFailure::Unknown));
        assert_eq!(waiting(&mut world, "to"), [""; 0]);
    }
}

/// A client that has not heard the answer comes back, and says all of its branch again.
#[test]
pub fn what_is_said_again_is_answered_and_not_done_again() {
    for (act, is_again, restarts) in [
        (BranchAct::CommitTwoPhase, true, false),
        (BranchAct::CommitTwoPhase, true, true),
        (BranchAct::CommitTwoPhase, false, true),
        (BranchAct::Prepare, true, false),
        (BranchAct::Prepare, true, true),
        (BranchAct::RollBack, true, true),
    ] {
        let mut world = world();
        work(&mut world, 1, 1);
        assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
        if act != BranchAct::Prepare {
            assert_eq!(ask(&mut world, 1, 1, act), Ok(None));
        }
        world.settle();
        if restarts {
            world = world.restarted();
        }
        world.connect(0, 2, if is_again { "a" } else { "another" });
        say(&mut world, 0, 2, 1, BranchAct::Begin);
        send(&mut world, 2, &queue("to"), "again", true, 2);
        world.settle();
        assert_eq!(failures(&world.heard(0)), [], "it is answered");
        assert_eq!(ask(&mut world, 2, 1, BranchAct::End), Ok(None));
        let vote = if act == BranchAct::RollBack { Err(BranchFailure::RolledBack) } else { Ok(Some(Vote::Prepared)) };
        if is_again {
            assert_eq!(ask(&mut world, 2, 1, BranchAct::Prepare), vote);
        } else {
            // Somebody else has thought of the same name: that is a branch of its own.
            say(&mut world, 0, 2, 1, BranchAct::Begin);
            send(&mut world, 2, &queue("to"), "another", true, 2);
            assert_eq!(ask(&mut world, 2, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
        }
        let decision = if act == BranchAct::RollBack { act } else { BranchAct::CommitTwoPhase };
        assert_eq!(ask(&mut world, 2, 1, decision), Ok(None));
        let expected: &[&str] = match (act, is_again) {
            (BranchAct::RollBack, _) => &[],
            (_, true) => &["of 1"],
            (_, false) => &["of 1", "again", "another"],
        };
        assert_eq!(waiting(&mut world, "to"), expected, "{act:?} {is_again} {restarts}");
        assert_eq!(world.broker.recount(), Ok(()));
    }
}

#[test]
pub fn nothing_more_is_done_in_one_that_is_prepared() {
    let mut world = world();
    work(&mut world, 1, 1);
    assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
    send(&mut world, 1, &queue("to"), "late", true, 2);
    world.settle();
    assert_eq!(failures(&world.heard(0)).len(), 1);
    say(&mut world, 0, 1, 1, BranchAct::Begin);
    world.settle();
    assert_eq!(failures(&world.heard(0))[0].0, Failure::Branch(BranchFailure::Protocol));
    assert_eq!(ask(&mut world, 1, 1, BranchAct::CommitOnePhase), Ok(None), "as with ActiveMQ");
    assert_eq!(waiting(&mut world, "to"), ["of 1"]);
}

#[test]
pub fn reclaim_moves_what_is_prepared_and_how_others_ended() {
    for commits in [true, false] {
        let config = Config { reservation: 1_000_000, ..Config::default() };
        let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
        world.connect(0, 1, "a");
        for content in ["1", "2", "3"] {
            world.send(0, 1, &queue("from"), content, true);
        }
        work(&mut world, 1, 1);
        work(&mut world, 1, 2);
        work(&mut world, 1, 3);
        for name in 1..4 {
            assert_eq!(ask(&mut world, 1, name, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
        }
        assert_eq!(ask(&mut world, 1, 2, BranchAct::CommitTwoPhase), Ok(None));
        assert_eq!(ask(&mut world, 1, 3, BranchAct::RollBack), Ok(None));
        world.consume(0, 1, 5, &queue("churn"), 100);
        let churn = |world: &mut World| {
            let front = world.log.front();
            world.churn(5, 1_500, 300);
            world.settle();
            world.heard(0);
            assert!(world.log.front() > front, "it has moved");
            assert_eq!(world.broker.recount(), Ok(()));
        };
        churn(&mut world);
        let mut world = world.restarted();
        assert_eq!(world.broker.recount(), Ok(()));
        world.connect(0, 1, "a");
        assert_eq!(prepared(&mut world, 1), [xid(1)]);
        assert_eq!(ask(&mut world, 1, 2, BranchAct::CommitTwoPhase), Ok(None));
        assert_eq!(ask(&mut world, 1, 3, BranchAct::RollBack), Ok(None));
        world.consume(0, 1, 5, &queue("churn"), 100);
        churn(&mut world);
        let act = if commits { BranchAct::CommitTwoPhase } else { BranchAct::RollBack };
        assert_eq!(ask(&mut world, 1, 1, act), Ok(None));
        churn(&mut world);
        let mut world = world.restarted();
        assert_eq!(world.broker.recount(), Ok(()));
        let (from, to) = if commits { (&["3"][..], &["of 1", "of 2"][..]) } else { (&["1", "3"][..], &["of 2"][..]) };
        assert_eq!(waiting(&mut world, "from"), from);
        let mut found = waiting(&mut world, "to");
        found.sort();
        assert_eq!(found, to);
    }
}

/// What is prepared has the room of its decision (R46).
#[test]
pub fn what_is_prepared_is_committed_when_the_log_is_full() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
    world.connect(0, 1, "a");
    world.connect(1, 2, "fills");
    let names: Vec<_> = (0..100).map(|number| queue(&format!("q{number}"))).collect();
    for name in &names {
        world.send(0, 1, name, "x", true);
    }
    world.consume_as(0, world.open(1, 5, &names, 1_000));
    world.settle();
    let got = world.got(0);
    say(&mut world, 0, 1, 1, BranchAct::Begin);
    let (first, last) = (got[0].sequence.0, got[got.len() - 1].sequence.0);
    world.turn(0, &claiming(1, 5, (first, last), got.len() as u32, 2));
    send(&mut world, 1, &queue("to"), "kept", true, 2);
    assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
    for _ in 0..1_000 {
        world.send(1, 2, &queue("full"), &"x".repeat(1_000), true);
    }
    world.settle();
    assert!(world.broker.statistics().refused + world.broker.statistics().parked_bytes > 0, "it is full");
    let kept = world.broker.needed_for_large_moves(&world.log);
    assert!(kept.is_none_or(|kept| kept > 2 * world.log.segment_bytes()), "{kept:?}");
    // A moment when there is no room at all, as a segment is not ready: the answer waits.
    world.log.full = true;
    world.heard(0);
    say(&mut world, 0, 1, 1, BranchAct::CommitTwoPhase);
    world.idle();
    world.log.commit();
    world.release_replies();
    assert_eq!(world.heard(0).len(), 0);
    say(&mut world, 0, 1, 1, BranchAct::RollBack);
    world.release_replies();
    assert_eq!(failures(&world.heard(0))[0].0, Failure::Branch(BranchFailure::Protocol));
    // Its client comes back and says it again, and so does its coordinator: both hear of it when it is done. Beyond a few nobody waits.
    world.connect(0, 3, "coordinator");
    world.release_replies();
    world.heard(0);
    for again in 0..20 {
        say(&mut world, 0, 1 + again % 2 * 2, 1, BranchAct::CommitTwoPhase);
    }
    world.release_replies();
    let refused = failures(&world.heard(0));
    assert_eq!(refused.len(), 5, "{refused:?}");
    // What is left is for moves.
    (world.log.full, world.log.kept_for_moves) = (false, true);
    world.idle();
    world.log.commit();
    world.release_replies();
    let told = world.events(0);
    assert!(told.iter().all(|event| matches!(event, Event::Reply { .. })), "it is decided: {told:?}");
    assert_eq!(told.len(), 16);
    world.log.kept_for_moves = false;
    assert_eq!(ask(&mut world, 1, 1, BranchAct::CommitTwoPhase), Ok(None));
    assert_eq!(waiting(&mut world, "to"), ["kept"]);
    assert_eq!(waiting(&mut world, "q7"), [""; 0]);
}

#[test]
pub fn outcomes_are_forgotten_after_a_day_and_where_they_are_too_many() {
    let mut world = world();
    for name in 1..=1_000 {
        say(&mut world, 0, 1, name, BranchAct::Begin);
        send(&mut world, 1, &queue("to"), "x", false, name as u16 + 1);
        assert_eq!(ask(&mut world, 1, name, BranchAct::CommitOnePhase), Ok(None));
    }
    world.settle();
    assert_eq!(ask(&mut world, 1, 1_000, BranchAct::CommitOnePhase), Ok(None));
    let remembered = (1..=1_000)
        .filter(|name| ask(&mut world, 1, *name, BranchAct::CommitOnePhase).is_ok())
        .collect::<BTreeSet<u32>>();
    assert!(remembered.len() > 100 && remembered.first().copied() == Some(1_001 - remembered.len() as u32));
    world.now.unix_millis += 24 * 60 * 60 * 1_000 + 1;
    (0..8).for_each(|_| world.idle());
    assert_eq!(ask(&mut world, 1, 1_000, BranchAct::CommitOnePhase), Err(BranchFailure::Unknown));
    assert_eq!(world.broker.recount(), Ok(()));
}

/// A coordinator, in whose log stands what it has decided: nothing: it rolls back.
#[derive(Default)]
struct Coordinator {
    /// Branches that are prepared for all it knows, and whether they are to be committed.
    decided: BTreeMap<u32, bool>,
}

/// Messages that move.
const TOKENS: u32 = 12;

/// Tokens move from one queue to the other and back within branches; the process ends after so many turns of those that are not safe,
/// and the coordinator decides what is prepared then.
fn moved(seed: u64, cut: usize) -> (usize, Vec<String>) {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 20, 8 * 1024));
    let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |most: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % most
    };
    let mut coordinator = Coordinator::default();
    world.connect(0, 1, "a");
    for content in 0..TOKENS {
        world.send(0, 1, &queue("from"), &content.to_string(), true);
    }
    for name in 1..7 {
        world.consume(0, 1, 100 + name, &queue("from"), 2);
    }
    world.settle();
    let all = world.got(0);
    for name in 1..7 {
        say(&mut world, 0, 1, name, BranchAct::Begin);
        let (consumer, of) = (100 + name, name as u16 + 1);
        let got: Vec<_> = all.iter().filter(|got| got.consumer == handle(consumer)).collect();
        let count = 1 + below(2) as usize;
        for got in &got[..count] {
            let content = String::from_utf8(got.content.clone()).unwrap();
            send(&mut world, 1, &queue("to"), &content, true, of);
            for _ in 0..below(20) {
                world.send(0, 1, &queue("rest"), &"x".repeat(below(400) as usize), below(8) > 0);
            }
        }
        let range = (got[0].sequence.0, got[count - 1].sequence.0);
        world.turn(0, &claiming(1, consumer, range, count as u32, of));
        if below(2) == 0 {
            world.close_consumer(0, 1, consumer, LastDelivered::None);
        }
        let ends = below(6);
        if ends == 0 {
            say(&mut world, 0, 1, name, BranchAct::RollBack);
        } else if ends == 1 {
            say(&mut world, 0, 1, name, BranchAct::CommitOnePhase);
        } else {
            say(&mut world, 0, 1, name, BranchAct::Prepare);
            if below(2) == 0 {
                // It is told before anybody decides.
                world.settle();
                let told = world.heard(0);
                assert!(
                    told.iter().any(|told| matches!(told, Told::Event(Event::Voted { vote: Vote::Prepared, .. }))),
                    "{name}: {:?}",
                    failures(&told)
                );
                let commits = below(4) > 0;
                coordinator.decided.insert(name, commits);
                let act = if commits { BranchAct::CommitTwoPhase } else { BranchAct::RollBack };
                if below(4) > 0 {
                    say(&mut world, 0, 1, name, act);
                }
            }
        }
        if below(3) == 0 {
            world.log.commit();
            world.release_replies();
            world.idle();
        }
    }
    let open = world.log.open_turns();
    let keep = open.get(cut).copied().unwrap_or_else(|| world.log.committed());
    let mut world = world.crash(keep);
    assert_eq!(world.broker.recount(), Ok(()));
    world.connect(0, 3, "coordinator");
    let names = prepared(&mut world, 3);
    for name in 1..8 {
        let commits = coordinator.decided.get(&name).copied().unwrap_or(false);
        let act = if commits { BranchAct::CommitTwoPhase } else { BranchAct::RollBack };
        let answer = ask(&mut world, 3, name, act);
        let is_known = names.contains(&xid(name));
        assert!(!is_known || answer == Ok(None), "{name}: {answer:?}");
        assert!(!commits || answer == Ok(None), "{name} is prepared, and was decided: {answer:?}");
    }
    assert_eq!(prepared(&mut world, 3), []);
    assert_eq!(world.broker.recount(), Ok(()));
    let mut all = [waiting(&mut world, "from"), waiting(&mut world, "to")].concat();
    all.sort();
    (open.len(), all)
}

#[test]
fn wherever_the_process_ends_each_message_is_in_one_queue() {
    let cuts = check_moves(1..=60);
    assert!(cuts > 300, "{cuts} cuts");
}

/// How often the process has ended.
pub fn check_moves(seeds: std::ops::RangeInclusive<u64>) -> usize {
    let mut cuts = 0;
    for seed in seeds {
        for cut in 0.. {
            let (open, all) = moved(seed, cut);
            let mut expected: Vec<String> = (0..TOKENS).map(|token| token.to_string()).collect();
            expected.sort();
            assert_eq!(all, expected, "seed {seed}, {cut} of {open}");
            cuts += 1;
            if cut >= open {
                break;
            }
        }
    }
    cuts
}

#[test]
fn a_topics_messages_are_no_work() {
    let mut world = world();
    world.consume(0, 1, 6, &topic("t"), 10);
    world.send(1, 1, &topic("t"), "1", false);
    world.settle();
    world.heard(0);
    say(&mut world, 0, 1, 1, BranchAct::Begin);
    world.turn(0, &claiming(1, 6, (0, 0), 1, 2));
    assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::ReadOnly)));
}

/// A transaction that is not one of a coordinator's is decided by hand where its commit may have been lost.
#[test]
pub fn what_may_have_been_committed_is_kept_aside() {
    let kept = |world: &World| {
        let record = world.log.records.iter().find(|stored| stored.kind == kind::COMMIT).unwrap();
        Xid::new(KEPT_FORMAT, KEPT_GLOBAL, (record.sequence & !(1 << 63)).to_string().as_bytes()).unwrap()
    };
    for (act, expected) in [(BranchAct::CommitTwoPhase, &["0", "1", "2"][..]), (BranchAct::RollBack, &[][..])] {
        let mut world = world();
        world.run(0, transact(1, 7, TransactionAct::Begin));
        for content in 0..3 {
            send(&mut world, 1, &queue("to"), &content.to_string(), true, 7);
        }
        // Dead all the same: what is damaged lies before its last message, or is another's.
        world.run(0, transact(1, 7, TransactionAct::Commit));
        world.run(0, transact(1, 8, TransactionAct::Begin));
        send(&mut world, 1, &queue("to"), "never", true, 8);
        world.settle();
        let name = kept(&world);
        let (mut world, _) = world.crash_without(|stored| stored.kind == kind::COMMIT);
        assert_eq!(world.broker.kept_transactions().len(), 1);
        for _ in 0..3 {
            world.connect(0, 2, "operator");
            assert_eq!(waiting(&mut world, "to"), [""; 0], "it is not seen");
            assert_eq!(prepared(&mut world, 2), std::slice::from_ref(&name));
            assert_eq!(world.broker.recount(), Ok(()));
            world.settle();
            world = world.restarted();
        }
        world.connect(0, 2, "operator");
        let said = Branch { connection: handle(2), request: wanted(30), xid: name, number: None, act };
        world.run(0, Command::Branch(Box::new(said)));
        world.settle();
        assert_eq!(failures(&world.heard(0)), []);
        let mut world = world.restarted();
        world.connect(0, 2, "operator");
        assert_eq!(prepared(&mut world, 2), []);
        assert_eq!(waiting(&mut world, "to"), expected);
    }
}

/// What an earlier life has dropped is not taken for something that may have been committed, whatever is damaged later.
#[test]
fn what_a_start_has_dropped_is_not_kept_aside_later() {
    let mut world = world();
    world.run(0, transact(1, 7, TransactionAct::Begin));
    send(&mut world, 1, &queue("to"), "never", true, 7);
    world.settle();
    let mut world = world.restarted();
    world.connect(0, 2, "other");
    world.run(0, transact(2, 8, TransactionAct::Begin));
    send(&mut world, 2, &queue("to"), "perhaps", true, 8);
    world.run(0, transact(2, 8, TransactionAct::Commit));
    world.settle();
    let world = world.crash_without_knowing(|stored| stored.kind == kind::COMMIT);
    let kept = world.broker.kept_transactions();
    assert_eq!(kept.iter().map(|kept| kept.places).collect::<Vec<_>>(), [1], "that of the second life alone");
}
