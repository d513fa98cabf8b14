//! Who sends to a queue that holds much is read as fast as it drains, while its consumers wait for nothing but the broker.

use crate::world::{World, handle, queue, record, wanted};
use postrider_broker::{Backlog, Config};
use postrider_model::command::{AcknowledgeKind, LastDelivered};
use postrider_model::{Event, Handle, PortIndex, limits};

/// Messages that may wait.
const BACKLOG: u64 = 10;

/// Looks at the network between a message and its acknowledgement, of one who does nothing but wait, and of one who has something to do.
const AT_ONCE: u32 = 2;
const LATER: u32 = limits::LOOKS_OF_A_REST;

/// A producer that sends, and a consumer of another connection that has one message at a time and has had some.
struct Scene {
    world: World,
    look: u32,
    sent: u64,
}

impl Scene {
    fn new(backlog: Backlog) -> Scene {
        let mut world = World::with(Config { reservation: 1_000_000, backlog, ..Config::default() }, 1 << 30);
        world.connect(0, 1, "producer");
        world.connect(1, 2, "consumer");
        world.consume(1, 2, 5, &queue("q"), 1);
        world.settle();
        world.events(0);
        Scene { world, look: 1, sent: 0 }
    }

    fn of_messages() -> Scene {
        Scene::new(Backlog { messages: BACKLOG, bytes: u64::MAX })
    }

    /// So many are sent. Whether the producer was to wait at the end, by what it was told.
    fn send(&mut self, count: u64) -> bool {
        for _ in 0..count {
            self.sent += 1;
            self.world.send(0, 1, &queue("q"), "x", false);
        }
        self.world.settle();
        self.waits()
    }

    fn waits(&mut self) -> bool {
        let told = self.world.events(0);
        let is_told = |wanted: &Event| told.iter().rposition(|event| event == wanted);
        is_told(&held_back(1)) > is_told(&goes_on(1))
    }

    /// So many are taken, each acknowledged after so many looks.
    fn take(&mut self, count: usize, looks: u32) {
        for _ in 0..count {
            let got = self.world.got(1);
            assert_eq!(got.len(), 1, "one at a time");
            self.look += looks;
            self.world.broker.heard(PortIndex(1), self.look);
            let range = (got[0].sequence.0, got[0].sequence.0);
            self.world.acknowledge(1, 2, 5, AcknowledgeKind::Standard, range, 1);
        }
    }
}

fn held_back(connection: u32) -> Event {
    Event::HeldBack { connection: handle(connection) }
}

fn goes_on(connection: u32) -> Event {
    Event::GoesOn { connection: handle(connection) }
}

#[test]
pub fn a_slow_consumer_and_none_at_all_slow_nobody() {
    let mut scene = Scene::of_messages();
    assert!(!scene.send(3 * BACKLOG), "it has taken nothing yet");
    for _ in 0..20 {
        scene.take(1, LATER);
        assert!(!scene.send(5), "it has something to do");
    }
    for _ in 0..20 {
        scene.world.now.nanos += 100_000_000;
        scene.take(1, AT_ONCE);
        assert!(!scene.send(5), "however few looks that took");
    }
    assert_eq!(scene.world.broker.statistics().held_back, 0);
}

#[test]
pub fn who_outruns_the_broker_goes_on_when_enough_has_left() {
    let mut scene = Scene::of_messages();
    assert!(!scene.send(9_000));
    scene.take(1, AT_ONCE);
    assert!(scene.send(2), "one has left since");
    assert!(!scene.send(3), "it is not told again");
    scene.take(1_000, AT_ONCE);
    assert!(!scene.world.events(0).contains(&goes_on(1)), "not for each message");
    scene.take(30, AT_ONCE);
    assert!(scene.world.events(0).contains(&goes_on(1)));
    // As much as has left may come, and then it is to wait again.
    let until = (1..3_000).find(|_| scene.send(1));
    assert!(until.is_some_and(|until| (1_000..1_100).contains(&until)), "{until:?}");
    assert_eq!(scene.world.broker.statistics().held_back, 2);
}

#[test]
pub fn who_is_held_back_by_few_goes_on_when_half_of_them_have_left() {
    let mut scene = Scene::of_messages();
    scene.send(2 * BACKLOG);
    scene.take(1, AT_ONCE);
    assert!(scene.send(2));
    scene.take(9, AT_ONCE);
    assert!(!scene.world.events(0).contains(&goes_on(1)));
    scene.take(2, AT_ONCE);
    assert!(scene.world.events(0).contains(&goes_on(1)));
}

#[test]
pub fn who_is_held_back_goes_on_when_nobody_waits_for_the_broker_any_more() {
    for gone in [false, true] {
        let mut scene = Scene::of_messages();
        scene.send(BACKLOG);
        scene.take(1, AT_ONCE);
        assert!(scene.send(BACKLOG));
        if gone {
            scene.world.close_consumer(1, 2, 5, LastDelivered::Unknown);
            scene.world.delete(1, 2, &queue("q"));
        } else {
            let deadline = scene.world.broker.deadline().unwrap();
            assert!(deadline <= scene.world.now.nanos + 5_000_000, "it is looked at again");
            scene.world.now.nanos += 20_000_000;
        }
        scene.world.settle();
        assert!(scene.world.events(0).contains(&goes_on(1)), "the queue is gone: {gone}");
    }
}

#[test]
pub fn bytes_count_as_messages_do() {
    let mut scene = Scene::new(Backlog { messages: u64::MAX, bytes: 2_000 });
    scene.send(2);
    scene.take(1, AT_ONCE);
    assert!(!scene.send(3));
    assert!(scene.send(60));
}

#[test]
pub fn whose_acknowledgements_would_wait_with_its_sends_is_not_held_back() {
    let mut scene = Scene::of_messages();
    scene.world.consume(0, 1, 6, &queue("another"), 1);
    scene.send(BACKLOG);
    scene.take(1, AT_ONCE);
    assert!(!scene.send(3 * BACKLOG));
}

/// Its shard goes on reading: behind a goodbye it is to find the end of the connection.
#[test]
pub fn who_leaves_while_it_is_held_back_goes_on_and_is_in_nobodys_way() {
    let mut scene = Scene::of_messages();
    scene.world.connect(0, 3, "another");
    scene.send(BACKLOG);
    scene.take(1, AT_ONCE);
    assert!(scene.send(BACKLOG));
    scene.world.send(0, 3, &queue("q"), "x", false);
    scene.world.disconnect(0, handle(1), false);
    scene.world.settle();
    let told = scene.world.events(0);
    assert!(told.contains(&held_back(3)), "{told:?}");
    scene.world.now.nanos += 20_000_000;
    scene.world.settle();
    let told = scene.world.events(0);
    assert!(told.contains(&goes_on(3)) && told.contains(&goes_on(1)), "{told:?}");
}

/// Who has consumers of queues itself is not held back, and may send as much as leaves.
#[test]
pub fn nobody_waits_for_long_because_of_what_others_send() {
    let mut scene = Scene::of_messages();
    scene.world.connect(0, 3, "both");
    scene.world.consume(0, 3, 6, &queue("another"), 1);
    scene.send(9_000);
    scene.take(1, AT_ONCE);
    assert!(scene.send(2));
    let goes_on_after = (1..1_000).find(|_| {
        scene.world.now.nanos += 1_000_000;
        scene.world.send(0, 3, &queue("q"), "x", false);
        scene.world.settle();
        scene.take(1, AT_ONCE);
        scene.world.events(0).contains(&goes_on(1))
    });
    assert!(goes_on_after.is_some_and(|millis| millis <= 110), "{goes_on_after:?} ms");
}

#[test]
pub fn those_who_come_send_and_go_do_not_stand_in_the_line_for_long() {
    let mut scene = Scene::of_messages();
    scene.send(9_000);
    scene.take(1, AT_ONCE);
    assert!(scene.send(2));
    let (mut waiting, mut most) = (1_i32, 0);
    for round in 0..2_000 {
        scene.world.now.nanos += 1_000_000;
        let who = Handle { slot: 10, generation: round };
        scene.world.connect_as(0, who, &format!("client {round}"), false);
        let to = [queue("q")];
        let bytes = record(&to, b"x", false, 0, 0);
        scene.world.send_as(0, who, &to, false, (&bytes, 0), wanted(7));
        scene.world.disconnect(0, who, true);
        scene.world.settle();
        for event in scene.world.events(0) {
            waiting +=
                i32::from(matches!(event, Event::HeldBack { .. })) - i32::from(matches!(event, Event::GoesOn { .. }));
        }
        most = most.max(waiting);
        scene.take(1, AT_ONCE);
    }
    assert!((50..150).contains(&most), "{most} stood in it");
}
