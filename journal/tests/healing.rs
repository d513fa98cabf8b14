//! Parts of segments that cannot be read for a while: a start is refused or finds everything, whenever they can be read again.

mod groups;

use groups::{SEGMENT, append, config, recover};
use postrider_journal::testing::FakeStorage;
use postrider_journal::{Config, OpenError, SegmentNumber, testing};

/// Some segments, of two lives.
fn log() -> FakeStorage {
    let mut storage = FakeStorage::new(1 << 30);
    for life in 0..2 {
        let (mut journal, _) = recover(storage).unwrap();
        (0..40).for_each(|group| drop(append(&mut journal, life * 200 + group * 5..life * 200 + group * 5 + 5)));
        storage = journal.into_storage();
        storage.kill(&mut |_| true);
    }
    storage
}

/// Starts in which the harmed segment can be read again after so many loads: how many are refused for it, and how many find all.
fn starts(segment: SegmentNumber, give_up: &[&str], harm: impl Fn(&mut FakeStorage)) -> (u32, u32) {
    let (mut refused, mut whole) = (0, 0);
    for loads in 0..20 {
        let mut storage = log();
        harm(&mut storage);
        storage.heals_after = Some(loads);
        let give_up = give_up.iter().map(|name| (*name).to_owned()).collect();
        let mut seen = 0;
        match testing::recover(storage, Config { give_up, ..config() }, &mut |_, _| seen += 1) {
            Ok(journal) => {
                assert_eq!(seen, 400, "after {loads} loads: {:?}", journal.recovery());
                whole += 1;
            }
            Err(error @ OpenError::Unreadable { .. }) => {
                assert!(error.to_string().contains(&segment.file_name()), "{error}");
                refused += 1;
            }
            Err(error) => panic!("after {loads} loads: {error}"),
        }
    }
    (refused, whole)
}

#[test]
fn a_table_that_is_made_anew() {
    for number in 0..4 {
        let segment = SegmentNumber(number);
        let (refused, whole) = starts(segment, &["epochs-0"], |storage| {
            storage.put_tables([None, Some(b"no table".to_vec())]);
            storage.make_unreadable(segment, 4096..SEGMENT);
        });
        assert!(refused > 0 && whole > 0, "segment {number}: {refused} refused, {whole} whole");
    }
}

#[test]
fn the_frames_that_tell_a_lost_key() {
    for number in 0..4 {
        let segment = SegmentNumber(number);
        let (refused, whole) = starts(segment, &[], |storage| {
            [20, 2048 + 20].iter().for_each(|offset| storage.rot(segment, *offset));
            storage.make_unreadable(segment, 4096..SEGMENT);
        });
        assert!(refused > 0 && whole > 0, "segment {number}: {refused} refused, {whole} whole");
    }
}
