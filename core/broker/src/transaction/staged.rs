//! Sends within a transaction: they are stored as they come, and refused where there is no room; nobody waits for any (R35).

use crate::bounds::{UNDECIDED_OF_WHAT_LIVES, live_limit};
use crate::broker::Broker;
use crate::destinations::advisories::is_advisory;
use crate::destinations::destination::Refusal;
use crate::durable::sharing::{NOBODY, Shared};
use crate::durable::store::Arrival;
use crate::intake::admission::Admission;
use crate::intake::publish::view_of;
use crate::log::{Log, LogKind};
use crate::messages::{ConnectionIndex, DestinationIndex};
use crate::plant::planted;
use crate::records;
use crate::step::Step;
use crate::transaction::local::{lost, not_begun};
use postrider_model::command::Publish;
use postrider_model::event::Failure;
use postrider_model::{Command, MessageView, PortIndex, TransactionNumber};

impl Broker {
    pub(crate) fn publish_in_transaction<L: Log>(
        &mut self,
        port: PortIndex,
        publish: &Publish,
        number: TransactionNumber,
        arena: &[u8],
        step: &mut Step<'_, L>,
    ) {
        let Some(connection) = self.connection(port, publish.connection) else { return };
        if planted("orphan-send-lands") && self.clients.transaction(connection, number).is_none() {
            return self.publish(port, &Publish { transaction: None, ..*publish }, arena, step);
        }
        self.clients.connection_mut(connection).settle(publish.parked_bytes());
        let record = publish.record.of(arena);
        match self.send_in_transaction(connection, publish, number, record, step) {
            Ok(()) if publish.request.is_wanted() => self.reply(port, publish.connection, publish.request, step),
            Ok(()) if publish.windowed => self.give_credit(port, connection, publish, record, step),
            Ok(()) => {}
            Err((Failure::ResourceAllocation, _)) if planted("transaction-paused") => {
                self.park(port, (&Command::Publish(*publish), arena), (LogKind::Journal, false), step);
            }
            Err(refusal) => self.refuse_in_transaction(port, publish, number, arena, refusal, step),
        }
    }

    /// A send is refused, and with it all of its transaction.
    pub(crate) fn refuse_in_transaction<L: Log>(
        &mut self,
        port: PortIndex,
        publish: &Publish,
        number: TransactionNumber,
        arena: &[u8],
        refusal: Refusal,
        step: &mut Step<'_, L>,
    ) {
        let Some(connection) = self.connection(port, publish.connection) else { return };
        self.doom(connection, number, refusal.clone(), step);
        self.refuse_publish(port, connection, publish, publish.record.of(arena), refusal, step);
    }

    fn send_in_transaction<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        publish: &Publish,
        number: TransactionNumber,
        record: &[u8],
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        if self.clients.says_again(connection, number) {
            return Ok(());
        }
        let transaction = self.clients.transaction(connection, number).ok_or_else(not_begun)?;
        if let Some(why) = &transaction.doomed {
            // Who does not ask has been told once.
            return if publish.request.is_wanted() { Err(why.clone()) } else { Ok(()) };
        }
        let (staged, claimed) = (transaction.staged, transaction.claimed());
        if self.is_behind_parked(connection) {
            let text = "other sends of the connection wait for room in the journal: consume messages, or use a connection of its own";
            return Err((Failure::ResourceAllocation, text.into()));
        }
        let mut parts = std::mem::take(&mut self.intake.parts);
        let mut shared = std::mem::take(&mut self.intake.shared);
        parts.clear();
        shared.clear();
        self.find_parts(connection, publish, &mut parts, step)?;
        // What the broker tells is not to stand behind a decision.
        if let Some(part) = parts.iter().find(|part| is_advisory(&self.destinations.get(**part).destination)) {
            let named = &self.destinations.get(*part).destination;
            let text =
                format!("{named} is where the broker tells of itself: nothing is sent there within a transaction");
            return Err((Failure::InvalidDestination, text.into()));
        }
        let durable = |broker: &Broker, part: DestinationIndex| {
            publish.persistent && broker.destinations.get(part).is_durable_queue()
        };
        if parts.len() > 1 {
            self.work.spend(parts.len());
        }
        parts.sort_by_key(|part| !durable(self, *part));
        let (stored, passing) = parts.split_at(parts.iter().take_while(|part| durable(self, **part)).count());
        let view = view_of(record)?;
        self.share_later(connection, passing, &view, &mut shared);
        // Who subscribes before it is decided has it, also where nobody has yet.
        let (kept, passed) = if publish.persistent { (&shared, &NOBODY) } else { (&NOBODY, &shared) };
        let places_of =
            |parts: &[DestinationIndex], shared: &Shared| parts.len() + shared.subscriptions() + shared.topics();
        self.check_size(staged, claimed, places_of(&parts, &shared) as u64)?;
        self.admit_undecided(publish, (places_of(stored, kept), passing), record.len(), step)?;
        let (crc, expiration, elsewhere) = (publish.record_crc, view.expiration(), parts.len() > 1);
        let arrival = Arrival { record, crc, expiration, publisher: 0, elsewhere, run_from: None, instead: None };
        let of = match staged {
            Some(of) => of,
            None => {
                let owner = self.clients.transaction_mut(connection, number).ok_or_else(not_begun)?;
                *owner.staged.insert(self.undecided.begin())
            }
        };
        if self.undecided.is_lost(of) {
            return Err(lost());
        }
        self.statistics.published += 1;
        for (store, parts, shared) in [(LogKind::Journal, stored, kept), (LogKind::Spool, passing, passed)] {
            if !shared.is_empty() {
                self.stage_shared_send(of, store, (parts, shared), arrival, step);
            } else if !parts.is_empty() {
                self.stage_send(of, store, parts, arrival, step);
            }
        }
        (self.intake.parts, self.intake.shared) = (parts, shared);
        Ok(())
    }

    /// Topics that it is sent to, with the subscriptions that are to have it. Others may come before it is decided, so a topic without one
    /// has a place, too.
    fn share_later(
        &mut self,
        connection: ConnectionIndex,
        passing: &[DestinationIndex],
        view: &MessageView<'_>,
        shared: &mut Shared,
    ) {
        let is_shared = |broker: &Broker, part: DestinationIndex| broker.destinations.get(part).is_shared();
        if !passing.iter().any(|part| is_shared(self, *part)) {
            return;
        }
        if !self.destinations.subscriptions.is_empty() {
            self.share(connection, passing, view, shared);
        }
        for topic in passing.iter().copied().filter(|part| is_shared(self, *part)) {
            if !shared.has(topic) {
                shared.add_topic(topic);
            }
        }
    }

    /// Whether a send may come to these places in the journal and in the spool.
    fn admit_undecided<L: Log>(
        &mut self,
        publish: &Publish,
        (stored, passing): (usize, &[DestinationIndex]),
        length: usize,
        step: &mut Step<'_, L>,
    ) -> Result<(), Refusal> {
        let limit = live_limit(step.log);
        let bytes = records::live_bytes(length, stored);
        if stored > 0 && self.journal.live_bytes() + bytes > limit {
            return Err(self.full(bytes, step));
        }
        if stored > 0 {
            self.intake.pass(bytes);
        }
        let all = self.undecided.all_bytes() + records::live_bytes(length, stored + passing.len());
        let most = limit / UNDECIDED_OF_WHAT_LIVES;
        if all > most {
            self.statistics.refused += 1;
            let text = format!(
                "transactions that are not committed hold {all} of {most} bytes: commit more often, or raise the setting \
                 `journal.disk_budget_bytes`, of which they may use an eighth"
            );
            return Err((Failure::ResourceAllocation, text.into()));
        }
        if !self.spooling.is_scarce() || self.admit_passing(publish, passing, step)? == Admission::Now {
            return Ok(());
        }
        self.statistics.refused += 1;
        let text = "the spool has no room now for what is sent within transactions: consume messages, or raise the setting \
                    `journal.spool_disk_bytes`";
        Err((Failure::ResourceAllocation, text.into()))
    }
}
