//! The connections of a shard by the driver's slots, and which of them want something.

use postrider_model::Now;

use crate::net::{Connection, Net};

use super::halves::Halves;
use super::line::Line;
use super::link::{Holds, Link};
use super::parking::Parking;

/// Connections that are looked at when there is room again: the others have their turn the next time.
const LOOKED_AT: usize = 16;

/// All links of a shard.
#[derive(Default)]
pub(super) struct Links {
    slots: Vec<Option<Box<Link>>>,
    open: usize,
    dirty: Vec<Connection>,
    /// Who waits to be heard.
    pub(super) line: Line,
    halves: Halves,
    parking: Parking,
}

impl Links {
    /// Adds a link under its connection's slot.
    pub(super) fn insert(&mut self, link: Link) {
        let connection = link.connection;
        let slot = connection.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let before = self.slots.get_mut(slot).and_then(|place| place.replace(Box::new(link)));
        assert!(before.is_none(), "the driver reports a connection as closed before it uses the slot again");
        self.open += 1;
        self.mark_dirty(connection);
    }

    /// Takes a link out; it keeps the room that it has until [`give_back`](Links::give_back).
    pub(super) fn remove(&mut self, connection: Connection) -> Option<Box<Link>> {
        self.get(connection)?;
        let link = self.slots.get_mut(connection.slot as usize)?.take()?;
        self.open -= 1;
        Some(link)
    }

    /// A link that was taken out needs no room any more for its half frame and what is parked of it.
    pub(super) fn give_back(&mut self, link: &mut Link) {
        self.halves.remove(link);
        self.parking.remove(link);
    }

    /// The link of a connection, if it is not gone.
    pub(super) fn get(&mut self, connection: Connection) -> Option<&mut Link> {
        find(&mut self.slots, connection)
    }

    /// All links.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.slots.iter().flatten().map(|link| &**link)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Notes that the link has something to send, or to close.
    pub(super) fn mark_dirty(&mut self, connection: Connection) {
        self.get_dirty(connection);
    }

    /// The link of a connection, noted as one that has something to send.
    pub(super) fn get_dirty(&mut self, connection: Connection) -> Option<&mut Link> {
        let link = find(&mut self.slots, connection)?;
        if !std::mem::replace(&mut link.dirty, true) {
            self.dirty.push(connection);
        }
        Some(link)
    }

    /// The next link with something to send.
    pub(super) fn pop_dirty(&mut self) -> Option<Connection> {
        self.dirty.pop()
    }

    /// Receives no more from the connection until it would be its turn to be heard: the broker has what it has said, and others are not
    /// kept waiting.
    pub(super) fn hold_for_ring<N: Net>(&mut self, connection: Connection, net: &mut N) {
        let Some(link) = find(&mut self.slots, connection) else { return };
        if self.line.queue(link) {
            self.hold(connection, net, |holds| holds.ring = true);
        }
    }

    /// Bytes of a connection wait until it is its turn to be heard.
    pub(super) fn wait_in_line(&mut self, connection: Connection, bytes: &[u8]) {
        if let Some(link) = find(&mut self.slots, connection) {
            self.line.add(link, bytes);
        }
    }

    /// The same of what was not heard of a buffer, which may be kept for it.
    pub(super) fn keep_in_line(&mut self, connection: Connection, buffer: &mut Vec<u8>, heard: usize) {
        if let Some(link) = find(&mut self.slots, connection) {
            self.line.keep(link, buffer, heard);
        }
    }

    /// The broker has parked sends of this connection, of which so much is settled; None: nothing is parked any more (R24). It
    /// may be gone by now: others wait for the room that it had.
    pub(super) fn parked<N: Net>(&mut self, connection: Connection, settled: Option<u64>, net: &mut N) {
        if let Some(link) = find(&mut self.slots, connection) {
            self.parking.set_settled(link, settled);
            self.hold_for_parking(connection, net);
        }
        self.parking.eased();
        self.release_parking_holds(net);
    }

    /// A connection that was held back because of a queue is heard again.
    pub(super) fn goes_on<N: Net>(&mut self, connection: Connection, net: &mut N) {
        let Some(link) = find(&mut self.slots, connection) else { return };
        if std::mem::take(&mut link.stands_aside) {
            self.line.queue_again(connection, link.sends);
        }
        self.hold(connection, net, |holds| holds.queue = false);
    }

    /// All that were held back because of a queue are heard to the end.
    pub(super) fn all_go_on<N: Net>(&mut self, net: &mut N) {
        let aside: Vec<Connection> = self.iter().filter(|link| link.holds.queue).map(|link| link.connection).collect();
        aside.into_iter().for_each(|connection| self.goes_on(connection, net));
    }

    /// Looks whether a connection with parked sends may be read on.
    pub(super) fn hold_for_parking<N: Net>(&mut self, connection: Connection, net: &mut N) {
        let Some(link) = find(&mut self.slots, connection) else { return };
        let full = self.parking.is_full_for(link);
        if full {
            self.parking.wait(link);
        }
        self.hold(connection, net, |holds| holds.parking = full);
    }

    /// Lets some of those go on that wait for room for parked sends, each in turn, if there may be some.
    pub(super) fn release_parking_holds<N: Net>(&mut self, net: &mut N) {
        for _ in 0..self.parking.candidates().min(LOOKED_AT) {
            let Some(connection) = self.parking.next() else { return };
            if let Some(link) = find(&mut self.slots, connection) {
                link.waits_for_parking = false;
                self.hold_for_parking(connection, net);
            }
        }
    }

    /// Whether something of a connection of this shard is parked.
    pub(super) fn is_strained(&self) -> bool {
        self.parking.is_strained()
    }

    /// Changes how many bytes may be parked.
    pub(super) fn set_park_bytes(&mut self, bytes: u64) {
        self.parking.set_budget(bytes);
    }

    /// Changes how many bytes of half frames are kept.
    pub(super) fn set_half_frame_bytes(&mut self, bytes: usize) {
        self.halves.set_budget(bytes);
    }

    /// Changes for how long a link may stand still: only one that could go on is in the line for its half frame.
    pub(super) fn hold<N: Net>(&mut self, connection: Connection, net: &mut N, change: impl FnOnce(&mut Holds)) {
        let Some(link) = find(&mut self.slots, connection) else { return };
        link.hold(net, change);
        if self.halves.gives_way(link) {
            link.hold(net, |holds| holds.budget = true);
        } else if link.holds.budget {
            self.halves.wait(link);
        }
    }

    /// Reads nothing more from anybody.
    pub(super) fn hold_all<N: Net>(&mut self, net: &mut N) {
        for link in self.slots.iter_mut().flatten() {
            link.hold(net, |holds| holds.ending = true);
        }
    }

    /// Receives nothing from a client that does not take its answers, until it has taken them.
    pub(super) fn hold_if_choked<N: Net>(&mut self, connection: Connection, net: &mut N) {
        let Some(link) = self.get(connection) else { return };
        let choked = link.is_choked();
        if choked != link.holds.unsent {
            self.hold(connection, net, |holds| holds.unsent = choked);
        }
    }

    /// Looks whether there is room for more of the frame that a connection is in the middle of.
    pub(super) fn hold_for_half_frame<N: Net>(&mut self, connection: Connection, now: Now, net: &mut N) {
        let Some(link) = find(&mut self.slots, connection) else { return };
        let full = self.halves.is_full_for(link, now);
        link.hold(net, |holds| holds.budget = full);
        if full {
            self.halves.wait(link);
        }
    }

    /// Lets some of those go on that wait for room for their half frames, if there is.
    pub(super) fn release_half_frames<N: Net>(&mut self, now: Now, net: &mut N) {
        for _ in 0..self.halves.candidates().min(LOOKED_AT) {
            let Some(connection) = self.halves.next() else { return };
            if let Some(link) = find(&mut self.slots, connection) {
                Halves::left(link);
                self.hold_for_half_frame(connection, now, net);
            }
        }
    }

    /// A half frame has not gone on as it should: whether its connection is to end.
    pub(super) fn half_frame_ends(&mut self, connection: Connection, now: Now) -> bool {
        let Some(link) = find(&mut self.slots, connection) else { return false };
        let excused = link.half.take_excuse(link.holds.excuse());
        if !excused || self.halves.cannot_keep(link) {
            return true;
        }
        link.half.begin(link.session.pending_bytes(), link.session.frames(), now);
        false
    }

    /// Whether somebody waits for room for a half frame, or for parked sends, and could go on: to be looked at in the next turn.
    pub(super) fn may_release(&self) -> bool {
        self.halves.candidates() > 0 || self.parking.candidates() > 0
    }
}

fn find(slots: &mut [Option<Box<Link>>], connection: Connection) -> Option<&mut Link> {
    let link = slots.get_mut(connection.slot as usize)?.as_deref_mut()?;
    (link.connection == connection).then_some(link)
}

#[cfg(test)]
#[path = "half_frame_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "parking_tests.rs"]
mod parking_tests;
