//! A directory that a broker wrote, and is kept: what it held is there.
//!
//! `cargo test -p postrider-dispatcher --test turn golden -- --ignored` writes it anew.

use postrider_journal::SegmentNumber;
use postrider_journal::testing::FakeStorage;
use postrider_model::{CommandBatch, Handle, Sequence};

use crate::node::Node;
use crate::packed::{self, Files};

const OTHER: Handle = Handle { slot: 8, generation: 1 };

/// Sends to each queue, by its number.
const SENDS: [u32; 3] = [12, 4, 3];

/// Sends to three queues, of which one has a consumer that acknowledges some of what it got; then the process ends, starts again, takes some
/// more, and is killed.
#[test]
#[ignore = "writes the directory anew"]
fn write_the_directory() {
    let mut node = Node::new(1 << 30);
    for (queue, count) in (0..).zip(SENDS) {
        for _ in 0..count {
            let mut batch = CommandBatch::default();
            node.add_send(&mut batch, (queue, 0), 100, true, true);
            node.push(batch);
        }
    }
    assert_eq!(node.stored, 19);
    node.consume();
    for index in [1, 2, 5] {
        let sequence = node.got[index];
        node.acknowledge_one(sequence);
    }
    let mut node = node.restarted(1 << 30);
    node.consume_from(OTHER, "churn");
    let first = node.others[0].1;
    node.others.truncate(1);
    assert_eq!(node.acknowledge_others(OTHER), 1, "{first:?}");
    let storage = node.storage.0.borrow();
    let mut files: Files =
        storage.numbers().into_iter().map(|number| (number.file_name(), storage.durable(number).to_vec())).collect();
    for (slot, table) in storage.tables().into_iter().enumerate() {
        files.insert(format!("epochs-{slot}"), table.unwrap());
    }
    packed::keep("broker", &files);
}

fn kept() -> Node {
    let mut storage = FakeStorage::new(1 << 30);
    let files = packed::kept("broker");
    for (name, bytes) in &files {
        if let Some(number) = name.strip_prefix("segment-") {
            storage.put(SegmentNumber(u64::from_str_radix(number, 16).unwrap()), bytes.clone());
        }
    }
    storage.put_tables(["epochs-0", "epochs-1"].map(|name| Some(files[name].clone())));
    Node::on(storage)
}

#[test]
fn what_a_broker_stored_is_there() {
    let mut node = kept();
    assert_eq!(node.turn.broker().statistics().messages, 15);
    node.consume();
    let of = |sequences: &[u64]| sequences.iter().copied().map(Sequence).collect::<Vec<_>>();
    assert_eq!(node.got, of(&[1, 4, 5, 7, 8, 9, 10, 11, 12]), "three of twelve were acknowledged");
    assert_eq!(node.marked, node.got, "an allowance says that the first consumer may have had them");
    node.consume_from(OTHER, "expiring");
    let others: Vec<Sequence> = node.others.iter().map(|(_, sequence)| *sequence).collect();
    assert_eq!(others, of(&[13, 14, 15, 16]));
    assert_eq!(node.marked.len(), node.got.len(), "nobody had those");
}

#[test]
fn what_a_broker_had_stored_of_a_producer_is_not_taken_again() {
    let mut node = kept();
    let before = node.turn.broker().statistics().messages;
    for _ in 0..12 {
        node.send(true, true);
    }
    assert_eq!((node.stored, node.turn.broker().statistics().messages), (12, before), "a failover client sends again");
    node.sent = 19;
    node.send(true, true);
    assert_eq!(node.turn.broker().statistics().messages, before + 1);
}
