//! The oracle sees what it is there for.

use super::*;

struct Scene {
    ledger: Ledger,
    address: Address,
}

impl Scene {
    fn new() -> Scene {
        Scene { ledger: Ledger::default(), address: Address::queue("q") }
    }

    fn sent(&mut self, number: i64) -> MessageId {
        let id = self.ledger.send(1, number, &self.address, true);
        self.ledger.answered(id, Send::Certain);
        id
    }

    fn delivered(&mut self, id: MessageId, consumer: u64, sequence: u64, redeliveries: u32) {
        let (content, correlation) = (self.ledger.body(id), correlation(id));
        let delivery = delivery(&self.address, consumer, sequence, redeliveries, (&content, &correlation));
        self.ledger.delivered(&delivery);
    }

    fn browse(&self) -> Browse {
        self.ledger.browse(&self.address, |_| true)
    }

    /// To a browser that has had its credit from the beginning on.
    fn shown(&mut self, browse: &mut Browse, id: MessageId, sequence: u64) {
        let (content, correlation) = (self.ledger.body(id), correlation(id));
        let delivery = delivery(&self.address, 0, sequence, 0, (&content, &correlation));
        self.ledger.shown(browse, &delivery, 0);
    }

    fn acknowledged(&mut self, id: MessageId) {
        self.ledger.acknowledged(id, &self.address, Acknowledged::Consumed);
    }
}

fn delivery<'a>(
    address: &'a Address,
    consumer: u64,
    sequence: u64,
    redeliveries: u32,
    (content, correlation): (&'a [u8], &'a str),
) -> Delivery<'a> {
    Delivery { consumer, address, wire: address, sequence, redeliveries, persistent: true, correlation, content }
}

#[test]
fn an_orderly_message_is_no_failure() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    scene.delivered(id, 7, 10, 0);
    scene.ledger.returned(id, &scene.address, 7, true);
    scene.delivered(id, 8, 10, 1);
    scene.acknowledged(id);
    scene.ledger.crashed();
    scene.delivered(id, 9, 10, 1);
    scene.acknowledged(id);
    scene.ledger.confirmed(id, &scene.address);
    scene.ledger.check_drained();
}

#[test]
#[should_panic(expected = "lost: 1 messages")]
fn a_receipted_message_is_owed() {
    let mut scene = Scene::new();
    scene.sent(1);
    scene.ledger.crashed();
    scene.ledger.check_drained();
}

#[test]
#[should_panic(expected = "R10: message 1")]
fn what_was_acknowledged_for_sure_does_not_come_back() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    scene.delivered(id, 7, 10, 0);
    scene.acknowledged(id);
    scene.ledger.confirmed(id, &scene.address);
    scene.ledger.crashed();
    scene.delivered(id, 8, 10, 1);
}

#[test]
#[should_panic(expected = "R15")]
fn what_a_client_could_have_seen_is_marked_after_a_crash() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    scene.delivered(id, 7, 10, 0);
    scene.ledger.crashed();
    scene.delivered(id, 8, 10, 0);
}

/// The broker writes how often something came back before it has stored what was sent after it went out again.
#[test]
fn a_count_is_due_after_a_crash_if_it_was_written() {
    for (stores, least) in [(true, 2), (false, 1)] {
        let mut scene = Scene::new();
        let id = scene.sent(1);
        for (consumer, count) in [(7, 0), (8, 1), (9, 2)] {
            scene.delivered(id, consumer, 10, count);
            scene.ledger.returned(id, &scene.address, consumer, true);
        }
        if stores {
            scene.sent(2);
        }
        for _ in 0..2 {
            scene.ledger.crashed();
        }
        let mut comes =
            |count| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.delivered(id, 11, 10, count)));
        assert_eq!((comes(least - 1).is_err(), comes(least).is_ok()), (true, true), "stores: {stores}");
    }
}

#[test]
#[should_panic(expected = "is with consumer 7")]
fn a_message_is_with_one_consumer_at_a_time() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    scene.delivered(id, 7, 10, 0);
    scene.delivered(id, 8, 10, 1);
}

#[test]
#[should_panic(expected = "R17: message 1")]
fn a_message_is_stored_once() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    scene.delivered(id, 7, 10, 0);
    scene.ledger.returned(id, &scene.address, 7, false);
    scene.delivered(id, 8, 11, 0);
}

#[test]
#[should_panic(expected = "R9: sequence 10")]
fn a_sequence_is_used_once() {
    let mut scene = Scene::new();
    let (first, second) = (scene.sent(1), scene.sent(2));
    scene.delivered(first, 7, 10, 0);
    scene.delivered(second, 7, 10, 0);
}

#[test]
#[should_panic(expected = "order of producer 1")]
fn a_producers_sends_keep_their_order() {
    let mut scene = Scene::new();
    let (first, second) = (scene.sent(1), scene.sent(2));
    scene.delivered(second, 7, 10, 0);
    scene.delivered(first, 7, 11, 0);
}

#[test]
fn an_orderly_browse_is_no_failure_and_takes_nothing() {
    let mut scene = Scene::new();
    let (first, second, third) = (scene.sent(1), scene.sent(2), scene.sent(3));
    let mut browse = scene.browse();
    scene.delivered(first, 7, 10, 0);
    scene.delivered(second, 7, 11, 0);
    scene.acknowledged(second);
    scene.ledger.confirmed(second, &scene.address);
    // It was on its way to the browser when it was acknowledged.
    scene.shown(&mut browse, first, 10);
    scene.acknowledged(first);
    scene.ledger.confirmed(first, &scene.address);
    scene.shown(&mut browse, third, 12);
    scene.ledger.browsed(&browse);
    assert_eq!(scene.ledger.owed(), 1);
    // What comes while it looks need not be seen.
    let mut again = scene.browse();
    scene.sent(4);
    scene.shown(&mut again, third, 12);
    scene.ledger.browsed(&again);
}

#[test]
#[should_panic(expected = "R13: a browser hears of the end, and has not seen 1 messages")]
fn a_browser_sees_all_that_stays() {
    let mut scene = Scene::new();
    let (first, second) = (scene.sent(1), scene.sent(2));
    let mut browse = scene.browse();
    scene.delivered(first, 7, 10, 0);
    scene.shown(&mut browse, second, 11);
    scene.ledger.browsed(&browse);
}

#[test]
#[should_panic(expected = "sequence 10 comes after 11")]
fn a_browser_sees_a_queue_in_its_order() {
    let mut scene = Scene::new();
    let (first, second) = (scene.sent(1), scene.sent(2));
    let mut browse = scene.browse();
    scene.shown(&mut browse, second, 11);
    scene.shown(&mut browse, first, 10);
}

#[test]
#[should_panic(expected = "is shown twice to a browser")]
fn a_browser_sees_a_message_once() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    let mut browse = scene.browse();
    scene.shown(&mut browse, id, 10);
    scene.shown(&mut browse, id, 11);
}

#[test]
#[should_panic(expected = "R10: message 1 had left")]
fn a_browser_sees_nothing_that_had_gone_before() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    scene.delivered(id, 7, 10, 0);
    scene.acknowledged(id);
    scene.ledger.confirmed(id, &scene.address);
    let mut browse = scene.browse();
    let since = scene.ledger.moment();
    let (content, correlation) = (scene.ledger.body(id), correlation(id));
    scene.ledger.shown(&mut browse, &delivery(&scene.address, 0, 10, 0, (&content, &correlation)), since);
}

#[test]
#[should_panic(expected = "a browser comes back to")]
fn a_browser_looks_at_one_queue_after_the_other() {
    let (addresses, both) = ([Address::queue("a"), Address::queue("b")], Address::queue("a,b"));
    let mut ledger = Ledger::default();
    let mut browse = ledger.browse(&both, |_| true);
    let ids = [1, 2].map(|number| ledger.send(1, number, &both, true));
    for (queue, id, sequence) in [(0, 0, 10), (1, 0, 11), (0, 1, 12)] {
        let (content, correlation) = (ledger.body(ids[id]), correlation(ids[id]));
        let delivery = delivery(&addresses[queue], 0, sequence, 0, (&content, &correlation));
        ledger.shown(&mut browse, &delivery, 0);
    }
}

#[test]
fn places_match_as_destinations_do() {
    let takes = |pattern: &str, name: &str| Address::queue(pattern).takes(&Address::queue(name));
    assert!(takes("queue.*", "queue.a") && takes("queue.a,queue.b", "queue.b") && takes("q", "q"));
    assert!(!takes("queue.*", "ActiveMQ.DLQ") && !takes("queue.a", "queue.b"));
    assert!(!Address::topic("q").takes(&Address::queue("q")));
    assert_eq!(Address::queue("a,topic://b").parts(), [Address::queue("a"), Address::topic("b")]);
}
