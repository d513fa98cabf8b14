//! Dispatch: from queues to consumers with credit, in turn.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::{Broker, Step};
use crate::clients::consumer::{InFlight, Standing};
use crate::clients::credit::Take;
use crate::delivery::destination::Content;
use crate::delivery::queue::Member;
use crate::delivery::rotation::Seat;
use crate::delivery::view::Found;
use crate::log::{Log, Store};
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex, flag};
use crate::outbox::Absent;
use crate::plant::planted;
use postrider_model::event::{Dispatch, Recipient};
use postrider_model::{Sequence, Span};

/// Steps that a turn may still take (R25).
pub(crate) struct Budget(pub usize);

impl Budget {
    /// Takes a step, if there is one left.
    pub fn step(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }

    /// Takes so many more, as far as they are there.
    pub fn spend(&mut self, steps: usize) {
        self.0 = self.0.saturating_sub(steps);
    }
}

/// Whether the message at the front may go.
enum Readiness {
    Ready,
    Expired,
    NotYet,
}

/// Who takes a message.
enum Choice {
    Member(Member),
    /// Nobody takes it, or wants it.
    Nobody,
    /// The budget is used up.
    Later,
}

/// What became of a message that could go.
enum Offer {
    /// It does not wait any more.
    Gone,
    /// Nothing goes now.
    Waits,
    /// Nobody takes it, or wants it.
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
        let Some(state) = self.destinations.try_get(index).filter(|state| !state.dying) else { return false };
        match &state.content {
            Content::Queue(queue) => {
                if !queue.looking.is_empty() || !queue.stalled.is_empty() {
                    self.show_stalled(index);
                }
                self.serve_queue(index, budget, step)
            }
            Content::Topic(_) => self.serve_topic(index, budget, step),
        }
    }

    fn serve_queue<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        loop {
            let queue = self.destinations.get_mut(index).queue();
            if queue.holds > 0 {
                return false;
            }
            let Some((message, was_returned)) = queue.front(&self.messages) else { return false };
            if !budget.step() {
                return true;
            }
            match self.offer(index, message, was_returned, budget, step) {
                Offer::Gone => {}
                Offer::Waits => return false,
                Offer::Later => return true,
                Offer::Nobody => {
                    let publisher = self.messages[message.0].publisher;
                    return self.serve_view(index, publisher, budget, step);
                }
            }
        }
    }

    /// Those that are left do not want what this connection sends: they get what is not of it.
    fn serve_view<L: Log>(
        &mut self,
        index: DestinationIndex,
        publisher: u32,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        let Some(seat) = self.unwilling(index, publisher).filter(|_| !planted("view-stops")) else { return false };
        loop {
            let queue = self.destinations.get_mut(index).queue();
            let (message, was_returned) = match queue.next_foreign(seat, &self.messages, budget) {
                Found::Message(message, was_returned) => (message, was_returned),
                Found::Nothing => return false,
                Found::Later => return true,
            };
            if !budget.step() {
                return true;
            }
            match self.offer(index, message, was_returned, budget, step) {
                Offer::Gone => {}
                Offer::Later => return true,
                Offer::Waits | Offer::Nobody => return false,
            }
        }
    }

    /// Gives a message to the consumer whose turn it is.
    fn offer<L: Log>(
        &mut self,
        index: DestinationIndex,
        message: MessageIndex,
        was_returned: bool,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Offer {
        match self.readiness(index, message, step) {
            Readiness::NotYet => return Offer::Waits,
            Readiness::Expired if self.expire(index, message, was_returned, step) => return Offer::Gone,
            Readiness::Expired => return Offer::Waits,
            Readiness::Ready => {}
        }
        let member = match self.choose(index, message, budget, step) {
            Choice::Member(member) => member,
            Choice::Nobody => return Offer::Nobody,
            Choice::Later => return Offer::Later,
        };
        match self.send(member.consumer, message, step) {
            Ok(()) => self.sent(index, member, message, was_returned, step),
            Err(Absent::Cold) => {
                self.await_bytes(index);
                return Offer::Waits;
            }
            Err(Absent::Damaged) if self.discard_waiting(message, was_returned, step) => {}
            Err(Absent::Damaged) => return Offer::Waits,
        }
        Offer::Gone
    }

    fn readiness<L: Log>(
        &mut self,
        index: DestinationIndex,
        number: MessageIndex,
        step: &mut Step<'_, L>,
    ) -> Readiness {
        let message = &self.messages[number.0];
        let (sequence, offered) = (message.sequence, message.has(flag::OFFERED));
        if message.store == Store::Journal {
            if message.position >= step.log.committed() && !planted("dispatch-before-commit") {
                self.await_commit(index);
                return Readiness::NotYet;
            }
            if message.expiration > 0 && message.expiration <= step.now.unix_millis {
                return Readiness::Expired;
            }
            let queue = self.destinations.get_mut(index).queue();
            if queue.rotation.is_unused() {
                return Readiness::NotYet;
            }
            if !offered && !queue.allowance.covers(sequence, step.log.committed()) {
                self.extend_allowance(index, sequence, step);
                self.await_commit(index);
                return Readiness::NotYet;
            }
        } else if message.expiration > 0 && message.expiration <= step.now.unix_millis {
            return Readiness::Expired;
        }
        Readiness::Ready
    }

    /// The destination is looked at again when bytes came.
    pub(crate) fn await_bytes(&mut self, index: DestinationIndex) {
        let state = self.destinations.get_mut(index);
        if !state.awaits_bytes && !planted("cold-forgotten") {
            state.awaits_bytes = true;
            self.cold.push(index);
        }
    }

    /// The queue is looked at again when something was committed.
    pub(crate) fn await_commit(&mut self, index: DestinationIndex) {
        let queue = self.destinations.get_mut(index).queue();
        if !queue.awaits_commit {
            queue.awaits_commit = true;
            self.uncommitted.push(index);
        }
    }

    /// The consumer whose turn it is and that wants the message. Those that cannot take leave their turn until they can.
    fn choose<L: Log>(
        &mut self,
        index: DestinationIndex,
        message: MessageIndex,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Choice {
        let publisher = self.messages[message.0].publisher;
        loop {
            let Some(member) = self.next_taker(index, publisher) else { return Choice::Nobody };
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

    /// The consumer whose turn it is for a message of this publisher, whether it can take one or not.
    pub(crate) fn next_taker(&self, index: DestinationIndex, publisher: u32) -> Option<Member> {
        let Content::Queue(queue) = &self.destinations.get(index).content else { return None };
        let Some((_, sole)) = queue.exclusive.first_key_value() else { return queue.rotation.next(publisher) };
        let consumer = &self.consumers[sole.consumer.0];
        let served = consumer.subscriptions[sole.subscription as usize].standing == Standing::Served;
        (served && (consumer.seat().local == 0 || consumer.seat().local != publisher)).then_some(*sole)
    }

    /// Where those stand that could take, but do not want what this connection sends.
    fn unwilling(&mut self, index: DestinationIndex, publisher: u32) -> Option<Seat> {
        let queue = self.destinations.get_mut(index).queue();
        let Some((_, sole)) = queue.exclusive.first_key_value() else { return queue.rotation.unwilling(publisher) };
        let consumer = &self.consumers[sole.consumer.0];
        let served = consumer.subscriptions[sole.subscription as usize].standing == Standing::Served;
        (served && consumer.seat().local == publisher).then(|| consumer.seat())
    }

    /// A consumer of a queue gets its turn.
    pub(crate) fn enter_turn(&mut self, index: DestinationIndex, member: Member) {
        let consumer = &mut self.consumers[member.consumer.0];
        let seat = consumer.seat();
        let turn = self.destinations.get_mut(index).queue().rotation.enter(member, seat);
        let subscription = &mut consumer.subscriptions[member.subscription as usize];
        (subscription.standing, subscription.turn) = (Standing::Served, turn);
    }

    fn leave_turn(&mut self, index: DestinationIndex, member: Member) {
        let consumer = &self.consumers[member.consumer.0];
        let turn = consumer.subscriptions[member.subscription as usize].turn;
        self.destinations.get_mut(index).queue().rotation.leave(turn, consumer.seat());
    }

    /// A subscription waits for its consumer.
    pub(crate) fn starve(&mut self, member: Member, lacking: Take) {
        let consumer = &mut self.consumers[member.consumer.0];
        consumer.subscriptions[member.subscription as usize].standing = Standing::Starved;
        match lacking {
            Take::NoBytes => consumer.cold.push(member.subscription),
            _ => consumer.starved.push_back(member.subscription),
        }
        self.wait_for(member.consumer, lacking);
    }

    /// Tells the consumer's port of a message.
    pub(crate) fn send<L: Log>(
        &mut self,
        to: ConsumerIndex,
        number: MessageIndex,
        step: &mut Step<'_, L>,
    ) -> Result<(), Absent> {
        let consumer = &mut self.consumers[to.0];
        let message = &self.messages[number.0];
        let place = step.out.locate(consumer.port, message.body(), step.log)?;
        let elsewhere: &[u8] = match message.has(flag::ELSEWHERE) {
            true => &self.destinations.get(message.destination).text,
            false => &[],
        };
        let dispatch = Dispatch {
            to: Recipient { consumer: consumer.handle, connection: self.connections[consumer.connection.0].handle },
            place,
            sequence: message.sequence,
            redeliveries: u32::from(message.redeliveries),
            destination: Span::default(),
        };
        step.out.dispatch(consumer.port, dispatch, elsewhere);
        consumer.grant = None;
        consumer.served = true;
        self.connections[consumer.connection.0].window.take(message.length, step.now.nanos);
        self.statistics.dispatched += 1;
        Ok(())
    }

    /// A queue's message has gone to a consumer.
    fn sent<L: Log>(
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
        let consumer = &mut self.consumers[member.consumer.0];
        queue.rotation.rotate(consumer.subscriptions[member.subscription as usize].turn, consumer.seat());
        let message = &mut self.messages[number.0];
        message.flags |= flag::IN_FLIGHT;
        consumer.hold(InFlight { sequence: message.sequence, index: number });
        if message.store == Store::Spool {
            return;
        }
        let (sequence, offered) = (message.sequence, message.has(flag::OFFERED));
        queue.allowance.note_dispatched(sequence, offered);
        if !offered && queue.allowance.is_due(chunk) && !queue.ready.is_empty() {
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
            let consumer = &mut self.consumers[index.0];
            let Some(subscription) = consumer.starved.pop_front() else { return more };
            let member = Member { consumer: index, subscription };
            let entry = &mut consumer.subscriptions[subscription as usize];
            match entry.standing {
                Standing::Starved => entry.standing = Standing::Served,
                Standing::Gone => {
                    consumer.free_subscriptions.push(subscription);
                    continue;
                }
                Standing::Served => continue,
            }
            let destination = entry.destination;
            if self.destinations.get(destination).dying {
                self.drop_member(destination, member);
                continue;
            }
            if let Content::Queue(_) = &self.destinations.get(destination).content {
                self.enter_turn(destination, member);
                if self.serve_queue(destination, budget, step) {
                    self.schedule(destination);
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
