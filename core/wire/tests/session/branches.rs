//! Branches of XA as a session hands them up: by their names, and what is done in one by a number.

use std::sync::Arc;

use postrider_model::command::*;
use postrider_model::event::{BranchFailure, Failure, Vote};
use postrider_model::{Token, Xid};
use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Structure, Value};

use crate::client::*;

const BEGIN: i8 = 0;
const PREPARE: i8 = 1;
const COMMIT_ONE_PHASE: i8 = 2;
const COMMIT_TWO_PHASE: i8 = 3;
const ROLLBACK: i8 = 4;
const RECOVER: i8 = 5;
const FORGET: i8 = 6;
const END: i8 = 7;

const XA: &str = "javax.transaction.xa.XAException";

fn id_of(global: Option<&[u8]>, qualifier: Option<&[u8]>) -> Arc<Structure> {
    Structure::new(&xa_transaction_id::DEFINITION)
        .with(xa_transaction_id::FORMAT_ID, 86)
        .with(xa_transaction_id::GLOBAL_TRANSACTION_ID, Value::Bytes(global.map(Into::into)))
        .with(xa_transaction_id::BRANCH_QUALIFIER, Value::Bytes(qualifier.map(Into::into)))
        .shared()
}

fn id(name: u8) -> Arc<Structure> {
    id_of(Some(&[name]), Some(&[]))
}

fn info_of(kind: i8, id: Arc<Structure>) -> Structure {
    Structure::new(&transaction_info::DEFINITION)
        .with(transaction_info::CONNECTION_ID, connection("ID:c"))
        .with(transaction_info::TRANSACTION_ID, id)
        .with(transaction_info::TYPE, kind)
}

fn info(kind: i8, name: u8) -> Structure {
    info_of(kind, id(name))
}

fn wanted(structure: Structure) -> Structure {
    structure.with(base_command::RESPONSE_REQUIRED, true)
}

/// What is done in which branch, and what becomes of it.
fn said(commands: &[Command]) -> Vec<String> {
    let number =
        |transaction: Option<postrider_model::TransactionNumber>| transaction.map_or(0, |number| number.0.get());
    let say = |command: &Command| match command {
        Command::Publish(publish) => Some(format!("send {}", number(publish.transaction))),
        Command::Acknowledge(acknowledge) => Some(format!("acknowledge {}", number(acknowledge.transaction))),
        Command::Transact(transact) => Some(format!("{:?} {}", transact.act, transact.transaction.0)),
        Command::Branch(said) => Some(format!("{:?} {} of {}", said.act, number(said.number), said.xid.global()[0])),
        Command::Recover { .. } => Some("Recover".to_owned()),
        _ => None,
    };
    commands.iter().filter_map(say).collect()
}

#[test]
fn what_belongs_to_a_branch_says_its_number_in_every_format() {
    for (format, mut client) in Client::of_every_format() {
        client.commands();
        client.read();
        client.send(&info(BEGIN, 7));
        client.send(&info(BEGIN, 8));
        for sequence in 1..4 {
            client.send(&message(1, sequence, "q").with(message::TRANSACTION_ID, id(7)));
            client.send(&acknowledgement(1, 2, None, 5, 1).with(message_ack::TRANSACTION_ID, id(8)));
            client.send(&message(1, sequence, "q"));
        }
        client.send(&wanted(info(END, 8)));
        client.send(&info(BEGIN, 7));
        client.send(&wanted(info(END, 7)));
        client.send(&message(1, 9, "q").with(message::TRANSACTION_ID, id(7)));
        client.send(&wanted(info(END, 7)));
        client.send(&wanted(info(END, 7)));
        let each = ["send 1", "acknowledge 2", "send 0"];
        let expected = [
            &["Begin 1 of 7", "Begin 2 of 8"][..],
            &each,
            &each,
            &each,
            &["End 2 of 8", "Begin 1 of 7", "End 0 of 7", "send 1", "End 1 of 7", "End 0 of 7"],
        ];
        assert_eq!(said(&client.commands()), expected.concat(), "{format}");
        assert!(client.read().is_empty());
    }
}

#[test]
fn any_connection_may_decide() {
    let mut client = Client::opened();
    for kind in [PREPARE, COMMIT_ONE_PHASE, COMMIT_TWO_PHASE, ROLLBACK, FORGET] {
        client.send(&wanted(info(kind, 1)));
    }
    client.send(&wanted(Structure::new(&transaction_info::DEFINITION).with(transaction_info::TYPE, RECOVER)));
    client.session.branches(Token(6), &[], &mut client.output).unwrap();
    client.read();
    client.send(&wanted(info(RECOVER, 1)));
    let decided = ["Prepare", "CommitOnePhase", "CommitTwoPhase", "RollBack", "RollBack"];
    let expected: Vec<String> = decided.iter().map(|act| format!("{act} 0 of 1")).collect();
    assert_eq!(said(&client.commands()), [&expected[..], &["Recover".into(), "Recover".into()]].concat());
    client.send(&info(BEGIN, 2));
    client.send(&wanted(info(PREPARE, 2)));
    client.send(&info(BEGIN, 3));
    assert_eq!(said(&client.commands()), ["Begin 1 of 2", "Prepare 1 of 2", "Begin 1 of 3"]);
}

#[test]
fn nothing_is_taken_that_names_a_branch_in_which_the_connection_does_not_work() {
    let mut client = Client::opened();
    client.send(&info(BEGIN, 1));
    client.send(&wanted(info(END, 1)));
    client.commands();
    let missing = "Transaction 'XID:[86,globalId=1,branchId=]' has not been started. xaErrorCode:-4";
    for sequence in 1..3 {
        let sends = [
            message(1, sequence, "q").with(message::TRANSACTION_ID, id(1)),
            acknowledgement(1, 2, None, 1, 1).with(message_ack::TRANSACTION_ID, id(1)),
        ];
        for send in sends {
            client.send(&send);
            assert!(client.expect_exception(XA, missing).is(&connection_error::DEFINITION));
            client.send(&wanted(send));
            assert!(client.expect_exception(XA, missing).is(&exception_response::DEFINITION));
        }
    }
    assert_eq!(said(&client.commands()), [""; 0]);
}

#[test]
fn names_that_cannot_be_are_refused() {
    let mut client = Client::opened();
    let long = "the XATransactionId: its global transaction id has 65 bytes, and 64 is the limit";
    let null = "the XATransactionId: a part of it is null: give it both xaErrorCode:-5";
    for kind in [BEGIN, PREPARE, COMMIT_ONE_PHASE, COMMIT_TWO_PHASE, ROLLBACK, FORGET, END, 9] {
        client.send(&wanted(info_of(kind, id_of(Some(&[1; 65]), Some(&[])))));
        client.expect_exception(XA, long);
        client.send(&wanted(info_of(kind, id_of(None, Some(&[])))));
        client.expect_exception(XA, null);
        client.send(&wanted(info_of(kind, id_of(Some(&[]), None))));
        client.expect_exception(XA, null);
    }
    client.send(&message(1, 1, "q").with(message::TRANSACTION_ID, id_of(Some(&[1; 65]), Some(&[]))));
    client.expect_exception(XA, long);
    client.send(&wanted(info(9, 1)));
    client.expect_exception("javax.jms.JMSException", "TransactionInfo of type 9: use 0 to 7");
    assert_eq!(said(&client.commands()), [""; 0]);
    client.send(&info_of(BEGIN, id_of(Some(&[1; 64]), Some(&[2; 64]))));
    assert_eq!(client.commands().len(), 1);
}

#[test]
fn what_is_refused_dooms_its_branch() {
    let mut client = Client::opened();
    client.send(&info(BEGIN, 1));
    client.send(&message(1, 1, " ").with(message::TRANSACTION_ID, id(1)));
    client.expect_exception("javax.jms.InvalidDestinationException", "the destination's name is");
    client.send(&wanted(info(PREPARE, 1)));
    assert_eq!(said(&client.commands()), ["Begin 1 of 1", "Doom 1", "Prepare 1 of 1"]);
}

#[test]
fn votes_and_lists_of_branches_are_answered_as_clients_read_them() {
    for (_, mut client) in Client::of_every_format() {
        client.read();
        answered(&mut client);
    }
}

fn answered(client: &mut Client) {
    for (vote, number) in [(Vote::Prepared, 0), (Vote::ReadOnly, 3)] {
        client.session.voted(Token(5), vote, &mut client.output).unwrap();
        let answer = &client.read()[0];
        assert!(answer.is(&integer_response::DEFINITION));
        assert_eq!(answer.int(integer_response::CORRELATION_ID), 5);
        assert_eq!(answer.int(integer_response::RESULT), number);
    }
    for count in [0, 1, 300] {
        let names: Vec<Xid> =
            (0..count).map(|name: u32| Xid::new(86, &name.to_le_bytes(), &[9; 64]).unwrap()).collect();
        client.session.branches(Token(6), &names, &mut client.output).unwrap();
        let answer = &client.read()[0];
        assert!(answer.is(&data_array_response::DEFINITION));
        let listed = answer.array(data_array_response::DATA).expect("never null");
        assert_eq!(listed.len(), count as usize);
        for (listed, name) in listed.iter().flatten().zip(&names) {
            assert_eq!(listed.int(xa_transaction_id::FORMAT_ID), 86);
            assert_eq!(listed.bytes(xa_transaction_id::GLOBAL_TRANSACTION_ID), Some(name.global()));
            assert_eq!(listed.bytes(xa_transaction_id::BRANCH_QUALIFIER), Some(name.qualifier()));
        }
    }
}

/// The answer may have megabytes: whoever asks a thousand times and reads nothing has one of them.
#[test]
fn who_has_not_read_which_branches_there_are_is_not_told_again() {
    let mut client = Client::opened();
    let why = "the connection has asked which branches are prepared and has not read the answer";
    let names: Vec<Xid> = (0..10_000u32).map(|name| Xid::new(86, &name.to_le_bytes(), &[9; 64]).unwrap()).collect();
    client.send(&info(RECOVER, 1));
    assert!(client.commands().is_empty(), "who wants no answer asks nothing");
    for unread in [false, true, false] {
        if unread {
            client.output.resize(postrider_model::limits::UNSENT_BYTES + 1, 0);
        } else {
            client.send(&wanted(info(RECOVER, 1)));
            assert_eq!(said(&client.commands()), ["Recover"]);
        }
        for _ in 0..2 {
            let before = client.output.len();
            client.send(&wanted(info(RECOVER, 1)));
            assert!(client.output.len() - before < 500);
            assert!(client.commands().is_empty());
            let at = if unread { before } else { 0 };
            assert!(client.output[at..].windows(why.len()).any(|text| text == why.as_bytes()));
        }
        client.output.clear();
        client.session.branches(Token(6), &names, &mut client.output).unwrap();
        assert_eq!(client.read()[0].array(data_array_response::DATA).unwrap().len(), 10_000);
    }
}

/// A client that takes smaller frames is told so, and its connection goes on.
#[test]
fn a_list_of_branches_that_a_client_does_not_take_is_refused() {
    let mut client = Client::with(|offer| offer.max_frame_size = 100_000);
    client.connect();
    client.open_all();
    client.read();
    let names: Vec<Xid> = (0..10_000u32).map(|name| Xid::new(86, &name.to_le_bytes(), &[9; 64]).unwrap()).collect();
    client.send(&wanted(info(RECOVER, 1)));
    client.session.branches(Token(6), &names, &mut client.output).unwrap();
    client.expect_exception(XA, "the names of 10000 branches that are prepared take");
    client.session.branches(Token(7), &names[..100], &mut client.output).unwrap();
    assert_eq!(client.read()[0].array(data_array_response::DATA).unwrap().len(), 100);
}

#[test]
fn a_branchs_failure_has_its_code_at_the_end_however_long_its_text_is() {
    let mut client = Client::opened();
    for (failure, code) in [
        (BranchFailure::Unknown, "xaErrorCode:-4"),
        (BranchFailure::Protocol, "xaErrorCode:-6"),
        (BranchFailure::Resource, "xaErrorCode:-3"),
        (BranchFailure::Invalid, "xaErrorCode:-5"),
        (BranchFailure::RolledBack, "xaErrorCode:100"),
    ] {
        client.fail(Some(4), Failure::Branch(failure), "why", None);
        client.expect_exception(XA, &format!("why {code}"));
        client.fail(Some(4), Failure::Branch(failure), &"x".repeat(5_000), None);
        let answer = client.expect_exception(XA, "xxx");
        let exception = answer.throwable(exception_response::EXCEPTION).unwrap();
        assert!(exception.message.as_deref().unwrap().ends_with(code.as_bytes()));
    }
}

#[test]
fn numbers_of_branches_and_of_transactions_are_the_same_ones() {
    let mut client = Client::opened();
    for name in 0..65_535u32 {
        client.send(&info_of(BEGIN, id_of(Some(&name.to_le_bytes()), Some(&[]))));
        assert_eq!(client.commands().len(), 1);
    }
    client.send(&wanted(info_of(BEGIN, id_of(Some(b"beyond"), Some(&[])))));
    client.expect_exception("javax.jms.ResourceAllocationException", "the connection has 65535 open transactions");
    client.send(&wanted(info_of(ROLLBACK, id_of(Some(&500u32.to_le_bytes()), Some(&[])))));
    client.send(&info_of(BEGIN, id_of(Some(b"beyond"), Some(&[]))));
    assert_eq!(said(&client.commands()), ["RollBack 501 of 244", "Begin 501 of 98"]);
}
