//! Frames to records and records to frames, through a whole session. Times are per message.

mod cpu_time;

use cpu_time::per_item;
use criterion::{Criterion, criterion_group, criterion_main};
use postrider_bench::client::{Client, Format};

/// Messages that one receive of a busy socket brings.
const BATCH: usize = 64;

const FORMATS: [(&str, Format); 3] =
    [("loose cached", Format::LooseCached), ("loose", Format::Loose), ("tight", Format::Tight)];

fn decode_message(criterion: &mut Criterion) {
    for (name, format) in FORMATS {
        let mut client = Client::connected(format);
        let frames = client.messages(BATCH);
        criterion.bench_function(&format!("codec/message to record/{name}"), |bencher| {
            per_item(bencher, BATCH, || assert_eq!(client.receive(&frames).commands.len(), BATCH));
        });
    }
}

fn decode_acknowledgement(criterion: &mut Criterion) {
    for (name, format) in FORMATS {
        let mut client = Client::connected(format);
        let frames = client.acknowledgements(BATCH);
        criterion.bench_function(&format!("codec/acknowledgement to command/{name}"), |bencher| {
            per_item(bencher, BATCH, || assert_eq!(client.receive(&frames).commands.len(), BATCH));
        });
    }
}

fn encode_dispatch(criterion: &mut Criterion) {
    for (name, format) in FORMATS {
        let mut client = Client::connected(format);
        let records = client.records(BATCH);
        criterion.bench_function(&format!("codec/record to dispatch/{name}"), |bencher| {
            per_item(bencher, BATCH, || assert!(!client.dispatch(&records).is_empty()));
        });
    }
}

fn encode_receipt(criterion: &mut Criterion) {
    let mut client = Client::connected(Format::LooseCached);
    criterion.bench_function("codec/receipt/loose cached", |bencher| {
        per_item(bencher, BATCH, || assert!(!client.reply(BATCH).is_empty()));
    });
}

criterion_group!(benches, decode_message, decode_acknowledgement, encode_dispatch, encode_receipt);
criterion_main!(benches);
