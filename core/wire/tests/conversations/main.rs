//! Sessions against the recorded conversations of ActiveMQ's client and broker: the client's frames go to a session, a small
//! broker answers its commands, and what the session writes is compared with what ActiveMQ's broker wrote.

mod broker;
mod recording;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::rc::Rc;

use broker::Broker;
use postrider_model::{ConnectionHandle, Now};
use postrider_wire::openwire::schema::{self, *};
use postrider_wire::openwire::{Offer, Structure};
use postrider_wire::session::{Handles, Next, Profile, Protocol, Session};
use recording::{Reader, Recording, dispatched, message_id_text, offer};

/// What a session wrote for each of its client's frames.
struct Played {
    answers: HashMap<u64, Vec<Structure>>,
    broker: Broker,
    handles: Handles,
    closed: Vec<u64>,
}

/// Feeds the client's frames, cut into pieces of `step` bytes, to sessions before the small broker.
fn play(recording: &Recording, step: usize) -> Played {
    let mut sessions: HashMap<u64, (Session, Reader, Offer)> = HashMap::new();
    let mut played = Played {
        answers: HashMap::new(),
        broker: Broker::new(recording.oracle()),
        handles: Handles::default(),
        closed: Vec::new(),
    };
    for line in recording.lines.iter().filter(|line| line.is_from_client) {
        let now = Now { nanos: line.millis * 1_000_000, unix_millis: 1_700_000_000_000 + line.millis as i64 };
        let connection = handle(line.connection);
        for (number, (session, reader, own)) in &mut sessions {
            let structures = reader.read(&ticks(session, now), own);
            played.answers.entry(*number).or_default().extend(structures);
        }
        let mut output = Vec::new();
        let (session, ..) = sessions.entry(line.connection).or_insert_with(|| {
            let profile = profile(recording.offers[&line.connection].clone());
            let session = Session::new(Protocol::OpenWire, connection, "127.0.0.1:1", profile, now, &mut output);
            (session, Reader::default(), offer(&line.frame))
        });
        for mut piece in line.frame.chunks(step) {
            let next =
                session.received(&mut piece, u64::MAX, now, &mut played.handles, &mut played.broker.sink, &mut output);
            if next.unwrap() == Next::Close {
                session.closed(&mut played.broker.sink);
                session.let_go(u64::MAX, &mut played.handles);
                played.closed.push(line.connection);
            }
        }
        let mut outputs = HashMap::from([(connection, output)]);
        let mut by_handle: HashMap<ConnectionHandle, &mut Session> = HashMap::new();
        for (number, (session, ..)) in &mut sessions {
            by_handle.insert(handle(*number), session);
        }
        played.broker.work(now, &mut by_handle, &mut played.handles, &mut outputs);
        for (connection, output) in outputs {
            let (_, reader, own) = sessions.get_mut(&u64::from(connection.slot)).unwrap();
            let structures = reader.read(&output, own);
            played.answers.entry(u64::from(connection.slot)).or_default().extend(structures);
        }
    }
    played
}

fn handle(connection: u64) -> ConnectionHandle {
    ConnectionHandle { slot: connection as u32, generation: 7 }
}

/// What a session writes by itself until a moment.
fn ticks(session: &mut Session, until: Now) -> Vec<u8> {
    let mut written = Vec::new();
    while session.deadline() <= until.nanos {
        let mut output = Vec::new();
        session.tick(Now { nanos: session.deadline(), ..until }, &mut output).unwrap();
        written.append(&mut output);
    }
    written
}

fn profile(offer: Offer) -> Rc<Profile> {
    Rc::new(Profile {
        broker_id: "ID:test-1".into(),
        broker_name: "test".into(),
        broker_url: "tcp://127.0.0.1:61616".into(),
        openwire: offer,
        hash_seed: 1,
    })
}

/// Kinds in order, with what tells answers apart.
fn kinds(structures: &[Structure]) -> Vec<String> {
    structures.iter().filter(|structure| !is_advisory(structure)).map(kind).collect()
}

fn kind(structure: &Structure) -> String {
    let name = structure.definition.name;
    match structure.code() {
        30..=34 => format!("{name} {}", structure.int(schema::response::CORRELATION_ID)),
        21 => {
            let consumer = structure.object(message_dispatch::CONSUMER_ID).unwrap().long(consumer_id::VALUE);
            let message = dispatched(structure).map(message_id_text);
            format!("{name} to {consumer}: {message:?} {}", structure.int(message_dispatch::REDELIVERY_COUNTER))
        }
        19 => format!("{name} {}", structure.int(producer_ack::SIZE)),
        _ => name.to_owned(),
    }
}

/// The small broker publishes none.
fn is_advisory(structure: &Structure) -> bool {
    dispatched(structure).is_some_and(|message| message.string(message::TYPE) == Some(b"Advisory"))
}

fn sorted(mut kinds: Vec<String>) -> Vec<String> {
    kinds.sort();
    kinds
}

/// All that ActiveMQ's broker wrote was written, if not in the same order.
fn assert_same_answers(recording: &Recording, played: &Played) {
    for (connection, expected) in &recording.expected {
        let title = format!("{} connection {connection}", recording.name);
        let answers = &played.answers[connection];
        assert_eq!(sorted(kinds(answers)), sorted(kinds(expected)), "{title}");
        assert_same_messages(answers, expected, &title);
    }
}

/// The same messages in the same order, field by field.
fn assert_same_messages(answers: &[Structure], expected: &[Structure], title: &str) {
    let messages = |structures: &[Structure]| -> Vec<Structure> {
        structures.iter().filter(|structure| !is_advisory(structure)).filter_map(dispatched).map(normalized).collect()
    };
    for (answer, expected) in messages(answers).iter().zip(&messages(expected)) {
        assert_eq!(answer, expected, "{title}");
    }
}

/// A message without what every broker writes in its own way.
fn normalized(message: &Structure) -> Structure {
    message
        .clone()
        .with(message::COMMAND_ID, 0)
        .with(message::RESPONSE_REQUIRED, false)
        .with(message::BROKER_IN_TIME, 0i64)
        .with(message::BROKER_OUT_TIME, 0i64)
        // Nobody is told in which transaction it was sent.
        .with(message::TRANSACTION_ID, None)
        // ActiveMQ's store sets it on what it wrote asynchronously.
        .with(message::RECIEVED_BY_DF_BRIDGE, false)
        // Events do not say it yet.
        .with(message::JMSX_GROUP_FIRST_FOR_CONSUMER, false)
}

#[test]
fn a_whole_conversation_is_answered_as_recorded() {
    for name in ["queue_auto", "loose_nocache", "version1", "version6"] {
        let recording = Recording::read(name);
        for step in [1, 3, 100, usize::MAX] {
            let played = play(&recording, step);
            assert_same_answers(&recording, &played);
            assert_eq!(played.closed, [0], "{name}");
            assert!(played.handles.is_empty(), "{name}");
        }
    }
}

#[test]
fn other_features_are_answered_as_recorded() {
    let names = [
        "ack_modes",
        "pull_prefetch0",
        "request_reply",
        "topic_nolocal",
        "small_cache",
        "keepalive",
        "producer_window",
        "queue_browser",
        "all_messages",
        "advisories",
        "transacted",
        "xa",
    ];
    for name in names {
        let recording = Recording::read(name);
        assert_same_answers(&recording, &play(&recording, usize::MAX));
    }
}

#[test]
fn a_poisoned_message_says_why() {
    let recording = Recording::read("client_ack_dlq");
    let played = play(&recording, usize::MAX);
    assert_eq!(sorted(kinds(&played.answers[&0])), sorted(kinds(&recording.expected[&0])));
    // ActiveMQ puts the same text into a property of the dead letter.
    let dead_letter = recording.expected[&0].iter().filter_map(dispatched).next_back().unwrap();
    let properties = dead_letter.bytes(message::MARSHALLED_PROPERTIES).unwrap();
    let [cause] = &played.broker.causes[..] else { panic!("{:?}", played.broker.causes) };
    assert!(properties.windows(cause.len()).any(|window| window == cause.as_bytes()), "{cause}");
}

#[test]
fn advisories_tell_of_temporary_destinations_as_recorded() {
    let recording = Recording::read("request_reply");
    let played = play(&recording, usize::MAX);
    let told = |structures: &[Structure]| -> Vec<Structure> {
        let structures =
            structures.iter().filter_map(dispatched).filter_map(|message| message.object(message::DATA_STRUCTURE));
        let infos = structures.filter(|structure| structure.is(&destination_info::DEFINITION));
        // ActiveMQ leaves the client's own number in.
        let plain = |info: &Structure| {
            info.clone().with(destination_info::COMMAND_ID, 0).with(destination_info::RESPONSE_REQUIRED, false)
        };
        infos.map(|info| plain(info)).collect()
    };
    let mut count = 0;
    for (connection, expected) in &recording.expected {
        assert_eq!(told(&played.answers[connection]), told(expected), "connection {connection}");
        count += told(expected).len();
    }
    assert!(count >= 2, "{count} advisories");
}

/// The recorded client has a transaction open when its connection breaks.
#[test]
fn a_client_that_comes_back_is_answered_as_recorded() {
    let recording = Recording::read("failover");
    let played = play(&recording, usize::MAX);
    let expected = kinds(&recording.expected[&1]);
    assert_eq!(sorted(kinds(&played.answers[&1])), sorted(expected));
    assert_same_messages(&played.answers[&1], &recording.expected[&1], "failover");
}
