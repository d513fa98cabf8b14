//! Limits: what is refused or held back when the journal is full of live bytes (R6).

use crate::broker::{Broker, Step};
use crate::destination::Refusal;
use crate::log::Log;
use crate::messages::ConnectionIndex;
use crate::outbox::Outbox;
use postrider_model::command::Publish;
use postrider_model::event::Failure;
use postrider_model::{Event, Now, PortIndex};

/// Segments that are kept free for acknowledgements, commits and moves.
pub(crate) const RESERVED_SEGMENTS: u64 = 8;

impl Broker {
    /// Live bytes that the journal may hold.
    pub(crate) fn live_limit<L: Log>(&self, step: &Step<'_, L>) -> u64 {
        step.log.disk_budget().saturating_sub(RESERVED_SEGMENTS * step.log.segment_bytes()) / 2
    }

    /// Whether a persistent message may come in. Beyond the limit whoever waits for an answer is refused, and whoever does not is
    /// read no more; a sixteenth is left for what was under way.
    pub(crate) fn admit<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        publish: &Publish,
        length: usize,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let limit = self.live_limit(step);
        let live = self.journal.live_bytes() + length as u64;
        if live <= limit {
            return Ok(());
        }
        if !publish.request.wanted && live <= limit + limit / 16 {
            self.pause(connection, step);
            return Ok(());
        }
        self.statistics.refused += 1;
        let text = format!(
            "the journal holds {live} of {limit} bytes of messages that nobody has acknowledged: consume some, or raise the \
             setting `journal.disk_budget_bytes`, of which they may use half"
        );
        Err((Failure::ResourceAllocation, text.into()))
    }

    /// Refuses a persistent message for which the journal has no place, now or ever.
    pub fn refuse_send<L: Log>(
        &mut self,
        port: PortIndex,
        publish: &Publish,
        arena: &[u8],
        now: Now,
        log: &mut L,
        out: &mut Outbox,
    ) {
        let step = &mut Step { now, log, out };
        let Some(connection) = self.connection(port, publish.connection) else { return };
        self.statistics.refused += 1;
        let (length, budget) = (publish.record.length, step.log.disk_budget());
        let left = budget.saturating_sub(step.log.live_log_bytes());
        let text = format!(
            "a message of {length} bytes does not fit into the journal, which has {left} of {budget} bytes left: consume some \
             messages, raise the setting `journal.disk_budget_bytes`, or send smaller ones"
        );
        let refusal = (Failure::ResourceAllocation, text.into());
        self.refuse_publish(port, connection, publish, publish.record.of(arena), refusal, step);
    }

    fn pause<L: Log>(&mut self, index: ConnectionIndex, step: &mut Step<'_, L>) {
        if self.hold_back(index, step) {
            self.paused.push(index);
        }
    }

    /// Nothing is read from the connection until it goes on. False: it is held back already.
    pub(crate) fn hold_back<L: Log>(&mut self, index: ConnectionIndex, step: &mut Step<'_, L>) -> bool {
        let connection = &mut self.connections[index.0];
        if connection.paused {
            return false;
        }
        connection.paused = true;
        step.out.reply(connection.port, Event::Pause { connection: connection.handle });
        true
    }

    /// There is space again: paused connections go on, when an eighth is free.
    pub(crate) fn resume<L: Log>(&mut self, step: &mut Step<'_, L>) {
        if self.paused.is_empty() || self.journal.live_bytes() > self.live_limit(step) / 8 * 7 {
            return;
        }
        for index in std::mem::take(&mut self.paused) {
            self.go_on(index, step);
        }
    }

    /// The connection is read again.
    pub(crate) fn go_on<L: Log>(&mut self, index: ConnectionIndex, step: &mut Step<'_, L>) {
        let connection = &mut self.connections[index.0];
        connection.paused = false;
        step.out.reply(connection.port, Event::Resume { connection: connection.handle });
    }
}
