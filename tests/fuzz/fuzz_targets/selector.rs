//! Texts of selectors, and messages with any properties.
//!
//! The input is a length, a text of that length, and the bytes of properties. Whatever is read says what it is in a text of its own, which
//! is read as the same; it decides about the message in bounded time, and both decide alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider_broker::selector::{NODE_LIMIT, Selector};
use postrider_model::record::{BodyKind, Header, Tag};
use postrider_model::{DestinationKind, MessageView, MessageWriter};

fuzz_target!(|input: &[u8]| {
    let Some((length, rest)) = input.split_first_chunk() else { return };
    let (text, properties) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
    let selector = match Selector::new(text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.position <= text.len() && !error.to_string().is_empty());
            return;
        }
    };
    let record = record(properties);
    let view = MessageView::parse(&record).expect("a record that was written");
    assert!(selector.weight().0 <= NODE_LIMIT);
    let decided = selector.decide(&view, 1);
    // What it says of itself may be longer than a text may be.
    if let Ok(again) = Selector::new(selector.text()) {
        assert_eq!(again.text(), selector.text());
        assert_eq!(again.decide(&view, 1), decided);
        assert_eq!(again.terms(), selector.terms());
    }
});

/// A message with these properties.
fn record(properties: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = MessageWriter::new(&mut bytes);
    writer.field(Tag::ProducerConnection, &[b"ID:fuzz:1"]);
    writer.destination_field(Tag::Destination, DestinationKind::Queue, b"q");
    writer.field(Tag::Correlation, &[b"c"]);
    writer.properties(properties);
    writer.content(b"x");
    writer.finish(&Header {
        body: BodyKind::Text,
        priority: 4,
        flags: 0,
        expiration: 0,
        timestamp: 1,
        broker_in_time: 2,
        producer_sequence: 3,
        producer_session: 4,
        producer_value: 5,
        group_sequence: 6,
        redelivery_counter: 0,
    });
    bytes
}
