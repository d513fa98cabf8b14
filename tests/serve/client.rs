//! A client that says what the test wants, frame by frame.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Offer, Settings, Structure, Value, WireFormat, WriterPolicy};

const FRAME_BYTES: i64 = 100 << 20;

/// What is written at a time of what nobody waits for.
const WRITE_BYTES: usize = 64 << 10;

/// Types of a TransactionInfo.
pub const BEGIN: i8 = 0;
pub const COMMIT: i8 = 2;
pub const ROLLBACK: i8 = 4;

pub struct Client {
    pub socket: TcpStream,
    reader: BufReader<TcpStream>,
    unwritten: Vec<u8>,
    format: WireFormat,
    id: String,
    commands: i32,
}

impl Client {
    /// A connection whose ConnectionInfo the broker has accepted.
    pub fn connect(address: SocketAddr, id: &str) -> Client {
        let mut client = Client::stranger(address, id);
        let answer = client.ask(&client.introduction());
        assert!(answer.is_some_and(|answer| answer.is(&response::DEFINITION)), "{id} is accepted");
        client
    }

    /// A connection that has agreed on the format and said nothing else.
    pub fn stranger(address: SocketAddr, id: &str) -> Client {
        let socket = TcpStream::connect(address).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        socket.set_nodelay(true).expect("a setting of the socket");
        let offer = Offer { cache_enabled: false, max_inactivity_duration: 0, ..Offer::of_broker(FRAME_BYTES) };
        let settings = offer.agree(&Offer::of_broker(FRAME_BYTES)).expect("they agree").settings();
        let reader = BufReader::with_capacity(256 << 10, socket.try_clone().expect("a second handle"));
        let mut client = Client {
            socket,
            reader,
            unwritten: Vec::new(),
            format: WireFormat::new(Settings { tight: false, ..settings }, WriterPolicy::Cheap),
            id: id.into(),
            commands: 0,
        };
        client.send(&offer.write());
        client
    }

    /// The ConnectionInfo.
    pub fn introduction(&self) -> Structure {
        let id = Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, &*self.id);
        Structure::new(&connection_info::DEFINITION)
            .with(connection_info::CONNECTION_ID, id)
            .with(connection_info::CLIENT_ID, &*self.id)
    }

    /// A persistent message to a queue.
    pub fn message(&self, queue: &str, sequence: i64, content: &[u8]) -> Structure {
        let producer = Structure::new(&producer_id::DEFINITION)
            .with(producer_id::CONNECTION_ID, &*self.id)
            .with(producer_id::SESSION_ID, 1_i64)
            .with(producer_id::VALUE, 1_i64);
        let id = Structure::new(&message_id::DEFINITION)
            .with(message_id::PRODUCER_ID, producer.clone())
            .with(message_id::PRODUCER_SEQUENCE_ID, sequence);
        let destination = self::queue(queue);
        Structure::new(&active_mq_bytes_message::DEFINITION)
            .with(message::PRODUCER_ID, producer)
            .with(message::MESSAGE_ID, id)
            .with(message::DESTINATION, destination)
            .with(message::PERSISTENT, true)
            .with(message::CONTENT, Value::bytes(content))
    }

    /// Sends a frame that wants no answer.
    pub fn send(&mut self, structure: &Structure) {
        self.put(structure);
        self.flush();
    }

    /// Sends a frame with those that follow it, at the latest before something is read.
    pub fn put(&mut self, structure: &Structure) {
        self.format.encode(structure, &mut self.unwritten).expect("the client's own frame");
        if self.unwritten.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        self.socket.write_all(&self.unwritten).expect("the broker reads");
        self.unwritten.clear();
    }

    /// Sends a command that wants an answer and reads it; None: the connection ended.
    pub fn ask(&mut self, structure: &Structure) -> Option<Structure> {
        self.commands += 1;
        let command =
            structure.clone().with(base_command::COMMAND_ID, self.commands).with(base_command::RESPONSE_REQUIRED, true);
        self.send(&command);
        loop {
            let frame = self.read().ok()?;
            let correlated = frame.is(&response::DEFINITION) || frame.is(&exception_response::DEFINITION);
            if correlated && frame.int(response::CORRELATION_ID) == self.commands {
                return Some(frame);
            }
        }
    }

    /// The next frame.
    pub fn read(&mut self) -> io::Result<Structure> {
        if !self.unwritten.is_empty() {
            self.flush();
        }
        loop {
            let mut size = [0; 4];
            self.reader.read_exact(&mut size)?;
            let mut frame = vec![0; u32::from_be_bytes(size) as usize];
            self.reader.read_exact(&mut frame)?;
            if let Some(structure) = self.format.decode(&frame).expect("the broker's own frame") {
                return Ok(structure);
            }
        }
    }

    /// The next message that a consumer gets.
    pub fn next(&mut self) -> Arc<Structure> {
        loop {
            let frame = self.read().expect("a message");
            assert!(!frame.is(&exception_response::DEFINITION), "{frame:?}");
            if frame.is(&message_dispatch::DEFINITION) {
                return frame.object(message_dispatch::MESSAGE).expect("a message").clone();
            }
        }
    }

    /// A SessionInfo; its consumers are those of [`Client::consumer`].
    pub fn session(&self) -> Structure {
        let session = Structure::new(&session_id::DEFINITION)
            .with(session_id::CONNECTION_ID, &*self.id)
            .with(session_id::VALUE, 1_i64);
        Structure::new(&session_info::DEFINITION).with(session_info::SESSION_ID, session)
    }

    pub fn consumer(&self, value: i64) -> Structure {
        Structure::new(&consumer_id::DEFINITION)
            .with(consumer_id::CONNECTION_ID, &*self.id)
            .with(consumer_id::SESSION_ID, 1_i64)
            .with(consumer_id::VALUE, value)
    }

    /// A ConsumerInfo.
    pub fn consume(&self, value: i64, destination: Structure, prefetch: i32) -> Structure {
        Structure::new(&consumer_info::DEFINITION)
            .with(consumer_info::CONSUMER_ID, self.consumer(value))
            .with(consumer_info::DESTINATION, destination)
            .with(consumer_info::PREFETCH_SIZE, prefetch)
    }

    /// A RemoveInfo.
    pub fn close(&self, value: i64) -> Structure {
        Structure::new(&remove_info::DEFINITION)
            .with(remove_info::OBJECT_ID, self.consumer(value))
            .with(remove_info::LAST_DELIVERED_SEQUENCE_ID, -1_i64)
    }

    /// A MessageAck for what a consumer has had from the first of these ids to the last.
    pub fn acknowledge(&self, value: i64, destination: Structure, ids: &[Arc<Structure>]) -> Structure {
        Structure::new(&message_ack::DEFINITION)
            .with(message_ack::CONSUMER_ID, self.consumer(value))
            .with(message_ack::DESTINATION, destination)
            .with(message_ack::ACK_TYPE, 2_i8)
            .with(message_ack::FIRST_MESSAGE_ID, ids.first().cloned())
            .with(message_ack::LAST_MESSAGE_ID, ids.last().cloned())
            .with(message_ack::MESSAGE_COUNT, ids.len() as i32)
    }

    /// A LocalTransactionId.
    pub fn transaction(&self, value: i64) -> Structure {
        let connection = Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, &*self.id);
        Structure::new(&local_transaction_id::DEFINITION)
            .with(local_transaction_id::CONNECTION_ID, connection)
            .with(local_transaction_id::VALUE, value)
    }

    /// A TransactionInfo.
    pub fn transact(&self, value: i64, kind: i8) -> Structure {
        let connection = Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, &*self.id);
        Structure::new(&transaction_info::DEFINITION)
            .with(transaction_info::CONNECTION_ID, connection)
            .with(transaction_info::TRANSACTION_ID, self.transaction(value))
            .with(transaction_info::TYPE, kind)
    }
}

pub fn queue(name: &str) -> Structure {
    Structure::new(&active_mq_queue::DEFINITION).with(active_mq_queue::PHYSICAL_NAME, name)
}

pub fn topic(name: &str) -> Structure {
    Structure::new(&active_mq_topic::DEFINITION).with(active_mq_topic::PHYSICAL_NAME, name)
}

/// Commands that want an answer are refused by none.
pub fn agreed(answer: Option<Structure>) {
    let answer = answer.expect("the connection goes on");
    assert!(answer.is(&response::DEFINITION), "{answer:?}");
}
