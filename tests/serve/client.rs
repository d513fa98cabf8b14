//! A client that says what the test wants, frame by frame.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::{Offer, Settings, Structure, Value, WireFormat, WriterPolicy};

const FRAME_BYTES: i64 = 100 << 20;

pub struct Client {
    pub socket: TcpStream,
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
        let offer = Offer { cache_enabled: false, max_inactivity_duration: 0, ..Offer::of_broker(FRAME_BYTES) };
        let settings = offer.agree(&Offer::of_broker(FRAME_BYTES)).expect("they agree").settings();
        let mut client = Client {
            socket,
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
        let destination = Structure::new(&active_mq_queue::DEFINITION).with(active_mq_queue::PHYSICAL_NAME, queue);
        Structure::new(&active_mq_bytes_message::DEFINITION)
            .with(message::PRODUCER_ID, producer)
            .with(message::MESSAGE_ID, id)
            .with(message::DESTINATION, destination)
            .with(message::PERSISTENT, true)
            .with(message::CONTENT, Value::bytes(content))
    }

    /// Sends a frame that wants no answer.
    pub fn send(&mut self, structure: &Structure) {
        let mut bytes = Vec::new();
        self.format.encode(structure, &mut bytes).expect("the client's own frame");
        self.socket.write_all(&bytes).expect("the broker reads");
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
        loop {
            let mut size = [0; 4];
            self.socket.read_exact(&mut size)?;
            let mut frame = vec![0; u32::from_be_bytes(size) as usize];
            self.socket.read_exact(&mut frame)?;
            if let Some(structure) = self.format.decode(&frame).expect("the broker's own frame") {
                return Ok(structure);
            }
        }
    }
}
