//! Ends of transactions, and the room that they have in the journal: one may be refused, and is never postponed for ever (R46).

use crate::node::{CONNECTION, CONSUMER, Node, SEGMENT, acknowledgement_of};
use postrider_model::command::{Request, Transact, TransactionAct};
use postrider_model::{Command, CommandBatch, Token, TransactionNumber};
use std::num::NonZeroU16;

fn transact(act: TransactionAct) -> Command {
    let transaction = TransactionNumber(NonZeroU16::new(1).unwrap());
    let request = Request::new(Token(77), act != TransactionAct::Begin);
    Command::Transact(Transact { connection: CONNECTION, request, transaction, act })
}

fn fill(node: &mut Node) {
    while node.refused.is_empty() {
        let mut batch = CommandBatch::default();
        for _ in 0..50 {
            node.add_send(&mut batch, (0, 0), 10, true, true);
        }
        node.push(batch);
        assert!(node.sent < 40_000, "nothing is refused");
    }
}

fn check(in_transaction: bool, mut node: Node) {
    fill(&mut node);
    let messages = node.turn.broker().statistics().messages;
    node.consume();
    node.turns(200);
    let got = std::mem::take(&mut node.got);
    assert_eq!(got.len() as u64, messages);
    let (before, refused) = (node.stored, node.refused.len());
    let mut answers = 1;
    if in_transaction {
        node.run(vec![transact(TransactionAct::Begin)]);
        for part in got.chunks(200) {
            let mut claim = acknowledgement_of(CONSUMER, part, part.len() as u32);
            if let Command::Acknowledge(claim) = &mut claim {
                claim.transaction = Some(TransactionNumber(NonZeroU16::new(1).unwrap()));
                claim.request = Request::default();
            }
            node.run(vec![claim]);
        }
        node.run(vec![transact(TransactionAct::Commit)]);
    } else {
        answers = got.chunks(200).count();
        for part in got.chunks(200) {
            node.run(vec![acknowledgement_of(CONSUMER, part, part.len() as u32)]);
        }
    }
    node.turns(6_000);
    let answered = (node.stored - before) as usize + node.refused.len() - refused;
    assert_eq!(answered, answers, "it is committed or refused");
}

#[test]
fn plain_acknowledgements_drain_a_full_medium() {
    check(false, Node::new(3 * SEGMENT));
}

#[test]
fn a_large_commit_on_a_full_medium_is_answered() {
    check(true, Node::new(3 * SEGMENT));
}

#[test]
fn a_large_commit_on_a_full_budget_is_answered() {
    check(true, Node::within(1 << 30, 12 * SEGMENT, 256 << 20));
}

#[test]
fn plain_acknowledgements_drain_a_full_budget() {
    check(false, Node::within(1 << 30, 12 * SEGMENT, 256 << 20));
}

fn of(number: u16, act: TransactionAct) -> Command {
    let transaction = TransactionNumber(NonZeroU16::new(number).unwrap());
    Command::Transact(Transact { connection: CONNECTION, request: Request::new(Token(77), false), transaction, act })
}

fn claim(got: &[postrider_model::Sequence], number: u16) -> Command {
    let mut claim = acknowledgement_of(CONSUMER, got, got.len() as u32);
    if let Command::Acknowledge(claim) = &mut claim {
        claim.transaction = Some(TransactionNumber(NonZeroU16::new(number).unwrap()));
        claim.request = Request::default();
    }
    claim
}

/// What a rollback gives back is not in flight when the bound of its batch is looked at.
#[test]
fn a_rollback_and_a_commit_of_the_same_in_one_batch() {
    let mut node = Node::new(1 << 30);
    for _ in 0..120 {
        let mut batch = CommandBatch::default();
        for _ in 0..50 {
            node.add_send(&mut batch, (0, 0), 10, true, true);
        }
        node.push(batch);
    }
    node.consume();
    node.turns(200);
    let got = std::mem::take(&mut node.got);
    assert_eq!(got.len(), 6_000);
    node.run(vec![of(1, TransactionAct::Begin)]);
    node.run(vec![claim(&got, 1)]);
    // Of 3,000, so that the batch is handled in one turn.
    let some = &got[..3_000];
    node.run(vec![of(1, TransactionAct::RollBack)]);
    node.run(vec![of(1, TransactionAct::Begin)]);
    node.run(vec![claim(&got[3_000..], 1)]);
    node.run(vec![of(2, TransactionAct::Begin)]);
    node.run(vec![claim(some, 2)]);
    node.run(vec![
        of(2, TransactionAct::RollBack),
        of(3, TransactionAct::Begin),
        claim(&some[..900], 3),
        of(3, TransactionAct::Commit),
    ]);
    assert_eq!(node.turn.broker().statistics().messages, 5_100);
}

/// What names more than it counts makes what follows in its batch larger than it was bounded: that is bounded again, and goes on.
#[test]
fn a_batch_that_outgrows_its_bounds_goes_on_in_the_same_turn() {
    const CLAIMS: usize = 100;
    let mut node = Node::new(1 << 30);
    for _ in 0..CLAIMS {
        let mut batch = CommandBatch::default();
        (0..2).for_each(|_| node.add_send(&mut batch, (0, 0), 10, true, true));
        node.push(batch);
    }
    node.consume();
    node.turns(50);
    let got = std::mem::take(&mut node.got);
    assert_eq!(got.len(), 2 * CLAIMS);
    node.run(vec![of(1, TransactionAct::Begin)]);
    let mut commands: Vec<Command> = got.chunks(2).map(|pair| claim(pair, 1)).collect();
    for command in &mut commands {
        let Command::Acknowledge(claim) = command else { unreachable!() };
        claim.count = 1;
    }
    commands.push(of(1, TransactionAct::Commit));
    node.hand_over(CommandBatch { commands, ..CommandBatch::default() });
    node.turns(2);
    assert_eq!(node.turn.broker().statistics().messages, 0);
}
