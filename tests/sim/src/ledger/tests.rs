//! The oracle sees what it is there for.

use super::*;

struct Scene {
    ledger: Ledger,
    place: Place,
}

impl Scene {
    fn new() -> Scene {
        Scene { ledger: Ledger::default(), place: Place::queue("q") }
    }

    fn sent(&mut self, number: i64) -> MessageId {
        let id = self.ledger.send(1, number, &self.place, true);
        self.ledger.answered(id, Send::Certain);
        id
    }

    fn delivered(&mut self, id: MessageId, consumer: u64, sequence: u64, redeliveries: u32) {
        let (content, correlation) = (self.ledger.body(id), correlation(id));
        let delivery = Delivery {
            consumer,
            place: &self.place,
            wire: &self.place,
            sequence,
            redeliveries,
            persistent: true,
            correlation: &correlation,
            content: &content,
        };
        self.ledger.delivered(&delivery);
    }

    fn acknowledged(&mut self, id: MessageId) {
        self.ledger.acknowledged(id, &self.place, Acknowledged::Consumed);
    }
}

#[test]
fn an_orderly_message_is_no_failure() {
    let mut scene = Scene::new();
    let id = scene.sent(1);
    scene.delivered(id, 7, 10, 0);
    scene.ledger.returned(id, &scene.place, 7, true);
    scene.delivered(id, 8, 10, 1);
    scene.acknowledged(id);
    scene.ledger.crashed();
    scene.delivered(id, 9, 10, 1);
    scene.acknowledged(id);
    scene.ledger.confirmed(id, &scene.place);
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
    scene.ledger.confirmed(id, &scene.place);
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
    scene.ledger.returned(id, &scene.place, 7, false);
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
fn places_match_as_destinations_do() {
    let takes = |pattern: &str, name: &str| Place::queue(pattern).takes(&Place::queue(name));
    assert!(takes("queue.*", "queue.a") && takes("queue.a,queue.b", "queue.b") && takes("q", "q"));
    assert!(!takes("queue.*", "ActiveMQ.DLQ") && !takes("queue.a", "queue.b"));
    assert!(!Place::topic("q").takes(&Place::queue("q")));
    assert_eq!(Place::queue("a,topic://b").parts(), [Place::queue("a"), Place::topic("b")]);
}
