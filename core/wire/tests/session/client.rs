//! A client in memory: structures in, commands and structures out.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use postrider_model::command::*;
use postrider_model::event::{Failure, Refused};
use postrider_model::modified_utf8;
use postrider_model::record::Tag;
use postrider_model::{CommandBatch, ConnectionHandle, ConsumerHandle, Destination, MessageView, Now, Token, limits};
use postrider_wire::openwire::schema::*;
use postrider_wire::openwire::session::OpenWireError;
use postrider_wire::openwire::{Offer, Settings, Structure, Value, WireFormat, WriterPolicy};
use postrider_wire::session::{CommandSink, Failed, Handles, Next, Profile, Protocol, Session, SessionError};

/// Collects all commands, and the records of those that have one.
#[derive(Default)]
pub struct Sink {
    batch: CommandBatch,
    commands: Vec<Command>,
    records: Vec<Vec<u8>>,
}

impl Sink {
    fn flush(&mut self) {
        for command in self.batch.commands.drain(..) {
            if let Command::Publish(publish) = &command {
                self.records.push(publish.record.of(&self.batch.arena).to_vec());
            }
            self.commands.push(command);
        }
        self.batch.clear();
    }
}

impl CommandSink for Sink {
    fn batch(&mut self) -> &mut CommandBatch {
        if self.batch.commands.len() >= 2 {
            self.flush();
        }
        &mut self.batch
    }
}

pub struct Client {
    pub session: Session,
    pub handles: Handles,
    pub output: Vec<u8>,
    pub now: Now,
    /// What the client says in its WireFormatInfo.
    pub offer: Offer,
    sink: Sink,
    format: WireFormat,
    records: Vec<Vec<u8>>,
}

impl Client {
    /// A client that offers what the broker does, but for some changes; it has not said anything yet.
    pub fn with(change: impl FnOnce(&mut Offer)) -> Client {
        Client::of_broker(limits::MAX_FRAME_BYTES, change)
    }

    /// One of each format, which is told: connected, with all that belongs to [`Client::open_all`].
    pub fn of_every_format() -> impl Iterator<Item = (String, Client)> {
        [(true, true), (true, false), (false, true), (false, false)].into_iter().map(|(caches, tight)| {
            let mut client = Client::with(|offer| {
                offer.cache_enabled = caches;
                offer.tight_encoding_enabled = tight;
            });
            client.connect();
            client.open_all();
            (format!("caches {caches}, tight {tight}"), client)
        })
    }

    /// The same at a broker with this limit of frames.
    pub fn of_broker(max_frame_bytes: u64, change: impl FnOnce(&mut Offer)) -> Client {
        let mut offer = Offer::of_broker(max_frame_bytes as i64);
        let profile = Profile {
            broker_id: "ID:broker".into(),
            broker_name: "b".into(),
            broker_url: "tcp://b:61616".into(),
            openwire: Offer { tight_encoding_enabled: true, ..offer.clone() },
            hash_seed: 5,
        };
        change(&mut offer);
        let now = Now { nanos: 1_000_000_000, unix_millis: 1_700_000_000_000 };
        let mut output = Vec::new();
        let connection = ConnectionHandle { slot: 1, generation: 2 };
        let session = Session::new(Protocol::OpenWire, connection, "127.0.0.1:5", Rc::new(profile), now, &mut output);
        Client {
            session,
            handles: Handles::default(),
            output,
            now,
            offer,
            sink: Sink::default(),
            format: WireFormat::new(Settings::initial(usize::MAX), WriterPolicy::JavaOrder),
            records: Vec::new(),
        }
    }

    /// A client with a session, two producers, and two consumers.
    pub fn opened() -> Client {
        let mut client = Client::with(|_| {});
        client.connect();
        client.open_all();
        client.commands();
        client.read();
        client
    }

    /// The client's WireFormatInfo as a frame.
    pub fn greeting(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let mut format = WireFormat::new(Settings::initial(usize::MAX), WriterPolicy::JavaOrder);
        format.encode(&self.offer.write(), &mut frame).unwrap();
        frame
    }

    /// Exchanges the WireFormatInfos.
    pub fn greet(&mut self) {
        assert_eq!(self.try_receive(&self.greeting()), Ok(Next::Continue));
        assert!(self.read()[0].is(&broker_info::DEFINITION));
    }

    pub fn connect(&mut self) {
        self.greet();
        self.send(&connection_info("ID:c", Some("client")));
        assert!(matches!(self.commands()[..], [Command::OpenConnection(_)]));
        self.session.opened(Token(1), &mut self.output).unwrap();
    }

    pub fn open_all(&mut self) {
        self.send(&session_info(1));
        for value in [1, 2] {
            self.send(&producer_info(value, if value == 2 { 1_000 } else { 0 }));
            self.send(&consumer_info(value, "some.queue"));
        }
    }

    pub fn send(&mut self, structure: &Structure) {
        assert_eq!(self.try_send(structure), Ok(Next::Continue), "{structure:?}");
    }

    pub fn try_send(&mut self, structure: &Structure) -> Result<Next, OpenWireError> {
        let frame = self.encode(structure);
        self.try_receive(&frame)
    }

    /// The next frame of the client's, which has to be received for the caches to agree.
    pub fn encode(&mut self, structure: &Structure) -> Vec<u8> {
        let mut frame = Vec::new();
        self.format.encode(structure, &mut frame).unwrap();
        frame
    }

    pub fn try_receive(&mut self, bytes: &[u8]) -> Result<Next, OpenWireError> {
        let mut rest = bytes;
        loop {
            match self.try_receive_some(&mut rest)? {
                Next::Remove => {}
                next => return Ok(next),
            }
        }
    }

    /// One call, with any number of frames: `bytes` is what is left.
    pub fn try_receive_some(&mut self, bytes: &mut &[u8]) -> Result<Next, OpenWireError> {
        let Client { session, handles, sink, output, now, .. } = self;
        session.received(bytes, u64::MAX, *now, handles, sink, output).map_err(in_openwire)
    }

    /// The client sends no more.
    pub fn leave(&mut self) {
        self.session.leaves(&mut self.sink);
    }

    pub fn close(&mut self) {
        self.break_off();
        self.session.let_go(u64::MAX, &mut self.handles);
    }

    /// The socket is gone.
    pub fn break_off(&mut self) {
        self.session.closed(&mut self.sink);
    }

    pub fn tick(&mut self) -> Result<(), OpenWireError> {
        self.session.tick(self.now, &mut self.output).map_err(in_openwire)
    }

    pub fn fail(&mut self, token: Option<u64>, failure: Failure, message: &str, refused: Option<Refused>) {
        let failed = Failed { token: token.map(Token), failure, message, refused: refused.as_ref() };
        self.session.failed(&failed, self.now, &mut self.handles, &mut self.output).unwrap();
    }

    /// The commands since the last call.
    pub fn commands(&mut self) -> Vec<Command> {
        self.sink.flush();
        self.records = std::mem::take(&mut self.sink.records);
        std::mem::take(&mut self.sink.commands)
    }

    pub fn publishes(&mut self) -> Vec<Publish> {
        let publish = |command| match command {
            Command::Publish(publish) => Some(publish),
            _ => None,
        };
        self.commands().into_iter().filter_map(publish).collect()
    }

    /// The records of the commands that were asked for last, or are there now.
    pub fn records(&mut self) -> Vec<Vec<u8>> {
        if self.records.is_empty() {
            self.commands();
        }
        self.records.clone()
    }

    /// What the session has written since the last call.
    pub fn read(&mut self) -> Vec<Structure> {
        let output = std::mem::take(&mut self.output);
        let mut rest = &output[..];
        let mut structures = Vec::new();
        while let Some((prefix, tail)) = rest.split_first_chunk::<4>() {
            let (frame, tail) = tail.split_at(u32::from_be_bytes(*prefix) as usize);
            rest = tail;
            let structure = self.format.decode(frame).unwrap().unwrap();
            if structure.is(&wire_format_info::DEFINITION) {
                let agreed = self.offer.agree(&Offer::read(&structure).unwrap()).unwrap();
                // As the Java client, which writes loose frames of any size.
                let settings = Settings { max_frame_size: usize::MAX, ..agreed.settings() };
                self.format = WireFormat::new(settings, WriterPolicy::JavaOrder);
            } else {
                structures.push(structure);
            }
        }
        structures
    }

    /// Expects one answer, an exception of this class whose text begins so.
    #[track_caller]
    pub fn expect_exception(&mut self, class: &str, text: &str) -> Structure {
        let mut answers = self.read();
        assert_eq!(answers.len(), 1, "{answers:?}");
        let field = if answers[0].is(&connection_error::DEFINITION) {
            connection_error::EXCEPTION
        } else {
            exception_response::EXCEPTION
        };
        let exception = answers[0].throwable(field).unwrap();
        let message = modified_utf8::decode_lossy(exception.message.as_deref().unwrap());
        assert!(message.starts_with(text) && message.chars().count() <= 1024, "{message}");
        assert_eq!(exception.class.as_deref(), Some(class.as_bytes()));
        answers.remove(0)
    }
}

fn in_openwire(SessionError::OpenWire(error): SessionError) -> OpenWireError {
    error
}

/// What the numbers in commands mean, as a broker sees it, checked against what is in the records.
#[derive(Default)]
pub struct Model {
    destinations: HashMap<u32, Box<[Destination]>>,
    producers: HashMap<u32, i64>,
    consumers: HashSet<ConsumerHandle>,
    pub publishes: usize,
    pub acknowledgements: usize,
    pub definitions: usize,
}

impl Model {
    pub fn take(&mut self, commands: &[Command], records: &[Vec<u8>]) {
        let mut records = records.iter();
        for command in commands {
            match command {
                Command::DefineDestination { number, destinations, .. } => {
                    assert!(*number < limits::CONNECTION_DESTINATIONS);
                    self.definitions += 1;
                    self.destinations.insert(*number, destinations.clone());
                }
                Command::OpenProducer(open) => {
                    assert!(self.producers.insert(open.producer, open.value).is_none(), "the number is free");
                }
                Command::CloseProducer { producer, .. } => assert!(self.producers.remove(producer).is_some()),
                Command::OpenConsumer(open) => {
                    assert!(self.consumers.insert(open.consumer));
                }
                Command::CloseConsumer { consumer, .. } => assert!(self.consumers.remove(consumer)),
                Command::Publish(publish) => self.publish(publish, records.next().unwrap()),
                Command::Acknowledge(acknowledge) => {
                    self.acknowledgements += 1;
                    assert!(self.consumers.contains(&acknowledge.consumer));
                }
                _ => {}
            }
        }
    }

    fn publish(&mut self, publish: &Publish, record: &[u8]) {
        self.publishes += 1;
        let view = MessageView::parse(record).unwrap();
        let (kind, name) = view.destination_field(Tag::Destination).unwrap();
        assert_eq!(*self.destinations[&publish.destination], *Destination::parts(kind, name).unwrap());
        let value = view.header().producer_value;
        let open = self.producers.iter().find(|(_, other)| **other == value).map(|(number, _)| *number);
        assert_eq!(publish.producer, open.unwrap_or(Publish::NO_PRODUCER));
    }
}

pub fn connection(id: &str) -> Arc<Structure> {
    Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, id).shared()
}

pub fn session(value: i64) -> Arc<Structure> {
    Structure::new(&session_id::DEFINITION)
        .with(session_id::CONNECTION_ID, "ID:c")
        .with(session_id::VALUE, value)
        .shared()
}

pub fn producer_of(connection: &str, session: i64, value: i64) -> Arc<Structure> {
    let id = Structure::new(&producer_id::DEFINITION).with(producer_id::CONNECTION_ID, connection);
    id.with(producer_id::SESSION_ID, session).with(producer_id::VALUE, value).shared()
}

pub fn producer(session: i64, value: i64) -> Arc<Structure> {
    producer_of("ID:c", session, value)
}

pub fn consumer(session: i64, value: i64) -> Arc<Structure> {
    consumer_of("ID:c", session, value)
}

pub fn transaction(connection_id: &str) -> Arc<Structure> {
    let id = Structure::new(&local_transaction_id::DEFINITION);
    id.with(local_transaction_id::CONNECTION_ID, connection(connection_id)).shared()
}

pub fn consumer_of(connection: &str, session: i64, value: i64) -> Arc<Structure> {
    let id = Structure::new(&consumer_id::DEFINITION).with(consumer_id::CONNECTION_ID, connection);
    id.with(consumer_id::SESSION_ID, session).with(consumer_id::VALUE, value).shared()
}

pub fn queue(name: &str) -> Arc<Structure> {
    Structure::new(&active_mq_queue::DEFINITION).with(active_mq_queue::PHYSICAL_NAME, name).shared()
}

/// A request.
pub fn connection_info(id: &str, client_id: Option<&str>) -> Structure {
    Structure::new(&connection_info::DEFINITION)
        .with(connection_info::COMMAND_ID, 1)
        .with(connection_info::RESPONSE_REQUIRED, true)
        .with(connection_info::CONNECTION_ID, connection(id))
        .with(connection_info::CLIENT_ID, Value::String(client_id.map(|id| id.as_bytes().into())))
        .with(connection_info::MANAGEABLE, true)
}

pub fn session_info(value: i64) -> Structure {
    Structure::new(&session_info::DEFINITION).with(session_info::SESSION_ID, session(value))
}

pub fn producer_info(value: i64, window: i32) -> Structure {
    let info = Structure::new(&producer_info::DEFINITION).with(producer_info::PRODUCER_ID, producer(1, value));
    info.with(producer_info::WINDOW_SIZE, window)
}

pub fn consumer_info(value: i64, name: &str) -> Structure {
    Structure::new(&consumer_info::DEFINITION)
        .with(consumer_info::CONSUMER_ID, consumer(1, value))
        .with(consumer_info::DESTINATION, queue(name))
        .with(consumer_info::PREFETCH_SIZE, 1_000)
}

pub fn remove(id: &Arc<Structure>, last_delivered: i64) -> Structure {
    let info = Structure::new(&remove_info::DEFINITION).with(remove_info::OBJECT_ID, id.clone());
    info.with(remove_info::LAST_DELIVERED_SEQUENCE_ID, last_delivered)
}

pub fn message_identity(producer: &Arc<Structure>, sequence: i64) -> Structure {
    let id = Structure::new(&message_id::DEFINITION).with(message_id::PRODUCER_ID, producer.clone());
    id.with(message_id::PRODUCER_SEQUENCE_ID, sequence)
}

/// A persistent message of this producer of session 1.
pub fn message(value: i64, sequence: i64, name: &str) -> Structure {
    Structure::new(&active_mq_text_message::DEFINITION)
        .with(message::PRODUCER_ID, producer(1, value))
        .with(message::DESTINATION, queue(name))
        .with(message::MESSAGE_ID, message_identity(&producer(1, value), sequence))
        .with(message::PERSISTENT, true)
        .with(message::PRIORITY, 4i8)
}

/// An acknowledgement of this consumer of session 1.
pub fn acknowledgement(value: i64, kind: i8, first: Option<i64>, last: i64, count: i32) -> Structure {
    let identity =
        |sequence: i64| message_identity(&producer(1, 1), 1).with(message_id::BROKER_SEQUENCE_ID, sequence).shared();
    Structure::new(&message_ack::DEFINITION)
        .with(message_ack::DESTINATION, queue("some.queue"))
        .with(message_ack::CONSUMER_ID, consumer(1, value))
        .with(message_ack::ACK_TYPE, kind)
        .with(message_ack::FIRST_MESSAGE_ID, first.map(identity))
        .with(message_ack::LAST_MESSAGE_ID, identity(last))
        .with(message_ack::MESSAGE_COUNT, count)
}
