//! Local transactions: all of one, or nothing, wherever the process ends.

use crate::log::TestLog;
use crate::world::{Told, World, acknowledging, handle, queue, record, topic, wanted};
use postrider_broker::records::kind;
use postrider_broker::{Config, Log};
use postrider_model::command::{AcknowledgeKind, LastDelivered, Request, Transact, TransactionAct};
use postrider_model::event::Failure;
use postrider_model::{Command, CommandBatch, Destination, Event, TransactionNumber};
use std::num::NonZeroU16;

pub fn number(number: u16) -> TransactionNumber {
    TransactionNumber(NonZeroU16::new(number).unwrap())
}

pub fn transact(connection: u32, transaction: u16, act: TransactionAct) -> Command {
    let request = if act == TransactionAct::Begin { Request::default() } else { wanted(20) };
    Command::Transact(Transact { connection: handle(connection), request, transaction: number(transaction), act })
}

pub fn sending(
    world: &mut World,
    connection: u32,
    to: &[Destination],
    content: &str,
    persistent: bool,
    of: u16,
) -> CommandBatch {
    let bytes = record(to, content.as_bytes(), persistent, 0, 0);
    let mut batch = world.publish(0, handle(connection), to, persistent, (&bytes, 0), Request::default());
    for command in &mut batch.commands {
        if let Command::Publish(publish) = command {
            publish.transaction = Some(number(of));
        }
    }
    batch
}

pub fn send(world: &mut World, connection: u32, to: &Destination, content: &str, persistent: bool, of: u16) {
    let batch = sending(world, connection, std::slice::from_ref(to), content, persistent, of);
    world.turn(0, &batch);
}

pub fn claiming(connection: u32, consumer: u32, range: (u64, u64), count: u32, of: u16) -> CommandBatch {
    let mut batch = acknowledging(connection, consumer, AcknowledgeKind::Standard, range, count, b"");
    if let Some(Command::Acknowledge(acknowledge)) = batch.commands.first_mut() {
        acknowledge.transaction = Some(number(of));
        acknowledge.request = Request::default();
    }
    batch
}

pub fn begin(world: &mut World, connection: u32, of: u16) {
    world.run(0, transact(connection, of, TransactionAct::Begin));
}

pub fn commit(world: &mut World, connection: u32, of: u16) {
    world.run(0, transact(connection, of, TransactionAct::Commit));
}

/// Failures that a port was told of.
pub fn failures(told: &[Told]) -> Vec<(Failure, String)> {
    let failed = told.iter().filter_map(|told| match told {
        Told::Event(Event::Failed { failure, message, .. }) => Some((*failure, message.to_string())),
        _ => None,
    });
    failed.collect()
}

pub fn world() -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.connect(1, 1, "b");
    world
}

/// What waits in a queue, as one finds that comes now.
pub fn waiting(world: &mut World, name: &str) -> Vec<String> {
    world.connect(1, 90, "looks");
    let open = postrider_model::command::OpenConsumer { browser: true, ..world.open(90, 90, &[queue(name)], 100_000) };
    world.settle();
    world.heard(1);
    world.consume_as(1, open);
    world.settle();
    let texts = world.texts(1);
    world.disconnect(1, handle(90), true);
    world.settle();
    texts
}

#[test]
pub fn what_is_sent_shows_with_the_durable_commit_in_order_and_wherever_it_lies() {
    let mut world = world();
    world.consume(1, 1, 5, &queue("q"), 10);
    world.consume(1, 1, 6, &topic("t"), 10);
    begin(&mut world, 1, 1);
    send(&mut world, 1, &queue("q"), "1", true, 1);
    send(&mut world, 1, &queue("q"), "2", false, 1);
    send(&mut world, 1, &topic("t"), "3", true, 1);
    world.send(0, 1, &queue("q"), "outside", true);
    world.settle();
    assert_eq!(world.texts(1), ["outside"]);
    assert_eq!(world.broker.recount(), Ok(()));
    commit(&mut world, 1, 1);
    world.idle();
    assert_eq!(world.texts(1), [""; 0], "the messages are durable, the decision is not (R33)");
    world.heard(0);
    world.settle();
    let mut texts = world.texts(1);
    texts.sort();
    assert_eq!(texts, ["1", "2", "3"]);
    assert!(matches!(world.events(0)[..], [Event::Reply { .. }]));
    assert_eq!(world.broker.recount(), Ok(()));
}

#[test]
pub fn what_is_rolled_back_was_never_there() {
    let mut world = world();
    world.consume(1, 1, 5, &queue("q"), 10);
    for (of, act) in [(1, TransactionAct::RollBack), (2, TransactionAct::Doom)] {
        begin(&mut world, 1, of);
        send(&mut world, 1, &queue("q"), "never", true, of);
        send(&mut world, 1, &queue("q"), "never", false, of);
        world.run(0, transact(1, of, act));
    }
    assert_eq!(world.broker.statistics().messages, 0, "what is doomed is dead at once");
    world.settle();
    world.heard(0);
    commit(&mut world, 1, 2);
    commit(&mut world, 1, 1);
    world.settle();
    let told = world.heard(0);
    let failed = failures(&told);
    assert_eq!(failed[0].0, Failure::TransactionRolledBack, "{failed:?}");
    assert!(failed[1].1.contains("has not been started"), "{failed:?}");
    assert_eq!(world.texts(1), [""; 0]);
    assert_eq!(world.broker.recount(), Ok(()));
    assert_eq!(world.log.records.iter().filter(|stored| stored.kind == kind::ROLLED_BACK).count(), 2);
    let mut world = world.restarted();
    assert_eq!(waiting(&mut world, "q"), [""; 0]);
}

#[test]
pub fn a_start_takes_what_is_undecided_for_dead() {
    let mut world = world();
    begin(&mut world, 1, 1);
    send(&mut world, 1, &queue("q"), "never", true, 1);
    begin(&mut world, 1, 2);
    send(&mut world, 1, &queue("q"), "kept", true, 2);
    commit(&mut world, 1, 2);
    world.settle();
    let mut world = world.restarted();
    assert_eq!(world.broker.recount(), Ok(()));
    assert_eq!(waiting(&mut world, "q"), ["kept"]);
    world.connect(0, 1, "a");
    world.delete(0, 1, &queue("q"));
    world.settle();
    let mut world = world.restarted();
    assert_eq!(world.broker.recount(), Ok(()), "the dead one meant a queue that is gone");
    assert_eq!(waiting(&mut world, "q"), [""; 0]);
}

#[test]
pub fn what_is_received_is_over_with_the_commit_and_the_consumers_again_without() {
    let mut world = world();
    for content in ["1", "2", "3", "4"] {
        world.send(0, 1, &queue("q"), content, true);
    }
    world.consume(0, 1, 5, &queue("q"), 3);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 3);
    begin(&mut world, 1, 1);
    world.turn(0, &claiming(1, 5, (got[0].sequence.0, got[1].sequence.0), 2, 1));
    world.settle();
    assert_eq!(world.texts(0), [""; 0], "they are in the window until it is decided");
    assert_eq!(world.broker.statistics().messages, 4);
    world.run(0, transact(1, 1, TransactionAct::RollBack));
    world.settle();
    assert_eq!(world.texts(0), [""; 0], "the client has them, and gives them out again by itself");
    begin(&mut world, 1, 2);
    world.turn(0, &claiming(1, 5, (got[0].sequence.0, got[2].sequence.0), 3, 2));
    world.run(0, transact(1, 2, TransactionAct::RollBack));
    begin(&mut world, 1, 3);
    world.turn(0, &claiming(1, 5, (0, got[1].sequence.0), 2, 3));
    commit(&mut world, 1, 3);
    world.settle();
    assert_eq!(world.texts(0), ["4"]);
    world.heard(0);
    world.close_consumer(0, 1, 5, LastDelivered::Unknown);
    world.consume(0, 1, 6, &queue("q"), 3);
    world.settle();
    let back: Vec<(String, u32)> =
        world.got(0).into_iter().map(|got| (String::from_utf8(got.content).unwrap(), got.redeliveries)).collect();
    assert_eq!(back, [("3".to_owned(), 1), ("4".to_owned(), 1)]);
    let mut world = world.restarted();
    assert_eq!(waiting(&mut world, "q"), ["3", "4"]);
}

#[test]
pub fn a_closing_consumer_leaves_what_its_transaction_has() {
    for commits in [true, false] {
        let mut world = world();
        world.send(0, 1, &queue("q"), "1", true);
        world.send(0, 1, &queue("q"), "2", true);
        world.consume(0, 1, 5, &queue("q"), 10);
        world.settle();
        world.heard(0);
        begin(&mut world, 1, 1);
        world.turn(0, &claiming(1, 5, (0, 0), 1, 1));
        let first = world.broker.statistics().messages;
        assert_eq!(first, 2);
        let got = failures(&world.heard(0));
        // What names nothing that it has dooms the transaction.
        assert_eq!(got.len(), 1, "{got:?}");
        world.run(0, transact(1, 1, TransactionAct::RollBack));
        begin(&mut world, 1, 2);
        world.consume(1, 1, 7, &queue("q"), 10);
        world.settle();
        world.heard(1);
        let range = {
            let record = world.log.records.iter().find(|stored| stored.kind == kind::MESSAGE).unwrap();
            (record.sequence, record.sequence)
        };
        world.turn(0, &claiming(1, 5, range, 1, 2));
        world.close_consumer(0, 1, 5, LastDelivered::None);
        world.settle();
        assert_eq!(world.texts(1), ["2"], "the other one is the transaction's");
        world.run(0, transact(1, 2, if commits { TransactionAct::Commit } else { TransactionAct::RollBack }));
        world.settle();
        let got = world.got(1);
        let redeliveries: Vec<u32> = got.iter().map(|got| got.redeliveries).collect();
        assert_eq!(redeliveries, if commits { vec![] } else { vec![1] });
        assert_eq!(world.broker.statistics().messages, if commits { 1 } else { 2 });
        assert_eq!(world.broker.recount(), Ok(()));
    }
}

#[test]
pub fn the_end_of_a_connection_rolls_back() {
    let mut world = world();
    world.send(0, 1, &queue("q"), "1", true);
    world.consume(0, 1, 5, &queue("q"), 10);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 1, 1);
    send(&mut world, 1, &queue("other"), "never", true, 1);
    world.turn(0, &claiming(1, 5, (0, got[0].sequence.0), 1, 1));
    world.disconnect(0, handle(1), false);
    world.settle();
    assert_eq!(waiting(&mut world, "q"), ["1"]);
    assert_eq!(waiting(&mut world, "other"), [""; 0]);
    world.consume(1, 1, 6, &queue("q"), 10);
    world.settle();
    assert_eq!(world.got(1).iter().map(|got| got.redeliveries).collect::<Vec<_>>(), [1]);
}

/// Messages move from one queue to another, each within a transaction, some of which are rolled back; the process ends after so many turns
/// of those that are not safe. Each message is in one of the queues, and once.
fn moved(seed: u64, cut: usize) -> (usize, [Vec<String>; 2]) {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 20, 8 * 1024));
    let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |most: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % most
    };
    world.connect(0, 1, "a");
    for content in 0..8 {
        world.send(0, 1, &queue("from"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("from"), 100);
    world.settle();
    let mut got = world.got(0);
    let mut of = 0;
    while !got.is_empty() {
        of += 1;
        let count = 1 + below(3).min(got.len() as u64 - 1) as usize;
        let range = (got[0].sequence.0, got[count - 1].sequence.0);
        begin(&mut world, 1, of);
        let mut batch = CommandBatch::default();
        for (at, got) in got[..count].iter().enumerate() {
            let content = String::from_utf8(got.content.clone()).unwrap();
            // The last one may come with what ends the transaction.
            if below(2) == 0 && at + 1 == count {
                batch = sending(&mut world, 1, &[queue("to")], &content, true, of);
            } else {
                send(&mut world, 1, &queue("to"), &content, true, of);
            }
            // Others come and go, so that the front moves on.
            for _ in 0..below(20) {
                world.send(0, 1, &queue("rest"), &"x".repeat(below(400) as usize), below(8) > 0);
            }
        }
        batch.commands.extend(claiming(1, 5, range, count as u32, of).commands);
        let act = if below(4) == 0 { TransactionAct::RollBack } else { TransactionAct::Commit };
        batch.commands.push(transact(1, of, act));
        world.turn(0, &batch);
        if act == TransactionAct::Commit {
            got.drain(..count);
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
    let queues = ["from", "to"].map(|name| waiting(&mut world, name));
    (open.len(), queues)
}

#[test]
pub fn wherever_the_process_ends_each_message_is_in_one_queue() {
    let cuts = check_moves(1..=60);
    assert!(cuts > 500, "{cuts} cuts");
}

/// How often the process has ended.
pub fn check_moves(seeds: std::ops::RangeInclusive<u64>) -> usize {
    let mut cuts = 0;
    for seed in seeds {
        for cut in 0.. {
            let (open, [from, to]) = moved(seed, cut);
            let mut all = [from, to].concat();
            all.sort();
            assert_eq!(all, ["0", "1", "2", "3", "4", "5", "6", "7"], "seed {seed}, {cut} of {open}");
            cuts += 1;
            if cut >= open {
                break;
            }
        }
    }
    cuts
}

#[test]
pub fn reclaim_moves_what_is_undecided_and_what_was_decided() {
    for (commits, restarts) in [(true, false), (true, true), (false, true)] {
        let config = Config { reservation: 1_000_000, ..Config::default() };
        let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
        world.connect(0, 1, "a");
        world.consume(0, 1, 5, &queue("churn"), 100);
        begin(&mut world, 1, 1);
        let both = [queue("q"), queue("r")];
        for content in 0..50 {
            let batch = sending(&mut world, 1, &both, &content.to_string(), true, 1);
            world.turn(0, &batch);
        }
        let churn = |world: &mut World| {
            world.churn(5, 1_500, 300);
            world.settle();
            world.heard(0);
        };
        let front = world.log.front();
        churn(&mut world);
        assert!(world.log.front() > front && world.broker.statistics().moved > 50, "it has moved");
        assert_eq!(world.broker.recount(), Ok(()));
        if commits {
            commit(&mut world, 1, 1);
            world.settle();
            assert_eq!(world.broker.recount(), Ok(()));
            churn(&mut world);
        }
        if restarts {
            world = world.restarted();
            assert_eq!(world.broker.recount(), Ok(()));
        }
        let expected: Vec<String> = (0..50).map(|content| content.to_string()).filter(|_| commits).collect();
        for name in ["q", "r"] {
            assert_eq!(waiting(&mut world, name), expected);
        }
    }
}

#[test]
pub fn beyond_its_bounds_one_is_doomed_and_nobody_is_paused() {
    let small = |messages| Config { reservation: 1_000_000, transaction_messages: messages, ..Config::default() };
    for (config, setting) in [(small(5), "transactions.max_messages"), (small(1_000), "journal.disk_budget_bytes")] {
        let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
        world.connect(0, 1, "a");
        world.heard(0);
        begin(&mut world, 1, 1);
        for _ in 0..200 {
            send(&mut world, 1, &queue("q"), &"x".repeat(1_000), true, 1);
        }
        world.settle();
        let refused = failures(&world.heard(0));
        assert_eq!(refused.len(), 1, "who does not ask is told once");
        assert_eq!((world.broker.statistics().messages, world.broker.statistics().parked_bytes), (0, 0));
        commit(&mut world, 1, 1);
        world.settle();
        let refused = failures(&world.heard(0));
        assert_eq!(refused[0].0, Failure::ResourceAllocation);
        assert!(refused[0].1.contains(setting), "{refused:?}");
        begin(&mut world, 1, 1);
        send(&mut world, 1, &queue("q"), "fits", true, 1);
        commit(&mut world, 1, 1);
        world.settle();
        assert_eq!(waiting(&mut world, "q"), ["fits"]);
    }
}

#[test]
pub fn nothing_is_done_under_one_that_has_not_begun() {
    let mut world = world();
    world.settle();
    world.heard(0);
    send(&mut world, 1, &queue("q"), "never", true, 9);
    let refused = failures(&world.heard(0));
    assert!(refused[0].1.contains("has not been started"), "{refused:?}");
    assert_eq!(waiting(&mut world, "q"), [""; 0]);
}

#[test]
pub fn a_queue_is_in_use_that_something_undecided_names() {
    let mut world = world();
    begin(&mut world, 1, 1);
    send(&mut world, 1, &queue("q"), "1", true, 1);
    world.settle();
    world.heard(0);
    world.delete(0, 1, &queue("q"));
    world.settle();
    assert_eq!(failures(&world.heard(0)).len(), 1);
    commit(&mut world, 1, 1);
    world.settle();
    assert_eq!(waiting(&mut world, "q"), ["1"]);
}

#[test]
pub fn a_range_that_its_client_has_counted_for_less_is_whole_all_the_same() {
    let mut world = world();
    for content in 0..500 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 1_000);
    world.settle();
    let last = world.got(0).last().unwrap().sequence.0;
    begin(&mut world, 1, 1);
    let mut batch = claiming(1, 5, (0, last), 1, 1);
    batch.commands.push(transact(1, 1, TransactionAct::Commit));
    world.turn(0, &batch);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    let mut world = world.restarted();
    assert_eq!(waiting(&mut world, "q"), [""; 0]);
}

#[test]
pub fn a_long_commit_says_what_it_acknowledges_in_its_body() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(64 << 20, 512 << 10));
    world.connect(0, 1, "a");
    let names: Vec<Destination> = (0..4_000).map(|number| queue(&format!("q{number}"))).collect();
    for name in &names {
        world.send(0, 1, name, "x", true);
    }
    world.consume_as(0, world.open(1, 5, &names, 8_000));
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), names.len());
    begin(&mut world, 1, 1);
    let (first, last) = (got[0].sequence.0, got[got.len() - 1].sequence.0);
    let mut batch = claiming(1, 5, (first, last), got.len() as u32, 1);
    batch.commands.push(transact(1, 1, TransactionAct::Commit));
    world.turn(0, &batch);
    world.settle();
    assert!(world.log.records.iter().any(|stored| stored.kind == kind::COMMIT && stored.body.len() > 60_000));
    let world = world.restarted();
    assert_eq!(world.broker.statistics().messages, 0);
}

/// A range of more than the consumer has so is a client's whose order is another one: it would be committed in part.
#[test]
pub fn a_range_that_its_client_has_counted_for_more_dooms_the_transaction() {
    let mut world = world();
    for content in 0..20 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 100);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 1, 1);
    send(&mut world, 1, &queue("other"), "never", true, 1);
    world.turn(0, &claiming(1, 5, (got[8].sequence.0, got[19].sequence.0), 20, 1));
    commit(&mut world, 1, 1);
    world.settle();
    let refused = failures(&world.heard(0));
    assert_eq!((refused.len(), refused[1].0), (2, Failure::TransactionRolledBack), "{refused:?}");
    assert_eq!(world.broker.statistics().messages, 20);
    begin(&mut world, 1, 1);
    world.turn(0, &claiming(1, 99, (0, got[19].sequence.0), 20, 1));
    commit(&mut world, 1, 1);
    world.settle();
    assert_eq!(failures(&world.heard(0)).len(), 2, "nobody has what a consumer that is gone acknowledges");
}

/// What comes back costs by what that is, not by what is in flight beside it.
#[test]
pub fn a_little_that_comes_back_is_little_work() {
    let mut world = world();
    for content in 0..30_000 {
        world.send(0, 1, &queue("q"), &content.to_string(), false);
    }
    world.consume(0, 1, 5, &queue("q"), 32_000);
    world.settle();
    let got = world.got(0);
    for (round, at) in [29_999, 0, 15_000, 7, 29_998].into_iter().enumerate() {
        let of = round as u16 + 1;
        begin(&mut world, 1, of);
        let mut batch = claiming(1, 5, (got[at].sequence.0, got[at].sequence.0), 1, of);
        batch.commands.push(transact(1, of, TransactionAct::RollBack));
        world.handle(0, &batch);
        assert!(!world.broker.has_worked_enough());
        world.idle();
    }
    let all = acknowledging(1, 5, AcknowledgeKind::Standard, (0, got[29_999].sequence.0), 30_000, b"");
    world.turn(0, &all);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0, "all is in flight, and in order");
}

/// A client says of each message once that the application has seen it, before its transaction is rolled back.
#[test]
pub fn what_was_seen_before_a_rollback_stays_out_of_the_window() {
    let mut world = world();
    for content in 0..10 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 4);
    world.settle();
    let mut got = world.got(0);
    begin(&mut world, 1, 1);
    for seen in [1, 3, 5] {
        let sequence = got[seen].sequence.0;
        world.acknowledge(0, 1, 5, AcknowledgeKind::Delivered, (sequence, sequence), 2);
        world.settle();
        got.extend(world.got(0));
    }
    assert_eq!(got.len(), 10);
    for of in [1, 2] {
        world.turn(0, &claiming(1, 5, (got[0].sequence.0, got[5].sequence.0), 6, of));
        world.run(0, transact(1, of, TransactionAct::RollBack));
        begin(&mut world, 1, of + 1);
    }
    for content in 10..20 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.turn(0, &claiming(1, 5, (got[0].sequence.0, got[5].sequence.0), 6, 3));
    commit(&mut world, 1, 3);
    world.settle();
    assert_eq!(world.texts(0).len(), 0, "it has four of those that it has not seen");
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, got[9].sequence.0), 4);
    world.settle();
    assert_eq!(world.texts(0).len(), 4);
}
