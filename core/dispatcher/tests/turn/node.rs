//! The broker's turn over a medium that gives no further segment for a while, and at its end.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use postrider_broker::{Broker, Config, WindowSizes};
use postrider_dispatcher::port::{ClientPort, port};
use postrider_dispatcher::turn::{BrokerTurn, Turned};
use postrider_dispatcher::wake::Alarm;
use postrider_journal::epoch::EpochTable;
use postrider_journal::testing::FakeStorage;
use postrider_journal::{
    Completion, ImageWriter, Journal, Loaded, NoSpill, Prepare, Read, SegmentFile, SegmentNumber, Spool, SpoolConfig,
    Storage, Write, body_crc,
};
use postrider_model::command::{
    Acknowledge, AcknowledgeKind, OpenConnection, OpenConsumer, OpenProducer, Publish, Request,
};
use postrider_model::record::{BodyKind, Header, Tag, flag};
use postrider_model::{
    Command, CommandBatch, Destination, DestinationKind, Event, Handle, MessageWriter, Now, Sequence, Token,
};

pub const SEGMENT: u64 = 512 << 10;
pub const SPOOL: u64 = 4 << 20;
pub const CONNECTION: Handle = Handle { slot: 1, generation: 1 };
pub const CONSUMER: Handle = Handle { slot: 7, generation: 1 };

/// A medium that the test holds, too.
#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<FakeStorage>>);

impl Storage for Shared {
    fn prepare(&mut self, prepare: Prepare) {
        self.0.borrow_mut().prepare(prepare);
    }
    fn submit(&mut self, write: Write) {
        self.0.borrow_mut().submit(write);
    }
    fn read(&mut self, read: Read) {
        self.0.borrow_mut().read(read);
    }
    fn keep(&mut self, name: String, bytes: Arc<[u8]>) {
        self.0.borrow_mut().keep(name, bytes);
    }
    fn state(&mut self, slot: usize, table: Arc<EpochTable>) {
        self.0.borrow_mut().state(slot, table);
    }

    fn recycle(&mut self, segment: SegmentNumber) {
        self.0.borrow_mut().recycle(segment);
    }
    fn completed(&mut self) -> Option<Completion> {
        self.0.borrow_mut().completed()
    }
    fn has_completed(&self) -> bool {
        self.0.borrow().has_completed()
    }
    fn room(&self) -> u64 {
        self.0.borrow().room()
    }
    fn segments(&mut self) -> io::Result<Vec<SegmentFile>> {
        self.0.borrow_mut().segments()
    }
    fn load(&mut self, segment: SegmentNumber, bytes: u64, ahead: Option<(SegmentNumber, u64)>) -> io::Result<Loaded> {
        self.0.borrow_mut().load(segment, bytes, ahead)
    }
    fn adopt(&mut self, segment: SegmentNumber, loaded: ImageWriter) -> io::Result<ImageWriter> {
        self.0.borrow_mut().adopt(segment, loaded)
    }
    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.0.borrow_mut().sync(segment)
    }
    fn replace(&mut self, segment: SegmentNumber, bytes: &[u8], keep_as: &str) -> io::Result<Option<String>> {
        self.0.borrow_mut().replace(segment, bytes, keep_as)
    }

    fn remove(&mut self, segment: SegmentNumber, keep_as: &str) -> io::Result<Option<String>> {
        self.0.borrow_mut().remove(segment, keep_as)
    }
    fn read_table(&mut self, slot: usize) -> io::Result<Option<Vec<u8>>> {
        self.0.borrow_mut().read_table(slot)
    }
    fn write_table(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().write_table(slot, bytes)
    }
    fn save_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<String> {
        self.0.borrow_mut().save_aside(name, bytes)
    }
}

pub struct Node {
    pub turn: BrokerTurn<Shared, NoSpill>,
    pub port: ClientPort,
    pub storage: Shared,
    pub now: Now,
    pub sent: i64,
    pub stored: u64,
    pub refused: Vec<String>,
    pub got: Vec<Sequence>,
    /// The same of other consumers than [`CONSUMER`].
    pub others: Vec<(Handle, Sequence)>,
    /// Of both, what came as redelivered.
    pub marked: Vec<Sequence>,
}

/// A consumer of these comes, and waits for no answer.
pub fn opening(consumer: Handle, destinations: Box<[Destination]>, prefetch: u32) -> Command {
    Command::OpenConsumer(Box::new(OpenConsumer {
        connection: CONNECTION,
        request: Request::new(Token(1), false),
        consumer,
        destinations,
        prefetch,
        browser: false,
        no_local: false,
        exclusive: false,
        priority: 0,
        selector: None,
        subscription: None,
        session: 1,
        value: 1,
        pending_limit: 0,
        described: postrider_model::command::Described::default(),
    }))
}

impl Node {
    pub fn new(free: u64) -> Node {
        Node::within(free, 1 << 30, 256 << 20)
    }

    /// A node that starts on what a medium holds; its client comes back.
    pub fn on(storage: FakeStorage) -> Node {
        Node::over_with(Shared(Rc::new(RefCell::new(storage))), 1 << 30, 256 << 20, true)
    }

    /// A node with so much of its log in memory.
    pub fn within(free: u64, budget: u64, hot_bytes: u64) -> Node {
        Node::over(Shared(Rc::new(RefCell::new(FakeStorage::new(free)))), budget, hot_bytes)
    }

    /// The process ends and starts again, with another disk budget.
    pub fn restarted(self, budget: u64) -> Node {
        let Node { turn, storage, .. } = self;
        drop(turn);
        Node::over(storage, budget, 256 << 20)
    }

    fn over(storage: Shared, budget: u64, hot_bytes: u64) -> Node {
        Node::over_with(storage, budget, hot_bytes, false)
    }

    fn over_with(storage: Shared, budget: u64, hot_bytes: u64, comes_back: bool) -> Node {
        let config = postrider_journal::Config {
            segment_bytes: SEGMENT,
            disk_budget: Some(budget),
            keys: 3,
            hot_bytes,
            ..postrider_journal::Config::default()
        };
        let send_window = WindowSizes { first: u64::MAX, largest: u64::MAX, proof: 0 };
        let mut broker = Broker::new(Config { send_window, ..Config::default() });
        let journal =
            Journal::recover(storage.clone(), config, &mut |record, home| broker.follow(record, home)).unwrap();
        let now = Now { nanos: 1, unix_millis: 1_700_000_000_000 };
        broker.recovered(now, 0, 1);
        let spool = SpoolConfig { keys: 5, segment_bytes: 64 << 10, memory_bytes: SPOOL, ..SpoolConfig::default() };
        let spool = Spool::in_memory(spool);
        let alarm = Alarm::new();
        let (client, server) = port(&alarm, &alarm);
        let turn = BrokerTurn::new(broker, journal, spool, vec![server]);
        let (refused, got, others, marked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut node = Node { turn, port: client, storage, now, sent: 0, stored: 0, refused, got, others, marked };
        node.connect_as(CONNECTION, b"c", comes_back);
        node
    }

    pub fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.now.nanos += 1_000_000;
            self.one_turn();
        }
    }

    /// Turns as a thread takes them that sleeps while there is nothing to do, for so many nanoseconds. How many.
    pub fn wait(&mut self, nanos: u64) -> u64 {
        let end = self.now.nanos + nanos;
        let mut turns = 0;
        while self.now.nanos < end {
            let turned = self.one_turn();
            turns += 1;
            let awake = turned.more || self.turn.has_work();
            let next = if awake { self.now.nanos + 100_000 } else { turned.deadline.unwrap_or(end) };
            // A turn takes a while.
            self.now.nanos = next.max(self.now.nanos + 1_000).min(end);
        }
        turns
    }

    fn one_turn(&mut self) -> Turned {
        self.storage.0.borrow_mut().settle();
        let turned = self.turn.turn(self.now).expect("no sync fails");
        self.storage.0.borrow_mut().settle();
        while let Some(batch) = self.port.events.pop() {
            for event in &batch.events {
                if let Event::Dispatch(dispatch) = event
                    && dispatch.redeliveries > 0
                {
                    self.marked.push(dispatch.sequence);
                }
                match event {
                    Event::Reply { .. } => self.stored += 1,
                    Event::Failed { message, .. } => self.refused.push(message.to_string()),
                    Event::Dispatch(dispatch) if dispatch.to.consumer == CONSUMER => self.got.push(dispatch.sequence),
                    Event::Dispatch(dispatch) => self.others.push((dispatch.to.consumer, dispatch.sequence)),
                    _ => {}
                }
            }
            self.port.events.recycle(batch);
        }
        turned
    }

    pub fn run(&mut self, commands: Vec<Command>) {
        let batch = CommandBatch { commands, ..CommandBatch::default() };
        self.push(batch);
    }

    pub fn push(&mut self, batch: CommandBatch) {
        self.hand_over(batch);
        self.turns(20);
    }

    pub fn hand_over(&mut self, batch: CommandBatch) {
        assert!(self.port.commands.push(batch).is_ok(), "the ring has room");
    }

    pub fn connect(&mut self, connection: Handle, id: &[u8]) {
        self.connect_as(connection, id, false);
    }

    fn connect_as(&mut self, connection: Handle, id: &[u8], failover_reconnect: bool) {
        let request = Request::new(Token(1), false);
        self.run(vec![
            Command::OpenConnection(Box::new(OpenConnection {
                connection,
                request,
                id: id.into(),
                client_id: id.into(),
                failover_reconnect,
                peer: "".into(),
                user: None,
                marks: 0,
            })),
            Command::OpenProducer(Box::new(OpenProducer {
                connection,
                request,
                producer: 0,
                session: 1,
                value: 1,
                destinations: Box::default(),
                window: 0,
                described: postrider_model::command::Described::default(),
            })),
        ]);
        for (number, name) in (0..).zip(["q", "expiring", "churn"]) {
            self.run(vec![Command::DefineDestination { connection, number, destinations: Box::new([queue(name)]) }]);
        }
    }

    pub fn consume(&mut self) {
        self.consume_from(CONSUMER, "q");
    }

    pub fn consume_from(&mut self, consumer: Handle, name: &str) {
        self.run(vec![opening(consumer, Box::new([queue(name)]), 30_000)]);
        self.turns(50);
    }

    pub fn send(&mut self, persistent: bool, wanted: bool) {
        let batch = self.sending(1_000, persistent, wanted);
        self.push(batch);
    }

    /// A batch with a message of so many bytes.
    pub fn sending(&mut self, bytes: usize, persistent: bool, wanted: bool) -> CommandBatch {
        let mut batch = CommandBatch::default();
        self.add_send(&mut batch, (0, 0), bytes, persistent, wanted);
        batch
    }

    /// Adds a send to the queue with this number, with this expiration, to a batch.
    pub fn add_send(
        &mut self,
        batch: &mut CommandBatch,
        (destination, expiration): (u32, i64),
        bytes: usize,
        persistent: bool,
        wanted: bool,
    ) {
        self.sent += 1;
        let mut record = Vec::new();
        let mut writer = MessageWriter::new(&mut record);
        writer.field(Tag::ProducerConnection, &[b"c"]);
        writer.destination_field(Tag::Destination, DestinationKind::Queue, b"q");
        writer.content(&vec![b'x'; bytes]);
        writer.finish(&Header {
            body: BodyKind::Text,
            priority: 4,
            flags: if persistent { flag::PERSISTENT } else { 0 },
            expiration,
            timestamp: 0,
            broker_in_time: 0,
            producer_sequence: self.sent,
            producer_session: 1,
            producer_value: 1,
            group_sequence: 0,
            redelivery_counter: 0,
        });
        let record_crc = body_crc(&record);
        let record = batch.store(&record);
        batch.commands.push(Command::Publish(Publish {
            connection: CONNECTION,
            request: Request::new(Token(7), wanted),
            producer: 0,
            destination,
            record,
            record_crc,
            persistent,
            windowed: false,
            transaction: None,
            producer_sequence: self.sent,
        }));
    }

    pub fn acknowledge_all(&mut self) {
        let command = self.acknowledgement();
        self.run(vec![command]);
    }

    /// Acknowledges one message alone.
    pub fn acknowledge_one(&mut self, sequence: Sequence) {
        self.run(vec![acknowledgement_of(CONSUMER, &[sequence], 1)]);
    }

    /// What acknowledges all that has come.
    pub fn acknowledgement(&mut self) -> Command {
        let got = std::mem::take(&mut self.got);
        acknowledgement_of(CONSUMER, &got, got.len() as u32)
    }

    /// Acknowledges what has come to another consumer. How many that were.
    pub fn acknowledge_others(&mut self, consumer: Handle) -> usize {
        let others = self.others.extract_if(.., |(whose, _)| *whose == consumer);
        let got: Vec<Sequence> = others.map(|(_, sequence)| sequence).collect();
        if !got.is_empty() {
            self.run(vec![acknowledgement_of(consumer, &got, got.len() as u32)]);
        }
        got.len()
    }
}

pub fn acknowledgement_of(consumer: Handle, got: &[Sequence], count: u32) -> Command {
    Command::Acknowledge(Acknowledge {
        connection: CONNECTION,
        request: Request::new(Token(9), true),
        consumer,
        kind: AcknowledgeKind::Standard,
        first: got[0],
        last: *got.last().unwrap(),
        count,
        transaction: None,
        cause: Default::default(),
    })
}

fn queue(name: &str) -> Destination {
    Destination::new(DestinationKind::Queue, name.as_bytes())
}
