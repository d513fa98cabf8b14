//! Producers that come and go.

use crate::broker::Broker;
use crate::clients::connection::refused_producer;
use crate::clients::portrait::ProducerPortrait;
use crate::delivery::advisory::Subject;
use crate::intake::admission::Named;
use crate::log::Log;
use crate::messages::{ConnectionIndex, DestinationIndex};
use crate::step::Step;
use postrider_model::command::{OpenProducer, Request};
use postrider_model::{ConnectionHandle, Event, PortIndex};

impl Broker {
    pub(crate) fn open_producer<L: Log>(&mut self, port: PortIndex, open: &OpenProducer, step: &mut Step<'_, L>) {
        let Some(index) = self.connection(port, open.connection) else { return };
        let before = self.jobs.pushed();
        let mut parts = Vec::with_capacity(open.destinations.len());
        for destination in &open.destinations {
            if destination.kind.is_temporary() {
                parts.extend(self.destinations.find(destination));
                continue;
            }
            match self.resolve(destination, Named::ToSend, step) {
                Ok(part) => parts.push(part),
                Err((failure, message)) => {
                    let token = open.request.answer();
                    let refused = Some(Box::new(refused_producer(open)));
                    let failed = Event::Failed { connection: open.connection, token, failure, message, refused };
                    return step.out.reply(port, failed);
                }
            }
        }
        self.producer_goes(index, open.producer, step);
        let portrait = self.portray(open, &parts);
        if let Some(old) = self.clients.connection_mut(index).add_producer(open, portrait) {
            self.marks.release(old.mark, step.now);
        }
        self.known_mark(index, open.producer);
        self.advise(Subject::Producer(index, open.producer), true, step);
        self.reply_after_jobs(port, open.connection, open.request, before, step);
    }

    pub(crate) fn close_producer<L: Log>(
        &mut self,
        port: PortIndex,
        handle: ConnectionHandle,
        producer: u32,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        let Some(index) = self.connection(port, handle) else { return };
        let before = self.jobs.pushed();
        self.producer_goes(index, producer, step);
        if let Some(producer) = self.clients.connection_mut(index).remove_producer(producer) {
            self.marks.retire(producer.mark, step.now);
        }
        self.reply_after_jobs(port, handle, request, before, step);
    }

    /// What others are told of a producer, which counts from here on where it sends.
    fn portray(&mut self, open: &OpenProducer, parts: &[DestinationIndex]) -> Option<Box<ProducerPortrait>> {
        let happened = self.next_happening();
        for part in parts {
            self.destinations.get_mut(*part).producers += 1;
        }
        let parts = parts.iter().map(|part| self.destinations.reference(*part)).collect();
        ProducerPortrait::new(open, parts, happened)
    }

    /// A producer goes, if there is one with this number: those who listen are told, and it does not count any more.
    pub(crate) fn producer_goes<L: Log>(&mut self, index: ConnectionIndex, number: u32, step: &mut Step<'_, L>) {
        self.advise(Subject::Producer(index, number), false, step);
        let portrait = self.clients.connection_mut(index).take_portrait(number);
        for part in portrait.iter().flat_map(|portrait| &portrait.parts) {
            if self.destinations.is_valid(*part) {
                let count = &mut self.destinations.get_mut(part.index).producers;
                *count = count.saturating_sub(1);
            }
        }
    }
}
