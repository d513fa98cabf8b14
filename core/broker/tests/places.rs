//! Messages with many places, and records that this version must not take.

use crate::world::{World, handle, queue, record, wanted};
use postrider_broker::{Broker, Config, RecoverError};
use postrider_journal::{Home, Position, Record, SegmentNumber};
use postrider_model::command::{AcknowledgeKind, Request};
use postrider_model::{Destination, limits};

fn queues(count: usize) -> Vec<Destination> {
    (0..count).map(|number| queue(&format!("part {number}"))).collect()
}

fn world() -> World {
    let config = Config { reservation: 1_000_000, ..Config::default() };
    World::over(config, crate::log::TestLog::new(1 << 30, 1 << 20))
}

/// The definition and the first send are one batch, which has to count what it creates itself (R39).
#[test]
pub fn a_message_in_hundreds_of_queues_is_in_all_of_them_after_a_crash() {
    for count in [1, 2, 255, 256, 257, 300, limits::PLACES] {
        let mut world = world();
        world.connect(0, 1, "a");
        let parts = queues(count);
        let bytes = record(&parts, b"to all", true, 1, 0);
        world.send_as(0, handle(1), &parts, true, (&bytes, 1), wanted(7));
        world.settle();
        assert_eq!(world.broker.statistics().messages as usize, count);
        let end = world.turn_end;
        let mut world = world.crash(end);
        assert_eq!(world.broker.statistics().messages as usize, count);
        world.connect(0, 1, "a");
        for (number, part) in parts.iter().enumerate().filter(|(number, _)| number % 64 == 0 || number + 1 == count) {
            world.consume(0, 1, 100 + number as u32, part, 10);
            world.settle();
            assert_eq!(world.texts(0), ["to all"], "{part} of {count}");
        }
    }
}

#[test]
fn each_place_is_acknowledged_by_itself() {
    let mut world = world();
    world.connect(0, 1, "a");
    let parts = queues(300);
    let bytes = record(&parts, b"to all", true, 1, 0);
    world.send_as(0, handle(1), &parts, true, (&bytes, 1), wanted(7));
    for (number, part) in parts.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        let consumer = 100 + number as u32;
        world.consume(0, 1, consumer, part, 10);
        world.settle();
        let sequence = world.got(0)[0].sequence.0;
        world.acknowledge(0, 1, consumer, AcknowledgeKind::Standard, (0, sequence), 1);
    }
    world.settle();
    let end = world.turn_end;
    let mut world = world.crash(end);
    assert_eq!(world.broker.statistics().messages, 150);
    world.connect(0, 1, "a");
    world.consume(0, 1, 5, &parts[298], 10);
    world.consume(0, 1, 6, &parts[299], 10);
    world.settle();
    let got = world.got(0);
    assert_eq!(got.iter().map(|got| got.consumer).collect::<Vec<_>>(), [handle(6)]);
}

/// Definitions that were made in another batch are created by the first send, which is counted once.
#[test]
fn many_sends_to_what_is_not_there_yet_fit_their_bound() {
    let mut world = world();
    world.connect(0, 1, "a");
    let parts = queues(64);
    let bytes = record(&parts, b"x", false, 1, 0);
    world.send_as(0, handle(1), &parts, false, (&bytes, 1), Request::default());
    world.settle();
    for part in &parts {
        let delete = postrider_model::Command::DeleteDestination {
            connection: handle(1),
            destination: Box::new(part.clone()),
            request: Request::default(),
        };
        world.run(0, delete);
    }
    let bytes = record(&parts, b"y", true, 2, 0);
    world.send_as(0, handle(1), &parts, true, (&bytes, 2), wanted(7));
    world.settle();
    assert_eq!(world.broker.statistics().messages, 64);
}

fn recovered(kind: u8, flags: u8, meta: &[u8]) -> Result<(), RecoverError> {
    let body = record(&[queue("q")], b"x", true, 1, 0);
    let home = Home { position: Position(4_096), segment: SegmentNumber(31), ordinal: 0, len: body.len() as u32 };
    let body = if kind == 1 || kind == 9 { &body[..] } else { &[] };
    Broker::new(Config::default()).follow(&Record { kind, flags, sequence: 5, meta, body, body_crc: 0 }, home)
}

#[test]
fn what_a_newer_version_wrote_is_refused_and_named() {
    let (segment, position) = (SegmentNumber(31), Position(4_096));
    let message = [0, 1, 7, 0, 0, 0, 0, 0, 0];
    assert_eq!(recovered(9, 0, &message), Ok(()));
    assert_eq!(recovered(9, 1, &message), Err(RecoverError::UnknownBits { kind: 9, segment, position }));
    let linked = [16, 1, 7, 0, 0, 0, 0, 0, 0];
    assert_eq!(recovered(9, 0, &linked), Err(RecoverError::UnknownBits { kind: 9, segment, position }));
    let rest = [0, 1, 7, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(recovered(9, 0, &rest), Err(RecoverError::Malformed { kind: 9, segment, position }));
    assert_eq!(recovered(4, 0, &[0; 5]), Err(RecoverError::Malformed { kind: 4, segment, position }));
    for kind in [0, 1].into_iter().chain(11..128).filter(|kind| ![11, 12, 13, 15, 16].contains(kind)) {
        assert_eq!(recovered(kind, 0, &message), Err(RecoverError::UnknownKind { kind, segment, position }));
    }
    assert_eq!(recovered(128, 1, &message), Ok(()), "ignorable");
    for error in [
        RecoverError::UnknownKind { kind: 9, segment, position },
        RecoverError::UnknownBits { kind: 9, segment, position },
        RecoverError::Malformed { kind: 9, segment, position },
    ] {
        let text = error.to_string();
        assert!(text.starts_with("segment-000000000000001f has a record of kind 9 at 4096"), "{text}");
        assert!(text.contains("start "), "no remedy: {text}");
    }
}
