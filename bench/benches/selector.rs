//! A selector asked about a message. Times are per message.

mod cpu_time;

use std::hint::black_box;

use cpu_time::per_item;
use criterion::{Criterion, criterion_group, criterion_main};
use postrider_broker::selector::Selector;
use postrider_model::properties::{PropertiesWriter, Value};
use postrider_model::record::{BodyKind, Header, Tag, flag};
use postrider_model::{DestinationKind, MessageView, MessageWriter};

/// Messages that are asked about between two looks at the clock.
const BATCH: usize = 1000;

/// Letters of a text that a pattern fits nowhere.
const LETTERS: usize = 4_000;

const SELECTORS: [&str; 6] = [
    "color = 'red' AND n > 5",
    "color = 'blue' AND n > 5",
    "JMSCorrelationID = 'x'",
    "region LIKE 'eu-%-1' AND n BETWEEN 1 AND 9",
    "REGEX('^eu-[a-z]+', region)",
    // Twenty-nine seconds where each `%` is tried everywhere.
    "letters LIKE '%a%a%a%a%b'",
];

/// A message with five properties, two of which the first selectors read, or with a long text.
fn message(letters: usize) -> Vec<u8> {
    let mut properties = Vec::new();
    let text = vec![b'a'; letters];
    let mut writer = PropertiesWriter::new(&mut properties);
    if letters > 0 {
        writer.entry(b"letters", Value::String(&text));
    }
    writer
        .entry(b"region", Value::String(b"eu-central-1"))
        .entry(b"color", Value::String(b"red"))
        .entry(b"attempt", Value::Int(1))
        .entry(b"n", Value::Int(7))
        .entry(b"total", Value::Double(12.5));
    let mut record = Vec::new();
    let mut writer = MessageWriter::new(&mut record);
    writer.field(Tag::ProducerConnection, &[b"ID:bench-1-2-3:1"]);
    writer.destination_field(Tag::Destination, DestinationKind::Queue, b"orders");
    writer.properties(&properties);
    writer.content(&[b'x'; 256]);
    writer.finish(&Header {
        body: BodyKind::Text,
        priority: 4,
        flags: flag::PERSISTENT,
        expiration: 0,
        timestamp: 0,
        broker_in_time: 0,
        producer_sequence: 1,
        producer_session: 1,
        producer_value: 1,
        group_sequence: 0,
        redelivery_counter: 0,
    });
    record
}

fn selector(criterion: &mut Criterion) {
    let (short, long) = (message(0), message(LETTERS));
    for text in SELECTORS {
        let record = if text.starts_with("letters") { &long } else { &short };
        let view = MessageView::parse(record).unwrap();
        let selector = Selector::new(text.as_bytes()).unwrap();
        criterion.bench_function(&format!("selector/{text}"), |bencher| {
            per_item(bencher, BATCH, || {
                (0..BATCH).for_each(|_| _ = black_box(black_box(&selector).matches(black_box(&view), 0)));
            });
        });
    }
}

criterion_group!(benches, selector);
criterion_main!(benches);
