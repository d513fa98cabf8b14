//! Queues against a plain model: random sends, acknowledgements, closings, takeovers, commits and crashes. Nothing is lost or
//! invented, order and credit are kept, redelivery is never under-marked.

use crate::log::TestLog;
use crate::world::{Got, Told, World, queue, record_of};
use postrider_broker::{Config, Log, WindowSizes};
use postrider_journal::{Position, body_crc};
use postrider_model::command::{Acknowledge, AcknowledgeKind, LastDelivered, OpenConsumer, Publish, Request};
use postrider_model::{Command, CommandBatch, Event, Handle, Sequence, Token};
use std::collections::{BTreeMap, BTreeSet};

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

const DEAD: &str = "ActiveMQ.DLQ";
const CHUNK: usize = 4;

/// Numbers of requests that send.
const SENDS: u64 = 1_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waits,
    Held(usize, Handle),
}

#[derive(Clone, Debug)]
struct Item {
    id: u64,
    /// Its place in the queue.
    order: u64,
    persistent: bool,
    stored: Position,
    state: State,
    /// Deliveries that must show.
    deliveries: u32,
    /// No more may show than that.
    exact: bool,
}

#[derive(Clone, Debug)]
struct Consumer {
    connection: Handle,
    queue: &'static str,
    prefetch: u32,
    extension: u32,
    held: Vec<(u64, u64)>,
}

struct Client {
    name: String,
    connection: Option<(usize, Handle)>,
    next: i64,
    /// Sends without an answer: number, id, queue.
    unanswered: BTreeMap<i64, (u64, &'static str)>,
    came_back: bool,
}

struct Model {
    world: World,
    random: Random,
    queues: BTreeMap<&'static str, Vec<Item>>,
    /// Acknowledged, perhaps not durably.
    done: Vec<(&'static str, Item, Position)>,
    /// Which message each sequence was, in all lives.
    sequences: BTreeMap<u64, u64>,
    /// Acknowledged durably: it must not come again, even if its send does.
    consumed: BTreeSet<u64>,
    consumers: BTreeMap<(usize, Handle), Consumer>,
    clients: Vec<Client>,
    records: BTreeMap<u64, Vec<u8>>,
    next_id: u64,
    next_order: u64,
    generations: BTreeMap<(usize, u32), u32>,
    over_marked: usize,
}

const QUEUES: [&str; 3] = ["a", "b", "c"];

impl Model {
    fn new(seed: u64) -> Model {
        let config = Config {
            reservation: 200_000,
            allowance_chunk: CHUNK,
            send_window: WindowSizes { first: 20_000, largest: 40_000, proof: 20_000 },
            ..Config::default()
        };
        let clients = (0..3).map(|number| Client {
            name: format!("ID:client:{number}"),
            connection: None,
            next: 1,
            unanswered: BTreeMap::new(),
            came_back: false,
        });
        Model {
            world: World::over(config, TestLog::new(2 << 20, 4 << 10)),
            random: Random(seed),
            queues: QUEUES.iter().chain([&DEAD]).map(|name| (*name, Vec::new())).collect(),
            done: Vec::new(),
            sequences: BTreeMap::new(),
            consumed: BTreeSet::new(),
            consumers: BTreeMap::new(),
            clients: clients.collect(),
            records: BTreeMap::new(),
            next_id: 1,
            next_order: 0,
            generations: BTreeMap::new(),
            over_marked: 0,
        }
    }

    fn take_handle(&mut self, port: usize, slot: u32) -> Handle {
        let generation = self.generations.entry((port, slot)).or_default();
        *generation += 1;
        Handle { slot, generation: *generation }
    }

    fn step(&mut self) {
        let choice = self.random.below(100);
        match choice {
            0..35 => self.send(),
            35..60 => self.acknowledge(),
            60..66 => self.open_consumer(),
            66..70 => self.close_consumer(),
            70..72 => self.leave(),
            72..74 => self.take_over(),
            74..94 => self.commit(),
            94..98 => self.squeeze(),
            98 => self.crash(),
            _ => self.world.now.nanos += 1_000_000_000,
        }
        self.check();
    }

    fn client(&mut self) -> usize {
        let number = self.random.below(self.clients.len() as u64) as usize;
        if self.clients[number].connection.is_none() {
            self.come(number);
        }
        number
    }

    fn come(&mut self, number: usize) {
        let port = self.random.below(2) as usize;
        let connection = self.take_handle(port, number as u32);
        let name = self.clients[number].name.clone();
        let came_back = self.clients[number].came_back;
        self.world.connect_as(port, connection, &name, came_back);
        self.clients[number].connection = Some((port, connection));
        self.check();
        for (sequence, (id, queue)) in self.clients[number].unanswered.clone() {
            self.publish(number, sequence, id, queue, true);
            self.check();
        }
    }

    fn send(&mut self) {
        let number = self.client();
        let (id, sequence) = (self.next_id, self.clients[number].next);
        self.next_id += 1;
        self.clients[number].next += 1;
        let queue = QUEUES[self.random.below(3) as usize];
        let persistent = self.random.below(4) > 0;
        let mut content = id.to_le_bytes().to_vec();
        content.resize(8 + self.random.below(1_000) as usize, 0);
        let bytes = record_of(
            (&self.clients[number].name, 1, 1),
            &[crate::world::queue(queue)],
            &content,
            persistent,
            sequence,
            0,
        );
        self.records.insert(id, bytes);
        if persistent {
            self.clients[number].unanswered.insert(sequence, (id, queue));
        }
        self.publish(number, sequence, id, queue, persistent);
    }

    fn publish(&mut self, number: usize, sequence: i64, id: u64, queue: &'static str, persistent: bool) {
        let (port, connection) = self.clients[number].connection.unwrap();
        let known =
            self.queues[queue].iter().any(|item| item.id == id) || self.done.iter().any(|(_, item, _)| item.id == id);
        let known = known || self.consumed.contains(&id) || self.queues[DEAD].iter().any(|item| item.id == id);
        let mut batch = CommandBatch::default();
        let number_of_queue = QUEUES.iter().position(|name| *name == queue).unwrap() as u32;
        let destinations = Box::new([crate::world::queue(queue)]);
        batch.commands.push(Command::DefineDestination { connection, number: number_of_queue, destinations });
        let span = batch.store(&self.records[&id]);
        batch.commands.push(Command::Publish(Publish {
            connection,
            request: Request::new(Token(sequence as u64 + SENDS), persistent),
            producer: 0,
            destination: number_of_queue,
            record: span,
            record_crc: body_crc(&self.records[&id]),
            persistent,
            windowed: false,
            transaction: None,
            producer_sequence: sequence,
        }));
        self.next_order += 1;
        let order = self.next_order;
        let item =
            Item { id, order, persistent, stored: Position(u64::MAX), state: State::Waits, deliveries: 0, exact: true };
        if !known {
            self.queues.get_mut(queue).unwrap().push(item);
        }
        self.world.turn(port, &batch);
        let end = self.world.turn_end;
        if let Some(item) = self.queues.get_mut(queue).unwrap().iter_mut().find(|item| item.id == id && !known) {
            item.stored = end;
        }
    }

    fn acknowledge(&mut self) {
        let holding: Vec<(usize, Handle)> =
            self.consumers.iter().filter(|(_, consumer)| !consumer.held.is_empty()).map(|(key, _)| *key).collect();
        if holding.is_empty() {
            return;
        }
        let key = holding[self.random.below(holding.len() as u64) as usize];
        let mut held = self.consumers[&key].held.clone();
        let first = if self.random.below(3) > 0 { 0 } else { self.random.below(held.len() as u64) as usize };
        let count = 1 + self.random.below((held.len() - first) as u64) as usize;
        let range: Vec<(u64, u64)> = held.drain(first..first + count).collect();
        let kind = match self.random.below(10) {
            0 => AcknowledgeKind::Delivered,
            1 => AcknowledgeKind::Individual,
            2 => AcknowledgeKind::Poison,
            _ => AcknowledgeKind::Standard,
        };
        let range = if kind == AcknowledgeKind::Individual { range[range.len() - 1..].to_vec() } else { range };
        let consumer = self.consumers.get_mut(&key).unwrap();
        let (connection, queue, count) = (consumer.connection, consumer.queue, range.len() as u32);
        if kind == AcknowledgeKind::Delivered {
            consumer.extension += count;
        } else {
            let lowered = match kind {
                // What it has reported and gives up counts for what follows.
                AcknowledgeKind::Poison => 0,
                _ => count,
            };
            consumer.extension = consumer.extension.saturating_sub(lowered);
            consumer.held.retain(|entry| !range.contains(entry));
        }
        let mut moved = Vec::new();
        if kind != AcknowledgeKind::Delivered {
            for (_, id) in &range {
                let items = self.queues.get_mut(queue).unwrap();
                let at = items.iter().position(|item| item.id == *id).expect("what is held is there");
                moved.push(items.remove(at));
            }
        }
        if kind == AcknowledgeKind::Poison && queue != DEAD {
            for item in moved.iter().filter(|item| item.persistent) {
                self.next_order += 1;
                let order = self.next_order;
                let dead = Item {
                    order,
                    state: State::Waits,
                    deliveries: 0,
                    exact: true,
                    stored: Position(u64::MAX),
                    ..item.clone()
                };
                self.queues.get_mut(DEAD).unwrap().push(dead);
            }
        }
        let mut batch = CommandBatch::default();
        let cause = batch.store(b"cause");
        let first = if kind == AcknowledgeKind::Individual { 0 } else { range[0].0 };
        batch.commands.push(Command::Acknowledge(Acknowledge {
            connection,
            request: Request::default(),
            consumer: key.1,
            kind,
            first: Sequence(first),
            last: Sequence(range[range.len() - 1].0),
            count,
            transaction: None,
            cause,
        }));
        self.world.turn(key.0, &batch);
        let end = self.world.turn_end;
        for item in self.queues.get_mut(DEAD).unwrap().iter_mut().filter(|item| item.stored == Position(u64::MAX)) {
            item.stored = end;
        }
        self.done.extend(moved.into_iter().map(|item| (queue, item, end)));
    }

    fn open_consumer(&mut self) {
        let number = self.client();
        let (port, connection) = self.clients[number].connection.unwrap();
        let slot = 10 + self.random.below(5) as u32;
        if self.consumers.keys().any(|(other, handle)| *other == port && handle.slot == slot) {
            return;
        }
        let handle = self.take_handle(port, slot);
        let name = if self.random.below(6) == 0 { DEAD } else { QUEUES[self.random.below(3) as usize] };
        let prefetch = 1 + self.random.below(8) as u32;
        let open = OpenConsumer { connection, consumer: handle, ..self.world.open(0, 0, &[queue(name)], prefetch) };
        let consumer = Consumer { connection, queue: name, prefetch, extension: 0, held: Vec::new() };
        self.consumers.insert((port, handle), consumer);
        self.world.consume_as(port, open);
    }

    fn close_consumer(&mut self) {
        let Some(key) = self.consumers.keys().copied().nth(self.random.below(6) as usize) else { return };
        let held = self.consumers[&key].held.clone();
        let last_delivered = match (self.random.below(3), held.is_empty()) {
            (0, _) => LastDelivered::Unknown,
            (1, false) => LastDelivered::UpTo(Sequence(held[self.random.below(held.len() as u64) as usize].0)),
            _ => LastDelivered::None,
        };
        let connection = self.consumers[&key].connection;
        self.give_back(key, last_delivered);
        let command =
            Command::CloseConsumer { connection, consumer: key.1, last_delivered, request: Request::default() };
        self.world.run(key.0, command);
    }

    fn give_back(&mut self, key: (usize, Handle), last_delivered: LastDelivered) {
        let consumer = self.consumers.remove(&key).unwrap();
        let delivered = match last_delivered {
            LastDelivered::Unknown => consumer.held.len(),
            LastDelivered::None => 0,
            LastDelivered::UpTo(last) => {
                1 + consumer.held.iter().position(|(sequence, _)| *sequence == last.0).unwrap()
            }
        };
        for (number, (_, id)) in consumer.held.iter().enumerate() {
            let item = self.queues.get_mut(consumer.queue).unwrap().iter_mut().find(|item| item.id == *id).unwrap();
            item.state = State::Waits;
            item.deliveries += u32::from(number < delivered);
        }
    }

    fn give_all_back(&mut self, port: usize, connection: Handle) {
        let theirs = |(key, consumer): (&(usize, Handle), &Consumer)| {
            (key.0 == port && consumer.connection == connection).then_some(*key)
        };
        for key in self.consumers.iter().filter_map(theirs).collect::<Vec<_>>() {
            self.give_back(key, LastDelivered::Unknown);
        }
    }

    fn leave(&mut self) {
        let number = self.random.below(self.clients.len() as u64) as usize;
        let Some((port, connection)) = self.clients[number].connection.take() else { return };
        self.give_all_back(port, connection);
        self.clients[number].came_back = true;
        self.world.disconnect(port, connection, false);
    }

    fn take_over(&mut self) {
        let number = self.random.below(self.clients.len() as u64) as usize;
        let Some((port, old)) = self.clients[number].connection else { return };
        self.give_all_back(port, old);
        self.clients[number].came_back = true;
        self.come(number);
        // The old socket's end is noticed late.
        self.world.disconnect(port, old, false);
    }

    fn commit(&mut self) {
        let turns = self.world.log.open_turns();
        if turns.is_empty() {
            return;
        }
        let to = turns[self.random.below(turns.len() as u64) as usize];
        self.world.log.commit_to(to);
        self.world.release_replies();
        self.world.idle();
    }

    fn squeeze(&mut self) {
        self.world.room = self.random.below(3) as usize;
        self.world.idle();
    }

    fn crash(&mut self) {
        self.check();
        let committed = self.world.log.committed();
        let mut ends = self.world.log.open_turns();
        ends.push(committed);
        let keep = ends[self.random.below(ends.len() as u64) as usize];
        let old = std::mem::replace(&mut self.world, World::new());
        self.world = old.crash(keep);
        for (queue, item, end) in std::mem::take(&mut self.done) {
            if end <= keep {
                self.consumed.insert(item.id);
            } else {
                self.queues.get_mut(queue).unwrap().push(item);
                self.queues.get_mut(DEAD).unwrap().retain(|dead| dead.stored <= keep || dead.stored != end);
            }
        }
        for items in self.queues.values_mut() {
            items.retain(|item| item.persistent && item.stored <= keep);
            items.sort_by_key(|item| item.order);
            for item in items {
                let delivered = item.deliveries > 0 || item.state != State::Waits;
                (item.state, item.exact, item.deliveries) = (State::Waits, false, u32::from(delivered));
                item.stored = Position(0);
            }
        }
        self.consumers.clear();
        for client in &mut self.clients {
            (client.connection, client.came_back) = (None, true);
        }
    }

    fn check(&mut self) {
        let mut messages = Vec::new();
        for port in 0..2 {
            for told in self.world.heard(port) {
                match told {
                    Told::Message(got) => messages.push((got.sequence, port, got)),
                    Told::Event(Event::Reply { connection, token }) => self.answered(port, connection, token),
                    Told::Event(Event::Failed { message, .. }) => panic!("{message}"),
                    Told::Event(_) => {}
                }
            }
        }
        // Ports hear side by side: within a turn a queue's messages go out by sequence.
        messages.sort_by_key(|(sequence, ..)| *sequence);
        for (_, port, got) in messages {
            self.check_message(port, &got);
        }
        let committed = self.world.log.committed();
        let consumed = self.done.iter().filter(|(_, _, end)| *end <= committed).map(|(_, item, _)| item.id);
        self.consumed.extend(consumed);
        self.done.retain(|(_, _, end)| *end > committed);
        let total: usize = self.queues.values().map(Vec::len).sum();
        assert_eq!(self.world.broker.statistics().messages, total as u64);
    }

    fn answered(&mut self, port: usize, connection: Handle, Token(token): Token) {
        let client = self.clients.iter_mut().find(|client| client.connection == Some((port, connection)));
        let Some(client) = client else { return };
        let send = token.checked_sub(SENDS).and_then(|number| client.unanswered.remove(&(number as i64)));
        if let Some((id, queue)) = send {
            let stored = self.queues[queue].iter().find(|item| item.id == id).map(|item| item.stored);
            let committed = self.world.log.committed();
            assert!(stored.is_none_or(|stored| stored <= committed), "{id} is answered before it is safe");
        }
    }

    fn check_message(&mut self, port: usize, got: &Got) {
        let key = (port, got.consumer);
        let id = u64::from_le_bytes(got.content[..8].try_into().unwrap());
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        let known = self.sequences.insert(got.sequence.0, id);
        assert!(known.is_none_or(|known| known == id), "sequence {} is used twice", got.sequence);
        let items = self.queues.get_mut(consumer.queue).unwrap();
        let first = items.iter().position(|item| item.state == State::Waits);
        let at = items.iter().position(|item| item.id == id);
        let at = at.unwrap_or_else(|| panic!("{id} comes from nowhere"));
        if consumer.queue != DEAD {
            assert_eq!(Some(at), first, "message {id} of {} goes out of turn", consumer.queue);
            assert_eq!(got.record, self.records[&id], "altered");
        }
        let item = &mut items[at];
        assert_eq!(item.state, State::Waits, "{id} is in flight");
        assert!(!item.persistent || item.stored <= self.world.log.committed(), "{id} goes before its commit");
        assert!(
            got.redeliveries >= item.deliveries,
            "{id} had {} deliveries, {} told",
            item.deliveries,
            got.redeliveries
        );
        assert!(!item.exact || got.redeliveries == item.deliveries, "{id} counts {}", got.redeliveries);
        self.over_marked += usize::from(got.redeliveries > item.deliveries);
        (item.deliveries, item.exact) = (got.redeliveries, true);
        item.state = State::Held(port, got.consumer);
        consumer.held.push((got.sequence.0, id));
        assert!(consumer.held.len() as u32 <= consumer.prefetch + consumer.extension, "more than the credit");
    }

    /// Everybody leaves, all that is left is consumed: it is what the model has, and then nothing is left.
    fn drain(&mut self) {
        self.world.room = 64;
        for client in 0..self.clients.len() {
            if let Some((port, connection)) = self.clients[client].connection.take() {
                self.give_all_back(port, connection);
                self.world.disconnect(port, connection, true);
                self.check();
            }
        }
        self.world.settle();
        self.check();
        let connection = self.take_handle(0, 9);
        self.world.connect_as(0, connection, "drain", false);
        for (number, name) in QUEUES.iter().chain([&DEAD]).enumerate() {
            let handle = self.take_handle(0, 20 + number as u32);
            let open = OpenConsumer { connection, consumer: handle, ..self.world.open(0, 0, &[queue(name)], 30_000) };
            let consumer = Consumer { connection, queue: name, prefetch: 30_000, extension: 0, held: Vec::new() };
            self.consumers.insert((0, handle), consumer);
            self.world.consume_as(0, open);
            self.world.settle();
            self.check();
        }
        let waiting = self.queues.values().flatten().filter(|item| item.state == State::Waits).count();
        assert_eq!(waiting, 0, "lost");
        for _ in 0..10_000 {
            if self.consumers.values().all(|consumer| consumer.held.is_empty()) {
                break;
            }
            self.acknowledge();
            self.world.settle();
            self.check();
        }
        assert_eq!(self.world.broker.statistics().messages, 0);
    }
}

pub fn run(seed: u64, steps: usize) -> BTreeSet<&'static str> {
    let mut model = Model::new(seed);
    for _ in 0..steps {
        model.step();
    }
    model.drain();
    let statistics = model.world.broker.statistics();
    let mut seen = BTreeSet::new();
    let facts = [
        ("moved", statistics.moved > 0),
        ("duplicates", statistics.duplicates > 0),
        ("dead letters", statistics.dead_lettered > 0),
        ("over-marked", model.over_marked > 0),
        ("front reclaimed", model.world.log.front().is_some_and(|front| front.0 > 0)),
    ];
    seen.extend(facts.iter().filter(|(_, seen)| *seen).map(|(name, _)| *name));
    seen
}

#[test]
pub fn queues_behave_like_the_model() {
    let mut seen = BTreeSet::new();
    let seeds = std::env::var("BROKER_MODEL_SEEDS").map_or(60, |seeds| seeds.parse().expect("a number of seeds"));
    for seed in 0..seeds {
        println!("seed {seed}");
        seen.extend(run(seed, if seed % 10 == 0 { 4_000 } else { 600 }));
    }
    assert_eq!(seen.len(), 5, "the runs met only {seen:?}");
}

/// R19: with one message that nobody takes, the log stays within three times what lives, and a constant.
#[test]
pub fn the_log_follows_what_lives() {
    const SEGMENT: u64 = 8 << 10;
    let config = Config { reservation: 200_000, ..Config::default() };
    let mut world = World::over(config, TestLog::new(64 << 20, SEGMENT));
    world.connect(0, 1, "a");
    let text = "x".repeat(1_000);
    world.send(0, 1, &queue("old"), &text, true);
    let backlog = 100;
    for _ in 0..backlog {
        world.send(0, 1, &queue("q"), &text, true);
    }
    world.consume(0, 1, 5, &queue("q"), 1);
    let mut next = 0;
    for turn in 0..6_000 {
        world.settle();
        let got = world.got(0);
        next = got.last().map_or(next, |got| got.sequence.0);
        world.acknowledge(0, 1, 5, AcknowledgeKind::Standard, (0, next), 1);
        world.send(0, 1, &queue("q"), &text, true);
        let (log, live) = (world.log.live_log_bytes(), world.broker.statistics().live_bytes);
        assert!(log <= 3 * live + 8 * SEGMENT, "turn {turn}: {log} bytes of log for {live} that live");
    }
    let statistics = world.broker.statistics();
    assert_eq!(statistics.messages, backlog + 1);
    assert!((20..1_000).contains(&statistics.moved), "{} moved", statistics.moved);
}
