//! Transactions as a session hands them up: by numbers, and never without one that was named.

use postrider_model::command::*;
use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::*;

use crate::client::*;

const BEGIN: i8 = 0;
const COMMIT: i8 = 2;
const ROLLBACK: i8 = 4;

fn id(value: i64) -> std::sync::Arc<Structure> {
    let id = Structure::new(&local_transaction_id::DEFINITION)
        .with(local_transaction_id::CONNECTION_ID, connection("ID:c"))
        .with(local_transaction_id::VALUE, value);
    id.shared()
}

fn info(kind: i8, value: i64) -> Structure {
    Structure::new(&transaction_info::DEFINITION)
        .with(transaction_info::CONNECTION_ID, connection("ID:c"))
        .with(transaction_info::TRANSACTION_ID, id(value))
        .with(transaction_info::TYPE, kind)
}

fn wanted(structure: Structure) -> Structure {
    structure.with(base_command::RESPONSE_REQUIRED, true)
}

/// What belongs to which transaction, and what becomes of it.
fn said(commands: &[Command]) -> Vec<String> {
    let number =
        |transaction: Option<postrider_model::TransactionNumber>| transaction.map_or(0, |number| number.0.get());
    let say = |command: &Command| match command {
        Command::Publish(publish) => Some(format!("send {}", number(publish.transaction))),
        Command::Acknowledge(acknowledge) => Some(format!("acknowledge {}", number(acknowledge.transaction))),
        Command::Transact(transact) => Some(format!("{:?} {}", transact.act, transact.transaction.0)),
        _ => None,
    };
    commands.iter().filter_map(say).collect()
}

#[test]
fn what_belongs_to_a_transaction_says_its_number_in_every_format() {
    for (format, mut client) in Client::of_every_format() {
        client.commands();
        client.send(&info(BEGIN, 7));
        client.send(&message(1, 1, "q").with(message::TRANSACTION_ID, id(7)));
        client.send(&info(BEGIN, 8));
        for sequence in 2..4 {
            client.send(&message(1, sequence, "q").with(message::TRANSACTION_ID, id(7)));
            client.send(&message(1, sequence, "q").with(message::TRANSACTION_ID, id(8)));
            client.send(&message(2, sequence, "q"));
            client.send(&acknowledgement(1, 2, None, 5, 1).with(message_ack::TRANSACTION_ID, id(8)));
        }
        client.send(&wanted(info(COMMIT, 7)));
        client.send(&info(BEGIN, 9));
        client.send(&message(1, 9, "q").with(message::TRANSACTION_ID, id(9)));
        client.send(&wanted(info(ROLLBACK, 8)));
        let both = ["send 1", "send 2", "send 0", "acknowledge 2"];
        let expected =
            [&["Begin 1", "send 1", "Begin 2"][..], &both, &both, &["Commit 1", "Begin 1", "send 1", "RollBack 2"]];
        assert_eq!(said(&client.commands()), expected.concat(), "{format}");
    }
}

#[test]
fn nothing_is_taken_that_names_a_transaction_which_is_not_there() {
    let mut client = Client::opened();
    let missing = |value: i64| format!("Transaction 'TX:ID:c:{value}' has not been started.");
    client.send(&info(BEGIN, 1));
    client.send(&wanted(info(COMMIT, 1)));
    client.commands();
    for value in [1, 2] {
        let sends = [
            message(1, 1, "q").with(message::TRANSACTION_ID, id(value)),
            acknowledgement(1, 2, None, 1, 1).with(message_ack::TRANSACTION_ID, id(value)),
            info(COMMIT, value),
            info(ROLLBACK, value),
        ];
        for send in sends {
            client.send(&send);
            client.expect_exception("javax.jms.JMSException", &missing(value));
            client.send(&wanted(send));
            client.expect_exception("javax.jms.JMSException", &missing(value));
        }
    }
    client.send(&message(1, 1, "q").with(message::TRANSACTION_ID, transaction("ID:other")));
    client.expect_exception("javax.jms.JMSException", "Transaction 'TX:ID:other:0' has not been started.");
    assert_eq!(said(&client.commands()), [""; 0]);
    client.send(&info(BEGIN, 3));
    for (kind, text) in [(9, "TransactionInfo of type 9"), (3, "TransactionInfo of type 3 for TX:ID:c:3")] {
        client.send(&wanted(info(kind, 3)));
        client.expect_exception("javax.jms.JMSException", text);
    }
    client.send(&wanted(Structure::new(&transaction_info::DEFINITION)));
    client.expect_exception("java.lang.IllegalStateException", "the TransactionInfo has no transaction id");
}

/// A failover client says all of an open transaction again, and then each command that was not answered.
#[test]
fn one_that_has_begun_begins_once_and_is_answered() {
    let mut client = Client::opened();
    client.send(&info(BEGIN, 1));
    client.send(&message(1, 1, "q").with(message::TRANSACTION_ID, id(1)));
    client.send(&info(BEGIN, 1));
    assert_eq!(said(&client.commands()), ["Begin 1", "send 1"]);
    client.send(&wanted(info(BEGIN, 1)));
    let commands = client.commands();
    assert!(matches!(commands[..], [Command::Synchronize { .. }]), "{commands:?}");
    client.send(&wanted(info(COMMIT, 1)));
    assert_eq!(said(&client.commands()), ["Commit 1"]);
    assert!(client.read().is_empty(), "nothing is refused");
}

#[test]
fn what_is_refused_dooms_its_transaction() {
    let mut client = Client::opened();
    client.send(&info(BEGIN, 1));
    client.send(&message(1, 1, " ").with(message::TRANSACTION_ID, id(1)));
    client.expect_exception("javax.jms.InvalidDestinationException", "the destination's name is");
    client.send(&acknowledgement(1, 99, None, 1, 1).with(message_ack::TRANSACTION_ID, id(1)));
    client.expect_exception("javax.jms.JMSException", "99 is not a type of acknowledgement");
    client.send(&wanted(info(COMMIT, 1)));
    assert_eq!(said(&client.commands()), ["Begin 1", "Doom 1", "Doom 1", "Commit 1"]);
}

#[test]
fn as_many_as_there_are_numbers_may_be_open() {
    let mut client = Client::opened();
    for value in 0..65_535 {
        client.send(&info(BEGIN, value));
        assert_eq!(client.commands().len(), 1);
    }
    client.send(&wanted(info(BEGIN, 70_000)));
    client.expect_exception("javax.jms.ResourceAllocationException", "the connection has 65535 open transactions");
    client.send(&wanted(info(ROLLBACK, 500)));
    client.send(&info(BEGIN, 70_000));
    assert_eq!(said(&client.commands()), ["RollBack 501", "Begin 501"]);
}
