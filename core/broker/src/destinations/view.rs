//! What consumers that do not want their own connection's messages have tried of a queue, so that no message is tried twice for them
//! (R42): a cursor in each of the queue's lists. What others take meanwhile is not met again; what they give back is.

use crate::destinations::queue::Queue;
use crate::destinations::rotation::Seat;
use crate::kit::budget::Budget;
use crate::messages::{MessageIndex, Messages};
use postrider_model::Sequence;

/// How far they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct View {
    /// Nothing up to here is for them, of what nobody has had.
    ready: Sequence,
    /// Likewise of what came back,
    returned: Sequence,
    /// as long as nothing more has come back.
    returns: u64,
}

/// What a look for the next message has found.
pub(crate) enum Found {
    /// A message, and whether it is one that came back.
    Message(MessageIndex, bool),
    Nothing,
    /// The budget is used up.
    Later,
}

impl Queue {
    /// The next message that this group wants.
    pub(crate) fn next_foreign(&mut self, seat: Seat, messages: &Messages, budget: &mut Budget) -> Found {
        let Some(mut view) = self.rotation.view(seat).map(|view| *view) else { return Found::Nothing };
        if view.returns != self.returns {
            (view.returned, view.returns) = (Sequence(0), self.returns);
        }
        let found = self.look(seat.local, &mut view, messages, budget);
        if let Some(kept) = self.rotation.view(seat) {
            *kept = view;
        }
        found
    }

    fn look(&self, local: u32, view: &mut View, messages: &Messages, budget: &mut Budget) -> Found {
        let is_own = |number: MessageIndex| messages.at(number).publisher == local;
        let mut place = self.ready.search(|number| messages.at(number).sequence <= view.ready);
        while let Some(number) = self.ready.at(place).filter(|number| is_own(*number)) {
            if !budget.step() {
                return Found::Later;
            }
            view.ready = messages.at(number).sequence;
            place = self.ready.after(place);
        }
        let mut returned = self.returned.from(view.returned.next()).peekable();
        while let Some((sequence, _)) = returned.next_if(|(_, number)| is_own(*number)) {
            if !budget.step() {
                return Found::Later;
            }
            view.returned = *sequence;
        }
        match (self.ready.at(place), returned.peek()) {
            (Some(ready), Some((sequence, _))) if messages.at(ready).sequence < *sequence => {
                Found::Message(ready, false)
            }
            (_, Some((_, number))) => Found::Message(*number, true),
            (Some(ready), None) => Found::Message(ready, false),
            (None, None) => Found::Nothing,
        }
    }
}
