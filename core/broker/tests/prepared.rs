//! Branches that are prepared, beside all that others do meanwhile.

use crate::branches::{ask, prepared, said, say, xid};
use crate::log::{Stored, TestLog};
use crate::parking;
use crate::subscriptions::{leave, subscribe};
use crate::transactions::{begin, claiming, commit, failures, number, send, waiting};
use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_broker::records::kind;
use postrider_broker::{Config, KEPT_FORMAT, KEPT_GLOBAL, WhenFull};
use postrider_model::command::{AcknowledgeKind, Branch, BranchAct, OpenConsumer};
use postrider_model::event::{BranchFailure, Failure, Vote};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Xid};

/// A small log, whose front moves on.
fn small() -> World {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world
}

/// Reclaim writes what is prepared anew, behind a subscription that came since: that misses nothing of it for a start in between.
#[test]
pub fn who_subscribes_late_misses_nothing_that_reclaim_has_moved_behind_it() {
    for churned in (20..400).step_by(20) {
        let mut world = small();
        say(&mut world, 0, 1, 1, BranchAct::Begin);
        for content in ["1", "2"] {
            send(&mut world, 1, &topic("t"), content, true, 2);
        }
        subscribe(&mut world, 1, (1, 7), "t", "between");
        leave(&mut world, 1, 1, 7);
        send(&mut world, 1, &topic("t"), "3", true, 2);
        assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
        world.consume(0, 1, 5, &queue("churn"), 100);
        for _ in 0..100 {
            world.send(0, 1, &queue("rest"), &"x".repeat(300), true);
        }
        for (consumer, name, selector) in [(8, "late", None), (9, "none", Some("no = 1"))] {
            let open = OpenConsumer {
                subscription: Some(name.as_bytes().into()),
                selector: selector.map(|selector: &str| selector.as_bytes().into()),
                ..world.open(1, consumer, &[topic("t")], 100)
            };
            world.consume_as(1, open);
            world.settle();
            leave(&mut world, 1, 1, consumer);
        }
        let front = world.log.front();
        world.churn(5, churned, 300);
        world.settle();
        world.heard(0);
        assert!(churned < 200 || world.log.front() > front, "it has moved");
        for _ in 0..2 {
            world = world.restarted();
            assert_eq!(world.broker.recount(), Ok(()));
        }
        world.connect(0, 1, "a");
        world.connect(1, 1, "b");
        assert_eq!(prepared(&mut world, 1), [xid(1)]);
        assert_eq!(ask(&mut world, 1, 1, BranchAct::CommitTwoPhase), Ok(None));
        for again in 0..2 {
            world.heard(1);
            for (consumer, name) in [(7, "between"), (8, "late")] {
                subscribe(&mut world, 1, (1, consumer), "t", name);
                assert_eq!(world.texts(1), ["1", "2", "3"], "{name}, {churned}, {again}");
                leave(&mut world, 1, 1, consumer);
            }
            assert_eq!(world.broker.recount(), Ok(()));
            world = world.restarted();
            world.connect(1, 1, "b");
        }
    }
}

/// A goodbye that waits behind parked sends leaves no branch behind: neither does it hold messages, nor is it done by others.
#[test]
pub fn who_leaves_behind_parked_sends_leaves_no_branch_meanwhile() {
    let mut world = parking::full(WhenFull::Refuse);
    world.connect(1, 4, "other");
    world.consume(0, 2, 5, &queue("q"), 1);
    world.settle();
    let got = world.got(0);
    say(&mut world, 0, 2, 1, BranchAct::Begin);
    world.turn(0, &claiming(2, 5, (0, got[0].sequence.0), 1, 2));
    world.run(0, parking::goodbye(2));
    world.settle();
    world.connect(0, 3, "coordinator");
    assert!(ask(&mut world, 3, 1, BranchAct::Prepare).is_err(), "it has gone with its connection");
    world.consume(1, 4, 6, &queue("q"), 1);
    world.settle();
    assert_eq!(world.got(1)[0].sequence, got[0].sequence, "what it had acknowledged is there for others");
    assert_eq!(world.broker.recount(), Ok(()));
}

/// What is sent to and taken from a temporary queue, which goes with its connection.
#[test]
pub fn a_temporary_queue_goes_and_its_branch_is_decided_all_the_same() {
    for act in [BranchAct::CommitTwoPhase, BranchAct::RollBack] {
        let mut world = small();
        world.connect(0, 2, "owner");
        world.connect(0, 3, "coordinator");
        let temporary = Destination::new(DestinationKind::TemporaryQueue, b"ID:owner:1");
        world.create_temporary(0, 2, &temporary);
        world.consume(0, 2, 6, &temporary, 1);
        world.send(0, 1, &temporary, "taken", true);
        world.settle();
        let got = world.got(0);
        say(&mut world, 0, 2, 1, BranchAct::Begin);
        world.turn(0, &claiming(2, 6, (0, got[0].sequence.0), 1, 2));
        send(&mut world, 2, &temporary, "sent", true, 2);
        send(&mut world, 2, &queue("to"), "kept", true, 2);
        assert_eq!(ask(&mut world, 2, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
        world.disconnect(0, handle(2), true);
        world.settle();
        assert_eq!(world.broker.recount(), Ok(()));
        assert_eq!(prepared(&mut world, 3), [xid(1)]);
        assert_eq!(ask(&mut world, 3, 1, act), Ok(None));
        world.settle();
        assert_eq!(world.broker.recount(), Ok(()));
        let expected: &[&str] = if act == BranchAct::RollBack { &[] } else { &["kept"] };
        assert_eq!(waiting(&mut world, "to"), expected);
        world.connect(0, 2, "owner");
        world.create_temporary(0, 2, &temporary);
        world.consume(0, 2, 6, &temporary, 1);
        world.settle();
        assert_eq!(world.texts(0), [""; 0]);
    }
}

/// One bad place of the disk has taken a commit and the deletion of the queue that had its messages: they are found under its name.
#[test]
fn what_is_kept_aside_of_a_queue_that_another_has_taken_in_is_that_ones() {
    let acts = [BranchAct::CommitTwoPhase, BranchAct::RollBack];
    for (act, is_first) in acts.into_iter().flat_map(|act| [(act, true), (act, false)]) {
        let mut world = small();
        begin(&mut world, 1, 7);
        for content in ["1", "2"] {
            send(&mut world, 1, &queue("to"), content, true, 7);
        }
        commit(&mut world, 1, 7);
        world.settle();
        world.delete(0, 1, &queue("to"));
        world.send(0, 1, &queue("to"), "new", true);
        world.settle();
        let own = world.log.records.iter().find(|stored| stored.kind == kind::DESTINATION).unwrap().meta.clone();
        // Whichever of the two is found by its name first takes the other in.
        let is_lost = |stored: &Stored| match stored.kind {
            kind::DESTINATION => stored.meta == own && is_first,
            other => [kind::COMMIT, kind::DELETE].contains(&other),
        };
        let (mut world, _) = world.crash_without(is_lost);
        assert_eq!(world.broker.recount(), Ok(()));
        for _ in 0..2 {
            world.connect(0, 2, "operator");
            assert_eq!(waiting(&mut world, "to"), ["new"], "it is not seen");
            assert_eq!(world.broker.recount(), Ok(()));
            world.settle();
            world = world.restarted();
        }
        world.connect(0, 2, "operator");
        world.delete(0, 2, &queue("to"));
        world.settle();
        let refused = failures(&world.heard(0));
        assert!(refused.len() == 1 && refused[0].1.contains("not decided"), "it is in use (R44): {refused:?}");
        let names = prepared(&mut world, 2);
        let said = Branch { connection: handle(2), request: wanted(30), xid: names[0].clone(), number: None, act };
        world.run(0, Command::Branch(Box::new(said)));
        world.settle();
        assert_eq!(failures(&world.heard(0)), []);
        let expected: &[&str] = if act == BranchAct::RollBack { &["new"] } else { &["new", "1", "2"] };
        for again in 0..2 {
            assert_eq!(waiting(&mut world, "to"), expected, "{act:?}, {again}");
            assert_eq!(world.broker.recount(), Ok(()));
            world = world.restarted();
            world.connect(0, 2, "operator");
        }
        // What is taken stays so.
        world.consume(0, 2, 6, &queue("to"), 10);
        world.settle();
        let last = world.got(0).last().unwrap().sequence.0;
        let count = expected.len() as u32;
        world.acknowledge(0, 2, 6, AcknowledgeKind::Standard, (0, last), count);
        world.settle();
        assert_eq!(world.broker.recount(), Ok(()));
        let mut world = world.restarted();
        assert_eq!(waiting(&mut world, "to"), [""; 0]);
        assert_eq!(world.broker.recount(), Ok(()));
    }
}

/// One connection begins as many as are left for all others, which may begin some.
#[test]
fn nobody_has_all_branches() {
    let mut world = small();
    world.connect(0, 2, "other");
    let begins = |world: &mut World, connection: u32, name: u32| {
        let xid = Xid::new(7, &name.to_le_bytes(), b"branch").unwrap();
        let (number, act) = (Some(number(name as u16 + 1)), BranchAct::Begin);
        let said = Branch { connection: handle(connection), request: wanted(30), xid, number, act };
        world.handle(0, &CommandBatch { commands: vec![Command::Branch(Box::new(said))], ..CommandBatch::default() });
        if name.is_multiple_of(1_000) || connection == 2 {
            world.settle();
        }
    };
    for name in 0..20_000 {
        begins(&mut world, 1, name);
    }
    world.settle();
    let refused = failures(&world.heard(0));
    assert_eq!(refused.len(), 20_000 - 32_767 / 2);
    assert_eq!(refused[0].0, Failure::Branch(BranchFailure::Resource));
    begins(&mut world, 2, 30_000);
    assert_eq!(failures(&world.heard(0)), []);
    world.disconnect(0, handle(1), true);
    world.settle();
    for name in 40_000..40_100 {
        begins(&mut world, 2, name);
    }
    assert_eq!(failures(&world.heard(0)), []);
}

#[test]
fn what_is_kept_aside_has_names_that_nobody_else_has() {
    let mut world = small();
    let xid = Xid::new(KEPT_FORMAT, KEPT_GLOBAL, b"7").unwrap();
    let said =
        Branch { connection: handle(1), request: wanted(30), xid, number: Some(number(1)), act: BranchAct::Begin };
    world.run(0, Command::Branch(Box::new(said)));
    world.settle();
    assert_eq!(failures(&world.heard(0))[0].0, Failure::Branch(BranchFailure::Protocol));
}

/// What is prepared comes to a subscription before what is sent to its topic while its decision takes effect, also after a start.
#[test]
pub fn what_comes_behind_a_decision_stands_behind_it_at_subscriptions_after_a_start() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    subscribe(&mut world, 1, (1, 7), "t", "s");
    leave(&mut world, 1, 1, 7);
    say(&mut world, 0, 1, 1, BranchAct::Begin);
    let sent = 3_000;
    for content in 0..sent {
        send(&mut world, 1, &topic("t"), &content.to_string(), true, 2);
    }
    assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
    world = world.restarted();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    let to = [topic("t")];
    let bytes = record(&to, b"behind", true, 0, 0);
    let mut batch = world.publish(0, handle(1), &to, true, (&bytes, 0), wanted(7));
    batch.commands.insert(0, said(1, 1, BranchAct::CommitTwoPhase));
    world.turn(0, &batch);
    world.settle();
    world.heard(1);
    subscribe(&mut world, 1, (1, 7), "t", "s");
    world.settle();
    let mut expected: Vec<String> = (0..sent).map(|content| content.to_string()).collect();
    expected.push("behind".to_owned());
    let mut found = Vec::new();
    loop {
        let got = world.got(1);
        let Some(last) = got.last() else { break };
        let (last, count) = (last.sequence.0, got.len() as u32);
        found.extend(got.into_iter().map(|got| String::from_utf8(got.content).unwrap()));
        world.acknowledge(1, 1, 7, AcknowledgeKind::Standard, (0, last), count);
        world.settle();
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(found, expected);
}

/// What a prepared branch has of a subscription is the subscription's still, for reclaim as well, also after a start.
#[test]
pub fn what_is_claimed_of_a_subscription_moves_for_it_after_a_start() {
    let mut world = small();
    for (consumer, name) in [(7, "mine"), (8, "others")] {
        subscribe(&mut world, 0, (1, consumer), "t", name);
        leave(&mut world, 0, 1, consumer);
    }
    world.send(1, 1, &topic("t"), "1", true);
    subscribe(&mut world, 0, (1, 7), "t", "mine");
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 1);
    say(&mut world, 0, 1, 1, BranchAct::Begin);
    world.turn(0, &claiming(1, 7, (0, got[0].sequence.0), 1, 2));
    assert_eq!(ask(&mut world, 1, 1, BranchAct::Prepare), Ok(Some(Vote::Prepared)));
    for start in 0..2 {
        world = world.restarted();
        assert_eq!(world.broker.recount(), Ok(()));
        world.connect(0, 1, "a");
        world.connect(1, 1, "b");
        world.consume(0, 1, 5, &queue("churn"), 100);
        let front = world.log.front();
        world.churn(5, 1_500, 300);
        world.settle();
        world.heard(0);
        let front = front.map_or(0, |front| front.0);
        assert!(world.log.front().is_some_and(|now| now.0 > front + 5), "it has moved, {start}");
    }
    world = world.restarted();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    subscribe(&mut world, 0, (1, 7), "t", "mine");
    world.settle();
    assert_eq!(world.texts(0), [""; 0], "the branch has it");
    leave(&mut world, 0, 1, 7);
    assert_eq!(ask(&mut world, 1, 1, BranchAct::RollBack), Ok(None));
    for again in 0..2 {
        for (consumer, name) in [(7, "mine"), (8, "others")] {
            world.heard(0);
            subscribe(&mut world, 0, (1, consumer), "t", name);
            world.settle();
            assert_eq!(world.texts(0), ["1"], "{name}, {again}");
            leave(&mut world, 0, 1, consumer);
        }
        world = world.restarted();
        world.connect(0, 1, "a");
    }
}
