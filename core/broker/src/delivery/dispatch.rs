//! Dispatch: from queues to consumers with credit, in turn.

use crate::broker::Broker;
use crate::clients::consumer::InFlight;
use crate::clients::credit::Take;
use crate::destinations::destination::Content;
use crate::destinations::members::Member;
use crate::kit::budget::Budget;
use crate::log::{Log, LogKind};
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex, NOWHERE, flag};
use crate::outbox::Absent;
use crate::plant::planted;
use crate::records::acknowledgement_bound;
use crate::step::Step;
use postrider_journal::Purpose;
use postrider_model::event::Dispatch;
use postrider_model::{MessageView, Sequence, Span};

/// Whether a message that waits may go.
pub(super) enum Readiness {
    Ready,
    Expired,
    NotYet,
}

/// Who takes a message.
pub(super) enum Choice {
    Member(Member),
    /// Nobody takes it.
    Nobody,
    /// The budget is used up.
    Later,
}

/// What became of a message that could go.
pub(super) enum Offer {
    /// It does not wait any more.
    Gone,
    /// Nothing goes now.
    Waits,
    /// Nobody takes it.
    Nobody,
    /// The budget is used up.
    Later,
}

impl Broker {
    /// Serves one destination. True: it has more to send that could go now.
    pub(crate) fn serve<L: Log>(
        &mut self,
        index: DestinationIndex,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        let Some(state) = self.destinations.try_get(index).filter(|state| !state.is_dying()) else { return false };
        match &state.content {
            Content::Queue(queue) => {
                if queue.has_browsers_to_show() {
                    self.show_stalled(index);
                }
                self.serve_queue(index, budget, step)
            }
            Content::Topic(_) => self.serve_topic(index, budget, step),
        }
    }

    fn serve_queue<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        if self.destinations.get_mut(index).queue().has_views() {
            return self.serve_views(index, budget, step);
        }
        loop {
            let queue = self.destinations.get_mut(index).queue();
            if queue.is_held() {
                return false;
            }
            let Some((message, was_returned)) = queue.front(&self.messages) else { return false };
            if !budget.step() {
                return true;
            }
            match self.offer(index, message, was_returned, budget, step) {
                Offer::Gone => {}
                Offer::Waits | Offer::Nobody => return false,
                Offer::Later => return true,
            }
        }
    }

    /// Gives a message to the consumer whose turn it is.
    pub(super) fn offer<L: Log>(
        &mut self,
        index: DestinationIndex,
        message: MessageIndex,
        was_returned: bool,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Offer {
        match self.readiness(index, message, step) {
            Readiness::NotYet => return Offer::Waits,
            Readiness::Expired => {
                self.expire(index, message, was_returned);
                return Offer::Gone;
            }
            Readiness::Ready => {}
        }
        if self.messages.at(message).has(flag::SHARED)
            && self.destinations.get_mut(index).queue().has_untried()
            && let Some(offer) = self.try_untried(index, message, was_returned, budget, step)
        {
            return offer;
        }
        let member = match self.choose(index, 0, budget, step) {
            Choice::Member(member) => member,
            Choice::Nobody => return Offer::Nobody,
            Choice::Later => return Offer::Later,
        };
        match self.send(member.consumer, (index, message), step) {
            Ok(()) => self.sent(index, member, message, was_returned, step),
            Err(Absent::Cold) => {
                self.destinations.await_bytes(index);
                return Offer::Waits;
            }
            Err(Absent::Damaged) if self.discard_waiting((index, message), was_returned, step) => {}
            Err(Absent::Damaged) => return Offer::Waits,
        }
        Offer::Gone
    }

    /// A message that could not be read when it was placed: a subscription whose selector does not match it is done with it (R52).
    #[cold]
    fn try_untried<L: Log>(
        &mut self,
        index: DestinationIndex,
        number: MessageIndex,
        was_returned: bool,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Option<Offer> {
        let sequence = self.messages.at(number).sequence;
        if !self.destinations.get_mut(index).queue().is_untried(sequence) {
            return None;
        }
        let extent = match self.read(number, step) {
            Ok(extent) => extent,
            Err(Absent::Cold) => {
                self.destinations.await_bytes(index);
                return Some(Offer::Waits);
            }
            // Whoever is to get it finds out.
            Err(Absent::Damaged) => return None,
        };
        let message = self.messages.at(number);
        let view = MessageView::parse(extent.bytes(message.position, message.length as usize)).ok()?;
        let matches = self.destinations.get(index).subscription.as_ref().is_none_or(|subscription| {
            budget.spend(subscription.steps(&view));
            self.statistics.evaluations += 1;
            subscription.matches(&view)
        });
        if matches {
            self.destinations.get_mut(index).queue().was_tried(sequence);
            return None;
        }
        if !step.log.reserve(Purpose::Settle, acknowledgement_bound(1)) {
            self.destinations.await_commit(index);
            return Some(Offer::Waits);
        }
        self.destinations.get_mut(index).queue().take(number, was_returned, &self.messages);
        self.consume(index, number, step);
        Some(Offer::Gone)
    }

    /// Whether the message at the front may go.
    #[inline(always)]
    fn readiness<L: Log>(
        &mut self,
        index: DestinationIndex,
        number: MessageIndex,
        step: &mut Step<'_, L>,
    ) -> Readiness {
        let presence = self.presence(index, number, step);
        let message = self.messages.at(number);
        let (sequence, offered) = (message.sequence, message.has(flag::OFFERED));
        if message.store == LogKind::Spool || !matches!(presence, Readiness::Ready) {
            return presence;
        }
        let queue = self.destinations.get_mut(index).queue();
        if queue.rotation.is_unused() {
            return Readiness::NotYet;
        }
        let may_go = offered && !self.durable.is_being_named(number);
        if !may_go && !queue.allowance.covers(sequence, step.log.committed()) {
            if self.destinations.get(index).is_left() {
                return Readiness::NotYet;
            }
            let queue = self.destinations.get_mut(index).queue();
            queue.allowance.note_wait();
            self.extend_allowance(index, sequence, step);
            self.destinations.await_commit(index);
            return Readiness::NotYet;
        }
        Readiness::Ready
    }

    /// Whether a message of a queue is there for anybody: decided, committed and not expired.
    #[inline(always)]
    pub(super) fn presence<L: Log>(
        &mut self,
        index: DestinationIndex,
        number: MessageIndex,
        step: &Step<'_, L>,
    ) -> Readiness {
        if !self.is_safe(index, number, step) {
            return Readiness::NotYet;
        }
        let expiration = self.messages.at(number).expiration;
        match expiration > 0 && expiration <= step.now.unix_millis {
            true => Readiness::Expired,
            false => Readiness::Ready,
        }
    }

    /// Whether a message of a queue may be seen: it is decided and committed. If not, the queue is looked at again with the next commit.
    #[inline(always)]
    pub(super) fn is_safe<L: Log>(
        &mut self,
        index: DestinationIndex,
        number: MessageIndex,
        step: &Step<'_, L>,
    ) -> bool {
        let message = self.messages.at(number);
        let (is_decided, store, position) = (!message.has(flag::DECIDED), message.store, message.position);
        // What is left of a damaged one is kept aside already: whoever is to get it finds out.
        let is_uncommitted = store == LogKind::Journal && position >= step.log.committed() && position != NOWHERE;
        let is_safe = (is_decided || self.is_decision_durable(number, step))
            && (!is_uncommitted || planted("dispatch-before-commit"));
        if !is_safe {
            self.destinations.await_commit(index);
        }
        is_safe
    }

    /// The consumer whose turn it is, of those with this filter or without one. Those that cannot take leave their turn until they can.
    pub(super) fn choose<L: Log>(
        &mut self,
        index: DestinationIndex,
        filter: u32,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Choice {
        loop {
            let Some(member) = self.next_taker(index, filter) else { return Choice::Nobody };
            let takes = self.takes(member.consumer, step.out);
            if takes == Take::Yes {
                return Choice::Member(member);
            }
            self.leave_turn(index, member);
            self.starve(member, takes);
            if !budget.step() {
                return Choice::Later;
            }
        }
    }

    /// Tells the consumer's port of a message.
    pub(crate) fn send<L: Log>(
        &mut self,
        to: ConsumerIndex,
        (of, number): (DestinationIndex, MessageIndex),
        step: &mut Step<'_, L>,
    ) -> Result<(), Absent> {
        let port = self.clients.consumer(to).port;
        let message = self.messages.at(number);
        let redeliveries = u32::from(self.redeliveries(of, message));
        let place = step.out.locate(port, message.body(), step.log)?;
        let elsewhere: &[u8] = match message.has(flag::ELSEWHERE) {
            true => &self.destinations.get(message.destination).text,
            false => &[],
        };
        let dispatch = Dispatch {
            to: self.clients.count_sent(to, message.length, step.now.nanos),
            place,
            sequence: message.sequence,
            redeliveries,
            destination: Span::default(),
        };
        step.out.dispatch(port, dispatch, elsewhere);
        self.statistics.dispatched += 1;
        Ok(())
    }

    /// A queue's message has gone to a consumer.
    pub(super) fn sent<L: Log>(
        &mut self,
        index: DestinationIndex,
        member: Member,
        number: MessageIndex,
        was_returned: bool,
        step: &mut Step<'_, L>,
    ) {
        let chunk = self.config.allowance_chunk;
        let queue = self.destinations.get_mut(index).queue();
        queue.take(number, was_returned, &self.messages);
        let consumer = self.clients.consumer_mut(member.consumer);
        queue.rotate(consumer.membership(member.membership).turn, consumer.seat());
        let message = self.messages.at_mut(number);
        message.flags |= flag::IN_FLIGHT;
        if message.has(flag::SHARED) {
            queue.lend(message.sequence, number);
        }
        queue.went_out(message.sequence, number);
        self.clients.hold(member.consumer, InFlight::new(message.sequence, number, index), step.now.nanos);
        if message.store == LogKind::Spool {
            return;
        }
        let (sequence, offered) = (message.sequence, message.has(flag::OFFERED));
        // What goes out of order says nothing of what is before it (R41).
        if !offered || !queue.has_views() {
            queue.allowance.note_dispatched(sequence, offered);
        }
        if !offered && queue.is_allowance_due(chunk) {
            self.extend_allowance(index, Sequence(0), step);
        }
    }

    /// A consumer can take again: what has waited for it goes on.
    pub(crate) fn feed<L: Log>(&mut self, index: ConsumerIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        let mut more = self.browse(index, budget, step);
        if !self.replay(index, budget, step) {
            return more || budget.0 == 0;
        }
        loop {
            if !budget.step() {
                return true;
            }
            let takes = self.takes(index, step.out);
            if takes != Take::Yes {
                self.wait_for(index, takes);
                return more;
            }
            let consumer = self.clients.consumer_mut(index);
            let Some(starved) = consumer.next_starved() else { return more };
            let Some((membership, destination)) = starved else { continue };
            let member = Member { consumer: index, membership };
            if self.destinations.get(destination).is_dying() {
                self.drop_member(destination, member);
                continue;
            }
            if let Content::Queue(_) = &self.destinations.get(destination).content {
                self.enter_turn(destination, member);
                if self.serve_queue(destination, budget, step) {
                    self.destinations.line_up(destination);
                }
            } else if self.serve_laggard(destination, member, budget, step) {
                more = true;
            }
            if budget.0 == 0 {
                return true;
            }
        }
    }
}
