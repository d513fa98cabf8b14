//! Consumers of a queue that want only some of its messages, beside those that want all.

use crate::destinations::filter::{Facts, Filter};
use crate::destinations::members::Member;
use crate::destinations::queue::Queue;
use crate::destinations::rotation::Seat;
use crate::destinations::views::{Trial, Views};
use crate::kit::deque::Place;
use crate::messages::{MessageIndex, Messages};
use postrider_model::{MessageView, Sequence};
use std::sync::Arc;

impl Queue {
    /// Whether some consumers want only some messages.
    #[inline]
    pub(crate) fn has_views(&self) -> bool {
        self.views.is_some()
    }

    /// What they have tried.
    pub(crate) fn views(&self) -> Option<&Views> {
        self.views.as_deref()
    }

    /// The same.
    pub(crate) fn views_mut(&mut self) -> Option<&mut Views> {
        self.views.as_deref_mut()
    }

    /// A taker comes that wants only some; steps of a view's turn to try what is there.
    pub(crate) fn add_filter(&mut self, filter: &Arc<Filter>, trial_turn: usize) {
        let nothing_waits = (self.waiting() == 0).then_some(self.last);
        self.views.get_or_insert_with(|| Box::new(Views::new(trial_turn))).join(filter, nothing_waits);
    }

    /// It goes.
    pub(crate) fn remove_filter(&mut self, filter: u32) {
        if let Some(views) = &mut self.views {
            views.leave(filter);
            if views.is_empty() {
                self.views = None;
            }
        }
    }

    /// A consumer that can take stands behind its equals; its node.
    pub(crate) fn enter_turn(&mut self, member: Member, seat: Seat) -> u32 {
        match (&mut self.views, seat.filter) {
            (Some(views), filter) if filter > 0 => views.enter(filter, member, seat.priority),
            _ => self.rotation.enter(member, seat.priority),
        }
    }

    /// It cannot any more.
    pub(crate) fn leave_turn(&mut self, node: u32, seat: Seat) {
        match (&mut self.views, seat.filter) {
            (_, 0) => self.rotation.leave(node, seat.priority),
            (Some(views), filter) => views.quit(filter, node, seat.priority),
            (None, _) => {}
        }
    }

    /// It was served.
    #[inline]
    pub(crate) fn rotate(&mut self, node: u32, seat: Seat) {
        if let Some(views) = &mut self.views {
            if seat.filter > 0 {
                return views.rotate(seat.filter, node, seat.priority);
            }
            views.rotated_plain();
        }
        self.rotation.rotate(node, seat.priority);
    }

    /// Whose turn it is among those with this filter, or without one.
    #[inline]
    pub(crate) fn next_in_turn(&self, filter: u32) -> Option<Member> {
        if filter == 0 {
            return self.rotation.next();
        }
        self.views.as_ref().and_then(|views| views.next(filter))
    }

    /// A message that is about to come is tried by those who have tried all others, unless that takes more steps than are left. How many
    /// views were asked, and the steps.
    pub(crate) fn try_arrival(&mut self, record: &[u8], facts: Facts, left: usize) -> (u64, usize) {
        let Some(views) = &mut self.views else { return (0, 0) };
        match MessageView::parse(record) {
            Ok(view) => views.try_arrival(&view, facts, left),
            Err(_) => (0, 0),
        }
    }

    /// What was tried comes later: it is tried then.
    pub(crate) fn comes_later(&mut self) {
        if let Some(views) = &mut self.views {
            views.forget_arrival();
        }
    }

    /// A message has gone to a consumer.
    #[inline]
    pub(crate) fn went_out(&mut self, sequence: Sequence, number: MessageIndex) {
        if let Some(views) = &mut self.views {
            views.went_out((sequence, number));
        }
    }

    /// Whether a message waits here, and whether it came back.
    pub(crate) fn waits(&self, (sequence, number): (Sequence, MessageIndex), messages: &Messages) -> Option<bool> {
        if messages.get(number).is_none_or(|message| message.sequence != sequence) {
            return None;
        }
        if self.returned.from(sequence).next() == Some(&(sequence, number)) {
            return Some(true);
        }
        let place = self.ready.search_from_front(|other| messages.at(other).sequence < sequence);
        (self.ready.at(place) == Some(number)).then_some(false)
    }

    /// The first that waits behind a sequence, and the place where that is or was, if it is known; and its own place.
    fn next_behind(
        &self,
        (last, known): (Sequence, Option<Place>),
        messages: &Messages,
    ) -> Option<(Sequence, MessageIndex, Option<Place>)> {
        let sequence = |number: MessageIndex| messages.at(number).sequence;
        let is_last = |number: MessageIndex| messages.get(number).is_some_and(|message| message.sequence == last);
        let behind = known.and_then(|place| self.ready.after_known(place, is_last));
        let place = behind.unwrap_or_else(|| self.ready.search_from_front(|number| sequence(number) <= last));
        let ready = self.ready.at(place).map(|number| (sequence(number), number));
        let returned = self.returned.from(last.next()).next().copied();
        match (ready, returned) {
            (Some((sequence, number)), other) if other.is_none_or(|other| (sequence, number) < other) => {
                Some((sequence, number, Some(place)))
            }
            (_, other) => other.map(|(sequence, number)| (sequence, number, None)),
        }
    }

    /// What is to be tried next by those that have not.
    pub(crate) fn next_trial(&mut self, messages: &Messages) -> Option<(Trial, Sequence, MessageIndex)> {
        let mut views = self.views.take()?;
        let trial =
            views.next_trial(|last| self.next_behind(last, messages), |entry| self.waits(entry, messages).is_some());
        self.views = Some(views);
        trial
    }
}
