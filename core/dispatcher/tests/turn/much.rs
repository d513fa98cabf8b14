//! What a batch may take at most is more than a segment may have.

use crate::node::{CONNECTION, Node, SEGMENT};
use postrider_model::command::{OpenConsumer, Request};
use postrider_model::{Command, CommandBatch, Destination, DestinationKind, Handle, Token, limits};

/// A message for many topics that as many subscriptions have is recorded as often as a record has places.
#[test]
fn what_no_segment_has_room_for_is_refused() {
    const SUBSCRIPTIONS: u32 = 2_800;
    let mut node = Node::within(1 << 40, 1 << 38, 256 << 20);
    let topic = |name: &str| Destination::new(DestinationKind::Topic, name.as_bytes());
    for number in 0..SUBSCRIPTIONS {
        let opened = crate::node::opening(Handle { slot: 10, generation: number }, Box::new([topic(">")]), 1);
        let Command::OpenConsumer(open) = opened else { unreachable!() };
        let subscription = Some(number.to_string().as_bytes().into());
        let open = OpenConsumer { subscription, ..*open };
        let closed = Command::CloseConsumer {
            connection: CONNECTION,
            consumer: open.consumer,
            last_delivered: postrider_model::command::LastDelivered::None,
            request: Request::new(Token(1), false),
        };
        node.hand_over(CommandBatch {
            commands: vec![Command::OpenConsumer(Box::new(open)), closed],
            ..CommandBatch::default()
        });
        node.turns(3);
    }
    let topics = (0..limits::COMPOSITE_PARTS).map(|number| topic(&format!("t{number}"))).collect();
    node.run(vec![Command::DefineDestination { connection: CONNECTION, number: 9, destinations: topics }]);
    let mut batch = CommandBatch::default();
    node.add_send(&mut batch, (9, 0), 100 << 20, true, true);
    node.hand_over(batch);
    node.turns(200);
    assert_eq!(node.refused.len(), 1, "{:?}", node.refused);
    assert!(node.refused[0].contains("disk_budget_bytes"), "{:?}", node.refused);
    assert!(node.turn.journal().disk_bytes() < 64 * SEGMENT);
}
