//! Members of a session or a connection go a few at a time.

use postrider_model::Command;
use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::{base_command, flush_command};
use postrider_wire::session::Next;

use crate::client::*;

/// Consumers of session 1, and producers, each.
const EACH: i64 = 50;

/// Members that may go in one call.
const A_CALL: usize = 8;

fn client() -> Client {
    let mut client = Client::with(|offer| offer.cache_enabled = false);
    client.connect();
    client.send(&session_info(1));
    for value in 1..=EACH {
        client.send(&producer_info(value, 0));
        client.send(&consumer_info(value, "q"));
    }
    client.commands();
    client.read();
    client
}

fn request(structure: Structure, number: i32) -> Structure {
    structure.with(base_command::COMMAND_ID, number).with(base_command::RESPONSE_REQUIRED, true)
}

fn answer_to(command: &Command) -> Option<u64> {
    match command {
        Command::Synchronize { request, .. } => Some(request.token().0),
        _ => None,
    }
}

#[test]
fn a_session_goes_a_few_members_a_call_and_what_follows_waits_unread() {
    let mut client = client();
    let removal = client.encode(&request(remove(&session(1), -2), 7));
    let again = [session_info(1), consumer_info(1, "q"), request(Structure::new(&flush_command::DEFINITION), 8)];
    let rest: Vec<u8> = again.iter().flat_map(|structure| client.encode(structure)).collect();
    let bytes = [removal, rest.clone()].concat();
    let (mut left, mut commands, mut calls) = (&bytes[..], Vec::new(), 0);
    let mut kept = u64::MAX;
    while client.try_receive_some(&mut left) == Ok(Next::Remove) {
        let some = client.commands();
        assert!(some.len() <= A_CALL && left.len() == rest.len(), "{} commands", some.len());
        assert!(client.handles.memory.taken() <= kept);
        kept = client.handles.memory.taken();
        commands.extend(some);
        calls += 1;
    }
    commands.extend(client.commands());
    assert_eq!(calls, 2 * EACH as usize / A_CALL);
    let answers: Vec<_> = commands.iter().filter_map(answer_to).collect();
    let closes = commands.iter().take_while(|command| answer_to(command).is_none()).count();
    assert_eq!((closes, answers, left.len()), (2 * EACH as usize, vec![7, 8], 0));
    let opens = commands.iter().filter(|command| matches!(command, Command::OpenConsumer(_))).count();
    assert_eq!((opens, client.handles.len()), (1, 1), "it is another one");
}

#[test]
fn a_connection_that_takes_its_leave_says_so_at_once_and_its_members_follow() {
    let mut client = client();
    let bytes = client.encode(&request(remove(&connection("ID:c"), -2), 7));
    let mut left = &bytes[..];
    assert_eq!(client.try_receive_some(&mut left), Ok(Next::Remove));
    let mut consumers = client.handles.len();
    assert!(EACH as usize - consumers <= A_CALL);
    assert!(matches!(client.commands()[..], [Command::CloseConnection { clean: true, .. }]));
    let info = client.encode(&connection_info("ID:c", Some("client")));
    let mut left = &info[..];
    while client.try_receive_some(&mut left) == Ok(Next::Remove) {
        assert!(consumers - client.handles.len() <= A_CALL, "a few at a time");
        assert_eq!(left.len(), info.len(), "the next connection waits for it");
        consumers = client.handles.len();
    }
    assert!(client.handles.is_empty() && left.is_empty());
    assert!(matches!(client.commands()[..], [Command::OpenConnection(_)]));
}

#[test]
fn a_socket_that_goes_in_the_middle_of_a_removal_ends_the_connection_once_and_all_is_let_go() {
    let ids = [session(1), connection("ID:c")];
    for (id, ends) in ids.iter().zip([1, 2]) {
        let mut client = client();
        let bytes = client.encode(&request(remove(id, -2), 7));
        assert_eq!(client.try_receive_some(&mut &bytes[..]), Ok(Next::Remove));
        client.break_off();
        let commands = client.commands();
        let told = commands.iter().filter(|command| matches!(command, Command::CloseConnection { .. })).count();
        assert_eq!(
            (told, commands.iter().filter_map(answer_to).count()),
            (ends, 0),
            "the broker passes over a second one"
        );
        let mut calls = 1;
        while client.session.let_go(10, &mut client.handles) == 10 {
            calls += 1;
        }
        assert!(calls >= 2 * (EACH as usize - A_CALL) / 10, "{calls} calls");
        assert_eq!((client.handles.len(), client.handles.memory.taken()), (0, 0));
    }
}

/// It was not counted when it came, and cached values may be all that is.
#[test]
fn the_session_that_every_connection_has_gives_nothing_back() {
    let mut client = Client::with(|_| {});
    client.connect();
    client.send(&session_info(-1));
    client.send(&remove(&session(-1), -2));
    client.send(&remove(&connection("ID:c"), -2));
    client.close();
    assert_eq!(client.handles.memory.taken(), 0);
}

#[test]
fn half_a_frame_goes_with_the_socket() {
    let mut client = client();
    let bytes = client.encode(&session_info(2));
    assert_eq!(client.try_receive_some(&mut &bytes[..bytes.len() - 1]), Ok(Next::Continue));
    assert!(client.session.half_frame_bytes() > 0);
    client.break_off();
    assert_eq!(client.session.half_frame_bytes(), 0);
}
