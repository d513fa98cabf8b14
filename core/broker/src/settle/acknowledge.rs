//! Acknowledgements: ranges in dispatch order, resolved by sequence, and their one record a turn.

use crate::broker::Broker;
use crate::clients::consumer::ConsumerKind;
use crate::clients::in_flight::{COMPARED, Range};
use crate::destinations::destination::Refusal;
use crate::log::Log;
use crate::messages::ConsumerIndex;
use crate::settle::settling::{Fate, Settling};
use crate::step::Step;
use postrider_model::command::{Acknowledge, AcknowledgeKind};
use postrider_model::event::Failure;
use postrider_model::{PortIndex, limits};

impl Broker {
    #[inline(always)]
    pub(crate) fn acknowledge<L: Log>(
        &mut self,
        port: PortIndex,
        acknowledge: &Acknowledge,
        arena: &[u8],
        step: &mut Step<'_, L>,
    ) {
        let Some(connection) = self.connection(port, acknowledge.connection) else { return };
        let before = self.jobs.pushed();
        let outcome = match self.consumer_of(port, connection, acknowledge.consumer) {
            Some(index) => self.apply_to_window(index, acknowledge, arena, step),
            None => {
                self.statistics.stale_commands += 1;
                Ok(())
            }
        };
        match outcome {
            Ok(()) => self.reply_after_jobs(port, acknowledge.connection, acknowledge.request, before, step),
            Err(refusal) => self.refuse(port, acknowledge.connection, acknowledge.request, refusal, step),
        }
    }

    #[inline(always)]
    fn apply_to_window<L: Log>(
        &mut self,
        index: ConsumerIndex,
        acknowledge: &Acknowledge,
        arena: &[u8],
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let consumer = self.clients.consumer_mut(index);
        let (kind, count) = (acknowledge.kind, acknowledge.count);
        // What is not in order is looked for one by one.
        self.work.spend(consumer.compared() / COMPARED);
        // A client that has come back may still acknowledge what its old connection had been sent.
        if !consumer.was_served() || kind == AcknowledgeKind::Redelivered {
            return Ok(());
        }
        if kind == AcknowledgeKind::Delivered {
            consumer.extend(count);
        } else if consumer.kind != ConsumerKind::Queue {
            consumer.settle_outstanding(count);
        } else if let Some(range) = consumer.range(acknowledge)
            && (kind != AcknowledgeKind::Standard || range.count == count as usize)
        {
            self.take_range(index, kind, range, acknowledge, arena, step);
        } else {
            return self.unmatched(index, acknowledge);
        }
        self.wake(index);
        Ok(())
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "one consumer has fewer in flight")]
    fn take_range<L: Log>(
        &mut self,
        index: ConsumerIndex,
        kind: AcknowledgeKind,
        range: Range,
        acknowledge: &Acknowledge,
        arena: &[u8],
        step: &mut Step<'_, L>,
    ) {
        let first = if range.count == 1 { acknowledge.last } else { acknowledge.first };
        let at_once = self.clients.answers_at_once(index, (first, acknowledge.last), step.now.nanos);
        let consumer = self.clients.consumer_mut(index);
        if at_once && let Some(entry) = consumer.held_at(range.first) {
            self.destinations.get_mut(entry.of).queue().pace.is_answered(step.now);
        }
        let single = matches!(kind, AcknowledgeKind::Poison | AcknowledgeKind::Expired);
        let returned = range.count as u32;
        if !single && range.count == 1 {
            let entry = consumer.take_entry(range.first);
            consumer.contract(returned);
            self.consume(entry.of, entry.index, step);
            return;
        }
        let mut entries = consumer.take_entries(&range);
        match kind {
            AcknowledgeKind::Poison => consumer.give_up(),
            AcknowledgeKind::Expired => consumer.contract(1),
            _ => consumer.contract(returned),
        }
        if !single && range.count <= limits::HANDLE_STEPS {
            self.work.spend(range.count);
            while let Some(entry) = entries.pop_front() {
                self.consume(entry.of, entry.index, step);
            }
            return;
        }
        let fate = match kind {
            AcknowledgeKind::Poison => Fate::DeadLetter(acknowledge.cause.of(arena).into()),
            AcknowledgeKind::Expired => Fate::Expired,
            _ => Fate::Consumed,
        };
        self.jobs.push(Settling::new(entries, fate));
    }

    /// It names what is not in flight so. Clients say things twice, and late; only of a range that was to be consumed as a whole
    /// do they rely on being told.
    pub(crate) fn unmatched(&self, index: ConsumerIndex, acknowledge: &Acknowledge) -> Result<(), Refusal> {
        let consumer = self.clients.consumer(index);
        if consumer.is_orphaned() || acknowledge.kind != AcknowledgeKind::Standard {
            return Ok(());
        }
        let (first, last, count) = (acknowledge.first, acknowledge.last, acknowledge.count);
        let held = consumer.in_flight();
        let text = format!(
            "Unmatched acknowledge: this consumer, which has {held} messages in flight, has not {count} from {first} to {last} among them: \
             they may have been acknowledged already, or be another's"
        );
        Err((Failure::General, text.into()))
    }
}
