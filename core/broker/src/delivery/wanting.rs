//! Whether a consumer wants a message, where that is asked for each of them: of topics, and of browsers. Of queues views know it.

use crate::broker::Broker;
use crate::destinations::filter::{Facts, Filter};
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::messages::{ConsumerIndex, DestinationIndex, MessageIndex};
use crate::outbox::Absent;
use crate::step::Step;
use postrider_journal::{Extent, Lookup};
use postrider_model::{MessageView, PortIndex};
use std::sync::Arc;

impl Broker {
    /// The bytes of a message's record. What came in this turn cannot be read before its end: it counts as cold, and who waits for bytes is
    /// looked at in the next one.
    pub(crate) fn read<L: Log>(&mut self, number: MessageIndex, step: &mut Step<'_, L>) -> Result<Extent, Absent> {
        let message = self.messages.at(number);
        if self.durable.is_of_this_turn(message.sequence) {
            self.delivery.waits_for_turn = true;
            return Err(Absent::Cold);
        }
        match step.log.extent(message.store, message.position, message.length, message.crc) {
            Lookup::Memory(extent) | Lookup::Checked(extent) => Ok(extent),
            Lookup::Damaged => Err(Absent::Damaged),
            Lookup::Cold => {
                step.log.fetch(message.store, message.position, message.length);
                Err(Absent::Cold)
            }
        }
    }

    /// What is known of a message besides its record.
    pub(crate) fn facts(&self, (of, number): (DestinationIndex, MessageIndex)) -> Facts {
        let message = self.messages.at(number);
        Facts { publisher: message.publisher, redeliveries: self.redeliveries(of, message) }
    }

    /// Whether a consumer wants a message.
    pub(crate) fn wants<L: Log>(
        &mut self,
        consumer: ConsumerIndex,
        (of, number): (DestinationIndex, MessageIndex),
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Result<bool, Absent> {
        match self.clients.consumer(consumer).predicate() {
            None => Ok(true),
            Some(filter) if !filter.reads() => Ok(filter.is_foreign(self.messages.at(number).publisher)),
            Some(filter) => {
                let filter = filter.clone();
                let extent = self.read(number, step)?;
                self.ask(&filter, (of, number), &extent, budget)
            }
        }
    }

    /// Asks a filter about a message whose bytes are there.
    fn ask(
        &mut self,
        filter: &Filter,
        (of, number): (DestinationIndex, MessageIndex),
        extent: &Extent,
        budget: &mut Budget,
    ) -> Result<bool, Absent> {
        let message = self.messages.at(number);
        let bytes = extent.bytes(message.position, message.length as usize);
        let Ok(view) = MessageView::parse(bytes) else { return Err(Absent::Damaged) };
        budget.spend(filter.steps(&view));
        let wants = filter.matches(&view, self.facts((of, number)));
        self.statistics.evaluations += 1;
        Ok(wants)
    }

    /// Asks each selector once that consumers of a topic's group have about the group's next message, as far as the budget goes. False: it is
    /// used up.
    pub(crate) fn sift<L: Log>(
        &mut self,
        index: DestinationIndex,
        port: PortIndex,
        number: MessageIndex,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> Result<bool, Absent> {
        let topic = self.destinations.get_mut(index).topic();
        if !topic.has_readers() {
            return Ok(true);
        }
        let (walkers, cursor) = topic.take_walkers(port);
        topic.begin_to_sift(cursor);
        let mut outcome = Ok(true);
        let mut extent = None;
        for walker in walkers.iter().filter(|walker| walker.from <= cursor) {
            let Some(filter) =
                self.clients.consumer(walker.member.consumer).predicate().filter(|filter| filter.reads())
            else {
                continue;
            };
            if self.destinations.get_mut(index).topic().is_wanted_by(filter.number).is_some() {
                continue;
            }
            if budget.0 == 0 {
                outcome = Ok(false);
                break;
            }
            let filter: Arc<Filter> = filter.clone();
            let bytes = match extent.take().map_or_else(|| self.read(number, step), Ok) {
                Ok(bytes) => bytes,
                Err(absent) => {
                    outcome = Err(absent);
                    break;
                }
            };
            let wants = self.ask(&filter, (index, number), &bytes, budget);
            self.destinations.get_mut(index).topic().note_wanted(filter.number, wants == Ok(true));
            extent = Some(bytes);
        }
        self.destinations.get_mut(index).topic().put_walkers(port, walkers);
        outcome
    }
}
