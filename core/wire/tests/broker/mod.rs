//! A broker of one page: enough to answer the recorded clients.

use std::collections::{HashMap, VecDeque};

use postrider_model::command::*;
use postrider_model::event::Failure;
use postrider_model::record::Tag;
use postrider_model::{
    CommandBatch, ConnectionHandle, ConsumerHandle, Destination, MessageView, Now, Sequence, pattern,
};
use postrider_wire::openwire::session::{CommandSink, Delivery, Handles, Session};

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
    open: OpenConsumer,
    in_flight: Vec<u64>,
    delivered: usize,
    pulls: usize,
    ends_pull: bool,
    browsed: bool,
}

struct Stored {
    destination: Destination,
    record: Vec<u8>,
    redeliveries: u32,
    sender: ConnectionHandle,
}

/// Queues, topics, producers and consumers.
#[derive(Default)]
pub struct Broker {
    pub sink: Sink,
    /// All commands that came, for assertions.
    pub log: Vec<Command>,
    sequences: HashMap<String, u64>,
    next_sequence: u64,
    destinations: HashMap<(ConnectionHandle, u32), Vec<Destination>>,
    messages: std::collections::BTreeMap<u64, Stored>,
    consumers: Vec<(ConsumerHandle, Consumer)>,
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
        if request.wanted {
            self.with(connection, |session, _, output| session.reply(request.command, output));
        }
    }

    fn fail(
        &mut self,
        connection: ConnectionHandle,
        request: Request,
        failure: Failure,
        refused: Option<ConsumerHandle>,
    ) {
        let correlation = request.wanted.then_some(request.command);
        let now = self.now;
        self.with(connection, |session, handles, output| {
            session.failed(correlation, failure, "refused", refused, now, handles, output).unwrap();
        });
    }
}

impl Broker {
    /// A broker that gives messages these sequences, if it knows their ids.
    pub fn new(sequences: HashMap<String, u64>) -> Broker {
        Broker { sequences, next_sequence: 1_000_000, ..Broker::default() }
    }

    pub fn work(
        &mut self,
        now: Now,
        sessions: &mut HashMap<ConnectionHandle, &mut Session>,
        handles: &mut Handles,
        outputs: &mut HashMap<ConnectionHandle, Vec<u8>>,
    ) {
        let mut port = Port { sessions, handles, outputs, now };
        while let Some(batch) = self.sink.batches.pop_front() {
            for command in &batch.commands {
                self.log.push(command.clone());
                self.handle(command, &batch.arena, &mut port);
                self.dispatch(&mut port);
            }
        }
    }

    fn handle(&mut self, command: &Command, arena: &[u8], port: &mut Port<'_, '_>) {
        match command {
            Command::OpenConnection(open) => self.open_connection(open, port),
            Command::CloseConnection { connection, request, .. } => {
                let of_connection = |(handle, consumer): &(ConsumerHandle, Consumer)| {
                    (consumer.connection == *connection).then_some(*handle)
                };
                let consumers: Vec<ConsumerHandle> = self.consumers.iter().filter_map(of_connection).collect();
                for consumer in consumers {
                    self.close_consumer(consumer, LastDelivered::Unknown);
                }
                self.clients.retain(|_, holder| holder != connection);
                port.answer(*connection, *request);
            }
            Command::DefineDestination { connection, number, destinations } => {
                self.destinations.insert((*connection, *number), destinations.to_vec());
            }
            Command::OpenProducer(open) => port.answer(open.connection, open.request),
            Command::CloseProducer { connection, request, .. } => port.answer(*connection, *request),
            Command::OpenConsumer(open) => self.open_consumer(open, port),
            Command::CloseConsumer { connection, consumer, last_delivered, request } => {
                self.close_consumer(*consumer, *last_delivered);
                port.answer(*connection, *request);
            }
            Command::Publish(publish) => self.publish(publish, arena, port),
            Command::Acknowledge(acknowledge) => {
                self.acknowledge(acknowledge);
                port.answer(acknowledge.connection, acknowledge.request);
            }
            Command::Pull { consumer, timeout_millis, .. } => {
                let consumer = self.consumer(*consumer).unwrap();
                consumer.pulls = 1;
                consumer.ends_pull = *timeout_millis != 0;
            }
            Command::SetPrefetch { consumer, prefetch, .. } => {
                self.consumer(*consumer).unwrap().open.prefetch = *prefetch;
            }
            Command::CreateTemporary(create) => port.answer(create.connection, create.request),
            Command::DeleteDestination { connection, request, .. } | Command::Synchronize { connection, request } => {
                port.answer(*connection, *request);
            }
            Command::Written { .. } => unreachable!("sessions do not write"),
        }
    }

    fn open_connection(&mut self, open: &OpenConnection, port: &mut Port<'_, '_>) {
        if let Some((old, _)) = self.ids.iter().find(|(handle, id)| **id == *open.id && **handle != open.connection) {
            let old = *old;
            self.clients.retain(|_, holder| *holder != old);
        }
        if self.clients.contains_key(&*open.client_id) {
            port.fail(open.connection, open.request, Failure::InvalidClientId, None);
            return;
        }
        self.ids.insert(open.connection, open.id.to_vec());
        self.clients.insert(open.client_id.to_vec(), open.connection);
        let (connection, request) = (open.connection, open.request);
        port.with(connection, |session, _, output| session.opened(request.command, output).unwrap());
    }

    fn open_consumer(&mut self, open: &OpenConsumer, port: &mut Port<'_, '_>) {
        let consumer = Consumer {
            connection: open.connection,
            open: open.clone(),
            in_flight: Vec::new(),
            delivered: 0,
            pulls: 0,
            ends_pull: false,
            browsed: false,
        };
        self.consumers.push((open.consumer, consumer));
        port.answer(open.connection, open.request);
    }

    fn consumer(&mut self, handle: ConsumerHandle) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|(other, _)| *other == handle).map(|(_, consumer)| consumer)
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
        let header = view.header();
        let connection = String::from_utf8_lossy(view.field(Tag::ProducerConnection).unwrap()).into_owned();
        let (session, value) = (header.producer_session, header.producer_value);
        let id = format!("{connection}:{session}:{value}:{}", publish.producer_sequence);
        for destination in self.destinations[&(publish.connection, publish.destination)].clone() {
            self.next_sequence += 1;
            let sequence = self.sequences.get(&id).copied().unwrap_or(self.next_sequence);
            let is_wanted =
                !destination.kind.is_topic() || self.consumers.iter().any(|(_, consumer)| consumer.wants(&destination));
            if is_wanted {
                let stored =
                    Stored { destination, record: record.to_vec(), redeliveries: 0, sender: publish.connection };
                self.messages.insert(sequence, stored);
            }
        }
        port.answer(publish.connection, publish.request);
        if publish.windowed {
            let bytes = 1024 + view.content().map_or(0, <[u8]>::len) + view.properties().map_or(0, <[u8]>::len);
            port.with(publish.connection, |session, _, output| {
                session.producer_credit(publish.producer, bytes as u32, output).unwrap();
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
                if !is_browser {
                    done.iter().for_each(|sequence| drop(self.messages.remove(sequence)));
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
                };
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
        let ends_pull = consumer.pulls > 0 && consumer.ends_pull;
        if ends_browse || ends_pull {
            consumer.browsed = true;
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
            consumer.wants(&stored.destination) && is_free(sequence, stored) && !is_own
        };
        self.messages.iter().find(fits).map(|(sequence, _)| *sequence)
    }
}

impl Consumer {
    fn wants(&self, destination: &Destination) -> bool {
        self.open.destinations.iter().any(|own| pattern::matches(own, destination))
    }
}
