//! A destination that goes: its consumers stay without it, and what it holds is settled.

use crate::broker::Broker;
use crate::clients::in_flight::Sifted;
use crate::destinations::members::Member;
use crate::jobs::Slice;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::DestinationIndex;
use crate::step::Step;

/// Steps that a consumer of a destination takes that goes, besides what it has in flight.
const MEMBER_STEPS: usize = 2;

/// A destination that is gone, with its consumers and messages.
pub(crate) struct Emptying {
    pub destination: DestinationIndex,
}

impl Broker {
    /// The record of the deletion has said it all: who consumes from the destination and what is in it goes without a word.
    pub(crate) fn empty_some<L: Log>(
        &mut self,
        emptying: &Emptying,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Slice {
        let index = emptying.destination;
        loop {
            if !budget.step() {
                return Slice::More;
            }
            if self.drop_next_member(index, budget) {
                continue;
            }
            let Some(message) = self.destinations.get_mut(index).take_any() else { break };
            self.settle(index, message, step);
        }
        // What others have not decided is none of the business of who deletes it.
        if self.destinations.await_decisions(index) {
            return Slice::Done;
        }
        if self.destinations.get(index).holds_messages() {
            return Slice::Waits;
        }
        self.spooling.forget(index);
        self.destinations.free(index);
        Slice::Done
    }

    /// The next consumer of a destination that goes stays without it; what it has of it is gone. False: there is none.
    fn drop_next_member(&mut self, index: DestinationIndex, budget: &mut Budget) -> bool {
        let Some(member) = self.destinations.get(index).first_member() else { return false };
        budget.spend(MEMBER_STEPS + self.drop_member(index, member));
        true
    }

    /// As [`Broker::drop_next_member`], for a consumer that meets the destination before its turn. How many of its messages were looked
    /// at: no more once all that were in flight from there are found.
    pub(crate) fn drop_member(&mut self, index: DestinationIndex, member: Member) -> usize {
        self.destinations.get_mut(index).forget_member(member);
        self.unmatch(member);
        let consumer = self.clients.consumer_mut(member.consumer);
        consumer.lose_destination(member.membership);
        let looked_at = consumer.sift(|entry| {
            let expiration = self.messages.at(entry.index).expiration;
            match entry.of == index {
                _ if !self.destinations.get(index).has_in_flight() => Sifted::End,
                false => Sifted::Stays,
                true => {
                    self.destinations.get_mut(index).queue().push(entry.index, expiration);
                    Sifted::Goes
                }
            }
        });
        self.wake(member.consumer);
        looked_at
    }
}
