//! Connections that are gone: what they had sent before is heard, and what they had is forgotten, a little at a time (R25).

use std::collections::VecDeque;

use postrider_model::Now;
use postrider_wire::session::Next;

use crate::plant::planted;

use super::ShardState;
use super::line::{Backlog, TURN_FRAMES, TURNS};
use super::link::Link;
use super::outgoing::Sent;
use crate::net::Connection;

/// Members that are forgotten until the shard looks at all else, and as how many a connection itself counts: it has caches.
const FORGOTTEN: u64 = 256;
const CONNECTION: u64 = 16;

/// Connections that may be gone and not forgotten while others are let in freely. Beyond, one is let in for each that is forgotten: who
/// comes and goes takes no more memory than the most that were there at a time, and who comes does not wait for all who went.
const FEW: usize = 64;

/// Links of connections that are gone, in their order.
#[derive(Default)]
pub(super) struct Departed {
    /// Those that are not heard to the end; the broker does not know that they are gone.
    unheard: VecDeque<Box<Link>>,
    /// Those whose members are not forgotten.
    heard: VecDeque<Box<Link>>,
    /// Connections that the broker knows to be gone: their slots may be used again.
    told: Vec<Connection>,
    /// Places of the forgotten that others may take, where there are more than few.
    places: usize,
    /// Those in the line were heard before them the last time.
    passed: bool,
}

impl Departed {
    /// Whether the broker knows of all.
    pub(super) fn are_heard(&self) -> bool {
        self.unheard.is_empty()
    }

    /// How many are not heard to the end.
    pub(super) fn unheard(&self) -> usize {
        self.unheard.len()
    }

    /// Whether they are heard before those in the line now: each second time, as either of them may say all that the broker takes.
    pub(super) fn come_first(&mut self) -> bool {
        self.passed = !self.passed;
        !self.passed
    }

    /// Whether another may come.
    pub(super) fn lets_in(&self) -> bool {
        self.are_few() || self.places > 0
    }

    /// Another comes.
    pub(super) fn let_in(&mut self) {
        if !self.are_few() {
            self.places = self.places.saturating_sub(1);
        }
    }

    /// One whose slot may be used again.
    pub(super) fn take_told(&mut self) -> Option<Connection> {
        self.told.pop()
    }

    fn are_few(&self) -> bool {
        self.unheard.len() + self.heard.len() < FEW
    }

    fn forget_first(&mut self) {
        self.heard.pop_front();
        self.places = if self.are_few() { 0 } else { (self.places + 1).min(FEW) };
    }
}

impl<Socket> ShardState<Socket> {
    /// A connection is gone. What it had sent before is heard first, if there is something.
    pub(super) fn depart(&mut self, link: Box<Link>) {
        match !link.closing && link.backlog.waits() {
            true => self.departed.unheard.push_back(link),
            false => self.tell_of(link),
        }
    }

    /// Tells the broker that a connection is gone. Others have the room that it had: until here its sends could still be parked.
    fn tell_of(&mut self, mut link: Box<Link>) {
        self.links.give_back(&mut link);
        (link.output, link.backlog) = (Vec::new(), Backlog::default());
        link.session.closed(&mut self.outgoing);
        self.departed.told.push(link.connection);
        self.departed.heard.push_back(link);
    }

    /// Forgets members of the first of them.
    pub(super) fn forget_departed(&mut self) {
        let mut steps = FORGOTTEN;
        while steps > 0 {
            let Some(link) = self.departed.heard.front_mut() else { return };
            let forgotten = link.session.let_go(steps, &mut self.handles);
            if forgotten < steps || planted("members-stay") {
                self.departed.forget_first();
            }
            steps = steps.saturating_sub(forgotten + CONNECTION);
        }
    }

    /// Whether one of them could go on.
    pub(super) fn can_serve_departed(&self) -> bool {
        !self.departed.heard.is_empty()
            || (!self.departed.are_heard() && !self.outgoing.is_blocked() && self.outgoing.may_take_sent())
    }

    /// Hears what they had sent while nobody else waits who sends: else they have their turns in the line. *Without: what one that is gone
    /// has left, however much, comes before all who wait.*
    pub(super) fn hear_departed(&mut self, now: Now) {
        for _ in 0..TURNS {
            let takes = self.links.line.has_no_senders() && self.outgoing.hand_over_full();
            if !takes || self.outgoing.takes_sent() == 0 || !self.hear_one_departed(now) {
                return;
            }
        }
    }

    /// Hears a turn's worth of the first of them, and tells the broker of it if it is heard to the end. False: there is none.
    pub(super) fn hear_one_departed(&mut self, now: Now) -> bool {
        let Some(mut link) = self.departed.unheard.pop_front() else { return false };
        if self.hear_some_of(&mut link, now) {
            self.departed.unheard.push_front(link);
        } else {
            self.tell_of(link);
        }
        true
    }

    /// Hears some of it. True: there is more.
    fn hear_some_of(&mut self, link: &mut Link, now: Now) -> bool {
        let Link { backlog, session, output, .. } = link;
        let mut rest = backlog.rest();
        let (whole, before) = (rest.len(), Sent::by(session));
        let outcome = session.received(&mut rest, TURN_FRAMES, now, &mut self.handles, &mut self.outgoing, output);
        self.outgoing.has_sent(Sent::by(session).since(before));
        output.clear();
        backlog.was_heard(whole - rest.len(), session.removes());
        // What it gets wrong is nobody's business any more.
        matches!(outcome, Ok(Next::Continue | Next::Remove)) && backlog.waits()
    }
}
