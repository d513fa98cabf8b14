//! A broker of one page: enough to answer the recorded clients.

use std::collections::{HashMap, HashSet, VecDeque};

use postrider_model::advisory::{Advisory, Told};
use postrider_model::command::*;
use postrider_model::event::{BranchFailure, Failure, Refused, Vote};
use postrider_model::record::Tag;
use postrider_model::{
    CommandBatch, ConnectionHandle, ConsumerHandle, Destination, DestinationKind, MessageView, MessageWriter, Now,
    Sequence, TransactionNumber, Xid, pattern,
};
use postrider_wire::session::{CommandSink, Delivery, Failed, Handles, Session};

/// Batches of one command: handed over when the next one comes.
#[derive(Default)]
pub struct Sink {
    batches: VecDeque<CommandBatch>,
}

impl CommandSink for Sink {
    fn batch(&mut self) -> &mut CommandBatch {
        self.batches.push_back(CommandBatch::default());
        self.batches.back_mut().unwrap()
    }
}

struct Consumer {
    connection: ConnectionHandle,
    /// Its id as text, where it has a selector.
    text: String,
    open: OpenConsumer,
    in_flight: Vec<u64>,
    delivered: usize,
    pulls: usize,
    /// When a pull is answered that no message came for, in milliseconds.
    pull_ends: u64,
    browsed: bool,
}

struct Stored {
    destination: Destination,
    record: Vec<u8>,
    redeliveries: u32,
    sender: ConnectionHandle,
}

/// A send or an acknowledgement, with the arena of its batch.
type Undecided = (Command, Vec<u8>);

/// A connection's number, and a selector.
type Selector = (u64, Option<Box<[u8]>>);

/// What a recording tells that a page of code cannot know.
#[derive(Default)]
pub struct Oracle {
    /// The sequences of a message id, in the order in which its copies were dispatched.
    pub sequences: HashMap<String, VecDeque<u64>>,
    /// Sequences that were dispatched to a consumer, by connection id, session and value: what its selector lets through.
    pub selected: HashSet<(String, u64)>,
    /// The consumers of a connection with this selector, in the order in which they came.
    pub consumers: HashMap<Selector, VecDeque<String>>,
}

/// Queues, topics, producers and consumers.
#[derive(Default)]
pub struct Broker {
    pub sink: Sink,
    /// Why messages were given up.
    pub causes: Vec<String>,
    oracle: Oracle,
    next_sequence: u64,
    producers: HashMap<(ConnectionHandle, u32), (i64, i64)>,
    destinations: HashMap<(ConnectionHandle, u32), Vec<Destination>>,
    messages: std::collections::BTreeMap<u64, Stored>,
    consumers: Vec<(ConsumerHandle, Consumer)>,
    /// What transactions have sent and acknowledged.
    undecided: HashMap<(ConnectionHandle, TransactionNumber), Vec<Undecided>>,
    /// The numbers of branches, those that are prepared, and what was done in them.
    numbers: HashMap<Xid, TransactionNumber>,
    prepared: std::collections::BTreeSet<Xid>,
    ids: HashMap<ConnectionHandle, Vec<u8>>,
    clients: HashMap<Vec<u8>, ConnectionHandle>,
}

/// What the sessions and their outputs are to the broker.
pub struct Port<'a, 'b> {
    sessions: &'a mut HashMap<ConnectionHandle, &'b mut Session>,
    handles: &'a mut Handles,
    outputs: &'a mut HashMap<ConnectionHandle, Vec<u8>>,
    now: Now,
}

impl Port<'_, '_> {
    fn with<T>(
        &mut self,
        connection: ConnectionHandle,
        act: impl FnOnce(&mut Session, &mut Handles, &mut Vec<u8>) -> T,
    ) -> T {
        act(self.sessions.get_mut(&connection).unwrap(), self.handles, self.outputs.entry(connection).or_default())
    }

    fn answer(&mut self, connection: ConnectionHandle, request: Request) {
        if let Some(token) = request.answer() {
            self.with(connection, |session, _, output| session.reply(token, output));
        }
    }

    fn fail(
        &mut self,
        connection: ConnectionHandle,
        request: Request,
        failure: Failure,
        refused: Option<ConsumerHandle>,
    ) {
        let now = self.now;
        self.with(connection, |session, handles, output| {
            let refused = refused.map(Refused::Consumer);
            let failed = Failed { token: request.answer(), failure, message: "refused", refused: refused.as_ref() };
            session.failed(&failed, now, handles, output).unwrap();
        });
    }
}

impl Broker {
    pub fn new(oracle: Oracle) -> Broker {
        Broker { oracle, next_sequence: 1_000_000, ..Broker::default() }
    }

    fn next_sequence(&mut self, id: &str) -> u64 {
        self.next_sequence += 1;
        self.oracle.sequences.get_mut(id).and_then(VecDeque::pop_front).unwrap_or(self.next_sequence)
    }

    pub fn work(
        &mut self,
        now: Now,
        sessions: &mut HashMap<ConnectionHandle, &mut Session>,
        handles: &mut Handles,
        outputs: &mut HashMap<ConnectionHandle, Vec<u8>>,
    ) {
        let mut port = Port { sessions, handles, outputs, now };
        self.dispatch(&mut port);
        while let Some(batch) = self.sink.batches.pop_front() {
            for command in &batch.commands {
                self.handle(command, &batch.arena, &mut port);
                self.dispatch(&mut port);
            }
        }
    }

    fn handle(&mut self, command: &Command, arena: &[u8], port: &mut Port<'_, '_>) {
        match command {
            Command::OpenConnection(open) => self.open_connection(open, port),
            Command::CloseConnection { connection, request, .. } => {
                self.close_consumers(*connection);
                self.clients.retain(|_, holder| holder != connection);
                port.answer(*connection, *request);
            }
            Command::DefineDestination { connection, number, destinations } => {
                self.destinations.insert((*connection, *number), destinations.to_vec());
            }
            Command::OpenProducer(open) => {
                self.producers.insert((open.connection, open.producer), (open.session, open.value));
                port.answer(open.connection, open.request);
            }
            Command::CloseProducer { connection, request, .. } => port.answer(*connection, *request),
            Command::OpenConsumer(open) => self.open_consumer(open, port),
            Command::CloseConsumer { connection, consumer, last_delivered, request } => {
                self.close_consumer(*consumer, *last_delivered);
                port.answer(*connection, *request);
            }
            Command::Publish(Publish { connection, transaction: Some(number), .. })
            | Command::Acknowledge(Acknowledge { connection, transaction: Some(number), .. }) => {
                let (mut command, arena) = (command.clone(), arena.to_vec());
                match &mut command {
                    Command::Publish(publish) => publish.transaction = None,
                    Command::Acknowledge(acknowledge) => acknowledge.transaction = None,
                    _ => {}
                }
                self.undecided.entry((*connection, *number)).or_default().push((command, arena));
            }
            Command::Transact(transact) => {
                let key = (transact.connection, transact.transaction);
                let undecided = self.undecided.remove(&key).unwrap_or_default();
                if transact.act == TransactionAct::Commit {
                    undecided.into_iter().for_each(|(command, arena)| self.handle(&command, &arena, port));
                }
                port.answer(transact.connection, transact.request);
            }
            Command::Branch(said) => self.branch(said, port),
            Command::Recover { connection, request } => {
                let names: Vec<Xid> = self.prepared.iter().cloned().collect();
                port.with(*connection, |session, _, output| session.branches(request.token(), &names, output).unwrap());
            }
            Command::Publish(publish) => self.publish(publish, arena, port),
            Command::Acknowledge(acknowledge) => {
                if acknowledge.kind == AcknowledgeKind::Poison {
                    self.causes.push(String::from_utf8(acknowledge.cause.of(arena).to_vec()).unwrap());
                }
                self.acknowledge(acknowledge);
                port.answer(acknowledge.connection, acknowledge.request);
            }
            Command::Pull { consumer, timeout_millis, .. } => {
                let consumer = self.consumer(*consumer).unwrap();
                consumer.pulls = 1;
                consumer.pull_ends = match timeout_millis {
                    0 => u64::MAX,
                    timeout => millis(port.now) + timeout.max(&0).unsigned_abs(),
                };
            }
            Command::SetPrefetch { consumer, prefetch, .. } => {
                self.consumer(*consumer).unwrap().open.prefetch = *prefetch;
            }
            Command::CreateTemporary(create) => {
                self.advise(create.connection, &create.destination, true);
                port.answer(create.connection, create.request);
            }
            Command::DeleteDestination { connection, request, destination } => {
                if destination.kind.is_temporary() {
                    self.advise(*connection, destination, false);
                }
                port.answer(*connection, *request);
            }
            Command::Unsubscribe(unsubscribe) => port.answer(unsubscribe.connection, unsubscribe.request),
            Command::Synchronize { connection, request } => {
                port.answer(*connection, *request);
            }
            Command::Written { .. } | Command::Unsendable { .. } => unreachable!("sessions do not write"),
        }
    }

    fn branch(&mut self, said: &Branch, port: &mut Port<'_, '_>) {
        if let (BranchAct::Begin, Some(number)) = (said.act, said.number) {
            self.numbers.insert(said.xid.clone(), number);
            return port.answer(said.connection, said.request);
        }
        let Some(number) = self.numbers.get(&said.xid).copied() else {
            return port.fail(said.connection, said.request, Failure::Branch(BranchFailure::Unknown), None);
        };
        let undecided = self.undecided.remove(&(said.connection, number)).unwrap_or_default();
        match said.act {
            BranchAct::End => {
                self.undecided.insert((said.connection, number), undecided);
                port.answer(said.connection, said.request);
            }
            BranchAct::Prepare => {
                let vote = if undecided.is_empty() { Vote::ReadOnly } else { Vote::Prepared };
                self.prepared.insert(said.xid.clone());
                self.undecided.insert((said.connection, number), undecided);
                port.with(said.connection, |session, _, output| {
                    session.voted(said.request.token(), vote, output).unwrap();
                });
            }
            act => {
                self.prepared.remove(&said.xid);
                if act != BranchAct::RollBack {
                    undecided.into_iter().for_each(|(command, arena)| self.handle(&command, &arena, port));
                }
                port.answer(said.connection, said.request);
            }
        }
    }

    fn open_connection(&mut self, open: &OpenConnection, port: &mut Port<'_, '_>) {
        if let Some((old, _)) = self.ids.iter().find(|(handle, id)| **id == *open.id && **handle != open.connection) {
            let old = *old;
            self.clients.retain(|_, holder| *holder != old);
            self.close_consumers(old);
        }
        if self.clients.contains_key(&*open.client_id) {
            port.fail(open.connection, open.request, Failure::InvalidClientId, None);
            return;
        }
        self.ids.insert(open.connection, open.id.to_vec());
        self.clients.insert(open.client_id.to_vec(), open.connection);
        let (connection, request) = (open.connection, open.request);
        port.with(connection, |session, _, output| session.opened(request.token(), output).unwrap());
    }

    /// Tells what became of a temporary queue.
    fn advise(&mut self, connection: ConnectionHandle, destination: &Destination, came: bool) {
        let topic = Destination::new(DestinationKind::Topic, b"ActiveMQ.Advisory.TempQueue");
        let connection_id = &self.ids[&connection];
        let told = Told::Destination((destination.kind, &destination.name));
        let advisory = Advisory { came, told_again: false, connection: connection_id, told };
        let mut record = Vec::new();
        let mut writer = MessageWriter::new(&mut record);
        writer.field(Tag::ProducerConnection, &[b"ID:broker"]);
        writer.destination_field(Tag::Destination, topic.kind, &topic.name);
        writer.field(Tag::Type, &[b"Advisory"]);
        advisory.write(&mut writer);
        writer.finish(&Advisory::header(1));
        let sequence = self.next_sequence("");
        // The broker's own: also those hear of it who want nothing of their own connection.
        let sender = ConnectionHandle { slot: u32::MAX, generation: 0 };
        self.messages.insert(sequence, Stored { destination: topic, record, redeliveries: 0, sender });
    }

    fn open_consumer(&mut self, open: &OpenConsumer, port: &mut Port<'_, '_>) {
        let selector = (u64::from(open.connection.slot), open.selector.clone());
        let text = self.oracle.consumers.get_mut(&selector).and_then(VecDeque::pop_front).unwrap_or_default();
        let consumer = Consumer {
            connection: open.connection,
            text,
            open: open.clone(),
            in_flight: Vec::new(),
            delivered: 0,
            pulls: 0,
            pull_ends: u64::MAX,
            browsed: false,
        };
        self.consumers.push((open.consumer, consumer));
        port.answer(open.connection, open.request);
    }

    fn consumer(&mut self, handle: ConsumerHandle) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|(other, _)| *other == handle).map(|(_, consumer)| consumer)
    }

    fn close_consumers(&mut self, connection: ConnectionHandle) {
        let of_connection =
            |(handle, consumer): &(ConsumerHandle, Consumer)| (consumer.connection == connection).then_some(*handle);
        let consumers: Vec<ConsumerHandle> = self.consumers.iter().filter_map(of_connection).collect();
        consumers.into_iter().for_each(|consumer| self.close_consumer(consumer, LastDelivered::Unknown));
    }

    fn close_consumer(&mut self, handle: ConsumerHandle, last_delivered: LastDelivered) {
        let position = self.consumers.iter().position(|(other, _)| *other == handle).unwrap();
        let (_, consumer) = self.consumers.remove(position);
        let counted = match last_delivered {
            LastDelivered::Unknown => consumer.in_flight.len(),
            LastDelivered::None => 0,
            LastDelivered::UpTo(Sequence(last)) => {
                consumer.in_flight.iter().position(|sequence| *sequence == last).map_or(0, |position| position + 1)
            }
        };
        for sequence in &consumer.in_flight[..counted] {
            if let Some(stored) = self.messages.get_mut(sequence) {
                stored.redeliveries += 1;
            }
        }
    }

    fn publish(&mut self, publish: &Publish, arena: &[u8], port: &mut Port<'_, '_>) {
        let record = publish.record.of(arena);
        assert_eq!(crc32fast::hash(record), publish.record_crc);
        let view = MessageView::parse(record).unwrap();
        let id = id_of(&view);
        for destination in self.destinations[&(publish.connection, publish.destination)].clone() {
            let is_wanted =
                !destination.kind.is_topic() || self.consumers.iter().any(|(_, consumer)| consumer.wants(&destination));
            if is_wanted {
                let stored =
                    Stored { destination, record: record.to_vec(), redeliveries: 0, sender: publish.connection };
                let sequence = self.next_sequence(&id);
                self.messages.insert(sequence, stored);
            }
        }
        port.answer(publish.connection, publish.request);
        if publish.windowed {
            let producer = self.producers[&(publish.connection, publish.producer)];
            let bytes = 1024 + view.content().map_or(0, <[u8]>::len) + view.properties().map_or(0, <[u8]>::len);
            port.with(publish.connection, |session, _, output| {
                session.producer_credit(producer, bytes as u32, output).unwrap();
            });
        }
    }

    fn acknowledge(&mut self, acknowledge: &Acknowledge) {
        let Some(consumer) = self.consumer(acknowledge.consumer) else { return };
        let position = |sequence: Sequence, in_flight: &[u64]| in_flight.iter().position(|other| *other == sequence.0);
        let last = position(acknowledge.last, &consumer.in_flight);
        let first = position(acknowledge.first, &consumer.in_flight).unwrap_or(0);
        match (acknowledge.kind, last) {
            (AcknowledgeKind::Delivered, _) => consumer.delivered += acknowledge.count as usize,
            (AcknowledgeKind::Redelivered, _) | (_, None) => {}
            (kind, Some(last)) => {
                let first = if kind == AcknowledgeKind::Individual { last } else { first };
                assert!(kind == AcknowledgeKind::Individual || last + 1 - first == acknowledge.count as usize);
                let done: Vec<u64> = consumer.in_flight.drain(first..=last).collect();
                let is_browser = consumer.open.browser;
                consumer.delivered = consumer.delivered.saturating_sub(done.len());
                for sequence in done.iter().filter(|_| !is_browser) {
                    let Some(mut stored) = self.messages.remove(sequence) else { continue };
                    if kind == AcknowledgeKind::Poison {
                        stored.destination = Destination::new(DestinationKind::Queue, b"ActiveMQ.DLQ");
                        stored.redeliveries = 0;
                        let sequence = self.next_sequence(&id_of(&MessageView::parse(&stored.record).unwrap()));
                        self.messages.insert(sequence, stored);
                    }
                }
            }
        }
    }

    fn dispatch(&mut self, port: &mut Port<'_, '_>) {
        for index in 0..self.consumers.len() {
            while let Some(sequence) = self.next_for(index) {
                let (handle, consumer) = &mut self.consumers[index];
                let stored = &self.messages[&sequence];
                consumer.in_flight.push(sequence);
                consumer.pulls = 0;
                let view = MessageView::parse(&stored.record).unwrap();
                let differs = view.destination_field(Tag::Destination)
                    != Some((stored.destination.kind, &stored.destination.name));
                let delivery = Delivery {
                    view,
                    sequence: Sequence(sequence),
                    redeliveries: stored.redeliveries,
                    destination: differs.then_some((stored.destination.kind, &*stored.destination.name)),
                    unix_millis: port.now.unix_millis,
                }
                .outbound();
                let handle = *handle;
                port.with(consumer.connection, |session, handles, output| {
                    session.dispatch(handle, &delivery, handles, output).unwrap();
                });
            }
            self.end(index, port);
        }
    }

    fn end(&mut self, index: usize, port: &mut Port<'_, '_>) {
        let (handle, consumer) = &mut self.consumers[index];
        let ends_browse = consumer.open.browser && !consumer.browsed;
        let ends_pull = consumer.pulls > 0 && millis(port.now) >= consumer.pull_ends;
        if ends_browse || ends_pull {
            consumer.browsed = consumer.open.browser;
            consumer.pulls = 0;
            let handle = *handle;
            port.with(consumer.connection, |session, handles, output| {
                session.end_of_messages(handle, handles, output).unwrap();
            });
        }
    }

    fn next_for(&self, index: usize) -> Option<u64> {
        let (_, consumer) = &self.consumers[index];
        let window = consumer.open.prefetch as usize + consumer.delivered;
        if consumer.in_flight.len() >= window && consumer.pulls == 0 || consumer.browsed {
            return None;
        }
        let is_free = |sequence: &u64, stored: &Stored| {
            let holds = |(_, other): &(ConsumerHandle, Consumer)| other.in_flight.contains(sequence);
            if stored.destination.kind.is_topic() || consumer.open.browser {
                !consumer.in_flight.contains(sequence)
            } else {
                !self.consumers.iter().any(holds)
            }
        };
        let fits = |(sequence, stored): &(&u64, &Stored)| {
            let is_own = consumer.open.no_local && stored.sender == consumer.connection;
            let is_selected =
                consumer.open.selector.is_none() || self.oracle.selected.contains(&(consumer.text.clone(), **sequence));
            consumer.wants(&stored.destination) && is_free(sequence, stored) && !is_own && is_selected
        };
        self.messages.iter().find(fits).map(|(sequence, _)| *sequence)
    }
}

impl Consumer {
    fn wants(&self, destination: &Destination) -> bool {
        self.open.destinations.iter().any(|own| pattern::matches(own, destination))
    }
}

fn millis(now: Now) -> u64 {
    now.nanos / 1_000_000
}

/// JMSMessageID, without what ActiveMQ puts in front.
fn id_of(view: &MessageView<'_>) -> String {
    let header = view.header();
    let connection = String::from_utf8_lossy(view.field(Tag::ProducerConnection).unwrap());
    format!("{connection}:{}:{}:{}", header.producer_session, header.producer_value, header.producer_sequence)
}
