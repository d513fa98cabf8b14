//! The broker: the state, and where its commands go.

use crate::clients::Clients;
use crate::config::Config;
use crate::delivery::Delivery;
use crate::destinations::destination::Destinations;
use crate::durable::Durable;
use crate::durable::duplicates::Marks;
use crate::durable::follow::Following;
use crate::durable::naming::{Mended, Strays};
use crate::durable::outcomes::Outcomes;
use crate::durable::sequences::Sequences;
use crate::durable::store::Acknowledged;
use crate::durable::undecided::Undecided;
use crate::intake::Intake;
use crate::intake::parking::ParkedSlice;
use crate::jobs::Jobs;
use crate::log::{Log, LogKind};
use crate::messages::Messages;
use crate::outbox::Outbox;
use crate::records::items::Segments;
use crate::settle::Settlements;
use crate::settle::emptying::Emptying;
use crate::slices::Job;
use crate::space::reclaim::Reclaim;
use crate::space::spooling::Spooling;
use crate::statistics::Statistics;
use crate::step::{Step, Work};
use crate::wildcards::Wildcards;
use foldhash::fast::FixedState;
use postrider_model::{Command, Now, PortIndex};

/// The broker's state machine. It reads no clock and does no I/O: time comes in as an argument, records and events go out.
pub struct Broker {
    pub(crate) config: Config,
    pub(crate) hasher: FixedState,
    pub(crate) clients: Clients,
    pub(crate) wildcards: Wildcards,
    pub(crate) settlements: Settlements,
    pub(crate) delivery: Delivery,
    pub(crate) destinations: Destinations,
    pub(crate) messages: Messages,
    pub(crate) journal: Segments,
    pub(crate) spool: Segments,
    pub(crate) sequences: Sequences,
    pub(crate) marks: Marks,
    pub(crate) durable: Durable,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) undecided: Undecided,
    pub(crate) outcomes: Outcomes,
    pub(crate) strays: Strays,
    pub(crate) jobs: Jobs<Job>,
    pub(crate) reclaim: Reclaim,
    pub(crate) spooling: Spooling,
    pub(crate) intake: Intake,
    /// The log is followed: nobody is served.
    pub(crate) following: Option<Box<Following>>,
    pub(crate) work: Work,
    pub(crate) statistics: Statistics,
}

impl Broker {
    /// A broker without any state.
    #[must_use]
    pub fn new(config: Config) -> Broker {
        let hasher = FixedState::with_seed(config.hash_seed);
        Broker {
            clients: Clients::new(&hasher),
            wildcards: Wildcards::default(),
            settlements: Settlements::default(),
            delivery: Delivery::default(),
            destinations: Destinations::new(&hasher),
            messages: Messages::default(),
            journal: Segments::default(),
            spool: Segments::default(),
            sequences: Sequences::default(),
            marks: Marks::new(&hasher, config.marks),
            durable: Durable::default(),
            acknowledged: Acknowledged::default(),
            undecided: Undecided::default(),
            outcomes: Outcomes::default(),
            strays: Strays::default(),
            jobs: Jobs::default(),
            reclaim: Reclaim::default(),
            spooling: Spooling::default(),
            intake: Intake::default(),
            following: None,
            work: Work::default(),
            statistics: Statistics::default(),
            hasher,
            config,
        }
    }

    /// After the last record that was followed: the broker serves from here on. If some of the log was damaged, an allowance may be missing,
    /// and that is every message; and numbers may have been given out of which nothing is known any more. `life` is the number of the life
    /// that begins. Tells which queues got their names from elsewhere than their own records.
    pub fn recovered(&mut self, now: Now, damages: u64, life: u32) -> Vec<Mended> {
        let following = match self.following.take() {
            Some(following) => *following,
            // Of a log of which nothing is left numbers were given out, too.
            None if damages > 0 => Following::new(&self.hasher),
            None => return Vec::new(),
        };
        self.reclaim.begin(now);
        let (mended, deleted) = self.begin_life(following, now, damages, life);
        self.clients.branches.claim_later();
        deleted.into_iter().for_each(|index| self.jobs.push(Emptying { destination: index }));
        mended
    }

    /// Counts and sizes.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (connections, consumers) = self.clients.count();
        Statistics {
            messages: self.messages.len() as u64,
            live_bytes: self.journal.live_bytes(),
            parked_bytes: self.intake.parked_bytes(),
            connections: connections as u64,
            consumers: consumers as u64,
            destinations: self.destinations.len() as u64,
            ..self.statistics
        }
    }

    /// Deliveries to slow subscribers of topics that were given up since the start.
    #[must_use]
    pub fn shed_deliveries(&self) -> u64 {
        self.statistics.shed
    }

    /// What a port says from here on has come with this look at the network, as its shard counts them.
    pub fn heard(&mut self, port: PortIndex, look: u32) {
        self.clients.note_look(port, look);
    }

    /// Does what one command asks. The command's batch was within [`Broker::bound`], which the log has reserved.
    pub fn handle<L: Log>(
        &mut self,
        port: PortIndex,
        command: &Command,
        arena: &[u8],
        now: Now,
        log: &mut L,
        out: &mut Outbox,
    ) {
        let step = &mut Step { now, log, out };
        self.work.begin_command();
        match command {
            Command::Publish(publish) => match publish.transaction {
                None => self.publish(port, publish, arena, step),
                Some(number) => self.publish_in_transaction(port, publish, number, arena, step),
            },
            Command::Acknowledge(acknowledge) => match acknowledge.transaction {
                None => self.acknowledge(port, acknowledge, arena, step),
                Some(number) => self.acknowledge_in_transaction(port, acknowledge, number, arena, step),
            },
            Command::Transact(transact) => self.transact(port, transact, step),
            Command::Branch(said) => self.act_on_branch(port, said, step),
            Command::Recover { connection, request } => self.recover_branches(port, *connection, *request, step),
            Command::Written { connection, bytes } => self.written(port, *connection, *bytes, step.now.nanos),
            Command::Unsendable { connection, consumer, sequence, cause } => {
                self.unsendable(port, *connection, *consumer, (*sequence, cause.of(arena)), step.now);
            }
            Command::OpenConnection(open) => self.open_connection(port, open, step),
            _ if self.waits_behind_sends(port, command) => {
                self.park_behind(port, command, arena, step);
            }
            Command::CloseConnection { connection, request, last_delivered, clean } => {
                self.close_connection(port, *connection, *request, (*last_delivered, *clean), step);
            }
            Command::DefineDestination { connection, number, destinations } => {
                self.define_destination(port, *connection, *number, destinations);
            }
            Command::OpenProducer(open) => self.open_producer(port, open, step),
            Command::CloseProducer { connection, producer, request } => {
                self.close_producer(port, *connection, *producer, *request, step);
            }
            Command::OpenConsumer(open) => self.open_consumer(port, open, step),
            Command::CloseConsumer { connection, consumer, last_delivered, request } => {
                self.close_consumer_command(port, *connection, *consumer, *last_delivered, *request, step);
            }
            Command::Pull { connection, consumer, timeout_millis, request } => {
                self.pull(port, *connection, *consumer, *timeout_millis, *request, step);
            }
            Command::SetPrefetch { connection, consumer, prefetch, request } => {
                self.set_prefetch(port, *connection, *consumer, *prefetch, *request, step);
            }
            Command::CreateTemporary(create) => self.create_temporary(port, create, step),
            Command::DeleteDestination { connection, destination, request } => {
                self.delete_destination_command(port, *connection, destination, *request, step);
            }
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(port, unsubscribe, step),
            Command::Synchronize { connection, request } => {
                if self.connection(port, *connection).is_some() {
                    self.reply(port, *connection, *request, step);
                }
            }
        }
    }

    /// A command that waits behind parked ones. What is behind a goodbye does not wait with it.
    fn park_behind<L: Log>(&mut self, port: PortIndex, command: &Command, arena: &[u8], step: &mut Step<'_, L>) {
        let parked = self.park(port, (command, arena), (LogKind::Journal, false), step);
        if let (Some(index), Command::CloseConnection { last_delivered, .. }) = (parked, command) {
            self.end_transactions_of(index, step);
            self.close_consumers_of(index, *last_delivered, step);
            self.delete_temporaries_of(index, step);
        }
    }

    /// A command that would store, while reclaim makes room for it: it waits, and of its connection what depends on it does. A consumer
    /// cannot, and is refused.
    pub fn park_command<L: Log>(
        &mut self,
        port: PortIndex,
        command: &Command,
        arena: &[u8],
        now: Now,
        log: &mut L,
        out: &mut Outbox,
    ) {
        let Some(handle) = command.waits_behind_sends() else {
            return self.refuse_command(port, command, arena, now, log, out);
        };
        if let Some(index) = self.peek_connection(port, handle) {
            self.note_answerable(index);
            self.park_behind(port, command, arena, &mut Step { now, log, out });
        }
    }

    /// A command for which the journal has no place, now or ever: a message is refused, or parked until there is, and so is what
    /// creates destinations.
    pub fn refuse_command<L: Log>(
        &mut self,
        port: PortIndex,
        command: &Command,
        arena: &[u8],
        now: Now,
        log: &mut L,
        out: &mut Outbox,
    ) {
        if let Command::Branch(said) = command {
            return self.refuse_branch(port, said, &mut Step { now, log, out });
        }
        if let Command::Transact(transact) = command {
            return self.refuse_commit(port, transact, &mut Step { now, log, out });
        }
        if let Command::Publish(publish) = command
            && let Some(number) = publish.transaction
        {
            let step = &mut Step { now, log, out };
            let refusal = self.no_place_for(publish, step);
            self.note_settled(port, publish);
            return self.refuse_in_transaction(port, publish, number, arena, refusal, step);
        }
        self.refuse_storing(port, command, arena, now, log, out);
    }

    /// Handles what was parked, for the bound of which the log has made room. The connection goes to the end of the line.
    pub fn unpark<L: Log>(&mut self, slice: ParkedSlice, now: Now, log: &mut L, out: &mut Outbox) {
        // Room may have come since it was looked at in a turn.
        self.spooling.look(log);
        let ((port, handle), mut parked) = self.begin_slice(&slice);
        for _ in 0..slice.commands {
            if self.has_worked_enough() {
                break;
            }
            let Some((command, arena, is_refused)) = self.next_of_slice(&slice, port, &mut parked) else { break };
            if is_refused {
                self.refuse_command(port, &command, &arena, now, log, out);
            } else {
                self.handle(port, &command, &arena, now, log, out);
            }
            if self.has_outgrown_bounds() {
                break;
            }
        }
        self.end_slice(&slice, (port, handle), parked, &mut Step { now, log, out });
    }
}
