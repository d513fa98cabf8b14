//! A broker with its logs and its clients, turn by turn.

use crate::damage::damage;
use crate::log::{SEGMENT, Stored, TestLog};
use postrider_broker::{Broker, Config, EventBatch, Log, Mended, Outbox};
use postrider_journal::{Damage, DamageKind, Position, body_crc};
use postrider_model::command::{
    Acknowledge, AcknowledgeKind, CreateTemporary, Described, LastDelivered, OpenConnection, OpenConsumer,
    OpenProducer, Publish, Request,
};
use postrider_model::record::{BodyKind, Header, Tag, flag};
use postrider_model::{
    Command, CommandBatch, Destination, DestinationKind, Event, Handle, MessageView, MessageWriter, Now, PortIndex,
    Sequence, Span, Token,
};
use std::collections::{BTreeMap, VecDeque};

/// A message as a client got it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    pub consumer: Handle,
    pub sequence: Sequence,
    pub redeliveries: u32,
    pub content: Vec<u8>,
    pub record: Vec<u8>,
    /// Where the event says it is.
    pub destination: Option<Destination>,
}

/// What a port was told, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Message(Got),
    Event(Event),
}

pub struct World {
    pub broker: Broker,
    pub log: TestLog,
    pub out: Outbox,
    pub now: Now,
    pub config: Config,
    /// By port.
    pub told: Vec<Vec<Told>>,
    held: Vec<VecDeque<(Position, EventBatch)>>,
    /// Where the turn ended that handled the newest commands.
    pub turn_end: Position,
    /// Delivery batches that the rings take.
    pub room: usize,
    /// A port whose ring takes nothing.
    pub full: Option<usize>,
    /// Bytes of records that go up to the broker as written at once.
    pub sockets_take: bool,
    written: Vec<(usize, Command)>,
    pub connections_of: BTreeMap<(usize, Handle), Handle>,
    numbers: BTreeMap<(usize, Handle, String), u32>,
}

pub const PORTS: usize = 2;

/// A record that the disk has lost with all its bytes.
fn entry_lost(stored: &Stored) -> Damage {
    let home = stored.home;
    let (segment, position, len) = (home.segment, home.position, u64::from(home.len));
    Damage { segment, position, len, kind: DamageKind::Entry, ..damage(stored, &[], &[]) }
}

pub fn handle(slot: u32) -> Handle {
    Handle { slot, generation: 1 }
}

pub fn queue(name: &str) -> Destination {
    Destination::new(DestinationKind::Queue, name.as_bytes())
}

pub fn topic(name: &str) -> Destination {
    Destination::new(DestinationKind::Topic, name.as_bytes())
}

/// A record with this content.
pub fn record(to: &[Destination], content: &[u8], persistent: bool, sequence: i64, expiration: i64) -> Vec<u8> {
    record_of(("ID:client:1", 1, 1), to, content, persistent, sequence, expiration)
}

/// A record of this producer: its connection, session and value.
pub fn record_of(
    (connection, producer_session, producer_value): (&str, i64, i64),
    to: &[Destination],
    content: &[u8],
    persistent: bool,
    sequence: i64,
    expiration: i64,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = MessageWriter::new(&mut bytes);
    writer.field(Tag::ProducerConnection, &[connection.as_bytes()]);
    writer.destination_field(Tag::Destination, to[0].kind, &to[0].name);
    writer.content(content);
    writer.finish(&Header {
        body: BodyKind::Text,
        priority: 4,
        flags: if persistent { flag::PERSISTENT } else { 0 },
        expiration,
        timestamp: 0,
        broker_in_time: 0,
        producer_sequence: sequence,
        producer_session,
        producer_value,
        group_sequence: 0,
        redelivery_counter: 0,
    });
    bytes
}

impl World {
    pub fn new() -> World {
        World::with(Config { reservation: 1_000_000, ..Config::default() }, 1 << 30)
    }

    pub fn with(config: Config, budget: u64) -> World {
        World::over(config, TestLog::new(budget, SEGMENT))
    }

    pub fn over(mut config: Config, log: TestLog) -> World {
        // Its clock stands still, unless a test moves it.
        if config.trial_rest_nanos == Config::default().trial_rest_nanos {
            config.trial_rest_nanos = 0;
        }
        let mut world = World {
            broker: Broker::new(config.clone()),
            log,
            out: Outbox::new(),
            now: Now { nanos: 1, unix_millis: 1_700_000_000_000 },
            config,
            told: vec![Vec::new(); PORTS],
            held: (0..PORTS).map(|_| VecDeque::new()).collect(),
            turn_end: Position(0),
            room: 64,
            full: None,
            sockets_take: true,
            written: Vec::new(),
            connections_of: BTreeMap::new(),
            numbers: BTreeMap::new(),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        (0..PORTS).for_each(|port| self.broker.attach(PortIndex(port as u16)));
        assert!(!self.broker.is_ready(self.now, &mut self.log, &mut self.out), "nothing is reserved yet");
        self.log.seal();
        self.log.commit();
        assert!(self.broker.is_ready(self.now, &mut self.log, &mut self.out));
    }

    /// The process ends and starts again; the log keeps what was appended up to `keep`.
    pub fn crash(self, keep: Position) -> World {
        self.crash_losing(keep, |_| false, entry_lost).0
    }

    /// The process ends and starts again on all that is durable.
    pub fn restarted(self) -> World {
        let keep = self.log.committed();
        self.crash(keep)
    }

    /// The same, but for records that the disk has lost: those of which `lost` says so.
    pub fn crash_without(self, lost: impl Fn(&Stored) -> bool) -> (World, Vec<Mended>) {
        let keep = self.log.committed();
        self.crash_losing(keep, lost, entry_lost)
    }

    /// The same, where nobody can tell what these records were.
    pub fn crash_without_knowing(self, lost: impl Fn(&Stored) -> bool) -> World {
        let keep = self.log.committed();
        let entry = |stored: &Stored| Damage { record: None, sequence: None, ..entry_lost(stored) };
        self.crash_losing(keep, lost, entry).0
    }

    fn crash_losing(
        self,
        keep: Position,
        lost: impl Fn(&Stored) -> bool,
        entry: impl Fn(&Stored) -> Damage,
    ) -> (World, Vec<Mended>) {
        let mut broker = Broker::new(self.config.clone());
        let mut log = self.log.crash(keep);
        let records = std::mem::take(&mut log.records).into_iter();
        let (hit, left): (Vec<Stored>, Vec<Stored>) = records.partition(|stored| lost(stored));
        log.records = left;
        let damages: Vec<Damage> = hit.iter().map(entry).collect();
        broker.note_damages(&damages, false);
        for stored in &log.records {
            broker.follow(&stored.record(), stored.home).unwrap();
        }
        let mended = broker.recovered(self.now, damages.len() as u64, log.life);
        (World::recovered(self.config, self.now, broker, log), mended)
    }

    /// Goes on with a broker that has recovered from this log.
    pub fn recovered(config: Config, now: Now, broker: Broker, log: TestLog) -> World {
        let mut world = World::with(config, log.budget);
        (world.broker, world.log, world.now) = (broker, log, now);
        world.out = Outbox::new();
        world.start();
        world
    }

    /// One turn with these commands of one port, then what follows until nothing is left to do. Nothing is committed.
    pub fn turn(&mut self, port: usize, batch: &CommandBatch) {
        self.handle(port, batch);
        let more = self.broker.advance(self.now, &mut self.log, &mut self.out);
        self.turn_end = self.end_turn();
        if more || !self.written.is_empty() {
            self.idle();
        }
    }

    /// Commands by themselves: what follows from them is left to [`World::go_on`].
    pub fn handle(&mut self, port: usize, batch: &CommandBatch) {
        let index = PortIndex(port as u16);
        self.open_rings();
        assert!(self.broker.is_ready(self.now, &mut self.log, &mut self.out), "enough sequences are reserved");
        self.log.begin(self.broker.bound(index, batch));
        for (place, command) in batch.commands.iter().enumerate() {
            self.broker.handle(index, command, &batch.arena, self.now, &mut self.log, &mut self.out);
            if self.broker.has_outgrown_bounds() {
                let rest = batch.commands[place + 1..].to_vec();
                self.log.begin(self.broker.bound(index, &CommandBatch { commands: rest, ..CommandBatch::default() }));
            }
        }
    }

    /// What goes on by itself in one turn, and what sockets say. True: there is more.
    pub fn go_on(&mut self) -> bool {
        self.open_rings();
        for (port, command) in std::mem::take(&mut self.written) {
            self.broker.handle(PortIndex(port as u16), &command, &[], self.now, &mut self.log, &mut self.out);
        }
        let more = self.broker.advance(self.now, &mut self.log, &mut self.out);
        self.turn_end = self.end_turn();
        more
    }

    fn open_rings(&mut self) {
        for port in 0..PORTS {
            let room = if self.full == Some(port) { 0 } else { self.room };
            self.out.set_room(PortIndex(port as u16), room);
        }
    }

    /// As the turn does it: what was parked goes on, if the log takes it. True: something did.
    fn resume_parked(&mut self) -> bool {
        let Some(slice) = self.broker.parked_slice(256, &self.log) else { return false };
        self.log.begin(slice.bound);
        self.broker.unpark(slice, self.now, &mut self.log, &mut self.out);
        true
    }

    fn end_turn(&mut self) -> Position {
        self.broker.end_turn(self.now, &mut self.log, &mut self.out);
        let end = self.log.seal();
        for port in 0..PORTS {
            let index = PortIndex(port as u16);
            while let Some(batch) = self.out.take_deliveries(index) {
                self.take(port, batch);
            }
            while let Some(batch) = self.out.take_replies(index) {
                self.held[port].push_back((end, batch));
            }
        }
        self.release_replies();
        end
    }

    /// Turns without commands, but what sockets say, until there is nothing to do.
    pub fn idle(&mut self) {
        for _ in 0..100_000 {
            let written = std::mem::take(&mut self.written);
            let mut quiet = written.is_empty();
            self.open_rings();
            let _ = self.broker.is_ready(self.now, &mut self.log, &mut self.out);
            for (port, command) in written {
                self.broker.handle(PortIndex(port as u16), &command, &[], self.now, &mut self.log, &mut self.out);
            }
            quiet &= !self.resume_parked();
            let more = self.broker.advance(self.now, &mut self.log, &mut self.out);
            self.end_turn();
            let parked = self.broker.resumes_parked(&self.log);
            let more = more || parked || self.broker.walks_at_rest();
            if quiet && !more && self.written.is_empty() {
                return;
            }
        }
        panic!("the broker does not come to rest");
    }

    /// Everything becomes safe, and what waited for it goes on.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            self.log.commit();
            self.release_replies();
            self.idle();
            if !self.broker.wants_sync() {
                break;
            }
        }
        self.log.commit();
        self.release_replies();
    }

    pub fn release_replies(&mut self) {
        use postrider_broker::Log;
        let committed = self.log.committed();
        for port in 0..PORTS {
            while self.held[port].front().is_some_and(|(end, _)| *end <= committed) {
                let (_, batch) = self.held[port].pop_front().unwrap();
                self.take(port, batch);
            }
        }
    }

    fn take(&mut self, port: usize, batch: EventBatch) {
        assert!(!batch.is_empty());
        for event in &batch.events {
            let (place, sequence, redeliveries, span, consumers) = match event {
                Event::Dispatch(dispatch) => {
                    let consumers = vec![dispatch.to.consumer];
                    (dispatch.place, dispatch.sequence, dispatch.redeliveries, dispatch.destination, consumers)
                }
                Event::Fanout(fanout) => {
                    let Span { offset, length } = fanout.recipients;
                    let consumers = batch.recipients[offset as usize..(offset + length) as usize]
                        .iter()
                        .map(|to| to.consumer)
                        .collect();
                    (fanout.place, fanout.sequence, 0, fanout.destination, consumers)
                }
                other => {
                    self.told[port].push(Told::Event(other.clone()));
                    continue;
                }
            };
            let extent = &batch.extents[usize::from(place.extent)];
            let record = extent.image.bytes(place.offset as usize, place.length as usize).to_vec();
            let destination = span
                .of(&batch.arena)
                .split_first()
                .map(|(kind, name)| Destination::new(DestinationKind::from_number(*kind).unwrap(), name));
            let content = MessageView::parse(&record).unwrap().content().unwrap_or_default().to_vec();
            for consumer in consumers {
                let (content, record, destination) = (content.clone(), record.clone(), destination.clone());
                if self.sockets_take {
                    let connection = self.connections_of[&(port, consumer)];
                    self.written.push((port, Command::Written { connection, bytes: place.length }));
                }
                self.told[port].push(Told::Message(Got {
                    consumer,
                    sequence,
                    redeliveries,
                    content,
                    record,
                    destination,
                }));
            }
        }
        self.out.recycle(batch);
    }

    pub fn run(&mut self, port: usize, command: Command) {
        self.turn(port, &CommandBatch { commands: vec![command], ..CommandBatch::default() });
    }

    pub fn connect(&mut self, port: usize, slot: u32, id: &str) {
        self.connect_as(port, handle(slot), id, false);
    }

    pub fn connect_as(&mut self, port: usize, connection: Handle, id: &str, failover_reconnect: bool) {
        let open = OpenConnection {
            connection,
            request: wanted(1),
            id: id.as_bytes().into(),
            client_id: format!("client of {id}").as_bytes().into(),
            failover_reconnect,
            peer: "tcp://peer".into(),
            user: None,
            marks: 0,
        };
        self.numbers.retain(|(other_port, other, _), _| (*other_port, *other) != (port, connection));
        self.run(port, Command::OpenConnection(Box::new(open)));
        let open = OpenProducer { session: 1, ..producer(connection, 1) };
        self.run(port, Command::OpenProducer(Box::new(open)));
    }

    pub fn open(&self, connection: u32, consumer: u32, destinations: &[Destination], prefetch: u32) -> OpenConsumer {
        OpenConsumer {
            connection: handle(connection),
            request: wanted(2),
            consumer: handle(consumer),
            destinations: destinations.into(),
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
            described: Described::default(),
        }
    }

    pub fn consume_as(&mut self, port: usize, open: OpenConsumer) {
        self.connections_of.insert((port, open.consumer), open.connection);
        self.run(port, Command::OpenConsumer(Box::new(open)));
    }

    pub fn consume(&mut self, port: usize, connection: u32, consumer: u32, destination: &Destination, prefetch: u32) {
        let open = self.open(connection, consumer, std::slice::from_ref(destination), prefetch);
        self.consume_as(port, open);
    }

    /// A command that publishes, in a batch of its own.
    pub fn publish(
        &mut self,
        port: usize,
        connection: Handle,
        to: &[Destination],
        persistent: bool,
        (record, sequence): (&[u8], i64),
        request: Request,
    ) -> CommandBatch {
        let mut batch = CommandBatch::default();
        let key = (port, connection, to.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(key).or_insert_with(|| {
            batch.commands.push(Command::DefineDestination { connection, number: next, destinations: to.into() });
            next
        });
        let span = batch.store(record);
        batch.commands.push(Command::Publish(Publish {
            connection,
            request,
            producer: 0,
            destination: number,
            record: span,
            record_crc: body_crc(record),
            persistent,
            windowed: false,
            transaction: None,
            producer_sequence: sequence,
        }));
        batch
    }

    pub fn send_as(
        &mut self,
        port: usize,
        connection: Handle,
        to: &[Destination],
        persistent: bool,
        message: (&[u8], i64),
        request: Request,
    ) {
        let batch = self.publish(port, connection, to, persistent, message, request);
        self.turn(port, &batch);
    }

    pub fn send(&mut self, port: usize, connection: u32, to: &Destination, content: &str, persistent: bool) {
        let to = std::slice::from_ref(to);
        let bytes = record(to, content.as_bytes(), persistent, 0, 0);
        self.send_as(port, handle(connection), to, persistent, (&bytes, 0), wanted(7));
    }

    /// The first connection's consumer acknowledges each message that comes to the queue `churn`: the front of the log moves on.
    pub fn churn(&mut self, consumer: u32, passes: usize, bytes: usize) {
        let text = "x".repeat(bytes);
        for _ in 0..passes {
            self.send(0, 1, &queue("churn"), &text, true);
            self.settle();
            let last = self.got(0).last().unwrap().sequence.0;
            self.acknowledge(0, 1, consumer, AcknowledgeKind::Standard, (0, last), 1);
        }
    }

    pub fn acknowledge(
        &mut self,
        port: usize,
        connection: u32,
        consumer: u32,
        kind: AcknowledgeKind,
        range: (u64, u64),
        count: u32,
    ) {
        self.turn(port, &acknowledging(connection, consumer, kind, range, count, b"java.lang.Exception: no"));
    }

    pub fn close_consumer(&mut self, port: usize, connection: u32, consumer: u32, last_delivered: LastDelivered) {
        let (connection, consumer) = (handle(connection), handle(consumer));
        self.run(port, Command::CloseConsumer { connection, consumer, last_delivered, request: wanted(3) });
    }

    pub fn disconnect(&mut self, port: usize, connection: Handle, clean: bool) {
        let last_delivered = LastDelivered::Unknown;
        self.run(port, Command::CloseConnection { connection, request: Request::default(), last_delivered, clean });
    }

    pub fn create_temporary(&mut self, port: usize, connection: u32, destination: &Destination) {
        let create =
            CreateTemporary { connection: handle(connection), request: wanted(4), destination: destination.clone() };
        self.run(port, Command::CreateTemporary(Box::new(create)));
    }

    pub fn delete(&mut self, port: usize, connection: u32, destination: &Destination) {
        let (connection, destination) = (handle(connection), Box::new(destination.clone()));
        self.run(port, Command::DeleteDestination { connection, destination, request: wanted(8) });
    }

    /// Takes what a port was told.
    pub fn heard(&mut self, port: usize) -> Vec<Told> {
        std::mem::take(&mut self.told[port])
    }

    /// Takes what a port was told, messages only.
    pub fn got(&mut self, port: usize) -> Vec<Got> {
        let told = self.heard(port).into_iter();
        told.filter_map(|told| if let Told::Message(got) = told { Some(got) } else { None }).collect()
    }

    /// Contents of the messages that a port was told of.
    pub fn texts(&mut self, port: usize) -> Vec<String> {
        self.got(port).into_iter().map(|got| String::from_utf8(got.content).unwrap()).collect()
    }

    /// Takes what a port was told, but messages.
    pub fn events(&mut self, port: usize) -> Vec<Event> {
        let told = self.heard(port).into_iter();
        told.filter_map(|told| if let Told::Event(event) = told { Some(event) } else { None }).collect()
    }
}

/// A producer of another session than the one that [`World::connect`] opens. It wants no answer.
pub fn producer(connection: Handle, value: i64) -> OpenProducer {
    OpenProducer {
        connection,
        request: Request::default(),
        producer: 0,
        session: 3,
        value,
        destinations: Box::default(),
        window: 0,
        described: Described::default(),
    }
}

/// A command that acknowledges, in a batch of its own.
pub fn acknowledging(
    connection: u32,
    consumer: u32,
    kind: AcknowledgeKind,
    (first, last): (u64, u64),
    count: u32,
    cause: &[u8],
) -> CommandBatch {
    let mut batch = CommandBatch::default();
    let cause = batch.store(cause);
    batch.commands.push(Command::Acknowledge(Acknowledge {
        connection: handle(connection),
        request: wanted(9),
        consumer: handle(consumer),
        kind,
        first: Sequence(first),
        last: Sequence(last),
        count,
        transaction: None,
        cause,
    }));
    batch
}

pub fn wanted(number: u64) -> Request {
    Request::new(Token(number), true)
}
