//! Stage and seal of records over a storage that finishes at once. Times are per record.

mod cpu_time;

use std::convert::Infallible;

use cpu_time::per_item;
use criterion::{Criterion, criterion_group, criterion_main};
use postrider_bench::instant::InstantStorage;
use postrider_journal::{Bound, Config, Home, Journal, Purpose, Record, body_crc};

/// Bytes of the canonical message's record, about, and of a message of 1 KiB.
const BODIES: [usize; 2] = [400, 1024];

const TURNS: [usize; 4] = [1, 8, 64, 256];

/// Bytes of what the broker adds to a message.
const META: [u8; 8] = [0; 8];

struct Appender {
    journal: Journal<InstantStorage>,
    body: Vec<u8>,
    crc: u32,
    sequence: u64,
}

impl Appender {
    fn new(body: usize) -> Appender {
        let config = Config { hot_bytes: 0, keys: 7, disk_budget: Some(1 << 30), ..Config::default() };
        let journal = Journal::recover(InstantStorage::default(), config, &mut |_, _| Ok::<_, Infallible>(()))
            .expect("an empty journal");
        let body: Vec<u8> = (0..body).map(|index| (index % 251) as u8).collect();
        Appender { crc: body_crc(&body), journal, body, sequence: 1 }
    }

    /// A turn's records, as one frame; what lies before the newest segment is given back.
    fn turn(&mut self, records: usize) {
        self.journal.poll().expect("no sync fails");
        let bytes = records * (self.body.len() + META.len());
        self.journal.reserve(Purpose::Create, Bound { records: records as u32, bytes: bytes as u64 }).expect("room");
        let homes = (0..records).map(|_| self.stage());
        let last = homes.last().expect("a turn stages something");
        self.journal.seal();
        self.journal.submit();
        self.journal.set_head(last.segment);
    }

    fn stage(&mut self) -> Home {
        self.sequence += 1;
        self.journal.stage(&Record {
            kind: 1,
            flags: 0,
            sequence: self.sequence,
            meta: &META,
            body: &self.body,
            body_crc: self.crc,
        })
    }
}

fn stage_and_seal(criterion: &mut Criterion) {
    for body in BODIES {
        for records in TURNS {
            let mut appender = Appender::new(body);
            criterion.bench_function(&format!("journal/{body} bytes/turns of {records}"), |bencher| {
                per_item(bencher, records, || appender.turn(records));
            });
        }
    }
}

criterion_group!(benches, stage_and_seal);
criterion_main!(benches);
