//! Journals whose checksums are right and whose records make no sense together: a start is refused, or goes on. It never panics.

use crate::log::TestLog;
use crate::world::{World, queue, record};
use postrider_broker::records::{self, Instead, MessageMeta, Placement, kind};
use postrider_broker::{Broker, Config, Log as _, RecoverError};
use postrider_journal::{Home, Position, Record, SegmentNumber, body_crc};
use postrider_model::command::AcknowledgeKind;
use postrider_model::{Destination, DestinationId, DestinationKind, Now, Sequence};

const NAMES: [&str; 5] = ["a", "b", "ActiveMQ.DLQ", "ActiveMQ.Advisory.x", ""];
const NOW: Now = Now { nanos: 1, unix_millis: 1_700_000_000_000 };

/// Numbers that look random, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn id(&mut self) -> DestinationId {
        if self.one_in(40) {
            DestinationId(records::DESTINATION_IDS - 70_000 * self.below(2) as u32)
        } else {
            DestinationId(self.below(4) as u32)
        }
    }

    fn sequence(&mut self) -> u64 {
        if self.one_in(60) { (1 << 62) + self.below(3) } else { self.below(12) }
    }

    fn kind(&mut self) -> DestinationKind {
        let kinds = [DestinationKind::Topic, DestinationKind::TemporaryQueue, DestinationKind::TemporaryTopic];
        if self.one_in(8) { kinds[self.below(3) as usize] } else { DestinationKind::Queue }
    }
}

/// Says which journal it was when the test fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the journal of seed {}", self.0);
        }
    }
}

/// A record of any kind: its kind, sequence, meta and body.
fn any(chance: &mut Chance) -> (u8, u64, Vec<u8>, Vec<u8>) {
    let mut meta = Vec::new();
    match chance.below(12) {
        0..=4 => any_message(chance),
        5 | 6 => {
            let sequences: Vec<u64> = (0..=chance.below(3)).map(|_| chance.sequence()).collect();
            records::write_acknowledged(&mut meta, chance.id(), &sequences);
            (kind::ACKNOWLEDGE, 0, meta, Vec::new())
        }
        7 | 8 => {
            let name = NAMES[chance.below(NAMES.len() as u64) as usize];
            let destination = Destination::new(chance.kind(), name.as_bytes());
            records::write_destination(&mut meta, chance.id(), &destination);
            (kind::DESTINATION, 0, meta, Vec::new())
        }
        9 => (kind::DELETE, 0, chance.id().0.to_le_bytes().into(), Vec::new()),
        10 => {
            records::write_allow(&mut meta, chance.id(), Sequence(chance.sequence()));
            (kind::ALLOW, 0, meta, Vec::new())
        }
        _ => match chance.below(4) {
            0 => (kind::RESERVE, 0, chance.sequence().to_le_bytes().into(), Vec::new()),
            1 => (kind::FORGET, 0, b"c".into(), Vec::new()),
            2 => (kind::MARK, 0, (0..chance.below(40)).map(|_| chance.below(256) as u8).collect(), Vec::new()),
            _ => {
                let runs: Vec<(i64, i64)> =
                    (0..chance.below(4)).map(|_| (chance.below(9) as i64 - 3, chance.below(9) as i64 - 3)).collect();
                records::write_mark(&mut meta, b"c", (1, 1), &runs);
                (kind::MARK, 0, meta, Vec::new())
            }
        },
    }
}

fn any_message(chance: &mut Chance) -> (u8, u64, Vec<u8>, Vec<u8>) {
    let mut placements: Vec<Placement> = (0..=chance.below(3))
        .map(|_| Placement {
            destination: chance.id(),
            sequence: Sequence(chance.sequence()),
            offered: chance.one_in(3),
            copied: chance.one_in(5),
            shared: false,
            untried: false,
            redeliveries: if chance.one_in(9) { u16::MAX } else { 0 },
        })
        .collect();
    if !chance.one_in(9) {
        placements.sort_by_key(|placement| placement.sequence);
        placements.dedup_by_key(|placement| placement.sequence);
    }
    let instead = chance.one_in(4).then(|| Instead { destination: chance.id(), sequence: Sequence(chance.sequence()) });
    let run_from = chance.one_in(4).then(|| chance.below(9) as i64 - 3);
    let mut meta = Vec::new();
    let message = MessageMeta { elsewhere: chance.one_in(4), run_from, instead, tag: None };
    let sequence = records::write_message(&mut meta, message, &placements);
    let sequence = if chance.one_in(9) { chance.sequence() } else { sequence.0 };
    let to = queue(NAMES[chance.below(4) as usize]);
    let expiration = if chance.one_in(6) { 1 } else { 0 };
    (kind::MESSAGE, sequence, meta, record(&[to], b"x", true, chance.below(9) as i64, expiration))
}

/// A journal of such records; what a start says of it.
fn journal(chance: &mut Chance) -> (TestLog, Broker, Result<(), RecoverError>) {
    let mut log = TestLog::new(1 << 30, 32 * 1024);
    let mut broker = Broker::new(Config { reservation: 1_000_000, ..Config::default() });
    let mut outcome = Ok(());
    for _ in 0..1 + chance.below(12) {
        let (kind, sequence, meta, body) = any(chance);
        outcome = outcome.and(log.append(&mut broker, (kind, sequence), &meta, &body));
    }
    (log, broker, outcome)
}

/// A broker finds a record under this number of the first segment.
fn take(broker: &mut Broker, record: &(u8, u64, Vec<u8>, Vec<u8>), ordinal: u32) -> Result<(), RecoverError> {
    let (kind, sequence, meta, body) = record;
    let home = Home { position: Position(4_096), segment: SegmentNumber(0), ordinal, len: body.len() as u32 };
    let body_crc = body_crc(body);
    broker.follow(&Record { kind: *kind, flags: 0, sequence: *sequence, meta, body, body_crc }, home)
}

#[test]
fn a_record_under_the_number_of_one_that_lives_is_refused() {
    let message = |sequence: u64| {
        let mut meta = Vec::new();
        let place = Placement {
            destination: DestinationId(1),
            sequence: Sequence(sequence),
            offered: false,
            copied: false,
            shared: false,
            untried: false,
            redeliveries: 0,
        };
        let of_message = MessageMeta { elsewhere: false, run_from: None, instead: None, tag: None };
        records::write_message(&mut meta, of_message, &[place]);
        (kind::MESSAGE, sequence, meta, record(&[queue("a")], b"x", true, 1, 0))
    };
    let state = |kind: u8, write: &dyn Fn(&mut Vec<u8>)| {
        let mut meta = Vec::new();
        write(&mut meta);
        (kind, 0, meta, Vec::new())
    };
    let others = [
        message(6),
        state(kind::DESTINATION, &|meta| {
            records::write_destination(meta, DestinationId(1), &queue("a"));
        }),
        state(kind::ALLOW, &|meta| {
            records::write_allow(meta, DestinationId(1), Sequence(9));
        }),
        state(kind::RESERVE, &|meta| meta.extend(9_u64.to_le_bytes())),
    ];
    for other in others {
        for (ordinal, refused) in [(4, false), (3, true)] {
            let mut broker = Broker::new(Config::default());
            take(&mut broker, &message(5), 3).unwrap();
            let answer = take(&mut broker, &other, ordinal);
            assert_eq!(answer.is_err(), refused, "kind {} at {ordinal}: {answer:?}", other.0);
            assert!(answer.is_ok() || matches!(answer, Err(RecoverError::Malformed { .. })));
        }
    }
}

#[test]
fn records_that_make_no_sense_together_end_no_process() {
    let (mut refused, mut delivered) = (0, 0);
    for seed in 1..=4_000_u64 {
        let _named = Named(seed);
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (log, mut broker, outcome) = journal(&mut chance);
        if outcome.is_err() {
            refused += 1;
            continue;
        }
        broker.recovered(NOW, u64::from(chance.one_in(2)), 1);
        let mut world = World::recovered(Config { reservation: 1_000_000, ..Config::default() }, NOW, broker, log);
        world.connect(0, 1, "c");
        for (number, name) in NAMES.iter().take(4).enumerate() {
            world.consume(0, 1, number as u32, &queue(name), 3);
            world.send(0, 1, &queue(name), "new", true);
        }
        world.settle();
        let got = world.got(0);
        delivered += got.len();
        for (number, got) in got.iter().enumerate() {
            let kind = if number % 2 == 0 { AcknowledgeKind::Standard } else { AcknowledgeKind::Poison };
            world.acknowledge(0, 1, got.consumer.slot, kind, (0, got.sequence.0), 1);
        }
        world.settle();
        let end = world.log.committed().max(world.turn_end);
        let mut world = world.crash(end);
        world.connect(0, 1, "c");
        world.settle();
    }
    assert!((200..3_800).contains(&refused), "{refused} of 4,000 journals are refused");
    assert!(delivered > 4_000, "{delivered} delivered");
}
