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
pub struct Paused(pub Vec<u32>);

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
pub struct Desk {
    pub links: Links,
    pub net: Paused,
    now: Now,
}

impl Desk {
    pub fn new(connections: u32) -> Desk {
        Desk::with_frames_up_to(MAX_FRAME_BYTES, connections)
    }

    fn with_frames_up_to(max_frame_bytes: u64, connections: u32) -> Desk {
        let links = Links { halves: Halves::new(BUDGET), ..Links::default() };
        let mut desk = Desk { links, net: Paused::default(), now: Now { nanos: 1, unix_millis: 0 } };
        for slot in 0..connections {
            let frames = Frames::up_to(max_frame_bytes);
            let profile = Rc::new(frames.profile());
            let mut output = Vec::new();
            let session = Session::new(PROTOCOL, Handle { slot, generation: 0 }, "p", profile, desk.now, &mut output);
            desk.links.insert(Link::new(connection(slot), "p", session, output));
            desk.receive(slot, &frames.introduction(slot));
        }
        desk
    }

    fn receive(&mut self, slot: u32, bytes: &[u8]) {
        let (mut handles, mut sink, mut output) = (Handles::default(), Sink::default(), Vec::new());
        let link = self.links.get(connection(slot)).unwrap();
        assert!(!link.holds.any(), "{slot} is not read");
        let _ = link.session.received(bytes, self.now, &mut handles, &mut sink, &mut output).unwrap();
        link.half.received(link.session.pending_bytes(), link.session.frames(), self.now);
        self.links.hold_for_half_frame(connection(slot), self.now, &mut self.net);
        self.links.release_half_frames(self.now, &mut self.net);
    }

    /// The beginning of a frame that announces `size` bytes, and so many of them.
    fn begin(&mut self, slot: u32, size: u32, bytes: usize) {
        self.receive(slot, &[&size.to_be_bytes()[..], &vec![0; bytes]].concat());
    }

    pub fn hold(&mut self, slot: u32, change: impl FnOnce(&mut Holds)) {
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

pub fn connection(slot: u32) -> Connection {
    Connection { slot, generation: 0 }
}

#[test]
fn what_is_announced_takes_no_room() {
    let mut desk = Desk::new(5);
    for slot in 0..3 {
        desk.begin(slot, 100 << 20, 11);
    }
    desk.begin(3, 90_000, 45_000);
    desk.begin(4, 190_000, 150_000);
    assert_eq!(desk.net.0, [0; 0], "nobody waits");
    assert_eq!(desk.links.halves.taken(), 150_004);
}

#[test]
fn beyond_the_budget_one_goes_on_and_the_others_have_their_turns() {
    let mut desk = Desk::new(4);
    desk.begin(0, 10 << 20, 150_000);
    desk.begin(1, 1 << 20, 100_000);
    assert_eq!(desk.net.0, [0; 0], "the one that fills the budget is the one that goes on");
    desk.receive(0, &[0; 1_000]);
    desk.begin(2, 1 << 20, 70_000);
    assert_eq!(desk.net.0, [0, 2]);
    // Small frames in two pieces never wait.
    desk.begin(3, 60_000, 30_000);
    assert_eq!(desk.net.0, [0, 2]);
    desk.remove(1);
    assert_eq!(desk.net.0, [2], "the next has its turn, in the order in which they came");
    desk.remove(0);
    assert_eq!(desk.net.0, [0; 0]);
    desk.remove(2);
    desk.remove(3);
    assert_eq!(desk.links.halves.taken(), 0, "the budget comes back");
}

#[test]
fn a_frame_that_came_whole_has_no_deadline() {
    let mut desk = Desk::new(2);
    let frame = Frames::default().sign_of_life();
    let frames = desk.links.get(connection(1)).unwrap().session.frames();
    desk.receive(1, &frame[..3]);
    assert_ne!(desk.links.get(connection(1)).unwrap().half.deadline, u64::MAX);
    desk.receive(1, &frame[3..]);
    let link = desk.links.get(connection(1)).unwrap();
    assert_eq!((link.session.frames(), link.half.deadline), (frames + 1, u64::MAX));
}

#[test]
fn a_half_frame_has_a_deadline_that_progress_moves() {
    let mut desk = Desk::new(2);
    desk.begin(0, 10 << 20, 1_000);
    let first = desk.deadline(0);
    assert_eq!(first, desk.now.nanos + 30 * SECOND);
    desk.after_seconds(10);
    desk.receive(0, &[0; 10_000]);
    assert_eq!(desk.deadline(0), first, "too little to count");
    desk.receive(0, &[0; 60_000]);
    assert_eq!(desk.deadline(0), desk.now.nanos + 30 * SECOND);
    // Who goes on while others may wait has to be quicker.
    desk.begin(1, 10 << 20, 180_000);
    assert_eq!(desk.deadline(1), desk.now.nanos + 5 * SECOND);
    desk.after_seconds(5);
    assert!(desk.ends(1));
}

#[test]
fn a_frame_that_is_skipped_has_the_same_deadline() {
    let mut desk = Desk::with_frames_up_to(70_000, 1);
    let frame = Frames::up_to(70_000).message(1 << 20);
    let first = desk.now.nanos + 30 * SECOND;
    desk.receive(0, &frame[..10_000]);
    assert_eq!(desk.deadline(0), first);
    desk.after_seconds(20);
    desk.receive(0, &frame[10_000..70_000]);
    assert_eq!(desk.deadline(0), first, "too little to count");
    desk.receive(0, &frame[70_000..100_000]);
    assert_eq!(desk.deadline(0), desk.now.nanos + 30 * SECOND);
    desk.after_seconds(30);
    assert!(desk.ends(0));
}

/// Who is held for something else would keep all others from their frames for as long as that lasts.
#[test]
fn the_one_that_goes_on_gives_way_when_it_is_held_for_another_reason() {
    let held_for: [fn(&mut Holds, bool); 2] = [|holds, held| holds.unsent = held, |holds, held| holds.parking = held];
    for hold in held_for {
        let mut desk = Desk::new(3);
        desk.begin(1, 1 << 20, 100_000);
        desk.begin(0, 10 << 20, 150_000);
        desk.receive(1, &[0; 1]);
        desk.begin(2, 1 << 20, 70_000);
        assert_eq!(desk.net.0, [1, 2]);
        desk.hold(0, |holds| hold(holds, true));
        assert_eq!(desk.net.0, [2, 0], "the next has its turn");
        assert!(!desk.links.may_release(), "who is held is not looked at in every turn");
        desk.hold(0, |holds| hold(holds, false));
        assert_eq!(desk.net.0, [2, 0], "it has to wait for its turn again");
        desk.remove(1);
        assert_eq!(desk.net.0, [0]);
        desk.remove(2);
        assert_eq!(desk.net.0, [0; 0]);
    }
}

#[test]
fn who_is_held_when_there_is_room_again_goes_on_when_that_is_over() {
    let mut desk = Desk::new(2);
    desk.begin(0, 10 << 20, 220_000);
    desk.begin(1, 1 << 20, 100_000);
    desk.hold(1, |holds| holds.unsent = true);
    desk.remove(0);
    assert_eq!(desk.net.0, [1]);
    desk.hold(1, |holds| holds.unsent = false);
    assert_eq!(desk.net.0, [0; 0]);
}

#[test]
fn the_time_of_a_pause_is_the_client_s_only_if_it_does_not_take_its_answers() {
    let mut desk = Desk::new(2);
    desk.begin(0, 10 << 20, 1_000);
    desk.begin(1, 10 << 20, 1_000);
    desk.hold(0, |holds| holds.parking = true);
    desk.hold(1, |holds| holds.unsent = true);
    desk.after_seconds(30);
    assert!(!desk.ends(0));
    assert!(desk.ends(1));
    desk.after_seconds(10);
    desk.hold(0, |holds| holds.parking = false);
    desk.after_seconds(20);
    assert!(!desk.ends(0), "it had no full stretch to itself");
    desk.after_seconds(30);
    assert!(desk.ends(0));
}

#[test]
fn frames_that_gave_way_do_not_pile_up() {
    let mut desk = Desk::new(3);
    for slot in 0..2 {
        desk.begin(slot, 10 << 20, 150_000);
        desk.hold(slot, |holds| holds.parking = true);
    }
    desk.begin(2, 1 << 20, 100_000);
    assert_eq!(desk.net.0, [0, 1, 2], "nobody can be favoured");
    assert!(!desk.links.may_release());
    desk.after_seconds(30);
    assert!(!desk.ends(2), "who waits for room stays");
    assert!(desk.ends(0), "who has taken it does not");
    desk.remove(0);
    assert_eq!(desk.net.0, [0, 1], "the third goes on");
    assert!(!desk.ends(1), "the others can stay now");
}

#[test]
fn the_room_of_parked_sends_is_for_others_when_their_connection_is_gone() {
    let request = Frames::default().request(1);
    let mut desk = Desk::new(2);
    desk.links.set_park_bytes(200_000);
    for slot in 0..2 {
        desk.receive(slot, &request.repeat(1_000));
        desk.links.parked(connection(slot), Some(0), &mut desk.net);
    }
    assert_eq!(desk.net.0, [1]);
    desk.remove(0);
    desk.links.parked(connection(0), None, &mut desk.net);
    assert!(desk.net.0.is_empty(), "nobody else has anything parked");
}
