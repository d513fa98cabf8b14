//! What of a queue has expired.

use crate::destinations::queue::{Queue, until};
use crate::messages::{Message, MessageIndex, Messages};
use postrider_model::Sequence;

impl Queue {
    /// Whether a message that waits here may have expired by now.
    pub(crate) fn may_expire(&self, now: i64) -> bool {
        self.ready.may_expire(now) || self.returned.may_expire(now)
    }

    /// Takes out what has expired of what nobody has had, behind this sequence; 0: from the beginning. Up to where it looked, if there is
    /// more, and at how many.
    pub(crate) fn take_expired(
        &mut self,
        after: Sequence,
        (steps, now): (usize, i64),
        messages: &Messages,
        mut take: impl FnMut(Sequence, MessageIndex),
    ) -> (Option<Sequence>, usize) {
        if after == Sequence(0) {
            self.ready.begin_sweep();
        }
        let is_seen = |number: MessageIndex| messages.at(number).sequence <= after;
        let (last, looked) = self.ready.sweep(is_seen, (steps, now), |number| {
            let Message { sequence, expiration, .. } = *messages.at(number);
            let stays = expiration <= 0 || expiration > now;
            if !stays {
                take(sequence, number);
            }
            stays.then(|| until(expiration))
        });
        (last.map(|number| messages.get(number).map_or(after, |message| message.sequence)), looked)
    }

    /// Takes up to `most` out that have expired of what came back. Whether more of it may have.
    pub(crate) fn take_expired_returned(
        &mut self,
        most: usize,
        now: i64,
        mut take: impl FnMut(Sequence, MessageIndex),
    ) -> bool {
        let page = std::iter::from_fn(|| self.returned.take_expired(now)).take(most);
        page.for_each(|(sequence, number)| take(sequence, number));
        self.returned.may_expire(now)
    }
}
