//! Producers that come and go.

use crate::broker::Broker;
use crate::clients::connection::refused_producer;
use crate::intake::admission::Named;
use crate::log::Log;
use crate::step::Step;
use postrider_model::command::{OpenProducer, Request};
use postrider_model::{ConnectionHandle, Event, PortIndex};

impl Broker {
    pub(crate) fn open_producer<L: Log>(&mut self, port: PortIndex, open: &OpenProducer, step: &mut Step<'_, L>) {
        let Some(index) = self.connection(port, open.connection) else { return };
        for destination in open.destinations.iter().filter(|destination| !destination.kind.is_temporary()) {
            if let Err((failure, message)) = self.resolve(destination, Named::ToSend, step) {
                let token = open.request.answer();
                let refused = Some(Box::new(refused_producer(open)));
                let failed = Event::Failed { connection: open.connection, token, failure, message, refused };
                return step.out.reply(port, failed);
            }
        }
        if let Some(old) = self.clients.connection_mut(index).add_producer(open) {
            self.marks.release(old.mark, step.now);
        }
        self.known_mark(index, open.producer);
        self.reply(port, open.connection, open.request, step);
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
        if let Some(producer) = self.clients.connection_mut(index).remove_producer(producer) {
            self.marks.retire(producer.mark, step.now);
        }
        self.reply(port, handle, request, step);
    }
}
