//! What counts among what lives is what lives, after whatever has happened.

use crate::log::TestLog;
use crate::model::Random;
use crate::world::{World, handle, producer, queue, record_of, topic, wanted};
use postrider_broker::records::kind;
use postrider_broker::{Config, Log as _};
use postrider_model::command::{AcknowledgeKind, LastDelivered, Request};
use postrider_model::{Command, Destination, DestinationKind};

const QUEUES: u64 = 7;

fn place(random: &mut Random) -> Destination {
    match random.below(14) {
        0 => topic("t"),
        1 => Destination::new(DestinationKind::TemporaryQueue, b"temporary"),
        2 => queue("ActiveMQ.DLQ"),
        number => queue(&(number % QUEUES).to_string()),
    }
}

struct History {
    world: World,
    random: Random,
    seed: u64,
    done: String,
    moved: u64,
    letters: u64,
}

impl History {
    fn start(&mut self) {
        let world = &mut self.world;
        for slot in 1..=3 {
            world.connect_as(0, handle(slot), &"client ".repeat(slot as usize * 7), true);
        }
        world.connect(1, 9, "consumer");
        world.create_temporary(1, 9, &Destination::new(DestinationKind::TemporaryQueue, b"temporary"));
    }

    fn check(&self) {
        if let Err(error) = self.world.broker.recount() {
            panic!("seed {}: {error} after {}", self.seed, self.done);
        }
    }

    fn send(&mut self) {
        let random = &mut self.random;
        let slot = 1 + random.below(3) as u32;
        let count = if random.below(2) == 0 { 1 } else { 1 + random.below(40) };
        let to: Vec<Destination> = (0..count).map(|_| place(random)).collect();
        let value = random.below(30) as i64;
        let open = producer(handle(slot), value);
        let persistent = random.below(5) > 0;
        let expiration =
            if random.below(6) == 0 { self.world.now.unix_millis + random.below(20_000) as i64 } else { 0 };
        let number = random.below(200) as i64;
        let content = vec![b'x'; random.below(700) as usize];
        let id = "client ".repeat(slot as usize * 7);
        let bytes = record_of((&id, 3, value), &to, &content, persistent, number, expiration);
        let request = if random.below(2) == 0 { wanted(7) } else { Request::default() };
        self.world.run(0, Command::OpenProducer(Box::new(open)));
        self.world.send_as(0, handle(slot), &to, persistent, (&bytes, number), request);
    }

    fn acknowledge(&mut self) {
        let got = self.world.got(1);
        for message in got {
            let kind = match self.random.below(8) {
                0 | 1 => AcknowledgeKind::Poison,
                2 => AcknowledgeKind::Expired,
                3 => continue,
                _ => AcknowledgeKind::Individual,
            };
            let sequence = message.sequence.0;
            self.world.acknowledge(1, 9, message.consumer.slot, kind, (sequence, sequence), 1);
        }
    }

    fn step(&mut self) {
        let choice = self.random.below(100);
        (self.world.log.full, self.world.log.kept_for_moves) = (false, false);
        if choice == 98 || choice == 99 {
            // The next turns find no room, or only moves do.
            (self.world.log.full, self.world.log.kept_for_moves) = (choice == 98, choice == 99);
            self.acknowledge();
        }
        self.done = format!("{choice}");
        match choice {
            0..40 => self.send(),
            40..55 => self.acknowledge(),
            55..65 => {
                let number = 10 + self.random.below(QUEUES + 1) as u32;
                let name = if u64::from(number) == 10 + QUEUES {
                    queue("ActiveMQ.DLQ")
                } else {
                    queue(&(number - 10).to_string())
                };
                if self.random.below(3) > 0 {
                    self.world.close_consumer(1, 9, number, LastDelivered::Unknown);
                }
                let prefetch = 1 + self.random.below(50) as u32;
                if !self.world.connections_of.contains_key(&(1, handle(number))) || self.random.below(2) == 0 {
                    self.world.close_consumer(1, 9, number, LastDelivered::Unknown);
                    self.world.consume(1, 9, number, &name, prefetch);
                }
            }
            65..69 => {
                let (connection, request) = (handle(9), Request::default());
                let destination = Box::new(queue(&self.random.below(QUEUES).to_string()));
                self.world.run(1, Command::DeleteDestination { connection, destination, request });
            }
            69..80 => self.world.settle(),
            80..84 => {
                self.world.now.nanos += 7_000_000_000;
                self.world.now.unix_millis += 7_000;
                self.world.idle();
            }
            84 => {
                self.world.disconnect(0, handle(1 + self.random.below(3) as u32), self.random.below(2) == 0);
                self.start();
            }
            85..88 => {
                // Bytes of the oldest messages rot.
                let bodies = self.world.log.bodies();
                let few = self.random.below(4) as usize;
                self.world.log.rotten.extend(bodies.into_iter().take(few));
            }
            88..90 => {
                let numbers: Vec<u64> = self.world.log.records.iter().map(|stored| stored.home.segment.0).collect();
                let pick = numbers[self.random.below(numbers.len() as u64) as usize];
                self.world.log.cold.insert(pick);
            }
            90..93 => {
                self.world.log.cold.clear();
                self.world.log.windows = self.random.below(2) == 0;
                self.world.broker.fetched();
                self.world.idle();
            }
            93 | 94 => {
                let mut turns = self.world.log.open_turns();
                turns.push(self.world.log.committed());
                let keep = turns[self.random.below(turns.len() as u64) as usize];
                self.crash_to(|world| world.crash(keep));
            }
            95 => {
                let salt = self.random.next();
                let what = [kind::MESSAGE, kind::DESTINATION, kind::ALLOW, kind::MARK, kind::ACKNOWLEDGE];
                let lost = what[self.random.below(5) as usize];
                self.done = format!("95, {lost}");
                self.crash_to(|world| {
                    let one_of = |at: u64| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt;
                    world.crash_without(|stored| stored.kind == lost && one_of(stored.home.position.0) % 16 == 0).0
                });
            }
            _ => self.world.idle(),
        }
        self.check();
    }

    fn crash_to(&mut self, crash: impl FnOnce(World) -> World) {
        self.note();
        let world = std::mem::replace(&mut self.world, World::new());
        self.world = crash(world);
        self.check();
        self.start();
    }
}

impl History {
    fn note(&mut self) {
        let statistics = self.world.broker.statistics();
        (self.moved, self.letters) = (self.moved + statistics.moved, self.letters + statistics.dead_lettered);
    }
}

#[test]
fn what_counts_among_what_lives_is_what_lives() {
    let (mut moved, mut letters) = (0, 0);
    for seed in 0..16_u64 {
        let config = Config { reservation: 1_000_000, allowance_chunk: 4, marks: 60, ..Config::default() };
        let segment = if seed % 2 == 0 { 8 << 10 } else { 16 << 10 };
        let world = World::over(config, TestLog::new(if seed % 3 == 0 { 24 * segment } else { 1 << 30 }, segment));
        let mut history = History { world, random: Random(seed), seed, done: String::new(), moved: 0, letters: 0 };
        history.start();
        (0..700).for_each(|_| history.step());
        history.note();
        (moved, letters) = (moved + history.moved, letters + history.letters);
    }
    assert!(moved > 200 && letters > 200, "{moved} moved, {letters} dead letters");
}
