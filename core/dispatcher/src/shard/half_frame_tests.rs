use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use postrider_model::{CommandBatch, Handle};
use postrider_wire::session::{CommandSink, Handles, Session};
use postrider_wire::testing::{Frames, PROTOCOL};

use super::*;
use crate::net::{Closing, Handler, NetStatistics, Sent, Wait, Waker};

const BUDGET: usize = 200_000;

const MAX_FRAME_BYTES: u64 = 100 << 20;

const SECOND: u64 = 1_000_000_000;

/// Knows who is not read.
#[derive(Default)]
pub(super) struct Paused(pub Vec<u32>);

impl Net for Paused {
    type Socket = ();

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        Ok(address)
    }

    fn adopt(&mut self, (): ()) -> io::Result<Connection> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn send(&mut self, _: Connection, bytes: Vec<u8>) -> Sent {
        Sent::Done(bytes)
    }

    fn pause(&mut self, connection: Connection) {
        self.0.push(connection.slot);
    }

    fn resume(&mut self, connection: Connection) {
        self.0.retain(|paused| *paused != connection.slot);
    }

    fn close(&mut self, _: Connection, _: Closing) {}

    fn release(&mut self, _: Connection) {}

    fn poll<H: Handler<()>>(&mut self, _: Wait, _: &mut H) -> io::Result<usize> {
        Ok(0)
    }

    fn waker(&self) -> Waker {
        Arc::new(|| ())
    }

    fn statistics(&self) -> NetStatistics {
        NetStatistics::default()
    }
}

#[derive(Default)]
struct Sink(CommandBatch);

impl CommandSink for Sink {
    fn batch(&mut self) -> &mut CommandBatch {
        &mut self.0
    }
}

/// A shard's links with so many accepted connections, and what came from them.
pub(super) struct Scene {
    pub links: Links,
    pub net: Paused,
    now: Now,
}

impl Scene {
    pub(super) fn new(connections: u32) -> Scene {
        Scene::with_frames_up_to(MAX_FRAME_BYTES, connections)
    }

    fn with_frames_up_to(max_frame_bytes: u64, connections: u32) -> Scene {
        let links = Links { halves: Halves::new(BUDGET), ..Links::default() };
        let mut scene = Scene { links, net: Paused::default(), now: Now { nanos: 1, unix_millis: 0 } };
        for slot in 0..connections {
            let frames = Frames::up_to(max_frame_bytes);
            let profile = Rc::new(frames.profile());
            let mut output = Vec::new();
            let session = Session::new(PROTOCOL, Handle { slot, generation: 0 }, "p", profile, scene.now, &mut output);
            scene.links.insert(Link::new(connection(slot), "p", session, output));
            scene.receive(slot, &frames.introduction(slot));
        }
        scene
    }

    fn receive(&mut self, slot: u32, bytes: &[u8]) {
        let (mut handles, mut sink, mut output) = (Handles::default(), Sink::default(), Vec::new());
        let link = self.links.get(connection(slot)).unwrap();
        assert!(!link.holds.any(), "{slot} is not read");
        let _ = link.session.received(&mut &*bytes, u64::MAX, self.now, &mut handles, &mut sink, &mut output).unwrap();
        link.half.received(link.session.pending_bytes(), link.session.frames(), self.now);
        self.links.hold_for_half_frame(connection(slot), self.now, &mut self.net);
        self.links.release_half_frames(self.now, &mut self.net);
    }

    /// The beginning of a frame that announces `size` bytes, and so many of them.
    fn begin(&mut self, slot: u32, size: u32, bytes: usize) {
        self.receive(slot, &[&size.to_be_bytes()[..], &vec![0; bytes]].concat());
    }

    pub(super) fn hold(&mut self, slot: u32, change: impl FnOnce(&mut Holds)) {
        self.links.hold(connection(slot), &mut self.net, change);
        self.links.release_half_frames(self.now, &mut self.net);
    }

    fn after_seconds(&mut self, seconds: u64) {
        self.now.nanos += seconds * SECOND;
    }

    /// Whether a connection is to end, its half frame's deadline having come.
    fn ends(&mut self, slot: u32) -> bool {
        assert!(self.deadline(slot) <= self.now.nanos, "not before the deadline");
        self.links.half_frame_ends(connection(slot), self.now)
    }

    fn deadline(&mut self, slot: u32) -> u64 {
        self.links.get(connection(slot)).unwrap().half.deadline
    }

    fn remove(&mut self, slot: u32) {
        if let Some(mut link) = self.links.remove(connection(slot)) {
            self.links.give_back(&mut link);
        }
        self.links.release_half_frames(self.now, &mut self.net);
    }
}

pub(super) fn connection(slot: u32) -> Connection {
    Connection { slot, generation: 0 }
}

#[test]
fn what_is_announced_takes_no_room() {
    let mut scene = Scene::new(5);
    for slot in 0..3 {
        scene.begin(slot, 100 << 20, 11);
    }
    scene.begin(3, 90_000, 45_000);
    scene.begin(4, 190_000, 150_000);
    assert_eq!(scene.net.0, [0; 0], "nobody waits");
    assert_eq!(scene.links.halves.taken(), 150_004);
}

#[test]
fn beyond_the_budget_one_goes_on_and_the_others_have_their_turns() {
    let mut scene = Scene::new(4);
    scene.begin(0, 10 << 20, 150_000);
    scene.begin(1, 1 << 20, 100_000);
    assert_eq!(scene.net.0, [0; 0], "the one that fills the budget is the one that goes on");
    scene.receive(0, &[0; 1_000]);
    scene.begin(2, 1 << 20, 70_000);
    assert_eq!(scene.net.0, [0, 2]);
    // Small frames in two pieces never wait.
    scene.begin(3, 60_000, 30_000);
    assert_eq!(scene.net.0, [0, 2]);
    scene.remove(1);
    assert_eq!(scene.net.0, [2], "the next has its turn, in the order in which they came");
    scene.remove(0);
    assert_eq!(scene.net.0, [0; 0]);
    scene.remove(2);
    scene.remove(3);
    assert_eq!(scene.links.halves.taken(), 0, "the budget comes back");
}

#[test]
fn a_frame_that_came_whole_has_no_deadline() {
    let mut scene = Scene::new(2);
    let frame = Frames::default().sign_of_life();
    let frames = scene.links.get(connection(1)).unwrap().session.frames();
    scene.receive(1, &frame[..3]);
    assert_ne!(scene.links.get(connection(1)).unwrap().half.deadline, u64::MAX);
    scene.receive(1, &frame[3..]);
    let link = scene.links.get(connection(1)).unwrap();
    assert_eq!((link.session.frames(), link.half.deadline), (frames + 1, u64::MAX));
}

#[test]
fn a_half_frame_has_a_deadline_that_progress_moves() {
    let mut scene = Scene::new(2);
    scene.begin(0, 10 << 20, 1_000);
    let first = scene.deadline(0);
    assert_eq!(first, scene.now.nanos + 30 * SECOND);
    scene.after_seconds(10);
    scene.receive(0, &[0; 10_000]);
    assert_eq!(scene.deadline(0), first, "too little to count");
    scene.receive(0, &[0; 60_000]);
    assert_eq!(scene.deadline(0), scene.now.nanos + 30 * SECOND);
    // Who goes on while others may wait has to be quicker.
    scene.begin(1, 10 << 20, 180_000);
    assert_eq!(scene.deadline(1), scene.now.nanos + 5 * SECOND);
    scene.after_seconds(5);
    assert!(scene.ends(1));
}

#[test]
fn a_frame_that_is_skipped_has_the_same_deadline() {
    let mut scene = Scene::with_frames_up_to(70_000, 1);
    let frame = Frames::up_to(70_000).message(1 << 20);
    let first = scene.now.nanos + 30 * SECOND;
    scene.receive(0, &frame[..10_000]);
    assert_eq!(scene.deadline(0), first);
    scene.after_seconds(20);
    scene.receive(0, &frame[10_000..70_000]);
    assert_eq!(scene.deadline(0), first, "too little to count");
    scene.receive(0, &frame[70_000..100_000]);
    assert_eq!(scene.deadline(0), scene.now.nanos + 30 * SECOND);
    scene.after_seconds(30);
    assert!(scene.ends(0));
}

/// Who is held for something else would keep all others from their frames for as long as that lasts.
#[test]
fn the_one_that_goes_on_gives_way_when_it_is_held_for_another_reason() {
    let held_for: [fn(&mut Holds, bool); 2] = [|holds, held| holds.unsent = held, |holds, held| holds.parking = held];
    for hold in held_for {
        let mut scene = Scene::new(3);
        scene.begin(1, 1 << 20, 100_000);
        scene.begin(0, 10 << 20, 150_000);
        scene.receive(1, &[0; 1]);
        scene.begin(2, 1 << 20, 70_000);
        assert_eq!(scene.net.0, [1, 2]);
        scene.hold(0, |holds| hold(holds, true));
        assert_eq!(scene.net.0, [2, 0], "the next has its turn");
        assert!(!scene.links.may_release(), "who is held is not looked at in every turn");
        scene.hold(0, |holds| hold(holds, false));
        assert_eq!(scene.net.0, [2, 0], "it has to wait for its turn again");
        scene.remove(1);
        assert_eq!(scene.net.0, [0]);
        scene.remove(2);
        assert_eq!(scene.net.0, [0; 0]);
    }
}

#[test]
fn who_is_held_when_there_is_room_again_goes_on_when_that_is_over() {
    let mut scene = Scene::new(2);
    scene.begin(0, 10 << 20, 220_000);
    scene.begin(1, 1 << 20, 100_000);
    scene.hold(1, |holds| holds.unsent = true);
    scene.remove(0);
    assert_eq!(scene.net.0, [1]);
    scene.hold(1, |holds| holds.unsent = false);
    assert_eq!(scene.net.0, [0; 0]);
}

#[test]
fn the_time_of_a_pause_is_the_client_s_only_if_it_does_not_take_its_answers() {
    let mut scene = Scene::new(2);
    scene.begin(0, 10 << 20, 1_000);
    scene.begin(1, 10 << 20, 1_000);
    scene.hold(0, |holds| holds.parking = true);
    scene.hold(1, |holds| holds.unsent = true);
    scene.after_seconds(30);
    assert!(!scene.ends(0));
    assert!(scene.ends(1));
    scene.after_seconds(10);
    scene.hold(0, |holds| holds.parking = false);
    scene.after_seconds(20);
    assert!(!scene.ends(0), "it had no full stretch to itself");
    scene.after_seconds(30);
    assert!(scene.ends(0));
}

#[test]
fn frames_that_gave_way_do_not_pile_up() {
    let mut scene = Scene::new(3);
    for slot in 0..2 {
        scene.begin(slot, 10 << 20, 150_000);
        scene.hold(slot, |holds| holds.parking = true);
    }
    scene.begin(2, 1 << 20, 100_000);
    assert_eq!(scene.net.0, [0, 1, 2], "nobody can be favoured");
    assert!(!scene.links.may_release());
    scene.after_seconds(30);
    assert!(!scene.ends(2), "who waits for room stays");
    assert!(scene.ends(0), "who has taken it does not");
    scene.remove(0);
    assert_eq!(scene.net.0, [0, 1], "the third goes on");
    assert!(!scene.ends(1), "the others can stay now");
}

#[test]
fn the_room_of_parked_sends_is_for_others_when_their_connection_is_gone() {
    let request = Frames::default().request(1);
    let mut scene = Scene::new(2);
    scene.links.set_park_bytes(200_000);
    for slot in 0..2 {
        scene.receive(slot, &request.repeat(1_000));
        scene.links.parked(connection(slot), Some(0), &mut scene.net);
    }
    assert_eq!(scene.net.0, [1]);
    scene.remove(0);
    scene.links.parked(connection(0), None, &mut scene.net);
    assert!(scene.net.0.is_empty(), "nobody else has anything parked");
}
