//! The broker's turn over a medium that gives no further segment for a while, and at its end.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use postrider_broker::{Broker, Config, WindowSizes};
use postrider_dispatcher::port::{ClientPort, port};
use postrider_dispatcher::turn::BrokerTurn;
use postrider_dispatcher::wake::Alarm;
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
    Command, CommandBatch, Destination, DestinationKind, Event, Handle, MessageWriter, Now, Sequence,
};

const SEGMENT: u64 = 512 << 10;
const CONNECTION: Handle = Handle { slot: 1, generation: 1 };
const CONSUMER: Handle = Handle { slot: 7, generation: 1 };

/// A medium that the test holds, too.
#[derive(Clone)]
struct Shared(Rc<RefCell<FakeStorage>>);

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
    fn save_aside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().save_aside(name, bytes)
    }
}

struct Node {
    turn: BrokerTurn<Shared, NoSpill>,
    port: ClientPort,
    storage: Shared,
    now: Now,
    sent: i64,
    stored: u64,
    refused: Vec<String>,
    got: Vec<Sequence>,
}

impl Node {
    fn new(free: u64) -> Node {
        Node::over(Shared(Rc::new(RefCell::new(FakeStorage::new(free)))), 1 << 30)
    }

    /// The process ends and starts again, with another disk budget.
    fn restarted(self, budget: u64) -> Node {
        let Node { turn, storage, .. } = self;
        drop(turn);
        Node::over(storage, budget)
    }

    fn over(storage: Shared, budget: u64) -> Node {
        let config = postrider_journal::Config {
            segment_bytes: SEGMENT,
            disk_budget: Some(budget),
            keys: 3,
            ..postrider_journal::Config::default()
        };
        let send_window = WindowSizes { first: u64::MAX, largest: u64::MAX };
        let mut broker = Broker::new(Config { send_window, ..Config::default() });
        let journal =
            Journal::recover(storage.clone(), config, &mut |record, home| broker.recover(record, home).unwrap())
                .unwrap();
        let now = Now { nanos: 1, unix_millis: 1_700_000_000_000 };
        broker.recovered(now, 0);
        let spool = Spool::new(NoSpill, SpoolConfig { keys: 5, ..SpoolConfig::default() });
        let alarm = Alarm::new();
        let (client, server) = port(&alarm, &alarm);
        let turn = BrokerTurn::new(broker, journal, spool, vec![server]);
        let (refused, got) = (Vec::new(), Vec::new());
        let mut node = Node { turn, port: client, storage, now, sent: 0, stored: 0, refused, got };
        node.connect();
        node
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.now.nanos += 1_000_000;
            self.storage.0.borrow_mut().settle();
            self.turn.turn(self.now).expect("no sync fails");
            self.storage.0.borrow_mut().settle();
            while let Some(batch) = self.port.events.pop() {
                for event in &batch.events {
                    match event {
                        Event::Reply { .. } => self.stored += 1,
                        Event::Failed { message, .. } => self.refused.push(message.to_string()),
                        Event::Dispatch(dispatch) => self.got.push(dispatch.sequence),
                        _ => {}
                    }
                }
                self.port.events.recycle(batch);
            }
        }
    }

    fn run(&mut self, commands: Vec<Command>) {
        let batch = CommandBatch { commands, ..CommandBatch::default() };
        self.push(batch);
    }

    fn push(&mut self, batch: CommandBatch) {
        assert!(self.port.commands.push(batch).is_ok(), "the ring has room");
        self.turns(20);
    }

    fn connect(&mut self) {
        let (connection, request) = (CONNECTION, Request { command: 1, wanted: false });
        let id = b"c".as_slice();
        self.run(vec![
            Command::OpenConnection(Box::new(OpenConnection {
                connection,
                request,
                id: id.into(),
                client_id: id.into(),
                failover_reconnect: false,
                peer: "".into(),
            })),
            Command::OpenProducer(Box::new(OpenProducer {
                connection,
                request,
                producer: 0,
                session: 1,
                value: 1,
                destinations: Box::default(),
                window: 0,
            })),
            Command::DefineDestination { connection, number: 0, destinations: Box::new([queue()]) },
        ]);
    }

    fn consume(&mut self) {
        self.run(vec![Command::OpenConsumer(Box::new(OpenConsumer {
            connection: CONNECTION,
            request: Request { command: 1, wanted: false },
            consumer: CONSUMER,
            destinations: Box::new([queue()]),
            prefetch: 30_000,
            browser: false,
            no_local: false,
            exclusive: false,
            priority: 0,
            selector: None,
            subscription: None,
            identity: Box::default(),
        }))]);
        self.turns(50);
    }

    fn send(&mut self, persistent: bool, wanted: bool) {
        self.sent += 1;
        let mut record = Vec::new();
        let mut writer = MessageWriter::new(&mut record);
        writer.field(Tag::ProducerConnection, &[b"c"]);
        writer.destination_field(Tag::Destination, DestinationKind::Queue, b"q");
        writer.content(&[b'x'; 1_000]);
        writer.finish(&Header {
            body: BodyKind::Text,
            priority: 4,
            flags: if persistent { flag::PERSISTENT } else { 0 },
            expiration: 0,
            timestamp: 0,
            broker_in_time: 0,
            producer_sequence: self.sent,
            producer_session: 1,
            producer_value: 1,
            group_sequence: 0,
            redelivery_counter: 0,
        });
        let mut batch = CommandBatch::default();
        let record_crc = body_crc(&record);
        let record = batch.store(&record);
        batch.commands.push(Command::Publish(Publish {
            connection: CONNECTION,
            request: Request { command: 7, wanted },
            producer: 0,
            destination: 0,
            record,
            record_crc,
            persistent,
            windowed: false,
            producer_sequence: self.sent,
        }));
        self.push(batch);
    }

    fn acknowledge_all(&mut self) {
        let got = std::mem::take(&mut self.got);
        self.run(vec![Command::Acknowledge(Acknowledge {
            connection: CONNECTION,
            request: Request { command: 9, wanted: true },
            consumer: CONSUMER,
            kind: AcknowledgeKind::Standard,
            first: got[0],
            last: *got.last().unwrap(),
            count: got.len() as u32,
            cause: Default::default(),
        })]);
    }
}

fn queue() -> Destination {
    Destination::new(DestinationKind::Queue, b"q")
}

/// Three segments fit; then the medium gives none.
fn full() -> (Node, u64) {
    let mut node = Node::new(3 * SEGMENT);
    while node.refused.is_empty() {
        node.send(true, true);
        assert!(node.sent < 4_000, "nothing is refused");
    }
    let stored = node.stored;
    assert!(stored > 60, "{stored} stored");
    (node, stored)
}

#[test]
fn sends_that_cannot_be_stored_are_refused_with_the_reason() {
    let (node, _) = full();
    let text = &node.refused[0];
    assert!(text.contains("the journal gets no further segment in the journal's directory: No space left"), "{text}");
}

#[test]
fn meanwhile_acknowledgements_and_what_needs_no_journal_go_on() {
    let (mut node, stored) = full();
    node.consume();
    assert_eq!(node.got.len() as u64, stored, "what is stored is delivered");
    for _ in 0..50 {
        node.send(false, true);
    }
    assert_eq!((node.stored, node.refused.len()), (stored + 50, 1), "messages of the spool pass");
    node.acknowledge_all();
    assert_eq!(node.stored, stored + 51, "they are acknowledged, durably");
    assert_eq!(node.turn.broker().statistics().messages, 0);
}

#[test]
fn when_there_is_room_again_everything_goes_on() {
    let (mut node, stored) = full();
    for _ in 0..10 {
        node.send(true, true);
        node.send(true, false);
    }
    node.turns(60_000);
    assert_eq!((node.stored, node.refused.len()), (stored, 11), "those that wait for no answer are parked");
    node.storage.0.borrow_mut().free = 1 << 30;
    node.turns(6_000);
    node.send(true, true);
    assert_eq!((node.stored, node.refused.len()), (stored + 1, 11));
    assert_eq!(node.turn.broker().statistics().messages, stored + 11);
    let failures = node.turn.journal().statistics().preparation_failures;
    assert!((15..40).contains(&failures), "{failures} in a minute");
}

/// Another program has taken the disk, or the setting was lowered: what makes the log shorter goes on, what stores is refused.
#[test]
fn a_log_beyond_its_budget_can_be_drained() {
    for budget in [2 * SEGMENT, 6 * SEGMENT, 10 * SEGMENT, 16 * SEGMENT] {
        let mut node = Node::new(1 << 40);
        for _ in 0..200 {
            for _ in 0..25 {
                node.send(true, true);
            }
            node.turns(3);
        }
        node.turns(100);
        assert_eq!((node.stored, node.refused.len()), (5_000, 0));
        node.storage.0.borrow_mut().settle();
        let mut node = node.restarted(budget);
        node.turns(200);
        node.send(true, true);
        node.turns(200);
        assert_eq!((node.stored, node.refused.len()), (0, 1), "{budget}: nothing is stored");
        assert!(node.refused[0].contains("journal.disk_budget_bytes"), "{}", node.refused[0]);
        node.consume();
        let mut drained = 0;
        for _ in 0..400 {
            node.turns(20);
            drained += node.got.len();
            if !node.got.is_empty() {
                node.acknowledge_all();
            }
        }
        assert_eq!(drained, 5_000, "{budget}: acknowledgements always have room");
        node.turns(2_000);
        assert_eq!(node.turn.broker().statistics().messages, 0, "{budget}");
        let bytes = node.turn.journal().disk_bytes();
        assert!(bytes <= budget.max(4 * SEGMENT) + 4 * SEGMENT, "{budget}: {bytes} after all is drained");
        if budget > 10 * SEGMENT {
            let before = node.stored;
            node.send(true, true);
            node.turns(200);
            assert_eq!(node.stored, before + 1, "{budget}: there is room again");
        }
    }
}

#[test]
fn what_comes_after_the_end_was_written_down_is_not_appended() {
    let mut node = Node::new(64 << 20);
    node.send(true, true);
    assert_eq!(node.stored, 1);
    node.turns(200);
    node.turn.end();
    let end = node.turn.journal().appended();
    node.send(true, true);
    node.turns(200);
    assert_eq!(node.turn.journal().appended(), end);
    assert!(!node.turn.has_work(), "nobody is kept awake by it");
}
