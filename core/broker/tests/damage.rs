//! Records that a start finds damaged, or does not find.

use crate::log::Stored;
use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_broker::records::kind;
use postrider_journal::{Damage, DamageKind, Position, SegmentNumber};
use postrider_model::Destination;

/// Two queues with messages, the first of which was sent to alone.
fn two_queues() -> World {
    let mut world = World::new();
    world.connect(0, 1, "a");
    for number in 0..5 {
        world.send(0, 1, &queue("orders"), &number.to_string(), true);
        world.send(0, 1, &queue("other"), &format!("other {number}"), true);
    }
    world.settle();
    world
}

fn names(stored: &Stored, name: &str) -> bool {
    stored.kind == kind::DESTINATION && stored.meta.ends_with(name.as_bytes())
}

pub fn damage(stored: &Stored, meta: &[u8], head: &[u8]) -> Damage {
    Damage {
        file: "segment-0000000000000000".into(),
        segment: SegmentNumber(0),
        offset: 0,
        position: Position(0),
        len: head.len() as u64,
        record: Some(stored.kind),
        sequence: Some(stored.sequence),
        kind: DamageKind::Body,
        meta: meta.to_vec(),
        head: head.to_vec(),
    }
}

#[test]
pub fn a_message_that_a_start_loses_is_named_as_far_as_it_can_be_read() {
    let message = |stored: &&Stored| stored.kind == kind::MESSAGE;
    let (world, _) = two_queues().crash_without(|_| false);
    let stored = world.log.records.iter().find(message).unwrap();
    let lost = |meta: &[u8], head: &[u8]| world.broker.lost(&damage(stored, meta, head));
    let whole = lost(&stored.meta, &stored.body).unwrap();
    assert!(whole.starts_with("message ") && whole.ends_with(" of queue://orders"), "{whole}");
    let id = whole.trim_end_matches(" of queue://orders");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        id.matches(':').count() >= 3 && text(&stored.body).contains(id["message ".len()..].split(':').next().unwrap())
    );
    // Cut, without what the directory said of it, and with nothing that makes sense.
    assert_eq!(lost(&[], &stored.body[..stored.body.len() - 1]).as_ref(), Some(&whole));
    let unread = "message whose id cannot be read of a destination that cannot be read";
    assert_eq!(lost(&[], &[0xFF; 90]).as_deref(), Some(unread));
    assert_eq!(lost(&stored.meta, &[0xFF; 90]).as_deref(), Some("message whose id cannot be read of queue://orders"));
    // Where the body's own header is hit as well the directory still says where it was.
    assert_eq!(lost(&stored.meta, &[]).as_deref(), Some("message whose id cannot be read of queue://orders"));
    assert_eq!(lost(&[], &[]), None, "nothing is known of it");
}

fn texts_of(world: &mut World, destination: &Destination) -> Vec<String> {
    world.connect(0, 2, "b");
    world.consume(0, 2, 6, destination, 100);
    world.settle();
    world.texts(0)
}

#[test]
pub fn a_queue_whose_record_is_lost_is_named_by_its_messages() {
    let (mut world, mended) = two_queues().crash_without(|stored| names(stored, "orders"));
    let told: Vec<_> = mended.iter().map(|mended| (mended.destination.to_string(), mended.messages)).collect();
    assert_eq!(told, [("queue://orders".to_owned(), 5)]);
    assert_eq!(texts_of(&mut world, &queue("orders")), ["0", "1", "2", "3", "4"]);
    // What comes now goes the usual way, and another start finds it all.
    world.connect(1, 3, "c");
    world.send(1, 3, &queue("orders"), "5", true);
    world.settle();
    let (mut world, _) = world.crash_without(|stored| names(stored, "orders"));
    assert_eq!(texts_of(&mut world, &queue("orders")), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
pub fn what_nothing_names_goes_to_a_queue_with_its_number() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    let parts = [queue("x"), queue("y")];
    world.send_as(0, handle(1), &parts, true, (&record(&parts, b"both", true, 1, 0), 1), wanted(7));
    world.settle();
    let (mut world, mended) = world.crash_without(|stored| names(stored, "y"));
    assert_eq!(mended.len(), 1);
    let recovered = mended[0].destination.clone();
    assert_eq!(recovered, queue(&format!("postrider.recovered.{}", mended[0].id.0)));
    assert_eq!(texts_of(&mut world, &recovered), ["both"]);
}

#[test]
pub fn a_lost_deletion_brings_messages_back_into_the_queue_that_has_the_name_now() {
    let mut world = two_queues();
    world.delete(0, 1, &queue("orders"));
    world.settle();
    world.send(0, 1, &queue("orders"), "new", true);
    world.settle();
    let (mut world, _) = world.crash_without(|stored| stored.kind == kind::DELETE);
    assert_eq!(texts_of(&mut world, &queue("orders")), ["0", "1", "2", "3", "4", "new"]);
    assert_eq!(texts_of(&mut world, &queue("other")).len(), 5);
}

#[test]
pub fn after_damage_no_number_is_used_again() {
    let world = two_queues();
    let last = world.log.records.iter().map(|stored| stored.sequence).max().unwrap();
    // The newest messages and every reservation are lost: nothing tells any more that their sequences were used.
    let (mut world, _) = world.crash_without(|stored| stored.kind == kind::RESERVE || stored.sequence + 4 > last);
    world.connect(0, 2, "b");
    world.send(0, 2, &queue("third"), "new", true);
    world.settle();
    let newest = world.log.records.iter().map(|stored| stored.sequence).max().unwrap();
    assert!(newest > last, "{newest} was used: {last}");
}

/// A topic's messages leave nothing that says their numbers but the reservation, and it may be lost in a life that began after damage.
#[test]
fn numbers_given_after_damage_are_not_used_again_after_more() {
    let hears = |world: &mut World| {
        world.connect(0, 2, "b");
        world.consume(0, 2, 6, &topic("news"), 100);
        world.send(0, 2, &topic("news"), "x", false);
        world.settle();
        world.got(0)[0].sequence.0
    };
    let (mut world, _) = two_queues().crash_without(|stored| stored.kind == kind::ALLOW);
    let mut heard = vec![hears(&mut world)];
    for _ in 0..5 {
        // What this life reserved is lost; what an earlier one did is there.
        let newest = world.log.records.iter().rposition(|stored| stored.kind == kind::RESERVE).unwrap();
        let lost = world.log.records[newest].meta.clone();
        (world, _) = world.crash_without(|stored| stored.kind == kind::RESERVE && stored.meta == lost);
        heard.push(hears(&mut world));
    }
    assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
}

#[test]
pub fn what_damage_may_have_hidden_counts_as_delivered_at_the_start_after_the_next_too() {
    let mut world = two_queues();
    let marks = |world: &mut World| {
        world.connect(0, 2, "b");
        world.consume(0, 2, 6, &queue("orders"), 100);
        world.settle();
        world.got(0).iter().map(|got| got.redeliveries).collect::<Vec<_>>()
    };
    assert_eq!(marks(&mut world), [0; 5]);
    let (mut world, _) = world.crash_without(|stored| stored.kind == kind::ALLOW);
    assert!(!world.broker.states_losses(), "no allowance is in the log yet");
    world.settle();
    assert!(world.broker.states_losses() && !world.broker.states_losses(), "said once");
    // Reclaim gives the damaged segment up before anybody has had a message again: this start finds all as it was written.
    let (mut world, _) = world.crash_without(|_| false);
    assert!(!world.broker.states_losses(), "nothing was lost");
    assert!(marks(&mut world).iter().all(|redeliveries| *redeliveries > 0));
}
