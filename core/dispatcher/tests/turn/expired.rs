//! A log full of messages that have expired, beside some that live.

use crate::node::{Node, SEGMENT};
use postrider_journal::Config;
use postrider_model::{CommandBatch, Handle};

const BUDGET: u64 = 60 * SEGMENT;
const CHURN: Handle = Handle { slot: 8, generation: 1 };
const DEAD: Handle = Handle { slot: 9, generation: 1 };

/// Nine of ten messages are to expire; what lives is spread over a log as long as its law lets it be. Gives how many of each.
fn full(expiration: i64) -> (Node, usize, usize) {
    let mut node = Node::within(1 << 40, BUDGET, Config::default().hot_bytes);
    node.consume_from(CHURN, "churn");
    let (mut live, mut expiring) = (0, 0);
    while node.turn.broker().statistics().live_bytes < 25 * SEGMENT {
        let mut batch = CommandBatch::default();
        node.add_send(&mut batch, (0, 0), 5_000, true, true);
        for _ in 0..9 {
            node.add_send(&mut batch, (1, expiration), 5_000, true, true);
        }
        for _ in 0..8 {
            node.add_send(&mut batch, (2, 0), 5_000, true, true);
        }
        (live, expiring) = (live + 1, expiring + 9);
        node.push(batch);
        node.acknowledge_others(CHURN);
    }
    assert!(node.refused.is_empty() && node.turn.journal().live_log_bytes() > 40 * SEGMENT);
    (node, live, expiring)
}

#[test]
fn a_log_full_of_dead_letters_goes_on_and_can_be_drained() {
    for restarts in [false, true] {
        let expiration = 1_700_000_000_000 + 1_000;
        let (mut node, live, expiring) = full(expiration);
        node.now.unix_millis = expiration + 1;
        node.now.nanos += 60_000_000_000;
        if restarts {
            node.wait(20_000_000);
            let now = node.now;
            node = node.restarted(BUDGET);
            node.now = now;
        }
        node.wait(60_000_000_000);
        let statistics = node.turn.broker().statistics();
        assert!(statistics.messages as usize == live + expiring, "{restarts}: nothing is lost: {statistics:?}");
        node.consume();
        assert_eq!(node.got.len(), live, "{restarts}: what lives is delivered");
        let before = node.stored;
        node.acknowledge_all();
        assert_eq!(node.stored, before + 1, "{restarts}: and acknowledged");
        node.consume_from(DEAD, "ActiveMQ.DLQ");
        let mut dead = 0;
        for _ in 0..200 {
            node.wait(100_000_000);
            dead += node.acknowledge_others(DEAD);
        }
        assert_eq!((dead, node.turn.broker().statistics().messages), (expiring, 0), "{restarts}");
        node.wait(1_000_000_000);
        let before = node.stored;
        node.send(true, true);
        assert_eq!((node.stored, node.refused.len()), (before + 1, 0), "{restarts}: there is room again");
    }
}
