//! What commands stage at most, and how many sequences they take (R6, R9).

use crate::broker::Broker;
use crate::clients::transaction::Transaction;
use crate::destinations::advisories::is_advisory;
use crate::messages::ConnectionIndex;
use crate::records::commit::{commit_bound, late_bound};
use crate::records::{META_BYTES, acknowledgement_bound, message_bytes};
use postrider_journal::Bound;
use postrider_model::command::{OpenConsumer, Publish, Transact, TransactionAct};
use postrider_model::{Command, CommandBatch, ConnectionHandle, Destination, DestinationKind, PortIndex, limits};

/// Bytes of a small record's meta, at most, but for names.
const SMALL: u64 = 64;

/// Commands that are bounded in the time of a step.
const BOUNDS_OF_STEP: usize = 8;

/// Happenings that a command is at most, besides the ends of consumers and temporary destinations: a connection's end is those of its
/// producers in as many steps as a command may take.
const TOLD_OF_COMMAND: usize = limits::HANDLE_STEPS + 4;

/// What a batch has defined or will create so far: what its own sends refer to (R39).
#[derive(Default)]
pub(crate) struct Defined<'a> {
    known: Vec<Definition<'a>>,
    /// Connections that it opens, and how long their client ids are: of a connection that is there one may come by the same socket.
    opened: Vec<(ConnectionHandle, usize)>,
}

struct Definition<'a> {
    whose: (ConnectionHandle, u32),
    names: &'a [Destination],
    /// A send before has created what is not there.
    created: bool,
}

impl<'a> Defined<'a> {
    pub(crate) fn add(&mut self, connection: ConnectionHandle, number: u32, names: &'a [Destination]) {
        self.known.push(Definition { whose: (connection, number), names, created: false });
    }

    fn find(&mut self, connection: ConnectionHandle, number: u32) -> Option<&mut Definition<'a>> {
        self.known.iter_mut().rev().find(|known| known.whose == (connection, number))
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

/// Whether a command may be refused for want of room: it stores a message, or creates destinations.
pub(crate) fn stores(command: &Command) -> bool {
    matches!(command, Command::Publish(_) | Command::OpenProducer(_) | Command::OpenConsumer(_))
}

impl Broker {
    /// Whether a command has made others of its batch larger than they were bounded: it named more than it counted, or brought a
    /// subscription, or took one away, so that those who are late for a decision may not be too many any more. What is left of the batch is
    /// bounded again. *Without: it has no room, and is refused where there is some.*
    pub fn has_outgrown_bounds(&mut self) -> bool {
        let changes = self.destinations.subscriptions.changes();
        let has_changed = std::mem::replace(&mut self.intake.subscriptions_changed, changes) != changes;
        std::mem::take(&mut self.intake.has_outgrown_bounds) | has_changed
    }

    /// So many commands are bounded again: that is work of their turn (R53).
    pub fn bounds_again(&mut self, commands: usize) {
        self.work.spend(commands / BOUNDS_OF_STEP);
    }

    /// An upper bound of what handling the batch stages in the journal (R6), up to a command after which it is to be bounded again, see
    /// [`has_outgrown_bounds`](Broker::has_outgrown_bounds).
    #[must_use]
    pub fn bound(&self, port: PortIndex, batch: &CommandBatch) -> Bound {
        let mut bound = acknowledgement_bound(0);
        let mut defined = Defined::default();
        for command in &batch.commands {
            bound = bound.and(self.command_bound(port, command, &mut defined));
        }
        bound
    }

    /// What refusing a command stages, with what was acknowledged before.
    #[must_use]
    pub fn bound_of_refusal(&self) -> Bound {
        acknowledgement_bound(0)
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
                if !publish.persistent {
                    return created;
                }
                let mut durable = self.durable_places_of(places);
                // Who subscribes before it is decided is to have it.
                if publish.transaction.is_some() {
                    durable += places.iter().filter(|place| place.kind == DestinationKind::Topic).count();
                }
                if durable == 0 {
                    return created;
                }
                // Each topic's own place, and each further record's.
                let records = 1 + durable / (limits::PLACES - limits::COMPOSITE_PARTS);
                let all = (durable + places.len() + records) as u64;
                let bytes = records as u64 * (u64::from(publish.record.length) + message_bytes(0)) + message_bytes(all);
                Bound { records: records as u32, bytes }.and(created)
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
                let created = self.missing_bound(open.destinations.iter().filter(created));
                if open.subscription.is_none() {
                    return created;
                }
                created.and(self.subscription_bound(port, open, defined))
            }
            // What it names, whatever it counts; the decision says it, in one record.
            Command::Acknowledge(acknowledge) if acknowledge.transaction.is_some() => {
                let most = self.clients.at_hand(port, acknowledge.consumer).max(1) as u64;
                acknowledgement_bound(u64::from(acknowledge.count).clamp(1, most))
            }
            Command::Transact(Transact { connection, transaction, act: TransactionAct::Commit, .. }) => {
                let index = self.peek_connection(port, *connection);
                let known = index.and_then(|index| Some((index, self.clients.transaction(index, *transaction)?)));
                known.map_or(commit_bound(0), |(index, known)| {
                    self.commit_bound(known, &self.clients.connection(index).client_id)
                })
            }
            Command::Branch(said) => self.branch_bound(port, said, defined).0,
            Command::Acknowledge(acknowledge) => {
                // One that counts nothing may name a message all the same.
                acknowledgement_bound(u64::from(acknowledge.count.clamp(1, limits::HANDLE_STEPS as u32)))
            }
            Command::CloseConnection { .. } => Bound { records: 2, bytes: 4_096 },
            Command::OpenConnection(open) => {
                defined.opened.push((open.connection, open.client_id.len()));
                Bound { records: 2, bytes: 4_096 }
            }
            Command::Unsubscribe(_) => Bound { records: 4, bytes: 2 * SMALL },
            // A send in the same batch may create it again.
            Command::DeleteDestination { destination, .. } => {
                let ids = self.destinations.find(destination).map_or(0, |index| self.destinations.ids(index).count());
                Bound { records: 4 + ids as u32, bytes: 2 * SMALL + 4 * ids as u64 + destination.name.len() as u64 }
            }
            _ => Bound::default(),
        }
    }

    /// What committing it stages, which this client has sent: with those who have come since (R52).
    pub(super) fn commit_bound(&self, transaction: &Transaction, client: &[u8]) -> Bound {
        let late = transaction.staged.map_or(0, |staged| self.late_bytes(staged, client));
        commit_bound(transaction.claimed()).and(late_bound(late))
    }

    /// What creating those of the destinations stages that are not there.
    fn missing_bound<'a>(&self, names: impl Iterator<Item = &'a Destination>) -> Bound {
        let missing = names.filter(|name| self.destinations.find(name).is_none());
        missing.fold(Bound::default(), |bound, name| bound.and(creation_bound(std::slice::from_ref(name))))
    }

    /// How many of a send's places store what is persistent: topics and temporary destinations do not.
    pub(crate) fn durable_places<'a>(&'a self, port: PortIndex, publish: &Publish, defined: &mut Defined<'a>) -> usize {
        self.durable_places_of(self.names_of(port, publish, defined))
    }

    /// The same of these.
    pub(crate) fn durable_places_of(&self, names: &[Destination]) -> usize {
        let places = |name: &Destination| match name.kind {
            DestinationKind::Queue => 1,
            DestinationKind::Topic => self.destinations.most_subscribers(name),
            DestinationKind::TemporaryQueue | DestinationKind::TemporaryTopic => 0,
        };
        names.iter().map(places).sum()
    }

    /// How long a connection's client id is, at most: it may come by the same batch.
    pub(super) fn client_bytes(&self, port: PortIndex, connection: ConnectionHandle, defined: &Defined<'_>) -> usize {
        let there = self.peek_connection(port, connection).map(|index| self.clients.connection(index).client_id.len());
        let opened = defined.opened.iter().filter(|(handle, _)| *handle == connection).map(|(_, bytes)| *bytes);
        there.into_iter().chain(opened).max().unwrap_or_default()
    }

    /// What a durable subscription stages that comes or changes.
    fn subscription_bound(&self, port: PortIndex, open: &OpenConsumer, defined: &Defined<'_>) -> Bound {
        let client = self.client_bytes(port, open.connection, defined);
        let texts = [&open.selector, &open.subscription].map(|text| text.as_ref().map_or(0, |text| text.len()));
        let topics: usize = open.destinations.iter().map(|topic| 8 + topic.name.len()).sum();
        // What is longer is refused.
        let bytes = (client + texts.iter().sum::<usize>() + topics).min(META_BYTES) as u64;
        Bound { records: 3, bytes: bytes + SMALL }
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

    /// Whether there are sequences for all that the batch places and ends. If not, more are reserved than usual.
    pub fn has_sequences(&mut self, port: PortIndex, batch: &CommandBatch) -> bool {
        let headroom = self.headroom();
        let quick = (batch.commands.len() * (limits::PLACES + 1)) as u64
            + self.undecided.all_places()
            + self.most_told(batch.commands.len());
        if self.sequences.has(headroom + quick) {
            return true;
        }
        let mut defined = Defined::default();
        let needed: u64 = batch.commands.iter().map(|command| self.sequences_for(port, command, &mut defined)).sum();
        let enough = self.sequences.has(headroom + needed);
        if !enough {
            self.want_sequences(needed);
        }
        enough
    }

    /// The sequences that telling takes of what so many commands make come and go: each its own, and what there is.
    fn most_told(&self, commands: usize) -> u64 {
        let told = self.destinations.heard.most_of_all();
        let there = self.clients.count().1 + self.destinations.temporaries();
        told * (commands * TOLD_OF_COMMAND + there) as u64
    }

    /// The sequences that a command takes at most: those of its places, and of what tells of temporary destinations.
    pub(crate) fn sequences_for<'a>(&'a self, port: PortIndex, command: &'a Command, defined: &mut Defined<'a>) -> u64 {
        let told = self.destinations.heard.most_of_all();
        let ending = |index: Option<ConnectionIndex>| {
            let members = index.map_or(0, |index| self.clients.connection(index).members());
            told * (1 + members.min(limits::HANDLE_STEPS) as u64)
        };
        match command {
            Command::Publish(publish) => {
                // And a tag.
                // What is sent to a topic may be there twice, and its subscriptions need more than one record.
                let places = self.places_bound(port, publish, defined).0;
                let subscriptions = self.destinations.subscriptions.len();
                let each = 2 + (subscriptions / (limits::PLACES - limits::COMPOSITE_PARTS)) as u64;
                places.len() as u64 * each + u64::from(publish.transaction.is_some())
            }
            Command::Transact(Transact { connection, transaction, act: TransactionAct::Commit, .. }) => {
                let index = self.peek_connection(port, *connection);
                let known = index.and_then(|index| self.clients.transaction(index, *transaction));
                1 + known.and_then(|known| known.staged).map_or(0, |staged| self.undecided.places(staged))
            }
            Command::Branch(said) => self.branch_bound(port, said, defined).1,
            Command::DefineDestination { connection, number, destinations } => {
                defined.add(*connection, *number, destinations);
                0
            }
            // What tells that it is there, and, in the same batch perhaps, that it is gone.
            Command::CreateTemporary(_) | Command::OpenConsumer(_) | Command::OpenProducer(_) => 2 * told,
            Command::DeleteDestination { .. } | Command::CloseConsumer { .. } | Command::CloseProducer { .. } => told,
            Command::CloseConnection { connection, .. } => ending(self.peek_connection(port, *connection)),
            // It may have taken its leave, and another may have its name.
            Command::OpenConnection(open) => {
                told + ending(self.clients.names().with_id(&open.id))
                    + ending(self.peek_connection(port, open.connection))
            }
            _ => 0,
        }
    }
}
