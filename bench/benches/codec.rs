//! Frames to records and records to frames, through a whole session. Times are per message.

use std::time::Instant;

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use postrider_bench::client::{Client, Format};

/// Messages that one receive of a busy socket brings.
const BATCH: usize = 64;

const FORMATS: [(&str, Format); 3] =
    [("loose cached", Format::LooseCached), ("loose", Format::Loose), ("tight", Format::Tight)];

/// Time of one message, of routines that do a batch of them.
fn per_message(bencher: &mut Bencher<'_>, mut routine: impl FnMut()) {
    bencher.iter_custom(|messages| {
        let batches = messages.div_ceil(BATCH as u64);
        let start = Instant::now();
        (0..batches).for_each(|_| routine());
        start.elapsed().mul_f64(messages as f64 / (batches * BATCH as u64) as f64)
    });
}

fn decode_message(criterion: &mut Criterion) {
    for (name, format) in FORMATS {
        let mut client = Client::connected(format);
        let frames = client.messages(BATCH);
        criterion.bench_function(&format!("codec/message to record/{name}"), |bencher| {
            per_message(bencher, || assert_eq!(client.receive(&frames).commands.len(), BATCH));
        });
    }
}

fn decode_acknowledgement(criterion: &mut Criterion) {
    for (name, format) in FORMATS {
        let mut client = Client::connected(format);
        let frames = client.acknowledgements(BATCH);
        criterion.bench_function(&format!("codec/acknowledgement to command/{name}"), |bencher| {
            per_message(bencher, || assert_eq!(client.receive(&frames).commands.len(), BATCH));
        });
    }
}

fn encode_dispatch(criterion: &mut Criterion) {
    for (name, format) in FORMATS {
        let mut client = Client::connected(format);
        let records = client.records(BATCH);
        criterion.bench_function(&format!("codec/record to dispatch/{name}"), |bencher| {
            per_message(bencher, || assert!(!client.dispatch(&records).is_empty()));
        });
    }
}

fn encode_receipt(criterion: &mut Criterion) {
    let mut client = Client::connected(Format::LooseCached);
    criterion.bench_function("codec/receipt/loose cached", |bencher| {
        per_message(bencher, || assert!(!client.reply(BATCH).is_empty()));
    });
}

criterion_group!(benches, decode_message, decode_acknowledgement, encode_dispatch, encode_receipt);
criterion_main!(benches);
