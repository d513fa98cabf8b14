//! What a message, a walk and a begin cost the state machine: run with `--release -- --ignored --nocapture cost`.

use crate::world::{handle, producer, queue, record};
use postrider_broker::{Broker, Config, Log, LogKind, Outbox, records};
use postrider_journal::{
    Bound, Extent, Home, ImageWriter, Kept, Lookup, Position, Purpose, Record, Remains, SegmentNumber, SpoolUse,
};
use postrider_model::command::{
    Acknowledge, AcknowledgeKind, OpenConnection, OpenConsumer, OpenProducer, Publish, Request,
};
use postrider_model::{Command, CommandBatch, DestinationId, Event, Now, PortIndex, Sequence, Token};
use std::time::Instant;

/// A log that copies nothing: every record lies in the same memory.
struct NoLog {
    extent: Extent,
    end: u64,
    ordinal: u32,
    committed: u64,
    length: u32,
    /// How long it says that it is.
    live: u64,
}

impl Log for NoLog {
    fn reserve(&mut self, _purpose: Purpose, _bound: Bound) -> bool {
        true
    }

    fn has_fallen_behind(&self) -> bool {
        false
    }

    fn stage(&mut self, _store: LogKind, record: &Record<'_>) -> Home {
        let before = self.end >> 26;
        self.end += 64 + record.meta.len() as u64 + record.body.len() as u64;
        let segment = SegmentNumber(self.end >> 26);
        self.ordinal = if before != segment.0 { 0 } else { self.ordinal + 1 };
        Home { position: Position(self.end), segment, ordinal: self.ordinal, len: record.body.len() as u32 }
    }

    fn extent(&mut self, _store: LogKind, position: Position, _length: u32, _crc: u32) -> Lookup {
        self.extent.base = Position(position.0 - u64::from(self.length));
        Lookup::Memory(self.extent.clone())
    }

    fn fetch(&mut self, _store: LogKind, _position: Position, _length: u32) {}

    fn restage(&mut self, record: &Record<'_>) -> Home {
        self.stage(LogKind::Spool, record)
    }

    fn spool_use(&self) -> SpoolUse {
        SpoolUse::default()
    }

    fn spool_segment_bytes(&self, _segment: SegmentNumber) -> u64 {
        1 << 26
    }

    fn shortage(&self) -> Option<String> {
        None
    }

    fn remains(&self, _store: LogKind, _position: Position, _length: u32) -> Remains {
        unreachable!("nothing is damaged here")
    }

    fn kept(&mut self, _sequence: Sequence) -> Kept {
        Kept::No
    }

    fn keep_aside(&mut self, _sequence: Sequence, _about: String, _bytes: Vec<u8>) {}

    fn release(&mut self, _segment: SegmentNumber) {}

    fn committed(&self) -> Position {
        Position(self.committed)
    }

    fn set_head(&mut self, _segment: SegmentNumber) {}

    fn live_log_bytes(&self) -> u64 {
        self.live
    }

    fn oversize(&self) -> &[(SegmentNumber, u64)] {
        &[]
    }

    fn segment_bytes(&self) -> u64 {
        1 << 26
    }

    fn disk_budget(&self) -> u64 {
        1 << 40
    }

    fn is_measured_again(&self) -> bool {
        false
    }
}

#[test]
#[ignore = "measures, run it by itself"]
fn cost_of_a_message() {
    for (name, persistent, queues, to_topic) in [
        ("persistent, 4 queues", true, 4u32, false),
        ("non-persistent, 1 queue", false, 1, false),
        ("topic, 4 subscribers", false, 1, true),
    ] {
        let nanos = (0..5).map(|_| measure(persistent, queues, to_topic)).min().unwrap();
        println!("{name}: {nanos} ns a message");
    }
}

/// Turns in which the front is walked, and all of it lives, by the content of the messages.
#[test]
#[ignore = "measures, run it by itself"]
fn cost_of_a_walk() {
    for content in [0, 100, 1_000, 10_000] {
        let (moved, nanos) = measure_walk(content);
        println!("{content} bytes: {moved} messages move in a turn, {} us", nanos / 1_000);
    }
}

/// A life begins on so many destinations and producers that are remembered.
#[test]
#[ignore = "measures, run it by itself"]
fn cost_of_a_begin() {
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let mut broker = Broker::new(Config::default());
        let mut meta = Vec::new();
        let mut follow = |number: u32, kind: u8, meta: &[u8]| {
            let record = Record { kind, flags: 0, sequence: 0, meta, body: &[], body_crc: 0 };
            let position = Position(u64::from(number) * 200);
            broker.follow(&record, Home { position, segment: SegmentNumber(0), ordinal: number, len: 0 }).unwrap();
        };
        for number in 0..count {
            let name = queue(&format!("some.longer.name.of.a.queue.{number}"));
            records::write_destination(&mut meta, DestinationId(number + 1), &name);
            follow(2 * number, records::kind::DESTINATION, &meta);
            records::write_mark(&mut meta, format!("ID:host-1-2-3:{number}").as_bytes(), (1, 1), &[(1, 5)]);
            follow(2 * number + 1, records::kind::MARK, &meta);
        }
        let started = Instant::now();
        broker.recovered(NOW, 0, 1);
        println!("{count} queues and producers: {} us", started.elapsed().as_micros());
    }
}

const NOW: Now = Now { nanos: 1, unix_millis: 1 };

/// A broker that takes commands, and a log in which each message has these bytes.
fn ready(bytes: &[u8]) -> (Broker, NoLog, Outbox) {
    let mut writer = ImageWriter::anonymous(1 << 30).unwrap();
    writer.publish(1 << 30);
    let extent = Extent { base: Position(0), image: writer.image().clone() };
    let mut log = NoLog { extent, end: 1 << 20, ordinal: 0, committed: 0, length: bytes.len() as u32, live: 0 };
    let (mut broker, mut out) = (Broker::new(Config::default()), Outbox::new());
    broker.attach(PortIndex(0));
    while !broker.is_ready(NOW, &mut log, &mut out) {
        log.committed = log.end + 1;
    }
    (broker, log, out)
}

/// What opens a connection with a producer.
fn connected() -> CommandBatch {
    let mut batch = CommandBatch::default();
    let request = Request::default();
    batch.commands.push(Command::OpenConnection(Box::new(OpenConnection {
        connection: handle(1),
        request,
        id: b"c".as_slice().into(),
        client_id: b"c".as_slice().into(),
        failover_reconnect: false,
        peer: "".into(),
        user: None,
        marks: 0,
    })));
    let open = OpenProducer { session: 1, ..producer(handle(1), 1) };
    batch.commands.push(Command::OpenProducer(Box::new(open)));
    batch
}

/// One more message to the destination of this number.
fn publish(
    batch: &mut CommandBatch,
    bytes: &[u8],
    (request, persistent): (Request, bool),
    destination: u32,
    sent: i64,
) {
    let record = batch.store(bytes);
    batch.commands.push(Command::Publish(Publish {
        connection: handle(1),
        request,
        producer: 0,
        destination,
        record,
        record_crc: 0,
        persistent,
        windowed: false,
        transaction: None,
        producer_sequence: sent,
    }));
}

/// A turn with these commands, after which all is committed.
fn turn(broker: &mut Broker, log: &mut NoLog, out: &mut Outbox, batch: &CommandBatch) {
    for command in &batch.commands {
        broker.handle(PortIndex(0), command, &batch.arena, NOW, log, out);
    }
    broker.advance(NOW, log, out);
    broker.end_turn(NOW, log, out);
    log.committed = log.end + 1;
}

fn measure_walk(content: usize) -> (u64, u128) {
    let bytes = record(&[queue("q")], &vec![b'x'; content], true, 1, 0);
    let (mut broker, mut log, mut out) = ready(&bytes);
    let mut batch = connected();
    let (connection, destinations) = (handle(1), Box::new([queue("q")]));
    batch.commands.push(Command::DefineDestination { connection, number: 0, destinations });
    let mut sent = 0;
    while log.end < 4 << 26 {
        for _ in 0..200 {
            sent += 1;
            publish(&mut batch, &bytes, (Request::default(), true), 0, sent);
        }
        turn(&mut broker, &mut log, &mut out, &batch);
        batch.clear();
        broker.is_ready(NOW, &mut log, &mut out);
    }
    log.live = 1 << 39;
    let mut turns = Vec::new();
    for _ in 0..40 {
        let before = broker.statistics().moved;
        let started = Instant::now();
        turn(&mut broker, &mut log, &mut out, &batch);
        turns.push((started.elapsed().as_nanos(), broker.statistics().moved - before));
    }
    turns.sort_unstable();
    let (nanos, moved) = turns[turns.len() / 2];
    (moved, nanos)
}

fn measure(persistent: bool, queues: u32, to_topic: bool) -> u128 {
    const ROUNDS: u32 = 4_000;
    const BATCH: u32 = 120;
    let name = |number: u32| if to_topic { crate::world::topic("t") } else { queue(&format!("q{number}")) };
    let bytes = record(&[name(0)], &[b'x'; 256], persistent, 1, 0);
    let (mut broker, mut log, mut out) = ready(&bytes);
    let port = PortIndex(0);
    let (mut setup, request) = (connected(), Request::default());
    for number in 0..4 {
        let (connection, consumer, destinations) = (handle(1), handle(number), Box::new([name(number % queues)]));
        let open = OpenConsumer {
            connection,
            request,
            consumer,
            destinations,
            prefetch: 1_000,
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
        };
        setup.commands.push(Command::OpenConsumer(Box::new(open)));
        let destinations = Box::new([name(number % queues)]);
        setup.commands.push(Command::DefineDestination { connection, number, destinations });
    }
    for command in &setup.commands {
        broker.handle(port, command, &setup.arena, NOW, &mut log, &mut out);
    }
    let mut batch = CommandBatch::default();
    let started = Instant::now();
    let mut sent = 0i64;
    let mut got = 0u64;
    let mut acknowledgements: Vec<Command> = Vec::new();
    let request = Request::new(Token(1), persistent);
    for _ in 0..ROUNDS {
        batch.clear();
        for number in 0..BATCH {
            sent += 1;
            publish(&mut batch, &bytes, (request, persistent), number % queues, sent);
        }
        batch.commands.append(&mut acknowledgements);
        out.set_room(port, 64);
        std::hint::black_box(broker.bound(port, &batch));
        turn(&mut broker, &mut log, &mut out, &batch);
        while let Some(batch) = out.take_deliveries(port) {
            for event in &batch.events {
                let (consumer, sequence, count) = match event {
                    Event::Dispatch(dispatch) => (dispatch.to.consumer, dispatch.sequence, 1),
                    Event::Fanout(fanout) => (handle(0), fanout.sequence, fanout.recipients.length),
                    _ => continue,
                };
                got += u64::from(count);
                for number in 0..count {
                    let consumer = if count > 1 { handle(number) } else { consumer };
                    acknowledgements.push(Command::Acknowledge(Acknowledge {
                        connection: handle(1),
                        request: Request::default(),
                        consumer,
                        kind: AcknowledgeKind::Standard,
                        first: sequence,
                        last: sequence,
                        count: 1,
                        transaction: None,
                        cause: Default::default(),
                    }));
                }
                let bytes = bytes.len() as u32 * count;
                acknowledgements.push(Command::Written { connection: handle(1), bytes });
            }
            out.recycle(batch);
        }
        while let Some(batch) = out.take_replies(port) {
            out.recycle(batch);
        }
    }
    let each = started.elapsed().as_nanos() / u128::from(ROUNDS * BATCH);
    assert!(got + 2_000 >= u64::from(ROUNDS * BATCH), "{got} of {} came", ROUNDS * BATCH);
    each
}
