//! Connections that come, and the numbers that they give to destinations.

use crate::broker::Broker;
use crate::clients::connection::Connection;
use crate::clients::window::SendWindow;
use crate::delivery::advisory::Subject;
use crate::destinations::destination::Refusal;
use crate::log::Log;
use crate::messages::ConnectionIndex;
use crate::plant::planted;
use crate::step::Step;
use postrider_model::command::{LastDelivered, OpenConnection};
use postrider_model::event::Failure;
use postrider_model::{ConnectionHandle, Destination, Event, PortIndex};

/// Definitions that are dropped in the time of a step.
const DROPPED_A_STEP: usize = 4;

impl Broker {
    pub(crate) fn open_connection<L: Log>(&mut self, port: PortIndex, open: &OpenConnection, step: &mut Step<'_, L>) {
        self.attach(port);
        if let Some(left) = self.peek_connection(port, open.connection) {
            // It has taken its leave and does not wait for what is parked.
            self.end_connection(left, (LastDelivered::Unknown, true), None, step);
        }
        let old = self.clients.names().with_id(&open.id);
        let serial = old.map(|old| self.clients.connection(old).serial);
        if let Some(old) = old {
            self.take_over(old, step);
        }
        if self.config.allow_link_stealing
            && let Some(other) = self.clients.names().with_client_id(&open.client_id)
        {
            self.end_for(other, "its client id is another connection's now", step);
        }
        if let Err((failure, message)) = self.check_client_id(open) {
            let token = open.request.answer();
            let failed = Event::Failed { connection: open.connection, token, failure, message, refused: None };
            step.out.reply(port, failed);
            return;
        }
        let index = self.add_connection(port, open, serial);
        let before = self.jobs.pushed();
        self.advise(Subject::Connection(index), true, step);
        let opened = Event::Opened { connection: open.connection, token: open.request.token() };
        if let Err(opened) = self.jobs.answer(port, (open.connection, false), opened, before) {
            step.out.reply(port, opened);
        }
    }

    fn add_connection(&mut self, port: PortIndex, open: &OpenConnection, serial: Option<u32>) -> ConnectionIndex {
        let serial = serial.unwrap_or_else(|| self.clients.names_mut().next_connection());
        let mut connection = Connection::new(port, open, serial, SendWindow::new(self.config.send_window));
        connection.happened = self.next_happening();
        self.clients.add_connection(connection)
    }

    /// The same client has come back: its old connection ends, and what it still says is not heard (R16).
    fn take_over<L: Log>(&mut self, old: ConnectionIndex, step: &mut Step<'_, L>) {
        let (port, handle) = (self.clients.connection(old).port, self.clients.connection(old).handle);
        self.end_for(old, "its client has connected again", step);
        if planted("stale-generation") {
            self.clients.port_mut(port).set_connection(handle, old);
        }
    }

    /// A connection ends as another one takes what it had.
    fn end_for<L: Log>(&mut self, old: ConnectionIndex, reason: &'static str, step: &mut Step<'_, L>) {
        let (port, handle) = (self.clients.connection(old).port, self.clients.connection(old).handle);
        self.end_connection(old, (LastDelivered::Unknown, false), None, step);
        step.out.reply(port, Event::Close { connection: handle, reason });
    }

    fn check_client_id(&self, open: &OpenConnection) -> Result<(), Refusal> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if open.client_id.is_empty() {
            return Err((Failure::InvalidClientId, "No clientID specified for connection request".into()));
        }
        let Some(other) = self.clients.names().with_client_id(&open.client_id) else { return Ok(()) };
        let (broker, client) = (&self.config.broker_name, text(&open.client_id));
        let peer = &self.clients.connection(other).peer;
        let message = format!("Broker: {broker} - Client: {client} already connected from {peer}");
        Err((Failure::InvalidClientId, message.into()))
    }

    pub(crate) fn define_destination(
        &mut self,
        port: PortIndex,
        handle: ConnectionHandle,
        number: u32,
        destinations: &[Destination],
    ) {
        let Some(index) = self.connection(port, handle) else { return };
        let dropped = self.clients.connection_mut(index).define(number, destinations);
        self.work.spend(dropped / DROPPED_A_STEP);
    }
}
