//! The broker's part of a turn: what goes on by itself, and what is written at the end.

use crate::broker::Broker;
use crate::clients::waiters::Rank;
use crate::destinations::destination::is_advisory;
use crate::kit::budget::Budget;
use crate::log::Log;
use crate::outbox::Outbox;
use crate::records::{acknowledgement_bound, message_bytes};
use crate::step::{JOB_STEPS, Step, TURN_STEPS};
use postrider_journal::{Bound, soonest};
use postrider_model::command::Publish;
use postrider_model::{Command, CommandBatch, ConnectionHandle, Destination, DestinationKind, Now, PortIndex, limits};

/// Bytes of a small record's meta, at most, but for names.
const SMALL: u64 = 64;

/// What a batch has defined or will create so far: what its own sends refer to (R39).
#[derive(Default)]
pub(crate) struct Defined<'a>(Vec<Definition<'a>>);

struct Definition<'a> {
    whose: (ConnectionHandle, u32),
    names: &'a [Destination],
    /// A send before has created what is not there.
    created: bool,
}

impl<'a> Defined<'a> {
    pub fn add(&mut self, connection: ConnectionHandle, number: u32, names: &'a [Destination]) {
        self.0.push(Definition { whose: (connection, number), names, created: false });
    }

    fn find(&mut self, connection: ConnectionHandle, number: u32) -> Option<&mut Definition<'a>> {
        self.0.iter_mut().rev().find(|known| known.whose == (connection, number))
    }

    /// The send that was to create it is refused.
    pub(crate) fn take_back(&mut self, connection: ConnectionHandle, number: u32) {
        if let Some(known) = self.find(connection, number) {
            known.created = false;
        }
    }
}

/// What creating all of these destinations stages.
fn creation_bound(names: &[Destination]) -> Bound {
    let stored = names.iter().filter(|destination| !is_advisory(destination));
    stored.fold(Bound::default(), |bound, destination| {
        bound.and(Bound { records: 2, bytes: SMALL + destination.name.len() as u64 })
    })
}

/// Whether a place among these stores what is persistent.
pub(crate) fn has_durable(names: &[Destination]) -> bool {
    names.iter().any(|name| name.kind == DestinationKind::Queue)
}

/// How many of them do.
pub(crate) fn durable_places(names: &[Destination]) -> usize {
    names.iter().filter(|name| name.kind == DestinationKind::Queue).count()
}

/// Whether a command may be refused for want of room: it stores a message, or creates destinations.
pub(crate) fn stores(command: &Command) -> bool {
    matches!(command, Command::Publish(_) | Command::OpenProducer(_) | Command::OpenConsumer(_))
}

impl Broker {
    /// An upper bound of what handling the batch stages in the journal (R6).
    #[must_use]
    pub fn bound(&self, port: PortIndex, batch: &CommandBatch) -> Bound {
        let mut bound = acknowledgement_bound(0);
        let mut defined = Defined::default();
        for command in &batch.commands {
            bound = bound.and(self.command_bound(port, command, &mut defined));
        }
        bound
    }

    /// How many of a batch's commands stage no more than a frame of this size has room for: one at least.
    #[must_use]
    pub fn first_within(&self, port: PortIndex, batch: &CommandBatch, frame_bytes: u64) -> usize {
        let (mut bound, mut defined) = (acknowledgement_bound(0), Defined::default());
        let fitting = batch.commands.iter().take_while(|command| {
            bound = bound.and(self.command_bound(port, command, &mut defined));
            bound.frame_bytes() <= frame_bytes
        });
        fitting.count().max(1)
    }

    /// What a batch stages without those commands that store or create something for which a frame of this size has no place, and
    /// which these are, by their place in the batch: they are to be refused, with [`Broker::refuse_command`]. For a batch that the
    /// disk budget has no room for. What consumers create has `spare` bytes besides.
    #[must_use]
    pub fn bound_within(
        &self,
        port: PortIndex,
        batch: &CommandBatch,
        frame_bytes: u64,
        mut spare: u64,
    ) -> (Bound, Vec<usize>) {
        let mut bound = acknowledgement_bound(0);
        let mut refused = Vec::new();
        let mut defined = Defined::default();
        for (index, command) in batch.commands.iter().enumerate() {
            let needed = self.command_bound(port, command, &mut defined);
            let with = bound.and(needed);
            let fits = with.frame_bytes() <= frame_bytes;
            if !fits && matches!(command, Command::OpenConsumer(_)) && needed.frame_bytes() <= spare {
                spare -= needed.frame_bytes();
                bound = with;
            } else if !fits && stores(command) && with != bound {
                if let Command::Publish(publish) = command {
                    defined.take_back(publish.connection, publish.destination);
                }
                refused.push(index);
            } else {
                bound = with;
            }
        }
        (bound, refused)
    }

    #[allow(clippy::cast_possible_truncation, reason = "a constant")]
    pub(crate) fn command_bound<'a>(
        &'a self,
        port: PortIndex,
        command: &'a Command,
        defined: &mut Defined<'a>,
    ) -> Bound {
        match command {
            Command::Publish(publish) => {
                let (places, created) = self.places_bound(port, publish, defined);
                if !publish.persistent || !has_durable(places) {
                    return created;
                }
                let bytes = u64::from(publish.record.length) + message_bytes(places.len() as u64);
                Bound { records: 1, bytes }.and(created)
            }
            // It creates nothing: the first send to it does, which may be in the same batch.
            Command::DefineDestination { connection, number, destinations } => {
                defined.add(*connection, *number, destinations);
                Bound::default()
            }
            Command::OpenProducer(open) => {
                let created = |name: &&Destination| !name.kind.is_temporary();
                self.missing_bound(open.destinations.iter().filter(created))
            }
            Command::OpenConsumer(open) => {
                let created = |name: &&Destination| !name.is_wildcard() && !name.kind.is_temporary();
                self.missing_bound(open.destinations.iter().filter(created))
            }
            Command::Acknowledge(acknowledge) => {
                // One that counts nothing may name a message all the same.
                acknowledgement_bound(u64::from(acknowledge.count.clamp(1, limits::HANDLE_STEPS as u32)))
            }
            Command::CloseConnection { .. } => Bound { records: 2, bytes: 4_096 },
            Command::OpenConnection(_) => Bound { records: 2, bytes: 4_096 },
            // A send in the same batch may create it again.
            Command::DeleteDestination { destination, .. } => {
                Bound { records: 4, bytes: 2 * SMALL + destination.name.len() as u64 }
            }
            _ => Bound::default(),
        }
    }

    /// What creating those of the destinations stages that are not there.
    fn missing_bound<'a>(&self, names: impl Iterator<Item = &'a Destination>) -> Bound {
        let missing = names.filter(|name| self.destinations.find(name).is_none());
        missing.fold(Bound::default(), |bound, name| bound.and(creation_bound(std::slice::from_ref(name))))
    }

    /// How many of a send's places store what is persistent: topics and temporary destinations do not.
    pub(crate) fn durable_places<'a>(&'a self, port: PortIndex, publish: &Publish, defined: &mut Defined<'a>) -> usize {
        durable_places(self.names_of(port, publish, defined))
    }

    /// Whether one of a send's places is a queue whose messages need no journal.
    pub(crate) fn has_passing_queue<'a>(
        &'a self,
        port: PortIndex,
        publish: &Publish,
        defined: &mut Defined<'a>,
    ) -> bool {
        let passes = |name: &Destination| match name.kind {
            DestinationKind::Queue => !publish.persistent,
            DestinationKind::TemporaryQueue => true,
            DestinationKind::Topic | DestinationKind::TemporaryTopic => false,
        };
        self.names_of(port, publish, defined).iter().any(passes)
    }

    fn names_of<'a>(&'a self, port: PortIndex, publish: &Publish, defined: &mut Defined<'a>) -> &'a [Destination] {
        let (connection, number) = (publish.connection, publish.destination);
        match defined.find(connection, number) {
            Some(known) => known.names,
            None => self.places_of(port, connection, number).map_or(&[], |(names, _)| names),
        }
    }

    /// The places of a send, and what creating those that are not there stages, once a batch.
    pub(crate) fn places_bound<'a>(
        &'a self,
        port: PortIndex,
        publish: &Publish,
        defined: &mut Defined<'a>,
    ) -> (&'a [Destination], Bound) {
        let (connection, number) = (publish.connection, publish.destination);
        if defined.find(connection, number).is_none() {
            match self.places_of(port, connection, number) {
                None => return (&[], Bound::default()),
                Some((names, true)) => return (names, Bound::default()),
                Some((names, false)) => defined.add(connection, number, names),
            }
        }
        let Some(known) = defined.find(connection, number) else { return (&[], Bound::default()) };
        let created = !std::mem::replace(&mut known.created, true);
        (known.names, if created { creation_bound(known.names) } else { Bound::default() })
    }

    /// Serves what can be served: after a commit, when credit came, when it is time. In bounded slices; true: there is more to do.
    pub fn advance<L: Log>(&mut self, now: Now, log: &mut L, out: &mut Outbox) -> bool {
        let step = &mut Step { now, log, out };
        let mut budget = Budget(TURN_STEPS);
        self.note_commit(step);
        self.wake_ports(step.out);
        self.serve_advisories(&mut budget, step);
        self.serve_all(&mut budget, step);
        self.start_sweep(now);
        let mut more = self.run_sweep(&mut Budget(JOB_STEPS), step);
        more |= self.run_jobs(&mut Budget(JOB_STEPS), step);
        self.serve_all(&mut budget, step);
        self.serve_browsing(step);
        self.answer_pulls(step);
        more |= self.age_marks(step);
        more |= self.make_spool_room(step);
        more || !self.destinations.line.is_empty() || self.hungry.len() > 0 || self.may_wake(step.out)
    }

    /// Something was committed: whoever waited for it is looked at.
    fn note_commit<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let committed = step.log.committed();
        if committed == self.seen_commit {
            return;
        }
        self.seen_commit = committed;
        self.destinations.commit_came();
    }

    /// The log has more room: whoever found none waits for a commit that need not come.
    pub fn prepared(&mut self) {
        self.destinations.commit_came();
    }

    fn serve_all<L: Log>(&mut self, budget: &mut Budget, step: &mut Step<'_, L>) {
        while budget.0 > 0 {
            if let Some((consumer, known)) = self.hungry.takers.next(&mut self.consumers) {
                let Some(known) = known else { continue };
                known.hungry = false;
                let watches = known.watches;
                if self.feed(consumer, budget, step) {
                    self.wake(consumer);
                }
                // One that has caught up walks with the others again, and so gets what is the next for all.
                if watches {
                    self.serve_advisories(budget, step);
                }
            } else if self.wake_blocked(Rank::Taker, budget, step.out) {
                // They are hungry now.
            } else if let Some((index, is_there)) = self.destinations.next_in_line() {
                if !is_there {
                    continue;
                }
                budget.spend(1);
                if self.serve(index, budget, step) {
                    self.destinations.line_up(index);
                }
            } else {
                return;
            }
        }
    }

    /// The end of the turn: merged acknowledgements, allowances, the reservation, reclaim. The turn seals its frame afterwards.
    pub fn end_turn<L: Log>(&mut self, now: Now, log: &mut L, out: &mut Outbox) {
        let step = &mut Step { now, log, out };
        self.draw_in_allowances(step);
        self.renew_reservation(step);
        self.acknowledged.end_turn();
        self.flush_acknowledged(step);
        self.restate_untold(step);
        self.reclaim(step);
        // What reclaim found damaged is acknowledged in the frame that it took the room in.
        self.flush_acknowledged(step);
        self.evacuate_spool(step);
        #[cfg(feature = "plant")]
        self.restage_acknowledged(step);
        self.parking.set_waits(false);
        self.turn_start = self.sequences.next();
        self.work.end_turn();
    }

    /// After a turn's end: whether the log says now, once what the turn wrote is durable, all that a start after losses took for granted,
    /// so that the next one need not know of them (R9, R15). Yes is said once.
    pub fn states_losses(&mut self) -> bool {
        let states = self.losses_unstated && self.allowances_without_end.is_empty() && self.sequences.is_stated();
        self.losses_unstated &= !states;
        states
    }

    /// Whether the commands of this turn have taken as many steps as they may: those that follow are for the next one (R53).
    #[must_use]
    pub fn has_worked_enough(&self) -> bool {
        self.work.is_enough()
    }

    /// Something that was asked for came into memory, or turned out to be damaged: whoever waited for bytes looks again.
    pub fn fetched(&mut self) {
        self.spooling.survivors.waits = false;
        self.destinations.bytes_came();
        let mut waiting = std::mem::take(&mut self.cold_consumers);
        while let Some((index, known)) = waiting.next(&mut self.consumers) {
            if let Some(consumer) = known {
                consumer.waits_for_bytes = false;
                consumer.starved.extend(consumer.cold.drain(..));
                self.wake(index);
            }
        }
    }

    /// When the next timer is due, in nanoseconds of the clock of [`Now`].
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let sweep = (self.next_sweep > 0).then_some(self.next_sweep);
        soonest([self.pulls.deadline(), self.jobs.deadline(), sweep])
    }

    /// Whether deliveries wait for a commit. Whether answers do is the turn's own knowledge.
    #[must_use]
    pub fn wants_sync(&self) -> bool {
        self.destinations.line.awaits_commit() || self.sequences.is_pending()
    }
}
