//! Answers to clients.

use crate::broker::Broker;
use crate::destinations::destination::Refusal;
use crate::log::Log;
use crate::step::Step;
use postrider_model::command::Request;
use postrider_model::{ConnectionHandle, Event, PortIndex};

impl Broker {
    /// The answer that all is well, if one is wanted.
    pub(crate) fn reply<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        if request.is_wanted() {
            step.out.reply(port, Event::Reply { connection, token: request.token() });
        }
    }

    /// The answer that it did not work; unasked if none was wanted.
    pub(crate) fn refuse<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        request: Request,
        (failure, message): Refusal,
        step: &mut Step<'_, L>,
    ) {
        let token = request.answer();
        step.out.reply(port, Event::Failed { connection, token, failure, message, refused: None });
    }

    /// Answers at once, or behind the jobs that the command has made.
    pub(crate) fn reply_after_jobs<L: Log>(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        request: Request,
        jobs_before: u64,
        step: &mut Step<'_, L>,
    ) {
        self.reply_behind(port, (connection, false), request, jobs_before, step);
    }

    /// The same; the last answer of a connection comes behind all others that it waits for, too.
    pub(crate) fn reply_behind<L: Log>(
        &mut self,
        port: PortIndex,
        (connection, is_last): (ConnectionHandle, bool),
        request: Request,
        jobs_before: u64,
        step: &mut Step<'_, L>,
    ) {
        let event = Event::Reply { connection, token: request.token() };
        if request.is_wanted()
            && let Err(event) = self.jobs.answer(port, (connection, is_last), event, jobs_before)
        {
            step.out.reply(port, event);
        }
    }
}
