//! Dispatch: from queues to consumers with credit, in turn.

use crate::broker::{Broker, Step};
use crate::consumer::{InFlight, Standing};
use crate::credit::Take;
use crate::destination::Content;
use crate::log::{Log, Store};
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex, flag};
use crate::outbox::Absent;
use crate::plant::planted;
use crate::queue::Member;
use postrider_model::event::{Dispatch, Recipient};
use postrider_model::{Span, limits};

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
                for browser in 0..queue.browsers.len() {
                    let queue = self.destinations.get_mut(index).queue();
                    let consumer = queue.browsers[browser].consumer;
                    self.browse(consumer, budget, step);
                }
                self.serve_queue(index, budget, step)
            }
            Content::Topic(_) => self.serve_topic(index, budget, step),
        }
    }

    fn serve_queue<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        let mut skipped = Vec::new();
        let more = loop {
            let queue = self.destinations.get_mut(index).queue();
            if queue.holds > 0 {
                break false;
            }
            let Some((message, was_returned)) = queue.front(&self.messages) else { break false };
            if !budget.step() {
                break true;
            }
            match self.readiness(index, message, step) {
                Readiness::NotYet => break false,
                Readiness::Expired => {
                    if !self.expire_front(index, message, was_returned, step) {
                        break false;
                    }
                    continue;
                }
                Readiness::Ready => {}
            }
            let Some(member) = self.choose(index, message, step) else {
                // Nobody takes anything, or all that could take do not want this one.
                if skipped.len() >= limits::HANDLE_STEPS || !self.has_taker(index) {
                    break false;
                }
                self.destinations.get_mut(index).queue().take_front(was_returned);
                skipped.push(message);
                continue;
            };
            match self.send(member.consumer, message, step) {
                Ok(()) => self.sent(index, member, was_returned, step),
                Err(Absent::Cold) => {
                    self.await_bytes(index);
                    break false;
                }
                Err(Absent::Damaged) => {
                    if !self.discard_front(message, was_returned, step) {
                        break false;
                    }
                }
            }
        };
        self.put_back(index, skipped);
        more
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
            if queue.levels.is_empty() {
                return Readiness::NotYet;
            }
            if !offered && !queue.allowance.covers(sequence, step.log.committed()) {
                self.extend_allowance(index, step);
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
        if !self.cold.contains(&index) && !planted("cold-forgotten") {
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
        step: &mut Step<'_, L>,
    ) -> Option<Member> {
        let publisher = self.messages[message.0].publisher;
        let mut unwilling: Vec<Member> = Vec::new();
        let chosen = loop {
            let Some(member) = self.destinations.get_mut(index).queue().next_member() else { break None };
            let takes = self.takes(member.consumer, step.out);
            if takes != Take::Yes {
                self.destinations.get_mut(index).queue().leave_front();
                self.starve(member, takes);
                continue;
            }
            let consumer = &self.consumers[member.consumer.0];
            if consumer.no_local && consumer.connection_serial == publisher {
                self.destinations.get_mut(index).queue().leave_front();
                unwilling.push(member);
                continue;
            }
            break Some(member);
        };
        for member in unwilling {
            let priority = self.consumers[member.consumer.0].priority;
            self.destinations.get_mut(index).queue().enter(member, priority);
        }
        chosen
    }

    /// A subscription waits for its consumer.
    pub(crate) fn starve(&mut self, member: Member, lacking: Take) {
        let consumer = &mut self.consumers[member.consumer.0];
        consumer.subscriptions[member.subscription as usize].standing = Standing::Starved;
        consumer.starved.push_back(member.subscription);
        self.wait_for(member.consumer, lacking);
    }

    fn has_taker(&mut self, index: DestinationIndex) -> bool {
        self.destinations.get_mut(index).queue().next_member().is_some()
    }

    fn put_back(&mut self, index: DestinationIndex, skipped: Vec<MessageIndex>) {
        for message in skipped {
            let entry = (self.messages[message.0].sequence, message);
            self.destinations.get_mut(index).queue().returned.insert(entry);
        }
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
        let record = (message.store, message.position, message.length);
        let place = step.out.locate(consumer.port, record, step.log)?;
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
    fn sent<L: Log>(&mut self, index: DestinationIndex, member: Member, was_returned: bool, step: &mut Step<'_, L>) {
        let chunk = self.config.allowance_chunk;
        let queue = self.destinations.get_mut(index).queue();
        let (number, _) = queue.front(&self.messages).expect("it was just sent");
        queue.take_front(was_returned);
        queue.rotate();
        let message = &mut self.messages[number.0];
        message.flags |= flag::IN_FLIGHT;
        self.consumers[member.consumer.0].hold(InFlight { sequence: message.sequence, index: number });
        if message.store == Store::Spool {
            return;
        }
        let (sequence, offered) = (message.sequence, message.has(flag::OFFERED));
        queue.allowance.note_dispatched(sequence, offered);
        if !offered && queue.allowance.is_due(chunk) && !queue.ready.is_empty() {
            self.extend_allowance(index, step);
        }
    }

    /// A consumer can take again: what has waited for it goes on.
    pub(crate) fn feed<L: Log>(&mut self, index: ConsumerIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        let mut more = self.browse(index, budget, step);
        if !self.replay(index, budget, step) {
            return more || budget.0 == 0;
        }
        loop {
            let takes = self.takes(index, step.out);
            if takes != Take::Yes {
                self.wait_for(index, takes);
                return more;
            }
            let consumer = &mut self.consumers[index.0];
            let Some(subscription) = consumer.starved.pop_front() else { return more };
            let member = Member { consumer: index, subscription };
            let priority = consumer.priority;
            let entry = &mut consumer.subscriptions[subscription as usize];
            match entry.standing {
                Standing::Starved => entry.standing = Standing::Served,
                Standing::Gone => {
                    consumer.free_subscriptions.push(subscription);
                    continue;
                }
                Standing::Served | Standing::Aside => continue,
            }
            let destination = entry.destination;
            if let Content::Queue(queue) = &mut self.destinations.get_mut(destination).content {
                queue.enter(member, priority);
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
