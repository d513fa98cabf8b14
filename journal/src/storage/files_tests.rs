//! Which files become segments again.

use std::os::unix::fs::FileExt as _;

use super::*;
use crate::position::Epoch;
use crate::segment::SegmentHeader;

const BYTES: u64 = 64 << 10;

struct Place {
    directory: tempfile::TempDir,
    files: Files,
    spares: SpareFiles,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let files = Files { directory: directory.path().to_owned(), medium: Medium::Direct, replacing: Mutex::new(()) };
        Place { directory, files, spares: SpareFiles::default() }
    }

    fn prepare(&mut self, number: u64, bytes: u64) {
        let header = SegmentHeader {
            key: number,
            number: SegmentNumber(number),
            bytes,
            block: 4096,
            epoch: Epoch(1),
            log_id: 1,
            nonce: 1,
        };
        self.spares.prepare(&self.files, Prepare { header, image: None }).unwrap();
    }

    fn give_back(&mut self, number: u64) {
        self.spares.give_back(&self.files, Leaving { segment: SegmentNumber(number), damaged: false }).unwrap();
    }

    fn inode(&self, number: u64) -> u64 {
        std::fs::metadata(self.files.segment(SegmentNumber(number))).unwrap().ino()
    }

    /// Bytes of the files that wait for their use.
    fn kept(&self) -> Vec<u64> {
        let names = self.files.names().unwrap().into_iter().filter(|name| name.starts_with("spare-"));
        names.map(|name| std::fs::metadata(self.directory.path().join(name)).unwrap().len()).collect()
    }
}

#[test]
fn what_is_no_file_takes_a_name_and_stops_nothing() {
    let mut place = Place::new();
    for name in ["spare-1", "new-2", "new-3"] {
        std::fs::create_dir(place.directory.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", place.directory.path().join("spare-4")).unwrap();
    (0..3).for_each(|number| place.prepare(number, BYTES));
    (0..3).for_each(|number| place.give_back(number));
    (3..5).for_each(|number| place.prepare(number, BYTES));
    assert!(place.directory.path().join("spare-1").is_dir(), "it is somebody else's");
    assert!(!place.directory.path().join("spare-4").is_symlink());
}

#[test]
fn files_of_the_usual_size_alone_are_used_again() {
    let mut place = Place::new();
    place.prepare(0, BYTES);
    (0..3).for_each(|index| place.prepare(1 + 4 * index, 4 * BYTES));
    (0..3).for_each(|index| place.give_back(1 + 4 * index));
    assert_eq!(place.kept(), [], "they would be beyond the budget for good");
    let first = place.inode(0);
    place.give_back(0);
    place.prepare(20, BYTES);
    assert_eq!((place.inode(20), place.kept()), (first, vec![]));
}

#[test]
fn large_files_that_an_earlier_life_kept_go() {
    let mut place = Place::new();
    for number in 1..=2 {
        std::fs::write(place.directory.path().join(format!("spare-{number}")), vec![0; 4 * BYTES as usize]).unwrap();
    }
    place.prepare(0, BYTES);
    assert_eq!(place.kept(), []);
}

#[test]
fn bytes_that_have_another_name_as_well_are_not_written_on() {
    let mut place = Place::new();
    place.prepare(0, BYTES);
    let aside = place.directory.path().join("given-up-segment");
    let segment = place.files.segment(SegmentNumber(0));
    std::fs::OpenOptions::new().write(true).open(&segment).unwrap().write_all_at(b"kept", 0).unwrap();
    // A process that was to give it the other name was killed when it had both.
    std::fs::hard_link(&segment, &aside).unwrap();
    place.give_back(0);
    place.prepare(1, BYTES);
    assert_eq!(&std::fs::read(&aside).unwrap()[..4], b"kept");
    assert_ne!(std::fs::metadata(&aside).unwrap().ino(), place.inode(1));

    // An earlier life's spare.
    let spare = place.directory.path().join("spare-7");
    std::fs::hard_link(&aside, &spare).unwrap();
    place.spares = SpareFiles::default();
    place.prepare(2, BYTES);
    assert_eq!(&std::fs::read(&aside).unwrap()[..4], b"kept");
    assert!(!spare.exists());
}

#[test]
fn a_file_on_which_the_medium_fails_is_not_tried_again() {
    let mut place = Place::new();
    let path = place.directory.path().join("new-1");
    let mut left = |errno: Errno| {
        std::fs::write(&path, b"").unwrap();
        place.spares.keep(path.clone(), BYTES, &errno.into());
        (path.exists(), place.spares.spares.take().unwrap_or_default().len())
    };
    assert_eq!(left(Errno::IO), (false, 0));
    assert_eq!(left(Errno::ACCESS), (true, 1));
}

#[test]
fn a_damaged_segment_leaves_where_no_file_has_two_names() {
    for links in [true, false] {
        let mut place = Place::new();
        place.prepare(0, BYTES);
        let inode = place.inode(0);
        let aside = place.directory.path().join(format!("damaged-segment-{:016x}", 0));
        std::fs::write(&aside, b"another").unwrap();
        crate::testing::with_links(links);
        place.spares.give_back(&place.files, Leaving { segment: SegmentNumber(0), damaged: true }).unwrap();
        crate::testing::with_links(true);
        assert!(!place.files.segment(SegmentNumber(0)).exists());
        assert_eq!(std::fs::read(&aside).unwrap(), b"another");
        let kept = std::fs::metadata(aside.with_file_name(format!("damaged-segment-{:016x}-1", 0)));
        assert_eq!(kept.unwrap().ino(), inode, "{links}");
    }
}
