//! Browsers: they see what a queue holds, in order, and take nothing.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::{Broker, Step};
use crate::consumer::{InFlight, Standing};
use crate::credit::Take;
use crate::destination::Content;
use crate::dispatch::Budget;
use crate::log::{Log, Store};
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex};
use crate::outbox::Absent;
use postrider_model::{Event, Sequence, limits};
use std::collections::VecDeque;

/// How far a browser is.
#[derive(Default)]
pub(crate) struct Browse {
    /// Which of its subscriptions.
    subscription: usize,
    /// The queue's newest sequence when the browser came to it: what is newer is not shown.
    end: Option<Sequence>,
    /// The newest that it has seen there.
    last: Sequence,
    /// What comes next; some of it may be gone by then.
    page: VecDeque<(Sequence, MessageIndex)>,
    done: bool,
}

impl Browse {
    pub fn is_done(&self) -> bool {
        self.done
    }
}

impl Broker {
    /// Shows a browser what it takes. True: only the budget stopped it.
    pub(crate) fn browse<L: Log>(&mut self, index: ConsumerIndex, budget: &mut Budget, step: &mut Step<'_, L>) -> bool {
        let Some(mut browse) = self.consumers[index.0].browse.take() else { return false };
        let more = !browse.done && self.show(index, &mut browse, budget, step);
        self.consumers[index.0].browse = Some(browse);
        more
    }

    fn show<L: Log>(
        &mut self,
        index: ConsumerIndex,
        browse: &mut Browse,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        loop {
            let subscriptions = &self.consumers[index.0].subscriptions;
            let Some(subscription) = subscriptions.get(browse.subscription).copied() else {
                if self.consumers[index.0].matching {
                    return false;
                }
                self.end_browse(index, browse, step);
                return false;
            };
            let destination = subscription.destination;
            let gone = subscription.standing == Standing::Gone || self.destinations.get(destination).dying;
            if gone || !self.turn_page(destination, browse) {
                browse.subscription += 1;
                browse.end = None;
                browse.page.clear();
                continue;
            }
            let Some((sequence, number)) = browse.page.front().copied() else { return false };
            if !budget.step() {
                return true;
            }
            let message = self.messages.get(number.0).filter(|message| message.sequence == sequence);
            let Some(message) = message else {
                browse.page.pop_front();
                continue;
            };
            if message.store == Store::Journal && message.position >= step.log.committed() {
                self.await_commit(destination);
                return false;
            }
            let takes = self.takes(index, step.out);
            if takes != Take::Yes {
                self.wait_for(index, takes);
                return false;
            }
            match self.send(index, number, step) {
                Ok(()) => self.consumers[index.0].outstanding += 1,
                Err(Absent::Damaged) => {}
                Err(Absent::Cold) => {
                    self.wait_for(index, Take::NoBytes);
                    return false;
                }
            }
            browse.last = sequence;
            browse.page.pop_front();
        }
    }

    fn end_browse<L: Log>(&mut self, index: ConsumerIndex, browse: &mut Browse, step: &mut Step<'_, L>) {
        let consumer = &mut self.consumers[index.0];
        if consumer.prefetch == 0 && consumer.grant.is_none() {
            return;
        }
        consumer.grant = None;
        browse.done = true;
        step.out.reply(consumer.port, Event::EndOfMessages { consumer: consumer.handle });
    }

    /// Looks for what comes next if the page is used up. False: there is nothing more. True with an empty page: wait.
    fn turn_page(&mut self, destination: DestinationIndex, browse: &mut Browse) -> bool {
        let Content::Queue(queue) = &self.destinations.get(destination).content else { return false };
        if browse.end.is_none() {
            browse.end = Some(queue.last);
            browse.last = Sequence(0);
        }
        if !browse.page.is_empty() || queue.holds > 0 {
            return true;
        }
        let last = browse.last;
        let mut page = Page { found: Vec::new(), end: browse.end.unwrap_or_default() };
        let sequence = |number: MessageIndex| self.message(number).sequence;
        let mut place = queue.ready.search(|number| sequence(number) <= last);
        while let Some(number) = queue.ready.at(place)
            && page.add(sequence(number), number)
        {
            place = queue.ready.after(place);
        }
        for (sequence, number) in queue.returned.from(last.next()) {
            if !page.add(*sequence, *number) {
                break;
            }
        }
        for member in &queue.subscribers {
            self.look_at_in_flight(member.consumer, destination, last, &mut page);
        }
        browse.page.extend(page.finish());
        !browse.page.is_empty()
    }

    /// What a consumer has of the queue is there, too.
    fn look_at_in_flight(&self, index: ConsumerIndex, destination: DestinationIndex, last: Sequence, page: &mut Page) {
        let consumer = &self.consumers[index.0];
        let is_seen = |entry: InFlight| consumer.sorted && entry.sequence <= last;
        let mut place = consumer.in_flight.search(is_seen);
        while let Some(entry) = consumer.in_flight.at(place) {
            let here = entry.sequence > last && self.message(entry.index).destination == destination;
            if here && !page.add(entry.sequence, entry.index) && consumer.sorted {
                return;
            }
            place = consumer.in_flight.after(place);
        }
        for entry in &consumer.aside {
            if entry.sequence > last && self.message(entry.index).destination == destination {
                page.add(entry.sequence, entry.index);
            }
        }
    }
}

/// The next messages of a browse, in whatever order they are found: those with the lowest sequences.
struct Page {
    found: Vec<(Sequence, MessageIndex)>,
    /// What is behind it is not on the page.
    end: Sequence,
}

impl Page {
    /// Adds a message. False: it is not on the page, and nothing behind it is.
    fn add(&mut self, sequence: Sequence, number: MessageIndex) -> bool {
        if sequence > self.end {
            return false;
        }
        self.found.push((sequence, number));
        if self.found.len() == limits::HANDLE_STEPS * 2 {
            self.cut();
        }
        true
    }

    fn cut(&mut self) {
        if self.found.len() > limits::HANDLE_STEPS {
            let (_, last, _) = self.found.select_nth_unstable(limits::HANDLE_STEPS - 1);
            self.end = last.0;
            self.found.truncate(limits::HANDLE_STEPS);
        }
    }

    fn finish(mut self) -> Vec<(Sequence, MessageIndex)> {
        self.cut();
        self.found.sort_unstable();
        self.found
    }
}
