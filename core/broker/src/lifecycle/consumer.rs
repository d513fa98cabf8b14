//! Consumers that come.

use crate::broker::Broker;
use crate::clients::consumer::{ConsumerKind, refused};
use crate::clients::filters::read_selector;
use crate::destinations::advisories::is_told_on;
use crate::destinations::destination::Refusal;
use crate::intake::admission::Named;
use crate::log::Log;
use crate::messages::{ConnectionIndex, ConsumerIndex};
use crate::selector::Selector;
use crate::step::Step;
use crate::wildcards::matching::name_steps;
use postrider_model::PortIndex;
use postrider_model::command::OpenConsumer;
use postrider_model::event::Failure;

/// Bytes of a selector that are read and made in the time of a step.
pub(super) const SELECTOR_BYTES_OF_STEP: usize = 256;

/// Steps that a destination takes that a consumer names.
const DESTINATION_STEPS: usize = 4;

impl Broker {
    pub(crate) fn open_consumer<L: Log>(&mut self, port: PortIndex, open: &OpenConsumer, step: &mut Step<'_, L>) {
        let Some(connection) = self.connection(port, open.connection) else { return };
        let before = self.jobs.pushed();
        match self.try_open_consumer(port, connection, open, step) {
            Ok(()) => self.reply_after_jobs(port, open.connection, open.request, before, step),
            Err(refusal) => step.out.reply(port, refused(open.connection, open.consumer, open.request, refusal)),
        }
    }

    fn try_open_consumer<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        open: &OpenConsumer,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        if let Some(name) = open.subscription.as_deref().filter(|_| is_of_topics(open)) {
            return self.subscribe(port, connection, open, name, step);
        }
        let kind = consumer_kind(open)?;
        let selector = read_selector(open.selector.as_deref())?;
        if let Some(selector) = &selector {
            self.work.spend(selector.memory() / SELECTOR_BYTES_OF_STEP);
            self.clients.filters().admit(selector, self.clients.connection(connection).serial)?;
        }
        let hears = self.what_it_hears(open, kind)?;
        let mut destinations = Vec::new();
        for destination in open.destinations.iter().filter(|destination| !destination.is_wildcard()) {
            if !hears.is_empty() && is_told_on(destination) && self.is_covered(open, destination) {
                continue;
            }
            let destination = self.resolve(destination, Named::ToConsume, step)?;
            self.destinations.get(destination).check_owner(connection)?;
            destinations.push(destination);
        }
        let index = self.add_consumer(port, connection, open, (kind, selector));
        self.work.spend(open.destinations.iter().map(|name| DESTINATION_STEPS + name_steps(name)).sum::<usize>());
        for destination in destinations {
            self.join(index, destination, None);
        }
        self.listen(index, open, hears);
        self.replay_advisories(index);
        if let Err(refusal) = self.match_destinations(index, open) {
            self.close_refused(index, step);
            return Err(refusal);
        }
        if !self.clients.consumer(index).is_matching() {
            self.consumer_came(index, step);
        }
        self.wake(index);
        Ok(())
    }

    fn add_consumer(
        &mut self,
        port: PortIndex,
        connection: ConnectionIndex,
        open: &OpenConsumer,
        kind: (ConsumerKind, Option<Selector>),
    ) -> ConsumerIndex {
        let index = self.clients.add_consumer(port, connection, open, kind);
        self.enter_pairs(index);
        index
    }
}

/// Whether it is of topics, by the first that it names: of queues nobody is a durable subscriber.
fn is_of_topics(open: &OpenConsumer) -> bool {
    open.destinations.first().is_some_and(|first| first.kind.is_topic())
}

fn consumer_kind(open: &OpenConsumer) -> Result<ConsumerKind, Refusal> {
    match open.destinations.first() {
        None => Err((Failure::InvalidDestination, "a consumer needs a destination: name at least one".into())),
        Some(first) if first.kind.is_topic() => Ok(ConsumerKind::Topic),
        Some(_) if open.browser => Ok(ConsumerKind::Browser),
        Some(_) => Ok(ConsumerKind::Queue),
    }
}
