//! Transactions beside everything else that goes on: batches, damage, deletions, goodbyes, room.

use crate::log::TestLog;
use crate::parking::{drained, full, goodbye, send_parked, settled};
use crate::transactions::{begin, claiming, commit, number, send, sending, transact, world};
use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_broker::records::kind;
use postrider_broker::{Config, WhenFull};
use postrider_model::command::{AcknowledgeKind, LastDelivered, Request, TransactionAct};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Event, PortIndex, Token};

fn temporary(name: &str) -> Destination {
    Destination::new(DestinationKind::TemporaryQueue, name.as_bytes())
}

fn is_answered(world: &mut World, port: usize, token: u64) -> bool {
    world.events(port).iter().any(|event| matches!(event, Event::Reply { token: Token(known), .. } if *known == token))
}

/// ROLLBACK gives back, and what the same batch acknowledges anew was not in flight when its bound was looked at.
#[test]
pub fn a_rollback_and_a_commit_of_the_same_in_one_batch() {
    let mut world = world();
    for content in 0..500 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 1_000);
    world.settle();
    let last = world.got(0).last().unwrap().sequence.0;
    begin(&mut world, 1, 1);
    world.turn(0, &claiming(1, 5, (0, last), 500, 1));
    let mut batch = claiming(1, 5, (0, last), 500, 2);
    batch.commands.insert(0, transact(1, 2, TransactionAct::Begin));
    batch.commands.insert(0, transact(1, 1, TransactionAct::RollBack));
    batch.commands.push(transact(1, 2, TransactionAct::Commit));
    world.turn(0, &batch);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
}

/// Shard and broker count alike what is settled.
#[test]
pub fn a_refused_send_of_a_transaction_is_settled() {
    let settled_when = |refused: bool| {
        let mut world = full(WhenFull::Refuse);
        world.connect(0, 4, "d");
        begin(&mut world, 4, 1);
        let batch = sending(&mut world, 4, &[queue("q")], &"x".repeat(1_000), true, 1);
        if refused {
            world.turn(
                0,
                &CommandBatch {
                    commands: batch.commands[..batch.commands.len() - 1].to_vec(),
                    ..CommandBatch::default()
                },
            );
            let command = batch.commands.last().unwrap();
            world.broker.refuse_command(PortIndex(0), command, &batch.arena, world.now, &mut world.log, &mut world.out);
            world.idle();
        } else {
            world.turn(0, &batch);
        }
        send_parked(&mut world, 4, &"x".repeat(1_000), Request::default());
        settled(&mut world, 4)
    };
    assert_eq!(settled_when(true), settled_when(false));
}

/// Who has sent to a temporary queue within a transaction deletes it: the answer comes.
#[test]
pub fn the_deletion_of_a_temporary_queue_is_answered_whatever_is_undecided() {
    let mut world = world();
    world.create_temporary(0, 1, &temporary("t"));
    begin(&mut world, 1, 1);
    send(&mut world, 1, &temporary("t"), "1", false, 1);
    world.settle();
    world.heard(0);
    world.delete(0, 1, &temporary("t"));
    world.settle();
    assert!(is_answered(&mut world, 0, 8), "the client waits for it before it commits");
}

/// Another's open transaction does not hold up a goodbye.
#[test]
pub fn a_goodbye_does_not_wait_for_anothers_transaction() {
    let mut world = world();
    world.create_temporary(1, 1, &temporary("replies"));
    begin(&mut world, 1, 1);
    send(&mut world, 1, &temporary("replies"), "answer", false, 1);
    world.settle();
    world.heard(1);
    world.run(1, goodbye(1));
    world.settle();
    assert!(is_answered(&mut world, 1, 22), "another's transaction is none of its business");
}

/// What a transaction had of a deleted temporary queue goes when it is rolled back.
#[test]
pub fn a_rollback_leaves_nothing_of_a_deleted_queue_with_its_consumer() {
    let mut world = world();
    world.create_temporary(0, 1, &temporary("t"));
    world.send(0, 1, &temporary("t"), "1", false);
    let open = world.open(1, 5, &[temporary("t"), queue("q")], 10);
    world.consume_as(0, open);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 1, 1);
    world.turn(0, &claiming(1, 5, (0, got[0].sequence.0), 1, 1));
    world.delete(0, 1, &temporary("t"));
    world.settle();
    assert!(is_answered(&mut world, 0, 8));
    world.run(0, transact(1, 1, TransactionAct::RollBack));
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
}

/// Who leaves behind parked sends holds no messages meanwhile: nor does its transaction.
#[test]
pub fn who_leaves_behind_parked_sends_leaves_its_transactions_at_once() {
    let mut world = full(WhenFull::Refuse);
    world.consume(0, 2, 5, &queue("q"), 1_000);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 2, 1);
    world.turn(0, &claiming(2, 5, (0, got.last().unwrap().sequence.0), got.len() as u32, 1));
    world.run(0, goodbye(2));
    world.settle();
    world.heard(0);
    let texts = drained(&mut world);
    assert!(texts.len() > got.len(), "{} held, {} came", got.len(), texts.len());
    assert!(is_answered(&mut world, 0, 22));
}

/// The same of what it has sent and not committed: that takes the room that its own plain send waits for.
#[test]
pub fn what_it_has_sent_in_transactions_goes_with_its_goodbye() {
    let config = Config { reservation: 200_000, ..Config::default() };
    let segment = 4 << 10;
    let mut world = World::over(config, TestLog::new(8 * segment + 40_000, segment));
    world.connect(0, 2, "b");
    world.consume(0, 2, 5, &queue("none"), 1_000);
    begin(&mut world, 2, 1);
    for _ in 0..4 {
        send(&mut world, 2, &queue("q"), &"x".repeat(1_000), true, 1);
    }
    world.settle();
    // It fills the rest.
    for _ in 0..40 {
        send_parked(&mut world, 2, &"y".repeat(1_000), Request::default());
        if world.broker.statistics().parked_bytes > 0 {
            break;
        }
    }
    assert!(world.broker.statistics().parked_bytes > 0);
    world.settle();
    world.heard(0);
    world.run(0, goodbye(2));
    world.settle();
    assert!(is_answered(&mut world, 0, 22), "nobody but itself is in its way");
}

/// Messages of a topic in a transaction for a laggard, and beside plain ones: nothing early.
#[test]
pub fn nobody_of_a_topic_sees_what_is_not_decided_durably() {
    let mut world = world();
    world.consume(1, 1, 6, &topic("t"), 1);
    world.consume(1, 1, 7, &topic("t"), 100);
    world.consume(0, 1, 5, &queue("q"), 10);
    world.send(0, 1, &queue("q"), "claimed", true);
    world.send(0, 1, &topic("t"), "1", false);
    world.send(0, 1, &topic("t"), "2", false);
    world.settle();
    let got = world.got(0);
    let first = world.got(1);
    assert_eq!(first.len(), 3);
    begin(&mut world, 1, 1);
    send(&mut world, 1, &topic("t"), "in", false, 1);
    world.turn(0, &claiming(1, 5, (0, got.last().unwrap().sequence.0), 1, 1));
    world.settle();
    commit(&mut world, 1, 1);
    world.acknowledge(
        1,
        1,
        6,
        AcknowledgeKind::Standard,
        (0, first.iter().find(|got| got.consumer == handle(6)).unwrap().sequence.0),
        1,
    );
    world.acknowledge(1, 1, 6, AcknowledgeKind::Delivered, (0, 0), 5);
    world.idle();
    let early = world.texts(1);
    assert!(!early.contains(&"in".to_owned()), "{early:?}");
    world.settle();
    let late = world.texts(1);
    assert_eq!(late.iter().filter(|text| *text == "in").count(), 2, "{early:?} {late:?}");
}

/// A consumer that is closed while claims of it and others are undecided; order afterwards.
#[test]
pub fn order_after_a_rollback_of_a_closed_consumer() {
    let mut world = world();
    for content in 0..9 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 6);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 1, 1);
    world.turn(0, &claiming(1, 5, (got[1].sequence.0, got[3].sequence.0), 3, 1));
    world.close_consumer(0, 1, 5, LastDelivered::UpTo(got[3].sequence));
    world.settle();
    world.run(0, transact(1, 1, TransactionAct::RollBack));
    world.consume(1, 1, 6, &queue("q"), 20);
    world.settle();
    let back: Vec<(String, u32)> =
        world.got(1).into_iter().map(|got| (String::from_utf8(got.content).unwrap(), got.redeliveries)).collect();
    let texts: Vec<&str> = back.iter().map(|(text, _)| &text[..]).collect();
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(back.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 1, 1, 0, 0, 0, 0, 0]);
    assert_eq!(world.broker.recount(), Ok(()));
}

/// Decisions that nobody asks for stay for ever: here of messages that expire unseen.
#[test]
pub fn what_is_decided_is_forgotten_when_it_is_durable() {
    let mut world = world();
    for _ in 0..2_000 {
        begin(&mut world, 1, 1);
        let expiration = world.now.unix_millis + 1_000;
        let bytes = record(&[queue("q")], b"x", true, 0, expiration);
        let mut batch = world.publish(0, handle(1), &[queue("q")], true, (&bytes, 0), Request::default());
        for command in &mut batch.commands {
            if let Command::Publish(publish) = command {
                publish.transaction = Some(number(1));
            }
        }
        world.turn(0, &batch);
        commit(&mut world, 1, 1);
        world.settle();
    }
    for _ in 0..100 {
        world.now.nanos += 10_000_000_000;
        world.now.unix_millis += 10_000;
        world.settle();
    }
    assert!(world.broker.kept_for_commits().1 < 10);
}

/// A closing connection whose consumer has much in flight: order afterwards.
#[test]
pub fn the_end_of_a_connection_keeps_order() {
    let mut world = world();
    for content in 0..3_000 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 2_000);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 1, 1);
    world.turn(0, &claiming(1, 5, (got[500].sequence.0, got[1_500].sequence.0), 1_001, 1));
    begin(&mut world, 1, 2);
    world.turn(0, &claiming(1, 5, (got[100].sequence.0, got[200].sequence.0), 101, 2));
    world.consume(1, 1, 6, &queue("q"), 5_000);
    world.settle();
    world.heard(1);
    world.disconnect(0, handle(1), false);
    world.settle();
    let texts: Vec<usize> = world.texts(1).iter().map(|text| text.parse().unwrap()).collect();
    assert!(texts.iter().copied().eq(0..2_000), "{:?}", texts.windows(2).find(|two| two[0] > two[1]));
    assert_eq!(world.broker.recount(), Ok(()));
}

/// A consumer in two queues whose transaction mixes both, rolled back, then plain acknowledgements and expiry.
#[test]
pub fn after_a_rollback_all_is_found_again() {
    let mut world = world();
    for content in 0..10 {
        world.send(0, 1, &queue(if content % 3 == 0 { "p" } else { "q" }), &content.to_string(), true);
    }
    let open = world.open(1, 5, &[queue("p"), queue("q")], 100);
    world.consume_as(0, open);
    world.settle();
    let got = world.got(0);
    let order: Vec<u64> = got.iter().map(|got| got.sequence.0).collect();
    begin(&mut world, 1, 1);
    for at in [3, 7, 1] {
        world.turn(0, &claiming(1, 5, (order[at], order[at]), 1, 1));
    }
    world.run(0, transact(1, 1, TransactionAct::RollBack));
    world.heard(0);
    world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (order[0], order[9]), 10);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    assert_eq!(world.broker.recount(), Ok(()));
}

/// What was lost by damage while it was open says so, and the next one with its number is whole.
#[test]
pub fn more_is_sent_under_one_that_is_damaged() {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("churn"), 100);
    begin(&mut world, 1, 1);
    send(&mut world, 1, &queue("q"), "0", true, 1);
    send(&mut world, 1, &queue("q"), "1", true, 1);
    let position = world.log.records.iter().rfind(|stored| stored.kind == kind::MESSAGE).unwrap().home.position.0;
    world.log.rotten.insert(position);
    world.churn(5, 1_500, 300);
    send(&mut world, 1, &queue("q"), "2", true, 1);
    world.settle();
    assert_eq!(world.broker.recount(), Ok(()));
    world.heard(0);
    commit(&mut world, 1, 1);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    let world = world.restarted();
    assert_eq!(world.broker.statistics().messages, 0);
}

/// The bytes of what is claimed rot, and reclaim leaves them.
#[test]
pub fn damage_of_what_is_claimed() {
    for (act, closes) in [
        (TransactionAct::Commit, false),
        (TransactionAct::RollBack, false),
        (TransactionAct::RollBack, true),
        (TransactionAct::Commit, true),
    ] {
        let config = Config { reservation: 1_000_000, ..Config::default() };
        let mut world = World::over(config, TestLog::new(512 << 10, 8 * 1024));
        world.connect(0, 1, "a");
        world.consume(0, 1, 5, &queue("churn"), 100);
        let both = [queue("q"), queue("r")];
        let bytes = record(&both, b"0", true, 0, 0);
        world.send_as(0, handle(1), &both, true, (&bytes, 0), wanted(7));
        world.consume(0, 1, 6, &queue("q"), 10);
        world.settle();
        let got = world.got(0);
        begin(&mut world, 1, 1);
        world.turn(0, &claiming(1, 6, (got[0].sequence.0, got[0].sequence.0), 1, 1));
        let position = world.log.records.iter().rfind(|stored| stored.kind == kind::MESSAGE).unwrap().home.position.0;
        world.log.rotten.insert(position);
        world.churn(5, 1_500, 300);
        world.settle();
        assert_eq!(world.broker.recount(), Ok(()));
        if closes {
            world.close_consumer(0, 1, 6, LastDelivered::Unknown);
        }
        world.run(0, transact(1, 1, act));
        world.settle();
        world.close_consumer(0, 1, 6, LastDelivered::Unknown);
        world.consume(1, 1, 8, &queue("other"), 10);
        world.settle();
        assert_eq!(world.broker.recount(), Ok(()));
        let world = world.restarted();
        assert_eq!(world.broker.statistics().messages, 0);
    }
}

/// A window of one, transactions of ten, as the Java client has it: the application has seen each.
#[test]
pub fn a_window_of_one_and_transactions_of_ten() {
    let mut world = world();
    for content in 0..40 {
        world.send(0, 1, &queue("q"), &content.to_string(), true);
    }
    world.consume(0, 1, 5, &queue("q"), 1);
    world.settle();
    let mut all = world.got(0);
    for round in 0..6u16 {
        let rolls_back = round % 2 == 0;
        begin(&mut world, 1, 1);
        for _ in 0..10 {
            let last = all.last().unwrap().sequence.0;
            world.acknowledge(0, 1, 5, AcknowledgeKind::Delivered, (last, last), 1);
            world.settle();
            all.extend(world.got(0));
        }
        assert!(all.len() >= 10, "round {round}: {}", all.len());
        if !rolls_back || round == 4 {
            world.turn(0, &claiming(1, 5, (all[0].sequence.0, all[9].sequence.0), 10, 1));
        }
        world.run(0, transact(1, 1, if rolls_back { TransactionAct::RollBack } else { TransactionAct::Commit }));
        if !rolls_back {
            all.drain(..10);
        }
        world.settle();
        all.extend(world.got(0));
        assert!(!all.is_empty(), "round {round}");
    }
}

/// A transaction of more than is reserved.
#[test]
pub fn more_places_than_are_reserved() {
    let config = Config { reservation: 1_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(1 << 30, 32 << 10));
    world.connect(0, 1, "a");
    begin(&mut world, 1, 1);
    let step = |world: &mut World, batch: &CommandBatch| {
        for round in 0..20 {
            let _ = world.broker.is_ready(world.now, &mut world.log, &mut world.out);
            if world.broker.has_sequences(PortIndex(0), batch) {
                world.turn(0, batch);
                return;
            }
            assert!(round < 19, "never");
            world.settle();
        }
    };
    for content in 0..20_000 {
        let batch = sending(&mut world, 1, &[queue("q")], &content.to_string(), true, 1);
        step(&mut world, &batch);
    }
    step(
        &mut world,
        &CommandBatch { commands: vec![transact(1, 1, TransactionAct::Commit)], ..CommandBatch::default() },
    );
    world.settle();
    assert_eq!(world.broker.statistics().messages, 20_000);
    let world = world.restarted();
    assert_eq!(world.broker.statistics().messages, 20_000);
}

/// Persistent and not, to one queue, in one transaction: in their order.
#[test]
pub fn one_queue_both_stores() {
    let mut world = world();
    begin(&mut world, 1, 1);
    for content in 0..20 {
        send(&mut world, 1, &queue("q"), &content.to_string(), content % 3 > 0, 1);
    }
    commit(&mut world, 1, 1);
    world.consume(1, 1, 5, &queue("q"), 100);
    world.settle();
    let texts: Vec<u32> = world.texts(1).iter().map(|text| text.parse().unwrap()).collect();
    assert!(texts.iter().copied().eq(0..20), "{texts:?}");
}

/// The topic that waits for a decision is listed once.
#[test]
pub fn a_topic_waits_once() {
    let mut world = world();
    world.consume(1, 1, 6, &topic("t"), 30_000);
    world.consume(0, 1, 5, &queue("q"), 10);
    world.send(0, 1, &queue("q"), "claimed", true);
    world.settle();
    let got = world.got(0);
    begin(&mut world, 1, 1);
    send(&mut world, 1, &topic("t"), "in", false, 1);
    world.turn(0, &claiming(1, 5, (0, got.last().unwrap().sequence.0), 1, 1));
    commit(&mut world, 1, 1);
    for _ in 0..5_000 {
        world.send(0, 1, &topic("t"), "x", false);
    }
    assert!(world.broker.kept_for_commits().0 < 100);
}

/// What is sent to a topic of which nobody hears, or is expired, takes no room while its transaction is open.
#[test]
pub fn a_temporary_queue_that_goes_takes_its_staged_messages() {
    let mut world = world();
    world.create_temporary(1, 1, &temporary("t"));
    begin(&mut world, 1, 1);
    send(&mut world, 1, &temporary("t"), "1", false, 1);
    world.delete(1, 1, &temporary("t"));
    world.settle();
    commit(&mut world, 1, 1);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 0);
    assert_eq!(world.broker.recount(), Ok(()));
    world.create_temporary(1, 1, &temporary("t"));
    world.settle();
}

/// The large one is parked first. Others send small ones as fast as they are taken.
fn is_passed_for_ever() -> bool {
    let mut world = World::over(Config::default(), TestLog::new(8 * (32 << 10) + 400_000, 32 << 10));
    (1..=3).for_each(|connection| world.connect(0, connection, &connection.to_string()));
    world.connect(1, 8, "taker");
    world.consume(1, 8, 5, &queue("q"), 1);
    while world.broker.statistics().parked_bytes == 0 {
        send_parked(&mut world, 1, &"x".repeat(1_000), Request::default());
    }
    send_parked(&mut world, 2, &"y".repeat(20_000), Request::default());
    let mut stored = 0;
    for _ in 0..1_500 {
        for _ in 0..2 {
            begin(&mut world, 3, 1);
            send(&mut world, 3, &queue("q"), &"x".repeat(1_000), true, 1);
            commit(&mut world, 3, 1);
        }
        world.settle();
        world.heard(0);
        let taken = world.got(1);
        let Some(next) = taken.last() else { break };
        stored += usize::from(next.content.len() > 2_000);
        world.acknowledge(1, 8, 5, AcknowledgeKind::Standard, (0, next.sequence.0), 1);
        world.settle();
    }
    stored == 0
}

/// Who waits for room is not passed for ever: not by what comes in transactions either (R24).
#[test]
pub fn who_is_parked_is_not_passed_for_ever_by_transactions() {
    assert!(!is_passed_for_ever());
}
