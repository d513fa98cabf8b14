//! A client for tests of what stands above the protocols. It speaks one of them, which is not the point there.

use postrider_model::limits;

use crate::openwire::schema::*;
use crate::openwire::{Offer, Settings, Structure, Value, WireFormat, WriterPolicy};
use crate::session::{Profile, Protocol};

/// What it speaks.
pub const PROTOCOL: Protocol = Protocol::OpenWire;

/// Writes the frames of clients; those that belong to connections name them by numbers.
#[derive(Clone, Copy)]
pub struct Frames {
    max_frame_bytes: i64,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::up_to(limits::MAX_FRAME_BYTES)
    }
}

impl Frames {
    /// For a broker that takes frames up to this size.
    #[must_use]
    pub fn up_to(max_frame_bytes: u64) -> Frames {
        Frames { max_frame_bytes: i64::try_from(max_frame_bytes).unwrap_or(i64::MAX) }
    }

    /// What such a broker says about itself.
    #[must_use]
    pub fn profile(self) -> Profile {
        Profile {
            broker_id: "b".into(),
            broker_name: "b".into(),
            broker_url: "".into(),
            hash_seed: 1,
            openwire: Offer::of_broker(self.max_frame_bytes),
        }
    }

    /// A connection begins. It needs no answer.
    #[must_use]
    pub fn introduction(self, connection: u32) -> Vec<u8> {
        let info = Structure::new(&connection_info::DEFINITION)
            .with(connection_info::CONNECTION_ID, connection_id(connection))
            .with(connection_info::CLIENT_ID, format!("c{connection}").as_str());
        let greeting = encoded(Settings::initial(1 << 20), &Offer::of_broker(self.max_frame_bytes).write());
        [greeting, self.encoded(&info)].concat()
    }

    /// The client says goodbye.
    #[must_use]
    pub fn goodbye(self) -> Vec<u8> {
        self.encoded(&Structure::new(&shutdown_info::DEFINITION))
    }

    /// Nothing but a sign of life, which wants no answer.
    #[must_use]
    pub fn sign_of_life(self) -> Vec<u8> {
        self.encoded(&Structure::new(&keep_alive_info::DEFINITION))
    }

    /// A request with this number that has nothing to do but to be answered.
    #[must_use]
    pub fn request(self, number: i32) -> Vec<u8> {
        self.encoded(&asked(Structure::new(&flush_command::DEFINITION), number))
    }

    /// A message with so much in it, however little the broker takes.
    #[must_use]
    pub fn message(self, bytes: usize) -> Vec<u8> {
        let message =
            Structure::new(&active_mq_message::DEFINITION).with(message::CONTENT, Value::bytes(&vec![7; bytes]));
        encoded(Settings { max_frame_size: 2 * bytes, ..self.settings() }, &message)
    }

    /// The connection's one session begins.
    #[must_use]
    pub fn open_session(self, connection: u32) -> Vec<u8> {
        self.encoded(&Structure::new(&session_info::DEFINITION).with(session_info::SESSION_ID, session_id(connection)))
    }

    /// A consumer of the session begins.
    #[must_use]
    pub fn open_consumer(self, connection: u32, value: i64) -> Vec<u8> {
        let queue = Structure::new(&active_mq_queue::DEFINITION).with(active_mq_queue::PHYSICAL_NAME, "q");
        let info =
            Structure::new(&consumer_info::DEFINITION).with(consumer_info::CONSUMER_ID, consumer_id(connection, value));
        self.encoded(&info.with(consumer_info::DESTINATION, queue))
    }

    /// A consumer of the session is done with a message.
    #[must_use]
    pub fn acknowledge(self, connection: u32, value: i64) -> Vec<u8> {
        let ack =
            Structure::new(&message_ack::DEFINITION).with(message_ack::CONSUMER_ID, consumer_id(connection, value));
        self.encoded(&ack.with(message_ack::ACK_TYPE, STANDARD).with(message_ack::MESSAGE_COUNT, 1))
    }

    /// A producer of the session begins.
    #[must_use]
    pub fn open_producer(self, connection: u32, value: i64) -> Vec<u8> {
        let id = Structure::new(&producer_id::DEFINITION)
            .with(producer_id::CONNECTION_ID, name(connection).as_str())
            .with(producer_id::SESSION_ID, SESSION)
            .with(producer_id::VALUE, value);
        self.encoded(&Structure::new(&producer_info::DEFINITION).with(producer_info::PRODUCER_ID, id))
    }

    /// The session goes, with its members; the client waits for the answer to this number.
    #[must_use]
    pub fn remove_session(self, connection: u32, number: i32) -> Vec<u8> {
        self.remove(session_id(connection), number)
    }

    /// A consumer of the session goes; the client waits for the answer to this number.
    #[must_use]
    pub fn remove_consumer(self, connection: u32, value: i64, number: i32) -> Vec<u8> {
        self.remove(consumer_id(connection, value), number)
    }

    /// The connection goes; the client waits for the answer to this number.
    #[must_use]
    pub fn remove_connection(self, connection: u32, number: i32) -> Vec<u8> {
        self.remove(connection_id(connection), number)
    }

    fn remove(self, id: Structure, number: i32) -> Vec<u8> {
        self.encoded(&asked(Structure::new(&remove_info::DEFINITION).with(remove_info::OBJECT_ID, id), number))
    }

    #[expect(clippy::expect_used, reason = "for tests")]
    fn settings(self) -> Settings {
        let offer = Offer::of_broker(self.max_frame_bytes);
        offer.agree(&offer).expect("who offers the same agrees").settings()
    }

    fn encoded(self, structure: &Structure) -> Vec<u8> {
        encoded(self.settings(), structure)
    }
}

/// Number of the one session of each connection.
const SESSION: i64 = 1;

/// The kind of acknowledgement of who is done with a message.
const STANDARD: i8 = 2;

fn name(connection: u32) -> String {
    format!("ID:{connection}")
}

fn connection_id(connection: u32) -> Structure {
    Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, name(connection).as_str())
}

fn session_id(connection: u32) -> Structure {
    Structure::new(&session_id::DEFINITION)
        .with(session_id::CONNECTION_ID, name(connection).as_str())
        .with(session_id::VALUE, SESSION)
}

fn consumer_id(connection: u32, value: i64) -> Structure {
    Structure::new(&consumer_id::DEFINITION)
        .with(consumer_id::CONNECTION_ID, name(connection).as_str())
        .with(consumer_id::SESSION_ID, SESSION)
        .with(consumer_id::VALUE, value)
}

fn asked(structure: Structure, number: i32) -> Structure {
    structure.with(base_command::COMMAND_ID, number).with(base_command::RESPONSE_REQUIRED, true)
}

#[expect(clippy::expect_used, reason = "for tests")]
fn encoded(settings: Settings, structure: &Structure) -> Vec<u8> {
    let mut bytes = Vec::new();
    WireFormat::new(settings, WriterPolicy::Cheap).encode(structure, &mut bytes).expect("it can be written");
    bytes
}
