//! docs/records.md against what writes and reads the records.

use postrider_broker::records::{
    self, Branch, CommitMeta, Decided, Instead, MessageMeta, OutcomeMeta, Placement, PreparedMeta, SubscriptionMeta,
    TransactionTag, kind,
};
use postrider_model::{Destination, DestinationId, DestinationKind, Sequence, Xid};
use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../../docs/records.md");

/// The examples of a line: what stands between backquotes and is bytes.
fn examples(line: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = |text: &str| text.split(' ').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<Vec<u8>>>();
    let spans = line.split('`').skip(1).step_by(2);
    spans.filter(|span| span.split(' ').all(|byte| byte.len() == 2)).filter_map(bytes)
}

/// Of each kind that has a section the examples that stand alone at a line's end.
fn examples_of_the_page() -> BTreeMap<u8, Vec<Vec<u8>>> {
    let mut found: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    let mut of = None;
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            of = title.split(':').next().and_then(|number| number.parse().ok());
        } else if let Some(kind) = of.filter(|_| line.ends_with('`')) {
            found.entry(kind).or_default().extend(examples(line));
        }
    }
    found
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

#[test]
fn each_record_has_the_bytes_that_the_page_shows() {
    let place = |destination, sequence, redeliveries| Placement {
        destination: DestinationId(destination),
        sequence: Sequence(sequence),
        redeliveries,
        ..Placement::default()
    };
    let instead = Some(Instead { destination: DestinationId(6), sequence: Sequence(8) });
    let many = MessageMeta { elsewhere: true, run_from: Some(9), instead, tag: None };
    let tagged = MessageMeta { tag: Some(TransactionTag(900)), ..MessageMeta::default() };
    let message = |meta, places: &[Placement]| {
        written(|bytes| {
            records::write_message(bytes, meta, places);
        })
    };
    let mut acknowledged = Vec::new();
    records::write_acknowledged(&mut acknowledged, DestinationId(1), &[300]);
    let branch = Branch { xid: Xid::new(86, &[1, 2], &[3]).unwrap(), owner: 9 };
    let decision = |branch| CommitMeta { first: Sequence(1000), places: 300, unix_millis: 2, branch };
    let commit = |branch| {
        written(|bytes| {
            records::write_commit(
                bytes,
                &decision(branch),
                Decided { acknowledged: &acknowledged, ..Decided::default() },
            );
        })
    };
    let prepared = written(|bytes| {
        let about = PreparedMeta { branch: branch.clone(), unix_millis: 2, places: 300, since: None, client: None };
        records::write_prepared(bytes, &about, &acknowledged);
    });
    let outcome = OutcomeMeta { branch: branch.clone(), committed: true, unix_millis: 2 };
    let queue = Destination::new(DestinationKind::Queue, b"q");
    let topic = |name: &[u8]| Destination::new(DestinationKind::Topic, name);
    let durable = SubscriptionMeta {
        client: b"c".as_slice().into(),
        name: b"nm".as_slice().into(),
        topics: [topic(b"t"), topic(b"a.>")].into(),
        selector: b"x=1".as_slice().into(),
        no_local: true,
    };
    let subscription = written(|bytes| {
        records::write_subscription(bytes, DestinationId(7), &durable, Some(DestinationId(5)));
    });
    let expected = BTreeMap::from([
        (
            kind::MESSAGE,
            vec![
                message(MessageMeta::default(), &[place(7, 1000, 0)]),
                message(many, &[place(7, 1000, 0), place(5, 1200, 300)]),
                message(tagged, &[place(7, 300, 0)]),
            ],
        ),
        (
            kind::ACKNOWLEDGE,
            vec![written(|bytes| records::write_acknowledged(bytes, DestinationId(1), &[300, 301, 500, 499]))],
        ),
        (kind::DESTINATION, vec![written(|bytes| records::write_destination(bytes, DestinationId(5), &queue))]),
        (kind::DELETE, vec![vec![5, 0, 0, 0]]),
        (kind::ALLOW, vec![written(|bytes| records::write_allow(bytes, DestinationId(5), Sequence(6)))]),
        (kind::RESERVE, vec![vec![0, 1, 0, 0, 0, 0, 0, 0]]),
        (kind::MARK, vec![written(|bytes| records::write_mark(bytes, b"id", (1, 4), &[(2, 3)]))]),
        (kind::FORGET, vec![b"id".to_vec()]),
        (kind::COMMIT, vec![commit(None), commit(Some(branch))]),
        (kind::PREPARED, vec![prepared]),
        (kind::OUTCOME, vec![written(|bytes| records::write_outcome(bytes, &outcome))]),
        (kind::SUBSCRIPTION, vec![subscription]),
        (kind::NAMED, vec![written(|bytes| records::write_acknowledged(bytes, DestinationId(1), &[300, 500]))]),
        (kind::COUNT, vec![written(|bytes| records::write_counted(bytes, DestinationId(1), &[(300, 2), (500, 300)]))]),
    ]);
    assert_eq!(examples_of_the_page(), expected);
    assert_eq!(records::read_delete(&[5, 0, 0, 0]), Some(DestinationId(5)));
    assert_eq!(records::read_reserve(&[0, 1, 0, 0, 0, 0, 0, 0]), Some(Sequence(256)));
}

#[test]
fn an_example_is_told_from_a_name() {
    let of = |line: &str| examples(line).collect::<Vec<_>>();
    assert_eq!(of("Number 5: `05 00`, not `05 0` or `core/x`"), [[5, 0]]);
    assert!(of("no span at all 05 00").is_empty());
}
