//! Queues of which some consumers want only some messages: each gets what its view has found, in order, and those that want all get the
//! rest (R42).

use crate::broker::Broker;
use crate::clients::consumer::Standing;
use crate::delivery::dispatch::{Choice, Offer, Readiness};
use crate::destinations::destination::Content;
use crate::destinations::members::Member;
use crate::destinations::views::Offered;
use crate::kit::budget::Budget;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, MessageIndex, flag};
use crate::outbox::Absent;
use crate::plant::planted;
use crate::step::Step;
use postrider_model::Sequence;

/// Messages of one view that a record names at a time.
const NAMED_AT_ONCE: usize = 256;

/// Whose turn it is.
enum Next {
    /// One that wants all, for the message at the front.
    Plain(MessageIndex, bool),
    /// One with a filter.
    Filtered(Offered),
    Nobody,
}

impl Broker {
    /// Serves such a queue. True: it has more to send that could go now.
    pub(crate) fn serve_views<L: Log>(
        &mut self,
        index: DestinationIndex,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        self.begin_to_try(index);
        let mut plain_waits = false;
        loop {
            let queue = self.destinations.get_mut(index).queue();
            if queue.is_held() {
                return false;
            }
            let next = self.next_of_queue(index, plain_waits);
            if !budget.step() {
                return true;
            }
            let offer = match next {
                Next::Nobody => return false,
                Next::Plain(message, was_returned) => {
                    let offer = self.offer(index, message, was_returned, budget, step);
                    plain_waits |= matches!(offer, Offer::Waits | Offer::Nobody);
                    offer
                }
                Next::Filtered(offered) => match self.offer_match(index, offered, budget, step) {
                    Offer::Waits => return false,
                    offer => offer,
                },
            };
            if matches!(offer, Offer::Later) {
                return true;
            }
        }
    }

    /// The oldest message that somebody can take goes first; of those who want it the highest priority, then who has waited the longest.
    fn next_of_queue(&self, index: DestinationIndex, plain_waits: bool) -> Next {
        let Content::Queue(queue) = &self.destinations.get(index).content else { return Next::Nobody };
        let Some(views) = queue.views() else { return Next::Nobody };
        let sole = queue.sole().map(|sole| {
            let consumer = self.clients.consumer(sole.consumer);
            let served = consumer.membership(sole.membership).standing == Standing::Served;
            (consumer.seat().filter, served)
        });
        let plain = match sole {
            _ if plain_waits => None,
            Some((filter, served)) => (filter == 0 && served).then_some(i8::MAX),
            None => queue.rotation.top(),
        };
        let plain = plain.and_then(|priority| Some((priority, queue.front(&self.messages)?)));
        let filtered = match sole {
            Some((0, _) | (_, false)) => None,
            Some((filter, true)) => views.first(Some(filter)),
            None => views.first(None),
        };
        let rank = |priority: i8, stamp: u64| (std::cmp::Reverse(priority), stamp);
        match (plain, filtered) {
            (Some((_, (message, was_returned))), None) => Next::Plain(message, was_returned),
            (None, Some(offered)) => Next::Filtered(offered),
            (None, None) => Next::Nobody,
            (Some((priority, (message, was_returned))), Some(offered)) => {
                let sequence = self.messages.at(message).sequence;
                let is_first = sequence < offered.sequence
                    || (sequence == offered.sequence
                        && rank(priority, views.plain_stamp()) < rank(offered.priority, offered.stamp));
                if is_first { Next::Plain(message, was_returned) } else { Next::Filtered(offered) }
            }
        }
    }

    /// Gives what a view has found to the consumer whose turn it is there.
    fn offer_match<L: Log>(
        &mut self,
        index: DestinationIndex,
        Offered { sequence, message, filter, .. }: Offered,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Offer {
        let entry = (sequence, message);
        let queue = self.destinations.get_mut(index).queue();
        let Some(was_returned) = queue.waits(entry, &self.messages) else {
            // It went elsewhere.
            queue.views_mut().into_iter().for_each(|views| views.drop_match(filter, entry));
            return Offer::Gone;
        };
        match self.presence(index, message, step) {
            Readiness::Ready => {}
            // It is not committed: nothing behind it is.
            Readiness::NotYet => return Offer::Waits,
            Readiness::Expired => {
                self.expire(index, message, was_returned);
                self.drop_match(index, filter, entry);
                return Offer::Gone;
            }
        }
        let member = match self.choose(index, filter, budget, step) {
            Choice::Member(member) => member,
            Choice::Nobody => return Offer::Nobody,
            Choice::Later => return Offer::Later,
        };
        if !self.may_pass(index, message, step) {
            self.destinations.await_commit(index);
            if !self.name_matches(index, (filter, member), step) {
                return Offer::Waits;
            }
            let views = self.destinations.get_mut(index).queue().views_mut();
            views.into_iter().for_each(|views| views.await_name(filter));
            return Offer::Nobody;
        }
        match self.send(member.consumer, (index, message), step) {
            Ok(()) => {
                self.sent(index, member, message, was_returned, step);
                self.drop_match(index, filter, entry);
            }
            Err(Absent::Cold) => {
                self.destinations.await_bytes(index);
                return Offer::Waits;
            }
            Err(Absent::Damaged) if self.discard_waiting((index, message), was_returned, step) => {
                self.drop_match(index, filter, entry);
            }
            Err(Absent::Damaged) => return Offer::Waits,
        }
        Offer::Gone
    }

    fn drop_match(&mut self, index: DestinationIndex, filter: u32, entry: (Sequence, MessageIndex)) {
        let views = self.destinations.get_mut(index).queue().views_mut();
        views.into_iter().for_each(|views| views.drop_match(filter, entry));
    }

    /// Whether a message may go out past others: if not, a record is to name it first, and to be committed.
    fn may_pass<L: Log>(&mut self, index: DestinationIndex, number: MessageIndex, step: &Step<'_, L>) -> bool {
        let message = self.messages.at(number);
        message.store == LogKind::Spool
            || (message.has(flag::OFFERED) && !self.durable.is_being_named(number))
            || self.destinations.get_mut(index).queue().allowance.covers(message.sequence, step.log.committed())
    }

    /// What a view would send next is named in a record of this turn (R41), as much as its next consumer takes. False: there is no room for that
    /// now.
    fn name_matches<L: Log>(
        &mut self,
        index: DestinationIndex,
        (filter, member): (u32, Member),
        step: &mut Step<'_, L>,
    ) -> bool {
        let credit = self.clients.consumer(member.consumer).credit();
        let most = (credit as usize).clamp(1, NAMED_AT_ONCE);
        let Content::Queue(queue) = &self.destinations.get(index).content else { return false };
        let Some(views) = queue.views() else { return false };
        let first: Vec<(Sequence, MessageIndex)> = views.matches(filter).take(most).collect();
        let needs = |entry: &(Sequence, MessageIndex)| {
            self.messages.get(entry.1).is_some_and(|message| {
                message.sequence == entry.0
                    && message.store == LogKind::Journal
                    && message.position < step.log.committed()
                    && message.flags & (flag::OFFERED | flag::DECIDED | flag::IN_FLIGHT) == 0
            })
        };
        let named: Vec<(Sequence, MessageIndex)> = first.into_iter().filter(needs).collect();
        named.is_empty() || self.name(index, &named, step)
    }

    /// Whether a consumer may still get something of a queue's that its filter has not seen (R59).
    pub(crate) fn is_still_tried(&self, filter: u32, index: DestinationIndex) -> bool {
        match &self.destinations.get(index).content {
            Content::Queue(queue) if filter > 0 && !planted("null-before-scan") => {
                queue.views().is_some_and(|views| !views.has_tried_all(filter))
            }
            _ => false,
        }
    }
}
