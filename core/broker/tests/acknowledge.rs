//! Acknowledgements of all kinds.

use crate::world::{World, handle, queue, record, topic, wanted};
use postrider_model::command::AcknowledgeKind::{Delivered, Expired, Individual, Poison, Redelivered, Standard};
use postrider_model::event::Failure;
use postrider_model::{Event, MessageView, MessageWriter};

fn five_in_flight() -> (World, Vec<u64>) {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 5);
    for number in 0..9 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    let sequences = world.got(0).iter().map(|got| got.sequence.0).collect();
    (world, sequences)
}

fn outcome(world: &mut World) -> Result<(), Failure> {
    world.settle();
    match &world.events(0)[..] {
        [Event::Reply { .. }] => Ok(()),
        [Event::Failed { failure, message, .. }] => {
            assert!(message.starts_with("Unmatched acknowledge"), "{message}");
            Err(*failure)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
pub fn a_range_is_positions_in_dispatch_order() {
    let (mut world, sent) = five_in_flight();
    world.acknowledge(0, 1, 5, Standard, (sent[1], sent[3]), 3);
    world.settle();
    assert_eq!(world.texts(0), ["5", "6", "7"]);
    world.acknowledge(0, 1, 5, Standard, (0, sent[4]), 2);
    world.settle();
    assert_eq!(world.texts(0), ["8"]);
    assert_eq!(world.broker.statistics().messages, 4);
}

#[test]
pub fn what_does_not_match_is_refused_and_changes_nothing() {
    let (mut world, sent) = five_in_flight();
    for (range, count) in [((sent[0], sent[2]), 2), ((sent[0], 999), 1), ((999, sent[0]), 1), ((sent[2], sent[1]), 2)] {
        world.acknowledge(0, 1, 5, Standard, range, count);
        assert_eq!(outcome(&mut world), Err(Failure::General), "{range:?}");
    }
    assert_eq!(world.broker.statistics().messages, 9);
    // A consumer that is not there, or that has had nothing yet: the client came back, this is of its old connection.
    world.acknowledge(0, 1, 77, Standard, (0, sent[0]), 1);
    assert_eq!(outcome(&mut world), Ok(()));
    world.consume(0, 1, 6, &queue("other"), 5);
    world.settle();
    world.heard(0);
    world.acknowledge(0, 1, 6, Standard, (0, sent[0]), 1);
    assert_eq!(outcome(&mut world), Ok(()));
}

#[test]
pub fn individual_and_redelivered() {
    let (mut world, sent) = five_in_flight();
    world.acknowledge(0, 1, 5, Individual, (0, sent[2]), 1);
    world.settle();
    assert_eq!(world.texts(0), ["5"]);
    world.acknowledge(0, 1, 5, Redelivered, (sent[0], sent[0]), 1);
    assert_eq!(outcome(&mut world), Ok(()));
    assert_eq!(world.broker.statistics().messages, 8);
    world.acknowledge(0, 1, 5, Standard, (sent[0], sent[4]), 4);
    assert_eq!(outcome(&mut world), Ok(()), "the individual one no longer counts");
}

#[test]
pub fn only_a_whole_range_that_is_not_there_is_an_error() {
    let (mut world, sent) = five_in_flight();
    world.acknowledge(0, 1, 5, Individual, (0, sent[0]), 1);
    world.settle();
    world.heard(0);
    for kind in [Individual, Delivered, Redelivered, Poison, Expired] {
        for range in [(sent[0], sent[0]), (0, sent[0]), (0, 999), (999, sent[1])] {
            if kind != Individual || range.1 != sent[1] {
                world.acknowledge(0, 1, 5, kind, range, 1);
                world.settle();
                let told = world.events(0);
                assert!(matches!(told[..], [Event::Reply { .. }]), "{kind:?} {range:?}: {told:?}");
            }
        }
    }
    assert_eq!(world.broker.statistics().messages, 8);
    world.acknowledge(0, 1, 5, Standard, (sent[0], sent[0]), 1);
    assert_eq!(outcome(&mut world), Err(Failure::General));
}

#[test]
pub fn what_was_seen_leaves_the_window_though_its_first_is_acknowledged() {
    let (mut world, sent) = five_in_flight();
    world.acknowledge(0, 1, 5, Individual, (0, sent[0]), 1);
    world.settle();
    assert_eq!(world.texts(0), ["5"]);
    world.acknowledge(0, 1, 5, Delivered, (sent[0], sent[2]), 3);
    world.settle();
    assert_eq!(world.texts(0), ["6", "7", "8"]);
}

/// As many as the client says are seen, but not more than it has: its prefetch holds for what comes then.
#[test]
pub fn a_count_of_seen_messages_lifts_no_prefetch() {
    for destination in [queue("q"), topic("t")] {
        let mut world = World::new();
        world.connect(0, 1, "a");
        world.consume(0, 1, 5, &destination, 5);
        let (mut got, mut last) = (0, 0);
        for number in 0..40 {
            world.send(0, 1, &destination, &number.to_string(), false);
            let came = world.got(0);
            (got, last) = (got + came.len(), came.last().map_or(last, |came| came.sequence.0));
        }
        assert_eq!(got, 5, "{destination}");
        world.acknowledge(0, 1, 5, Delivered, (0, last), 1 << 31);
        world.settle();
        let came = world.got(0);
        assert_eq!(came.len(), 5, "{destination}: the window is as wide as before");
        world.acknowledge(0, 1, 5, Standard, (0, came[4].sequence.0), 10);
        world.settle();
        assert_eq!(world.got(0).len(), 5, "{destination}: nothing is left of the extension");
    }
}

/// The ActiveMQ client reports each message or two as seen, rolls back, gives all of them up, and leaves as many of the next out of its
/// reports as it has reported of these.
#[test]
pub fn who_gives_up_what_was_rolled_back_goes_on() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    (0..20).for_each(|number| world.send(0, 1, &queue("q"), &number.to_string(), false));
    world.consume(0, 1, 5, &queue("q"), 2);
    let mut got = Vec::new();
    for _ in 0..2 {
        world.settle();
        got.extend(world.got(0).iter().map(|came| came.sequence.0));
        let last = got[got.len() - 1];
        world.acknowledge(0, 1, 5, Delivered, (got[0], last), 2);
    }
    world.settle();
    got.extend(world.got(0).iter().map(|came| came.sequence.0));
    assert_eq!(got.len(), 6, "four are reported");
    world.acknowledge(0, 1, 5, Poison, (got[0], got[4]), 5);
    world.settle();
    let came = world.got(0);
    assert_eq!(came.len(), 5, "as many as it leaves out, and one");
    world.acknowledge(0, 1, 5, Standard, (0, came[3].sequence.0), 5);
    world.settle();
    assert_eq!(world.got(0).len(), 1, "the window is as wide as before, and it has one");
    world.acknowledge(0, 1, 5, Poison, (came[4].sequence.0, came[4].sequence.0), 1);
    world.settle();
    assert_eq!(world.got(0).len(), 1, "of what it has not reported it leaves out nothing");
}

#[test]
pub fn a_poisoned_message_is_in_the_dead_letter_queue_also_after_a_crash() {
    let (mut world, sent) = five_in_flight();
    world.consume(0, 1, 8, &queue("ActiveMQ.DLQ"), 10);
    world.settle();
    world.heard(0);
    world.acknowledge(0, 1, 5, Poison, (sent[0], sent[1]), 2);
    world.settle();
    let got = world.got(0);
    let dead: Vec<_> = got.iter().filter(|got| got.consumer.slot == 8).collect();
    assert_eq!(dead.iter().map(|got| got.content.clone()).collect::<Vec<_>>(), [b"0", b"1"]);
    let view = postrider_model::MessageView::parse(&dead[0].record).unwrap();
    use postrider_model::DestinationKind::Queue;
    use postrider_model::record::Tag;
    assert_eq!(view.destination_field(Tag::Destination), Some((Queue, &b"ActiveMQ.DLQ"[..])));
    assert_eq!(view.destination_field(Tag::OriginalDestination), Some((Queue, &b"q"[..])));
    let properties = String::from_utf8_lossy(view.properties().unwrap()).into_owned();
    assert!(properties.contains("dlqDeliveryFailureCause") && properties.contains("java.lang.Exception: no"));
    assert_eq!(&view.properties().unwrap()[..4], [0, 0, 0, 2]);
    // In its own queue a dead letter that is given up again is dropped.
    world.acknowledge(0, 1, 8, Poison, (0, dead[0].sequence.0), 1);
    world.settle();
    assert_eq!(world.broker.statistics().messages, 8);
    let mut world = world.restarted();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 100);
    world.consume(0, 1, 6, &queue("ActiveMQ.DLQ"), 100);
    world.settle();
    let got = world.got(0);
    let texts =
        |slot: u32| got.iter().filter(|got| got.consumer.slot == slot).map(|got| got.content[0]).collect::<Vec<_>>();
    assert_eq!((texts(5), texts(6)), (b"2345678".to_vec(), b"1".to_vec()));
}

#[test]
pub fn properties_that_are_not_a_map_stay_as_they_are_in_a_dead_letter() {
    for (properties, count) in [(&[0, 0, 0, 9, 1][..], None), (&[0, 0][..], None), (&[255, 255, 255, 255, 7], Some(2))]
    {
        let mut world = World::new();
        world.connect(0, 1, "a");
        let bytes = with_properties(&record(&[queue("q")], b"x", true, 1, 0), properties);
        world.send_as(0, handle(1), &[queue("q")], true, (&bytes, 1), wanted(1));
        world.consume(0, 1, 5, &queue("q"), 5);
        world.consume(0, 1, 8, &queue("ActiveMQ.DLQ"), 10);
        world.settle();
        let sequence = world.got(0)[0].sequence.0;
        world.acknowledge(0, 1, 5, Poison, (0, sequence), 1);
        world.settle();
        let got = world.got(0);
        let kept = MessageView::parse(&got[0].record).unwrap().properties().unwrap();
        match count {
            None => assert_eq!(kept, properties),
            Some(count) => assert!(kept.starts_with(&i32::to_be_bytes(count)) && kept[6..].starts_with(b"original")),
        }
    }
}

fn with_properties(plain: &[u8], properties: &[u8]) -> Vec<u8> {
    let view = MessageView::parse(plain).unwrap();
    let mut bytes = Vec::new();
    let mut writer = MessageWriter::new(&mut bytes);
    view.fields().for_each(|(tag, field)| writer.raw_field(tag, field));
    writer.properties(properties);
    writer.content(view.content().unwrap());
    writer.finish(&view.header());
    bytes
}

#[test]
pub fn a_long_range_is_taken_in_slices() {
    let mut world = World::new();
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &queue("q"), 30_000);
    for number in 0..4_000 {
        world.send(0, 1, &queue("q"), &number.to_string(), true);
    }
    world.settle();
    let got = world.got(0);
    assert_eq!(got.len(), 4_000);
    world.acknowledge(0, 1, 5, Standard, (0, got[3_999].sequence.0), 4_000);
    assert_eq!(outcome(&mut world), Ok(()));
    assert_eq!(world.broker.statistics().messages, 0);
    assert_eq!(world.restarted().broker.statistics().messages, 0);
}
