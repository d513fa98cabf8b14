//! A topic's fan-out: each message to the groups that walk, and to those that have stayed behind.

use crate::broker::Broker;
use crate::clients::credit::Take;
use crate::destinations::advisories::is_told_again;
use crate::destinations::destination::Content;
use crate::destinations::members::Member;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex, flag};
use crate::outbox::Absent;
use crate::step::Step;
use postrider_model::PortIndex;
use postrider_model::event::Recipient;

/// How a group's look at its next message went.
enum Progress {
    On,
    Stop,
    Cold,
    /// The budget is used up.
    Later,
}

impl Broker {
    pub(crate) fn serve_topic<L: Log>(
        &mut self,
        index: DestinationIndex,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        let topic = self.destinations.get_mut(index).topic();
        topic.drop_gone();
        if topic.is_joining() {
            return false;
        }
        for port in 0..self.destinations.get_mut(index).topic().groups() {
            loop {
                let topic = self.destinations.get_mut(index).topic();
                let Some(message) = topic.next_of(port) else { break };
                if !budget.step() {
                    return true;
                }
                if self.messages.at(message).has(flag::DECIDED) && !self.is_decision_durable(message, step) {
                    self.destinations.await_commit(index);
                    break;
                }
                match self.walk_on(index, PortIndex::at(port), message, budget, step) {
                    Progress::On => self.destinations.get_mut(index).topic().pass(port),
                    Progress::Stop => break,
                    Progress::Later => return true,
                    Progress::Cold => {
                        self.destinations.await_bytes(index);
                        break;
                    }
                }
            }
        }
        self.trim_topic(index, budget, step)
    }

    /// Messages that all have passed go.
    fn trim_topic<L: Log>(&mut self, index: DestinationIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        while let Some(message) = self.destinations.get_mut(index).topic().take_passed() {
            self.settle(index, message, step);
            if !budget.step() {
                return true;
            }
        }
        false
    }

    /// One message for one group.
    fn walk_on<L: Log>(
        &mut self,
        index: DestinationIndex,
        port: PortIndex,
        number: MessageIndex,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Progress {
        if self.is_passed_over(number, step) {
            return Progress::On;
        }
        if !step.out.has_room(port) {
            if self.destinations.get_mut(index).topic().block(port) {
                self.clients.port_mut(port).block_topic(index);
            }
            self.note_lag(index);
            return Progress::Stop;
        }
        let message = self.messages.at(number);
        let (body, sequence) = (message.body(), message.sequence);
        match self.sift(index, port, number, budget, step) {
            Ok(true) | Err(Absent::Damaged) => {}
            Ok(false) => return Progress::Later,
            Err(Absent::Cold) => {
                self.note_lag(index);
                return Progress::Cold;
            }
        }
        let place = match step.out.locate(port, body, step.log) {
            Ok(place) => place,
            Err(Absent::Damaged) if self.set_aside(number, step).is_ok() => return Progress::On,
            Err(Absent::Cold | Absent::Damaged) => {
                self.note_lag(index);
                return Progress::Cold;
            }
        };
        let mut recipients = std::mem::take(&mut self.delivery.recipients);
        recipients.clear();
        self.gather(index, port, number, &mut recipients, step);
        budget.0 = budget.0.saturating_sub(recipients.len());
        if !recipients.is_empty() {
            let message = self.messages.at(number);
            let text = &self.destinations.get(index).text;
            let elsewhere: &[u8] = if message.has(flag::ELSEWHERE) { text } else { &[] };
            step.out.fan_out(port, &recipients, (place, sequence), elsewhere);
            self.statistics.dispatched += recipients.len() as u64;
        }
        self.delivery.recipients = recipients;
        Progress::On
    }

    /// The consumers of the group that take the message; those that cannot stay behind.
    fn gather<L: Log>(
        &mut self,
        index: DestinationIndex,
        port: PortIndex,
        number: MessageIndex,
        recipients: &mut Vec<Recipient>,
        step: &mut Step<'_, L>,
    ) {
        let (mut walkers, cursor) = self.destinations.get_mut(index).topic().take_walkers(port);
        let (publisher, length) = (self.messages.at(number).publisher, self.messages.at(number).length);
        walkers.retain(|walker| {
            if walker.from > cursor || !self.is_for(index, walker.member.consumer, publisher) {
                return true;
            }
            let takes = self.takes(walker.member.consumer, step.out);
            if takes == Take::Yes {
                recipients.push(self.clients.count_sent(walker.member.consumer, length, step.now.nanos));
                self.clients.consumer_mut(walker.member.consumer).count_outstanding();
            } else {
                self.stay_behind(index, walker.member, cursor, takes);
            }
            takes == Take::Yes
        });
        self.destinations.get_mut(index).topic().put_walkers(port, walkers);
    }

    /// Whether a message is for a consumer, whose selector was asked before.
    #[inline]
    fn is_for(&self, topic: DestinationIndex, index: ConsumerIndex, publisher: u32) -> bool {
        let Some(filter) = self.clients.consumer(index).predicate() else { return true };
        match &self.destinations.get(topic).content {
            Content::Topic(topic) if filter.reads() => topic.is_wanted_by(filter.number) == Some(true),
            _ => filter.is_foreign(publisher),
        }
    }

    pub(crate) fn stay_behind(&mut self, index: DestinationIndex, member: Member, cursor: u64, lacking: Take) {
        self.clients.consumer_mut(member.consumer).set_cursor(member.membership, cursor);
        self.destinations.get_mut(index).topic().stand(cursor, 1);
        self.note_lag(index);
        self.starve(member, lacking);
    }

    fn note_lag(&mut self, index: DestinationIndex) {
        if self.destinations.get_mut(index).topic().begin_to_lag() {
            self.spooling.lags(index);
        }
    }

    fn is_passed_over<L: Log>(&self, number: MessageIndex, step: &Step<'_, L>) -> bool {
        let expiration = self.messages.at(number).expiration;
        expiration > 0 && expiration <= step.now.unix_millis
    }

    /// One that stayed behind goes on, until it has caught up or cannot take. True: only the budget stopped it.
    pub(crate) fn serve_laggard<L: Log>(
        &mut self,
        index: DestinationIndex,
        member: Member,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        let consumer = self.clients.consumer(member.consumer);
        let port = consumer.port;
        let cursor = consumer.membership(member.membership).cursor;
        let (mut cursor, has_lost) = self.destinations.get_mut(index).topic().resume(cursor);
        let is_told_again = is_told_again(&self.destinations.get(index).destination);
        if has_lost && is_told_again {
            self.tell_again(index, member, budget, step);
            return false;
        }
        let lacking = loop {
            let topic = self.destinations.get_mut(index).topic();
            // Alone it leads its group, which waits for bytes.
            let caught_up = topic.has_caught_up(port, cursor, !is_told_again);
            let Some(number) = topic.message_at(cursor).filter(|_| !caught_up) else {
                let ticket = topic.walk(port, member, cursor);
                self.clients.consumer_mut(member.consumer).set_cursor(member.membership, ticket);
                self.destinations.line_up(index);
                return false;
            };
            let takes = self.takes(member.consumer, step.out);
            if takes != Take::Yes || !budget.step() {
                break takes;
            }
            if !self.is_passed_over(number, step) {
                let sent = match self.wants(member.consumer, (index, number), budget, step) {
                    Ok(true) => self.send(member.consumer, (index, number), step).map(|()| true),
                    other => other,
                };
                match sent {
                    Ok(false) => {}
                    Ok(true) => self.clients.consumer_mut(member.consumer).count_outstanding(),
                    Err(_) if is_told_again => {
                        self.tell_again(index, member, budget, step);
                        return false;
                    }
                    Err(Absent::Damaged) if self.set_aside(number, step).is_ok() => {}
                    Err(Absent::Cold | Absent::Damaged) => break Take::NoBytes,
                }
            }
            cursor += 1;
        };
        self.stay_behind(index, member, cursor, lacking);
        self.destinations.line_up(index);
        lacking == Take::Yes
    }
}
